//! Epochs and seconds until an error is reached, between values of every axis.

use super::{Finding, Part, SourceRecords, Statement, SweepView, Topic, Unit, family, seed_caveat};
use crate::curves::{TimeToError, time_to_error};
use crate::effects::Difference;
use crate::format;
use crate::groups::Group;
use crate::statistics::{Count, Estimate, Method, mean, sign_flip, sign_flip_interval};

/// Epochs and seconds to an error that a working network reaches.
pub(super) fn convergence(view: &SweepView<'_>) -> Vec<Finding> {
    let Some(target) = target(view) else { return Vec::new() };
    let timed = view.factors.differences(&view.groups).filter_map(|of| {
        let epochs = pairs(view, &of, target, |reached| reached.epochs);
        (!epochs.is_empty()).then_some((of, epochs))
    });
    let timed: Vec<(Difference, Vec<f64>)> = timed.collect();
    timed.iter().map(|(of, epochs)| of_difference(view, of, epochs, target, timed.len())).collect()
}

/// Half the error of guessing the mean shape; if that is unknown, the median of the trials' least errors.
fn target(view: &SweepView<'_>) -> Option<f64> {
    let mut best: Vec<f64> =
        view.groups.iter().flat_map(Group::done).filter_map(|t| Some(t.best_error()?.mre())).collect();
    best.sort_by(f64::total_cmp);
    view.sweep.mean_shape_mre.map(|e| e / 2.0).or_else(|| best.get(best.len() / 2).copied())
}

/// Logarithms of the ratio of epochs, or of seconds, one per seed and setting of the other axes. Both trials of a pair are
/// observed as long as the shorter one: what was not reached by then counts as reached right after, and a pair of which
/// neither reached it counts as equal.
fn pairs(view: &SweepView<'_>, difference: &Difference, target: f64, of: fn(&TimeToError) -> f64) -> Vec<f64> {
    let mut logs = Vec::new();
    for pair in difference.terms.chunks_exact(2) {
        let groups = [pair[0].0, pair[1].0];
        for seed in view.errors.shared_seeds(&groups) {
            let [to, from] = groups.map(|g| {
                let trial = view.groups[g].done().find(|t| t.seed == seed)?;
                Some((time_to_error(trial, target)?, trial.epochs.last()?.epoch))
            });
            let (Some((to, last_to)), Some((from, last_from))) = (to, from) else { continue };
            let horizon = f64::from(last_to.min(last_from));
            let time = |reached: &TimeToError| (reached.reached && reached.epochs <= horizon).then(|| of(reached));
            let log = match (time(&to), time(&from)) {
                (Some(to), Some(from)) => (to / from).ln(),
                // Any factor above one would do: the true one is further away.
                (Some(time), None) => -(late(&from, horizon, of).max(time) / time).ln().max(LATE),
                (None, Some(time)) => (late(&to, horizon, of).max(time) / time).ln().max(LATE),
                (None, None) => 0.0,
            };
            logs.extend(Some(log).filter(|log| log.is_finite()));
        }
    }
    logs
}

/// The least difference, as a logarithm, between reaching an error and not reaching it.
const LATE: f64 = 0.01;

/// When a trial that had not reached the error was last seen without it.
fn late(trial: &TimeToError, horizon: f64, of: fn(&TimeToError) -> f64) -> f64 {
    let share = (horizon / trial.epochs).min(1.0);
    of(trial) * share
}

/// The factor of two times with its test by sign flips.
fn factor(logs: &[f64], alpha: f64, seeds: usize) -> Estimate {
    let interval = sign_flip_interval(logs, alpha, 0).map(|end| if end.is_finite() { end.exp() } else { f64::NAN });
    let n = Count { seeds, ..Count::default() };
    Estimate { interval, ..Estimate::bare(mean(logs).exp(), n, Method::SignFlips) }
}

fn of_difference(view: &SweepView<'_>, difference: &Difference, epochs: &[f64], target: f64, tests: usize) -> Finding {
    let reached = |sign: f64| {
        let groups = difference.terms.iter().filter(|t| t.1 * sign > 0.0).map(|t| t.0);
        let all: Vec<TimeToError> =
            groups.flat_map(|g| view.groups[g].done()).filter_map(|t| time_to_error(t, target)).collect();
        (all.iter().filter(|r| r.reached).count(), all.len())
    };
    let groups: Vec<usize> = difference.terms.iter().map(|t| t.0).collect();
    let seeds = view.errors.shared_seeds(&groups).len();
    let seconds = pairs(view, difference, target, |reached| reached.seconds);
    let reached = [reached(-1.0), reached(1.0)];
    let statement = Statement::Convergence {
        factor: difference.factor.clone(),
        from: difference.from.clone(),
        to: difference.to.clone(),
        target_mm: target,
        reached,
    };
    let id = format!("convergence/{}/{}/{}", difference.factor, difference.from, difference.to);
    let rows =
        SourceRecords { file: "epochs.csv", select: "epoch, seconds, val_mre_mm".into(), trials: view.ids(&groups) };
    let mut finding = Finding::new(id, Topic::Convergence, statement, rows);
    let p = sign_flip(epochs, 0);
    let p_adjusted = family::adjusted(p, Topic::Convergence, tests);
    finding.unit = Unit::Factor;
    finding.tests = tests;
    finding.p_value = p.is_finite().then_some(p);
    finding.p_adjusted = p.is_finite().then_some(p_adjusted);
    finding.verdict = family::verdict(p_adjusted, seeds > 1);
    finding.estimate = Some(factor(epochs, family::alpha(Topic::Convergence, tests), seeds));
    finding.parts.push(Part {
        label: "seconds to the same error".into(),
        estimate: factor(&seconds, super::ALPHA, seeds),
        unit: Unit::Factor,
        p_adjusted: None,
        note: "by the clock of the machine, other work included".into(),
    });
    finding.caveats.extend(seed_caveat(seeds));
    finding.caveats.push(format!(
        "{} of trainings, each pair with the same seed and other axes; by flipping their signs no p-value is below {}.",
        format::counted(epochs.len(), "pair"),
        format::number(crate::statistics::least_p(epochs.len()))
    ));
    let [(some_from, all_from), (some_to, all_to)] = reached;
    let missed = all_from + all_to - some_from - some_to;
    if missed > 0 {
        finding.caveats.push(format!(
            "{missed} of {} never reached it. {} counted as if just after the last epoch that both trainings of the pair have: \
             the true factor is further from 1.",
            format::counted(all_from + all_to, "trial"),
            if missed == 1 { "It is" } else { "They are" },
        ));
    }
    finding.picture = Some("convergence.png");
    finding
}
