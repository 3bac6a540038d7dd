//! Every path under `results/`. Only this module writes there: whole files by rename ([`replace`]), rows by append, one
//! writer at a time ([`Lock`]).

use std::path::{Path, PathBuf};
use std::time::Duration;

use sweep_core::error::{Error, Result};

mod control;
mod epoch_errors;
mod files;
mod lock;
mod names;
mod sweep_file;
mod trial;

pub use control::{Control, ControlRequest};
pub use files::{
    create_folder, files_in, folders_in, read, read_text, remove, remove_folder, replace, truncate_and_append, write,
    write_program,
};
pub use lock::{Lock, LockHolder, LockResult};
pub use names::Names;
pub use sweep_file::SweepFile;
pub use trial::{ModificationSnapshot, TrialFile, TrialStore};

/// Time that a runner killed just now may take to release its lock.
const DYING: Duration = Duration::from_millis(500);

/// A sweep's folder, `results/SWEEP`.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// The folder of a sweep under `results`; created by the first write.
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

    /// `control/`: requests of users to the runner of the sweep.
    #[must_use]
    pub fn control(&self) -> Control {
        Control::at(&self.root)
    }

    /// `slurm/`: submitted scripts, and the output of their jobs.
    #[must_use]
    pub fn slurm(&self) -> PathBuf {
        self.root.join("slurm")
    }

    /// A trial's folder.
    #[must_use]
    pub fn trial(&self, id: &str) -> TrialStore {
        TrialStore::at(&self.root.join("trials").join(id))
    }

    /// Ids of all trials that have a `trial.toml`, sorted.
    ///
    /// # Errors
    /// When the folder exists and cannot be read.
    pub fn trials(&self) -> Result<Vec<String>> {
        let folder = self.root.join("trials");
        let mut ids = files::names(&folder)?;
        ids.retain(|id| folder.join(id).join("trial.toml").is_file());
        Ok(ids)
    }

    /// Creates the folder and locks it against other runs.
    ///
    /// # Errors
    /// When it cannot be written to, or another process is running this sweep.
    pub fn lock(&self, host: &str) -> Result<Lock> {
        files::create_folder(&self.root)?;
        match Lock::acquire(&self.lock_file(), host, DYING)? {
            LockResult::Held(lock) => Ok(lock),
            LockResult::Busy(holder) => {
                let who = holder.map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
                Err(Error::results(format!("{who} is running this sweep"))
                    .at(self.root.display())
                    .remedy("wait for it, stop it, or choose another folder with --results"))
            }
        }
    }

    /// The process that runs this sweep now, if any.
    ///
    /// # Errors
    /// When the file system has no locks.
    pub fn runner(&self) -> Result<Option<LockHolder>> {
        Lock::holder(&self.lock_file())
    }

    /// Locks the sweep against other processes that send it to trackers.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn lock_tracking(&self, host: &str) -> Result<LockResult> {
        Lock::acquire(&self.root.join(".track.lock"), host, Duration::ZERO)
    }

    /// `tensorboard/`: event files, if they are requested.
    #[must_use]
    pub fn tensorboard(&self) -> PathBuf {
        self.root.join("tensorboard")
    }

    fn lock_file(&self) -> PathBuf {
        self.root.join(".lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_of_the_same_sweep_is_refused_and_told_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path(), "loss");
        let held = store.lock("here").unwrap();
        assert!(store.lock("here").unwrap_err().message.contains(&format!("process {} on here", std::process::id())));
        drop(held);
        store.lock("here").unwrap();
    }
}
