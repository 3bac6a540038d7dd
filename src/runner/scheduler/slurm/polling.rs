//! Polling: one query for the states of all jobs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::controller::{Controller, Refusal};
use super::{Notice, QUIET, Slurm};
use sweep_core::error::Result;
use sweep_experiment::records::State;
use sweep_experiment::slurm::answers::{self, Job, JobState};

/// Slurm's reason for a job that no node satisfies.
const NO_NODE: &str = "BadConstraints";

impl<C: Controller> Slurm<C> {
    /// Queries the states of all jobs.
    pub(super) fn poll_jobs(&mut self) -> Result<()> {
        self.polls += 1;
        let jobs = match self.controller.jobs(&self.jobs.name) {
            Ok(jobs) => jobs,
            Err(Refusal::Away(why) | Refusal::Refused(why)) => {
                self.set_away(&why);
                // The trials' status files are read without Slurm's answer.
                let running = self.tasks.iter().filter(|(_, task)| task.state == Some(JobState::Running));
                self.ended.extend(running.map(|(trial, _)| trial.clone()));
                return Ok(());
            }
        };
        if self.away {
            self.away = false;
            self.progress("Slurm's controller answers again".to_owned());
        }
        self.resolve_submissions(&jobs)?;
        let changed = self.update_tasks(jobs);
        let least = Duration::from_secs(self.spec.poll_seconds);
        self.pause = if changed { least } else { (self.pause * 3 / 2).min(least * QUIET) };
        self.next = self.controller.now() + self.pause;
        self.warn_about_stuck_jobs();
        Ok(())
    }

    /// Resolves submissions whose answer was lost and, on the first query, finds the jobs of earlier runners.
    fn resolve_submissions(&mut self, jobs: &[Job]) -> Result<()> {
        let patience = Duration::from_secs(self.spec.patience_seconds);
        for index in 0..self.submissions.entries.len() {
            let submission = &self.submissions.entries[index];
            if submission.job.is_some() || submission.void {
                continue;
            }
            if let Some(job) = jobs.iter().find(|job| job.comment == submission.comment) {
                let array = job.array;
                self.submissions.entries[index].job = Some(array);
                self.submissions.write(index)?;
                self.unconfirmed.remove(&index);
                self.assign(index, array);
                self.progress(format!("job {array}: found again"));
            } else if self.unconfirmed.get(&index).is_none_or(|since| self.controller.now() >= *since + patience) {
                self.submissions.entries[index].void = true;
                self.submissions.write(index)?;
                if self.unconfirmed.remove(&index).is_some() {
                    let lost = self.submissions.entries[index].trials.clone();
                    self.queued.extend(lost.into_iter().filter(|trial| self.tasks.contains_key(trial)));
                }
            }
        }
        if self.known {
            return Ok(());
        }
        self.known = true;
        for job in jobs.iter().filter(|job| !job.state.is_over()) {
            if let Some(trial) = self.submissions.trial_of(job) {
                self.under_way.insert(trial.to_owned(), job.clone());
            }
        }
        for trial in std::mem::take(&mut self.queued) {
            match self.under_way.get(&trial).cloned() {
                Some(job) => self.adopt(&trial, &job),
                None => self.queued.push(trial),
            }
        }
        Ok(())
    }

    /// Updates tasks from the states of their jobs. Returns whether any state changed.
    fn update_tasks(&mut self, jobs: Vec<Job>) -> bool {
        let now = self.controller.now();
        let (mut changed, mut reported) = (false, BTreeSet::new());
        for job in jobs {
            let key = (job.array, job.task);
            let Some(trial) = self.trials.get(&key) else { continue };
            let Some(task) = self.tasks.get_mut(trial).filter(|task| task.job == Some(key)) else { continue };
            reported.insert(key);
            let before = task.state.replace(job.state);
            (task.reason, task.forgotten) = (job.reason, false);
            if !job.node.is_empty() {
                task.node = job.node;
            }
            if before == Some(job.state) {
                continue;
            }
            changed = true;
            if before == Some(JobState::Running) && job.state == JobState::Waiting {
                let status = self.store.trial(trial).status().ok();
                let saved = status.is_some_and(|status| status.state == State::Interrupted);
                let why = if saved { "it saved what it had" } else { "it was preempted, or its node failed" };
                self.notices.push(Notice::Progress(format!(
                    "{trial}: job {}_{} is queued again ({why}) and continues from its checkpoint",
                    key.0, key.1
                )));
            }
            if job.state.is_over() {
                task.ended = now;
                self.ended.insert(trial.clone());
            }
        }
        for (key, trial) in &self.trials {
            let Some(task) = self.tasks.get_mut(trial).filter(|task| task.job == Some(*key)) else { continue };
            if !reported.contains(key) && !task.forgotten {
                task.forgotten = true;
                changed = true;
                if !task.state.is_some_and(JobState::is_over) {
                    (task.state, task.ended) = (None, now);
                }
                self.ended.insert(trial.clone());
            }
        }
        if self.accounts
            && self.ended.iter().any(|trial| self.tasks.get(trial).is_some_and(|task| task.state.is_none()))
        {
            self.query_history();
        }
        changed
    }

    /// Queries how jobs ended that Slurm's controller has forgotten.
    fn query_history(&mut self) {
        let unknown = self.ended.iter().filter_map(|trial| self.tasks.get(trial)).filter(|task| task.state.is_none());
        let arrays: BTreeSet<u64> = unknown.filter_map(|task| Some(task.job?.0)).collect();
        match self.controller.history(&arrays.into_iter().collect::<Vec<_>>()) {
            Ok(history) => {
                for (array, index, state, _) in history {
                    let Some(trial) = self.trials.get(&(array, index)) else { continue };
                    let task = self.tasks.get_mut(trial).filter(|task| task.job == Some((array, index)));
                    if let Some(task) = task.filter(|task| task.forgotten && state.is_over()) {
                        task.state = Some(state);
                    }
                }
            }
            Err(Refusal::Away(_)) => {}
            Err(Refusal::Refused(why)) => {
                self.accounts = false;
                let why = why.trim_end_matches('.');
                self.warn(format!("no accounts of ended jobs ({why}): they are judged by their trials' records"));
            }
        }
    }

    /// Warns about jobs that will not start by themselves.
    fn warn_about_stuck_jobs(&mut self) {
        let mut stuck: BTreeMap<&str, Vec<(u64, u32)>> = BTreeMap::new();
        for task in self.tasks.values().filter(|task| task.state == Some(JobState::Waiting)) {
            if let (Some(job), true) = (task.job, answers::stuck(&task.reason).is_some()) {
                stuck.entry(&task.reason).or_default().push(job);
            }
        }
        for (reason, jobs) in &stuck {
            if !self.stuck_reasons.contains(*reason) {
                let more = if jobs.len() > 1 { format!(" and {} more", jobs.len() - 1) } else { String::new() };
                let what = answers::stuck(reason).unwrap_or_default();
                self.notices.push(Notice::Warning(format!(
                    "job {}_{}{more} does not start: {reason}: {what}",
                    jobs[0].0, jobs[0].1
                )));
            }
        }
        self.stuck_reasons = stuck.into_keys().map(str::to_owned).collect();
        if !self.excluded.is_empty() && self.stuck_reasons.contains(NO_NODE) {
            let nowhere = self.tasks.iter().filter(|(_, task)| {
                task.state == Some(JobState::Waiting) && task.reason == NO_NODE && !task.stop_requested
            });
            let nowhere: Vec<String> = nowhere.map(|(trial, _)| trial.clone()).collect();
            if !nowhere.is_empty() {
                self.warn(format!(
                    "without {} no node is left for these jobs: they are cancelled",
                    self.excluded.join(", ")
                ));
                self.cancel_all(nowhere);
            }
        }
    }
}
