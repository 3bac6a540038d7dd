//! A sweep as pages show it.

use std::collections::BTreeMap;
use std::sync::Arc;

use sweep_core::units::ErrorUnit;
use sweep_experiment::records::State;
use sweep_experiment::store::SweepFile;

use super::{Answered, Trial};

/// A sweep at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Sweep {
    /// Name of its folder, or that of the folder itself.
    pub(crate) folder: String,
    /// `sweep.toml`; `None` if it cannot be read.
    pub(crate) file: Option<Arc<SweepFile>>,
    /// What cannot be read of the sweep itself.
    pub(crate) problem: Option<String>,
    /// Grows with every change.
    pub(crate) version: u64,
    /// Trials in the order of the plan.
    pub(crate) trials: Vec<Arc<Trial>>,
    /// Axes of the trials that have begun.
    pub(crate) axes: Vec<String>,
    /// Configurations in the order of the plan. The index is that of their colour, in the report's figures too.
    pub(crate) configurations: BTreeMap<String, usize>,
    /// The process that runs it.
    pub(crate) runner: Option<String>,
    /// Whether it is paused, or being stopped.
    pub(crate) paused: bool,
    /// Whether a stop is requested.
    pub(crate) stopping: bool,
    /// The answer to its question and what is found, once computed.
    pub(crate) answered: Option<Arc<Answered>>,
}

impl Sweep {
    /// A sweep of which nothing is read.
    pub(super) fn unread(folder: &str) -> Self {
        Self {
            folder: folder.to_owned(),
            file: None,
            problem: None,
            version: 0,
            trials: Vec::new(),
            axes: Vec::new(),
            configurations: BTreeMap::new(),
            runner: None,
            paused: false,
            stopping: false,
            answered: None,
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        self.file.as_ref().map_or(&self.folder, |file| &file.name)
    }

    /// The unit of its errors: that of the first trial that has begun.
    pub(crate) fn unit(&self) -> ErrorUnit {
        self.begun().next().map_or(ErrorUnit::default(), |trial| trial.summary.unit)
    }

    /// Trials that have begun.
    pub(crate) fn begun(&self) -> impl Iterator<Item = &Arc<Trial>> {
        self.trials.iter().filter(|trial| !trial.records.configuration.is_empty())
    }

    /// The trial of this id.
    pub(crate) fn trial(&self, id: &str) -> Option<&Arc<Trial>> {
        self.trials.iter().find(|trial| trial.id() == id)
    }

    /// Number of its trials that have not been read yet.
    pub(crate) fn unread_trials(&self) -> usize {
        self.trials.iter().filter(|trial| !trial.is_read).count()
    }

    /// Number of trials by state, in the order of interest.
    pub(crate) fn states(&self) -> Vec<(&'static str, usize)> {
        let names = State::ALL.map(State::name).into_iter().chain(["illegible"]);
        let count = |state: &str| self.trials.iter().filter(|trial| trial.state == state).count();
        names.map(|state| (state, count(state))).filter(|(_, count)| *count > 0).collect()
    }

    /// Share of all epochs that are trained, from 0 to 1; a finished trial counts whole.
    pub(crate) fn progress(&self) -> f64 {
        let share = |trial: &Arc<Trial>| match trial.records.status.epochs {
            _ if trial.records.is_done() => 1.0,
            0 => 0.0,
            of => (trial.epochs as f64 / f64::from(of)).min(1.0),
        };
        if self.trials.is_empty() { 0.0 } else { self.trials.iter().map(share).sum::<f64>() / self.trials.len() as f64 }
    }

    /// The trial with the least error at its best epoch.
    pub(crate) fn best(&self) -> Option<&Arc<Trial>> {
        let known = self.trials.iter().filter(|trial| trial.summary.best_val_mre.is_finite());
        known.reduce(|best, trial| if trial.summary.best_val_mre < best.summary.best_val_mre { trial } else { best })
    }

    /// The index of a configuration's colour.
    pub(crate) fn colour(&self, configuration: &str) -> usize {
        self.configurations.get(configuration).copied().unwrap_or_default()
    }

    /// Lists axes and configurations anew, after trials were read.
    pub(super) fn index(&mut self) {
        let (mut axes, mut configurations) = (Vec::new(), BTreeMap::new());
        for trial in self.trials.iter().filter(|trial| !trial.records.configuration.is_empty()) {
            for (axis, _) in &trial.records.axes {
                if !axes.contains(axis) {
                    axes.push(axis.clone());
                }
            }
            let next = configurations.len();
            configurations.entry(trial.configuration()).or_insert(next);
        }
        (self.axes, self.configurations) = (axes, configurations);
    }
}
