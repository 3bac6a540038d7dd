//! Which trial runs when, where, and what becomes of it. Knows trials by their records alone: every one is trained by a
//! process of its own, so that what happens to one happens to no other.
//!
//! [`action()`] says what to do with a trial that was there before, [`Queue`] which to start next and where, [`verdict()`]
//! what an ended process amounts to: all pure. An [`Executor`] starts, watches and stops processes; [`Dispatcher`] puts them
//! together.

mod action;
mod dispatcher;
mod executor;
mod local;
mod queue;
mod slot;
pub mod slurm;
mod verdict;

#[cfg(test)]
mod tests;

pub use action::{Action, RetryPolicy, action};
pub use dispatcher::{Dispatcher, Ending, Limits, Steer, Wanted, Watcher};
pub use executor::{Executor, Exit, News, Start, Stop, TrialEvent};
pub use local::Local;
pub use queue::{Next, Queue, Task};
pub use slot::{Request, Slot, expand, slots};
pub use slurm::Slurm;
pub use verdict::{Judged, Reason, verdict};
