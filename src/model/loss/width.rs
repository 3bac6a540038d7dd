//! The part of a loss that trains the widths of heatmaps (Payer et al. 2019): the gradient of the difference between
//! maps and heatmaps to the widths, and a penalty on the widths, without which they would only grow.

use candle_core::{DType, Tensor};
use rayon::prelude::*;
use sweep_graph::tensors::TensorOperation as _;

use super::{Targets, scales};
use sweep_core::error::Result;
use sweep_core::units::{Point, Size};
use sweep_data::heatmap::{Profiles, Widths};
use sweep_graph::tensors::{change, read};

/// Positions of a batch's landmarks in pixels of the input, in the order of its targets.
pub type Positions = [Vec<Option<Point>>];

/// `½·α·σ_k²`, averaged like losses: over the landmarks of an image, then over images that have any.
#[must_use]
pub fn penalty(widths: &Widths, targets: &[Vec<Option<Profiles>>]) -> f64 {
    let of_landmark = |k: usize| 0.5 * widths.penalty() * widths.sigma(k).powi(2);
    each(targets).map(|(_, k, share)| share * of_landmark(k)).sum()
}

/// Present landmarks: image, landmark, and weight in the mean.
fn each(targets: &[Vec<Option<Profiles>>]) -> impl Iterator<Item = (usize, usize, f64)> {
    let images = targets.iter().filter(|image| image.iter().any(Option::is_some)).count();
    let shares = scales(targets, 1.0 / images.max(1) as f64);
    targets.iter().zip(shares).enumerate().flat_map(|(i, (image, share))| {
        image.iter().enumerate().filter(|(_, t)| t.is_some()).map(move |(k, _)| (i, k, share))
    })
}

/// Writes the gradient to the widths `[K]`: that of the penalty, and that of a loss of `output − height·heatmap` whose
/// gradients to the heads `[B, K, H, W]` are given.
///
/// # Errors
/// When a tensor is not contiguous and on the processor.
pub fn write_gradient(
    widths: &Widths,
    to_heads: &[Tensor],
    targets: &Targets,
    positions: &Positions,
    out: &Tensor,
) -> Result<()> {
    let landmarks = out.dims1().computed()?;
    let mut sums = vec![0.0; landmarks];
    for (_, k, share) in each(targets) {
        sums[k] += share * widths.penalty() * widths.sigma(k);
    }
    let present: Vec<(usize, usize)> = each(targets).map(|(i, k, _)| (i, k)).collect();
    for head in to_heads {
        let (_, _, height, width) = head.dims4().computed()?;
        let size = Size { height, width };
        let of = |plane: &[f64], i: usize, k: usize| {
            positions[i][k].map_or(0.0, |at| -widths.height() * widths.slope(k, at, size, plane))
        };
        let area = size.area();
        let wide = |plane: &[f32]| plane.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
        let parts: Vec<f64> = match head.dtype() {
            DType::F64 => read(head, |values: &[f64]| {
                Ok(present.par_iter().map(|(i, k)| of(&values[(i * landmarks + k) * area..][..area], *i, *k)).collect())
            })
            .computed()?,
            _ => read(head, |values: &[f32]| {
                let plane = |i: usize, k: usize| wide(&values[(i * landmarks + k) * area..][..area]);
                Ok(present.par_iter().map(|(i, k)| of(&plane(*i, *k), *i, *k)).collect())
            })
            .computed()?,
        };
        for ((_, k), part) in present.iter().zip(parts) {
            sums[*k] += part;
        }
    }
    match out.dtype() {
        DType::F64 => change(out, |out: &mut [f64]| {
            out.copy_from_slice(&sums);
            Ok(())
        })
        .computed()?,
        _ => change(out, |out: &mut [f32]| {
            for (out, sum) in out.iter_mut().zip(&sums) {
                *out = *sum as f32;
            }
            Ok(())
        })
        .computed()?,
    }
    Ok(())
}
