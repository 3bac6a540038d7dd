//! Batch normalisation's statistics, and the way back through normalisation and activation.

use super::super::layout::{Activate, Extent, Pointer, RowChunks};
use super::super::simd::{LANES, Simd};
use super::{Activation, for_each};

/// Pixels of a chunk, about: few enough that single-precision sums inside a chunk are exact to rounding.
const PIXELS: usize = 2048;

fn chunks(extent: Extent) -> RowChunks {
    extent.row_chunks(extent.size.area().div_ceil(PIXELS))
}

/// Mean and mean squared deviation of one channel over all images and pixels.
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
    /// Of both sets of values together (Chan, Golub and `LeVeque` 1979).
    fn merge(self, other: Self) -> Self {
        let count = self.count + other.count;
        let delta = other.mean - self.mean;
        Self {
            count,
            mean: self.mean + delta * other.count / count,
            squares: self.squares + other.squares + delta * delta * self.count * other.count / count,
        }
    }
}

/// Numbers of workspace the functions of this file need.
pub(in super::super) fn workspace(extent: Extent, blocks: usize) -> usize {
    chunks(extent).len() * blocks * 2 * LANES
}

/// Moments of every channel of `map` (`blocks` consecutive blocks of every image).
///
/// # Safety
/// `map` holds that map and `memory` [`workspace`] numbers that nobody else uses.
pub(in super::super) unsafe fn moments<S: Simd>(
    s: S,
    extent: Extent,
    map: Pointer,
    blocks: usize,
    memory: Pointer,
) -> Vec<Moments> {
    let chunks = chunks(extent);
    let width = extent.size.width;
    for_each(
        s,
        blocks * chunks.len(),
        #[inline(always)]
        |task| {
            let (image, first, end) = chunks.get(task % chunks.len());
            let pixels = (end - first) * width;
            // SAFETY: inside the map; every task has its own part of the memory.
            unsafe {
                let block = image * blocks + task / chunks.len();
                let from = map.add(block * extent.plane() + first * width * LANES).0;
                let out = memory.add(task * 2 * LANES).0;
                let mut sums = [s.splat(0.0); 4];
                for pixel in 0..pixels {
                    sums[pixel % 4] = s.add(sums[pixel % 4], s.load(from.add(pixel * LANES)));
                }
                let sum = s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3]));
                let mean = s.mul(sum, s.splat(1.0 / pixels as f32));
                let mut squares = [s.splat(0.0); 4];
                for pixel in 0..pixels {
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
    (0..blocks * LANES)
        .map(|channel| {
            let (block, lane) = (channel / LANES, channel % LANES);
            (0..chunks.len()).fold(Moments::default(), |total, chunk| {
                let (_, first, end) = chunks.get(chunk);
                let part = &parts[(block * chunks.len() + chunk) * 2 * LANES..][..2 * LANES];
                total.merge(Moments {
                    count: ((end - first) * width) as f64,
                    mean: f64::from(part[lane]),
                    squares: f64::from(part[LANES + lane]),
                })
            })
        })
        .collect()
}

/// Per channel: the sum of the gradient behind the activation, and of its product with the deviation from the mean.
pub(in super::super) struct GradientSums {
    /// `Σ g·act'(x)`.
    pub(in super::super) plain: Vec<f64>,
    /// `Σ g·act'(x)·(y − mean)`.
    pub(in super::super) deviations: Vec<f64>,
}

/// Pixels summed before the sum joins others.
const RUN: usize = 64;

/// The sums over a gradient map that normalisation's gradients are made of.
///
/// # Safety
/// As [`moments`], for both maps; there is an [`Activate`] and a mean per block.
pub(in super::super) unsafe fn gradient_sums<S: Simd>(
    s: S,
    extent: Extent,
    map: Pointer,
    gradient: Pointer,
    activations: &[Activate],
    means: &[f32],
    memory: Pointer,
) -> GradientSums {
    let chunks = chunks(extent);
    let (width, blocks) = (extent.size.width, activations.len());
    assert_eq!(means.len(), blocks * LANES, "a mean per lane");
    for_each(
        s,
        blocks * chunks.len(),
        #[inline(always)]
        |task| {
            let (image, first, end) = chunks.get(task % chunks.len());
            let block = task / chunks.len();
            let activation = Activation::new(s, &activations[block]);
            // SAFETY: inside the maps; every task has its own part of the memory.
            unsafe {
                let mean = s.load(means.as_ptr().add(block * LANES));
                let offset = (image * blocks + block) * extent.plane() + first * width * LANES;
                let (map, gradient) = (map.add(offset).0, gradient.add(offset).0);
                let pixels = (end - first) * width;
                let mut sums = [s.splat(0.0); 2];
                // Sums of short sums: in one long sum each addition would round at the size of the whole.
                for run in (0..pixels).step_by(RUN) {
                    let (mut plain, mut deviations) = ([s.splat(0.0); 4], [s.splat(0.0); 4]);
                    for pixel in run..(run + RUN).min(pixels) {
                        let y = s.load(map.add(pixel * LANES));
                        let g = behind(s, &activation, y, s.load(gradient.add(pixel * LANES)));
                        plain[pixel % 4] = s.add(plain[pixel % 4], g);
                        deviations[pixel % 4] = s.mul_add(g, s.sub(y, mean), deviations[pixel % 4]);
                    }
                    for (sum, parts) in sums.iter_mut().zip([plain, deviations]) {
                        *sum = s.add(*sum, s.add(s.add(parts[0], parts[1]), s.add(parts[2], parts[3])));
                    }
                }
                let out = memory.add(task * 2 * LANES).0;
                s.store(out, sums[0]);
                s.store(out.add(LANES), sums[1]);
            }
        },
    );
    // SAFETY: written just now.
    let parts = unsafe { std::slice::from_raw_parts(memory.0, workspace(extent, blocks)) };
    let sum = |channel: usize, which: usize| {
        let (block, lane) = (channel / LANES, channel % LANES);
        let parts = parts[block * chunks.len() * 2 * LANES..].iter().skip(which * LANES + lane);
        parts.step_by(2 * LANES).take(chunks.len()).map(|v| f64::from(*v)).sum()
    };
    let channels = 0..blocks * LANES;
    GradientSums {
        plain: channels.clone().map(|c| sum(c, 0)).collect(),
        deviations: channels.map(|c| sum(c, 1)).collect(),
    }
}

/// The gradient before the activation.
#[inline(always)]
fn behind<S: Simd>(s: S, activation: &Activation<S>, y: S::V, g: S::V) -> S::V {
    s.where_positive(activation.affine(s, y), g, s.mul(g, activation.slope))
}

/// Replaces the gradient `g` to the activated map by that to the convolution's result `y`:
/// `factor·(g·act'(x) + offset − y·drift)`, with factor, offset and drift per channel.
///
/// # Safety
/// As [`moments`], for both maps; there is an [`Activate`] per block and a triple per lane.
pub(in super::super) unsafe fn gradient<S: Simd>(
    s: S,
    extent: Extent,
    map: Pointer,
    gradient: Pointer,
    activations: &[Activate],
    [factor, offset, drift]: [&[f32]; 3],
) {
    let chunks = chunks(extent);
    let (width, blocks) = (extent.size.width, activations.len());
    assert!([factor, offset, drift].iter().all(|v| v.len() == blocks * LANES), "a factor per lane");
    for_each(
        s,
        blocks * chunks.len(),
        #[inline(always)]
        |task| {
            let (image, first, end) = chunks.get(task % chunks.len());
            let block = task / chunks.len();
            let activation = Activation::new(s, &activations[block]);
            // SAFETY: inside the maps; every task has its own rows of its own block.
            unsafe {
                let lane = block * LANES;
                let (factor, drift) = (s.load(factor.as_ptr().add(lane)), s.load(drift.as_ptr().add(lane)));
                let shift = s.load(offset.as_ptr().add(lane));
                let place = (image * blocks + block) * extent.plane() + first * width * LANES;
                let (map, gradient) = (map.add(place).0, gradient.add(place).0);
                for pixel in 0..(end - first) * width {
                    let y = s.load(map.add(pixel * LANES));
                    let g = behind(s, &activation, y, s.load(gradient.add(pixel * LANES)));
                    let centred = s.add(g, s.neg_mul_add(y, drift, shift));
                    s.store(gradient.add(pixel * LANES), s.mul(factor, centred));
                }
            }
        },
    );
}
