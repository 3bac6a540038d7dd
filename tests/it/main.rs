//! Integration tests: one binary, because candle links slowly.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::disallowed_methods, reason = "tests make and look at files as users do")]

mod augmented;
mod best_epoch;
mod candle;
mod cases;
mod cluster;
mod colour;
mod conformance;
mod control;
mod cross_validation;
mod data_folder;
mod data_import;
mod data_inspect;
mod decoders;
mod definitions;
mod faults;
mod formats;
mod fuzz;
mod going_on;
mod harness;
mod hostile;
mod instructions;
mod interop;
mod json;
mod keeping;
mod layers;
mod library;
mod missing;
mod own;
mod page;
mod parity;
mod pixels;
mod planning;
mod prediction;
mod runs;
mod schema;
mod slurm;
mod splits;
mod storm;
mod test_images;
mod track;
mod trials;
mod weights;
