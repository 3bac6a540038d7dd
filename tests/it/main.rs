//! Integration tests: one binary, because candle links slowly.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::disallowed_methods, reason = "tests make and look at files as users do")]

mod conformance;
mod data_folder;
mod data_import;
mod definitions;
mod faults;
mod instructions;
mod layers;
mod page;
mod parity;
mod place;
mod planning;
mod runs;
mod storm;
mod trials;
