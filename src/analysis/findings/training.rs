//! Findings on training: collapse, overfitting, and the generalisation gap.

use super::{Finding, Part, SourceRecords, Statement, SweepView, Topic, Unit, Verdict, family, seed_caveat};

use crate::TrialRecords;
use crate::curves::{self, ABOVE_ZERO, Onset, Value, collapse as ratios, onset};
use crate::dependence::dependence;
use crate::errors::MRE;
use crate::groups::Group;
use crate::statistics::{Estimate, student};

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

/// Networks that predict zero or worse, and networks, or landmarks of theirs, that predict the same for every image.
pub(super) fn collapse(view: &SweepView<'_>) -> Option<Finding> {
    let (mut collapsed, mut above_zero, mut blind, mut blind_landmarks, mut trials) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), 0);
    let mut parts = Vec::new();
    for group in &view.groups {
        // What still trains has not ended anywhere.
        let ended = || group.trials.iter().copied().filter(|trial| trial.status.state.is_settled());
        let last: Vec<f64> = ended().filter_map(ratios).filter_map(|c| Some(c.ratios.last()?.1.ln())).collect();
        let trainings = || ended().flat_map(TrialRecords::trainings);
        let mut explained: Option<f64> = None;
        // Each training by itself: in the mean of its folds a collapsed one would be hidden.
        for trial in trainings() {
            let ratio = ratios(trial);
            trials += usize::from(ratio.as_ref().is_some_and(|c| !c.ratios.is_empty()));
            if let Some(last) = ratio.filter(|c| c.collapsed).and_then(|c| c.ratios.last().copied()) {
                if last.1 > ABOVE_ZERO { &mut above_zero } else { &mut collapsed }.push(trial.id.clone());
            }
            let Some(found) = dependence(trial, 0) else { continue };
            if found.blind {
                blind.push(trial.id.clone());
            } else if !found.blind_landmarks.is_empty() {
                blind_landmarks.push((trial.id.clone(), found.blind_landmarks));
            }
            explained = Some(explained.map_or(found.explained, |least| least.min(found.explained)));
        }
        if !last.is_empty() {
            parts.push(Part {
                label: group.label.clone(),
                estimate: exponential(&student(&last)),
                unit: Unit::Share,
                p_adjusted: None,
                note: explained.map_or_else(String::new, |explained| match explained {
                    // Further off than the mean shape for every image would be.
                    ..0.0 => "none of the scatter of the truth about the mean shape explained".to_owned(),
                    _ => format!(
                        "of the scatter of the truth about the mean shape, {:.0} % explained at least",
                        100.0 * explained
                    ),
                }),
            });
        }
    }
    if trials == 0 {
        return None;
    }
    let any = !(collapsed.is_empty() && above_zero.is_empty() && blind.is_empty() && blind_landmarks.is_empty());
    let statement = Statement::Collapse { collapsed, above_zero, blind, blind_landmarks, trials };
    let rows = SourceRecords {
        file: "epochs.csv",
        select: "val_loss / zero_loss of the last evaluated epoch; landmarks.csv, selected = last".into(),
        trials: Vec::new(),
    };
    let mut finding = Finding::new("collapse".into(), Topic::Collapse, statement, rows);
    finding.unit = Unit::Share;
    finding.verdict = if any { Verdict::Warning } else { Verdict::Described };
    finding.parts = parts;
    finding.picture = Some("collapse.png");
    finding.caveats = vec![
        "A ratio of 1 is the loss of answering zero everywhere. A landmark does not depend on the image if its predictions hardly \
         move, beyond the size of the image, or fit shuffled images as well as their own (permutation test, p > 0.05)."
            .into(),
    ];
    Some(finding)
}

/// An estimate of a logarithm as one of the quantity.
pub(super) fn exponential(log: &Estimate) -> Estimate {
    Estimate { point: log.point.exp(), interval: log.interval.map(f64::exp), ..log.clone() }
}

/// Onset of overfitting per configuration, on the loss and on the landmark error.
pub(super) fn overfitting(view: &SweepView<'_>) -> Vec<Finding> {
    let both = [("loss", "val_loss, train_loss"), ("landmark error", "val_mre_mm, train_mre_mm")];
    // Both curves of all configurations are one family of tests.
    let p_values: Vec<f64> =
        (0..2).flat_map(|which| view.onsets.iter().map(move |onsets| onsets[which].p_value)).collect();
    let adjusted = family::holm(Topic::Overfitting, &p_values);
    let tests = adjusted.iter().filter(|p| p.is_finite()).count();
    let of = |(which, (curve, columns))| {
        let own = &adjusted[which * view.groups.len()..(which + 1) * view.groups.len()];
        of_curve(view, which, curve, columns, own).map(|finding| Finding { tests, ..finding })
    };
    both.into_iter().enumerate().filter_map(of).collect()
}

fn of_curve(
    view: &SweepView<'_>,
    which: usize,
    curve: &'static str,
    columns: &str,
    adjusted: &[f64],
) -> Option<Finding> {
    let judged: Vec<(&Group<'_>, Onset)> = view
        .groups
        .iter()
        .zip(&view.onsets)
        .map(|(g, o)| (g, o[which]))
        .filter(|(_, o)| o.p_value.is_finite())
        .collect();
    let rows = SourceRecords { file: "epochs.csv", select: columns.into(), trials: Vec::new() };
    let adjusted: Vec<f64> = adjusted.iter().copied().filter(|p| p.is_finite()).collect();
    let mut onsets = Vec::new();
    let mut parts = Vec::new();
    for ((group, found), p) in judged.iter().zip(&adjusted) {
        let evident = found.epoch.filter(|_| *p < super::ALPHA);
        if let Some(epoch) = evident {
            onsets.push((group.label.clone(), epoch));
        }
        let single = group.done().filter(|t| view.trial_onsets[t.id.as_str()][which].epoch.is_some()).count();
        let note = match evident {
            Some(epoch) => format!("from epoch {epoch}; single seeds with an onset: {single}"),
            None if !found.training_fell && found.excess > 0.0 => {
                format!(
                    "none found: training is not shown to improve; single seeds with an onset, each tested alone: {single}"
                )
            }
            None => format!("none found; single seeds with an onset, each tested alone: {single}"),
        };
        // How much worse the last epochs are than the best, seed by seed.
        let excess: Vec<f64> = group
            .done()
            .map(|t| 100.0 * view.trial_onsets[t.id.as_str()][which].excess)
            .filter(|e| e.is_finite())
            .collect();
        let estimate = Estimate { point: 100.0 * found.excess, ..student(&excess) };
        parts.push(Part { label: group.label.clone(), estimate, unit: Unit::Percent, p_adjusted: Some(*p), note });
    }
    let any = !onsets.is_empty();
    let statement = Statement::Overfitting { curve, onsets, judged: judged.len() };
    let mut finding =
        Finding::new(format!("overfitting/{}", curve.replace(' ', "-")), Topic::Overfitting, statement, rows);
    finding.unit = Unit::Percent;
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
        let training =
            |seed: u64| group.done().find(|t| t.seed == seed).map_or(f64::NAN, |trial| view.training_error(trial));
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
        select: format!("train_mre_mm of that epoch; landmarks.csv, {}", view.select("error_mm")),
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
