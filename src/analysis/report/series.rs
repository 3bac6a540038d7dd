//! Series that charts draw: curves over epochs, means and bands of replicates, landmarks at the best epoch.

use std::collections::BTreeMap;

use sweep_experiment::records::{LandmarkRecord, Selection, State};

use super::MAX_GROUPS;
pub(super) use crate::curves::Value;
pub(super) use crate::groups::{Group, groups, kinds};
pub(super) use crate::statistics::{mean, quantile, student};
use crate::{SweepRecords, TrialRecords};

/// Groups as charts draw and colour them, those without a recorded epoch left out: in the order of the plan; where there are more than charts show, those of the least
/// error first, and among them that of the least validation loss, as charts tell of it.
pub(super) fn drawn_groups(sweep: &SweepRecords) -> Vec<Group<'_>> {
    let mut groups = groups(sweep);
    groups.retain(|group| group.trials.iter().any(|trial| !trial.epochs.is_empty()));
    if groups.len() <= MAX_GROUPS {
        return groups;
    }
    let mut by_error: Vec<(f64, usize, Group<'_>)> =
        groups.into_iter().enumerate().map(|(place, group)| (error(&group), place, group)).collect();
    by_error.sort_by(|a, b| a.0.total_cmp(&b.0));
    let losses: Vec<f64> = by_error.iter().map(|(_, _, group)| loss(group)).collect();
    let least = (0..losses.len()).min_by(|a, b| losses[*a].total_cmp(&losses[*b]));
    if let Some(at) = least.filter(|at| *at >= MAX_GROUPS) {
        by_error[MAX_GROUPS - 1..=at].rotate_right(1);
    }
    by_error[..MAX_GROUPS].sort_by_key(|(_, place, _)| *place);
    by_error.into_iter().map(|(_, _, group)| group).collect()
}

/// Mean landmark error of a group's finished trials; infinite without any.
pub(super) fn error(group: &Group<'_>) -> f64 {
    let errors: Vec<f64> = group.done().map(TrialRecords::sort_error).collect();
    if errors.is_empty() { f64::INFINITY } else { mean(&errors) }
}

/// The least validation loss of a group's finished trials, as the ranking takes it; infinite without any.
fn loss(group: &Group<'_>) -> f64 {
    group.done().filter_map(|trial| trial.best_loss()).map(|e| e.val_loss).fold(f64::INFINITY, f64::min)
}

/// Points `(epoch, value)` with a finite value.
pub(super) fn curve(trial: &TrialRecords, value: Value) -> Vec<(f64, f64)> {
    let points = trial.epochs.iter().map(|e| (f64::from(e.epoch), value(e)));
    points.filter(|(_, v)| v.is_finite()).collect()
}

/// Whether a trial's curve is that of a regular training.
fn is_sound(trial: &TrialRecords) -> bool {
    !trial.status.state.is_failure() && trial.status.state != State::Pruned
}

/// Mean over replicates at the epochs that all of them reached; trials that ended early count only if all did.
pub(super) fn mean_curve(trials: &[&TrialRecords], value: Value) -> Vec<(f64, f64)> {
    let mut curves: Vec<Vec<(f64, f64)>> = trials.iter().filter(|t| is_sound(t)).map(|t| curve(t, value)).collect();
    if curves.is_empty() {
        curves = trials.iter().map(|t| curve(t, value)).collect();
    }
    curves.retain(|c| !c.is_empty());
    let mut sums: BTreeMap<u64, (f64, usize)> = BTreeMap::new();
    for (epoch, value) in curves.iter().flatten() {
        let sum = sums.entry(*epoch as u64).or_default();
        *sum = (sum.0 + value, sum.1 + 1);
    }
    let complete = sums.into_iter().filter(|(_, (_, count))| *count == curves.len());
    complete.map(|(epoch, (sum, count))| (epoch as f64, sum / count as f64)).collect()
}

/// Least number of replicates for a band: the interval of two would be as wide as the figure.
const MIN_SEEDS_FOR_BAND: usize = 3;

/// Geometric mean over replicates with its 95 % interval, Student's t on the logarithm, at the epochs that all of them
/// share: `(epoch, low, mean, high)`. Empty with fewer than three.
pub(super) fn band(trials: &[&TrialRecords], value: Value) -> Vec<(f64, f64, f64, f64)> {
    let sound = trials.iter().filter(|t| is_sound(t));
    let curves: Vec<BTreeMap<u64, f64>> = sound
        .map(|t| curve(t, value).into_iter().filter(|p| p.1 > 0.0).map(|p| (p.0 as u64, p.1.ln())).collect())
        .filter(|c: &BTreeMap<u64, f64>| !c.is_empty())
        .collect();
    if curves.len() < MIN_SEEDS_FOR_BAND {
        return Vec::new();
    }
    let at = |epoch: &u64| -> Option<(f64, f64, f64, f64)> {
        let logs: Vec<f64> = curves.iter().map(|c| c.get(epoch).copied()).collect::<Option<_>>()?;
        let estimate = student(&logs);
        let [low, high] = estimate.interval.map(f64::exp);
        Some((*epoch as f64, low, estimate.point.exp(), high))
    };
    curves[0].keys().filter_map(at).collect()
}

/// The last epoch of any trial, at least 1.
pub(super) fn last_epoch<'a>(trials: impl IntoIterator<Item = &'a TrialRecords>) -> u32 {
    trials.into_iter().flat_map(|t| t.epochs.iter().map(|e| e.epoch)).max().unwrap_or(1).max(1)
}

/// Landmarks predicted at the epoch that represents the trial, with a finite error.
pub(super) fn best_landmarks(trial: &TrialRecords) -> impl Iterator<Item = &LandmarkRecord> {
    let selection = trial.selection();
    trial.landmarks.iter().filter(move |l| l.selected == selection && l.error().is_finite())
}

/// The epoch that represents trials, as text.
pub(super) fn epoch_phrase<'a>(trials: impl IntoIterator<Item = &'a TrialRecords>) -> String {
    match trials.into_iter().next() {
        Some(trial) if trial.selection() == Selection::Last => "Out of fold, at the last epoch".to_owned(),
        Some(trial) => format!("At the epoch of {}", trial.best_at()),
        None => "At the best epoch".to_owned(),
    }
}

/// Standard deviation (N − 1); `None` with fewer than two values.
pub(super) fn sd(values: &[f64]) -> Option<f64> {
    let centre = mean(values);
    let squares: f64 = values.iter().map(|v| (v - centre).powi(2)).sum();
    (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic::{Scenario, sweep, trial};

    #[test]
    fn seeds_share_a_group_and_losses_a_kind() {
        let sweep = sweep(4, 3, Scenario::OneEpoch);
        let groups = groups(&sweep);
        assert_eq!(groups.iter().map(|g| g.trials.len()).collect::<Vec<_>>(), [3, 3, 3, 3]);
        assert_eq!(groups[2].label, "l1 · 1 · unet++");
        assert_eq!(kinds(&groups), ["l1", "smooth-l1"]);
    }

    #[test]
    fn of_many_groups_those_of_least_error_and_of_least_loss_are_drawn_first() {
        let of = |count: usize| {
            let mut records = sweep(count, 1, Scenario::OneEpoch);
            for (place, trial) in records.trials.iter_mut().enumerate() {
                trial.epochs[0].val_mre_mm = 20.0 - place as f64;
                trial.epochs[0].val_loss = 1.0 + place as f64;
            }
            let places: Vec<f64> = drawn_groups(&records).iter().map(|g| 20.0 - g.trials[0].epochs[0].mre()).collect();
            places
        };
        assert_eq!(of(12), (0..12).map(f64::from).collect::<Vec<_>>(), "in the order of the plan");
        // The first has the least loss, and takes the place of the least good of the twelve.
        let rest = [4.0, 3.0, 2.0, 1.0];
        assert_eq!(of(16), [&[0.0][..], &(5..16).map(f64::from).collect::<Vec<_>>(), &rest].concat());
    }

    #[test]
    fn diverged_seeds_do_not_cut_the_mean_short() {
        let [a, b, diverged] =
            [trial(Scenario::Realistic, 0, 0), trial(Scenario::Realistic, 0, 1), trial(Scenario::Diverged, 0, 2)];
        let mean = mean_curve(&[&a, &b, &diverged], |e| e.val_loss);
        assert_eq!(mean.len(), 60);
        assert!((mean[9].1 - f64::midpoint(a.epochs[9].val_loss, b.epochs[9].val_loss)).abs() < 1e-12);
        assert_eq!(mean_curve(&[&diverged], |e| e.val_loss).len(), 1);
    }

    #[test]
    fn best_epochs_skip_what_was_not_evaluated() {
        let mut trial = trial(Scenario::EverySecondEvaluated, 0, 0);
        trial.epochs[3].val_loss = 0.0;
        assert_eq!(trial.best_loss().unwrap().epoch, 4);
        assert_eq!(trial.best_error().unwrap().epoch % 2, 0);
        trial.epochs.iter_mut().for_each(|e| e.val_mre_mm = 1.0);
        assert_eq!(trial.best_error().unwrap().epoch, 1, "the first of equals");
    }

    #[test]
    fn quantiles_interpolate() {
        let ascending = [1.0, 2.0, 4.0];
        let close = |share, expected: f64| (quantile(&ascending, share) - expected).abs() < 1e-12;
        assert!(close(0.0, 1.0) && close(0.5, 2.0) && close(0.75, 3.0) && close(1.0, 4.0));
        assert!(quantile(&[], 0.5).is_nan());
        assert!(sd(&[1.0]).is_none() && (sd(&[1.0, 3.0]).unwrap() - 2f64.sqrt()).abs() < 1e-12);
    }
}
