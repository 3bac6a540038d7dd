//! Statistics, findings, figures and reports from the records of a sweep, and the regression gate. Never trains.

pub mod calibration;
pub mod compare;
pub mod configuration;
pub mod cross_fit;
pub mod curves;
pub mod dependence;
pub mod drawing;
pub mod effects;
pub mod errors;
mod escape;
pub mod findings;
pub mod folds;
pub mod format;
pub mod gate;
pub mod groups;
pub mod keys;
pub mod load;
pub mod measured;
pub mod measures;
pub mod paired_sd;
pub mod power;
pub mod report;
pub mod scores;
pub mod shifts;
pub mod shown_images;
pub mod statistics;
pub mod summary;
pub mod tidy_table;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use sweep_core::measures::Measures;
use sweep_core::units::ErrorUnit;
use sweep_experiment::definition::Study;
use sweep_experiment::metric::Objective;
use sweep_experiment::records::{EpochErrors, EpochRecord, LandmarkRecord, State, TrialStatus};
use sweep_experiment::search::SearchSpec;

/// Records of one trial.
#[derive(Debug, Clone)]
pub struct TrialRecords {
    /// Trial id, the name of its folder.
    pub id: String,
    /// The trial's seed.
    pub seed: u64,
    /// Axis paths and the trial's values on them, in the definition's order, as text; the label if a point has one.
    pub axes: Vec<(String, String)>,
    /// Kind of its loss, as the values on axes that change it: losses of different kinds are not comparable.
    pub loss_kind: String,
    /// Hash of its configuration without seed and fold: [`configuration::configuration`].
    pub configuration: String,
    /// The metric that chooses its best epoch.
    pub objective: Objective,
    /// The unit of its landmark errors.
    pub unit: ErrorUnit,
    /// Hash of the data set it ran on.
    pub dataset_hash: String,
    /// Fold of the data set that it is evaluated on, if the data set is divided into folds.
    pub fold: Option<folds::Fold>,
    /// State and progress.
    pub status: TrialStatus,
    /// One record per epoch, in order.
    pub epochs: Vec<EpochRecord>,
    /// Predictions on validation images at the selected epochs.
    pub landmarks: Vec<LandmarkRecord>,
    /// Files in the sweep's folder `images` that show validation images, by the images' names.
    pub images: BTreeMap<String, String>,
    /// Errors on every validation image at every evaluated epoch; `None` in records of before they were kept, and of pools.
    pub errors: Option<EpochErrors>,
    /// Predictions on the test images with the weights of the best epoch; empty if it has none, and of pools.
    pub test: Vec<LandmarkRecord>,
    /// The trials pooled into this one, one per fold; empty if it was trained itself.
    pub folds: Vec<TrialRecords>,
}

impl TrialRecords {
    /// A trial of which nothing is recorded yet.
    #[must_use]
    pub fn new(id: String, seed: u64, status: TrialStatus) -> Self {
        Self {
            id,
            seed,
            axes: Vec::new(),
            loss_kind: String::new(),
            configuration: String::new(),
            objective: Objective::default(),
            unit: ErrorUnit::default(),
            dataset_hash: String::new(),
            fold: None,
            status,
            epochs: Vec::new(),
            landmarks: Vec::new(),
            images: BTreeMap::new(),
            errors: None,
            test: Vec::new(),
            folds: Vec::new(),
        }
    }

    /// The trial's values on the axes, without the seed: trials with the same group are replicates.
    #[must_use]
    pub fn group(&self) -> String {
        if self.axes.is_empty() {
            return "trial".to_owned();
        }
        self.axes.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(" · ")
    }

    /// Whether it ran to its last epoch.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.status.state == State::Done
    }

    /// Whether the errors of all evaluated epochs were kept.
    #[must_use]
    pub fn has_all_errors(&self) -> bool {
        let evaluated = self.epochs.iter().filter(|epoch| epoch.mre().is_finite()).map(|epoch| epoch.epoch);
        self.errors
            .as_ref()
            .is_some_and(|errors| !errors.epochs.is_empty() && evaluated.eq(errors.epochs.iter().copied()))
    }

    /// The best epoch by the objective, whose weights are saved; the first if several are equal. That of the least landmark
    /// error, unless the definition names another objective.
    #[must_use]
    pub fn best_error(&self) -> Option<&EpochRecord> {
        self.least(|epoch| self.objective.cost(epoch))
    }

    /// The error at the best epoch, to sort trials by: infinite without an evaluated epoch.
    pub(crate) fn sort_error(&self) -> f64 {
        self.best_error().map_or(f64::INFINITY, EpochRecord::mre)
    }

    /// The criterion of its best epoch, in words: `least validation error` or, with another objective, `best sdr_2mm` or `last
    /// epoch`.
    #[must_use]
    pub fn best_at(&self) -> String {
        if self.objective.is_default() {
            return "least validation error".to_owned();
        }
        self.objective.chosen_epoch()
    }

    /// The epoch of least validation loss among those with a known landmark error; the first if several are equal.
    #[must_use]
    pub fn best_loss(&self) -> Option<&EpochRecord> {
        self.least(|epoch| if epoch.mre().is_finite() { epoch.val_loss } else { f64::NAN })
    }

    /// Mean radial error on the test images, in its unit; `None` without test images.
    #[must_use]
    pub fn test_mre(&self) -> Option<f64> {
        self.mean_of_test(LandmarkRecord::error)
    }

    /// The same in pixels.
    #[must_use]
    pub fn test_mre_px(&self) -> Option<f64> {
        self.mean_of_test(|row| row.error_px)
    }

    fn mean_of_test(&self, error: fn(&LandmarkRecord) -> f64) -> Option<f64> {
        let errors: Vec<f64> = self.test.iter().map(error).filter(|error| error.is_finite()).collect();
        (!errors.is_empty()).then(|| statistics::mean(&errors))
    }

    fn least(&self, value: impl Fn(&EpochRecord) -> f64) -> Option<&EpochRecord> {
        let numbers = self.epochs.iter().filter(|epoch| value(epoch).is_finite());
        numbers.reduce(|best, epoch| if value(epoch) < value(best) { epoch } else { best })
    }
}

/// Records of a sweep.
#[derive(Debug, Clone)]
pub struct SweepRecords {
    /// Name of the sweep.
    pub name: String,
    /// The question it asks, if its definition says one.
    pub question: Option<String>,
    /// The study whose claims are tested, if its definition names one.
    pub claims: Option<Study>,
    /// The unit of all landmark errors.
    pub unit: ErrorUnit,
    /// Mean radial error of guessing the training set's mean shape for every validation image.
    pub mean_shape_mre: Option<f64>,
    /// Error between observers (mm) where the data set states one: the floor to judge results by.
    pub observer_mre_mm: Option<f64>,
    /// Angles, distances and ratios of the data set's landmarks: those that its trials recorded first.
    pub measures: Measures,
    /// Landmarks that are annotated in no training image of some trial, which is not evaluated on them.
    pub untrained: Vec<String>,
    /// Landmarks that no trial was evaluated on.
    pub unmeasured: Vec<String>,
    /// The definition as run, TOML.
    pub definition: String,
    /// Provenance of the records: keys and values, in the file's order.
    pub provenance: Vec<(String, String)>,
    /// Number of planned trials, begun or not.
    pub planned: usize,
    /// Trials whose records are damaged, and why: they are not among the trials.
    pub left_out: Vec<(String, String)>,
    /// How a search drew the points; `None` if the definition lists them.
    pub drawn: Option<Drawn>,
    /// Planned folds, if they are an axis: [`SweepRecords::pooled`] pools them.
    pub folds: Option<Vec<usize>>,
    /// Trials that have begun, in the order of the plan.
    pub trials: Vec<TrialRecords>,
}

/// How a search draws its points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drawn {
    /// Whatever the trials' errors.
    Independently,
    /// By the errors of earlier trials.
    ByErrors,
}

impl Drawn {
    /// That of a definition's search.
    #[must_use]
    pub fn of(search: &SearchSpec) -> Self {
        if search.is_adaptive() { Self::ByErrors } else { Self::Independently }
    }
}

/// The word of a note in [`SweepRecords::provenance`].
pub(crate) const NOTE: &str = "note";

impl SweepRecords {
    /// What people noted about the sweep (`note`) and its trials (`note on TRIAL`): tags and text.
    pub fn noted(&self) -> impl Iterator<Item = &(String, String)> {
        self.provenance.iter().filter(|(key, _)| key == NOTE || key.starts_with("note on "))
    }

    /// Whether trials are done and none was ever evaluated, because no image validates: `dataset.refit`.
    #[must_use]
    pub fn measures_nothing(&self) -> bool {
        let mut done = self.trainings().filter(|trial| trial.is_done()).peekable();
        done.peek().is_some() && done.all(|trial| trial.best_error().is_none())
    }

    /// The metric that chooses the best epoch of every trial.
    #[must_use]
    pub fn objective(&self) -> Objective {
        self.trials.first().map_or_else(|| Objective::default_in(self.unit), |trial| trial.objective)
    }
}
