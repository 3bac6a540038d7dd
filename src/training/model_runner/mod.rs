//! A trial's network: from a batch to a loss and its gradient, or to landmarks. Only this module knows how many graphs a
//! network has and what each of them reads.
//!
//! `stage` is a graph with its engine, its loss and its `heatmaps`; `fine` is the second stage of a two-stage network.
//! `reader` decodes maps on the device that holds them. The loss of a two-stage network is the sum of its stages' losses.

mod fine;
mod gpu;
mod heatmaps;
mod reader;
mod stage;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use sweep_graph::tensors::TensorOperation as _;

use fine::Fine;
use heatmaps::Heatmaps;
use stage::{Maps, Stage};
use sweep_core::error::{Error, Result};
use sweep_core::units::{Point, Size};
use sweep_data::decode::{DecodeSpec, Reading};
use sweep_data::loader::{Batch, Loader};
use sweep_graph::ParameterSpec;
use sweep_graph::params::ParamStore;
use sweep_model::networks::Architecture;
use sweep_model::networks::two_stage::{COARSE, FINE, TwoStageSpec};
use sweep_planning::config::TrialConfig;

/// A trial's network with the buffers of its passes; every call takes its parameters.
pub struct Network {
    stage: Stage,
    fine: Option<Fine>,
    decode: DecodeSpec,
    device: Device,
}

/// Loss and gradient of a training step.
#[derive(Debug, Clone)]
pub struct Step {
    /// Mean loss of the images that have a landmark.
    pub loss: f64,
    /// Number of images that have a landmark.
    pub images: usize,
    /// Gradient of the loss with respect to [`ParamStore::trained`], `[N]`; the next step may overwrite it.
    pub gradient: Tensor,
}

/// Loss and predicted landmarks of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluated {
    /// `None` if the image has no landmark.
    pub loss: Option<f64>,
    /// One entry per landmark, also for those whose true position is unknown.
    pub landmarks: Vec<Prediction>,
}

/// A predicted landmark.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// Position in pixels of the input.
    pub at: Point,
    /// Confidence from 0 to 1: [`sweep_data::decode::confidence`]; for heatmaps with trained widths, the height of the peak
    /// as a share of the height of the landmark's heatmap.
    pub confidence: f64,
}

impl From<Reading> for Prediction {
    fn from(reading: Reading) -> Self {
        Self { at: reading.point, confidence: reading.confidence }
    }
}

impl Network {
    /// The network of a configuration for this number of landmarks, on a device.
    ///
    /// # Errors
    /// When the network cannot be built, or not for the input, or no engine runs on the device.
    pub fn new(config: &TrialConfig, landmarks: usize, device: &Device) -> Result<Self> {
        Self::with(config, landmarks, device, |network, heatmaps| Stage::new(network, heatmaps, config, device))
    }

    /// [`Network::new`] on this GPU.
    #[cfg(test)]
    pub(crate) fn on_gpu(
        config: &TrialConfig,
        landmarks: usize,
        gpu: &std::sync::Arc<dyn sweep_graph::gpu::Gpu>,
        device: &Device,
    ) -> Result<Self> {
        Self::with(config, landmarks, device, |network, heatmaps| Stage::on_gpu(network, heatmaps, config, gpu))
    }

    fn with(
        config: &TrialConfig,
        landmarks: usize,
        device: &Device,
        stage: impl Fn(Architecture, Heatmaps) -> Result<Stage>,
    ) -> Result<Self> {
        config.loss.check()?;
        let mut networks = config
            .model
            .stages(config.channels(), landmarks, config.input)?
            .into_iter()
            .map(|stage| stage.architecture);
        let first = networks.next().ok_or_else(|| Error::input("a model without a stage"))?;
        let two = config.model.two_stage();
        let heatmaps = |spec, whole, prefix| Heatmaps::new(spec, whole, config.loss.clone(), landmarks, prefix);
        let coarse = heatmaps(config.heatmap, config.input, if two.is_some() { COARSE } else { "" });
        let fine = |(spec, network): (&TwoStageSpec, Architecture)| {
            let heatmaps = heatmaps(spec.heatmap.unwrap_or(config.heatmap), spec.size, FINE);
            Ok::<_, Error>(Fine::new(stage(network, heatmaps)?, spec, config.seed, device))
        };
        Ok(Self {
            stage: stage(first, coarse)?,
            fine: two.zip(networks.next()).map(fine).transpose()?,
            decode: config.decode,
            device: device.clone(),
        })
    }

    /// Initial parameters drawn from a seed, followed by the trained widths of heatmaps.
    ///
    /// # Errors
    /// When the device has not enough memory.
    pub fn parameters(&self, seed: u64) -> Result<ParamStore> {
        self.with_widths(ParamStore::of(self.specs(), seed, DType::F32, &self.device)?)
    }

    /// These parameters, under their names.
    ///
    /// # Errors
    /// Lists parameters that are missing or unknown, and shapes that differ.
    pub fn loaded(&self, weights: &BTreeMap<String, Tensor>) -> Result<ParamStore> {
        let parameters = self.with_widths(ParamStore::zeros(self.specs(), DType::F32, &self.device)?)?;
        parameters.load(weights)?;
        Ok(parameters)
    }

    fn specs(&self) -> Vec<ParameterSpec> {
        self.stages().flat_map(|stage| stage.architecture().parameters()).collect()
    }

    fn with_widths(&self, parameters: ParamStore) -> Result<ParamStore> {
        let mut widths = self.stages().filter_map(|stage| stage.heatmaps().trained());
        widths.try_fold(parameters, |parameters, (name, start)| parameters.beside(name, &start))
    }

    /// Compares candle's gradients of modules with central differences, before they are trained.
    ///
    /// # Errors
    /// When one is wrong, see [`check_gradients`](sweep_model::candle::check_gradients).
    pub fn check_gradients(&self, parameters: &ParamStore, config: &TrialConfig) -> Result<()> {
        let crop = config.model.two_stage().map_or(0, |spec| spec.crop);
        let sizes = [config.input, Size { height: crop, width: crop }];
        for (stage, size) in self.stages().zip(sizes) {
            let Architecture::Module(module) = stage.architecture() else { continue };
            if module.checks_gradients() {
                sweep_model::candle::check_gradients(module, parameters, size, config.seed)?;
            }
        }
        Ok(())
    }

    /// The configured decoder.
    #[must_use]
    pub fn decode(&self) -> DecodeSpec {
        self.decode
    }

    fn stages(&self) -> impl Iterator<Item = &Stage> {
        std::iter::once(&self.stage).chain(self.fine.as_ref().map(Fine::stage))
    }

    /// Loss and gradient of a batch; updates running statistics. Random numbers depend on the batch's images and the epoch
    /// alone.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn step(&mut self, parameters: &ParamStore, batch: &Batch, epoch: u64) -> Result<Step> {
        let images = batch.tensor(&self.device)?;
        self.stage.draw_from(batch, epoch);
        let coarse = self.stage.step(parameters, &images, &Maps::All, &batch.landmarks)?;
        let Some(fine) = &mut self.fine else { return Ok(coarse) };
        let fine = fine.step(parameters, batch, epoch)?;
        Ok(Step { loss: coarse.loss + fine.loss, gradient: (coarse.gradient + fine.gradient).computed()?, ..coarse })
    }

    /// Losses and landmarks, one entry per image.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn evaluate(&mut self, parameters: &ParamStore, batch: &Batch) -> Result<Vec<Evaluated>> {
        Ok(self.evaluate_by(&[self.decode], parameters, batch)?.pop().unwrap_or_default())
    }

    /// [`Network::evaluate`] as each of these decoders reads the maps.
    ///
    /// # Errors
    /// Same errors as [`Network::evaluate`].
    pub fn evaluate_by(
        &mut self,
        decoders: &[DecodeSpec],
        parameters: &ParamStore,
        batch: &Batch,
    ) -> Result<Vec<Vec<Evaluated>>> {
        let images = batch.tensor(&self.device)?;
        let coarse = self.stage.evaluate(parameters, &images, &Maps::All, &batch.landmarks, decoders)?;
        let Some(fine) = &mut self.fine else { return Ok(coarse) };
        // Each decoder finds crops of its own.
        coarse.iter().zip(decoders).map(|(coarse, decode)| fine.evaluate(parameters, batch, coarse, *decode)).collect()
    }

    /// Landmarks predicted by the last stage: one row per image, one entry per landmark.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn predict(&mut self, parameters: &ParamStore, batch: &Batch) -> Result<Vec<Vec<Prediction>>> {
        Ok(self.predict_by_stage(parameters, batch)?.pop().unwrap_or_default())
    }

    /// Landmarks predicted by every stage in turn; see [`Network::predict`].
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn predict_by_stage(&mut self, parameters: &ParamStore, batch: &Batch) -> Result<Vec<Vec<Vec<Prediction>>>> {
        let coarse = self.stage.predict(parameters, &batch.tensor(&self.device)?, &Maps::All, self.decode)?;
        let Some(fine) = &mut self.fine else { return Ok(vec![coarse]) };
        let found = fine.predict(parameters, batch, &coarse, self.decode)?;
        Ok(vec![coarse, found])
    }

    /// Input `[B, C, H, W]`, before it is standardised, and maps `[B, K, H, W]` of every stage, by the prefix of its parameters' names.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn heatmaps(&mut self, parameters: &ParamStore, batch: &Batch) -> Result<Vec<(&'static str, [Tensor; 2])>> {
        let images = batch.tensor(&self.device)?;
        let maps = self.stage.maps(parameters, &images, &Maps::All)?;
        let Some(fine) = &mut self.fine else { return Ok(vec![("", [images, maps])]) };
        let coarse = self.stage.predict(parameters, &images, &Maps::All, self.decode)?;
        Ok(vec![(COARSE, [images, maps]), (FINE, fine.heatmaps(parameters, batch, &coarse)?)])
    }

    /// Whether the target heatmaps are trained, so that [`Network::zero_loss`] changes.
    #[must_use]
    pub fn trains_targets(&self) -> bool {
        self.stages().any(|stage| stage.heatmaps().trained().is_some())
    }

    /// Mean loss per image of maps that are all zero; `nan` if no image has a landmark. Crops of a second stage are taken
    /// around the true landmarks.
    ///
    /// # Errors
    /// When the parameters are not this network's.
    pub fn zero_loss(&self, parameters: &ParamStore, loader: &Loader) -> Result<f64> {
        let coarse = self.stage.heatmaps().current(parameters)?;
        let fine = self.fine.as_ref().map(|fine| Ok::<_, Error>((fine, fine.stage().heatmaps().current(parameters)?)));
        let fine = fine.transpose()?;
        let of_image = |landmarks: &[Option<Point>]| {
            let of_crops = fine.as_ref().map(|(fine, current)| fine.zero_loss(current, landmarks, loader.size()));
            coarse.of_zeros(landmarks, loader.size()) + of_crops.unwrap_or(0.0)
        };
        let images = loader.landmarks().filter(|landmarks| landmarks.iter().any(Option::is_some));
        let losses: Vec<f64> = images.map(of_image).collect();
        Ok(losses.iter().sum::<f64>() / losses.len() as f64)
    }
}
