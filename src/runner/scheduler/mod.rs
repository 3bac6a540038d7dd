//! Scheduling: which trial runs when and where, and its state afterwards. Each trial runs in a process of its own, so that a
//! crash affects no other trial, and is known here by its records alone.
//!
//! Pure decisions: [`action()`] for trials with earlier records, [`Queue`] for the next trial and its slot, [`verdict()`] for
//! an ended process. An [`Executor`] starts, polls and stops processes. [`Dispatcher`] combines them, and its caller
//! implements [`SweepCallbacks`].

mod action;
mod callbacks;
mod dispatcher;
mod executor;
mod local;
mod monitor;
mod queue;
mod slot;
pub mod slurm;
mod verdict;

#[cfg(test)]
mod tests;

pub use action::{Action, RetryPolicy, action};
pub use callbacks::{PruneAction, SweepCallbacks, UserRequest};
pub use dispatcher::{Dispatcher, Limits, SweepOutcome};
pub use executor::{Executor, Exit, Notice, Start, Stop, TrialEvent};
pub use local::Local;
pub use queue::{Next, Queue, Task};
pub use slot::{Request, Slot, expand, slots};
pub use slurm::Slurm;
pub use verdict::{Reason, Verdict, verdict};
