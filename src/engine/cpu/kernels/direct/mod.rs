//! Direct convolution for any odd kernel: where a kernel is 1×1, channels are few, or the map is too small for Winograd.
//!
//! A task copies the rows it needs, activated and padded, into its own cache and convolves strips of a row with one or
//! two blocks of output channels in registers.

mod gradient;

pub(in super::super) use gradient::{gradient_workspace, weight_gradient};

use super::super::layout::{Block, Extent, Pointer, Target};
use super::super::simd::{LANES, Simd};
use super::filter::Filter;
use super::{Convolution, Finish, copy_padded, for_each, scratch};

/// Pixels of a strip at most.
const STRIP: usize = 12;

/// Chunks of rows per image, and groups of targets, for enough tasks of enough work.
fn split(extent: Extent, sources: usize, targets: usize) -> (usize, usize) {
    // About 64 Ki numbers of input per task keep it in the cache.
    let rows = (1 << 16) / (extent.size.width * sources * LANES).max(1);
    let chunks = extent.size.height.div_ceil(rows.clamp(4, 32));
    let wanted = 16usize.div_ceil(chunks * extent.images);
    (chunks, targets.div_ceil(2).min(wanted))
}

/// Numbers of workspace a convolution needs.
pub(in super::super) fn workspace(sources: usize, targets: usize, kernel: usize) -> usize {
    Filter::direct_len(sources, targets, kernel)
}

/// Convolves sources to targets.
///
/// # Safety
/// Blocks have the extent; no two targets overlap, nor a target and a source; `memory` is valid for [`workspace`]
/// numbers; nobody else uses targets and memory.
pub(in super::super) unsafe fn convolve<S: Simd>(s: S, convolution: &Convolution, filter: &Filter, memory: Pointer) {
    let Convolution { extent, kernel, sources, targets } = *convolution;
    // SAFETY: the workspace is the filter.
    unsafe { filter.lay_out(s, memory) };
    let border = kernel / 2;
    let (chunks, groups) = split(extent, sources.len(), targets.len());
    let chunks = extent.row_chunks(chunks);
    let row_len = (extent.size.width + 2 * border) * LANES;
    let plane = (chunks.longest() + 2 * border) * row_len;
    let pairs = targets.len().div_ceil(2);
    for_each(
        s,
        chunks.len() * groups,
        #[inline(always)]
        |task| {
            let (image, first, end) = chunks.get(task / groups);
            let group = task % groups;
            let input = scratch(plane * sources.len() + STRIP * LANES);
            // SAFETY: the scratch holds the padded rows of all blocks, and a strip's reading beyond the last; rows and
            // targets are this task's alone.
            unsafe {
                for (i, source) in sources.iter().enumerate() {
                    copy_padded(s, source, image, extent, (first, end), border, input.add(i * plane));
                }
                let rows = Rows { input, plane, row_len, kernel, sources };
                for pair in pairs * group / groups..pairs * (group + 1) / groups {
                    let at = |target: usize| memory.add(target * sources.len() * kernel * kernel * LANES * LANES).0;
                    let targets = &targets[2 * pair..(2 * pair + 2).min(targets.len())];
                    for row in 0..end - first {
                        let pixel = (image, (first + row) * extent.size.width);
                        rows.convolve(s, row, extent.size.width, at(2 * pair), targets, pixel);
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
    sources: &'a [Block],
}

impl Rows<'_> {
    /// One output row of one or two targets, strip by strip.
    #[inline(always)]
    unsafe fn convolve<S: Simd>(
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
            let start = self.input.add(row * self.row_len);
            let mut column = 0;
            while column < width {
                let left = width - column;
                let (from, pixel) = (start.add(column * LANES), pixel + column);
                let place = (image, pixel);
                if targets.len() == 2 && S::MANY_REGISTERS {
                    if left > 6 {
                        self.strip::<S, 12, 2>(s, from, weights, targets, place, left.min(12));
                        column += 12;
                    } else {
                        self.strip::<S, 6, 2>(s, from, weights, targets, place, left.min(6));
                        column += 6;
                    }
                } else if S::MANY_REGISTERS {
                    self.strip::<S, 12, 1>(s, from, weights, targets, place, left.min(12));
                    column += 12;
                } else {
                    let step = Filter::direct_len(self.sources.len(), 1, self.kernel);
                    for (i, target) in targets.iter().enumerate() {
                        let target = std::slice::from_ref(target);
                        self.strip::<S, 6, 1>(s, from, weights.add(i * step), target, place, left.min(6));
                    }
                    column += 6;
                }
            }
        }
    }

    /// `P` pixels of a row by `N` targets, of which the first `pixels` are written.
    #[inline(always)]
    unsafe fn strip<S: Simd, const P: usize, const N: usize>(
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
                for y in 0..self.kernel {
                    for x in 0..self.kernel {
                        let from = from.add(source * self.plane + y * self.row_len + x * LANES);
                        let weights = weights.add((source * taps + y * self.kernel + x) * LANES * LANES);
                        for lane in 0..lanes {
                            let mut weight = [s.splat(0.0); N];
                            for n in 0..N {
                                weight[n] = s.load(weights.add(n * step + lane * LANES));
                            }
                            for p in 0..P {
                                let value = s.splat(*from.add(p * LANES + lane));
                                for n in 0..N {
                                    sums[p][n] = s.mul_add(value, weight[n], sums[p][n]);
                                }
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
                        finish.write(s, to.add(p * LANES), sums[p][n]);
                    }
                }
            }
        }
    }
}
