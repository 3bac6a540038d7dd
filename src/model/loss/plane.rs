//! The arithmetic of one plane: the loss between a map and one landmark's heatmap.
//!
//! Written in rows of [`LANES`] numbers that the compiler turns into vector instructions; every sum runs in a fixed
//! order.

use sweep_data::heatmap::Profiles;
use sweep_graph::simd_math::{LANES, Number, groups};
use sweep_graph::tensors::Real;

/// Numbers of a group of neighbouring pixels.
type Lanes<T> = [T; LANES];

/// Sum over a plane of a pointwise loss. `point` returns losses and derivatives of a group of pixels, given the values
/// of the heatmaps there; both are zero if the map is `fill` and the heatmaps are zero. Writes the derivatives times
/// `scale`.
pub(super) fn pointwise<T: Number, const N: usize>(
    plane: &[T],
    heatmaps: [&Profiles; N],
    fill: T,
    scale: f64,
    mut gradient: Option<&mut [T]>,
    point: impl Fn(&Lanes<T>, [Lanes<T>; N]) -> [Lanes<T>; 2],
) -> f64 {
    let width = heatmaps[0].columns.len();
    let scale = T::of(scale);
    let columns = heatmaps.map(|heatmap| {
        let mut columns = vec![T::zero(); width.next_multiple_of(LANES)];
        for (to, from) in columns.iter_mut().zip(&heatmap.columns) {
            *to = T::of(f64::from(*from));
        }
        columns
    });
    let columns: [&[Lanes<T>]; N] = std::array::from_fn(|n| columns[n].as_chunks().0);
    let mut sum = 0.0;
    for (index, row) in plane.chunks_exact(width).enumerate() {
        let heights = heatmaps.map(|heatmap| T::of(f64::from(heatmap.rows[index])));
        let (row, last) = groups(row, fill);
        let mut lanes = [T::zero(); LANES];
        let mut group = |values: &Lanes<T>, at: usize| {
            let shown = std::array::from_fn(|n| columns[n][at].map(|column| heights[n] * column));
            let [losses, mut slopes] = point(values, shown);
            for lane in 0..LANES {
                lanes[lane] += losses[lane];
                slopes[lane] *= scale;
            }
            slopes
        };
        let has_rest = !width.is_multiple_of(LANES);
        if let Some(gradient) = gradient.as_deref_mut() {
            let (out, rest) = gradient[index * width..][..width].as_chunks_mut();
            for (at, (values, out)) in row.iter().zip(out).enumerate() {
                *out = group(values, at);
            }
            if has_rest {
                let slopes = group(&last, row.len());
                rest.copy_from_slice(&slopes[..rest.len()]);
            }
        } else {
            for (at, values) in row.iter().enumerate() {
                group(values, at);
            }
            if has_rest {
                group(&last, row.len());
            }
        }
        sum += lanes.iter().map(|lane| lane.wide()).sum::<f64>();
    }
    sum
}

/// [`pointwise`] for functions of `output − target`; `point` returns value and derivative, given that and the target.
pub(super) fn differences<T: Number>(
    plane: &[T],
    target: &Profiles,
    scale: f64,
    gradient: Option<&mut [T]>,
    point: impl Fn(T, T) -> (T, T),
) -> f64 {
    pointwise(plane, [target], T::zero(), scale, gradient, |values, [targets]| {
        let (mut losses, mut slopes) = ([T::zero(); LANES], [T::zero(); LANES]);
        for lane in 0..LANES {
            (losses[lane], slopes[lane]) = point(values[lane] - targets[lane], targets[lane]);
        }
        [losses, slopes]
    })
}

/// −1, 0 or 1: the derivative of `|d|`, 0 at 0 like PyTorch's.
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
    for (index, (row, row_weight)) in plane.chunks_exact(width).zip(&rows).enumerate() {
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
            let (out, rest) = gradient[index * width..][..width].as_chunks_mut();
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
        expected += row_weight * dot(&plane[index * width..][..width], &columns);
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

/// The largest value; NaN if one is NaN.
pub(super) fn largest<T: Number>(plane: &[T]) -> T {
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
}
