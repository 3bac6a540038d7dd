//! `sweep export tensorboard` and `mlflow`: logs a finished or running sweep to a tracker.

use std::path::Path;

use sweep_core::error::{Outcome, Result};
use sweep_core::note;
use sweep_experiment::store::Store;
use sweep_runner::trackers;

use super::super::say;

pub(super) fn tensorboard(results: &Path, output: &Path) -> Result<Outcome> {
    let export = trackers::export_tensorboard(&Store::at(results), output)?;
    say(&format!("{} trials; look at them with: tensorboard --logdir {}", export.trials, output.display()))?;
    Ok(Outcome::Done)
}

pub(super) fn mlflow(results: &Path, url: Option<&str>) -> Result<Outcome> {
    let export = trackers::export_mlflow(&Store::at(results), url)?;
    for note in export.notes {
        note!("{note}");
    }
    say(&format!("the server knows all of {} trials", export.trials))?;
    Ok(Outcome::Done)
}
