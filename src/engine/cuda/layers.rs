//! Values of each layer's normalisation for its readers and its gradient, in a GPU's memory.

use super::parameters::{Activation, Norm};
use crate::plan::network::{Layer, Network, Together};
use crate::plan::{Extent, LANES};
use sweep_core::error::Result;
use sweep_graph::gpu::{Address, Gpu, Memory};

/// The arrays of every layer.
#[derive(Debug)]
pub(super) struct Layers {
    arrays: Vec<LayerArrays>,
    /// Owns the memory that `arrays` point into.
    _memory: Box<dyn Memory>,
}

/// Addresses of a layer's arrays: `[rows][channels]`, in single precision except for the last two.
#[derive(Debug, Clone, Copy)]
pub(super) struct LayerArrays {
    /// Rows: 1 for a normalisation over a batch, else one per image.
    pub(super) rows: usize,
    /// Channels that are normalised together.
    pub(super) group: usize,
    /// Channels, padded to full blocks.
    pub(super) channels: usize,
    pub(super) scale: Address,
    pub(super) shift: Address,
    pub(super) mean: Address,
    pub(super) inverse: Address,
    /// Scale and shift by running statistics, or the bias; padded with zeros to a multiple of 64 channels.
    pub(super) fixed: [Address; 2],
    /// Factor, offset and drift of the gradient.
    pub(super) back: [Address; 3],
    /// Two doubles each.
    pub(super) moments: Address,
    pub(super) sums: Address,
}

impl Layers {
    /// Bytes that the arrays of a network take, for a batch of this many images.
    pub(super) fn bytes(network: &Network, images: usize) -> usize {
        Self::layout(network, images).1
    }

    /// Allocates the arrays of a network for a batch of this many images.
    pub(super) fn new(gpu: &dyn Gpu, network: &Network, images: usize) -> Result<Self> {
        let (mut arrays, bytes) = Self::layout(network, images);
        let memory = gpu.allocate(bytes)?;
        let start = memory.address();
        for arrays in &mut arrays {
            let LayerArrays { scale, shift, mean, inverse, fixed: [a, b], back: [c, d, e], moments, sums, .. } = arrays;
            for address in [scale, shift, mean, inverse, a, b, c, d, e, moments, sums] {
                *address += start;
            }
        }
        Ok(Self { arrays, _memory: memory })
    }

    /// The arrays one after another from address 0, and the bytes of all.
    fn layout(network: &Network, images: usize) -> (Vec<LayerArrays>, usize) {
        let mut end = 0;
        let mut take = |len: usize| {
            let start = end;
            end += len.next_multiple_of(256) as Address;
            start
        };
        let arrays: Vec<LayerArrays> = network
            .layers
            .iter()
            .map(|layer| {
                let (rows, group) = match layer.norm.map(|norm| norm.together) {
                    Some(Together::Group { channels }) => (images, channels),
                    Some(Together::Batch { .. }) | None => (1, 1),
                };
                let channels = layer.blocks() * LANES;
                let wide = rows * channels.next_multiple_of(64);
                let mut floats = || take(4 * wide);
                let [scale, shift, mean, inverse] = [(); 4].map(|()| floats());
                let (fixed, back) = ([(); 2].map(|()| floats()), [(); 3].map(|()| floats()));
                let [moments, sums] = [(); 2].map(|()| take(16 * wide));
                LayerArrays { rows, group, channels, scale, shift, mean, inverse, fixed, back, moments, sums }
            })
            .collect();
        (arrays, end as usize)
    }

    /// The arrays of one layer.
    pub(super) fn get(&self, layer: usize) -> &LayerArrays {
        &self.arrays[layer]
    }
}

impl LayerArrays {
    /// Distance in channels between rows, for kernels that work by image.
    pub(super) fn per_image(&self) -> i32 {
        if self.rows == 1 { 0 } else { self.channels as i32 }
    }

    /// Activation that readers of the layer's map apply.
    pub(super) fn activation(&self, layer: &Layer) -> Activation {
        let measured = |address| if layer.norm.is_some() { address } else { 0 };
        Activation {
            scale: measured(self.scale),
            shift: measured(self.shift),
            per_image: self.per_image(),
            slope: layer.bend.slope,
            ceiling: layer.bend.ceiling,
            unused: 0,
        }
    }

    /// Parameters for the layer's normalisation, from the moments of a map of this extent.
    pub(super) fn norm(&self, layer: &Layer, extent: Extent, trained: Address, statistics: Address) -> Norm {
        let of = |index: usize| trained + 4 * index as Address;
        let (gamma, beta) = layer.norm.map_or((0, 0), |norm| (of(norm.scale), of(norm.shift)));
        let (running_mean, running_variance) = match layer.norm.map(|norm| norm.together) {
            Some(Together::Batch { mean, variance }) => {
                (statistics + 4 * mean as Address, statistics + 4 * variance as Address)
            }
            Some(Together::Group { .. }) | None => (0, 0),
        };
        let bias = layer.bias.map_or(0, of);
        let Self { moments, scale, shift, mean, inverse, .. } = *self;
        let (channels, outputs) = (self.channels as i32, layer.outputs as i32);
        let (rows, group) = (self.rows as i32, self.group as i32);
        let (images, area) = (extent.images as i32, extent.size.area() as i32);
        Norm {
            gamma,
            beta,
            bias,
            running_mean,
            running_variance,
            moments,
            scale,
            shift,
            mean,
            inverse,
            channels,
            outputs,
            rows,
            group,
            images,
            area,
            epsilon: layer.norm.map_or(0.0, |norm| norm.epsilon),
        }
    }
}
