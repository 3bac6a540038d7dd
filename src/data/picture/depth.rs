//! Deeper grey values as 8 bits.

/// Values from `low`, black, to `high`, white, as a window shows them.
pub(super) fn between(values: &[f64], low: f64, high: f64) -> Vec<u8> {
    // Halves, so that the width of the widest range is still a number.
    let width = (high / 2.0 - low / 2.0).max(f64::MIN_POSITIVE);
    let grey = |v: &f64| ((v / 2.0 - low / 2.0) / width * 255.0).round().clamp(0.0, 255.0);
    // A number that is none casts to 0.
    values.iter().map(|v| grey(v) as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_clamp_and_no_number_is_black() {
        assert_eq!(between(&[-5.0, 0.0, 1.0, 2.0, 9.0, f64::NAN], 0.0, 2.0), [0, 0, 128, 255, 255, 0]);
        assert_eq!(between(&[-1e308, 1e308, 0.0], -1e308, 1e308), [0, 255, 128]);
    }
}
