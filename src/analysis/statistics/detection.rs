//! The true difference that a test finds four times in five, by simulation of the test.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use sweep_core::seed::{self, Stream};

use super::{normal_quantile, quantile, student_quantile};

/// Number of simulated studies: the difference is known to about 2 %.
const STUDIES: u64 = 2000;
/// Power of the test at the difference.
const POWER: f64 = 0.8;

/// The difference that is found with a power of 80 % by the test of [`super::Contrast`] at level `alpha`, two-sided. Each
/// part is `[variance, degrees of freedom to which it is known, degrees of freedom in the new study]`. `nan` without parts.
pub(super) fn detectable(parts: &[[f64; 3]], alpha: f64, key: u64) -> f64 {
    if parts.is_empty() || parts.iter().flatten().any(|v| !v.is_finite()) {
        return f64::NAN;
    }
    let quantiles: Vec<f64> = parts.iter().map(|part| student_quantile(1.0 - alpha / 2.0, part[2])).collect();
    let mut needed: Vec<f64> = (0..STUDIES)
        .map(|study| {
            let mut rng = seed::derive(key, Stream::Bootstrap, 5, study);
            let (mut truth, mut squares) = (0.0, 0.0);
            for ([variance, known, degrees], t) in parts.iter().zip(&quantiles) {
                // The truth given the estimate, and the new study's estimate given the truth.
                let of_truth = variance * known / chi_square(&mut rng, *known);
                truth += of_truth;
                squares += t * t * of_truth * chi_square(&mut rng, *degrees) / degrees;
            }
            squares.sqrt() - truth.sqrt() * normal_quantile(rng.random_range(1e-12..1.0))
        })
        .collect();
    needed.sort_by(f64::total_cmp);
    quantile(&needed, POWER)
}

/// A part of a variance that is assumed: the sum of so many alike terms, each estimated by itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AssumedPart {
    /// Variance of the sum.
    pub variance: f64,
    /// Number of terms.
    pub terms: usize,
    /// Degrees of freedom of each.
    pub degrees: f64,
}

/// The difference that is found with a power of 80 % by the test of [`super::Contrast`] at level `alpha`, two-sided, where the
/// variances are these. The test estimates them, and their degrees of freedom as Welch (1947) does.
#[must_use]
pub fn detectable_if(parts: &[AssumedPart], alpha: f64) -> f64 {
    let mut needed: Vec<f64> = (0..STUDIES)
        .map(|study| {
            let mut rng = seed::derive(0, Stream::Power, 0, study);
            let (mut truth, mut squares) = (0.0, 0.0);
            for AssumedPart { variance, terms, degrees } in parts {
                truth += variance;
                let of_term = |_| variance / *terms as f64 * chi_square(&mut rng, *degrees) / degrees;
                let estimates: Vec<f64> = (0..*terms).map(of_term).collect();
                let sum: f64 = estimates.iter().sum();
                let doubt: f64 = estimates.iter().map(|v| v * v / degrees).sum();
                squares += student_quantile(1.0 - alpha / 2.0, sum * sum / doubt).powi(2) * sum;
            }
            squares.sqrt() - truth.sqrt() * normal_quantile(rng.random_range(1e-12..1.0))
        })
        .collect();
    needed.sort_by(f64::total_cmp);
    quantile(&needed, POWER)
}

/// A χ² variable, degrees of freedom not necessarily whole: twice a gamma variable (Marsaglia and Tsang 2000).
fn chi_square(rng: &mut ChaCha8Rng, degrees: f64) -> f64 {
    let shape = degrees / 2.0;
    // Below one, a variable of shape + 1 is scaled by a power of a uniform one.
    let (raised, scale) =
        if shape < 1.0 { (shape + 1.0, rng.random_range(1e-300..1.0f64).powf(1.0 / shape)) } else { (shape, 1.0) };
    let d = raised - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal_quantile(rng.random_range(1e-15..1.0));
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && rng.random_range(1e-300..1.0f64).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return 2.0 * d * v * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chi_square_has_its_mean_and_variance() {
        for degrees in [1.0, 2.5, 30.0] {
            let mut rng = seed::derive(0, Stream::Bootstrap, 5, 0);
            let drawn: Vec<f64> = (0..20_000).map(|_| chi_square(&mut rng, degrees)).collect();
            let mean = drawn.iter().sum::<f64>() / 20_000.0;
            let variance = drawn.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 20_000.0;
            assert!((mean / degrees - 1.0).abs() < 0.04 && (variance / (2.0 * degrees) - 1.0).abs() < 0.1, "{degrees}");
        }
    }

    #[test]
    fn with_variances_known_it_is_the_normal_power() {
        // (z 0.975 + z 0.8) times the standard error.
        let found = detectable(&[[0.04, 1e6, 1e6]], 0.05, 0);
        assert!((found / (0.2 * 2.801_585) - 1.0).abs() < 0.03, "{found}");
        assert!(detectable(&[], 0.05, 0).is_nan());
    }
}
