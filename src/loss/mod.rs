//! Losses between a network's maps and the heatmaps of the true landmarks, averaged **per image**.
//!
//! Targets are never stored: a heatmap is the outer product of a row and a column profile. A missing landmark takes
//! part in nothing. Value and gradient come from one pass in closed form, with PyTorch's derivatives at the kinks.

#[cfg(any(feature = "cuda", test))]
pub(crate) mod gpu;
mod plane;

use candle_core::{DType, Tensor};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::data::decode::MapKind;
use crate::data::heatmap::Profiles;
use crate::error::{Error, Result};
use crate::tensors::{change, read};
use plane::{Number, differences, nll, sign};

/// Which loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LossSpec {
    /// Mean absolute difference of the maps (`L1Loss`).
    L1 {},
    /// `SmoothL1Loss`: squared below `beta` (`d²/2β`), absolute above (`|d| − β/2`).
    SmoothL1 {
        /// Where the two meet.
        #[serde(default = "one")]
        beta: f64,
    },
    /// Mean squared difference of the maps (`MSELoss`).
    Mse {},
    /// Negative log-likelihood: cross-entropy between a softmax over all positions of a map and the heatmap
    /// normalised to sum 1. The network's maps are logits.
    Nll {},
}

fn one() -> f64 {
    1.0
}

/// The heatmaps a batch should show: one row an image, one entry a landmark, `None` where it is missing.
pub type Targets = Vec<Vec<Option<Profiles>>>;

impl LossSpec {
    /// # Errors
    /// Names the key whose value is impossible.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::SmoothL1 { beta } if !(beta.is_finite() && *beta > 0.0) => {
                Err(Error::definition(format!("beta is {beta}")).at("beta").remedy("use a positive number, as 1.0"))
            }
            Self::L1 {} | Self::SmoothL1 { .. } | Self::Mse {} | Self::Nll {} => Ok(()),
        }
    }

    /// What this loss teaches a network to put into its maps.
    #[must_use]
    pub fn map_kind(&self) -> MapKind {
        match self {
            Self::L1 {} | Self::SmoothL1 { .. } | Self::Mse {} => MapKind::Heatmap,
            Self::Nll {} => MapKind::Logits,
        }
    }

    /// Loss of one image's maps `[K, H, W]`: the mean over its present landmarks (and, but for [`LossSpec::Nll`], over
    /// their pixels); 0 for an image without any.
    #[must_use]
    pub fn of_image(&self, planes: &[f32], targets: &[Option<Profiles>]) -> f64 {
        let present = targets.iter().flatten().count();
        let size = planes.len() / targets.len().max(1);
        let sum: f64 = planes
            .par_chunks(size.max(1))
            .zip(targets)
            .map(|(plane, target)| target.as_ref().map_or(0.0, |t| self.plane(plane, t, 1.0, None)))
            .collect::<Vec<_>>()
            .iter()
            .sum();
        sum / present.max(1) as f64
    }

    /// Loss of an all-zero output for one image.
    #[must_use]
    pub fn of_zeros(&self, targets: &[Option<Profiles>]) -> f64 {
        let area = targets.iter().flatten().next().map_or(0, |t| t.rows.len() * t.columns.len());
        self.of_image(&vec![0.0; area * targets.len()], targets)
    }

    /// Loss of one plane; writes its gradient times `scale`.
    fn plane<T: Number>(&self, plane: &[T], target: &Profiles, scale: f64, gradient: Option<&mut [T]>) -> f64 {
        let pixels = plane.len() as f64;
        match *self {
            Self::L1 {} => differences(plane, target, scale / pixels, gradient, |d| (d.abs(), sign(d))) / pixels,
            Self::Mse {} => {
                let two = T::of(2.0);
                differences(plane, target, scale / pixels, gradient, |d| (d * d, two * d)) / pixels
            }
            Self::SmoothL1 { beta } => {
                let (threshold, inverse, half) = (T::of(beta), T::of(1.0 / beta), T::of(0.5));
                differences(plane, target, scale / pixels, gradient, |d| {
                    let (size, slope) = (d.abs(), d * inverse);
                    let near = size < threshold;
                    let loss = if near { half * d * slope } else { size - half * threshold };
                    (loss, if near { slope } else { sign(d) })
                }) / pixels
            }
            Self::Nll {} => nll(plane, target, scale, gradient),
        }
    }
}

/// A loss as training uses it: its value and its gradient to every head, in buffers that stay.
#[derive(Debug)]
pub struct Criterion {
    loss: LossSpec,
    gradients: Vec<Tensor>,
    /// For heads on a GPU, from the first of them on.
    #[cfg(any(feature = "cuda", test))]
    gpu: Option<gpu::PlaneLosses>,
}

impl Criterion {
    /// Without buffers yet.
    #[must_use]
    pub fn new(loss: LossSpec) -> Self {
        Self {
            loss,
            gradients: Vec::new(),
            #[cfg(any(feature = "cuda", test))]
            gpu: None,
        }
    }

    /// For heads on this GPU.
    #[cfg(test)]
    pub(crate) fn with_gpu(loss: LossSpec, gpu: std::sync::Arc<dyn crate::gpu::Gpu>) -> Self {
        Self { gpu: Some(gpu::PlaneLosses::new(gpu)), ..Self::new(loss) }
    }

    /// The loss of heads `[B, K, H, W]` — the mean over heads of [`LossSpec::of_image`]'s mean over the images that have
    /// a landmark at all, 0 if none has — and its gradient to each head, of the head's shape. The gradients are written
    /// anew by the next call.
    ///
    /// # Errors
    /// When heads and targets do not fit each other, or heads are not contiguous, in f32 or, on the processor, f64.
    pub fn with_gradients(&mut self, heads: &[Tensor], targets: &Targets) -> Result<(f64, &[Tensor])> {
        let images = targets.iter().filter(|image| image.iter().any(Option::is_some)).count();
        let weight = 1.0 / (images.max(1) * heads.len().max(1)) as f64;
        self.gradients.truncate(heads.len());
        let mut value = 0.0;
        for (place, head) in heads.iter().enumerate() {
            check(head, targets)?;
            let fits = |old: &Tensor| old.dims() == head.dims() && old.dtype() == head.dtype();
            if !self.gradients.get(place).is_some_and(fits) {
                self.gradients.truncate(place);
                self.gradients.push(head.zeros_like()?.detach());
            }
            let gradient = &self.gradients[place];
            #[cfg(any(feature = "cuda", test))]
            if head.device().is_cuda() || self.gpu.is_some() {
                if self.gpu.is_none() {
                    self.gpu = Some(gpu::PlaneLosses::new(crate::gpu::of(head.device())?));
                }
                let Some(gpu) = &mut self.gpu else { continue };
                let scales = scales(targets, weight);
                let losses = gpu.of(self.loss, head, targets, Some((gradient, &scales)))?;
                let of_image = losses.chunks(head.dim(1)?.max(1)).map(|planes| planes.iter().sum::<f64>());
                value += of_image.zip(&scales).map(|(loss, scale)| loss * scale).sum::<f64>();
                continue;
            }
            value += match head.dtype() {
                DType::F64 => self.of_head::<f64>(head, gradient, targets, weight)?,
                _ => self.of_head::<f32>(head, gradient, targets, weight)?,
            };
        }
        Ok((value, &self.gradients))
    }

    /// `weight` times the sum over a head's images; writes its gradient.
    fn of_head<T: Number>(
        &self,
        head: &Tensor,
        gradient: &Tensor,
        targets: &Targets,
        weight: f64,
    ) -> candle_core::Result<f64> {
        let (_, landmarks, height, width) = head.dims4()?;
        let (loss, weights) = (self.loss, scales(targets, weight));
        change(gradient, |gradient: &mut [T]| {
            read(head, |maps: &[T]| {
                let planes = maps.par_chunks(height * width).zip(gradient.par_chunks_mut(height * width)).enumerate();
                let losses: Vec<f64> = planes
                    .map(|(index, (plane, gradient))| {
                        let (image, landmark) = (index / landmarks, index % landmarks);
                        let Some(target) = &targets[image][landmark] else {
                            gradient.fill(T::zero());
                            return 0.0;
                        };
                        weights[image] * loss.plane(plane, target, weights[image], Some(gradient))
                    })
                    .collect();
                Ok(losses.iter().sum())
            })
        })
    }
}

/// What every image's planes count in the loss: the image's weight, shared out among its landmarks.
fn scales(targets: &Targets, weight: f64) -> Vec<f64> {
    targets.iter().map(|image| weight / image.iter().flatten().count().max(1) as f64).collect()
}

/// That every plane of the maps has a target of its size, or none.
fn check(maps: &Tensor, targets: &Targets) -> Result<()> {
    let (images, landmarks, height, width) = maps.dims4()?;
    let fits = targets.len() == images
        && targets.iter().all(|image| image.len() == landmarks)
        && targets.iter().flatten().flatten().all(|t| t.rows.len() == height && t.columns.len() == width);
    if fits { Ok(()) } else { Err(Error::input(format!("maps of shape {:?} do not fit their targets", maps.dims()))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    pub(super) const LOSSES: [LossSpec; 5] = [
        LossSpec::L1 {},
        LossSpec::SmoothL1 { beta: 1.0 },
        LossSpec::SmoothL1 { beta: 0.1 },
        LossSpec::Mse {},
        LossSpec::Nll {},
    ];

    pub(super) fn profiles() -> Targets {
        let make = |shift: f32| Profiles {
            rows: (0..3).map(|y| (-(y as f32 - shift).abs()).exp()).collect(),
            columns: (0..4).map(|x| (-(x as f32 - 2.0 * shift).abs()).exp()).collect(),
        };
        vec![vec![Some(make(0.5)), None], vec![Some(make(1.25)), Some(make(0.0))], vec![None, None]]
    }

    pub(super) fn maps(nudge: Option<usize>, step: f64) -> Vec<f64> {
        let mut values: Vec<f64> = (0..72).map(|i| (f64::from(i) * 0.37).sin()).collect();
        if let Some(i) = nudge {
            values[i] += step;
        }
        values
    }

    pub(super) fn tensor(values: Vec<f64>) -> Tensor {
        Tensor::from_vec(values, (3, 2, 3, 4), &Device::Cpu).unwrap()
    }

    fn total(loss: LossSpec, values: Vec<f64>) -> f64 {
        Criterion::new(loss).with_gradients(&[tensor(values)], &profiles()).unwrap().0
    }

    fn gradients(loss: LossSpec, heads: &[Tensor]) -> Vec<Vec<f64>> {
        let mut criterion = Criterion::new(loss);
        // Buffers that were used before change nothing.
        let elsewhere = heads.iter().map(|head| head.affine(3.0, 1.0).unwrap()).collect::<Vec<_>>();
        criterion.with_gradients(&elsewhere, &profiles().into_iter().rev().collect()).unwrap();
        let (_, gradients) = criterion.with_gradients(heads, &profiles()).unwrap();
        let wide = |g: &Tensor| g.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap();
        gradients.iter().map(wide).collect()
    }

    #[test]
    fn gradients_are_the_central_differences() {
        for loss in LOSSES {
            for (i, analytic) in gradients(loss, &[tensor(maps(None, 0.0))])[0].iter().enumerate() {
                let h = 1e-5;
                let numeric = (total(loss, maps(Some(i), h)) - total(loss, maps(Some(i), -h))) / (2.0 * h);
                assert!((numeric - analytic).abs() < 1e-8, "{loss:?} at {i}: {analytic} against {numeric}");
            }
        }
    }

    #[test]
    fn heads_count_alike() {
        for loss in LOSSES {
            let heads = [maps(None, 0.0), maps(Some(0), 1.0)].map(tensor);
            let (value, _) = {
                let mut criterion = Criterion::new(loss);
                let (value, gradients) = criterion.with_gradients(&heads, &profiles()).unwrap();
                (value, gradients.len())
            };
            let alone: Vec<f64> = [maps(None, 0.0), maps(Some(0), 1.0)].map(|m| total(loss, m)).to_vec();
            assert!((value - f64::midpoint(alone[0], alone[1])).abs() < 1e-14);
            let (both, one) = (gradients(loss, &heads), gradients(loss, &heads[1..]));
            assert!(both[1].iter().zip(&one[0]).all(|(b, o)| (2.0 * b - o).abs() < 1e-15), "{loss:?}");
        }
    }

    #[test]
    fn single_precision_is_as_good_as_it_can_be() {
        // Maps as wide as in training, with a tail beside the lanes; logits as far apart as trained ones.
        let (height, width) = (50, 43);
        let target = |x: f32, y: f32| Profiles {
            rows: (0..height).map(|i| (-0.3 * (i as f32 - y).abs()).exp()).collect(),
            columns: (0..width).map(|i| (-0.3 * (i as f32 - x).abs()).exp()).collect(),
        };
        let targets = vec![vec![Some(target(12.3, 40.1)), Some(target(0.0, 7.7))]];
        let values: Vec<f32> = (0..2 * height * width).map(|i| (i as f32 * 0.7).sin() * 20.0).collect();
        let maps = Tensor::from_vec(values, (1, 2, height, width), &Device::Cpu).unwrap();
        for loss in LOSSES {
            let run = |dtype| {
                let mut criterion = Criterion::new(loss);
                let heads = [maps.to_dtype(dtype).unwrap()];
                let (value, gradients) = criterion.with_gradients(&heads, &targets).unwrap();
                let gradient = gradients[0].to_dtype(DType::F64).unwrap().flatten_all().unwrap();
                (value, gradient.to_vec1::<f64>().unwrap())
            };
            let ((narrow, found), (wide, exact)) = (run(DType::F32), run(DType::F64));
            assert!((narrow - wide).abs() < 5e-7 * wide, "{loss:?}: {narrow} against {wide}");
            let largest = exact.iter().fold(0.0f64, |m, g| m.max(g.abs()));
            let worst = found.iter().zip(&exact).fold(0.0f64, |m, (f, e)| m.max((f - e).abs()));
            assert!(worst < 5e-7 * largest, "{loss:?}: {worst:e} of {largest:e}");
        }
    }

    #[test]
    fn what_is_not_a_number_shows() {
        for loss in LOSSES {
            for place in [0, 11] {
                let mut values = maps(None, 0.0);
                values[place] = f64::NAN;
                let maps = tensor(values).to_dtype(DType::F32).unwrap();
                assert!(Criterion::new(loss).with_gradients(&[maps], &profiles()).unwrap().0.is_nan(), "{loss:?}");
            }
        }
    }

    #[test]
    fn targets_of_another_shape_are_refused() {
        let mut criterion = Criterion::new(LossSpec::L1 {});
        let mut targets = profiles();
        targets.pop();
        assert!(criterion.with_gradients(&[tensor(maps(None, 0.0))], &targets).is_err());
    }

    #[test]
    fn missing_landmarks_take_part_in_nothing() {
        for loss in LOSSES {
            let changed: Vec<f64> = maps(None, 0.0)
                .iter()
                .enumerate()
                .map(|(i, v)| if (12..24).contains(&i) || i >= 48 { 100.0 } else { *v })
                .collect();
            assert!((total(loss, changed) - total(loss, maps(None, 0.0))).abs() < 1e-15);
        }
    }

    #[test]
    fn batch_size_does_not_change_the_mean_per_image() {
        for loss in LOSSES {
            let all = maps(None, 0.0);
            let single: Vec<f64> = (0..3)
                .map(|image| {
                    let planes: Vec<f32> = all[image * 24..(image + 1) * 24].iter().map(|v| *v as f32).collect();
                    loss.of_image(&planes, &profiles()[image])
                })
                .collect();
            assert!((total(loss, all) - single.iter().sum::<f64>() / 2.0).abs() < 1e-6, "{loss:?}");
        }
    }

    #[test]
    fn a_zero_output_scores_the_size_of_the_target() {
        let target = &profiles()[0];
        let heat = target[0].as_ref().unwrap();
        let sum = |power: i32| -> f64 {
            heat.rows.iter().flat_map(|r| heat.columns.iter().map(move |c| f64::from(r * c).powi(power))).sum::<f64>()
        };
        assert!((LossSpec::L1 {}.of_zeros(target) - sum(1) / 12.0).abs() < 1e-7);
        assert!((LossSpec::SmoothL1 { beta: 1.0 }.of_zeros(target) - sum(2) / 24.0).abs() < 1e-7);
        assert!((LossSpec::Nll {}.of_zeros(target) - 12f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn unknown_keys_are_refused_even_for_losses_without_any() {
        assert!(toml::from_str::<LossSpec>("name = \"l1\"\nbeta = 2").is_err());
    }
}
