//! Sweeps of landmark-detection trainings, judged on the landmark error beside the loss.

pub mod analysis;
pub mod data;
pub mod engine;
pub mod error;
pub mod graph;
pub mod models;
pub mod params;
pub mod records;
pub mod report;
pub mod seed;
pub mod units;
