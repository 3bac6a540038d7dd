//! The input of all findings: groups, errors and onsets of a sweep, computed once.

use std::collections::BTreeMap;

use sweep_core::units::ErrorUnit;
use sweep_experiment::records::{EpochRecord, Selection};

use crate::curves::Onset;
use crate::effects::Factors;
use crate::errors::ErrorTable;
use crate::groups::{Group, groups};
use crate::measured::Measured;
use crate::{SweepRecords, TrialRecords};

/// Input of all findings.
pub(super) struct SweepView<'a> {
    pub(super) sweep: &'a SweepRecords,
    pub(super) groups: Vec<Group<'a>>,
    pub(super) factors: Factors,
    /// Errors that stand for the trial, then those at the epoch of least loss: group `g` of the latter is
    /// `g + groups.len()`. Those at the epoch of least error come third.
    pub(super) errors: ErrorTable,
    /// Which errors stand for a trial.
    pub(super) measured: Measured,
    /// Onsets on the mean loss and on the mean error of each group.
    pub(super) onsets: Vec<[Onset; 2]>,
    /// Onsets of each trial, tested alone.
    pub(super) trial_onsets: BTreeMap<&'a str, [Onset; 2]>,
}

impl<'a> SweepView<'a> {
    /// Groups and errors of a sweep whose folds are pooled, without any onset yet.
    pub(super) fn of(sweep: &'a SweepRecords) -> Self {
        let groups = groups(sweep);
        let factors = Factors::of(&groups, sweep.drawn);
        let measured = Measured::of(sweep);
        let kinds = [measured, Measured::At(Selection::BestLoss), Measured::At(Selection::BestError)];
        let errors = ErrorTable::of(&groups, &kinds);
        Self { sweep, groups, factors, errors, measured, onsets: Vec::new(), trial_onsets: BTreeMap::new() }
    }
}

impl SweepView<'_> {
    /// The unit of errors.
    pub(super) fn unit(&self) -> ErrorUnit {
        self.sweep.unit
    }

    pub(super) fn ids(&self, groups: &[usize]) -> Vec<String> {
        let done = groups.iter().flat_map(|g| self.groups[*g].done());
        done.flat_map(TrialRecords::trainings).map(|t| t.id.clone()).collect()
    }

    /// Group `g` at its epochs of least error on the images that it is measured on.
    pub(super) fn at_least_error(&self, g: usize) -> usize {
        g + 2 * self.groups.len()
    }

    /// Group `g` at its epochs of least loss.
    pub(super) fn at_least_loss(&self, g: usize) -> usize {
        g + self.groups.len()
    }

    /// A trial's training error at the epoch, or about the epochs, that its validation error is measured at.
    pub(super) fn training_error(&self, trial: &TrialRecords) -> f64 {
        let epoch = match self.measured {
            Measured::CrossFitted => trial.best_error(),
            Measured::At(_) => trial.epochs.iter().rev().find(|epoch| epoch.mre().is_finite()),
        };
        epoch.map_or(f64::NAN, EpochRecord::train_mre)
    }

    /// Selected rows of predictions, as text.
    pub(super) fn select(&self, columns: &str) -> String {
        format!("{}; {columns}", self.measured.select())
    }
}
