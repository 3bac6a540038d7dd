//! The gradient to the kernel of a direct convolution: for every tap, the products of pixels and gradients summed over
//! the map.

use super::super::super::layout::{Block, Extent, Pointer, RowChunks};
use super::super::super::simd::{LANES, Simd};
use super::super::filter::{Filter, Span, WeightGradient, sum_parts};
use super::super::{copy_padded, debug_assert_hold, for_each, scratch};

/// Wanted number of tasks: fixed, so that the result does not depend on the number of threads.
const TASKS: usize = 8;

/// Extents of the maps that a convolution writes and reads, side of its kernel, stride and dilation.
#[derive(Clone, Copy)]
pub(in super::super::super) struct GradientShape {
    pub(in super::super::super) extent: Extent,
    pub(in super::super::super) read: Extent,
    pub(in super::super::super) kernel: usize,
    pub(in super::super::super) stride: usize,
    pub(in super::super::super) dilation: usize,
}

/// Chunks of rows, and partial sums over them.
fn split(extent: Extent, stride: usize, sources: usize) -> (RowChunks, usize) {
    let rows = ((1 << 15) / (extent.size.width * stride * stride * LANES)).clamp(4, 64);
    let chunks = extent.row_chunks(extent.size.height.div_ceil(rows));
    (chunks, TASKS.div_ceil(sources).min(chunks.len()))
}

/// Numbers of workspace that [`weight_gradient`] needs.
pub(in super::super::super) fn gradient_workspace(
    extent: Extent,
    sources: usize,
    targets: usize,
    [kernel, stride]: [usize; 2],
) -> usize {
    Filter::direct_len(sources, targets, kernel) * split(extent, stride, sources).1
}

/// The gradient to the weights, written to `out[out channel · stride + in channel · k² + tap]`, where `spans` are the
/// channels of the sources.
///
/// # Safety
/// Blocks have the extents; `memory` is valid for [`gradient_workspace`] numbers and nobody else uses it.
pub(in super::super::super) unsafe fn weight_gradient<S: Simd>(
    s: S,
    shape: GradientShape,
    sources: &[Block],
    gradient: &[Block],
    spans: &[Span],
    out: &mut [f32],
    stride: usize,
    memory: Pointer,
) {
    let GradientShape { extent, read, kernel, stride: step, dilation } = shape;
    debug_assert_hold(sources, read);
    debug_assert_hold(gradient, extent);
    debug_assert!(memory.holds(gradient_workspace(extent, sources.len(), gradient.len(), [kernel, step])), "workspace");
    let border = kernel / 2 * dilation;
    // An even kernel begins a pixel later in the border.
    let offset = border - (kernel - 1) / 2 * dilation;
    let taps = kernel * kernel;
    let (chunks, parts) = split(extent, step, sources.len());
    let row_len = (read.size.width + 2 * border) * LANES;
    let len = Filter::direct_len(sources.len(), gradient.len(), kernel);
    for_each(
        s,
        parts * sources.len(),
        #[inline(always)]
        |task| {
            let (part, source) = (task / sources.len(), task % sources.len());
            let input = scratch(((chunks.longest() - 1) * step + 1 + 2 * border) * row_len);
            let first_chunk = chunks.len() * part / parts;
            for chunk in first_chunk..chunks.len() * (part + 1) / parts {
                let (image, first, end) = chunks.get(chunk);
                // SAFETY: the scratch holds a chunk's padded rows; every task has its own sums.
                unsafe {
                    let rows = (first * step, (end - 1) * step + 1);
                    copy_padded(s, &sources[source], image, read, rows, border, input);
                    let input = input.add(offset * (row_len + LANES));
                    for (target, gradient) in gradient.iter().enumerate() {
                        let from = gradient.image(image).add(first * extent.size.width * LANES);
                        let pair = target * sources.len() + source;
                        let sums = memory.add(part * len + pair * taps * LANES * LANES).0;
                        let shape = (end - first, extent.size.width, row_len, step);
                        let accumulate = chunk > first_chunk;
                        if sources[source].channels == 1 && dilation == 1 {
                            for row in 0..kernel {
                                let input = input.add(row * row_len);
                                let sums = sums.add(row * kernel * LANES * LANES);
                                taps_of_row(s, kernel, shape, input, from, sums, accumulate);
                            }
                            continue;
                        }
                        for tap in 0..taps {
                            let input = input.add(dilation * ((tap / kernel) * row_len + (tap % kernel) * LANES));
                            let sums = sums.add(tap * LANES * LANES);
                            outer(s, sources[source].channels, shape, input, from, sums, accumulate);
                        }
                    }
                }
            }
        },
    );
    let to = WeightGradient { out: Pointer::new(out.as_mut_ptr(), out.len()), stride, spans, gradient };
    // SAFETY: the caller's promise.
    unsafe { spread(s, sources.len(), &to, taps, (parts, len), memory) };
}

/// Adds the partial sums in their order, tap by tap.
///
/// # Safety
/// Same conditions as [`weight_gradient`].
unsafe fn spread<S: Simd>(
    s: S,
    sources: usize,
    to: &WeightGradient,
    taps: usize,
    (parts, len): (usize, usize),
    sums: Pointer,
) {
    for_each(
        s,
        to.gradient.len() * sources,
        #[inline(always)]
        |task| {
            let mut values = vec![[[0.0f32; LANES]; LANES]; taps];
            for (tap, out) in values.iter_mut().enumerate() {
                // SAFETY: inside the sums.
                unsafe {
                    sum_parts(s, parts, len, sums.add((task * taps + tap) * LANES * LANES).0, out.as_mut_ptr().cast());
                };
            }
            // SAFETY: every task has its own pair of blocks.
            unsafe { to.write(s, task % sources, task / sources, &values) };
        },
    );
}

/// [`outer`] for a single lane and all taps of a row of the kernel at once: one product waits for none of the others.
#[inline(always)]
unsafe fn taps_of_row<S: Simd>(
    s: S,
    kernel: usize,
    shape: (usize, usize, usize, usize),
    input: *const f32,
    gradient: *const f32,
    sums: *mut f32,
    accumulate: bool,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match kernel {
            3 => rows::<S, 3, LANES>(s, shape, input, gradient, sums, accumulate),
            5 => rows::<S, 5, LANES>(s, shape, input, gradient, sums, accumulate),
            7 => rows::<S, 7, LANES>(s, shape, input, gradient, sums, accumulate),
            _ => {
                for tap in 0..kernel {
                    let sums = sums.add(tap * LANES * LANES);
                    rows::<S, 1, LANES>(s, shape, input.add(tap * LANES), gradient, sums, accumulate);
                }
            }
        }
    }
}

/// `sums[lane][16] (+)= Σ input[pixel][lane] · gradient[pixel][16]` for the lanes in use.
#[inline(always)]
unsafe fn outer<S: Simd>(
    s: S,
    lanes: usize,
    shape: (usize, usize, usize, usize),
    input: *const f32,
    gradient: *const f32,
    sums: *mut f32,
    accumulate: bool,
) {
    let mut lane = 0;
    // SAFETY: the caller's promise.
    unsafe {
        while lane < lanes {
            let (input, sums) = (input.add(lane), sums.add(lane * LANES));
            if lanes - lane == 1 {
                rows::<S, 1, 1>(s, shape, input, gradient, sums, accumulate);
                lane += 1;
            } else if S::MANY_REGISTERS && lanes > 4 {
                rows::<S, 16, 1>(s, shape, input, gradient, sums, accumulate);
                lane += 16;
            } else {
                rows::<S, 4, 1>(s, shape, input, gradient, sums, accumulate);
                lane += 4;
            }
        }
    }
}

/// `R` inputs at this distance by a gradient, in registers: lanes of one pixel, or one lane of neighbouring pixels. Their
/// sums are sixteen times the distance apart.
#[inline(always)]
unsafe fn rows<S: Simd, const R: usize, const DISTANCE: usize>(
    s: S,
    (height, width, row_len, step): (usize, usize, usize, usize),
    input: *const f32,
    gradient: *const f32,
    sums: *mut f32,
    accumulate: bool,
) {
    let mut total = [s.splat(0.0); R];
    // SAFETY: the caller's promise.
    unsafe {
        if accumulate {
            for r in 0..R {
                total[r] = s.load(sums.add(r * DISTANCE * LANES));
            }
        }
        for y in 0..height {
            let (input, gradient) = (input.add(y * step * row_len), gradient.add(y * width * LANES));
            for x in 0..width {
                let g = s.load(gradient.add(x * LANES));
                for r in 0..R {
                    total[r] = s.mul_add(s.splat(*input.add(x * step * LANES + r * DISTANCE)), g, total[r]);
                }
            }
        }
        for r in 0..R {
            s.store(sums.add(r * DISTANCE * LANES), total[r]);
        }
    }
}
