//! Completion of trials whose jobs are over, as decided by [`decide`].

use std::time::Duration;

use super::controller::Controller;
use super::decision::{Decision, Evidence, decide};
use super::{Executor as _, Exit, Notice, Slurm, TrialEvent};
use sweep_experiment::records::{State, TrialStatus};
use sweep_experiment::slurm::answers::JobState;
use sweep_experiment::store::most;

/// Attempts in a row without a step after which a trial fails.
const MOST_WITHOUT_PROGRESS: u32 = 3;
/// Trials in a row that did not begin on a node until it is excluded.
const MANY_TRIALS: usize = 3;
/// Last lines of a job's output that are kept.
const TAIL: usize = 40;

impl<C: Controller> Slurm<C> {
    /// Completes the trials whose jobs are over.
    pub(super) fn complete_trials(&mut self) {
        for trial in self.ended.clone() {
            self.complete_trial(&trial);
        }
    }

    fn complete_trial(&mut self, trial: &str) {
        let Some(task) = self.tasks.get(trial) else {
            self.ended.remove(trial);
            return;
        };
        let folder = self.store.trial(trial);
        let left = folder.status().unwrap_or_else(|_| TrialStatus::pending(trial));
        let over = task.state.is_none_or(JobState::is_over);
        let files_synced = self.controller.now() >= task.ended + Duration::from_secs(self.spec.patience_seconds);
        let begun = left.attempts > task.attempts;
        let evidence = Evidence {
            job: task.state,
            left: &left,
            begun,
            stop_requested: task.stop_requested && over,
            is_training: left.state == State::Running && folder.trainer().is_ok_and(|trainer| trainer.is_some()),
            files_synced: files_synced || left.state == State::Interrupted,
        };
        let decision = decide(evidence);
        let job = task.job.map(|(array, index)| format!("{array}_{index}"));
        let name = job.as_deref().unwrap_or_default();
        let exit = match decision {
            Decision::Wait if !over => {
                // Its job is not over: it was checked only because Slurm did not answer.
                self.ended.remove(trial);
                return;
            }
            Decision::Wait => return,
            Decision::Over => Exit::Code(0),
            Decision::Results => Exit::Code(2),
            Decision::Stopped(why) => {
                self.warn(format!("{trial}: job {name}: {why}"));
                Exit::Stopped(why)
            }
            Decision::Resubmit(why) => match self.resubmit(trial, &left, &why) {
                None => return,
                Some(failed) => Exit::Failed(format!("job {name}: {failed}")),
            },
            Decision::FailedStart(why) => {
                let code = self.controller.exit_code(name).map_or_else(String::new, |code| exit_words(&code));
                let node = self.tasks[trial].node.clone();
                let why = if node.is_empty() { format!("{why}{code}") } else { format!("{why} on {node}{code}") };
                let last = self.tail(trial).pop().map_or_else(String::new, |line| format!(": {line}"));
                self.count_failed_start(trial, &node);
                match self.resubmit(trial, &left, &format!("{why}{last}")) {
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

    /// Submits a trial again. Returns why it cannot be submitted, if so.
    fn resubmit(&mut self, trial: &str, left: &TrialStatus, why: &str) -> Option<String> {
        let task = self.tasks.get_mut(trial)?;
        task.without_progress = if left.live.step > task.step { 0 } else { task.without_progress + 1 };
        (task.step, task.resubmissions) = (left.live.step, task.resubmissions + 1);
        if task.without_progress >= MOST_WITHOUT_PROGRESS {
            return Some(format!(
                "{why}, and {MOST_WITHOUT_PROGRESS} attempts in a row made no step: allow more time in [slurm]"
            ));
        }
        if task.resubmissions > self.spec.requeues {
            return Some(format!(
                "{why}, and it was submitted again {} times already (requeues in [slurm])",
                self.spec.requeues
            ));
        }
        if let Some(key) = task.job.take() {
            self.trials.remove(&key);
            let on = if left.live.step > 0 { ", it continues from its checkpoint" } else { "" };
            self.notices
                .push(Notice::Progress(format!("{trial}: job {}_{}: {why}; submitted again{on}", key.0, key.1)));
        }
        (task.state, task.forgotten, task.attempts) = (None, false, left.attempts);
        self.ended.remove(trial);
        self.queued.push(trial.to_owned());
        None
    }

    /// Counts a trial that did not begin on a node, and excludes the node after several in a row.
    fn count_failed_start(&mut self, trial: &str, node: &str) {
        let trials = self.failed_starts.entry(node.to_owned()).or_default();
        trials.insert(trial.to_owned());
        if trials.len() >= MANY_TRIALS && !node.is_empty() && !self.excluded.iter().any(|excluded| excluded == node) {
            self.warn(format!(
                "{node} is out of service: three trials in a row did not begin there, {trial} the last; no more are started there"
            ));
            self.avoid(node);
        }
    }

    /// The last lines of output of a trial's job.
    fn tail(&self, trial: &str) -> Vec<String> {
        let Some((array, index)) = self.tasks.get(trial).and_then(|task| task.job) else { return Vec::new() };
        let output = self.submissions.logs().read(format!("{array}_{index}.log"), most::PICTURE).unwrap_or_default();
        let output = String::from_utf8_lossy(&output);
        let lines: Vec<String> = output.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        lines[lines.len().saturating_sub(TAIL)..].to_vec()
    }

    /// Reports the end of a trial.
    pub(super) fn end(&mut self, trial: &str, exit: Exit) {
        self.ended.remove(trial);
        self.under_way.remove(trial);
        self.full = false;
        let tail = if matches!(exit, Exit::Failed(_)) { self.tail(trial) } else { Vec::new() };
        let Some(task) = self.tasks.remove(trial) else { return };
        self.trials.remove(&task.job.unwrap_or_default());
        if exit == Exit::Code(0) && self.store.trial(trial).status().is_ok_and(|status| status.state == State::Done) {
            self.nodes_in_a_row = 0;
            self.failed_starts.remove(&task.node);
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
