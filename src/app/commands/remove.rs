//! `sweep rm`: removes sweeps and trials. Only what sweep itself wrote is removed; other files in a sweep's folder stay.

use std::collections::BTreeMap;
use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;

use crate::cli;
use crate::sweep::write_summary;
use sweep_core::error::{Error, Outcome, Result};
use sweep_core::{note, plain};
use sweep_experiment::provenance;
use sweep_experiment::store::{Lock, Store};
use sweep_runner::scheduler::slurm::under_way;

use super::say;
use super::target::Target;

/// What sweep writes into a sweep's folder beside the trials, the definition last: without it, the rest would be no sweep.
const WRITTEN: [&str; 12] = [
    "report",
    "images",
    "control",
    "slurm",
    "tensorboard",
    "summary.csv",
    ".rerun",
    ".track.lock",
    ".notes.lock",
    "notes.toml",
    "trials",
    "sweep.toml",
];

/// What is removed of a sweep.
struct Removal {
    store: Store,
    trials: Vec<String>,
    /// Whether the sweep goes with its trials.
    whole: bool,
}

pub(super) fn rm(flags: &cli::Rm) -> Result<Outcome> {
    let removals = removals(flags)?;
    let count: usize = removals.iter().map(|removal| removal.trials.len()).sum();
    let sweeps = removals.iter().filter(|removal| removal.whole).count();
    if count + sweeps == 0 {
        note!("nothing to remove: the present definition has all trials");
        return Ok(Outcome::Done);
    }
    // All are locked before the first is removed, so that a sweep that runs keeps everything.
    let locks = removals.iter().map(|removal| lock(&removal.store)).collect::<Result<Vec<_>>>()?;
    for removal in &removals {
        removal.refuse_running()?;
    }
    for removal in &removals {
        for trial in &removal.trials {
            say(&plain::line(&removal.store.trial(trial).root().display().to_string()))?;
        }
        if removal.whole {
            say(&plain::line(&removal.store.root().display().to_string()))?;
        }
    }
    let trials = if count == 1 { "1 trial".to_owned() } else { format!("{count} trials") };
    let what = match sweeps {
        0 => trials,
        1 => format!("a sweep and its {trials}"),
        sweeps => format!("{sweeps} sweeps and {trials}"),
    };
    if flags.dry_run {
        note!("{what} would be removed; nothing was");
        return Ok(Outcome::Done);
    }
    if count > 1 && !flags.yes {
        confirm(&what)?;
    }
    for removal in &removals {
        removal.remove()?;
    }
    drop(locks);
    for removal in removals.iter().filter(|removal| removal.whole) {
        removal.leave()?;
    }
    Ok(Outcome::Done)
}

/// What the flags name, by sweep.
fn removals(flags: &cli::Rm) -> Result<Vec<Removal>> {
    let mut by_sweep: BTreeMap<PathBuf, Removal> = BTreeMap::new();
    for folder in &flags.folders {
        let Target { store, trial } = Target::of(folder)?;
        if flags.others && trial.is_some() {
            let wrong = Error::definition("--others is for sweeps, and this is a trial").at(folder.display());
            return Err(wrong.remedy("name the folder of the sweep, or leave --others out"));
        }
        let path = std::path::absolute(store.root()).unwrap_or_else(|_| store.root().to_owned());
        let removal = by_sweep.entry(path).or_insert_with(|| Removal { store, trials: Vec::new(), whole: false });
        let trials = match trial {
            Some(id) => vec![id],
            None if flags.others => {
                let planned = removal.store.read_sweep_file()?.trials;
                removal.store.trials()?.into_iter().filter(|id| !planned.contains(id)).collect()
            }
            None => {
                removal.whole = true;
                removal.store.trials()?
            }
        };
        let new: Vec<String> = trials.into_iter().filter(|id| !removal.trials.contains(id)).collect();
        removal.trials.extend(new);
    }
    Ok(by_sweep.into_values().collect())
}

/// Locks a sweep against a runner, and refuses where a cluster has jobs of it.
fn lock(store: &Store) -> Result<Lock> {
    let lock = store.lock(&provenance::host())?;
    if let Some(jobs) = under_way(store)?.filter(|jobs| !jobs.is_empty()) {
        return Err(Error::results(format!("{} jobs of this sweep are in Slurm", jobs.len()))
            .at(store.root().display())
            .remedy("cancel them first, with scancel"));
    }
    Ok(lock)
}

/// Asks on the terminal; without one, the flag must have said so.
fn confirm(what: &str) -> Result<()> {
    let refused = || Err(Error::definition(format!("{what} are not removed without a word")).remedy("add --yes"));
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return refused();
    }
    note!("remove {what}, as listed? [y/N]");
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { refused() }
}

impl Removal {
    fn refuse_running(&self) -> Result<()> {
        for trial in &self.trials {
            if let Some(holder) = self.store.trial(trial).trainer()? {
                return Err(Error::results(format!("{holder} trains this trial"))
                    .at(self.store.trial(trial).root().display())
                    .remedy("stop it first, and remove it then"));
            }
        }
        Ok(())
    }

    fn remove(&self) -> Result<()> {
        for trial in &self.trials {
            self.store.trial(trial).clear()?;
        }
        if self.whole {
            return WRITTEN.iter().try_for_each(|name| self.store.folder().remove_all(name));
        }
        let noted = self.store.notes()?;
        if self.trials.iter().any(|trial| noted.trials.contains_key(trial)) {
            self.store.change_notes(&provenance::host(), |notes| {
                notes.trials.retain(|id, _| !self.trials.contains(id));
            })?;
        }
        // A sweep without any trial left has no summary.
        let _ = write_summary(&self.store);
        Ok(())
    }

    /// Removes the folder, if nothing else is in it.
    fn leave(&self) -> Result<()> {
        self.store.folder().remove(".lock")?;
        let left = self.store.folder().names()?;
        if left.is_empty() {
            return self.store.folder().clear();
        }
        note!("{}: kept, because sweep did not write {}", self.store.root().display(), plain::line(&left.join(", ")));
        Ok(())
    }
}
