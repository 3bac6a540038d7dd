//! What a user sees while trials train: a bar per trial on a terminal, one line an epoch elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal;

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

    /// A line, above the bars if there are any.
    pub(super) fn say(&self, line: &str) {
        match &self.terminal {
            // That nothing can be printed is nothing that could be printed.
            Some(bars) => drop(bars.println(line)),
            None => eprintln!("{line}"),
        }
    }

    /// A line that quiet leaves out.
    pub(super) fn note(&self, line: &str) {
        if !self.quiet {
            self.say(line);
        }
    }

    pub(super) fn started(&mut self, start: &Start, place: &str) {
        let Some(bars) = &self.terminal else { return };
        let bar = bars.add(ProgressBar::new(0));
        // A template is part of the program: were it wrong, the default bar would do.
        if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:20}] {percent:>3}% {eta:>4} {wide_msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(format!("{place} {}", start.trial));
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
            eprintln!("{}", line(trial, epochs, record));
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

/// One line an epoch.
pub(super) fn line(trial: &str, epochs: u32, record: &EpochRecord) -> String {
    let speed = record.images_per_second;
    format!("{trial}  epoch {:>3}/{epochs}  {}  {speed:.1} images/s", record.epoch, measured(record))
}

fn measured(record: &EpochRecord) -> String {
    if record.val_mre_mm.is_nan() {
        format!("loss {:.4e}", record.train_loss)
    } else {
        format!("loss {:.4e} (val {:.4e}) MRE {:.2} mm", record.train_loss, record.val_loss, record.val_mre_mm)
    }
}
