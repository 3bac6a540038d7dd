//! Integration tests: one binary, because candle links slowly.

mod data_folder;
mod data_import;
