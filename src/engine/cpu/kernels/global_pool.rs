//! Mean of every channel's pixels, and its gradient.

use super::super::layout::{Block, Extent, Target};
use super::super::simd::{LANES, Simd};
use super::{Activation, debug_assert_hold, debug_assert_targets_hold, for_each, run_sum};
use sweep_core::units::Size;

/// The extent of a map of means.
fn single(extent: Extent) -> Extent {
    Extent { size: Size { height: 1, width: 1 }, ..extent }
}

/// Writes the mean of every block of `sources` to the target with the same index.
///
/// # Safety
/// Sources have the extent, targets a single pixel of as many images; targets overlap nothing and nobody else uses them.
pub(in super::super) unsafe fn forward<S: Simd>(s: S, extent: Extent, sources: &[Block], targets: &[Block]) {
    debug_assert_hold(sources, extent);
    debug_assert_hold(targets, single(extent));
    let pixels = extent.size.area();
    for_each(
        s,
        sources.len() * extent.images,
        #[inline(always)]
        |task| {
            let (block, image) = (task / extent.images, task % extent.images);
            let read = Activation::for_image(s, &sources[block], image);
            // SAFETY: pixels inside the map; a target has one, which is this task's alone.
            unsafe {
                let from = sources[block].image(image);
                let sum = run_sum(s, pixels, |pixel| read.read::<false>(s, from.add(pixel * LANES)));
                s.store(targets[block].image(image), s.mul(sum, s.splat(1.0 / pixels as f32)));
            }
        },
    );
}

/// Spreads the gradient to the means over the pixels of the targets, which have this extent.
///
/// # Safety
/// The gradient has a single pixel of as many images as the targets; these overlap nothing and nobody else uses them.
pub(in super::super) unsafe fn backward<S: Simd>(s: S, extent: Extent, gradient: &[Block], targets: &[Target]) {
    debug_assert_hold(gradient, single(extent));
    debug_assert_targets_hold(targets, extent);
    let pixels = extent.size.area();
    for_each(
        s,
        targets.len() * extent.images,
        #[inline(always)]
        |task| {
            let (block, image) = (task / extent.images, task % extent.images);
            let target = &targets[block];
            // SAFETY: pixels inside the map, which is this task's alone.
            unsafe {
                let share = s.mul(s.load(gradient[block].image(image)), s.splat(1.0 / pixels as f32));
                let to = target.block.image(image);
                for p in (0..pixels).map(|pixel| to.add(pixel * LANES)) {
                    s.store(p, if target.accumulate { s.add(share, s.load(p)) } else { share });
                }
            }
        },
    );
}
