//! Integration tests: one binary, because candle links slowly.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod conformance;
mod data_folder;
mod data_import;
mod definitions;
mod layers;
mod parity;
mod runs;
