//! Layer normalisation over channels, without parameters: every pixel by the mean and variance of its own channels.

use super::super::layout::{Block, Extent, Target};
use super::super::simd::{LANES, Simd};
use super::combine::{share, tasks};
use super::{Activation, debug_assert_hold, debug_assert_targets_hold, for_each};

/// The blocks of a map in one image, from some pixel on.
struct Pixels<'a, S: Simd> {
    blocks: &'a [Block<'a>],
    read: &'a [Activation<S>],
    image: usize,
    /// Of the first pixel in a plane, in numbers.
    first: usize,
    channels: f32,
}

/// Mean and inverse deviation of each of some pixels; pixels beyond the last have those of zeros.
struct Measured {
    means: [f32; LANES],
    factors: [f32; LANES],
}

/// Ones in the lanes with a channel.
#[inline(always)]
fn used<S: Simd>(s: S, block: &Block) -> S::V {
    let mut used = [0.0f32; LANES];
    used[..block.channels].fill(1.0);
    // SAFETY: the array holds `LANES` numbers.
    unsafe { s.load(used.as_ptr()) }
}

/// The sum of each vector's lanes.
#[inline(always)]
fn sums<S: Simd>(s: S, rows: [S::V; LANES]) -> [f32; LANES] {
    let mut columns = s.transpose(rows);
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            columns[i] = s.add(columns[i], columns[i + half]);
        }
    }
    let mut out = [0.0f32; LANES];
    // SAFETY: the array holds `LANES` numbers.
    unsafe { s.store(out.as_mut_ptr(), columns[0]) };
    out
}

impl<S: Simd> Pixels<'_, S> {
    /// The value of a block's lanes at a pixel.
    ///
    /// # Safety
    /// The pixel is in the map.
    #[inline(always)]
    unsafe fn value(&self, s: S, block: usize, pixel: usize) -> S::V {
        // SAFETY: the caller's promise.
        unsafe {
            self.read[block].read::<false>(s, self.blocks[block].image(self.image).add(self.first + pixel * LANES))
        }
    }

    /// Measures `count` pixels, sixteen at most, from `start` on.
    ///
    /// # Safety
    /// The pixels are in the map.
    #[inline(always)]
    unsafe fn measure(&self, s: S, start: usize, count: usize, epsilon: f32) -> Measured {
        let mut rows = [s.splat(0.0); LANES];
        // SAFETY: the caller's promise.
        unsafe {
            for pixel in 0..count {
                for block in 0..self.blocks.len() {
                    rows[pixel] = s.add(rows[pixel], self.value(s, block, start + pixel));
                }
            }
            let means = sums(s, rows).map(|sum| sum / self.channels);
            let mut rows = [s.splat(0.0); LANES];
            for pixel in 0..count {
                let mean = s.splat(means[pixel]);
                for block in 0..self.blocks.len() {
                    let centred = s.sub(self.value(s, block, start + pixel), mean);
                    let centred = s.mul(centred, used(s, &self.blocks[block]));
                    rows[pixel] = s.mul_add(centred, centred, rows[pixel]);
                }
            }
            let factors = sums(s, rows).map(|sum| 1.0 / (sum / self.channels + epsilon).sqrt());
            Measured { means, factors }
        }
    }

    /// The normalised value of a block's lanes at the pixel `start + index`.
    ///
    /// # Safety
    /// The pixel is in the map.
    #[inline(always)]
    unsafe fn normal(&self, s: S, measured: &Measured, block: usize, start: usize, index: usize) -> S::V {
        // SAFETY: the caller's promise.
        let centred = s.sub(unsafe { self.value(s, block, start + index) }, s.splat(measured.means[index]));
        s.mul(s.mul(centred, s.splat(measured.factors[index])), used(s, &self.blocks[block]))
    }
}

/// Writes the normalised blocks of `sources`, one map, to the target with the same index.
///
/// # Safety
/// Both lists have as many blocks, of this extent; targets overlap nothing and nobody else uses them.
pub(in super::super) unsafe fn forward<S: Simd>(
    s: S,
    epsilon: f64,
    extent: Extent,
    sources: &[Block],
    targets: &[Block],
) {
    debug_assert_hold(sources, extent);
    debug_assert_hold(targets, extent);
    for_each(
        s,
        tasks(1, extent),
        #[inline(always)]
        |task| {
            let (_, image, first, count) = share(task, extent);
            let read: Vec<_> = sources.iter().map(|block| Activation::for_image(s, block, image)).collect();
            let pixels = Pixels { blocks: sources, read: &read, image, first, channels: channels(sources) };
            for start in (0..count).step_by(LANES) {
                let here = LANES.min(count - start);
                // SAFETY: pixels inside the maps; those written are this task's alone.
                unsafe {
                    let measured = pixels.measure(s, start, here, epsilon as f32);
                    for block in 0..targets.len() {
                        let to = targets[block].image(image).add(first + start * LANES);
                        for index in 0..here {
                            s.store(to.add(index * LANES), pixels.normal(s, &measured, block, start, index));
                        }
                    }
                }
            }
        },
    );
}

/// The gradient to the sources, from these and the gradient to their normalised values, `[sources, gradient]`.
///
/// # Safety
/// Same conditions as [`forward`].
pub(in super::super) unsafe fn backward<S: Simd>(
    s: S,
    epsilon: f64,
    extent: Extent,
    [sources, gradient]: [&[Block]; 2],
    targets: &[Target],
) {
    debug_assert_hold(sources, extent);
    debug_assert_hold(gradient, extent);
    debug_assert_targets_hold(targets, extent);
    for_each(
        s,
        tasks(1, extent),
        #[inline(always)]
        |task| {
            let (_, image, first, count) = share(task, extent);
            let read: Vec<_> = sources.iter().map(|block| Activation::for_image(s, block, image)).collect();
            let pixels = Pixels { blocks: sources, read: &read, image, first, channels: channels(sources) };
            for start in (0..count).step_by(LANES) {
                let here = LANES.min(count - start);
                // SAFETY: pixels inside the maps; those written are this task's alone.
                unsafe {
                    let measured = pixels.measure(s, start, here, epsilon as f32);
                    let at = |block: usize, index: usize| {
                        s.load(gradient[block].image(image).add(first + (start + index) * LANES))
                    };
                    // Parts of the gradient along 1 and along the normalised values, which cancel.
                    let [mut even, mut along] = [[s.splat(0.0); LANES]; 2];
                    for index in 0..here {
                        for block in 0..sources.len() {
                            let g = at(block, index);
                            even[index] = s.add(even[index], g);
                            let normal = pixels.normal(s, &measured, block, start, index);
                            along[index] = s.mul_add(g, normal, along[index]);
                        }
                    }
                    let [even, along] = [even, along].map(|rows| sums(s, rows).map(|sum| sum / pixels.channels));
                    for block in 0..targets.len() {
                        let used = used(s, &sources[block]);
                        let to = targets[block].block.image(image).add(first + start * LANES);
                        for index in 0..here {
                            let normal = pixels.normal(s, &measured, block, start, index);
                            let g = s.neg_mul_add(normal, s.splat(along[index]), at(block, index));
                            let g = s.mul(s.sub(g, s.splat(even[index])), s.splat(measured.factors[index]));
                            let (g, p) = (s.mul(g, used), to.add(index * LANES));
                            s.store(p, if targets[block].accumulate { s.add(g, s.load(p)) } else { g });
                        }
                    }
                }
            }
        },
    );
}

/// Channels of all blocks.
fn channels(blocks: &[Block]) -> f32 {
    blocks.iter().map(|block| block.channels).sum::<usize>() as f32
}
