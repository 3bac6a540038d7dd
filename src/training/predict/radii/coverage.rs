//! How many errors lie within their radii.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Radii;
use crate::out_of_distribution::Judgement;
use sweep_experiment::records::LandmarkRecord;

/// How many errors lie within their radii.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Coverage {
    /// Share of landmarks within their radius; each image counts as its landmarks. `nan` where none has a radius.
    pub share: f64,
    /// Landmarks that have a radius and a true position.
    pub landmarks: usize,
    /// Images with such a landmark.
    pub images: usize,
    /// Those of them whose radii are widened, because the image is unlike those of the training.
    pub widened: usize,
    /// Images without a radius: so unlike those of the training that the calibration does not tell it.
    pub refused: usize,
    /// Mean radius, in the unit of the radii.
    pub mean_radius: f64,
}

impl Coverage {
    /// Of predictions on images whose truth is known, with the judgement of each image by its name, where it is judged; `None`
    /// without a landmark that the calibration has a radius of.
    #[must_use]
    pub fn of(radii: &Radii, records: &[LandmarkRecord], judgements: &BTreeMap<&str, &Judgement>) -> Option<Self> {
        #[derive(Default)]
        struct OfImage {
            within: usize,
            all: usize,
            is_widened: bool,
        }
        let mut images: BTreeMap<&str, OfImage> = BTreeMap::new();
        let mut sum = 0.0;
        let has_radius = |row: &&LandmarkRecord| {
            row.error().is_finite() && radii.landmarks.get(&row.landmark).is_some_and(|of| of.radius.is_some())
        };
        for row in records.iter().filter(has_radius) {
            let of = images.entry(&row.image).or_default();
            let found = radii.radius(&row.landmark, row.confidence, judgements.get(row.image.as_str()).copied());
            let Some(radius) = found.radius else { continue };
            of.within += usize::from(row.error() <= radius);
            of.all += 1;
            of.is_widened |= found.factor.is_some();
            sum += radius;
        }
        let count = |is: fn(&OfImage) -> bool| images.values().filter(|image| is(image)).count();
        let (within, all) = images.values().fold((0, 0), |(within, all), of| (within + of.within, all + of.all));
        (!images.is_empty()).then(|| Self {
            share: within as f64 / all as f64,
            landmarks: all,
            images: count(|image| image.all > 0),
            widened: count(|image| image.is_widened),
            refused: count(|image| image.all == 0),
            mean_radius: sum / all as f64,
        })
    }
}
