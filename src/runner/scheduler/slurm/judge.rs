//! What becomes of trials whose jobs are over: looked at, decided by [`decide`], done.

use std::time::Duration;

use super::controller::Controller;
use super::settle::{Decision, Facts, decide};
use super::{Executor as _, Exit, News, Slurm, TrialEvent};
use sweep_experiment::records::{State, TrialStatus};
use sweep_experiment::slurm::answers::JobState;
use sweep_experiment::store;

/// Attempts in a row that made no step: a further one would make none either.
const VAIN: u32 = 3;
/// Trials in a row that did not begin on a node, for it to be avoided.
const MANY_TRIALS: usize = 3;
/// Last lines of a job's output that are kept.
const TAIL: usize = 40;

impl<C: Controller> Slurm<C> {
    /// Settles the trials whose jobs are over.
    pub(super) fn judge(&mut self) {
        for trial in self.over.clone() {
            self.judge_one(&trial);
        }
    }

    pub(super) fn judge_one(&mut self, trial: &str) {
        let Some(task) = self.tasks.get(trial) else {
            self.over.remove(trial);
            return;
        };
        let folder = self.store.trial(trial);
        let left = folder.status().unwrap_or_else(|_| TrialStatus::pending(trial));
        let over = task.state.is_none_or(JobState::is_over);
        let shown = self.controller.now() >= task.ended + Duration::from_secs(self.spec.patience_seconds);
        let begun = left.attempts > task.attempts;
        let facts = Facts {
            job: task.state,
            left: &left,
            begun,
            asked: task.asked && over,
            trained: left.state == State::Running && folder.trainer().is_ok_and(|trainer| trainer.is_some()),
            shown: shown || left.state == State::Interrupted,
        };
        let decision = decide(facts);
        let job = task.job.map(|(array, index)| format!("{array}_{index}"));
        let name = job.as_deref().unwrap_or_default();
        let exit = match decision {
            Decision::Wait if !over => {
                // Only looked at because Slurm did not answer.
                self.over.remove(trial);
                return;
            }
            Decision::Wait => return,
            Decision::Over => Exit::Code(0),
            Decision::Results => Exit::Code(2),
            Decision::Stopped(why) => {
                self.trouble(format!("{trial}: job {name}: {why}"));
                Exit::Stopped(why)
            }
            Decision::Again(why) => match self.again(trial, &left, &why) {
                None => return,
                Some(failed) => Exit::Failed(format!("job {name}: {failed}")),
            },
            Decision::Lost(why) => {
                let code = self.controller.exit_code(name).map_or_else(String::new, |code| exit_words(&code));
                let node = self.tasks[trial].node.clone();
                let why = if node.is_empty() { format!("{why}{code}") } else { format!("{why} on {node}{code}") };
                let last = self.tail(trial).pop().map_or_else(String::new, |line| format!(": {line}"));
                self.lost(trial, &node);
                match self.again(trial, &left, &format!("{why}{last}")) {
                    None => return,
                    Some(failed) => Exit::Failed(format!("job {name}: {failed}")),
                }
            }
            Decision::Failed(why) => {
                let code = self.controller.exit_code(name).map_or_else(String::new, |code| exit_words(&code));
                let task = &self.tasks[trial];
                let node = if task.node.is_empty() { String::new() } else { format!(" on {}", task.node) };
                Exit::Failed(format!("job {name}{node}{code}: {why}"))
            }
        };
        self.end(trial, exit);
    }

    /// Has a trial go on in another job; why it cannot, if so.
    pub(super) fn again(&mut self, trial: &str, left: &TrialStatus, why: &str) -> Option<String> {
        let task = self.tasks.get_mut(trial)?;
        task.vain = if left.live.step > task.step { 0 } else { task.vain + 1 };
        (task.step, task.again) = (left.live.step, task.again + 1);
        if task.vain >= VAIN {
            return Some(format!("{why}, and {VAIN} attempts in a row made no step: allow more time in [slurm]"));
        }
        if task.again > self.spec.requeues {
            return Some(format!(
                "{why}, and it was submitted again {} times already (requeues in [slurm])",
                self.spec.requeues
            ));
        }
        if let Some(key) = task.job.take() {
            self.trials.remove(&key);
            let on = if left.live.step > 0 { ", it goes on from its checkpoint" } else { "" };
            self.news.push(News::Progress(format!("{trial}: job {}_{}: {why}; submitted again{on}", key.0, key.1)));
        }
        (task.state, task.forgotten, task.attempts) = (None, false, left.attempts);
        self.over.remove(trial);
        self.queued.push(trial.to_owned());
        None
    }

    /// A node on which several trials in a row did not even begin gets no more.
    fn lost(&mut self, trial: &str, node: &str) {
        let lost = self.lost.entry(node.to_owned()).or_default();
        lost.insert(trial.to_owned());
        if lost.len() >= MANY_TRIALS && !node.is_empty() && !self.avoided.iter().any(|avoided| avoided == node) {
            self.trouble(format!(
                "{node} is out of service: three trials in a row did not begin there, {trial} the last; no more are started there"
            ));
            self.avoid(node);
        }
    }

    /// The last lines that a trial's job printed.
    fn tail(&self, trial: &str) -> Vec<String> {
        let Some((array, index)) = self.tasks.get(trial).and_then(|task| task.job) else { return Vec::new() };
        let said = store::read_text(&self.ledger.logs().join(format!("{array}_{index}.log"))).unwrap_or_default();
        let lines: Vec<String> = said.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        lines[lines.len().saturating_sub(TAIL)..].to_vec()
    }

    /// A trial is over.
    pub(super) fn end(&mut self, trial: &str, exit: Exit) {
        self.over.remove(trial);
        self.under_way.remove(trial);
        self.full = false;
        let tail = if matches!(exit, Exit::Failed(_)) { self.tail(trial) } else { Vec::new() };
        let Some(task) = self.tasks.remove(trial) else { return };
        self.trials.remove(&task.job.unwrap_or_default());
        if exit == Exit::Code(0) && self.store.trial(trial).status().is_ok_and(|status| status.state == State::Done) {
            self.in_a_row = 0;
            self.lost.remove(&task.node);
        }
        let node = (!task.node.is_empty()).then_some(task.node);
        self.events.push(TrialEvent { trial: trial.to_owned(), exit, tail, node });
    }
}

/// Slurm's `1:0`, exit code and signal, in words.
fn exit_words(code: &str) -> String {
    match code.split_once(':') {
        Some((_, "53")) => {
            " (its output could not be opened there: results must lie where all nodes see them)".to_owned()
        }
        Some(("0", "0")) | None => String::new(),
        Some(("0", signal)) => format!(" (signal {signal})"),
        Some((code, _)) => format!(" (exit code {code})"),
    }
}
