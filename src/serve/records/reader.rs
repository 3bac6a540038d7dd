//! The thread that reads the folders of open sweeps again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant, SystemTime};

use rayon::ThreadPool;
use rayon::prelude::*;

use sweep_analysis::load::labelled;
use sweep_experiment::store::{ControlRequest, Store};

use super::answers::{KnownOnsets, answer, subject};
use super::trial::in_a_line;
use super::watch::watch;
use super::{Library, Sweep, Trial};

/// Time between two looks at every file where the system tells of changes, and where it does not.
const LOOK: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(1)];
/// Changes within this time are read together.
const GATHER: Duration = Duration::from_millis(100);
/// Trials that are read before pages hear of them.
const CHUNK: usize = 64;
/// Most rows of all tables whose curves are kept: half a gigabyte.
const MOST_ROWS: usize = 4_000_000;
/// A sweep that nobody asks for is put back after this time.
const UNUSED: Duration = Duration::from_secs(900);

/// A reason to read.
pub(super) enum Wake {
    /// A sweep was opened.
    Opened,
    /// Somebody changed something through us.
    Look,
    /// An answer was computed.
    Answered,
    /// A file changed: of a sweep, and of a trial if it is one's.
    Changed(String, Option<String>),
}

/// A sweep that is kept up to date.
pub(super) struct Open {
    store: Store,
    current: RwLock<Arc<Sweep>>,
    used: Mutex<Instant>,
    file_version: Mutex<Option<(SystemTime, u64)>>,
    labelled: RwLock<Vec<String>>,
    read: AtomicBool,
    answering: Mutex<Answering>,
}

/// What the next answer needs of those before.
#[derive(Default)]
struct Answering {
    onsets: KnownOnsets,
    /// When the next may begin: the machine trains, and answers take at most a fifth of the time.
    not_before: Option<Instant>,
}

impl Open {
    pub(super) fn new(store: Store, name: &str) -> Self {
        Self {
            store,
            current: RwLock::new(Arc::new(Sweep::unread(name))),
            used: Mutex::new(Instant::now()),
            file_version: Mutex::default(),
            labelled: RwLock::default(),
            read: AtomicBool::new(false),
            answering: Mutex::default(),
        }
    }

    pub(super) fn current(&self) -> Arc<Sweep> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether every trial has been read once.
    pub(super) fn has_been_read(&self) -> bool {
        self.read.load(Ordering::Acquire)
    }

    pub(super) fn use_now(&self, now: Instant) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    fn unused(&self) -> Duration {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Shows what was read. The answer is another thread's.
    fn publish(&self, sweep: &Sweep) {
        self.change(|before| Sweep { answered: before.answered.clone(), ..sweep.clone() });
    }

    fn change(&self, next: impl FnOnce(&Sweep) -> Sweep) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let version = current.version + 1;
        *current = Arc::new(Sweep { version, ..next(&current) });
    }

    /// Reads what has changed: of these trials, or of all. Tells after every few trials.
    fn refresh(&self, only: Option<&BTreeSet<String>>, rows_left: usize, pool: &ThreadPool, tell: &dyn Fn()) {
        let mut sweep = (*self.current()).clone();
        if self.read_sweep(&mut sweep) {
            self.publish(&sweep);
            tell();
        }
        let labelled = self.labelled.read().unwrap_or_else(PoisonError::into_inner).clone();
        let is_due = |trial: &Trial| only.is_none_or(|only| !trial.is_read || only.contains(trial.id()));
        let due: Vec<usize> = (0..sweep.trials.len()).filter(|at| is_due(&sweep.trials[*at])).collect();
        let mut rows_left = rows_left;
        for chunk in due.chunks(CHUNK) {
            let keeps = rows_left > 0;
            let reread = |at: &usize| {
                let trial = &sweep.trials[*at];
                Some((*at, trial.reread(&self.store.trial(trial.id()), &labelled, keeps)?))
            };
            let read: Vec<(usize, Trial)> = pool.install(|| chunk.par_iter().filter_map(reread).collect());
            if read.is_empty() {
                continue;
            }
            for (at, trial) in read {
                rows_left = rows_left.saturating_sub(trial.columns.epochs.len());
                sweep.trials[at] = Arc::new(trial);
            }
            sweep.index();
            self.publish(&sweep);
            tell();
        }
        if !self.read.swap(true, Ordering::AcqRel) {
            tell();
        }
    }

    /// Reads `sweep.toml` if it has changed, and who runs the sweep. Says whether something is new.
    fn read_sweep(&self, sweep: &mut Sweep) -> bool {
        let before = (sweep.runner.clone(), sweep.paused, sweep.stopping, sweep.problem.clone());
        let version = self.store.folder().version("sweep.toml");
        let mut known = self.file_version.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = sweep.file.is_none() || *known != version;
        if is_new {
            *known = version;
            self.read_definition(sweep);
        }
        sweep.runner = self.store.runner().ok().flatten().map(|runner| runner.to_string());
        let control = self.store.control();
        let runs = sweep.runner.is_some();
        sweep.paused = runs && control.is_requested(&ControlRequest::Pause);
        sweep.stopping = runs && control.is_requested(&ControlRequest::Stop);
        let now = (sweep.runner.clone(), sweep.paused, sweep.stopping, sweep.problem.clone());
        is_new && sweep.file.is_some() || before != now
    }

    fn read_definition(&self, sweep: &mut Sweep) {
        let file = match self.store.read_sweep_file() {
            Ok(file) => file,
            Err(error) => {
                sweep.problem = Some(in_a_line(&error));
                return;
            }
        };
        *self.labelled.write().unwrap_or_else(PoisonError::into_inner) = labelled(&file);
        let mut before: BTreeMap<&str, &Arc<Trial>> = sweep.trials.iter().map(|trial| (trial.id(), trial)).collect();
        let of = |id: &String| before.remove(id.as_str()).map_or_else(|| Arc::new(Trial::unread(id)), Arc::clone);
        let trials = file.trials.iter().map(of).collect();
        sweep.trials = trials;
        sweep.index();
        (sweep.problem, sweep.file) = (None, Some(Arc::new(file)));
    }

    /// Whether an answer is being computed, or one that took long was just given.
    fn rests(&self) -> bool {
        self.answering.try_lock().map_or(true, |known| known.not_before.is_some_and(|then| Instant::now() < then))
    }

    /// Computes the answer in a thread of its own where trials have ended since the last one. One sweep at a time: it takes as
    /// much memory as a report.
    fn answer_if_due(self: &Arc<Self>, answering: &Arc<AtomicBool>, wake: &Sender<Wake>) {
        let sweep = self.current();
        let Some(about) = subject(&sweep) else { return };
        let is_known = sweep.answered.as_ref().is_some_and(|answered| answered.about == about);
        if is_known || self.rests() || answering.swap(true, Ordering::AcqRel) {
            return;
        }
        let (open, answering, wake) = (Arc::clone(self), Arc::clone(answering), wake.clone());
        std::thread::spawn(move || {
            let begun = Instant::now();
            let mut of_before = open.answering.lock().unwrap_or_else(PoisonError::into_inner);
            answer(&open.store, &about, &mut of_before.onsets, &|answered| {
                open.change(|before| Sweep { answered: Some(Arc::new(answered)), ..before.clone() });
                let _ = wake.send(Wake::Answered);
            });
            of_before.not_before = Some(Instant::now() + 4 * begun.elapsed());
            drop(of_before);
            answering.store(false, Ordering::Release);
            // Another sweep may wait for its turn.
            let _ = wake.send(Wake::Answered);
        });
    }
}

/// Starts the thread; it ends with the library.
pub(super) fn read_on(library: &Arc<Library>, wake: Sender<Wake>, wakes: Receiver<Wake>) {
    let library = Arc::downgrade(library);
    std::thread::spawn(move || run(&library, &wake, &wakes));
}

fn run(library: &Weak<Library>, wake: &Sender<Wake>, wakes: &Receiver<Wake>) {
    // Threads of its own: news must not wait for an answer, which takes long.
    let Ok(pool) = rayon::ThreadPoolBuilder::new().build() else { return };
    let watcher = library.upgrade().and_then(|library| watch(&library, wake));
    let interval = LOOK[usize::from(watcher.is_none())];
    let answering = Arc::new(AtomicBool::new(false));
    let (mut looked, mut names) = (Instant::now(), Vec::new());
    loop {
        let first = wakes.recv_timeout(interval.saturating_sub(looked.elapsed()));
        if matches!(first, Err(RecvTimeoutError::Disconnected)) {
            return;
        }
        if matches!(first, Ok(Wake::Changed(..))) {
            std::thread::sleep(GATHER);
        }
        let Some(library) = library.upgrade() else { return };
        let mut changed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut everything = first.is_err();
        for wake in first.ok().into_iter().chain(wakes.try_iter()) {
            match wake {
                Wake::Changed(sweep, trial) => changed.entry(sweep).or_default().extend(trial),
                Wake::Look => everything = true,
                Wake::Opened | Wake::Answered => {}
            }
        }
        if everything {
            looked = Instant::now();
            library.held().retain(|_, open| open.unused() < UNUSED);
        }
        let is_unheld = |name: &String| !library.held().contains_key(name);
        let listed = if everything { library.names() } else { names.clone() };
        if listed != names || changed.keys().any(is_unheld) {
            library.comings.fetch_add(1, Ordering::Relaxed);
        }
        names = listed;
        let tell = || library.changed.send_modify(|version| *version += 1);
        let open: Vec<(String, Arc<Open>)> =
            library.held().iter().map(|(name, open)| (name.clone(), Arc::clone(open))).collect();
        let mut rows: usize = open.iter().map(|(_, open)| rows(&open.current())).sum();
        for (name, open) in open {
            let before = rows_of(&open);
            let only = changed.get(&name);
            if everything || !open.has_been_read() {
                open.refresh(None, MOST_ROWS.saturating_sub(rows), &pool, &tell);
            } else if only.is_some() {
                open.refresh(only, MOST_ROWS.saturating_sub(rows), &pool, &tell);
            }
            rows = (rows + rows_of(&open)).saturating_sub(before);
            open.answer_if_due(&answering, wake);
        }
        tell();
    }
}

fn rows_of(open: &Open) -> usize {
    rows(&open.current())
}

fn rows(sweep: &Sweep) -> usize {
    sweep.trials.iter().map(|trial| trial.columns.epochs.len()).sum()
}
