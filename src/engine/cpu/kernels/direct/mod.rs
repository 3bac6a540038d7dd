//! Direct convolution for any odd kernel with stride 1 or 2, and its adjoint for any kernel: its input gradient, and
//! transposed convolution. It is used for 1×1 kernels, for stride 2, for few channels, and for maps too small for
//! Winograd.
//!
//! A task copies the rows it needs, activated and padded, into its own cache and convolves strips of a row with one or
//! two blocks of output channels in registers.

mod gradient;

pub(in super::super) use gradient::{GradientShape, gradient_workspace, weight_gradient};

use super::super::layout::{Block, Extent, Pointer, Target};
use super::super::simd::{LANES, Simd};
use super::filter::Filter;
use super::windows::{Tap, Windows};
use super::{
    Convolution, Finish, PRODUCT, copy_padded, debug_assert_hold, debug_assert_targets_hold, for_each, scratch,
};

/// Most pixels of a strip.
const STRIP: usize = 12;

/// Chunks of rows per image, and groups of targets, so that there are enough tasks of sufficient size.
fn split(windows: &Windows, sources: usize, targets: usize) -> (usize, usize) {
    let chunks = windows.chunks(sources);
    let wanted = 16usize.div_ceil(chunks * windows.grid.images);
    (chunks, targets.div_ceil(2).min(wanted))
}

/// Numbers of workspace that a convolution needs.
pub(in super::super) fn workspace(sources: usize, targets: usize, kernel: usize) -> usize {
    Filter::direct_len(sources, targets, kernel)
}

/// Time of a convolution of stride 1, see [`PRODUCT`].
pub(in super::super) fn nanoseconds(extent: Extent, sources: usize, targets: usize, kernel: usize) -> f64 {
    /// A filter between two blocks.
    const FILTER: f64 = 450.0;
    let products = (kernel * kernel * extent.images * extent.size.area()) as f64;
    (sources * targets) as f64 * (products * PRODUCT + FILTER)
}

/// Convolves sources to targets.
///
/// # Safety
/// Blocks have the extents; no two targets overlap, nor a target and a source; `memory` is valid for [`workspace`]
/// numbers; nobody else uses targets and memory.
pub(in super::super) unsafe fn convolve<S: Simd>(s: S, convolution: &Convolution, filter: &Filter, memory: Pointer) {
    let Convolution { extent, read, kernel, sources, targets, .. } = *convolution;
    debug_assert_hold(sources, read);
    debug_assert_targets_hold(targets, extent);
    debug_assert!(memory.holds(workspace(sources.len(), targets.len(), kernel)), "workspace");
    // SAFETY: the workspace is the filter.
    unsafe { filter.lay_out(s, memory) };
    let windows = Windows::new(convolution, filter.turned);
    let (advance, spacing, border) = (windows.advance, windows.spacing, windows.border);
    let (chunks, groups) = split(&windows, sources.len(), targets.len());
    let chunks = windows.grid.row_chunks(chunks);
    let row_len = (read.size.width + 2 * border) * LANES;
    let plane = (windows.rows(chunks.longest()) + 2 * border) * row_len;
    let pairs = targets.len().div_ceil(2);
    for_each(
        s,
        chunks.len() * groups,
        #[inline(always)]
        |task| {
            let (image, first, end) = chunks.get(task / groups);
            let group = task % groups;
            let input = scratch(plane * sources.len() + STRIP * advance * LANES);
            // SAFETY: the scratch holds the padded rows of all blocks, and the numbers that a strip reads beyond the
            // last; rows and targets are this task's alone.
            unsafe {
                let rows = (first * advance, first * advance + windows.rows(end - first));
                for (i, source) in sources.iter().enumerate() {
                    copy_padded(s, source, image, read, rows, border, input.add(i * plane));
                }
                for pair in pairs * group / groups..pairs * (group + 1) / groups {
                    let weights = memory.add(2 * pair * sources.len() * kernel * kernel * LANES * LANES).0;
                    let targets = &targets[2 * pair..(2 * pair + 2).min(targets.len())];
                    for phase in &windows.phases {
                        let rows = Rows { input, plane, row_len, kernel, sources, taps: &phase.taps, spacing };
                        let width = extent.size.width.saturating_sub(phase.column).div_ceil(spacing);
                        for row in 0..end - first {
                            let out_row = (first + row) * spacing + phase.row;
                            if out_row < extent.size.height {
                                let pixel = (image, out_row * extent.size.width + phase.column);
                                if advance == 1 {
                                    rows.convolve::<S, 1>(s, row, width, weights, targets, pixel);
                                } else {
                                    rows.convolve::<S, 2>(s, row, width, weights, targets, pixel);
                                }
                            }
                        }
                    }
                }
            }
        },
    );
}

/// Padded rows of all source blocks.
#[derive(Clone, Copy)]
struct Rows<'a> {
    input: *const f32,
    /// Numbers of a block.
    plane: usize,
    /// Numbers of a row.
    row_len: usize,
    kernel: usize,
    sources: &'a [Block<'a>],
    taps: &'a [Tap],
    /// Pixels from one result to the next.
    spacing: usize,
}

impl Rows<'_> {
    /// One row of `width` windows, `A` pixels apart, for one or two targets, strip by strip; the first result is
    /// `pixel`.
    #[inline(always)]
    unsafe fn convolve<S: Simd, const A: usize>(
        &self,
        s: S,
        row: usize,
        width: usize,
        weights: *const f32,
        targets: &[Target],
        (image, pixel): (usize, usize),
    ) {
        // SAFETY: the caller's promise: the row is in the map, the weights hold both targets.
        unsafe {
            let start = self.input.add(row * A * self.row_len);
            let mut column = 0;
            while column < width {
                let left = width - column;
                let (from, pixel) = (start.add(column * A * LANES), pixel + column * self.spacing);
                let start = (image, pixel);
                if targets.len() == 2 && S::MANY_REGISTERS {
                    if left > 6 {
                        self.strip::<S, 12, 2, A>(s, from, weights, targets, start, left.min(12));
                        column += 12;
                    } else {
                        self.strip::<S, 6, 2, A>(s, from, weights, targets, start, left.min(6));
                        column += 6;
                    }
                } else if S::MANY_REGISTERS {
                    self.strip::<S, 12, 1, A>(s, from, weights, targets, start, left.min(12));
                    column += 12;
                } else {
                    let step = Filter::direct_len(self.sources.len(), 1, self.kernel);
                    for (i, target) in targets.iter().enumerate() {
                        let target = std::slice::from_ref(target);
                        self.strip::<S, 6, 1, A>(s, from, weights.add(i * step), target, start, left.min(6));
                    }
                    column += 6;
                }
            }
        }
    }

    /// `P` windows of a row by `N` targets, of which the first `pixels` are written.
    #[inline(always)]
    unsafe fn strip<S: Simd, const P: usize, const N: usize, const A: usize>(
        &self,
        s: S,
        from: *const f32,
        weights: *const f32,
        targets: &[Target],
        (image, pixel): (usize, usize),
        pixels: usize,
    ) {
        let mut sums = [[s.splat(0.0); N]; P];
        let taps = self.kernel * self.kernel;
        let step = Filter::direct_len(self.sources.len(), 1, self.kernel);
        // SAFETY: the caller's promise.
        unsafe {
            for source in 0..self.sources.len() {
                let lanes = self.sources[source].channels;
                for Tap { row, column, weight } in self.taps {
                    let from = from.add(source * self.plane + row * self.row_len + column * LANES);
                    let weights = weights.add((source * taps + weight) * LANES * LANES);
                    for lane in 0..lanes {
                        let mut weight = [s.splat(0.0); N];
                        for n in 0..N {
                            weight[n] = s.load(weights.add(n * step + lane * LANES));
                        }
                        for p in 0..P {
                            let value = s.splat(*from.add(p * A * LANES + lane));
                            for n in 0..N {
                                sums[p][n] = s.mul_add(value, weight[n], sums[p][n]);
                            }
                        }
                    }
                }
            }
            for n in 0..N {
                let finish = Finish::new(s, &targets[n]);
                let to = targets[n].block.image(image).add(pixel * LANES);
                for p in 0..P {
                    if p < pixels {
                        finish.write(s, to.add(p * self.spacing * LANES), sums[p][n]);
                    }
                }
            }
        }
    }
}
