//! What a sweep's folder says, read again and again while others write there.

use std::collections::BTreeMap;

use sweep_core::error::Result;
use sweep_experiment::provenance::{self, Busy};
use sweep_experiment::records::State;
use sweep_experiment::store::{ControlRequest, ModificationSnapshot, Store};

use super::super::status::{self, Jobs, Line};
use super::app::{Detail, Snapshot};

/// Last bytes of a log that are read.
const TAIL: u64 = 8192;

/// Files of a trial that say how far it is.
const FILES: [&str; 3] = ["status.json", "epochs.csv", ".lock"];

/// Reads a folder; of ten thousand trials only those whose files have changed.
pub(super) struct Scanner {
    store: Store,
    sweep: String,
    known: BTreeMap<String, (ModificationSnapshot, Line)>,
    jobs: Jobs,
    busy: Option<Busy>,
}

impl Scanner {
    pub(super) fn new(store: &Store) -> Self {
        let sweep = store.root().file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { store: store.clone(), sweep, known: BTreeMap::new(), jobs: Jobs::default(), busy: provenance::busy() }
    }

    /// Where every trial stands.
    pub(super) fn look(&mut self) -> Result<Snapshot> {
        let (ids, note) = status::planned(&self.store)?;
        let mut trials: Vec<Line> = ids.into_iter().map(|id| self.line(id)).collect();
        self.jobs.look(&self.store)?;
        self.jobs.tell(&mut trials);
        let (control, runner) = (self.store.control(), self.store.runner().ok().flatten());
        let runs = runner.is_some();
        Ok(Snapshot {
            sweep: self.sweep.clone(),
            outlook: status::outlook(&self.store, &trials),
            note: note + &self.jobs.in_words(),
            runs,
            // Of no meaning to anybody where nobody runs it.
            paused: runs && control.is_requested(&ControlRequest::Pause),
            stopping: runs && control.is_requested(&ControlRequest::Stop),
            load: self.load(&trials),
            trials,
        })
    }

    fn line(&mut self, id: String) -> Line {
        let stamp = self.store.trial(&id).modification_snapshot(&FILES);
        match self.known.get(&id) {
            // That a process is gone changes no file.
            Some((known, line)) if *known == stamp && line.state != State::Running.name() => line.clone(),
            _ => {
                let line = status::line(&self.store, id.clone());
                self.known.insert(id, (stamp, line.clone()));
                line
            }
        }
    }

    /// A trial's epochs and the end of its log, as far as they can be read now.
    pub(super) fn detail(&self, trial: &str) -> Detail {
        let folder = self.store.trial(trial);
        let epochs = folder.readable_epochs().map_or_else(|_| Vec::new(), |(rows, _)| rows);
        Detail { trial: trial.to_owned(), epochs, log: folder.log_tail(TAIL) }
    }

    /// How busy the machine is, and the GPUs where one trains.
    fn load(&mut self, trials: &[Line]) -> String {
        let mut words = Vec::new();
        let now = provenance::busy();
        if let Some(share) = now.zip(self.busy).and_then(|(now, before)| now.since(before)) {
            words.push(format!("cpu {:.0} %", 100.0 * share));
        }
        self.busy = now;
        if let Some(free) = provenance::available_memory_mib() {
            words.push(format!("{:.1} GiB free", free / 1024.0));
        }
        let on_gpu = |line: &Line| line.state == State::Running.name() && line.device.starts_with("cuda");
        if trials.iter().any(on_gpu) {
            words.extend(provenance::gpu_loads());
        }
        words.join(" · ")
    }
}
