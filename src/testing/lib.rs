//! Requirements of tests that not every machine meets: a compiler, a processor's instructions, data, other programs.
//!
//! A test whose requirement is missing is skipped, and the skip becomes a line of a file: test, requirement and reason,
//! separated by tabs. The variable `SWEEP_SKIPPED` names the file, by default `target/skipped-tests.txt`;
//! `scripts/check.sh` prints a summary. A requirement that must not be missing has the value `required` in its
//! [variable](Need::variable): then the test fails instead. `.ci/run` sets the variable of everything that it installs.

mod need;
mod probe;
mod skipped;

pub use need::Need;
pub use probe::{axe_core, chromium, cuda_toolkit, instructions, python, shared_data, torch, unshare};
pub use skipped::repository;
