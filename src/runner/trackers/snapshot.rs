//! Snapshot of a trial's folder.

use sweep_analysis::configuration::configuration;
use sweep_analysis::folds;
use sweep_core::error::Result;
use sweep_core::units::ErrorUnit;
use sweep_experiment::records::{EpochRecord, TrialStatus};
use sweep_experiment::store::{TrialFile, TrialStore, most};

/// The records of a trial that trackers receive.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) id: String,
    pub(super) folder: TrialStore,
    pub(super) file: TrialFile,
    pub(super) status: TrialStatus,
    pub(super) epochs: Vec<EpochRecord>,
    /// Tags and note that people gave it, in a line.
    pub(super) noted: String,
}

impl Snapshot {
    /// Reads the folder of a trial that has begun.
    pub(super) fn read(id: &str, folder: TrialStore) -> Result<Self> {
        let (file, status) = (folder.trial_file()?, folder.status()?);
        // Records are read after the state, so those of a finished trial are complete.
        let (epochs, _) = folder.readable_epochs()?;
        // Damaged notes are no reason to withhold records.
        let noted = folder.sweep().notes().map_or_else(|_| String::new(), |notes| notes.of(Some(id)).line());
        Ok(Self { id: id.to_owned(), folder, file, status, epochs, noted })
    }

    /// When each epoch began and ended, in seconds since 1970, counted back from the trial's last heartbeat. Pauses between
    /// attempts are ignored.
    pub(super) fn wall_times(&self) -> Vec<(f64, f64)> {
        let mut ended = self.status.live.written as f64;
        let back = self.epochs.iter().rev().map(|epoch| {
            let began = ended - if epoch.seconds.is_finite() { epoch.seconds } else { 0.0 };
            (began, std::mem::replace(&mut ended, began))
        });
        let mut times: Vec<(f64, f64)> = back.collect();
        times.reverse();
        times
    }

    /// The landmark error at the best epoch so far, and at the least loss so far, after each evaluated epoch.
    pub(super) fn best_so_far(&self) -> Vec<Option<[(&'static str, f64); 2]>> {
        let objective = self.file.objective();
        let (mut best, mut at_loss) = ((f64::NAN, f64::NAN), (f64::NAN, f64::NAN));
        let update = |epoch: &EpochRecord| {
            if !epoch.mre().is_finite() {
                return None;
            }
            let cost = objective.cost(epoch);
            if cost < best.0 || (best.0.is_nan() && !cost.is_nan()) {
                best = (cost, epoch.mre());
            }
            if epoch.val_loss < at_loss.0 || (at_loss.0.is_nan() && epoch.val_loss.is_finite()) {
                at_loss = (epoch.val_loss, epoch.mre());
            }
            let [least, at_least_loss] = match self.file.unit {
                ErrorUnit::Millimetres => ["best/val_mre_mm", "best/val_mre_mm_at_best_loss"],
                ErrorUnit::Pixels => ["best/val_mre_px", "best/val_mre_px_at_best_loss"],
            };
            Some([(least, best.1), (at_least_loss, at_loss.1)])
        };
        self.epochs.iter().map(update).collect()
    }

    /// Axes with the trial's values.
    pub(super) fn axes(&self) -> impl Iterator<Item = &(String, String)> {
        self.file.axes.iter()
    }

    /// Hash of its settings and name of its configuration, which it shares with its repetitions with other seeds and on other folds.
    pub(super) fn configuration(&self) -> [String; 2] {
        let values = self.axes().filter(|(axis, _)| axis != folds::AXIS).map(|(_, value)| value.as_str());
        let values: Vec<&str> = values.collect();
        let name = if values.is_empty() { "all".to_owned() } else { values.join(" · ") };
        [configuration(&self.file), name]
    }

    /// `overlay.png`, if it exists.
    pub(super) fn overlay(&self) -> Result<Option<Vec<u8>>> {
        self.folder.folder().read_if_present("overlay.png", most::PICTURE)
    }
}
