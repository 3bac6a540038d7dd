//! The tables of a trial: `epochs.csv`, a row appended per epoch, `landmarks.csv`, replaced with each evaluation, and
//! `test.csv`, written once.

use std::io::Write;

use serde::Serialize;

use super::files::failed;
use super::{TrialStore, most};
use crate::records::{self, EpochRecord, LandmarkRecord, Row};
use sweep_core::error::{Error, Result};
use sweep_core::units::ErrorUnit;

/// Name of the table of epochs.
pub(super) const EPOCHS: &str = "epochs.csv";
/// Name of the table of landmarks.
pub(super) const LANDMARKS: &str = "landmarks.csv";
/// Name of the table of the test images' landmarks.
pub(super) const TEST: &str = "test.csv";

impl TrialStore {
    /// Rows of `epochs.csv`; empty if the file is missing. A last line that is still being written does not count.
    ///
    /// # Errors
    /// When it exists and is unreadable.
    pub fn epochs(&self) -> Result<Vec<EpochRecord>> {
        self.rows(EPOCHS)
    }

    /// The rows of `epochs.csv` up to the first damage, and its error.
    ///
    /// # Errors
    /// When the file exists and cannot be read at all.
    pub fn readable_epochs(&self) -> Result<(Vec<EpochRecord>, Option<Error>)> {
        match self.complete_lines(EPOCHS)? {
            Some(bytes) => Ok(records::read_csv_start(bytes.as_slice())),
            None => Ok((Vec::new(), None)),
        }
    }

    /// Appends a row to `epochs.csv` and flushes it to disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append_epoch(&self, record: &EpochRecord) -> Result<()> {
        let mut bytes = Vec::new();
        let unit = record.unit().map_or_else(|| self.recorded_unit(), Ok)?;
        records::write_csv_in(unit, std::slice::from_ref(record), !self.folder().has_file(EPOCHS), &mut bytes)?;
        let mut file = self.folder().append(EPOCHS)?;
        let written = file.write_all(&bytes).and_then(|()| file.sync_data());
        written.map_err(|e| failed("write", &self.file(EPOCHS), &e))
    }

    /// Replaces `epochs.csv`, to cut it back to the epochs of a checkpoint.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_epochs(&self, epochs: &[EpochRecord]) -> Result<()> {
        if epochs.is_empty() {
            return self.folder().remove(EPOCHS);
        }
        self.write_rows(EPOCHS, epochs, self.recorded_unit()?)
    }

    /// The unit in `trial.toml`; millimetres where there is no such file.
    fn recorded_unit(&self) -> Result<ErrorUnit> {
        if self.has_begun() { Ok(self.trial_file()?.unit) } else { Ok(ErrorUnit::default()) }
    }

    /// Rows of `landmarks.csv`; empty if the file is missing.
    ///
    /// # Errors
    /// When it exists and is unreadable.
    pub fn landmarks(&self) -> Result<Vec<LandmarkRecord>> {
        self.rows(LANDMARKS)
    }

    /// Replaces `landmarks.csv`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_landmarks(&self, landmarks: &[LandmarkRecord]) -> Result<()> {
        self.write_rows(LANDMARKS, landmarks, unit_of(landmarks))
    }

    /// Rows of `test.csv`: the landmarks of the data set's test images, found with the best weights. Empty for a trial that is
    /// not finished, or whose data set has no test images.
    ///
    /// # Errors
    /// When it exists and is unreadable.
    pub fn test_landmarks(&self) -> Result<Vec<LandmarkRecord>> {
        self.rows(TEST)
    }

    /// Whether the test images have been scored.
    #[must_use]
    pub fn has_test_landmarks(&self) -> bool {
        self.folder().has_file(TEST)
    }

    /// Writes `test.csv`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_test_landmarks(&self, landmarks: &[LandmarkRecord]) -> Result<()> {
        self.write_rows(TEST, landmarks, unit_of(landmarks))
    }

    fn rows<R: Row>(&self, name: &str) -> Result<Vec<R>> {
        match self.complete_lines(name)? {
            Some(bytes) => records::read_csv(bytes.as_slice()).map_err(|e| e.at(self.file(name).display())),
            None => Ok(Vec::new()),
        }
    }

    /// Content of a file up to its last line break; `None` if it is missing.
    fn complete_lines(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(mut bytes) = self.folder().read_if_present(name, most::TABLE)? else { return Ok(None) };
        bytes.truncate(whole_lines(&bytes).len());
        Ok(Some(bytes))
    }

    fn write_rows<R: Serialize>(&self, name: &str, rows: &[R], unit: ErrorUnit) -> Result<()> {
        let mut bytes = Vec::new();
        records::write_csv_in(unit, rows, true, &mut bytes)?;
        self.folder().replace(name, &bytes)
    }
}

fn unit_of(landmarks: &[LandmarkRecord]) -> ErrorUnit {
    let in_pixels = landmarks.iter().any(|row| row.unit() == ErrorUnit::Pixels);
    if in_pixels { ErrorUnit::Pixels } else { ErrorUnit::Millimetres }
}

/// Bytes up to the last line break.
pub(super) fn whole_lines(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1)]
}
