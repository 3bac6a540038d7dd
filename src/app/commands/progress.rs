//! Progress of trials: one bar per trial on a terminal, one line per epoch elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use sweep_core::note;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use sweep_experiment::records::{EpochRecord, State, TrialStatus};
use sweep_runner::scheduler::Start;

/// Shows the trials of a sweep.
pub(super) struct Progress {
    quiet: bool,
    terminal: Option<MultiProgress>,
    bars: BTreeMap<String, ProgressBar>,
    last: BTreeMap<String, String>,
}

impl Progress {
    pub(super) fn new(quiet: bool) -> Self {
        let terminal = (std::io::stderr().is_terminal() && !quiet).then(MultiProgress::new);
        Self { quiet, terminal, bars: BTreeMap::new(), last: BTreeMap::new() }
    }

    /// Prints a line, above the bars if there are any.
    pub(super) fn say(&self, line: &str) {
        let line = &*sweep_core::plain::text(line);
        match &self.terminal {
            // A failed print cannot be reported.
            Some(bars) => drop(bars.println(line)),
            None => note!("{line}"),
        }
    }

    /// Prints a line unless `--quiet` is set.
    pub(super) fn note(&self, line: &str) {
        if !self.quiet {
            self.say(line);
        }
    }

    pub(super) fn started(&mut self, start: &Start, position: &str) {
        let Some(bars) = &self.terminal else { return };
        let bar = bars.add(ProgressBar::new(0));
        // The template is constant; if it were invalid, the default bar would be used.
        if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:20}] {percent:>3}% {eta:>4} {wide_msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(format!("{position} {}", start.trial));
        bar.set_message(format!("starts on {}", start.slot.device));
        self.bars.insert(start.trial.clone(), bar);
    }

    pub(super) fn alive(&self, status: &TrialStatus) {
        let Some(bar) = self.bars.get(&status.trial) else { return };
        bar.set_length(status.live.steps);
        bar.set_position(status.live.step);
        let last = self.last.get(&status.trial).map_or("", String::as_str);
        bar.set_message(format!("epoch {}/{} {last}", (status.epoch + 1).min(status.epochs), status.epochs));
    }

    pub(super) fn epoch(&mut self, trial: &str, epochs: u32, record: &EpochRecord) {
        if self.terminal.is_some() {
            self.last.insert(trial.to_owned(), measured(record));
        } else if !self.quiet {
            note!("{}", line(trial, epochs, record));
        }
    }

    pub(super) fn ended(&mut self, status: &TrialStatus) {
        self.last.remove(&status.trial);
        if let Some(bar) = self.bars.remove(&status.trial) {
            bar.finish_and_clear();
            if status.state == State::Done {
                self.say(&format!("{} done in {:.0} s", status.trial, status.seconds));
            }
        }
    }
}

/// The line of an epoch.
pub(super) fn line(trial: &str, epochs: u32, record: &EpochRecord) -> String {
    let speed = record.images_per_second;
    format!("{trial}  epoch {:>3}/{epochs}  {}  {speed:.1} images/s", record.epoch, measured(record))
}

fn measured(record: &EpochRecord) -> String {
    match record.unit() {
        None => format!("loss {:.4e}", record.train_loss),
        Some(unit) => {
            format!("loss {:.4e} (val {:.4e}) MRE {:.2} {unit}", record.train_loss, record.val_loss, record.mre())
        }
    }
}
