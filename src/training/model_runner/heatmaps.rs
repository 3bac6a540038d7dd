//! Target heatmaps of a stage, of fixed width or of widths that are trained with the network.

use candle_core::{DType, Device, Tensor};
use sweep_graph::tensors::TensorOperation as _;

use sweep_core::error::Result;
use sweep_core::units::{Point, Size};
use sweep_data::decode::MapKind;
use sweep_data::heatmap::{HeatmapSpec, Profiles, Widths};
use sweep_graph::params::ParamStore;
use sweep_graph::tensors::read;
use sweep_model::loss::gpu::put;
use sweep_model::loss::width::{self, Positions as Places};
use sweep_model::loss::{LossSpec, Targets};

/// Name of the trained widths among the parameters, after the prefix of a stage.
const WIDTHS: &str = "heatmap.sigma";

/// Target heatmaps of one stage.
pub(super) struct Heatmaps {
    spec: HeatmapSpec,
    /// Size of the image that they are drawn on, of which a target may be a crop.
    image_size: Size,
    loss: LossSpec,
    landmarks: usize,
    /// Name of their widths, if these are trained.
    name: String,
}

impl Heatmaps {
    pub(super) fn new(spec: HeatmapSpec, image_size: Size, loss: LossSpec, landmarks: usize, prefix: &str) -> Self {
        Self { spec, image_size, loss, landmarks, name: format!("{prefix}{WIDTHS}") }
    }

    /// Name and initial values of their widths, if these are trained.
    pub(super) fn trained(&self) -> Option<(&str, Vec<f64>)> {
        self.spec.trained().map(|sigma| (self.name.as_str(), vec![sigma; self.landmarks]))
    }

    /// The heatmaps with the widths of these parameters.
    pub(super) fn current(&self, parameters: &ParamStore) -> Result<CurrentHeatmaps<'_>> {
        if self.spec.trained().is_none() {
            return Ok(CurrentHeatmaps { heatmaps: self, widths: None });
        }
        let sigmas =
            parameters.view(&self.name)?.to_device(&Device::Cpu).computed()?.to_dtype(DType::F64).computed()?;
        let sigmas = read(&sigmas, |sigmas: &[f64]| Ok(sigmas.to_vec())).computed()?;
        let height = if let MapKind::Scaled { peak } = self.loss.map_kind() { f64::from(peak) } else { 1.0 };
        Ok(CurrentHeatmaps { heatmaps: self, widths: self.spec.widths(sigmas, height) })
    }
}

/// Target heatmaps with their present widths.
pub(super) struct CurrentHeatmaps<'a> {
    heatmaps: &'a Heatmaps,
    widths: Option<Widths>,
}

impl CurrentHeatmaps<'_> {
    /// Targets of images of this size; none for missing landmarks.
    pub(super) fn targets(&self, positions: &Places, size: Size) -> Targets {
        positions.iter().map(|landmarks| self.of_image(landmarks, size)).collect()
    }

    fn of_image(&self, landmarks: &[Option<Point>], size: Size) -> Vec<Option<Profiles>> {
        let drawn = |(landmark, at): (usize, &Option<Point>)| {
            at.map(|at| match &self.widths {
                Some(widths) => widths.profiles(landmark, at, size),
                None => self.heatmaps.spec.profiles_of_part(at, self.heatmaps.image_size, size),
            })
        };
        landmarks.iter().enumerate().map(drawn).collect()
    }

    /// The widths' part of the loss of images with these targets.
    pub(super) fn penalty(&self, targets: &[Vec<Option<Profiles>>]) -> f64 {
        self.widths.as_ref().map_or(0.0, |widths| width::penalty(widths, targets))
    }

    /// The loss of an image whose maps are all zero.
    pub(super) fn of_zeros(&self, landmarks: &[Option<Point>], size: Size) -> f64 {
        let targets = self.of_image(landmarks, size);
        self.heatmaps.loss.of_zeros(&targets) + self.penalty(std::slice::from_ref(&targets))
    }

    /// Confidence of a map relative to the height of its target: narrower targets are higher.
    pub(super) fn confidence(&self, landmark: usize, peak: f64) -> f64 {
        self.widths.as_ref().map_or(peak, |widths| (peak / widths.rise(landmark)).min(1.0))
    }

    /// Writes the widths' part of the gradient `[N]` with respect to [`ParamStore::trained`], from the gradient of the loss
    /// with respect to the maps `[B, K, H, W]` of every head.
    pub(super) fn write_gradient(
        &self,
        to_maps: &[Tensor],
        targets: &Targets,
        positions: &Places,
        parameters: &ParamStore,
        gradient: &Tensor,
    ) -> Result<()> {
        let Some(widths) = &self.widths else { return Ok(()) };
        let out = parameters.part_of(&self.heatmaps.name, gradient)?;
        if out.device().is_cpu() {
            return width::write_gradient(widths, to_maps, targets, positions, &out);
        }
        // On a GPU through the processor: the widths have no kernels.
        let to_maps = to_maps.iter().map(|maps| maps.to_device(&Device::Cpu)).collect::<candle_core::Result<Vec<_>>>();
        let here = Tensor::zeros(out.shape(), DType::F32, &Device::Cpu).computed()?;
        width::write_gradient(widths, &to_maps.computed()?, targets, positions, &here)?;
        put(sweep_graph::gpu::of(out.device())?.as_ref(), &here, &out)
    }
}
