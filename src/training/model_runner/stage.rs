//! A graph with its engine, its loss and its reading: from images and targets to a loss with its gradient, or to
//! landmarks.

use candle_core::{DType, Device, Tensor};
use sweep_graph::tensors::TensorOperation as _;

use super::heatmaps::{Heatmaps, Now};
use super::reader::{self, Reader};
use super::{Evaluated, Prediction, Step};
use sweep_core::error::{Error, Result};
use sweep_core::units::Size;
use sweep_data::decode::DecodeSpec;
use sweep_engine::{self as engine, Engine, Mode};
use sweep_graph::Graph;
use sweep_graph::params::ParamStore;
use sweep_model::loss::width::Places;
use sweep_model::loss::{Criterion, LossSpec};
use sweep_planning::config::TrialConfig;

/// One graph at work.
pub(super) struct Stage {
    graph: Graph,
    engine: Box<dyn Engine + Send>,
    criterion: Criterion,
    reader: Reader,
    loss: LossSpec,
    decode: DecodeSpec,
    heatmaps: Heatmaps,
}

impl Stage {
    pub(super) fn new(graph: Graph, heatmaps: Heatmaps, config: &TrialConfig, device: &Device) -> Result<Self> {
        Ok(Self {
            engine: engine::build(&graph, DType::F32, config.precision, device)?,
            criterion: Criterion::new(config.loss.clone()),
            reader: Reader::new(device)?,
            loss: config.loss.clone(),
            decode: config.decode,
            heatmaps,
            graph,
        })
    }

    #[cfg(test)]
    pub(super) fn on_gpu(
        graph: Graph,
        heatmaps: Heatmaps,
        config: &TrialConfig,
        gpu: &std::sync::Arc<dyn sweep_graph::gpu::Gpu>,
    ) -> Result<Self> {
        let engine = engine::cuda::CudaEngine::new(&graph, config.precision, std::sync::Arc::clone(gpu))?;
        Ok(Self {
            engine: Box::new(engine),
            criterion: Criterion::with_gpu(config.loss.clone(), std::sync::Arc::clone(gpu)),
            reader: Reader::OnGpu(super::gpu::GpuReader::new(gpu)),
            loss: config.loss.clone(),
            decode: config.decode,
            heatmaps,
            graph,
        })
    }

    pub(super) fn graph(&self) -> &Graph {
        &self.graph
    }

    pub(super) fn heatmaps(&self) -> &Heatmaps {
        &self.heatmaps
    }

    /// Loss and gradient of images `[B, 1, H, W]` whose landmarks are in these places.
    pub(super) fn step(
        &mut self,
        parameters: &ParamStore,
        images: &Tensor,
        maps: &Maps,
        places: &Places,
    ) -> Result<Step> {
        let heads = self.engine.forward(images, parameters, Mode::Train)?;
        // After the pass has been launched: a GPU runs it meanwhile.
        let now = self.heatmaps.now(parameters)?;
        let targets = now.targets(places, size(images)?);
        let with_landmarks = targets.iter().filter(|image| image.iter().any(Option::is_some)).count();
        let (loss, gradient) = match maps {
            Maps::All => {
                let (loss, to_heads) = self.criterion.with_gradients(&heads, &targets)?;
                let gradient = self.engine.gradient(&heads, to_heads, parameters)?;
                now.write_gradient(to_heads, &targets, places, parameters, &gradient)?;
                (loss, gradient)
            }
            Maps::Of(chosen) => {
                let of_heads = heads.iter().map(|head| chosen.of(head)).collect::<Result<Vec<_>>>()?;
                let (loss, to_maps) = self.criterion.with_gradients(&of_heads, &targets)?;
                let to_heads = heads.iter().zip(to_maps).map(|(head, to)| chosen.back(head, to));
                let to_heads = to_heads.collect::<Result<Vec<_>>>()?;
                let gradient = self.engine.gradient(&heads, &to_heads, parameters)?;
                now.write_gradient(to_maps, &targets, places, parameters, &gradient)?;
                (loss, gradient)
            }
        };
        Ok(Step { loss: loss + now.penalty(&targets), images: with_landmarks, gradient })
    }

    /// Losses and landmarks of images `[B, 1, H, W]` whose landmarks are in these places.
    pub(super) fn evaluate(
        &mut self,
        parameters: &ParamStore,
        images: &Tensor,
        maps: &Maps,
        places: &Places,
    ) -> Result<Vec<Evaluated>> {
        let shown = self.maps(parameters, images, maps)?;
        let now = self.heatmaps.now(parameters)?;
        let targets = now.targets(places, size(images)?);
        let mut seen = self.reader.read(&shown, &targets, &self.loss, self.decode)?;
        for (seen, targets) in seen.iter_mut().zip(&targets) {
            seen.loss = seen.loss.map(|loss| loss + now.penalty(std::slice::from_ref(targets)));
        }
        correct(&now, maps, seen.iter_mut().map(|seen| seen.landmarks.as_mut_slice()));
        Ok(seen)
    }

    /// Landmarks of images `[B, 1, H, W]`, with confidence.
    pub(super) fn predict(
        &mut self,
        parameters: &ParamStore,
        images: &Tensor,
        maps: &Maps,
    ) -> Result<Vec<Vec<Prediction>>> {
        let mut found = reader::predictions(&self.maps(parameters, images, maps)?, &self.loss, self.decode)?;
        correct(&self.heatmaps.now(parameters)?, maps, found.iter_mut().map(Vec::as_mut_slice));
        Ok(found)
    }

    /// The prediction of images `[B, 1, H, W]`: `[B, K, H, W]`, or of parts of images those maps that count.
    pub(super) fn maps(&mut self, parameters: &ParamStore, images: &Tensor, maps: &Maps) -> Result<Tensor> {
        let heads = self.engine.forward(images, parameters, Mode::Evaluate)?;
        let head = heads.into_iter().next_back().ok_or_else(|| Error::input("a network without a head"))?;
        match maps {
            Maps::All => Ok(head),
            Maps::Of(chosen) => chosen.of(&head),
        }
    }
}

/// Height and width of images `[B, 1, H, W]`.
fn size(images: &Tensor) -> Result<Size> {
    let (_, _, height, width) = images.dims4().computed()?;
    Ok(Size { height, width })
}

/// Confidences beside what the maps were taught to show.
fn correct<'a>(now: &Now<'_>, maps: &Maps, images: impl Iterator<Item = &'a mut [Prediction]>) {
    for (image, found) in images.enumerate() {
        for (place, prediction) in found.iter_mut().enumerate() {
            prediction.confidence = now.confidence(maps.landmark(image, place), prediction.confidence);
        }
    }
}

/// Which maps of heads `[N, K, H, W]` count.
pub(super) enum Maps {
    /// All.
    All,
    /// One of every image.
    Of(Chosen),
}

impl Maps {
    /// Whose map is the one at `place` of an image.
    fn landmark(&self, image: usize, place: usize) -> usize {
        match self {
            Self::All => place,
            Self::Of(chosen) => chosen.maps[image * chosen.parts + place],
        }
    }
}

/// One map of every image, for images that are parts of others, as many of each: `[B·P, K, H, W]` → `[B, P, H, W]`.
pub(super) struct Chosen {
    /// Which of its part's maps each is, `[B·P]`.
    maps: Vec<usize>,
    /// Places in `[B·P·K]`, `[B·P]`.
    places: Tensor,
    parts: usize,
}

impl Chosen {
    /// The map of every part, out of `of`.
    pub(super) fn new(maps: Vec<usize>, of: usize, parts: usize, device: &Device) -> Result<Self> {
        let places: Vec<u32> = maps.iter().enumerate().map(|(part, map)| (part * of + map) as u32).collect();
        Ok(Self { places: Tensor::from_vec(places, maps.len(), device).computed()?, maps, parts })
    }

    /// The chosen maps.
    fn of(&self, head: &Tensor) -> Result<Tensor> {
        let (images, maps, height, width) = head.dims4().computed()?;
        let flat = head.detach().reshape((images * maps, height, width)).computed()?;
        Ok(flat
            .index_select(&self.places, 0)
            .computed()?
            .reshape((images / self.parts, self.parts, height, width))
            .computed()?)
    }

    /// The gradient to a head from that to its chosen maps.
    fn back(&self, head: &Tensor, gradient: &Tensor) -> Result<Tensor> {
        let (images, maps, height, width) = head.dims4().computed()?;
        let zeros = Tensor::zeros((images * maps, height, width), head.dtype(), head.device()).computed()?;
        let chosen =
            zeros.index_add(&self.places, &gradient.reshape((images, height, width)).computed()?, 0).computed()?;
        Ok(chosen.reshape(head.shape()).computed()?)
    }
}
