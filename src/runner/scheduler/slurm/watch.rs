//! What Slurm says of the jobs: one question for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::controller::{Controller, Refusal};
use super::{News, QUIET, Slurm};
use sweep_core::error::Result;
use sweep_experiment::records::State;
use sweep_experiment::slurm::answers::{self, Job, JobState};

/// Why a job waits that no node will ever suit.
const NO_NODE: &str = "BadConstraints";

impl<C: Controller> Slurm<C> {
    /// Asks Slurm for all jobs.
    pub(super) fn ask(&mut self) -> Result<()> {
        self.polls += 1;
        let jobs = match self.controller.jobs(&self.jobs.name) {
            Ok(jobs) => jobs,
            Err(Refusal::Away(why) | Refusal::Refused(why)) => {
                self.is_away(&why);
                // The trials' own word is known without Slurm's.
                let running = self.tasks.iter().filter(|(_, task)| task.state == Some(JobState::Running));
                self.over.extend(running.map(|(trial, _)| trial.clone()));
                return Ok(());
            }
        };
        if self.away {
            self.away = false;
            self.progress("Slurm's controller answers again".to_owned());
        }
        self.resolve(&jobs)?;
        let changed = self.take_in(jobs);
        let least = Duration::from_secs(self.spec.poll_seconds);
        self.pause = if changed { least } else { (self.pause * 3 / 2).min(least * QUIET) };
        self.next = self.controller.now() + self.pause;
        self.tell_stuck();
        Ok(())
    }

    /// What became of submissions whose answer was lost, and, the first time, of those of earlier runners.
    pub(super) fn resolve(&mut self, jobs: &[Job]) -> Result<()> {
        let patience = Duration::from_secs(self.spec.patience_seconds);
        for place in 0..self.ledger.submissions.len() {
            let submission = &self.ledger.submissions[place];
            if submission.job.is_some() || submission.void {
                continue;
            }
            if let Some(job) = jobs.iter().find(|job| job.comment == submission.comment) {
                let array = job.array;
                self.ledger.submissions[place].job = Some(array);
                self.ledger.keep(place)?;
                self.unsure.remove(&place);
                self.assign(place, array);
                self.progress(format!("job {array}: found again"));
            } else if self.unsure.get(&place).is_none_or(|since| self.controller.now() >= *since + patience) {
                self.ledger.submissions[place].void = true;
                self.ledger.keep(place)?;
                if self.unsure.remove(&place).is_some() {
                    let lost = self.ledger.submissions[place].trials.clone();
                    self.queued.extend(lost.into_iter().filter(|trial| self.tasks.contains_key(trial)));
                }
            }
        }
        if self.known {
            return Ok(());
        }
        self.known = true;
        for job in jobs.iter().filter(|job| !job.state.is_over()) {
            if let Some(trial) = self.ledger.trial_of(job) {
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

    /// Takes in what Slurm says; whether anything is new.
    pub(super) fn take_in(&mut self, jobs: Vec<Job>) -> bool {
        let now = self.controller.now();
        let (mut changed, mut seen) = (false, BTreeSet::new());
        for job in jobs {
            let key = (job.array, job.task);
            let Some(trial) = self.trials.get(&key) else { continue };
            let Some(task) = self.tasks.get_mut(trial).filter(|task| task.job == Some(key)) else { continue };
            seen.insert(key);
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
                self.news.push(News::Progress(format!(
                    "{trial}: job {}_{} is queued again ({why}) and goes on from its checkpoint",
                    key.0, key.1
                )));
            }
            if job.state.is_over() {
                task.ended = now;
                self.over.insert(trial.clone());
            }
        }
        for (key, trial) in &self.trials {
            let Some(task) = self.tasks.get_mut(trial).filter(|task| task.job == Some(*key)) else { continue };
            if !seen.contains(key) && !task.forgotten {
                task.forgotten = true;
                changed = true;
                if !task.state.is_some_and(JobState::is_over) {
                    (task.state, task.ended) = (None, now);
                }
                self.over.insert(trial.clone());
            }
        }
        if self.accounts && self.over.iter().any(|trial| self.tasks.get(trial).is_some_and(|task| task.state.is_none()))
        {
            self.ask_for_history();
        }
        changed
    }

    /// How the jobs ended that Slurm's controller has forgotten.
    pub(super) fn ask_for_history(&mut self) {
        let unknown = self.over.iter().filter_map(|trial| self.tasks.get(trial)).filter(|task| task.state.is_none());
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
                self.trouble(format!("no accounts of ended jobs ({why}): they are judged by what their trials left"));
            }
        }
    }

    /// Says which jobs will not start by themselves.
    pub(super) fn tell_stuck(&mut self) {
        let mut stuck: BTreeMap<&str, Vec<(u64, u32)>> = BTreeMap::new();
        for task in self.tasks.values().filter(|task| task.state == Some(JobState::Waiting)) {
            if let (Some(job), true) = (task.job, answers::stuck(&task.reason).is_some()) {
                stuck.entry(&task.reason).or_default().push(job);
            }
        }
        for (reason, jobs) in &stuck {
            if !self.told.contains(*reason) {
                let more = if jobs.len() > 1 { format!(" and {} more", jobs.len() - 1) } else { String::new() };
                let what = answers::stuck(reason).unwrap_or_default();
                self.news.push(News::Trouble(format!(
                    "job {}_{}{more} does not start: {reason}: {what}",
                    jobs[0].0, jobs[0].1
                )));
            }
        }
        self.told = stuck.into_keys().map(str::to_owned).collect();
        if !self.avoided.is_empty() && self.told.contains(NO_NODE) {
            let nowhere = self
                .tasks
                .iter()
                .filter(|(_, task)| task.state == Some(JobState::Waiting) && task.reason == NO_NODE && !task.asked);
            let nowhere: Vec<String> = nowhere.map(|(trial, _)| trial.clone()).collect();
            if !nowhere.is_empty() {
                self.trouble(format!(
                    "without {} no node is left for them: they are cancelled",
                    self.avoided.join(", ")
                ));
                self.cancel_all(nowhere);
            }
        }
    }
}
