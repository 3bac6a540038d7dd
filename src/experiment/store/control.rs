//! What users ask of a sweep's runner while it runs, as files in `control/`: a file that is there is an order, whoever made it
//! and however, `touch` included. The runner looks several times a second.

use std::path::{Path, PathBuf};

use super::files;
use sweep_core::error::Result;

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlRequest {
    /// `control/pause`: start nothing, and have what runs save and end until this file is gone; then it goes on.
    Pause,
    /// `control/stop`: as Ctrl-C in the runner's terminal.
    Stop,
    /// `control/retry/TRIAL`: train a trial again that failed, timed out or diverged.
    Retry(String),
}

/// The folder of orders.
#[derive(Debug, Clone)]
pub struct Control {
    root: PathBuf,
}

impl Control {
    pub(super) fn at(sweep: &Path) -> Self {
        Self { root: sweep.join("control") }
    }

    fn file(&self, order: &ControlRequest) -> PathBuf {
        match order {
            ControlRequest::Pause => self.root.join("pause"),
            ControlRequest::Stop => self.root.join("stop"),
            ControlRequest::Retry(trial) => self.root.join("retry").join(trial),
        }
    }

    /// Asks for it.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn submit(&self, order: &ControlRequest) -> Result<()> {
        files::write(&self.file(order), b"")
    }

    /// Takes it back, or takes note of it.
    ///
    /// # Errors
    /// When the file is there and cannot be removed.
    pub fn cancel(&self, order: &ControlRequest) -> Result<()> {
        files::remove(&self.file(order))
    }

    /// Whether it is asked for.
    #[must_use]
    pub fn is_requested(&self, order: &ControlRequest) -> bool {
        self.file(order).exists()
    }

    /// Trials that are to be trained again, sorted.
    ///
    /// # Errors
    /// When the folder exists and cannot be read.
    pub fn retries(&self) -> Result<Vec<String>> {
        files::names(&self.root.join("retry"))
    }

    /// Forgets every order: they were another runner's.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn clear(&self) -> Result<()> {
        files::remove_folder(&self.root)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "users make these files")]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn an_order_is_a_file_that_anybody_can_make() {
        let folder = tempfile::tempdir().unwrap();
        let control = Control::at(folder.path());
        assert!(!control.is_requested(&ControlRequest::Pause) && control.retries().unwrap().is_empty());
        control.submit(&ControlRequest::Pause).unwrap();
        assert!(folder.path().join("control/pause").is_file());
        control.cancel(&ControlRequest::Pause).unwrap();
        control.cancel(&ControlRequest::Pause).unwrap();
        assert!(!control.is_requested(&ControlRequest::Pause));
        fs::create_dir_all(folder.path().join("control/retry")).unwrap();
        for trial in ["b", "a"] {
            fs::write(folder.path().join("control/retry").join(trial), "").unwrap();
        }
        assert_eq!(control.retries().unwrap(), ["a", "b"]);
        control.clear().unwrap();
        control.clear().unwrap();
        assert!(control.retries().unwrap().is_empty());
    }
}
