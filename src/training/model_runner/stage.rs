//! A network with its engine, loss and decoder: from images and targets to a loss with its gradient, or to landmarks.

use candle_core::{Device, Tensor};
use sweep_graph::tensors::TensorOperation as _;

use super::heatmaps::{CurrentHeatmaps, Heatmaps};
use super::reader::{self, Reader};
use super::{Evaluated, Prediction, Step};
use sweep_core::error::{Error, Result};
use sweep_core::units::Size;
use sweep_data::StandardiseSpec;
use sweep_data::decode::DecodeSpec;
use sweep_data::loader::Batch;
use sweep_engine::{Engine, Mode};
use sweep_graph::params::ParamStore;
use sweep_model::loss::width::Positions as Places;
use sweep_model::loss::{Criterion, LossSpec};
use sweep_model::networks::Architecture;
use sweep_planning::config::TrialConfig;

/// A network with all that it needs to be trained and evaluated.
pub(super) struct Stage {
    architecture: Architecture,
    engine: Box<dyn Engine + Send>,
    criterion: Criterion,
    reader: Reader,
    loss: LossSpec,
    heatmaps: Heatmaps,
    /// Mean and standard deviation of every channel, `[1, C, 1, 1]`.
    standardise: Option<[Tensor; 2]>,
    seed: u64,
}

impl Stage {
    pub(super) fn new(
        architecture: Architecture,
        heatmaps: Heatmaps,
        config: &TrialConfig,
        device: &Device,
    ) -> Result<Self> {
        Ok(Self {
            engine: architecture.engine(config.precision, device)?,
            criterion: Criterion::new(config.loss.clone()),
            reader: Reader::new(device)?,
            loss: config.loss.clone(),
            heatmaps,
            standardise: standardise(config, device)?,
            seed: config.seed,
            architecture,
        })
    }

    #[cfg(test)]
    pub(super) fn on_gpu(
        architecture: Architecture,
        heatmaps: Heatmaps,
        config: &TrialConfig,
        gpu: &std::sync::Arc<dyn sweep_graph::gpu::Gpu>,
    ) -> Result<Self> {
        let engine =
            sweep_engine::cuda::CudaEngine::new(architecture.graph()?, config.precision, std::sync::Arc::clone(gpu))?;
        Ok(Self {
            engine: Box::new(engine),
            criterion: Criterion::with_gpu(config.loss.clone(), std::sync::Arc::clone(gpu)),
            reader: Reader::OnGpu(super::gpu::GpuReader::new(gpu)),
            loss: config.loss.clone(),
            heatmaps,
            standardise: standardise(config, &Device::Cpu)?,
            seed: config.seed,
            architecture,
        })
    }

    /// Images as the network reads them.
    fn standardised(&self, images: &Tensor) -> Result<Tensor> {
        match &self.standardise {
            None => Ok(images.clone()),
            Some([mean, deviation]) => images.broadcast_sub(mean).computed()?.broadcast_div(deviation).computed(),
        }
    }

    pub(super) fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Tells the engine what the random numbers of the next step depend on.
    pub(super) fn draw_from(&mut self, batch: &Batch, epoch: u64) {
        self.engine.draw_from(self.seed, epoch, &batch.indices);
    }

    pub(super) fn heatmaps(&self) -> &Heatmaps {
        &self.heatmaps
    }

    /// Loss and gradient of images `[B, C, H, W]` with landmarks at these positions.
    pub(super) fn step(
        &mut self,
        parameters: &ParamStore,
        images: &Tensor,
        maps: &Maps,
        positions: &Places,
    ) -> Result<Step> {
        let heads = self.engine.forward(&self.standardised(images)?, parameters, Mode::Train)?;
        // A GPU runs the pass while the targets are made.
        let current = self.heatmaps.current(parameters)?;
        let targets = current.targets(positions, size(images)?);
        let with_landmarks = targets.iter().filter(|image| image.iter().any(Option::is_some)).count();
        let (loss, gradient) = match maps {
            Maps::All => {
                let (loss, to_heads) = self.criterion.with_gradients(&heads, &targets)?;
                let gradient = self.engine.gradient(&heads, to_heads, parameters)?;
                current.write_gradient(to_heads, &targets, positions, parameters, &gradient)?;
                (loss, gradient)
            }
            Maps::Selected(selection) => {
                let selected = heads.iter().map(|head| selection.select(head)).collect::<Result<Vec<_>>>()?;
                let (loss, to_maps) = self.criterion.with_gradients(&selected, &targets)?;
                let to_heads = heads.iter().zip(to_maps).map(|(head, to)| selection.gradient(head, to));
                let to_heads = to_heads.collect::<Result<Vec<_>>>()?;
                let gradient = self.engine.gradient(&heads, &to_heads, parameters)?;
                current.write_gradient(to_maps, &targets, positions, parameters, &gradient)?;
                (loss, gradient)
            }
        };
        Ok(Step { loss: loss + current.penalty(&targets), images: with_landmarks, gradient })
    }

    /// Losses and landmarks of images `[B, C, H, W]` with landmarks at these positions, as each decoder reads them; one pass
    /// serves all.
    pub(super) fn evaluate(
        &mut self,
        parameters: &ParamStore,
        images: &Tensor,
        maps: &Maps,
        positions: &Places,
        decoders: &[DecodeSpec],
    ) -> Result<Vec<Vec<Evaluated>>> {
        let predicted = self.maps(parameters, images, maps)?;
        let current = self.heatmaps.current(parameters)?;
        let targets = current.targets(positions, size(images)?);
        let mut by_decoder = Vec::with_capacity(decoders.len());
        for decode in decoders {
            let mut evaluated = self.reader.read(&predicted, &targets, &self.loss, *decode)?;
            for (image, targets) in evaluated.iter_mut().zip(&targets) {
                image.loss = image.loss.map(|loss| loss + current.penalty(std::slice::from_ref(targets)));
            }
            normalise_confidence(&current, maps, evaluated.iter_mut().map(|image| image.landmarks.as_mut_slice()));
            by_decoder.push(evaluated);
        }
        Ok(by_decoder)
    }

    /// Landmarks of images `[B, C, H, W]`, with confidence.
    pub(super) fn predict(
        &mut self,
        parameters: &ParamStore,
        images: &Tensor,
        maps: &Maps,
        decode: DecodeSpec,
    ) -> Result<Vec<Vec<Prediction>>> {
        let mut predictions = reader::predictions(&self.maps(parameters, images, maps)?, &self.loss, decode)?;
        normalise_confidence(&self.heatmaps.current(parameters)?, maps, predictions.iter_mut().map(Vec::as_mut_slice));
        Ok(predictions)
    }

    /// Maps of images `[B, C, H, W]`: all, `[B, K, H, W]`, or the selected ones, `[B, P, H, W]`.
    pub(super) fn maps(&mut self, parameters: &ParamStore, images: &Tensor, maps: &Maps) -> Result<Tensor> {
        let heads = self.engine.forward(&self.standardised(images)?, parameters, Mode::Evaluate)?;
        let head = heads.into_iter().next_back().ok_or_else(|| Error::input("a network without a head"))?;
        match maps {
            Maps::All => Ok(head),
            Maps::Selected(selection) => selection.select(&head),
        }
    }
}

/// Mean and standard deviation of every channel, if the input is standardised.
fn standardise(config: &TrialConfig, device: &Device) -> Result<Option<[Tensor; 2]>> {
    let tensor = |values: Vec<f64>| {
        let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
        let count = values.len();
        Tensor::from_vec(values, (1, count, 1, 1), device).computed()
    };
    let both = |spec: &StandardiseSpec| Ok([tensor(spec.mean())?, tensor(spec.deviation())?]);
    config.standardise.as_ref().map(both).transpose()
}

/// Height and width of images `[B, C, H, W]`.
fn size(images: &Tensor) -> Result<Size> {
    let (_, _, height, width) = images.dims4().computed()?;
    Ok(Size { height, width })
}

/// Makes confidences relative to the height of the target heatmaps.
fn normalise_confidence<'a>(
    current: &CurrentHeatmaps<'_>,
    maps: &Maps,
    images: impl Iterator<Item = &'a mut [Prediction]>,
) {
    for (image, predictions) in images.enumerate() {
        for (index, prediction) in predictions.iter_mut().enumerate() {
            prediction.confidence = current.confidence(maps.landmark(image, index), prediction.confidence);
        }
    }
}

/// The maps of heads `[N, K, H, W]` that are used.
pub(super) enum Maps {
    /// All.
    All,
    /// One of every image.
    Selected(MapSelection),
}

impl Maps {
    /// The landmark of an image's map by its index.
    fn landmark(&self, image: usize, index: usize) -> usize {
        match self {
            Self::All => index,
            Self::Selected(selection) => selection.maps[image * selection.parts + index],
        }
    }
}

/// Selects one map of every crop, where every image has P crops: `[B·P, K, H, W]` → `[B, P, H, W]`.
pub(super) struct MapSelection {
    /// Index of the selected map of every crop, `[B·P]`.
    maps: Vec<usize>,
    /// Indices into `[B·P·K]`, `[B·P]`.
    indices: Tensor,
    parts: usize,
}

impl MapSelection {
    /// Selects these maps, out of `count` per crop.
    pub(super) fn new(maps: Vec<usize>, count: usize, parts: usize, device: &Device) -> Result<Self> {
        let indices: Vec<u32> = maps.iter().enumerate().map(|(part, map)| (part * count + map) as u32).collect();
        Ok(Self { indices: Tensor::from_vec(indices, maps.len(), device).computed()?, maps, parts })
    }

    /// The selected maps.
    fn select(&self, head: &Tensor) -> Result<Tensor> {
        let (images, maps, height, width) = head.dims4().computed()?;
        let flat = head.detach().reshape((images * maps, height, width)).computed()?;
        flat.index_select(&self.indices, 0)
            .computed()?
            .reshape((images / self.parts, self.parts, height, width))
            .computed()
    }

    /// The gradient with respect to a head from that with respect to its selected maps.
    fn gradient(&self, head: &Tensor, gradient: &Tensor) -> Result<Tensor> {
        let (images, maps, height, width) = head.dims4().computed()?;
        let zeros = Tensor::zeros((images * maps, height, width), head.dtype(), head.device()).computed()?;
        let scattered =
            zeros.index_add(&self.indices, &gradient.reshape((images, height, width)).computed()?, 0).computed()?;
        scattered.reshape(head.shape()).computed()
    }
}
