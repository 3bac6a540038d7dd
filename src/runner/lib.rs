//! Runs trials: the scheduler with its executors, and the trackers that receive results.

pub mod scheduler;
pub mod trackers;
