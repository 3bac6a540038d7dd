//! Reads a sweep's folder into [`SweepRecords`].

use sweep_core::error::{Error, Result};
use sweep_core::units::ErrorUnit;
use sweep_experiment::definition::SweepDefinition;
use sweep_experiment::store::Store;

use super::folds::{self, Fold};
use super::groups::loss_kind;
use super::{SweepRecords, TrialRecords};

/// All records of a sweep, from its folder alone; trials of the plan that have not begun are left out.
///
/// # Errors
/// When the folder holds no sweep, or a record cannot be read.
pub fn load(store: &Store) -> Result<SweepRecords> {
    let file = store.read_sweep_file()?;
    let labelled =
        SweepDefinition::parse("sweep.toml", &file.definition).map(|d| d.axes.labelled()).unwrap_or_default();
    let (begun, planned) = (store.trials()?, file.trials.len());
    let mut trials = Vec::new();
    let (mut mean_shapes, mut observer) = (Vec::new(), None);
    let (mut untrained, mut unmeasured): (Vec<String>, Option<Vec<String>>) = (Vec::new(), None);
    for id in file.trials.into_iter().filter(|id| begun.contains(id)) {
        let folder = store.trial(&id);
        let about = folder.trial_file()?;
        mean_shapes.extend(if about.unit.is_millimetres() { about.mean_shape_mre_mm } else { about.mean_shape_mre_px });
        observer = observer.or(about.observer_mre_mm);
        untrained.extend(about.untrained.iter().filter(|name| !untrained.contains(name)).cloned().collect::<Vec<_>>());
        let (seed, fold) = (about.seed(), about.fold().map(|(fold, of)| Fold { fold, of }));
        let missed: Vec<String> = about.untrained.into_iter().chain(about.unmeasured).collect();
        unmeasured = Some(match unmeasured {
            None => missed,
            Some(before) => before.into_iter().filter(|name| missed.contains(name)).collect(),
        });
        trials.push(TrialRecords {
            seed,
            fold,
            loss_kind: loss_kind(&about.axes),
            axes: about.axes.into_iter().filter(|(key, _)| !labelled.contains(key)).collect(),
            unit: about.unit,
            dataset_hash: about.dataset_hash,
            status: folder.status()?,
            epochs: folder.epochs()?,
            landmarks: folder.landmarks()?,
            // A damaged table is as good as none: the report says which errors it compares.
            errors: folder.epoch_errors().ok().flatten(),
            folds: Vec::new(),
            id,
        });
    }
    // The hash of the data set is provenance as well, but only the trials record it.
    let mut hashes: Vec<&str> = trials.iter().map(|t| t.dataset_hash.as_str()).collect();
    hashes.dedup();
    let shown = |value: &toml::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let facts: Vec<(String, String)> = file.provenance.iter().map(|(key, value)| (key.clone(), shown(value))).collect();
    let of_data = ("data set hash".to_owned(), hashes.join(", "));
    let provenance = facts.into_iter().chain([of_data]);
    let folds = folds::planned(&file.definition);
    Ok(SweepRecords {
        unit: one_unit(&trials)?,
        name: file.name,
        question: file.question,
        mean_shape_mre: if folds.is_some() { mean_of(&mean_shapes) } else { mean_shapes.first().copied() },
        observer_mre_mm: observer,
        unmeasured: unmeasured.unwrap_or_default().into_iter().filter(|name| !untrained.contains(name)).collect(),
        untrained,
        definition: file.definition,
        provenance: provenance.collect(),
        planned,
        folds,
        trials,
    })
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
