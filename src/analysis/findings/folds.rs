//! Cross-validation: every configuration by its out-of-fold predictions.

use std::collections::BTreeMap;

use serde::Serialize;

use sweep_core::units::ErrorUnit;
use sweep_experiment::records::{EpochRecord, State};

use super::{Finding, Part, SourceRecords, Statement, SweepView, Topic, Unit, seed_caveat};
use crate::TrialRecords;
use crate::errors::{MRE, within};
use crate::folds::Fold;
use crate::format::mm;
use crate::groups::Group;
use crate::statistics::{Estimate, mean};

/// A configuration's cross-validation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CrossValidationScores {
    /// Its values on the axes.
    pub label: String,
    /// Mean radial error at the last epoch: nothing was selected on the images that it is evaluated on.
    pub mre: Estimate,
    /// Per cent within the usual radii of the unit, at the same epoch.
    pub sdr: [Estimate; 4],
    /// Every landmark's mean radial error at the same epoch, on the images where it is annotated.
    pub landmarks: Vec<(String, Estimate)>,
    /// MRE of every fold at the last epoch, mm, mean over seeds: the spread between parts of the data set.
    pub by_fold_mm: Vec<f64>,
    /// MRE with every fold at the epoch that is best for the other folds, mm, mean over seeds.
    pub others_epoch_mm: Option<f64>,
    /// MRE with every fold at its own best epoch, mm: selected on the images that it is evaluated on, so optimistic.
    pub own_epoch_mm: Option<f64>,
}

fn scores(view: &SweepView<'_>, g: usize) -> Option<CrossValidationScores> {
    let share = |radius: f64| Some(view.errors.contrast(&[(g, 1.0)], &within(radius))?.share());
    let landmark = |(at, name): (usize, &String)| {
        let table = view.errors.contrast_on(&[(g, 1.0)], MRE, Some(at))?;
        Some((name.clone(), table.positive(0)))
    };
    let others: Vec<f64> =
        view.groups[g].done().filter_map(TrialRecords::error_at_other_folds_epoch).map(|both| both[0]).collect();
    let [a, b, c, d] = view.unit().radii();
    Some(CrossValidationScores {
        label: view.groups[g].label.clone(),
        mre: view.errors.contrast(&[(g, 1.0)], MRE)?.positive(0),
        sdr: [share(a)?, share(b)?, share(c)?, share(d)?],
        landmarks: view.errors.landmarks.iter().enumerate().filter_map(landmark).collect(),
        by_fold_mm: by_fold(&view.groups[g]),
        others_epoch_mm: (!others.is_empty()).then(|| mean(&others)),
        own_epoch_mm: view.errors.contrast(&[(view.at_least_error(g), 1.0)], MRE).map(|t| t.mean()),
    })
}

/// The MRE of every fold at the last epoch, mean over the seeds with all folds.
fn by_fold(group: &Group<'_>) -> Vec<f64> {
    let mut errors: BTreeMap<Option<Fold>, Vec<f64>> = BTreeMap::new();
    for fold in group.done().flat_map(TrialRecords::trainings) {
        let last = fold.epochs.iter().rev().map(EpochRecord::mre).find(|error| error.is_finite());
        errors.entry(fold.fold).or_default().extend(last);
    }
    errors.values().map(|of_fold| mean(of_fold)).collect()
}

/// Design and results of the cross-validation; `None` if folds are no axis.
pub(super) fn cross_validation(view: &SweepView<'_>) -> Option<Finding> {
    if !view.sweep.is_pooled() {
        return None;
    }
    let configurations: Vec<CrossValidationScores> = (0..view.groups.len()).filter_map(|g| scores(view, g)).collect();
    let open = |group: &Group<'_>| -> Vec<(String, String)> {
        let unfinished = group.trials.iter().filter(|t| t.status.state != State::Done);
        unfinished.map(|t| (format!("{}, seed {}", group.label, t.seed), t.progress())).collect()
    };
    let incomplete = view.groups.iter().flat_map(open).collect();
    let of = view.sweep.trainings().filter_map(|t| t.fold).map(|fold| fold.of).max()?;
    let folds = view.sweep.folds.as_ref().map_or(of, |planned| planned.iter().filter(|fold| **fold < of).count());
    let best = configurations.iter().min_by(|a, b| a.mre.point.total_cmp(&b.mre.point)).map(|best| best.mre.clone());
    let parts = configurations.iter().map(|scores| part(scores, view.unit())).collect();
    let statement = Statement::CrossValidation { of, folds, configurations, incomplete };
    let rows = SourceRecords {
        file: "landmarks.csv",
        select: view.select("error_mm, all folds of a seed"),
        trials: Vec::new(),
    };
    let mut finding = Finding::new("cross-validation".into(), Topic::CrossValidation, statement, rows);
    finding.unit = Unit::Millimetres;
    finding.parts = parts;
    finding.picture = Some("cumulative_error.png");
    finding.caveats.extend(best.as_ref().and_then(|e| seed_caveat(e.n.seeds)));
    finding.caveats.push(
        "Any two folds share most of their training images, so errors are not quite independent, and no estimate of a \
         cross-validation's variance is free of bias for it (Bengio and Grandvalet 2004): the interval may be too narrow."
            .into(),
    );
    if view.sweep.trainings().any(|t| t.status.state == State::Done && t.status.epoch < t.status.epochs) {
        finding.caveats.push(
            "Trainings were stopped early by their validation error: their last epoch was chosen on the images that it is \
             measured on, and the numbers are a little optimistic."
                .into(),
        );
    }
    finding.estimate = best;
    Some(finding)
}

fn part(scores: &CrossValidationScores, unit: ErrorUnit) -> Part {
    let mut notes = vec![format!(
        "within {} {unit} {} %",
        unit.radii().map(|radius| radius.to_string()).join(", "),
        scores.sdr.iter().map(|e| format!("{:.1}", e.point)).collect::<Vec<_>>().join(", ")
    )];
    notes.push(format!("by fold {} {unit}", scores.by_fold_mm.iter().map(|e| mm(*e)).collect::<Vec<_>>().join(", ")));
    notes.extend(
        scores.others_epoch_mm.map(|error| format!("at the epoch that the other folds choose {} {unit}", mm(error))),
    );
    notes.extend(
        scores.own_epoch_mm.map(|error| format!("at each fold's own best epoch, too good, {} {unit}", mm(error))),
    );
    Part {
        label: scores.label.clone(),
        estimate: scores.mre.clone(),
        unit: Unit::Millimetres,
        p_adjusted: None,
        note: notes.join("; "),
    }
}
