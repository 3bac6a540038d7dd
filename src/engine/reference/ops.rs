//! Every operation of a graph, forward and backward, on the device of its tensors: on the CPU in f32 and f64 by this
//! engine's own kernels, otherwise composed of candle's operations. Nothing here is recorded for candle's autograd.

use candle_core::{DType, Device, Result, Tensor};
use sweep_graph::{Activation, Interpolation, NormKind, Operation};

use super::normalisation::{Normalisation, grouped, ungrouped};
use super::sampling::{Tap, taps};
use super::{composed, kernels};

/// Calls the kernel of the tensor's type on the CPU, and the composed operation everywhere else.
macro_rules! dispatch {
    ($map:expr, $module:ident :: $function:ident ( $($argument:expr),* )) => {
        match ($map.device(), $map.dtype()) {
            (Device::Cpu, DType::F32) => kernels::$module::$function::<f32>($($argument),*),
            (Device::Cpu, DType::F64) => kernels::$module::$function::<f64>($($argument),*),
            _ => composed::$module::$function($($argument),*),
        }
    };
}

/// The pixels and channels that a convolution reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// Pixels from one tap to the next.
    pub(super) dilation: usize,
    /// Whether every output channel reads the input channel of the same index alone.
    pub(super) depthwise: bool,
}

/// `[B, C, H, W]`, weight `[O, C, k, k]` (`[C, 1, k, k]` if depthwise), optional bias `[O]` → `[B, O, H, W]`, stride 1. For a larger stride,
/// [`thin`](super::sampling::thin) follows: with a padding that keeps the size a stride only leaves out pixels.
pub(super) fn convolution(input: &Tensor, weight: &Tensor, bias: Option<&Tensor>, window: Window) -> Result<Tensor> {
    if window.depthwise {
        dispatch!(input, depthwise::forward(input, weight, bias, window))
    } else {
        dispatch!(input, convolution::forward(input, weight, bias, window))
    }
}

/// Gradient to the convolution's input, `[B, C, H, W]`.
pub(super) fn convolution_to_input(gradient: &Tensor, weight: &Tensor, window: Window) -> Result<Tensor> {
    if window.depthwise {
        dispatch!(gradient, depthwise::input_gradient(gradient, weight, window))
    } else {
        dispatch!(gradient, convolution::input_gradient(gradient, weight, window))
    }
}

/// Gradients to the convolution's weight, of its shape, and bias `[O]`.
pub(super) fn convolution_to_parameters(
    input: &Tensor,
    gradient: &Tensor,
    kernel: usize,
    window: Window,
) -> Result<[Tensor; 2]> {
    let weight = if window.depthwise {
        dispatch!(gradient, depthwise::weight_gradient(input, gradient, kernel, window))?
    } else {
        dispatch!(gradient, convolution::weight_gradient(input, gradient, kernel, window))?
    };
    let bias = dispatch!(gradient, convolution::bias_gradient(gradient))?;
    Ok([weight, bias])
}

/// Mean and (biased) variance of the values normalised together, in the shapes of [`Normalisation`].
pub(super) fn statistics(map: &Tensor, kind: NormKind) -> Result<(Tensor, Tensor)> {
    let grouped = grouped(map, kind)?;
    let (mean, variance) = dispatch!(grouped, normalisation::statistics(&grouped))?;
    let channels = map.dim(1)?;
    Ok((ungrouped(&mean, channels, kind)?, ungrouped(&variance, channels, kind)?))
}

/// `activation(normalise(map))`, of the map's shape.
pub(super) fn activate(map: &Tensor, norm: Option<&Normalisation>, activation: Activation) -> Result<Tensor> {
    match (norm, activation) {
        (None, Activation::Identity) => Ok(map.clone()),
        _ => dispatch!(map, normalisation::forward(map, norm, activation)),
    }
}

/// Gradients to the map and, with a normalisation by the map's own statistics, to its scale and shift.
pub(super) fn activate_backward(
    map: &Tensor,
    gradient: &Tensor,
    norm: Option<&Normalisation>,
    activation: Activation,
) -> Result<(Tensor, Option<[Tensor; 2]>)> {
    match (norm, activation) {
        (None, Activation::Identity) => Ok((gradient.clone(), None)),
        _ => dispatch!(map, normalisation::backward(map, gradient, norm, activation)),
    }
}

/// `[B, C, H, W]` → `[B, C, ⌊H/2⌋, ⌊W/2⌋]`, the maximum of every 2×2 block; for a `side` of 3 → `[B, C, ⌈H/2⌉, ⌈W/2⌉]`,
/// the maximum of the 3×3 pixels around every second one.
pub(super) fn max_pool(map: &Tensor, side: usize) -> Result<Tensor> {
    dispatch!(map, pooling::forward(map, side))
}

/// Gradient to the input of a pooling; it goes to the first maximum of every window in row order.
pub(super) fn max_pool_backward(map: &Tensor, gradient: &Tensor, side: usize) -> Result<Tensor> {
    dispatch!(map, pooling::backward(map, gradient, side))
}

/// `[B, C, h, w]` → `[B, C, H, W]` for `size = [H, W]`.
pub(super) fn upsample(map: &Tensor, size: [usize; 2], interpolation: Interpolation) -> Result<Tensor> {
    let (_, _, height, width) = map.dims4()?;
    resample(map, &[taps(interpolation, height, size[0]), taps(interpolation, width, size[1])])
}

/// Gradient to the map `[B, C, h, w]` for `size = [h, w]`.
pub(super) fn upsample_backward(gradient: &Tensor, size: [usize; 2], interpolation: Interpolation) -> Result<Tensor> {
    let (_, _, height, width) = gradient.dims4()?;
    resample_backward(gradient, size, &[taps(interpolation, size[0], height), taps(interpolation, size[1], width)])
}

/// `[B, C, h, w]` → `[B, C, H, W]`, from the taps of the H rows and of the W columns.
pub(crate) fn resample(map: &Tensor, taps: &[Vec<Tap>; 2]) -> Result<Tensor> {
    dispatch!(map, upsampling::forward(map, taps))
}

/// Gradient to the map `[B, C, h, w]` for `size = [h, w]`, from the gradient to the resampled one.
pub(crate) fn resample_backward(gradient: &Tensor, size: [usize; 2], taps: &[Vec<Tap>; 2]) -> Result<Tensor> {
    dispatch!(gradient, upsampling::backward(gradient, size, taps))
}

/// Combines `a` and `b`, of the same shape, value by value.
pub(super) fn combine(a: &Tensor, b: &Tensor, operation: Operation) -> Result<Tensor> {
    match (a.device(), a.dtype()) {
        (Device::Cpu, DType::F32) => kernels::combine::<f32>(a, b, operation),
        (Device::Cpu, DType::F64) => kernels::combine::<f64>(a, b, operation),
        _ if operation == Operation::Sum => Ok((a + b)?),
        _ => Ok((a * b)?),
    }
}
