//! The gradient to a kernel on a matrix unit: for every tap the product of a gradient, channels by pixels, with a map,
//! pixels by channels, 32 pixels a step.
//!
//! Both run over padded rows of one even length, so that a tap is a shift: of whole rows in the map, of single pixels in
//! the gradient, whose rows end in as many zeros as a kernel is wide.

use super::super::super::layout::{Block, Extent, Pointer, RowChunks};
use super::super::super::simd::LANES;
use super::super::super::simd::amx::{Factors, ROW_BYTES, Step};
use super::super::filter::{Span, sum_parts};
use super::super::{debug_assert_hold, scratch};
use super::{TASKS, TILE, Tiles, convert};

/// Pixels of a step.
const PIXELS: usize = ROW_BYTES / 2;
/// Pixels of a chunk, about: sums are read and written once per chunk.
const CHUNK: usize = 1 << 12;

/// What the work divides into, by shape alone.
#[derive(Clone, Copy)]
struct Division {
    chunks: RowChunks,
    /// Partial sums over the chunks.
    parts: usize,
    border: usize,
    /// Pixels of a padded row: even.
    row: usize,
    /// Steps of a chunk.
    steps: usize,
}

impl Division {
    fn new(extent: Extent, sources: usize, kernel: usize) -> Self {
        let row = (extent.size.width + kernel - 1).next_multiple_of(2);
        let chunks = extent.row_chunks(extent.size.height.div_ceil((CHUNK / row).max(4)));
        let parts = TASKS.div_ceil(sources).min(chunks.len());
        Self { chunks, parts, border: kernel / 2, row, steps: (chunks.longest() * row).div_ceil(PIXELS) }
    }

    /// Bytes of a channel of a chunk's gradient: a step of zeros before its pixels.
    fn stride(self) -> usize {
        (self.steps + 1) * ROW_BYTES
    }

    /// Lines of a chunk of a source block, two pixels each.
    fn lines(self) -> usize {
        self.steps * LANES + self.border * self.row
    }
}

/// Numbers of a chunk of all gradient blocks.
fn gradient_len(tiles: Tiles, division: Division, targets: usize) -> usize {
    targets * tiles.terms() * LANES * division.stride() / 4
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
    sums + division.chunks.len() * gradient_len(tiles, division, targets)
}

/// The gradient to the weights, written to `out[out channel · stride + in channel · k² + tap]`, where `spans` are the
/// channels of the sources.
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
    debug_assert_hold(sources, extent);
    debug_assert_hold(gradient, extent);
    debug_assert!(memory.holds(gradient_workspace(tiles, extent, sources.len(), gradient.len(), kernel)), "workspace");
    let division = Division::new(extent, sources.len(), kernel);
    let (targets, taps) = (gradient.len(), kernel * kernel);
    let Division { chunks, parts, .. } = division;
    let part_len = sources.len() * targets * taps * TILE;
    // SAFETY: the workspace is the sums and then the gradient.
    let turned = unsafe { memory.add(parts * part_len) };
    let block_len = gradient_len(tiles, division, 1);
    tiles.for_each(
        chunks.len() * targets,
        #[inline(always)]
        |task| {
            let (chunk, width) = (chunks.get(task / targets), extent.size.width);
            // SAFETY: every task has its own block of the workspace.
            unsafe {
                let out = turned.add(task * block_len).0;
                let block = &gradient[task % targets];
                convert::transpose_pixels(tiles, block, width, chunk, division.row, division.stride(), out);
            }
        },
    );
    let steps = steps(tiles, division);
    tiles.for_each(
        parts * sources.len(),
        #[inline(always)]
        |task| {
            let (part, source) = (task / sources.len(), task % sources.len());
            let input = scratch(tiles.terms() * division.lines() * ROW_BYTES / 4);
            let first_chunk = chunks.len() * part / parts;
            for chunk in first_chunk..chunks.len() * (part + 1) / parts {
                let (padding, lines) = ((division.border, division.row), division.lines());
                // SAFETY: the scratch holds a chunk of the source; every task has its own sums.
                unsafe {
                    let block = &sources[source];
                    convert::pack_pixel_pairs(tiles, block, extent, chunks.get(chunk), padding, lines, input);
                    for target in 0..targets {
                        let gradient = turned.add((chunk * targets + target) * block_len).0;
                        let sums = memory.add(part * part_len + (source * targets + target) * taps * TILE).0;
                        multiply(tiles, division, kernel, &steps, (gradient, input), sums, chunk > first_chunk);
                    }
                }
            }
        },
    );
    let out = Pointer::new(out.as_mut_ptr(), out.len());
    tiles.for_each(
        sources.len() * targets,
        #[inline(always)]
        |task| {
            let (source, target) = (task / targets, task % targets);
            let sums = scratch(taps * TILE);
            // SAFETY: inside sums and scratch; every task has its own pair of blocks among the weights.
            unsafe {
                for tap in 0..taps {
                    let from = memory.add((task * taps + tap) * TILE).0;
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

/// The steps of one row of taps: every product of terms, over a chunk's pixels.
fn steps(tiles: Tiles, division: Division) -> Vec<Step> {
    let mut steps = Vec::with_capacity(division.steps * tiles.products().len());
    for step in 0..division.steps {
        for (left, right) in tiles.products() {
            let gradient = left * LANES * division.stride() + step * ROW_BYTES;
            steps.push([gradient, (right * division.lines() + step * LANES) * ROW_BYTES]);
        }
    }
    steps
}

/// All taps of a pair of blocks, `sums[tap][channel written][channel read]`: as many rows of taps at once as there are
/// tiles.
#[inline(always)]
unsafe fn multiply(
    tiles: Tiles,
    division: Division,
    kernel: usize,
    steps: &[Step],
    (gradient, input): (*const f32, *const f32),
    sums: *mut f32,
    accumulate: bool,
) {
    let row_bytes = division.row / 2 * ROW_BYTES;
    let mut tap_row = 0;
    while tap_row < kernel {
        let rows = if kernel == 3 && tap_row + 2 <= kernel { 2 } else { 1 };
        let factors = Factors {
            a: gradient.wrapping_byte_add(ROW_BYTES).cast(),
            a_step: -2,
            a_stride: division.stride(),
            b: input.wrapping_byte_add(tap_row * row_bytes).cast(),
            b_step: row_bytes,
        };
        // SAFETY: the caller's promise: a kernel's width of zeros before each line, a kernel's height of rows after.
        unsafe {
            let sums = sums.add(tap_row * kernel * TILE);
            tiles.amx.multiply((kernel, rows), factors, steps, sums, accumulate);
        }
        tap_row += rows;
    }
}
