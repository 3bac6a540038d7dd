//! Is a data set fit to be trained and measured on? Facts and findings, from what was read and seen of it.
//!
//! Nothing here touches a file: [`Set`] is what a survey of the folder and a look at each image gave, [`inspect`] judges it.
//! Every check goes through the whole set, so one inspection tells all there is to tell.

mod align;
mod checks;
mod duplicates;
mod facts;
mod finding;
mod fingerprint;
mod look;
mod matrix;
mod orientation;
mod patients;
mod shape;
mod shapes;
#[cfg(test)]
mod tests;

use crate::folder::{Defect, Survey};
use sweep_core::error::Result;
use sweep_core::units::{Millimetres, Point};

pub use facts::{Counted, Counts, Facts, Landmark};
pub use finding::{Finding, Severity};
pub use look::{Image, Look};

/// A data set as it was read and seen.
#[derive(Debug, Clone)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// Name of the file of landmarks.
    pub csv: String,
    /// Landmark names, in order.
    pub landmarks: Vec<String>,
    /// Error between the people who marked it, where it is known.
    pub observer_mre: Option<Millimetres>,
    /// Its images, in the order of the file.
    pub images: Vec<Image>,
    /// What is wrong with its text and files.
    pub defects: Vec<Defect>,
}

impl Set {
    /// Joins what was read with what was seen, one look per entry.
    #[must_use]
    pub fn of(survey: &Survey, looks: Vec<Result<Look>>) -> Self {
        let entries = survey.entries.iter().cloned();
        Self {
            name: survey.name.clone(),
            csv: look::file(&survey.csv),
            landmarks: survey.landmarks.clone(),
            observer_mre: survey.observer_mre,
            images: entries.zip(looks).map(|(entry, look)| Image { entry, look }).collect(),
            defects: survey.defects.clone(),
        }
    }
}

/// What an inspection gave.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// The data set in numbers.
    pub facts: Facts,
    /// What is, or may be, wrong with it; the worst first, then in the order of the file.
    pub findings: Vec<Finding>,
    /// All shapes laid over each other, where they can be.
    pub spread: Option<Spread>,
}

impl Inspection {
    /// Findings of a severity.
    pub fn of(&self, severity: Severity) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.severity == severity)
    }

    /// Whether a sweep would be spoilt.
    #[must_use]
    pub fn is_spoilt(&self) -> bool {
        self.of(Severity::Error).next().is_some()
    }
}

/// All shapes of a data set, laid over their mean; in mm.
#[derive(Debug, Clone, PartialEq)]
pub struct Spread {
    /// Per landmark: its usual place, where it is marked anywhere.
    pub mean: Vec<Option<Point>>,
    /// Per landmark: where it lies on each image, and whether that is far from where it usually lies.
    pub places: Vec<Vec<(Point, bool)>>,
}

/// Further than this many usual deviations from the mean a landmark is no part of what is usual.
const FAR: f64 = 5.0;

/// Judges a data set.
#[must_use]
pub fn inspect(set: &Set) -> Inspection {
    let in_mm: Vec<align::Shape> = set.images.iter().map(shapes::in_mm).collect();
    let shapes = shape::Shapes::of(&in_mm);
    let facts = Facts::of(set, shapes.as_ref());
    let mut findings: Vec<Finding> = set.defects.iter().map(defect).collect();
    findings.extend(checks::images(set));
    findings.extend(checks::coordinates(set));
    findings.extend(checks::splits(set, &facts));
    findings.extend(duplicates::findings(set));
    findings.extend(patients::findings(set));
    match &shapes {
        Some(shapes) => findings.extend(shapes::findings(set, &in_mm, shapes)),
        None => findings.push(unjudged(set)),
    }
    findings.sort_by(|a, b| (a.severity, a.line, &a.file).cmp(&(b.severity, b.line, &b.file)));
    Inspection { facts, findings, spread: shapes.as_ref().map(spread) }
}

fn defect(defect: &Defect) -> Finding {
    let error = &defect.error;
    let what = error.location.as_ref().map_or_else(|| error.message.clone(), |place| format!("{place}: {}", error.message));
    let finding = Finding::new(Severity::Error, "table", look::file(&defect.file), what);
    Finding {
        line: defect.line,
        image: defect.image.clone(),
        landmarks: defect.landmark.iter().cloned().collect(),
        remedy: error.remedy.clone().unwrap_or_default(),
        ..finding
    }
}

fn unjudged(set: &Set) -> Finding {
    let spacing = set.images.iter().filter(|image| image.entry.spacing.is_some()).count();
    let what = if spacing < set.images.len() / 2 {
        "shapes were not judged: the size of most images' pixels is not known".to_owned()
    } else {
        format!(
            "shapes were not judged: that takes {} images with {} landmarks or more",
            shape::FEWEST_IMAGES,
            align::FEWEST
        )
    };
    let remedy = "swapped or displaced landmarks are found once there are";
    Finding::new(Severity::Note, "shapes", &set.csv, what).remedy(remedy)
}

fn spread(shapes: &shape::Shapes) -> Spread {
    let place = |k: usize, p: Option<Point>| {
        let (p, centre) = (p?, shapes.mean.shape[k]?);
        Some((p, p.distance(centre).0 > FAR * shapes.mean.spread[k]))
    };
    let all = || shapes.aligned.iter().flatten();
    let places = (0..shapes.mean.shape.len()).map(|k| all().filter_map(|(_, s)| place(k, s[k])).collect());
    Spread { mean: shapes.mean.shape.clone(), places: places.collect() }
}
