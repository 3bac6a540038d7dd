//! The plan of a sweep with what is known of each trial, and what follows from that: trials to prune, points to draw.

use std::collections::BTreeMap;

use sweep_core::error::{Error, Result};
use sweep_data::DatasetSpec;
use sweep_experiment::definition::SweepDefinition;
use sweep_experiment::prune::{self, Audit, Decision, History};
use sweep_experiment::records::{EpochRecord, State};
use sweep_experiment::search::{Ended, Results, SearchSpec};
use sweep_experiment::store::{Names, Store};
use sweep_planning::config::TrialConfig;
use sweep_planning::plan::{Grown, Trial, grow};
use sweep_runner::scheduler::{Action, RetryPolicy, Steer, action};

/// One trial of the plan.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) trial: Trial,
    pub(super) state: State,
    pub(super) action: Action,
}

/// The plan, in its order.
pub(super) struct SweepState<'a> {
    definition: &'a SweepDefinition,
    store: &'a Store,
    wish: RetryPolicy,
    contents: Contents<'a>,
    /// Names of the trials that lay there before, by the digits of their identity.
    there: Names,
    pub(super) entries: Vec<Entry>,
    places: BTreeMap<String, usize>,
    /// Landmark errors of every trial; empty where nothing depends on them.
    histories: Vec<History>,
    /// Trials whose pruning was told of already: spared ones are told of once.
    told: Vec<String>,
    /// Points still to be drawn.
    open: usize,
}

impl<'a> SweepState<'a> {
    /// All that is known by now.
    pub(super) fn open(definition: &'a SweepDefinition, store: &'a Store, wish: RetryPolicy) -> Result<Self> {
        let names = store.trials()?;
        let there = Names::of(&names);
        let contents = Contents { store, names, known: Vec::new(), missing: None };
        let mut book = Self {
            definition,
            store,
            wish,
            contents,
            there,
            entries: Vec::new(),
            places: BTreeMap::new(),
            histories: Vec::new(),
            told: Vec::new(),
            open: 1,
        };
        while !book.grow()?.is_empty() {}
        Ok(book)
    }

    /// Points still to be drawn, by a search that learns.
    pub(super) fn open_points(&self) -> usize {
        self.open
    }

    /// The data set that is gone though trials are left that need it, if there is one.
    pub(super) fn missing(&mut self) -> Option<Error> {
        self.contents.missing.take()
    }

    pub(super) fn place(&self, trial: &str) -> Option<usize> {
        self.places.get(trial).copied()
    }

    pub(super) fn entry(&self, trial: &str) -> Result<&Entry> {
        self.place(trial)
            .map(|place| &self.entries[place])
            .ok_or_else(|| Error::results(format!("trial {trial} is not in the plan")))
    }

    /// Draws what can be drawn now: the places of the new trials.
    pub(super) fn grow(&mut self) -> Result<Vec<usize>> {
        if self.open == 0 {
            return Ok(Vec::new());
        }
        let results = self.results();
        let Grown { trials, open } = grow(self.definition, &results, &mut |dataset| self.contents.of(dataset))?;
        self.open = open;
        let first = self.entries.len();
        for mut trial in trials.into_iter().skip(first) {
            if let Some(id) = self.there.existing_id(self.store, &trial.id, &trial.identity) {
                id.clone_into(&mut trial.id);
            }
            let (state, action, history) = self.look(&trial)?;
            self.histories.extend(history);
            self.places.insert(trial.id.clone(), self.entries.len());
            self.entries.push(Entry { trial, state, action });
        }
        Ok((first..self.entries.len()).collect())
    }

    /// Where a trial stands, what is to be done with it, and its errors so far if anything depends on them.
    fn look(&self, trial: &Trial) -> Result<(State, Action, Option<History>)> {
        let folder = self.store.trial(&trial.id);
        // A status that is torn was being written when its process died.
        let state = folder.status().map_or(State::Running, |status| status.state);
        let action = action(state, self.wish);
        if !self.follows_errors() {
            return Ok((state, action, None));
        }
        let begun = action != Action::StartAnew && state != State::Pending;
        let records = if begun { folder.readable_epochs()?.0 } else { Vec::new() };
        let history = History {
            trial: trial.id.clone(),
            // Errors on other data are other errors.
            group: trial.content.clone(),
            costs: records.iter().map(|record| self.definition.objective.cost(record)).collect(),
            over: action == Action::Leave && state.is_settled(),
        };
        Ok((state, action, Some(history)))
    }

    /// TtaViews at every trial again, and for new ones.
    pub(super) fn look_again(&mut self) -> Result<()> {
        for place in 0..self.entries.len() {
            let (state, action, history) = self.look(&self.entries[place].trial)?;
            (self.entries[place].state, self.entries[place].action) = (state, action);
            if let Some(history) = history {
                self.histories[place] = history;
            }
        }
        while !self.grow()?.is_empty() {}
        Ok(())
    }

    /// Whether anything depends on the landmark errors of others.
    fn follows_errors(&self) -> bool {
        self.definition.prune.is_some() || self.definition.search.as_ref().is_some_and(SearchSpec::is_adaptive)
    }

    /// How trials ended, for a search that learns from it.
    fn results(&self) -> Results {
        let decisions = self.decisions();
        let mut results = Results::new();
        for (place, (entry, history)) in self.entries.iter().zip(&self.histories).enumerate() {
            if !history.over {
                continue;
            }
            // How many epochs more a pruned trial ran until it was told, or whether it was done before, is chance.
            let epochs = match decisions.get(place) {
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

    /// Takes in a trial's new epoch and says what follows for every trial.
    pub(super) fn epoch(&mut self, trial: &str, record: &EpochRecord) -> Vec<(String, Steer)> {
        let Some(history) = self.place(trial).and_then(|place| self.histories.get_mut(place)) else {
            return Vec::new();
        };
        history.costs.truncate(record.epoch.saturating_sub(1) as usize);
        history.costs.push(self.definition.objective.cost(record));
        let mut steers = Vec::new();
        for (history, decision) in self.histories.iter().zip(self.decisions()).filter(|(history, _)| !history.over) {
            let steer = match decision {
                Decision::Continue => continue,
                Decision::Prune { reason, .. } => Steer::Prune(reason),
                Decision::Spare { .. } if self.told.contains(&history.trial) => continue,
                Decision::Spare { reason, .. } => {
                    self.told.push(history.trial.clone());
                    Steer::Audit(reason)
                }
            };
            steers.push((history.trial.clone(), steer));
        }
        steers
    }

    /// Takes note that a trial begins anew.
    pub(super) fn forget(&mut self, trial: &str) {
        if let Some(history) = self.place(trial).and_then(|place| self.histories.get_mut(place)) {
            history.costs.clear();
        }
    }

    /// Takes note of how a trial ended.
    pub(super) fn ended(&mut self, trial: &str, state: State) {
        let Some(place) = self.place(trial) else { return };
        self.entries[place].state = state;
        self.entries[place].action = Action::Leave;
        if let Some(history) = self.histories.get_mut(place) {
            history.over = state.is_settled();
        }
    }

    /// Has a trial that failed trained again, as `--retry-failed` would; its place, if it did fail and no later point was
    /// drawn in view of that.
    pub(super) fn again(&mut self, trial: &str) -> Option<usize> {
        let place = self.place(trial)?;
        if self.definition.search.as_ref().is_some_and(SearchSpec::is_adaptive) {
            return None;
        }
        let entry = &mut self.entries[place];
        if !entry.state.is_failure() {
            return None;
        }
        entry.action = action(entry.state, RetryPolicy { retry_failed: true, ..RetryPolicy::default() });
        entry.state = State::Pending;
        if let Some(history) = self.histories.get_mut(place) {
            history.over = false;
        }
        Some(place)
    }

    /// Trials that were interrupted and did not go on.
    pub(super) fn interrupted(&self) -> usize {
        self.entries.iter().filter(|entry| entry.state == State::Interrupted).count()
    }

    /// How often pruning was wrong, as far as spared trials tell.
    pub(super) fn audit(&self) -> Option<Audit> {
        self.definition.prune.map(|spec| prune::audit(&spec, &self.histories))
    }
}

/// What data sets hold; of one that is gone, what it held when the trials that lie there were planned.
struct Contents<'a> {
    store: &'a Store,
    names: Vec<String>,
    known: Vec<(DatasetSpec, String)>,
    missing: Option<Error>,
}

impl Contents<'_> {
    fn of(&mut self, dataset: &DatasetSpec) -> Result<String> {
        if let Some((_, content)) = self.known.iter().find(|(known, _)| known == dataset) {
            return Ok(content.clone());
        }
        let content = dataset.content_hash().or_else(|error| {
            let mut files = self.names.iter().filter_map(|id| self.store.trial(id).trial_file().ok());
            match files.find(|file| TrialConfig::recorded(file).is_ok_and(|config| config.dataset == *dataset)) {
                Some(file) => {
                    self.missing.get_or_insert(error);
                    Ok(file.dataset_hash)
                }
                None => Err(error),
            }
        })?;
        self.known.push((dataset.clone(), content.clone()));
        Ok(content)
    }
}
