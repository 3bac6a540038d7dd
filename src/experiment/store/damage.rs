//! Whether a trial that says it is done has the records of a trial that is: a copy may have broken off, or a file may have
//! been deleted.

use super::tables::{EPOCHS, LANDMARKS, whole_lines};
use super::{TrialStore, most};
use crate::records::{self, EpochRecord, LandmarkRecord, State, TrialStatus};
use sweep_core::error::{Error, Result};

/// Values of the column `selected` of `landmarks.csv`.
const SELECTIONS: [&str; 3] = ["best-error", "best-loss", "last"];

impl TrialStore {
    /// Rows of `epochs.csv` and `landmarks.csv`, each read once.
    ///
    /// # Errors
    /// When one cannot be read, or lacks rows of a trial that is done.
    pub fn records(&self, status: &TrialStatus) -> Result<(Vec<EpochRecord>, Vec<LandmarkRecord>)> {
        let is_done = status.state == State::Done;
        let refused = |lack: String| Err(Error::results(lack).at(self.root().display()));
        let (epochs, damage) = self.readable_epochs()?;
        if let Some(lack) = epochs_lack(status, &epochs, damage.as_ref()).filter(|_| is_done) {
            return refused(lack);
        }
        if let Some(damage) = damage {
            return Err(damage.at(self.file(EPOCHS).display()));
        }
        let landmarks = self.landmark_bytes()?;
        if let Some(lack) = landmarks_lack(landmarks.as_deref()).filter(|_| is_done && is_evaluated(&epochs)) {
            return refused(lack);
        }
        let Some(bytes) = landmarks else { return Ok((epochs, Vec::new())) };
        let rows = records::read_csv(whole_lines(&bytes)).map_err(|e| e.at(self.file(LANDMARKS).display()))?;
        Ok((epochs, rows))
    }

    fn landmark_bytes(&self) -> Result<Option<Vec<u8>>> {
        self.folder().read_if_present(LANDMARKS, most::TABLE)
    }

    /// Moves all that a damaged trial has into `damaged/`, so that it is trained again and nothing is lost.
    ///
    /// # Errors
    /// When a file cannot be moved.
    pub fn set_aside(&self) -> Result<()> {
        self.quarantine()?;
        ["trial.toml", "status.json"].into_iter().try_for_each(|name| self.folder().move_into("damaged", name))
    }

    /// Damage of a finished trial's records and best weights, for which a run has to restore it; `None` of one that is
    /// whole, or not done.
    ///
    /// # Errors
    /// When a file is there and cannot be read at all.
    pub fn damage(&self, status: &TrialStatus) -> Result<Option<String>> {
        if status.state != State::Done {
            return Ok(None);
        }
        let (epochs, damage) = self.readable_epochs()?;
        if let Some(lack) = epochs_lack(status, &epochs, damage.as_ref()) {
            return Ok(Some(lack));
        }
        if !is_evaluated(&epochs) {
            return Ok(None);
        }
        if let Some(lack) = landmarks_lack(self.landmark_bytes()?.as_deref()) {
            return Ok(Some(lack));
        }
        Ok((!self.folder().has_file(Self::BEST)).then(|| "best.safetensors is missing".to_owned()))
    }
}

/// A trial without any evaluated epoch has no landmarks and no best weights.
fn is_evaluated(epochs: &[EpochRecord]) -> bool {
    epochs.iter().any(|epoch| epoch.unit().is_some())
}

/// Damage of the epochs of a finished trial; `None` if they are whole.
fn epochs_lack(status: &TrialStatus, epochs: &[EpochRecord], damage: Option<&Error>) -> Option<String> {
    if let Some(damage) = damage {
        let place = damage.location.as_ref().map_or_else(String::new, |place| format!("{place}: "));
        return Some(format!("{EPOCHS}: {place}{}", damage.message));
    }
    (epochs.len() < status.epoch as usize)
        .then(|| format!("{EPOCHS} holds {} of {} epochs", epochs.len(), status.epoch))
}

/// Damage of the landmarks of a finished trial; `None` if they are whole.
fn landmarks_lack(bytes: Option<&[u8]>) -> Option<String> {
    let Some(bytes) = bytes else { return Some(format!("{LANDMARKS} is missing")) };
    // Every selection has all validation images and landmarks. A trial's id has no comma.
    let rows = |selection: &str| {
        let is_of = |line: &&[u8]| line.split(|byte| *byte == b',').nth(3) == Some(selection.as_bytes());
        bytes.split(|byte| *byte == b'\n').filter(is_of).count()
    };
    let [best, by_loss, last] = SELECTIONS.map(rows);
    let is_whole = best > 0 && best == by_loss && best == last && bytes.ends_with(b"\n");
    (!is_whole).then(|| format!("{LANDMARKS} is cut off"))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "damages files as a broken copy would")]
mod tests {
    use super::*;

    #[test]
    fn what_a_done_trial_lacks_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let trial = TrialStore::at(folder.path());
        let done = TrialStatus { state: State::Done, epoch: 2, ..TrialStatus::pending("t") };
        let header = "trial,seed,epoch,train_loss,val_loss,zero_loss,train_mre_mm,val_mre_mm,val_mre_px,val_sd_mm,\
                      val_median_mm,val_p95_mm,val_sdr_2mm,val_sdr_2_5mm,val_sdr_3mm,val_sdr_4mm,lr,images_per_second,seconds";
        let epoch = |n: u32| format!("t,0,{n},1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1\n");
        let landmark = |selected: &str| format!("t,0,1,{selected},a.png,sella,1,1,1,1,0,0\n");
        let rows = SELECTIONS.map(landmark).concat();
        let landmarks =
            format!("trial,seed,epoch,selected,image,landmark,x_true,y_true,x_pred,y_pred,error_px,error_mm\n{rows}");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let damage = || trial.damage(&done).unwrap().unwrap_or_default();
        assert_eq!(damage(), "epochs.csv holds 0 of 2 epochs");
        write("epochs.csv", &format!("{header}\n{}", epoch(1)));
        assert_eq!(damage(), "epochs.csv holds 1 of 2 epochs");
        write("epochs.csv", &format!("{header}\n{}{}", epoch(1), epoch(2)));
        assert_eq!(damage(), "landmarks.csv is missing");
        for cut in [landmarks.len() - 5, landmarks.len() - 40, 90] {
            write("landmarks.csv", &landmarks[..cut]);
            assert_eq!(damage(), "landmarks.csv is cut off", "at {cut}");
        }
        write("landmarks.csv", &landmarks);
        assert_eq!(damage(), "best.safetensors is missing");
        let (epochs, rows) = trial.records(&done).unwrap();
        assert_eq!((epochs.len(), rows.len()), (2, 3), "reports need no weights");
        write("best.safetensors", "w");
        assert_eq!(trial.damage(&done).unwrap(), None);
        write("epochs.csv", &format!("{header}\ngarbage,,,\n{}", epoch(2)));
        assert!(damage().starts_with("epochs.csv: "), "{}", damage());
        let running = TrialStatus { state: State::Running, ..done.clone() };
        assert_eq!(trial.damage(&running).unwrap(), None, "it is not done yet");
    }
}
