//! `sweep report`: summary and report from the records.

use crate::cli;
use crate::sweep::write_report;
use sweep_analysis::SweepRecords;
use sweep_analysis::report;
use sweep_core::error::{Outcome, Result};
use sweep_core::note;
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
