//! Landmark errors: a network's maps → landmarks → millimetres of the original image.

#[cfg(any(feature = "cuda", test))]
pub(crate) mod gpu;

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;

use crate::config::TrialConfig;
use crate::data::Dataset;
use crate::data::heatmap::Profiles;
use crate::data::loader::{Batch, Images, Loader};
use crate::engine::{Engine, Mode};
use crate::error::Result;
use crate::loss::Targets;
use crate::params::ParamStore;
use crate::tensors::read;
use crate::units::{Point, Size};

/// A predicted landmark beside the true one; positions in pixels of the original image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LandmarkError {
    /// Place of the image in the data set.
    pub sample: usize,
    /// Place of the landmark in the data set's list.
    pub landmark: usize,
    /// Where it is.
    pub truth: Point,
    /// Where the network says it is.
    pub predicted: Point,
    /// Radial error in pixels of the original image.
    pub px: f64,
    /// Radial error in millimetres, by the image's own spacing per axis.
    pub mm: f64,
}

/// What one look at a split tells.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// Mean loss per image.
    pub loss: f64,
    /// One entry per image and landmark present in it, in the order of the data set.
    pub errors: Vec<LandmarkError>,
}

/// Runs the network over a split, un-augmented and in order.
///
/// # Errors
/// When a tensor operation fails.
pub fn evaluate(
    engine: &mut dyn Engine,
    parameters: &ParamStore,
    loader: &Loader,
    dataset: &Dataset,
    config: &TrialConfig,
    device: &Device,
) -> Result<Evaluation> {
    evaluate_with(&mut Reader::new(device)?, engine, parameters, loader, dataset, config, device)
}

/// As [`evaluate`], with a reader for the maps' device.
pub(crate) fn evaluate_with(
    reader: &mut Reader,
    engine: &mut dyn Engine,
    parameters: &ParamStore,
    loader: &Loader,
    dataset: &Dataset,
    config: &TrialConfig,
    device: &Device,
) -> Result<Evaluation> {
    let (mut losses, mut errors) = (Vec::new(), Vec::new());
    for batch in loader.in_order(config.batch_size) {
        let batch = batch?;
        let maps = engine.forward(&images(&batch, device)?, parameters, Mode::Evaluate)?;
        let Some(maps) = maps.last() else { continue };
        let targets = targets(&batch, config);
        for (sample, seen) in batch.indices.iter().zip(reader.read(maps, &targets, config)?) {
            losses.extend(seen.loss);
            let predicted = seen.landmarks.into_iter().enumerate();
            errors.extend(predicted.filter_map(|(landmark, at)| error(dataset, *sample, landmark, at?, config.input)));
        }
    }
    Ok(Evaluation { loss: mean(&losses), errors })
}

/// What an image's maps show.
struct Seen {
    /// `None` where the image has no landmark.
    loss: Option<f64>,
    /// In pixels of the input; `None` where the target is missing.
    landmarks: Vec<Option<Point>>,
}

/// Looks at maps where they are.
pub(crate) enum Reader {
    /// On the processor.
    OnProcessor,
    /// On a GPU.
    #[cfg(any(feature = "cuda", test))]
    OnGpu(gpu::GpuReader),
}

impl Reader {
    #[cfg_attr(
        not(any(feature = "cuda", test)),
        expect(clippy::unnecessary_wraps, reason = "a GPU may be out of reach, where there is one")
    )]
    fn new(device: &Device) -> Result<Self> {
        #[cfg(any(feature = "cuda", test))]
        if device.is_cuda() {
            return Ok(Self::OnGpu(gpu::GpuReader::new(&crate::gpu::of(device)?)));
        }
        let _ = device;
        Ok(Self::OnProcessor)
    }

    /// One entry an image of maps `[B, K, H, W]`.
    fn read(&mut self, maps: &Tensor, targets: &Targets, config: &TrialConfig) -> Result<Vec<Seen>> {
        match self {
            Self::OnProcessor => on_processor(maps, targets, config),
            #[cfg(any(feature = "cuda", test))]
            Self::OnGpu(reader) => reader.read(maps, targets, config),
        }
    }
}

fn on_processor(maps: &Tensor, targets: &Targets, config: &TrialConfig) -> Result<Vec<Seen>> {
    // Copies nothing where they are what they should be.
    let maps = maps.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.contiguous()?;
    let size = config.input;
    let look = |(planes, targets): (&[f32], &Vec<Option<Profiles>>)| {
        let landmarks = targets.par_iter().zip(planes.par_chunks(size.area()));
        let decode = |plane| config.decode.decode(plane, size, config.loss.map_kind());
        Seen {
            loss: targets.iter().any(Option::is_some).then(|| config.loss.of_image(planes, targets)),
            landmarks: landmarks.map(|(target, plane)| target.as_ref().map(|_| decode(plane))).collect(),
        }
    };
    Ok(read(&maps, |maps| Ok(maps.par_chunks(maps.len() / targets.len()).zip(targets).map(look).collect()))?)
}

/// Mean loss per image of a network that always answers zero.
#[must_use]
pub fn zero_loss(loader: &Loader, config: &TrialConfig) -> f64 {
    let losses = loader.landmarks().map(|landmarks| heatmaps(landmarks, loader.size(), config));
    let losses = losses.filter(|t| t.iter().any(Option::is_some)).map(|t| config.loss.of_zeros(&t));
    mean(&losses.collect::<Vec<_>>())
}

/// A batch's images as a tensor `[B, 1, H, W]`.
///
/// # Errors
/// When the device has no room.
pub fn images(batch: &Batch, device: &Device) -> Result<Tensor> {
    let shape = (batch.indices.len(), 1, batch.size.height, batch.size.width);
    Ok(match &batch.images {
        Images::Numbers(numbers) => Tensor::from_slice(numbers, shape, device)?,
        Images::Tensor(images) => images.clone(),
    })
}

/// A batch's heatmaps; landmarks off the picture have none.
#[must_use]
pub fn targets(batch: &Batch, config: &TrialConfig) -> Targets {
    batch.landmarks.iter().map(|landmarks| heatmaps(landmarks, batch.size, config)).collect()
}

/// The heatmaps of an image's landmarks on an input of this size.
fn heatmaps(landmarks: &[Option<Point>], size: Size, config: &TrialConfig) -> Vec<Option<Profiles>> {
    landmarks.iter().map(|point| point.map(|p| config.heatmap.profiles(p, size))).collect()
}

/// A landmark decoded in pixels of the input beside the true one; `None` where that is missing.
fn error(dataset: &Dataset, sample: usize, landmark: usize, decoded: Point, input: Size) -> Option<LandmarkError> {
    let image = &dataset.samples[sample];
    let truth = image.landmarks[landmark]?;
    let predicted = decoded.rescale(input, image.size);
    let (px, mm) = (truth.distance(predicted).0, image.spacing.distance(truth, predicted).0);
    Some(LandmarkError { sample, landmark, truth, predicted, px, mm })
}

/// The field's summary of radial errors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metrics {
    /// Mean radial error, mm.
    pub mre_mm: f64,
    /// The same in pixels of the original images.
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
    /// Of errors in mm and in pixels; all `nan` where there are none.
    #[must_use]
    pub fn of(errors: &[LandmarkError]) -> Self {
        let mut mm: Vec<f64> = errors.iter().map(|e| e.mm).collect();
        let px: Vec<f64> = errors.iter().map(|e| e.px).collect();
        let mre_mm = mean(&mm);
        let squares: f64 = mm.iter().map(|e| (e - mre_mm).powi(2)).sum();
        let sd_mm = (squares / (mm.len() as f64 - 1.0)).sqrt();
        let within = |radius: f64| 100.0 * mm.iter().filter(|e| **e <= radius).count() as f64 / mm.len() as f64;
        let sdr = SDR_RADII_MM.map(within);
        mm.sort_by(f64::total_cmp);
        Self { mre_mm, mre_px: mean(&px), sd_mm, median_mm: quantile(&mm, 0.5), p95_mm: quantile(&mm, 0.95), sdr }
    }
}

/// Mean; `nan` of nothing.
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Quantile of sorted values by linear interpolation; `nan` of nothing.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = q * last as f64;
    let below = place.floor() as usize;
    sorted[below] + (sorted[(below + 1).min(last)] - sorted[below]) * (place - below as f64)
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
                LandmarkError { sample: 0, landmark: 0, truth: origin, predicted: origin, px: 2.0 * mm, mm }
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
        assert!(Metrics::of(&[]).mre_mm.is_nan() && Metrics::of(&[]).p95_mm.is_nan());
    }
}
