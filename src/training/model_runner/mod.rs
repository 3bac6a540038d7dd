//! What a trial trains and predicts with: from a batch to a loss and its gradient, and to landmarks. How many graphs that
//! takes, and what each of them reads, nobody else needs to know.
//!
//! `stage` is a graph with its engine, its loss and its `heatmaps`, `fine` the second of them, where there is one; `reader`
//! looks at maps where they are. Losses of two stages are added up.

mod fine;
mod gpu;
mod heatmaps;
mod reader;
mod stage;
#[cfg(test)]
mod tests;

use candle_core::{DType, Device, Tensor};
use sweep_graph::tensors::TensorOperation as _;

use fine::Fine;
use heatmaps::Heatmaps;
use stage::{Maps, Stage};
use sweep_core::error::{Error, Result};
use sweep_core::units::Point;
use sweep_data::decode::Reading;
use sweep_data::loader::{Batch, Loader};
use sweep_graph::Graph;
use sweep_graph::params::ParamStore;
use sweep_model::networks::two_stage::{COARSE, FINE, TwoStageSpec};
use sweep_planning::config::TrialConfig;

/// A trial's network, with the buffers that its passes keep; its parameters are given to every call.
pub struct Network {
    stage: Stage,
    fine: Option<Fine>,
    device: Device,
}

/// What a training step moves the parameters by.
#[derive(Debug, Clone)]
pub struct Step {
    /// Mean loss of the images that have a landmark.
    pub loss: f64,
    /// How many those are.
    pub images: usize,
    /// The loss's gradient to [`ParamStore::trained`], `[N]`; the next step may write over it.
    pub gradient: Tensor,
}

/// What an image shows, beside what it should.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluated {
    /// `None` where the image has no landmark.
    pub loss: Option<f64>,
    /// One a landmark, whether it is known where it is or not.
    pub landmarks: Vec<Prediction>,
}

/// A landmark as predicted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// In pixels of the input.
    pub at: Point,
    /// How sure the network is, from 0 to 1, as [`sweep_data::decode::confidence`]; of heatmaps whose widths are trained,
    /// the peak's height as a share of what the landmark's heatmap is high.
    pub confidence: f64,
}

impl From<Reading> for Prediction {
    fn from(reading: Reading) -> Self {
        Self { at: reading.point, confidence: reading.confidence }
    }
}

impl Network {
    /// The network of a configuration for so many landmarks, on a device.
    ///
    /// # Errors
    /// When it cannot be built, or not for the input, or no engine runs on the device.
    pub fn new(config: &TrialConfig, landmarks: usize, device: &Device) -> Result<Self> {
        Self::with(config, landmarks, device, |graph, heatmaps| Stage::new(graph, heatmaps, config, device))
    }

    /// As [`Network::new`], on this GPU.
    #[cfg(test)]
    pub(crate) fn on_gpu(
        config: &TrialConfig,
        landmarks: usize,
        gpu: &std::sync::Arc<dyn sweep_graph::gpu::Gpu>,
        device: &Device,
    ) -> Result<Self> {
        Self::with(config, landmarks, device, |graph, heatmaps| Stage::on_gpu(graph, heatmaps, config, gpu))
    }

    fn with(
        config: &TrialConfig,
        landmarks: usize,
        device: &Device,
        stage: impl Fn(Graph, Heatmaps) -> Result<Stage>,
    ) -> Result<Self> {
        config.loss.check()?;
        let mut graphs = config.model.stages(1, landmarks, config.input)?.into_iter().map(|stage| stage.graph);
        let first = graphs.next().ok_or_else(|| Error::input("a model without a stage"))?;
        let two = config.model.two_stage();
        let heatmaps = |spec, whole, prefix| Heatmaps::new(spec, whole, config.loss.clone(), landmarks, prefix);
        let coarse = heatmaps(config.heatmap, config.input, if two.is_some() { COARSE } else { "" });
        let fine = |(spec, graph): (&TwoStageSpec, Graph)| {
            let heatmaps = heatmaps(spec.heatmap.unwrap_or(config.heatmap), spec.size, FINE);
            Ok::<_, Error>(Fine::new(stage(graph, heatmaps)?, spec, config.seed, device))
        };
        Ok(Self {
            stage: stage(first, coarse)?,
            fine: two.zip(graphs.next()).map(fine).transpose()?,
            device: device.clone(),
        })
    }

    /// Its parameters as they start, drawn from a seed, and behind them the widths of heatmaps that are trained.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn parameters(&self, seed: u64) -> Result<ParamStore> {
        let specs = self.stages().flat_map(|stage| stage.graph().parameters()).collect();
        let parameters = ParamStore::of(specs, seed, DType::F32, &self.device)?;
        let mut widths = self.stages().filter_map(|stage| stage.heatmaps().trained());
        widths.try_fold(parameters, |parameters, (name, start)| parameters.beside(name, &start))
    }

    fn stages(&self) -> impl Iterator<Item = &Stage> {
        std::iter::once(&self.stage).chain(self.fine.as_ref().map(Fine::stage))
    }

    /// Loss and gradient of a batch; moves running statistics. What is drawn at random depends on the batch's images and
    /// the epoch alone.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn step(&mut self, parameters: &ParamStore, batch: &Batch, epoch: u64) -> Result<Step> {
        let images = batch.tensor(&self.device)?;
        let coarse = self.stage.step(parameters, &images, &Maps::All, &batch.landmarks)?;
        let Some(fine) = &mut self.fine else { return Ok(coarse) };
        let fine = fine.step(parameters, batch, epoch)?;
        Ok(Step { loss: coarse.loss + fine.loss, gradient: (coarse.gradient + fine.gradient).computed()?, ..coarse })
    }

    /// Losses and landmarks, an entry an image.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn evaluate(&mut self, parameters: &ParamStore, batch: &Batch) -> Result<Vec<Evaluated>> {
        let images = batch.tensor(&self.device)?;
        let seen = self.stage.evaluate(parameters, &images, &Maps::All, &batch.landmarks)?;
        match &mut self.fine {
            None => Ok(seen),
            Some(fine) => fine.evaluate(parameters, batch, &seen),
        }
    }

    /// Landmarks and how sure each is, one row an image, one entry a landmark: what the last stage sees.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn predict(&mut self, parameters: &ParamStore, batch: &Batch) -> Result<Vec<Vec<Prediction>>> {
        Ok(self.predict_by_stage(parameters, batch)?.pop().unwrap_or_default())
    }

    /// As [`Network::predict`], of every stage in turn.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn predict_by_stage(&mut self, parameters: &ParamStore, batch: &Batch) -> Result<Vec<Vec<Vec<Prediction>>>> {
        let coarse = self.stage.predict(parameters, &batch.tensor(&self.device)?, &Maps::All)?;
        let Some(fine) = &mut self.fine else { return Ok(vec![coarse]) };
        let found = fine.predict(parameters, batch, &coarse)?;
        Ok(vec![coarse, found])
    }

    /// What every stage reads and the maps it makes of it, by the prefix of its parameters' names: `[B, 1, H, W]` and
    /// `[B, K, H, W]`.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn heatmaps(&mut self, parameters: &ParamStore, batch: &Batch) -> Result<Vec<(&'static str, [Tensor; 2])>> {
        let images = batch.tensor(&self.device)?;
        let maps = self.stage.maps(parameters, &images, &Maps::All)?;
        let Some(fine) = &mut self.fine else { return Ok(vec![("", [images, maps])]) };
        let coarse = self.stage.predict(parameters, &images, &Maps::All)?;
        Ok(vec![(COARSE, [images, maps]), (FINE, fine.heatmaps(parameters, batch, &coarse)?)])
    }

    /// Whether what it should show is trained with it, so that [`Network::zero_loss`] moves.
    #[must_use]
    pub fn trains_targets(&self) -> bool {
        self.stages().any(|stage| stage.heatmaps().trained().is_some())
    }

    /// Mean loss per image of a network that always answers zero; `nan` where no image has a landmark. Crops of a second
    /// stage are then around the true landmarks.
    ///
    /// # Errors
    /// When the parameters are not this network's.
    pub fn zero_loss(&self, parameters: &ParamStore, loader: &Loader) -> Result<f64> {
        let coarse = self.stage.heatmaps().now(parameters)?;
        let fine = self.fine.as_ref().map(|fine| Ok::<_, Error>((fine, fine.stage().heatmaps().now(parameters)?)));
        let fine = fine.transpose()?;
        let of_image = |landmarks: &[Option<Point>]| {
            let of_crops = fine.as_ref().map(|(fine, now)| fine.zero_loss(now, landmarks, loader.size()));
            coarse.of_zeros(landmarks, loader.size()) + of_crops.unwrap_or(0.0)
        };
        let images = loader.landmarks().filter(|landmarks| landmarks.iter().any(Option::is_some));
        let losses: Vec<f64> = images.map(of_image).collect();
        Ok(losses.iter().sum::<f64>() / losses.len() as f64)
    }
}
