//! Maximum of 2×2 blocks, or of overlapping windows of 3×3 pixels, and its gradient, which goes to the first maximum in
//! row order.

use super::super::layout::{Block, Extent, Target};
use super::super::simd::{LANES, Simd};
use super::{Activation, debug_assert_hold, debug_assert_targets_hold, for_each};
use sweep_core::units::Size;

/// The four values of an output pixel, in row order.
#[inline(always)]
unsafe fn window<S: Simd>(s: S, activation: &Activation<S>, from: *const f32, width: usize) -> [S::V; 4] {
    // SAFETY: the caller's promise: two pixels of two rows.
    unsafe {
        let below = from.add(width * LANES);
        [
            activation.read::<false>(s, from),
            activation.read::<false>(s, from.add(LANES)),
            activation.read::<false>(s, below),
            activation.read::<false>(s, below.add(LANES)),
        ]
    }
}

#[inline(always)]
fn maximum<S: Simd>(s: S, v: [S::V; 4]) -> S::V {
    s.max(s.max(v[0], v[1]), s.max(v[2], v[3]))
}

/// Output rows of one task.
const ROWS: usize = 16;

/// A task's block and image, and the first and end row of the pooled map.
#[inline(always)]
fn share(task: usize, images: usize, height: usize) -> (usize, usize, (usize, usize)) {
    let chunks = height.div_ceil(ROWS);
    let (task, chunk) = (task / chunks, task % chunks);
    (task / images, task % images, (chunk * ROWS, ((chunk + 1) * ROWS).min(height)))
}

/// Pools every block of `sources` into the target with the same index; `from` is the sources' extent.
///
/// # Safety
/// Sources have the extent, targets half of it, rounded down; targets overlap nothing and nobody else uses them.
pub(in super::super) unsafe fn forward<S: Simd>(s: S, from: Extent, sources: &[Block], targets: &[Block]) {
    let (height, width) = (from.size.height / 2, from.size.width / 2);
    debug_assert_hold(sources, from);
    debug_assert_hold(targets, Extent { size: Size { height, width }, ..from });
    for_each(
        s,
        sources.len() * from.images * height.div_ceil(ROWS),
        #[inline(always)]
        |task| {
            let (index, image, (first, end)) = share(task, from.images, height);
            let activation = Activation::for_image(s, &sources[index], image);
            // SAFETY: rows and columns are below half the source's; rows written are this task's alone.
            unsafe {
                let (plane, out) = (sources[index].image(image), targets[index].image(image));
                for y in first..end {
                    for x in 0..width {
                        let corner = (2 * y * from.size.width + 2 * x) * LANES;
                        let v = window(s, &activation, plane.add(corner), from.size.width);
                        s.store(out.add((y * width + x) * LANES), maximum(s, v));
                    }
                }
            }
        },
    );
}

/// The gradient to the sources, from the gradient to the pooled map.
///
/// # Safety
/// Same conditions as [`forward`]; targets have the sources' extent.
pub(in super::super) unsafe fn backward<S: Simd>(
    s: S,
    from: Extent,
    sources: &[Block],
    gradient: &[Block],
    targets: &[Target],
) {
    let (height, width) = (from.size.height / 2, from.size.width / 2);
    debug_assert_hold(sources, from);
    debug_assert_hold(gradient, Extent { size: Size { height, width }, ..from });
    debug_assert_targets_hold(targets, from);
    for_each(
        s,
        sources.len() * from.images * height.div_ceil(ROWS),
        #[inline(always)]
        |task| {
            let (index, image, (first, end)) = share(task, from.images, height);
            let activation = Activation::for_image(s, &sources[index], image);
            let zero = s.splat(0.0);
            let target = &targets[index];
            // SAFETY: rows and columns are below half the source's; rows written are this task's alone.
            unsafe {
                let plane = sources[index].image(image);
                let (gradient, out) = (gradient[index].image(image), target.block.image(image));
                if !target.accumulate && (from.size.height % 2 == 1 || from.size.width % 2 == 1) {
                    // An odd last row or column was not pooled: its gradient is zero.
                    let last = if end == height { from.size.height } else { 2 * end };
                    for pixel in 2 * first * from.size.width..last * from.size.width {
                        s.store(out.add(pixel * LANES), zero);
                    }
                }
                for y in first..end {
                    for x in 0..width {
                        let corner = (2 * y * from.size.width + 2 * x) * LANES;
                        let values = window(s, &activation, plane.add(corner), from.size.width);
                        let largest = maximum(s, values);
                        let mut left = s.load(gradient.add((y * width + x) * LANES));
                        for i in 0..4 {
                            let p = out.add(corner + ((i / 2) * from.size.width + i % 2) * LANES);
                            let part = s.where_equal(values[i], largest, left, zero);
                            left = s.where_equal(values[i], largest, zero, left);
                            s.store(p, if target.accumulate { s.add(part, s.load(p)) } else { part });
                        }
                    }
                }
            }
        },
    );
}

/// Windows of 3×3 pixels around every second one, clipped at the border.
pub(in super::super) mod overlapping {
    use super::{Activation, Block, Extent, LANES, ROWS, Simd, Target, for_each};
    use super::{debug_assert_hold, debug_assert_targets_hold, share};
    use sweep_core::units::Size;

    /// Extent of the pooled map.
    fn pooled(from: Extent) -> Extent {
        Extent { size: Size { height: from.size.height.div_ceil(2), width: from.size.width.div_ceil(2) }, ..from }
    }

    /// First and end index that a window covers along an axis of this length.
    #[inline(always)]
    fn window(at: usize, len: usize) -> (usize, usize) {
        ((2 * at).saturating_sub(1), (2 * at + 2).min(len))
    }

    /// Same as [`super::forward`], but targets have half the sources' extent, rounded up.
    ///
    /// # Safety
    /// Same conditions as there.
    pub(in super::super::super) unsafe fn forward<S: Simd>(s: S, from: Extent, sources: &[Block], targets: &[Block]) {
        let to = pooled(from);
        let (height, width) = (to.size.height, to.size.width);
        debug_assert_hold(sources, from);
        debug_assert_hold(targets, to);
        for_each(
            s,
            sources.len() * from.images * height.div_ceil(ROWS),
            #[inline(always)]
            |task| {
                let (index, image, (first, end)) = share(task, from.images, height);
                let activation = Activation::for_image(s, &sources[index], image);
                // SAFETY: windows are clipped to the source; rows written are this task's alone.
                unsafe {
                    let (plane, out) = (sources[index].image(image), targets[index].image(image));
                    for y in first..end {
                        let (top, bottom) = window(y, from.size.height);
                        for x in 0..width {
                            let (left, right) = window(x, from.size.width);
                            let at = |row: usize, column: usize| {
                                activation.read::<false>(s, plane.add((row * from.size.width + column) * LANES))
                            };
                            let mut largest = at(top, left);
                            for row in top..bottom {
                                for column in left..right {
                                    largest = s.max(largest, at(row, column));
                                }
                            }
                            s.store(out.add((y * width + x) * LANES), largest);
                        }
                    }
                }
            },
        );
    }

    /// Same as [`super::backward`]. A pixel belongs to up to four windows, whose gradients are added in row order; so a
    /// task has a whole plane.
    ///
    /// # Safety
    /// Same conditions as [`forward`]; targets have the sources' extent.
    pub(in super::super::super) unsafe fn backward<S: Simd>(
        s: S,
        from: Extent,
        sources: &[Block],
        gradient: &[Block],
        targets: &[Target],
    ) {
        let to = pooled(from);
        let (height, width) = (to.size.height, to.size.width);
        debug_assert_hold(sources, from);
        debug_assert_hold(gradient, to);
        debug_assert_targets_hold(targets, from);
        for_each(
            s,
            sources.len() * from.images,
            #[inline(always)]
            |task| {
                let (index, image) = (task / from.images, task % from.images);
                let activation = Activation::for_image(s, &sources[index], image);
                let zero = s.splat(0.0);
                let target = &targets[index];
                // SAFETY: windows are clipped to the source; the plane is this task's alone.
                unsafe {
                    let (plane, out) = (sources[index].image(image), target.block.image(image));
                    let gradient = gradient[index].image(image);
                    if !target.accumulate {
                        for pixel in 0..from.size.area() {
                            s.store(out.add(pixel * LANES), zero);
                        }
                    }
                    for y in 0..height {
                        let (top, bottom) = window(y, from.size.height);
                        for x in 0..width {
                            let (left, right) = window(x, from.size.width);
                            let mut values = [zero; 9];
                            let mut largest = zero;
                            let mut count = 0;
                            for row in top..bottom {
                                for column in left..right {
                                    let offset = (row * from.size.width + column) * LANES;
                                    let v = activation.read::<false>(s, plane.add(offset));
                                    largest = if count == 0 { v } else { s.max(largest, v) };
                                    values[count] = v;
                                    count += 1;
                                }
                            }
                            let mut rest = s.load(gradient.add((y * width + x) * LANES));
                            let mut count = 0;
                            for row in top..bottom {
                                for column in left..right {
                                    let p = out.add((row * from.size.width + column) * LANES);
                                    let part = s.where_equal(values[count], largest, rest, zero);
                                    rest = s.where_equal(values[count], largest, zero, rest);
                                    s.store(p, s.add(part, s.load(p)));
                                    count += 1;
                                }
                            }
                        }
                    }
                }
            },
        );
    }
}
