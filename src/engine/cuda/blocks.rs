//! The kernel of a convolution or of its weight gradient, and what a block of its threads covers.

use super::choose::{ROW, TILE, group};
use crate::plan::LANES;
use sweep_graph::Precision;

/// Pixels of a row of a tile in shared memory, with what windows reach beyond it, in kernels for bf16 maps alone.
const ROW_PIXELS: usize = 20;

/// Pixels of the windows of a dilated kernel that are in shared memory at once; beyond, its rows of taps take turns.
const FAR: usize = 768;

/// A kernel and its blocks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Blocks {
    pub(super) kernel: &'static str,
    /// Output channels of a block.
    pub(super) group: usize,
    /// Rows of pixels of a block.
    pub(super) rows: usize,
    pub(super) threads: u32,
    /// Bytes of shared memory.
    pub(super) shared: usize,
    /// Whether a block computes several tiles, one beside the other.
    walks: bool,
}

impl Blocks {
    /// Tiles that a block computes, of so many in all. While it ends one tile, it fetches the next. If blocks were few and long,
    /// multiprocessors would be idle at the end.
    pub(super) fn tiles(self, all: usize) -> usize {
        const MANY: usize = 4000;
        if self.walks && all >= MANY { 2 } else { 1 }
    }
}

/// What the choice of a kernel depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    pub(super) precision: Precision,
    /// Side of the kernel, pixels from one window to the next, and from one tap to the next.
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) dilation: usize,
    /// Distance of the pixels read: more than 1 for the gradient through a stride.
    pub(super) input_dilation: usize,
    /// Whether an activation has a ceiling: one that is applied while reading, or that of the result.
    pub(super) ceiling: bool,
    /// Whether the maps read, and those written, are all of bf16.
    pub(super) reads_narrow: bool,
    pub(super) writes_narrow: bool,
}

impl Form {
    /// The side that a kernel is compiled for, or 0 for the kernel for any side, stride and dilation. Of the former, those of
    /// side 1 alone are compiled for ceilings too.
    fn side(self) -> usize {
        let Self { precision, kernel, stride, dilation, input_dilation, ceiling, reads_narrow, writes_narrow } = self;
        let fits = match (precision, kernel) {
            (Precision::Bf16, 3) => reads_narrow && writes_narrow,
            (Precision::Bf16, _) => reads_narrow,
            (Precision::Fp32 | Precision::Tf32, _) => true,
        };
        let is_dense = stride == 1 && input_dilation == 1;
        let is_known = kernel == 1 || (kernel == 3 && dilation == 1 && !ceiling);
        if fits && is_dense && is_known { kernel } else { 0 }
    }

    /// The blocks of a convolution that writes so many blocks of sixteen channels; and the rows of taps whose pixels are in
    /// shared memory at once.
    pub(super) fn convolution(self, targets: usize) -> (Blocks, usize) {
        let side = self.side();
        let group = group(side, targets);
        let taps = self.kernel * self.kernel;
        let is_far = self.dilation > 1 && self.reach(self.kernel) > FAR;
        let tap_rows = if is_far { 1 } else { self.kernel };
        if side == 3 && self.precision == Precision::Bf16 {
            let (kernel, rows) = match group {
                16 => ("convolve_bf16_16_3", 16),
                32 => ("convolve_bf16_32_3", 16),
                _ => ("convolve_bf16_64_3", 8),
            };
            // Pixels and weights, or the results with their statistics; those of small blocks leave the weights in place.
            let (pixels, weights) = ((rows + 2) * ROW_PIXELS * ROW, taps * group * ROW);
            let results = rows * TILE[1] * (2 * group + 16) + 8 * group * 4;
            let buffer = if group == 16 { pixels.max(results) + weights } else { (pixels + weights).max(results) };
            return (Blocks { kernel, group, rows, threads: 128, shared: 2 * buffer, walks: true }, tap_rows);
        }
        let shared = 2 * (self.reach(tap_rows) + tap_rows * self.kernel * group) * ROW;
        let kernel = with_ceiling(convolution_kernel(self.precision, group, side), self.ceiling);
        (Blocks { kernel, group, rows: TILE[0], threads: 128, shared, walks: false }, tap_rows)
    }

    /// The blocks of a weight gradient whose warps share the output channels `across`; and the taps summed at once.
    pub(super) fn weight_gradient(self, across: usize) -> (Blocks, usize) {
        let side = self.side();
        let gradients = across * TILE[0] * TILE[1];
        let staged = |at_once| match (self.precision, side) {
            (Precision::Bf16, 3) => 2 * ((TILE[0] + 2) * ROW_PIXELS + gradients) * ROW,
            (Precision::Bf16, _) => (self.reach(self.rows_of(at_once)) + gradients) * ROW,
            (Precision::Fp32 | Precision::Tf32, _) => 3 * (self.reach(self.rows_of(at_once)) + gradients) * ROW,
        };
        let at_once = match side {
            1 => 1,
            _ if self.dilation > 1 && staged(9) > FAR * ROW * 2 => self.kernel.min(9),
            _ => 9,
        };
        let summed = across * 32 * at_once * 8 * 4;
        let kernel = with_ceiling(weight_gradient_kernel(self.precision, across, side), self.ceiling);
        let shared = staged(at_once).max(summed);
        (Blocks { kernel, group: across * LANES, rows: TILE[0], threads: 128, shared, walks: false }, at_once)
    }

    /// Pixels that so many rows of taps of a tile's windows reach.
    fn reach(self, tap_rows: usize) -> usize {
        let along = |side: usize, taps: usize| (side - 1) * self.stride + (taps - 1) * self.dilation + 1;
        along(TILE[0], tap_rows) * along(TILE[1], self.kernel)
    }

    /// Most rows of taps among which so many taps, of those that are summed together, are.
    fn rows_of(self, at_once: usize) -> usize {
        let (side, taps) = (self.kernel, self.kernel * self.kernel);
        let rows = |first: usize| ((first + at_once).min(taps) - 1) / side - first / side + 1;
        (0..taps).step_by(at_once).map(rows).max().unwrap_or(side)
    }
}

/// The same kernel for activations with a ceiling, if one is needed. Kernels for any side know ceilings.
pub(super) fn with_ceiling(kernel: &'static str, is_needed: bool) -> &'static str {
    if !is_needed {
        return kernel;
    }
    match kernel {
        "apply_gradient" => "apply_gradient_ceiling",
        "combine" => "combine_ceiling",
        "combine_gradient" => "combine_gradient_ceiling",
        "convolve_bf16_16_1" => "convolve_bf16_16_1_ceiling",
        "convolve_bf16_64_1" => "convolve_bf16_64_1_ceiling",
        "convolve_fp32_16_1" => "convolve_fp32_16_1_ceiling",
        "convolve_fp32_64_1" => "convolve_fp32_64_1_ceiling",
        "convolve_tf32_16_1" => "convolve_tf32_16_1_ceiling",
        "convolve_tf32_64_1" => "convolve_tf32_64_1_ceiling",
        "map_to_planes" => "map_to_planes_ceiling",
        "pool" => "pool_ceiling",
        "pool_gradient" => "pool_gradient_ceiling",
        "pool_gradient_overlapping" => "pool_gradient_overlapping_ceiling",
        "sum_gradients" => "sum_gradients_ceiling",
        "sum_gradients_bf16" => "sum_gradients_bf16_ceiling",
        "upsample" => "upsample_ceiling",
        "weight_gradient_bf16_1_1" => "weight_gradient_bf16_1_1_ceiling",
        "weight_gradient_fp32_1_1" => "weight_gradient_fp32_1_1_ceiling",
        "weight_gradient_tf32_1_1" => "weight_gradient_tf32_1_1_ceiling",
        known => known,
    }
}

/// The kernel for groups of this many channels and for kernels of this side; 0 is any side.
fn convolution_kernel(precision: Precision, group: usize, side: usize) -> &'static str {
    match (precision, group, side) {
        (Precision::Fp32, 16, 3) => "convolve_fp32_16_3",
        (Precision::Fp32, 32, 3) => "convolve_fp32_32_3",
        (Precision::Fp32, _, 3) => "convolve_fp32_64_3",
        (Precision::Fp32, 16, 1) => "convolve_fp32_16_1",
        (Precision::Fp32, _, 1) => "convolve_fp32_64_1",
        (Precision::Fp32, ..) => "convolve_fp32_16_0",
        (Precision::Tf32, 16, 3) => "convolve_tf32_16_3",
        (Precision::Tf32, 32, 3) => "convolve_tf32_32_3",
        (Precision::Tf32, _, 3) => "convolve_tf32_64_3",
        (Precision::Tf32, 16, 1) => "convolve_tf32_16_1",
        (Precision::Tf32, _, 1) => "convolve_tf32_64_1",
        (Precision::Tf32, ..) => "convolve_tf32_16_0",
        (Precision::Bf16, 16, 1) => "convolve_bf16_16_1",
        (Precision::Bf16, _, 1) => "convolve_bf16_64_1",
        (Precision::Bf16, ..) => "convolve_bf16_16_0",
    }
}

/// The kernel for so many warps across the output channels and for kernels of this side at stride 1; 0 is any side.
fn weight_gradient_kernel(precision: Precision, across: usize, side: usize) -> &'static str {
    match (precision, across, side) {
        (Precision::Fp32, _, 1) => "weight_gradient_fp32_1_1",
        (Precision::Fp32, 1, 3) => "weight_gradient_fp32_1_3",
        (Precision::Fp32, 2, 3) => "weight_gradient_fp32_2_3",
        (Precision::Fp32, _, 3) => "weight_gradient_fp32_4_3",
        (Precision::Fp32, 1, _) => "weight_gradient_fp32_1_0",
        (Precision::Fp32, 2, _) => "weight_gradient_fp32_2_0",
        (Precision::Fp32, ..) => "weight_gradient_fp32_4_0",
        (Precision::Tf32, _, 1) => "weight_gradient_tf32_1_1",
        (Precision::Tf32, 1, 3) => "weight_gradient_tf32_1_3",
        (Precision::Tf32, 2, 3) => "weight_gradient_tf32_2_3",
        (Precision::Tf32, _, 3) => "weight_gradient_tf32_4_3",
        (Precision::Tf32, 1, _) => "weight_gradient_tf32_1_0",
        (Precision::Tf32, 2, _) => "weight_gradient_tf32_2_0",
        (Precision::Tf32, ..) => "weight_gradient_tf32_4_0",
        (Precision::Bf16, _, 1) => "weight_gradient_bf16_1_1",
        (Precision::Bf16, 1, 3) => "weight_gradient_bf16_1_3",
        (Precision::Bf16, 2, 3) => "weight_gradient_bf16_2_3",
        (Precision::Bf16, _, 3) => "weight_gradient_bf16_4_3",
        (Precision::Bf16, 1, _) => "weight_gradient_bf16_1_0",
        (Precision::Bf16, 2, _) => "weight_gradient_bf16_2_0",
        (Precision::Bf16, ..) => "weight_gradient_bf16_4_0",
    }
}
