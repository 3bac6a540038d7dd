//! Landmark errors: a network's maps → landmarks → millimetres or pixels in the original image.

use std::num::NonZeroUsize;

use crate::model_runner::{Network, Prediction};
use sweep_core::error::Result;
use sweep_core::units::{ErrorUnit, Point, Size, Spacing};
use sweep_data::Dataset;
use sweep_data::decode::DecodeSpec;
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
    /// Radial error in millimetres, by the image's own spacing per axis; `nan` where that is not known.
    pub mm: f64,
    /// The image's reference length in pixels; `nan` where the data set states none.
    pub reference: f64,
    /// Confidence of the network, from 0 to 1.
    pub confidence: f64,
    /// Size of the image's pixels, where that is known.
    pub spacing: Option<Spacing>,
}

impl LandmarkError {
    /// The error of landmark `landmark` of image `sample`, in pixels of the image, by its spacing (mm per pixel) if that is
    /// known, and its reference length if there is one.
    #[must_use]
    pub fn new(
        [sample, landmark]: [usize; 2],
        truth: Point,
        predicted: Point,
        confidence: f64,
        spacing: Option<Spacing>,
        reference: Option<f64>,
    ) -> Self {
        let px = truth.distance(predicted).0;
        let mm = spacing.map_or(f64::NAN, |spacing| spacing.distance(truth, predicted).0);
        let reference = reference.unwrap_or(f64::NAN);
        Self { sample, landmark, truth, predicted, px, mm, reference, confidence, spacing }
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
            reference_px: self.reference,
            spacing_x_mm: self.spacing.map_or(f64::NAN, |spacing| spacing.x),
            spacing_y_mm: self.spacing.map_or(f64::NAN, |spacing| spacing.y),
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
    /// Confidence in every landmark of every image, whether it is marked or not.
    pub confidences: Vec<Vec<f64>>,
}

impl Evaluation {
    /// Its rows of `landmarks.csv`, or of `test.csv`.
    pub fn records<'a>(
        &'a self,
        trial: &'a str,
        seed: u64,
        epoch: u32,
        selected: Selection,
        dataset: &'a Dataset,
    ) -> impl Iterator<Item = LandmarkRecord> + 'a {
        self.errors.iter().map(move |error| LandmarkRecord {
            trial: trial.to_owned(),
            seed,
            epoch,
            ..error.record(selected, &dataset.samples[error.sample].image, &dataset.landmarks[error.landmark])
        })
    }
}

/// Evaluates the network on a split, un-augmented and in order; `go_on` is asked before every batch, and `None` returned where
/// it says no.
///
/// # Errors
/// When a tensor operation fails.
pub fn evaluate(
    network: &mut Network,
    parameters: &ParamStore,
    loader: &Loader,
    dataset: &Dataset,
    batch_size: NonZeroUsize,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<Option<Evaluation>> {
    let decoders = [network.decode()];
    let evaluations = evaluate_by(&decoders, network, parameters, loader, dataset, batch_size, go_on)?;
    Ok(evaluations.and_then(|mut evaluations| evaluations.pop()))
}

/// [`evaluate`] as each of these decoders reads the maps; the network passes over the split once.
///
/// # Errors
/// When a tensor operation fails.
pub fn evaluate_by(
    decoders: &[DecodeSpec],
    network: &mut Network,
    parameters: &ParamStore,
    loader: &Loader,
    dataset: &Dataset,
    batch_size: NonZeroUsize,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<Option<Vec<Evaluation>>> {
    let mut partial: Vec<PartialEvaluation> = decoders.iter().map(|_| PartialEvaluation::default()).collect();
    for batch in loader.in_order(batch_size) {
        if !go_on() {
            return Ok(None);
        }
        let batch = batch?;
        for (partial, by_decoder) in partial.iter_mut().zip(network.evaluate_by(decoders, parameters, &batch)?) {
            for (sample, evaluated) in batch.indices.iter().zip(by_decoder) {
                partial.losses.extend(evaluated.loss);
                partial.confidences.push(evaluated.landmarks.iter().map(|found| found.confidence).collect());
                let predicted = evaluated.landmarks.into_iter().enumerate();
                let measured =
                    predicted.filter_map(|(landmark, at)| error(dataset, *sample, landmark, at, loader.size()));
                partial.errors.extend(measured);
            }
        }
    }
    let evaluation =
        |PartialEvaluation { losses, errors, confidences }| Evaluation { loss: mean(&losses), errors, confidences };
    Ok(Some(partial.into_iter().map(evaluation).collect()))
}

/// What one decoder saw so far.
#[derive(Default)]
struct PartialEvaluation {
    losses: Vec<f64>,
    errors: Vec<LandmarkError>,
    confidences: Vec<Vec<f64>>,
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
    let reference = dataset.reference(image);
    Some(LandmarkError::new([sample, landmark], truth, predicted, prediction.confidence, image.spacing, reference))
}

/// Summary of radial errors in one unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metrics {
    /// Mean radial error.
    pub mre: f64,
    /// Standard deviation (N − 1).
    pub sd: f64,
    /// Median.
    pub median: f64,
    /// 95th percentile (linear interpolation, as NumPy).
    pub p95: f64,
    /// Success detection rates: per cent with an error of at most each of [`ErrorUnit::radii`].
    pub sdr: [f64; 4],
}

impl Metrics {
    /// Summarises errors in a unit; all metrics are `nan` without errors, or where the unit is not known.
    #[must_use]
    pub fn of(errors: &[LandmarkError], unit: ErrorUnit) -> Self {
        let in_unit = |error: &LandmarkError| if unit.is_millimetres() { error.mm } else { error.px };
        let mut values: Vec<f64> = errors.iter().map(in_unit).collect();
        let (mre, count) = (mean(&values), values.len() as f64);
        let squares: f64 = values.iter().map(|e| (e - mre).powi(2)).sum();
        // Without this case, no errors would give 0 / −1, a deviation of −0.
        let sd = if values.len() > 1 { (squares / (count - 1.0)).sqrt() } else { f64::NAN };
        let is_known = !values.iter().all(|value| value.is_nan());
        let within = |radius: f64| {
            if is_known { 100.0 * values.iter().filter(|e| **e <= radius).count() as f64 / count } else { f64::NAN }
        };
        let sdr = unit.radii().map(within);
        values.sort_by(f64::total_cmp);
        Self { mre, sd, median: quantile(&values, 0.5), p95: quantile(&values, 0.95), sdr }
    }
}

/// Errors in reference lengths of their images, on the images that have one; `nan` where none has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalised {
    /// Normalised mean error: the mean over images of the mean over their landmarks, per cent of the reference length.
    pub nme: f64,
    /// Percentage of correct keypoints: per cent of landmarks within each of [`PCK_SHARES`].
    pub pck: [f64; 3],
}

/// Shares of the reference length within which a landmark counts as correct.
pub const PCK_SHARES: [f64; 3] = [0.05, 0.1, 0.2];

impl Normalised {
    /// Summarises errors that are given as `(image, error / reference length)`, images one after the other.
    #[must_use]
    pub fn of<I: PartialEq>(errors: impl IntoIterator<Item = (I, f64)>) -> Self {
        let mut images: Vec<(I, Vec<f64>)> = Vec::new();
        for (image, error) in errors.into_iter().filter(|(_, error)| !error.is_nan()) {
            match images.last_mut().filter(|(last, _)| *last == image) {
                Some((_, of_image)) => of_image.push(error),
                None => images.push((image, vec![error])),
            }
        }
        let all: Vec<f64> = images.iter().flat_map(|(_, errors)| errors).copied().collect();
        let means: Vec<f64> = images.iter().map(|(_, errors)| mean(errors)).collect();
        let within = |share: f64| 100.0 * all.iter().filter(|e| **e <= share).count() as f64 / all.len() as f64;
        Self { nme: 100.0 * mean(&means), pck: PCK_SHARES.map(within) }
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
                    reference: 20.0,
                    confidence: 0.5,
                    spacing: None,
                }
            })
            .to_vec();
        let metrics = Metrics::of(&errors, ErrorUnit::Millimetres);
        for (ours, theirs) in
            [(metrics.mre, 3.44), (metrics.sd, 3.262_361_108_154_644_6), (metrics.median, 2.5), (metrics.p95, 7.84)]
        {
            assert!((ours - theirs).abs() < 1e-12, "{metrics:?}");
        }
        let sdr: Vec<u32> = metrics.sdr.iter().map(|rate| rate.round() as u32).collect();
        assert_eq!(sdr, [40, 60, 60, 80], "an error of exactly the radius counts");
        let in_pixels = Metrics::of(&errors, ErrorUnit::Pixels);
        assert!((in_pixels.mre - 6.88).abs() < 1e-12 && (in_pixels.median - 5.0).abs() < 1e-12, "{in_pixels:?}");
        let sdr: Vec<u32> = in_pixels.sdr.iter().map(|rate| rate.round() as u32).collect();
        assert_eq!(sdr, [20, 40, 80, 80], "1, 4, 5, 6.4 and 18 px");
        let unknown: Vec<LandmarkError> = errors.iter().map(|e| LandmarkError { mm: f64::NAN, ..*e }).collect();
        for empty in [Metrics::of(&[], ErrorUnit::Pixels), Metrics::of(&unknown, ErrorUnit::Millimetres)] {
            let all = [empty.mre, empty.sd, empty.median, empty.p95];
            assert!(all.iter().chain(&empty.sdr).all(|metric| metric.is_nan()), "{empty:?}");
        }
        assert!(Metrics::of(&errors[..1], ErrorUnit::Pixels).sd.is_nan());
    }

    #[test]
    fn normalised_errors_count_images_for_nme_and_landmarks_for_pck() {
        // 300-W: the mean over images of each image's mean; the second image has no reference length.
        let errors = [("a", 0.04), ("a", 0.06), ("b", f64::NAN), ("c", 0.05), ("c", 0.2), ("c", 0.35)];
        let normalised = Normalised::of(errors);
        assert!((normalised.nme - 12.5).abs() < 1e-9, "{normalised:?}");
        assert_eq!(normalised.pck.map(f64::to_bits), [40.0f64, 60.0, 80.0].map(f64::to_bits));
        let nothing = Normalised::of([("a", f64::NAN)]);
        assert!(nothing.nme.is_nan() && nothing.pck.iter().all(|rate| rate.is_nan()));
    }
}
