//! A finished trial serves a new one that trains the same weights. More epochs go on: where the learning rate does not depend on
//! the number of epochs, a shorter trial has trained the first epochs of a longer one, bit for bit. Another objective, or fewer
//! evaluations, choose other epochs of the same training, as far as the old trial kept what they need.

use std::collections::BTreeMap;

use crate::checkpoint::{self, Checkpoint, renamed};
use crate::train::{History, unevaluated};
use sweep_core::error::Result;
use sweep_experiment::metric::Objective;
use sweep_experiment::records::{EpochRecord, LandmarkRecord, Selection, State};
use sweep_experiment::store::{TrialFile, TrialStore};
use sweep_model::lr_schedule::ScheduleSpec;
use sweep_planning::config::TrialConfig;

/// Hash of everything that the weights of an epoch depend on: trials that share it have the same epochs as far as both go.
/// The objective and the evaluated epochs are part of it where they may end the training early; the number of epochs where
/// the learning rate depends on it. `None` of a trial that starts from a file of weights.
///
/// # Errors
/// Never in practice.
pub fn lineage(config: &TrialConfig, content: &str) -> Result<Option<String>> {
    if config.model.weights().is_some() {
        return Ok(None);
    }
    let mut weights = config.clone();
    if !matches!(config.schedule, ScheduleSpec::OneCycle { .. }) {
        weights.epochs = 0;
    }
    if config.early_stop.is_none() {
        (weights.objective, weights.evaluate_every) = (Objective::default(), 1);
    }
    weights.identity(content, None).map(Some)
}

/// The lineage of a recorded trial that may serve others, and its epochs: it is done, and of this version of training.
#[must_use]
pub fn finished_lineage(folder: &TrialStore, file: &TrialFile) -> Option<(String, u32)> {
    let status = folder.status().ok().filter(|status| status.state == State::Done)?;
    if folder.damage(&status).ok()?.is_some() || !folder.folder().has_file(TrialStore::LAST) {
        return None;
    }
    let config = TrialConfig::recorded(file).ok()?;
    let is_of_this_version = config.identity(&file.dataset_hash, None).ok()? == file.identity;
    if !is_of_this_version || status.epoch != config.epochs {
        return None;
    }
    Some((lineage(&config, &file.dataset_hash).ok()??, config.epochs))
}

/// What a finished trial is to a new one of its lineage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adoption {
    /// The new trial goes on from its epochs, if any are left to train.
    Served,
    /// It lacks something, for this reason.
    Lacking(String),
}

/// Gives a new trial the records and checkpoints of a finished one of its lineage, under its own name, as far as they hold
/// what it would have written.
///
/// # Errors
/// When a file cannot be read or written.
pub fn adopt(from: &TrialStore, to: &TrialStore, trial: &str, config: &TrialConfig) -> Result<Adoption> {
    let lacking = |what: &str| Ok(Adoption::Lacking(what.to_owned()));
    let (epochs, damage) = from.readable_epochs()?;
    let checkpoint = |name| from.folder().read(name, checkpoint::LARGEST).and_then(|bytes| checkpoint::decode(&bytes));
    let (Ok(last), None) = (checkpoint(TrialStore::LAST), damage) else { return lacking("its records are damaged") };
    let done = last.description.epoch as usize;
    if last.description.mid_epoch.is_some() || epochs.len() != done || done > config.epochs as usize {
        return lacking("its records are of other epochs than its checkpoint");
    }
    let is_due = |epoch: u32| epoch.is_multiple_of(config.evaluate_every) || epoch == config.epochs;
    if let Some(missed) = epochs.iter().find(|record| is_due(record.epoch) && record.unit().is_none()) {
        return lacking(&format!("it did not evaluate epoch {}", missed.epoch));
    }
    let renamed_record = |record: EpochRecord| {
        let record = if is_due(record.epoch) { record } else { unevaluated(&record) };
        EpochRecord { trial: trial.to_owned(), ..record }
    };
    let epochs: Vec<EpochRecord> = epochs.into_iter().map(renamed_record).collect();
    let selected = History::default().replay(config, &epochs);

    let before = from.landmarks()?;
    let mut landmarks: Vec<LandmarkRecord> = Vec::new();
    for (selection, epoch) in &selected {
        let Some(source) = before.iter().find(|row| row.epoch == *epoch).map(|row| row.selected) else {
            let objective = config.objective.name();
            return lacking(&format!("it did not keep the predictions of epoch {epoch}, the best by {objective}"));
        };
        let rows = before.iter().filter(|row| row.selected == source);
        landmarks.extend(rows.map(|row| LandmarkRecord {
            trial: trial.to_owned(),
            selected: *selection,
            ..row.clone()
        }));
    }
    let best = match selected.get(&Selection::BestError) {
        None => None,
        Some(epoch) => {
            let of_last = || Checkpoint { state: BTreeMap::new(), ..last.clone() };
            let kept = checkpoint(TrialStore::BEST).ok().filter(|best| best.description.epoch == *epoch);
            let Some(best) = kept.or_else(|| (last.description.epoch == *epoch).then(of_last)) else {
                let objective = config.objective.name();
                return lacking(&format!("it did not keep the weights of epoch {epoch}, the best by {objective}"));
            };
            Some(best)
        }
    };
    to.write_landmarks(&landmarks)?;
    if let Ok(Some(errors)) = from.epoch_errors() {
        let errors = errors.only(is_due);
        if errors.epochs.is_empty() { to.cut_errors(0)? } else { to.write_errors(&errors)? }
    }
    if let Some(best) = best {
        to.replace_best(&renamed(best, trial, config)?)?;
    }
    to.write_epochs(&epochs)?;
    // Last, because resuming trusts it.
    to.replace_last(&renamed(last, trial, config)?)?;
    to.log(&format!("goes on from the {done} epochs of {}", from.root().display()))?;
    Ok(Adoption::Served)
}
