//! The batches of one epoch of training, in order.

use std::collections::VecDeque;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;

use super::Batch;
use sweep_core::error::Result;

/// The batches of one epoch of training.
pub enum Epoch {
    /// Made ahead; in front stands the worker that has the next batch, each makes every `WORKERS`-th.
    Ahead(VecDeque<Worker>),
    /// Made on a GPU, which does so while the processor goes on.
    OnGpu(Box<dyn Iterator<Item = Result<Batch>> + Send>),
}

impl std::fmt::Debug for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::Ahead(_)) { "Ahead" } else { "OnGpu" })
    }
}

/// Makes batches ahead.
#[derive(Debug)]
pub struct Worker {
    pub(super) receiver: Receiver<Result<Batch>>,
    pub(super) thread: JoinHandle<()>,
}

impl Iterator for Epoch {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        let workers = match self {
            Self::Ahead(workers) => workers,
            Self::OnGpu(batches) => return batches.next(),
        };
        let worker = workers.pop_front()?;
        if let Ok(batch) = worker.receiver.recv() {
            workers.push_back(worker);
            return Some(batch);
        }
        // The worker is done, and with it all others; one that died must not look like an epoch that ended.
        if let Err(panic) = worker.thread.join() {
            std::panic::resume_unwind(panic);
        }
        workers.clear();
        None
    }
}
