//! Intervals of quantities that have bounds: errors are positive, shares lie between 0 and 100 %.

use statrs::distribution::{Beta, ContinuousCDF};

use super::{Crossed, Estimate, LEVEL, RESAMPLES, student_quantile};

/// The 97.5 % quantile of the standard normal distribution.
const NORMAL_975: f64 = 1.959_963_984_540_054;

impl Crossed {
    /// The mean of a positive quantity; its interval is taken on the logarithm, so that it is positive, too.
    #[must_use]
    pub fn positive(&self, key: u64) -> Estimate {
        self.positive_with(key, RESAMPLES)
    }

    /// [`Self::positive`] with this number of resamples.
    #[must_use]
    pub fn positive_with(&self, key: u64, resamples: usize) -> Estimate {
        let point = self.mean();
        if point > 0.0 {
            self.estimate_by(key, resamples, f64::ln, f64::exp, 1.0 / point)
        } else {
            self.estimate_with(key, resamples)
        }
    }

    /// A share in per cent, the mean of a measure that is 0 or 100 for each landmark: Jeffreys' interval for as many
    /// independent landmarks as would scatter as much (Korn and Graubard 1998 for clusters and few degrees of freedom). Where
    /// none or all are within, the images count, because the landmarks of one may fail together.
    #[must_use]
    pub fn share(&self) -> Estimate {
        let (point, count) = (self.mean(), self.count());
        let bare = self.estimate_with(0, 1);
        let p = point / 100.0;
        if !(0.0..=1.0).contains(&p) || count.images == 0 {
            return bare;
        }
        let known = self.uncertainty().map(|known| (known.variance / 1e4, known.degrees));
        let (n, degrees) = match known {
            Some((variance, degrees)) if variance > 0.0 && p > 0.0 && p < 1.0 => (p * (1.0 - p) / variance, degrees),
            _ => (count.images as f64, f64::INFINITY),
        };
        let most = (count.seeds * count.landmarks).max(1) as f64;
        let t = if degrees.is_finite() { student_quantile(f64::midpoint(LEVEL, 1.0), degrees) } else { NORMAL_975 };
        let n = n.min(most) * (NORMAL_975 / t).powi(2);
        let tail = (1.0 - LEVEL) / 2.0;
        let Ok(beta) = Beta::new(n * p + 0.5, n * (1.0 - p) + 0.5) else { return bare };
        let low = if p > 0.0 { beta.inverse_cdf(tail).min(p) } else { 0.0 };
        let high = if p < 1.0 { beta.inverse_cdf(1.0 - tail).max(p) } else { 1.0 };
        Estimate { interval: [100.0 * low, 100.0 * high], ..bare }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(values: &[f64]) -> Crossed {
        Crossed::new(&[values.iter().map(|v| (*v, 1)).collect()])
    }

    #[test]
    fn a_positive_mean_has_a_positive_interval() {
        // Two trainings that differ a lot: Student's interval reaches far below zero.
        let table = Crossed::new(&[vec![(2.9, 1), (2.7, 1), (3.0, 1)], vec![(1.9, 1), (2.1, 1), (1.8, 1)]]);
        assert!(table.estimate(0).interval[0] < 0.0);
        let [low, high] = table.positive(0).interval;
        assert!(low > 0.0 && low < 2.4 && 2.4 < high, "{low} {high}");
    }

    #[test]
    fn shares_have_jeffreys_intervals_and_none_is_not_never() {
        // scipy 1.17: beta.ppf([0.025, 0.975], 0.5, 24.5) and (3.5, 17.5), in per cent.
        let [low, high] = images(&[0.0; 24]).share().interval;
        assert!(low.abs() < 1e-12 && (high - 9.827).abs() < 0.05, "{high}");
        let mut some = vec![0.0; 17];
        some.extend([100.0; 3]);
        let [low, high] = images(&some).share().interval;
        assert!((low - 4.0).abs() < 2.0 && (high - 35.0).abs() < 3.0, "{low} {high}");
        let [low, high] = images(&[100.0; 24]).share().interval;
        assert!((low - 90.173).abs() < 0.05 && (high - 100.0).abs() < 1e-12);
    }
}
