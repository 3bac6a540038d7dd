//! Products of maps and their gates, which have one value for a pixel's channels or for a channel's pixels, and the
//! sums that are the gradient to a gate.

use super::super::layout::{Block, Extent, Target};
use super::super::simd::{LANES, Simd};
use super::{Activation, debug_assert_hold, debug_assert_targets_hold, for_each, run_sum, scratch};
use sweep_core::units::Size;
use sweep_graph::Gating;

/// Rows of one task.
const ROWS: usize = 8;

/// First number of a task's rows in a plane, and number of pixels.
#[inline(always)]
fn rows(chunk: usize, extent: Extent) -> (usize, usize) {
    let (first, width) = (chunk * ROWS, extent.size.width);
    (first * width * LANES, ROWS.min(extent.size.height - first) * width)
}

/// The extent of a map with one value for a channel's pixels.
fn single(extent: Extent) -> Extent {
    Extent { size: Size { height: 1, width: 1 }, ..extent }
}

/// Multiplies every block of `sources` by its gate into the target with the same index. With a gradient as the source,
/// that is the gradient to the map. `gates` is one block of a single channel, or has a block of a single pixel for
/// every source.
///
/// # Safety
/// Sources and targets have the extent; targets overlap nothing and nobody else uses them.
pub(in super::super) unsafe fn multiply<S: Simd>(
    s: S,
    extent: Extent,
    gating: Gating,
    sources: &[Block],
    gates: &[Block],
    targets: &[Target],
) {
    debug_assert_hold(sources, extent);
    debug_assert_hold(gates, if gating == Gating::Pixel { extent } else { single(extent) });
    debug_assert_targets_hold(targets, extent);
    let chunks = extent.size.height.div_ceil(ROWS);
    match gating {
        Gating::Pixel => for_each(
            s,
            extent.images * chunks,
            #[inline(always)]
            |task| {
                let (image, (first, pixels)) = (task / chunks, rows(task % chunks, extent));
                // SAFETY: rows inside the maps, as many numbers of scratch; rows written are this task's alone.
                unsafe {
                    let factors = scratch(pixels);
                    spread(s, &gates[0], image, first, pixels, factors);
                    for (source, target) in sources.iter().zip(targets) {
                        let factor = |pixel: usize| s.splat(*factors.add(pixel));
                        products(s, image, (first, pixels), source, target, factor);
                    }
                }
            },
        ),
        Gating::Channel => for_each(
            s,
            targets.len() * extent.images * chunks,
            #[inline(always)]
            |task| {
                let (plane, share) = (task / chunks, rows(task % chunks, extent));
                let (block, image) = (plane / extent.images, plane % extent.images);
                let read = Activation::for_image(s, &gates[block], image);
                // SAFETY: a gate has one pixel; rows inside the maps; those written are this task's alone.
                unsafe {
                    let factor = read.read::<false>(s, gates[block].image(image));
                    products(s, image, share, &sources[block], &targets[block], |_| factor);
                }
            },
        ),
    }
}

/// Writes one number per pixel to the first lane of a block of one channel.
#[inline(always)]
pub(super) unsafe fn write_single<S: Simd>(s: S, values: &[f32], to: *mut f32, accumulate: bool) {
    for (pixel, value) in values.iter().enumerate() {
        // SAFETY: the caller's promise: as many pixels.
        unsafe {
            let p = to.add(pixel * LANES);
            if accumulate {
                *p += value;
            } else {
                s.store(p, s.splat(0.0));
                *p = *value;
            }
        }
    }
}

/// Writes the values of a block of one channel at these pixels next to each other.
#[inline(always)]
pub(super) unsafe fn spread<S: Simd>(s: S, gate: &Block, image: usize, first: usize, pixels: usize, out: *mut f32) {
    let read = Activation::for_image(s, gate, image);
    let mut lanes = [0.0f32; LANES];
    // SAFETY: the caller's promise: pixels inside the map, as many numbers to write.
    unsafe {
        let from = gate.image(image).add(first);
        for pixel in 0..pixels {
            s.store(lanes.as_mut_ptr(), read.read::<false>(s, from.add(pixel * LANES)));
            *out.add(pixel) = lanes[0];
        }
    }
}

/// Writes one block's products for these pixels.
#[inline(always)]
unsafe fn products<S: Simd>(
    s: S,
    image: usize,
    (first, pixels): (usize, usize),
    source: &Block,
    target: &Target,
    factor: impl Fn(usize) -> S::V,
) {
    let read = Activation::for_image(s, source, image);
    // SAFETY: the caller's promise: pixels inside both maps.
    unsafe {
        let (from, to) = (source.image(image).add(first), target.block.image(image).add(first));
        for pixel in 0..pixels {
            let v = s.mul(read.read::<false>(s, from.add(pixel * LANES)), factor(pixel));
            let p = to.add(pixel * LANES);
            s.store(p, if target.accumulate { s.add(v, s.load(p)) } else { v });
        }
    }
}

/// The gradient to gates: sums of products of the gated map and its gradient.
///
/// # Safety
/// Sources and the gradient have the extent, targets that of the gates; targets overlap nothing and nobody else uses
/// them.
pub(in super::super) unsafe fn sums<S: Simd>(
    s: S,
    extent: Extent,
    gating: Gating,
    sources: &[Block],
    gradient: &[Block],
    targets: &[Target],
) {
    debug_assert_hold(sources, extent);
    debug_assert_hold(gradient, extent);
    debug_assert_targets_hold(targets, if gating == Gating::Pixel { extent } else { single(extent) });
    match gating {
        Gating::Pixel => for_each(
            s,
            extent.images * extent.size.height,
            #[inline(always)]
            |task| {
                let (image, row) = (task / extent.size.height, task % extent.size.height);
                // SAFETY: a row inside the maps; the one written is this task's alone.
                unsafe { sum_of_channels(s, image, row, extent.size.width, [sources, gradient], &targets[0]) };
            },
        ),
        Gating::Channel => for_each(
            s,
            targets.len() * extent.images,
            #[inline(always)]
            |task| {
                let (block, image) = (task / extent.images, task % extent.images);
                let read = Activation::for_image(s, &sources[block], image);
                // SAFETY: inside the maps; a target has one pixel, which is this task's alone.
                unsafe {
                    let (from, gradient) = (sources[block].image(image), gradient[block].image(image));
                    let product = |pixel: usize| {
                        s.mul(read.read::<false>(s, from.add(pixel * LANES)), s.load(gradient.add(pixel * LANES)))
                    };
                    let sum = run_sum(s, extent.size.area(), product);
                    let (p, target) = (targets[block].block.image(image), &targets[block]);
                    s.store(p, if target.accumulate { s.add(sum, s.load(p)) } else { sum });
                }
            },
        ),
    }
}

/// Writes the sums over all channels of a row's products.
#[inline(always)]
unsafe fn sum_of_channels<S: Simd>(
    s: S,
    image: usize,
    row: usize,
    width: usize,
    [sources, gradient]: [&[Block]; 2],
    target: &Target,
) {
    let sums = scratch(width * LANES);
    let first = row * width * LANES;
    // SAFETY: the caller's promise: a row inside all maps; the scratch holds one.
    unsafe {
        for (block, (source, gradient)) in sources.iter().zip(gradient).enumerate() {
            let read = Activation::for_image(s, source, image);
            let (from, gradient) = (source.image(image).add(first), gradient.image(image).add(first));
            for at in (0..width).map(|pixel| pixel * LANES) {
                let (x, g) = (read.read::<false>(s, from.add(at)), s.load(gradient.add(at)));
                let before = if block == 0 { s.splat(0.0) } else { s.load(sums.add(at)) };
                s.store(sums.add(at), s.mul_add(x, g, before));
            }
        }
        let to = target.block.image(image).add(first);
        for start in (0..width).step_by(LANES) {
            let pixels = LANES.min(width - start);
            let mut rows = [s.splat(0.0); LANES];
            for i in 0..pixels {
                rows[i] = s.load(sums.add((start + i) * LANES));
            }
            let mut columns = s.transpose(rows);
            for half in [8, 4, 2, 1] {
                for i in 0..half {
                    columns[i] = s.add(columns[i], columns[i + half]);
                }
            }
            let mut totals = [0.0f32; LANES];
            s.store(totals.as_mut_ptr(), columns[0]);
            write_single(s, &totals[..pixels], to.add(start * LANES), target.accumulate);
        }
    }
}
