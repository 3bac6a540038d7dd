//! Convolution that doubles a map's size: the adjoint of a convolution with stride 2, composed of that one's operations.

use candle_core::{Result, Tensor};

use super::ops::{self, Window};
use super::sampling::{thin, thin_backward};

const WINDOW: Window = Window { dilation: 1, depthwise: false };

/// The same kernel with an odd side: zeros before its first row and column change nothing, because the padding of an even
/// kernel is smaller by one before the map than behind it.
fn odd(weight: &Tensor) -> Result<Tensor> {
    let even = usize::from(weight.dim(2)? % 2 == 0);
    weight.pad_with_zeros(2, even, 0)?.pad_with_zeros(3, even, 0)?.contiguous()
}

/// The map's pixels at every second pixel of every second row of a map of `size`, zeros between them.
fn spread(map: &Tensor, [height, width]: [usize; 2]) -> Result<Tensor> {
    let (_, _, rows, columns) = map.dims4()?;
    let missing = [height.div_ceil(2) - rows, width.div_ceil(2) - columns];
    let map = map.pad_with_zeros(2, 0, missing[0])?.pad_with_zeros(3, 0, missing[1])?.contiguous()?;
    thin_backward(&map, [height, width], 2)
}

/// `[B, C, h, w]`, weight `[C, O, k, k]`, optional bias `[O]` → `[B, O, H, W]` for `size = [H, W]`.
pub(super) fn forward(map: &Tensor, weight: &Tensor, bias: Option<&Tensor>, size: [usize; 2]) -> Result<Tensor> {
    let out = ops::convolution_to_input(&spread(map, size)?, &odd(weight)?, WINDOW)?;
    match bias {
        Some(bias) => out.broadcast_add(&bias.reshape((1, (), 1, 1))?),
        None => Ok(out),
    }
}

/// Gradients to the weight `[C, O, k, k]` and bias `[O]`.
pub(super) fn to_parameters(map: &Tensor, gradient: &Tensor, kernel: usize) -> Result<[Tensor; 2]> {
    let (_, _, height, width) = gradient.dims4()?;
    let even = 1 - kernel % 2;
    let [weight, _] = ops::convolution_to_parameters(gradient, &spread(map, [height, width])?, kernel + even, WINDOW)?;
    let weight = weight.narrow(2, even, kernel)?.narrow(3, even, kernel)?.contiguous()?;
    Ok([weight, gradient.sum((0, 2, 3))?])
}

/// Gradient to the map `[B, C, h, w]` of `size = [h, w]`.
pub(super) fn to_input(gradient: &Tensor, weight: &Tensor, [height, width]: [usize; 2]) -> Result<Tensor> {
    let all = thin(&ops::convolution(gradient, &odd(weight)?, None, WINDOW)?, 2)?;
    all.narrow(2, 0, height)?.narrow(3, 0, width)?.contiguous()
}
