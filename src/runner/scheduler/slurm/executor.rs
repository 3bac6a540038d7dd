//! Slurm as an executor: starts, polls and cancels trials.

use std::time::Duration;

use super::controller::{Cancel, Controller, Refusal};
use super::task::Task;
use super::{Executor, Exit, Notice, Slurm, Start, Stop, TrialEvent};
use sweep_core::error::Result;
use sweep_experiment::slurm::answers::JobState;

/// Nodes that fail in a row, with no trial done in between, until the cause is assumed to be elsewhere.
const MANY_NODES: usize = 3;

impl<C: Controller> Executor for Slurm<C> {
    fn start(&mut self, start: &Start) -> Result<()> {
        if let Some(job) = self.under_way.get(&start.trial).cloned() {
            self.adopt(&start.trial, &job);
            return Ok(());
        }
        let (attempts, step) = self.attempts(&start.trial);
        self.tasks.insert(start.trial.clone(), Task::new(None, attempts, step));
        self.queued.push(start.trial.clone());
        // A full array is submitted while further trials are prepared.
        if self.queued.len() >= self.largest && self.spec.max_concurrent.is_none() { self.submit() } else { Ok(()) }
    }

    fn poll(&mut self, wait: Duration) -> Result<Vec<TrialEvent>> {
        if !self.cancels.is_empty() && (!self.away || self.controller.now() >= self.next) {
            self.send_cancels();
        }
        if !self.away {
            self.submit()?;
        }
        if self.controller.now() >= self.next && !self.tasks.is_empty() {
            self.poll_jobs()?;
            self.complete_trials();
        }
        if self.events.is_empty() {
            let next = self.next.saturating_sub(self.controller.now());
            self.controller.wait(if self.tasks.is_empty() { wait } else { wait.min(next) });
        }
        Ok(std::mem::take(&mut self.events))
    }

    fn cancel(&mut self, trial: &str, stop: Stop) -> Result<()> {
        let Some(task) = self.tasks.get_mut(trial) else { return Ok(()) };
        task.stop_requested = true;
        let (running, job) = (task.state == Some(JobState::Running), task.job);
        let Some((array, index)) = job else {
            if let Some(position) = self.queued.iter().position(|queued| queued == trial) {
                self.queued.remove(position);
                self.end(trial, Exit::Code(143));
            }
            return Ok(());
        };
        let how = if running && stop == Stop::Gently { Cancel::Gently } else { Cancel::AtOnce };
        self.cancels.push((format!("{array}_{index}"), how));
        Ok(())
    }

    fn memory_mib(&self, _trial: Option<&str>) -> Option<f64> {
        None
    }

    /// A suspended job does not run: the time that it stands still is not the trial's.
    fn is_running(&self, trial: &str) -> bool {
        self.tasks.get(trial).is_some_and(|task| task.state == Some(JobState::Running))
    }

    fn is_under_way(&self, trial: &str) -> bool {
        !self.known || self.under_way.contains_key(trial)
    }

    fn outlives(&self) -> bool {
        true
    }

    fn is_handed_over(&self) -> bool {
        self.known && self.queued.is_empty() && self.unconfirmed.is_empty() && self.cancels.is_empty()
    }

    fn avoid(&mut self, node: &str) {
        self.excluded.push(node.to_owned());
        self.nodes_in_a_row += 1;
        if self.nodes_in_a_row >= MANY_NODES {
            self.warn(format!(
                "{MANY_NODES} nodes failed one after another, and no trial was done in between: waiting trials are cancelled"
            ));
            let waiting = self
                .tasks
                .iter()
                .filter(|(_, task)| !matches!(task.state, Some(JobState::Running | JobState::Suspended)));
            let waiting: Vec<String> = waiting.map(|(trial, _)| trial.clone()).collect();
            self.cancel_all(waiting);
            return;
        }
        for array in self.arrays() {
            // Arrays that are over cannot start there.
            if let Err(Refusal::Away(why) | Refusal::Refused(why)) = self.controller.exclude(array, &self.excluded)
                && !why.contains("already finished")
            {
                self.warn(format!("job {array} may still start on {node}: {why}"));
            }
        }
    }

    fn notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }
}

impl<C: Controller> Slurm<C> {
    /// Kills the jobs of these trials.
    pub(super) fn cancel_all(&mut self, trials: Vec<String>) {
        for trial in trials {
            // Cannot fail: requests are only queued here.
            let _ = self.cancel(&trial, Stop::AtOnce);
        }
    }

    /// Sends the queued cancellations to Slurm.
    fn send_cancels(&mut self) {
        for how in [Cancel::Gently, Cancel::AtOnce] {
            let jobs: Vec<String> =
                self.cancels.iter().filter(|(_, queued)| *queued == how).map(|(job, _)| job.clone()).collect();
            if jobs.is_empty() {
                continue;
            }
            match self.controller.cancel(&jobs, how) {
                Ok(()) => self.cancels.retain(|(_, queued)| *queued != how),
                Err(Refusal::Away(why)) => self.set_away(&why),
                Err(Refusal::Refused(why)) => {
                    self.warn(format!("Slurm does not stop {}: {why}", jobs.join(" ")));
                    self.cancels.retain(|(_, queued)| *queued != how);
                }
            }
            // The jobs end soon.
            self.next = self.next.min(self.controller.now() + Duration::from_secs(self.spec.poll_seconds.min(2)));
        }
    }
}
