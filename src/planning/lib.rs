//! Turns a definition into trials, each with a complete configuration.

mod combination;
pub mod config;
mod paths;
pub mod plan;
pub mod sampling;
pub mod schema;
pub mod shape;

pub use paths::looked_for;
