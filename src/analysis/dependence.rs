//! Dependence of predictions on the image: a network may predict the same landmarks for every radiograph.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use serde::Serialize;

use sweep_core::seed::{self, Stream};
use sweep_experiment::records::Selection;

use super::TrialRecords;

/// Number of permutations.
const PERMUTATIONS: usize = 999;
/// Least number of images for a permutation test.
const FEWEST: usize = 6;
/// Predictions with less spread than this share of the truth's spread count as constant.
const STILL: f64 = 0.1;

/// Relation of predictions and truth across images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Dependence {
    /// Spread of the predictions across images as a share of the truth's: 0 if every image gets the same prediction, about
    /// 1 if landmarks are found.
    pub spread: f64,
    /// p-value of the permutation test: share of shuffles of the images that fit the predictions as well; `nan` with fewer
    /// than six images.
    pub p_value: f64,
    /// Whether predictions do not depend on the image: they hardly vary, or fit other images as well.
    pub blind: bool,
}

/// Dependence at a trial's last epoch; `None` without predictions, or if the truth does not vary.
#[must_use]
pub fn dependence(trial: &TrialRecords, key: u64) -> Option<Dependence> {
    let rows = || trial.landmarks.iter().filter(|r| r.selected == Selection::Last && r.error_px.is_finite());
    let mut centres: BTreeMap<&str, ([f64; 4], f64)> = BTreeMap::new();
    for row in rows() {
        let (sums, count) = centres.entry(&row.landmark).or_default();
        for (sum, v) in sums.iter_mut().zip([row.x_true, row.y_true, row.x_pred, row.y_pred]) {
            *sum += v;
        }
        *count += 1.0;
    }
    // Image → landmark → truth and prediction, each as a distance from the landmark's mean.
    let mut images: BTreeMap<&str, BTreeMap<&str, [f64; 4]>> = BTreeMap::new();
    for row in rows() {
        let (sums, count) = centres[row.landmark.as_str()];
        let at = [row.x_true, row.y_true, row.x_pred, row.y_pred];
        let centred = std::array::from_fn(|i| at[i] - sums[i] / count);
        images.entry(&row.image).or_default().insert(&row.landmark, centred);
    }
    let cells = || images.values().flat_map(BTreeMap::values);
    let truth: f64 = cells().map(|c| c[0] * c[0] + c[1] * c[1]).sum();
    let predicted: f64 = cells().map(|c| c[2] * c[2] + c[3] * c[3]).sum();
    if truth <= 0.0 {
        return None;
    }
    let spread = (predicted / truth).sqrt();
    let p_value = permutation(&images.into_values().collect::<Vec<_>>(), key);
    Some(Dependence { spread, p_value, blind: spread < STILL || p_value > 0.01 })
}

/// Share of shuffles of the images in which predictions agree with the truth as well as in the right order.
fn permutation(images: &[BTreeMap<&str, [f64; 4]>], key: u64) -> f64 {
    let count = images.len();
    if count < FEWEST {
        return f64::NAN;
    }
    let agreement = |prediction: &BTreeMap<&str, [f64; 4]>, truth: &BTreeMap<&str, [f64; 4]>| -> f64 {
        let product = |(name, p): (&&str, &[f64; 4])| truth.get(name).map_or(0.0, |t| p[2] * t[0] + p[3] * t[1]);
        prediction.iter().map(product).sum()
    };
    let table: Vec<Vec<f64>> = images.iter().map(|p| images.iter().map(|t| agreement(p, t)).collect()).collect();
    let mut order: Vec<usize> = (0..count).collect();
    let total = |order: &[usize]| -> f64 { order.iter().enumerate().map(|(i, j)| table[i][*j]).sum() };
    let observed = total(&order);
    let mut rng = seed::derive(key, Stream::Bootstrap, 4, 0);
    let reached = (0..PERMUTATIONS).filter(|_| {
        order.shuffle(&mut rng);
        total(&order) >= observed
    });
    (1 + reached.count()) as f64 / (1 + PERMUTATIONS) as f64
}
