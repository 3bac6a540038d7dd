//! A training's heartbeat: while it lasts, `status.json` shows that it lives and how far it is.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sweep_experiment::provenance;
use sweep_experiment::records::{EpochRecord, Live, TrialStatus};
use sweep_experiment::store::TrialStore;
use sweep_model::lr_schedule::Progress;
use sweep_training::train::Observer;

/// Writes heartbeats from a thread of its own, and passes everything on to the observer it is given.
pub(super) struct Heartbeat<'a> {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
    observer: &'a mut dyn Observer,
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

impl<'a> Heartbeat<'a> {
    /// Starts with this status, and writes every `interval`.
    pub(super) fn start(
        folder: &TrialStore,
        status: TrialStatus,
        interval: Duration,
        observer: &'a mut dyn Observer,
    ) -> Self {
        let shared = Arc::new(Shared {
            beat: AtomicU64::new(status.live.beat + 1),
            epoch: AtomicU32::new(0),
            step: AtomicU64::new(status.live.step),
            steps: AtomicU64::new(status.live.steps),
            about: Mutex::new((status, false)),
            changed: Condvar::new(),
            started: Instant::now(),
            first: AtomicU64::new(NONE),
            before: AtomicU64::new(0),
        });
        let (folder, seen) = (folder.clone(), Arc::clone(&shared));
        let writer = std::thread::spawn(move || {
            let mut about = seen.about.lock().unwrap_or_else(PoisonError::into_inner);
            while !about.1 {
                // A heartbeat that cannot be written, for example on a full disk, ends nothing: a record would.
                let _ = folder.write_heartbeat(&seen.status(&about.0));
                about = seen.changed.wait_timeout(about, interval).unwrap_or_else(PoisonError::into_inner).0;
            }
        });
        Self { shared, writer: Some(writer), observer }
    }

    /// Goes on with this status.
    pub(super) fn update(&self, status: TrialStatus) {
        self.shared.beat.fetch_add(1, Ordering::Relaxed);
        self.shared.about.lock().unwrap_or_else(PoisonError::into_inner).0 = status;
    }

    /// Stops writing, and returns how far the training got.
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

impl Drop for Heartbeat<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

impl Observer for Heartbeat<'_> {
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
        self.observer.step(progress);
    }

    fn epoch(&mut self, record: &EpochRecord) {
        self.shared.epoch.store(record.epoch, Ordering::Relaxed);
        self.shared.beat.fetch_add(1, Ordering::Relaxed);
        self.shared.changed.notify_all();
        self.observer.epoch(record);
    }

    fn stop(&self) -> bool {
        self.observer.stop()
    }

    fn save(&self) -> bool {
        self.observer.save()
    }

    fn note(&mut self, what: &str) {
        self.observer.note(what);
    }
}
