//! `sweep`: the program with nothing added.

use std::process::ExitCode;

use landmark_sweep::program::Program;

fn main() -> ExitCode {
    Program::new().main()
}
