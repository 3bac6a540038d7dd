//! `sweep export tensorboard` and `mlflow`: logs a finished or running sweep to a tracker.

use std::path::Path;

use sweep_core::error::{Outcome, Result};
use sweep_core::note;
use sweep_experiment::store::Store;
use sweep_runner::trackers;

use super::super::say;

pub(super) fn tensorboard(results: &Path, output: &Path, images: bool) -> Result<Outcome> {
    let export = trackers::export_tensorboard(&Store::at(results), output, images)?;
    say(&format!("{} trials; look at them with: tensorboard --logdir {}", export.trials, output.display()))?;
    Ok(Outcome::Done)
}

pub(super) fn mlflow(results: &Path, url: Option<&str>, images: bool) -> Result<Outcome> {
    let export = trackers::export_mlflow(&Store::at(results), url, images)?;
    for note in export.notes {
        note!("{note}");
    }
    say(&format!("the server knows all of {} trials", export.trials))?;
    if images {
        note!("pictures of patients are among what it has (overlays, index.html); --without-images leaves them out");
    }
    Ok(Outcome::Done)
}
