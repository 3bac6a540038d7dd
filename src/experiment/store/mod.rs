//! Every path under `results/`, and the only hands that write there: whole files by rename ([`replace`]), rows by append, one
//! writer at a time ([`Lock`]).

use std::path::{Path, PathBuf};
use std::time::Duration;

use sweep_core::error::{Error, Result};

mod control;
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

/// A runner that was killed in this moment takes so long to let go.
const DYING: Duration = Duration::from_millis(500);

/// A sweep's folder, `results/SWEEP`.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
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

    /// `control/`: what users ask of whoever runs the sweep.
    #[must_use]
    pub fn control(&self) -> Control {
        Control::at(&self.root)
    }

    /// `slurm/`: what was submitted to a cluster, and what its jobs print.
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

    /// Makes the folder and holds it against another run.
    ///
    /// # Errors
    /// When it cannot be written to, or another process runs this sweep.
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

    /// Who runs this sweep now, if anybody does.
    ///
    /// # Errors
    /// When the file system knows no locks.
    pub fn runner(&self) -> Result<Option<LockHolder>> {
        Lock::holder(&self.lock_file())
    }

    /// Holds the sweep against other processes that tell trackers of it.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn lock_tracking(&self, host: &str) -> Result<LockResult> {
        Lock::acquire(&self.root.join(".track.lock"), host, Duration::ZERO)
    }

    /// `tensorboard/`: event files, where they are asked for.
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
