//! Basics that every other crate uses: units, seeds, errors, and the registries of custom components.

pub mod console;
pub mod error;
pub mod measures;
pub mod plain;
pub mod protobuf;
pub mod registry;
pub mod seed;
pub mod spelling;
pub mod units;
