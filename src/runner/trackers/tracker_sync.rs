//! Synchronization of one tracker: sends the trials that changed since the last pass.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::snapshot::Snapshot;
use sweep_core::error::Result;
use sweep_experiment::records::State;
use sweep_experiment::store::{ModificationSnapshot, Store, SweepFile, TrialStore};

/// A tracker of a sweep. Updates are idempotent.
pub(super) trait Tracker: Send {
    /// Updates a trial.
    fn trial(&mut self, sweep: &Sweep<'_>, trial: &Snapshot) -> Result<()>;

    /// Updates what concerns the whole sweep, after a pass in which trials changed.
    fn sweep(&mut self, _sweep: &Sweep<'_>) -> Result<()> {
        Ok(())
    }

    /// Discards what is known about the tracker's state, after an error.
    fn invalidate(&mut self) {}

    /// Whether the tracker does not respond, so that further updates are useless now.
    fn is_away(&self) -> bool {
        false
    }

    /// Notices for the user since the last call.
    fn notes(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// The sweep to synchronize.
pub(super) struct Sweep<'a> {
    pub(super) store: &'a Store,
    pub(super) file: &'a SweepFile,
    /// Whether the sweep has ended and its report is written.
    pub(super) ended: bool,
    /// Whether the tracker receives pictures of patients.
    pub(super) images: bool,
}

/// A tracker, and the versions of trials that it has.
pub(super) struct TrackerSync {
    tracker: Box<dyn Tracker>,
    /// Whether it receives pictures of patients.
    images: bool,
    /// Versions of trials when they were last sent.
    sent: BTreeMap<String, Version>,
    /// Number of updates, for waiting callers.
    count: Arc<AtomicUsize>,
    /// Whether trials were sent since the last update of the sweep.
    dirty: bool,
}

/// Version of a trial's records: it changes if there is something to send.
#[derive(PartialEq)]
struct Version {
    state: Option<State>,
    files: ModificationSnapshot,
}

impl Version {
    fn read(folder: &TrialStore) -> Self {
        let files = folder.modification_snapshot(&["trial.toml", "epochs.csv", "landmarks.csv", "overlay.png"]);
        Self { state: folder.status().ok().map(|status| status.state), files }
    }
}

impl TrackerSync {
    pub(super) fn new(tracker: Box<dyn Tracker>, images: bool) -> Self {
        Self { tracker, images, sent: BTreeMap::new(), count: Arc::default(), dirty: true }
    }

    /// Counts updates in `count`.
    pub(super) fn counting(self, count: &Arc<AtomicUsize>) -> Self {
        Self { count: Arc::clone(count), ..self }
    }

    /// Sends all trials that changed. An error in one trial does not prevent the others; the first error is returned.
    pub(super) fn pass(&mut self, store: &Store, ended: bool) -> Result<()> {
        let file = store.read_sweep_file()?;
        let sweep = Sweep { store, file: &file, ended, images: self.images };
        let mut first_error = None;
        for id in &file.trials {
            let folder = store.trial(id);
            if !folder.has_begun() {
                continue;
            }
            let version = Version::read(&folder);
            if self.sent.get(id) == Some(&version) {
                continue;
            }
            let updated = Snapshot::read(id, folder).and_then(|trial| self.tracker.trial(&sweep, &trial));
            match updated {
                Ok(()) => {
                    self.sent.insert(id.clone(), version);
                    self.count.fetch_add(1, Ordering::Relaxed);
                    self.dirty = true;
                }
                Err(error) => {
                    self.tracker.invalidate();
                    first_error.get_or_insert(error);
                    if self.tracker.is_away() {
                        break;
                    }
                }
            }
        }
        if let Some(error) = first_error {
            return Err(error);
        }
        if self.dirty || ended {
            self.tracker.sweep(&sweep).inspect_err(|_| self.tracker.invalidate())?;
            self.dirty = false;
        }
        Ok(())
    }

    /// Notices for the user since the last call.
    pub(super) fn notes(&mut self) -> Vec<String> {
        self.tracker.notes()
    }

    /// Number of trials that the tracker has.
    pub(super) fn known(&self) -> usize {
        self.sent.len()
    }
}
