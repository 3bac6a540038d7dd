//! Dependence of predictions on the image: a network, or one of its landmarks, may be predicted alike on every image.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use serde::Serialize;

use sweep_core::seed::{self, Stream};
use sweep_experiment::records::{LandmarkRecord, Selection};

use super::TrialRecords;
use super::statistics::{mean, percentiles, resample};

/// Number of permutations.
const PERMUTATIONS: usize = 999;
/// Least number of images for a permutation test.
const FEWEST: usize = 6;
/// Predictions with less spread than this share of the truth's spread count as constant.
const STILL: f64 = 0.1;
/// A correlation of predictions and truth below this, over all landmarks, is next to none.
const NEXT_TO_NONE: f64 = 0.25;
/// A landmark whose correlation is certainly below this does not follow the image.
const UNRELATED: f64 = 0.5;
/// Bootstrap samples of the share explained.
const RESAMPLES: usize = 500;

/// Relation of predictions and truth across images, in millimetres where they are known.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Dependence {
    /// Spread of the predictions across images as a share of the truth's: 0 if every image gets the same prediction, about
    /// 1 if landmarks are found.
    pub spread: f64,
    /// p-value of the permutation test: share of shuffles of the images that fit the predictions as well, each landmark with
    /// the same weight; `nan` with fewer than six images.
    pub p_value: f64,
    /// Share of the truth's scatter about the mean shape that the predictions explain: 1 for no error, 0 for errors as those
    /// of guessing the mean shape, below 0 for greater ones.
    pub explained: f64,
    /// Its 95 % interval for other images.
    pub explained_interval: [f64; 2],
    /// Whether predictions do not depend on the image: they hardly vary, or only with the size of the image, or fit other
    /// images as well.
    pub blind: bool,
    /// Landmarks whose predictions do not depend on the image, though those of others do.
    pub blind_landmarks: Vec<String>,
}

/// True and predicted positions of one landmark on one image: `[x_true, y_true, x_pred, y_pred]`.
type PositionPair = [f64; 4];

/// Dependence at a trial's last epoch; `None` without predictions, or if the truth does not vary.
#[must_use]
pub fn dependence(trial: &TrialRecords, key: u64) -> Option<Dependence> {
    let rows: Vec<&LandmarkRecord> =
        trial.landmarks.iter().filter(|r| r.selected == Selection::Last && r.error_px.is_finite()).collect();
    let mut images: BTreeMap<&str, BTreeMap<&str, PositionPair>> = BTreeMap::new();
    for row in &rows {
        let pair = [row.x_true, row.y_true, row.x_pred, row.y_pred];
        images.entry(&row.image).or_default().insert(&row.landmark, pair);
    }
    for (image, pairs) in &mut images {
        let millimetres = pixel_size(&rows, image);
        pairs.values_mut().flatten().for_each(|value| *value *= millimetres);
    }
    let images: Vec<BTreeMap<&str, PositionPair>> = images.into_values().collect();
    let mut names: Vec<&str> = images.iter().flat_map(|image| image.keys().copied()).collect();
    names.sort_unstable();
    names.dedup();
    let positions = |name: &&str| images.iter().map(|image| image.get(name).copied()).collect();
    let positions: Vec<Vec<Option<PositionPair>>> = names.iter().map(positions).collect();
    let centred: Vec<Vec<Option<PositionPair>>> = positions.iter().map(|of| about_mean(of)).collect();
    let sum = |of: fn(&PositionPair) -> f64| centred.iter().flatten().flatten().map(of).sum::<f64>();
    let (truth, predicted) = (sum(|p| p[0] * p[0] + p[1] * p[1]), sum(|p| p[2] * p[2] + p[3] * p[3]));
    if truth <= 0.0 {
        return None;
    }
    let spread = (predicted / truth).sqrt();
    let correlations: Vec<f64> = centred.iter().map(|of| correlation(of)).collect();
    let known: Vec<f64> = correlations.iter().copied().filter(|r| r.is_finite()).collect();
    let weights: Vec<f64> = centred.iter().map(|of| 1.0 / norms(of)).collect();
    let p_value = permutation(&centred, &weights, images.len(), key);
    let unrelated = p_value > 0.01 && (known.is_empty() || mean(&known) < NEXT_TO_NONE);
    let blind = spread < STILL || unrelated || is_same_map(&positions);
    let is_blind = |at: &usize| landmark_is_blind(&centred[*at], correlations[*at], key);
    let blind_landmarks =
        if blind { Vec::new() } else { (0..names.len()).filter(is_blind).map(|at| names[at].to_owned()).collect() };
    let (explained, explained_interval) = explained(&images, &centred);
    Some(Dependence { spread, p_value, explained, explained_interval, blind, blind_landmarks })
}

/// Millimetres per pixel of an image, from its errors in both; 1 where they are not known.
fn pixel_size(rows: &[&LandmarkRecord], image: &str) -> f64 {
    let of_image = rows.iter().filter(|row| row.image == image && row.error_px > 0.0 && row.error_mm.is_finite());
    let sizes: Vec<f64> = of_image.map(|row| row.error_mm / row.error_px).collect();
    let size = mean(&sizes);
    if size.is_finite() && size > 0.0 { size } else { 1.0 }
}

/// A landmark's pairs on all images, each as a distance from the mean of those that have it.
fn about_mean(pairs: &[Option<PositionPair>]) -> Vec<Option<PositionPair>> {
    let count = pairs.iter().flatten().count() as f64;
    let centre: PositionPair = std::array::from_fn(|i| pairs.iter().flatten().map(|pair| pair[i]).sum::<f64>() / count);
    pairs.iter().map(|pair| pair.map(|pair| std::array::from_fn(|i| pair[i] - centre[i]))).collect()
}

/// Product of the norms of truth and prediction.
fn norms(pairs: &[Option<PositionPair>]) -> f64 {
    let sum = |x: usize| pairs.iter().flatten().map(|p| p[x] * p[x] + p[x + 1] * p[x + 1]).sum::<f64>();
    (sum(0) * sum(2)).sqrt()
}

/// Correlation of truth and prediction, both coordinates together; `nan` if one is constant.
fn correlation(pairs: &[Option<PositionPair>]) -> f64 {
    pairs.iter().flatten().map(|p| p[0] * p[2] + p[1] * p[3]).sum::<f64>() / norms(pairs)
}

/// Whether a landmark's predictions hardly move, or are unrelated to the truth, as far as the images tell.
fn landmark_is_blind(pairs: &[Option<PositionPair>], correlation: f64, key: u64) -> bool {
    let sum = |x: usize| pairs.iter().flatten().map(|p| p[x] * p[x] + p[x + 1] * p[x + 1]).sum::<f64>();
    if sum(0) <= 0.0 {
        return false;
    }
    if (sum(2) / sum(0)).sqrt() < STILL || correlation.is_nan() {
        return true;
    }
    // Two coordinates of each image, less their means.
    let degrees = 2.0 * pairs.iter().flatten().count() as f64 - 5.0;
    let greatest = (correlation.clamp(-0.999, 0.999).atanh() + 1.645 / degrees.max(1.0).sqrt()).tanh();
    greatest < UNRELATED && permutation(&[pairs.to_vec()], &[1.0], pairs.len(), key) > 0.05
}

/// Whether the predictions of every image are one same map, stretched to the size of the image: what is left of them after
/// the best stretch in both directions is next to nothing beside what is left of the truth. Needs three landmarks.
///
/// `positions` are those of each landmark on each image.
fn is_same_map(positions: &[Vec<Option<PositionPair>>]) -> bool {
    let images = positions.first().map_or(0, Vec::len);
    if positions.len() < 3 || images < 3 {
        return false;
    }
    let left = |axis: usize| -> f64 {
        let of_landmark = |of: &Vec<Option<PositionPair>>| -> f64 {
            mean(&of.iter().flatten().map(|pair| pair[axis]).collect::<Vec<_>>())
        };
        let shape: Vec<f64> = positions.iter().map(of_landmark).collect();
        let of_image = |image: usize| {
            let pairs = || positions.iter().zip(&shape).filter_map(|(of, shape)| Some((of[image]?[axis], *shape)));
            let product: f64 = pairs().map(|(position, shape)| shape * position).sum();
            let square: f64 = pairs().map(|(_, shape)| shape * shape).sum();
            let stretch = if square > 0.0 { product / square } else { 0.0 };
            pairs().map(|(position, shape)| (position - stretch * shape).powi(2)).sum::<f64>()
        };
        (0..images).map(of_image).sum()
    };
    let (truth, predicted) = (left(0) + left(1), left(2) + left(3));
    truth > 0.0 && (predicted / truth).sqrt() < STILL
}

/// Share of shuffles of the images in which predictions agree with the truth as well as in the right order.
fn permutation(landmarks: &[Vec<Option<PositionPair>>], weights: &[f64], images: usize, key: u64) -> f64 {
    if images < FEWEST {
        return f64::NAN;
    }
    let agreement = |prediction: usize, truth: usize| -> f64 {
        let product = |(of, weight): (&Vec<Option<PositionPair>>, &f64)| match (of[prediction], of[truth]) {
            (Some(p), Some(t)) if weight.is_finite() => weight * (p[2] * t[0] + p[3] * t[1]),
            _ => 0.0,
        };
        landmarks.iter().zip(weights).map(product).sum()
    };
    let table: Vec<Vec<f64>> = (0..images).map(|p| (0..images).map(|t| agreement(p, t)).collect()).collect();
    let mut order: Vec<usize> = (0..images).collect();
    let total = |order: &[usize]| -> f64 { order.iter().enumerate().map(|(i, j)| table[i][*j]).sum() };
    let observed = total(&order);
    let mut rng = seed::derive(key, Stream::Bootstrap, 4, 0);
    let reached = (0..PERMUTATIONS).filter(|_| {
        order.shuffle(&mut rng);
        total(&order) >= observed
    });
    (1 + reached.count()) as f64 / (1 + PERMUTATIONS) as f64
}

/// The share explained, and its interval from resampled images.
fn explained(images: &[BTreeMap<&str, PositionPair>], centred: &[Vec<Option<PositionPair>>]) -> (f64, [f64; 2]) {
    let errors: Vec<f64> = images
        .iter()
        .map(|image| image.values().map(|p| (p[2] - p[0]).powi(2) + (p[3] - p[1]).powi(2)).sum())
        .collect();
    let scatter =
        |image: usize| centred.iter().filter_map(|of| of[image]).map(|p| p[0] * p[0] + p[1] * p[1]).sum::<f64>();
    let scatter: Vec<f64> = (0..images.len()).map(scatter).collect();
    let share = |_: &[u32], drawn: &[u32]| {
        let sum = |of: &[f64]| of.iter().zip(drawn).map(|(v, n)| v * f64::from(*n)).sum::<f64>();
        1.0 - sum(&errors) / sum(&scatter)
    };
    let point = share(&[], &vec![1; images.len()]);
    (point, percentiles(&resample(1, images.len(), RESAMPLES, 8, share), 0.95))
}
