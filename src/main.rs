//! `sweep`: reads the command line, does it, and says how it ended.

use std::process::ExitCode;

use clap::Parser;
use landmark_sweep::cli::Cli;
use landmark_sweep::commands;
use landmark_sweep::error::EXIT_ERROR;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match commands::run(&cli.command) {
        Ok(outcome) => outcome.exit_code(),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(EXIT_ERROR)
        }
    }
}
