//! Convolution by products of tiles of bf16 ([`TileUnit`]), tap by tap. Factors are rounded to bf16 or to a sum of two bf16;
//! sums are in single precision.
//!
//! Rows of a map are packed with their border as lines of 32 channels. Sixteen neighbouring lines, across the ends of
//! rows, are a left tile; the filter's right tiles hold 32 input by 16 output channels. So sixteen pixels of a block of
//! channels are one sum over pairs of source blocks and taps.

mod convert;
mod gradient;
mod speed;
mod weights;

use std::ops::Range;

pub(in super::super) use gradient::{gradient_workspace, weight_gradient};
use rayon::prelude::*;
pub(in super::super) use speed::is_faster;

use super::super::layout::{Block, Extent, Pointer, RowChunks, Target};
use super::super::simd::tiles::{
    FactorOffsets, Factors, LEFTS, ROW_BYTES, ROWS, Steps, TILE, TILE_BYTES, TileProduct, TileUnit,
};
use super::super::simd::{LANES, Simd};
use super::filter::Filter;
use super::{Convolution, Finish, debug_assert_hold, debug_assert_targets_hold, scratch};
use sweep_graph::Precision;

/// Bytes of packed input that a task keeps in its cache.
const CACHE: usize = 1 << 19;
/// Wanted number of tasks.
const TASKS: usize = 8;

/// The unit, and the form of its factors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Tiles {
    unit: TileUnit,
    /// Whether a factor is a sum of two bf16, the second holding the rounding error of the first.
    split: bool,
}

impl Tiles {
    /// The unit for a precision, if the precision allows it and the processor has one that is faster than single precision.
    pub(in super::super) fn detect(precision: Precision) -> Option<Self> {
        TileUnit::detect().and_then(|unit| Self::of(unit, precision))
    }

    /// The form of a unit's factors for a precision, if that is faster than single precision.
    pub(in super::super) fn of(unit: TileUnit, precision: Precision) -> Option<Self> {
        match precision {
            Precision::Bf16 => Some(Self { unit, split: false }),
            // It takes three products: vectors, which multiply twice as many numbers at once, would be slower than in fp32.
            Precision::Tf32 if matches!(unit, TileUnit::Amx(_)) => Some(Self { unit, split: true }),
            Precision::Tf32 | Precision::Fp32 => None,
        }
    }

    /// The unit's name.
    pub(in super::super) fn unit(self) -> &'static str {
        self.unit.name()
    }

    /// Whether a convolution of many channels is always faster than in single precision; otherwise [`is_faster`] says where.
    pub(in super::super) fn is_always_faster(self) -> bool {
        matches!(self.unit, TileUnit::Amx(_))
    }

    /// Whether factors are single numbers of bf16.
    pub(in super::super) fn multiplies_bf16(self) -> bool {
        !self.split
    }

    /// Number of bf16 numbers in a factor.
    fn terms(self) -> usize {
        1 + usize::from(self.split)
    }

    /// Terms of left and right factors that are multiplied; the product of two remainders is negligible.
    fn products(self) -> &'static [(usize, usize)] {
        if self.split { &[(0, 0), (0, 1), (1, 0)] } else { &[(0, 0)] }
    }

    /// Runs all tasks with tiles ready for use; `task` is an `#[inline(always)]` closure.
    #[inline(always)]
    fn for_each(self, tasks: usize, task: impl Fn(usize) + Sync) {
        (0..tasks).into_par_iter().with_max_len(1).for_each(|i| {
            self.unit.with_tiles(
                #[inline(always)]
                || task(i),
            );
        });
    }
}

/// Layout of a chunk's packed rows: lines of [`ROW_BYTES`] for 32 channels of a pixel, `[term][pair][line]`.
#[derive(Clone, Copy)]
struct Packing {
    /// Pairs of source blocks.
    pairs: usize,
    /// Whether the last pair has a single block.
    is_odd: bool,
    border: usize,
    /// Lines of a row, border included.
    row: usize,
    /// Lines of a pair: all rows, and the lines that the last tiles read beyond them.
    plane: usize,
    width: usize,
}

impl Packing {
    fn new(extent: Extent, sources: usize, kernel: usize, rows: usize) -> Self {
        let border = kernel / 2;
        let row = extent.size.width + 2 * border;
        let plane = (rows + 2 * border) * row + 2 * border + ROWS * LEFTS;
        Self { pairs: sources.div_ceil(2), is_odd: sources % 2 == 1, border, row, plane, width: extent.size.width }
    }

    /// Length in numbers of 32 bits.
    fn len(self, terms: usize) -> usize {
        terms * self.pairs * self.plane * ROW_BYTES / 4
    }

    /// All steps of a sum: every product of terms, pair and tap.
    fn steps(self, tiles: Tiles, kernel: usize) -> Vec<FactorOffsets> {
        let taps = kernel * kernel;
        let mut steps = Vec::with_capacity(tiles.products().len() * self.pairs * taps);
        for pair in 0..self.pairs {
            for tap in 0..taps {
                for (left, right) in tiles.products() {
                    let line = (left * self.pairs + pair) * self.plane + tap / kernel * self.row + tap % kernel;
                    steps.push([line * ROW_BYTES, ((right * self.pairs + pair) * taps + tap) * TILE_BYTES]);
                }
            }
        }
        steps
    }

    /// How many of the [steps](Self::steps) are those of a single block.
    fn halves(self, tiles: Tiles, kernel: usize) -> usize {
        if self.is_odd { tiles.products().len() * kernel * kernel } else { 0 }
    }
}

/// Division of a convolution into tasks.
struct Division {
    chunks: RowChunks,
    /// Groups of targets, if input is packed beforehand and not by each task.
    groups: usize,
}

impl Division {
    fn new(tiles: Tiles, extent: Extent, sources: usize, targets: usize, kernel: usize) -> Self {
        let line = tiles.terms() * sources.div_ceil(2) * ROW_BYTES;
        let rows = CACHE / (line * (extent.size.width + kernel - 1));
        let chunks = extent.row_chunks(extent.size.height.div_ceil(rows.clamp(4, 16)));
        Self { groups: TASKS.div_ceil(chunks.len()).min(targets), chunks }
    }
}

/// Numbers of workspace that a convolution needs.
pub(in super::super) fn workspace(
    tiles: Tiles,
    extent: Extent,
    sources: usize,
    targets: usize,
    kernel: usize,
) -> usize {
    let Division { chunks, groups } = Division::new(tiles, extent, sources, targets, kernel);
    let packing = Packing::new(extent, sources, kernel, chunks.longest());
    let packed = if groups > 1 { chunks.len() * packing.len(tiles.terms()) } else { 0 };
    filter_len(tiles, sources, targets, kernel) + packed
}

fn filter_len(tiles: Tiles, sources: usize, targets: usize, kernel: usize) -> usize {
    targets * tiles.terms() * sources.div_ceil(2) * kernel * kernel * TILE
}

/// Convolves sources to targets.
///
/// # Safety
/// Blocks have the extent; no two targets overlap, nor a target and a source; `memory` is valid for [`workspace`]
/// numbers; nobody else uses targets and memory.
pub(in super::super) unsafe fn convolve(tiles: Tiles, convolution: &Convolution, filter: &Filter, memory: Pointer) {
    let Convolution { extent, kernel, sources, targets, .. } = *convolution;
    debug_assert_hold(sources, extent);
    debug_assert_targets_hold(targets, extent);
    debug_assert!(memory.holds(workspace(tiles, extent, sources.len(), targets.len(), kernel)), "workspace");
    // SAFETY: the workspace begins with the filter.
    unsafe { lay_out(tiles, filter, memory) };
    let Division { chunks, groups } = Division::new(tiles, extent, sources.len(), targets.len(), kernel);
    let packing = Packing::new(extent, sources.len(), kernel, chunks.longest());
    let steps = packing.steps(tiles, kernel);
    let steps = Steps { all: &steps, halves: packing.halves(tiles, kernel) };
    let filter_block = filter_len(tiles, sources.len(), 1, kernel);
    let product = Product { tiles, packing, steps, filter: memory, filter_block, targets };
    let (len, sums_len) = (packing.len(tiles.terms()), tiles.unit.rights() * LEFTS * TILE);
    if groups == 1 {
        tiles.for_each(
            chunks.len(),
            #[inline(always)]
            |chunk| {
                let packed = scratch(len + sums_len);
                // SAFETY: the scratch holds the packed rows and the sums; a chunk's rows are this task's alone.
                unsafe {
                    for pair in 0..packing.pairs {
                        convert::pack_rows(tiles, packing, sources, pair, extent, chunks.get(chunk), packed);
                    }
                    product.rows(chunks.get(chunk), packed, packed.add(len), 0..targets.len());
                }
            },
        );
        return;
    }
    // SAFETY: after the filter, the workspace holds all packed chunks.
    let packed = unsafe { memory.add(filter_block * targets.len()) };
    tiles.for_each(
        chunks.len() * packing.pairs,
        #[inline(always)]
        |task| {
            let (chunk, pair) = (task / packing.pairs, task % packing.pairs);
            // SAFETY: every task has its own chunk and pair.
            unsafe {
                let packed = packed.add(chunk * len).0;
                convert::pack_rows(tiles, packing, sources, pair, extent, chunks.get(chunk), packed);
            }
        },
    );
    tiles.for_each(
        chunks.len() * groups,
        #[inline(always)]
        |task| {
            let (chunk, group) = (task / groups, task % groups);
            let range = targets.len() * group / groups..targets.len() * (group + 1) / groups;
            // SAFETY: all chunks are packed; every task has its own rows and targets.
            unsafe { product.rows(chunks.get(chunk), packed.add(chunk * len).0, scratch(sums_len), range) };
        },
    );
}

/// A convolution whose input and filter are packed.
#[derive(Clone, Copy)]
struct Product<'a> {
    tiles: Tiles,
    packing: Packing,
    steps: Steps<'a>,
    filter: Pointer,
    /// Numbers of a target's filter.
    filter_block: usize,
    targets: &'a [Target<'a>],
}

impl Product<'_> {
    /// Some targets of a chunk of rows.
    #[inline(always)]
    unsafe fn rows(
        self,
        (image, first, end): (usize, usize, usize),
        packed: *const f32,
        sums: *mut f32,
        targets: Range<usize>,
    ) {
        let Packing { row, border, .. } = self.packing;
        let lines = (end - first) * row - 2 * border;
        let count = lines.div_ceil(ROWS);
        let rounds = count.div_ceil(LEFTS);
        for target in targets.clone().step_by(self.tiles.unit.rights()) {
            if self.is_whole(target) {
                // SAFETY: the caller's promise.
                unsafe { self.whole_rows((image, first, end), packed, target) };
                continue;
            }
            let together = target..(target + self.tiles.unit.rights()).min(targets.end);
            for round in 0..rounds {
                // Rounds of similar length.
                let (tile, next) = (count * round / rounds, count * (round + 1) / rounds);
                // SAFETY: the caller's promise; a plane goes on for `LEFTS` tiles after its last line.
                unsafe {
                    self.multiply(together.clone(), packed.add(tile * TILE), next - tile, sums, false);
                    for (i, target) in together.clone().enumerate() {
                        let sums = sums.add(i * (next - tile) * TILE);
                        self.finish(target, (image, first), tile * ROWS..(next * ROWS).min(lines), sums);
                    }
                }
            }
        }
    }

    /// Writes the sums of some lines of a chunk that begins with row `first`.
    #[inline(always)]
    unsafe fn finish(self, target: usize, (image, first): (usize, usize), lines: Range<usize>, sums: *const f32) {
        let Packing { row, width, .. } = self.packing;
        let (s, target) = (self.tiles.unit.vectors(), &self.targets[target]);
        let finish = Finish::new(s, target);
        // SAFETY: the caller's promise: the map has these rows, and the sums are those of the lines.
        unsafe {
            let out = target.block.image(image).add(first * width * LANES);
            let mut line = lines.start;
            while line < lines.end {
                let (y, x) = (line / row, line % row);
                let from = sums.add((line - lines.start) * LANES);
                let to = out.wrapping_add((y * width + x) * LANES);
                let run = lines.end.min(line + row - x) - line;
                for pixel in 0..run.min(width.saturating_sub(x)) {
                    finish.write(s, to.add(pixel * LANES), s.load(from.add(pixel * LANES)));
                }
                line += run;
            }
        }
    }

    /// `sums (+)=` this many neighbouring left tiles, starting at `lefts`, times some targets' filters, over all steps.
    #[inline(always)]
    unsafe fn multiply(self, targets: Range<usize>, lefts: *const f32, count: usize, sums: *mut f32, accumulate: bool) {
        // SAFETY: the caller's promise; the filter of every target is there.
        unsafe {
            let filter = self.filter.add(targets.start * self.filter_block).0.cast_const();
            let factors = Factors { a: lefts.cast(), b: filter.cast(), b_step: 4 * self.filter_block };
            let shape = TileProduct::Lefts(count, targets.len());
            self.tiles.unit.multiply(shape, factors, self.steps, sums, accumulate);
        }
    }

    /// Whether sums of one target at a time are stored unchanged and rows end where tiles do: then tiles are read and
    /// written directly in the map.
    #[inline(always)]
    fn is_whole(self, target: usize) -> bool {
        // With few tiles at once, loading their right factors would not pay.
        const FEWEST: usize = 4;
        let plain = self.tiles.unit.rights() == 1 && self.targets[target].is_plain();
        plain && self.packing.width.is_multiple_of(ROWS) && self.packing.width / ROWS >= FEWEST
    }

    /// One target of a chunk of rows, written directly into its map.
    #[inline(always)]
    unsafe fn whole_rows(self, (image, first, end): (usize, usize, usize), packed: *const f32, target: usize) {
        let Packing { row, width, .. } = self.packing;
        let count = width / ROWS;
        let rounds = count.div_ceil(LEFTS);
        let Target { block, accumulate, .. } = self.targets[target];
        for y in 0..end - first {
            for round in 0..rounds {
                let (tile, next) = (count * round / rounds, count * (round + 1) / rounds);
                // SAFETY: the caller's promise; tiles lie inside the row.
                unsafe {
                    let lefts = packed.add(y * row * LANES + tile * TILE);
                    let out = block.image(image).add(((first + y) * width + tile * ROWS) * LANES);
                    self.multiply(target..target + 1, lefts, next - tile, out, accumulate);
                }
            }
        }
    }
}

/// Lays the filter out as right tiles, `[target][term][pair][tap]`.
///
/// # Safety
/// `out` is valid for writes of [`filter_len`] numbers and nobody else uses them.
unsafe fn lay_out(tiles: Tiles, filter: &Filter, out: Pointer) {
    let (pairs, taps) = (filter.sources.len().div_ceil(2), filter.kernel * filter.kernel);
    let next_term = pairs * taps * TILE;
    tiles.for_each(
        filter.targets.len() * pairs,
        #[inline(always)]
        |task| {
            let (target, pair) = (task / pairs, task % pairs);
            let weights = scratch(2 * LANES * taps * LANES);
            // SAFETY: the scratch holds the weights of both blocks; every task has its own tiles, and those of the next
            // term follow all pairs of the first.
            unsafe {
                for block in 0..2 {
                    weights::filter_block(
                        tiles,
                        filter,
                        2 * pair + block,
                        target,
                        weights.add(block * LANES * taps * LANES),
                    );
                }
                let out = out.add((target * tiles.terms() * pairs + pair) * taps * TILE).0;
                for tap in 0..taps {
                    weights::filter_tile(tiles, weights, (tap, taps), out.add(tap * TILE), next_term);
                }
            }
        },
    );
}

/// The source blocks of a pair; the last pair of an odd number has no second block.
fn pair_of<'a>(sources: &'a [Block<'a>], pair: usize) -> (&'a Block<'a>, Option<&'a Block<'a>>) {
    (&sources[2 * pair], sources.get(2 * pair + 1))
}
