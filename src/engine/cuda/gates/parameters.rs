//! Parameters of the kernels in `gpu/kernels/gates.cuh`: every structure here mirrors the structure of the same name there.
#![expect(unsafe_code, reason = "asserts the layout of the kernels' structures")]

use super::super::parameters::{Map, Source};
use sweep_graph::gpu::Parameters;

/// A smooth activation of some neighbouring channels of a map, or its gradient.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(in super::super) struct Smooth {
    pub(in super::super) from: Source,
    /// The result, or the gradient to it.
    pub(in super::super) to: Map,
    /// Gradient to the map.
    pub(in super::super) gradient: Map,
    pub(in super::super) from_channel: i32,
    pub(in super::super) to_channel: i32,
    pub(in super::super) span: i32,
    /// Channels that are not padding.
    pub(in super::super) used: i32,
    pub(in super::super) height: i32,
    pub(in super::super) width: i32,
    /// The number of the function among [`SmoothActivation`](sweep_graph::SmoothActivation)s, or [`Self::COPY`].
    pub(in super::super) function: i32,
    pub(in super::super) accumulate: i32,
}

impl Smooth {
    /// The function that changes nothing.
    pub(in super::super) const COPY: i32 = 3;
}

/// Products with a gate, which has a value for all pixels of a channel or for all channels of a pixel.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(in super::super) struct Gated {
    /// Without data, products are the gate's own values.
    pub(in super::super) from: Source,
    pub(in super::super) gate: Source,
    pub(in super::super) to: Map,
    pub(in super::super) from_channel: i32,
    pub(in super::super) gate_channel: i32,
    pub(in super::super) to_channel: i32,
    pub(in super::super) span: i32,
    pub(in super::super) height: i32,
    pub(in super::super) width: i32,
    pub(in super::super) by_pixel: i32,
    pub(in super::super) accumulate: i32,
    pub(in super::super) factor: f32,
    pub(in super::super) unused: i32,
}

/// Sums over a channel's pixels, or over a pixel's channels, of a map or of its product with another.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(in super::super) struct Sums {
    pub(in super::super) from: Source,
    /// The other map; without data if there is none.
    pub(in super::super) times: Map,
    pub(in super::super) to: Map,
    pub(in super::super) from_channel: i32,
    pub(in super::super) times_channel: i32,
    pub(in super::super) to_channel: i32,
    pub(in super::super) span: i32,
    pub(in super::super) height: i32,
    pub(in super::super) width: i32,
    pub(in super::super) accumulate: i32,
    pub(in super::super) factor: f32,
}

/// Layer normalisation over the channels of one map, or its gradient.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(in super::super) struct LayerNorm {
    pub(in super::super) from: Source,
    /// The result, or the gradient to it.
    pub(in super::super) to: Map,
    /// Gradient to the map.
    pub(in super::super) gradient: Map,
    pub(in super::super) span: i32,
    /// Channels that are not padding.
    pub(in super::super) used: i32,
    pub(in super::super) height: i32,
    pub(in super::super) width: i32,
    pub(in super::super) accumulate: i32,
    pub(in super::super) epsilon: f32,
}

// SAFETY: each is `repr(C)`, of plain numbers, and mirrors its kernel's; a test compares their layouts.
unsafe impl Parameters for Smooth {}
// SAFETY: same as the block before.
unsafe impl Parameters for Gated {}
// SAFETY: same as the block before.
unsafe impl Parameters for Sums {}
// SAFETY: same as the block before.
unsafe impl Parameters for LayerNorm {}
