//! The `sweep` program, and the library that runs sweeps from Rust.

pub mod cli;
pub mod commands;
mod inspection_figures;
pub mod program;
pub mod sweep;
mod trial;
