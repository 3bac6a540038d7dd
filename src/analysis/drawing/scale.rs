//! Scales: from data values to positions on an axis, linear or logarithmic, with round ticks.

use crate::format::number;

/// Range of an axis and how it is divided. `low < high`, both finite; positive if logarithmic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    /// Equal steps.
    Linear {
        /// Low end.
        low: f64,
        /// High end.
        high: f64,
    },
    /// Equal ratios.
    Log {
        /// Low end.
        low: f64,
        /// High end.
        high: f64,
    },
    /// Equal steps, ticks on whole numbers only.
    Epochs {
        /// Low end.
        low: f64,
        /// High end.
        high: f64,
    },
}

/// Largest and, as its inverse, smallest size of what is drawn to scale: ranges and ratios of such values are finite.
const LARGEST: f64 = 1e150;

/// Whether a value has a place on an axis.
fn is_drawn(value: f64) -> bool {
    value.abs() <= LARGEST
}

impl Scale {
    /// From zero to a little above the greatest value.
    #[must_use]
    pub fn from_zero(values: impl IntoIterator<Item = f64>) -> Self {
        let high = values.into_iter().filter(|v| is_drawn(*v)).fold(0.0, f64::max);
        Self::Linear { low: 0.0, high: if high > 0.0 { high * 1.05 } else { 1.0 } }
    }

    /// All finite values with a margin.
    #[must_use]
    pub fn linear(values: impl IntoIterator<Item = f64>) -> Self {
        let Some((low, high)) = range(values.into_iter().filter(|v| is_drawn(*v))) else {
            return Self::Linear { low: 0.0, high: 1.0 };
        };
        // Differences far below the values themselves are noise, and would need labels of many figures.
        let margin = (0.06 * (high - low)).max(1e-3 * high.abs().max(low.abs()));
        if margin > 0.0 {
            Self::Linear { low: low - margin, high: high + margin }
        } else {
            Self::Linear { low: -0.05, high: 1.0 }
        }
    }

    /// All positive values with a margin, at least a factor of three.
    #[must_use]
    pub fn log(values: impl IntoIterator<Item = f64>) -> Self {
        let Some((low, high)) = range(values.into_iter().filter(|v| is_drawn(*v) && *v >= LARGEST.recip())) else {
            return Self::Log { low: 0.1, high: 1.0 };
        };
        let margin = (high / low).powf(0.05).max((3.0 * low / high).sqrt()).max(1.05);
        Self::Log { low: low / margin, high: high * margin }
    }

    /// Logarithmic where the positive values span more than a decade.
    #[must_use]
    pub fn auto(values: impl IntoIterator<Item = f64>) -> Self {
        let values: Vec<f64> = values.into_iter().collect();
        match range(values.iter().copied().filter(|v| is_drawn(*v) && *v >= LARGEST.recip())) {
            Some((low, high)) if high > 10.0 * low => Self::log(values),
            _ => Self::linear(values),
        }
    }

    /// Epochs 1 to `last`.
    #[must_use]
    pub fn epochs(last: u32) -> Self {
        let last = f64::from(last.max(1));
        let margin = if last > 1.0 { (0.02 * last).max(0.05 * (last - 1.0)).min(0.5) } else { 0.5 };
        Self::Epochs { low: 1.0 - margin, high: last + margin.max(0.02 * last) }
    }

    /// Whether steps are of equal ratios.
    #[must_use]
    pub fn is_log(self) -> bool {
        matches!(self, Self::Log { .. })
    }

    fn limits(self) -> (f64, f64) {
        match self {
            Self::Linear { low, high } | Self::Log { low, high } | Self::Epochs { low, high } => (low, high),
        }
    }

    /// Position of a value on the axis: 0 at its low end, 1 at its high end; `None` if the value is not finite.
    /// On a logarithmic axis, zero and negative values lie at the low end.
    #[must_use]
    pub fn position(self, value: f64) -> Option<f64> {
        if !value.is_finite() {
            return None;
        }
        let (low, high) = self.limits();
        let share = match self {
            Self::Log { .. } if value <= low => 0.0,
            Self::Log { .. } => (value / low).ln() / (high / low).ln(),
            Self::Linear { .. } | Self::Epochs { .. } => (value - low) / (high - low),
        };
        Some(share.clamp(0.0, 1.0))
    }

    /// About `most` ticks or fewer, with their labels.
    #[must_use]
    pub fn ticks(self, most: usize) -> Vec<(f64, String)> {
        let with_minus = |(value, label): (f64, String)| (value, label.replace('-', "−"));
        self.plain_ticks(most).into_iter().map(with_minus).collect()
    }

    fn plain_ticks(self, most: usize) -> Vec<(f64, String)> {
        let (low, high) = self.limits();
        match self {
            Self::Log { .. } => log_ticks(low, high, most).into_iter().map(|v| (v, number(v))).collect(),
            Self::Linear { .. } => {
                let step = round_step((high - low) / most.max(1) as f64, &[1.0, 2.0, 2.5, 5.0, 10.0]);
                let tiny = low.abs().max(high.abs()) < 1e-3;
                let quarter = (step / 10f64.powf(step.log10().floor()) - 2.5).abs() < 1e-6;
                let decimals = (f64::from(i8::from(quarter)) - step.log10().floor()).max(0.0) as usize;
                let label = |v: f64| if tiny { number(v) } else { format!("{v:.decimals$}") };
                multiples(low, high, step).map(|v| (v, label(v))).collect()
            }
            Self::Epochs { .. } => {
                let step = round_step((high - low) / most.max(1) as f64, &[1.0, 2.0, 5.0, 10.0]).max(1.0);
                let first = (step > 1.0).then_some(1.0);
                first.into_iter().chain(multiples(low, high, step)).map(|v| (v, format!("{v:.0}"))).collect()
            }
        }
    }

    /// Values of the fine grid between the ticks of a logarithmic axis.
    #[must_use]
    pub fn minor_ticks(self) -> Vec<f64> {
        match self {
            Self::Log { low, high } if high / low < 1e6 => log_values(low, high, &[1, 2, 3, 4, 5, 6, 7, 8, 9], 1),
            _ => Vec::new(),
        }
    }
}

fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range, v| Some(range.map_or((v, v), |(low, high): (f64, f64)| (low.min(v), high.max(v)))))
}

/// The least multiple of a power of ten by one of `mantissas` that is at least `rough`.
fn round_step(rough: f64, mantissas: &[f64]) -> f64 {
    let power = 10f64.powf(rough.log10().floor());
    mantissas.iter().map(|m| m * power).find(|s| *s >= rough).unwrap_or(10.0 * power)
}

fn multiples(low: f64, high: f64, step: f64) -> impl Iterator<Item = f64> {
    ((low / step).ceil() as i64..=(high / step).floor() as i64).map(move |i| i as f64 * step)
}

fn log_ticks(low: f64, high: f64, most: usize) -> Vec<f64> {
    let all: &[(&[u32], i32)] = &[
        (&[1, 2, 3, 4, 5, 6, 7, 8, 9], 1),
        (&[1, 2, 5], 1),
        (&[1, 3], 1),
        (&[1], 1),
        (&[1], 2),
        (&[1], 3),
        (&[1], 5),
        (&[1], 10),
        (&[1], 50),
    ];
    let choices = all.iter().map(|(mantissas, stride)| log_values(low, high, mantissas, *stride));
    choices.into_iter().find(|values| values.len() <= most).unwrap_or_default()
}

fn log_values(low: f64, high: f64, mantissas: &[u32], stride: i32) -> Vec<f64> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    (first..=last)
        .filter(|e| e.rem_euclid(stride) == 0)
        .flat_map(|e| mantissas.iter().map(move |m| f64::from(*m) * 10f64.powi(e)))
        .filter(|v| (low..=high).contains(v))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: Scale, most: usize) -> Vec<String> {
        scale.ticks(most).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(labels(Scale::from_zero([9.0]), 6), ["0", "2", "4", "6", "8"]);
        assert_eq!(labels(Scale::Linear { low: 0.0, high: 1.0 }, 4), ["0.00", "0.25", "0.50", "0.75", "1.00"]);
        assert_eq!(labels(Scale::epochs(1), 6), ["1"]);
        assert_eq!(labels(Scale::epochs(3), 6), ["1", "2", "3"]);
        assert_eq!(labels(Scale::epochs(60), 4), ["1", "20", "40", "60"]);
        assert_eq!(labels(Scale::from_zero([95.0]), 4), ["0", "25", "50", "75"]);
        assert_eq!(labels(Scale::log([1e-5, 5e-3]), 5), ["10⁻⁵", "10⁻⁴", "0.001"]);
        assert_eq!(labels(Scale::log([0.02, 0.1]), 4), ["0.02", "0.05", "0.1"]);
        assert_eq!(labels(Scale::linear([-1.0, 1.0]), 4), ["−1", "0", "1"]);
    }

    #[test]
    fn logarithmic_only_beyond_a_decade() {
        assert!(!Scale::auto([0.004, 0.03, f64::NAN]).is_log());
        assert!(Scale::auto([0.0, 1e-5, 5e-3]).is_log());
        assert!(!Scale::auto([f64::NAN]).is_log());
    }

    #[test]
    fn no_value_makes_a_scale_without_end() {
        for size in [1e-320, 1e-300, 1e-150, 1e150, 1e200, 1e305, f64::MAX, f64::INFINITY] {
            for values in [vec![size], vec![size, 1.0], vec![-size, size], vec![1e-5, size, 1.0]] {
                for scale in [
                    Scale::auto(values.clone()),
                    Scale::linear(values.clone()),
                    Scale::log(values.clone()),
                    Scale::from_zero(values),
                ] {
                    let (low, high) = scale.limits();
                    assert!(low.is_finite() && high.is_finite() && low < high, "{scale:?}");
                    assert!(scale.ticks(6).len() <= 12 && scale.minor_ticks().len() <= 100, "{scale:?}");
                    assert!(scale.position(size).is_none_or(|p| (0.0..=1.0).contains(&p)), "{scale:?} {size}");
                }
            }
        }
    }

    #[test]
    fn values_without_a_position_are_none() {
        let log = Scale::log([0.01, 1.0]);
        assert_eq!(log.position(0.0), Some(0.0));
        assert_eq!(log.position(f64::NAN), None);
        assert!((log.position(0.1).unwrap() - 0.5).abs() < 1e-9);
        assert!((Scale::linear([2.0]).position(2.0).unwrap() - 0.5).abs() < 1e-9);
        assert_eq!(Scale::linear([]).position(f64::INFINITY), None);
        assert!(Scale::linear([0.0, 0.0]).position(0.0).unwrap() < 0.1);
    }
}
