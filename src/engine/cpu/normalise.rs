//! Normalisation's arithmetic per channel: what scales and shifts it amounts to, and what its gradients are made of.

use super::kernels::norm::{GradientSums, Moments};
use super::layout::Activate;
use super::network::{Layer, Norm};
use super::simd::LANES;

/// Added to a variance before its root.
const EPSILON: f64 = 1e-5;
/// Share of a batch in the running statistics.
const MOMENTUM: f64 = 0.1;

/// What a layer's forward pass leaves for its readers and its backward pass.
#[derive(Debug, Clone, Default)]
pub(super) struct LayerState {
    /// Per block.
    pub(super) activate: Vec<Activate>,
    /// Batch mean per lane, zero without normalisation.
    pub(super) mean: Vec<f32>,
    /// `1/√(variance + ε)` per lane.
    pub(super) inverse: Vec<f64>,
}

/// The lanes of one block of a per-channel vector, zero where it ends.
pub(super) fn lanes(values: &[f32], block: usize) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    for (lane, value) in lanes.iter_mut().zip(values.iter().skip(block * LANES)) {
        *lane = *value;
    }
    lanes
}

pub(super) fn activate(layer: &Layer, scale: &[f32], shift: &[f32]) -> Vec<Activate> {
    (0..layer.blocks())
        .map(|block| Activate { scale: lanes(scale, block), shift: lanes(shift, block), slope: layer.slope })
        .collect()
}

/// Scale and shift per channel that bias and normalisation amount to with running statistics.
pub(super) fn fixed_norm(layer: &Layer, trained: &[f32], statistics: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let bias = &trained[layer.bias..][..layer.outputs];
    let Some(norm) = layer.norm else { return (vec![1.0; layer.outputs], bias.to_vec()) };
    (0..layer.outputs)
        .map(|c| {
            let inverse = 1.0 / (f64::from(statistics[norm.variance + c]) + EPSILON).sqrt();
            let scale = f64::from(trained[norm.scale + c]) * inverse;
            let centred = f64::from(bias[c]) - f64::from(statistics[norm.mean + c]);
            (scale as f32, (f64::from(trained[norm.shift + c]) + centred * scale) as f32)
        })
        .unzip()
}

/// Normalisation by a batch's moments; moves the running statistics.
pub(super) fn batch_norm(layer: &Layer, trained: &[f32], moments: &[Moments], statistics: &mut [f32]) -> LayerState {
    let Some(norm) = layer.norm else { return LayerState::default() };
    let lanes = layer.blocks() * LANES;
    let (mut scale, mut shift) = (vec![0.0f32; lanes], vec![0.0f32; lanes]);
    let (mut mean, mut inverse) = (vec![0.0f32; lanes], vec![0.0f64; lanes]);
    for (c, moments) in moments.iter().enumerate().take(layer.outputs) {
        mean[c] = moments.mean as f32;
        inverse[c] = 1.0 / (moments.squares / moments.count + EPSILON).sqrt();
        scale[c] = (f64::from(trained[norm.scale + c]) * inverse[c]) as f32;
        shift[c] = (f64::from(trained[norm.shift + c]) - moments.mean * f64::from(scale[c])) as f32;
        let mut run = |place: usize, batch: f64| {
            let old = f64::from(statistics[place]);
            statistics[place] = ((1.0 - MOMENTUM) * old + MOMENTUM * batch) as f32;
        };
        run(norm.mean + c, moments.mean + f64::from(trained[layer.bias + c]));
        run(norm.variance + c, moments.squares / (moments.count - 1.0));
    }
    LayerState { activate: activate(layer, &scale, &shift), mean, inverse }
}

/// Writes the gradients to scale and shift, and returns what the gradient to the convolution's result is made of:
/// factor, offset and drift per lane, for `factor·(g + offset − y·drift)`. With `n` values of a channel and `x` the
/// normalised ones, that is `scale/σ · (g − Σg/n − x·Σ(g·x)/n)`.
pub(super) fn norm_gradient(
    layer: &Layer,
    norm: Norm,
    state: &LayerState,
    sums: &GradientSums,
    count: usize,
    out: &mut [f32],
) -> [Vec<f32>; 3] {
    let lanes = vec![0.0f32; state.mean.len()];
    let (mut factor, mut offset, mut drift) = (lanes.clone(), lanes.clone(), lanes);
    for channel in 0..layer.outputs {
        let (plain, inverse) = (sums.plain[channel], state.inverse[channel]);
        let product = sums.deviations[channel] * inverse;
        out[norm.scale + channel] = product as f32;
        out[norm.shift + channel] = plain as f32;
        let slope = product * inverse / count as f64;
        factor[channel] = state.activate[channel / LANES].scale[channel % LANES];
        drift[channel] = slope as f32;
        offset[channel] = (f64::from(state.mean[channel]) * slope - plain / count as f64) as f32;
    }
    [factor, offset, drift]
}
