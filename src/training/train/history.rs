//! Records of earlier attempts, and the checkpoint to resume from.

use std::collections::BTreeMap;

use sweep_core::error::{Error, Result};
use sweep_data::Dataset;
use sweep_experiment::metric::Objective;
use sweep_experiment::records::{EpochRecord, LandmarkRecord, Selection};
use sweep_experiment::store::TrialStore;
use sweep_planning::config::TrialConfig;

use super::Observer;
use crate::checkpoint::{self, Checkpoint};
use crate::evaluate::Evaluation;

/// Records of the epochs so far, and the predictions of the selected ones.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) epochs: Vec<EpochRecord>,
    pub(crate) landmarks: Vec<LandmarkRecord>,
}

impl History {
    /// The records up to a checkpoint's epoch.
    pub(super) fn until(last: &Checkpoint, config: &TrialConfig, store: &TrialStore) -> Result<Self> {
        let done = last.description.epoch;
        let (mut epochs, damage) = store.readable_epochs()?;
        epochs.truncate(done as usize);
        let in_order = epochs.iter().zip(1..).all(|(record, epoch)| record.epoch == epoch);
        if epochs.len() < done as usize || !in_order {
            let why = damage.map_or_else(|| "a row is missing".to_owned(), |e| e.message);
            let what = format!("epochs.csv does not hold the {done} epochs of the checkpoint: {why}");
            return Err(Error::results(what));
        }
        let mut history = Self { epochs: Vec::new(), landmarks: store.landmarks()? };
        let selected_at = history.replay(config, &epochs);
        // Rows of a later epoch are valid: that epoch is trained again and writes the same.
        let stale = |(selection, epoch): (&Selection, &u32)| {
            !history.landmarks.iter().any(|row| row.selected == *selection && row.epoch >= *epoch)
        };
        if selected_at.iter().any(stale) {
            return Err(Error::results("landmarks.csv does not hold the predictions of the selected epochs"));
        }
        Ok(history)
    }

    /// Adds records; returns the epoch of each selection.
    pub(crate) fn replay(&mut self, config: &TrialConfig, epochs: &[EpochRecord]) -> BTreeMap<Selection, u32> {
        let mut selected_at = BTreeMap::new();
        for record in epochs {
            let selected = self.add(config.objective, record);
            let evaluated = record.unit().is_some();
            selected_at.extend(selected.into_iter().filter(|_| evaluated).map(|selection| (selection, record.epoch)));
        }
        selected_at
    }

    /// Adds a record and returns the selections of its epoch; the first of equal epochs stays the best.
    pub(crate) fn add(&mut self, objective: Objective, record: &EpochRecord) -> Vec<Selection> {
        let is_best = |cost: &dyn Fn(&EpochRecord) -> f64| {
            let new = cost(record);
            !new.is_nan() && self.epochs.iter().all(|earlier| cost(earlier).is_nan() || new < cost(earlier))
        };
        let mut selected = Vec::new();
        if is_best(&|epoch| objective.cost(epoch)) {
            selected.push(Selection::BestError);
        }
        if is_best(&|epoch| epoch.val_loss) {
            selected.push(Selection::BestLoss);
        }
        selected.push(Selection::Last);
        self.epochs.push(record.clone());
        selected
    }

    /// Replaces the predictions of these selections by this epoch's.
    pub(crate) fn select(
        &mut self,
        trial: &str,
        seed: u64,
        epoch: u32,
        selected: &[Selection],
        val: &Evaluation,
        data: &Dataset,
    ) {
        self.landmarks.retain(|row| !selected.contains(&row.selected));
        for selection in selected {
            self.landmarks.extend(val.records(trial, seed, epoch, *selection, data));
        }
        self.landmarks.sort_by_key(|row| row.selected);
    }
}

/// The last sound checkpoint whose epochs are all on record, with the records cut back to it. If no checkpoint is sound, the
/// files are set aside and training starts anew.
pub(super) fn resume(
    id: &str,
    config: &TrialConfig,
    store: &TrialStore,
    observer: &mut dyn Observer,
) -> Result<Option<(Checkpoint, History)>> {
    let mut damaged = false;
    for name in [TrialStore::LAST, TrialStore::PREVIOUS] {
        // An unreadable file is an error, because it may be sound and readable later.
        let Some(bytes) = store.folder().read_if_present(name, checkpoint::LARGEST)? else { continue };
        let path = store.file(name);
        match checkpoint::decode(&bytes).and_then(|last| History::until(&last, config, store).map(|h| (last, h))) {
            Ok((last, history)) => {
                store.write_epochs(&history.epochs)?;
                store.cut_errors(last.description.epoch)?;
                return Ok(Some((last, history)));
            }
            Err(why) => {
                damaged = true;
                observer.note(&format!("{why}; not resumed from {}", path.display()));
            }
        }
    }
    if damaged {
        store.quarantine()?;
        observer.note(&format!("nothing sound to go on from: {id} starts anew, what it left lies in damaged/"));
    } else {
        store.write_epochs(&[])?;
        store.cut_errors(0)?;
    }
    Ok(None)
}
