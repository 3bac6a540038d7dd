//! Synchronization of trackers in a background thread while a sweep runs. A slow or absent tracker neither delays a training
//! nor makes it fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::Trackers;
use super::tracker_sync::TrackerSync;
use sweep_core::error::Error;
use sweep_experiment::provenance;
use sweep_experiment::store::{Lock, LockResult, Store};

/// Interval between two passes.
const INTERVAL: Duration = Duration::from_secs(2);
/// Delay after the first failure, doubled after each further one.
const RETRY_DELAY: Duration = Duration::from_secs(4);
/// Longest delay after a failure.
const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// How long to wait for a tracker that does not respond after all trials have ended.
const PATIENCE: Duration = Duration::from_secs(15);

/// Handle of the background thread that synchronizes trackers.
pub struct Tracking {
    messages: Receiver<String>,
    /// Number of updates so far.
    updates: Arc<AtomicUsize>,
    /// Dropped when the sweep has ended.
    end: Sender<()>,
}

impl Tracking {
    /// Starts to synchronize trackers with a sweep.
    #[must_use]
    pub fn start(trackers: Trackers, store: &Store) -> Self {
        let ((sender, messages), (end, end_receiver)) = (channel(), channel());
        let (store, updates) = (store.clone(), Arc::new(AtomicUsize::new(0)));
        let syncs: Vec<ScheduledSync> =
            trackers.0.into_iter().map(|sync| ScheduledSync::new(sync.counting(&updates))).collect();
        std::thread::spawn(move || run(&store, syncs, &end_receiver, &sender));
        Self { messages, updates, end }
    }

    /// Messages for the user since the last call.
    pub fn messages(&self) -> Vec<String> {
        self.messages.try_iter().collect()
    }

    /// Waits until all trackers are up to date or do not respond. Returns messages for the user.
    #[must_use]
    pub fn finish(self) -> Vec<String> {
        drop(self.end);
        let (mut updates, mut messages) = (usize::MAX, Vec::new());
        loop {
            match self.messages.recv_timeout(2 * PATIENCE) {
                Ok(line) => messages.push(line),
                Err(RecvTimeoutError::Disconnected) => return messages,
                // The thread is still sending updates.
                Err(RecvTimeoutError::Timeout) if self.updates.load(Ordering::Relaxed) != updates => {
                    updates = self.updates.load(Ordering::Relaxed);
                }
                Err(RecvTimeoutError::Timeout) => {
                    messages
                        .push("a tracker does not answer; the next run, or sweep export, tells it the rest".to_owned());
                    return messages;
                }
            }
        }
    }
}

/// A tracker with its schedule.
struct ScheduledSync {
    sync: TrackerSync,
    next: Instant,
    failures: u32,
    last_error: Option<Error>,
}

impl ScheduledSync {
    fn new(sync: TrackerSync) -> Self {
        Self { sync, next: Instant::now(), failures: 0, last_error: None }
    }

    /// Updates the tracker. Returns whether it is up to date.
    fn update(&mut self, store: &Store, ended: bool, sender: &Sender<String>) -> bool {
        // Updates continue even if nobody receives the messages.
        let say = |line: String| drop(sender.send(line));
        let passed = self.sync.pass(store, ended);
        self.sync.notes().into_iter().for_each(say);
        match passed {
            Ok(()) => {
                if self.last_error.take().is_some() {
                    say("tracking continues: the tracker is up to date".to_owned());
                }
                self.failures = 0;
                self.next = Instant::now() + INTERVAL;
                true
            }
            Err(error) => {
                self.next =
                    Instant::now() + LONGEST_DELAY.min(RETRY_DELAY * 2_u32.saturating_pow(self.failures.min(10)));
                self.failures += 1;
                if self.last_error.as_ref() != Some(&error) {
                    say(format!("not tracked for now, training goes on: {error}"));
                    self.last_error = Some(error);
                }
                false
            }
        }
    }
}

/// The background thread: updates trackers until the sweep has ended.
fn run(store: &Store, mut syncs: Vec<ScheduledSync>, end: &Receiver<()>, sender: &Sender<String>) {
    let mut lock: Option<Lock> = None;
    let mut busy = false;
    loop {
        let ended = matches!(end.recv_timeout(INTERVAL / 4), Err(RecvTimeoutError::Disconnected));
        if lock.is_none() {
            match store.lock_tracking(&provenance::host()) {
                Ok(LockResult::Held(held)) => lock = Some(held),
                _ if ended => return,
                _ if busy => continue,
                _ => {
                    busy = true;
                    drop(sender.send("another process tells trackers of this sweep; waiting for it".to_owned()));
                    continue;
                }
            }
        }
        if ended {
            return finish(store, &mut syncs, sender);
        }
        for sync in &mut syncs {
            if sync.next <= Instant::now() {
                sync.update(store, false, sender);
            }
        }
    }
}

/// Updates trackers until they are up to date or [`PATIENCE`] is exceeded.
fn finish(store: &Store, syncs: &mut [ScheduledSync], sender: &Sender<String>) {
    for scheduled in syncs {
        let (mut known, mut since) = (scheduled.sync.known(), Instant::now());
        while !scheduled.update(store, true, sender) {
            if scheduled.sync.known() > known {
                (known, since) = (scheduled.sync.known(), Instant::now());
            }
            if since.elapsed() + RETRY_DELAY > PATIENCE {
                drop(sender.send("the next run, or sweep export, tells the tracker the rest".to_owned()));
                break;
            }
            std::thread::sleep(RETRY_DELAY);
        }
    }
}
