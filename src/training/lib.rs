//! The training loop, and all that a trained network is used for.

pub mod checkpoint;
pub mod cost;
pub mod device;
pub mod evaluate;
pub mod model_runner;
pub mod predict;
pub mod train;
