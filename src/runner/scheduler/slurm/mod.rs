//! Trials as tasks of Slurm job arrays. There is no daemon: submissions are recorded in the sweep's folder
//! (`SubmissionLog`), by which a later runner finds the jobs again.
//!
//! One query covers all jobs, and queries become rarer while nothing changes. Slurm's answers are hints; the records in a
//! trial's folder decide (`decision`).

mod completion;
mod controller;
mod decision;
mod executor;
mod jobs;
mod polling;
mod submissions;
mod submit;
mod task;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Executor, Exit, Notice, Start, Stop, TrialEvent};
use sweep_core::error::Result;
use sweep_experiment::records::TrialStatus;
use sweep_experiment::slurm::SlurmSpec;
use sweep_experiment::slurm::answers::{Job, JobState};
use sweep_experiment::store::Store;

pub use controller::{Cancel, Controller, Programs, Refusal, own_job, requeue};
pub use jobs::{Jobs, preview};
pub use submissions::Submission;
use submissions::SubmissionLog;
use task::Task;

/// Longest interval between two queries while nothing changes, as a multiple of the shortest.
const QUIET: u32 = 4;
/// Longest interval between two queries while the controller does not answer.
const AWAY: Duration = Duration::from_secs(300);

/// Submits arrays of `sweep trial` and polls their jobs.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a state of its own")]
pub struct Slurm<C> {
    spec: SlurmSpec,
    jobs: Jobs,
    store: Store,
    controller: C,
    submissions: SubmissionLog,
    /// Jobs of earlier runners that are not over, by trial.
    under_way: BTreeMap<String, Job>,
    /// Whether Slurm has reported the jobs of earlier runners; nothing is submitted before.
    known: bool,
    tasks: BTreeMap<String, Task>,
    /// Trials by array and index of their jobs.
    trials: BTreeMap<(u64, u32), String>,
    /// Trials to submit.
    queued: Vec<String>,
    /// Submissions that Slurm has not confirmed, by index, and when they were made.
    unconfirmed: BTreeMap<usize, Duration>,
    /// Trials whose jobs are over and whose end is not reported yet.
    ended: BTreeSet<String>,
    /// Cancellations to send.
    cancels: Vec<(String, Cancel)>,
    /// Largest array.
    largest: usize,
    /// Whether Slurm accepts no more jobs until some have ended.
    full: bool,
    /// When to query Slurm next, and the interval after that.
    next: Duration,
    pause: Duration,
    /// Whether the controller does not answer.
    away: bool,
    /// Whether Slurm keeps accounts of ended jobs.
    accounts: bool,
    /// Reported reasons of jobs that will not start.
    stuck_reasons: BTreeSet<String>,
    /// Excluded nodes.
    excluded: Vec<String>,
    /// Trials in a row that did not begin, by node.
    failed_starts: BTreeMap<String, BTreeSet<String>>,
    /// Nodes excluded since a trial was last done.
    nodes_in_a_row: usize,
    notices: Vec<Notice>,
    events: Vec<TrialEvent>,
    /// Number of queries for all jobs.
    pub polls: u64,
}

impl<C: Controller> Slurm<C> {
    /// Opens the sweep's submissions and finds the jobs of earlier runners.
    ///
    /// # Errors
    /// When earlier submissions cannot be read.
    pub fn open(spec: SlurmSpec, jobs: Jobs, store: Store, mut controller: C) -> Result<Self> {
        let submissions = SubmissionLog::open(&store.slurm())?;
        let largest = jobs::largest(&spec, controller.largest_array());
        let pause = Duration::from_secs(spec.poll_seconds);
        let mut slurm = Self {
            largest,
            known: submissions.entries.iter().all(|submission| submission.void),
            spec,
            jobs,
            store,
            controller,
            submissions,
            under_way: BTreeMap::new(),
            tasks: BTreeMap::new(),
            trials: BTreeMap::new(),
            queued: Vec::new(),
            unconfirmed: BTreeMap::new(),
            ended: BTreeSet::new(),
            cancels: Vec::new(),
            full: false,
            next: Duration::ZERO,
            pause,
            away: false,
            accounts: true,
            stuck_reasons: BTreeSet::new(),
            excluded: Vec::new(),
            failed_starts: BTreeMap::new(),
            nodes_in_a_row: 0,
            notices: Vec::new(),
            events: Vec::new(),
            polls: 0,
        };
        if !slurm.known {
            slurm.poll_jobs()?;
        }
        Ok(slurm)
    }

    /// Number of trials with jobs of earlier runners that are not over.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// The controller, for another runner.
    #[must_use]
    pub fn into_controller(self) -> C {
        self.controller
    }

    /// Ids of the arrays with tasks that wait or run.
    #[must_use]
    pub fn arrays(&self) -> Vec<u64> {
        let live = self.tasks.values().filter_map(|task| Some(task.job?.0));
        live.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Attempts and steps in the trial's status file.
    fn attempts(&self, trial: &str) -> (u32, u64) {
        let status = self.store.trial(trial).status().unwrap_or_else(|_| TrialStatus::pending(trial));
        (status.attempts, status.live.step)
    }

    /// Adopts a job of an earlier runner.
    fn adopt(&mut self, trial: &str, job: &Job) {
        let (attempts, step) = self.attempts(trial);
        // The current attempt is already counted in the status.
        let begun = u32::from(job.state != JobState::Waiting).min(attempts);
        self.trials.insert((job.array, job.task), trial.to_owned());
        let task = Task::new(Some((job.array, job.task)), attempts - begun, step);
        self.tasks.insert(trial.to_owned(), Task { state: Some(job.state), node: job.node.clone(), ..task });
    }

    fn progress(&mut self, line: String) {
        self.notices.push(Notice::Progress(line));
    }

    fn warn(&mut self, line: String) {
        self.notices.push(Notice::Warning(line));
    }

    /// Records that the controller does not answer, and backs off.
    fn set_away(&mut self, why: &str) {
        if !self.away {
            self.away = true;
            self.pause = Duration::from_secs(self.spec.poll_seconds);
            self.warn(format!("Slurm's controller does not answer ({why}): trials continue, and polling continues"));
        }
        self.next = self.controller.now() + self.pause;
        self.pause = (self.pause * 2).min(AWAY);
    }
}

/// Jobs of a sweep that are not over, by trial, for commands that do not run it. Without submissions Slurm is not queried.
/// `None` if Slurm cannot be queried.
///
/// # Errors
/// When submissions cannot be read.
pub fn under_way(store: &Store) -> Result<Option<BTreeMap<String, Job>>> {
    let submissions = SubmissionLog::open(&store.slurm())?;
    let Some(first) = submissions.entries.iter().find(|submission| !submission.void) else {
        return Ok(Some(BTreeMap::new()));
    };
    let Ok(jobs) = controller::jobs(&first.name) else { return Ok(None) };
    let trial = |job: Job| Some((submissions.trial_of(&job)?.to_owned(), job));
    Ok(Some(jobs.into_iter().filter(|job| !job.state.is_over()).filter_map(trial).collect()))
}
