//! What each command does, put together from the layers below.

mod data;
mod gate;
mod progress;
mod results;
mod run;

use std::io::Write;

use clap::CommandFactory;

use crate::cli::{Changes, Cli, Command};
use crate::definition::SweepDefinition;
use crate::device;
use crate::error::{Error, Outcome, Result};
use crate::plan::{Trial, plan};
use crate::store;

/// Does what the command line asks.
///
/// # Errors
/// When it cannot be done; nothing already computed is lost.
pub fn run(command: &Command) -> Result<Outcome> {
    match command {
        Command::Run(run) => run::run(run),
        Command::Plan(plan) => print_plan(&plan.changes),
        Command::Status { results } => results::status(results),
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

fn print_plan(changes: &Changes) -> Result<Outcome> {
    let definition = definition(changes)?;
    let trials = plan(&definition)?;
    if let Some(question) = &definition.question {
        say(question)?;
    }
    say(&format!(
        "{} trials of sweep `{}`; parameters and GFLOP are of the network on one image",
        trials.len(),
        definition.name
    ))?;
    let width = trials.iter().map(|t| t.id.len()).max().unwrap_or(0).max(5);
    say(&format!("{:width$}  {:>10}  {:>9}  {:>6}  {:>5}", "trial", "parameters", "GFLOP", "epochs", "batch"))?;
    for Trial { id, config, .. } in &trials {
        // The number of landmarks is the data set's; its share of the cost is below a thousandth.
        let graph = config.model.graph(1, 10)?;
        let parameters = graph.trained_values();
        let gflop = graph.flops(config.input)? as f64 / 1e9;
        say(&format!("{id:width$}  {parameters:>10}  {gflop:>9.2}  {:>6}  {:>5}", config.epochs, config.batch_size))?;
    }
    Ok(Outcome::Done)
}
