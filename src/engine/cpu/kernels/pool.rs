//! Maximum of 2×2 blocks, and its gradient, which goes to the first maximum in row order.

use super::super::layout::{Block, Extent, Target};
use super::super::simd::{LANES, Simd};
use super::{Activation, for_each};

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

/// Pools every block of `sources` into the target of the same place; `from` is the sources' extent.
///
/// # Safety
/// Sources have the extent, targets half of it, rounded down; targets overlap nothing and nobody else uses them.
pub(in super::super) unsafe fn forward<S: Simd>(s: S, from: Extent, sources: &[Block], targets: &[Block]) {
    let (height, width) = (from.size.height / 2, from.size.width / 2);
    for_each(
        s,
        sources.len() * from.images,
        #[inline(always)]
        |task| {
            let (source, image) = (&sources[task / from.images], task % from.images);
            let activation = Activation::of(s, source);
            // SAFETY: rows and columns are below half the source's.
            unsafe {
                let (plane, out) = (source.image(image), targets[task / from.images].image(image));
                for y in 0..height {
                    for x in 0..width {
                        let v = window(
                            s,
                            &activation,
                            plane.add((2 * y * from.size.width + 2 * x) * LANES),
                            from.size.width,
                        );
                        s.store(out.add((y * width + x) * LANES), maximum(s, v));
                    }
                }
            }
        },
    );
}

/// The gradient to the sources, from that to the pooled map.
///
/// # Safety
/// As [`forward`]; targets have the sources' extent.
pub(in super::super) unsafe fn backward<S: Simd>(
    s: S,
    from: Extent,
    sources: &[Block],
    gradient: &[Block],
    targets: &[Target],
) {
    let (height, width) = (from.size.height / 2, from.size.width / 2);
    for_each(
        s,
        sources.len() * from.images,
        #[inline(always)]
        |task| {
            let (index, image) = (task / from.images, task % from.images);
            let activation = Activation::of(s, &sources[index]);
            let zero = s.splat(0.0);
            let target = &targets[index];
            // SAFETY: rows and columns are below half the source's.
            unsafe {
                let plane = sources[index].image(image);
                let (gradient, out) = (gradient[index].image(image), target.block.image(image));
                if !target.accumulate && (from.size.height % 2 == 1 || from.size.width % 2 == 1) {
                    for pixel in 0..from.size.area() {
                        s.store(out.add(pixel * LANES), zero);
                    }
                }
                for y in 0..height {
                    for x in 0..width {
                        let corner = (2 * y * from.size.width + 2 * x) * LANES;
                        let values = window(s, &activation, plane.add(corner), from.size.width);
                        let largest = maximum(s, values);
                        let mut left = s.load(gradient.add((y * width + x) * LANES));
                        for (i, v) in values.into_iter().enumerate() {
                            let p = out.add(corner + ((i / 2) * from.size.width + i % 2) * LANES);
                            let part = s.where_equal(v, largest, left, zero);
                            left = s.where_equal(v, largest, zero, left);
                            s.store(p, if target.accumulate { s.add(part, s.load(p)) } else { part });
                        }
                    }
                }
            }
        },
    );
}
