//! The threads that compute, which a forked process does not inherit.

use std::num::NonZeroUsize;
use std::process;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};

use sweep_core::error::{Error, Kind, Result};

/// The process whose threads are those of rayon's common pool.
static FIRST: OnceLock<u32> = OnceLock::new();
/// The pool of a process that was forked from it.
static FORKED: Mutex<Option<(u32, Arc<ThreadPool>)>> = Mutex::new(None);

/// Does work with this many threads, or with those that there are. They end with the work, so that no fork misses them.
pub(crate) fn limited<T: Send>(count: Option<NonZeroUsize>, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let Some(count) = count else { return work() };
    let none = |error| Error::new(Kind::Computation, format!("no {count} threads: {error}"));
    ThreadPoolBuilder::new().num_threads(count.get()).build().map_err(none)?.install(work)
}

/// Does work with threads of this process. `fork` copies the common pool without its threads, and work would wait for them for
/// ever: a process that was forked after they had begun gets a pool of its own.
pub(crate) fn own<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let id = process::id();
    if *FIRST.get_or_init(|| id) == id {
        return work();
    }
    let pool = {
        let mut forked = FORKED.lock().unwrap_or_else(PoisonError::into_inner);
        match &*forked {
            Some((of, pool)) if *of == id => pool.clone(),
            _ => {
                let none = |error| Error::new(Kind::Computation, format!("no threads for a forked process: {error}"));
                let pool = Arc::new(ThreadPoolBuilder::new().build().map_err(none)?);
                // A pool that was copied from another process would wait for its threads where it is dropped.
                std::mem::forget(forked.replace((id, pool.clone())));
                pool
            }
        }
    };
    pool.install(work)
}
