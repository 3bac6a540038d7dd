//! Statistics of normalisations, and gradients through normalisation and activation. All values per channel are per
//! image too: `[block][image][lane]`.

use super::super::layout::{Activate, Extent, Pointer, RowChunks};
use super::super::simd::{LANES, Simd};
use super::narrow::Numbers;
use super::{Activation, bend_gradient, for_each};

/// Approximate number of pixels in a chunk: few enough that single-precision sums within a chunk are exact to rounding.
const PIXELS: usize = 2048;

fn chunks(extent: Extent) -> RowChunks {
    extent.row_chunks(extent.size.area().div_ceil(PIXELS))
}

/// Mean and squared deviations of a set of values.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(in super::super) struct Moments {
    /// Values counted.
    pub(in super::super) count: f64,
    /// Their mean.
    pub(in super::super) mean: f64,
    /// Sum of squared deviations from the mean.
    pub(in super::super) squares: f64,
}

impl Moments {
    /// The moments of both sets of values together (Chan, Golub and `LeVeque` 1979).
    pub(in super::super) fn merge(self, other: Self) -> Self {
        let count = self.count + other.count;
        let delta = other.mean - self.mean;
        Self {
            count,
            mean: self.mean + delta * other.count / count,
            squares: self.squares + other.squares + delta * delta * self.count * other.count / count,
        }
    }
}

/// Numbers of workspace that the functions of this file need.
pub(in super::super) fn workspace(extent: Extent, blocks: usize) -> usize {
    chunks(extent).len() * blocks * 2 * LANES
}

/// A task's share: `index` is that of its image and block in `[block][image]`, `offset` is in the map, `sums` in the
/// workspace.
struct Share {
    index: usize,
    offset: usize,
    pixels: usize,
    sums: usize,
}

impl Share {
    /// Tasks are numbered block by block, image by image, chunk by chunk.
    #[inline(always)]
    fn new(task: usize, extent: Extent, chunks: RowChunks, blocks: usize) -> Self {
        let (image, first, end) = chunks.get(task % chunks.len());
        let (block, width) = (task / chunks.len(), extent.size.width);
        Self {
            index: block * extent.images + image,
            offset: (image * blocks + block) * extent.plane() + first * width * LANES,
            pixels: (end - first) * width,
            sums: task * 2 * LANES,
        }
    }
}

/// Moments of every image and channel of `map` (`blocks` consecutive blocks of every image), `[block][image][lane]`; with
/// `rounds`, after its numbers have been rounded to bf16.
///
/// # Safety
/// `map` holds that map and `memory` [`workspace`] numbers that nobody else uses, as nobody uses a map that is rounded.
pub(in super::super) unsafe fn moments<S: Simd>(
    s: S,
    extent: Extent,
    map: Pointer,
    blocks: usize,
    rounds: bool,
    memory: Pointer,
) -> Vec<Moments> {
    let chunks = chunks(extent);
    debug_assert!(map.holds(extent.images * blocks * extent.plane()), "a map");
    debug_assert!(memory.holds(workspace(extent, blocks)), "workspace");
    for_each(
        s,
        blocks * chunks.len(),
        #[inline(always)]
        |task| {
            let share = Share::new(task, extent, chunks, blocks);
            // SAFETY: inside the map; every task has its own part of the memory.
            unsafe {
                let (from, out) = (map.add(share.offset).0, memory.add(share.sums).0);
                let mut sums = [s.splat(0.0); 4];
                for pixel in 0..share.pixels {
                    let at = from.add(pixel * LANES);
                    let mut y = s.load(at);
                    if rounds {
                        y = s.round_bf16(y);
                        s.store(at, y);
                    }
                    sums[pixel % 4] = s.add(sums[pixel % 4], y);
                }
                let sum = s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3]));
                let mean = s.mul(sum, s.splat(1.0 / share.pixels as f32));
                let mut squares = [s.splat(0.0); 4];
                for pixel in 0..share.pixels {
                    let deviation = s.sub(s.load(from.add(pixel * LANES)), mean);
                    squares[pixel % 4] = s.mul_add(deviation, deviation, squares[pixel % 4]);
                }
                s.store(out, mean);
                s.store(out.add(LANES), s.add(s.add(squares[0], squares[1]), s.add(squares[2], squares[3])));
            }
        },
    );
    // SAFETY: written just now.
    let parts = unsafe { std::slice::from_raw_parts(memory.0, workspace(extent, blocks)) };
    let pixels = |chunk: usize| {
        let (_, first, end) = chunks.get(chunk);
        ((end - first) * extent.size.width) as f64
    };
    parts
        .chunks(chunks.per_image() * 2 * LANES)
        .flat_map(|image| {
            (0..LANES).map(move |lane| {
                let parts = image.chunks(2 * LANES).enumerate().map(|(chunk, part)| Moments {
                    count: pixels(chunk),
                    mean: f64::from(part[lane]),
                    squares: f64::from(part[LANES + lane]),
                });
                parts.fold(Moments::default(), Moments::merge)
            })
        })
        .collect()
}

/// Sums over every image and channel, `[block][image][lane]`.
pub(in super::super) struct GradientSums {
    /// `Σ g·act'(x)`.
    pub(in super::super) plain: Vec<f64>,
    /// `Σ g·act'(x)·(y − mean)`.
    pub(in super::super) deviations: Vec<f64>,
}

/// Pixels summed before the sum joins others.
const RUN: usize = 64;

/// The sums over a gradient map that the gradients of a normalisation consist of.
///
/// # Safety
/// Same conditions as [`moments`] for both maps, each of `blocks` blocks; there is an [`Activate`] per block and image,
/// and a mean for each of its lanes.
pub(in super::super) unsafe fn gradient_sums<S: Simd>(
    s: S,
    extent: Extent,
    map: Numbers,
    gradient: Pointer,
    activations: &[Activate],
    means: &[f32],
    memory: Pointer,
) -> GradientSums {
    let chunks = chunks(extent);
    let blocks = activations.len() / extent.images;
    assert_eq!(means.len(), activations.len() * LANES, "a mean per lane");
    let len = extent.images * blocks * extent.plane();
    debug_assert!(map.holds(len) && gradient.holds(len), "two maps");
    debug_assert!(memory.holds(workspace(extent, blocks)), "workspace");
    for_each(
        s,
        blocks * chunks.len(),
        #[inline(always)]
        |task| {
            let share = Share::new(task, extent, chunks, blocks);
            let activation = Activation::new(s, &activations[share.index]);
            // SAFETY: inside the maps; every task has its own part of the memory.
            unsafe {
                let mean = s.load(means.as_ptr().add(share.index * LANES));
                let gradient = gradient.add(share.offset).0;
                let mut sums = [s.splat(0.0); 2];
                // Sums of short sums: a single long sum would round every addition at the size of the total.
                for run in (0..share.pixels).step_by(RUN) {
                    let (mut plain, mut deviations) = ([s.splat(0.0); 4], [s.splat(0.0); 4]);
                    for pixel in run..(run + RUN).min(share.pixels) {
                        let y = map.load(s, share.offset + pixel * LANES);
                        let g = behind(s, &activation, y, s.load(gradient.add(pixel * LANES)));
                        plain[pixel % 4] = s.add(plain[pixel % 4], g);
                        deviations[pixel % 4] = s.mul_add(g, s.sub(y, mean), deviations[pixel % 4]);
                    }
                    for (sum, parts) in sums.iter_mut().zip([plain, deviations]) {
                        *sum = s.add(*sum, s.add(s.add(parts[0], parts[1]), s.add(parts[2], parts[3])));
                    }
                }
                let out = memory.add(share.sums).0;
                s.store(out, sums[0]);
                s.store(out.add(LANES), sums[1]);
            }
        },
    );
    // SAFETY: written just now.
    let parts = unsafe { std::slice::from_raw_parts(memory.0, workspace(extent, blocks)) };
    let sums = |which: usize| -> Vec<f64> {
        let images = parts.chunks(chunks.per_image() * 2 * LANES);
        let lane = |image: &[f32], lane: usize| image.iter().skip(lane).step_by(2 * LANES).map(|v| f64::from(*v)).sum();
        images.flat_map(|image| (0..LANES).map(move |i| lane(image, which * LANES + i))).collect()
    };
    GradientSums { plain: sums(0), deviations: sums(1) }
}

/// The gradient before the activation.
#[inline(always)]
fn behind<S: Simd>(s: S, activation: &Activation<S>, y: S::V, g: S::V) -> S::V {
    bend_gradient(s, activation.affine(s, y), g, activation.slope, activation.ceiling)
}

/// Replaces the gradient `g` to the activated map by the gradient to the convolution's result `y`: `factor·g·act'(x) +
/// offset − y·drift`.
///
/// # Safety
/// Same conditions as [`gradient_sums`], with a factor, offset and drift for every lane.
pub(in super::super) unsafe fn gradient<S: Simd>(
    s: S,
    extent: Extent,
    map: Numbers,
    gradient: Pointer,
    activations: &[Activate],
    [factor, offset, drift]: [&[f32]; 3],
) {
    let chunks = chunks(extent);
    let blocks = activations.len() / extent.images;
    assert!([factor, offset, drift].iter().all(|v| v.len() == activations.len() * LANES), "a factor per lane");
    let len = extent.images * blocks * extent.plane();
    debug_assert!(map.holds(len) && gradient.holds(len), "two maps");
    for_each(
        s,
        blocks * chunks.len(),
        #[inline(always)]
        |task| {
            let share = Share::new(task, extent, chunks, blocks);
            let activation = Activation::new(s, &activations[share.index]);
            // SAFETY: inside the maps; every task has its own rows of its own block.
            unsafe {
                let lane = share.index * LANES;
                let (factor, drift) = (s.load(factor.as_ptr().add(lane)), s.load(drift.as_ptr().add(lane)));
                let offset = s.load(offset.as_ptr().add(lane));
                let gradient = gradient.add(share.offset).0;
                for pixel in 0..share.pixels {
                    let y = map.load(s, share.offset + pixel * LANES);
                    let g = behind(s, &activation, y, s.load(gradient.add(pixel * LANES)));
                    let pull = s.neg_mul_add(y, drift, offset);
                    s.store(gradient.add(pixel * LANES), s.mul_add(factor, g, pull));
                }
            }
        },
    );
}
