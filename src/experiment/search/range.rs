//! Range of a key in a search: its possible values.

use toml::Value;

/// Values of one key.
#[derive(Debug, Clone, PartialEq)]
pub enum Range {
    /// Any number from low to high, all equally likely.
    Uniform([f64; 2]),
    /// Any number from low to high, all orders of magnitude equally likely.
    Log([f64; 2]),
    /// A whole number from low to high, both included, `step` apart.
    Integer {
        /// The least and the greatest number.
        ends: [i64; 2],
        /// Distance of neighbours.
        step: i64,
    },
    /// A whole number from low to high, both included, all orders of magnitude equally likely.
    LogInteger([i64; 2]),
    /// One of the listed values.
    Choice(Vec<Value>),
}

impl Range {
    /// Names of the kinds of ranges in a definition.
    pub(super) const WORDS: [&str; 4] = ["uniform", "log", "integer", "choice"];

    /// Reads `{ uniform = [low, high] }` and so on; the error text says what is wrong.
    pub(super) fn parse(value: &Value) -> Result<Self, String> {
        let not = || format!("{value} is no range");
        let table = value.as_table().ok_or_else(not)?;
        // Further words say more of integers: how they are spaced.
        let is_more = |key: &str| table.contains_key("integer") && ["log", "step"].contains(&key);
        let mut kinds = table.iter().filter(|(key, _)| !is_more(key));
        let (Some((name, value)), None) = (kinds.next(), kinds.next()) else { return Err(not()) };
        let list = value.as_array().ok_or_else(|| format!("{name} = {value} is not a list"))?;
        let pair = || match list.as_slice() {
            [low, high] => Ok((low, high)),
            _ => Err(format!("{name} has {} values, not a low and a high one", list.len())),
        };
        let real = |value: &Value| {
            let number = value.as_float().or_else(|| value.as_integer().map(|n| n as f64));
            number.filter(|n| n.is_finite()).ok_or_else(|| format!("{value} is not a number"))
        };
        let order = |low: f64, high: f64| {
            if low < high { Ok([low, high]) } else { Err(format!("{low} is not below {high}")) }
        };
        match name.as_str() {
            "uniform" => {
                let (low, high) = pair()?;
                Ok(Self::Uniform(order(real(low)?, real(high)?)?))
            }
            "log" => {
                let (low, high) = pair()?;
                let [low, high] = order(real(low)?, real(high)?)?;
                if low > 0.0 { Ok(Self::Log([low, high])) } else { Err(format!("{low} has no logarithm")) }
            }
            "integer" => {
                let (low, high) = pair()?;
                let whole = |value: &Value| value.as_integer().ok_or_else(|| format!("{value} is not a whole number"));
                let (low, high) = (whole(low)?, whole(high)?);
                order(low as f64, high as f64)?;
                let log = match table.get("log") {
                    None => false,
                    Some(log) => log.as_bool().ok_or_else(|| format!("log = {log} is neither true nor false"))?,
                };
                let step = match table.get("step") {
                    None => 1,
                    Some(_) if log => return Err("log and step exclude each other".into()),
                    Some(step) => step
                        .as_integer()
                        .filter(|step| *step > 0)
                        .ok_or_else(|| format!("step = {step} is not a whole number from 1"))?,
                };
                match log {
                    true if low < 1 => Err(format!("{low} has no logarithm")),
                    true => Ok(Self::LogInteger([low, high])),
                    false => Ok(Self::Integer { ends: [low, high], step }),
                }
            }
            "choice" => {
                if list.len() < 2 {
                    return Err("choice has fewer than two values".into());
                }
                match list.iter().enumerate().find(|(i, value)| list[..*i].contains(value)) {
                    Some((_, value)) => Err(format!("choice has {value} twice")),
                    None => Ok(Self::Choice(list.clone())),
                }
            }
            _ => Err(not()),
        }
    }

    /// The value at a coordinate from 0 (included) to 1 (excluded). Numbers are rounded to about a thousandth of their
    /// range, so that people can read and type them.
    #[must_use]
    pub fn at(&self, unit: f64) -> Value {
        match self {
            Self::Uniform([low, high]) => Value::Float(rounded(low + unit * (high - low), high - low, [*low, *high])),
            Self::Log([low, high]) => {
                let orders = (high / low).ln();
                let value = low * (unit * orders).exp();
                Value::Float(rounded(value, value * orders, [*low, *high]))
            }
            Self::Integer { ends: [low, high], step } => {
                let count = (high.abs_diff(*low) / step.unsigned_abs()) as f64 + 1.0;
                let steps = (unit * count).floor().min(count - 1.0);
                Value::Integer(low.saturating_add((steps as i64).saturating_mul(*step)))
            }
            Self::LogInteger([low, high]) => {
                // Each number has the part of the scale from half below to half above it.
                let (from, to) = ((*low as f64 - 0.5).ln(), (*high as f64 + 0.5).ln());
                Value::Integer(((from + unit * (to - from)).exp().round() as i64).clamp(*low, *high))
            }
            Self::Choice(values) => values[self.choice(unit).unwrap_or(0)].clone(),
        }
    }

    /// Index of the choice at a coordinate; `None` for a range of numbers.
    pub(super) fn choice(&self, unit: f64) -> Option<usize> {
        match self {
            Self::Choice(values) => Some(((unit * values.len() as f64) as usize).min(values.len() - 1)),
            Self::Uniform(_) | Self::Log(_) | Self::Integer { .. } | Self::LogInteger(_) => None,
        }
    }

    /// Values to check in place of all: the ends of a range of numbers, or every choice.
    #[must_use]
    pub fn extremes(&self) -> Vec<Value> {
        match self {
            Self::Uniform(ends) | Self::Log(ends) => ends.iter().map(|end| Value::Float(*end)).collect(),
            Self::Integer { ends, .. } | Self::LogInteger(ends) => {
                ends.iter().map(|end| Value::Integer(*end)).collect()
            }
            Self::Choice(values) => values.clone(),
        }
    }

    /// Least number of different values (see [`Range::at`]); `None` if it is too large to matter.
    pub(super) fn count(&self) -> Option<u64> {
        match self {
            Self::Uniform(_) | Self::Log(_) => Some(1000),
            Self::Integer { ends: [low, high], step } => (high.abs_diff(*low) / step.unsigned_abs()).checked_add(1),
            Self::LogInteger([low, high]) => high.abs_diff(*low).checked_add(1),
            Self::Choice(values) => Some(values.len() as u64),
        }
    }
}

/// Rounds to a power of ten between a thousandth and a ten-thousandth of `width`, and clamps to the ends.
fn rounded(value: f64, width: f64, [low, high]: [f64; 2]) -> f64 {
    let decimals = 3.0 - width.log10().floor();
    let text = if decimals >= 0.0 {
        format!("{value:.*}", decimals.min(330.0) as usize)
    } else {
        let step = 10f64.powf(-decimals);
        format!("{}", (value / step).round() * step)
    };
    text.parse().unwrap_or(value).clamp(low, high)
}
