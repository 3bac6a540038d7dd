//! Which error stands for a trial: an epoch chosen on other images than those it is measured on, or an epoch that nothing
//! chose.

use sweep_experiment::records::{LandmarkRecord, Selection};

use super::cross_fit::{Criterion, cross_fitted};
use super::{SweepRecords, TrialRecords};

/// Which error stands for a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measured {
    /// Each image at the epochs that other images choose: [`cross_fitted`].
    CrossFitted,
    /// The errors at a selected epoch.
    At(Selection),
}

impl Measured {
    /// The errors that stand for the trials of a sweep, all alike. Cross-fitted where every finished trial has the errors of
    /// all its evaluated epochs, and these tell the objective; else those of the last epoch, which nothing chose. With an
    /// objective other than the mean error, those of the epoch that it chose.
    #[must_use]
    pub fn of(sweep: &SweepRecords) -> Self {
        let objective = sweep.objective();
        let mut done = sweep.trials.iter().filter(|trial| trial.is_done()).peekable();
        let tells = |trial: &TrialRecords| trial.has_all_errors() && Criterion::of(trial).is_some();
        if done.peek().is_some() && done.all(tells) {
            Self::CrossFitted
        } else if objective.is_default() || objective.is_last() {
            Self::At(Selection::Last)
        } else {
            Self::At(Selection::BestError)
        }
    }

    /// A trial's predictions with these errors; those of unknown error are left out. The positions of cross-fitted ones are
    /// those of the last epoch, because no single epoch has these errors.
    #[must_use]
    pub fn rows(self, trial: &TrialRecords) -> Vec<LandmarkRecord> {
        match self {
            Self::At(selection) => {
                let of = trial.landmarks.iter().filter(|row| row.selected == selection && row.error().is_finite());
                of.cloned().collect()
            }
            Self::CrossFitted => cross_fitted(trial),
        }
    }

    /// The epoch whose positions and confidences stand for the trial. No epoch chosen on these images, unless the definition
    /// names an objective: the images that chose it would look surer and better than others.
    #[must_use]
    pub fn predicted_at(self, trial: &TrialRecords) -> Selection {
        match (self, trial.selection()) {
            (Self::CrossFitted, _) | (_, Selection::Last) => Selection::Last,
            (Self::At(selection), _) => selection,
        }
    }

    /// Rows of `landmarks.csv` and `errors.bin` in words.
    #[must_use]
    pub fn select(self) -> &'static str {
        match self {
            Self::CrossFitted => "cross-fitted from errors.bin",
            Self::At(Selection::Last) => "selected = last",
            Self::At(Selection::BestError) => "selected = best-error",
            Self::At(Selection::BestLoss) => "selected = best-loss",
        }
    }

    /// Describes the errors for readers, in one sentence.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::CrossFitted => {
                "cross-fitted: the epoch is chosen on one half of the validation images and measured on the other, over many \
                 halves, so that no image is measured at an epoch that it chose"
            }
            Self::At(Selection::Last) => "of the last epoch, which nothing chose",
            Self::At(_) => "of an epoch that was chosen on the same images, so a little too low",
        }
    }
}
