//! Power analysis: the least true difference that a two-sided sign-flip test of a number of pairs detects, at the 5 % level,
//! with a power of 80 %.
//!
//! A pair is one unit measured under both arms: a seed trained with both, or an image predicted by both. Paired differences
//! are assumed to be independent and normal with a given standard deviation. The test compares the mean difference with
//! its values under all 2ⁿ patterns of signs, so no p-value is below 2/2ⁿ: five pairs can never be significant.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use sweep_core::seed::{self, Stream};

/// Level of the test, two-sided.
pub const LEVEL: f64 = 0.05;
/// Power: the share of experiments in which a detectable difference is found.
pub const POWER: f64 = 0.8;

/// Simulated experiments: the power is known to ± 0.013 (two standard errors), the difference to about 2 %.
const EXPERIMENTS: u64 = 4000;
/// Number of pairs up to which every pattern of signs is evaluated; with more, the test is as powerful as Student's.
const EXACT: usize = 12;

/// The least p-value that a two-sided sign-flip test of this number of pairs can give.
#[must_use]
pub fn least_p(pairs: usize) -> f64 {
    (2.0 / 2f64.powi(i32::try_from(pairs).unwrap_or(i32::MAX))).min(1.0)
}

/// The least number of pairs that can be significant.
#[must_use]
pub fn fewest_pairs() -> usize {
    (1..64).find(|pairs| least_p(*pairs) <= LEVEL).unwrap_or(64)
}

/// The least detectable mean difference, in standard deviations of the paired differences; `None` if no difference is
/// detectable, however large.
#[must_use]
pub fn detectable(pairs: usize) -> Option<f64> {
    if pairs < fewest_pairs() {
        return None;
    }
    if pairs > EXACT {
        let freedom = pairs as f64 - 1.0;
        return Some((student(Z_LEVEL, freedom) + student(Z_POWER, freedom)) / (pairs as f64).sqrt());
    }
    let noise: Vec<Vec<f64>> = (0..EXPERIMENTS)
        .map(|experiment| {
            let mut rng = seed::derive(0, Stream::Power, pairs as u64, experiment);
            (0..pairs).map(|_| normal(&mut rng)).collect()
        })
        .collect();
    let (mut low, mut high) = (0.0, 8.0);
    while high - low > 1e-3 {
        let middle = f64::midpoint(low, high);
        if power(&noise, middle) < POWER { low = middle } else { high = middle }
    }
    Some(high)
}

/// The least detectable difference that generalises to other seeds and other images: `seeds` trainings of each arm,
/// evaluated on `images`, with these standard deviations of paired differences between seeds and between images. By
/// Student's test with both estimated (Satterthwaite 1946), and never less than with the seeds alone. `None` below
/// [`fewest_pairs`] of either.
#[must_use]
pub fn detectable_over_both(seeds: usize, seed_sd: f64, images: usize, image_sd: f64) -> Option<f64> {
    if seeds.min(images) < fewest_pairs() {
        return None;
    }
    let parts = [(seeds, seed_sd), (images, image_sd)].map(|(n, sd)| (sd.powi(2) / n as f64, n as f64 - 1.0));
    let variance: f64 = parts.iter().map(|(part, _)| part).sum();
    let freedom = variance.powi(2) / parts.iter().map(|(part, freedom)| part.powi(2) / freedom).sum::<f64>();
    let both = (student(Z_LEVEL, freedom) + student(Z_POWER, freedom)) * variance.sqrt();
    detectable(seeds).map(|sds| both.max(sds * seed_sd))
}

/// Standard normal quantiles of 1 − [`LEVEL`]/2 and of [`POWER`].
const Z_LEVEL: f64 = 1.959_963_984_540_054;
const Z_POWER: f64 = 0.841_621_233_572_914_3;

/// Student's quantile from the normal one, by Fisher and Cornish's expansion: accurate to 10⁻⁴ from 12
/// degrees of freedom, to 10⁻³ from 5.
fn student(z: f64, freedom: f64) -> f64 {
    let terms = [
        (z.powi(3) + z) / 4.0,
        (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0,
        (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0,
    ];
    terms.iter().rev().fold(0.0, |sum, term| (sum + term) / freedom) + z
}

/// Share of experiments in which a difference is found.
fn power(noise: &[Vec<f64>], difference: f64) -> f64 {
    let found = noise.par_iter().filter(|noise| p_value(noise, difference) <= LEVEL).count();
    found as f64 / noise.len() as f64
}

/// p-value of the sign-flip test: the share of patterns of signs whose sum is as far from zero as the observed one. The
/// first sign is fixed, because flipping all signs changes nothing.
fn p_value(noise: &[f64], difference: f64) -> f64 {
    let mut sum: f64 = noise.iter().map(|value| value + difference).sum();
    let (observed, patterns) = (sum.abs(), 1u32 << (noise.len() - 1));
    let (mut signs, mut extreme) = (0u32, 0u32);
    for pattern in 0..patterns {
        if pattern > 0 {
            // Gray code: one sign flips at a time.
            let turned = pattern.trailing_zeros();
            signs ^= 1 << turned;
            let value = 2.0 * (noise[turned as usize + 1] + difference);
            sum += if signs >> turned & 1 == 1 { -value } else { value };
        }
        extreme += u32::from(sum.abs() >= observed - 1e-9);
    }
    f64::from(extreme) / f64::from(patterns)
}

/// A standard normal variable, by the method of Box and Muller.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (radius, turn) = (1.0 - rng.random_range(0.0..1.0f64), rng.random_range(0.0..1.0f64));
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * turn).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_six_pairs_nothing_can_be_shown() {
        assert!((least_p(5) - 0.0625).abs() < 1e-12 && (least_p(6) - 0.03125).abs() < 1e-12);
        assert!((least_p(0) - 1.0).abs() < 1e-12 && least_p(5000) < 1e-100);
        assert_eq!(fewest_pairs(), 6);
        assert_eq!((detectable(0), detectable(5)), (None, None));
    }

    #[test]
    fn detectable_differences_are_those_of_an_independent_simulation() {
        for (pairs, expected) in SIGN_FLIP {
            let got = detectable(pairs).unwrap();
            assert!((got / expected - 1.0).abs() < 0.03, "{pairs} pairs: {got} {expected}");
        }
    }

    #[test]
    fn many_pairs_are_as_good_as_students_test() {
        for (pairs, expected) in T_TEST {
            let got = detectable(pairs).unwrap();
            assert!((got / expected - 1.0).abs() < 0.005, "{pairs} pairs: {got} {expected}");
        }
    }

    #[test]
    fn p_is_that_of_all_patterns() {
        let mut count = 0;
        let values = [0.3, -0.1, 0.7, 0.2, 0.05, 0.4, 0.6];
        for pattern in 0..128u32 {
            let sum: f64 = values.iter().enumerate().map(|(i, v)| if pattern >> i & 1 == 1 { -v } else { *v }).sum();
            count += u32::from(sum.abs() >= values.iter().sum::<f64>() - 1e-9);
        }
        assert!((p_value(&values, 0.0) - f64::from(count) / 128.0).abs() < 1e-12);
    }

    #[test]
    fn over_both_is_what_simulated_sweeps_find() {
        for (seeds, images, expected) in BOTH {
            let got = detectable_over_both(seeds, 0.3, images, 0.8).unwrap();
            assert!((got / expected - 1.0).abs() < 0.02, "{seeds} seeds, {images} images: {got} {expected}");
        }
        assert_eq!(detectable_over_both(5, 0.3, 24, 0.8), None);
        // Seeds alone: their sign-flip test is the coarser one.
        assert!((detectable_over_both(6, 2.0, 24, 0.01).unwrap() / (2.0 * detectable(6).unwrap()) - 1.0).abs() < 1e-9);
    }

    /// `scripts/power.py`: standard deviations 0.3 mm between seeds and 0.8 mm between images.
    const BOTH: [(usize, usize, f64); 3] = [(6, 24, 0.6008), (10, 150, 0.3409), (20, 20, 0.5584)];
    /// `scripts/power.py` with numpy 2.4.6, scipy 1.17.1: 20,000 experiments.
    const SIGN_FLIP: [(usize, f64); 7] =
        [(6, 1.8009), (7, 1.3353), (8, 1.1929), (10, 1.0085), (12, 0.8930), (16, 0.7511), (24, 0.5986)];
    /// The same script with statsmodels 0.15.0: `TTestPower`.
    const T_TEST: [(usize, f64); 6] =
        [(13, 0.84666), (16, 0.74947), (20, 0.66044), (24, 0.59718), (50, 0.40418), (150, 0.23024)];
}
