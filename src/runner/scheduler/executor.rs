//! What starts, watches and stops the processes of trials.

use std::path::PathBuf;
use std::time::Duration;

use super::Slot;
use sweep_core::error::Result;

/// A trial to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Its id.
    pub trial: String,
    /// Its folder, in which `trial.toml` says what to do.
    pub dir: PathBuf,
    /// Where it runs.
    pub place: Slot,
}

/// How to stop one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// It finishes the step and saves what it did.
    Gently,
    /// At once, with every process it started; it goes on from its last checkpoint.
    AtOnce,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It was stopped from outside, in these words.
    Stopped(String),
    /// It failed, in these words.
    Failed(String),
}

/// Something that happened to a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialEvent {
    /// Which.
    pub trial: String,
    /// How its process ended.
    pub exit: Exit,
    /// The last lines it wrote on standard error.
    pub tail: Vec<String>,
    /// What it ran on, where that is not the place it was started at: a node of a cluster.
    pub node: Option<String>,
}

/// Something that an executor has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// How it goes.
    Progress(String),
    /// What went wrong, or needs somebody.
    Trouble(String),
}

/// Runs trials somewhere. What a trial amounts to is read from its folder; what an executor says is only a hint that
/// there is something to read.
pub trait Executor {
    /// Starts a trial.
    ///
    /// # Errors
    /// When it cannot be started: a machine's trouble, not the trial's.
    fn start(&mut self, start: &Start) -> Result<()>;

    /// The trials that ended since; waits up to `wait` for something to happen.
    ///
    /// # Errors
    /// When it cannot be known.
    fn poll(&mut self, wait: Duration) -> Result<Vec<TrialEvent>>;

    /// Asks a trial to stop; its end comes as an event.
    ///
    /// # Errors
    /// When it cannot be asked.
    fn cancel(&mut self, trial: &str, stop: Stop) -> Result<()>;

    /// Memory (MiB) that trials can still take, and what this one holds of it, where that is known.
    fn memory_mib(&self, trial: Option<&str>) -> Option<f64>;

    /// Whether a started trial's process runs, as far as is known: it may have to wait for its turn.
    fn is_running(&self, _trial: &str) -> bool {
        true
    }

    /// Whether an earlier runner has started this trial already: starting it takes it over.
    fn is_under_way(&self, _trial: &str) -> bool {
        false
    }

    /// Whether trials go on without this runner.
    fn outlives(&self) -> bool {
        false
    }

    /// Whether every started trial is where it can do so.
    fn is_handed_over(&self) -> bool {
        true
    }

    /// Starts nothing any more on this node.
    fn avoid(&mut self, _node: &str) {}

    /// What happened since that the user may want to know.
    fn news(&mut self) -> Vec<News> {
        Vec::new()
    }
}
