//! Reads a sweep's folder into [`SweepRecords`].

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::store::{self, Store};

use super::{SweepRecords, TrialRecords};

/// The part of `sweep.toml` that analysis needs.
#[derive(Deserialize)]
struct SweepFile {
    name: String,
    question: Option<String>,
    /// Ids in the order of the plan.
    trials: Vec<String>,
    #[serde(default)]
    definition: String,
    #[serde(default)]
    provenance: toml::Table,
}

/// All records of a sweep, from its folder alone; trials of the plan that have not begun are left out.
///
/// # Errors
/// When the folder holds no sweep, or a record cannot be read.
pub fn load(store: &Store) -> Result<SweepRecords> {
    let path = store.definition();
    if !path.is_file() {
        return Err(Error::results("no sweep.toml: this is not the folder of a sweep")
            .at(store.root().display())
            .remedy("name the folder a run made, as results/loss"));
    }
    let file: SweepFile = toml::from_str(&store::read_text(&path)?)
        .map_err(|e| Error::results(e.message().to_owned()).at(path.display()))?;
    let (begun, planned) = (store.trials()?, file.trials.len());
    let mut trials = Vec::new();
    let (mut mean_shape, mut observer) = (None, None);
    for id in file.trials.into_iter().filter(|id| begun.contains(id)) {
        let folder = store.trial(&id);
        let about = folder.trial_file()?;
        mean_shape = mean_shape.or(about.mean_shape_mre_mm);
        observer = observer.or(about.observer_mre_mm);
        trials.push(TrialRecords {
            seed: about.config.seed,
            axes: about.axes,
            dataset_hash: about.dataset_hash,
            status: folder.status()?,
            epochs: folder.epochs()?,
            landmarks: folder.landmarks()?,
            id,
        });
    }
    // A data set's hash is provenance as well; it is the trials' to know.
    let mut hashes: Vec<&str> = trials.iter().map(|t| t.dataset_hash.as_str()).collect();
    hashes.dedup();
    let shown = |value: &toml::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let facts: Vec<(String, String)> = file.provenance.iter().map(|(key, value)| (key.clone(), shown(value))).collect();
    let of_data = ("data set hash".to_owned(), hashes.join(", "));
    let provenance = facts.into_iter().chain([of_data]);
    Ok(SweepRecords {
        name: file.name,
        question: file.question,
        mean_shape_mre_mm: mean_shape,
        observer_mre_mm: observer,
        definition: file.definition,
        provenance: provenance.collect(),
        planned,
        trials,
    })
}
