//! Everything under `results/`. Only this module reads and writes there, through a [`Root`], because the folder may come
//! from somebody else: whole files by rename, rows by append, one writer at a time ([`Lock`]).

use std::path::{Path, PathBuf};
use std::time::Duration;

use sweep_core::error::{Error, Result};

mod appended;
mod control;
mod damage;
mod epoch_errors;
mod files;
mod followers;
mod lock;
mod names;
mod notes;
mod root;
mod sweep_file;
mod tables;
mod trial;

pub use appended::{EpochsMark, NewEpochs};
pub use control::{Control, ControlRequest};
pub use files::{create_folder, read, read_text, read_up_to, remove_folder, replace, write};
pub use lock::{Lock, LockHolder, LockResult};
pub use names::{Names, is_plain};
pub use notes::{Note, Notes};
pub use root::{Entry, Root, most};
pub use sweep_file::SweepFile;
pub use trial::{ModificationSnapshot, TrialFile, TrialStore};

const DEFINITION: &str = "sweep.toml";
const LOCK: &str = ".lock";
/// Time that a runner killed just now may take to release its lock.
const DYING: Duration = Duration::from_millis(500);

/// A sweep's folder, `results/SWEEP`.
#[derive(Debug, Clone)]
pub struct Store {
    root: Root,
}

impl Store {
    /// The folder of a sweep under `results`; created by the first write.
    #[must_use]
    pub fn new(results: &Path, sweep: &str) -> Self {
        Self { root: Root::at(&results.join(sweep)) }
    }

    /// The folder as given, for commands that read records: `results/SWEEP`.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self { root: Root::at(root) }
    }

    /// The sweep of this name in a folder of results. Unlike [`Store::new`] it refuses a link of this name, for programs that
    /// show a folder to others.
    #[must_use]
    pub fn within(results: &Root, sweep: &str) -> Self {
        Self { root: results.folder(sweep) }
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The folder itself, to read and write in.
    #[must_use]
    pub fn folder(&self) -> &Root {
        &self.root
    }

    /// The path of `sweep.toml`.
    #[must_use]
    pub fn definition(&self) -> PathBuf {
        self.root.join(DEFINITION)
    }

    /// Whether the folder is that of a sweep.
    #[must_use]
    pub fn is_sweep(&self) -> bool {
        matches!(self.root.entry(DEFINITION), Ok(Some(_)))
    }

    /// Writes `summary.csv`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_summary(&self, csv: &[u8]) -> Result<()> {
        self.root.write("summary.csv", csv)
    }

    /// `report/`.
    #[must_use]
    pub fn report(&self) -> Root {
        self.root.folder("report")
    }

    /// `images/`: a few validation images to draw landmarks on.
    #[must_use]
    pub fn images(&self) -> Root {
        self.root.folder("images")
    }

    /// `control/`: requests of users to the runner of the sweep.
    #[must_use]
    pub fn control(&self) -> Control {
        Control::at(&self.root)
    }

    /// `slurm/`: submitted scripts, and the output of their jobs.
    #[must_use]
    pub fn slurm(&self) -> Root {
        self.root.folder("slurm")
    }

    /// A trial's folder.
    #[must_use]
    pub fn trial(&self, id: &str) -> TrialStore {
        TrialStore::below(&self.root, id)
    }

    /// Ids of all trials that have a `trial.toml`, sorted.
    ///
    /// # Errors
    /// When the folder exists and cannot be read.
    pub fn trials(&self) -> Result<Vec<String>> {
        let folder = self.root.folder("trials");
        let mut ids = folder.names()?;
        // A link is no trial, but listed, so that whoever reads it says so.
        ids.retain(|id| !matches!(folder.entry(Path::new(id).join("trial.toml")), Ok(None)));
        Ok(ids)
    }

    /// Creates the folder and locks it against other runs.
    ///
    /// # Errors
    /// When it cannot be written to, or another process is running this sweep.
    pub fn lock(&self, host: &str) -> Result<Lock> {
        self.lock_within(host, DYING)
    }

    /// [`Store::lock`], waiting up to `patience` for the holder to release it.
    ///
    /// # Errors
    /// Same errors as [`Store::lock`].
    pub fn lock_within(&self, host: &str, patience: Duration) -> Result<Lock> {
        self.root.create()?;
        match Lock::acquire(&self.root, LOCK, host, patience)? {
            LockResult::Held(lock) => Ok(lock),
            LockResult::Busy(holder) => {
                let who = holder.map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
                Err(Error::results(format!("{who} is running this sweep"))
                    .at(self.root().display())
                    .remedy("wait for it, stop it, or choose another folder with --results"))
            }
        }
    }

    /// The process that runs this sweep now, if any.
    ///
    /// # Errors
    /// When the file system has no locks.
    pub fn runner(&self) -> Result<Option<LockHolder>> {
        Lock::holder(&self.root, LOCK)
    }

    /// Locks the sweep against other processes that send it to trackers.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn lock_tracking(&self, host: &str) -> Result<LockResult> {
        Lock::acquire(&self.root, ".track.lock", host, Duration::ZERO)
    }

    /// `tensorboard/`: event files, if they are requested.
    #[must_use]
    pub fn tensorboard(&self) -> Root {
        self.root.folder("tensorboard")
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
