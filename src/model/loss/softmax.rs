//! Losses of the probability that a softmax over all positions makes of a map. They depend on its marginals, the sums
//! over rows and over columns: on the mean position (DSNT), or on the distance that mass must be moved (Wasserstein).

use super::plane::{largest, normalised};
use sweep_data::heatmap::Profiles;
use sweep_graph::simd_math::{LANES, Number, groups};

/// Loss of a probability's marginals relative to the target's.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OfMarginals {
    pub(super) value: f64,
    /// Derivative to the probability of every pixel of a column, and of a row.
    pub(super) columns: Vec<f64>,
    pub(super) rows: Vec<f64>,
}

/// Marginals of a probability: the columns first.
pub(super) type Marginals<'a> = [&'a [f64]; 2];

/// Distance between mean positions, where an image reaches from −1 to 1 per axis (Nibali et al. 2018).
pub(super) fn distance_of_means(found: Marginals<'_>, target: Marginals<'_>) -> OfMarginals {
    let mean = |marginal: &[f64]| marginal.iter().enumerate().map(|(i, p)| i as f64 * p).sum::<f64>();
    let per_pixel = found.map(|marginal| 2.0 / marginal.len() as f64);
    let [x, y] = [0, 1].map(|axis| per_pixel[axis] * (mean(found[axis]) - mean(target[axis])));
    let value = x.hypot(y);
    let slopes = |axis: usize, difference: f64| -> Vec<f64> {
        // If the means coincide, no direction is better than another.
        let slope = if value > 0.0 { per_pixel[axis] * difference / value } else { value };
        (0..found[axis].len()).map(|i| slope * i as f64).collect()
    };
    OfMarginals { value, columns: slopes(0, x), rows: slopes(1, y) }
}

/// 1-Wasserstein distance per axis, pixels, summed over both: the area between the distribution functions.
pub(super) fn wasserstein(found: Marginals<'_>, target: Marginals<'_>) -> OfMarginals {
    let mut value = 0.0;
    let [columns, rows] = [0, 1].map(|axis| {
        let mut above = 0.0;
        let mut slopes: Vec<f64> = found[axis]
            .iter()
            .zip(target[axis])
            .map(|(p, t)| {
                above += p - t;
                above
            })
            .collect();
        // Behind the last pixel both distribution functions are 1.
        if let Some(last) = slopes.last_mut() {
            *last = 0.0;
        }
        value += slopes.iter().map(|above| above.abs()).sum::<f64>();
        let mut slope = 0.0;
        for above in slopes.iter_mut().rev() {
            slope += super::plane::sign(*above);
            *above = slope;
        }
        slopes
    });
    OfMarginals { value, columns, rows }
}

/// Least logarithm of a probability.
const NOTHING: f64 = -87.0;

/// A loss of the marginals plus `regularizer` times the Jensen–Shannon divergence of the probability from the
/// normalised target (natural logarithms); writes its gradient times `scale`.
pub(super) fn through_marginals<T: Number>(
    plane: &[T],
    target: &Profiles,
    regularizer: f64,
    scale: f64,
    mut gradient: Option<&mut [T]>,
    loss: impl Fn(Marginals<'_>, Marginals<'_>) -> OfMarginals,
) -> f64 {
    let width = target.columns.len();
    let of_target = [normalised(&target.columns), normalised(&target.rows)];
    let shares = Shares::new(plane, width);
    let [columns, rows] =
        [&shares.columns, &shares.rows].map(|sums| -> Vec<f64> { sums.iter().map(|sum| sum / shares.sum).collect() });
    let mut of = loss([&columns, &rows], [&of_target[0], &of_target[1]]);
    let mut mean = [(&columns, &of.columns), (&rows, &of.rows)]
        .iter()
        .map(|(shares, slopes)| shares.iter().zip(*slopes).map(|(p, slope)| p * slope).sum::<f64>())
        .sum::<f64>();
    if regularizer > 0.0 {
        let [from_found, from_target] = divergence(plane, &shares, &of_target, regularizer, gradient.as_deref_mut());
        of.value += 0.5 * regularizer * (from_found + from_target);
        mean += 0.5 * regularizer * from_found;
    }
    if let Some(gradient) = gradient {
        let factor = T::of(scale / shares.sum);
        let columns: Vec<T> = of.columns.iter().map(|slope| T::of(*slope)).collect();
        let rows = of.rows.iter().map(|slope| T::of(slope - mean));
        let lines = gradient.chunks_exact_mut(width).zip(shares.exponentials.chunks_exact(width)).zip(rows);
        for ((out, exponentials), row) in lines {
            for ((out, exponential), column) in out.iter_mut().zip(exponentials).zip(&columns) {
                let beside = if regularizer > 0.0 { *out } else { T::zero() };
                *out = factor * *exponential * (*column + row + beside);
            }
        }
    }
    of.value
}

/// `Σ p·ln(p/m)` and `Σ t·ln(t/m)` with `m` between probability and target; leaves `regularizer·½·ln(p/m)` in `slopes`.
fn divergence<T: Number>(
    plane: &[T],
    shares: &Shares<T>,
    target: &[Vec<f64>; 2],
    regularizer: f64,
    mut slopes: Option<&mut [T]>,
) -> [f64; 2] {
    let width = target[0].len();
    let padded = |value: &dyn Fn(f64) -> f64, fill: f64| -> Vec<T> {
        let mut all = vec![T::of(fill); width.next_multiple_of(LANES)];
        for (to, from) in all.iter_mut().zip(&target[0]) {
            *to = T::of(value(*from));
        }
        all
    };
    let logarithm = |share: f64| share.ln().max(NOTHING);
    let (columns, column_logarithms) = (padded(&|share| share, 0.0), padded(&logarithm, NOTHING));
    let (columns, column_logarithms) = (columns.as_chunks::<LANES>().0, column_logarithms.as_chunks::<LANES>().0);
    let (factor, half, least) = (T::of(1.0 / shares.sum), T::of(0.5), T::of(NOTHING));
    let (shift, weight) = (T::of(shares.sum.ln()), T::of(0.5 * regularizer));
    let mut sums = [0.0; 2];
    for (index, (row, exponentials)) in
        plane.chunks_exact(width).zip(shares.exponentials.chunks_exact(width)).enumerate()
    {
        let (height, row_logarithm) = (T::of(target[1][index]), T::of(logarithm(target[1][index])));
        let (row, last) = groups(row, T::neg_infinity());
        let (exponentials, last_exponentials) = groups(exponentials, T::zero());
        let mut lanes = [[T::zero(); LANES]; 2];
        let mut group = |values: &[T; LANES], exponentials: &[T; LANES], at: usize| {
            let (mut found, mut aims, mut between) = (*exponentials, columns[at], *exponentials);
            for lane in 0..LANES {
                found[lane] *= factor;
                aims[lane] *= height;
                between[lane] = half * (found[lane] + aims[lane]);
            }
            let mut out = T::logarithms(between);
            for lane in 0..LANES {
                let logarithm = values[lane] - shares.largest - shift;
                let from_found = if logarithm < least { least } else { logarithm } - out[lane];
                let from_target = row_logarithm + column_logarithms[at][lane] - out[lane];
                lanes[0][lane] += found[lane] * from_found;
                lanes[1][lane] += aims[lane] * from_target;
                out[lane] = weight * from_found;
            }
            out
        };
        let mut last_group = |at: usize| group(&last, &last_exponentials, at);
        if let Some(slopes) = slopes.as_deref_mut() {
            let (out, rest) = slopes[index * width..][..width].as_chunks_mut();
            if !rest.is_empty() {
                let slopes = last_group(row.len());
                rest.copy_from_slice(&slopes[..rest.len()]);
            }
            for (at, ((values, exponentials), out)) in row.iter().zip(exponentials).zip(out).enumerate() {
                *out = group(values, exponentials, at);
            }
        } else {
            if !width.is_multiple_of(LANES) {
                last_group(row.len());
            }
            for (at, (values, exponentials)) in row.iter().zip(exponentials).enumerate() {
                group(values, exponentials, at);
            }
        }
        for (sum, lanes) in sums.iter_mut().zip(lanes) {
            *sum += lanes.iter().map(|lane| lane.wide()).sum::<f64>();
        }
    }
    sums
}

/// `exp(v − largest)` of a plane, and its sums.
struct Shares<T> {
    largest: T,
    exponentials: Vec<T>,
    sum: f64,
    columns: Vec<f64>,
    rows: Vec<f64>,
}

impl<T: Number> Shares<T> {
    fn new(plane: &[T], width: usize) -> Self {
        let largest = largest(plane);
        let mut exponentials = vec![T::zero(); plane.len()];
        let (mut columns, mut rows) = (vec![0.0; width], Vec::with_capacity(plane.len() / width));
        for (row, out) in plane.chunks_exact(width).zip(exponentials.chunks_exact_mut(width)) {
            let (full, last) = groups(row, T::neg_infinity());
            let (out_full, out_rest) = out.as_chunks_mut();
            for (out, values) in out_full.iter_mut().zip(full) {
                *out = T::exponentials(values.map(|v| v - largest));
            }
            let last = T::exponentials(last.map(|v| v - largest));
            out_rest.copy_from_slice(&last[..out_rest.len()]);
            let mut sum = 0.0;
            for (column, exponential) in columns.iter_mut().zip(&*out) {
                *column += exponential.wide();
                sum += exponential.wide();
            }
            rows.push(sum);
        }
        Self { largest, exponentials, sum: rows.iter().sum(), columns, rows }
    }
}
