//! MLflow: an experiment per sweep, a run per configuration and, nested in it, one per trial; and one for the report.
//!
//! No state of earlier exports is kept: the server is queried. A run is found by its tags and belongs to the local records if
//! its values agree with them. So each value is logged once even if requests or responses are lost, and a repeated training
//! with other values gets a run of its own.

mod payload;
mod runs;
mod server;

use std::collections::BTreeMap;

use self::payload::{
    KNOWN_BY, OF_PATIENTS, agree, files, fingerprint, hash, is_same, metrics, parameters, status, summary,
};
use self::runs::{Logged, Run, tag};
use self::server::{Server, variable};
use super::snapshot::Snapshot;
use super::tracker_sync::{Sweep, Tracker};
use sweep_core::error::Result;
use sweep_core::units::ErrorUnit;
use sweep_experiment::records::State;
use sweep_experiment::store::most;

/// A tracking server, with what is known about it.
pub(super) struct Mlflow {
    server: Server,
    /// Name of the experiment; the sweep's by default.
    experiment: Option<String>,
    server_state: Option<ServerState>,
    /// Trials: configuration (hash of its settings, and name), state, and landmark errors at the best and at the last epoch.
    trials: BTreeMap<String, ([String; 2], State, [f64; 2])>,
    /// The last heartbeat of any trial, seconds since 1970.
    ended: f64,
    /// The unit of the errors.
    unit: ErrorUnit,
    notes: Vec<String>,
    /// Whether the user was notified that files are not sent.
    noted: bool,
}

/// The server's state as of the last query.
struct ServerState {
    experiment: String,
    runs: Vec<Run>,
    /// Sent trials: index of the run, and its values of [`KNOWN_BY`] by step.
    trials: BTreeMap<String, (usize, BTreeMap<i64, f64>)>,
}

impl Mlflow {
    /// The server at an address, by default that of the environment.
    pub(super) fn new(address: Option<&str>) -> Result<Self> {
        Ok(Self {
            server: Server::new(address)?,
            experiment: variable("MLFLOW_EXPERIMENT_NAME"),
            server_state: None,
            trials: BTreeMap::new(),
            ended: 0.0,
            unit: ErrorUnit::default(),
            notes: Vec::new(),
            noted: false,
        })
    }

    /// The server's state, queried once and again after an error.
    fn server_state(&mut self, sweep: &Sweep<'_>) -> Result<&mut ServerState> {
        let state = if let Some(state) = self.server_state.take() {
            state
        } else {
            let name = self.experiment.as_deref().unwrap_or(&sweep.file.name);
            let experiment = self.server.experiment(name, sweep.file.question.as_deref())?;
            let runs = self.server.runs(&experiment, &sweep.file.name)?;
            ServerState { experiment, runs, trials: BTreeMap::new() }
        };
        Ok(self.server_state.insert(state))
    }

    /// Index of the run with these tags, which is created if it does not exist.
    fn run(&mut self, sweep: &Sweep<'_>, role: &str, name: &str, begun: f64, tags: &[(&str, String)]) -> Result<usize> {
        let is_it = |run: &Run| run.has(tag::ROLE, role) && tags.iter().all(|(key, value)| run.has(key, value));
        if let Some(index) = self.server_state(sweep)?.runs.iter().position(is_it) {
            return Ok(index);
        }
        self.create_run(sweep, role, name, begun, tags)
    }

    /// Index of the run of a configuration, which is created if it does not exist. It is found by its settings: its name
    /// depends on the sweep's axes. Runs of earlier versions have a name alone.
    fn configuration_run(&mut self, sweep: &Sweep<'_>, [settings, name]: &[String; 2], begun: f64) -> Result<usize> {
        let runs = &self.server_state(sweep)?.runs;
        let of = |run: &Run| run.has(tag::ROLE, "configuration");
        let found = runs.iter().position(|run| of(run) && run.has(tag::SETTINGS, settings));
        if let Some(index) = found {
            return Ok(index);
        }
        let tags = [(tag::SETTINGS, settings.clone()), (tag::CONFIGURATION, name.clone())];
        let is_old = |run: &Run| of(run) && run.has(tag::CONFIGURATION, name) && !run.tags.contains_key(tag::SETTINGS);
        let Some(index) = runs.iter().position(is_old) else {
            return self.create_run(sweep, "configuration", name, begun, &tags);
        };
        let mut run = runs[index].clone();
        self.server.set_tags(&mut run, &tags)?;
        self.server_state(sweep)?.runs[index] = run;
        Ok(index)
    }

    fn create_run(
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
        let experiment = self.server_state(sweep)?.experiment.clone();
        let run = self.server.begin(&experiment, name, begun, &all)?;
        let state = self.server_state(sweep)?;
        state.runs.push(run);
        Ok(state.runs.len() - 1)
    }

    /// Index of a trial's run: one whose values agree with the trial's, or else a new one.
    fn trial_run(&mut self, sweep: &Sweep<'_>, trial: &Snapshot, complete: Option<&str>) -> Result<usize> {
        if let Some((index, values)) = self.server_state(sweep)?.trials.get(&trial.id)
            && agree(values, &trial.epochs)
        {
            return Ok(*index);
        }
        let is_it =
            |(_, run): &(usize, &Run)| run.has(tag::TRIAL, &trial.id) && run.has(tag::IDENTITY, &trial.file.identity);
        let candidates: Vec<(usize, String)> = self
            .server_state(sweep)?
            .runs
            .iter()
            .enumerate()
            .filter(is_it)
            .map(|(index, run)| (index, run.id.clone()))
            .collect();
        for (index, run) in candidates {
            let is_complete = complete.is_some_and(|hash| {
                self.server_state.as_ref().is_some_and(|state| state.runs[index].has(tag::COMPLETE, hash))
            });
            let values = if is_complete {
                trial.epochs.iter().map(|epoch| (i64::from(epoch.epoch), epoch.train_loss)).collect()
            } else {
                self.server.history(&run, KNOWN_BY)?
            };
            if agree(&values, &trial.epochs) {
                self.server_state(sweep)?.trials.insert(trial.id.clone(), (index, values));
                return Ok(index);
            }
        }
        let begun = trial.wall_times().first().map_or(trial.status.live.written as f64, |(begun, _)| *begun);
        let configuration = trial.configuration();
        let parent = self.configuration_run(sweep, &configuration, begun)?;
        let parent = self.server_state(sweep)?.runs[parent].id.clone();
        let tags = [
            (tag::TRIAL, trial.id.clone()),
            (tag::IDENTITY, trial.file.identity.clone()),
            (tag::CONFIGURATION, configuration[1].clone()),
            (tag::PARENT, parent),
        ];
        let index = self.create_run(sweep, "trial", &trial.id, begun, &tags)?;
        self.server_state(sweep)?.trials.insert(trial.id.clone(), (index, BTreeMap::new()));
        Ok(index)
    }

    /// Uploads files, if the server accepts any.
    fn upload(&mut self, run: &Run, files: &[(String, Vec<u8>)]) -> Result<()> {
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

    /// Logs a trial's summary at its last epoch.
    fn log_summary(&mut self, run: &Run, trial: &Snapshot) -> Result<()> {
        let (Some(last), Some((_, ended))) = (trial.epochs.last(), trial.wall_times().last().copied()) else {
            return Ok(());
        };
        let summary = summary(trial);
        let [best, at_best_loss, regret] = match summary.unit {
            ErrorUnit::Millimetres => ["best_val_mre_mm", "val_mre_at_best_loss_mm", "selection_regret_mm"],
            ErrorUnit::Pixels => ["best_val_mre_px", "val_mre_at_best_loss_px", "selection_regret_px"],
        };
        let values = [
            (best, summary.best_val_mre),
            ("best_epoch", summary.best_epoch.map_or(f64::NAN, f64::from)),
            (at_best_loss, summary.val_mre_at_best_loss),
            (regret, summary.selection_regret),
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

    /// Updates the run of a configuration: mean and standard deviation of its trials once all have ended.
    fn update_configuration(&mut self, sweep: &Sweep<'_>, configuration: &[String; 2]) -> Result<()> {
        let ended = self.ended;
        let members = || self.trials.values().filter(|(of, ..)| of[0] == configuration[0]);
        let ended_all =
            members().all(|(_, state, _)| state.is_settled()) && self.trials.len() == sweep.file.trials.len();
        let errors: Vec<[f64; 2]> =
            members().filter(|(_, state, _)| *state == State::Done).map(|(.., errors)| *errors).collect();
        let index = self.configuration_run(sweep, configuration, ended)?;
        let mut run = self.server_state(sweep)?.runs[index].clone();
        if ended_all && !errors.is_empty() {
            let number = errors.len() as f64;
            let [best, last] = [0, 1].map(|which| {
                let values = errors.iter().map(|both| both[which]);
                let mean = values.clone().sum::<f64>() / number;
                (mean, (values.map(|value| (value - mean).powi(2)).sum::<f64>() / (number - 1.0)).sqrt())
            });
            let names = match self.unit {
                ErrorUnit::Millimetres => {
                    ["mean_best_val_mre_mm", "sd_best_val_mre_mm", "mean_last_val_mre_mm", "sd_last_val_mre_mm"]
                }
                ErrorUnit::Pixels => {
                    ["mean_best_val_mre_px", "sd_best_val_mre_px", "mean_last_val_mre_px", "sd_last_val_mre_px"]
                }
            };
            let numbers = names.into_iter().zip([best.0, best.1, last.0, last.1]);
            let values = std::iter::once(("trials", number)).chain(numbers);
            let values: Vec<(&'static str, f64)> = values.filter(|(_, value)| !value.is_nan()).collect();
            // The server may round values and stores NaN in its own way, so they are compared with a tolerance.
            let step = errors.len() as i64;
            let is_known = |(key, value): &(&'static str, f64)| {
                run.metrics
                    .get(*key)
                    .is_some_and(|(stored, at)| *at == step && (value.is_nan() || is_same(*stored, *value)))
            };
            if !values.iter().all(is_known) {
                let metrics = values.iter().map(|(key, value)| Logged { key, value: *value, step, time: ended });
                let metrics: Vec<Logged> = metrics.collect();
                self.server.add_metrics(&run.id, &metrics)?;
                run.metrics.extend(values.into_iter().map(|(key, value)| (key.to_owned(), (value, step))));
            }
        }
        let status = if ended_all { "FINISHED" } else { "RUNNING" };
        self.server.set_status(&mut run, status, ended_all.then_some(ended))?;
        self.server_state(sweep)?.runs[index] = run;
        Ok(())
    }

    /// Uploads the report.
    fn report(&mut self, sweep: &Sweep<'_>) -> Result<()> {
        let ended = self.ended;
        let mut files = Vec::new();
        let report = sweep.store.report();
        for name in report.files()?.into_iter().filter(|name| sweep.images || !OF_PATIENTS.contains(&name.as_str())) {
            files.push((format!("report/{name}"), report.read(&name, most::PICTURE)?));
        }
        if files.is_empty() {
            return Ok(());
        }
        for name in ["sweep.toml", "summary.csv"] {
            let bytes = sweep.store.folder().read_if_present(name, most::PICTURE)?;
            files.extend(bytes.map(|bytes| (name.to_owned(), bytes)));
        }
        let hash = hash(files.iter().map(|(_, bytes)| bytes.as_slice()));
        let index = self.run(sweep, "report", "report", ended, &[])?;
        let mut run = self.server_state(sweep)?.runs[index].clone();
        if !run.has(tag::COMPLETE, &hash) {
            self.upload(&run, &files)?;
            self.server.set_status(&mut run, "FINISHED", Some(ended))?;
            self.server.set_tags(&mut run, &[(tag::COMPLETE, hash)])?;
        }
        self.server_state(sweep)?.runs[index] = run;
        Ok(())
    }
}

impl Tracker for Mlflow {
    fn trial(&mut self, sweep: &Sweep<'_>, trial: &Snapshot) -> Result<()> {
        let state = trial.status.state;
        let summary = summary(trial);
        self.unit = trial.file.unit;
        let errors = [summary.best_val_mre, summary.last_val_mre];
        self.trials.insert(trial.id.clone(), (trial.configuration(), state, errors));
        self.ended = self.ended.max(trial.status.live.written as f64);
        let hash = if state.is_settled() { Some(fingerprint(trial, sweep.images)?) } else { None };
        let index = self.trial_run(sweep, trial, hash.as_deref())?;
        let mut run = self.server_state(sweep)?.runs[index].clone();
        if let Some(hash) = &hash
            && run.has(tag::COMPLETE, hash)
        {
            return Ok(());
        }
        self.server.add_parameters(&mut run, &parameters(trial))?;
        let known =
            self.server_state(sweep)?.trials.get(&trial.id).map_or_else(BTreeMap::new, |(_, values)| values.clone());
        let times = trial.wall_times();
        let new = trial.epochs.iter().zip(&times).filter(|(epoch, _)| !known.contains_key(&i64::from(epoch.epoch)));
        let metrics: Vec<Logged> = new.clone().flat_map(|(epoch, (_, ended))| metrics(epoch, *ended)).collect();
        self.server.add_metrics(&run.id, &metrics)?;
        let sent = new.map(|(epoch, _)| (i64::from(epoch.epoch), epoch.train_loss));
        if let Some((_, values)) = self.server_state(sweep)?.trials.get_mut(&trial.id) {
            values.extend(sent);
        }
        let said = [trial.status.message.clone().unwrap_or_default(), trial.noted.clone()];
        let note = said.into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
        let mut tags = vec![(tag::STATE, state.name().to_owned())];
        if !note.is_empty() || run.tags.contains_key(tag::NOTE) {
            tags.push((tag::NOTE, note));
        }
        let ended = trial.status.live.written as f64;
        self.server.set_status(&mut run, status(state), (status(state) != "RUNNING").then_some(ended))?;
        if let Some(hash) = hash {
            self.log_summary(&run, trial)?;
            self.upload(&run, &files(trial, sweep.images)?)?;
            // Set last: it marks the run as complete.
            tags.push((tag::COMPLETE, hash));
        }
        self.server.set_tags(&mut run, &tags)?;
        self.server_state(sweep)?.runs[index] = run;
        Ok(())
    }

    fn sweep(&mut self, sweep: &Sweep<'_>) -> Result<()> {
        let mut configurations: Vec<[String; 2]> =
            self.trials.values().map(|(configuration, ..)| configuration.clone()).collect();
        configurations.sort();
        configurations.dedup_by(|a, b| a[0] == b[0]);
        for configuration in configurations {
            self.update_configuration(sweep, &configuration)?;
        }
        if sweep.ended { self.report(sweep) } else { Ok(()) }
    }

    fn invalidate(&mut self) {
        self.server_state = None;
    }

    fn is_away(&self) -> bool {
        self.server.is_away
    }

    fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }
}
