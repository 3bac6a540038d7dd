//! Runs trials: the scheduler with its executors, and the trackers that are told of results.

pub mod scheduler;
pub mod trackers;
