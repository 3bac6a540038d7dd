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

/// Some pixels, sixteen at most, with their measured values.
struct Part<'a, S: Simd> {
    pixels: &'a Pixels<'a, S>,
    measured: Measured,
    /// The first of them, and how many they are.
    start: usize,
    count: usize,
}

impl<S: Simd> Part<'_, S> {
    /// The normalised value of a block's lanes at one of the pixels.
    ///
    /// # Safety
    /// It is one of them.
    #[inline(always)]
    unsafe fn normal(&self, s: S, block: usize, index: usize) -> S::V {
        // SAFETY: the caller's promise.
        unsafe { self.pixels.normal(s, &self.measured, block, self.start, index) }
    }

    /// The first pixel's numbers in a block.
    ///
    /// # Safety
    /// The block has the sources' extent.
    #[inline(always)]
    unsafe fn of(&self, block: &Block) -> *mut f32 {
        // SAFETY: the caller's promise.
        unsafe { block.image(self.pixels.image).add(self.pixels.first + self.start * LANES) }
    }
}

/// Calls `each` with all pixels of one map, in tasks that have theirs alone; it is an `#[inline(always)]` closure.
///
/// # Safety
/// The blocks have this extent.
#[inline(always)]
unsafe fn for_each_part<S: Simd>(
    s: S,
    epsilon: f64,
    extent: Extent,
    sources: &[Block],
    each: impl Fn(&Part<'_, S>) + Sync,
) {
    for_each(
        s,
        tasks(1, extent),
        #[inline(always)]
        |task| {
            let (_, image, first, count) = share(task, extent);
            let read: Vec<_> = sources.iter().map(|block| Activation::for_image(s, block, image)).collect();
            let pixels = Pixels { blocks: sources, read: &read, image, first, channels: channels(sources) };
            for start in (0..count).step_by(LANES) {
                let count = LANES.min(count - start);
                // SAFETY: pixels inside the map.
                let measured = unsafe { pixels.measure(s, start, count, epsilon as f32) };
                each(&Part { pixels: &pixels, measured, start, count });
            }
        },
    );
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
    // SAFETY: the caller's promise; pixels inside the maps, and those written are a task's alone.
    unsafe {
        for_each_part(
            s,
            epsilon,
            extent,
            sources,
            #[inline(always)]
            |part| {
                for (block, target) in targets.iter().enumerate() {
                    let to = part.of(target);
                    for index in 0..part.count {
                        s.store(to.add(index * LANES), part.normal(s, block, index));
                    }
                }
            },
        );
    }
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
    // SAFETY: the caller's promise; pixels inside the maps, and those written are a task's alone.
    unsafe {
        for_each_part(
            s,
            epsilon,
            extent,
            sources,
            #[inline(always)]
            |part| {
                let at = |block: usize, index: usize| s.load(part.of(&gradient[block]).add(index * LANES));
                // Parts of the gradient along 1 and along the normalised values, which cancel.
                let [mut even, mut along] = [[s.splat(0.0); LANES]; 2];
                for index in 0..part.count {
                    for block in 0..sources.len() {
                        let g = at(block, index);
                        even[index] = s.add(even[index], g);
                        along[index] = s.mul_add(g, part.normal(s, block, index), along[index]);
                    }
                }
                let mean = |rows| sums(s, rows).map(|sum| sum / part.pixels.channels);
                let [even, along] = [mean(even), mean(along)];
                for (block, target) in targets.iter().enumerate() {
                    let (used, to) = (used(s, &sources[block]), part.of(&target.block));
                    for index in 0..part.count {
                        let g = s.neg_mul_add(part.normal(s, block, index), s.splat(along[index]), at(block, index));
                        let g = s.mul(s.sub(g, s.splat(even[index])), s.splat(part.measured.factors[index]));
                        let (g, p) = (s.mul(g, used), to.add(index * LANES));
                        s.store(p, if target.accumulate { s.add(g, s.load(p)) } else { g });
                    }
                }
            },
        );
    }
}

/// Channels of all blocks.
fn channels(blocks: &[Block]) -> f32 {
    blocks.iter().map(|block| block.channels).sum::<usize>() as f32
}
