//! The `sweep` program, and the library that runs sweeps from Rust.

pub mod cli;
pub mod commands;
mod completions;
mod format;
mod inspection_figures;
pub mod overlay;
pub mod program;
mod status;
pub mod sweep;
mod trial;
