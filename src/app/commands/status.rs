//! `sweep status`: the table of all trials, once or whenever it changes.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::time::Duration;

use crate::cli;
use crate::format::duration;
use crate::status::{SlurmJobs, StatusLine, noted, overview, planned_trials};
use sweep_core::error::{Outcome, Result};
use sweep_core::plain;
use sweep_experiment::provenance;
use sweep_experiment::records::State;
use sweep_experiment::store::Store;

use super::{dashboard, print_json, say};

/// Time between two reads of the folder.
const INTERVAL: Duration = Duration::from_secs(1);

pub(super) fn status(flags: &cli::Status) -> Result<Outcome> {
    if flags.watch && !flags.quiet && is_interactive() {
        return dashboard::watch(&flags.results);
    }
    let store = Store::at(&flags.results);
    let mut printed = String::new();
    let mut jobs = SlurmJobs::default();
    loop {
        jobs.refresh(&store)?;
        let (ids, note) = planned_trials(&store)?;
        let mut lines = StatusLine::read_all(&store, ids);
        jobs.annotate(&mut lines);
        if flags.json {
            print_json(&lines)?;
            return Ok(Outcome::Done);
        }
        let text = table(&lines) + &note + &overview(&store, &lines) + &noted(&store) + &jobs.summary();
        if text != printed {
            say(text.trim_end())?;
        }
        printed = text;
        let unfinished = lines.iter().any(|line| line.is(State::Pending) || line.is(State::Running));
        if !flags.watch || !unfinished {
            return Ok(Outcome::Done);
        }
        std::thread::sleep(INTERVAL);
    }
}

/// Whether standard output is a terminal that the dashboard may draw on.
fn is_interactive() -> bool {
    let is_terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    is_terminal && provenance::wants_colours()
}

fn table(lines: &[StatusLine]) -> String {
    let width = lines.iter().map(|line| line.trial.len()).max().unwrap_or(0).max(5);
    // Unknown before a trial has begun.
    let unit = lines.iter().find_map(|line| line.unit).map_or_else(String::new, |unit| format!(" {unit}"));
    let mut text = format!(
        "{:width$}  {:<11}  {:>9}  {:>10}  {:>7}  {:>7}  {:<8}  {:>7}\n",
        "trial",
        "state",
        "epochs",
        "val loss",
        format!("MRE{unit}"),
        "best",
        "device",
        "left"
    );
    for line in lines {
        let [last, best] = line.errors();
        let number = |value: f64, text: String| if value.is_nan() { "–".to_owned() } else { text };
        let _ = write!(
            text,
            "{:width$}  {:<11}  {:>9}  {:>10}  {:>7}  {:>7}  {:<8}  {:>7}",
            line.trial,
            line.state,
            if line.epochs == 0 { "–".to_owned() } else { format!("{}/{}", line.epoch, line.epochs) },
            number(line.val_loss, format!("{:.3e}", line.val_loss)),
            number(last, format!("{last:.2}")),
            number(best, format!("{best:.2}")),
            if line.device.is_empty() { "–" } else { &line.device },
            line.seconds_left.map_or_else(|| "–".to_owned(), duration),
        );
        if let Some(message) = &line.message {
            let _ = write!(text, "  {}", message.lines().next().unwrap_or_default());
        }
        let _ = write!(text, "  {}", plain::line(&line.noted()));
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}
