//! The gradient to a 3×3 kernel in Winograd's form: a matrix product over the tiles at every position.
//!
//! Sums are kept as `H[position][source block][target block][16][16]`. If `H` is small, a fixed number of tasks sum
//! their share of the tiles, each in its own `H`. If it is large, chunks of many tiles are transformed first, and the
//! tasks of the second phase share the positions.

use super::super::super::layout::{Block, Extent, Pointer};
use super::super::super::simd::{LANES, Simd};
use super::super::filter::{Span, WeightGradient, sum_parts};
use super::super::{debug_assert_hold, for_each, scratch};
use super::layout::{BLOCK, POSITION_STRIDE, POSITIONS, UNIT};
use super::{Grid, filter_len, in_phases, multiply, position_len, transform};

/// Number of partial sums if `H` is small: fixed, so that the result does not depend on the number of threads.
const PARTS: usize = 8;

fn parts(extent: Extent, sources: usize, targets: usize) -> usize {
    if in_phases(sources, targets) { 1 } else { PARTS.min(Grid::new(extent).len().div_ceil(UNIT)) }
}

/// Numbers of workspace that [`weight_gradient`] needs.
pub(in super::super::super) fn gradient_workspace(extent: Extent, sources: usize, targets: usize) -> usize {
    let sums = filter_len(sources, targets) * parts(extent, sources, targets);
    if in_phases(sources, targets) {
        sums + Grid::new(extent).chunk(sources + targets) * POSITIONS * (sources + targets) * LANES
    } else {
        sums
    }
}

/// The gradient to the weights, written to `out[out channel · stride + in channel · 9 + tap]`, where `spans` are the
/// channels of the sources and `channels` the number of output channels.
///
/// # Safety
/// Blocks have the extent; `memory` is valid for [`gradient_workspace`] numbers and nobody else uses it.
pub(in super::super::super) unsafe fn weight_gradient<S: Simd>(
    s: S,
    extent: Extent,
    sources: &[Block],
    gradient: &[Block],
    spans: &[Span],
    out: &mut [f32],
    stride: usize,
    memory: Pointer,
) {
    debug_assert_hold(sources, extent);
    debug_assert_hold(gradient, extent);
    debug_assert!(memory.holds(gradient_workspace(extent, sources.len(), gradient.len())), "workspace");
    let grid = Grid::new(extent);
    let len = filter_len(sources.len(), gradient.len());
    let parts = parts(extent, sources.len(), gradient.len());
    // SAFETY: the caller's promise.
    unsafe {
        if in_phases(sources.len(), gradient.len()) {
            let v = memory.add(len);
            let chunk = grid.chunk(sources.len() + gradient.len());
            for first in (0..grid.len()).step_by(chunk) {
                let range = (first, (first + chunk).min(grid.len()));
                sum_chunk(s, grid, sources, gradient, range, memory, v);
            }
        } else {
            sum_shares(s, grid, sources, gradient, parts, memory);
        }
        let to = WeightGradient { out: Pointer::new(out.as_mut_ptr(), out.len()), stride, spans, gradient };
        turn_back(s, sources.len(), &to, parts, memory);
    }
}

/// `parts` tasks, each summing its share of the tiles in its own `H`.
///
/// # Safety
/// Same conditions as [`weight_gradient`].
unsafe fn sum_shares<S: Simd>(s: S, grid: Grid, sources: &[Block], gradient: &[Block], parts: usize, sums: Pointer) {
    let units = grid.len().div_ceil(UNIT);
    let position_len = position_len(sources.len(), gradient.len());
    for_each(
        s,
        parts,
        #[inline(always)]
        |part| {
            let v = scratch((1 + gradient.len()) * BLOCK);
            let first_unit = units * part / parts;
            // SAFETY: the scratch holds both arrays; every task has its own sums.
            unsafe {
                let e = v.add(BLOCK);
                let sums = sums.add(part * POSITIONS * position_len).0;
                for unit in first_unit..units * (part + 1) / parts {
                    let range = (unit * UNIT, ((unit + 1) * UNIT).min(grid.len()));
                    for (i, gradient) in gradient.iter().enumerate() {
                        transform::gradients(s, grid, gradient, range, e.add(i * BLOCK));
                    }
                    // One source at a time, so that its windows stay in the nearest cache.
                    for (i, source) in sources.iter().enumerate() {
                        transform::windows(s, grid, source, range, v);
                        for position in 0..POSITIONS {
                            let (v, e) = (v.add(position * POSITION_STRIDE), e.add(position * POSITION_STRIDE));
                            let sums = sums.add(position * position_len + i * gradient.len() * LANES * LANES);
                            let tiles = range.1 - range.0;
                            multiply::outer(s, (1, gradient.len()), tiles, 0, v, e, sums, unit > first_unit);
                        }
                    }
                }
            }
        },
    );
}

/// One chunk of tiles in two phases.
///
/// # Safety
/// Same conditions as [`weight_gradient`]; `v` holds the chunk's `V` and transformed gradient.
unsafe fn sum_chunk<S: Simd>(
    s: S,
    grid: Grid,
    sources: &[Block],
    gradient: &[Block],
    (first, end): (usize, usize),
    sums: Pointer,
    v: Pointer,
) {
    let position_len = position_len(sources.len(), gradient.len());
    let blocks = sources.len() + gradient.len();
    for_each(
        s,
        (end - first).div_ceil(UNIT) * blocks,
        #[inline(always)]
        |task| {
            let (unit, i) = (task / blocks, task % blocks);
            let range = (first + unit * UNIT, (first + (unit + 1) * UNIT).min(end));
            // SAFETY: every task has its own unit and block.
            unsafe {
                let out = v.add(task * BLOCK).0;
                match i.checked_sub(sources.len()) {
                    None => transform::windows(s, grid, &sources[i], range, out),
                    Some(i) => transform::gradients(s, grid, &gradient[i], range, out),
                }
            }
        },
    );
    for_each(
        s,
        POSITIONS,
        #[inline(always)]
        |position| {
            // SAFETY: every task has its own position.
            unsafe {
                let v = v.add(position * POSITION_STRIDE).0;
                let (e, sums) = (v.add(sources.len() * BLOCK), sums.add(position * position_len).0);
                let shape = (sources.len(), gradient.len());
                multiply::outer(s, shape, end - first, blocks * BLOCK, v, e, sums, first > 0);
            }
        },
    );
}

/// Adds the partial sums in their order and transforms them back to 3×3.
///
/// # Safety
/// Same conditions as [`weight_gradient`].
unsafe fn turn_back<S: Simd>(s: S, sources: usize, to: &WeightGradient, parts: usize, sums: Pointer) {
    let targets = to.gradient.len();
    let position_len = position_len(sources, targets);
    for_each(
        s,
        sources * targets,
        #[inline(always)]
        |task| {
            let zero = s.splat(0.0);
            let positions = scratch(POSITIONS * LANES * LANES);
            for position in 0..POSITIONS {
                // SAFETY: inside the sums and the scratch.
                unsafe {
                    let from = sums.add(position * position_len + task * LANES * LANES).0;
                    sum_parts(s, parts, POSITIONS * position_len, from, positions.add(position * LANES * LANES));
                }
            }
            let mut taps = [[[0.0f32; LANES]; LANES]; 9];
            for lane in 0..LANES {
                let mut half = [[zero; 6]; 3];
                for x in 0..6 {
                    let mut m = [zero; 6];
                    for y in 0..6 {
                        // SAFETY: inside the scratch.
                        m[y] = unsafe { s.load(positions.add(((y * 6 + x) * LANES + lane) * LANES)) };
                    }
                    let m = transform::kernel_gradient(s, m);
                    for y in 0..3 {
                        half[y][x] = m[y];
                    }
                }
                for y in 0..3 {
                    let row = transform::kernel_gradient(s, half[y]);
                    for x in 0..3 {
                        // SAFETY: the array holds `LANES` numbers.
                        unsafe { s.store(taps[y * 3 + x][lane].as_mut_ptr(), row[x]) };
                    }
                }
            }
            // SAFETY: every task has its own pair of blocks.
            unsafe { to.write(s, task / targets, task % targets, &taps) };
        },
    );
}
