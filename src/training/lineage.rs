//! More epochs go on: a finished trial that differs from a new one in the number of epochs alone has trained its first epochs,
//! bit for bit, where the learning rate does not depend on that number.

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::checkpoint::{self, Checkpoint, Description, OPTIMIZER};
use sweep_core::error::Result;
use sweep_experiment::records::{EpochRecord, LandmarkRecord, State};
use sweep_experiment::store::{TrialFile, TrialStore};
use sweep_model::lr_schedule::ScheduleSpec;
use sweep_planning::config::TrialConfig;

/// Hash of everything but the number of epochs: trials that share it have the same epochs as far as both go. `None` of a
/// trial whose learning rate depends on that number, or that starts from a file of weights.
///
/// # Errors
/// Never in practice.
pub fn lineage(config: &TrialConfig, content: &str) -> Result<Option<String>> {
    if matches!(config.schedule, ScheduleSpec::OneCycle { .. }) || config.model.weights().is_some() {
        return Ok(None);
    }
    TrialConfig { epochs: 0, ..config.clone() }.identity(content, None).map(Some)
}

/// The lineage of a recorded trial that others may go on from: it is done, and of this version of training.
#[must_use]
pub fn finished_lineage(folder: &TrialStore, file: &TrialFile) -> Option<(String, u32)> {
    let status = folder.status().ok().filter(|status| status.state == State::Done)?;
    if folder.damage(&status).ok()?.is_some() || !folder.folder().has_file(TrialStore::LAST) {
        return None;
    }
    let config = TrialConfig::recorded(file).ok()?;
    let is_of_this_version = config.identity(&file.dataset_hash, None).ok()? == file.identity;
    // Its last epoch was evaluated as the last one; in a longer training it must be evaluated too.
    let is_regular = config.epochs.is_multiple_of(config.evaluate_every) && status.epoch == config.epochs;
    if !is_of_this_version || !is_regular {
        return None;
    }
    Some((lineage(&config, &file.dataset_hash).ok()??, config.epochs))
}

/// Gives a new trial the records and checkpoints of a shorter one of its lineage, under its own name, so that it goes on from
/// there. Returns whether they could be used.
///
/// # Errors
/// When a file cannot be read or written.
pub fn adopt(from: &TrialStore, to: &TrialStore, trial: &str, config: &TrialConfig) -> Result<bool> {
    let (epochs, damage) = from.readable_epochs()?;
    let [last, best] = [TrialStore::LAST, TrialStore::BEST]
        .map(|name| from.folder().read(name, checkpoint::LARGEST).and_then(|bytes| checkpoint::decode(&bytes)));
    let (Ok(last), Ok(best), None) = (last, best, damage) else { return Ok(false) };
    let done = last.description.epoch as usize;
    if last.description.mid_epoch.is_some() || epochs.len() != done || done >= config.epochs as usize {
        return Ok(false);
    }
    let epochs: Vec<EpochRecord> =
        epochs.into_iter().map(|record| EpochRecord { trial: trial.to_owned(), ..record }).collect();
    let landmarks: Vec<LandmarkRecord> =
        from.landmarks()?.into_iter().map(|row| LandmarkRecord { trial: trial.to_owned(), ..row }).collect();
    to.write_landmarks(&landmarks)?;
    if let Ok(Some(errors)) = from.epoch_errors() {
        to.write_errors(&errors)?;
    }
    to.replace_best(&renamed(best, trial, config)?)?;
    to.write_epochs(&epochs)?;
    // Last, because resuming trusts it.
    to.replace_last(&renamed(last, trial, config)?)?;
    to.log(&format!("goes on from the {done} epochs of {}", from.root().display()))?;
    Ok(true)
}

/// A checkpoint under another trial's name and configuration.
fn renamed(checkpoint: Checkpoint, trial: &str, config: &TrialConfig) -> Result<Vec<u8>> {
    let description = Description { trial: trial.to_owned(), config: config.clone(), ..checkpoint.description };
    let state = checkpoint.state.into_iter().map(|(name, values)| (format!("{OPTIMIZER}{name}"), values));
    let tensors: BTreeMap<String, Tensor> = checkpoint.weights.into_iter().chain(state).collect();
    checkpoint::encode_tensors(&description, &tensors)
}
