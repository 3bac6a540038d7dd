//! The loop of a sweep: starts trials from the queue, monitors running ones and records how they ended. Independent of the
//! executor that runs the trials. All times are measured by a monotonic clock.

use std::collections::BTreeMap;
use std::time::Duration;

use super::monitor::Running;
use super::{Executor, Next, Notice, Queue, Reason, Start, Stop, SweepCallbacks, Task, TrialEvent, UserRequest};
use super::{Verdict, verdict};
use sweep_core::error::{Error, Result};
use sweep_experiment::records::{State, TrialStatus};
use sweep_experiment::store::Store;

/// Time limits and intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest attempt of a trial.
    pub trial: Option<Duration>,
    /// Longest run of the sweep.
    pub sweep: Option<Duration>,
    /// Longest time without a heartbeat, after which a trial counts as hung.
    pub stall: Duration,
    /// Time between the request to stop a trial and its kill.
    pub grace: Duration,
    /// Interval between two checks of running trials.
    pub poll_interval: Duration,
}

/// How a sweep ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SweepOutcome {
    /// No trial is left to start.
    Completed,
    /// The user stopped it.
    Stopped,
    /// It reached its time limit.
    TimedOut,
    /// Its trials continue without the runner.
    Detached,
}

/// Runs the trials of a sweep.
pub struct Dispatcher<'a> {
    /// Results folder of the sweep.
    pub store: &'a Store,
    /// Waiting trials and slots.
    pub queue: Queue,
    /// Runs the trials.
    pub executor: &'a mut dyn Executor,
    /// The caller's side.
    pub callbacks: &'a mut dyn SweepCallbacks,
    /// Time limits.
    pub limits: Limits,
    /// Whether to return as soon as all trials are started, if the executor's trials continue without the runner.
    pub detach: bool,
    /// Monotonic time since an arbitrary moment.
    pub clock: &'a dyn Fn() -> Duration,
}

/// Longest wait for an event of the executor.
const WAIT: Duration = Duration::from_millis(200);

impl Dispatcher<'_> {
    /// Runs until no trial is left or the user stops the sweep.
    ///
    /// # Errors
    /// When results cannot be written; running trials are stopped gently first.
    pub fn run(&mut self) -> Result<SweepOutcome> {
        let mut running = BTreeMap::new();
        let outcome = self.dispatch(&mut running);
        if outcome.is_err() && !self.executor.outlives() {
            // The first error is reported; later ones while stopping are consequences of it.
            let _ = self.stop_all(&mut running, &Reason::Interrupted, Stop::Gently);
            let deadline = (self.clock)() + self.limits.grace;
            while !running.is_empty() && (self.clock)() < deadline && self.callbacks.request() < UserRequest::StopAtOnce
            {
                for event in self.executor.poll(WAIT).unwrap_or_default() {
                    running.remove(&event.trial);
                }
            }
            let _ = self.stop_all(&mut running, &Reason::Interrupted, Stop::AtOnce);
        }
        outcome
    }

    fn dispatch(&mut self, running: &mut BTreeMap<String, Running>) -> Result<SweepOutcome> {
        let begun = (self.clock)();
        let mut outcome = SweepOutcome::Completed;
        let (mut checked, mut short) = (begun, None);
        loop {
            match self.callbacks.request() {
                UserRequest::Continue => {}
                UserRequest::Pause => self.stop_all(running, &Reason::Paused, Stop::Gently)?,
                _ if self.executor.outlives() => return Ok(SweepOutcome::Detached),
                UserRequest::Stop => {
                    outcome = SweepOutcome::Stopped;
                    self.queue.close();
                    self.stop_all(running, &Reason::Interrupted, Stop::Gently)?;
                }
                UserRequest::StopAtOnce => {
                    self.queue.close();
                    self.stop_all(running, &Reason::Interrupted, Stop::AtOnce)?;
                    return Ok(SweepOutcome::Stopped);
                }
            }
            if self.queue.is_failed() {
                self.stop_all(running, &Reason::Interrupted, Stop::Gently)?;
            }
            if self.limits.sweep.is_some_and(|limit| (self.clock)().saturating_sub(begun) >= limit)
                && outcome == SweepOutcome::Completed
            {
                outcome = SweepOutcome::TimedOut;
                self.queue.close();
                self.stop_all(running, &Reason::Interrupted, Stop::Gently)?;
            }
            for task in self.callbacks.again()? {
                self.queue.forgive(task);
            }
            let is_paused = self.callbacks.request() == UserRequest::Pause && self.queue.is_waiting();
            let is_over = !is_paused && self.start_trials(running, &mut short)?;
            if is_over {
                return Ok(outcome);
            }
            let events = self.executor.poll(WAIT)?;
            for notice in self.executor.notices() {
                match notice {
                    Notice::Progress(line) => self.callbacks.note(&line),
                    Notice::Warning(line) => self.callbacks.say(&line),
                }
            }
            for event in events {
                self.finish_trial(running, &event)?;
            }
            if self.detach && self.executor.outlives() && self.executor.is_handed_over() {
                return Ok(SweepOutcome::Detached);
            }
            let now = (self.clock)();
            if now.saturating_sub(checked) >= self.limits.poll_interval {
                checked = now;
                self.check_running(running, now)?;
                self.callbacks.tick();
            }
        }
    }

    /// Records that a trial does not fit into memory.
    fn refuse(&mut self, task: &Task, free: Option<f64>) -> Result<()> {
        let (need, free) = (task.memory_mib.unwrap_or_default(), free.unwrap_or_default());
        let why = match (task.gpu_mib, self.queue.largest_gpu_mib()) {
            (Some(need), Some(most)) if need > most as f64 => format!(
                "not started: needs about {need:.0} MiB of a GPU's memory and {most} are the most that a trial has; use a \
                 smaller batch or input, precision bf16, or fewer trials on a GPU"
            ),
            _ => format!(
                "not started: needs about {need:.0} MiB of memory and {free:.0} are free; use a smaller batch or input, or \
                 allow more with --memory"
            ),
        };
        self.callbacks.prepare(&task.trial)?;
        self.close_trial(&task.trial, (State::Failed, Some(why)), None, false, None)
    }

    /// Starts trials while the queue offers some. Returns whether nothing runs or waits any more. `short` is since when the
    /// next trial waits for memory though no other runs.
    fn start_trials(&mut self, running: &mut BTreeMap<String, Running>, short: &mut Option<Duration>) -> Result<bool> {
        loop {
            let free = self.free_memory(running);
            let next = self.queue.next(free, self.executor.total_memory_mib());
            if !matches!(next, Next::Short(_)) {
                *short = None;
            }
            match next {
                Next::Over => return Ok(true),
                Next::Wait => return Ok(false),
                Next::Short(task) => {
                    let (now, need) = ((self.clock)(), task.memory_mib.unwrap_or_default());
                    let since = *short.get_or_insert_with(|| {
                        let free = free.unwrap_or_default();
                        let id = &task.trial;
                        self.callbacks.say(&format!(
                            "{id}: waits until other programs release memory: it needs about {need:.0} MiB and {free:.0} are free"
                        ));
                        now
                    });
                    if now.saturating_sub(since) < self.limits.stall {
                        return Ok(false);
                    }
                    if let Some(task) = self.queue.give_up() {
                        self.refuse(&task, free)?;
                    }
                }
                Next::TooLarge(task) => self.refuse(&task, free)?,
                Next::Start(task, slot) => {
                    self.callbacks.prepare(&task.trial)?;
                    let dir = self.store.trial(&task.trial).root().to_owned();
                    let start = Start { trial: task.trial, dir, slot };
                    let under_way = self.executor.is_under_way(&start.trial);
                    let attempts = self.store.trial(&start.trial).status().map_or(0, |status| match status.state {
                        // The current attempt is already counted in the status.
                        State::Running if under_way => status.attempts.saturating_sub(1),
                        _ => status.attempts,
                    });
                    self.executor.start(&start)?;
                    let begun = self.executor.is_running(&start.trial);
                    if begun {
                        self.callbacks.started(&start);
                    }
                    let now = (self.clock)();
                    let epochs =
                        self.store.trial(&start.trial).readable_epochs().map_or(0, |(rows, _)| rows.len() as u32);
                    let trial = Running {
                        memory_mib: task.memory_mib,
                        gpu_mib: task.gpu_mib,
                        since: now,
                        attempts,
                        beat: 0,
                        beat_at: now,
                        hung: false,
                        begun,
                        epochs,
                        stop: None,
                        stop_requested_at: now,
                        start,
                    };
                    running.insert(trial.start.trial.clone(), trial);
                }
            }
        }
    }

    /// Free memory (MiB) after every running trial has allocated what it is expected to need.
    fn free_memory(&self, running: &BTreeMap<String, Running>) -> Option<f64> {
        let free = self.executor.memory_mib(None)?;
        let reserved = running.values().filter_map(|trial| {
            let used = self.executor.memory_mib(Some(&trial.start.trial)).unwrap_or(0.0);
            Some((trial.memory_mib? - used).max(0.0))
        });
        Some(free - reserved.sum::<f64>())
    }

    /// Reads the status that an ended trial left and gives the trial its final state.
    fn finish_trial(&mut self, running: &mut BTreeMap<String, Running>, event: &TrialEvent) -> Result<()> {
        let Some(trial) = running.remove(&event.trial) else { return Ok(()) };
        let folder = self.store.trial(&event.trial);
        let unreadable = |_| TrialStatus { attempts: trial.attempts, ..TrialStatus::pending(&event.trial) };
        let mut left = folder.status().unwrap_or_else(unreadable);
        // The status of an earlier attempt says nothing about this one.
        if left.attempts == trial.attempts && left.state != State::Done {
            (left.state, left.message, left.attempts) = (State::Running, None, trial.attempts + 1);
        }
        match verdict(&event.exit, &left, trial.stop.as_ref(), &event.tail) {
            Verdict::Results(why) => {
                let (what, help) = why.split_once("\n  help: ").unwrap_or((&why, ""));
                let remedy = if help.is_empty() { "fix it and run again: finished trials are kept" } else { help };
                Err(Error::results(what).remedy(remedy))
            }
            Verdict::Trial(state, message) => {
                let rows = folder.readable_epochs().map_or_else(|_| Vec::new(), |(rows, _)| rows);
                for record in rows.iter().skip(trial.epochs as usize) {
                    // Pruning decisions are ignored here: the trial's end, reported next, leads to new ones.
                    let _ = self.callbacks.epoch(&event.trial, record);
                }
                // A trial that exceeded its time limit while making steps is not its device's fault.
                let suspicious = state == State::Failed || (state == State::TimedOut && trial.hung);
                let is_paused = state == State::Interrupted && matches!(trial.stop, Some((Reason::Paused, _)));
                self.close_trial(&event.trial, (state, message), Some(left), suspicious, Some(event))?;
                // Not after a request to stop: then the queue is closed.
                if is_paused {
                    let Running { memory_mib, gpu_mib, .. } = trial;
                    self.queue.push_first(Task { trial: event.trial.clone(), memory_mib, gpu_mib });
                }
                Ok(())
            }
        }
    }

    fn close_trial(
        &mut self,
        id: &str,
        (state, message): (State, Option<String>),
        left: Option<TrialStatus>,
        suspicious: bool,
        event: Option<&TrialEvent>,
    ) -> Result<()> {
        let folder = self.store.trial(id);
        let mut status = match left {
            Some(left) => left,
            None => folder.status()?,
        };
        (status.state, status.message) = (state, message);
        if folder.status().ok().as_ref() != Some(&status) {
            folder.write_status(&status)?;
            folder.log(&format!("{}: {}", state.name(), status.message.as_deref().unwrap_or("by the runner")))?;
        }
        let node = event.and_then(|event| event.node.as_deref());
        if let Some(device) = self.queue.ended(id, state, suspicious, node) {
            self.executor.avoid(&device);
            self.callbacks.say(&format!(
                "{device} is out of service: three trials in a row failed on it, {id} the last; no more are started there"
            ));
        }
        for task in self.callbacks.ended(&status, event.map_or(&[], |event| &event.tail))? {
            self.queue.push(task);
        }
        Ok(())
    }
}
