//! Normal, Student's t and Fisher's F distribution.

use statrs::distribution::{ContinuousCDF, FisherSnedecor, Normal, StudentsT};

/// Share of a standard normal variable below `x`.
#[must_use]
pub fn normal_cdf(x: f64) -> f64 {
    if x.is_nan() { f64::NAN } else { Normal::standard().cdf(x) }
}

/// The value below which a share of a standard normal variable lies.
#[must_use]
pub fn normal_quantile(share: f64) -> f64 {
    if (0.0..=1.0).contains(&share) { Normal::standard().inverse_cdf(share) } else { f64::NAN }
}

/// Share of Student's t below `x`; degrees of freedom need not be whole.
#[must_use]
pub fn student_cdf(x: f64, degrees: f64) -> f64 {
    if x.is_nan() {
        return f64::NAN;
    }
    StudentsT::new(0.0, 1.0, degrees).map_or(f64::NAN, |t| t.cdf(x))
}

/// The value below which a share of Student's t lies.
#[must_use]
pub fn student_quantile(share: f64, degrees: f64) -> f64 {
    if !(0.0..=1.0).contains(&share) {
        return f64::NAN;
    }
    StudentsT::new(0.0, 1.0, degrees).map_or(f64::NAN, |t| t.inverse_cdf(share))
}

/// The value below which a share of Fisher's F lies; degrees of freedom need not be whole. `nan` where they are not positive.
#[must_use]
pub fn f_quantile(share: f64, numerator: f64, denominator: f64) -> f64 {
    let Ok(f) = FisherSnedecor::new(numerator, denominator) else { return f64::NAN };
    if !(0.0..1.0).contains(&share) {
        return f64::NAN;
    }
    // On the logarithm, since quantiles span decades where a degree of freedom is near one.
    let (mut low, mut high) = (-60.0f64, 60.0f64);
    for _ in 0..120 {
        let middle = f64::midpoint(low, high);
        if f.cdf(middle.exp()) < share { low = middle } else { high = middle }
    }
    f64::midpoint(low, high).exp()
}
