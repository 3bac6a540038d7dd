//! The gradient to a kernel by products of tiles: for every tap the product of a gradient, channels by pixels, with a map,
//! pixels by channels, in steps of 32 pixels.
//!
//! Both run over padded rows of the same even length, so that a tap is a shift: of whole rows or pairs of pixels in the
//! map, and of one pixel in the gradient, which is stored twice, once one pixel late. The gradient is packed first; a
//! task packs one source block and multiplies it by a group of target blocks whose gradients fit into the cache
//! together.

use super::super::super::layout::{Block, Extent, Pointer, RowChunks};
use super::super::super::simd::LANES;
use super::super::super::simd::tiles::{FactorOffsets, Factors, ROW_BYTES, Steps, TILE, TILE_BYTES, TileProduct};
use super::super::filter::{Span, WeightGradient, sum_parts};
use super::super::{debug_assert_hold, scratch};
use super::{TASKS, Tiles, convert, weights};

/// Pixels of a step.
const PIXELS: usize = ROW_BYTES / 2;
/// Approximate pixels of a chunk: sums stay in registers over a chunk.
const CHUNK: usize = 1 << 12;
/// Bytes of a group of gradient blocks.
const GROUP: usize = 1 << 20;
/// The taps of a 3×3 kernel in the order of their sums: left and right columns together, then the middle ones.
const TAPS: [usize; 9] = [0, 2, 3, 5, 6, 8, 1, 4, 7];

/// Division of the work, by shape alone.
#[derive(Clone, Copy)]
struct Division {
    /// Side of the kernel: 1 or 3.
    kernel: usize,
    /// Pixels of a padded row: even, and at least the border's width longer than a row of the map.
    row: usize,
    /// Rows that are packed together: an image, or a part of it.
    segments: RowChunks,
    /// Steps of a segment.
    steps: usize,
    /// Segments of a chunk.
    per_chunk: usize,
    /// Chunks.
    chunks: usize,
    /// Partial sums over the chunks.
    parts: usize,
    /// Groups of targets.
    groups: usize,
}

impl Division {
    fn new(tiles: Tiles, extent: Extent, sources: usize, targets: usize, kernel: usize) -> Self {
        let row = (extent.size.width + kernel - 1).next_multiple_of(2);
        let segments = extent.row_chunks((extent.size.height * row).div_ceil(CHUNK));
        let steps = (segments.longest() * row).div_ceil(PIXELS);
        let per_chunk = (CHUNK / (steps * PIXELS)).clamp(1, segments.len());
        let chunks = segments.len().div_ceil(per_chunk);
        let block = kernel.div_ceil(2) * tiles.terms() * per_chunk * steps * TILE_BYTES;
        let groups = targets.div_ceil((GROUP / block).max(1));
        let parts = TASKS.div_ceil(sources * groups).min(chunks);
        Self { kernel, row, segments, steps, per_chunk, chunks, parts, groups }
    }

    fn taps(self) -> usize {
        self.kernel * self.kernel
    }

    /// How many copies of the gradient are stored, each one pixel later.
    fn shifts(self) -> usize {
        self.kernel.div_ceil(2)
    }

    /// The segments of a chunk.
    fn of_chunk(self, chunk: usize) -> std::ops::Range<usize> {
        chunk * self.per_chunk..((chunk + 1) * self.per_chunk).min(self.segments.len())
    }

    /// Tiles of a chunk of a gradient block, of one shift and term.
    fn chunk_steps(self) -> usize {
        self.per_chunk * self.steps
    }

    /// Numbers of a chunk of a gradient block.
    fn gradient_len(self, tiles: Tiles) -> usize {
        self.shifts() * tiles.terms() * self.chunk_steps() * TILE
    }

    /// Lines of a segment of a source block, two pixels each.
    fn lines(self) -> usize {
        let border = self.kernel / 2;
        self.steps * LANES + border * (self.row + 1)
    }

    /// Whether a pair of blocks has a single sum, which needs no memory for partial sums.
    fn is_single(self) -> bool {
        self.chunks == 1
    }

    /// The steps of a chunk: every product of terms, over the pixels of its segments.
    fn products(self, tiles: Tiles) -> Vec<FactorOffsets> {
        let mut products = Vec::with_capacity(self.chunk_steps() * tiles.products().len());
        for segment in 0..self.per_chunk {
            for step in 0..self.steps {
                for (left, right) in tiles.products() {
                    let gradient = left * self.chunk_steps() + segment * self.steps + step;
                    let line = (right * self.per_chunk + segment) * self.lines() + step * LANES;
                    products.push([gradient * TILE_BYTES, line * ROW_BYTES]);
                }
            }
        }
        products
    }
}

/// Numbers of workspace that [`weight_gradient`] needs.
pub(in super::super::super) fn gradient_workspace(
    tiles: Tiles,
    extent: Extent,
    sources: usize,
    targets: usize,
    kernel: usize,
) -> usize {
    let division = Division::new(tiles, extent, sources, targets, kernel);
    sums_len(division, sources, targets) + division.chunks * targets * division.gradient_len(tiles)
}

fn sums_len(division: Division, sources: usize, targets: usize) -> usize {
    if division.is_single() { 0 } else { division.parts * sources * targets * division.taps() * TILE }
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
    let targets = gradient.len();
    debug_assert_hold(sources, extent);
    debug_assert_hold(gradient, extent);
    debug_assert!(memory.holds(gradient_workspace(tiles, extent, sources.len(), targets, kernel)), "workspace");
    let division = Division::new(tiles, extent, sources.len(), targets, kernel);
    // SAFETY: the workspace holds the sums, followed by the gradient.
    let turned = unsafe { memory.add(sums_len(division, sources.len(), targets)) };
    // SAFETY: the workspace holds the gradient there.
    unsafe { turn(tiles, division, extent, gradient, turned) };
    let Division { chunks, parts, groups, .. } = division;
    let (taps, block_len, products) = (division.taps(), division.gradient_len(tiles), division.products(tiles));
    let to = WeightGradient { out: Pointer::new(out.as_mut_ptr(), out.len()), stride, spans, gradient };
    let packed_len = tiles.terms() * division.per_chunk * division.lines() * ROW_BYTES / 4;
    tiles.for_each(
        parts * groups * sources.len(),
        #[inline(always)]
        |task| {
            let (source, group, part) =
                (task % sources.len(), task / sources.len() % groups, task / sources.len() / groups);
            let packed = scratch(packed_len + taps * TILE);
            let first = chunks * part / parts;
            for chunk in first..chunks * (part + 1) / parts {
                let segments = division.of_chunk(chunk);
                let products = &products[..segments.len() * division.steps * tiles.products().len()];
                // SAFETY: the scratch holds a chunk of the source and the sums of a pair; every task has its own pairs.
                unsafe {
                    for (i, segment) in segments.enumerate() {
                        let (lines, next_term) = (division.lines(), division.per_chunk * division.lines());
                        let to = (packed.add(i * lines * ROW_BYTES / 4), next_term * ROW_BYTES / 4);
                        let padding = (kernel / 2, division.row);
                        let rows = division.segments.get(segment);
                        convert::pack_pixel_pairs(tiles, &sources[source], extent, rows, padding, lines, to);
                    }
                    for target in targets * group / groups..targets * (group + 1) / groups {
                        let gradient = turned.add((chunk * targets + target) * block_len).0;
                        if division.is_single() {
                            let sums = packed.add(packed_len);
                            multiply(tiles, division, products, (gradient, packed), sums, false);
                            write(tiles, &to, kernel, (source, target), sums);
                        } else {
                            let pair = (part * sources.len() + source) * targets + target;
                            let sums = memory.add(pair * taps * TILE).0;
                            multiply(tiles, division, products, (gradient, packed), sums, chunk > first);
                        }
                    }
                }
            }
        },
    );
    if division.is_single() {
        return;
    }
    tiles.for_each(
        sources.len() * targets,
        #[inline(always)]
        |task| {
            let sums = scratch(taps * TILE);
            let part_len = sources.len() * targets * taps * TILE;
            // SAFETY: inside sums and scratch; every task has its own pair of blocks.
            unsafe {
                for offset in (0..taps * TILE).step_by(TILE) {
                    let from = memory.add(task * taps * TILE + offset).0;
                    sum_parts(tiles.unit.vectors(), parts, part_len, from, sums.add(offset));
                }
                write(tiles, &to, kernel, (task / targets, task % targets), sums);
            }
        },
    );
}

/// Packs all chunks of all gradient blocks.
///
/// # Safety
/// Same conditions as [`weight_gradient`]; `out` is valid for `[chunk][target]` gradients.
unsafe fn turn(tiles: Tiles, division: Division, extent: Extent, gradient: &[Block], out: Pointer) {
    let Division { row, steps, per_chunk, segments, .. } = division;
    let (targets, shifts) = (gradient.len(), division.shifts());
    let next_term = division.chunk_steps() * TILE;
    tiles.for_each(
        segments.len() * targets * shifts,
        #[inline(always)]
        |task| {
            let (segment, target, shift) = (task / shifts / targets, task / shifts % targets, task % shifts);
            let block = (segment / per_chunk * targets + target) * division.gradient_len(tiles);
            let start = shift * tiles.terms() * next_term + segment % per_chunk * steps * TILE;
            // SAFETY: every task has its own tiles.
            unsafe {
                let (out, rows) = (out.add(block + start).0, segments.get(segment));
                let width = extent.size.width;
                convert::transpose_pixels(tiles, &gradient[target], width, rows, (row, shift), steps, (out, next_term));
            }
        },
    );
}

/// All taps of a pair of blocks, `sums[index of tap][channel written][channel read]`.
#[inline(always)]
unsafe fn multiply(
    tiles: Tiles,
    division: Division,
    steps: &[FactorOffsets],
    (gradient, input): (*const f32, *const f32),
    sums: *mut f32,
    accumulate: bool,
) {
    let b_step = division.row / 2 * ROW_BYTES;
    let factors = Factors { a: gradient.cast(), b: input.cast(), b_step };
    let steps = Steps { all: steps, halves: 0 };
    // SAFETY: the caller's promise.
    unsafe {
        if division.kernel == 1 {
            tiles.unit.multiply(TileProduct::Lefts(1, 1), factors, steps, sums, accumulate);
            return;
        }
        tiles.unit.multiply(TileProduct::RightPairs, factors, steps, sums, accumulate);
        let late = gradient.add(tiles.terms() * division.chunk_steps() * TILE);
        let factors = Factors { a: late.cast(), ..factors };
        tiles.unit.multiply(TileProduct::Rights, factors, steps, sums.add(2 * 3 * TILE), accumulate);
    }
}

/// Writes the sums of one pair of blocks, in the order of [`multiply`].
///
/// # Safety
/// The weights hold these channels, nobody else uses them, and the sums exist.
#[inline(always)]
unsafe fn write(tiles: Tiles, to: &WeightGradient, kernel: usize, (source, target): (usize, usize), sums: *const f32) {
    let count = to.spans[source].1;
    for channel in 0..to.gradient[target].channels {
        // SAFETY: the caller's promise.
        unsafe {
            let out = to.pointer(source, target, channel, kernel * kernel);
            let sums = sums.add(channel * LANES);
            match kernel {
                3 => {
                    let mut taps = [std::ptr::null(); 9];
                    for (index, tap) in TAPS.into_iter().enumerate() {
                        taps[tap] = sums.add(index * TILE);
                    }
                    weights::write_lanes(tiles, taps, count, out);
                }
                _ => weights::write_lanes(tiles, [sums], count, out),
            }
        }
    }
}
