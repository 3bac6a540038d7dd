//! Properties of a trial's data, recorded before it is trained.

use sweep_core::error::{Error, Result};
use sweep_experiment::records::TrialStatus;
use sweep_experiment::store::{TrialFile, TrialStore};
use sweep_model::networks::weights::{self, Matching};
use sweep_planning::config::TrialConfig;
use sweep_training::train::Data;
use toml::Table;

use super::images;

/// Checks that the data are those that the trial was planned on, and records their properties in `trial.toml` and the log, a
/// few of the images, and the number of parameters in the status.
pub(super) fn prepare(
    folder: &TrialStore,
    file: TrialFile,
    config: &TrialConfig,
    data: &Data,
    status: &mut TrialStatus,
) -> Result<TrialFile> {
    let weights = data.weights.as_ref().map(|weights| weights.content.as_str());
    if config.identity(&data.content, weights)? != file.identity {
        let what = match weights {
            Some(_) => {
                "the data set or the file with weights is not the one this trial was planned on: it has changed since"
            }
            None => "the data set is not the one this trial was planned on: it has changed since",
        };
        return Err(Error::input(what)
            .remedy("run the sweep again: what was trained on the data as they were is kept beside it"));
    }
    for sentence in data.coverage.sentences() {
        folder.log(&format!("landmarks {sentence}"))?;
    }
    let (before, mean_shape) = (folder.trial_file()?, data.dataset.mean_shape_error());
    let file = TrialFile {
        unit: data.dataset.unit(),
        mean_shape_mre_mm: mean_shape.filter(|_| data.dataset.unit().is_millimetres()),
        mean_shape_mre_px: mean_shape.filter(|_| !data.dataset.unit().is_millimetres()),
        observer_mre_mm: data.dataset.observer_mre.map(|e| e.0),
        untrained: data.coverage.untrained.clone(),
        unmeasured: data.coverage.unmeasured.clone(),
        weights: starting_weights(folder, before.weights.as_ref(), config, data)?,
        images: images::first(config, data, &before.images, &folder.sweep().images())?,
        ..file
    };
    if before != file {
        folder.write_trial_file(&file)?;
    }
    let stages = config.model.stages(config.channels(), data.dataset.landmarks.len(), config.input)?;
    status.parameters = stages.iter().map(|stage| stage.architecture.trained_values() as u64).sum();
    Ok(file)
}

/// The parameters that start from the file with weights, if there is one. They are logged once.
fn starting_weights(
    folder: &TrialStore,
    logged: Option<&Table>,
    config: &TrialConfig,
    data: &Data,
) -> Result<Option<Table>> {
    let (Some(spec), Some(file)) = (config.model.weights(), &data.weights) else { return Ok(None) };
    let networks = config.model.architectures(config.channels(), data.dataset.landmarks.len())?;
    let matching: Matching = weights::matching(spec, file, &networks)?;
    let recorded = Table::try_from(&matching).map_err(|e| Error::results(e.to_string()))?;
    if logged != Some(&recorded) {
        for line in matching.lines() {
            folder.log(&line)?;
        }
    }
    Ok(Some(recorded))
}
