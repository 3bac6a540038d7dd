//! One tracker, and what it was told of already: looks at every trial, and tells of those that changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::snapshot::Snapshot;
use sweep_analysis::load::{self, SweepFile};
use sweep_core::error::Result;
use sweep_experiment::records::State;
use sweep_experiment::store::{ModificationSnapshot, Store, TrialStore};

/// Somebody who is told of a sweep. Whatever is told again is known already: telling twice is telling once.
pub(super) trait Tracker: Send {
    /// Brings what is known of a trial up to date.
    fn trial(&mut self, sweep: &Sweep<'_>, trial: &Snapshot) -> Result<()>;

    /// Called when all trials have been looked at and some had changed.
    fn sweep(&mut self, _sweep: &Sweep<'_>) -> Result<()> {
        Ok(())
    }

    /// After an error: what is known of the other side may be wrong.
    fn doubt(&mut self) {}

    /// Whether there is no use in telling it of further trials now.
    fn is_away(&self) -> bool {
        false
    }

    /// What the user should know and was not told yet.
    fn notes(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// The sweep that is told of.
pub(super) struct Sweep<'a> {
    pub(super) store: &'a Store,
    pub(super) file: &'a SweepFile,
    /// Whether nothing runs any more, and the report is written.
    pub(super) over: bool,
}

pub(super) struct TrackerSync {
    tracker: Box<dyn Tracker>,
    /// What trials looked like when they were last told of.
    told: BTreeMap<String, Look>,
    /// Counts trials that were told of, for whoever waits.
    count: Arc<AtomicUsize>,
    /// Whether something was told of that the sweep's own view has not followed yet.
    dirty: bool,
}

/// What changes when there is something to tell.
#[derive(PartialEq)]
struct Look {
    state: Option<State>,
    files: ModificationSnapshot,
}

impl Look {
    fn at(folder: &TrialStore) -> Self {
        let files = folder.modification_snapshot(&["trial.toml", "epochs.csv", "landmarks.csv", "overlay.png"]);
        Self { state: folder.status().ok().map(|status| status.state), files }
    }
}

impl TrackerSync {
    pub(super) fn new(tracker: Box<dyn Tracker>) -> Self {
        Self { tracker, told: BTreeMap::new(), count: Arc::default(), dirty: true }
    }

    /// Counts the trials that it tells of.
    pub(super) fn counting(self, count: &Arc<AtomicUsize>) -> Self {
        Self { count: Arc::clone(count), ..self }
    }

    /// TtaViews at all trials once. One that cannot be told of keeps no other from being told of.
    pub(super) fn pass(&mut self, store: &Store, over: bool) -> Result<()> {
        let file = load::sweep_file(store)?;
        let sweep = Sweep { store, file: &file, over };
        let mut trouble = None;
        for id in &file.trials {
            let folder = store.trial(id);
            if !folder.file("trial.toml").is_file() {
                continue;
            }
            let look = Look::at(&folder);
            if self.told.get(id) == Some(&look) {
                continue;
            }
            let told = Snapshot::read(id, folder).and_then(|trial| self.tracker.trial(&sweep, &trial));
            match told {
                Ok(()) => {
                    self.told.insert(id.clone(), look);
                    self.count.fetch_add(1, Ordering::Relaxed);
                    self.dirty = true;
                }
                Err(error) => {
                    self.tracker.doubt();
                    trouble.get_or_insert(error);
                    if self.tracker.is_away() {
                        break;
                    }
                }
            }
        }
        if let Some(error) = trouble {
            return Err(error);
        }
        if self.dirty || over {
            self.tracker.sweep(&sweep).inspect_err(|_| self.tracker.doubt())?;
            self.dirty = false;
        }
        Ok(())
    }

    /// What the user should know and was not told yet.
    pub(super) fn notes(&mut self) -> Vec<String> {
        self.tracker.notes()
    }

    /// Trials that were told of.
    pub(super) fn known(&self) -> usize {
        self.told.len()
    }
}
