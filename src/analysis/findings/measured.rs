//! Which errors the report compares, said once.

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
    let is_kept = view.measured == Measured::CrossFitted;
    let statement = Statement::Errors {
        what: view.measured.in_words(),
        mean_mm: mre,
        best_epoch_mm: mean(&best),
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
