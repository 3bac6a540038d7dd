//! `notes.toml` in a sweep's folder: what people note about the sweep and its trials, and their tags. Training neither reads
//! nor removes it, so that it outlives a rerun.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::lock::{Lock, LockResult};
use super::{Store, most};
use sweep_core::error::{Error, Result};

const FILE: &str = "notes.toml";
const LOCK: &str = ".notes.lock";
/// Time to wait for another process that writes a note.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is noted about a sweep or a trial.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// A line of text.
    #[serde(default, rename = "note", skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Tags, sorted.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
}

impl Note {
    /// Whether nothing is noted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_none() && self.tags.is_empty()
    }

    /// Tags and text in a line: `#good #paper a remark`; empty where nothing is noted.
    #[must_use]
    pub fn line(&self) -> String {
        let tags = self.tags.iter().map(|tag| format!("#{tag}"));
        tags.chain(self.text.clone()).collect::<Vec<_>>().join(" ")
    }
}

/// What is noted about a sweep and its trials.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notes {
    /// About the sweep.
    #[serde(default, skip_serializing_if = "Note::is_empty")]
    pub sweep: Note,
    /// About trials, by their ids.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub trials: BTreeMap<String, Note>,
}

impl Notes {
    /// About a trial, or about the sweep.
    #[must_use]
    pub fn of(&self, trial: Option<&str>) -> Note {
        trial.map_or_else(|| self.sweep.clone(), |id| self.trials.get(id).cloned().unwrap_or_default())
    }

    /// The same to change; an entry that stays empty is not written.
    pub fn of_mut(&mut self, trial: Option<&str>) -> &mut Note {
        match trial {
            None => &mut self.sweep,
            Some(id) => self.trials.entry(id.to_owned()).or_default(),
        }
    }

    /// Whether nothing is noted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sweep.is_empty() && self.trials.values().all(Note::is_empty)
    }
}

impl Store {
    /// What is noted about the sweep and its trials.
    ///
    /// # Errors
    /// When `notes.toml` is there and cannot be read.
    pub fn notes(&self) -> Result<Notes> {
        let Some(bytes) = self.root.read_if_present(FILE, most::STATUS)? else { return Ok(Notes::default()) };
        let path = self.root.join(FILE);
        let text = super::root::text(bytes, &path)?;
        toml::from_str(&text).map_err(|e| {
            let line = e.span().map_or(1, |span| 1 + text.get(..span.start).unwrap_or_default().matches('\n').count());
            Error::results(e.message().to_owned())
                .at(format!("{}:{line}", path.display()))
                .remedy("mend the file, or remove it: it holds notes alone")
        })
    }

    /// Changes what is noted, while no other process does.
    ///
    /// # Errors
    /// When the file cannot be read or written, or another process holds it.
    pub fn change_notes(&self, host: &str, change: impl FnOnce(&mut Notes)) -> Result<()> {
        let _lock = match Lock::acquire(&self.root, LOCK, host, PATIENCE)? {
            LockResult::Held(lock) => lock,
            LockResult::Busy(holder) => {
                let who = holder.map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
                return Err(Error::results(format!("{who} writes notes"))
                    .at(self.root().display())
                    .remedy("try again"));
            }
        };
        let mut notes = self.notes()?;
        change(&mut notes);
        notes.trials.retain(|_, note| !note.is_empty());
        if notes.is_empty() {
            return self.root.remove(FILE);
        }
        let text = toml::to_string(&notes).map_err(|e| Error::results(format!("cannot write {FILE}: {e}")))?;
        self.root.replace(FILE, text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_kept_and_vanish_with_their_last_word() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        assert!(store.notes().unwrap().is_empty());
        let noted = "broken\nline \u{1b}[2J \"quoted\" = [x]";
        store
            .change_notes("here", |notes| {
                notes.of_mut(None).text = Some(noted.into());
                notes.of_mut(Some("t")).tags.extend(["b".to_owned(), "a".to_owned()]);
                notes.of_mut(Some("untouched"));
            })
            .unwrap();
        let notes = store.notes().unwrap();
        assert_eq!((notes.of(None).text.unwrap(), notes.of(Some("t")).line()), (noted.to_owned(), "#a #b".to_owned()));
        assert_eq!(notes.trials.len(), 1);
        store.change_notes("here", |notes| *notes = Notes::default()).unwrap();
        assert!(!store.folder().has_file(FILE));
        store.root.write(FILE, b"[sweep]\nnote = 3\n").unwrap();
        let error = store.notes().unwrap_err();
        assert!(error.location.clone().unwrap().ends_with("notes.toml:2"), "{error}");
    }
}
