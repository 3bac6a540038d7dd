//! Which errors the report compares, said once.

use std::collections::BTreeSet;

use super::{Finding, SourceRecords, Statement, SweepView, Topic};
use crate::TrialRecords;
use crate::errors::MRE;
use crate::groups::Group;
use crate::measured::Measured;
use crate::statistics::mean;

/// Describes the compared errors, and their distance from those at the best epoch; `None` without finished trials.
pub(super) fn measured(view: &SweepView<'_>) -> Option<Finding> {
    let finished: Vec<usize> = (0..view.groups.len()).filter(|g| view.groups[*g].done().next().is_some()).collect();
    let weight = 1.0 / finished.len().max(1) as f64;
    let all: Vec<(usize, f64)> = finished.into_iter().map(|g| (g, weight)).collect();
    let mre = view.errors.contrast(&all, MRE)?.mean();
    let done = view.groups.iter().flat_map(Group::done).flat_map(TrialRecords::trainings);
    let best: Vec<f64> = done.filter_map(|trial| Some(trial.best_error()?.mre())).collect();
    let tested: Vec<&TrialRecords> = view
        .groups
        .iter()
        .flat_map(Group::done)
        .flat_map(TrialRecords::trainings)
        .filter(|t| !t.test.is_empty())
        .collect();
    let test = mean_test(&tested);
    let is_kept = view.measured == Measured::CrossFitted;
    let statement = Statement::Errors {
        what: view.measured.in_words(),
        mean_mm: mre,
        best_epoch_mm: mean(&best),
        test,
        table_missing: !view.sweep.is_pooled()
            && view.groups.iter().flat_map(Group::done).any(|trial| !trial.has_all_errors()),
    };
    let rows = SourceRecords {
        file: if is_kept { "errors.bin" } else { "landmarks.csv" },
        select: view.select("error_mm"),
        trials: Vec::new(),
    };
    Some(Finding::new("errors".into(), Topic::Errors, statement, rows))
}

/// Mean error on the test images, over trials, and the number of images; `None` if no trial was scored on any.
fn mean_test(tested: &[&TrialRecords]) -> Option<(f64, usize)> {
    let errors: Vec<f64> = tested.iter().filter_map(|trial| trial.test_mre()).collect();
    let images: BTreeSet<&str> = tested.iter().flat_map(|trial| &trial.test).map(|row| row.image.as_str()).collect();
    (!errors.is_empty()).then(|| (mean(&errors), images.len()))
}
