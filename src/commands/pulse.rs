//! A training's signs of life: what `status.json` says while it lasts, and the wish to stop passed on to it.

use std::cell::Cell;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::cli;
use crate::lr::Progress;
use crate::provenance;
use crate::records::{EpochRecord, Live, TrialStatus};
use crate::store::TrialStore;
use crate::train::Observer;

use super::progress;
use super::signals::Signal;

/// Between two signs of life.
const BEAT: Duration = Duration::from_secs(1);
/// The same on a cluster, where a thousand trials write to one file system.
const SLOW_BEAT: Duration = Duration::from_secs(20);
/// Between two checkpoints within an epoch.
const SAVE: Duration = Duration::from_secs(600);

/// Shows that the trial lives and how far it is, in `status.json`, and passes on the wish to stop.
pub(super) struct Pulse {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
    signal: Signal,
    saved: Cell<Instant>,
    lines: bool,
    epochs: u32,
    trial: String,
}

#[derive(Debug)]
struct Shared {
    about: Mutex<(TrialStatus, bool)>,
    changed: Condvar,
    started: Instant,
    beat: AtomicU64,
    epoch: AtomicU32,
    step: AtomicU64,
    steps: AtomicU64,
    /// The step this attempt began with, and the milliseconds until then.
    first: AtomicU64,
    before: AtomicU64,
}

/// No attempt has begun a step.
const NONE: u64 = u64::MAX;

impl Shared {
    fn status(&self, about: &TrialStatus) -> TrialStatus {
        let seconds = self.started.elapsed().as_secs_f64();
        let mut status = TrialStatus { seconds: about.seconds + seconds, ..about.clone() };
        status.epoch = self.epoch.load(Ordering::Relaxed).max(about.epoch);
        let live = &mut status.live;
        live.beat = self.beat.load(Ordering::Relaxed);
        (live.step, live.steps) = (self.step.load(Ordering::Relaxed), self.steps.load(Ordering::Relaxed));
        live.written = provenance::unix_seconds();
        let first = self.first.load(Ordering::Relaxed);
        live.seconds_left = (first != NONE && live.step > first).then(|| {
            let training = seconds - self.before.load(Ordering::Relaxed) as f64 / 1e3;
            training / (live.step - first) as f64 * (live.steps - live.step) as f64
        });
        status
    }
}

impl Pulse {
    pub(super) fn start(folder: &TrialStore, about: TrialStatus, flags: &cli::Trial, signal: Signal) -> Self {
        let attended = flags.attended;
        let beat = if flags.requeue.is_some() { SLOW_BEAT } else { BEAT };
        let (trial, epochs) = (about.trial.clone(), about.epochs);
        let shared = Arc::new(Shared {
            beat: AtomicU64::new(about.live.beat + 1),
            epoch: AtomicU32::new(0),
            step: AtomicU64::new(about.live.step),
            steps: AtomicU64::new(about.live.steps),
            about: Mutex::new((about, false)),
            changed: Condvar::new(),
            started: Instant::now(),
            first: AtomicU64::new(NONE),
            before: AtomicU64::new(0),
        });
        let (folder, seen) = (folder.clone(), Arc::clone(&shared));
        let writer = std::thread::spawn(move || {
            let mut about = seen.about.lock().unwrap_or_else(PoisonError::into_inner);
            while !about.1 {
                // A sign of life that cannot be written, as on a full disk, ends nothing: records that cannot do.
                let _ = folder.beat(&seen.status(&about.0));
                about = seen.changed.wait_timeout(about, beat).unwrap_or_else(PoisonError::into_inner).0;
            }
        });
        let lines = !attended || std::io::stderr().is_terminal();
        Self { shared, writer: Some(writer), signal, saved: Cell::new(Instant::now()), lines, epochs, trial }
    }

    /// What is known of the trial by now.
    pub(super) fn about(&self, status: TrialStatus) {
        self.shared.beat.fetch_add(1, Ordering::Relaxed);
        self.shared.about.lock().unwrap_or_else(PoisonError::into_inner).0 = status;
    }

    /// Writes no more, and says how far it got.
    pub(super) fn end(&mut self) -> Live {
        self.shared.about.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.shared.changed.notify_all();
        if let Some(writer) = self.writer.take() {
            // It does nothing that could panic.
            let _ = writer.join();
        }
        let about = self.shared.about.lock().unwrap_or_else(PoisonError::into_inner).0.clone();
        self.shared.status(&about).live
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.end();
    }
}

impl Observer for Pulse {
    fn step(&mut self, progress: Progress) {
        let shared = &self.shared;
        if shared.first.load(Ordering::Relaxed) == NONE {
            // The first step plans the network and is slower: time counts from its end.
            shared.before.store(shared.started.elapsed().as_millis() as u64, Ordering::Relaxed);
            shared.first.store(progress.step, Ordering::Relaxed);
        }
        shared.step.store(progress.step, Ordering::Relaxed);
        shared.steps.store(progress.steps, Ordering::Relaxed);
        shared.beat.fetch_add(1, Ordering::Relaxed);
    }

    fn epoch(&mut self, record: &EpochRecord) {
        self.shared.epoch.store(record.epoch, Ordering::Relaxed);
        self.shared.beat.fetch_add(1, Ordering::Relaxed);
        self.shared.changed.notify_all();
        self.saved.set(Instant::now());
        if self.lines {
            eprintln!("{}", progress::line(&self.trial, self.epochs, record));
        }
    }

    fn stop(&self) -> bool {
        self.signal.load(Ordering::Relaxed) != 0
    }

    fn save(&self) -> bool {
        let due = self.saved.get().elapsed() >= SAVE;
        if due {
            self.saved.set(Instant::now());
        }
        due
    }

    fn note(&mut self, what: &str) {
        eprintln!("{what}");
    }
}
