//! The arithmetic of one plane: a map against one landmark's heatmap.
//!
//! Written in rows of [`LANES`] numbers that the compiler turns into vector instructions; every sum runs in a fixed
//! order.

use crate::data::heatmap::Profiles;
use crate::tensors::Real;

/// Partial sums that run side by side: enough for the widest vectors.
const LANES: usize = 16;

/// Numbers a loss is computed in.
pub(super) trait Number: Real {
    /// `exp` of numbers that are not above zero, to a few units in the last place; zero where it is below 1e-37.
    fn exponentials(x: [Self; LANES]) -> [Self; LANES];
}

impl Number for f64 {
    fn exponentials(x: [Self; LANES]) -> [Self; LANES] {
        x.map(Self::exp)
    }
}

impl Number for f32 {
    /// `2ⁿ·eʳ` with `n` the nearest whole number to `x/ln 2` and a polynomial for `eʳ` (Cephes' `expf`).
    #[inline(always)]
    fn exponentials(x: [Self; LANES]) -> [Self; LANES] {
        const LEAST: f32 = -85.0;
        // Adding it leaves the nearest whole number in the lowest bits.
        const WHOLE: f32 = 12_582_912.0;
        // ln 2 in two parts; the first has few bits, so that its multiples are exact.
        const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
        const POLYNOMIAL: [f32; 6] = [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5];
        let mut out = [0.0; LANES];
        for (out, x) in out.iter_mut().zip(x) {
            // In this order a number that is none stays one.
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
}

/// A row in full groups of lanes and one that is filled up with `fill`.
#[inline(always)]
#[expect(clippy::inline_always, reason = "part of loops that become vector instructions")]
fn groups<T: Copy>(row: &[T], fill: T) -> (&[[T; LANES]], [T; LANES]) {
    let (full, rest) = row.as_chunks();
    let mut last = [fill; LANES];
    last[..rest.len()].copy_from_slice(rest);
    (full, last)
}

/// Sum over a plane of a pointwise loss of `output − target`, zero at zero; `point` returns value and derivative. Writes
/// the derivative times `scale`.
pub(super) fn differences<T: Number>(
    plane: &[T],
    target: &Profiles,
    scale: f64,
    mut gradient: Option<&mut [T]>,
    point: impl Fn(T) -> (T, T),
) -> f64 {
    let width = target.columns.len();
    let scale = T::of(scale);
    let columns: Vec<T> = target.columns.iter().map(|c| T::of(f64::from(*c))).collect();
    let (columns, last_columns) = groups(&columns, T::zero());
    let mut sum = 0.0;
    for (place, (row, height)) in plane.chunks_exact(width).zip(&target.rows).enumerate() {
        let height = T::of(f64::from(*height));
        let (row, last) = groups(row, T::zero());
        let mut lanes = [T::zero(); LANES];
        let mut group = |values: &[T; LANES], columns: &[T; LANES]| {
            let mut slopes = [T::zero(); LANES];
            for lane in 0..LANES {
                let (loss, slope) = point(values[lane] - height * columns[lane]);
                lanes[lane] += loss;
                slopes[lane] = slope * scale;
            }
            slopes
        };
        if let Some(gradient) = gradient.as_deref_mut() {
            let (out, rest) = gradient[place * width..][..width].as_chunks_mut();
            for ((values, columns), out) in row.iter().zip(columns).zip(out) {
                *out = group(values, columns);
            }
            let slopes = group(&last, &last_columns);
            rest.copy_from_slice(&slopes[..rest.len()]);
        } else {
            for (values, columns) in row.iter().zip(columns) {
                group(values, columns);
            }
            group(&last, &last_columns);
        }
        sum += lanes.iter().map(|lane| lane.wide()).sum::<f64>();
    }
    sum
}

/// −1, 0 or 1: the derivative of `|d|` as PyTorch has it, 0 at 0.
#[inline(always)]
#[expect(clippy::inline_always, reason = "part of loops that become vector instructions")]
pub(super) fn sign<T: Real>(d: T) -> T {
    let side = if d < T::zero() { -T::one() } else { d * T::zero() };
    if d > T::zero() { T::one() } else { side }
}

/// `log Σ exp(z) − Σ t·z` with `t` the normalised target; gradient `softmax(z) − t`, times `scale`.
pub(super) fn nll<T: Number>(plane: &[T], target: &Profiles, scale: f64, mut gradient: Option<&mut [T]>) -> f64 {
    let width = target.columns.len();
    let (rows, columns) = (normalised(&target.rows), normalised(&target.columns));
    let largest = largest(plane);
    let (mut exponentials, mut expected) = (0.0, 0.0);
    for (place, (row, row_weight)) in plane.chunks_exact(width).zip(&rows).enumerate() {
        let (row, last) = groups(row, T::neg_infinity());
        let mut lanes = [T::zero(); LANES];
        let mut group = |values: &[T; LANES]| {
            let mut x = *values;
            for x in &mut x {
                *x -= largest;
            }
            let exponentials = T::exponentials(x);
            for (lane, exponential) in lanes.iter_mut().zip(exponentials) {
                *lane += exponential;
            }
            exponentials
        };
        if let Some(gradient) = gradient.as_deref_mut() {
            let (out, rest) = gradient[place * width..][..width].as_chunks_mut();
            for (values, out) in row.iter().zip(out) {
                *out = group(values);
            }
            let exponentials = group(&last);
            rest.copy_from_slice(&exponentials[..rest.len()]);
        } else {
            for values in row {
                group(values);
            }
            group(&last);
        }
        exponentials += lanes.iter().map(|lane| lane.wide()).sum::<f64>();
        expected += row_weight * dot(&plane[place * width..][..width], &columns);
    }
    if let Some(gradient) = gradient {
        let factor = T::of(scale / exponentials);
        let columns: Vec<T> = columns.iter().map(|c| T::of(*c)).collect();
        for (row, row_weight) in gradient.chunks_exact_mut(width).zip(&rows) {
            let height = T::of(scale * row_weight);
            for (value, column) in row.iter_mut().zip(&columns) {
                *value = *value * factor - height * *column;
            }
        }
    }
    largest.wide() + exponentials.ln() - expected
}

/// A profile that sums to 1.
pub(super) fn normalised(profile: &[f32]) -> Vec<f64> {
    let sum = profile.iter().map(|v| f64::from(*v)).sum::<f64>();
    profile.iter().map(|v| f64::from(*v) / sum).collect()
}

/// The largest value; not a number where one is none.
fn largest<T: Number>(plane: &[T]) -> T {
    let larger = |m: T, v: T| if v > m || v.is_nan() { v } else { m };
    let (full, last) = groups(plane, T::neg_infinity());
    let mut lanes = last;
    for values in full {
        for (lane, value) in lanes.iter_mut().zip(values) {
            *lane = larger(*lane, *value);
        }
    }
    lanes.into_iter().fold(T::neg_infinity(), larger)
}

/// `Σ a·b` in double precision.
fn dot<T: Number>(a: &[T], b: &[f64]) -> f64 {
    let (full_a, last_a) = groups(a, T::zero());
    let (full_b, last_b) = groups(b, 0.0);
    let mut lanes = [0.0; LANES];
    for (a, b) in full_a.iter().zip(full_b).chain([(&last_a, &last_b)]) {
        for lane in 0..LANES {
            lanes[lane] += a[lane].wide() * b[lane];
        }
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivative_at_zero_difference_is_zero() {
        assert_eq!([0.0, -2.0, 3.0].map(|d: f64| sign(d) as i32), [0, -1, 1]);
        assert!(sign(f32::NAN).is_nan());
    }

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
}
