//! `sweep status`: where every trial stands, from its folder alone, whoever runs it, and whatever is broken.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cli;
use crate::error::{Error, Outcome, Result};
use crate::records::{State, TrialStatus};
use crate::store::{self, Store};

use super::say;

/// One trial, as `--json` prints it; a number that does not exist is `null`.
#[derive(Debug, Serialize)]
struct Line {
    trial: String,
    state: &'static str,
    epoch: u32,
    epochs: u32,
    attempts: u32,
    train_loss: f64,
    val_loss: f64,
    val_mre_mm: f64,
    best_val_mre_mm: f64,
    device: String,
    seconds: f64,
    seconds_left: Option<f64>,
    message: Option<String>,
}

/// The part of `sweep.toml` that is needed: ids in the order of the plan.
#[derive(Debug, Default, Deserialize)]
struct Planned {
    #[serde(default)]
    trials: Vec<String>,
}

pub(super) fn status(flags: &cli::Status) -> Result<Outcome> {
    let store = Store::at(&flags.results);
    let mut before = String::new();
    loop {
        let (lines, note) = look(&store)?;
        if flags.json {
            let json = serde_json::to_string_pretty(&lines).map_err(|e| Error::results(e.to_string()))?;
            say(&json)?;
            return Ok(Outcome::Done);
        }
        let text = table(&lines) + &note + &outlook(&store, &lines);
        if flags.watch && std::io::stdout().is_terminal() {
            // Cursor home, each line cleared to its end, the rest of the screen too.
            let cleared = text.replace('\n', "\x1b[K\n");
            write!(std::io::stdout(), "\x1b[H{cleared}\x1b[J")
                .map_err(|e| Error::results(format!("cannot write to standard output: {e}")))?;
        } else if text != before {
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

/// Every trial of the plan, and a note on what else lies there or is not legible.
fn look(store: &Store) -> Result<(Vec<Line>, String)> {
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
    Ok((planned.into_iter().map(|id| line(store, id)).collect(), note))
}

fn line(store: &Store, id: String) -> Line {
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
    let rows = match folder.sound_epochs() {
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
            line.seconds_left.map_or_else(|| "–".to_owned(), time),
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
fn outlook(store: &Store, lines: &[Line]) -> String {
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
        let _ = write!(text, "; about {} left", time(left));
    }
    match store.runner() {
        Ok(Some(holder)) => text + &format!("; run by {holder}\n"),
        Ok(None) if waiting > 0 => text + "; nobody runs it\n",
        _ => text + "\n",
    }
}

/// A time people read: 45 s, 12 min, 3.5 h.
fn time(seconds: f64) -> String {
    match seconds {
        s if s < 100.0 => format!("{s:.0} s"),
        s if s < 6000.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} d", s / 86400.0),
    }
}
