//! Status of every trial, from the sweep's folder alone, so that it works whichever process runs the sweep and whichever
//! records are damaged. `sweep status` prints it, and the dashboard shows it.

mod slurm_jobs;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;

use sweep_core::error::{Error, Result};
use sweep_core::plain;
use sweep_core::units::ErrorUnit;
use sweep_experiment::metric::Objective;
use sweep_experiment::records::{EpochRecord, State, TrialStatus};
use sweep_experiment::store::{ControlRequest, Note, Store};

use crate::format::duration;

pub(crate) use slurm_jobs::SlurmJobs;

/// State of a trial whose `status.json` cannot be read.
const ILLEGIBLE: &str = "illegible";

/// Status of one trial, as `sweep status --json` prints it; missing numbers are `null`.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct StatusLine {
    pub(crate) trial: String,
    pub(crate) state: &'static str,
    pub(crate) epoch: u32,
    pub(crate) epochs: u32,
    pub(crate) attempts: u32,
    pub(crate) train_loss: f64,
    pub(crate) val_loss: f64,
    pub(crate) val_mre_mm: f64,
    pub(crate) best_val_mre_mm: f64,
    /// The unit of the errors; unknown before it has begun.
    pub(crate) unit: Option<ErrorUnit>,
    pub(crate) val_mre_px: f64,
    pub(crate) best_val_mre_px: f64,
    pub(crate) device: String,
    pub(crate) seconds: f64,
    pub(crate) seconds_left: Option<f64>,
    pub(crate) message: Option<String>,
    /// What is noted about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) tags: BTreeSet<String>,
    /// The trial that trains for it, while this trial waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) follows: Option<String>,
}

impl StatusLine {
    /// Reads the folders of trials.
    pub(crate) fn read_all(store: &Store, ids: Vec<String>) -> Vec<Self> {
        let mut lines: Vec<Self> = ids.into_iter().map(|id| Self::read(store, id)).collect();
        // Damaged notes say nothing about the trials.
        let mut notes = store.notes().unwrap_or_default();
        for line in &mut lines {
            let Note { text, tags } = notes.trials.remove(&line.trial).unwrap_or_default();
            (line.note, line.tags) = (text, tags);
        }
        if !lines.iter().any(|line| line.is(State::Pending)) {
            return lines;
        }
        let mut leaders: BTreeMap<String, String> = BTreeMap::new();
        for line in lines.iter().filter(|line| !line.is(State::Pending)) {
            let followers = store.trial(&line.trial).followers().unwrap_or_default();
            leaders.extend(followers.into_iter().map(|follower| (follower, line.trial.clone())));
        }
        for line in lines.iter_mut().filter(|line| line.is(State::Pending)) {
            line.follows = leaders.remove(&line.trial);
            if let Some(leader) = &line.follows {
                line.message.get_or_insert(format!("waits for the training of {leader}, which it shares"));
            }
        }
        lines
    }

    /// Reads a trial's folder. Unreadable records become the message.
    pub(crate) fn read(store: &Store, id: String) -> Self {
        let folder = store.trial(&id);
        let (status, mut problem) = match folder.status() {
            Ok(status) => (status, None),
            Err(error) => (TrialStatus::pending(&id), Some(error.to_string())),
        };
        let mut state = if problem.is_some() { ILLEGIBLE } else { status.state.name() };
        if status.state == State::Running && folder.trainer().is_ok_and(|trainer| trainer.is_none()) {
            state = State::Interrupted.name();
            problem = Some("its process is gone; the next run goes on with it".to_owned());
        }
        let epochs = match folder.readable_epochs() {
            Ok((epochs, None)) => epochs,
            Ok((epochs, Some(damage))) => {
                problem.get_or_insert(format!("epochs.csv: {damage}"));
                epochs
            }
            Err(error) => {
                problem.get_or_insert(error.to_string());
                Vec::new()
            }
        };
        let evaluated = epochs.iter().rfind(|epoch| epoch.mre().is_finite());
        let measured = epochs.iter().find_map(EpochRecord::unit);
        let file = folder.trial_file().ok();
        let unit = measured.or_else(|| Some(file.as_ref()?.unit));
        let objective = file.map_or_else(|| Objective::default_in(unit.unwrap_or_default()), |file| file.objective());
        let costs = epochs.iter().map(|epoch| (objective.cost(epoch), epoch)).filter(|(cost, _)| !cost.is_nan());
        let best = costs.reduce(|best, epoch| if epoch.0 < best.0 { epoch } else { best }).map(|(_, epoch)| epoch);
        Self {
            state,
            epoch: epochs.len() as u32,
            epochs: status.epochs,
            attempts: status.attempts,
            train_loss: epochs.last().map_or(f64::NAN, |epoch| epoch.train_loss),
            val_loss: evaluated.map_or(f64::NAN, |epoch| epoch.val_loss),
            val_mre_mm: evaluated.map_or(f64::NAN, |epoch| epoch.val_mre_mm),
            best_val_mre_mm: best.map_or(f64::NAN, |epoch| epoch.val_mre_mm),
            unit,
            val_mre_px: evaluated.map_or(f64::NAN, |epoch| epoch.val_mre_px),
            best_val_mre_px: best.map_or(f64::NAN, |epoch| epoch.val_mre_px),
            device: status.device,
            seconds: status.seconds,
            seconds_left: status.live.seconds_left.filter(|_| state == State::Running.name()),
            message: problem.or(status.message),
            note: None,
            tags: BTreeSet::new(),
            follows: None,
            trial: id,
        }
    }

    /// Mean radial error at the last evaluation, and at the best epoch so far, in the trial's unit.
    pub(crate) fn errors(&self) -> [f64; 2] {
        match self.unit {
            Some(ErrorUnit::Pixels) => [self.val_mre_px, self.best_val_mre_px],
            _ => [self.val_mre_mm, self.best_val_mre_mm],
        }
    }

    /// Tags and note in a line.
    pub(crate) fn noted(&self) -> String {
        Note { text: self.note.clone(), tags: self.tags.clone() }.line()
    }

    /// Whether the trial is in this state.
    pub(crate) fn is(&self, state: State) -> bool {
        self.state == state.name()
    }
}

/// Ids of every trial of the plan, and a note on other trials in the folder and on a damaged `sweep.toml`.
///
/// # Errors
/// When the folder holds no sweep, or cannot be read.
pub(crate) fn planned_trials(store: &Store) -> Result<(Vec<String>, String)> {
    let begun = store.trials()?;
    if begun.is_empty() && !store.is_sweep() {
        let error =
            Error::results("no sweep.toml and no trials: this is not the folder of a sweep").at(store.root().display());
        return Err(error.remedy(store.name_a_sweep()));
    }
    Ok(match store.read_sweep_file() {
        Ok(file) => {
            let others = begun.iter().filter(|id| !file.trials.contains(id)).count();
            let note = match others {
                0 => String::new(),
                _ => format!("{others} other trials lie here that the present definition does not have\n"),
            };
            (file.trials, note)
        }
        Err(error) => (begun, format!("{error}\nshown: the trials that have begun\n")),
    })
}

/// One line about the sweep: number of trials by state, time left, and the process that runs it.
pub(crate) fn overview(store: &Store, lines: &[StatusLine]) -> String {
    let count = |name: &str| lines.iter().filter(|line| line.state == name).count();
    let names = State::ALL.iter().map(|state| state.name()).chain([ILLEGIBLE]);
    let counts: Vec<String> =
        names.filter(|name| count(name) > 0).map(|name| format!("{} {name}", count(name))).collect();
    let mut text = format!("{} trials: {}", lines.len(), counts.join(", "));
    let waiting = count(State::Pending.name()) + count(State::Interrupted.name());
    let followers = lines.iter().filter(|line| line.follows.is_some()).count();
    if let Some(seconds) = seconds_left(lines, waiting - followers) {
        let _ = write!(text, "; about {} left", duration(seconds));
    }
    match store.runner() {
        Ok(Some(holder)) => {
            let paused = if store.control().is_requested(&ControlRequest::Pause) { ", paused" } else { "" };
            text + &format!("; run by {holder}{paused}\n")
        }
        Ok(None) if waiting > 0 => text + "; nobody runs it\n",
        _ => text + "\n",
    }
}

/// A line with the tags and the note of the sweep; empty where nothing is noted.
pub(crate) fn noted(store: &Store) -> String {
    match store.notes().map(|notes| notes.sweep) {
        Ok(note) if note.is_empty() => String::new(),
        Ok(note) => format!("{}\n", plain::line(&note.line())),
        Err(error) => format!("{error}\n"),
    }
}

/// Time that the running and the waiting trials still take together. A waiting trial is assumed to take as long as the
/// finished ones did; without any the time is unknown.
fn seconds_left(lines: &[StatusLine], waiting: usize) -> Option<f64> {
    let running: Vec<f64> = lines.iter().filter_map(|line| line.seconds_left).collect();
    let done: Vec<f64> = lines.iter().filter(|line| line.is(State::Done)).map(|line| line.seconds).collect();
    if running.is_empty() || (waiting > 0 && done.is_empty()) {
        return None;
    }
    let each = done.iter().sum::<f64>() / done.len().max(1) as f64;
    Some((running.iter().sum::<f64>() + each * waiting as f64) / running.len() as f64)
}
