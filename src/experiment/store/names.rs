//! Names of trials that lie there: what a trial is stays under the name it was given first, whatever axes a definition has by
//! now.

use std::collections::BTreeMap;

use super::Store;

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

    /// The name under which a trial of this identity lies there, if that is not `id`, its name by now.
    #[must_use]
    pub fn existing_id(&self, store: &Store, id: &str, identity: &str) -> Option<&str> {
        let same = self.0.get(digits(id))?;
        if same.iter().any(|there| there == id) {
            return None;
        }
        let is_it = |there: &&String| store.trial(there).trial_file().is_ok_and(|file| file.identity == identity);
        same.iter().find(is_it).map(String::as_str)
    }
}

fn digits(id: &str) -> &str {
    id.rsplit('-').next().unwrap_or_default()
}
