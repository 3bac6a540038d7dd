//! Heartbeat of a training: keeps its progress in `status.json` up to date while it runs.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sweep_experiment::provenance;
use sweep_experiment::records::{EpochRecord, Live, TrialStatus};
use sweep_experiment::store::TrialStore;
use sweep_model::lr_schedule::Progress;
use sweep_training::train::Observer;

/// Writes heartbeats from its own thread, and passes everything on to another observer.
pub(super) struct Heartbeat<'a> {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
    observer: &'a mut dyn Observer,
}

#[derive(Debug)]
struct Shared {
    /// The status without progress, and whether the training has ended.
    status: Mutex<(TrialStatus, bool)>,
    changed: Condvar,
    started: Instant,
    beat: AtomicU64,
    epoch: AtomicU32,
    step: AtomicU64,
    steps: AtomicU64,
    /// Step after the first of this attempt.
    first_step: AtomicU64,
    /// Milliseconds until then.
    milliseconds_before: AtomicU64,
}

/// Value of `first_step` before the first step.
const NO_STEP: u64 = u64::MAX;

impl Shared {
    fn with_progress(&self, status: &TrialStatus) -> TrialStatus {
        let seconds = self.started.elapsed().as_secs_f64();
        let epoch = self.epoch.load(Ordering::Relaxed).max(status.epoch);
        let mut status = TrialStatus { epoch, seconds: status.seconds + seconds, ..status.clone() };
        let live = &mut status.live;
        live.beat = self.beat.load(Ordering::Relaxed) + sweep_data::progress::images_read();
        (live.step, live.steps) = (self.step.load(Ordering::Relaxed), self.steps.load(Ordering::Relaxed));
        live.written = provenance::unix_seconds();
        let first = self.first_step.load(Ordering::Relaxed);
        live.seconds_left = (first != NO_STEP && live.step > first).then(|| {
            let training = seconds - self.milliseconds_before.load(Ordering::Relaxed) as f64 / 1e3;
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
            status: Mutex::new((status, false)),
            changed: Condvar::new(),
            started: Instant::now(),
            first_step: AtomicU64::new(NO_STEP),
            milliseconds_before: AtomicU64::new(0),
        });
        let (folder, writer_shared) = (folder.clone(), Arc::clone(&shared));
        let writer = std::thread::spawn(move || {
            let mut status = writer_shared.status.lock().unwrap_or_else(PoisonError::into_inner);
            while !status.1 {
                // A failed heartbeat, for example on a full disk, does not end the training, unlike a failed record.
                let _ = folder.write_heartbeat(&writer_shared.with_progress(&status.0));
                status = writer_shared.changed.wait_timeout(status, interval).unwrap_or_else(PoisonError::into_inner).0;
            }
        });
        Self { shared, writer: Some(writer), observer }
    }

    /// Replaces the status.
    pub(super) fn update(&self, status: TrialStatus) {
        self.shared.beat.fetch_add(1, Ordering::Relaxed);
        self.shared.status.lock().unwrap_or_else(PoisonError::into_inner).0 = status;
    }

    /// Stops writing, and returns how far the training got.
    pub(super) fn end(&mut self) -> Live {
        self.shared.status.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.shared.changed.notify_all();
        if let Some(writer) = self.writer.take() {
            // The thread does nothing that could panic.
            let _ = writer.join();
        }
        let status = self.shared.status.lock().unwrap_or_else(PoisonError::into_inner).0.clone();
        self.shared.with_progress(&status).live
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
        if shared.first_step.load(Ordering::Relaxed) == NO_STEP {
            // The first step plans the network and is slower, so that time counts from its end.
            shared.milliseconds_before.store(shared.started.elapsed().as_millis() as u64, Ordering::Relaxed);
            shared.first_step.store(progress.step, Ordering::Relaxed);
        }
        shared.step.store(progress.step, Ordering::Relaxed);
        shared.steps.store(progress.steps, Ordering::Relaxed);
        shared.beat.fetch_add(1, Ordering::Relaxed);
        self.observer.step(progress);
    }

    fn evaluating(&mut self) {
        self.shared.beat.fetch_add(1, Ordering::Relaxed);
        self.observer.evaluating();
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

    fn note(&mut self, message: &str) {
        self.observer.note(message);
    }
}
