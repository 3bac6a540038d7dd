//! A trial's folder. The trial's process writes it during its life; the runner before and after.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::files::failed;
use super::lock::{Lock, LockHolder, LockResult};
use super::tables::{EPOCHS, LANDMARKS, TEST};
use super::{Root, Store, most};
use crate::metric::Objective;
use crate::records::TrialStatus;
use sweep_core::error::{Error, Result};
use sweep_core::measures::Measures;
use sweep_core::units::ErrorUnit;

const TRIAL: &str = "trial.toml";
const STATUS: &str = "status.json";

/// A trial's folder, `results/SWEEP/trials/TRIAL`. Only [`TrialStore::begin`] creates it: if it is removed during
/// training, later writes must not recreate something that looks like a trial.
#[derive(Debug, Clone)]
pub struct TrialStore {
    pub(super) root: Root,
    /// The sweep that it belongs to.
    pub(super) sweep: Root,
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
    /// Measures of its data set: angles, distances and ratios of landmarks.
    #[serde(default, skip_serializing_if = "Measures::is_empty")]
    pub measures: Measures,
    /// Landmarks that no training image has: neither trained nor measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub untrained: Vec<String>,
    /// Landmarks that no validation image has: trained, but not measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmeasured: Vec<String>,
    /// Files in the sweep's folder `images` that show validation images, by the images' names. The files are named by what they
    /// show; in trials of earlier versions, by the image.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, String>,
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

    /// The metric that chooses its best epoch; in files of earlier versions, the mean radial error.
    #[must_use]
    pub fn objective(&self) -> Objective {
        let named = self.config.get("objective").and_then(Value::as_str).and_then(Objective::from_name);
        named.unwrap_or_else(|| Objective::default_in(self.unit))
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
        Self { root: Root::at(root), sweep: Root::at(root.ancestors().nth(2).unwrap_or(Path::new(""))) }
    }

    /// The trial of this id in a sweep.
    pub(super) fn below(sweep: &Root, id: &str) -> Self {
        Self { root: sweep.folder("trials").folder(id), sweep: sweep.clone() }
    }

    /// The folder's path.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The folder, to read and write in.
    #[must_use]
    pub fn folder(&self) -> &Root {
        &self.root
    }

    /// Whether training or a plan has begun it.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.root.has_file(TRIAL)
    }

    /// The sweep it belongs to.
    #[must_use]
    pub fn sweep(&self) -> Store {
        Store { root: self.sweep.clone() }
    }

    /// The path of a file in the folder.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Name of the weights of the best epoch by the objective.
    pub const BEST: &str = "best.safetensors";

    /// Name of everything that is needed to resume.
    pub const LAST: &str = "last.safetensors";

    /// Name of the previous version of [`TrialStore::LAST`], to resume from if that is damaged.
    pub const PREVIOUS: &str = "previous.safetensors";

    /// The path of [`TrialStore::BEST`].
    #[must_use]
    pub fn best(&self) -> PathBuf {
        self.file(Self::BEST)
    }

    /// The path of [`TrialStore::LAST`].
    #[must_use]
    pub fn last(&self) -> PathBuf {
        self.file(Self::LAST)
    }

    /// Replaces [`TrialStore::LAST`] and keeps the previous one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn replace_last(&self, bytes: &[u8]) -> Result<()> {
        self.root.replace_keeping(Self::LAST, Self::PREVIOUS, bytes)
    }

    /// Replaces [`TrialStore::BEST`].
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn replace_best(&self, bytes: &[u8]) -> Result<()> {
        self.root.replace(Self::BEST, bytes)
    }

    /// Removes [`TrialStore::PREVIOUS`]: a finished trial never resumes.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove_previous(&self) -> Result<()> {
        self.root.remove(Self::PREVIOUS)
    }

    /// Creates the folder and writes `trial.toml`, or updates in an existing one the axes, the measures and where the data set
    /// lies.
    ///
    /// # Errors
    /// When it cannot be written, or the folder holds results of a different identity.
    pub fn begin(&self, planned: TrialFile) -> Result<()> {
        if self.root.entry(TRIAL)?.is_none() {
            self.root.create()?;
            return self.write_trial_file(&planned);
        }
        let before = self.trial_file()?;
        if before.identity != planned.identity {
            return Err(Error::results(format!("trial {} was run on other data or by another version", planned.trial))
                .at(self.root().display())
                .remedy("keep those results and choose another folder with --results"));
        }
        // Settings that are no part of the identity may differ: the data set may have moved, or define other measures.
        let TrialFile { measures, axes, config, .. } = planned;
        if before.axes == axes && before.config == config && before.measures == measures {
            return Ok(());
        }
        self.write_trial_file(&TrialFile { measures, axes, config, ..before })
    }

    /// `trial.toml`.
    ///
    /// # Errors
    /// When it is missing or unreadable.
    pub fn trial_file(&self) -> Result<TrialFile> {
        let path = self.file(TRIAL);
        let wrong = |what: &str| Error::results(what).at(path.display());
        let text = self.root.read_text(TRIAL, most::RECORD)?;
        let file: TrialFile = toml::from_str(&text).map_err(|e| wrong(e.message()))?;
        let has_seed = file.config.get("seed").is_some_and(Value::is_integer);
        if has_seed { Ok(file) } else { Err(wrong("config has no `seed`, a whole number")) }
    }

    /// Writes `trial.toml`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_trial_file(&self, file: &TrialFile) -> Result<()> {
        let text = toml::to_string(file).map_err(|e| Error::results(format!("cannot write trial.toml: {e}")))?;
        self.root.replace(TRIAL, text.as_bytes())
    }

    /// `status.json`; pending if there is none.
    ///
    /// # Errors
    /// When it exists and is unreadable.
    pub fn status(&self) -> Result<TrialStatus> {
        let wrong = |e: serde_json::Error| Error::results(e.to_string()).at(self.file(STATUS).display());
        match self.root.read_if_present(STATUS, most::STATUS)? {
            Some(json) => {
                let status: TrialStatus = serde_json::from_slice(&json).map_err(wrong)?;
                let place = |key: &str| format!("{}: {key}", self.file(STATUS).display());
                status.check().map_err(|(key, why)| Error::results(why).at(place(key)))?;
                Ok(status)
            }
            None => Ok(TrialStatus::pending(&self.root().file_name().unwrap_or_default().to_string_lossy())),
        }
    }

    /// Writes `status.json`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_status(&self, status: &TrialStatus) -> Result<()> {
        self.root.replace(STATUS, &json(status)?)
    }

    /// Writes `status.json` as a sign of life, without flushing to disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_heartbeat(&self, status: &TrialStatus) -> Result<()> {
        self.root.replace_in_passing(STATUS, &json(status)?)
    }

    /// `log.txt`, opened for appending.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn log_file(&self) -> Result<File> {
        self.root.append("log.txt")
    }

    /// The lines in the last `bytes` bytes of `log.txt`; empty if it cannot be read.
    #[must_use]
    pub fn log_tail(&self, bytes: u64) -> Vec<String> {
        let read = || -> std::io::Result<(Vec<u8>, bool)> {
            let Ok(Some(mut file)) = self.root.open("log.txt") else { return Ok((Vec::new(), false)) };
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
        ModificationSnapshot(files.iter().map(|name| self.root.version(name)).collect())
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
        let result = Lock::acquire(&self.root, ".lock", host, patience)?;
        if matches!(result, LockResult::Held(_)) {
            self.root.remove_parts()?;
        }
        Ok(result)
    }

    /// The process that trains it now, if any.
    ///
    /// # Errors
    /// When the file system has no locks.
    pub fn trainer(&self) -> Result<Option<LockHolder>> {
        Lock::holder(&self.root, ".lock")
    }

    /// Removes everything that a training left, so that it starts anew.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn clear(&self) -> Result<()> {
        self.root.clear()
    }

    /// Moves records and checkpoints into `damaged/`, so that training starts anew and nothing is lost.
    ///
    /// # Errors
    /// When one cannot be moved.
    pub fn quarantine(&self) -> Result<()> {
        self.root.folder("damaged").create()?;
        for name in [EPOCHS, LANDMARKS, TEST, super::epoch_errors::FILE, Self::BEST, Self::LAST, Self::PREVIOUS] {
            self.root.move_into("damaged", name)?;
        }
        Ok(())
    }
}

fn json(status: &TrialStatus) -> Result<Vec<u8>> {
    let json = serde_json::to_string_pretty(status).map_err(|e| Error::results(e.to_string()))?;
    Ok(format!("{json}\n").into_bytes())
}
