//! Submission of arrays: recorded first, so that a later runner finds them again.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Slurm;
use super::controller::{Controller, Refusal};
use super::submissions::{Submission, SubmissionLog};
use sweep_core::error::{Error, Kind, Result};
use sweep_experiment::slurm::answers::{self, JobState};
use sweep_experiment::slurm::script::Array;

impl<C: Controller> Slurm<C> {
    /// Assigns the jobs of an array to the trials of a submission.
    pub(super) fn assign(&mut self, index: usize, array: u64) {
        for (task, trial) in self.submissions.entries[index].trials.iter().enumerate() {
            let key = (array, task as u32);
            if let Some(task) = self.tasks.get_mut(trial).filter(|task| task.job.is_none()) {
                task.job = Some(key);
                task.state = Some(JobState::Waiting);
                self.trials.insert(key, trial.clone());
            }
        }
    }

    /// The concurrency limit of a new array, and the array it waits for if the limit of the sweep is exhausted.
    fn share(&self, arrays: usize) -> (Option<usize>, Option<u64>) {
        let Some(most) = self.spec.max_concurrent else { return (None, None) };
        let mut live: BTreeMap<u64, usize> = BTreeMap::new();
        for task in self.tasks.values() {
            if let Some((array, _)) = task.job {
                *live.entry(array).or_default() += 1;
            }
        }
        let used = live.iter().map(|(array, left)| {
            let share = self.submissions.of_job(*array).and_then(|submission| submission.at_once);
            share.unwrap_or(*left).min(*left)
        });
        let left = most.saturating_sub(used.sum());
        // The rest of the limit is divided between the arrays to come.
        let share = left.div_ceil(arrays.max(1));
        if share > 0 {
            (Some(share), None)
        } else {
            (Some(most.div_ceil(live.len().max(1))), live.keys().next().copied())
        }
    }

    /// Submits queued trials.
    pub(super) fn submit(&mut self) -> Result<()> {
        while !self.queued.is_empty() && self.known && !self.full {
            let arrays = self.queued.len().div_ceil(self.largest);
            let trials: Vec<String> = self.queued.drain(..self.largest.min(self.queued.len())).collect();
            let (at_once, after) = self.share(arrays);
            let jobs = &self.jobs;
            let comment = jobs.comment(self.submissions.entries.len());
            let (number, comment_of) = (trials.len(), comment.clone());
            let mut spec = self.spec.clone();
            if !self.excluded.is_empty() {
                spec.extra.push(format!("--exclude={}", self.excluded.join(",")));
            }
            let folder = self.store.root().join("trials");
            let script = |submissions: &SubmissionLog, index: usize| {
                let array = Array { comment: &comment_of, trials: number, at_once, after, ..Array::default() };
                jobs.script(&spec, array, submissions, index, &folder)
            };
            let submission = Submission {
                name: jobs.name.clone(),
                comment: comment.clone(),
                job: None,
                at_once,
                void: false,
                trials,
            };
            let index = self.submissions.record(submission, script)?;
            let path = self.submissions.file(index, "sh");
            match self.controller.submit(&path) {
                Ok(job) => {
                    self.submissions.entries[index].job = Some(job);
                    self.submissions.write(index)?;
                    self.assign(index, job);
                    self.progress(format!("job {job}: {number} {} submitted", trials_word(number)));
                    self.next = self.controller.now() + Duration::from_secs(self.spec.poll_seconds.min(2));
                }
                Err(Refusal::Away(why)) => {
                    self.unconfirmed.insert(index, self.controller.now());
                    self.set_away(&why);
                    return Ok(());
                }
                Err(Refusal::Refused(why)) => {
                    self.submissions.entries[index].void = true;
                    self.submissions.write(index)?;
                    let trials = self.submissions.entries[index].trials.clone();
                    let live = self.tasks.values().any(|task| task.job.is_some());
                    if answers::is_full(&why) && (live || trials.len() > 1) {
                        self.queued.splice(0..0, trials);
                        if number > 1 {
                            self.largest = number / 2;
                        } else {
                            self.full = true;
                            self.warn(format!(
                                "Slurm takes no more for now ({why}): the others wait until some have ended"
                            ));
                        }
                        continue;
                    }
                    let without = match self.excluded.join(", ") {
                        avoided if avoided.is_empty() => String::new(),
                        avoided => format!(" (without {avoided}, out of service)"),
                    };
                    return Err(Error::new(Kind::Device, format!("Slurm does not take the job: {why}{without}"))
                        .at(path.display())
                        .remedy(
                            "put [slurm] right and run again: what was submitted before goes on (`sinfo` and `sacctmgr show \
                             assoc` list the choices; `sbatch` with this file tries it)",
                        ));
                }
            }
        }
        Ok(())
    }
}

fn trials_word(number: usize) -> &'static str {
    if number == 1 { "trial" } else { "trials" }
}
