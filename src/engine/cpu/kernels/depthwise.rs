//! Depthwise convolution, for any odd kernel with stride 1 or 2, and its gradients: every lane of a block by itself.

use super::super::layout::{Block, Extent, Pointer, RowChunks, Target, lanes};
use super::super::simd::{LANES, Simd};
use super::direct::GradientShape;
use super::filter::Span;
use super::windows::{Tap, Windows};
use super::{Convolution, Finish, copy_padded, debug_assert_hold, debug_assert_targets_hold, for_each, scratch};

/// Most pixels of a strip.
const STRIP: usize = 12;
/// Wanted number of tasks of a weight gradient: fixed, so that the result does not depend on the number of threads.
const TASKS: usize = 8;

/// A kernel of every channel.
#[derive(Clone, Copy)]
pub(in super::super) struct ChannelFilter<'a> {
    /// All weights, `[channel, 1, k, k]`.
    pub(in super::super) weights: &'a [f32],
    /// Whether the kernels are turned by 180°.
    pub(in super::super) turned: bool,
    /// A factor per channel, if any.
    pub(in super::super) scale: Option<&'a [f32]>,
    /// The channels of every target.
    pub(in super::super) targets: &'a [Span],
}

impl ChannelFilter<'_> {
    /// The weights of a block of channels as `[tap][16]`; lanes without a channel are zeros.
    fn block(&self, block: usize, taps: usize) -> Vec<[f32; LANES]> {
        let scale = self.scale.map_or([1.0; LANES], |scale| lanes(scale, block));
        let mut out = vec![[0.0; LANES]; taps];
        for (lane, weights) in self.weights.chunks(taps).skip(block * LANES).take(LANES).enumerate() {
            for (tap, weight) in weights.iter().enumerate() {
                out[if self.turned { taps - 1 - tap } else { tap }][lane] = weight * scale[lane];
            }
        }
        out
    }
}

/// Convolves the block of the sources with the same channels to every target.
///
/// # Safety
/// Blocks have the extents; no two targets overlap, nor a target and a source; nobody else uses targets.
pub(in super::super) unsafe fn convolve<S: Simd>(s: S, convolution: &Convolution, filter: &ChannelFilter) {
    let Convolution { extent, read, kernel, sources, targets, .. } = *convolution;
    debug_assert_hold(sources, read);
    debug_assert_targets_hold(targets, extent);
    let windows = Windows::new(convolution, filter.turned);
    let (advance, spacing, border) = (windows.advance, windows.spacing, windows.border);
    let blocks: Vec<usize> = filter.targets.iter().map(|(first, _)| first / LANES).collect();
    let weights: Vec<_> = blocks.iter().map(|block| filter.block(*block, kernel * kernel)).collect();
    let chunks = windows.grid.row_chunks(windows.chunks(1));
    let row_len = (read.size.width + 2 * border) * LANES;
    let plane = (windows.rows(chunks.longest()) + 2 * border) * row_len;
    for_each(
        s,
        chunks.len() * targets.len(),
        #[inline(always)]
        |task| {
            let (block, (image, first, end)) = (task / chunks.len(), chunks.get(task % chunks.len()));
            let input = scratch(plane + STRIP * advance * LANES);
            // SAFETY: the scratch holds the padded rows, and the numbers that a strip reads beyond the last; the rows of
            // the target are this task's alone.
            unsafe {
                let rows = (first * advance, first * advance + windows.rows(end - first));
                copy_padded(s, &sources[blocks[block]], image, read, rows, border, input);
                for phase in &windows.phases {
                    let taps = Taps { positions: &phase.taps, row_len, weights: &weights[block], spacing };
                    let width = extent.size.width.saturating_sub(phase.column).div_ceil(spacing);
                    for row in 0..end - first {
                        let out_row = (first + row) * spacing + phase.row;
                        if out_row < extent.size.height {
                            let pixel = (image, out_row * extent.size.width + phase.column);
                            let from = input.add(row * advance * row_len);
                            taps.row(s, from, advance, width, &targets[block], pixel);
                        }
                    }
                }
            }
        },
    );
}

/// The taps of one phase of a block's windows.
struct Taps<'a> {
    positions: &'a [Tap],
    /// Numbers of a padded row.
    row_len: usize,
    weights: &'a [[f32; LANES]],
    /// Pixels from one result to the next.
    spacing: usize,
}

impl Taps<'_> {
    /// One row of `width` windows that lie `advance` pixels apart; the first result is `pixel`.
    #[inline(always)]
    unsafe fn row<S: Simd>(
        &self,
        s: S,
        from: *const f32,
        advance: usize,
        width: usize,
        target: &Target,
        (image, pixel): (usize, usize),
    ) {
        let step = if S::MANY_REGISTERS { STRIP } else { STRIP / 2 };
        for column in (0..width).step_by(step) {
            let (from, at) = (from.wrapping_add(column * advance * LANES), (image, pixel + column * self.spacing));
            let left = (width - column).min(step);
            // SAFETY: the caller's promise.
            unsafe {
                match (S::MANY_REGISTERS, advance) {
                    (true, 1) => self.strip::<S, STRIP, 1>(s, from, target, at, left),
                    (true, _) => self.strip::<S, STRIP, 2>(s, from, target, at, left),
                    (false, 1) => self.strip::<S, { STRIP / 2 }, 1>(s, from, target, at, left),
                    (false, _) => self.strip::<S, { STRIP / 2 }, 2>(s, from, target, at, left),
                }
            }
        }
    }

    /// `P` windows of a row, of which the first `pixels` are written.
    #[inline(always)]
    unsafe fn strip<S: Simd, const P: usize, const A: usize>(
        &self,
        s: S,
        from: *const f32,
        target: &Target,
        (image, pixel): (usize, usize),
        pixels: usize,
    ) {
        let mut sums = [s.splat(0.0); P];
        // SAFETY: the caller's promise.
        unsafe {
            for Tap { row, column, weight } in self.positions {
                let from = from.add(row * self.row_len + column * LANES);
                let weight = s.load(self.weights[*weight].as_ptr());
                for p in 0..P {
                    sums[p] = s.mul_add(s.load(from.add(p * A * LANES)), weight, sums[p]);
                }
            }
            let finish = Finish::new(s, target);
            let to = target.block.image(image).add(pixel * LANES);
            for p in 0..P {
                if p < pixels {
                    finish.write(s, to.add(p * self.spacing * LANES), sums[p]);
                }
            }
        }
    }
}

/// Chunks of rows, and partial sums over them.
fn split(extent: Extent, stride: usize, blocks: usize) -> (RowChunks, usize) {
    let rows = ((1 << 15) / (extent.size.width * stride * stride * LANES)).clamp(4, 64);
    let chunks = extent.row_chunks(extent.size.height.div_ceil(rows));
    (chunks, TASKS.div_ceil(blocks).min(chunks.len()))
}

/// Numbers of workspace that [`weight_gradient`] needs.
pub(in super::super) fn gradient_workspace(extent: Extent, blocks: usize, kernel: usize, stride: usize) -> usize {
    split(extent, stride, blocks).1 * blocks * kernel * kernel * LANES
}

/// The gradient to the weights, written to `out[channel · k² + tap]`.
///
/// # Safety
/// Blocks have the extents; `memory` is valid for [`gradient_workspace`] numbers and nobody else uses it.
pub(in super::super) unsafe fn weight_gradient<S: Simd>(
    s: S,
    shape: GradientShape,
    sources: &[Block],
    gradient: &[Block],
    out: &mut [f32],
    memory: Pointer,
) {
    let GradientShape { extent, read, kernel, stride, dilation } = shape;
    debug_assert_hold(sources, read);
    debug_assert_hold(gradient, extent);
    debug_assert!(memory.holds(gradient_workspace(extent, sources.len(), kernel, stride)), "workspace");
    let border = kernel / 2 * dilation;
    let taps = kernel * kernel;
    let (chunks, parts) = split(extent, stride, sources.len());
    let row_len = (read.size.width + 2 * border) * LANES;
    for_each(
        s,
        sources.len() * parts,
        #[inline(always)]
        |task| {
            let (block, part) = (task / parts, task % parts);
            let input = scratch(((chunks.longest() - 1) * stride + 1 + 2 * border) * row_len);
            // SAFETY: every task has its own sums; the scratch holds a chunk's padded rows.
            unsafe {
                let sums = memory.add(task * taps * LANES).0;
                for tap in 0..taps {
                    s.store(sums.add(tap * LANES), s.splat(0.0));
                }
                for chunk in chunks.len() * part / parts..chunks.len() * (part + 1) / parts {
                    let (image, first, end) = chunks.get(chunk);
                    let rows = (first * stride, (end - 1) * stride + 1);
                    copy_padded(s, &sources[block], image, read, rows, border, input);
                    let from = gradient[block].image(image).add(first * extent.size.width * LANES);
                    let walk = Walk { rows: end - first, width: extent.size.width, row_len, stride, dilation };
                    for row in 0..kernel {
                        let input = input.add(row * dilation * row_len);
                        let sums = sums.add(row * kernel * LANES);
                        match kernel {
                            3 => walk.taps::<S, 3>(s, input, from, sums),
                            5 => walk.taps::<S, 5>(s, input, from, sums),
                            7 => walk.taps::<S, 7>(s, input, from, sums),
                            _ => {
                                for tap in 0..kernel {
                                    let input = input.add(tap * dilation * LANES);
                                    walk.taps::<S, 1>(s, input, from, sums.add(tap * LANES));
                                }
                            }
                        }
                    }
                }
            }
        },
    );
    // SAFETY: written just now.
    let sums = unsafe { std::slice::from_raw_parts(memory.0, sources.len() * parts * taps * LANES) };
    for (channel, out) in out.chunks_mut(taps).enumerate() {
        let parts = sums[channel / LANES * parts * taps * LANES..].chunks(taps * LANES).take(parts);
        for (tap, out) in out.iter_mut().enumerate() {
            *out = parts.clone().map(|part| part[tap * LANES + channel % LANES]).sum();
        }
    }
}

/// Rows of a gradient, and the padded rows that they are multiplied with.
#[derive(Clone, Copy)]
struct Walk {
    rows: usize,
    width: usize,
    row_len: usize,
    stride: usize,
    dilation: usize,
}

impl Walk {
    /// Adds the products of `K` neighbouring taps to their sums.
    #[inline(always)]
    unsafe fn taps<S: Simd, const K: usize>(&self, s: S, input: *const f32, gradient: *const f32, sums: *mut f32) {
        let mut total = [s.splat(0.0); K];
        // SAFETY: the caller's promise.
        unsafe {
            for k in 0..K {
                total[k] = s.load(sums.add(k * LANES));
            }
            for y in 0..self.rows {
                let input = input.add(y * self.stride * self.row_len);
                let gradient = gradient.add(y * self.width * LANES);
                // The sum of a row by itself: a single long sum would round every addition at the size of the total.
                let mut row = [s.splat(0.0); K];
                for x in 0..self.width {
                    let g = s.load(gradient.add(x * LANES));
                    for k in 0..K {
                        let at = (x * self.stride + k * self.dilation) * LANES;
                        row[k] = s.mul_add(s.load(input.add(at)), g, row[k]);
                    }
                }
                for k in 0..K {
                    total[k] = s.add(total[k], row[k]);
                }
            }
            for k in 0..K {
                s.store(sums.add(k * LANES), total[k]);
            }
        }
    }
}
