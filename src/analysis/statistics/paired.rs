//! Tests of paired differences, and correction for multiple testing.

use rand::Rng;

use sweep_core::seed::{self, Stream};

use super::{Count, Estimate, Method, least_p, mean, normal_cdf, student_quantile, variance_of};

/// Number of differences up to which every assignment of signs is evaluated.
const MOST_EXACT: usize = 16;
/// Number of random assignments with more differences.
const FLIPS: usize = 20_000;

/// Two-sided p-value of the sign-flip test on the mean of paired differences; exact for up to sixteen.
///
/// Its least value for n differences is 2/2ⁿ: five seeds cannot reach 0.05, six can.
#[must_use]
pub fn sign_flip(differences: &[f64], key: u64) -> f64 {
    let n = differences.len();
    if n == 0 || differences.iter().any(|d| !d.is_finite()) {
        return f64::NAN;
    }
    let observed = differences.iter().sum::<f64>().abs();
    // Sums that differ by rounding alone are equal.
    let reached = |sum: f64| sum.abs() >= observed * (1.0 - 1e-12) - 1e-300;
    // Signed sums of each half of the differences: a pattern's sum is that of its two halves.
    let sums = |half: &[f64]| -> Vec<f64> {
        half.iter().fold(vec![0.0], |sums, d| sums.iter().flat_map(|sum| [sum + d, sum - d]).collect())
    };
    if n <= MOST_EXACT {
        let (low, high) = differences.split_at(n / 2);
        let (low, high) = (sums(low), sums(high));
        let extreme = high.iter().map(|h| low.iter().filter(|l| reached(h + **l)).count()).sum::<usize>();
        return extreme as f64 / 2f64.powi(n as i32);
    }
    Flips::of(differences, key).p_value(differences, 0.0)
}

/// Random assignments of signs to differences, drawn once for the tests of many shifts.
///
/// With every difference less by `shift`, the sum of an assignment is less by `shift` times the sum of its signs.
struct Flips {
    /// Sum of the signed differences, and of the signs alone, of each assignment.
    sums: Vec<(f64, f64)>,
}

impl Flips {
    fn of(differences: &[f64], key: u64) -> Self {
        let mut rng = seed::derive(key, Stream::Bootstrap, 2, 0);
        // The signed sums of every eight differences, by the byte of their signs.
        let signed = |eight: &[f64], signs: usize| {
            eight.iter().enumerate().map(|(i, d)| if signs >> i & 1 == 0 { *d } else { -d }).sum::<f64>()
        };
        let sums_of = |eight: &[f64]| (0..1 << eight.len()).map(|signs| signed(eight, signs)).collect();
        let tables: Vec<Vec<f64>> = differences.chunks(8).map(sums_of).collect();
        let drawn = |_| {
            let (mut sum, mut minus) = (0.0, 0);
            for tables in tables.chunks(8) {
                let signs: u64 = rng.random();
                for (table, signs) in tables.iter().zip(signs.to_le_bytes()) {
                    let signs = usize::from(signs) & (table.len() - 1);
                    sum += table[signs];
                    minus += signs.count_ones();
                }
            }
            (sum, differences.len() as f64 - 2.0 * f64::from(minus))
        };
        Self { sums: (0..FLIPS).map(drawn).collect() }
    }

    /// The p-value of the differences less `shift`.
    fn p_value(&self, differences: &[f64], shift: f64) -> f64 {
        let observed = differences.iter().map(|d| d - shift).sum::<f64>().abs();
        let least = observed * (1.0 - 1e-12) - 1e-300;
        let reached = self.sums.iter().filter(|(sum, signs)| (sum - shift * signs).abs() >= least).count();
        // The observed assignment counts as one of them, so that no p-value is zero.
        (1 + reached) as f64 / (1 + FLIPS) as f64
    }
}

/// The mean shifts that [`sign_flip`] does not reject at level `alpha`: an interval that leaves out zero exactly where the
/// test rejects. Its ends are infinite where the differences are too few to reject anything.
#[must_use]
pub fn sign_flip_interval(differences: &[f64], alpha: f64, key: u64) -> [f64; 2] {
    let centre = mean(differences);
    let (least, greatest) =
        differences.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), d| (low.min(*d), high.max(*d)));
    let reach = (greatest - least).max(centre.abs()).max(1e-9);
    if differences.is_empty() || !centre.is_finite() || least_p(differences.len()) >= alpha {
        return [f64::NEG_INFINITY, f64::INFINITY];
    }
    let flips = (differences.len() > MOST_EXACT).then(|| Flips::of(differences, key));
    let p = |shift: f64| match &flips {
        Some(flips) => flips.p_value(differences, shift),
        None => sign_flip(&differences.iter().map(|d| d - shift).collect::<Vec<_>>(), key),
    };
    let end = |sign: f64| {
        let (mut held, mut left_out) = (0.0, reach * 1.01);
        for _ in 0..30 {
            let middle = f64::midpoint(held, left_out);
            if p(centre + sign * middle) >= alpha { held = middle } else { left_out = middle }
        }
        centre + sign * f64::midpoint(held, left_out)
    };
    let [low, high] = [end(-1.0), end(1.0)];
    // Zero itself is tested, not found by bisection.
    if p(0.0) >= alpha { [low.min(0.0), high.max(0.0)] } else { [low, high] }
}

/// Two-sided p-value of Wilcoxon's signed-rank test. Zeros are left out; exact for up to fifty differences without ties,
/// else the normal approximation with the variance corrected for ties.
#[must_use]
pub fn wilcoxon(differences: &[f64]) -> f64 {
    if differences.iter().any(|d| !d.is_finite()) {
        return f64::NAN;
    }
    let mut sorted: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
    sorted.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let n = sorted.len();
    if n == 0 {
        return if differences.is_empty() { f64::NAN } else { 1.0 };
    }
    let (mut positive, mut ties, mut from) = (0.0, 0.0, 0);
    while from < n {
        let to = (from..n).find(|i| sorted[*i].abs() > sorted[from].abs()).unwrap_or(n);
        let rank = (from + to + 1) as f64 / 2.0;
        positive += rank * sorted[from..to].iter().filter(|d| **d > 0.0).count() as f64;
        let tied = (to - from) as f64;
        ties += tied.powi(3) - tied;
        from = to;
    }
    let total = (n * (n + 1)) as f64 / 2.0;
    let least = positive.min(total - positive);
    if n <= 50 && ties == 0.0 && n == differences.len() {
        return (2.0 * exact_signed_rank(n, least as usize)).min(1.0);
    }
    let variance = (n * (n + 1) * (2 * n + 1)) as f64 / 24.0 - ties / 48.0;
    (2.0 * normal_cdf((least - total / 2.0) / variance.sqrt())).min(1.0)
}

/// Probability of a rank sum of at most `sum` among `n` differences without any effect.
fn exact_signed_rank(n: usize, sum: usize) -> f64 {
    let mut shares = vec![0.0; n * (n + 1) / 2 + 1];
    shares[0] = 1.0;
    for rank in 1..=n {
        for at in (0..shares.len()).rev() {
            let with = if at >= rank { shares[at - rank] } else { 0.0 };
            shares[at] = f64::midpoint(shares[at], with);
        }
    }
    shares[..=sum.min(shares.len() - 1)].iter().sum()
}

/// p-values adjusted for their number by Holm's method (1979), in the given order; non-finite ones become `nan` and do not
/// count.
#[must_use]
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).filter(|i| p_values[*i].is_finite()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut adjusted = vec![f64::NAN; p_values.len()];
    let mut least = 0.0f64;
    for (rank, i) in order.iter().enumerate() {
        least = least.max(p_values[*i] * (order.len() - rank) as f64).min(1.0);
        adjusted[*i] = least;
    }
    adjusted
}

/// Mean of one value per seed with Student's t interval.
#[must_use]
pub fn student(values: &[f64]) -> Estimate {
    let n = Count { seeds: values.len(), ..Count::default() };
    let bare = Estimate::bare(mean(values), n, Method::Seeds);
    if values.len() < 2 {
        return bare;
    }
    let degrees = values.len() as f64 - 1.0;
    let standard_error = (variance_of(values) / values.len() as f64).sqrt();
    let half = student_quantile(0.975, degrees) * standard_error;
    Estimate { interval: [bare.point - half, bare.point + half], standard_error, degrees, ..bare }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test of shifted differences by itself, with signs drawn for it alone.
    fn by_itself(differences: &[f64], shift: f64, key: u64) -> f64 {
        let shifted: Vec<f64> = differences.iter().map(|d| d - shift).collect();
        let observed = shifted.iter().sum::<f64>().abs();
        let mut rng = seed::derive(key, Stream::Bootstrap, 2, 0);
        let mut drawn = || -> f64 {
            let sum_of = |of: &[f64]| {
                let signs: u64 = rng.random();
                of.iter().enumerate().map(|(i, d)| if signs >> i & 1 == 0 { *d } else { -d }).sum::<f64>()
            };
            shifted.chunks(64).map(sum_of).sum()
        };
        let reached = (0..FLIPS).filter(|_| drawn().abs() >= observed * (1.0 - 1e-12) - 1e-300).count();
        (1 + reached) as f64 / (1 + FLIPS) as f64
    }

    #[test]
    fn signs_drawn_once_test_every_shift() {
        // Times are whole numbers of epochs, so that many logarithms of their ratios are equal.
        for count in [17, 40, 64, 65, 200] {
            let times = (0..count).map(|i| (f64::from(3 + i * 7 % 5) / f64::from(2 + i * 3 % 4)).ln());
            let differences: Vec<f64> = times.collect();
            let flips = Flips::of(&differences, 5);
            for shift in [0.0, 0.1, -0.3, mean(&differences) * 0.9, mean(&differences) + 0.05] {
                let (fast, slow) = (flips.p_value(&differences, shift), by_itself(&differences, shift, 5));
                assert!((fast - slow).abs() < 1e-12, "{count} less {shift}: {fast} {slow}");
            }
            assert!((sign_flip(&differences, 5) - by_itself(&differences, 0.0, 5)).abs() < 1e-12);
        }
    }
}
