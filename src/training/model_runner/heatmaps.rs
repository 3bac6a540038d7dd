//! The heatmaps that a stage is taught to draw: as said, or of widths that are parameters themselves, beside the
//! network's.

use candle_core::{DType, Device, Tensor};
use sweep_graph::tensors::TensorOperation as _;

use sweep_core::error::{Error, Kind, Result};
use sweep_core::units::{Point, Size};
use sweep_data::decode::MapKind;
use sweep_data::heatmap::{HeatmapSpec, Profiles, Widths};
use sweep_graph::params::ParamStore;
use sweep_graph::tensors::read;
use sweep_model::loss::width::{self, Places};
use sweep_model::loss::{LossSpec, Targets};

/// Name of trained widths among the parameters, behind a stage's prefix.
const WIDTHS: &str = "heatmap.sigma";

/// The heatmaps of one stage.
pub(super) struct Heatmaps {
    spec: HeatmapSpec,
    /// Size of the picture that they are drawn on, whole or in parts.
    whole: Size,
    loss: LossSpec,
    landmarks: usize,
    /// Of their widths, where these are trained.
    name: String,
}

impl Heatmaps {
    pub(super) fn new(spec: HeatmapSpec, whole: Size, loss: LossSpec, landmarks: usize, prefix: &str) -> Self {
        Self { spec, whole, loss, landmarks, name: format!("{prefix}{WIDTHS}") }
    }

    /// Their widths' name and start, where these are trained.
    pub(super) fn trained(&self) -> Option<(&str, Vec<f64>)> {
        self.spec.trained().map(|sigma| (self.name.as_str(), vec![sigma; self.landmarks]))
    }

    /// As they are with these parameters.
    pub(super) fn now(&self, parameters: &ParamStore) -> Result<Now<'_>> {
        if self.spec.trained().is_none() {
            return Ok(Now { of: self, widths: None });
        }
        let sigmas =
            parameters.view(&self.name)?.to_device(&Device::Cpu).computed()?.to_dtype(DType::F64).computed()?;
        let sigmas = read(&sigmas, |sigmas: &[f64]| Ok(sigmas.to_vec())).computed()?;
        let height = if let MapKind::Scaled { peak } = self.loss.map_kind() { f64::from(peak) } else { 1.0 };
        Ok(Now { of: self, widths: self.spec.widths(sigmas, height) })
    }
}

/// The heatmaps of a moment.
pub(super) struct Now<'a> {
    of: &'a Heatmaps,
    widths: Option<Widths>,
}

impl Now<'_> {
    /// What images of this size should show; nothing of landmarks that are missing.
    pub(super) fn targets(&self, places: &Places, size: Size) -> Targets {
        places.iter().map(|landmarks| self.of_image(landmarks, size)).collect()
    }

    fn of_image(&self, landmarks: &[Option<Point>], size: Size) -> Vec<Option<Profiles>> {
        let drawn = |(landmark, at): (usize, &Option<Point>)| {
            at.map(|at| match &self.widths {
                Some(widths) => widths.profiles(landmark, at, size),
                None => self.of.spec.profiles_of_part(at, self.of.whole, size),
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
        self.of.loss.of_zeros(&targets) + self.penalty(std::slice::from_ref(&targets))
    }

    /// How sure a map is of its landmark, beside what it was taught to show: narrower heatmaps are higher.
    pub(super) fn confidence(&self, landmark: usize, shown: f64) -> f64 {
        self.widths.as_ref().map_or(shown, |widths| (shown / widths.rise(landmark)).min(1.0))
    }

    /// Writes the widths' part of a gradient `[N]` to [`ParamStore::trained`], from that of the loss to maps
    /// `[B, K, H, W]` of every head.
    pub(super) fn write_gradient(
        &self,
        to_maps: &[Tensor],
        targets: &Targets,
        places: &Places,
        parameters: &ParamStore,
        gradient: &Tensor,
    ) -> Result<()> {
        let Some(widths) = &self.widths else { return Ok(()) };
        if !gradient.device().is_cpu() {
            let what = "learned-gaussian heatmaps are trained on the processor only";
            return Err(Error::new(Kind::Device, what).remedy("use --device cpu, or the heatmap gaussian"));
        }
        width::write_gradient(widths, to_maps, targets, places, &parameters.part_of(&self.of.name, gradient)?)
    }
}
