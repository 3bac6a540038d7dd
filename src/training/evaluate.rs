//! Landmark errors: a network's maps → landmarks → millimetres in the original image.

use std::num::NonZeroUsize;

use crate::model_runner::{Network, Prediction};
use sweep_core::error::Result;
use sweep_core::units::{Point, Size, Spacing};
use sweep_data::Dataset;
use sweep_data::loader::Loader;
use sweep_experiment::records::{LandmarkRecord, Selection};
use sweep_graph::params::ParamStore;

/// A predicted landmark and its true position, in pixels of the original image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LandmarkError {
    /// Index of the image in the data set.
    pub sample: usize,
    /// Index of the landmark in the data set's list.
    pub landmark: usize,
    /// True position.
    pub truth: Point,
    /// Predicted position.
    pub predicted: Point,
    /// Radial error in pixels of the original image.
    pub px: f64,
    /// Radial error in millimetres, by the image's own spacing per axis.
    pub mm: f64,
    /// Confidence of the network, from 0 to 1.
    pub confidence: f64,
}

impl LandmarkError {
    /// The error of landmark `landmark` of image `sample`, in pixels of the image and by its spacing (mm per pixel).
    #[must_use]
    pub fn new(
        [sample, landmark]: [usize; 2],
        truth: Point,
        predicted: Point,
        confidence: f64,
        spacing: Spacing,
    ) -> Self {
        let (px, mm) = (truth.distance(predicted).0, spacing.distance(truth, predicted).0);
        Self { sample, landmark, truth, predicted, px, mm, confidence }
    }

    /// Converts to a row of `landmarks.csv`, without the trial, seed and epoch.
    #[must_use]
    pub fn record(&self, selected: Selection, image: &str, landmark: &str) -> LandmarkRecord {
        LandmarkRecord {
            trial: String::new(),
            seed: 0,
            epoch: 0,
            selected,
            image: image.to_owned(),
            landmark: landmark.to_owned(),
            x_true: self.truth.x,
            y_true: self.truth.y,
            x_pred: self.predicted.x,
            y_pred: self.predicted.y,
            error_px: self.px,
            error_mm: self.mm,
            confidence: self.confidence,
        }
    }
}

/// Evaluation of a network on a split.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// Mean loss per image.
    pub loss: f64,
    /// One entry per image and landmark present in it, in the order of the data set.
    pub errors: Vec<LandmarkError>,
}

/// Evaluates the network on a split, un-augmented and in order.
///
/// # Errors
/// When a tensor operation fails.
pub fn evaluate(
    network: &mut Network,
    parameters: &ParamStore,
    loader: &Loader,
    dataset: &Dataset,
    batch_size: NonZeroUsize,
) -> Result<Evaluation> {
    let (mut losses, mut errors) = (Vec::new(), Vec::new());
    for batch in loader.in_order(batch_size) {
        let batch = batch?;
        for (sample, evaluated) in batch.indices.iter().zip(network.evaluate(parameters, &batch)?) {
            losses.extend(evaluated.loss);
            let predicted = evaluated.landmarks.into_iter().enumerate();
            errors.extend(predicted.filter_map(|(landmark, at)| error(dataset, *sample, landmark, at, loader.size())));
        }
    }
    Ok(Evaluation { loss: mean(&losses), errors })
}

/// The error of a prediction in pixels of the input; `None` if the true landmark is missing.
fn error(
    dataset: &Dataset,
    sample: usize,
    landmark: usize,
    prediction: Prediction,
    input: Size,
) -> Option<LandmarkError> {
    let image = &dataset.samples[sample];
    let truth = image.landmarks[landmark]?;
    let predicted = prediction.at.rescale(input, image.size);
    Some(LandmarkError::new([sample, landmark], truth, predicted, prediction.confidence, image.spacing))
}

/// Summary of radial errors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metrics {
    /// Mean radial error, mm.
    pub mre_mm: f64,
    /// Mean radial error in pixels of the original images.
    pub mre_px: f64,
    /// Standard deviation (N − 1), mm.
    pub sd_mm: f64,
    /// Median, mm.
    pub median_mm: f64,
    /// 95th percentile, mm (linear interpolation, as NumPy).
    pub p95_mm: f64,
    /// Success detection rate: per cent with an error of at most 2, 2.5, 3 and 4 mm.
    pub sdr: [f64; 4],
}

/// Radii of the success detection rates, mm.
pub const SDR_RADII_MM: [f64; 4] = [2.0, 2.5, 3.0, 4.0];

impl Metrics {
    /// Summarises errors; all metrics are `nan` without errors.
    #[must_use]
    pub fn of(errors: &[LandmarkError]) -> Self {
        let mut mm: Vec<f64> = errors.iter().map(|e| e.mm).collect();
        let px: Vec<f64> = errors.iter().map(|e| e.px).collect();
        let mre_mm = mean(&mm);
        let squares: f64 = mm.iter().map(|e| (e - mre_mm).powi(2)).sum();
        // Without this case, no errors would give 0 / −1, a deviation of −0.
        let sd_mm = if mm.len() > 1 { (squares / (mm.len() as f64 - 1.0)).sqrt() } else { f64::NAN };
        let within = |radius: f64| 100.0 * mm.iter().filter(|e| **e <= radius).count() as f64 / mm.len() as f64;
        let sdr = SDR_RADII_MM.map(within);
        mm.sort_by(f64::total_cmp);
        Self { mre_mm, mre_px: mean(&px), sd_mm, median_mm: quantile(&mm, 0.5), p95_mm: quantile(&mm, 0.95), sdr }
    }
}

/// Mean; `nan` without values.
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Quantile of sorted values by linear interpolation; `nan` without values.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let position = q * last as f64;
    let below = position.floor() as usize;
    sorted[below] + (sorted[(below + 1).min(last)] - sorted[below]) * (position - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_numpys() {
        // numpy 2.4: mean, std(ddof=1), median, percentile 95 of [0.5, 2.0, 2.5, 3.2, 9.0].
        let errors: Vec<LandmarkError> = [3.2, 0.5, 9.0, 2.0, 2.5]
            .map(|mm| {
                let origin = Point { x: 0.0, y: 0.0 };
                LandmarkError {
                    sample: 0,
                    landmark: 0,
                    truth: origin,
                    predicted: origin,
                    px: 2.0 * mm,
                    mm,
                    confidence: 0.5,
                }
            })
            .to_vec();
        let metrics = Metrics::of(&errors);
        for (ours, theirs) in [
            (metrics.mre_mm, 3.44),
            (metrics.mre_px, 6.88),
            (metrics.sd_mm, 3.262_361_108_154_644_6),
            (metrics.median_mm, 2.5),
            (metrics.p95_mm, 7.84),
        ] {
            assert!((ours - theirs).abs() < 1e-12, "{metrics:?}");
        }
        let sdr: Vec<u32> = metrics.sdr.iter().map(|rate| rate.round() as u32).collect();
        assert_eq!(sdr, [40, 60, 60, 80], "an error of exactly the radius counts");
        let empty = Metrics::of(&[]);
        let all = [empty.mre_mm, empty.mre_px, empty.sd_mm, empty.median_mm, empty.p95_mm];
        assert!(all.iter().chain(&empty.sdr).all(|metric| metric.is_nan()), "{empty:?}");
        assert!(Metrics::of(&errors[..1]).sd_mm.is_nan());
    }
}
