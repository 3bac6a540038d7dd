//! The sweeps of a folder: which there are, and which are kept in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use sweep_core::error::{Error, Result};
use sweep_experiment::store::{Entry, Root, Store, is_plain};

use super::Sweep;
use super::reader::{Open, Wake, read_on};
use super::trial::in_a_line;

/// Most sweeps of a folder that are shown.
pub(crate) const MOST_SWEEPS: usize = 200;
/// Longest wait of a request for a sweep that has not been read.
const PATIENCE: Duration = Duration::from_millis(400);

/// The sweeps of a folder.
pub(crate) struct Library {
    results: Root,
    /// The name of the sweep whose folder this is.
    only: Option<String>,
    pub(super) open: Mutex<BTreeMap<String, Arc<Open>>>,
    pub(super) changed: watch::Sender<u64>,
    /// How often sweeps came or went.
    pub(super) comings: AtomicU64,
    wake: Sender<Wake>,
}

/// What a folder holds by a name.
pub(crate) enum Shelf {
    /// A sweep.
    Sweep(String),
    /// Something that is refused, and why.
    Refused(String, String),
}

impl Library {
    /// Opens a folder of sweeps, or that of one sweep, and starts to read it.
    ///
    /// # Errors
    /// When it is no folder.
    pub(crate) fn open(folder: &Path) -> Result<Arc<Self>> {
        let results = Root::at(folder);
        if !results.is_there() {
            return Err(Error::results("no such folder")
                .at(folder.display())
                .remedy("name the folder that `sweep run --results` names, as results"));
        }
        let name = folder.file_name().map_or_else(|| "sweep".to_owned(), |name| name.to_string_lossy().into_owned());
        let only = Store::at(folder).is_sweep().then_some(name);
        let (wake, wakes) = channel();
        let (changed, _) = watch::channel(0);
        let library = Arc::new(Self {
            results,
            only,
            open: Mutex::default(),
            changed,
            comings: AtomicU64::new(0),
            wake: wake.clone(),
        });
        read_on(&library, wake, wakes);
        Ok(library)
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        self.results.path()
    }

    /// The name of the only sweep, if the folder is a sweep's.
    pub(crate) fn only(&self) -> Option<&str> {
        self.only.as_deref()
    }

    /// What the folder holds, by name, and how many sweeps are left out.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn shelf(&self) -> Result<(Vec<Shelf>, usize)> {
        if let Some(only) = &self.only {
            return Ok((vec![Shelf::Sweep(only.clone())], 0));
        }
        let mut found = Vec::new();
        for name in self.results.names()? {
            match self.results.entry(&name) {
                Ok(Some(Entry::Folder)) if is_plain(&name) && Store::within(&self.results, &name).is_sweep() => {
                    found.push(Shelf::Sweep(name));
                }
                Ok(Some(Entry::Link)) => {
                    found.push(Shelf::Refused(name, "a link, which is not followed".to_owned()));
                }
                Ok(_) => {}
                Err(error) => found.push(Shelf::Refused(name, in_a_line(&error))),
            }
        }
        let left_out = found.len().saturating_sub(MOST_SWEEPS);
        found.truncate(MOST_SWEEPS);
        Ok((found, left_out))
    }

    /// The folder of the sweep of this name; `None` if there is none.
    pub(crate) fn store(&self, name: &str) -> Option<Store> {
        if let Some(only) = &self.only {
            return (only == name).then(|| Store::at(self.results.path()));
        }
        let store = is_plain(name).then(|| Store::within(&self.results, name))?;
        store.is_sweep().then_some(store)
    }

    /// The sweep of this name as last read; it is kept up to date from now on. Waits a moment for what was never read.
    pub(crate) async fn sweep(&self, name: &str) -> Option<Arc<Sweep>> {
        let open = self.opened(name)?;
        let mut changes = self.changed.subscribe();
        let until = tokio::time::Instant::now() + PATIENCE;
        while !open.has_been_read() {
            // At the end of patience, what is read so far is shown, and the page is told when there is more.
            match tokio::time::timeout_at(until, changes.changed()).await {
                Ok(Ok(())) => {}
                _ => break,
            }
        }
        Some(open.current())
    }

    /// The sweep as last read, without waiting.
    pub(crate) fn at_once(&self, name: &str) -> Option<Arc<Sweep>> {
        Some(self.opened(name)?.current())
    }

    /// A number that changes when any open sweep does, or when sweeps come and go.
    pub(crate) fn total_version(&self) -> u64 {
        let open: u64 = self.held().values().map(|open| open.current().version).sum();
        self.comings.load(Ordering::Relaxed) + open
    }

    fn opened(&self, name: &str) -> Option<Arc<Open>> {
        if let Some(open) = self.held().get(name) {
            open.use_now(Instant::now());
            return Some(Arc::clone(open));
        }
        let open = Arc::new(Open::new(self.store(name)?, name));
        self.held().insert(name.to_owned(), Arc::clone(&open));
        self.wake(Wake::Opened);
        Some(open)
    }

    /// Names of everything in the folder; empty if it is a sweep's.
    pub(super) fn names(&self) -> Vec<String> {
        if self.only.is_some() { Vec::new() } else { self.results.names().unwrap_or_default() }
    }

    pub(super) fn held(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Open>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the folder read at once.
    pub(crate) fn look(&self) {
        self.wake(Wake::Look);
    }

    fn wake(&self, wake: Wake) {
        // Nobody listens only while the program ends.
        let _ = self.wake.send(wake);
    }

    /// Tells when something has changed: a number that grows.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
