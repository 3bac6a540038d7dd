//! Names of trials that lie there: what a trial is stays under the name it was given first, whatever axes a definition has by
//! now.

use std::collections::BTreeMap;

use super::Store;
use crate::plan::Trial;

/// The trials of a sweep's folder, by the part of their names that is of their identity.
#[derive(Debug)]
pub struct Names(BTreeMap<String, Vec<String>>);

impl Names {
    /// Of these trials, as [`Store::trials`] lists them.
    #[must_use]
    pub fn of(ids: &[String]) -> Self {
        let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for id in ids {
            names.entry(digits(id).to_owned()).or_default().push(id.clone());
        }
        Self(names)
    }

    /// Gives a trial the name that it has there, if it has one.
    pub fn keep(&self, store: &Store, trial: &mut Trial) {
        let same = self.0.get(digits(&trial.id)).map_or(&[][..], Vec::as_slice);
        let is_it = |id: &&String| store.trial(id).trial_file().is_ok_and(|file| file.identity == trial.identity);
        if !same.contains(&trial.id)
            && let Some(id) = same.iter().find(is_it)
        {
            trial.id.clone_from(id);
        }
    }
}

fn digits(id: &str) -> &str {
    id.rsplit('-').next().unwrap_or_default()
}
