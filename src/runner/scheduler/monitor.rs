//! Monitoring of running trials: reads their status files, reports epochs, and stops trials that exceed a time limit or hang.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Dispatcher, Executor, PruneAction, Reason, Start, Stop};
use sweep_core::error::Result;

/// A trial that was started and has not ended.
pub(super) struct Running {
    pub(super) start: Start,
    pub(super) memory_mib: Option<f64>,
    pub(super) gpu_mib: Option<f64>,
    /// When its process began to run.
    pub(super) since: Duration,
    /// Attempts before this one.
    pub(super) attempts: u32,
    /// The last heartbeat, and when it was read.
    pub(super) beat: u64,
    pub(super) beat_at: Duration,
    pub(super) hung: bool,
    /// Whether its process was observed to run.
    pub(super) begun: bool,
    /// Epochs that were reported.
    pub(super) epochs: u32,
    /// The strongest stop that was requested, and why.
    pub(super) stop: Option<(Reason, Stop)>,
    pub(super) stop_requested_at: Duration,
}

impl Dispatcher<'_> {
    /// Reads the status of running trials and stops those that take too long.
    pub(super) fn check_running(&mut self, running: &mut BTreeMap<String, Running>, now: Duration) -> Result<()> {
        let mut actions = Vec::new();
        for (id, trial) in running.iter_mut() {
            if !self.executor.is_running(id) {
                // The trial is queued, perhaps not for the first time: its time begins when its process runs.
                (trial.beat_at, trial.since) = (now, now);
                continue;
            }
            if !trial.begun {
                trial.begun = true;
                self.callbacks.started(&trial.start);
            }
            let folder = self.store.trial(id);
            // A status that cannot be read now is read the next time.
            if let Ok(status) = folder.status() {
                if status.live.beat != trial.beat {
                    (trial.beat, trial.beat_at) = (status.live.beat, now);
                    self.callbacks.alive(&status);
                }
                if status.epoch > trial.epochs {
                    let rows = folder.readable_epochs().map_or_else(|_| Vec::new(), |(rows, _)| rows);
                    for record in rows.iter().skip(trial.epochs as usize) {
                        actions.extend(self.callbacks.epoch(id, record));
                    }
                    trial.epochs = trial.epochs.max(rows.len() as u32);
                }
            }
            trial.hung = now.saturating_sub(trial.beat_at) >= self.limits.stall;
            let reason = if self.limits.trial.is_some_and(|limit| now.saturating_sub(trial.since) >= limit) {
                Some(format!("took longer than {:?}", self.limits.trial.unwrap_or_default()))
            } else if trial.hung {
                Some(format!("hung: nothing was done for {:?}", self.limits.stall))
            } else {
                None
            };
            if let (Some(why), None) = (reason, &trial.stop) {
                request_stop(self.executor, trial, Reason::TimedOut(why), Stop::Gently, now)?;
            }
            let patience = if trial.hung { self.limits.grace.min(self.limits.stall) } else { self.limits.grace };
            if matches!(trial.stop, Some((_, Stop::Gently))) && now.saturating_sub(trial.stop_requested_at) >= patience
            {
                let reason = trial.stop.take().map_or(Reason::Interrupted, |(reason, _)| reason);
                request_stop(self.executor, trial, reason, Stop::AtOnce, now)?;
            }
        }
        for (id, action) in actions {
            let Some(trial) = running.get_mut(&id) else { continue };
            match action {
                PruneAction::Prune(why) if trial.stop.is_none() => {
                    request_stop(self.executor, trial, Reason::Pruned(why), Stop::Gently, now)?;
                }
                PruneAction::Prune(_) => {}
                PruneAction::Audit(why) => {
                    self.callbacks.say(&format!("{id}: runs on though {why}, to tell how often pruning errs"));
                }
            }
        }
        Ok(())
    }

    /// Stops all running trials. A trial keeps the reason of an earlier stop.
    pub(super) fn stop_all(&mut self, running: &mut BTreeMap<String, Running>, why: &Reason, stop: Stop) -> Result<()> {
        let now = (self.clock)();
        for trial in running.values_mut() {
            if trial.stop.as_ref().is_none_or(|(_, requested)| *requested < stop) {
                let reason = trial.stop.take().map_or_else(|| why.clone(), |(reason, _)| reason);
                request_stop(self.executor, trial, reason, stop, now)?;
            }
        }
        Ok(())
    }
}

fn request_stop(
    executor: &mut dyn Executor,
    trial: &mut Running,
    reason: Reason,
    stop: Stop,
    now: Duration,
) -> Result<()> {
    trial.stop = Some((reason, stop));
    trial.stop_requested_at = now;
    executor.cancel(&trial.start.trial, stop)
}
