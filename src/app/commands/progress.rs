//! Progress of trials: one bar per trial on a terminal, one line per epoch elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use sweep_core::note;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use sweep_experiment::records::{EpochRecord, State, TrialStatus};
use sweep_runner::scheduler::Start;

use crate::format::duration;

/// Shows the trials of a sweep.
pub(super) struct Progress {
    quiet: bool,
    terminal: Option<MultiProgress>,
    bars: BTreeMap<String, ProgressBar>,
    /// What the bar of a trial says of its last epoch.
    last: BTreeMap<String, String>,
    courses: BTreeMap<String, Course>,
}

impl Progress {
    pub(super) fn new(quiet: bool) -> Self {
        let terminal = (std::io::stderr().is_terminal() && !quiet).then(MultiProgress::new);
        Self { quiet, terminal, bars: BTreeMap::new(), last: BTreeMap::new(), courses: BTreeMap::new() }
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

    /// A trial starts, with the epochs that it has already.
    pub(super) fn started(&mut self, start: &Start, position: &str, epochs: &[EpochRecord]) {
        self.courses.insert(start.trial.clone(), Course::of(epochs));
        let Some(bars) = &self.terminal else { return };
        let bar = bars.add(ProgressBar::new(0));
        // The template is constant; if it were invalid, the default bar would be used.
        if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:20}] {percent:>3}% ETA {eta:>4} {wide_msg}") {
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
        let space = if last.is_empty() { "" } else { "  " };
        bar.set_message(format!("{last}{space}epoch {}/{}", (status.epoch + 1).min(status.epochs), status.epochs));
    }

    pub(super) fn epoch(&mut self, trial: &str, epochs: u32, record: &EpochRecord) {
        let course = self.courses.entry(trial.to_owned()).or_insert_with(|| Course::of(&[]));
        course.add(record);
        if self.terminal.is_some() {
            self.last.insert(trial.to_owned(), format!("{}  {}", course.error(record), loss(record)));
        } else if !self.quiet {
            note!("{}", course.line(trial, epochs, record));
        }
    }

    pub(super) fn ended(&mut self, status: &TrialStatus) {
        self.last.remove(&status.trial);
        self.courses.remove(&status.trial);
        if let Some(bar) = self.bars.remove(&status.trial) {
            bar.finish_and_clear();
            if status.state == State::Done {
                self.say(&format!("{} done in {:.0} s", status.trial, status.seconds));
            }
        }
    }
}

/// What is known of a trial's epochs so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Course {
    /// Least mean radial error; `nan` before an evaluation.
    best: f64,
    /// Seconds that its epochs took, and how many they are.
    took: (f64, u32),
}

impl Course {
    /// The course of these epochs.
    pub(super) fn of(records: &[EpochRecord]) -> Self {
        let mut course = Self { best: f64::NAN, took: (0.0, 0) };
        for record in records {
            course.add(record);
        }
        course
    }

    /// Adds an epoch.
    pub(super) fn add(&mut self, record: &EpochRecord) {
        self.best = self.best.min(record.mre());
        if record.seconds.is_finite() {
            self.took = (self.took.0 + record.seconds, self.took.1 + 1);
        }
    }

    /// The line of an epoch that was added: the error first, the loss beside it.
    pub(super) fn line(&self, trial: &str, epochs: u32, record: &EpochRecord) -> String {
        let (seconds, measured) = self.took;
        let left = f64::from(epochs.saturating_sub(record.epoch));
        let left = if measured > 0 { duration(left * seconds / f64::from(measured)) } else { "–".to_owned() };
        let speed = record.images_per_second;
        format!(
            "{trial}  epoch {:>3}/{epochs}  {}  ETA {left}  {}  {speed:.1} images/s",
            record.epoch,
            self.error(record),
            loss(record)
        )
    }

    /// The error of an epoch and the least so far.
    fn error(&self, record: &EpochRecord) -> String {
        match record.unit() {
            Some(unit) => format!("MRE {:.2} {unit} (best {:.2})", record.mre(), self.best),
            None if self.best.is_nan() => "MRE –".to_owned(),
            None => format!("MRE – (best {:.2})", self.best),
        }
    }
}

fn loss(record: &EpochRecord) -> String {
    match record.unit() {
        None => format!("loss {:.4e}", record.train_loss),
        Some(_) => format!("loss {:.4e} (val {:.4e})", record.train_loss, record.val_loss),
    }
}

#[cfg(test)]
mod tests {
    use sweep_experiment::records::read_csv_start;

    use super::*;

    fn record(epoch: u32, mre: f64) -> EpochRecord {
        let header = "trial,seed,epoch,train_loss,val_loss,zero_loss,train_mre_mm,val_mre_mm,val_mre_px,val_sd_mm,val_median_mm,\
                      val_p95_mm,val_sdr_2mm,val_sdr_2_5mm,val_sdr_3mm,val_sdr_4mm,lr,images_per_second,seconds";
        let row = format!("a,0,{epoch},2e-4,1e-4,1,1,{mre},1,1,1,1,1,1,1,1,1e-3,10,30");
        let (rows, damage) = read_csv_start::<EpochRecord>(format!("{header}\n{row}\n").as_bytes());
        assert!(damage.is_none(), "{damage:?}");
        rows[0].clone()
    }

    #[test]
    fn the_error_comes_first_and_the_time_left_follows_from_the_epochs() {
        let mut course = Course::of(&[record(1, 3.0), record(2, 1.5)]);
        let third = record(3, 2.0);
        course.add(&third);
        let line = course.line("l1-seed0", 40, &third);
        assert!(
            line.starts_with("l1-seed0  epoch   3/40  MRE 2.00 mm (best 1.50)  ETA 18 min  loss 2.0000e-4"),
            "{line}"
        );
    }
}
