//! `sweep report`: summary and report from the records.

use crate::cli;
use crate::sweep::write_report;
use sweep_analysis::SweepRecords;
use sweep_analysis::report;
use sweep_analysis::summary::TrialSummary;
use sweep_core::error::{Outcome, Result};
use sweep_core::note;
use sweep_experiment::records::State;
use sweep_experiment::store::{Root, Store};

use super::{print_json_in, say};

/// `sweep report`: writes summary and report again, from the records alone.
pub(super) fn report(flags: &cli::Report) -> Result<Outcome> {
    let store = Store::at(&flags.results);
    let images = store.images();
    let directory = flags.output.as_deref().map_or_else(|| store.report(), Root::at);
    let images_shown = (!flags.without_images).then_some(&images);
    let (sweep, findings, _) = write_report(&store, images_shown, &directory)?;
    report_left_out(&sweep);
    if flags.output.is_none() {
        let left = report::write_trials(&sweep, &store, flags.all_pictures)?;
        if left > 0 {
            note!(
                "curves.png and overlay.png of {left} of {} trials were not drawn; --all-pictures draws them",
                sweep.trials.len()
            );
        }
    }
    if flags.json {
        print_json_in(sweep.unit, &findings)?;
        return Ok(Outcome::Done);
    }
    say(&directory.join("report.md").display().to_string())?;
    say(&directory.join("index.html").display().to_string())?;
    Ok(Outcome::Done)
}

/// Names the trials that are left out, because their records are damaged or there are none.
pub(super) fn report_left_out(sweep: &SweepRecords) {
    for (id, why) in &sweep.left_out {
        note!("left out: {id}: {why}");
    }
    let missing = sweep.planned - sweep.trials.len() - sweep.left_out.len();
    if missing > 0 {
        note!("left out: {missing} of {} planned trials have not begun", sweep.planned);
    }
}

/// Writes summary and report from the present records.
pub(super) fn refresh(store: &Store) -> Result<SweepRecords> {
    let (sweep, ..) = write_report(store, Some(&store.images()), &store.report())?;
    for (id, why) in &sweep.left_out {
        note!("left out: {id}: {why}");
    }
    Ok(sweep)
}

/// A number as text, or a dash for one that is not known.
fn known(value: f64, text: impl Fn(f64) -> String) -> String {
    if value.is_nan() { "-".to_owned() } else { text(value) }
}

/// Prints one line per trial to standard output.
pub(super) fn print(sweep: &SweepRecords) -> Result<()> {
    let width = sweep.trials.iter().map(|t| t.id.len()).max().unwrap_or(0).max(5);
    let (unit, radius) = (sweep.unit, sweep.unit.radii()[0]);
    say(&format!(
        "{:width$}  {:<11}  {:>9}  {:>10}  {:>11}  {:>12}  {:>7}",
        "trial",
        "state",
        "epochs",
        "val loss",
        format!("best MRE {unit}"),
        "at best loss",
        format!("SDR {radius}{unit}")
    ))?;
    for trial in &sweep.trials {
        let (summary, status) = (TrialSummary::of(trial), &trial.status);
        say(&format!(
            "{:width$}  {:<11}  {:>9}  {:>10}  {:>11}  {:>12}  {:>7}{}",
            trial.id,
            status.state.name(),
            format!("{}/{}", trial.epochs.len(), status.epochs),
            known(summary.best_val_loss, |loss| format!("{loss:.3e}")),
            known(summary.best_val_mre, |mre| format!("{mre:.2}")),
            known(summary.val_mre_at_best_loss, |mre| format!("{mre:.2}")),
            known(summary.sdr[0], |sdr| format!("{sdr:.1}%")),
            if summary.collapsed == Some(true) { "  collapsed" } else { "" },
        ))?;
    }
    let pooled = sweep.pooled();
    for trial in pooled.trials.iter().filter(|trial| !trial.folds.is_empty()) {
        let [mre, sdr] = trial.selected().map_or([f64::NAN; 2], |e| [e.mre(), e.sdr()[0]]);
        let of = format!("{}, seed {}, {} folds", trial.group(), trial.seed, trial.folds.len());
        match trial.status.state {
            State::Done => say(&format!(
                "{of}: {mre:.2} {unit}, {sdr:.1} % within {radius} {unit}, out of fold at the last epoch"
            ))?,
            _ => say(&format!("{of}: {}", trial.progress()))?,
        }
    }
    let waiting = sweep.planned - sweep.trials.len() - sweep.left_out.len();
    if waiting > 0 {
        say(&format!("{waiting} of {} trials have not begun", sweep.planned))?;
    }
    if let Some(floor) = sweep.mean_shape_mre {
        say(&format!("guessing the training set's mean shape: {floor:.2} {unit}"))?;
    }
    Ok(())
}
