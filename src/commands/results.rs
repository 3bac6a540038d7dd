//! Summary and report from records.

use std::path::{Path, PathBuf};

use crate::analysis::findings::{self, Finding};
use crate::analysis::summary::{self, TrialSummary};
use crate::analysis::{SweepRecords, load};
use crate::cli;
use crate::error::{Error, Outcome, Result};
use crate::report::{self, Content};
use crate::store::{self, Store};

use super::say;

/// `sweep report`: everything again, from the records alone.
pub(super) fn report(flags: &cli::Report) -> Result<Outcome> {
    let store = Store::at(&flags.results);
    let images = store.images();
    let directory = flags.output.clone().unwrap_or_else(|| store.report());
    let (sweep, findings) = write(&store, (!flags.without_images).then_some(&images), &directory)?;
    if flags.output.is_none() {
        for trial in &sweep.trials {
            report::write_trial(trial, &images, store.trial(&trial.id).root())?;
        }
    }
    if flags.json {
        let json = serde_json::to_string_pretty(&findings).map_err(|e| Error::results(e.to_string()))?;
        return say(&json).map(|()| Outcome::Done);
    }
    say(&directory.join("report.md").display().to_string())?;
    say(&directory.join("index.html").display().to_string())?;
    Ok(Outcome::Done)
}

/// Summary and report from the records as they are now.
pub(super) fn refresh(store: &Store) -> Result<SweepRecords> {
    write(store, Some(&store.images()), &store.report()).map(|(sweep, _)| sweep)
}

fn write(store: &Store, images: Option<&PathBuf>, directory: &Path) -> Result<(SweepRecords, Vec<Finding>)> {
    let sweep = load::load(store)?;
    let (findings, onsets) = (findings::findings(&sweep), findings::onsets(&sweep));
    store::write(&store.summary(), &summary::csv(&sweep, &onsets)?)?;
    let content = Content { findings: &findings, onsets: &onsets, images: images.map(PathBuf::as_path) };
    report::write(&sweep, content, directory)?;
    Ok((sweep, findings))
}

/// The summary alone: cheap enough after every trial.
pub(super) fn refresh_summary(store: &Store) -> Result<SweepRecords> {
    let sweep = load::load(store)?;
    store::write(&store.summary(), &summary::csv(&sweep, &findings::onsets(&sweep))?)?;
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
