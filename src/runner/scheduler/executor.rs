//! The interface between the dispatcher and the executors that run the processes of trials.

use std::path::PathBuf;
use std::time::Duration;

use super::Slot;
use sweep_core::error::Result;

/// A trial to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Its id.
    pub trial: String,
    /// Its folder, which holds `trial.toml`.
    pub dir: PathBuf,
    /// Where it runs.
    pub slot: Slot,
}

/// How to stop a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// It finishes the current step and saves its progress.
    Gently,
    /// It is killed with every process it started, and resumes from its last checkpoint.
    AtOnce,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// It was killed by this signal.
    Signal(i32),
    /// It was stopped from outside, with the reason.
    Stopped(String),
    /// It failed, with the reason.
    Failed(String),
}

/// The end of a trial's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialEvent {
    /// Trial id.
    pub trial: String,
    /// How its process ended.
    pub exit: Exit,
    /// The last lines it wrote on standard error.
    pub tail: Vec<String>,
    /// The cluster node it ran on, if any.
    pub node: Option<String>,
}

/// A notice of an executor for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Progress.
    Progress(String),
    /// A problem, or something that needs the user's attention.
    Warning(String),
}

/// Runs trials. A trial's state is read from its folder: events of an executor only say when to read it.
pub trait Executor {
    /// Starts a trial.
    ///
    /// # Errors
    /// When its process cannot be started. The machine is at fault, not the trial.
    fn start(&mut self, start: &Start) -> Result<()>;

    /// Trials that ended since the last call; waits up to `wait` for one.
    ///
    /// # Errors
    /// When the state of processes cannot be determined.
    fn poll(&mut self, wait: Duration) -> Result<Vec<TrialEvent>>;

    /// Requests a trial to stop; its end is reported by [`Executor::poll`].
    ///
    /// # Errors
    /// When the request cannot be delivered.
    fn cancel(&mut self, trial: &str, stop: Stop) -> Result<()>;

    /// Memory (MiB) that is free for trials, or that one trial uses; `None` if it is unknown.
    fn memory_mib(&self, trial: Option<&str>) -> Option<f64>;

    /// Memory (MiB) that trials could have if nothing else took any; `None` if it is unknown.
    fn total_memory_mib(&self) -> Option<f64> {
        None
    }

    /// Whether a started trial's process runs, as far as is known; it may still be queued.
    fn is_running(&self, _trial: &str) -> bool {
        true
    }

    /// Whether an earlier runner started this trial and it has not ended: starting it adopts it.
    fn is_under_way(&self, _trial: &str) -> bool {
        false
    }

    /// Whether trials continue after this runner ends.
    fn outlives(&self) -> bool {
        false
    }

    /// Whether every started trial is submitted, so that it continues after this runner ends.
    fn is_handed_over(&self) -> bool {
        true
    }

    /// Excludes a node from further starts.
    fn avoid(&mut self, _node: &str) {}

    /// Notices since the last call.
    fn notices(&mut self) -> Vec<Notice> {
        Vec::new()
    }
}
