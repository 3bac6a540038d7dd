//! Combines two maps value by value, and computes the gradients to both; copies one.

use super::super::layout::{Block, Extent, Target};
use super::super::simd::{LANES, Simd};
use super::{Activation, bend, bend_gradient, debug_assert_hold, debug_assert_targets_hold, for_each};
use crate::plan::network::Bend;
use sweep_graph::Operation;

/// Rows of one task.
const ROWS: usize = 32;

/// A task's block, image, first number of its rows in a plane, and number of pixels.
#[inline(always)]
pub(super) fn share(task: usize, extent: Extent) -> (usize, usize, usize, usize) {
    let chunks = extent.size.height.div_ceil(ROWS);
    let (plane, first) = (task / chunks, task % chunks * ROWS);
    let rows = ROWS.min(extent.size.height - first);
    let width = extent.size.width;
    (plane / extent.images, plane % extent.images, first * width * LANES, rows * width)
}

pub(super) fn tasks(blocks: usize, extent: Extent) -> usize {
    blocks * extent.images * extent.size.height.div_ceil(ROWS)
}

/// Writes `activation(a ∘ b)`, block by block.
///
/// # Safety
/// All lists have as many blocks, of this extent; targets overlap nothing and nobody else uses them.
pub(in super::super) unsafe fn forward<S: Simd>(
    s: S,
    extent: Extent,
    operation: Operation,
    activation: Bend,
    [a, b]: [&[Block]; 2],
    targets: &[Block],
) {
    for blocks in [a, b, targets] {
        debug_assert_hold(blocks, extent);
    }
    for_each(
        s,
        tasks(targets.len(), extent),
        #[inline(always)]
        |task| {
            let (block, image, first, pixels) = share(task, extent);
            let (slope, ceiling) = (s.splat(activation.slope), s.splat(activation.ceiling));
            let [read_a, read_b] = [a, b].map(|blocks| Activation::for_image(s, &blocks[block], image));
            // SAFETY: rows inside the maps; those written are this task's alone.
            unsafe {
                let [a, b, to] = [a, b, targets].map(|blocks| blocks[block].image(image).add(first));
                for pixel in 0..pixels {
                    let at = pixel * LANES;
                    let (x, y) = (read_a.read::<false>(s, a.add(at)), read_b.read::<false>(s, b.add(at)));
                    let v = match operation {
                        Operation::Sum => s.add(x, y),
                        Operation::Product => s.mul(x, y),
                    };
                    s.store(to.add(at), bend(s, v, slope, ceiling));
                }
            }
        },
    );
}

/// Writes what readers of `sources` see, block by block.
///
/// # Safety
/// Same conditions as [`forward`].
pub(in super::super) unsafe fn copy<S: Simd>(s: S, extent: Extent, sources: &[Block], targets: &[Block]) {
    for blocks in [sources, targets] {
        debug_assert_hold(blocks, extent);
    }
    for_each(
        s,
        tasks(targets.len(), extent),
        #[inline(always)]
        |task| {
            let (block, image, first, pixels) = share(task, extent);
            let read = Activation::for_image(s, &sources[block], image);
            // SAFETY: rows inside the maps; those written are this task's alone.
            unsafe {
                let [from, to] = [sources, targets].map(|blocks| blocks[block].image(image).add(first));
                for at in (0..pixels).map(|pixel| pixel * LANES) {
                    s.store(to.add(at), read.read::<false>(s, from.add(at)));
                }
            }
        },
    );
}

/// The gradient to one of the two maps: `gradient`, times the activation's derivative by its `result`, times the `other`
/// map of a product. `result` has no blocks if there is no activation, `other` has none for a sum.
///
/// # Safety
/// Same conditions as [`forward`].
pub(in super::super) unsafe fn backward<S: Simd>(
    s: S,
    extent: Extent,
    activation: Bend,
    [result, other]: [&[Block]; 2],
    gradient: &[Block],
    targets: &[Target],
) {
    for blocks in [result, other, gradient] {
        debug_assert_hold(blocks, extent);
    }
    debug_assert_targets_hold(targets, extent);
    for_each(
        s,
        tasks(targets.len(), extent),
        #[inline(always)]
        |task| {
            let (block, image, first, pixels) = share(task, extent);
            let (slope, ceiling) = (s.splat(activation.slope), s.splat(activation.ceiling));
            let target = &targets[block];
            let read = other.get(block).map(|other| Activation::for_image(s, other, image));
            // SAFETY: rows inside the maps; those written are this task's alone.
            unsafe {
                let of = |block: &Block| block.image(image).add(first).cast_const();
                let (result, other) = (result.get(block).map(of), other.get(block).map(of));
                let (gradient, to) = (of(&gradient[block]), target.block.image(image).add(first));
                for pixel in 0..pixels {
                    let at = pixel * LANES;
                    let mut g = s.load(gradient.add(at));
                    if let Some(result) = result {
                        g = bend_gradient(s, s.load(result.add(at)), g, slope, ceiling);
                    }
                    if let (Some(read), Some(other)) = (&read, other) {
                        g = s.mul(g, read.read::<false>(s, other.add(at)));
                    }
                    let p = to.add(at);
                    s.store(p, if target.accumulate { s.add(g, s.load(p)) } else { g });
                }
            }
        },
    );
}
