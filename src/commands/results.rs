//! Summary and report from records.

use std::path::Path;

use crate::analysis::summary::{self, TrialSummary};
use crate::analysis::{SweepRecords, load};
use crate::error::{Outcome, Result};
use crate::report;
use crate::store::{self, Store};

use super::say;

pub(super) fn report(folder: &Path) -> Result<Outcome> {
    let store = Store::at(folder);
    let sweep = refresh(&store)?;
    for trial in &sweep.trials {
        report::write_trial(trial, &store.images(), store.trial(&trial.id).root())?;
    }
    say(&store.report().join("report.md").display().to_string())?;
    Ok(Outcome::Done)
}

/// Summary and report from the records as they are now.
pub(super) fn refresh(store: &Store) -> Result<SweepRecords> {
    let sweep = refresh_summary(store)?;
    report::write(&sweep, &store.images(), &store.report())?;
    Ok(sweep)
}

/// The summary alone: cheap enough after every trial.
pub(super) fn refresh_summary(store: &Store) -> Result<SweepRecords> {
    let sweep = load::load(store)?;
    store::write(&store.summary(), &summary::csv(&sweep)?)?;
    Ok(sweep)
}

/// A line per trial, on standard output.
pub(super) fn print(sweep: &SweepRecords) -> Result<()> {
    let width = sweep.trials.iter().map(|t| t.id.len()).max().unwrap_or(0).max(5);
    say(&format!(
        "{:width$}  {:<11}  {:>9}  {:>10}  {:>11}  {:>12}  {:>7}",
        "trial", "state", "epochs", "val loss", "best MRE mm", "at best loss", "SDR 2mm"
    ))?;
    for trial in &sweep.trials {
        let (summary, status) = (TrialSummary::of(trial), &trial.status);
        say(&format!(
            "{:width$}  {:<11}  {:>9}  {:>10.3e}  {:>11.2}  {:>12.2}  {:>6.1}%{}",
            trial.id,
            status.state.name(),
            format!("{}/{}", trial.epochs.len(), status.epochs),
            summary.best_val_loss,
            summary.best_val_mre_mm,
            summary.val_mre_at_best_loss_mm,
            summary.sdr[0],
            if summary.collapsed == Some(true) { "  collapsed" } else { "" },
        ))?;
    }
    let waiting = sweep.planned - sweep.trials.len();
    if waiting > 0 {
        say(&format!("{waiting} of {} trials have not begun", sweep.planned))?;
    }
    if let Some(floor) = sweep.mean_shape_mre_mm {
        say(&format!("guessing the training set's mean shape: {floor:.2} mm"))?;
    }
    Ok(())
}
