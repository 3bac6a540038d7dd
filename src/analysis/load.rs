//! Reads a sweep's folder into [`SweepRecords`].

use serde::Deserialize;

use sweep_core::error::{Error, Result};
use sweep_experiment::definition::SweepDefinition;
use sweep_experiment::store::{self, Store};

use super::folds::{self, Fold};
use super::groups::loss_kind;
use super::{SweepRecords, TrialRecords};

/// The part of `sweep.toml` that describes records.
#[derive(Debug, Clone, Deserialize)]
pub struct SweepFile {
    /// Name of the sweep.
    pub name: String,
    /// The question it asks, if its definition says one.
    pub question: Option<String>,
    /// Ids in the order of the plan.
    pub trials: Vec<String>,
    /// The definition as run, TOML.
    #[serde(default)]
    pub definition: String,
    /// Provenance of the records.
    #[serde(default)]
    pub provenance: toml::Table,
}

/// Reads `sweep.toml`.
///
/// # Errors
/// When the folder holds no sweep, or the file cannot be read.
pub fn sweep_file(store: &Store) -> Result<SweepFile> {
    let path = store.definition();
    if !path.is_file() {
        return Err(Error::results("no sweep.toml: this is not the folder of a sweep")
            .at(store.root().display())
            .remedy("name the folder a run made, as results/loss"));
    }
    toml::from_str(&store::read_text(&path)?).map_err(|e| Error::results(e.message().to_owned()).at(path.display()))
}

/// All records of a sweep, from its folder alone; trials of the plan that have not begun are left out.
///
/// # Errors
/// When the folder holds no sweep, or a record cannot be read.
pub fn load(store: &Store) -> Result<SweepRecords> {
    let file = sweep_file(store)?;
    let labelled =
        SweepDefinition::parse("sweep.toml", &file.definition).map(|d| d.axes.labelled()).unwrap_or_default();
    let (begun, planned) = (store.trials()?, file.trials.len());
    let mut trials = Vec::new();
    let (mut mean_shapes, mut observer) = (Vec::new(), None);
    let (mut untrained, mut unmeasured): (Vec<String>, Option<Vec<String>>) = (Vec::new(), None);
    for id in file.trials.into_iter().filter(|id| begun.contains(id)) {
        let folder = store.trial(&id);
        let about = folder.trial_file()?;
        mean_shapes.extend(about.mean_shape_mre_mm);
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
            dataset_hash: about.dataset_hash,
            status: folder.status()?,
            epochs: folder.epochs()?,
            landmarks: folder.landmarks()?,
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
        name: file.name,
        question: file.question,
        mean_shape_mre_mm: if folds.is_some() { mean_of(&mean_shapes) } else { mean_shapes.first().copied() },
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

/// Mean over folds: each fold has its own mean shape and its own validation images.
fn mean_of(errors: &[f64]) -> Option<f64> {
    (!errors.is_empty()).then(|| errors.iter().sum::<f64>() / errors.len() as f64)
}
