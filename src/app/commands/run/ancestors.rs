//! Finished trials of earlier definitions, which serve new trials that train the same weights.

use std::collections::BTreeMap;

use sweep_core::error::Result;
use sweep_experiment::store::TrialStore;
use sweep_planning::plan::Trial;
use sweep_training::followers::has_checkpoint;
use sweep_training::lineage::{Adoption, adopt, finished_lineage, lineage};

use super::sweep_state::SweepState;

/// Finished trials of earlier definitions and their epochs, by their lineage.
#[derive(Debug, Default)]
pub(super) struct Ancestors(BTreeMap<String, Vec<(u32, TrialStore)>>);

/// What a trial that begins inherits.
pub(super) enum Inheritance {
    /// Nothing, because there is nothing.
    None,
    /// The epochs of an earlier trial.
    Epochs,
    /// Nothing, because the nearest earlier trial of this id lacks something.
    Refused(String, String),
}

impl SweepState<'_> {
    /// Finds the finished trials of earlier definitions.
    pub(super) fn find_ancestors(&mut self) -> Result<()> {
        for id in self.store.trials()?.into_iter().filter(|id| self.index(id).is_none()).collect::<Vec<_>>() {
            let folder = self.store.trial(&id);
            let lineage = folder.trial_file().ok().and_then(|file| finished_lineage(&folder, &file));
            if let Some((of, epochs)) = lineage {
                self.ancestors.0.entry(of).or_default().push((epochs, folder));
            }
        }
        self.ancestors.0.values_mut().for_each(|trials| trials.sort_by_key(|(epochs, _)| std::cmp::Reverse(*epochs)));
        Ok(())
    }

    /// The trials of earlier definitions that have trained the first epochs of this one, the longest first.
    pub(super) fn ancestors_of(&self, trial: &Trial) -> Result<Vec<&TrialStore>> {
        let Some(of) = lineage(&trial.config, &trial.content)? else { return Ok(Vec::new()) };
        let shorter = self.ancestors.0.get(&of).into_iter().flatten();
        Ok(shorter.filter(|(epochs, _)| *epochs <= trial.config.epochs).map(|(_, folder)| folder).collect())
    }

    /// Gives a trial that has no checkpoint yet the records of its ancestor, if there is one; its folder must exist.
    pub(super) fn inherit(&self, trial: &str) -> Result<Inheritance> {
        let entry = self.entry(trial)?;
        let folder = self.store.trial(trial);
        if self.retry.rerun || has_checkpoint(&folder) {
            return Ok(Inheritance::None);
        }
        let mut refused = Inheritance::None;
        for ancestor in self.ancestors_of(&entry.trial)? {
            match adopt(ancestor, &folder, trial, &entry.trial.config)? {
                Adoption::Served => return Ok(Inheritance::Epochs),
                Adoption::Lacking(why) if matches!(refused, Inheritance::None) => {
                    let id = ancestor.root().file_name().unwrap_or_default().to_string_lossy().into_owned();
                    refused = Inheritance::Refused(id, why);
                }
                Adoption::Lacking(_) => {}
            }
        }
        Ok(refused)
    }
}
