//! `errors.bin` in a trial's folder: written with each evaluated epoch, cut back when a training resumes.

use super::{TrialStore, most};
use crate::records::EpochErrors;
use sweep_core::error::Result;

/// Name of the file.
pub(super) const FILE: &str = "errors.bin";

impl TrialStore {
    /// Errors of all evaluated epochs, from `errors.bin`; `None` if the file is missing.
    ///
    /// # Errors
    /// When it exists and is unreadable.
    pub fn epoch_errors(&self) -> Result<Option<EpochErrors>> {
        let Some(bytes) = self.folder().read_if_present(FILE, most::TABLE)? else { return Ok(None) };
        EpochErrors::decode(&bytes).map(|(errors, _)| Some(errors)).map_err(|e| e.at(self.file(FILE).display()))
    }

    /// Replaces `errors.bin`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_errors(&self, errors: &EpochErrors) -> Result<()> {
        let mut bytes = errors.header()?;
        (0..errors.epochs.len()).for_each(|index| bytes.extend(errors.record(index)));
        self.folder().replace(FILE, &bytes)
    }

    /// Appends the last epoch of these errors to `errors.bin`, and creates the file if it is missing.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append_errors(&self, errors: &EpochErrors) -> Result<()> {
        let Some(last) = errors.epochs.len().checked_sub(1) else { return Ok(()) };
        let record = errors.record(last);
        match self.folder().version(FILE) {
            Some((_, length)) => self.folder().truncate_and_append(FILE, length, &record),
            None => self.folder().replace(FILE, &[errors.header()?, record].concat()),
        }
    }

    /// Cuts `errors.bin` back to the epochs of a checkpoint. A damaged file is removed: nothing that training needs is in it.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn cut_errors(&self, epoch: u32) -> Result<()> {
        let Some(bytes) = self.folder().read_if_present(FILE, most::TABLE)? else { return Ok(()) };
        match EpochErrors::decode(&bytes) {
            Ok((errors, _)) if errors.epochs.first().is_some_and(|first| *first <= epoch) => {
                self.folder().truncate_and_append(FILE, errors.bytes_until(epoch)? as u64, &[])
            }
            _ => self.folder().remove(FILE),
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "damages files as a crash would")]
mod tests {
    use super::*;
    use std::fs;

    use sweep_core::units::ErrorUnit;

    fn of_epoch(epoch: u32) -> EpochErrors {
        let names = ["1.png", "2.png"].map(str::to_owned).to_vec();
        let mut errors = EpochErrors::new(ErrorUnit::Pixels, names, Vec::new(), vec!["a".into()]);
        errors.push(epoch, &[f64::from(epoch), 0.5]);
        errors
    }

    #[test]
    fn a_resumed_training_writes_the_same_file() {
        let scratch = tempfile::tempdir().unwrap();
        let trial = |name: &str| {
            let folder = scratch.path().join(name);
            fs::create_dir(&folder).unwrap();
            TrialStore::at(&folder)
        };
        let (whole, resumed) = (trial("whole"), trial("resumed"));
        assert!(whole.epoch_errors().unwrap().is_none());
        (1..=4).for_each(|epoch| whole.append_errors(&of_epoch(epoch)).unwrap());
        // It dies within the third record, after a checkpoint of the second epoch; or after the third, whole.
        for dies_at in [1, 0] {
            (1..=3).for_each(|epoch| resumed.append_errors(&of_epoch(epoch)).unwrap());
            let path = resumed.file("errors.bin");
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() - dies_at]).unwrap();
            resumed.cut_errors(2).unwrap();
            (3..=4).for_each(|epoch| resumed.append_errors(&of_epoch(epoch)).unwrap());
            assert_eq!(fs::read(&path).unwrap(), fs::read(whole.file("errors.bin")).unwrap());
            resumed.cut_errors(0).unwrap();
            assert!(!path.exists(), "a training that starts anew has no errors yet");
        }
        fs::write(resumed.file("errors.bin"), "garbage").unwrap();
        assert!(resumed.epoch_errors().is_err());
        resumed.cut_errors(3).unwrap();
        assert!(resumed.epoch_errors().unwrap().is_none());
    }
}
