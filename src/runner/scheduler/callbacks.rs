//! Callbacks of the dispatcher to its caller while a sweep runs: the user's requests, and reactions to events of
//! trials.

use super::{Start, Task};
use sweep_core::error::Result;
use sweep_experiment::records::{EpochRecord, TrialStatus};

/// The user's current request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum UserRequest {
    /// Continue: no request was made.
    Continue,
    /// Start no trials and let running ones save their progress, until the request is withdrawn.
    Pause,
    /// Stop and let trials save their progress.
    Stop,
    /// Stop at once.
    StopAtOnce,
}

/// A decision of pruning about a running trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PruneAction {
    /// Stop the trial, with the reason.
    Prune(String),
    /// Let the trial run on for an audit of pruning, with the reason why it would have been pruned.
    Audit(String),
}

/// Callbacks of the [`Dispatcher`](super::Dispatcher), implemented by the owner of the plan.
pub trait SweepCallbacks {
    /// The user's current request.
    fn request(&self) -> UserRequest;
    /// Prepares the folder of a trial that is about to start.
    ///
    /// # Errors
    /// When it cannot be written.
    fn prepare(&mut self, trial: &str) -> Result<()>;
    /// A trial was started.
    fn started(&mut self, start: &Start);
    /// A running trial wrote its status.
    fn alive(&mut self, status: &TrialStatus);
    /// A running trial finished an epoch. Returns decisions about running trials.
    fn epoch(&mut self, trial: &str, record: &EpochRecord) -> Vec<(String, PruneAction)>;
    /// A trial ended. Returns the trials to run as a consequence.
    ///
    /// # Errors
    /// When its records cannot be read.
    fn ended(&mut self, status: &TrialStatus, tail: &[String]) -> Result<Vec<Task>>;
    /// Trials that the user requested to train again.
    ///
    /// # Errors
    /// When their folders cannot be prepared.
    fn again(&mut self) -> Result<Vec<Task>>;
    /// Reports something that the user must know at once.
    fn say(&mut self, line: &str);
    /// Reports progress.
    fn note(&mut self, line: &str);
    /// Called periodically while trials run.
    fn tick(&mut self);
}
