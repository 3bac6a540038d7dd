//! Slurm's answer about the jobs of a sweep's trials, asked for now and then.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sweep_core::error::Result;
use sweep_experiment::records::State;
use sweep_experiment::slurm::answers::{self, Job, JobState};
use sweep_experiment::store::Store;
use sweep_runner::scheduler::slurm;

use super::StatusLine;

/// Time between two queries to Slurm while a sweep is watched.
const QUERY_INTERVAL: Duration = Duration::from_secs(15);

/// Jobs of a sweep's trials.
#[derive(Debug, Default)]
pub(crate) struct SlurmJobs {
    /// By trial; none if Slurm does not answer.
    by_trial: Option<BTreeMap<String, Job>>,
    queried: Option<Instant>,
}

impl SlurmJobs {
    /// Queries Slurm if the last answer is old and the sweep was ever submitted.
    pub(crate) fn refresh(&mut self, store: &Store) -> Result<()> {
        if self.queried.is_none_or(|queried| queried.elapsed() >= QUERY_INTERVAL) {
            (self.by_trial, self.queried) = (slurm::under_way(store)?, Some(Instant::now()));
        }
        Ok(())
    }

    /// Adds Slurm's answer about each trial's job to its line.
    pub(crate) fn annotate(&self, lines: &mut [StatusLine]) {
        let Some(jobs) = &self.by_trial else { return };
        for line in lines {
            if let Some(job) = jobs.get(&line.trial) {
                annotate(line, job);
            }
        }
    }

    /// The number of jobs as a sentence; empty if there are none.
    pub(crate) fn summary(&self) -> String {
        match &self.by_trial {
            None => "it was submitted to Slurm, which cannot be asked here or does not answer now\n".to_owned(),
            Some(jobs) if jobs.is_empty() => String::new(),
            Some(jobs) => {
                let waiting = jobs.values().filter(|job| job.state == JobState::Waiting).count();
                format!("in Slurm: {} running, {waiting} waiting\n", jobs.len() - waiting)
            }
        }
    }
}

fn annotate(line: &mut StatusLine, job: &Job) {
    let waits = job.state == JobState::Waiting;
    if !waits && line.state == State::Interrupted.name() {
        // The job's lock is not visible from this machine, or the job is about to begin.
        (line.state, line.message) = (State::Running.name(), None);
    }
    let description = if waits {
        let why = answers::stuck(&job.reason).map_or_else(String::new, |why| format!(": {why}"));
        format!("waits ({}){why}", job.reason)
    } else {
        format!("{}on {}", if job.state == JobState::Suspended { "suspended " } else { "" }, job.node)
    };
    line.message.get_or_insert_with(|| format!("job {} {description}", job.name()));
}
