//! Files for editors and shells: schemas, completions, manual pages.

use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use crate::cli::{Cli, Described};
use crate::completions;
use sweep_core::error::{Error, Outcome, Result};
use sweep_experiment::store;
use sweep_planning::schema;

use super::say;

pub(super) fn schema(of: Described) -> Result<Outcome> {
    let text = match of {
        Described::Definition => schema::definition()?,
        Described::Dataset => schema::dataset()?,
    };
    say(text.trim_end())?;
    Ok(Outcome::Done)
}

pub(super) fn completions(shell: Shell) -> Result<Outcome> {
    say(String::from_utf8_lossy(&completions::script(shell)?).trim_end())?;
    Ok(Outcome::Done)
}

/// Writes a page for the program and for every command, with the names that `man` expects.
pub(super) fn man(dir: &Path) -> Result<Outcome> {
    let mut command = Cli::command();
    command.build();
    let count = pages(dir, &command)?;
    say(&format!("{}: {count} pages; man -l {} shows the first", dir.display(), dir.join("sweep.1").display()))?;
    Ok(Outcome::Done)
}

fn pages(dir: &Path, command: &Command) -> Result<usize> {
    let mut page = Vec::new();
    let man = clap_mangen::Man::new(command.clone());
    man.render(&mut page).map_err(|e| Error::results(format!("cannot write the manual page: {e}")))?;
    store::write(&dir.join(man.get_filename()), &page)?;
    let inner = command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help");
    inner.map(|inner| pages(dir, inner)).sum::<Result<usize>>().map(|count| count + 1)
}
