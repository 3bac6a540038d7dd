//! Reads a sweep's folder into [`SweepRecords`].

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use sweep_core::error::{Error, Result};
use sweep_core::units::ErrorUnit;
use sweep_experiment::definition::{Study, SweepDefinition};
use sweep_experiment::records::TrialStatus;
use sweep_experiment::store::{Store, SweepFile, TrialFile, TrialStore};

use super::configuration::configuration;
use super::folds::{self, Fold};
use super::groups::loss_kinds;
use super::shown_images::{by_name, is_one_data_set};
use super::{Drawn, NOTE, SweepRecords, TrialRecords};

/// All records of a sweep, from its folder alone; trials of the plan that have not begun are left out. Trials whose records
/// are damaged are left out too, and named in [`SweepRecords::left_out`].
///
/// # Errors
/// When the folder holds no sweep, no trial of it is sound, or the trials' errors have no unit in common.
pub fn load(store: &Store) -> Result<SweepRecords> {
    let file = store.read_sweep_file()?;
    let definition = SweepDefinition::parse("sweep.toml", &file.definition).ok();
    let labelled = labels(definition.as_ref());
    let (begun, planned): (BTreeSet<String>, usize) = (store.trials()?.into_iter().collect(), file.trials.len());
    let read_file = |id: &String| Some((id.clone(), store.trial(id).trial_file().ok()?));
    let all: BTreeMap<String, TrialFile> = begun.par_iter().filter_map(read_file).collect();
    let shows_by_name = is_one_data_set(all.values());
    let (mut sound, mut left_out, mut first) = (Vec::new(), Vec::new(), None);
    let read_trial = |id: String| {
        let folder = store.trial(&id);
        let about = all.get(&id).cloned().map_or_else(|| folder.trial_file(), Ok);
        (id.clone(), about.and_then(|about| read(&folder, id, about, &labelled, shows_by_name)))
    };
    let planned_trials: Vec<String> = file.trials.into_iter().filter(|id| begun.contains(id)).collect();
    let trials: Vec<(String, Result<(TrialRecords, TrialFile)>)> =
        planned_trials.into_par_iter().map(read_trial).collect();
    for (id, trial) in trials {
        match trial {
            Ok(trial) => sound.push(trial),
            Err(error) => {
                left_out.push((id, why(&error)));
                first.get_or_insert(error);
            }
        }
    }
    if let Some(error) = first.filter(|_| sound.is_empty()) {
        return Err(error.remedy("run the sweep again: it trains the damaged trials again"));
    }
    let files: Vec<&TrialFile> = sound.iter().map(|(_, file)| file).collect();
    let (kinds, folds) = (loss_kinds(&files), folds::planned(&file.definition));
    let missing = Missing::of(&files);
    let mean_shapes: Vec<f64> = files
        .iter()
        .filter_map(|file| if file.unit.is_millimetres() { file.mean_shape_mre_mm } else { file.mean_shape_mre_px })
        .collect();
    let measures = files.iter().map(|file| &file.measures).find(|of| !of.is_empty()).cloned().unwrap_or_default();
    let observer = files.iter().find_map(|file| file.observer_mre_mm);
    let trials: Vec<TrialRecords> =
        sound.into_iter().zip(kinds).map(|((trial, _), loss_kind)| TrialRecords { loss_kind, ..trial }).collect();
    // The hash of the data set is provenance as well, but only the trials record it.
    let mut hashes: Vec<&str> = trials.iter().map(|t| t.dataset_hash.as_str()).collect();
    hashes.dedup();
    let shown = |value: &toml::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let facts: Vec<(String, String)> = file.provenance.iter().map(|(key, value)| (key.clone(), shown(value))).collect();
    let of_data = ("data set hash".to_owned(), hashes.join(", "));
    let provenance = facts.into_iter().chain([of_data]).chain(noted(store, &trials));
    Ok(SweepRecords {
        unit: one_unit(&trials)?,
        name: file.name,
        question: file.question,
        claims: file.claims.as_deref().and_then(Study::from_name),
        mean_shape_mre: if folds.is_some() { mean_of(&mean_shapes) } else { mean_shapes.first().copied() },
        observer_mre_mm: observer,
        measures,
        unmeasured: missing.unmeasured,
        untrained: missing.untrained,
        definition: file.definition,
        provenance: provenance.collect(),
        planned,
        left_out,
        drawn: definition.and_then(|definition| definition.search).as_ref().map(Drawn::of),
        folds,
        trials,
    })
}

/// What people noted about the sweep and its trials; see [`SweepRecords::noted`].
fn noted(store: &Store, trials: &[TrialRecords]) -> Vec<(String, String)> {
    let notes = match store.notes() {
        Ok(notes) => notes,
        // Damaged notes are no reason to withhold results.
        Err(error) => return vec![(NOTE.to_owned(), error.to_string())],
    };
    let of_sweep = (NOTE.to_owned(), notes.sweep.line());
    let of_trials = trials.iter().map(|trial| (format!("{NOTE} on {}", trial.id), notes.of(Some(&trial.id)).line()));
    std::iter::once(of_sweep).chain(of_trials).filter(|(_, line)| !line.is_empty()).collect()
}

/// A trial's records.
///
/// # Errors
/// When one cannot be read, or a trial that is done lacks some.
fn read(
    folder: &TrialStore,
    id: String,
    about: TrialFile,
    labelled: &[String],
    shows_by_name: bool,
) -> Result<(TrialRecords, TrialFile)> {
    let status = folder.status()?;
    let (epochs, landmarks) = folder.records(&status)?;
    let described = described(id, &about, status, labelled);
    let is_of_before = about.images.is_empty();
    let images = if is_of_before && shows_by_name { by_name(&landmarks) } else { described.images };
    let records = TrialRecords {
        epochs,
        landmarks,
        images,
        // A damaged table is as good as none: the report says which errors it compares.
        errors: folder.epoch_errors().ok().flatten(),
        test: folder.test_landmarks()?,
        ..described
    };
    Ok((records, about))
}

/// Axes of a sweep whose values have labels: the label stands for them.
#[must_use]
pub fn labelled(file: &SweepFile) -> Vec<String> {
    labels(SweepDefinition::parse("sweep.toml", &file.definition).ok().as_ref())
}

fn labels(definition: Option<&SweepDefinition>) -> Vec<String> {
    definition.map(|definition| definition.axes.labelled()).unwrap_or_default()
}

/// What `trial.toml` and `status.json` say about a trial, without any of its tables.
#[must_use]
pub fn described(id: String, about: &TrialFile, status: TrialStatus, labelled: &[String]) -> TrialRecords {
    TrialRecords {
        fold: about.fold().map(|(fold, of)| Fold { fold, of }),
        configuration: configuration(about),
        axes: about.axes.iter().filter(|(key, _)| !labelled.contains(key)).cloned().collect(),
        objective: about.objective(),
        unit: about.unit,
        dataset_hash: about.dataset_hash.clone(),
        images: about.images.clone(),
        ..TrialRecords::new(id, about.seed(), status)
    }
}

/// An error in one line.
fn why(error: &Error) -> String {
    let place = error.location.as_ref().map_or_else(String::new, |place| format!("{place}: "));
    format!("{place}{}", error.message)
}

/// Landmarks that some trial could not train, and that no trial could measure.
struct Missing {
    untrained: Vec<String>,
    unmeasured: Vec<String>,
}

impl Missing {
    fn of(files: &[&TrialFile]) -> Self {
        let (mut untrained, mut unmeasured): (Vec<String>, Option<Vec<String>>) = (Vec::new(), None);
        for file in files {
            untrained
                .extend(file.untrained.iter().filter(|name| !untrained.contains(name)).cloned().collect::<Vec<_>>());
            let missed: Vec<String> = file.untrained.iter().chain(&file.unmeasured).cloned().collect();
            unmeasured = Some(match unmeasured {
                None => missed,
                Some(before) => before.into_iter().filter(|name| missed.contains(name)).collect(),
            });
        }
        let unmeasured = unmeasured.unwrap_or_default().into_iter().filter(|name| !untrained.contains(name)).collect();
        Self { untrained, unmeasured }
    }
}

/// The unit of all trials' errors.
///
/// # Errors
/// When some are in millimetres and others in pixels: they do not compare.
fn one_unit(trials: &[TrialRecords]) -> Result<ErrorUnit> {
    let first = |unit: ErrorUnit| trials.iter().find(|trial| trial.unit == unit);
    match (first(ErrorUnit::Millimetres), first(ErrorUnit::Pixels)) {
        (Some(mm), Some(px)) => Err(Error::results(format!(
            "the errors of `{}` are in millimetres, those of `{}` in pixels: they do not compare",
            mm.id, px.id
        ))
        .remedy("make two sweeps, with a name each")),
        (None, Some(_)) => Ok(ErrorUnit::Pixels),
        _ => Ok(ErrorUnit::Millimetres),
    }
}

/// Mean over folds: each fold has its own mean shape and its own validation images.
fn mean_of(errors: &[f64]) -> Option<f64> {
    (!errors.is_empty()).then(|| errors.iter().sum::<f64>() / errors.len() as f64)
}
