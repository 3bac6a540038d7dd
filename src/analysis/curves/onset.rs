//! Overfitting onset: the first epoch from which validation stays worse than its best by more than noise, while the
//! training curve still falls.

use rand::RngCore;
use serde::Serialize;

use sweep_core::seed::{self, Stream};

use crate::statistics::{mean, quantile};

/// Least number of evaluated epochs to test a curve.
pub const MIN_EPOCHS: usize = 10;
/// Greatest number of simulated curves; their maxima are the noise that an onset must exceed.
const SIMULATIONS: usize = 4000;
/// Number of simulated curves that decide for noise, in however few they are found (Besag and Clifford, 1991): as many of all
/// curves would be a p-value of [`ALPHA`].
const ENOUGH: usize = (SIMULATIONS as f64 * ALPHA) as usize;
/// Steps of the noise before a simulated curve begins, so that it does not begin at 0.
const SETTLING: usize = 8;
/// Level of the test on one curve.
const ALPHA: f64 = 0.05;
/// Added to the observed correlation of neighbouring epochs. A curve of a few dozen epochs determines it poorly. Too small
/// a value turns noise into onsets, while too large a value only hides small onsets; so more is assumed than observed, and
/// at least [`MIN_CORRELATION`].
const CAUTION: f64 = 0.1;
const MIN_CORRELATION: f64 = 0.35;
const MAX_CORRELATION: f64 = 0.85;

/// Result of the overfitting test on one curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Onset {
    /// First epoch of overfitting; `None` if none was found.
    pub epoch: Option<u32>,
    /// Probability of such a rise for a curve without overfitting; where that is less than 5 %, of such a fall of the training
    /// curve without any if that is greater. `nan` with too few epochs.
    pub p_value: f64,
    /// Relative excess of the last epochs over the best ones: 0.2 is a fifth worse.
    pub excess: f64,
    /// Whether the training curve fell from the best epochs to the last by more than noise; a rise without that is no
    /// overfitting.
    pub training_fell: bool,
    /// Number of evaluated epochs.
    pub epochs: usize,
}

/// Tests a curve of `(epoch, validation, training)`, positive values in the order of epochs.
///
/// On the logarithm, where noise is about as large early as late, the statistic is the mean of the last fifth minus the
/// least mean of an equal stretch before: a maximum over many windows. Its distribution without overfitting is simulated:
/// the curve's own falling trend (pool-adjacent-violators), level from where it reached its range, plus autocorrelated
/// noise whose size and correlation are those of the curve's differences, drawn from them. A level end is the least
/// favourable of all curves that do not rise, so a curve that still improves gives fewer false alarms yet.
#[must_use]
pub fn onset(points: &[(u32, f64, f64)], key: u64) -> Onset {
    let count = points.len();
    let unknown = Onset { epoch: None, p_value: f64::NAN, excess: f64::NAN, training_fell: false, epochs: count };
    if count < MIN_EPOCHS {
        return unknown;
    }
    let validation: Vec<f64> = points.iter().map(|p| p.1.ln()).collect();
    let training: Vec<f64> = points.iter().map(|p| p.2.ln()).collect();
    let window = (count as f64 / 5.0).round().max(3.0) as usize;
    let levels = running(&validation, window);
    let (best, least) = minimum(&levels);
    let rise = levels[levels.len() - 1] - least;
    let of_training = running(&training, window);
    let fall = of_training[best] - of_training[of_training.len() - 1];
    let judged = Onset { p_value: 1.0, excess: rise.exp_m1(), training_fell: fall > 0.0, ..unknown };
    if rise <= 0.0 {
        return judged;
    }
    let Simulated { p_value: p_of_rise, values: mut maxima } = rises(&validation, window, rise, key);
    if p_of_rise >= ALPHA {
        return Onset { p_value: p_of_rise, ..judged };
    }
    // Both must be shown, so that the greater p-value tests them together.
    let p_of_fall = chance_of_fall(&training, window, best, fall, key);
    let (p_value, training_fell) = (p_of_rise.max(p_of_fall), p_of_fall < ALPHA);
    let judged = Onset { training_fell, ..judged };
    if p_value >= ALPHA || !training_fell {
        return Onset { p_value, ..judged };
    }
    maxima.sort_by(f64::total_cmp);
    let margin = quantile(&maxima, 1.0 - ALPHA);
    let above = levels.iter().rev().take_while(|level| **level - least > margin).count();
    let start = levels.len() - above.max(1);
    Onset { p_value, epoch: Some(points[start].0), ..judged }
}

/// Moving averages over this many values.
fn running(values: &[f64], window: usize) -> Vec<f64> {
    let mut sum: f64 = values[..window].iter().sum();
    let mut levels = vec![sum / window as f64];
    for (entering, leaving) in values[window..].iter().zip(values) {
        sum += entering - leaving;
        levels.push(sum / window as f64);
    }
    levels
}

fn minimum(values: &[f64]) -> (usize, f64) {
    values.iter().copied().enumerate().fold((0, f64::INFINITY), |best, v| if v.1 < best.1 { v } else { best })
}

/// Probability of such a fall from the stretch at `best` to the last one in a training curve that is level from there on, with
/// the noise of its later epochs.
fn chance_of_fall(training: &[f64], window: usize, best: usize, fall: f64, key: u64) -> f64 {
    if fall <= 0.0 {
        return 1.0;
    }
    let noise = Noise::of(&training[best..]);
    let rng = &mut seed::derive(key, Stream::Bootstrap, 7, 0);
    let trend = vec![0.0; training.len() - best];
    noise.simulate(&trend, window, fall, rng, |levels| levels.first - levels.last).p_value
}

/// The statistic on curves like this one that do not rise, against the observed one.
fn rises(values: &[f64], window: usize, observed: f64, key: u64) -> Simulated {
    let half = values.len() / 2;
    let mut late = values[half..].to_vec();
    late.sort_by(f64::total_cmp);
    let level = quantile(&late, 0.5);
    let settled = values.iter().position(|v| *v <= level).unwrap_or(0).min(half);
    let noise = Noise::of(&values[settled..]);
    let floor = mean(&values[settled..]);
    let trend: Vec<f64> = isotonic(values)
        .into_iter()
        .enumerate()
        .map(|(at, v)| if at < settled { v.max(floor) } else { floor })
        .collect();
    let rng = &mut seed::derive(key, Stream::Bootstrap, 3, 0);
    noise.simulate(&trend, window, observed, rng, |levels| levels.last - levels.least)
}

/// Number of curves that are simulated side by side: each step depends on the one before it, but not on other curves.
const LANES: usize = 8;

/// Values of a statistic on simulated curves.
struct Simulated {
    values: Vec<f64>,
    /// Probability of the observed value or a greater one.
    p_value: f64,
}

impl Simulated {
    /// `reached` of the values are no less than the observed one.
    fn new(values: Vec<f64>, reached: usize) -> Self {
        let count = values.len() as f64;
        let p_value = if reached == ENOUGH { reached as f64 / count } else { (1 + reached) as f64 / (1.0 + count) };
        Self { values, p_value }
    }
}

/// Moving averages of a simulated curve.
struct Levels {
    first: f64,
    least: f64,
    last: f64,
}

/// Autocorrelated noise with steps drawn from a curve's own.
struct Noise {
    correlation: f64,
    /// Innovations, scaled so that the noise scatters as the curve does.
    steps: Vec<f64>,
}

impl Noise {
    /// From differences of neighbours and of next neighbours, which a slow trend hardly touches: their variances are
    /// 2σ²(1−ρ) and 2σ²(1−ρ²). What falls faster than anything rises is training, not noise.
    fn of(values: &[f64]) -> Self {
        let differences = |lag: usize| -> Vec<f64> {
            let all: Vec<f64> = values.windows(lag + 1).map(|w| w[lag] - w[0]).collect();
            let greatest = all.iter().copied().fold(0.0, f64::max);
            all.into_iter().map(|d| d.max(-greatest)).collect()
        };
        let half_square = |d: &[f64]| d.iter().map(|v| v * v).sum::<f64>() / (2.0 * d.len().max(1) as f64);
        let (near, far) = (differences(1), differences(2));
        let (of_near, of_far) = (half_square(&near), half_square(&far));
        let observed = if of_near > 0.0 { of_far / of_near - 1.0 } else { 0.0 };
        let correlation = (observed + CAUTION).clamp(MIN_CORRELATION, MAX_CORRELATION);
        let variance = of_near / (1.0 - correlation);
        let scale = (variance * (1.0 - correlation * correlation) / (2.0 * of_near)).sqrt();
        let steps = if of_near > 0.0 { near.iter().map(|d| d * scale).collect() } else { vec![0.0] };
        Self { correlation, steps }
    }

    /// A statistic of the moving averages of simulated curves, the trend and noise, until [`ENOUGH`] reach the observed value.
    fn simulate(
        &self,
        trend: &[f64],
        window: usize,
        observed: f64,
        rng: &mut impl RngCore,
        statistic: impl Fn(&Levels) -> f64,
    ) -> Simulated {
        // Each step beside its opposite, so that the sign of a draw is part of a place.
        let steps: Vec<f64> = self.steps.iter().flat_map(|step| [*step, -*step]).collect();
        let mut drawn = vec![[0; 4 * LANES]; SETTLING + trend.len()];
        let mut curves = vec![[0.0; LANES]; drawn.len()];
        let (mut found, mut reached) = (Vec::with_capacity(SIMULATIONS), 0);
        for _ in 0..SIMULATIONS / LANES {
            // Drawn together, they take a third of the time that they take one by one.
            rng.fill_bytes(drawn.as_flattened_mut());
            for (values, drawn) in curves.iter_mut().zip(&drawn) {
                *values = steps_of(drawn, &steps);
            }
            let mut state = [0.0; LANES];
            let (before, curves) = curves.split_at_mut(SETTLING);
            for steps in &*before {
                self.advance(&mut state, steps);
            }
            for (values, trend) in curves.iter_mut().zip(trend) {
                self.advance(&mut state, values);
                *values = state.map(|v| trend + v);
            }
            let levels = levels(curves, window);
            for levels in &levels {
                let value = statistic(levels);
                found.push(value);
                reached += usize::from(value >= observed);
                if reached == ENOUGH {
                    return Simulated::new(found, reached);
                }
            }
        }
        Simulated::new(found, reached)
    }

    /// The next value of each curve, by its step.
    fn advance(&self, state: &mut [f64; LANES], steps: &[f64; LANES]) {
        for (value, step) in state.iter_mut().zip(steps) {
            *value = self.correlation * *value + step;
        }
    }
}

/// The step of each curve, from four random bytes each: the lowest bit is the sign; the others choose a step, each as often as any
/// to 1 in 10⁷.
fn steps_of(drawn: &[u8; 4 * LANES], steps: &[f64]) -> [f64; LANES] {
    let count = steps.len() as u64 / 2;
    std::array::from_fn(|lane| {
        let at = 4 * lane;
        let drawn = u32::from_le_bytes([drawn[at], drawn[at + 1], drawn[at + 2], drawn[at + 3]]);
        let chosen = (u64::from(drawn >> 1) * count) >> 31;
        steps[(chosen << 1 | u64::from(drawn & 1)) as usize]
    })
}

/// Moving averages of simulated curves.
fn levels(curves: &[[f64; LANES]], window: usize) -> [Levels; LANES] {
    let mut sum = [0.0; LANES];
    for values in &curves[..window] {
        sum.iter_mut().zip(values).for_each(|(sum, v)| *sum += v);
    }
    let (first, mut least) = (sum, sum);
    for (entering, leaving) in curves[window..].iter().zip(curves) {
        for lane in 0..LANES {
            sum[lane] += entering[lane] - leaving[lane];
            least[lane] = least[lane].min(sum[lane]);
        }
    }
    let level = |sum: f64| sum / window as f64;
    std::array::from_fn(|i| Levels { first: level(first[i]), least: level(least[i]), last: level(sum[i]) })
}

/// The non-increasing curve nearest to the values (least squares), by pooling adjacent violators.
#[must_use]
pub fn isotonic(values: &[f64]) -> Vec<f64> {
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for value in values {
        let mut block = (*value, 1);
        while let Some((level, size)) = blocks.pop_if(|last| last.0 < block.0) {
            let together = size + block.1;
            block = ((level * size as f64 + block.0 * block.1 as f64) / together as f64, together);
        }
        blocks.push(block);
    }
    blocks.into_iter().flat_map(|(level, size)| std::iter::repeat_n(level, size)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn isotonic_is_scipys() {
        let text = include_str!("../../../scripts/statistics_reference.json");
        let reference: serde_json::Value = serde_json::from_str(text).unwrap();
        let numbers = |key: &str| -> Vec<f64> {
            reference["isotonic"][key].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
        };
        for (ours, theirs) in isotonic(&numbers("values")).into_iter().zip(numbers("fit")) {
            assert!((ours - theirs).abs() < 1e-12);
        }
    }

    /// A curve that falls to 1.5 and, from `turn` on, rises to `end`; training falls unless told otherwise.
    fn curve(turn: f64, end: f64, training: f64) -> Vec<(u32, f64, f64)> {
        (1..=40)
            .map(|e| {
                let t = f64::from(e) / 40.0;
                let wobble = 1.0 + 0.02 * (f64::from(e) * 2.4).sin();
                let rise = ((t - turn) / (1.0 - turn)).max(0.0) * (end - 1.5);
                (e, (1.5 + 40.0 * (-20.0 * t).exp() + rise) * wobble, 1.5 + training * t)
            })
            .collect()
    }

    #[test]
    fn finds_where_validation_turns_while_training_falls() {
        let found = onset(&curve(0.5, 1.9, -1.0), 0);
        assert!(found.p_value < 0.01 && found.excess > 0.1, "{found:?}");
        assert!((20..=34).contains(&found.epoch.unwrap()), "{found:?}");
        let training_rises = onset(&curve(0.5, 1.9, 1.0), 0);
        assert_eq!((training_rises.epoch, training_rises.training_fell), (None, false));
    }

    #[test]
    fn none_is_an_answer() {
        for flat in [curve(0.5, 1.5, -1.0), curve(0.5, 1.2, -1.0)] {
            let found = onset(&flat, 0);
            assert!(found.epoch.is_none() && found.p_value > 0.05, "{found:?}");
        }
        assert!(onset(&curve(0.5, 1.9, -1.0)[..9], 0).p_value.is_nan());
        let constant: Vec<(u32, f64, f64)> = (1..30).map(|e| (e, 2.0, 1.0)).collect();
        assert!(onset(&constant, 0).epoch.is_none());
    }

    /// [`Noise::simulate`] with one curve's values after another, and each draw by itself: what its order of draws means.
    fn one_by_one(noise: &Noise, trend: &[f64], window: usize, rng: &mut impl RngCore) -> Vec<f64> {
        let mut found = Vec::new();
        for _ in 0..SIMULATIONS / LANES {
            let mut state = [0.0; LANES];
            let mut curves = vec![Vec::new(); LANES];
            for at in 0..SETTLING + trend.len() {
                for (value, curve) in state.iter_mut().zip(&mut curves) {
                    let drawn = rng.next_u32();
                    let step = noise.steps[((u64::from(drawn >> 1) * noise.steps.len() as u64) >> 31) as usize];
                    *value = noise.correlation * *value + if drawn & 1 == 0 { step } else { -step };
                    curve.extend((at >= SETTLING).then(|| trend[at - SETTLING] + *value));
                }
            }
            for curve in curves {
                let levels = running(&curve, window);
                found.push(levels[levels.len() - 1] - minimum(&levels).1);
            }
        }
        found
    }

    #[test]
    fn curves_side_by_side_are_those_of_one_after_another() {
        for length in [10, 37, 64] {
            let values: Vec<f64> = (0..length).map(|at| (f64::from(at) * 2.4).sin() - 0.1 * f64::from(at)).collect();
            let (noise, window) = (Noise::of(&values), length as usize / 5 + 1);
            let rng = || seed::derive(1, Stream::Bootstrap, 3, 0);
            let expected = one_by_one(&noise, &values, window, &mut rng());
            let found = noise.simulate(&values, window, f64::INFINITY, &mut rng(), |levels| levels.last - levels.least);
            assert_eq!((found.values.len(), found.p_value), (SIMULATIONS, 1.0 / (1.0 + SIMULATIONS as f64)));
            assert!(found.values.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-12), "{length}");
            // As many as decide for noise end it.
            let few = noise.simulate(&values, window, 0.0, &mut rng(), |levels| levels.last - levels.least);
            assert_eq!(few.values[..], found.values[..few.values.len()]);
            assert!(few.values.len() < SIMULATIONS && few.p_value >= ALPHA);
        }
    }
}
