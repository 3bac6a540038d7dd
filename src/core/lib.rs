//! What every other crate stands on: units, seeds, errors, and the registry of a program's own parts.

pub mod error;
pub mod protobuf;
pub mod registry;
pub mod seed;
pub mod units;
