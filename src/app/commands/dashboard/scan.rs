//! Reads a sweep's folder again and again while trials write to it.

use std::collections::BTreeMap;

use sweep_core::error::Result;
use sweep_experiment::provenance::{self, Busy};
use sweep_experiment::records::State;
use sweep_experiment::store::{ControlRequest, ModificationSnapshot, Store};

use crate::status::{self, SlurmJobs, StatusLine};

use super::app::{Detail, Snapshot};

/// Number of last bytes of a log that are read.
const LOG_BYTES: u64 = 8192;

/// Files of a trial that change with its progress; the first says the unit of its errors once it has begun.
const PROGRESS_FILES: [&str; 4] = ["trial.toml", "status.json", "epochs.csv", ".lock"];

/// Reads a folder: only those trials whose files have changed.
pub(super) struct Scanner {
    store: Store,
    sweep: String,
    lines: BTreeMap<String, (ModificationSnapshot, StatusLine)>,
    jobs: SlurmJobs,
    busy: Option<Busy>,
}

impl Scanner {
    pub(super) fn new(store: &Store) -> Self {
        let sweep = store.root().file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self {
            store: store.clone(),
            sweep,
            lines: BTreeMap::new(),
            jobs: SlurmJobs::default(),
            busy: provenance::busy(),
        }
    }

    /// Status of every trial and of the sweep.
    pub(super) fn snapshot(&mut self) -> Result<Snapshot> {
        let (ids, note) = status::planned_trials(&self.store)?;
        let mut trials: Vec<StatusLine> = ids.into_iter().map(|id| self.line(id)).collect();
        self.jobs.refresh(&self.store)?;
        self.jobs.annotate(&mut trials);
        let (control, runner) = (self.store.control(), self.store.runner().ok().flatten());
        let runs = runner.is_some();
        Ok(Snapshot {
            sweep: self.sweep.clone(),
            overview: status::overview(&self.store, &trials),
            note: note + &self.jobs.summary(),
            runs,
            // Requests have no meaning if no process runs the sweep.
            paused: runs && control.is_requested(&ControlRequest::Pause),
            stopping: runs && control.is_requested(&ControlRequest::Stop),
            load: self.load(&trials),
            trials,
        })
    }

    fn line(&mut self, id: String) -> StatusLine {
        let stamp = self.store.trial(&id).modification_snapshot(&PROGRESS_FILES);
        match self.lines.get(&id) {
            // The end of a process changes no file, so a running trial is always read.
            Some((known, line)) if *known == stamp && !line.is(State::Running) => line.clone(),
            _ => {
                let line = StatusLine::read(&self.store, id.clone());
                self.lines.insert(id, (stamp, line.clone()));
                line
            }
        }
    }

    /// A trial's epochs and the end of its log, as far as they can be read now.
    pub(super) fn detail(&self, trial: &str) -> Detail {
        let folder = self.store.trial(trial);
        let epochs = folder.readable_epochs().map_or_else(|_| Vec::new(), |(rows, _)| rows);
        Detail { trial: trial.to_owned(), epochs, log: folder.log_tail(LOG_BYTES) }
    }

    /// Load of the machine, and of its GPUs if a trial trains on one.
    fn load(&mut self, trials: &[StatusLine]) -> String {
        let mut words = Vec::new();
        let now = provenance::busy();
        if let Some(share) = now.zip(self.busy).and_then(|(now, before)| now.since(before)) {
            words.push(format!("cpu {:.0} %", 100.0 * share));
        }
        self.busy = now;
        if let Some(free) = provenance::available_memory_mib() {
            words.push(format!("{:.1} GiB free", free / 1024.0));
        }
        let on_gpu = |line: &StatusLine| line.is(State::Running) && line.device.starts_with("cuda");
        if trials.iter().any(on_gpu) {
            words.extend(provenance::gpu_loads());
        }
        words.join(" · ")
    }
}
