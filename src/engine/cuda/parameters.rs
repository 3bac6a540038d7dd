//! Parameters of the kernels in `gpu/kernels`: every structure here mirrors the structure of the same name there.
#![expect(unsafe_code, reason = "asserts the layout of the kernels' structures")]

use sweep_graph::gpu::{Address, Parameters};

/// Most maps that a convolution reads.
pub(super) const MOST_SOURCES: usize = 24;
/// Most blocks of channels that a convolution writes, or whose weights are packed at once.
pub(super) const MOST_TARGETS: usize = 128;

/// A map `[B, H, W, channels]`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[repr(C)]
pub(super) struct Map {
    pub(super) data: Address,
    /// Channels, padded to full blocks.
    pub(super) channels: i32,
    /// 1 for single precision, 0 for bf16.
    pub(super) wide: i32,
}

/// Activation that readers apply to stored values.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub(super) struct Activation {
    pub(super) scale: Address,
    pub(super) shift: Address,
    pub(super) per_image: i32,
    pub(super) slope: f32,
    /// Largest value; infinite if there is none.
    pub(super) ceiling: f32,
    pub(super) unused: i32,
}

impl Default for Activation {
    fn default() -> Self {
        Self { scale: 0, shift: 0, per_image: 0, slope: 1.0, ceiling: f32::INFINITY, unused: 0 }
    }
}

impl Activation {
    /// Whether there is a largest value.
    pub(super) fn has_ceiling(self) -> bool {
        self.ceiling.is_finite()
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[repr(C)]
pub(super) struct Source {
    pub(super) map: Map,
    pub(super) activation: Activation,
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(super) struct ConvolutionSource {
    pub(super) source: Source,
    pub(super) chunks: i32,
    pub(super) unused: i32,
}

/// Sixteen output channels.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(super) struct WriteTarget {
    pub(super) data: Address,
    pub(super) channels: i32,
    /// 1: single precision; 2: adds.
    pub(super) flags: i32,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Convolution {
    pub(super) sources: [ConvolutionSource; MOST_SOURCES],
    pub(super) targets: [WriteTarget; MOST_TARGETS],
    pub(super) weights: Address,
    pub(super) shift: Address,
    pub(super) partials: Address,
    pub(super) images: i32,
    pub(super) in_height: i32,
    pub(super) in_width: i32,
    pub(super) height: i32,
    pub(super) width: i32,
    pub(super) kernel: i32,
    pub(super) stride: i32,
    pub(super) dilation: i32,
    pub(super) padding: i32,
    pub(super) input_dilation: i32,
    pub(super) sources_in_use: i32,
    pub(super) chunks: i32,
    pub(super) tap_rows: i32,
    pub(super) slope: f32,
    pub(super) ceiling: f32,
    pub(super) tiles: i32,
}

/// A depthwise convolution, or its gradient to the input.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Depthwise {
    pub(super) source: Source,
    pub(super) to: Map,
    pub(super) weights: Address,
    pub(super) scale: Address,
    pub(super) shift: Address,
    pub(super) partials: Address,
    pub(super) images: i32,
    pub(super) in_height: i32,
    pub(super) in_width: i32,
    pub(super) height: i32,
    pub(super) width: i32,
    pub(super) kernel: i32,
    pub(super) stride: i32,
    pub(super) dilation: i32,
    pub(super) padding: i32,
    pub(super) input_dilation: i32,
    pub(super) turned: i32,
    pub(super) outputs: i32,
    pub(super) accumulate: i32,
    pub(super) slope: f32,
    pub(super) ceiling: f32,
    pub(super) span: i32,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct DepthwiseGradient {
    pub(super) source: Source,
    pub(super) gradient: Map,
    pub(super) partials: Address,
    pub(super) images: i32,
    pub(super) in_height: i32,
    pub(super) in_width: i32,
    pub(super) height: i32,
    pub(super) width: i32,
    pub(super) kernel: i32,
    pub(super) stride: i32,
    pub(super) dilation: i32,
    pub(super) padding: i32,
    pub(super) outputs: i32,
    pub(super) shares: i32,
    pub(super) span: i32,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct WeightGradient {
    pub(super) sources: [ConvolutionSource; MOST_SOURCES],
    pub(super) gradient: Map,
    pub(super) partials: Address,
    pub(super) images: i32,
    pub(super) in_height: i32,
    pub(super) in_width: i32,
    pub(super) height: i32,
    pub(super) width: i32,
    pub(super) kernel: i32,
    pub(super) stride: i32,
    pub(super) dilation: i32,
    pub(super) padding: i32,
    pub(super) at_once: i32,
    pub(super) outputs: i32,
    pub(super) sources_in_use: i32,
    pub(super) shares: i32,
    pub(super) step_images: i32,
    pub(super) step_down: i32,
    pub(super) step_across: i32,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct WeightSum {
    pub(super) partials: Address,
    pub(super) to: Address,
    pub(super) shares: i32,
    pub(super) weights: i32,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct WeightBlocks {
    pub(super) partials: Address,
    pub(super) to: Address,
    pub(super) shares: i32,
    pub(super) sums: i32,
    pub(super) outputs: i32,
    pub(super) inputs: i32,
    pub(super) taps: i32,
    pub(super) unused: i32,
    pub(super) blocks: [u32; MOST_TARGETS],
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(super) struct Norm {
    pub(super) gamma: Address,
    pub(super) beta: Address,
    pub(super) bias: Address,
    pub(super) running_mean: Address,
    pub(super) running_variance: Address,
    pub(super) moments: Address,
    pub(super) scale: Address,
    pub(super) shift: Address,
    pub(super) mean: Address,
    pub(super) inverse: Address,
    pub(super) channels: i32,
    pub(super) outputs: i32,
    pub(super) rows: i32,
    pub(super) group: i32,
    pub(super) images: i32,
    pub(super) area: i32,
    pub(super) epsilon: f64,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Moments {
    pub(super) norm: Norm,
    pub(super) partials: Address,
    pub(super) height: i32,
    pub(super) width: i32,
    pub(super) rows: i32,
    pub(super) unused: i32,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct GradientSums {
    pub(super) norm: Norm,
    pub(super) map: Source,
    pub(super) gradient: Map,
    pub(super) partials: Address,
    pub(super) sums: Address,
    pub(super) to_gamma: Address,
    pub(super) to_beta: Address,
    pub(super) to_bias: Address,
    pub(super) factor: Address,
    pub(super) offset: Address,
    pub(super) drift: Address,
    pub(super) chunks: i32,
    pub(super) pixels: i32,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct NormGradient {
    pub(super) map: Source,
    pub(super) gradient: Map,
    pub(super) factor: Address,
    pub(super) offset: Address,
    pub(super) drift: Address,
    pub(super) per_image: i32,
    pub(super) height: i32,
    pub(super) width: i32,
    pub(super) unused: i32,
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(super) struct Pool {
    pub(super) from: Source,
    pub(super) to: Map,
    pub(super) channel: i32,
    pub(super) images: i32,
    pub(super) height: i32,
    pub(super) width: i32,
    pub(super) gradient: Map,
    pub(super) accumulate: i32,
    /// Side of a window, 2 or 3.
    pub(super) side: i32,
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(super) struct Combine {
    pub(super) a: Source,
    pub(super) b: Source,
    pub(super) to: Map,
    pub(super) product: i32,
    pub(super) slope: f32,
    pub(super) height: i32,
    pub(super) width: i32,
    pub(super) ceiling: f32,
    pub(super) unused: i32,
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(super) struct CombineGradient {
    /// The result, and the other of two factors; without data if not needed.
    pub(super) result: Map,
    pub(super) other: Source,
    pub(super) gradient: Map,
    pub(super) to: Map,
    pub(super) slope: f32,
    pub(super) height: i32,
    pub(super) width: i32,
    pub(super) accumulate: i32,
    pub(super) ceiling: f32,
    pub(super) unused: i32,
}

/// An output pixel along an axis.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Tap {
    pub(super) low: i32,
    pub(super) high: i32,
    pub(super) fraction: f32,
}

/// An output that an input pixel contributes to.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Reader {
    pub(super) output: i32,
    pub(super) weight: f32,
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(super) struct Upsample {
    pub(super) from: Source,
    pub(super) to: Map,
    pub(super) channel: i32,
    pub(super) images: i32,
    pub(super) height: i32,
    pub(super) width: i32,
    pub(super) to_height: i32,
    pub(super) to_width: i32,
    pub(super) rows: Address,
    pub(super) columns: Address,
    pub(super) row_readers: Address,
    pub(super) column_readers: Address,
    pub(super) gradient: Map,
    pub(super) accumulate: i32,
    pub(super) unused: i32,
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(super) struct Exchange {
    pub(super) map: Source,
    pub(super) planes: Address,
    pub(super) images: i32,
    pub(super) area: i32,
    pub(super) of_image: i32,
    pub(super) first: i32,
    pub(super) count: i32,
    pub(super) channel: i32,
    pub(super) accumulate: i32,
    pub(super) unused: i32,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Packing {
    pub(super) weights: Address,
    pub(super) to: Address,
    pub(super) scale: Address,
    pub(super) group_stride: i32,
    pub(super) chunk_stride: i32,
    pub(super) taps: i32,
    pub(super) group: i32,
    pub(super) chunks: i32,
    pub(super) arithmetic: i32,
    pub(super) turned: i32,
    pub(super) rows: i32,
    pub(super) first: i32,
    pub(super) unused: i32,
    pub(super) written: [u32; MOST_TARGETS],
    pub(super) read: [u32; MOST_TARGETS],
}

/// A table of filters to pack.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Packings {
    pub(super) table: Address,
    pub(super) count: i32,
    pub(super) unused: i32,
}

// A table's bytes are all initialised: the structure has no padding.
const _: () = assert!(size_of::<Packing>() == 3 * 8 + 10 * 4 + 2 * MOST_TARGETS * 4);

/// The bytes of a table of filters.
pub(super) fn bytes_of(table: &[Packing]) -> &[u8] {
    // SAFETY: no padding, so every byte is initialised.
    unsafe { std::slice::from_raw_parts(table.as_ptr().cast(), size_of_val(table)) }
}

// SAFETY: each is `repr(C)`, of plain numbers, and mirrors its kernel's; a test compares their layouts.
unsafe impl Parameters for Convolution {}
// SAFETY: same as the block before.
unsafe impl Parameters for WeightGradient {}
// SAFETY: same as the block before.
unsafe impl Parameters for Depthwise {}
// SAFETY: same as the block before.
unsafe impl Parameters for DepthwiseGradient {}
// SAFETY: same as the block before.
unsafe impl Parameters for WeightSum {}
// SAFETY: same as the block before.
unsafe impl Parameters for WeightBlocks {}
// SAFETY: same as the block before.
unsafe impl Parameters for Norm {}
// SAFETY: same as the block before.
unsafe impl Parameters for Moments {}
// SAFETY: same as the block before.
unsafe impl Parameters for GradientSums {}
// SAFETY: same as the block before.
unsafe impl Parameters for NormGradient {}
// SAFETY: same as the block before.
unsafe impl Parameters for Pool {}
// SAFETY: same as the block before.
unsafe impl Parameters for Combine {}
// SAFETY: same as the block before.
unsafe impl Parameters for CombineGradient {}
// SAFETY: same as the block before.
unsafe impl Parameters for Upsample {}
// SAFETY: same as the block before.
unsafe impl Parameters for Exchange {}
// SAFETY: same as the block before.
unsafe impl Parameters for Packings {}
