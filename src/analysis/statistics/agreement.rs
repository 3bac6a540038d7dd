//! Agreement of two methods that measure the same: limits of agreement and intraclass correlation.
//!
//! - Bland and Altman, Statistical methods for assessing agreement between two methods of clinical measurement, Lancet 1986.
//! - Shrout and Fleiss, Intraclass correlations, Psychological Bulletin 86, 1979: ICC(2,1).
//! - Forming inferences about some intraclass correlation coefficients, Psychological Methods 1, 1996: the same
//!   as ICC(A,1), absolute agreement of single measurements, and its interval.

use serde::Serialize;

use super::{LEVEL, f_quantile, mean, normal_quantile, student_quantile, variance_of};

/// How far two methods differ on single subjects.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LimitsOfAgreement {
    /// Mean difference.
    pub bias: f64,
    /// Standard deviation of the differences (N − 1).
    pub sd: f64,
    /// Bias ∓ 1.96 standard deviations: 95 % of differences lie between, if they are normal.
    pub limits: [f64; 2],
    /// Half the width of the 95 % interval of each limit: t·√(3 sd² / n).
    pub limit_half_width: f64,
}

/// Limits of agreement of these differences; `nan` with fewer than two.
#[must_use]
pub fn limits_of_agreement(differences: &[f64]) -> LimitsOfAgreement {
    let (bias, sd) = (mean(differences), variance_of(differences).sqrt());
    let n = differences.len() as f64;
    let t = student_quantile(f64::midpoint(1.0, LEVEL), n - 1.0);
    let reach = normal_quantile(f64::midpoint(1.0, LEVEL)) * sd;
    LimitsOfAgreement {
        bias,
        sd,
        limits: [bias - reach, bias + reach],
        limit_half_width: t * (3.0 * sd * sd / n).sqrt(),
    }
}

/// An intraclass correlation with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Icc {
    /// The point estimate; 1 if all agree, about 0 or less if they agree no better than chance.
    pub point: f64,
    /// Its interval, by the F distribution.
    pub interval: [f64; 2],
}

/// ICC(2,1), or ICC(A,1): agreement of single measurements, two-way random effects, from a row of measurements per subject.
/// `None` with fewer than two subjects or raters, unequal rows, or where nothing varies.
#[must_use]
pub fn icc_agreement(rows: &[Vec<f64>]) -> Option<Icc> {
    let (n, k) = (rows.len(), rows.first()?.len());
    if n < 2 || k < 2 || rows.iter().any(|row| row.len() != k) {
        return None;
    }
    let columns: Vec<f64> = (0..k).map(|at| rows.iter().map(|row| row[at]).sum::<f64>() / n as f64).collect();
    let means: Vec<f64> = rows.iter().map(|row| mean(row)).collect();
    let grand = mean(&means);
    let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let of_rows = squares(&mut means.iter().map(|value| value - grand));
    let of_columns = squares(&mut columns.iter().map(|value| value - grand));
    let rest =
        squares(&mut rows.iter().zip(&means).flat_map(|(row, mean)| {
            row.iter().zip(&columns).map(move |(value, column)| value - mean - column + grand)
        }));
    let (n, k) = (n as f64, k as f64);
    let (rows, columns, rest) = (k * of_rows / (n - 1.0), n * of_columns / (k - 1.0), rest / ((n - 1.0) * (k - 1.0)));
    let point = (rows - rest) / (rows + (k - 1.0) * rest + k * (columns - rest) / n);
    if !point.is_finite() {
        return None;
    }
    let tail = f64::midpoint(1.0, LEVEL);
    // Satterthwaite's degrees of freedom of the denominator.
    let (a, b) = (k * point / (n * (1.0 - point)), 1.0 + k * point * (n - 1.0) / (n * (1.0 - point)));
    let degrees = (a * columns + b * rest).powi(2)
        / ((a * columns).powi(2) / (k - 1.0) + (b * rest).powi(2) / ((n - 1.0) * (k - 1.0)));
    let (lower, upper) = (f_quantile(tail, n - 1.0, degrees), f_quantile(tail, degrees, n - 1.0));
    let between = k * columns + (k * n - k - n) * rest;
    let interval = [
        n * (rows - lower * rest) / (lower * between + n * rows),
        n * (upper * rows - rest) / (between + n * upper * rows),
    ];
    Some(Icc { point, interval })
}

/// Wilson's 95 % interval of a share: `successes` of `trials`, which need not be whole. `nan` without trials.
#[must_use]
pub fn wilson(successes: f64, trials: f64) -> [f64; 2] {
    let z = normal_quantile(f64::midpoint(1.0, LEVEL));
    let (share, z2) = (successes / trials, z * z);
    let middle = (share + z2 / (2.0 * trials)) / (1.0 + z2 / trials);
    let half = z / (1.0 + z2 / trials) * (share * (1.0 - share) / trials + z2 / (4.0 * trials * trials)).sqrt();
    [(middle - half).clamp(0.0, 1.0), (middle + half).clamp(0.0, 1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(value: f64, expected: f64, tolerance: f64) {
        assert!((value - expected).abs() <= tolerance, "{value}, not {expected}");
    }

    /// Peak expiratory flow of 17 people by a large and by a mini meter (Bland and Altman 1986, table 1, first readings).
    const LARGE: [f64; 17] = [
        494.0, 395.0, 516.0, 434.0, 476.0, 557.0, 413.0, 442.0, 650.0, 433.0, 417.0, 656.0, 267.0, 478.0, 178.0, 423.0,
        427.0,
    ];
    const MINI: [f64; 17] = [
        512.0, 430.0, 520.0, 428.0, 500.0, 600.0, 364.0, 380.0, 658.0, 445.0, 432.0, 626.0, 260.0, 477.0, 259.0, 350.0,
        451.0,
    ];

    #[test]
    fn limits_of_agreement_are_those_of_bland_and_altman() {
        let differences: Vec<f64> = LARGE.iter().zip(MINI).map(|(large, mini)| large - mini).collect();
        let LimitsOfAgreement { bias, sd, limits, limit_half_width } = limits_of_agreement(&differences);
        // The paper: -2.1, 38.8; two standard deviations give -79.7 and 75.5; the limits' standard error is 16.3, t 2.12.
        near(bias, -2.1, 0.05);
        near(sd, 38.8, 0.05);
        near(limits[0], bias - 1.96 * 38.8, 0.1);
        near(limits[1], bias + 1.96 * 38.8, 0.1);
        near(limit_half_width, 2.12 * 16.3, 0.1);
        assert!(limits_of_agreement(&[1.0]).sd.is_nan());
    }

    #[test]
    fn icc_is_that_of_shrout_and_fleiss() {
        // Their table 2: six subjects, four judges; table 4 gives ICC(2,1) = 0.29.
        let table = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]];
        let rows: Vec<Vec<f64>> = table.iter().map(|row| row.map(f64::from).to_vec()).collect();
        let icc = icc_agreement(&rows).unwrap();
        // pingouin 0.7.0: 0.28976377952755916, 0.02 to 0.76; R's psych: 0.019 to 0.761.
        near(icc.point, 0.289_763_779_527_559_16, 1e-14);
        near(icc.interval[0], 0.019, 1e-3);
        near(icc.interval[1], 0.761, 1e-3);
    }

    #[test]
    fn agreement_of_two_methods_is_absolute() {
        let rows: Vec<Vec<f64>> = LARGE.iter().zip(MINI).map(|(a, b)| vec![*a, b]).collect();
        let shifted: Vec<Vec<f64>> = rows.iter().map(|row| vec![row[0], row[1] + 100.0]).collect();
        let [near_to, far] = [&rows, &shifted].map(|rows| icc_agreement(rows).unwrap());
        // pingouin 0.7.0: 0.9459284055773102, 0.86 to 0.98.
        near(near_to.point, 0.945_928_405_577_310_2, 1e-14);
        near(near_to.interval[0], 0.86, 5e-3);
        near(near_to.interval[1], 0.98, 5e-3);
        assert!(far.point < near_to.point - 0.1, "{far:?}");
        assert_eq!(icc_agreement(&[vec![1.0, 1.0], vec![1.0, 1.0]]), None, "nothing varies");
        assert_eq!(icc_agreement(&[vec![1.0, 2.0]]), None);
        let same: Vec<Vec<f64>> = LARGE.iter().map(|a| vec![*a, *a]).collect();
        near(icc_agreement(&same).unwrap().point, 1.0, 1e-12);
    }

    #[test]
    fn wilsons_interval_stays_between_0_and_1() {
        // Wilson's interval of 8 of 10 (Brown, Cai and DasGupta 2001): 0.490 to 0.943.
        let [low, high] = wilson(8.0, 10.0);
        near(low, 0.4902, 1e-4);
        near(high, 0.9433, 1e-4);
        near(wilson(0.0, 5.0)[0], 0.0, 1e-12);
        near(wilson(5.0, 5.0)[1], 1.0, 1e-12);
        assert!(wilson(0.0, 0.0)[0].is_nan());
    }

    #[test]
    fn quantiles_of_f_are_scipys() {
        // scipy.stats.f.ppf(0.975, ·, ·)
        for (numerator, denominator, expected) in F_QUANTILES {
            near(f_quantile(0.975, numerator, denominator) / expected, 1.0, 1e-9);
        }
        assert!(f_quantile(0.975, 0.0, 1.0).is_nan() && f_quantile(1.0, 1.0, 1.0).is_nan());
    }

    const F_QUANTILES: [(f64, f64, f64); 4] = [
        (5.0, 4.785, 7.498_880_528_274_082),
        (16.0, 17.25, 2.681_959_514_949_056),
        (1.3, 200.0, 4.533_881_505_881_604),
        (23.0, 1.0, 996.346_245_788_381),
    ];
}
