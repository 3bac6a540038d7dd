//! Inspection of a data set: whether it is fit for training and evaluation, as facts and findings.
//!
//! This module reads no file: [`Set`] joins a survey of the folder with a summary of each image, and [`inspect`] judges it.
//! Every check goes through the whole set, so one inspection reports everything.

mod checks;
mod duplicates;
mod facts;
mod finding;
mod fingerprint;
mod image_summary;
mod matrix;
mod measure_facts;
mod orientation;
mod patients;
mod poses;
mod procrustes;
mod shape_checks;
mod shape_distance;
mod shape_statistics;
#[cfg(test)]
mod tests;

use crate::folder::{Defect, Survey};
use sweep_core::error::Result;
use sweep_core::measures::Measures;
use sweep_core::units::{ErrorUnit, Millimetres, Point};

pub use facts::{Counted, Counts, DatasetFacts, Landmark};
pub use finding::{Finding, Severity};
pub use image_summary::{Image, ImageSummary};
pub use measure_facts::{ClassCount, MeasureFacts};
pub use shape_distance::distances_from_mean_shape;

/// A data set's table with summaries of its images.
#[derive(Debug, Clone)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// Name of the file of landmarks.
    pub csv: String,
    /// Landmark names, in order.
    pub landmarks: Vec<String>,
    /// The unit of distances.
    pub unit: ErrorUnit,
    /// Error between human observers, where known.
    pub observer_mre: Option<Millimetres>,
    /// Angles, distances and ratios of its landmarks.
    pub measures: Measures,
    /// Measures of its set that its landmarks do not suffice for.
    pub unknown_measures: Vec<String>,
    /// Checks that the data set turns off.
    pub unwanted: Vec<String>,
    /// Its images, in the order of the file.
    pub images: Vec<Image>,
    /// Defects of its text and files.
    pub defects: Vec<Defect>,
}

impl Set {
    /// Decodes the images of a survey, in parallel, and joins it with what they show.
    #[must_use]
    pub fn read(survey: &Survey) -> Self {
        Self::of(survey, survey.map_images(|sample| sample.map(|sample| ImageSummary::of(&sample))))
    }

    /// Joins a survey with its images' summaries, one per row.
    #[must_use]
    pub fn of(survey: &Survey, summaries: Vec<Result<ImageSummary>>) -> Self {
        let rows = survey.rows.iter().cloned();
        Self {
            name: survey.name.clone(),
            csv: image_summary::file(&survey.csv),
            landmarks: survey.landmarks.clone(),
            unit: survey.unit,
            observer_mre: survey.observer_mre,
            measures: survey.measures.clone(),
            unknown_measures: survey.unknown_measures.clone(),
            unwanted: survey.unwanted.clone(),
            images: rows.zip(summaries).map(|(row, summary)| Image { row, summary }).collect(),
            defects: survey.defects.clone(),
        }
    }
}

/// Result of an inspection.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// The data set in numbers.
    pub facts: DatasetFacts,
    /// Certain and possible defects; the worst first, then in the order of the file.
    pub findings: Vec<Finding>,
    /// All shapes laid over each other, where they can be.
    pub spread: Option<Spread>,
}

impl Inspection {
    /// Findings of a severity.
    pub fn of(&self, severity: Severity) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.severity == severity)
    }

    /// Whether a finding would spoil a sweep.
    #[must_use]
    pub fn is_spoilt(&self) -> bool {
        self.of(Severity::Error).next().is_some()
    }
}

/// All shapes of a data set, laid over their mean, in its unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Spread {
    /// Per landmark: its position in the mean shape; `None` if it is nowhere marked.
    pub mean: Vec<Option<Point>>,
    /// Per landmark: its position on each image, and whether it is far from its mean position.
    pub places: Vec<Vec<(Point, bool)>>,
}

/// A landmark further than this many standard deviations from its mean position is an outlier.
const FAR: f64 = 5.0;

/// Judges a data set.
#[must_use]
pub fn inspect(set: &Set) -> Inspection {
    let in_mm: Vec<procrustes::Shape> = set.images.iter().map(shape_checks::in_mm).collect();
    let shapes = shape_statistics::ShapeStatistics::of(&in_mm);
    let facts = DatasetFacts::of(set, shapes.as_ref());
    let mut findings: Vec<Finding> = set.defects.iter().map(defect).collect();
    findings.extend(checks::images(set));
    findings.extend(checks::coordinates(set));
    findings.extend(checks::splits(set, &facts));
    findings.extend(duplicates::findings(set));
    findings.extend(patients::findings(set));
    match &shapes {
        Some(shapes) => findings.extend(shape_checks::findings(set, &in_mm, shapes)),
        None => findings.push(unjudged(set)),
    }
    turn_off(set, &mut findings);
    findings.sort_by(|a, b| (a.severity, a.line, &a.file).cmp(&(b.severity, b.line, &b.file)));
    Inspection { facts, findings, spread: shapes.as_ref().map(spread) }
}

/// Removes findings of checks that the data set turns off, and says so.
fn turn_off(set: &Set, findings: &mut Vec<Finding>) {
    for check in &set.unwanted {
        let before = findings.len();
        findings.retain(|finding| finding.check != check);
        let count = before - findings.len();
        let what = format!("dataset.toml turns the check `{check}` off: {count} of its findings are not shown");
        let remedy = format!("remove `{check}` from [inspect] to see them");
        findings.push(Finding::new(Severity::Note, "off", &set.csv, what).remedy(remedy));
    }
}

fn defect(defect: &Defect) -> Finding {
    let error = &defect.error;
    let what =
        error.location.as_ref().map_or_else(|| error.message.clone(), |place| format!("{place}: {}", error.message));
    let finding = Finding::new(Severity::Error, "table", image_summary::file(&defect.file), what);
    Finding {
        line: defect.line,
        image: defect.image.clone(),
        landmarks: defect.landmark.iter().cloned().collect(),
        remedy: error.remedy.clone().unwrap_or_default(),
        ..finding
    }
}

fn unjudged(set: &Set) -> Finding {
    let spacing = set.images.iter().filter(|image| image.row.spacing.is_some()).count();
    let what = if spacing < set.images.len() / 2 {
        "shapes were not judged: the size of most images' pixels is not known".to_owned()
    } else {
        format!(
            "shapes were not judged: that takes {} images with {} landmarks or more",
            shape_statistics::FEWEST_IMAGES,
            procrustes::FEWEST
        )
    };
    let remedy = "swapped or displaced landmarks are found once there are";
    Finding::new(Severity::Note, "shapes", &set.csv, what).remedy(remedy)
}

fn spread(shapes: &shape_statistics::ShapeStatistics) -> Spread {
    let place = |k: usize, p: Option<Point>| {
        let (p, centre) = (p?, shapes.mean.shape[k]?);
        Some((p, p.distance(centre).0 > FAR * shapes.mean.spread[k]))
    };
    let all = || shapes.aligned.iter().flatten();
    let places = (0..shapes.mean.shape.len()).map(|k| all().filter_map(|(_, s)| place(k, s[k])).collect());
    Spread { mean: shapes.mean.shape.clone(), places: places.collect() }
}
