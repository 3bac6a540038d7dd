//! Functions of groups of numbers that the compiler turns into vector instructions.

use crate::tensors::Real;

/// Size of a group: enough for the widest vectors.
pub const LANES: usize = 16;

/// Numbers with vectorised exponentials and logarithms.
pub trait Number: Real {
    /// `exp` of numbers up to 88, accurate to a few units in the last place; zero if it is below 1e-37.
    fn exponentials(x: [Self; LANES]) -> [Self; LANES];

    /// Natural logarithms, accurate to a few units in the last place; smaller numbers count as 1e-37.
    fn logarithms(x: [Self; LANES]) -> [Self; LANES];

    /// `ln(1 + x)` for numbers ≥ 0, as accurate near zero as elsewhere.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "part of loops that become vector instructions")]
    fn logarithms_above_one(x: [Self; LANES]) -> [Self; LANES] {
        let mut sums = x;
        for sum in &mut sums {
            *sum += Self::one();
        }
        let mut out = Self::logarithms(sums);
        for ((out, sum), x) in out.iter_mut().zip(sums).zip(x) {
            // Corrects the rounding error of the sum (Kahan).
            let increment = sum - Self::one();
            *out = if increment > Self::zero() { *out * (x / increment) } else { x };
        }
        out
    }
}

impl Number for f64 {
    fn exponentials(x: [Self; LANES]) -> [Self; LANES] {
        x.map(Self::exp)
    }

    fn logarithms(x: [Self; LANES]) -> [Self; LANES] {
        x.map(|x| if x < f64::from(f32::MIN_POSITIVE) { f64::from(f32::MIN_POSITIVE) } else { x }.ln())
    }
}

impl Number for f32 {
    /// `2ⁿ·eʳ` with `n` the nearest whole number to `x/ln 2` and a polynomial for `eʳ` (Cephes' `expf`).
    #[inline(always)]
    fn exponentials(x: [Self; LANES]) -> [Self; LANES] {
        const LEAST: f32 = -85.0;
        // Adding this constant leaves the nearest whole number in the lowest bits.
        const WHOLE: f32 = 12_582_912.0;
        // ln 2 in two parts; the first has few bits, so that its multiples are exact.
        const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
        const POLYNOMIAL: [f32; 6] = [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5];
        let mut out = [0.0; LANES];
        for (out, x) in out.iter_mut().zip(x) {
            // This order of the comparison keeps NaN.
            let clamped = if x < LEAST { LEAST } else { x };
            let shifted = clamped * std::f32::consts::LOG2_E + WHOLE;
            let n = shifted - WHOLE;
            let r = clamped - n * LN_2[0] - n * LN_2[1];
            let tail = POLYNOMIAL.iter().fold(0.0, |sum, c| sum * r + c);
            let power = f32::from_bits((shifted.to_bits().wrapping_add(127)) << 23);
            let value = (tail * r * r + r + 1.0) * power;
            *out = if x < LEAST { 0.0 } else { value };
        }
        out
    }

    /// `n·ln 2 + ln(1 + f)` with `1 + f` between √½ and √2 and a polynomial for its logarithm (Cephes' `logf`).
    #[inline(always)]
    fn logarithms(x: [Self; LANES]) -> [Self; LANES] {
        const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
        const POLYNOMIAL: [f32; 9] = [
            7.037_683_6e-2,
            -0.115_146_1,
            0.116_769_99,
            -0.124_201_41,
            0.142_493_23,
            -0.166_680_58,
            0.200_007_15,
            -0.249_999_94,
            0.333_333_3,
        ];
        // The bits of √½.
        const ROOT: i32 = 0x3f35_04f3;
        let mut out = [0.0; LANES];
        for (out, x) in out.iter_mut().zip(x) {
            let above = if x < f32::MIN_POSITIVE { f32::MIN_POSITIVE } else { x };
            let bits = above.to_bits().cast_signed().wrapping_sub(ROOT);
            let n = (bits >> 23) as f32;
            let f = f32::from_bits(((bits & 0x007f_ffff) + ROOT).cast_unsigned()) - 1.0;
            let square = f * f;
            let tail = POLYNOMIAL.iter().fold(0.0, |sum, c| sum * f + c) * f * square;
            let value = n * LN_2[0] + (f + (tail + n * LN_2[1] - 0.5 * square));
            // Infinity and NaN stay unchanged.
            *out = if above < f32::INFINITY { value } else { above };
        }
        out
    }
}

/// Splits a row into full groups, and a last one that is padded with `fill`.
#[inline(always)]
#[expect(clippy::inline_always, reason = "part of loops that become vector instructions")]
pub fn groups<T: Copy>(row: &[T], fill: T) -> (&[[T; LANES]], [T; LANES]) {
    let (full, rest) = row.as_chunks();
    let mut last = [fill; LANES];
    last[..rest.len()].copy_from_slice(rest);
    (full, last)
}

/// `Σ exp(v − largest)` of numbers up to `largest`, ignoring NaN; summed in double precision, 1024 numbers at a time.
#[must_use]
pub fn sum_of_exponentials(values: &[f32], largest: f32) -> f64 {
    let of = |values: &[f32; LANES]| {
        let shifted = values.map(|v| if v.is_nan() { f32::NEG_INFINITY } else { v - largest });
        f32::exponentials(shifted)
    };
    let sum = |values: &[f32]| {
        let (full, last) = groups(values, f32::NEG_INFINITY);
        let mut lanes = of(&last);
        for values in full {
            for (lane, exponential) in lanes.iter_mut().zip(of(values)) {
                *lane += exponential;
            }
        }
        lanes.iter().map(|lane| f64::from(*lane)).sum::<f64>()
    };
    values.chunks(1024).map(sum).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_right_to_the_last_bits() {
        let mut worst = 0.0f64;
        for i in 0..850_000 {
            let x = -(i as f32) * 1e-4;
            let [found, ..] = Number::exponentials([x; LANES]);
            let exact = f64::from(x).exp();
            worst = worst.max(((f64::from(found) - exact) / exact).abs());
        }
        assert!(worst < 2.0 * f64::from(f32::EPSILON), "{worst:e}");
        let [zero, nan, one, ..] = Number::exponentials({
            let mut x = [0.0f32; LANES];
            x[..2].copy_from_slice(&[f32::NEG_INFINITY, f32::NAN]);
            x
        });
        assert!(zero.to_bits() == 0 && nan.is_nan() && one.to_bits() == 1f32.to_bits());
    }

    #[test]
    fn logarithms_are_right_to_the_last_bits() {
        let (mut worst, mut worst_above) = (0.0f64, 0.0f64);
        for i in 0..400_000 {
            let x = (-80.0 + f64::from(i) * 4e-4).exp() as f32;
            let ([found, ..], [above, ..]) = (Number::logarithms([x; LANES]), Number::logarithms_above_one([x; LANES]));
            let (exact, exact_above) = (f64::from(x).ln(), f64::from(x).ln_1p());
            // Near one, the logarithm is as accurate as its argument.
            worst = worst.max((f64::from(found) - exact).abs() / exact.abs().max(0.1));
            worst_above = worst_above.max((f64::from(above) - exact_above).abs() / exact_above);
        }
        assert!(worst < 2.0 * f64::from(f32::EPSILON), "{worst:e}");
        assert!(worst_above < 4.0 * f64::from(f32::EPSILON), "{worst_above:e}");
        let mut x = [0.0f32; LANES];
        x[..3].copy_from_slice(&[f32::NAN, f32::INFINITY, 0.0]);
        let [nan, infinite, zero, ..] = Number::logarithms(x);
        assert!(nan.is_nan() && infinite == f32::INFINITY && (zero - f32::MIN_POSITIVE.ln()).abs() < 1e-4);
        assert!(f32::logarithms_above_one(x)[0].is_nan());
    }

    #[test]
    fn sums_pass_over_what_is_no_number() {
        let mut values: Vec<f32> = (0..5000).map(|i| -(i as f32 * 0.37).sin().abs() * 9.0).collect();
        let exact: f64 = values.iter().map(|v| f64::from(v - 2.0).exp()).sum();
        assert!((sum_of_exponentials(&values, 2.0) - exact).abs() < 1e-6 * exact);
        values.push(f32::NAN);
        assert!((sum_of_exponentials(&values, 2.0) - exact).abs() < 1e-6 * exact);
    }
}
