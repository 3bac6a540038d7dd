//! Requests of users to the runner of a sweep, as files in `control/`. A file there is a request, whoever made it and
//! however, `touch` included. The runner looks several times a second.

use std::path::{Path, PathBuf};

use super::Root;
use sweep_core::error::Result;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlRequest {
    /// `control/pause`: start no trials, have running ones save and end; continue when the file is gone.
    Pause,
    /// `control/stop`: the same as Ctrl-C in the runner's terminal.
    Stop,
    /// `control/retry/TRIAL`: train again a trial that failed, timed out or diverged.
    Retry(String),
}

/// The folder of requests.
#[derive(Debug, Clone)]
pub struct Control {
    sweep: Root,
}

/// Its name in the sweep's folder.
const FOLDER: &str = "control";

impl Control {
    pub(super) fn at(sweep: &Root) -> Self {
        Self { sweep: sweep.clone() }
    }

    /// Name of a request's file in the sweep's folder.
    fn file(order: &ControlRequest) -> PathBuf {
        let folder = Path::new(FOLDER);
        match order {
            ControlRequest::Pause => folder.join("pause"),
            ControlRequest::Stop => folder.join("stop"),
            ControlRequest::Retry(trial) => folder.join("retry").join(trial),
        }
    }

    /// Makes a request.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn submit(&self, request: &ControlRequest) -> Result<()> {
        self.sweep.write(Self::file(request), b"")
    }

    /// Withdraws a request, or marks it as handled.
    ///
    /// # Errors
    /// When the file is there and cannot be removed.
    pub fn cancel(&self, request: &ControlRequest) -> Result<()> {
        self.sweep.remove(Self::file(request))
    }

    /// Whether the request is made.
    #[must_use]
    pub fn is_requested(&self, request: &ControlRequest) -> bool {
        matches!(self.sweep.entry(Self::file(request)), Ok(Some(_)))
    }

    /// Trials to train again, sorted.
    ///
    /// # Errors
    /// When the folder exists and cannot be read.
    pub fn retries(&self) -> Result<Vec<String>> {
        self.sweep.folder(FOLDER).folder("retry").names()
    }

    /// Removes every request, because it was meant for an earlier runner.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn clear(&self) -> Result<()> {
        self.sweep.remove_all(FOLDER)
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
        let control = Control::at(&Root::at(folder.path()));
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
