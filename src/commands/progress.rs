//! What a user sees while trials train: a bar on a terminal, one line an epoch elsewhere.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

use crate::lr::Progress;
use crate::records::EpochRecord;
use crate::train::Observer;

/// The signal that asked the process to stop; 0 while none has.
pub(super) type Signal = Arc<AtomicUsize>;

/// Watches one trial.
pub(super) struct Watch {
    trial: String,
    epochs: u32,
    bar: Option<ProgressBar>,
    lines: bool,
    signal: Signal,
    last: String,
    /// Epochs done in this process.
    pub(super) done: u32,
}

impl Watch {
    pub(super) fn new(trial: &str, place: &str, epochs: u32, quiet: bool, signal: Signal) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = (terminal && !quiet).then(|| {
            let bar = ProgressBar::new(0);
            // A template is part of the program: were it wrong, the default bar would do.
            if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:20}] {percent:>3}% {eta:>4} {wide_msg}") {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_prefix(format!("{place} {trial}"));
            bar
        });
        Self { trial: trial.to_owned(), epochs, bar, lines: !terminal && !quiet, signal, last: String::new(), done: 0 }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Observer for Watch {
    fn step(&mut self, progress: Progress) {
        if let Some(bar) = &self.bar {
            bar.set_length(progress.steps);
            bar.set_position(progress.step);
            bar.set_message(format!("epoch {}/{} {}", progress.epoch + 1, self.epochs, self.last));
        }
    }

    fn epoch(&mut self, record: &EpochRecord) {
        self.done += 1;
        self.last = if record.val_mre_mm.is_nan() {
            format!("loss {:.4e}", record.train_loss)
        } else {
            format!("loss {:.4e} (val {:.4e}) MRE {:.2} mm", record.train_loss, record.val_loss, record.val_mre_mm)
        };
        if self.lines {
            eprintln!(
                "{}  epoch {:>3}/{}  {}  {:.1} images/s",
                self.trial, record.epoch, self.epochs, self.last, record.images_per_second
            );
        }
    }

    fn stop(&self) -> bool {
        self.signal.load(Ordering::Relaxed) != 0
    }
}
