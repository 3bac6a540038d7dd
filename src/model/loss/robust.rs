//! Losses that weight every pixel by its target: Adaptive Wing and the focal loss of keypoints.

use super::plane::{pointwise, sign};
use sweep_data::heatmap::Profiles;
use sweep_graph::simd_math::{LANES, Number};

/// Settings of the Adaptive Wing loss, by the paper's letters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wing {
    pub(super) omega: f64,
    pub(super) theta: f64,
    pub(super) epsilon: f64,
    pub(super) alpha: f64,
    pub(super) weight: f64,
}

/// Least height of a pixel's neighbourhood that belongs to the landmark in Adaptive Wing's map of weights.
pub(super) const FOREGROUND: f64 = 0.2;

/// Sum over a plane of the Adaptive Wing loss; see [`super::LossSpec::AdaptiveWing`].
pub(super) fn adaptive_wing<T: Number>(
    wing: Wing,
    plane: &[T],
    target: &Profiles,
    scale: f64,
    gradient: Option<&mut [T]>,
) -> f64 {
    let around = dilated(target);
    let [omega, theta, alpha, weight] = [wing.omega, wing.theta, wing.alpha, wing.weight].map(T::of);
    let (per_epsilon, least, foreground) = (T::of(1.0 / wing.epsilon), T::of(1e-30), T::of(FOREGROUND));
    let bend = T::of((wing.theta / wing.epsilon).ln());
    let one = T::one();
    pointwise(plane, [target, &around], T::zero(), scale, gradient, |values, [targets, around]| {
        let mut differences = *values;
        let (mut near, mut powers) = (differences, targets);
        for lane in 0..LANES {
            differences[lane] -= targets[lane];
            let size = differences[lane].abs();
            near[lane] = if size > theta { theta } else { size };
            powers[lane] = alpha - targets[lane];
        }
        let logarithms = T::logarithms(near.map(|n| n * per_epsilon));
        let shares = T::exponentials(std::array::from_fn(|lane| powers[lane] * logarithms[lane]));
        let mut losses = T::logarithms_above_one(shares);
        let mut slopes = losses;
        for lane in 0..LANES {
            losses[lane] *= omega;
            let divisor = (one + shares[lane]) * if near[lane] < least { least } else { near[lane] };
            slopes[lane] = omega * powers[lane] * shares[lane] / divisor;
        }
        if differences.iter().any(|d| d.abs() > theta) {
            let at_theta = T::exponentials(powers.map(|power| power * bend));
            let logarithms = T::logarithms_above_one(at_theta);
            for lane in 0..LANES {
                let size = differences[lane].abs();
                let slope = omega * powers[lane] * at_theta[lane] / ((one + at_theta[lane]) * theta);
                if size > theta {
                    losses[lane] = slope * (size - theta) + omega * logarithms[lane];
                    slopes[lane] = slope;
                }
            }
        }
        for lane in 0..LANES {
            let weight = if around[lane] >= foreground { one + weight } else { one };
            losses[lane] *= weight;
            slopes[lane] *= weight * sign(differences[lane]);
        }
        [losses, slopes]
    })
}

/// A heatmap in which each pixel is the largest of its 3×3 neighbours: the largest of three in each profile.
pub(super) fn dilated(target: &Profiles) -> Profiles {
    let widened = |profile: &[f32]| -> Vec<f32> {
        let near = |i: usize| profile[i.saturating_sub(1)..(i + 2).min(profile.len())].iter();
        (0..profile.len()).map(|i| near(i).fold(0.0, |m: f32, v| m.max(*v))).collect()
    };
    Profiles { rows: widened(&target.rows), columns: widened(&target.columns) }
}

/// Row and column of a heatmap's largest pixel, the nearest to its landmark; the first of equal ones.
pub(super) fn top(target: &Profiles) -> [usize; 2] {
    [&target.rows, &target.columns].map(|profile| {
        let larger = |best: usize, i: usize| if profile[i] > profile[best] { i } else { best };
        (0..profile.len()).fold(0, larger)
    })
}

/// Sum over a plane of the penalty-reduced focal loss; see [`super::LossSpec::Focal`].
pub(super) fn focal<T: Number>(
    [alpha, beta]: [f64; 2],
    plane: &[T],
    target: &Profiles,
    scale: f64,
    gradient: Option<&mut [T]>,
) -> f64 {
    let [row, column] = top(target);
    let only = |at: usize, len: usize| (0..len).map(|i| f32::from(u8::from(i == at))).collect();
    let positive = Profiles { rows: only(row, target.rows.len()), columns: only(column, target.columns.len()) };
    let ([alpha, beta], one, zero) = ([alpha, beta].map(T::of), T::one(), T::zero());
    pointwise(plane, [target, &positive], T::neg_infinity(), scale, gradient, |values, [targets, positives]| {
        let tails = T::exponentials(values.map(|z| -z.abs()));
        let rests = T::logarithms_above_one(tails);
        // The probability, its complement, and the negative logarithm of the complement.
        let (mut yes, mut no, mut cost, mut powers) = (tails, tails, rests, rests);
        for lane in 0..LANES {
            let (z, larger, smaller) = (values[lane], one / (one + tails[lane]), tails[lane] / (one + tails[lane]));
            (yes[lane], no[lane]) = if z < zero { (smaller, larger) } else { (larger, smaller) };
            cost[lane] += if z < zero { zero } else { z };
            powers[lane] = alpha * (if z < zero { z } else { zero } - rests[lane]);
        }
        let powers = T::exponentials(powers);
        let absences = targets.map(|target| one - target);
        let weights = if absences.iter().all(|absence| *absence >= one) {
            [one; LANES]
        } else {
            T::exponentials(T::logarithms(absences).map(|logarithm| beta * logarithm))
        };
        let (mut losses, mut slopes) = (powers, powers);
        for lane in 0..LANES {
            let factor = weights[lane] * powers[lane];
            losses[lane] = factor * cost[lane];
            slopes[lane] = factor * (alpha * no[lane] * cost[lane] + yes[lane]);
        }
        for lane in 0..LANES {
            if positives[lane] > zero {
                let (cost, factor) = (cost[lane] - values[lane], no[lane].powf(alpha));
                losses[lane] = factor * cost;
                slopes[lane] = -factor * (alpha * yes[lane] * cost + no[lane]);
            }
        }
        [losses, slopes]
    })
}

/// The least focal loss of a constant map: the score of a network without any peaks.
pub(super) fn focal_of_nothing([alpha, beta]: [f64; 2], target: &Profiles) -> f64 {
    let [row, column] = top(target);
    let columns =
        |height: f64| -> f64 { target.columns.iter().map(|c| (1.0 - height * f64::from(*c)).powf(beta)).sum() };
    let all: f64 = target.rows.iter().map(|r| columns(f64::from(*r))).sum();
    let others = all - (1.0 - f64::from(target.rows[row]) * f64::from(target.columns[column])).powf(beta);
    let loss = |z: f64| {
        let yes = 1.0 / (1.0 + (-z).exp());
        (1.0 - yes).powf(alpha) * (-z).exp().ln_1p() + others * yes.powf(alpha) * z.exp().ln_1p()
    };
    // The function falls, then rises: search by thirds for its minimum.
    let [mut low, mut high] = [-30.0, 30.0];
    for _ in 0..100 {
        let third = (high - low) / 3.0;
        if loss(low + third) < loss(high - third) { high -= third } else { low += third }
    }
    loss(f64::midpoint(low, high))
}
