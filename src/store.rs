//! Every path under `results/`, and the only hands that write there: whole files by rename, rows by append.

#![expect(clippy::disallowed_methods, reason = "the one place that touches results")]

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::plan::Trial;
use crate::records::{self, EpochRecord, LandmarkRecord, State, TrialStatus};

/// A sweep's folder, `results/SWEEP`.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// A trial's folder, `results/SWEEP/trials/TRIAL`.
#[derive(Debug, Clone)]
pub struct TrialStore {
    root: PathBuf,
    id: String,
}

/// `trial.toml`: what the trial is, and facts of the data it ran on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialFile {
    /// Trial id.
    pub trial: String,
    /// Hash of the data set's pixels, landmarks, spacing and split.
    pub dataset_hash: String,
    /// Error of guessing the training set's mean shape on the validation images, mm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_shape_mre_mm: Option<f64>,
    /// Error between observers where the data set states one, mm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observer_mre_mm: Option<f64>,
    /// Axis paths and the trial's values on them, in order.
    pub axes: Vec<(String, String)>,
    /// The configuration with every default filled in.
    pub config: crate::config::TrialConfig,
}

impl Store {
    /// The folder of a sweep; made when first written to.
    #[must_use]
    pub fn new(results: &Path, sweep: &str) -> Self {
        Self { root: results.join(sweep) }
    }

    /// The folder as given, for commands that read records: `results/SWEEP`.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `sweep.toml`.
    #[must_use]
    pub fn definition(&self) -> PathBuf {
        self.root.join("sweep.toml")
    }

    /// `summary.csv`.
    #[must_use]
    pub fn summary(&self) -> PathBuf {
        self.root.join("summary.csv")
    }

    /// `report/`.
    #[must_use]
    pub fn report(&self) -> PathBuf {
        self.root.join("report")
    }

    /// `images/`: a few validation images to draw landmarks on.
    #[must_use]
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// A trial's folder.
    #[must_use]
    pub fn trial(&self, id: &str) -> TrialStore {
        TrialStore { root: self.root.join("trials").join(id), id: id.to_owned() }
    }

    /// Ids of all trials that have a `trial.toml`, sorted.
    ///
    /// # Errors
    /// When the folder exists and cannot be read.
    pub fn trials(&self) -> Result<Vec<String>> {
        let folder = self.root.join("trials");
        let entries = match fs::read_dir(&folder) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|e| failed("read", &folder, &e))?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| failed("read", &folder, &e))?;
            if entry.path().join("trial.toml").is_file() {
                ids.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        ids.sort();
        Ok(ids)
    }

    /// Makes the folder and holds it against another run; released when dropped.
    ///
    /// # Errors
    /// When it cannot be written to, or another process runs this sweep.
    pub fn lock(&self) -> Result<File> {
        fs::create_dir_all(&self.root).map_err(|e| failed("make", &self.root, &e))?;
        let path = self.root.join(".lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|e| failed("write", &path, &e))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(Error::results("another process is running this sweep")
                .at(self.root.display())
                .remedy("wait for it, or choose another folder with --results")),
            Err(TryLockError::Error(e)) => Err(failed("lock", &path, &e)),
        }
    }
}

impl TrialStore {
    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A file in the folder.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Weights of the epoch of least landmark error.
    #[must_use]
    pub fn best(&self) -> PathBuf {
        self.file("best.safetensors")
    }

    /// Weights and optimiser after the last finished epoch.
    #[must_use]
    pub fn last(&self) -> PathBuf {
        self.file("last.safetensors")
    }

    /// Makes the folder and writes `trial.toml`.
    ///
    /// # Errors
    /// When it cannot be written, or the folder holds results on other data.
    pub fn begin(&self, trial: &Trial, facts: &TrialFile) -> Result<()> {
        if self.file("trial.toml").is_file() {
            let before = self.trial_file()?;
            if before.dataset_hash != facts.dataset_hash {
                return Err(Error::results(format!(
                    "trial {} was run on other data: images or landmarks of the data set have changed since",
                    trial.id
                ))
                .at(self.root.display())
                .remedy("keep those results and choose another folder with --results, or train again with --rerun"));
            }
        }
        let text = toml::to_string(facts).map_err(|e| Error::results(format!("cannot write trial.toml: {e}")))?;
        write(&self.file("trial.toml"), text.as_bytes())
    }

    /// `trial.toml`.
    ///
    /// # Errors
    /// When it is missing or not readable.
    pub fn trial_file(&self) -> Result<TrialFile> {
        let path = self.file("trial.toml");
        toml::from_str(&read_text(&path)?).map_err(|e| Error::results(e.message().to_owned()).at(path.display()))
    }

    /// `status.json`; pending if there is none.
    ///
    /// # Errors
    /// When it is there and not readable.
    pub fn status(&self) -> Result<TrialStatus> {
        let path = self.file("status.json");
        if !path.is_file() {
            return Ok(TrialStatus {
                trial: self.id.clone(),
                state: State::Pending,
                epoch: 0,
                epochs: 0,
                attempts: 0,
                parameters: 0,
                device: String::new(),
                seconds: 0.0,
                peak_memory_mib: None,
                message: None,
            });
        }
        serde_json::from_str(&read_text(&path)?).map_err(|e| Error::results(e.to_string()).at(path.display()))
    }

    /// Writes `status.json`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_status(&self, status: &TrialStatus) -> Result<()> {
        let json = serde_json::to_string_pretty(status).map_err(|e| Error::results(e.to_string()))?;
        write(&self.file("status.json"), format!("{json}\n").as_bytes())
    }

    /// Rows of `epochs.csv`; none if there is no such file.
    ///
    /// # Errors
    /// When it is there and not readable.
    pub fn epochs(&self) -> Result<Vec<EpochRecord>> {
        self.rows("epochs.csv")
    }

    /// Appends a row to `epochs.csv` and flushes it to disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append_epoch(&self, record: &EpochRecord) -> Result<()> {
        let path = self.file("epochs.csv");
        let mut bytes = Vec::new();
        records::write_csv(std::slice::from_ref(record), !path.is_file(), &mut bytes)?;
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let mut file = file.map_err(|e| failed("write", &path, &e))?;
        file.write_all(&bytes).and_then(|()| file.sync_data()).map_err(|e| failed("write", &path, &e))
    }

    /// Replaces `epochs.csv`: cuts it back to the epochs a checkpoint knows.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_epochs(&self, epochs: &[EpochRecord]) -> Result<()> {
        let path = self.file("epochs.csv");
        if epochs.is_empty() { remove(&path) } else { self.write_rows("epochs.csv", epochs) }
    }

    /// Rows of `landmarks.csv`; none if there is no such file.
    ///
    /// # Errors
    /// When it is there and not readable.
    pub fn landmarks(&self) -> Result<Vec<LandmarkRecord>> {
        self.rows("landmarks.csv")
    }

    /// Replaces `landmarks.csv`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_landmarks(&self, landmarks: &[LandmarkRecord]) -> Result<()> {
        self.write_rows("landmarks.csv", landmarks)
    }

    /// Adds a line to `log.txt`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn log(&self, line: &str) -> Result<()> {
        let path = self.file("log.txt");
        let file = OpenOptions::new().create(true).append(true).open(&path);
        file.and_then(|mut file| writeln!(file, "{line}")).map_err(|e| failed("write", &path, &e))
    }

    /// Removes everything a training left, so that it starts anew.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn clear(&self) -> Result<()> {
        match fs::remove_dir_all(&self.root) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(failed("remove", &self.root, &e)),
            _ => Ok(()),
        }
    }

    fn rows<R: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Vec<R>> {
        let path = self.file(name);
        if !path.is_file() {
            return Ok(Vec::new());
        }
        records::read_csv(read(&path)?.as_slice()).map_err(|e| e.at(path.display()))
    }

    fn write_rows<R: Serialize>(&self, name: &str, rows: &[R]) -> Result<()> {
        let mut bytes = Vec::new();
        records::write_csv(rows, true, &mut bytes)?;
        write(&self.file(name), &bytes)
    }
}

/// Reads a file.
///
/// # Errors
/// Names the file and the system's reason.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|e| failed("read", path, &e))
}

/// Reads a text file.
///
/// # Errors
/// Names the file and the system's reason.
pub fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|e| failed("read", path, &e))
}

/// Writes a whole file: beside it first, then renamed, so that a reader sees the old one or the new one and a full
/// disk loses nothing.
///
/// # Errors
/// Names the file and the system's reason.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|e| failed("make", folder, &e))?;
    let beside = path.with_file_name(format!(
        ".{}.{}.part",
        path.file_name().unwrap_or_default().to_string_lossy(),
        std::process::id()
    ));
    let written = File::create(&beside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_data()))
        .and_then(|()| fs::rename(&beside, path));
    written.map_err(|e| {
        // The half-written file is of no use; that it cannot be removed either would hide the first reason.
        let _ = fs::remove_file(&beside);
        failed("write", path, &e)
    })
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(failed("remove", path, &e)),
        _ => Ok(()),
    }
}

fn failed(verb: &str, path: &Path, e: &std::io::Error) -> Error {
    let error = Error::results(format!("cannot {verb}: {e}")).at(path.display());
    match e.kind() {
        ErrorKind::PermissionDenied => error.remedy("choose a folder you may write to with --results"),
        ErrorKind::StorageFull => error.remedy("make room and run again: finished epochs are kept"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_replaces_whole_files_and_leaves_nothing_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.txt");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(read_text(&path).unwrap(), "two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_second_run_of_the_same_sweep_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path(), "loss");
        let held = store.lock().unwrap();
        assert!(store.lock().unwrap_err().what.contains("another process"));
        drop(held);
        store.lock().unwrap();
    }
}
