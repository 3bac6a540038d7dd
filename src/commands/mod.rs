//! What each command does, put together from the layers below.

mod data;
mod gate;
mod plan;
mod progress;
mod pulse;
mod results;
mod run;
mod signals;
mod status;
mod trial;
mod verify;

use std::io::Write;

use clap::CommandFactory;

use crate::cli::{Changes, Cli, Command};
use crate::definition::SweepDefinition;
use crate::device;
use crate::error::{Error, Outcome, Result};
use crate::store;

/// Does what the command line asks.
///
/// # Errors
/// When it cannot be done; nothing already computed is lost.
pub fn run(command: &Command) -> Result<Outcome> {
    match command {
        Command::Run(run) => run::run(run),
        Command::Plan(flags) => plan::run(flags),
        Command::Status(flags) => status::status(flags),
        Command::Trial(flags) => trial::trial(flags),
        Command::VerifyResume(flags) => verify::verify(flags),
        Command::Report(flags) => results::report(flags),
        Command::Baseline { results, output } => gate::baseline(results, output),
        Command::Check(flags) => gate::check(flags),
        Command::Compare(flags) => gate::compare(flags),
        Command::Data(command) => data::run(command),
        Command::Devices => {
            for line in device::describe() {
                say(&line)?;
            }
            Ok(Outcome::Done)
        }
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "sweep", &mut std::io::stdout());
            Ok(Outcome::Done)
        }
    }
}

/// A line of data on standard output; a closed pipe is an error like any other, not a panic.
fn say(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").map_err(|e| Error::results(format!("cannot write to standard output: {e}")))
}

/// Reads a definition and its changes from the command line.
fn definition(changes: &Changes) -> Result<SweepDefinition> {
    let file = changes.file.display().to_string();
    let text = store::read_text(&changes.file).map_err(|e| e.remedy("name a definition, as experiments/loss.toml"))?;
    let mut definition = SweepDefinition::parse(&file, &text)?;
    if let Some(folder) = &changes.dataset {
        let path = toml::Value::String(folder.display().to_string());
        definition.set(&format!("dataset={{ name = \"folder\", path = {path} }}"))?;
    }
    for assignment in &changes.set {
        definition.set(assignment)?;
    }
    Ok(definition)
}
