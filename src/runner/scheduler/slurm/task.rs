//! A trial as a task of a Slurm array.

use std::time::Duration;

use sweep_experiment::slurm::answers::JobState;

/// A trial that was started, and what is known about its job.
#[derive(Debug)]
pub(super) struct Task {
    /// Array and index of its job; `None` before it is submitted.
    pub(super) job: Option<(u64, u32)>,
    /// The job's state; `None` if it is unknown.
    pub(super) state: Option<JobState>,
    pub(super) node: String,
    /// Slurm's reason why the job waits.
    pub(super) reason: String,
    /// Attempts before this job.
    pub(super) attempts: u32,
    /// When its job was first observed to be over.
    pub(super) ended: Duration,
    /// Whether Slurm has forgotten its job.
    pub(super) forgotten: bool,
    /// Whether the runner requested it to stop.
    pub(super) stop_requested: bool,
    /// How often it was submitted again.
    pub(super) resubmissions: u32,
    /// Submissions in a row that made no step.
    pub(super) without_progress: u32,
    /// Steps when it was last submitted.
    pub(super) step: u64,
}

impl Task {
    pub(super) fn new(job: Option<(u64, u32)>, attempts: u32, step: u64) -> Self {
        Self {
            job,
            state: None,
            node: String::new(),
            reason: String::new(),
            attempts,
            ended: Duration::ZERO,
            forgotten: false,
            stop_requested: false,
            resubmissions: 0,
            without_progress: 0,
            step,
        }
    }
}
