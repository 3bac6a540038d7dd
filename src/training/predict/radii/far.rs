//! Radii of images that are unlike those of the training: by how much they are wider, learned from shifted images.
//!
//! A calibration predicts its images under the fixed shifts of [`sweep_data::shifts`]. Of those that are called unlike, by
//! classes of their distance ([`Judgement::score`]), the errors are divided by the radii that an image like the training's would
//! have: the ⌈(n + 1)·0.9⌉-th smallest quotient is the class's factor. It holds for images that are off as these shifts are, in
//! equal parts; other images may need more.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{COVERAGE, FARTHEST, Radii, conformal_quantile, doubt};
use crate::out_of_distribution::Judgement;
use sweep_experiment::records::LandmarkRecord;

/// Scores that classes of distance begin at.
const EDGES: [f64; 4] = [1.0, 2.0, 4.0, 8.0];
/// Fewest images in a class: as many as a radius needs.
const LEAST_IMAGES: usize = 9;

/// A range of distances from the training's images, and what radii are multiplied by there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistanceClass {
    /// Scores above this belong to the class.
    pub above: f64,
    /// Scores up to this do.
    pub up_to: f64,
    /// Images of the calibration that a shift brought there.
    pub images: usize,
    /// What radii are multiplied by, from 1.
    pub factor: f64,
}

/// A prediction on a shifted image of a calibration, and how unlike the training's images it is.
#[derive(Debug, Clone, Copy)]
pub struct ShiftedPrediction<'a> {
    /// The prediction.
    pub record: &'a LandmarkRecord,
    /// The judgement of the shifted image, where it is judged.
    pub judgement: Option<&'a Judgement>,
}

impl Radii {
    /// The same radii, and how much wider they are for images unlike those of the training, by predictions on shifted images of
    /// the same calibration. Distances with fewer than nine images get no factor: there is no radius then.
    #[must_use]
    pub fn widened_by(mut self, shifted: &[ShiftedPrediction<'_>]) -> Self {
        let mut classes = EDGES.map(|_| (BTreeSet::<&str>::new(), Vec::new(), 0.0f64));
        for ShiftedPrediction { record, judgement } in shifted {
            let Some(judgement) = judgement.filter(|judgement| judgement.unlike) else { continue };
            let Some(class) = EDGES.iter().rposition(|edge| judgement.score > *edge) else { continue };
            let radius = self.landmarks.get(&record.landmark).and_then(|of| of.radius);
            let quotient = radius.map(|radius| record.error() / (radius * doubt(record.confidence)));
            // A radius of zero says nothing of a factor.
            if let Some(quotient) = quotient.filter(|quotient| quotient.is_finite()) {
                let (images, quotients, farthest) = &mut classes[class];
                images.insert(&record.image);
                quotients.push(quotient);
                *farthest = farthest.max(judgement.score);
            }
        }
        let mut least = 1.0;
        let mut unlike = Vec::new();
        for (class, (images, mut quotients, farthest)) in classes.into_iter().enumerate() {
            let Some(factor) = conformal_quantile(&mut quotients, COVERAGE).filter(|_| images.len() >= LEAST_IMAGES)
            else {
                continue;
            };
            // An image that is farther off is not surer.
            least = factor.clamp(least, FARTHEST);
            let up_to = EDGES.get(class + 1).copied().unwrap_or(farthest);
            unlike.push(DistanceClass { above: EDGES[class], up_to, images: images.len(), factor: least });
        }
        self.unlike = unlike;
        self
    }
}

/// The factor of an image's radii: none for an image like those of the training, or that cannot be judged.
///
/// # Errors
/// Says why there is no radius.
pub(super) fn factor(classes: &[DistanceClass], judgement: Option<&Judgement>) -> Result<Option<f64>, &'static str> {
    let Some(judgement) = judgement.filter(|judgement| judgement.unlike) else { return Ok(None) };
    if classes.is_empty() {
        return Err("the image is unlike those of the training, and the calibration saw none like it (--shifts)");
    }
    let class = classes.iter().find(|class| class.above < judgement.score && judgement.score <= class.up_to);
    class
        .map(|class| Some(class.factor))
        .ok_or("the image is unlike those of the training, by a distance that the calibration did not measure")
}

/// Whether classes from a file are possible.
///
/// # Errors
/// Says what is wrong.
pub(super) fn check(classes: &[DistanceClass]) -> Result<(), String> {
    let is_possible = |class: &DistanceClass| {
        let is_range = class.above >= 0.0 && class.above < class.up_to && class.up_to.is_finite();
        is_range && (1.0..=FARTHEST).contains(&class.factor)
    };
    classes.iter().find(|class| !is_possible(class)).map_or(Ok(()), |class| {
        Err(format!("radii cannot be {} times as wide at scores from {} to {}", class.factor, class.above, class.up_to))
    })
}
