//! The commands of the program, one module each.

pub mod augmented;
mod compare;
mod dashboard;
mod data;
mod eval;
mod export;
mod gate;
mod import;
mod init;
mod list;
mod models;
mod notes;
mod plan;
mod predict;
mod progress;
mod radii;
mod remove;
mod results;
mod run;
mod serve;
mod shells;
mod signals;
mod status;
mod target;
mod text_table;
mod trial;
mod unlike;
mod verify;

use std::io::{ErrorKind, Write};

use crate::cli::{Changes, Command};
use crate::sweep;
use sweep_analysis::keys::keys_in;
use sweep_core::error::{Error, Kind, Outcome, Result};
use sweep_core::plain;
use sweep_core::units::ErrorUnit;
use sweep_data::SplitSpec;
use sweep_experiment::definition::SweepDefinition;
use sweep_experiment::store;
use sweep_training::device;

/// Runs a command.
///
/// # Errors
/// When the command cannot be completed; results that exist already are kept.
pub fn run(command: &Command) -> Result<Outcome> {
    match command {
        Command::Run(run) => run::run(run),
        Command::Init(flags) => init::init(flags),
        Command::Plan(flags) => plan::run(flags),
        Command::Status(flags) => status::status(flags),
        Command::Serve(flags) => serve::serve(flags),
        Command::List(flags) => list::list(flags),
        Command::Diff(flags) => list::diff(flags),
        Command::Note(flags) => notes::note(flags),
        Command::Tag(flags) => notes::tag(flags),
        Command::Rm(flags) => remove::rm(flags),
        Command::Trial(flags) => trial::trial(flags),
        Command::VerifyResume(flags) => verify::verify(flags),
        Command::Report(flags) => results::report(flags),
        Command::Baseline { results, output, noise } => gate::baseline(results, output, noise.as_deref()),
        Command::Check(flags) => gate::check(flags),
        Command::Compare(flags) => compare::compare(flags),
        Command::Eval(flags) => eval::eval(flags),
        Command::Predict(flags) => predict::predict(flags),
        Command::Export(command) => export::run(command),
        Command::Import(flags) => import::import(flags),
        Command::Data(command) => data::run(command),
        Command::Schema { of } => shells::schema(*of),
        Command::Models(flags) => models::models(flags),
        Command::Devices { json } => devices(*json),
        Command::Completions { shell } => shells::completions(*shell),
        Command::Man { dir } => shells::man(dir),
    }
}

fn devices(json: bool) -> Result<Outcome> {
    if json {
        print_json(&device::detected())?;
        return Ok(Outcome::Done);
    }
    for line in device::describe() {
        say(&line)?;
    }
    Ok(Outcome::Done)
}

/// Prints data as JSON to standard output.
fn print_json(data: &impl serde::Serialize) -> Result<()> {
    emit(&plain::json(&serde_json::to_string_pretty(data).map_err(|e| Error::results(e.to_string()))?))
}

/// Prints data as JSON whose keys say the unit of errors.
fn print_json_in(unit: ErrorUnit, data: &impl serde::Serialize) -> Result<()> {
    if unit.is_millimetres() {
        return print_json(data);
    }
    let value = serde_json::to_value(data).map_err(|e| Error::results(e.to_string()))?;
    print_json(&keys_in(value, unit))
}

/// Prints lines to standard output; what terminals obey in foreign names is spelt out.
fn say(line: &str) -> Result<()> {
    emit(&plain::text(line))
}

/// Prints a line as it is.
fn emit(line: &str) -> Result<()> {
    print(format!("{line}\n").as_bytes())
}

/// Writes to standard output at once, so that a reader need not wait for the end; a closed pipe is an error, not a panic.
fn print(bytes: &[u8]) -> Result<()> {
    let mut out = std::io::stdout();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|e| {
        let kind = if e.kind() == ErrorKind::BrokenPipe { Kind::ClosedOutput } else { Kind::Results };
        Error::new(kind, format!("cannot write to standard output: {e}"))
    })
}

/// Ignores that nobody reads standard output, where the exit code says more than the output.
fn ignore_closed_output(printed: Result<()>) -> Result<()> {
    printed.or_else(|error| if error.kind == Kind::ClosedOutput { Ok(()) } else { Err(error) })
}

/// Sets the number of threads of this process, if one was requested.
fn use_threads(threads: Option<usize>) -> Result<()> {
    let Some(threads) = threads else { return Ok(()) };
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .map_err(|e| Error::new(Kind::Computation, format!("cannot start {threads} threads: {e}")))
}

/// Reads a definition and applies the changes of the command line.
fn definition(changes: &Changes) -> Result<SweepDefinition> {
    let file = changes.file.display().to_string();
    let text = store::read_text(&changes.file).map_err(|e| e.remedy("name a definition, as experiments/loss.toml"))?;
    let mut definition = sweep::parse(&file, &text)?;
    if let Some(folder) = &changes.dataset {
        // The new data set keeps the split settings.
        if let Some(before) = definition.trial.get_mut("dataset").and_then(toml::Value::as_table_mut) {
            before.retain(|key, _| SplitSpec::KEYS.contains(&key));
        }
        let flag = format!("--dataset {}", folder.display());
        definition.set_value(&flag, "dataset.name", "folder".into())?;
        definition.set_value(&flag, "dataset.path", folder.display().to_string().into())?;
    }
    for assignment in &changes.set {
        definition.set(assignment)?;
    }
    Ok(definition)
}
