//! A sweep as files: its definition, and the results folder with its records. Needs no candle, so that reports and the
//! scheduler do not either.

pub mod definition;
pub mod early_stop;
mod key_error;
pub mod metric;
pub mod provenance;
pub mod prune;
pub mod records;
pub mod search;
pub mod settings;
pub mod slurm;
pub mod store;
