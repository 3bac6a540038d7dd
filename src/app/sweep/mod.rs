//! A sweep from Rust: plans, trains in this process, and reads the records. The results folder is the same as that of the
//! program `sweep`, so that either can resume what the other began.
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
//! Trials are trained one after another in this process, so that one that crashes, hangs or takes all memory ends them all.
//! To train several at once, or to prune trials, run the program, or your own [`Program`].
//!
//! [`Program`]: crate::program::Program

mod definition;
mod records;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sweep_analysis::SweepRecords;
use sweep_analysis::load;
use sweep_core::error::{Error, Result};
use sweep_experiment::definition::SweepDefinition;
use sweep_experiment::provenance;
use sweep_experiment::records::{EpochRecord, State};
use sweep_experiment::search::SearchSpec;
use sweep_experiment::store::{Names, Store, TrialStore};
use sweep_model::lr_schedule::Progress;
use sweep_planning::plan::{self, Trial};
use sweep_runner::scheduler::{Action, RetryPolicy, action};
use sweep_training::device::{self, Choice};
use sweep_training::followers::{Member, has_checkpoint, lead, leaders, shared_training, take_over};
use sweep_training::train::Observer;

use crate::trial::{self, Attempt, Ended};

pub use definition::parse;
pub(crate) use records::{write_definition, write_report, write_summary};

/// A definition and the folder of its results.
#[derive(Debug, Clone)]
pub struct Sweep {
    definition: SweepDefinition,
    store: Store,
    retry: RetryPolicy,
}

/// An observer that ignores everything and never stops a training.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Observer for Quiet {}

/// Writes notes to the trial's log, as the log of a trial's own process has them, and passes everything on.
struct LoggedNotes<'a> {
    folder: &'a TrialStore,
    observer: &'a mut dyn Observer,
}

impl Observer for LoggedNotes<'_> {
    fn step(&mut self, progress: Progress) {
        self.observer.step(progress);
    }

    fn evaluating(&mut self) {
        self.observer.evaluating();
    }

    fn epoch(&mut self, record: &EpochRecord) {
        self.observer.epoch(record);
    }

    fn stop(&self) -> bool {
        self.observer.stop()
    }

    fn save(&self) -> bool {
        self.observer.save()
    }

    fn note(&mut self, message: &str) {
        // A note that cannot be logged, for example on a full disk, does not stop the training.
        let _ = self.folder.log(message);
        self.observer.note(message);
    }
}

/// Writes summary and report of the sweep in a folder, from the records alone; returns the records and the files of the report.
///
/// # Errors
/// When there are no records, they cannot be read, or a file cannot be written.
pub fn report(store: &Store) -> Result<(SweepRecords, Vec<PathBuf>)> {
    let (records, _, written) = write_report(store, Some(&store.images()), &store.report())?;
    Ok((records, written.files))
}

impl Sweep {
    /// A sweep with its results in `results/NAME`, which need not exist yet.
    #[must_use]
    pub fn new(definition: SweepDefinition, results: &Path) -> Self {
        let store = Store::new(results, &definition.name);
        Self { definition, store, retry: RetryPolicy::default() }
    }

    /// Selects the trials to train again; by default, trials that are done, failed or diverged are not.
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

    /// All trials of the plan ([`plan::plan`]); a trial that has results keeps the name of its folder.
    ///
    /// # Errors
    /// Same errors as [`plan::plan`].
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

    /// Trains every unfinished trial from its last checkpoint, one after another; then writes summary and report. A trial
    /// that diverges is a result. If the observer requests a stop, progress is saved and the records so far are returned;
    /// the next call resumes.
    ///
    /// # Errors
    /// When the plan is impossible, a record cannot be written, or trials are pruned or drawn by the results of others.
    /// When a trial fails, the others are still trained, summary and report are written, and the first failure is the error;
    /// see [`Sweep::retry`].
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
        let ids = trials.iter().map(|trial| trial.id.clone()).collect();
        write_definition(&self.store, &self.definition, ids, &name, rayon::current_num_threads())?;
        let actions = trials.iter().map(|trial| self.action(trial)).collect::<Result<Vec<_>>>()?;
        let leader_of = self.leaders(&trials, &actions)?;
        let (leading, following): (Vec<usize>, Vec<usize>) =
            (0..trials.len()).partition(|index| !leader_of.contains_key(index));
        let mut failure = None;
        for index in leading.into_iter().chain(following) {
            let (trial, folder) = (&trials[index], self.store.trial(&trials[index].id));
            match actions[index] {
                Action::Skip => continue,
                Action::Continue => {}
                Action::StartAnew => folder.clear()?,
                Action::Restore => folder.set_aside()?,
            }
            let file = trial.file()?;
            folder.begin(file.clone())?;
            if !has_checkpoint(&folder) {
                let leader = leader_of.get(&index).map(|leader| self.store.trial(&trials[*leader].id));
                let is_served = match leader {
                    Some(leader) => take_over(&leader, &folder, &file, &trial.config)?,
                    None => false,
                };
                let led = leader_of.iter().filter(|(_, leader)| !is_served && **leader == index);
                lead(&folder, &led.map(|(follower, _)| trials[*follower].file()).collect::<Result<Vec<_>>>()?)?;
            }
            match trial::train(&folder, &Attempt::on(device), &mut LoggedNotes { folder: &folder, observer })? {
                Ended::Finished | Ended::Diverged => {}
                Ended::Stopped => return write_summary(&self.store),
                Ended::Failed(error) => failure = failure.or(Some(error.at(&trial.id))),
            }
        }
        let (records, _) = self.report()?;
        failure.map_or(Ok(records), Err)
    }

    /// What is to be done with a trial.
    fn action(&self, trial: &Trial) -> Result<Action> {
        let folder = self.store.trial(&trial.id);
        // An incomplete status was being written when its process died.
        let status = folder.status().ok();
        let state = match status.as_ref().map_or(State::Running, |status| status.state) {
            // Nothing prunes trials here, so it was only interrupted.
            State::Pruned => State::Interrupted,
            state => state,
        };
        let damage = status.as_ref().map_or(Ok(None), |status| folder.damage(status))?;
        Ok(match action(state, self.retry) {
            Action::StartAnew => Action::StartAnew,
            _ if damage.is_some() => Action::Restore,
            wanted => wanted,
        })
    }

    /// The leader of each trial that differs from it in the decoder alone, by their indices.
    fn leaders(&self, trials: &[Trial], actions: &[Action]) -> Result<BTreeMap<usize, usize>> {
        let member = |(trial, action): (&Trial, &Action)| {
            let folder = self.store.trial(&trial.id);
            let has_begun = matches!(action, Action::Skip | Action::Continue) && has_checkpoint(&folder);
            let shared = shared_training(&trial.config, &trial.content)?;
            let is_new = *action != Action::Skip && !has_begun;
            Ok(Member { id: trial.id.clone(), shared, is_new, keeps: folder.followers()? })
        };
        Ok(leaders(&trials.iter().zip(actions).map(member).collect::<Result<Vec<_>>>()?))
    }

    /// The records so far.
    ///
    /// # Errors
    /// When there are none, or they cannot be read.
    pub fn records(&self) -> Result<SweepRecords> {
        load::load(&self.store)
    }

    /// Writes summary and report from the records alone; returns the records and the files of the report.
    ///
    /// # Errors
    /// Same errors as [`Sweep::records`], or when a file cannot be written.
    pub fn report(&self) -> Result<(SweepRecords, Vec<PathBuf>)> {
        report(&self.store)
    }
}
