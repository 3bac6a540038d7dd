//! Statistics on numbers, independent of trials and records: pure, deterministic, the same on any number of threads.
//!
//! Values are checked against SciPy's in `tests.rs`; `scripts/statistics_reference.py` made them.

mod agreement;
mod best_of_many;
mod bootstrap;
mod bounded;
mod contrast;
mod crossed;
mod detection;
mod distribution;
mod explained;
mod kendall;
mod paired;
mod ranks;
#[cfg(test)]
mod tests;
mod variance;

use serde::Serialize;

pub use agreement::{Icc, LimitsOfAgreement, icc_agreement, limits_of_agreement, wilson};
pub use best_of_many::{best_of_many, reach_of_best};
pub use bootstrap::resample;
pub use contrast::{Contrast, FEWEST_DEGREES, least_p, noise_of_interactions};
pub use crossed::Crossed;
pub use detection::{AssumedPart, detectable_if};
pub use distribution::{f_quantile, normal_cdf, normal_quantile, student_cdf, student_quantile};
pub use explained::{Explained, Explaining, Shape, explained};
pub use kendall::{tau_b, tau_over_epochs, tau_over_trials};
pub use paired::{holm, sign_flip, sign_flip_interval, student, wilcoxon};
pub use ranks::{ClusteredPairs, spearman};
pub use variance::{Components, components};

/// Number of bootstrap resamples: the ends of a 95 % interval then vary by about a fiftieth of its width between keys.
pub const RESAMPLES: usize = 10_000;
/// Confidence level of intervals.
pub const LEVEL: f64 = 0.95;

/// A point estimate with its uncertainty.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// The point estimate.
    pub point: f64,
    /// 95 % interval; `nan` with too few data.
    pub interval: [f64; 2],
    /// Standard error.
    pub standard_error: f64,
    /// Degrees of freedom of the standard error.
    pub degrees: f64,
    /// Sample size.
    pub n: Count,
    /// Method of the interval.
    pub method: Method,
}

/// Sample size of an estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Count {
    /// Number of trainings that differ only in the seed.
    pub seeds: usize,
    /// Number of images.
    pub images: usize,
    /// Number of image × landmark pairs of one training.
    pub landmarks: usize,
}

/// Method of an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Bootstrap of seeds and images, landmarks staying with their image; percentiles widened for few seeds or images.
    SeedsAndImages,
    /// Bootstrap of images only: with one seed, the interval does not cover repeated training.
    Images,
    /// Student's t on training noise and on images, at the level of one test among all of a report.
    Contrast,
    /// The same on images alone: one training each.
    ContrastOfImages,
    /// Bootstrap of seeds and images, plain percentiles: for statistics other than means.
    Percentile,
    /// Student's t over seeds.
    Seeds,
    /// Fisher's z over epochs, as many as would be independent.
    Epochs,
    /// Sign flips of paired differences, inverted: at the level of one test among all of a report.
    SignFlips,
    /// Bootstrap of trials, percentiles.
    Trials,
    /// A regression on ranks, tested by permuting configurations.
    Permutations,
}

impl Method {
    /// Description for readers of a report.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::SeedsAndImages => "bootstrap of seeds and images, widened for their number",
            Self::Images => "bootstrap of images, one seed",
            Self::Contrast => "Student's t on training noise and images, simultaneous with all tests of the report",
            Self::ContrastOfImages => {
                "Student's t on images, one training each, simultaneous with all tests of the report"
            }
            Self::Percentile => "bootstrap of seeds and images, percentiles",
            Self::Seeds => "Student's t over seeds",
            Self::Epochs => "Fisher's z over epochs, as many as would be independent",
            Self::SignFlips => "sign flips of paired trainings, simultaneous with all tests of the report",
            Self::Trials => "bootstrap of trials",
            Self::Permutations => "regression on ranks (adjusted R²), p-value by permuting configurations",
        }
    }
}

impl Estimate {
    /// A point estimate without an interval.
    #[must_use]
    pub fn bare(point: f64, n: Count, method: Method) -> Self {
        Self { point, interval: [f64::NAN; 2], standard_error: f64::NAN, degrees: f64::NAN, n, method }
    }

    /// Two-sided p-value of the hypothesis that the truth is `null`, by Student's t; `nan` without a standard error.
    #[must_use]
    pub fn p_value(&self, null: f64) -> f64 {
        2.0 * self.p_above(null).min(self.p_below(null))
    }

    /// One-sided p-value of the hypothesis that the truth is at most `null`: small where it is above.
    #[must_use]
    pub fn p_above(&self, null: f64) -> f64 {
        self.tail(self.point - null)
    }

    /// One-sided p-value of the hypothesis that the truth is at least `null`: small where it is below.
    #[must_use]
    pub fn p_below(&self, null: f64) -> f64 {
        self.tail(null - self.point)
    }

    /// Probability of such an excess under the null hypothesis. Where nothing scatters, no test of n units is surer than the
    /// sign test: 1/2ⁿ.
    fn tail(&self, excess: f64) -> f64 {
        if self.standard_error > 0.0 {
            1.0 - student_cdf(excess / self.standard_error, self.degrees)
        } else if self.standard_error.is_nan() || excess.is_nan() {
            f64::NAN
        } else if excess > 0.0 {
            least_p((self.degrees + 1.0) as usize) / 2.0
        } else {
            1.0
        }
    }

    /// Whether the interval lies on one side of `null`.
    #[must_use]
    pub fn excludes(&self, null: f64) -> bool {
        self.interval[0] > null || self.interval[1] < null
    }
}

/// Mean; `nan` without values.
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Variance (N − 1); `nan` with fewer than two values.
#[must_use]
pub fn variance_of(values: &[f64]) -> f64 {
    let centre = mean(values);
    values.iter().map(|v| (v - centre).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0)
}

/// Quantile of ascending values by linear interpolation, like NumPy's default; `nan` without values.
#[must_use]
pub fn quantile(ascending: &[f64], share: f64) -> f64 {
    let Some(last) = ascending.len().checked_sub(1) else { return f64::NAN };
    let position = share.clamp(0.0, 1.0) * last as f64;
    let low = position.floor() as usize;
    ascending[low] + position.fract() * (ascending[(low + 1).min(last)] - ascending[low])
}

/// [`quantile`] of values in any order, which it changes: with many values much faster than sorting them.
pub(crate) fn quantile_of(values: &mut [f64], share: f64) -> f64 {
    let Some(last) = values.len().checked_sub(1) else { return f64::NAN };
    let position = share.clamp(0.0, 1.0) * last as f64;
    let (_, low, above) = values.select_nth_unstable_by(position.floor() as usize, f64::total_cmp);
    let next = above.iter().copied().min_by(f64::total_cmp).unwrap_or(*low);
    *low + position.fract() * (next - *low)
}

/// Both ends of the percentile interval of replicates; non-finite replicates are ignored.
#[must_use]
pub fn percentiles(replicates: &[f64], level: f64) -> [f64; 2] {
    let mut values: Vec<f64> = replicates.iter().copied().filter(|v| v.is_finite()).collect();
    let tail = (1.0 - level) / 2.0;
    [tail, 1.0 - tail].map(|share| quantile_of(&mut values, share))
}
