//! Losses between a network's maps and the heatmaps of the true landmarks, averaged **per image**.
//!
//! Targets are never stored: a heatmap is the outer product of a row and a column profile. A missing landmark takes
//! part in nothing. Value and gradient come from one pass in closed form, with PyTorch's derivatives at the kinks.

use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};
use num_traits::Float;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::data::decode::MapKind;
use crate::data::heatmap::Profiles;
use crate::error::{Error, Result};

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

    /// Loss of each image, `[B]`, of maps `[B, K, H, W]`: the mean over its present landmarks (and, but for
    /// [`LossSpec::Nll`], over their pixels); 0 for an image without any. Differentiable with respect to the maps.
    ///
    /// # Errors
    /// When maps and targets do not fit each other.
    pub fn per_image(&self, maps: &Tensor, targets: Targets) -> Result<Tensor> {
        let op = PerImage { loss: *self, targets, gradient: Mutex::new(None) };
        Ok(maps.contiguous()?.apply_op1(op)?)
    }

    /// Loss of one image as [`LossSpec::per_image`], without a gradient; `planes` is `[K, H, W]`.
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
    fn plane<T: Real>(&self, plane: &[T], target: &Profiles, scale: f64, gradient: Option<&mut [T]>) -> f64 {
        let pixels = plane.len() as f64;
        match *self {
            Self::L1 {} => differences(plane, target, scale / pixels, gradient, |d| (d.abs(), sign(d))) / pixels,
            Self::Mse {} => {
                let two = T::of(2.0);
                differences(plane, target, scale / pixels, gradient, |d| (d * d, two * d)) / pixels
            }
            Self::SmoothL1 { beta } => {
                let (beta, half) = (T::of(beta), T::of(0.5));
                differences(plane, target, scale / pixels, gradient, |d| {
                    let size = d.abs();
                    if size < beta { (half * d * d / beta, d / beta) } else { (size - half * beta, sign(d)) }
                }) / pixels
            }
            Self::Nll {} => nll(plane, target, scale, gradient),
        }
    }
}

/// Floating point types a loss is computed in.
trait Real: Float + std::ops::AddAssign + Send + Sync {
    fn of(value: f64) -> Self;
    fn wide(self) -> f64;
}

impl Real for f32 {
    fn of(value: f64) -> Self {
        value as Self
    }
    fn wide(self) -> f64 {
        f64::from(self)
    }
}

impl Real for f64 {
    fn of(value: f64) -> Self {
        value
    }
    fn wide(self) -> f64 {
        self
    }
}

/// −1, 0 or 1: the derivative of `|d|` as PyTorch has it, 0 at 0.
fn sign<T: Float>(d: T) -> T {
    if d > T::zero() {
        T::one()
    } else if d < T::zero() {
        -T::one()
    } else {
        d * T::zero()
    }
}

/// Lanes of partial sums: enough for the widest vectors, and a fixed order of additions on every machine.
const LANES: usize = 16;

/// Sum of a pointwise loss of `output − target`; `point` returns value and derivative.
fn differences<T: Real>(
    plane: &[T],
    target: &Profiles,
    scale: f64,
    gradient: Option<&mut [T]>,
    point: impl Fn(T) -> (T, T),
) -> f64 {
    let width = target.columns.len();
    let scale = T::of(scale);
    let columns: Vec<T> = target.columns.iter().map(|c| T::of(f64::from(*c))).collect();
    let mut sum = 0.0;
    let mut gradient_rows = gradient.map(|g| g.chunks_exact_mut(width));
    for (row, row_profile) in plane.chunks_exact(width).zip(&target.rows) {
        let height = T::of(f64::from(*row_profile));
        let mut lanes = [T::zero(); LANES];
        if let Some(out) = gradient_rows.as_mut().and_then(Iterator::next) {
            for ((values, columns), out) in row.chunks(LANES).zip(columns.chunks(LANES)).zip(out.chunks_mut(LANES)) {
                for (((lane, value), column), out) in lanes.iter_mut().zip(values).zip(columns).zip(out) {
                    let (loss, slope) = point(*value - height * *column);
                    *lane += loss;
                    *out = slope * scale;
                }
            }
        } else {
            for (values, columns) in row.chunks(LANES).zip(columns.chunks(LANES)) {
                for ((lane, value), column) in lanes.iter_mut().zip(values).zip(columns) {
                    *lane += point(*value - height * *column).0;
                }
            }
        }
        sum += lanes.iter().map(|l| l.wide()).sum::<f64>();
    }
    sum
}

/// `log Σ exp(z) − Σ t·z` with `t` the normalised target; gradient `softmax(z) − t`.
fn nll<T: Real>(plane: &[T], target: &Profiles, scale: f64, gradient: Option<&mut [T]>) -> f64 {
    let width = target.columns.len();
    let total = |profile: &[f32]| profile.iter().map(|v| f64::from(*v)).sum::<f64>();
    let (row_sum, column_sum) = (total(&target.rows), total(&target.columns));
    let normalised = |profile: &[f32], sum: f64| -> Vec<f64> { profile.iter().map(|v| f64::from(*v) / sum).collect() };
    let (rows, columns) = (normalised(&target.rows, row_sum), normalised(&target.columns, column_sum));
    let largest = plane.iter().fold(T::neg_infinity(), |m, v| if *v > m || v.is_nan() { *v } else { m });
    let mut exponentials = 0.0;
    let mut expected = 0.0;
    for (row, row_weight) in plane.chunks_exact(width).zip(&rows) {
        let mut dot = 0.0;
        for (value, column) in row.iter().zip(&columns) {
            exponentials += (*value - largest).exp().wide();
            dot += value.wide() * column;
        }
        expected += dot * row_weight;
    }
    if let Some(gradient) = gradient {
        let inverse = 1.0 / exponentials;
        for ((row, out), row_weight) in plane.chunks_exact(width).zip(gradient.chunks_exact_mut(width)).zip(&rows) {
            for ((value, out), column) in row.iter().zip(out).zip(&columns) {
                let probability = (*value - largest).exp().wide() * inverse;
                *out = T::of(scale * (probability - row_weight * column));
            }
        }
    }
    largest.wide() + exponentials.ln() - expected
}

/// The loss as an operation on candle tensors; its gradient is made with its value and kept for the backward pass.
struct PerImage {
    loss: LossSpec,
    targets: Targets,
    gradient: Mutex<Option<CpuStorage>>,
}

impl PerImage {
    /// Loss per image and gradient of each image's loss with respect to its own maps, `[B, K, H, W]`.
    fn compute<T: Real>(&self, maps: &[T], landmarks: usize, area: usize) -> (Vec<T>, Vec<T>) {
        let mut gradient = vec![T::zero(); maps.len()];
        let present: Vec<usize> = self.targets.iter().map(|image| image.iter().flatten().count()).collect();
        let planes: Vec<f64> = maps
            .par_chunks(area)
            .zip(gradient.par_chunks_mut(area))
            .enumerate()
            .map(|(index, (plane, gradient))| {
                let (image, landmark) = (index / landmarks, index % landmarks);
                let scale = 1.0 / present[image].max(1) as f64;
                let target = self.targets[image][landmark].as_ref();
                target.map_or(0.0, |t| scale * self.loss.plane(plane, t, scale, Some(gradient)))
            })
            .collect();
        let losses = planes.chunks(landmarks).map(|image| T::of(image.iter().sum())).collect();
        (losses, gradient)
    }
}

impl CustomOp1 for PerImage {
    fn name(&self) -> &'static str {
        "loss per image"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (images, landmarks, height, width) = layout.shape().dims4()?;
        let fits = self.targets.len() == images
            && self.targets.iter().all(|image| image.len() == landmarks)
            && self.targets.iter().flatten().flatten().all(|t| t.rows.len() == height && t.columns.len() == width);
        let Some((start, end)) = layout.contiguous_offsets().filter(|_| fits) else {
            candle_core::bail!("maps of shape {:?} do not fit their targets", layout.shape());
        };
        let area = height * width;
        let (losses, gradient) = match storage {
            CpuStorage::F32(maps) => {
                let (losses, gradient) = self.compute(&maps[start..end], landmarks, area);
                (CpuStorage::F32(losses), CpuStorage::F32(gradient))
            }
            CpuStorage::F64(maps) => {
                let (losses, gradient) = self.compute(&maps[start..end], landmarks, area);
                (CpuStorage::F64(losses), CpuStorage::F64(gradient))
            }
            _ => candle_core::bail!("losses are computed in f32 or f64"),
        };
        *self.gradient.lock().map_err(|_| candle_core::Error::Msg("loss gradient lost".into()))? = Some(gradient);
        Ok((losses, images.into()))
    }

    fn bwd(&self, maps: &Tensor, _losses: &Tensor, upstream: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let kept = self.gradient.lock().map_err(|_| candle_core::Error::Msg("loss gradient lost".into()))?.take();
        let gradient = match kept {
            Some(CpuStorage::F32(values)) => Tensor::from_vec(values, maps.shape(), maps.device())?,
            Some(CpuStorage::F64(values)) => Tensor::from_vec(values, maps.shape(), maps.device())?,
            _ => candle_core::bail!("a loss can be differentiated once"),
        };
        let upstream = upstream.to_dtype(maps.dtype())?.reshape((maps.dim(0)?, 1, 1, 1))?;
        Ok(Some(gradient.broadcast_mul(&upstream)?))
    }
}

/// Mean over the images that have a landmark at all, as a scalar to differentiate; 0 if none has.
///
/// # Errors
/// When a tensor operation fails.
pub fn mean_over_images(per_image: &Tensor, images_with_landmarks: usize) -> Result<Tensor> {
    Ok((per_image.sum_all()? / images_with_landmarks.max(1) as f64)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    const LOSSES: [LossSpec; 5] = [
        LossSpec::L1 {},
        LossSpec::SmoothL1 { beta: 1.0 },
        LossSpec::SmoothL1 { beta: 0.1 },
        LossSpec::Mse {},
        LossSpec::Nll {},
    ];

    fn profiles() -> Targets {
        let make = |shift: f32| Profiles {
            rows: (0..3).map(|y| (-(y as f32 - shift).abs()).exp()).collect(),
            columns: (0..4).map(|x| (-(x as f32 - 2.0 * shift).abs()).exp()).collect(),
        };
        vec![vec![Some(make(0.5)), None], vec![Some(make(1.25)), Some(make(0.0))], vec![None, None]]
    }

    fn maps(nudge: Option<usize>, step: f64) -> Vec<f64> {
        let mut values: Vec<f64> = (0..72).map(|i| (f64::from(i) * 0.37).sin()).collect();
        if let Some(i) = nudge {
            values[i] += step;
        }
        values
    }

    fn total(loss: LossSpec, values: Vec<f64>) -> f64 {
        let maps = Tensor::from_vec(values, (3, 2, 3, 4), &Device::Cpu).unwrap();
        let per_image = loss.per_image(&maps, profiles()).unwrap();
        mean_over_images(&per_image, 2).unwrap().to_scalar().unwrap()
    }

    #[test]
    fn gradients_are_the_central_differences() {
        for loss in LOSSES {
            let maps_var = Var::from_vec(maps(None, 0.0), (3, 2, 3, 4), &Device::Cpu).unwrap();
            let per_image = loss.per_image(&maps_var, profiles()).unwrap();
            let gradients = mean_over_images(&per_image, 2).unwrap().backward().unwrap();
            let gradient: Vec<f64> = gradients.get(&maps_var).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            for (i, analytic) in gradient.iter().enumerate() {
                let h = 1e-5;
                let numeric = (total(loss, maps(Some(i), h)) - total(loss, maps(Some(i), -h))) / (2.0 * h);
                assert!((numeric - analytic).abs() < 1e-8, "{loss:?} at {i}: {analytic} against {numeric}");
            }
        }
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
    fn derivative_at_zero_difference_is_zero() {
        assert_eq!([0.0, -2.0, 3.0].map(|d: f64| sign(d) as i32), [0, -1, 1]);
        assert!(sign(f32::NAN).is_nan());
    }

    #[test]
    fn unknown_keys_are_refused_even_for_losses_without_any() {
        assert!(toml::from_str::<LossSpec>("name = \"l1\"\nbeta = 2").is_err());
    }
}
