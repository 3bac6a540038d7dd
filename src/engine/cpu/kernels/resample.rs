//! Enlarges maps, rows and columns separately: every output is a mix of two inputs along either axis. The gradient
//! gathers, for every input, the outputs that it contributes to; so it needs no zeroed memory and has a fixed order.

use super::super::layout::{Block, Extent, Target};
use super::super::simd::{LANES, Simd};
use super::{Activation, debug_assert_hold, debug_assert_targets_hold, for_each, scratch};
use crate::plan::axis::Axis;
use sweep_core::units::Size;

/// Enlarges every block of `sources`, of extent `from`, into the block of `targets` with the same index.
///
/// # Safety
/// Sources have the extent `from`, targets the size of the axes; targets overlap nothing and nobody else uses them.
pub(in super::super) unsafe fn forward<S: Simd>(
    s: S,
    from: Extent,
    (rows, columns): (&Axis, &Axis),
    sources: &[Block],
    targets: &[Block],
) {
    let (height, width) = (rows.taps.len(), columns.taps.len());
    debug_assert_hold(sources, from);
    debug_assert_hold(targets, Extent { size: Size { height, width }, ..from });
    let chunks = height.div_ceil(ROWS);
    for_each(
        s,
        sources.len() * from.images * chunks,
        #[inline(always)]
        |task| {
            let (task, chunk) = (task / chunks, task % chunks);
            let (source, image) = (&sources[task / from.images], task % from.images);
            let activation = Activation::for_image(s, source, image);
            let mixed = scratch(from.size.width * LANES);
            // SAFETY: taps are inside the source, the scratch holds a row of it; rows written are this task's alone.
            unsafe {
                let (plane, out) = (source.image(image), targets[task / from.images].image(image));
                for y in chunk * ROWS..((chunk + 1) * ROWS).min(height) {
                    let tap = rows.taps[y];
                    let low = plane.add(tap.low * from.size.width * LANES);
                    let high = plane.add(tap.high * from.size.width * LANES);
                    let fraction = s.splat(tap.fraction);
                    for x in 0..from.size.width {
                        let a = activation.read::<false>(s, low.add(x * LANES));
                        let b = activation.read::<false>(s, high.add(x * LANES));
                        s.store(mixed.add(x * LANES), s.mul_add(fraction, s.sub(b, a), a));
                    }
                    let out = out.add(y * width * LANES);
                    for (x, tap) in columns.taps.iter().enumerate() {
                        let a = s.load(mixed.add(tap.low * LANES));
                        let b = s.load(mixed.add(tap.high * LANES));
                        s.store(out.add(x * LANES), s.mul_add(s.splat(tap.fraction), s.sub(b, a), a));
                    }
                }
            }
        },
    );
}

/// Rows of one task.
const ROWS: usize = 16;

/// The gradient to the sources, of extent `from`, from the gradient to the enlarged map.
///
/// # Safety
/// Same conditions as [`forward`]; targets have the sources' extent and the gradient has the axes' size.
pub(in super::super) unsafe fn backward<S: Simd>(
    s: S,
    from: Extent,
    (rows, columns): (&Axis, &Axis),
    gradient: &[Block],
    targets: &[Target],
) {
    let (height, width) = (rows.taps.len(), columns.taps.len());
    debug_assert_hold(gradient, Extent { size: Size { height, width }, ..from });
    debug_assert_targets_hold(targets, from);
    let chunks = from.size.height.div_ceil(ROWS);
    for_each(
        s,
        targets.len() * from.images * chunks,
        #[inline(always)]
        |task| {
            let (task, chunk) = (task / chunks, task % chunks);
            let (index, image) = (task / from.images, task % from.images);
            let target = &targets[index];
            let mixed = scratch(width * LANES);
            // SAFETY: readers are inside the gradient, the scratch holds a row of it; rows written are this task's alone.
            unsafe {
                let (plane, out) = (gradient[index].image(image), target.block.image(image));
                for y in chunk * ROWS..((chunk + 1) * ROWS).min(from.size.height) {
                    for x in 0..width {
                        let mut sum = s.splat(0.0);
                        for (row, weight) in &rows.readers[y] {
                            sum = s.mul_add(s.splat(*weight), s.load(plane.add((row * width + x) * LANES)), sum);
                        }
                        s.store(mixed.add(x * LANES), sum);
                    }
                    let out = out.add(y * from.size.width * LANES);
                    for (x, readers) in columns.readers.iter().enumerate() {
                        let mut sum = s.splat(0.0);
                        for (column, weight) in readers {
                            sum = s.mul_add(s.splat(*weight), s.load(mixed.add(column * LANES)), sum);
                        }
                        let p = out.add(x * LANES);
                        s.store(p, if target.accumulate { s.add(sum, s.load(p)) } else { sum });
                    }
                }
            }
        },
    );
}
