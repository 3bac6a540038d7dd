//! Upsampling, by the kernels of the reference engine.

use candle_core::{Result, Tensor};
use sweep_graph::Interpolation;

use super::operation;
use crate::reference::ops::{resample, resample_backward};
use crate::reference::sampling::{Tap, half_pixel_taps, taps};

/// `[B, C, h, w]` → `[B, C, target_h, target_w]`: every pixel takes the value of the source pixel at or before it, as
/// [`Tensor::upsample_nearest2d`] does.
///
/// # Errors
/// When the tensor has another number of dimensions, or a size is zero.
pub fn upsample_nearest2d(map: &Tensor, target_h: usize, target_w: usize) -> Result<Tensor> {
    let along = |from: usize, to: usize| taps(Interpolation::Nearest, from, to);
    upsampled("upsample-nearest2d", map, [target_h, target_w], along)
}

/// `[B, C, h, w]` → `[B, C, target_h, target_w]` by bilinear interpolation, as [`Tensor::upsample_bilinear2d`] and PyTorch do.
/// With `align_corners` the centres of the corner pixels stay where they are, else the corners of the map.
///
/// # Errors
/// When the tensor has another number of dimensions, or a size is zero.
pub fn upsample_bilinear2d(map: &Tensor, target_h: usize, target_w: usize, align_corners: bool) -> Result<Tensor> {
    let along = |from: usize, to: usize| {
        if align_corners { taps(Interpolation::Bilinear, from, to) } else { half_pixel_taps(from, to) }
    };
    upsampled("upsample-bilinear2d", map, [target_h, target_w], along)
}

fn upsampled(
    name: &'static str,
    map: &Tensor,
    to: [usize; 2],
    along: impl Fn(usize, usize) -> Vec<Tap>,
) -> Result<Tensor> {
    let (_, _, height, width) = map.dims4()?;
    if [height, width, to[0], to[1]].contains(&0) {
        candle_core::bail!("{name}: from {height} × {width} to {} × {} pixels", to[0], to[1]);
    }
    let taps = [along(height, to[0]), along(width, to[1])];
    let result = resample(&map.detach().contiguous()?, &taps)?;
    operation(name, map, result, move |map, gradient| {
        let (_, _, height, width) = map.dims4()?;
        resample_backward(gradient, [height, width], &taps)
    })
}
