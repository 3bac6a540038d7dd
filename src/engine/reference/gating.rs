//! Global average pooling, smooth activations, layer normalisation and gates, composed of candle's own forward operations: slow and obvious, on any
//! device and in any float type.

use candle_core::{Result, Tensor};
use sweep_graph::{Gating, SmoothActivation};

/// `[B, C, H, W]` → `[B, C, 1, 1]`: the mean of every channel's pixels.
pub(super) fn global_average_pool(map: &Tensor) -> Result<Tensor> {
    map.mean_keepdim((2, 3))
}

/// Gradient to the map `[B, C, H, W]` of `size = [H, W]`.
pub(super) fn global_average_pool_backward(gradient: &Tensor, [height, width]: [usize; 2]) -> Result<Tensor> {
    let (images, channels, _, _) = gradient.dims4()?;
    let share = gradient.affine(1.0 / (height * width) as f64, 0.0)?;
    share.broadcast_as((images, channels, height, width))?.contiguous()
}

/// `1 / (1 + exp(−x))`, value by value.
fn sigmoid(map: &Tensor) -> Result<Tensor> {
    (map.neg()?.exp()? + 1.0)?.recip()
}

/// A smooth activation, value by value.
pub(super) fn smooth(map: &Tensor, activation: SmoothActivation) -> Result<Tensor> {
    match activation {
        SmoothActivation::Sigmoid => sigmoid(map),
        SmoothActivation::Silu => map * sigmoid(map)?,
        SmoothActivation::Gelu => map * normal_distribution(map)?,
    }
}

/// `Φ(x) = (1 + erf(x/√2)) / 2`, value by value.
fn normal_distribution(map: &Tensor) -> Result<Tensor> {
    map.affine(std::f64::consts::FRAC_1_SQRT_2, 0.0)?.erf()?.affine(0.5, 0.5)
}

/// Gradient to the map, from the gradient to its smooth activation: with `s` the sigmoid, `s' = s·(1 − s)`, and `(x·s)' =
/// s + x·s'`; `Φ'` is the normal density.
pub(super) fn smooth_backward(map: &Tensor, gradient: &Tensor, activation: SmoothActivation) -> Result<Tensor> {
    let s = sigmoid(map)?;
    let slope = (&s - s.sqr()?)?;
    match activation {
        SmoothActivation::Gelu => {
            let density = (map.sqr()?.affine(-0.5, 0.0)?.exp()? * (0.5 / std::f64::consts::PI).sqrt())?;
            gradient * (normal_distribution(map)? + (map * density)?)?
        }
        SmoothActivation::Sigmoid => gradient * slope,
        SmoothActivation::Silu => gradient * (s + (map * slope)?)?,
    }
}

/// The channels of every pixel, brought to mean 0 and variance 1; and the factor that did it, `[B, 1, H, W]`.
pub(super) fn layer_norm(map: &Tensor, epsilon: f64) -> Result<[Tensor; 2]> {
    let centred = map.broadcast_sub(&map.mean_keepdim(1)?)?;
    let factor = (centred.sqr()?.mean_keepdim(1)? + epsilon)?.sqrt()?.recip()?;
    Ok([centred.broadcast_mul(&factor)?, factor])
}

/// Gradient to the map, from the gradient to its normalised values `y`: what of it is a multiple of 1 or of `y` cancels.
pub(super) fn layer_norm_backward(map: &Tensor, gradient: &Tensor, epsilon: f64) -> Result<Tensor> {
    let [normal, factor] = layer_norm(map, epsilon)?;
    let along = normal.broadcast_mul(&(gradient * &normal)?.mean_keepdim(1)?)?;
    (gradient.broadcast_sub(&gradient.mean_keepdim(1)?)? - along)?.broadcast_mul(&factor)
}

/// Product of a map `[B, C, H, W]` and its gate, `[B, 1, H, W]` or `[B, C, 1, 1]`.
pub(super) fn gate(map: &Tensor, gate: &Tensor) -> Result<Tensor> {
    map.broadcast_mul(gate)
}

/// Gradients to the map and to its gate.
pub(super) fn gate_backward([map, gate]: [&Tensor; 2], gradient: &Tensor, gating: Gating) -> Result<[Tensor; 2]> {
    let products = (gradient * map)?;
    let to_gate = match gating {
        Gating::Pixel => products.sum_keepdim(1)?,
        Gating::Channel => products.sum_keepdim((2, 3))?,
    };
    Ok([gradient.broadcast_mul(gate)?, to_gate])
}
