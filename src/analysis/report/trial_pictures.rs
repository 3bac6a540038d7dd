//! `curves.png` and `overlay.png` in the folders of trials. Each trial draws its own when it ends; a report draws what is missing.

use std::path::PathBuf;

use rayon::prelude::*;

use sweep_core::error::Result;
use sweep_experiment::store::{Root, Store};

use super::{curves, overlay, overlays, read_images, save};
use crate::findings::trial_onsets;
use crate::{SweepRecords, TrialRecords};

/// Most trials whose pictures one report draws, unless all are asked for: a picture takes a fifth of a second.
const MOST: usize = 12;
/// Records that the pictures show.
const RECORDS: [&str; 2] = ["epochs.csv", "landmarks.csv"];

/// Writes `curves.png` and, if images are available, `overlay.png` of a trial into `directory`; returns the paths.
///
/// # Errors
/// Same errors as [`write()`](super::write()).
pub fn write_trial(trial: &TrialRecords, images: &Root, directory: &Root) -> Result<Vec<PathBuf>> {
    let mut files = vec![save(directory, "curves.png", &curves(trial, trial_onsets(trial))?)?];
    if let Some(png) = overlay(trial, &read_images(overlays::images(trial), images))? {
        files.push(save(directory, "overlay.png", &png)?);
    }
    Ok(files)
}

/// Draws the pictures of trials whose records are newer than them: of the trials of least error first, of at most twelve; of every
/// trial with `all`. Returns for how many trials they are still missing or old.
///
/// # Errors
/// Same errors as [`write_trial`].
pub fn write_trials(sweep: &SweepRecords, store: &Store, all: bool) -> Result<usize> {
    let mut old: Vec<&TrialRecords> =
        sweep.trials.iter().filter(|trial| all || !is_drawn(store.trial(&trial.id).folder())).collect();
    old.sort_by(|a, b| a.sort_error().total_cmp(&b.sort_error()));
    let drawn = if all { old.len() } else { old.len().min(MOST) };
    let images = store.images();
    old[..drawn]
        .par_iter()
        .try_for_each(|trial| write_trial(trial, &images, store.trial(&trial.id).folder()).map(|_| ()))?;
    Ok(old.len() - drawn)
}

/// Whether the curves are as new as the records.
fn is_drawn(folder: &Root) -> bool {
    let time = |name: &str| folder.version(name).map(|(time, _)| time);
    time("curves.png").is_some_and(|drawn| RECORDS.iter().filter_map(|name| time(name)).all(|time| time <= drawn))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic::{Scenario, sweep};

    #[test]
    fn a_report_draws_a_dozen_missing_pictures_the_best_first() {
        let scratch = tempfile::tempdir().unwrap();
        let store = Store::at(scratch.path());
        let records = sweep(14, 1, Scenario::NoLandmarks);
        let drawn = || {
            let has = |trial: &&TrialRecords| store.trial(&trial.id).folder().version("curves.png").is_some();
            records.trials.iter().filter(has).collect::<Vec<_>>()
        };
        assert_eq!(write_trials(&records, &store, false).unwrap(), 2);
        let error = |trial: &TrialRecords| trial.best_error().unwrap().mre();
        assert_eq!(drawn().len(), 12);
        let worst = drawn().into_iter().map(error).fold(0.0, f64::max);
        assert!(records.trials.iter().filter(|trial| error(trial) < worst).count() <= 12);
        assert_eq!(write_trials(&records, &store, false).unwrap(), 0);
        assert_eq!(drawn().len(), 14);
        // New records make the pictures old.
        let folder = store.trial(&records.trials[0].id).folder().clone();
        let before = folder.version("curves.png").unwrap().0;
        std::thread::sleep(std::time::Duration::from_millis(20));
        folder.write("epochs.csv", b"trial").unwrap();
        assert!(!is_drawn(&folder));
        assert_eq!(write_trials(&records, &store, false).unwrap(), 0);
        assert!(folder.version("curves.png").unwrap().0 > before);
    }
}
