//! Turns a definition into trials, each with a complete configuration.

pub mod config;
pub mod plan;
pub mod sampling;
pub mod schema;
