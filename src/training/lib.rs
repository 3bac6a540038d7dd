//! The training loop, evaluation and prediction.

pub mod checkpoint;
pub mod cost;
pub mod device;
pub mod evaluate;
pub mod followers;
pub mod lineage;
pub mod model_runner;
pub mod out_of_distribution;
pub mod predict;
pub mod recorder;
pub mod train;
