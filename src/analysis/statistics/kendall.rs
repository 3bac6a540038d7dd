//! Kendall's rank correlation τ-b: do two variables order the same items alike?

use super::{Count, Estimate, LEVEL, Method, RESAMPLES, percentiles, resample, resample_blocks, variance_of};

/// τ-b of pairs (Kendall 1945): 1 same order, −1 opposite; `nan` if one is constant.
#[must_use]
pub fn tau_b(pairs: &[(f64, f64)]) -> f64 {
    let order = |a: f64, b: f64| f64::from(i8::from(a > b) - i8::from(a < b));
    let (mut agreement, mut differ_x, mut differ_y) = (0.0, 0.0, 0.0);
    for (i, a) in pairs.iter().enumerate() {
        for b in &pairs[..i] {
            let (x, y) = (order(a.0, b.0), order(a.1, b.1));
            agreement += x * y;
            differ_x += x * x;
            differ_y += y * y;
        }
    }
    agreement / f64::sqrt(differ_x * differ_y)
}

/// τ-b over a trial's epochs, with a block-bootstrap interval because neighbouring epochs are alike.
#[must_use]
pub fn tau_over_epochs(pairs: &[(f64, f64)], key: u64) -> Estimate {
    let resampled = |indices: &Vec<usize>| tau_b(&indices.iter().map(|p| pairs[*p]).collect::<Vec<_>>());
    // A quadratic statistic: fewer resamples keep long trainings quick, and τ needs no third decimal.
    let replicates = resample_blocks(pairs.len(), RESAMPLES / 10, key, resampled);
    summarise(pairs, &replicates, Method::Epochs, pairs.len())
}

/// τ-b across trials, with an interval from resampled trials.
#[must_use]
pub fn tau_over_trials(pairs: &[(f64, f64)], key: u64) -> Estimate {
    let resampled = |_: &[u32], drawn: &[u32]| {
        let repeated = pairs.iter().zip(drawn).flat_map(|(p, n)| std::iter::repeat_n(*p, *n as usize));
        tau_b(&repeated.collect::<Vec<_>>())
    };
    let replicates = resample(1, pairs.len(), RESAMPLES / 10, key, resampled);
    summarise(pairs, &replicates, Method::Trials, pairs.len())
}

/// The estimate from replicates; without an interval if there are fewer than five points.
fn summarise(pairs: &[(f64, f64)], replicates: &[f64], method: Method, length: usize) -> Estimate {
    let point = tau_b(pairs);
    if length < 5 || !point.is_finite() {
        return Estimate::bare(point, Count::default(), method);
    }
    let finite: Vec<f64> = replicates.iter().copied().filter(|v| v.is_finite()).collect();
    Estimate {
        interval: percentiles(&finite, LEVEL),
        standard_error: variance_of(&finite).sqrt(),
        degrees: f64::INFINITY,
        ..Estimate::bare(point, Count::default(), method)
    }
}
