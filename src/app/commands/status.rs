//! `sweep status`: where every trial stands, from its folder alone, whoever runs it, and whatever is broken.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::cli;
use sweep_core::error::{Error, Outcome, Result};
use sweep_experiment::provenance;
use sweep_experiment::records::{State, TrialStatus};
use sweep_experiment::slurm::answers::{self, Job, JobState};
use sweep_experiment::store::{self, ControlRequest, Store};
use sweep_runner::scheduler::slurm;

use super::{dashboard, duration, print_json, say};

/// One trial, as `--json` prints it; a number that does not exist is `null`.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Line {
    pub(super) trial: String,
    pub(super) state: &'static str,
    pub(super) epoch: u32,
    pub(super) epochs: u32,
    pub(super) attempts: u32,
    pub(super) train_loss: f64,
    pub(super) val_loss: f64,
    pub(super) val_mre_mm: f64,
    pub(super) best_val_mre_mm: f64,
    pub(super) device: String,
    pub(super) seconds: f64,
    pub(super) seconds_left: Option<f64>,
    pub(super) message: Option<String>,
}

/// The part of `sweep.toml` that is needed: ids in the order of the plan.
#[derive(Debug, Default, Deserialize)]
struct Planned {
    #[serde(default)]
    trials: Vec<String>,
}

/// Between two questions to Slurm while the table is watched.
const ASK: Duration = Duration::from_secs(15);

pub(super) fn status(flags: &cli::Status) -> Result<Outcome> {
    if flags.watch && !flags.quiet && is_for_people() {
        return dashboard::watch(&flags.results);
    }
    let store = Store::at(&flags.results);
    let mut before = String::new();
    let mut jobs = Jobs::default();
    loop {
        jobs.look(&store)?;
        let (ids, note) = planned(&store)?;
        let mut lines: Vec<Line> = ids.into_iter().map(|id| line(&store, id)).collect();
        jobs.tell(&mut lines);
        if flags.json {
            print_json(&lines)?;
            return Ok(Outcome::Done);
        }
        let text = table(&lines) + &note + &outlook(&store, &lines) + &jobs.in_words();
        if text != before {
            say(text.trim_end())?;
        }
        before = text;
        let left = lines.iter().any(|line| line.state == State::Pending.name() || line.state == State::Running.name());
        if !flags.watch || !left {
            return Ok(Outcome::Done);
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Whether there is a terminal that may be drawn on.
fn is_for_people() -> bool {
    let is_terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    is_terminal && provenance::wants_colours()
}

/// Every trial of the plan, and a note on what else lies there or is not legible.
pub(super) fn planned(store: &Store) -> Result<(Vec<String>, String)> {
    let begun = store.trials()?;
    let path = store.definition();
    if begun.is_empty() && !path.is_file() {
        return Err(Error::results("no sweep.toml and no trials: this is not the folder of a sweep")
            .at(store.root().display())
            .remedy("name the folder a run made, as results/loss"));
    }
    let mut note = String::new();
    let planned = store::read_text(&path).and_then(|text| {
        toml::from_str::<Planned>(&text).map_err(|e| Error::results(e.message().to_owned()).at(path.display()))
    });
    let planned = match planned {
        Ok(planned) => {
            let others = begun.iter().filter(|id| !planned.trials.contains(id)).count();
            if others > 0 {
                let _ = writeln!(note, "{others} other trials lie here that the present definition does not have");
            }
            planned.trials
        }
        Err(error) => {
            let _ = writeln!(note, "{error}\nshown: the trials that have begun");
            begun
        }
    };
    Ok((planned, note))
}

/// Jobs of a sweep's trials, for whoever looks again and again.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    /// By trial; none where Slurm cannot be asked.
    by_trial: Option<BTreeMap<String, Job>>,
    asked: Option<Instant>,
}

impl Jobs {
    /// Asks Slurm, if it is time to, and if anything was ever submitted.
    pub(super) fn look(&mut self, store: &Store) -> Result<()> {
        if self.asked.is_none_or(|asked| asked.elapsed() >= ASK) {
            (self.by_trial, self.asked) = (slurm::under_way(store)?, Some(Instant::now()));
        }
        Ok(())
    }

    /// Has lines say what Slurm says of their jobs.
    pub(super) fn tell(&self, lines: &mut [Line]) {
        let Some(jobs) = &self.by_trial else { return };
        for line in lines {
            if let Some(job) = jobs.get(&line.trial) {
                line.with_job(job);
            }
        }
    }

    /// How many there are.
    pub(super) fn in_words(&self) -> String {
        match &self.by_trial {
            None => "it was submitted to Slurm, which cannot be asked here or does not answer now\n".to_owned(),
            Some(jobs) if jobs.is_empty() => String::new(),
            Some(jobs) => {
                let waiting = jobs.values().filter(|job| job.state == JobState::Waiting).count();
                format!("in Slurm: {} running, {waiting} waiting\n", jobs.len() - waiting)
            }
        }
    }
}

impl Line {
    fn with_job(&mut self, job: &Job) {
        let waits = job.state == JobState::Waiting;
        if !waits && self.state == State::Interrupted.name() {
            // Its lock is not seen from here, or it is about to begin.
            (self.state, self.message) = (State::Running.name(), None);
        }
        let about = if waits {
            let why = answers::stuck(&job.reason).map_or_else(String::new, |why| format!(": {why}"));
            format!("waits ({}){why}", job.reason)
        } else {
            format!("on {}", job.node)
        };
        self.message.get_or_insert_with(|| format!("job {} {about}", job.name()));
    }
}

/// Where a trial stands.
pub(super) fn line(store: &Store, id: String) -> Line {
    let folder = store.trial(&id);
    let (status, mut trouble) = match folder.status() {
        Ok(status) => (status, None),
        Err(error) => (TrialStatus::pending(&id), Some(error.to_string())),
    };
    let mut state = if trouble.is_some() { "illegible" } else { status.state.name() };
    if status.state == State::Running && folder.trainer().is_ok_and(|trainer| trainer.is_none()) {
        state = State::Interrupted.name();
        trouble = Some("its process is gone; the next run goes on with it".to_owned());
    }
    let rows = match folder.readable_epochs() {
        Ok((rows, None)) => rows,
        Ok((rows, Some(damage))) => {
            trouble.get_or_insert(format!("epochs.csv: {damage}"));
            rows
        }
        Err(error) => {
            trouble.get_or_insert(error.to_string());
            Vec::new()
        }
    };
    let evaluated = rows.iter().rfind(|row| row.val_mre_mm.is_finite());
    let best = rows.iter().map(|row| row.val_mre_mm).filter(|mre| mre.is_finite()).reduce(f64::min);
    Line {
        state,
        epoch: rows.len() as u32,
        epochs: status.epochs,
        attempts: status.attempts,
        train_loss: rows.last().map_or(f64::NAN, |row| row.train_loss),
        val_loss: evaluated.map_or(f64::NAN, |row| row.val_loss),
        val_mre_mm: evaluated.map_or(f64::NAN, |row| row.val_mre_mm),
        best_val_mre_mm: best.unwrap_or(f64::NAN),
        device: status.device,
        seconds: status.seconds,
        seconds_left: status.live.seconds_left.filter(|_| state == State::Running.name()),
        message: trouble.or(status.message),
        trial: id,
    }
}

fn table(lines: &[Line]) -> String {
    let width = lines.iter().map(|line| line.trial.len()).max().unwrap_or(0).max(5);
    let mut text = format!(
        "{:width$}  {:<11}  {:>9}  {:>10}  {:>7}  {:>7}  {:<8}  {:>7}\n",
        "trial", "state", "epochs", "val loss", "MRE mm", "best", "device", "left"
    );
    for line in lines {
        let number = |value: f64, text: String| if value.is_nan() { "–".to_owned() } else { text };
        let _ = write!(
            text,
            "{:width$}  {:<11}  {:>9}  {:>10}  {:>7}  {:>7}  {:<8}  {:>7}",
            line.trial,
            line.state,
            if line.epochs == 0 { "–".to_owned() } else { format!("{}/{}", line.epoch, line.epochs) },
            number(line.val_loss, format!("{:.3e}", line.val_loss)),
            number(line.val_mre_mm, format!("{:.2}", line.val_mre_mm)),
            number(line.best_val_mre_mm, format!("{:.2}", line.best_val_mre_mm)),
            if line.device.is_empty() { "–" } else { &line.device },
            line.seconds_left.map_or_else(|| "–".to_owned(), duration),
        );
        if let Some(message) = &line.message {
            let _ = write!(text, "  {}", message.lines().next().unwrap_or_default());
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// How many trials are in which state, how long the rest takes, and who runs it.
pub(super) fn outlook(store: &Store, lines: &[Line]) -> String {
    let count = |name: &str| lines.iter().filter(|line| line.state == name).count();
    let names = State::ALL.iter().map(|state| state.name()).chain(["illegible"]);
    let counts: Vec<String> =
        names.filter(|name| count(name) > 0).map(|name| format!("{} {name}", count(name))).collect();
    let mut text = format!("{} trials: {}", lines.len(), counts.join(", "));
    let running: Vec<f64> = lines.iter().filter_map(|line| line.seconds_left).collect();
    let done: Vec<f64> =
        lines.iter().filter(|line| line.state == State::Done.name()).map(|line| line.seconds).collect();
    let waiting = count(State::Pending.name()) + count(State::Interrupted.name());
    if !running.is_empty() && (waiting == 0 || !done.is_empty()) {
        let each = done.iter().sum::<f64>() / done.len().max(1) as f64;
        let left = (running.iter().sum::<f64>() + each * waiting as f64) / running.len() as f64;
        let _ = write!(text, "; about {} left", duration(left));
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
