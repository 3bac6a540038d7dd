//! Formatting of numbers for readers: as many digits as are known, distinguishable signs, no "-0.00".

use super::statistics::Estimate;

/// A number with at most three significant digits: `0.004`, `2·10⁻⁵`.
#[must_use]
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    if value.abs() < 1e-300 {
        return "0".to_owned();
    }
    if value < 0.0 {
        return format!("−{}", number(-value));
    }
    let exponent = value.log10().floor() as i32;
    if (-3..4).contains(&exponent) {
        let decimals = (2 - exponent).max(0) as usize;
        let text = format!("{value:.decimals$}");
        return if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text };
    }
    let mut mantissa = format!("{:.1}", value / 10f64.powi(exponent));
    if mantissa.ends_with(".0") {
        mantissa.truncate(mantissa.len() - 2);
    }
    let power: String = exponent.to_string().chars().map(superscript).collect();
    if mantissa == "1" { format!("10{power}") } else { format!("{mantissa}·10{power}") }
}

/// A number with so many decimals, a real minus, and none if it is zero at that precision.
#[must_use]
pub fn fixed(value: f64, decimals: usize) -> String {
    signed(value, decimals).trim_start_matches('+').to_owned()
}

/// Millimetres with two decimals, which is finer than the agreement of observers.
#[must_use]
pub fn mm(value: f64) -> String {
    fixed(value, 2)
}

fn superscript(digit: char) -> char {
    match digit {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '4' => '⁴',
        '5' => '⁵',
        '6' => '⁶',
        '7' => '⁷',
        '8' => '⁸',
        '9' => '⁹',
        _ => '⁰',
    }
}

/// A change in mm, with its sign.
#[must_use]
pub fn change(value: f64) -> String {
    signed(value, 2)
}

/// A number with its sign, a real minus, and no sign if it is zero at the shown precision.
#[must_use]
pub fn signed(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let text = format!("{:.decimals$}", value.abs());
    let zero = text.chars().all(|c| matches!(c, '0' | '.'));
    match value {
        _ if zero => text,
        v if v < 0.0 => format!("−{text}"),
        _ => format!("+{text}"),
    }
}

/// The interval of an estimate, each end formatted by `show`; empty if there is none.
#[must_use]
pub fn interval(estimate: &Estimate, show: impl Fn(f64) -> String) -> String {
    let [low, high] = estimate.interval;
    if low.is_finite() && high.is_finite() { format!("{} to {}", show(low), show(high)) } else { String::new() }
}

/// A p-value: never zero, at most three decimals.
#[must_use]
pub fn p_value(p: f64) -> String {
    if !p.is_finite() {
        "p –".to_owned()
    } else if p < 0.001 {
        "p < 0.001".to_owned()
    } else if p < 0.1 {
        format!("p = {p:.3}")
    } else {
        format!("p = {p:.2}")
    }
}

/// `1 seed`, `2 seeds`.
#[must_use]
pub fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let numbers = [0.0, 1e-5, 2.13e-5, 0.0042, 3.456_78, 250.0, 1500.0, -0.5, -2e-5, f64::NAN];
        let texts = ["0", "10⁻⁵", "2.1·10⁻⁵", "0.0042", "3.46", "250", "1500", "−0.5", "−2·10⁻⁵", "–"];
        assert_eq!(numbers.map(number), texts);
    }

    #[test]
    fn signs_are_those_of_what_is_shown() {
        assert_eq!([0.004, -0.004, 0.12, -3.0].map(change), ["0.00", "0.00", "+0.12", "−3.00"]);
        assert_eq!([-0.004, -0.04, f64::NAN].map(mm), ["0.00", "−0.04", "–"]);
        assert_eq!([0.0001, 0.0123, 0.4, f64::NAN].map(p_value), ["p < 0.001", "p = 0.012", "p = 0.40", "p –"]);
        assert_eq!(counted(1, "seed"), "1 seed");
    }
}
