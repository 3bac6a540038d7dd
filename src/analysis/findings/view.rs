//! The input of all findings: groups, errors and onsets of a sweep, computed once.

use sweep_core::units::ErrorUnit;
use sweep_experiment::records::Selection;

use crate::curves::Onset;
use crate::errors::ErrorTable;
use crate::groups::Group;
use crate::{SweepRecords, TrialRecords};

/// Input of all findings.
pub(super) struct SweepView<'a> {
    pub(super) sweep: &'a SweepRecords,
    pub(super) groups: Vec<Group<'a>>,
    /// Errors at the epoch that represents the trial, then at that of least loss: group `g` of the latter is
    /// `g + groups.len()`. For pooled folds, those of least error come third.
    pub(super) errors: ErrorTable,
    /// Selection of the epoch that represents a trial: [`TrialRecords::selection`].
    pub(super) selection: Selection,
    /// Onsets on the mean loss and on the mean error of each group.
    pub(super) onsets: Vec<[Onset; 2]>,
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

    /// Group `g` at its epochs of least error.
    pub(super) fn at_least_error(&self, g: usize) -> usize {
        if self.selection == Selection::BestError { g } else { g + 2 * self.groups.len() }
    }

    /// Group `g` at its epochs of least loss.
    pub(super) fn at_least_loss(&self, g: usize) -> usize {
        g + self.groups.len()
    }

    /// Selected rows of predictions, as text.
    pub(super) fn select(&self, columns: &str) -> String {
        format!("selected = {}; {columns}", if self.selection == Selection::Last { "last" } else { "best-error" })
    }
}
