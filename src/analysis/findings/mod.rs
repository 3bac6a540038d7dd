//! Findings of a sweep: typed statements, each with its estimate, interval, sample, method, caveats, and the figure and
//! records behind it, corrected for the number of tests.

mod calibration;
mod claims;
mod effects;
mod failures;
mod family;
mod finding;
mod folds;
mod hard;
mod losses;
mod measured;
mod ranking;
mod sentence;
mod statement;
#[cfg(test)]
mod tests;
mod times;
mod training;
mod training_sentence;
mod trends;
mod view;

use std::collections::BTreeMap;

use rayon::prelude::*;

use sweep_core::units::ErrorUnit;

pub use self::finding::{Finding, Part, SourceRecords, Topic, Unit, Verdict};
pub use self::folds::CrossValidationScores;
pub(crate) use self::sentence::within;
pub use self::statement::Statement;
pub use self::training::trial_onsets;
use self::view::SweepView;
use crate::curves::Onset;
use crate::groups::Group;
use crate::{SweepRecords, TrialRecords};
pub use family::effects_alpha;

/// Probability of any *evidence* in a whole report where nothing has an effect.
pub const ALPHA: f64 = 0.05;

/// Onsets of overfitting by trial, on the loss and on the landmark error.
pub type Onsets = BTreeMap<String, [Onset; 2]>;

/// Each trial's onsets.
#[must_use]
pub fn onsets(sweep: &SweepRecords) -> Onsets {
    let trainings: Vec<&TrialRecords> = sweep.trainings().collect();
    trainings.into_par_iter().map(|trial| (trial.id.clone(), trial_onsets(trial))).collect()
}

/// All findings of a sweep, most important topics first. Based on trials that are done; others count as missing.
#[must_use]
pub fn findings(sweep: &SweepRecords) -> Vec<Finding> {
    findings_from(sweep, &onsets(sweep))
}

/// [`findings`], from the trials' [`onsets`]: a report shows both.
#[must_use]
pub fn findings_from(sweep: &SweepRecords, onsets: &Onsets) -> Vec<Finding> {
    // A pool of folds has curves of its own.
    let known = |trial: &TrialRecords| onsets.get(&trial.id).filter(|_| trial.folds.is_empty()).copied();
    let sweep = &*sweep.pooled();
    let mut view = SweepView::of(sweep);
    view.onsets = view.groups.par_iter().map(training::group_onsets).collect();
    let trials: Vec<&TrialRecords> = view.groups.iter().flat_map(Group::done).collect();
    let onsets_of = |trial: &TrialRecords| known(trial).unwrap_or_else(|| trial_onsets(trial));
    view.trial_onsets = trials.into_par_iter().map(|trial| (trial.id.as_str(), onsets_of(trial))).collect();
    let trends = trends::Trend::all(&view);
    let effects = effects::effects(&view, trends::tested(&trends));
    let mut found = Vec::new();
    found.extend(failures::failures(&view));
    found.extend(measured::measured(&view));
    found.extend(folds::cross_validation(&view));
    found.extend(effects::interactions(&view));
    found.extend(ranking::ranking(&view, &effects));
    found.extend(losses::agreement(&view));
    found.extend(losses::regret(&view));
    found.extend(training::collapse(&view));
    found.extend(training::overfitting(&view));
    found.extend(training::gap(&view));
    found.extend(times::convergence(&view));
    found.extend(hard::hard(&view));
    found.extend(calibration::calibrations(&view));
    if let Some(study) = sweep.claims {
        found.extend(claims::claims(study, &view, &effects, &found));
    }
    found.extend(trends::findings(&view, &trends, &effects));
    found.extend(effects.into_iter().map(|(finding, _)| finding));
    in_words(found, sweep.unit)
}

/// Those of all [`findings`] that answer the sweep's question: failures, the ranking and the effects of axes. They need no
/// simulated curves, which take most of the time where epochs are many.
#[must_use]
pub fn deciding(sweep: &SweepRecords) -> Vec<Finding> {
    let sweep = &*sweep.pooled();
    let view = SweepView::of(sweep);
    let trends = trends::Trend::all(&view);
    let effects = effects::effects(&view, trends::tested(&trends));
    let mut found: Vec<Finding> = failures::failures(&view).into_iter().collect();
    found.extend(ranking::ranking(&view, &effects));
    found.extend(trends::findings(&view, &trends, &effects));
    found.extend(effects.into_iter().map(|(finding, _)| finding));
    in_words(found, sweep.unit)
}

/// Findings in the order of their topics, with their sentences.
fn in_words(mut found: Vec<Finding>, unit: ErrorUnit) -> Vec<Finding> {
    found.sort_by_key(|finding| finding.topic);
    for finding in &mut found {
        name_unit(finding, unit);
        finding.sentence = sentence::sentence(finding, unit);
    }
    found
}

/// Puts the unit of errors in the place of millimetres, in numbers and in the columns that they were computed from.
fn name_unit(finding: &mut Finding, unit: ErrorUnit) {
    if unit.is_millimetres() {
        return;
    }
    let units = finding.parts.iter_mut().map(|part| &mut part.unit).chain([&mut finding.unit]);
    units.filter(|of| of.is_of_errors()).for_each(|of| *of = Unit::of_errors(unit));
    finding.rows.select = finding.rows.select.replace("_mm", &format!("_{unit}"));
}

/// The limits of comparisons with few seeds.
fn seed_caveat(seeds: usize) -> Option<String> {
    match seeds {
        1 => Some(
            "One seed: this holds for these trained networks on other images, and may change when they are trained again; run \
             several seeds."
                .into(),
        ),
        2..6 => Some(format!(
            "{seeds} seeds: by signs alone no difference between trainings can reach p < 0.05 with fewer than six; the \
             interval rests on the seeds' scatter being roughly normal."
        )),
        _ => None,
    }
}
