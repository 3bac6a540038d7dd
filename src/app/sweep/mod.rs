//! A sweep from Rust: planned, trained in this process, and read; the same folder that the program `sweep` makes, so that
//! either goes on with what the other began.
//!
//! ```
//! use landmark_sweep::analysis::findings;
//! use landmark_sweep::definition::SweepDefinition;
//! use landmark_sweep::device::Choice;
//! use landmark_sweep::sweep::{Quiet, Sweep};
//!
//! let definition = SweepDefinition::parse("tiny.toml", r#"
//!     name = "tiny"
//!     [axes]
//!     "loss.name" = ["l1", "nll"]
//!     [trial]
//!     epochs = 2
//!     batch_size = 2
//!     dataset = { name = "phantom", train = 4, val = 2, height = 40, width = 32 }
//!     input = { height = 40, width = 32 }
//!     model = { name = "unet", filters = [4, 8] }
//! "#)?;
//! let results = tempfile::tempdir().unwrap();
//! let sweep = Sweep::new(definition, results.path());
//! assert_eq!(sweep.plan()?.len(), 2);
//!
//! let records = sweep.run(Choice::Cpu, &mut Quiet)?;
//! for trial in &records.trials {
//!     let best = trial.best_error().unwrap();
//!     println!("{}: {:.2} mm after epoch {}", trial.id, best.val_mre_mm, best.epoch);
//! }
//! for finding in findings::findings(&records) {
//!     println!("{}", finding.sentence);
//! }
//! assert!(results.path().join("tiny/report/index.html").is_file());
//! # Ok::<(), landmark_sweep::error::Error>(())
//! ```
//!
//! Trials are trained one after another, with no process of their own to protect the others: where one may crash, hang or
//! take all memory, where several are to run at once, or where trials are pruned, run the program, or a [`Program`] of
//! your own.
//!
//! [`Program`]: crate::program::Program

mod records;

use std::path::{Path, PathBuf};

use sweep_analysis::SweepRecords;
use sweep_analysis::load;
use sweep_core::error::{Error, Result};
use sweep_experiment::definition::SweepDefinition;
use sweep_experiment::provenance;
use sweep_experiment::records::State;
use sweep_experiment::search::SearchSpec;
use sweep_experiment::store::{Names, Store};
use sweep_planning::plan::{self, Trial};
use sweep_runner::scheduler::{Action, RetryPolicy, action};
use sweep_training::device::{self, Choice};
use sweep_training::train::Observer;

use crate::trial::{self, Attempt, Ended};

pub(crate) use records::{write_definition, write_report, write_summary};

/// A definition and where its results are.
#[derive(Debug, Clone)]
pub struct Sweep {
    definition: SweepDefinition,
    store: Store,
    retry: RetryPolicy,
}

/// Watches nothing and asks for nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Observer for Quiet {}

impl Sweep {
    /// A sweep whose results are in, or will be in, `results/NAME`.
    #[must_use]
    pub fn new(definition: SweepDefinition, results: &Path) -> Self {
        let store = Store::new(results, &definition.name);
        Self { definition, store, retry: RetryPolicy::default() }
    }

    /// Which trials are trained again; by default those that are done, failed or diverged are left as they are.
    #[must_use]
    pub fn retry(self, retry: RetryPolicy) -> Self {
        Self { retry, ..self }
    }

    /// The definition.
    #[must_use]
    pub fn definition(&self) -> &SweepDefinition {
        &self.definition
    }

    /// The folder of its results.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// All its trials: [`plan::plan`], each under the name that its results have, where there are any.
    ///
    /// # Errors
    /// As [`plan::plan`].
    pub fn plan(&self) -> Result<Vec<Trial>> {
        let mut trials = plan::plan(&self.definition)?;
        let names = Names::of(&self.store.trials()?);
        for trial in &mut trials {
            if let Some(id) = names.existing_id(&self.store, &trial.id, &trial.identity) {
                id.clone_into(&mut trial.id);
            }
        }
        Ok(trials)
    }

    /// Trains every trial that is not done, here and one after another, each from its last checkpoint; then writes summary
    /// and report. A trial that diverges is one of the results. When the observer asks to stop, what was done is saved, and
    /// the records are of that; called again, it goes on.
    ///
    /// # Errors
    /// When the plan is impossible or a record cannot be written; where trials are pruned, or drawn by how others ended.
    /// When a trial fails, the others are trained all the same, summary and report are written, and the first failure is
    /// the error; see [`Sweep::retry`].
    pub fn run(&self, device: Choice, observer: &mut dyn Observer) -> Result<SweepRecords> {
        if self.definition.prune.is_some() || self.definition.search.as_ref().is_some_and(SearchSpec::is_adaptive) {
            let what = "trials that depend on how others end are not trained one after another";
            return Err(Error::definition(what)
                .at(self.definition.source.file.clone())
                .remedy("remove [prune] and the method tpe, or run the sweep by the program"));
        }
        let trials = self.plan()?;
        let name = device::check(device)?;
        if name != "cpu" {
            trials.iter().try_for_each(|trial| trial.config.check_for_gpu())?;
        }
        let _lock = self.store.lock(&provenance::host())?;
        let ids: Vec<&str> = trials.iter().map(|trial| trial.id.as_str()).collect();
        write_definition(&self.store, &self.definition, &ids, &name, rayon::current_num_threads())?;
        let mut failure = None;
        for trial in &trials {
            let folder = self.store.trial(&trial.id);
            // A status that is torn was being written when its process died.
            let state = folder.status().map_or(State::Running, |status| status.state);
            match action(state, self.retry) {
                Action::Leave => continue,
                Action::StartAnew => folder.clear()?,
                Action::Continue => {}
            }
            folder.begin(trial.file()?)?;
            match trial::train(&folder, &Attempt::on(device), observer)? {
                Ended::Finished | Ended::Diverged => {}
                Ended::Stopped => return write_summary(&self.store),
                Ended::Failed(error) => failure = failure.or(Some(error.at(&trial.id))),
            }
        }
        let (records, _) = self.report()?;
        failure.map_or(Ok(records), Err)
    }

    /// What is recorded by now.
    ///
    /// # Errors
    /// When nothing is, or it cannot be read.
    pub fn records(&self) -> Result<SweepRecords> {
        load::load(&self.store)
    }

    /// Writes summary and report from the records alone: the records, and the report's files.
    ///
    /// # Errors
    /// As [`Sweep::records`]; or when a file cannot be written.
    pub fn report(&self) -> Result<(SweepRecords, Vec<PathBuf>)> {
        let (records, _, files) = write_report(&self.store, Some(&self.store.images()), &self.store.report())?;
        Ok((records, files))
    }
}
