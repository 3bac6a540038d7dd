//! `sweep export tensorboard` and `mlflow`: trackers are told of a sweep that has run, or runs.

use std::path::Path;

use crate::error::{Outcome, Result};
use crate::store::Store;
use crate::track;

use super::super::say;

pub(super) fn tensorboard(results: &Path, output: &Path) -> Result<Outcome> {
    let told = track::export_tensorboard(&Store::at(results), output)?;
    say(&format!("{} trials; look at them with: tensorboard --logdir {}", told.trials, output.display()))?;
    Ok(Outcome::Done)
}

pub(super) fn mlflow(results: &Path, url: Option<&str>) -> Result<Outcome> {
    let told = track::export_mlflow(&Store::at(results), url)?;
    for note in told.notes {
        eprintln!("{note}");
    }
    say(&format!("the server knows all of {} trials", told.trials))?;
    Ok(Outcome::Done)
}
