//! Stands between the loop that runs trials and the user: knows the plan, shows how it goes, keeps the summary fresh.

use std::time::{Duration, Instant};

use crate::sweep::write_summary;
use sweep_core::error::{Error, Result};
use sweep_experiment::records::{EpochRecord, State, TrialStatus};
use sweep_experiment::store::{ControlRequest, Store};
use sweep_runner::scheduler::{Action, Start, Steer, Task, Wanted, Watcher};
use sweep_runner::trackers::Tracking;

use super::super::progress::Progress;
use super::super::signals::Wishes;
use super::sweep_state::SweepState;

/// Between two summaries while trials run; longer where a summary takes long.
const SUMMARY: Duration = Duration::from_secs(2);
/// Last lines of a failed trial that are printed.
const SHOWN: usize = 8;

pub(super) struct Controller<'a> {
    pub(super) store: &'a Store,
    /// Name of its jobs, where it has any.
    pub(super) name: String,
    pub(super) book: SweepState<'a>,
    pub(super) wishes: &'a Wishes,
    pub(super) progress: Progress,
    /// Trackers that look on.
    pub(super) tracking: Option<Tracking>,
    /// Writes `sweep.toml` when the plan has grown.
    pub(super) write_plan: &'a dyn Fn(&SweepState<'_>) -> Result<()>,
    /// What a trial waits with.
    pub(super) task: &'a dyn Fn(&SweepState<'_>, usize) -> Task,
    asked: Wanted,
    summed_up: Instant,
    pause: Duration,
    /// Whether a trial ended since.
    dirty: bool,
    /// Why there was no summary the last time.
    trouble: Option<Error>,
}

impl<'a> Controller<'a> {
    pub(super) fn new(
        store: &'a Store,
        name: String,
        book: SweepState<'a>,
        wishes: &'a Wishes,
        quiet: bool,
        write_plan: &'a dyn Fn(&SweepState<'_>) -> Result<()>,
        task: &'a dyn Fn(&SweepState<'_>, usize) -> Task,
    ) -> Self {
        Self {
            store,
            name,
            book,
            wishes,
            progress: Progress::new(quiet),
            tracking: None,
            write_plan,
            task,
            asked: Wanted::Nothing,
            summed_up: Instant::now(),
            pause: SUMMARY,
            dirty: false,
            trouble: None,
        }
    }

    /// What went wrong with a trial, with all one needs to see why.
    fn tell(&self, status: &TrialStatus, tail: &[String]) {
        let message = status.message.as_deref().unwrap_or("it says nothing");
        let on = if status.device.is_empty() { String::new() } else { format!(" on {}", status.device) };
        self.progress.say(&format!("{}: {}{on}: {message}", status.trial, status.state.name()));
        if status.state == State::Pruned {
            return;
        }
        let config = self.book.entry(&status.trial).ok().map(|entry| toml::Table::try_from(&entry.trial.config));
        self.progress.say("  its configuration:");
        for (key, value) in config.and_then(Result::ok).unwrap_or_default() {
            self.progress.say(&format!("    {key} = {value}"));
        }
        if !tail.is_empty() {
            self.progress.say("  its last lines:");
            for line in tail.iter().skip(tail.len().saturating_sub(SHOWN)) {
                self.progress.say(&format!("    {line}"));
            }
        }
        self.progress.say(&format!("  all of them: {}", self.store.trial(&status.trial).file("log.txt").display()));
    }
}

impl Watcher for Controller<'_> {
    fn wanted(&self) -> Wanted {
        let control = self.store.control();
        let asked = || match [ControlRequest::Stop, ControlRequest::Pause].map(|order| control.is_requested(&order)) {
            [true, _] => Wanted::Stop,
            [_, true] => Wanted::Pause,
            _ => Wanted::Nothing,
        };
        self.wishes.wanted().max(asked())
    }

    fn again(&mut self) -> Result<Vec<Task>> {
        let control = self.store.control();
        let mut tasks = Vec::new();
        for trial in control.retries()? {
            if let Some(place) = self.book.again(&trial) {
                self.progress.say(&format!("{trial}: to be trained again, as was asked"));
                tasks.push((self.task)(&self.book, place));
            } else {
                let why =
                    "it is not in the plan, did not fail, or a search has learnt from it (run with --retry-failed)";
                self.progress.say(&format!("{trial}: not trained again as was asked: {why}"));
            }
            control.cancel(&ControlRequest::Retry(trial))?;
        }
        Ok(tasks)
    }

    fn prepare(&mut self, trial: &str) -> Result<()> {
        let folder = self.store.trial(trial);
        if self.book.entry(trial)?.action == Action::StartAnew {
            folder.clear()?;
            self.book.forget(trial);
        }
        folder.begin(self.book.entry(trial)?.trial.file()?)
    }

    fn started(&mut self, start: &Start) {
        let place = self.book.place(&start.trial).map_or(0, |place| place + 1);
        self.progress.started(start, &format!("{place}/{}", self.book.entries.len()));
    }

    fn alive(&mut self, status: &TrialStatus) {
        self.progress.alive(status);
    }

    fn epoch(&mut self, trial: &str, record: &EpochRecord) -> Vec<(String, Steer)> {
        let epochs = self.book.entry(trial).map_or(0, |entry| entry.trial.config.epochs);
        self.progress.epoch(trial, epochs, record);
        self.book.epoch(trial, record)
    }

    fn ended(&mut self, status: &TrialStatus, tail: &[String]) -> Result<Vec<Task>> {
        self.dirty = true;
        self.progress.ended(status);
        if status.state.is_failure() || status.state == State::Pruned {
            self.tell(status, tail);
        }
        self.book.ended(&status.trial, status.state);
        let new = self.book.grow()?;
        if !new.is_empty() {
            (self.write_plan)(&self.book)?;
        }
        let to_do = new.into_iter().filter(|place| self.book.entries[*place].action != Action::Leave);
        Ok(to_do.map(|place| (self.task)(&self.book, place)).collect())
    }

    fn say(&mut self, line: &str) {
        self.progress.say(line);
    }

    fn note(&mut self, line: &str) {
        self.progress.note(line);
    }

    fn tick(&mut self) {
        for line in self.tracking.iter().flat_map(Tracking::said) {
            self.progress.say(&line);
        }
        let wanted = self.wanted();
        if wanted != self.asked {
            self.asked = wanted;
            let words = match wanted {
                Wanted::Nothing => "going on",
                Wanted::Pause => {
                    "paused: trials finish their step and save; nothing is started until control/pause is gone"
                }
                Wanted::Stop => "stopping: trials finish their step and save; once more to stop at once",
                Wanted::StopAtOnce => "stopping at once",
            };
            self.progress.say(words);
        }
        if self.dirty && self.summed_up.elapsed() >= self.pause {
            let started = Instant::now();
            // Records of one trial that somebody damaged are no reason to stop the others.
            if let Err(error) = write_summary(self.store)
                && self.trouble.as_ref() != Some(&error)
            {
                self.progress.say(&format!("no summary for now: {error}"));
                self.trouble = Some(error);
            }
            // A fiftieth of the time at most, however many trials there are.
            self.pause = SUMMARY.max(50 * started.elapsed());
            (self.summed_up, self.dirty) = (Instant::now(), false);
        }
    }
}
