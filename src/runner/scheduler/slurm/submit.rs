//! Arrays: what waits is written down, submitted and found again.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Slurm;
use super::controller::{Controller, Refusal};
use super::ledger::{Ledger, Submission};
use sweep_core::error::{Error, Kind, Result};
use sweep_experiment::slurm::answers::{self, JobState};
use sweep_experiment::slurm::script::Array;

impl<C: Controller> Slurm<C> {
    pub(super) fn assign(&mut self, place: usize, array: u64) {
        for (index, trial) in self.ledger.submissions[place].trials.iter().enumerate() {
            let key = (array, index as u32);
            if let Some(task) = self.tasks.get_mut(trial).filter(|task| task.job.is_none()) {
                task.job = Some(key);
                task.state = Some(JobState::Waiting);
                self.trials.insert(key, trial.clone());
            }
        }
    }

    /// How many trials of a new array may run at once, and the array that it waits for if none may.
    pub(super) fn share(&self, arrays: usize) -> (Option<usize>, Option<u64>) {
        let Some(most) = self.spec.max_concurrent else { return (None, None) };
        let mut live: BTreeMap<u64, usize> = BTreeMap::new();
        for task in self.tasks.values() {
            if let Some((array, _)) = task.job {
                *live.entry(array).or_default() += 1;
            }
        }
        let taken = live.iter().map(|(array, left)| {
            let share = self.ledger.of_job(*array).and_then(|submission| submission.at_once);
            share.unwrap_or(*left).min(*left)
        });
        let left = most.saturating_sub(taken.sum());
        // What is left is shared out between the arrays to come.
        let share = left.div_ceil(arrays.max(1));
        if share > 0 {
            (Some(share), None)
        } else {
            (Some(most.div_ceil(live.len().max(1))), live.keys().next().copied())
        }
    }

    /// Submits what waits to be.
    pub(super) fn submit(&mut self) -> Result<()> {
        while !self.queued.is_empty() && self.known && !self.full {
            let arrays = self.queued.len().div_ceil(self.largest);
            let trials: Vec<String> = self.queued.drain(..self.largest.min(self.queued.len())).collect();
            let (at_once, after) = self.share(arrays);
            let jobs = &self.jobs;
            let comment = jobs.comment(self.ledger.submissions.len());
            let (number, comment_of) = (trials.len(), comment.clone());
            let mut spec = self.spec.clone();
            if !self.avoided.is_empty() {
                spec.extra.push(format!("--exclude={}", self.avoided.join(",")));
            }
            let folder = self.store.root().join("trials");
            let made = |ledger: &Ledger, place: usize| {
                let array = Array { comment: &comment_of, trials: number, at_once, after, ..Array::default() };
                jobs.script(&spec, array, ledger, place, &folder)
            };
            let submission = Submission {
                name: jobs.name.clone(),
                comment: comment.clone(),
                job: None,
                at_once,
                void: false,
                trials,
            };
            let place = self.ledger.intend(submission, made)?;
            let path = self.ledger.file(place, "sh");
            match self.controller.submit(&path) {
                Ok(job) => {
                    self.ledger.submissions[place].job = Some(job);
                    self.ledger.keep(place)?;
                    self.assign(place, job);
                    self.progress(format!("job {job}: {number} {} submitted", trials_word(number)));
                    self.next = self.controller.now() + Duration::from_secs(self.spec.poll_seconds.min(2));
                }
                Err(Refusal::Away(why)) => {
                    self.unsure.insert(place, self.controller.now());
                    self.is_away(&why);
                    return Ok(());
                }
                Err(Refusal::Refused(why)) => {
                    self.ledger.submissions[place].void = true;
                    self.ledger.keep(place)?;
                    let trials = self.ledger.submissions[place].trials.clone();
                    let live = self.tasks.values().any(|task| task.job.is_some());
                    if answers::is_full(&why) && (live || trials.len() > 1) {
                        self.queued.splice(0..0, trials);
                        if number > 1 {
                            self.largest = number / 2;
                        } else {
                            self.full = true;
                            self.trouble(format!(
                                "Slurm takes no more for now ({why}): the others wait until some have ended"
                            ));
                        }
                        continue;
                    }
                    let without = match self.avoided.join(", ") {
                        avoided if avoided.is_empty() => String::new(),
                        avoided => format!(" (without {avoided}, out of service)"),
                    };
                    return Err(Error::new(Kind::Device, format!("Slurm does not take the job: {why}{without}"))
                        .at(path.display())
                        .remedy(
                            "put [slurm] right and run again: what was submitted before goes on (`sinfo` and `sacctmgr show \
                             assoc` tell what there is; `sbatch` with this file tries it)",
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
