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
mod trial;

use std::path::{Path, PathBuf};

use crate::analysis::SweepRecords;
use crate::analysis::load;
use crate::definition::SweepDefinition;
use crate::device::{self, Choice};
use crate::error::{Error, Result};
use crate::plan::{self, Trial};
use crate::provenance;
use crate::records::State;
use crate::search::SearchSpec;
use crate::store::{Names, Store};
use crate::train::{End, Observer};

pub(crate) use records::{write_definition, write_report, write_summary};
pub(crate) use trial::{begin, conclude, finish, prepare};

/// A definition and where its results are.
#[derive(Debug, Clone)]
pub struct Sweep {
    definition: SweepDefinition,
    store: Store,
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
        Self { definition, store }
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
            names.keep(&self.store, trial);
        }
        Ok(trials)
    }

    /// Trains every trial that is not done, here and one after another, each from its last checkpoint; then writes summary
    /// and report. A trial that diverges is one of the results. When the observer asks to stop, what was done is saved, and
    /// the records are of that; called again, it goes on.
    ///
    /// # Errors
    /// When the plan is impossible, data cannot be read, or a record cannot be written; where trials are pruned, or drawn
    /// by how others ended.
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
        for trial in &trials {
            let folder = self.store.trial(&trial.id);
            // A status that is torn was being written when its process died.
            let state = folder.status().map_or(State::Running, |status| status.state);
            if matches!(state, State::Done | State::Diverged | State::Pruned) {
                continue;
            }
            folder.begin(trial)?;
            if trial::train_here(&folder, device, observer)? == End::Stopped {
                return write_summary(&self.store);
            }
        }
        self.report().map(|(records, _)| records)
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
