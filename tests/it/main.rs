//! Integration tests: one binary, because candle links slowly.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod data_folder;
mod data_import;
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod conformance;
mod parity;
mod speed;
