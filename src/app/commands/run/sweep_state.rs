//! State of every trial of the plan, and its consequences: trials to prune and points to draw.

use std::collections::BTreeMap;

use sweep_core::error::{Error, Result};
use sweep_core::note;
use sweep_data::flips::Sides;
use sweep_data::{DatasetContent, DatasetSpec};
use sweep_experiment::definition::SweepDefinition;
use sweep_experiment::prune::{self, Audit, Decision, History};
use sweep_experiment::records::{EpochRecord, State, TrialStatus};
use sweep_experiment::search::{Ended, Results, SearchSpec};
use sweep_experiment::store::{Names, Store, TrialStore};
use sweep_planning::config::TrialConfig;
use sweep_planning::plan::{Grown, Trial, grow};
use sweep_runner::scheduler::{Action, PruneAction, RetryPolicy, Slot, Task, action};

use super::ancestors::Ancestors;
use super::rerun::Rerun;
use super::sharing::Sharing;
use super::slots::Estimates;
use crate::sweep::write_definition;

/// A trial of the plan.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) trial: Trial,
    pub(super) state: State,
    pub(super) action: Action,
}

/// The plan of a sweep with the state of each trial.
pub(super) struct SweepState<'a> {
    pub(super) definition: &'a SweepDefinition,
    pub(super) store: &'a Store,
    pub(super) retry: RetryPolicy,
    /// The rerun that is under way, for `--rerun`.
    rerun: Rerun,
    datasets: DatasetHashes<'a>,
    /// Names of the trials that the folder held before.
    existing_names: Names,
    /// Finished trials of earlier definitions.
    pub(super) ancestors: Ancestors,
    /// Whether trials that differ in their decoder alone share a training.
    pub(super) shares_trainings: bool,
    /// Which trials train for which.
    pub(super) sharing: Sharing,
    /// In the order of the plan.
    pub(super) entries: Vec<Entry>,
    index_by_trial: BTreeMap<String, usize>,
    /// Landmark errors of every trial; empty if nothing depends on them.
    histories: Vec<History>,
    /// Trials that were reported as spared from pruning, which happens once.
    reported_spared: Vec<String>,
    /// Number of points that the search has still to draw.
    undrawn_points: usize,
}

impl<'a> SweepState<'a> {
    /// Plans the sweep and reads the state of its trials.
    pub(super) fn open(definition: &'a SweepDefinition, store: &'a Store, retry: RetryPolicy) -> Result<Self> {
        let names = store.trials()?;
        let existing_names = Names::of(&names);
        let datasets = DatasetHashes { store, names, known: Vec::new(), missing: None };
        let mut state = Self {
            rerun: Rerun::open(store)?,
            definition,
            store,
            retry,
            datasets,
            existing_names,
            ancestors: Ancestors::default(),
            shares_trainings: true,
            sharing: Sharing::default(),
            entries: Vec::new(),
            index_by_trial: BTreeMap::new(),
            histories: Vec::new(),
            reported_spared: Vec::new(),
            undrawn_points: 1,
        };
        while !state.grow()?.is_empty() {}
        state.reopen_pruned();
        Ok(state)
    }

    /// Number of points that an adaptive search has still to draw.
    pub(super) fn undrawn_points(&self) -> usize {
        self.undrawn_points
    }

    /// Refuses a sweep with unfinished trials whose data set is missing, before anything is written.
    pub(super) fn check_datasets(&mut self) -> Result<()> {
        let missing = self.datasets.missing.take();
        missing.filter(|_| self.unfinished().next().is_some()).map_or(Ok(()), Err)
    }

    /// The trials that are to be trained.
    pub(super) fn unfinished(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.action != Action::Skip)
    }

    /// A trial's entry in the queue.
    pub(super) fn task(&self, index: usize, estimates: &Estimates) -> Task {
        let trial = &self.entries[index].trial;
        let [memory_mib, gpu_mib] = estimates.memory_mib(&trial.config);
        Task { trial: trial.id.clone(), memory_mib, gpu_mib }
    }

    /// Writes `sweep.toml` with the present plan.
    pub(super) fn write_sweep_file(&self, slots: &[Slot]) -> Result<()> {
        let mut devices: Vec<&str> = slots.iter().map(|slot| slot.device.as_str()).collect();
        devices.dedup();
        let threads = slots.iter().map(|slot| slot.threads).max().unwrap_or(1);
        let trials = self.entries.iter().map(|entry| entry.trial.id.clone()).collect();
        write_definition(self.store, self.definition, trials, &devices.join(", "), threads)
    }

    /// Brings `trial.toml` of every trial that has one and keeps its results up to date.
    pub(super) fn update_trial_files(&self) -> Result<()> {
        for entry in self.entries.iter().filter(|entry| !matches!(entry.action, Action::StartAnew | Action::Restore)) {
            let folder = self.store.trial(&entry.trial.id);
            if folder.has_begun() {
                folder.begin(entry.trial.file()?)?;
            }
        }
        Ok(())
    }

    /// Index of a trial in the plan.
    pub(super) fn index(&self, trial: &str) -> Option<usize> {
        self.index_by_trial.get(trial).copied()
    }

    pub(super) fn entry(&self, trial: &str) -> Result<&Entry> {
        self.index(trial)
            .map(|index| &self.entries[index])
            .ok_or_else(|| Error::results(format!("trial {trial} is not in the plan")))
    }

    /// Draws the points that can be drawn now; returns the indices of the new trials.
    pub(super) fn grow(&mut self) -> Result<Vec<usize>> {
        if self.undrawn_points == 0 {
            return Ok(Vec::new());
        }
        let results = self.results();
        let Grown { trials, open } = grow(self.definition, &results, &mut |dataset| self.datasets.content(dataset))?;
        self.undrawn_points = open;
        let first = self.entries.len();
        for mut trial in trials.into_iter().skip(first) {
            if let Some(id) = self.existing_names.existing_id(self.store, &trial.id, &trial.identity) {
                id.clone_into(&mut trial.id);
            }
            let (state, action, history) = self.inspect(&trial)?;
            self.histories.extend(history);
            self.index_by_trial.insert(trial.id.clone(), self.entries.len());
            self.entries.push(Entry { trial, state, action });
        }
        Ok((first..self.entries.len()).collect())
    }

    /// State of a trial, the action that it needs, and its errors so far if anything depends on them.
    fn inspect(&self, trial: &Trial) -> Result<(State, Action, Option<History>)> {
        let folder = self.store.trial(&trial.id);
        // An incomplete status was being written when its process died.
        let status = folder.status().ok();
        let mut state = status.as_ref().map_or(State::Running, |status| status.state);
        if state == State::Pruned && self.definition.prune.is_none() {
            // Nothing prunes it any more, so it was only interrupted.
            state = State::Interrupted;
        }
        let retry = RetryPolicy { rerun: self.retry.rerun && self.rerun.has(&trial.id), ..self.retry };
        let action = match action(state, retry) {
            Action::StartAnew => Action::StartAnew,
            wanted => match damage(&folder, status.as_ref())? {
                Some(_) if !(self.retry.resume_only && wanted == Action::Skip) => Action::Restore,
                _ => wanted,
            },
        };
        if !self.follows_errors() {
            return Ok((state, action, None));
        }
        let begun = !matches!(action, Action::StartAnew | Action::Restore) && state != State::Pending;
        let records = if begun { folder.readable_epochs()?.0 } else { Vec::new() };
        let history = History {
            trial: trial.id.clone(),
            // Errors on different data are not comparable.
            group: trial.content.clone(),
            costs: records.iter().map(|record| trial.config.objective.cost(record)).collect(),
            over: action == Action::Skip && state.is_settled(),
            finished: state == State::Done,
        };
        Ok((state, action, Some(history)))
    }

    /// Reads the state of every trial again, and draws new points.
    pub(super) fn refresh(&mut self) -> Result<()> {
        for index in 0..self.entries.len() {
            let (state, action, history) = self.inspect(&self.entries[index].trial)?;
            (self.entries[index].state, self.entries[index].action) = (state, action);
            if let Some(history) = history {
                self.histories[index] = history;
            }
        }
        while !self.grow()?.is_empty() {}
        self.reopen_pruned();
        Ok(())
    }

    /// Marks the pruned trials to be trained on that the present `[prune]` would not stop, because it was loosened or other
    /// trials ended otherwise; returns their indices.
    pub(super) fn reopen_pruned(&mut self) -> Vec<usize> {
        let decisions = self.decisions();
        let is_open = |(index, entry): (usize, &Entry)| {
            let is_pruned = entry.state == State::Pruned && entry.action == Action::Skip;
            (is_pruned && !matches!(decisions.get(index), Some(Decision::Prune { .. }))).then_some(index)
        };
        let open: Vec<usize> = self.entries.iter().enumerate().filter_map(is_open).collect();
        for index in &open {
            (self.entries[*index].state, self.entries[*index].action) = (State::Interrupted, Action::Continue);
            if let Some(history) = self.histories.get_mut(*index) {
                history.over = false;
            }
        }
        open
    }

    /// Starts the rerun of all trials, or goes on with one that was interrupted; without `--rerun`, ends one.
    pub(super) fn begin_rerun(&mut self) -> Result<()> {
        if !self.retry.rerun {
            return self.rerun.end();
        }
        if self.rerun.is_under_way() {
            note!("going on with the rerun that was interrupted");
        }
        self.rerun.begin()
    }

    /// Records that no trial of a rerun is left.
    pub(super) fn end_rerun(&mut self) -> Result<()> {
        self.rerun.end()
    }

    /// Number of trials in the folder that the present definition does not have.
    pub(super) fn others(&self) -> Result<usize> {
        Ok(self.store.trials()?.iter().filter(|id| self.index(id).is_none()).count())
    }

    /// Whether trials depend on the landmark errors of others.
    fn follows_errors(&self) -> bool {
        self.definition.prune.is_some() || self.definition.search.as_ref().is_some_and(SearchSpec::is_adaptive)
    }

    /// Results of the trials that ended, for an adaptive search.
    fn results(&self) -> Results {
        let decisions = self.decisions();
        let mut results = Results::new();
        for (index, (entry, history)) in self.entries.iter().zip(&self.histories).enumerate() {
            if !history.over {
                continue;
            }
            // It is chance how many more epochs a pruned trial ran until it was stopped, or whether it was done before.
            let epochs = match decisions.get(index) {
                Some(Decision::Prune { epoch, .. }) => *epoch as usize,
                _ => usize::MAX,
            };
            let costs = history.costs.iter().take(epochs).copied().filter(|cost| !cost.is_nan());
            let ended = match entry.state {
                State::Diverged => Ended::Diverged,
                State::Done | State::TimedOut | State::Pruned => {
                    costs.reduce(f64::min).map_or(Ended::Failed, Ended::Cost)
                }
                State::Failed | State::Pending | State::Running | State::Interrupted => Ended::Failed,
            };
            results.insert(entry.trial.identity.clone(), ended);
        }
        results
    }

    fn decisions(&self) -> Vec<Decision> {
        self.definition.prune.map_or_else(Vec::new, |spec| prune::decide(&spec, &self.histories))
    }

    /// Adds a trial's new epoch; returns its consequences for all trials.
    pub(super) fn epoch(&mut self, trial: &str, record: &EpochRecord) -> Vec<(String, PruneAction)> {
        let Some(index) = self.index(trial) else { return Vec::new() };
        let objective = self.entries[index].trial.config.objective;
        let Some(history) = self.histories.get_mut(index) else { return Vec::new() };
        history.costs.truncate(record.epoch.saturating_sub(1) as usize);
        history.costs.push(objective.cost(record));
        let mut steers = Vec::new();
        for (history, decision) in self.histories.iter().zip(self.decisions()).filter(|(history, _)| !history.over) {
            let steer = match decision {
                Decision::Continue => continue,
                Decision::Prune { reason, .. } => PruneAction::Prune(reason),
                Decision::Spare { .. } if self.reported_spared.contains(&history.trial) => continue,
                Decision::Spare { reason, .. } => {
                    self.reported_spared.push(history.trial.clone());
                    PruneAction::Audit(reason)
                }
            };
            steers.push((history.trial.clone(), steer));
        }
        steers
    }

    /// Reads a trial's errors again, after it got records that it did not train.
    pub(super) fn reread_errors(&mut self, trial: &str) -> Result<()> {
        let Some(index) = self.index(trial) else { return Ok(()) };
        let (records, _) = self.store.trial(trial).readable_epochs()?;
        let objective = self.entries[index].trial.config.objective;
        if let Some(history) = self.histories.get_mut(index) {
            history.costs = records.iter().map(|record| objective.cost(record)).collect();
        }
        Ok(())
    }

    /// Records that a trial starts anew.
    pub(super) fn restarted(&mut self, trial: &str) -> Result<()> {
        self.rerun.begun(trial)?;
        if let Some(history) = self.index(trial).and_then(|index| self.histories.get_mut(index)) {
            history.costs.clear();
        }
        Ok(())
    }

    /// Records how a trial ended.
    pub(super) fn ended(&mut self, trial: &str, state: State) {
        let Some(index) = self.index(trial) else { return };
        self.entries[index].state = state;
        self.entries[index].action = Action::Skip;
        if let Some(history) = self.histories.get_mut(index) {
            history.over = state.is_settled();
            history.finished = state == State::Done;
        }
    }

    /// Marks a failed trial to be trained again, as `--retry-failed` does; returns its index. `None` if it did not fail, or a
    /// search may have drawn later points by its failure.
    pub(super) fn retry(&mut self, trial: &str) -> Option<usize> {
        let index = self.index(trial)?;
        if self.definition.search.as_ref().is_some_and(SearchSpec::is_adaptive) {
            return None;
        }
        let entry = &mut self.entries[index];
        if !entry.state.is_failure() {
            return None;
        }
        entry.action = action(entry.state, RetryPolicy { retry_failed: true, ..RetryPolicy::default() });
        entry.state = State::Pending;
        if let Some(history) = self.histories.get_mut(index) {
            history.over = false;
        }
        Some(index)
    }

    /// Number of trials that were interrupted and did not resume.
    pub(super) fn interrupted(&self) -> usize {
        self.entries.iter().filter(|entry| entry.state == State::Interrupted).count()
    }

    /// How often pruning was wrong, estimated from the spared trials.
    pub(super) fn audit(&self) -> Option<Audit> {
        self.definition.prune.map(|spec| prune::audit(&spec, &self.histories))
    }
}

/// Damage of a trial that has begun: of its configuration, or of the records of one that is done.
fn damage(folder: &TrialStore, status: Option<&TrialStatus>) -> Result<Option<String>> {
    if !folder.has_begun() {
        return Ok(None);
    }
    if let Err(error) = folder.trial_file() {
        return Ok(Some(error.message));
    }
    status.map_or(Ok(None), |status| folder.damage(status))
}

/// Content hashes of data sets. The hash of a missing data set is taken from the trials that were planned on it.
struct DatasetHashes<'a> {
    store: &'a Store,
    names: Vec<String>,
    known: Vec<(DatasetSpec, DatasetContent)>,
    missing: Option<Error>,
}

impl DatasetHashes<'_> {
    /// The landmarks that change sides in a mirror, as far as trials on this data set recorded them.
    fn recorded_sides(&self, dataset: &DatasetSpec) -> Sides {
        let mut files = self.names.iter().filter_map(|id| self.store.trial(id).trial_file().ok());
        let pairs = files.find_map(|file| {
            let config = TrialConfig::recorded(&file).ok().filter(|config| config.dataset == *dataset)?;
            config.augment.flip_pairs
        });
        Sides { landmarks: pairs.iter().flatten().flatten().cloned().collect(), flip_pairs: pairs }
    }

    fn content(&mut self, dataset: &DatasetSpec) -> Result<DatasetContent> {
        if let Some((_, content)) = self.known.iter().find(|(known, _)| known == dataset) {
            return Ok(content.clone());
        }
        let content = dataset.content().or_else(|error| {
            let mut files = self.names.iter().filter_map(|id| self.store.trial(id).trial_file().ok());
            match files.find(|file| TrialConfig::recorded(file).is_ok_and(|config| config.dataset == *dataset)) {
                Some(file) => {
                    self.missing.get_or_insert(error);
                    // Its trials were planned, so their objective can be measured.
                    let (unit, hash, measures) = (file.unit, file.dataset_hash, file.measures);
                    let sides = self.recorded_sides(dataset);
                    Ok(DatasetContent { hash, unit, is_normalised: true, sides, measures })
                }
                None => Err(error),
            }
        })?;
        self.known.push((dataset.clone(), content.clone()));
        Ok(content)
    }
}
