//! The gradient to a kernel on a matrix unit: for every tap the product of a gradient, channels by pixels, with a map,
//! pixels by channels, 32 pixels a step.
//!
//! Both run over padded rows of one even length, so that a tap is a shift: of whole rows or pairs of pixels in the map,
//! and of one pixel in the gradient, which is kept as it is and one pixel late.

use super::super::super::layout::{Block, Extent, Pointer, RowChunks};
use super::super::super::simd::LANES;
use super::super::super::simd::amx::{Factors, ROW_BYTES, Shape, Step, TILE_BYTES};
use super::super::filter::{Span, sum_parts};
use super::super::scratch;
use super::{TASKS, TILE, Tiles, convert};

/// Pixels of a step.
const PIXELS: usize = ROW_BYTES / 2;
/// Pixels of a chunk, about: sums are read and written once per chunk.
const CHUNK: usize = 1 << 11;
/// The taps of a 3×3 kernel in the order of their sums: left and right columns together, then the middle ones.
const TAPS: [usize; 9] = [0, 2, 3, 5, 6, 8, 1, 4, 7];

/// What the work divides into, by shape alone.
#[derive(Clone, Copy)]
struct Division {
    chunks: RowChunks,
    /// Partial sums over the chunks.
    parts: usize,
    /// Side of the kernel: 1 or 3.
    kernel: usize,
    /// Pixels of a padded row: even, and longer than a map's by the width of the border at least.
    row: usize,
    /// Steps of a chunk.
    steps: usize,
}

impl Division {
    fn new(extent: Extent, sources: usize, kernel: usize) -> Self {
        let row = (extent.size.width + kernel - 1).next_multiple_of(2);
        let chunks = extent.row_chunks(extent.size.height.div_ceil((CHUNK / row).max(8)));
        let parts = TASKS.div_ceil(sources).min(chunks.len());
        Self { chunks, parts, kernel, row, steps: (chunks.longest() * row).div_ceil(PIXELS) }
    }

    /// How many pixels late the gradient is kept.
    fn shifts(self) -> usize {
        self.kernel.div_ceil(2)
    }

    /// Lines of a chunk of a source block, two pixels each.
    fn lines(self) -> usize {
        let border = self.kernel / 2;
        self.steps * LANES + border * (self.row + 1)
    }

    /// Numbers of a chunk of a gradient block.
    fn gradient_len(self, tiles: Tiles) -> usize {
        self.shifts() * tiles.terms() * self.steps * TILE
    }
}

/// Numbers of workspace [`weight_gradient`] needs.
pub(in super::super::super) fn gradient_workspace(
    tiles: Tiles,
    extent: Extent,
    sources: usize,
    targets: usize,
    kernel: usize,
) -> usize {
    let division = Division::new(extent, sources, kernel);
    let sums = division.parts * sources * targets * kernel * kernel * TILE;
    sums + division.chunks.len() * targets * division.gradient_len(tiles)
}

/// The gradient to the weights of a 1×1 or 3×3 kernel, written to `out[out channel · stride + in channel · k² + tap]`,
/// where `spans` are the channels of the sources.
///
/// # Safety
/// Blocks have the extent; `memory` is valid for [`gradient_workspace`] numbers and nobody else uses it.
pub(in super::super::super) unsafe fn weight_gradient(
    tiles: Tiles,
    extent: Extent,
    kernel: usize,
    sources: &[Block],
    gradient: &[Block],
    spans: &[Span],
    out: &mut [f32],
    stride: usize,
    memory: Pointer,
) {
    let division = Division::new(extent, sources.len(), kernel);
    let (targets, taps) = (gradient.len(), kernel * kernel);
    let Division { chunks, parts, row, steps, .. } = division;
    let part_len = sources.len() * targets * taps * TILE;
    // SAFETY: the workspace is the sums and then the gradient.
    let turned = unsafe { memory.add(parts * part_len) };
    let (block_len, shifts) = (division.gradient_len(tiles), division.shifts());
    tiles.for_each(
        chunks.len() * targets * shifts,
        #[inline(always)]
        |task| {
            let (block, shift) = (task / shifts, task % shifts);
            let (chunk, width) = (chunks.get(block / targets), extent.size.width);
            // SAFETY: every task has its own tiles of the workspace.
            unsafe {
                let out = turned.add(block * block_len + shift * steps * TILE).0;
                let next_term = shifts * steps * TILE;
                let gradient = &gradient[block % targets];
                convert::transpose_pixels(tiles, gradient, width, chunk, (row, shift), steps, (out, next_term));
            }
        },
    );
    let products = products(tiles, division);
    tiles.for_each(
        parts * sources.len(),
        #[inline(always)]
        |task| {
            let (part, source) = (task / sources.len(), task % sources.len());
            let input = scratch(tiles.terms() * division.lines() * ROW_BYTES / 4);
            let first_chunk = chunks.len() * part / parts;
            for chunk in first_chunk..chunks.len() * (part + 1) / parts {
                let (padding, lines) = ((kernel / 2, row), division.lines());
                // SAFETY: the scratch holds a chunk of the source; every task has its own sums.
                unsafe {
                    let block = &sources[source];
                    convert::pack_pixel_pairs(tiles, block, extent, chunks.get(chunk), padding, lines, input);
                    for target in 0..targets {
                        let gradient = turned.add((chunk * targets + target) * block_len).0;
                        let sums = memory.add(part * part_len + (source * targets + target) * taps * TILE).0;
                        multiply(tiles, division, &products, (gradient, input), sums, chunk > first_chunk);
                    }
                }
            }
        },
    );
    let out = Pointer(out.as_mut_ptr());
    tiles.for_each(
        sources.len() * targets,
        #[inline(always)]
        |task| {
            let (source, target) = (task / targets, task % targets);
            let sums = scratch(taps * TILE);
            // SAFETY: inside sums and scratch; every task has its own pair of blocks among the weights.
            unsafe {
                for place in 0..taps {
                    let tap = if kernel == 3 { TAPS[place] } else { place };
                    let from = memory.add((task * taps + place) * TILE).0;
                    sum_parts(tiles.amx.vectors(), parts, part_len, from, sums.add(tap * TILE));
                }
                let (first, count) = spans[source];
                for channel in 0..gradient[target].channels {
                    let out = out.add((target * LANES + channel) * stride + first * taps).0;
                    for lane in 0..count {
                        for tap in 0..taps {
                            *out.add(lane * taps + tap) = *sums.add(tap * TILE + channel * LANES + lane);
                        }
                    }
                }
            }
        },
    );
}

/// The steps of a chunk: every product of terms, over its pixels.
fn products(tiles: Tiles, division: Division) -> Vec<Step> {
    let mut steps = Vec::with_capacity(division.steps * tiles.products().len());
    for step in 0..division.steps {
        for (left, right) in tiles.products() {
            let gradient = (left * division.shifts() * division.steps + step) * TILE_BYTES;
            steps.push([gradient, (right * division.lines() + step * LANES) * ROW_BYTES]);
        }
    }
    steps
}

/// All taps of a pair of blocks, `sums[place of tap][channel written][channel read]`.
#[inline(always)]
unsafe fn multiply(
    tiles: Tiles,
    division: Division,
    steps: &[Step],
    (gradient, input): (*const f32, *const f32),
    sums: *mut f32,
    accumulate: bool,
) {
    let b_step = division.row / 2 * ROW_BYTES;
    let factors = Factors { a: gradient.cast(), a_step: 0, b: input.cast(), b_step };
    // SAFETY: the caller's promise.
    unsafe {
        if division.kernel == 1 {
            tiles.amx.multiply(Shape::Lefts(1), factors, steps, sums, accumulate);
            return;
        }
        tiles.amx.multiply(Shape::RightPairs, factors, steps, sums, accumulate);
        let late = Factors { a: gradient.add(division.steps * TILE).cast(), ..factors };
        tiles.amx.multiply(Shape::Rights, late, steps, sums.add(2 * 3 * TILE), accumulate);
    }
}
