//! Two observers of the same images.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::Split;
use sweep_core::error::{Error, Result};
use sweep_core::units::{Millimetres, Point, Spacing};

use super::{Options, ParsedDataset, Record, Unit};

/// The observer whose landmarks are the ground truth, where a source has two observers; part of the data set's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Truth {
    /// The junior observer's.
    Junior,
    /// The senior observer's.
    Senior,
    /// Half-way between both.
    #[default]
    Mean,
}

impl Truth {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Junior, Self::Senior, Self::Mean];

    /// Name on the command line and in data sets' names.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Junior => "junior",
            Self::Senior => "senior",
            Self::Mean => "mean",
        }
    }

    /// The truth about an image, of which each observer may know nothing.
    pub(super) fn choose(self, marks: &Marks) -> Result<Vec<Option<Point>>> {
        let lacks = |who: &str, other: &str| {
            Error::input(format!("there is nothing by the {who} observer"))
                .remedy(format!("choose the other one's: --truth {other}"))
        };
        let junior = || marks.junior.as_ref().ok_or_else(|| lacks("junior", "senior"));
        let senior = || marks.senior.as_ref().ok_or_else(|| lacks("senior", "junior"));
        Ok(match self {
            Self::Junior => junior()?.clone(),
            Self::Senior => senior()?.clone(),
            Self::Mean => junior()?.iter().zip(senior()?).map(|(a, b)| Some(half_way((*a)?, (*b)?))).collect(),
        })
    }
}

fn half_way(a: Point, b: Point) -> Point {
    Point { x: f64::midpoint(a.x, b.x), y: f64::midpoint(a.y, b.y) }
}

/// Each observer's landmarks of an image.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks {
    pub(super) junior: Option<Vec<Option<Point>>>,
    pub(super) senior: Option<Vec<Option<Point>>>,
}

/// Error of one observer against the mean of both, which is half the distance between them; over validation images, if
/// there are any, for it is they that results are judged on.
pub(super) fn error_of_one(
    images: &[(Marks, Option<Split>)],
    spacing: impl Fn(usize) -> Option<Spacing>,
) -> Option<Millimetres> {
    let judged = images.iter().any(|(_, split)| *split == Some(Split::Val));
    let (mut sum, mut count) = (0.0, 0usize);
    for (index, (marks, split)) in images.iter().enumerate() {
        if judged && *split != Some(Split::Val) {
            continue;
        }
        let (Some(junior), Some(senior), Some(spacing)) = (&marks.junior, &marks.senior, spacing(index)) else {
            continue;
        };
        for (a, b) in junior.iter().zip(senior).filter_map(|(a, b)| a.zip(*b)) {
            sum += spacing.distance(a, half_way(a, b)).0;
            count += 1;
        }
    }
    (count > 0).then(|| Millimetres(sum / count as f64))
}

/// Joins the same images as marked by a second observer: theirs are the senior's marks, the first source's the junior's.
/// Images are matched by their paths' ends, landmarks by their names.
pub(super) fn unite(parsed: &mut ParsedDataset, theirs: ParsedDataset, options: &Options) -> Result<()> {
    let stem = |record: &Record| Path::new(&record.image).with_extension("").to_string_lossy().to_lowercase();
    let key = |record: &Record, parts: usize| {
        let stem = stem(record);
        let all: Vec<&str> = stem.split('/').collect();
        all[all.len().saturating_sub(parts)..].join("/")
    };
    // As many folders as tell the images apart.
    let depth = (1..12).find(|parts| {
        let keys: BTreeSet<String> = parsed.records.iter().map(|record| key(record, *parts)).collect();
        keys.len() == parsed.records.len()
    });
    let depth = depth.unwrap_or(1);
    let mut others: BTreeMap<String, Record> = BTreeMap::new();
    for record in theirs.records {
        let location = record.location.clone();
        if others.insert(key(&record, depth), record).is_some() {
            return Err(Error::input("two images of the second observer have one name").at(location));
        }
    }
    for name in &theirs.landmarks {
        if !parsed.landmarks.contains(name) {
            parsed.landmarks.push(name.clone());
        }
    }
    let places: BTreeMap<&str, usize> =
        theirs.landmarks.iter().enumerate().map(|(index, name)| (name.as_str(), index)).collect();
    let (mut judged, mut alone) = (Vec::new(), 0);
    for record in &mut parsed.records {
        record.landmarks.resize(parsed.landmarks.len(), None);
        let Some(other) = others.remove(&key(record, depth)) else {
            alone += 1;
            judged.push((Marks::default(), record.split));
            continue;
        };
        if (other.unit, other.y_up) != (record.unit, record.y_up) {
            return Err(Error::input("the observers' positions have different units").at(&other.location));
        }
        let shift = record.first - other.first;
        let moved = |point: Point| Point { x: point.x + shift, y: point.y + shift };
        let senior = parsed.landmarks.iter().map(|name| places.get(name.as_str()).and_then(|i| other.landmarks[*i]));
        let senior: Vec<Option<Point>> = senior.map(|point| point.map(moved)).collect();
        let of = Marks { junior: Some(std::mem::take(&mut record.landmarks)), senior: Some(senior) };
        record.landmarks = options.truth.choose(&of)?;
        judged.push((of, record.split));
    }
    if alone == parsed.records.len() {
        return Err(Error::input("the second observer marked none of these images")
            .at("--second")
            .remedy("images are matched by their names"));
    }
    if alone > 0 && options.truth != Truth::Junior {
        return Err(Error::input(format!("the second observer did not mark {alone} of the images"))
            .at("--second")
            .remedy("leave them out of the first source, or use --truth junior"));
    }
    parsed.observer_mre = error_of_one(&judged, |index| match parsed.records[index].unit {
        Unit::Pixels => options.spacing.or(parsed.records[index].spacing),
        Unit::Millimetres => Some(Spacing { x: 1.0, y: 1.0 }),
        Unit::Shares(_) => None,
    });
    if parsed.observer_mre.is_none() {
        parsed
            .notes
            .push("the observers' error is not known, since the source does not say the size of a pixel".into());
    }
    if !others.is_empty() {
        parsed.notes.push(format!("{} images of the second observer only were left out", others.len()));
    }
    parsed.notes.extend(theirs.notes);
    parsed.name = format!("{}-{}", parsed.name, options.truth.name());
    Ok(())
}
