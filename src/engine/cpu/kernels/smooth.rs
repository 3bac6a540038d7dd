//! Smooth activations, value by value, and their gradients.

use super::super::layout::{Block, Extent, Target};
use super::super::simd::{LANES, Simd};
use super::combine::{share, tasks};
use super::gate::{spread, write_single};
use super::{Activation, debug_assert_hold, debug_assert_targets_hold, for_each, scratch};
use sweep_graph::SmoothActivation;
use sweep_graph::simd_math::Number;

/// Sixteen numbers.
type Lanes = [f32; LANES];

/// The sigmoid of sixteen numbers; NaN stays NaN.
#[inline(always)]
fn sigmoids(x: Lanes) -> Lanes {
    // Of negative numbers only, so that none is infinite.
    let powers = f32::exponentials(x.map(|x| -x.abs()));
    let mut out = [0.0; LANES];
    for ((out, power), x) in out.iter_mut().zip(powers).zip(x) {
        *out = (if x < 0.0 { power } else { 1.0 }) / (1.0 + power);
    }
    out
}

/// A function with its derivative.
trait Function: Copy + Sync {
    fn values(x: Lanes) -> Lanes;
    fn derivatives(x: Lanes) -> Lanes;
}

/// `σ(x)`, whose derivative is `σ·(1 − σ)`.
#[derive(Clone, Copy)]
struct Sigmoid;

impl Function for Sigmoid {
    #[inline(always)]
    fn values(x: Lanes) -> Lanes {
        sigmoids(x)
    }

    #[inline(always)]
    fn derivatives(x: Lanes) -> Lanes {
        sigmoids(x).map(|s| s - s * s)
    }
}

/// `x·σ(x)`, whose derivative is `σ + x·σ·(1 − σ)`.
#[derive(Clone, Copy)]
struct Silu;

impl Function for Silu {
    #[inline(always)]
    fn values(x: Lanes) -> Lanes {
        let mut out = sigmoids(x);
        for (out, x) in out.iter_mut().zip(x) {
            *out *= x;
        }
        out
    }

    #[inline(always)]
    fn derivatives(x: Lanes) -> Lanes {
        let mut out = sigmoids(x);
        for (out, x) in out.iter_mut().zip(x) {
            *out += x * (*out - *out * *out);
        }
        out
    }
}

/// `Φ(x)` and `exp(−x²/2)` of sixteen numbers. The tail beyond `|x|` is the power times a polynomial in `1/(1 + 0.21·|x|)`,
/// fitted to SciPy's `erfcx` to 1.6e-8 of its value, so that it keeps its digits far out.
#[inline(always)]
fn normal_distribution(x: Lanes) -> (Lanes, Lanes) {
    const SCALE: f32 = 0.21;
    const POLYNOMIAL: [f32; 9] = [
        -0.071_657_94,
        0.283_596_58,
        -0.330_270_26,
        0.349_420_82,
        -0.093_939_364,
        0.124_879_03,
        0.069_190_465,
        0.085_069_11,
        0.083_711_56,
    ];
    let powers = f32::exponentials(x.map(|x| -0.5 * x * x));
    let mut out = [0.0; LANES];
    for ((out, power), x) in out.iter_mut().zip(powers).zip(x) {
        let t = 1.0 / (1.0 + SCALE * x.abs());
        let tail = power * t * POLYNOMIAL.iter().fold(0.0, |sum, c| sum * t + c);
        *out = if x < 0.0 { tail } else { 1.0 - tail };
    }
    (out, powers)
}

/// `x·Φ(x)`, whose derivative is `Φ + x·φ` with the normal density `φ`.
#[derive(Clone, Copy)]
struct Gelu;

impl Function for Gelu {
    #[inline(always)]
    fn values(x: Lanes) -> Lanes {
        let (mut out, _) = normal_distribution(x);
        for (out, x) in out.iter_mut().zip(x) {
            *out *= x;
        }
        out
    }

    #[inline(always)]
    fn derivatives(x: Lanes) -> Lanes {
        /// `1/√(2π)`.
        const PEAK: f32 = 0.398_942_3;
        let (mut out, powers) = normal_distribution(x);
        for ((out, power), x) in out.iter_mut().zip(powers).zip(x) {
            *out += x * (power * PEAK);
        }
        out
    }
}

/// Writes the activation of every block of `sources` to the target with the same index.
///
/// # Safety
/// Both lists have as many blocks, of this extent; targets overlap nothing and nobody else uses them.
pub(in super::super) unsafe fn forward<S: Simd>(
    s: S,
    activation: SmoothActivation,
    extent: Extent,
    sources: &[Block],
    targets: &[Block],
) {
    debug_assert_hold(sources, extent);
    debug_assert_hold(targets, extent);
    // SAFETY: the caller's promise.
    unsafe {
        match activation {
            SmoothActivation::Sigmoid => values::<S, Sigmoid>(s, extent, sources, targets),
            SmoothActivation::Silu => values::<S, Silu>(s, extent, sources, targets),
            SmoothActivation::Gelu => values::<S, Gelu>(s, extent, sources, targets),
        }
    }
}

unsafe fn values<S: Simd, F: Function>(s: S, extent: Extent, sources: &[Block], targets: &[Block]) {
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
                        let results = F::values(padded(part));
                        write_single(s, &results[..part.len()], to.add(index * LANES * LANES), false);
                    }
                    return;
                }
                let used = s.load(used.as_ptr());
                let [from, to] = [sources, targets].map(|blocks| blocks[block].image(image).add(first));
                let mut lanes = [0.0f32; LANES];
                for at in (0..pixels).map(|pixel| pixel * LANES) {
                    s.store(lanes.as_mut_ptr(), read.read::<false>(s, from.add(at)));
                    s.store(to.add(at), s.mul(s.load(F::values(lanes).as_ptr()), used));
                }
            }
        },
    );
}

/// Up to sixteen numbers, then zeros.
#[inline(always)]
fn padded(part: &[f32]) -> Lanes {
    let mut lanes = [0.0f32; LANES];
    lanes[..part.len()].copy_from_slice(part);
    lanes
}

/// The gradient to the sources, from these and the gradient to the activations, `[sources, gradient]`.
///
/// # Safety
/// Same conditions as [`forward`].
pub(in super::super) unsafe fn backward<S: Simd>(
    s: S,
    activation: SmoothActivation,
    extent: Extent,
    read: [&[Block]; 2],
    targets: &[Target],
) {
    for blocks in read {
        debug_assert_hold(blocks, extent);
    }
    debug_assert_targets_hold(targets, extent);
    // SAFETY: the caller's promise.
    unsafe {
        match activation {
            SmoothActivation::Sigmoid => gradients::<S, Sigmoid>(s, extent, read, targets),
            SmoothActivation::Silu => gradients::<S, Silu>(s, extent, read, targets),
            SmoothActivation::Gelu => gradients::<S, Gelu>(s, extent, read, targets),
        }
    }
}

unsafe fn gradients<S: Simd, F: Function>(
    s: S,
    extent: Extent,
    [sources, gradient]: [&[Block]; 2],
    targets: &[Target],
) {
    for_each(
        s,
        tasks(targets.len(), extent),
        #[inline(always)]
        |task| {
            let (block, image, first, pixels) = share(task, extent);
            let (source, target) = (&sources[block], &targets[block]);
            let read = Activation::for_image(s, source, image);
            // SAFETY: rows inside the maps, as many numbers of scratch; rows written are this task's alone.
            unsafe {
                let to = target.block.image(image).add(first);
                if source.channels == 1 {
                    let both = scratch(2 * pixels);
                    spread(s, source, image, first, pixels, both);
                    spread(s, &gradient[block], image, first, pixels, both.add(pixels));
                    let both = std::slice::from_raw_parts(both, 2 * pixels);
                    let (values, gradients) = both.split_at(pixels);
                    for (index, (part, gradient)) in values.chunks(LANES).zip(gradients.chunks(LANES)).enumerate() {
                        let mut results = F::derivatives(padded(part));
                        for (result, gradient) in results.iter_mut().zip(gradient) {
                            *result *= gradient;
                        }
                        write_single(s, &results[..part.len()], to.add(index * LANES * LANES), target.accumulate);
                    }
                    return;
                }
                let [from, gradient] = [sources, gradient].map(|blocks| blocks[block].image(image).add(first));
                let mut lanes = [0.0f32; LANES];
                for at in (0..pixels).map(|pixel| pixel * LANES) {
                    s.store(lanes.as_mut_ptr(), read.read::<false>(s, from.add(at)));
                    let g = s.mul(s.load(gradient.add(at)), s.load(F::derivatives(lanes).as_ptr()));
                    let p = to.add(at);
                    s.store(p, if target.accumulate { s.add(g, s.load(p)) } else { g });
                }
            }
        },
    );
}
