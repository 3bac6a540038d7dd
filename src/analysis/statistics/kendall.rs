//! Kendall's rank correlation τ-b: do two variables order the same items alike?

use super::{Count, Estimate, LEVEL, Method, RESAMPLES, percentiles, resample, variance_of};

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

/// τ-b over a trial's epochs. Neighbouring epochs are alike, so that fewer of them count: as many independent ones as would
/// leave the correlation of two series with these correlations of neighbours as uncertain (Bartlett 1946). The interval is
/// Fisher's z for Kendall's τ (Fieller, Hartley and Pearson 1957); there is none if too few count.
#[must_use]
pub fn tau_over_epochs(pairs: &[(f64, f64)]) -> Estimate {
    let point = tau_b(pairs);
    let bare = Estimate::bare(point, Count::default(), Method::Epochs);
    let both = lag_one(pairs.iter().map(|p| p.0)) * lag_one(pairs.iter().map(|p| p.1));
    let independent = pairs.len() as f64 * (1.0 - both) / (1.0 + both);
    if !point.is_finite() || independent.is_nan() || independent < FEWEST {
        return bare;
    }
    let half = 1.96 * (0.437 / (independent - 4.0)).sqrt();
    // A τ of ±1 has no finite z.
    let z = point.clamp(-0.9999, 0.9999).atanh();
    Estimate { interval: [(z - half).tanh(), (z + half).tanh()], ..bare }
}

/// Fewest independent epochs for an interval.
const FEWEST: f64 = 7.0;

/// Correlation of neighbours in ranks, from 0 to 0.99, corrected for the bias of short series (Kendall 1954).
fn lag_one(values: impl Iterator<Item = f64>) -> f64 {
    let ranks = super::ranks::ranks(values);
    let n = ranks.len() as f64;
    let middle = f64::midpoint(n, 1.0);
    let product: f64 = ranks.windows(2).map(|w| (w[0] - middle) * (w[1] - middle)).sum();
    let square: f64 = ranks.iter().map(|r| (r - middle).powi(2)).sum();
    let observed = product / square;
    (observed + (1.0 + 3.0 * observed) / n).clamp(0.0, 0.99)
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
