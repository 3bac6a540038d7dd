//! Integration tests: one binary, because candle links slowly.

mod conformance;
mod parity;
