//! Connects the dispatcher with the user: passes requests on, shows progress, and keeps state and summary up to date.

use std::time::{Duration, Instant};

use crate::sweep::write_summary;
use sweep_core::error::{Error, Result};
use sweep_core::note;
use sweep_experiment::provenance;
use sweep_experiment::records::{EpochRecord, State, TrialStatus};
use sweep_experiment::store::{ControlRequest, Lock, LockResult, Store, TrialStore};
use sweep_runner::scheduler::{Action, PruneAction, Slot, Start, SweepCallbacks, Task, UserRequest};
use sweep_runner::trackers::Tracking;

use super::super::progress::Progress;
use super::super::signals::StopRequests;
use super::super::trial::PATIENCE;
use super::ancestors::Inheritance;
use super::slots::Estimates;
use super::sweep_state::SweepState;

/// Least time between two summaries while trials run; longer if a summary takes long.
const SUMMARY_INTERVAL: Duration = Duration::from_secs(2);
/// Number of last log lines of a failed trial that are printed.
const PRINTED_LINES: usize = 8;

/// Watches the trials of a sweep for its user.
pub(super) struct Controller<'a> {
    pub(super) store: &'a Store,
    pub(super) state: SweepState<'a>,
    pub(super) stop_requests: &'a StopRequests,
    slots: Vec<Slot>,
    estimates: &'a Estimates,
    progress: Progress,
    /// Trackers of the sweep, if the user named any.
    tracking: Option<Tracking>,
    /// The last request that was reported to the user.
    reported: UserRequest,
    summarised: Instant,
    /// Time between two summaries.
    summary_interval: Duration,
    /// Whether a trial ended since the last summary.
    dirty: bool,
    /// Why the last summary failed, if it did.
    summary_error: Option<Error>,
}

impl<'a> Controller<'a> {
    pub(super) fn new(
        state: SweepState<'a>,
        slots: Vec<Slot>,
        estimates: &'a Estimates,
        stop_requests: &'a StopRequests,
        tracking: Option<Tracking>,
        quiet: bool,
    ) -> Self {
        Self {
            store: state.store,
            state,
            stop_requests,
            slots,
            estimates,
            progress: Progress::new(quiet),
            tracking,
            reported: UserRequest::Continue,
            summarised: Instant::now(),
            summary_interval: SUMMARY_INTERVAL,
            dirty: false,
            summary_error: None,
        }
    }

    /// Brings trackers up to date and prints their remarks. The report must be written before.
    pub(super) fn finish_tracking(&mut self) {
        for line in self.tracking.take().into_iter().flat_map(Tracking::finish) {
            note!("{line}");
        }
    }

    /// The user's request: by a signal, or by a file in `control/`.
    fn request(&self) -> UserRequest {
        let control = self.store.control();
        let by_file = match [ControlRequest::Stop, ControlRequest::Pause].map(|order| control.is_requested(&order)) {
            [true, _] => UserRequest::Stop,
            [_, true] => UserRequest::Pause,
            _ => UserRequest::Continue,
        };
        self.stop_requests.wanted().max(by_file)
    }

    /// Prints the user's request if it changed.
    fn report_request(&mut self) {
        let wanted = self.request();
        if wanted == self.reported {
            return;
        }
        self.reported = wanted;
        self.progress.say(match wanted {
            UserRequest::Continue => "going on",
            UserRequest::Pause => {
                "paused: trials finish their step and save; nothing is started until control/pause is gone"
            }
            UserRequest::Stop => "stopping: trials finish their step and save; once more to stop at once",
            UserRequest::StopAtOnce => "stopping at once",
        });
    }

    /// Gives a trial that is about to begin the records that others have trained for it, and makes it keep those of its
    /// followers.
    fn take_records(&mut self, trial: &str) -> Result<()> {
        let said = match (self.state.follow(trial)?, self.state.inherit(trial)?) {
            (Some(leader), _) => {
                Some(format!("takes over the training of {leader}, which differs in its decoder alone"))
            }
            (None, Inheritance::Epochs) => {
                Some("goes on from the epochs of a trial of an earlier definition".to_owned())
            }
            (None, Inheritance::Refused(id, why)) => {
                Some(format!("is trained, though {id} has the same weights: {why}"))
            }
            (None, Inheritance::None) => None,
        };
        if let Some(said) = said {
            self.progress.note(&format!("{trial}: {said}"));
            self.state.reread_errors(trial)?;
        }
        self.state.lead(trial)
    }

    /// Writes the summary if a trial ended and the last summary is old.
    fn refresh_summary(&mut self) {
        if !self.dirty || self.summarised.elapsed() < self.summary_interval {
            return;
        }
        let started = Instant::now();
        // The damaged records of one trial are no reason to stop the others.
        if let Err(error) = write_summary(self.store)
            && self.summary_error.as_ref() != Some(&error)
        {
            self.progress.say(&format!("no summary for now: {error}"));
            self.summary_error = Some(error);
        }
        // Summaries take at most a fiftieth of the time, however many trials there are.
        self.summary_interval = SUMMARY_INTERVAL.max(50 * started.elapsed());
        (self.summarised, self.dirty) = (Instant::now(), false);
    }

    /// Prints why a trial failed, with its configuration and the end of its log.
    fn report_failure(&self, status: &TrialStatus, tail: &[String]) {
        let message = status.message.as_deref().unwrap_or("it says nothing");
        let on = if status.device.is_empty() { String::new() } else { format!(" on {}", status.device) };
        self.progress.say(&format!("{}: {}{on}: {message}", status.trial, status.state.name()));
        if status.state == State::Pruned {
            return;
        }
        if status.state == State::Diverged {
            self.progress
                .say("  help: a smaller optimizer.lr, a schedule with warm_up, or gradient_clip keeps losses finite");
        }
        let config = self.state.entry(&status.trial).ok().map(|entry| toml::Table::try_from(&entry.trial.config));
        self.progress.say("  its configuration:");
        for (key, value) in config.and_then(Result::ok).unwrap_or_default() {
            self.progress.say(&format!("    {key} = {value}"));
        }
        if !tail.is_empty() {
            self.progress.say("  its last lines:");
            for line in tail.iter().skip(tail.len().saturating_sub(PRINTED_LINES)) {
                self.progress.say(&format!("    {line}"));
            }
        }
        self.progress.say(&format!("  all of them: {}", self.store.trial(&status.trial).file("log.txt").display()));
    }
}

/// Locks a trial that has a folder: a process whose runner was killed may still train it, for as long as it takes to save.
fn hold(folder: &TrialStore) -> Result<Option<Lock>> {
    if !folder.folder().is_there() {
        return Ok(None);
    }
    match folder.lock(&provenance::host(), PATIENCE)? {
        LockResult::Held(lock) => Ok(Some(lock)),
        LockResult::Busy(holder) => {
            let who = holder.map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
            Err(Error::results(format!("{who} trains this trial"))
                .at(folder.root().display())
                .remedy("wait until it has ended, or end it, and run again"))
        }
    }
}

impl SweepCallbacks for Controller<'_> {
    fn request(&self) -> UserRequest {
        self.request()
    }

    fn again(&mut self) -> Result<Vec<Task>> {
        let control = self.store.control();
        let mut tasks = Vec::new();
        for trial in control.retries()? {
            if let Some(index) = self.state.retry(&trial) {
                self.progress.say(&format!("{trial}: to be trained again, as was asked"));
                tasks.push(self.state.task(index, self.estimates));
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
        match self.state.entry(trial)?.action {
            Action::Skip | Action::Continue => {}
            Action::StartAnew => {
                let lock = hold(&folder)?;
                folder.clear()?;
                drop(lock);
                self.state.restarted(trial)?;
            }
            Action::Restore => {
                let lock = hold(&folder)?;
                folder.set_aside()?;
                drop(lock);
                self.progress.say(&format!(
                    "{trial}: records are missing or damaged; what is left of them lies in damaged/, and it is trained again"
                ));
                self.state.restarted(trial)?;
            }
        }
        folder.begin(self.state.entry(trial)?.trial.file()?)?;
        self.take_records(trial)
    }

    fn started(&mut self, start: &Start) {
        let number = self.state.index(&start.trial).map_or(0, |index| index + 1);
        // Records that cannot be read say nothing of earlier epochs; the trial itself reports them.
        let (epochs, _) = self.store.trial(&start.trial).readable_epochs().unwrap_or_default();
        self.progress.started(start, &format!("{number}/{}", self.state.entries.len()), &epochs);
    }

    fn alive(&mut self, status: &TrialStatus) {
        self.progress.alive(status);
    }

    fn epoch(&mut self, trial: &str, record: &EpochRecord) -> Vec<(String, PruneAction)> {
        let epochs = self.state.entry(trial).map_or(0, |entry| entry.trial.config.epochs);
        self.progress.epoch(trial, epochs, record);
        self.state.epoch(trial, record)
    }

    fn ended(&mut self, status: &TrialStatus, tail: &[String]) -> Result<Vec<Task>> {
        self.dirty = true;
        self.progress.ended(status);
        if status.state.is_failure() || status.state == State::Pruned {
            self.report_failure(status, tail);
        }
        self.state.ended(&status.trial, status.state);
        let released = self.state.released_by(&status.trial);
        let mut new = self.state.grow()?;
        if let Some(first) = new.first() {
            self.state.find_leaders(*first)?;
            new.retain(|index| !self.state.waits(*index));
            self.state.write_sweep_file(&self.slots)?;
        }
        new.extend(released);
        if self.state.unfinished().next().is_none() {
            // Decisions are final now: a trial that an earlier definition pruned may be one that this one keeps.
            new.extend(self.state.reopen_pruned());
        }
        let unfinished = new.into_iter().filter(|index| self.state.entries[*index].action != Action::Skip);
        Ok(unfinished.map(|index| self.state.task(index, self.estimates)).collect())
    }

    fn say(&mut self, line: &str) {
        self.progress.say(line);
    }

    fn note(&mut self, line: &str) {
        self.progress.note(line);
    }

    fn tick(&mut self) {
        for line in self.tracking.iter().flat_map(Tracking::messages) {
            self.progress.say(&line);
        }
        self.report_request();
        self.refresh_summary();
    }
}
