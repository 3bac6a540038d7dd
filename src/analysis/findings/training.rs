//! Findings on training: collapse, overfitting, the generalisation gap, and the time until an error is reached.

use super::{Finding, Part, SourceRecords, Statement, SweepView, Topic, Unit, Verdict, judge, seed_caveat};
use sweep_experiment::records::EpochRecord;

use crate::curves::{self, Onset, TimeToError, Value, collapse as ratios, onset, time_to_error};
use crate::dependence::dependence;
use crate::effects::{Difference, differences, factors};
use crate::errors::MRE;
use crate::groups::Group;
use crate::statistics::{Count, Estimate, Method, student};
use crate::{TrialRecords, format};

const LOSS: [Value; 2] = [|e| e.val_loss, |e| e.train_loss];
const ERROR: [Value; 2] = [|e| e.mre(), |e| e.train_mre()];

/// Onsets on a trial's loss and on its landmark error, each tested by itself.
#[must_use]
pub fn trial_onsets(trial: &TrialRecords) -> [Onset; 2] {
    [LOSS, ERROR].map(|[validation, training]| onset(&curves::positive_pairs(trial, validation, training), 0))
}

/// Onsets on the mean curves of a group's finished trials: noise of single trainings averages out.
pub(super) fn group_onsets(group: &Group<'_>) -> [Onset; 2] {
    [LOSS, ERROR].map(|[validation, training]| {
        let trials: Vec<_> = group.done().map(|t| curves::positive_pairs(t, validation, training)).collect();
        onset(&curves::geometric_mean(&trials), 0)
    })
}

/// Networks that predict zero, and networks that predict the same for every image.
pub(super) fn collapse(view: &SweepView<'_>) -> Option<Finding> {
    let (mut collapsed, mut blind, mut trials) = (Vec::new(), Vec::new(), 0);
    let mut parts = Vec::new();
    for group in &view.groups {
        let last: Vec<f64> =
            group.trials.iter().filter_map(|t| ratios(t)).filter_map(|c| Some(c.ratios.last()?.1)).collect();
        let trainings = || group.trials.iter().flat_map(|t| t.trainings());
        trials += trainings().filter(|t| ratios(t).is_some_and(|c| !c.ratios.is_empty())).count();
        // Each training by itself: in the mean of its folds a collapsed one would be hidden.
        for trial in trainings() {
            if ratios(trial).is_some_and(|c| c.collapsed) {
                collapsed.push(trial.id.clone());
            }
            if dependence(trial, 0).is_some_and(|d| d.blind) {
                blind.push(trial.id.clone());
            }
        }
        if !last.is_empty() {
            let spreads: Vec<f64> = trainings().filter_map(|t| dependence(t, 0)).map(|d| d.spread).collect();
            let spread = spreads.iter().copied().fold(f64::INFINITY, f64::min);
            parts.push(Part {
                label: group.label.clone(),
                estimate: student(&last),
                unit: Unit::Share,
                p_adjusted: None,
                note: if spread.is_finite() {
                    format!("least spread of predictions across images {spread:.2} of the truth's")
                } else {
                    String::new()
                },
            });
        }
    }
    if trials == 0 {
        return None;
    }
    let any = !collapsed.is_empty() || !blind.is_empty();
    let statement = Statement::Collapse { collapsed, blind, trials };
    let rows = SourceRecords {
        file: "epochs.csv",
        select: "val_loss / zero_loss of the last evaluated epoch; landmarks.csv, selected = last".into(),
        trials: Vec::new(),
    };
    let mut finding = Finding::new("collapse".into(), Topic::Collapse, statement, rows);
    finding.unit = Unit::Share;
    finding.verdict = if any { Verdict::Evidence } else { Verdict::NoEvidence };
    finding.parts = parts;
    finding.picture = Some("collapse.png");
    finding.caveats = vec![
        "A ratio of 1 is the loss of answering zero everywhere; predictions that move less than a tenth of the truth, or fit \
         shuffled images as well as their own (permutation test, p > 0.01), are said not to depend on the image."
            .into(),
    ];
    Some(finding)
}

/// Onset of overfitting per configuration, on the loss and on the landmark error.
pub(super) fn overfitting(view: &SweepView<'_>) -> Vec<Finding> {
    let both = [("loss", "val_loss, train_loss"), ("landmark error", "val_mre_mm, train_mre_mm")];
    both.into_iter().enumerate().filter_map(|(which, (curve, columns))| of_curve(view, which, curve, columns)).collect()
}

fn of_curve(view: &SweepView<'_>, which: usize, curve: &'static str, columns: &str) -> Option<Finding> {
    let judged: Vec<(&Group<'_>, Onset)> = view
        .groups
        .iter()
        .zip(&view.onsets)
        .map(|(g, o)| (g, o[which]))
        .filter(|(_, o)| o.p_value.is_finite())
        .collect();
    let rows = SourceRecords { file: "epochs.csv", select: columns.into(), trials: Vec::new() };
    let adjusted = crate::statistics::holm(&judged.iter().map(|(_, o)| o.p_value).collect::<Vec<_>>());
    let mut onsets = Vec::new();
    let mut parts = Vec::new();
    for ((group, found), p) in judged.iter().zip(&adjusted) {
        let evident = found.epoch.filter(|_| *p < super::ALPHA);
        if let Some(epoch) = evident {
            onsets.push((group.label.clone(), epoch));
        }
        let single = group.done().filter(|t| trial_onsets(t)[which].epoch.is_some()).count();
        let note = match evident {
            Some(epoch) => format!("from epoch {epoch}; single seeds with an onset: {single}"),
            None if !found.training_fell && *p < super::ALPHA => "training worsened too: not overfitting".to_owned(),
            None => format!("none found; single seeds with an onset, each tested alone: {single}"),
        };
        // How much worse the last epochs are than the best, seed by seed.
        let excess: Vec<f64> =
            group.done().map(|t| 100.0 * trial_onsets(t)[which].excess).filter(|e| e.is_finite()).collect();
        let estimate = Estimate { point: 100.0 * found.excess, ..student(&excess) };
        parts.push(Part { label: group.label.clone(), estimate, unit: Unit::Percent, p_adjusted: Some(*p), note });
    }
    let any = !onsets.is_empty();
    let statement = Statement::Overfitting { curve, onsets, judged: judged.len() };
    let mut finding =
        Finding::new(format!("overfitting/{}", curve.replace(' ', "-")), Topic::Overfitting, statement, rows);
    finding.unit = Unit::Percent;
    finding.tests = judged.len();
    finding.p_adjusted = adjusted.iter().copied().reduce(f64::min);
    finding.verdict = match (judged.is_empty(), any) {
        (true, _) if view.sweep.trials.is_empty() => return None,
        (true, _) => Verdict::TooFew,
        (false, true) => Verdict::Evidence,
        (false, false) => Verdict::NoEvidence,
    };
    finding.parts = parts;
    finding.picture = Some(if which == 0 { "loss_curves.png" } else { "landmark_error.png" });
    finding.caveats = vec![
        "Excess: the last fifth of the epochs above the best stretch of equal length, on the seeds' geometric mean; it is \
         above zero by chance alone, which the test allows for. A rise too small for the noise of the curve is not found."
            .into(),
    ];
    Some(finding)
}

/// Validation error above training error at the epoch that represents a trial, per configuration.
pub(super) fn gap(view: &SweepView<'_>) -> Option<Finding> {
    let mut parts: Vec<Part> = Vec::new();
    for (g, group) in view.groups.iter().enumerate() {
        let training = |seed: u64| {
            let trial = group.done().find(|t| t.seed == seed);
            trial.and_then(TrialRecords::selected).map_or(f64::NAN, EpochRecord::train_mre)
        };
        let table = view.errors.shifted(&[(g, 1.0)], MRE, None, &training);
        if let Some(table) = table.filter(|t| t.mean().is_finite()) {
            parts.push(Part {
                label: group.label.clone(),
                estimate: table.estimate(0),
                unit: Unit::Millimetres,
                p_adjusted: None,
                note: String::new(),
            });
        }
    }
    let greatest = parts.iter().max_by(|a, b| a.estimate.point.total_cmp(&b.estimate.point))?;
    let statement = Statement::Gap { greatest: greatest.label.clone() };
    let rows = SourceRecords {
        file: "epochs.csv",
        select: format!("val_mre_mm minus train_mre_mm at that epoch; landmarks.csv, {}", view.select("error_mm")),
        trials: Vec::new(),
    };
    let mut finding = Finding::new("gap".into(), Topic::Gap, statement, rows);
    finding.estimate = Some(greatest.estimate.clone());
    finding.caveats.extend(seed_caveat(greatest.estimate.n.seeds));
    finding
        .caveats
        .push("Training images are taken as given; the interval is for other validation images and seeds.".into());
    finding.parts = parts;
    finding.picture = Some("landmark_error.png");
    Some(finding)
}

/// Epochs and seconds to an error that a working network reaches, between values of every axis.
pub(super) fn convergence(view: &SweepView<'_>) -> Vec<Finding> {
    let Some(target) = target(view) else { return Vec::new() };
    let all = factors(&view.groups);
    let differences = all.iter().flat_map(|factor| differences(&view.groups, factor));
    let mut findings: Vec<Finding> = differences.filter_map(|d| of_difference(view, &d, target)).collect();
    judge(&mut findings);
    findings
}

/// Half the error of guessing the mean shape; if that is unknown, the median of the trials' least errors.
fn target(view: &SweepView<'_>) -> Option<f64> {
    let mut best: Vec<f64> =
        view.groups.iter().flat_map(Group::done).filter_map(|t| Some(t.best_error()?.mre())).collect();
    best.sort_by(f64::total_cmp);
    view.sweep.mean_shape_mre.map(|e| e / 2.0).or_else(|| best.get(best.len() / 2).copied())
}

/// Logarithms of the ratio of epochs, or of seconds, one per seed, averaged over contexts.
pub(super) fn log_ratios(
    view: &SweepView<'_>,
    terms: &[(usize, f64)],
    target: f64,
    of: fn(&TimeToError) -> f64,
) -> Vec<f64> {
    let groups: Vec<usize> = terms.iter().map(|t| t.0).collect();
    let log = |seed: u64, g: usize| -> Option<f64> {
        let trial = view.groups[g].done().find(|t| t.seed == seed)?;
        Some(of(&time_to_error(trial, target)?).ln())
    };
    let of_seed = |seed: u64| terms.iter().map(|(g, w)| Some(w * log(seed, *g)?)).sum::<Option<f64>>();
    view.errors.shared_seeds(&groups).into_iter().filter_map(of_seed).filter(|v| v.is_finite()).collect()
}

/// Transforms an estimate of a logarithm into one of a factor.
pub(super) fn factor(log: &Estimate) -> Estimate {
    Estimate { point: log.point.exp(), interval: log.interval.map(f64::exp), ..log.clone() }
}

fn of_difference(view: &SweepView<'_>, difference: &Difference, target: f64) -> Option<Finding> {
    let reached = |sign: f64| {
        let groups = difference.terms.iter().filter(|t| t.1 * sign > 0.0).map(|t| t.0);
        let all: Vec<TimeToError> =
            groups.flat_map(|g| view.groups[g].done()).filter_map(|t| time_to_error(t, target)).collect();
        (all.iter().filter(|r| r.reached).count(), all.len())
    };
    let epochs = student(&log_ratios(view, &difference.terms, target, |r| r.epochs));
    let seconds = student(&log_ratios(view, &difference.terms, target, |r| r.seconds));
    if !epochs.point.is_finite() {
        return None;
    }
    let reached = [reached(-1.0), reached(1.0)];
    let statement = Statement::Convergence {
        factor: difference.factor.clone(),
        from: difference.from.clone(),
        to: difference.to.clone(),
        target_mm: target,
        reached,
    };
    let id = format!("convergence/{}/{}/{}", difference.factor, difference.from, difference.to);
    let groups: Vec<usize> = difference.terms.iter().map(|t| t.0).collect();
    let rows =
        SourceRecords { file: "epochs.csv", select: "epoch, seconds, val_mre_mm".into(), trials: view.ids(&groups) };
    let mut finding = Finding::new(id, Topic::Convergence, statement, rows);
    finding.unit = Unit::Factor;
    finding.p_value = Some(epochs.p_value(0.0));
    let with_count = |e: &Estimate| Estimate {
        n: Count { seeds: e.n.seeds, ..Count::default() },
        method: Method::Seeds,
        ..factor(e)
    };
    finding.estimate = Some(with_count(&epochs));
    finding.parts.push(Part {
        label: "seconds to the same error".into(),
        estimate: with_count(&seconds),
        unit: Unit::Factor,
        p_adjusted: None,
        note: "by the clock of the machine, other work included".into(),
    });
    finding.caveats.extend(seed_caveat(epochs.n.seeds));
    if reached.iter().any(|(some, all)| some < all) {
        finding.caveats.push(format!(
            "{} of {} trials never reached it and count with all their epochs: the true factor is further from 1.",
            reached.iter().map(|(some, all)| all - some).sum::<usize>(),
            format::counted(reached.iter().map(|(_, all)| all).sum(), "trial").split(' ').next().unwrap_or_default(),
        ));
    }
    finding.picture = Some("convergence.png");
    Some(finding)
}
