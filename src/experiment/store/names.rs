//! Existing names of trials: a trial keeps the name it was first given, even if the definition's axes have changed
//! since.

use std::collections::BTreeMap;

use super::Store;

/// Whether a text is the name of one folder, in one line: ids of trials become paths, rows and lines of scripts.
#[must_use]
pub fn is_plain(id: &str) -> bool {
    !matches!(id, "" | "." | "..") && id.len() <= 255 && !id.chars().any(|c| c == '/' || c.is_control())
}

/// The trials in a sweep's folder, by the last part of their names, which comes from their identity.
#[derive(Debug)]
pub struct Names(BTreeMap<String, Vec<String>>);

impl Names {
    /// Indexes these trials, given as [`Store::trials`] lists them.
    #[must_use]
    pub fn of(ids: &[String]) -> Self {
        let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for id in ids {
            names.entry(digits(id).to_owned()).or_default().push(id.clone());
        }
        Self(names)
    }

    /// The existing name of the trial with this identity, if it differs from `id`, its name by the current definition.
    #[must_use]
    pub fn existing_id(&self, store: &Store, id: &str, identity: &str) -> Option<&str> {
        let same = self.0.get(digits(id))?;
        if same.iter().any(|name| name == id) {
            return None;
        }
        let is_it = |name: &&String| store.trial(name).trial_file().is_ok_and(|file| file.identity == identity);
        same.iter().find(is_it).map(String::as_str)
    }
}

fn digits(id: &str) -> &str {
    id.rsplit('-').next().unwrap_or_default()
}
