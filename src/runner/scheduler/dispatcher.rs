//! The loop of a sweep: starts what the queue says, watches what runs, settles what ended. Generic over who runs the
//! trials and who watches; decides nothing by the wall clock.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Executor, Judged, News, Next, Queue, Reason, Start, Stop, Task, TrialEvent, verdict};
use sweep_core::error::{Error, Result};
use sweep_experiment::records::{EpochRecord, State, TrialStatus};
use sweep_experiment::store::Store;

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// An attempt of a trial.
    pub trial: Option<Duration>,
    /// The sweep.
    pub sweep: Option<Duration>,
    /// A trial without a step, or anything else done.
    pub stall: Duration,
    /// A trial that was asked to stop, until it is ended.
    pub grace: Duration,
    /// Between two looks at what running trials wrote.
    pub look: Duration,
}

/// What the user has asked for since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// Nothing: go on.
    Nothing,
    /// Start nothing, and let trials save what they did, until this is wanted no more.
    Pause,
    /// Stop, and let trials save what they did.
    Stop,
    /// Stop at once.
    StopAtOnce,
}

/// What a running trial is to do, as its errors beside the others' show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Steer {
    /// Stop: it is too far behind; says how far.
    Prune(String),
    /// Go on though it would have been pruned; says why it would.
    Audit(String),
}

/// Whoever has the plan and watches it being carried out.
pub trait Watcher {
    /// What the user has asked for by now.
    fn wanted(&self) -> Wanted;
    /// Makes a trial's folder ready.
    ///
    /// # Errors
    /// When it cannot be written.
    fn prepare(&mut self, trial: &str) -> Result<()>;
    /// A trial was started.
    fn started(&mut self, start: &Start);
    /// A running trial wrote its status.
    fn alive(&mut self, status: &TrialStatus);
    /// A running trial finished an epoch: what running trials are to do now.
    fn epoch(&mut self, trial: &str, record: &EpochRecord) -> Vec<(String, Steer)>;
    /// A trial ended; trials that are to run because of that.
    ///
    /// # Errors
    /// When its records cannot be read.
    fn ended(&mut self, status: &TrialStatus, tail: &[String]) -> Result<Vec<Task>>;
    /// Trials that the user wants trained again.
    ///
    /// # Errors
    /// When what they left cannot be put right.
    fn again(&mut self) -> Result<Vec<Task>>;
    /// Something the user should know at once.
    fn say(&mut self, line: &str);
    /// Something that a user who wants no progress need not know.
    fn note(&mut self, line: &str);
    /// Called again and again while trials run.
    fn tick(&mut self);
}

/// How a sweep ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Nothing is left that could be started.
    Over,
    /// The user asked for it.
    Stopped,
    /// Its time was over.
    TimedOut,
    /// The trials go on without the runner.
    Left,
}

/// Carries out a sweep.
pub struct Dispatcher<'a> {
    /// Where its trials lie.
    pub store: &'a Store,
    /// What waits and where it can run.
    pub queue: Queue,
    /// Who runs it.
    pub executor: &'a mut dyn Executor,
    /// Who watches.
    pub watcher: &'a mut dyn Watcher,
    /// How long things may take.
    pub limits: Limits,
    /// Whether to leave as soon as all is started that can be, where trials go on without the runner.
    pub detach: bool,
    /// Time since some moment, steadily.
    pub clock: &'a dyn Fn() -> Duration,
}

/// How long to wait for something to happen before looking around.
const WAIT: Duration = Duration::from_millis(200);

/// A trial that is being trained.
struct Running {
    start: Start,
    memory_mib: Option<f64>,
    since: Duration,
    /// Attempts before this one.
    attempts: u32,
    /// The last sign of life, and when it was seen.
    beat: u64,
    beat_at: Duration,
    hung: bool,
    /// Whether it was seen running.
    begun: bool,
    epochs: u32,
    asked: Option<(Reason, Stop)>,
    asked_at: Duration,
}

impl Dispatcher<'_> {
    /// Runs until nothing is left to do, or somebody asks to stop.
    ///
    /// # Errors
    /// When results cannot be written; what runs is stopped gently first.
    pub fn run(&mut self) -> Result<Ending> {
        let mut running = BTreeMap::new();
        let ended = self.carry_out(&mut running);
        if ended.is_err() && !self.executor.outlives() {
            // One trouble is enough to tell: what else goes wrong while stopping is not new.
            let _ = self.stop_all(&mut running, &Reason::Interrupted, Stop::Gently);
            let patience = (self.clock)() + self.limits.grace;
            while !running.is_empty() && (self.clock)() < patience && self.watcher.wanted() < Wanted::StopAtOnce {
                for event in self.executor.poll(WAIT).unwrap_or_default() {
                    running.remove(&event.trial);
                }
            }
            let _ = self.stop_all(&mut running, &Reason::Interrupted, Stop::AtOnce);
        }
        ended
    }

    fn carry_out(&mut self, running: &mut BTreeMap<String, Running>) -> Result<Ending> {
        let begun = (self.clock)();
        let mut ending = Ending::Over;
        let mut looked = begun;
        loop {
            match self.watcher.wanted() {
                Wanted::Nothing => {}
                Wanted::Pause => self.stop_all(running, &Reason::Paused, Stop::Gently)?,
                _ if self.executor.outlives() => return Ok(Ending::Left),
                Wanted::Stop => {
                    ending = Ending::Stopped;
                    self.queue.close();
                    self.stop_all(running, &Reason::Interrupted, Stop::Gently)?;
                }
                Wanted::StopAtOnce => {
                    self.queue.close();
                    self.stop_all(running, &Reason::Interrupted, Stop::AtOnce)?;
                    return Ok(Ending::Stopped);
                }
            }
            if self.queue.is_failed() {
                self.stop_all(running, &Reason::Interrupted, Stop::Gently)?;
            }
            if self.limits.sweep.is_some_and(|limit| (self.clock)().saturating_sub(begun) >= limit)
                && ending == Ending::Over
            {
                ending = Ending::TimedOut;
                self.queue.close();
                self.stop_all(running, &Reason::Interrupted, Stop::Gently)?;
            }
            for task in self.watcher.again()? {
                self.queue.forgive(task);
            }
            let is_paused = self.watcher.wanted() == Wanted::Pause && self.queue.is_waiting();
            let over = !is_paused && self.start_what_can(running)?;
            if over {
                return Ok(ending);
            }
            let events = self.executor.poll(WAIT)?;
            for news in self.executor.news() {
                match news {
                    News::Progress(line) => self.watcher.note(&line),
                    News::Trouble(line) => self.watcher.say(&line),
                }
            }
            for event in events {
                self.settle(running, &event)?;
            }
            if self.detach && self.executor.outlives() && self.executor.is_handed_over() {
                return Ok(Ending::Left);
            }
            let now = (self.clock)();
            if now.saturating_sub(looked) >= self.limits.look {
                looked = now;
                self.look(running, now)?;
                self.watcher.tick();
            }
        }
    }

    /// Starts trials while the queue has some for now; whether there is nothing left to wait for.
    fn start_what_can(&mut self, running: &mut BTreeMap<String, Running>) -> Result<bool> {
        loop {
            let free = self.free_memory(running);
            match self.queue.next(free) {
                Next::Over => return Ok(true),
                Next::Wait => return Ok(false),
                Next::TooLarge(task) => {
                    let (need, free) = (task.memory_mib.unwrap_or_default(), free.unwrap_or_default());
                    let why = format!(
                        "not started: needs about {need:.0} MiB of memory and {free:.0} are free; use a smaller batch \
                         or input, or allow more with --memory"
                    );
                    self.watcher.prepare(&task.trial)?;
                    self.close_trial(&task.trial, (State::Failed, Some(why)), None, false, None)?;
                }
                Next::Start(task, place) => {
                    self.watcher.prepare(&task.trial)?;
                    let dir = self.store.trial(&task.trial).root().to_owned();
                    let start = Start { trial: task.trial, dir, place };
                    let under_way = self.executor.is_under_way(&start.trial);
                    let attempts = self.store.trial(&start.trial).status().map_or(0, |status| match status.state {
                        // The attempt it is in counts itself already.
                        State::Running if under_way => status.attempts.saturating_sub(1),
                        _ => status.attempts,
                    });
                    self.executor.start(&start)?;
                    let begun = self.executor.is_running(&start.trial);
                    if begun {
                        self.watcher.started(&start);
                    }
                    let now = (self.clock)();
                    let epochs = self.store.trial(&start.trial).readable_epochs().map_or(0, |(rows, _)| rows.len() as u32);
                    let trial = Running {
                        memory_mib: task.memory_mib,
                        since: now,
                        attempts,
                        beat: 0,
                        beat_at: now,
                        hung: false,
                        begun,
                        epochs,
                        asked: None,
                        asked_at: now,
                        start,
                    };
                    running.insert(trial.start.trial.clone(), trial);
                }
            }
        }
    }

    /// Memory left when every running trial has taken what it is expected to take.
    fn free_memory(&self, running: &BTreeMap<String, Running>) -> Option<f64> {
        let free = self.executor.memory_mib(None)?;
        let to_come = running.values().filter_map(|trial| {
            let held = self.executor.memory_mib(Some(&trial.start.trial)).unwrap_or(0.0);
            Some((trial.memory_mib? - held).max(0.0))
        });
        Some(free - to_come.sum::<f64>())
    }

    /// TtaViews at what running trials wrote, and ends those that take too long.
    fn look(&mut self, running: &mut BTreeMap<String, Running>, now: Duration) -> Result<()> {
        let mut steers = Vec::new();
        for (id, trial) in running.iter_mut() {
            if !self.executor.is_running(id) {
                // It waits for its turn, perhaps once more: its time begins when that comes.
                (trial.beat_at, trial.since) = (now, now);
                continue;
            }
            if !trial.begun {
                trial.begun = true;
                self.watcher.started(&trial.start);
            }
            let folder = self.store.trial(id);
            // A status that cannot be read now is read the next time.
            if let Ok(status) = folder.status() {
                if status.live.beat != trial.beat {
                    (trial.beat, trial.beat_at) = (status.live.beat, now);
                    self.watcher.alive(&status);
                }
                if status.epoch > trial.epochs {
                    let rows = folder.readable_epochs().map_or_else(|_| Vec::new(), |(rows, _)| rows);
                    for record in rows.iter().skip(trial.epochs as usize) {
                        steers.extend(self.watcher.epoch(id, record));
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
            if let (Some(why), None) = (reason, &trial.asked) {
                ask(self.executor, trial, Reason::TimedOut(why), Stop::Gently, now)?;
            }
            let patience = if trial.hung { self.limits.grace.min(self.limits.stall) } else { self.limits.grace };
            if matches!(trial.asked, Some((_, Stop::Gently))) && now.saturating_sub(trial.asked_at) >= patience {
                let reason = trial.asked.take().map_or(Reason::Interrupted, |(reason, _)| reason);
                ask(self.executor, trial, reason, Stop::AtOnce, now)?;
            }
        }
        for (id, steer) in steers {
            let Some(trial) = running.get_mut(&id) else { continue };
            match steer {
                Steer::Prune(why) if trial.asked.is_none() => {
                    ask(self.executor, trial, Reason::Pruned(why), Stop::Gently, now)?;
                }
                Steer::Prune(_) => {}
                Steer::Audit(why) => {
                    self.watcher.say(&format!("{id}: runs on though {why}, to tell how often pruning errs"));
                }
            }
        }
        Ok(())
    }

    fn stop_all(&mut self, running: &mut BTreeMap<String, Running>, why: &Reason, stop: Stop) -> Result<()> {
        let now = (self.clock)();
        for trial in running.values_mut() {
            if trial.asked.as_ref().is_none_or(|(_, asked)| *asked < stop) {
                let reason = trial.asked.take().map_or_else(|| why.clone(), |(reason, _)| reason);
                ask(self.executor, trial, reason, stop, now)?;
            }
        }
        Ok(())
    }

    /// Reads what an ended trial left and gives it its state.
    fn settle(&mut self, running: &mut BTreeMap<String, Running>, event: &TrialEvent) -> Result<()> {
        let Some(trial) = running.remove(&event.trial) else { return Ok(()) };
        let folder = self.store.trial(&event.trial);
        let torn = |_| TrialStatus { attempts: trial.attempts, ..TrialStatus::pending(&event.trial) };
        let mut left = folder.status().unwrap_or_else(torn);
        // What an earlier attempt left says nothing of this one.
        if left.attempts == trial.attempts && left.state != State::Done {
            (left.state, left.message, left.attempts) = (State::Running, None, trial.attempts + 1);
        }
        match verdict(&event.exit, &left, trial.asked.as_ref(), &event.tail) {
            Judged::Results(why) => {
                let (what, help) = why.split_once("\n  help: ").unwrap_or((&why, ""));
                let remedy =
                    if help.is_empty() { "put it right and run again: what is finished is kept" } else { help };
                Err(Error::results(what).remedy(remedy))
            }
            Judged::Trial(state, message) => {
                let rows = folder.readable_epochs().map_or_else(|_| Vec::new(), |(rows, _)| rows);
                for record in rows.iter().skip(trial.epochs as usize) {
                    // Nothing that runs is steered by a trial that ends in this moment: its end is told next.
                    let _ = self.watcher.epoch(&event.trial, record);
                }
                // A trial that took too long but worked is not its device's fault.
                let suspicious = state == State::Failed || (state == State::TimedOut && trial.hung);
                let goes_on = state == State::Interrupted && matches!(trial.asked, Some((Reason::Paused, _)));
                self.close_trial(&event.trial, (state, message), Some(left), suspicious, Some(event))?;
                if goes_on {
                    self.queue.push_first(Task { trial: event.trial.clone(), memory_mib: trial.memory_mib });
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
            self.watcher.say(&format!(
                "{device} is out of service: three trials in a row failed on it, {id} the last; no more are started there"
            ));
        }
        for task in self.watcher.ended(&status, event.map_or(&[], |event| &event.tail))? {
            self.queue.push(task);
        }
        Ok(())
    }
}

fn ask(executor: &mut dyn Executor, trial: &mut Running, reason: Reason, stop: Stop, now: Duration) -> Result<()> {
    trial.asked = Some((reason, stop));
    trial.asked_at = now;
    executor.cancel(&trial.start.trial, stop)
}
