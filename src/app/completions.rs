//! Completions that know the names at hand: sweeps, trials, checkpoints, definitions, devices and settings.
//!
//! A shell's completion script calls the program again, with `COMPLETE` in its environment, whenever a key is pressed.

use std::ffi::OsStr;
use std::path::Path;

use clap::{Arg, Command, CommandFactory};
use clap_complete::Shell;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter};
use clap_complete::env::{CompleteEnv, EnvCompleter, Shells};

use crate::cli::Cli;
use sweep_core::error::{Error, Result};
use sweep_experiment::store::{Store, TrialStore};
use sweep_planning::shape;
use sweep_training::device;

/// The variable that a completion script sets.
const VARIABLE: &str = "COMPLETE";

/// Where the commands put results unless told otherwise.
const RESULTS: &str = "results";

/// Most names that are offered at once; more help nobody.
const MOST: usize = 500;

/// Answers a completion script, and ends the process, if one is asking.
pub(crate) fn answer() {
    CompleteEnv::with_factory(command).var(VARIABLE).complete();
}

/// The script of a shell.
pub(crate) fn script(shell: Shell) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let shells = Shells::builtins();
    let writer: Option<&dyn EnvCompleter> = shells.completer(&shell.to_string());
    let writer = writer.ok_or_else(|| Error::input(format!("{shell} cannot complete")))?;
    writer
        .write_registration(VARIABLE, "sweep", "sweep", "sweep", &mut text)
        .map_err(|e| Error::results(format!("cannot write the completions: {e}")))?;
    Ok(text)
}

/// The command line, with what completes its values.
fn command() -> Command {
    with_completers(Cli::command())
}

fn with_completers(command: Command) -> Command {
    command.mut_args(with_completer).mut_subcommands(with_completers)
}

fn with_completer(arg: Arg) -> Arg {
    let is_positional = arg.is_positional();
    match arg.get_id().as_str() {
        "results" if is_positional => completed(arg, sweeps),
        "like" | "noise" => completed(arg, sweeps),
        "a" | "b" | "of" | "folders" => completed(arg, sweeps_and_trials),
        "dir" if is_positional => completed(arg, sweeps_and_trials),
        "checkpoint" | "checkpoints" => completed(arg, checkpoints),
        "file" if is_positional => completed(arg, definitions),
        "device" | "devices" => completed(arg, devices),
        "set" => completed(arg, settings),
        _ => arg,
    }
}

fn completed(arg: Arg, completer: fn(&OsStr) -> Vec<CompletionCandidate>) -> Arg {
    arg.add(ArgValueCompleter::new(completer))
}

/// Those of some names that begin with what was typed, and folders.
fn with_folders(typed: &OsStr, names: Vec<String>) -> Vec<CompletionCandidate> {
    let mut found = beginning(typed, names);
    found.extend(PathCompleter::dir().complete(typed));
    found
}

fn beginning(typed: &OsStr, names: Vec<String>) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    names.into_iter().filter(|name| name.starts_with(&*typed)).take(MOST).map(CompletionCandidate::new).collect()
}

/// The sweeps in `results`.
fn all_sweeps() -> Vec<Store> {
    Store::all_in(Path::new(RESULTS)).unwrap_or_default().into_iter().map(|(sweep, _)| sweep).collect()
}

fn path(store: &Store) -> String {
    store.root().display().to_string()
}

/// All trials in `results`.
fn all_trials() -> Vec<TrialStore> {
    let of = |sweep: &Store| -> Vec<TrialStore> {
        sweep.trials().unwrap_or_default().iter().map(|name| sweep.trial(name)).collect()
    };
    all_sweeps().iter().flat_map(of).collect()
}

fn sweeps(typed: &OsStr) -> Vec<CompletionCandidate> {
    with_folders(typed, all_sweeps().iter().map(path).collect())
}

fn sweeps_and_trials(typed: &OsStr) -> Vec<CompletionCandidate> {
    let (sweeps, trials) = (all_sweeps(), all_trials());
    let trials = trials.iter().map(|trial| trial.root().display().to_string());
    with_folders(typed, sweeps.iter().map(path).chain(trials).collect())
}

fn checkpoints(typed: &OsStr) -> Vec<CompletionCandidate> {
    let trials = all_trials().into_iter().filter(|trial| trial.folder().has_file(TrialStore::BEST));
    let mut found = beginning(typed, trials.map(|trial| trial.best().display().to_string()).collect());
    found.extend(PathCompleter::file().filter(|file| has_ending(file, "safetensors")).complete(typed));
    found
}

fn definitions(typed: &OsStr) -> Vec<CompletionCandidate> {
    PathCompleter::file().filter(|file| has_ending(file, "toml")).complete(typed)
}

fn has_ending(file: &Path, ending: &str) -> bool {
    file.extension().is_some_and(|of| of == ending)
}

fn devices(typed: &OsStr) -> Vec<CompletionCandidate> {
    let usable = device::detected().into_iter().filter(|device| device.not_used.is_none()).map(|device| device.device);
    beginning(typed, std::iter::once("auto".to_owned()).chain(usable).collect())
}

/// Settings, up to the sign that their values follow.
fn settings(typed: &OsStr) -> Vec<CompletionCandidate> {
    beginning(typed, shape::paths().into_iter().map(|path| format!("{path}=")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(found: &[CompletionCandidate]) -> Vec<String> {
        found.iter().map(|candidate| candidate.get_value().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn settings_and_devices_are_completed() {
        assert_eq!(values(&settings(OsStr::new("optimizer.l"))), ["optimizer.lr="]);
        assert!(values(&settings(OsStr::new("epo"))).contains(&"epochs=".to_owned()));
        assert!(values(&settings(OsStr::new("seed"))).is_empty());
        assert_eq!(values(&devices(OsStr::new("cp"))), ["cpu"]);
    }

    #[test]
    fn every_shell_has_a_script_that_asks_the_program() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
            let text = String::from_utf8(script(shell).unwrap()).unwrap();
            assert!(text.contains(VARIABLE) && text.contains("sweep"), "{shell}: {text}");
        }
    }

    #[test]
    fn the_command_line_with_completers_is_consistent() {
        command().debug_assert();
    }
}
