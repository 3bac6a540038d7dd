//! A trial as its folder has it now.

use sweep_analysis::folds;
use sweep_core::error::Result;
use sweep_experiment::records::{EpochRecord, TrialStatus};
use sweep_experiment::store::{self, TrialFile, TrialStore};

/// What trackers are told of a trial.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) id: String,
    pub(super) folder: TrialStore,
    pub(super) file: TrialFile,
    pub(super) status: TrialStatus,
    pub(super) epochs: Vec<EpochRecord>,
}

/// Whether an epoch was evaluated; where it was not, its numbers of that are `nan`.
pub(super) fn is_evaluated(epoch: &EpochRecord) -> bool {
    !(epoch.val_loss.is_nan() && epoch.val_mre_mm.is_nan())
}

impl Snapshot {
    /// A trial that has begun.
    pub(super) fn read(id: &str, folder: TrialStore) -> Result<Self> {
        let (file, status) = (folder.trial_file()?, folder.status()?);
        // Records after the state: of a trial that is over none is missing.
        let (epochs, _) = folder.readable_epochs()?;
        Ok(Self { id: id.to_owned(), folder, file, status, epochs })
    }

    /// When each epoch began and ended, in seconds since 1970, counted back from the trial's last sign of life. That is
    /// right while it runs; a pause before it is left out.
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

    /// The least landmark error so far and the one at the least loss so far, after each epoch that was evaluated.
    pub(super) fn best_so_far(&self) -> Vec<Option<[(&'static str, f64); 2]>> {
        let (mut best, mut at_loss) = (f64::NAN, (f64::NAN, f64::NAN));
        let of = |epoch: &EpochRecord| {
            if !epoch.val_mre_mm.is_finite() {
                return None;
            }
            best = best.min(epoch.val_mre_mm);
            if epoch.val_loss < at_loss.0 || (at_loss.0.is_nan() && epoch.val_loss.is_finite()) {
                at_loss = (epoch.val_loss, epoch.val_mre_mm);
            }
            Some([("best/val_mre_mm", best), ("best/val_mre_mm_at_best_loss", at_loss.1)])
        };
        self.epochs.iter().map(of).collect()
    }

    /// Axes and the trial's values on them; the fold is the data's, as the seed is the training's.
    pub(super) fn axes(&self) -> impl Iterator<Item = &(String, String)> {
        self.file.axes.iter()
    }

    /// What it shares with the trials that repeat it: with other seeds, on other folds.
    pub(super) fn configuration(&self) -> String {
        let values = self.axes().filter(|(axis, _)| axis != folds::AXIS).map(|(_, value)| value.as_str());
        let values: Vec<&str> = values.collect();
        if values.is_empty() { "all".to_owned() } else { values.join(" · ") }
    }

    /// `overlay.png`, if it is there.
    pub(super) fn overlay(&self) -> Result<Option<Vec<u8>>> {
        let path = self.folder.file("overlay.png");
        path.is_file().then(|| store::read(&path)).transpose()
    }
}
