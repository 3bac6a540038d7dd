//! Normalisation's arithmetic per channel: its scales and shifts, and the sums that its gradients consist of.

use std::ops::Range;

use super::kernels::norm::{GradientSums, Moments};
use super::layout::Activate;
use super::simd::LANES;
use crate::plan::network::{Layer, Norm, Together};

/// Weight of a batch in the running statistics.
const MOMENTUM: f64 = 0.1;

/// Results of a layer's forward pass for its readers and its backward pass. Vectors of numbers are
/// `[block][image][lane]`, empty without normalisation.
#[derive(Debug, Clone, Default)]
pub(super) struct LayerState {
    /// Images.
    images: usize,
    /// Activation for readers, `[block][image]`.
    pub(super) activate: Vec<Activate>,
    /// Mean of the values that are normalised together.
    pub(super) mean: Vec<f32>,
    /// Their `1/√(variance + ε)`.
    inverse: Vec<f64>,
    /// Mean of the channel alone minus their mean.
    own_mean: Vec<f64>,
}

impl LayerState {
    /// The state without normalisation.
    pub(super) fn plain(layer: &Layer, images: usize) -> Self {
        let (count, bend) = (layer.blocks() * images, layer.bend);
        let activate = vec![Activate { scale: [1.0; LANES], shift: [0.0; LANES], bend }; count];
        Self { images, activate, mean: vec![0.0; count * LANES], inverse: Vec::new(), own_mean: Vec::new() }
    }

    /// Activation that readers apply to a block, per image.
    pub(super) fn of_block(&self, block: usize) -> &[Activate] {
        &self.activate[block * self.images..][..self.images]
    }
}

/// Scale and shift per channel that are equivalent to bias and batch normalisation with running statistics.
pub(super) fn fixed_norm(layer: &Layer, trained: &[f32], statistics: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let bias = |channel: usize| layer.bias.map_or(0.0, |bias| trained[bias + channel]);
    let Some(Norm { scale, shift, together: Together::Batch { mean, variance }, epsilon }) = layer.norm else {
        return (vec![1.0; layer.outputs], (0..layer.outputs).map(bias).collect());
    };
    (0..layer.outputs)
        .map(|c| {
            let inverse = 1.0 / (f64::from(statistics[variance + c]) + epsilon).sqrt();
            let scale = f64::from(trained[scale + c]) * inverse;
            let centred = f64::from(bias(c)) - f64::from(statistics[mean + c]);
            (scale as f32, (f64::from(trained[shift + c]) + centred * scale) as f32)
        })
        .unzip()
}

/// Images and channels that are normalised together.
struct Set {
    images: Range<usize>,
    channels: Range<usize>,
}

impl Set {
    /// All sets, for a batch of this many images.
    fn all(layer: &Layer, norm: Norm, images: usize) -> impl Iterator<Item = Self> {
        let (apart, together) = match norm.together {
            Together::Batch { .. } => (1, 1),
            Together::Group { channels } => (images, channels),
        };
        let channels = (0..layer.outputs).step_by(together).map(move |first| first..first + together);
        channels.flat_map(move |channels| {
            let images = (0..apart).map(move |image| image * images / apart..(image + 1) * images / apart);
            images.map(move |images| Self { images, channels: channels.clone() })
        })
    }

    /// Every channel of every image, and its index in `[block][image][lane]` for this many images.
    fn indices(&self, images: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        let index = move |image, channel| (channel, (channel / LANES * images + image) * LANES + channel % LANES);
        self.images.clone().flat_map(move |image| self.channels.clone().map(move |channel| index(image, channel)))
    }
}

/// Normalisation by the moments of every image and channel, `[block][image][lane]`; updates the running statistics of a
/// batch normalisation.
pub(super) fn normalise(
    layer: &Layer,
    norm: Norm,
    images: usize,
    trained: &[f32],
    moments: &[Moments],
    statistics: &mut [f32],
) -> LayerState {
    let mut state = LayerState {
        inverse: vec![0.0; moments.len()],
        own_mean: vec![0.0; moments.len()],
        ..LayerState::plain(layer, images)
    };
    for set in Set::all(layer, norm, images) {
        let all = set.indices(images).fold(Moments::default(), |all, (_, index)| all.merge(moments[index]));
        let inverse = 1.0 / (all.squares / all.count + norm.epsilon).sqrt();
        for (channel, index) in set.indices(images) {
            let scale = (f64::from(trained[norm.scale + channel]) * inverse) as f32;
            let shift = (f64::from(trained[norm.shift + channel]) - all.mean * f64::from(scale)) as f32;
            let activate = &mut state.activate[index / LANES];
            (activate.scale[index % LANES], activate.shift[index % LANES]) = (scale, shift);
            state.mean[index] = all.mean as f32;
            state.inverse[index] = inverse;
            state.own_mean[index] = moments[index].mean - all.mean;
        }
        if let Together::Batch { mean, variance } = norm.together {
            let channel = set.channels.start;
            let mut run = |index: usize, batch: f64| {
                let old = f64::from(statistics[index]);
                statistics[index] = ((1.0 - MOMENTUM) * old + MOMENTUM * batch) as f32;
            };
            let bias = layer.bias.map_or(0.0, |bias| f64::from(trained[bias + channel]));
            run(mean + channel, all.mean + bias);
            run(variance + channel, all.squares / (all.count - 1.0));
        }
    }
    state
}

/// Writes the gradient to the bias, if there is one, of a layer without normalisation.
pub(super) fn bias_gradient(layer: &Layer, state: &LayerState, sums: &GradientSums, out: &mut [f32]) {
    let Some(bias) = layer.bias else { return };
    for (channel, out) in out[bias..][..layer.outputs].iter_mut().enumerate() {
        let all = Set { images: 0..state.images, channels: channel..channel + 1 };
        *out = all.indices(state.images).map(|(_, index)| sums.plain[index]).sum::<f64>() as f32;
    }
}

/// Writes the gradients to scale, shift and, if there is one, bias. Returns the parts of the gradient to the
/// convolution's result `y`: factor, offset and drift, `[block][image][lane]`, for `factor·g + offset − y·drift`. With
/// scales `s`, `n` values normalised together and their normalised values `x`, that is `(s·g − Σ(s·g)/n −
/// x·Σ(s·g·x)/n)/σ`. `area` is the number of pixels.
pub(super) fn norm_gradient(
    layer: &Layer,
    norm: Norm,
    state: &LayerState,
    sums: &GradientSums,
    trained: &[f32],
    area: usize,
    out: &mut [f32],
) -> [Vec<f32>; 3] {
    let lanes = vec![0.0f32; state.mean.len()];
    let (mut factor, mut offset, mut drift) = (lanes.clone(), lanes.clone(), lanes);
    let [mut to_scale, mut to_shift, mut to_bias] = [(); 3].map(|()| vec![0.0f64; layer.outputs]);
    for set in Set::all(layer, norm, state.images) {
        let count = (set.images.len() * set.channels.len() * area) as f64;
        let scale = |channel: usize| f64::from(trained[norm.scale + channel]);
        let (mut plain, mut product) = (0.0, 0.0);
        for (channel, index) in set.indices(state.images) {
            to_shift[channel] += sums.plain[index];
            to_scale[channel] += sums.deviations[index] * state.inverse[index];
            plain += scale(channel) * sums.plain[index];
            product += scale(channel) * sums.deviations[index] * state.inverse[index];
        }
        for (channel, index) in set.indices(state.images) {
            let inverse = state.inverse[index];
            let (pull, slope) = (inverse * plain / count, inverse * inverse * product / count);
            factor[index] = (scale(channel) * inverse) as f32;
            drift[index] = slope as f32;
            offset[index] = (f64::from(state.mean[index]) * slope - pull) as f32;
            if !norm.takes_bias_out() {
                let rest = area as f64 * (pull + slope * state.own_mean[index]);
                to_bias[channel] += scale(channel) * inverse * sums.plain[index] - rest;
            }
        }
    }
    for (start, sums) in [(Some(norm.scale), to_scale), (Some(norm.shift), to_shift), (layer.bias, to_bias)] {
        let Some(start) = start else { continue };
        for (out, sum) in out[start..].iter_mut().zip(sums) {
            *out = sum as f32;
        }
    }
    [factor, offset, drift]
}
