//! Basics that every other crate uses: units, seeds, errors, and the registries of custom components.

pub mod error;
pub mod plain;
pub mod protobuf;
pub mod registry;
pub mod seed;
pub mod units;
