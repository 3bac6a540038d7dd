//! Deeper grey values as 8 bits.

/// Unsigned values of up to 16 bits. Scanners put 10, 12 or 14 bits into 16, and few files say so: as many bits count as
/// the brightest value needs, of an even number, so that such a film is not all but black. Black stays black.
pub(super) fn of_16_bits(values: &[u16]) -> Vec<u8> {
    let brightest = values.iter().copied().max().unwrap_or(0);
    of_bits(values, (u16::BITS - brightest.leading_zeros()).next_multiple_of(2).max(8))
}

/// Unsigned values of so many bits, to the nearest; larger ones are white.
pub(super) fn of_bits(values: &[u16], bits: u32) -> Vec<u8> {
    let white = (1u32 << bits.clamp(1, 16)) - 1;
    values.iter().map(|v| ((u32::from(*v) * 255 + white / 2) / white).min(255) as u8).collect()
}

/// Values of any kind: the least is black, the greatest white; what is no number is black.
pub(super) fn stretched(values: &[f64]) -> Vec<u8> {
    let finite = || values.iter().copied().filter(|v| v.is_finite());
    let (low, high) = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    between(values, low, high)
}

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
    fn as_many_bits_count_as_are_in_use() {
        assert_eq!(of_16_bits(&[0, 1, 255]), [0, 1, 255]);
        assert_eq!(of_16_bits(&[0, 512, 1023]), [0, 128, 255]);
        assert_eq!(of_16_bits(&[0, 2048, 4095, 2100]), [0, 128, 255, 131]);
        assert_eq!(of_16_bits(&[0, 4096]), [0, 64]);
        assert_eq!(of_16_bits(&[65535, 257]), [255, 1]);
        assert_eq!(of_bits(&[4095, 4096], 12), [255, 255]);
        assert!(of_16_bits(&[]).is_empty());
    }

    #[test]
    fn windows_clamp_and_no_number_is_black() {
        assert_eq!(between(&[-5.0, 0.0, 1.0, 2.0, 9.0, f64::NAN], 0.0, 2.0), [0, 0, 128, 255, 255, 0]);
        assert_eq!(stretched(&[-1e308, 1e308, 0.0]), [0, 255, 128]);
        assert_eq!(stretched(&[3.0, 3.0]), [0, 0]);
    }
}
