//! `1 / (1 + exp(−x))`, value by value, and its gradient.

use super::super::layout::{Block, Extent, Target};
use super::super::simd::{LANES, Simd};
use super::combine::{share, tasks};
use super::gate::{spread, write_single};
use super::{Activation, debug_assert_hold, debug_assert_targets_hold, for_each, scratch};
use sweep_graph::simd_math::Number;

/// The sigmoid of sixteen numbers; NaN stays NaN.
#[inline(always)]
fn sigmoids(x: [f32; LANES]) -> [f32; LANES] {
    // Of negative numbers only, so that none is infinite.
    let powers = f32::exponentials(x.map(|x| -x.abs()));
    let mut out = [0.0; LANES];
    for ((out, power), x) in out.iter_mut().zip(powers).zip(x) {
        *out = (if x < 0.0 { power } else { 1.0 }) / (1.0 + power);
    }
    out
}

/// Writes the sigmoids of every block of `sources` to the target with the same index.
///
/// # Safety
/// Both lists have as many blocks, of this extent; targets overlap nothing and nobody else uses them.
pub(in super::super) unsafe fn forward<S: Simd>(s: S, extent: Extent, sources: &[Block], targets: &[Block]) {
    debug_assert_hold(sources, extent);
    debug_assert_hold(targets, extent);
    for_each(
        s,
        tasks(targets.len(), extent),
        #[inline(always)]
        |task| {
            let (block, image, first, pixels) = share(task, extent);
            let read = Activation::for_image(s, &sources[block], image);
            // Lanes without a channel stay zero, though the sigmoid of zero is a half.
            let mut used = [0.0f32; LANES];
            used[..sources[block].channels].fill(1.0);
            // SAFETY: rows inside the maps, as many numbers of scratch; rows written are this task's alone.
            unsafe {
                if sources[block].channels == 1 {
                    // Sixteen pixels at a time instead of one pixel's sixteen lanes.
                    let values = scratch(pixels);
                    spread(s, &sources[block], image, first, pixels, values);
                    let values = std::slice::from_raw_parts(values, pixels);
                    let to = targets[block].image(image).add(first);
                    for (index, part) in values.chunks(LANES).enumerate() {
                        let mut lanes = [0.0f32; LANES];
                        lanes[..part.len()].copy_from_slice(part);
                        let results = sigmoids(lanes);
                        write_single(s, &results[..part.len()], to.add(index * LANES * LANES), false);
                    }
                    return;
                }
                let used = s.load(used.as_ptr());
                let [from, to] = [sources, targets].map(|blocks| blocks[block].image(image).add(first));
                let mut lanes = [0.0f32; LANES];
                for at in (0..pixels).map(|pixel| pixel * LANES) {
                    s.store(lanes.as_mut_ptr(), read.read::<false>(s, from.add(at)));
                    s.store(to.add(at), s.mul(s.load(sigmoids(lanes).as_ptr()), used));
                }
            }
        },
    );
}

/// The gradient to the sources, from the `result` and the gradient to it.
///
/// # Safety
/// Same conditions as [`forward`].
pub(in super::super) unsafe fn backward<S: Simd>(
    s: S,
    extent: Extent,
    result: &[Block],
    gradient: &[Block],
    targets: &[Target],
) {
    debug_assert_hold(result, extent);
    debug_assert_hold(gradient, extent);
    debug_assert_targets_hold(targets, extent);
    for_each(
        s,
        tasks(targets.len(), extent),
        #[inline(always)]
        |task| {
            let (block, image, first, pixels) = share(task, extent);
            let target = &targets[block];
            // SAFETY: rows inside the maps; those written are this task's alone.
            unsafe {
                let [result, gradient] = [result, gradient].map(|blocks| blocks[block].image(image).add(first));
                let to = target.block.image(image).add(first);
                for at in (0..pixels).map(|pixel| pixel * LANES) {
                    let y = s.load(result.add(at));
                    let g = s.mul(s.load(gradient.add(at)), s.neg_mul_add(y, y, y));
                    let p = to.add(at);
                    s.store(p, if target.accumulate { s.add(g, s.load(p)) } else { g });
                }
            }
        },
    );
}
