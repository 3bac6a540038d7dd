//! 3×3 convolution by Winograd's F(4×4, 3×3): 36 multiplications for 16 results instead of 144.
//!
//! Windows are transformed to `V[unit][source block][position][tile][16]`, multiplied by the transformed filter
//! `U[position][target block][source lane][16]` to `M[unit][target block][position][tile][16]`, and transformed back to
//! pixels. If `U` is small, a task takes a few tiles through all phases in its own cache. If `U` is large, it is read
//! only once per chunk of many tiles, and the tasks of one phase share it.

mod gradient;
mod layout;
mod multiply;
mod transform;

pub(in super::super) use gradient::{gradient_workspace, weight_gradient};

use super::super::layout::{Extent, Pointer};
use super::super::simd::{LANES, Simd};
use super::filter::Filter;
use super::{Convolution, PRODUCT, debug_assert_hold, debug_assert_targets_hold, for_each, scratch};
use layout::{BLOCK, POSITION_STRIDE, POSITIONS, TILE, UNIT};

/// Tiles multiplied together, at most.
const MULTIPLIED: usize = 12;
/// Targets multiplied together.
const PAIR: usize = 2;
/// Length of a transformed filter above which it is processed in phases.
const SMALL_FILTER: usize = 1 << 18;
/// Numbers of `V` and `M` (or `V` and the transformed gradient) in one chunk of tiles.
const CHUNK: usize = 3 << 19;

/// The 4×4 tiles of all images of an extent, numbered row by row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid {
    extent: Extent,
    rows: usize,
    columns: usize,
}

impl Grid {
    fn new(extent: Extent) -> Self {
        Self { extent, rows: extent.size.height.div_ceil(TILE), columns: extent.size.width.div_ceil(TILE) }
    }

    fn len(self) -> usize {
        self.extent.images * self.rows * self.columns
    }

    /// Image, tile row and tile column of a tile.
    #[inline(always)]
    fn locate(self, tile: usize) -> (usize, usize, usize) {
        let per_image = self.rows * self.columns;
        let (image, tile) = (tile / per_image, tile % per_image);
        (image, tile / self.columns, tile % self.columns)
    }

    /// Tiles of one chunk for this many blocks in all; a multiple of [`UNIT`].
    fn chunk(self, blocks: usize) -> usize {
        let most = (CHUNK / (POSITIONS * blocks * LANES) / UNIT).max(1);
        let units = self.len().div_ceil(UNIT);
        // Chunks of equal length: as few as the memory allows.
        units.div_ceil(units.div_ceil(most)) * UNIT
    }
}

/// Numbers from one position of `U` to the next. Filters have a power of two of channels, and without padding all positions
/// of a pair of blocks would compete for the same lines of the cache.
fn position_len(sources: usize, targets: usize) -> usize {
    sources * targets * LANES * LANES + (LANES + 1) * LANES
}

fn filter_len(sources: usize, targets: usize) -> usize {
    POSITIONS * position_len(sources, targets)
}

fn in_phases(sources: usize, targets: usize) -> bool {
    filter_len(sources, targets) > SMALL_FILTER
}

/// Time of a convolution, see [`PRODUCT`].
pub(in super::super) fn nanoseconds(extent: Extent, sources: usize, targets: usize) -> f64 {
    /// A filter between two blocks, there or back.
    const FILTER: f64 = 1000.0;
    /// The same, for each 2²⁰ numbers of all filters: the caches do not hold them.
    const CROWDING: f64 = 300.0;
    /// A tile of a block, there or back.
    const TRANSFORM: f64 = 70.0;
    let (tiles, pairs) = (Grid::new(extent).len(), (sources * targets) as f64);
    let products = (POSITIONS * tiles.next_multiple_of(MULTIPLIED)) as f64;
    let filter = FILTER + CROWDING * filter_len(sources, targets) as f64 / f64::from(1 << 20);
    pairs * (products * PRODUCT + filter) + (tiles * (sources + targets)) as f64 * TRANSFORM
}

/// Numbers of workspace that a convolution needs.
pub(in super::super) fn workspace(extent: Extent, sources: usize, targets: usize) -> usize {
    let filter = filter_len(sources, targets);
    if in_phases(sources, targets) {
        filter + Grid::new(extent).chunk(sources + targets) * POSITIONS * (sources + targets) * LANES
    } else {
        filter
    }
}

/// Transforms the filter to `U`.
///
/// # Safety
/// `out` is valid for writes of [`filter_len`] numbers and nobody else uses them.
unsafe fn transform_filter<S: Simd>(s: S, filter: &Filter, out: Pointer) {
    let (sources, targets) = (filter.sources.len(), filter.targets.len());
    let position_len = position_len(sources, targets);
    for_each(
        s,
        targets * sources,
        #[inline(always)]
        |task| {
            let (target, source) = (task / sources, task % sources);
            let zero = s.splat(0.0);
            let taps = scratch(9 * LANES * LANES);
            // SAFETY: the scratch holds a block.
            unsafe { filter.block(s, source, target, taps) };
            for lane in 0..LANES {
                let mut half = [[zero; 3]; 6];
                for x in 0..3 {
                    let mut g = [zero; 3];
                    for (y, g) in g.iter_mut().enumerate() {
                        // SAFETY: inside the scratch.
                        *g = unsafe { s.load(taps.add(((y * 3 + x) * LANES + lane) * LANES)) };
                    }
                    let g = transform::kernel(s, g);
                    for y in 0..6 {
                        half[y][x] = g[y];
                    }
                }
                for (y, half) in half.into_iter().enumerate() {
                    for (x, v) in transform::kernel(s, half).into_iter().enumerate() {
                        // SAFETY: inside the length promised; every task has its own part.
                        unsafe {
                            s.store(out.add((y * 6 + x) * position_len + (task * LANES + lane) * LANES).0, v);
                        }
                    }
                }
            }
        },
    );
}

/// Convolves sources to targets.
///
/// # Safety
/// Blocks have the extent; no two targets overlap, nor a target and a source; `memory` is valid for [`workspace`]
/// numbers; nobody else uses targets and memory.
pub(in super::super) unsafe fn convolve<S: Simd>(s: S, convolution: &Convolution, filter: &Filter, memory: Pointer) {
    let Convolution { extent, sources, targets, .. } = *convolution;
    debug_assert_hold(sources, extent);
    debug_assert_targets_hold(targets, extent);
    debug_assert!(memory.holds(workspace(extent, sources.len(), targets.len())), "workspace");
    let grid = Grid::new(extent);
    let tiles = grid.len();
    // SAFETY: the workspace begins with the filter.
    unsafe { transform_filter(s, filter, memory) };
    if in_phases(sources.len(), targets.len()) {
        // SAFETY: after the filter, the workspace holds a chunk.
        let v = unsafe { memory.add(filter_len(sources.len(), targets.len())) };
        let chunk = grid.chunk(sources.len() + targets.len());
        for first in (0..tiles).step_by(chunk) {
            // SAFETY: the caller's promise.
            unsafe { convolve_chunk(s, convolution, grid, (first, (first + chunk).min(tiles)), memory, v) };
        }
        return;
    }
    let (units, position_len) = (tiles.div_ceil(UNIT), position_len(sources.len(), targets.len()));
    for_each(
        s,
        units,
        #[inline(always)]
        |unit| {
            let v = scratch((sources.len() + PAIR) * BLOCK);
            // SAFETY: the scratch holds both arrays; a unit's tiles are this task's alone.
            unsafe {
                let m = v.add(sources.len() * BLOCK);
                let range = (unit * UNIT, ((unit + 1) * UNIT).min(tiles));
                for (i, source) in sources.iter().enumerate() {
                    transform::windows(s, grid, source, range, v.add(i * BLOCK));
                }
                // Two targets at a time, so that their products stay in the nearest cache.
                for (pair, targets) in targets.chunks(PAIR).enumerate() {
                    for position in 0..POSITIONS {
                        let filters = position * position_len + pair * PAIR * sources.len() * LANES * LANES;
                        let u = memory.add(filters).0;
                        let (v, m) = (v.add(position * POSITION_STRIDE), m.add(position * POSITION_STRIDE));
                        multiply::forward(s, range.1 - range.0, v, sources.len(), u, m, targets.len());
                    }
                    for (i, target) in targets.iter().enumerate() {
                        transform::tiles(s, grid, target, range, m.add(i * BLOCK));
                    }
                }
            }
        },
    );
}

/// One chunk of tiles in three phases.
///
/// # Safety
/// Same conditions as [`convolve`]; `v` holds the chunk's `V` and `M`.
unsafe fn convolve_chunk<S: Simd>(
    s: S,
    convolution: &Convolution,
    grid: Grid,
    (first, end): (usize, usize),
    u: Pointer,
    v: Pointer,
) {
    let Convolution { sources, targets, .. } = *convolution;
    let units = (end - first).div_ceil(UNIT);
    let unit_len = (sources.len() + targets.len()) * BLOCK;
    let range = |unit: usize| (first + unit * UNIT, (first + (unit + 1) * UNIT).min(end));
    for_each(
        s,
        units * sources.len(),
        #[inline(always)]
        |task| {
            let (unit, i) = (task / sources.len(), task % sources.len());
            // SAFETY: every task has its own unit and block of `V`.
            unsafe { transform::windows(s, grid, &sources[i], range(unit), v.add(unit * unit_len + i * BLOCK).0) };
        },
    );
    for_each(
        s,
        POSITIONS,
        #[inline(always)]
        |position| {
            // SAFETY: every task has its own position of `M`.
            unsafe {
                let u = u.add(position * position_len(sources.len(), targets.len())).0;
                for unit in 0..units {
                    let v = v.add(unit * unit_len + position * POSITION_STRIDE).0;
                    let (first, end) = range(unit);
                    multiply::forward(s, end - first, v, sources.len(), u, v.add(sources.len() * BLOCK), targets.len());
                }
            }
        },
    );
    for_each(
        s,
        units * targets.len(),
        #[inline(always)]
        |task| {
            let (unit, i) = (task / targets.len(), task % targets.len());
            // SAFETY: every task has its own unit and target.
            unsafe {
                let m = v.add(unit * unit_len + (sources.len() + i) * BLOCK).0;
                transform::tiles(s, grid, &targets[i], range(unit), m);
            }
        },
    );
}
