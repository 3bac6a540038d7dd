//! MLflow: an experiment per sweep, a run per configuration and, nested in it, one per trial; and one for the report.
//!
//! Nothing is remembered here of what was sent: the server is asked. A run is found again by its tags, and belongs to the
//! records that lie here if it has no other numbers than they. So whatever was lost on the way, a request or an answer, a
//! number is there once; and a training that was done over, with other numbers, is a run of its own.

mod payload;
mod runs;
mod server;

use std::collections::BTreeMap;

use self::payload::{KNOWN_BY, agree, files, hash, is_same, looks, metrics, parameters, status, summary};
use self::runs::{Logged, Run, tag};
use self::server::{Server, variable};
use super::snapshot::Snapshot;
use super::tracker_sync::{Sweep, Tracker};
use sweep_core::error::Result;
use sweep_experiment::records::State;
use sweep_experiment::store;

/// A tracking server, and what it has.
pub(super) struct Mlflow {
    server: Server,
    /// The experiment's name, where it is not the sweep's.
    experiment: Option<String>,
    has: Option<Has>,
    /// What is known of trials: their configuration, state, and landmark errors at the best and at the last epoch.
    facts: BTreeMap<String, (String, State, [f64; 2])>,
    /// The last sign of life of any of them, seconds since 1970.
    ended: f64,
    notes: Vec<String>,
    noted: bool,
}

/// What the server has, as far as it was asked.
struct Has {
    experiment: String,
    runs: Vec<Run>,
    /// Of trials that were told of: the run's place, and its values of [`KNOWN_BY`] by step.
    trials: BTreeMap<String, (usize, BTreeMap<i64, f64>)>,
}

impl Mlflow {
    /// The server at an address, or else where the environment says.
    pub(super) fn new(address: Option<&str>) -> Result<Self> {
        Ok(Self {
            server: Server::new(address)?,
            experiment: variable("MLFLOW_EXPERIMENT_NAME"),
            has: None,
            facts: BTreeMap::new(),
            ended: 0.0,
            notes: Vec::new(),
            noted: false,
        })
    }

    /// What the server has; asked once, and again after an error.
    fn has(&mut self, sweep: &Sweep<'_>) -> Result<&mut Has> {
        let has = if let Some(has) = self.has.take() {
            has
        } else {
            let name = self.experiment.as_deref().unwrap_or(&sweep.file.name);
            let experiment = self.server.experiment(name, sweep.file.question.as_deref())?;
            let runs = self.server.runs(&experiment, &sweep.file.name)?;
            Has { experiment, runs, trials: BTreeMap::new() }
        };
        Ok(self.has.insert(has))
    }

    /// The place of the run with these tags, begun if there is none.
    fn run(&mut self, sweep: &Sweep<'_>, role: &str, name: &str, begun: f64, tags: &[(&str, String)]) -> Result<usize> {
        let is_it = |run: &Run| run.has(tag::ROLE, role) && tags.iter().all(|(key, value)| run.has(key, value));
        if let Some(place) = self.has(sweep)?.runs.iter().position(is_it) {
            return Ok(place);
        }
        self.begin(sweep, role, name, begun, tags)
    }

    fn begin(
        &mut self,
        sweep: &Sweep<'_>,
        role: &str,
        name: &str,
        begun: f64,
        tags: &[(&str, String)],
    ) -> Result<usize> {
        let fact = |key: &str| sweep.file.provenance.get(key).and_then(toml::Value::as_str).map(str::to_owned);
        let mut all = vec![
            (tag::SWEEP, sweep.file.name.clone()),
            (tag::ROLE, role.to_owned()),
            ("mlflow.source.name", format!("landmark-sweep {}", fact("version").unwrap_or_default())),
            ("mlflow.source.type", "LOCAL".to_owned()),
        ];
        all.extend(fact("commit").map(|commit| ("mlflow.source.git.commit", commit)));
        all.extend(tags.iter().cloned());
        let experiment = self.has(sweep)?.experiment.clone();
        let run = self.server.begin(&experiment, name, begun, &all)?;
        let has = self.has(sweep)?;
        has.runs.push(run);
        Ok(has.runs.len() - 1)
    }

    /// The place of a trial's run: one that has no other numbers than the trial, or else a new one.
    fn run_of(&mut self, sweep: &Sweep<'_>, trial: &Snapshot, complete: Option<&str>) -> Result<usize> {
        if let Some((place, values)) = self.has(sweep)?.trials.get(&trial.id)
            && agree(values, &trial.epochs)
        {
            return Ok(*place);
        }
        let is_it =
            |(_, run): &(usize, &Run)| run.has(tag::TRIAL, &trial.id) && run.has(tag::IDENTITY, &trial.file.identity);
        let places: Vec<(usize, String)> =
            self.has(sweep)?.runs.iter().enumerate().filter(is_it).map(|(p, r)| (p, r.id.clone())).collect();
        for (place, run) in places {
            let is_told = complete
                .is_some_and(|hash| self.has.as_ref().is_some_and(|has| has.runs[place].has(tag::COMPLETE, hash)));
            let values = if is_told {
                trial.epochs.iter().map(|epoch| (i64::from(epoch.epoch), epoch.train_loss)).collect()
            } else {
                self.server.history(&run, KNOWN_BY)?
            };
            if agree(&values, &trial.epochs) {
                self.has(sweep)?.trials.insert(trial.id.clone(), (place, values));
                return Ok(place);
            }
        }
        let begun = trial.wall_times().first().map_or(trial.status.live.written as f64, |(begun, _)| *begun);
        let configuration = trial.configuration();
        let parent =
            self.run(sweep, "configuration", &configuration, begun, &[(tag::CONFIGURATION, configuration.clone())])?;
        let parent = self.has(sweep)?.runs[parent].id.clone();
        let tags = [
            (tag::TRIAL, trial.id.clone()),
            (tag::IDENTITY, trial.file.identity.clone()),
            (tag::CONFIGURATION, configuration),
            (tag::PARENT, parent),
        ];
        let place = self.begin(sweep, "trial", &trial.id, begun, &tags)?;
        self.has(sweep)?.trials.insert(trial.id.clone(), (place, BTreeMap::new()));
        Ok(place)
    }

    /// Leaves files with the server, if it takes any.
    fn leave(&mut self, run: &Run, files: &[(String, Vec<u8>)]) -> Result<()> {
        let Some(path) = run.artifacts.strip_prefix("mlflow-artifacts:/").filter(|path| !path.starts_with('/')) else {
            if !std::mem::replace(&mut self.noted, true) {
                self.notes.push(format!(
                    "MLflow at {}: files are not sent: it has clients store them at {}; start it with --serve-artifacts",
                    self.server.name(),
                    run.artifacts
                ));
            }
            return Ok(());
        };
        for (name, bytes) in files {
            self.server.put(&format!("{path}/{name}"), bytes)?;
        }
        Ok(())
    }

    /// Adds what a trial came to, at its last epoch.
    fn sum_up(&mut self, run: &Run, trial: &Snapshot) -> Result<()> {
        let (Some(last), Some((_, ended))) = (trial.epochs.last(), trial.wall_times().last().copied()) else {
            return Ok(());
        };
        let summary = summary(trial);
        let values = [
            ("best_val_mre_mm", summary.best_val_mre_mm),
            ("best_epoch", summary.best_epoch.map_or(f64::NAN, f64::from)),
            ("val_mre_at_best_loss_mm", summary.val_mre_at_best_loss_mm),
            ("selection_regret_mm", summary.selection_regret_mm),
            ("best_val_loss", summary.best_val_loss),
            ("collapsed", summary.collapsed.map_or(f64::NAN, |collapsed| f64::from(u8::from(collapsed)))),
        ];
        if summary.best_epoch.is_none() {
            return Ok(());
        }
        let step = i64::from(last.epoch);
        let known = self.server.history(&run.id, values[0].0)?;
        if known.contains_key(&step) {
            return Ok(());
        }
        let metrics = values.map(|(key, value)| Logged { key, value, step, time: ended });
        self.server.add_metrics(&run.id, &metrics)
    }

    /// Mean and standard deviation of a configuration's trials, once all are over.
    fn average(&mut self, sweep: &Sweep<'_>, configuration: &str) -> Result<()> {
        let ended = self.ended;
        let of_it = || self.facts.values().filter(|(of, ..)| of == configuration);
        let over = of_it().all(|(_, state, _)| state.is_settled()) && self.facts.len() == sweep.file.trials.len();
        let errors: Vec<[f64; 2]> =
            of_it().filter(|(_, state, _)| *state == State::Done).map(|(.., errors)| *errors).collect();
        let tags = [(tag::CONFIGURATION, configuration.to_owned())];
        let place = self.run(sweep, "configuration", configuration, ended, &tags)?;
        let mut run = self.has(sweep)?.runs[place].clone();
        if over && !errors.is_empty() {
            let number = errors.len() as f64;
            let [best, last] = [0, 1].map(|which| {
                let values = errors.iter().map(|both| both[which]);
                let mean = values.clone().sum::<f64>() / number;
                (mean, (values.map(|value| (value - mean).powi(2)).sum::<f64>() / (number - 1.0)).sqrt())
            });
            let values = [
                ("trials", number),
                ("mean_best_val_mre_mm", best.0),
                ("sd_best_val_mre_mm", best.1),
                ("mean_last_val_mre_mm", last.0),
                ("sd_last_val_mre_mm", last.1),
            ];
            let values: Vec<(&'static str, f64)> = values.into_iter().filter(|(_, value)| !value.is_nan()).collect();
            // Other values than a server keeps are no others: it may round, and has its own idea of what is no number.
            let step = errors.len() as i64;
            let is_known = |(key, value): &(&'static str, f64)| {
                run.metrics
                    .get(*key)
                    .is_some_and(|(there, at)| *at == step && (value.is_nan() || is_same(*there, *value)))
            };
            if !values.iter().all(is_known) {
                let metrics = values.iter().map(|(key, value)| Logged { key, value: *value, step, time: ended });
                let metrics: Vec<Logged> = metrics.collect();
                self.server.add_metrics(&run.id, &metrics)?;
                run.metrics.extend(values.into_iter().map(|(key, value)| (key.to_owned(), (value, step))));
            }
        }
        let status = if over { "FINISHED" } else { "RUNNING" };
        self.server.set_status(&mut run, status, over.then_some(ended))?;
        self.has(sweep)?.runs[place] = run;
        Ok(())
    }

    /// Leaves the report.
    fn report(&mut self, sweep: &Sweep<'_>) -> Result<()> {
        let ended = self.ended;
        let mut files = Vec::new();
        for (name, path) in store::files_in(&sweep.store.report())? {
            files.push((format!("report/{name}"), store::read(&path)?));
        }
        if files.is_empty() {
            return Ok(());
        }
        for path in [sweep.store.definition(), sweep.store.summary()] {
            if path.is_file() {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                files.push((name, store::read(&path)?));
            }
        }
        let hash = hash(files.iter().map(|(_, bytes)| bytes.as_slice()));
        let place = self.run(sweep, "report", "report", ended, &[])?;
        let mut run = self.has(sweep)?.runs[place].clone();
        if !run.has(tag::COMPLETE, &hash) {
            self.leave(&run, &files)?;
            self.server.set_status(&mut run, "FINISHED", Some(ended))?;
            self.server.set_tags(&mut run, &[(tag::COMPLETE, hash)])?;
        }
        self.has(sweep)?.runs[place] = run;
        Ok(())
    }
}

impl Tracker for Mlflow {
    fn trial(&mut self, sweep: &Sweep<'_>, trial: &Snapshot) -> Result<()> {
        let state = trial.status.state;
        let of_it = summary(trial);
        let errors = [of_it.best_val_mre_mm, of_it.last_val_mre_mm];
        self.facts.insert(trial.id.clone(), (trial.configuration(), state, errors));
        self.ended = self.ended.max(trial.status.live.written as f64);
        let hash = if state.is_settled() { Some(looks(trial)?) } else { None };
        let place = self.run_of(sweep, trial, hash.as_deref())?;
        let mut run = self.has(sweep)?.runs[place].clone();
        if let Some(hash) = &hash
            && run.has(tag::COMPLETE, hash)
        {
            return Ok(());
        }
        self.server.add_parameters(&mut run, &parameters(trial)?)?;
        let known = self.has(sweep)?.trials.get(&trial.id).map_or_else(BTreeMap::new, |(_, values)| values.clone());
        let times = trial.wall_times();
        let new = trial.epochs.iter().zip(&times).filter(|(epoch, _)| !known.contains_key(&i64::from(epoch.epoch)));
        let metrics: Vec<Logged> = new.clone().flat_map(|(epoch, (_, ended))| metrics(epoch, *ended)).collect();
        self.server.add_metrics(&run.id, &metrics)?;
        let sent = new.map(|(epoch, _)| (i64::from(epoch.epoch), epoch.train_loss));
        if let Some((_, values)) = self.has(sweep)?.trials.get_mut(&trial.id) {
            values.extend(sent);
        }
        let note = trial.status.message.clone().unwrap_or_default();
        let mut tags = vec![(tag::STATE, state.name().to_owned())];
        if !note.is_empty() || run.tags.contains_key(tag::NOTE) {
            tags.push((tag::NOTE, note));
        }
        let ended = trial.status.live.written as f64;
        self.server.set_status(&mut run, status(state), (status(state) != "RUNNING").then_some(ended))?;
        if let Some(hash) = hash {
            self.sum_up(&run, trial)?;
            self.leave(&run, &files(trial)?)?;
            // Last: who finds it looks no further.
            tags.push((tag::COMPLETE, hash));
        }
        self.server.set_tags(&mut run, &tags)?;
        self.has(sweep)?.runs[place] = run;
        Ok(())
    }

    fn sweep(&mut self, sweep: &Sweep<'_>) -> Result<()> {
        let mut configurations: Vec<String> =
            self.facts.values().map(|(configuration, ..)| configuration.clone()).collect();
        configurations.sort();
        configurations.dedup();
        for configuration in configurations {
            self.average(sweep, &configuration)?;
        }
        if sweep.over { self.report(sweep) } else { Ok(()) }
    }

    fn doubt(&mut self) {
        self.has = None;
    }

    fn is_away(&self) -> bool {
        self.server.is_away
    }

    fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }
}
