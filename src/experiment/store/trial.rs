//! A trial's folder. The trial's process writes it during its life; the runner before and after.

#![expect(clippy::disallowed_methods, reason = "one of the places that touch results")]

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::Store;
use super::files::{self, failed, read, read_text, replace};
use super::lock::{Lock, LockHolder, LockResult};
use crate::records::{self, EpochRecord, LandmarkRecord, TrialStatus};
use sweep_core::error::{Error, Result};
use sweep_core::units::ErrorUnit;

/// A trial's folder, `results/SWEEP/trials/TRIAL`. Only [`TrialStore::begin`] creates it: if it is removed during
/// training, later writes must not recreate something that looks like a trial.
#[derive(Debug, Clone)]
pub struct TrialStore {
    root: PathBuf,
}

/// Times and lengths of files; see [`TrialStore::modification_snapshot`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModificationSnapshot(Vec<Option<(SystemTime, u64)>>);

/// `trial.toml`: the trial's configuration and identity, and facts about its data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialFile {
    /// Trial id.
    pub trial: String,
    /// Hash of everything that its results depend on: configuration, content of the data set, version of training.
    #[serde(default)]
    pub identity: String,
    /// Hash of the data set's content: images, landmarks, spacing, splits.
    pub dataset_hash: String,
    /// The unit of its landmark errors.
    #[serde(default, skip_serializing_if = "ErrorUnit::is_millimetres")]
    pub unit: ErrorUnit,
    /// Error of predicting the training set's mean shape for the validation images, mm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_shape_mre_mm: Option<f64>,
    /// The same in pixels, where millimetres are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_shape_mre_px: Option<f64>,
    /// Error between observers, if the data set states one, mm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observer_mre_mm: Option<f64>,
    /// Landmarks that no training image has: neither trained nor measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub untrained: Vec<String>,
    /// Landmarks that no validation image has: trained, but not measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmeasured: Vec<String>,
    /// Axis paths and the trial's values for them, in order.
    pub axes: Vec<(String, String)>,
    /// Facts about the file of weights that the network started from, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Table>,
    /// The configuration with every default filled in. Training reads all of it; reports need the few values that
    /// [`TrialFile::seed`], [`TrialFile::fold`] and [`TrialFile::value`] give.
    pub config: Table,
}

impl TrialFile {
    /// The trial's seed; [`TrialStore::trial_file`] refuses a file without one.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.config.get("seed").and_then(Value::as_integer).map_or(0, i64::cast_unsigned)
    }

    /// The fold it is measured on, from 0, and the number of folds, if the data set is split into folds.
    #[must_use]
    pub fn fold(&self) -> Option<(usize, usize)> {
        let number = |key| usize::try_from(self.value(key)?.as_integer()?).ok();
        number("dataset.fold").zip(number("dataset.folds"))
    }

    /// A value of the configuration, by its dotted path.
    #[must_use]
    pub fn value(&self, path: &str) -> Option<&Value> {
        let mut keys = path.split('.');
        let first = self.config.get(keys.next()?)?;
        keys.try_fold(first, |value, key| value.get(key))
    }
}

impl TrialStore {
    /// The trial in this folder.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The sweep it belongs to.
    #[must_use]
    pub fn sweep(&self) -> Store {
        Store::at(self.root.ancestors().nth(2).unwrap_or(Path::new("")))
    }

    /// A file in the folder.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Weights of the epoch with the least landmark error.
    #[must_use]
    pub fn best(&self) -> PathBuf {
        self.file("best.safetensors")
    }

    /// Everything that is needed to resume.
    #[must_use]
    pub fn last(&self) -> PathBuf {
        self.file("last.safetensors")
    }

    /// The previous version of [`TrialStore::last`], to resume from if that is damaged.
    #[must_use]
    pub fn previous(&self) -> PathBuf {
        self.file("previous.safetensors")
    }

    /// Replaces [`TrialStore::last`] and keeps the previous one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn replace_last(&self, bytes: &[u8]) -> Result<()> {
        files::replace_keeping(&self.last(), Some(&self.previous()), bytes)
    }

    /// Removes [`TrialStore::previous`]: a finished trial never resumes.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove_previous(&self) -> Result<()> {
        files::remove(&self.previous())
    }

    /// Creates the folder and writes `trial.toml`, or updates the axes of an existing one: axes are the sweep's view of
    /// the trial and not part of its identity.
    ///
    /// # Errors
    /// When it cannot be written, or the folder holds results of a different identity.
    pub fn begin(&self, planned: TrialFile) -> Result<()> {
        let path = self.file("trial.toml");
        if !path.is_file() {
            files::create_folder(&self.root)?;
            return self.write_trial_file(&planned);
        }
        let before = self.trial_file()?;
        if before.identity != planned.identity {
            return Err(Error::results(format!("trial {} was run on other data or by another version", planned.trial))
                .at(self.root.display())
                .remedy("keep those results and choose another folder with --results"));
        }
        if before.axes == planned.axes {
            return Ok(());
        }
        self.write_trial_file(&TrialFile { axes: planned.axes, ..before })
    }

    /// `trial.toml`.
    ///
    /// # Errors
    /// When it is missing or unreadable.
    pub fn trial_file(&self) -> Result<TrialFile> {
        let path = self.file("trial.toml");
        let wrong = |what: &str| Error::results(what).at(path.display());
        let file: TrialFile = toml::from_str(&read_text(&path)?).map_err(|e| wrong(e.message()))?;
        let has_seed = file.config.get("seed").is_some_and(Value::is_integer);
        if has_seed { Ok(file) } else { Err(wrong("config has no `seed`, a whole number")) }
    }

    /// Writes `trial.toml`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_trial_file(&self, file: &TrialFile) -> Result<()> {
        let text = toml::to_string(file).map_err(|e| Error::results(format!("cannot write trial.toml: {e}")))?;
        replace(&self.file("trial.toml"), text.as_bytes())
    }

    /// `status.json`; pending if there is none.
    ///
    /// # Errors
    /// When it exists and is unreadable.
    pub fn status(&self) -> Result<TrialStatus> {
        let path = self.file("status.json");
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|e| Error::results(e.to_string()).at(path.display())),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                Ok(TrialStatus::pending(&self.root.file_name().unwrap_or_default().to_string_lossy()))
            }
            Err(e) => Err(failed("read", &path, &e)),
        }
    }

    /// Writes `status.json`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_status(&self, status: &TrialStatus) -> Result<()> {
        replace(&self.file("status.json"), &json(status)?)
    }

    /// Writes `status.json` as a sign of life, without flushing to disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_heartbeat(&self, status: &TrialStatus) -> Result<()> {
        files::replace_in_passing(&self.file("status.json"), &json(status)?)
    }

    /// Rows of `epochs.csv`; empty if the file is missing. A last line that is still being written does not count.
    ///
    /// # Errors
    /// When it exists and is unreadable.
    pub fn epochs(&self) -> Result<Vec<EpochRecord>> {
        self.rows("epochs.csv")
    }

    /// The rows of `epochs.csv` up to the first damage, and its error.
    ///
    /// # Errors
    /// When the file exists and cannot be read at all.
    pub fn readable_epochs(&self) -> Result<(Vec<EpochRecord>, Option<Error>)> {
        match self.complete_lines("epochs.csv")? {
            Some(bytes) => Ok(records::read_csv_start(bytes.as_slice())),
            None => Ok((Vec::new(), None)),
        }
    }

    /// Appends a row to `epochs.csv` and flushes it to disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append_epoch(&self, record: &EpochRecord) -> Result<()> {
        let path = self.file("epochs.csv");
        let mut bytes = Vec::new();
        let unit = record.unit().map_or_else(|| self.recorded_unit(), Ok)?;
        records::write_csv_in(unit, std::slice::from_ref(record), !path.is_file(), &mut bytes)?;
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let mut file = file.map_err(|e| failed("write", &path, &e))?;
        file.write_all(&bytes).and_then(|()| file.sync_data()).map_err(|e| failed("write", &path, &e))
    }

    /// Replaces `epochs.csv`, to cut it back to the epochs of a checkpoint.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_epochs(&self, epochs: &[EpochRecord]) -> Result<()> {
        if epochs.is_empty() {
            return files::remove(&self.file("epochs.csv"));
        }
        self.write_rows("epochs.csv", epochs, self.recorded_unit()?)
    }

    /// The unit in `trial.toml`; millimetres where there is no such file.
    fn recorded_unit(&self) -> Result<ErrorUnit> {
        if self.file("trial.toml").is_file() { Ok(self.trial_file()?.unit) } else { Ok(ErrorUnit::default()) }
    }

    /// Rows of `landmarks.csv`; empty if the file is missing.
    ///
    /// # Errors
    /// When it exists and is unreadable.
    pub fn landmarks(&self) -> Result<Vec<LandmarkRecord>> {
        self.rows("landmarks.csv")
    }

    /// Replaces `landmarks.csv`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_landmarks(&self, landmarks: &[LandmarkRecord]) -> Result<()> {
        let in_pixels = landmarks.iter().any(|row| row.unit() == ErrorUnit::Pixels);
        let unit = if in_pixels { ErrorUnit::Pixels } else { ErrorUnit::Millimetres };
        self.write_rows("landmarks.csv", landmarks, unit)
    }

    /// `log.txt`, opened for appending.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn log_file(&self) -> Result<File> {
        let path = self.file("log.txt");
        OpenOptions::new().create(true).append(true).open(&path).map_err(|e| failed("write", &path, &e))
    }

    /// The lines in the last `bytes` bytes of `log.txt`; empty if it cannot be read.
    #[must_use]
    pub fn log_tail(&self, bytes: u64) -> Vec<String> {
        let read = || -> std::io::Result<(Vec<u8>, bool)> {
            let mut file = File::open(self.file("log.txt"))?;
            let start = file.metadata()?.len().saturating_sub(bytes);
            file.seek(SeekFrom::Start(start))?;
            let mut end = Vec::new();
            file.take(bytes).read_to_end(&mut end)?;
            Ok((end, start > 0))
        };
        let (end, is_cut) = read().unwrap_or_default();
        // The first line may be cut off at its start: skip it.
        String::from_utf8_lossy(&end).lines().skip(usize::from(is_cut)).map(str::to_owned).collect()
    }

    /// Modification times and lengths of these files: if they are equal, the files have not changed.
    #[must_use]
    pub fn modification_snapshot(&self, files: &[&str]) -> ModificationSnapshot {
        let of = |name: &&str| {
            let about = fs::metadata(self.file(name)).ok()?;
            Some((about.modified().ok()?, about.len()))
        };
        ModificationSnapshot(files.iter().map(of).collect())
    }

    /// Adds a line to `log.txt`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn log(&self, line: &str) -> Result<()> {
        let path = self.file("log.txt");
        writeln!(self.log_file()?, "{line}").map_err(|e| failed("write", &path, &e))
    }

    /// Locks the trial against other processes, waiting up to `patience` for the holder to release it.
    ///
    /// # Errors
    /// When it cannot be locked.
    pub fn lock(&self, host: &str, patience: Duration) -> Result<LockResult> {
        let result = Lock::acquire(&self.file(".lock"), host, patience)?;
        if matches!(result, LockResult::Held(_)) {
            files::remove_parts(&self.root)?;
        }
        Ok(result)
    }

    /// The process that trains it now, if any.
    ///
    /// # Errors
    /// When the file system has no locks.
    pub fn trainer(&self) -> Result<Option<LockHolder>> {
        Lock::holder(&self.file(".lock"))
    }

    /// Removes everything that a training left, so that it starts anew.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn clear(&self) -> Result<()> {
        files::remove_folder(&self.root)
    }

    /// Moves records and checkpoints into `damaged/`, so that training starts anew and nothing is lost.
    ///
    /// # Errors
    /// When one cannot be moved.
    pub fn quarantine(&self) -> Result<()> {
        let aside = self.file("damaged");
        files::create_folder(&aside)?;
        for name in [
            "epochs.csv",
            "landmarks.csv",
            "errors.bin",
            "best.safetensors",
            "last.safetensors",
            "previous.safetensors",
        ] {
            match fs::rename(self.file(name), aside.join(name)) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(failed("move", &self.file(name), &e)),
                _ => {}
            }
        }
        Ok(())
    }

    fn rows<R: DeserializeOwned>(&self, name: &str) -> Result<Vec<R>> {
        match self.complete_lines(name)? {
            Some(bytes) => records::read_csv(bytes.as_slice()).map_err(|e| e.at(self.file(name).display())),
            None => Ok(Vec::new()),
        }
    }

    /// Content of a file up to its last line break; `None` if it is missing.
    fn complete_lines(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.file(name);
        if !path.is_file() {
            return Ok(None);
        }
        let mut bytes = read(&path)?;
        bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1));
        Ok(Some(bytes))
    }

    fn write_rows<R: Serialize>(&self, name: &str, rows: &[R], unit: ErrorUnit) -> Result<()> {
        let mut bytes = Vec::new();
        records::write_csv_in(unit, rows, true, &mut bytes)?;
        replace(&self.file(name), &bytes)
    }
}

fn json(status: &TrialStatus) -> Result<Vec<u8>> {
    let json = serde_json::to_string_pretty(status).map_err(|e| Error::results(e.to_string()))?;
    Ok(format!("{json}\n").into_bytes())
}
