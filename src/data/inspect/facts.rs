//! Facts about a data set: counts, sizes and errors.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Set;
use super::measure_facts::MeasureFacts;
use super::procrustes::median;
use super::shape_statistics::ShapeStatistics;
use crate::{Dataset, Sample, Split};
use sweep_core::units::{ErrorUnit, Size, Spacing};

/// A data set in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DatasetFacts {
    /// Its name.
    pub name: String,
    /// Images by split.
    pub images: Counts,
    /// Sizes of images in pixels, the most frequent first.
    pub sizes: Vec<Counted<Size>>,
    /// The unit of distances; of millimetres it is not said.
    #[serde(skip_serializing_if = "ErrorUnit::is_millimetres")]
    pub unit: ErrorUnit,
    /// Sizes of pixels in mm, the most frequent first; none where they are not known.
    pub spacings_mm: Vec<Counted<Spacing>>,
    /// Its landmarks, in order.
    pub landmarks: Vec<Landmark>,
    /// Mean radial error of guessing the training images' mean shape on the validation images.
    pub mean_shape_mre_mm: Option<f64>,
    /// Mean distance between two observers, where the data set states it: the floor to judge results by.
    pub observer_mre_mm: Option<f64>,
    /// Measures of the marked landmarks, where the data set defines some.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub measures: Vec<MeasureFacts>,
    /// Measures of its set that its landmarks do not suffice for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown_measures: Vec<String>,
}

/// Images, or marked landmarks, by split.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// To train on.
    pub train: usize,
    /// To evaluate on after every epoch.
    pub val: usize,
    /// To keep for the end.
    pub test: usize,
    /// In no split that is known.
    pub none: usize,
}

impl Counts {
    fn of(splits: impl Iterator<Item = Option<Split>>) -> Self {
        let mut counts = Self::default();
        for split in splits {
            *match split {
                Some(Split::Train) => &mut counts.train,
                Some(Split::Val) => &mut counts.val,
                Some(Split::Test) => &mut counts.test,
                None => &mut counts.none,
            } += 1;
        }
        counts
    }

    /// All of them.
    #[must_use]
    pub fn total(self) -> usize {
        self.train + self.val + self.test + self.none
    }
}

/// A value and the number of images that have it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Counted<T> {
    /// The value.
    #[serde(flatten)]
    pub value: T,
    /// Images that have it.
    pub images: usize,
}

/// A landmark.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Landmark {
    /// Its name.
    pub name: String,
    /// Images on which it is marked.
    pub marked: Counts,
    /// Median distance from the mean shape, shapes laid over it; where they can be judged.
    pub from_mean_mm: Option<f64>,
    /// Median distance from where the other landmarks put it.
    pub from_others_mm: Option<f64>,
}

impl DatasetFacts {
    pub(super) fn of(set: &Set, shapes: Option<&ShapeStatistics>) -> Self {
        let images = || set.images.iter();
        let seen = || images().filter_map(|image| image.summary.as_ref().ok());
        let landmark = |(k, name): (usize, &String)| {
            let marked = images().filter(|image| image.row.landmarks[k].is_some());
            let judged = shapes.map(|shapes| (shapes.off_mean(k), shapes.off_others(k)));
            Landmark {
                name: name.clone(),
                marked: Counts::of(marked.map(|image| image.row.split)),
                from_mean_mm: judged.map(|j| j.0).filter(|mm| mm.is_finite()),
                from_others_mm: judged.map(|j| j.1).filter(|mm| mm.is_finite()),
            }
        };
        Self {
            name: set.name.clone(),
            images: Counts::of(images().map(|image| image.row.split)),
            sizes: counted(seen().map(|summary| summary.size), |s| [s.width as u64, s.height as u64]),
            unit: set.unit,
            spacings_mm: counted(images().filter_map(|i| i.row.spacing).filter(|_| set.unit.is_millimetres()), |s| {
                [s.x.to_bits(), s.y.to_bits()]
            }),
            landmarks: set.landmarks.iter().enumerate().map(landmark).collect(),
            mean_shape_mre_mm: mean_shape_mre(set),
            observer_mre_mm: set.observer_mre.map(|mre| mre.0),
            measures: MeasureFacts::of(set),
            unknown_measures: set.unknown_measures.clone(),
        }
    }
}

/// The values that occur, the most frequent first.
fn counted<T: Copy>(values: impl Iterator<Item = T>, key: impl Fn(T) -> [u64; 2]) -> Vec<Counted<T>> {
    let mut counts: BTreeMap<[u64; 2], Counted<T>> = BTreeMap::new();
    for value in values {
        counts.entry(key(value)).or_insert(Counted { value, images: 0 }).images += 1;
    }
    let mut counts: Vec<Counted<T>> = counts.into_values().collect();
    counts.sort_by_key(|counted| std::cmp::Reverse(counted.images));
    counts
}

fn mean_shape_mre(set: &Set) -> Option<f64> {
    let samples = set.images.iter().filter_map(|image| {
        let row = &image.row;
        Some(Sample {
            image: row.image.clone(),
            split: row.split?,
            size: image.summary.as_ref().ok()?.size,
            pixels: Vec::new(),
            landmarks: row.landmarks.clone(),
            spacing: Some(row.spacing?),
            patient: None,
        })
    });
    let samples = samples.collect();
    let dataset =
        Dataset { name: String::new(), landmarks: set.landmarks.clone(), observer_mre: None, normalise: None, samples };
    dataset.mean_shape_error()
}

impl ShapeStatistics {
    /// Median distance of a landmark from the mean shape.
    fn off_mean(&self, landmark: usize) -> f64 {
        let off = self
            .aligned
            .iter()
            .flatten()
            .filter_map(|(_, shape)| Some(shape[landmark]?.distance(self.mean.shape[landmark]?).0));
        median(off)
    }

    /// Median distance of a landmark from where the others put it.
    fn off_others(&self, landmark: usize) -> f64 {
        self.predicted[landmark] * super::procrustes::MEDIAN_OF_RAYLEIGH
    }
}
