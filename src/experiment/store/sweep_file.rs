//! `sweep.toml`: the definition that a sweep ran with, the trials it planned, and its provenance.

use std::path::Path;

use serde::{Deserialize, Serialize};
use toml::Table;

use sweep_core::error::{Error, Result};

use super::{DEFINITION, Entry, Root, Store, is_plain, most};
use crate::definition::{Study, SweepDefinition};
use crate::provenance::Provenance;

/// The content of `sweep.toml`. Unknown keys are ignored when it is read, so that a newer program may add some.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepFile {
    /// Name of the sweep.
    pub name: String,
    /// The question that the sweep is to answer, if its definition states one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// The name of the study whose claims the report tests; a later version may know others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<String>,
    /// Seeds of the definition.
    #[serde(default)]
    pub seeds: Vec<u64>,
    /// Ids of the trials in the order of the plan.
    pub trials: Vec<String>,
    /// [`Provenance`] as a table, because reports print every key that a file has.
    #[serde(default)]
    pub provenance: Table,
    /// The definition as run, TOML.
    #[serde(default)]
    pub definition: String,
}

impl SweepFile {
    /// The file for a definition whose plan has these trials.
    ///
    /// # Errors
    /// When the provenance cannot be written as TOML.
    pub fn new(definition: &SweepDefinition, trials: Vec<String>, provenance: &Provenance) -> Result<Self> {
        Ok(Self {
            name: definition.name.clone(),
            question: definition.question.clone(),
            claims: definition.claims.map(|study| Study::name(study).to_owned()),
            seeds: definition.seeds.clone(),
            trials,
            provenance: Table::try_from(provenance).map_err(unwritable)?,
            definition: definition.as_run(),
        })
    }
}

impl Store {
    /// Reads `sweep.toml`.
    ///
    /// # Errors
    /// When the folder is not a sweep's, or the file cannot be read.
    pub fn read_sweep_file(&self) -> Result<SweepFile> {
        let path = self.definition();
        let Some(bytes) = self.root.read_if_present(DEFINITION, most::RECORD)? else {
            return Err(Error::results("no sweep.toml: this is not the folder of a sweep")
                .at(self.root().display())
                .remedy(self.name_a_sweep()));
        };
        let text = super::root::text(bytes, &path)?;
        let file: SweepFile =
            toml::from_str(&text).map_err(|e| Error::results(e.message().to_owned()).at(path.display()))?;
        if let Some(id) = file.trials.iter().find(|id| !is_plain(id)) {
            return Err(Error::results(format!("the trial {id:?} has no name of a folder"))
                .at(path.display())
                .remedy("this folder was not made by sweep, or was changed since"));
        }
        Ok(file)
    }

    /// The sweeps in a folder of results, by name, and whether the name is that of a folder or of a link.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn all_in(results: &Path) -> Result<Vec<(Self, Entry)>> {
        let root = Root::at(results);
        let mut found = Vec::new();
        for name in root.names()? {
            let (entry, store) = (root.entry(&name)?, Self::at(&results.join(&name)));
            found.extend(entry.filter(|_| store.is_sweep()).map(|entry| (store, entry)));
        }
        Ok(found)
    }

    /// Which sweep to name instead of this folder, which is none: one that is in it, or in `results`.
    #[must_use]
    pub fn name_a_sweep(&self) -> String {
        let sweeps = |folder: &Path| -> Vec<String> {
            let sweeps = Store::all_in(folder).unwrap_or_default();
            sweeps.iter().map(|(sweep, _)| sweep.root().display().to_string()).collect()
        };
        let inside = sweeps(self.root());
        let found = if inside.is_empty() { sweeps(Path::new("results")) } else { inside };
        let wanted = self.root().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let last = |path: &String| Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned());
        match found.iter().find(|path| last(path).as_deref() == Some(&wanted)) {
            Some(path) => format!("did you mean {path}?"),
            None if found.is_empty() => "name the folder a run made, for example results/loss".to_owned(),
            None => format!("name the folder of a sweep: {}", found.join(", ")),
        }
    }

    /// Writes `sweep.toml`; creates the folder if it is missing.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_sweep_file(&self, file: &SweepFile) -> Result<()> {
        let text = toml::to_string_pretty(file).map_err(unwritable)?;
        self.root.write(DEFINITION, text.as_bytes())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "an argument of map_err")]
fn unwritable(error: toml::ser::Error) -> Error {
    Error::results(format!("cannot write sweep.toml: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFINITION: &str = "name = \"tiny\"\nquestion = \"Which?\"\nseeds = [0, 7]\n[trial]\nepochs = 2\n";

    const WRITTEN: &str = r#"name = "tiny"
question = "Which?"
seeds = [
    0,
    7,
]
trials = [
    "a",
    "b",
]
definition = """
name = "tiny"
question = "Which?"
seeds = [0, 7]

[trial]
epochs = 2
"""

[provenance]
version = "1"
commit = "c"
host = "h"
device = "cpu"
threads = 3
"#;

    fn provenance() -> Provenance {
        Provenance {
            version: "1".into(),
            commit: Some("c".into()),
            dirty: None,
            host: "h".into(),
            device: "cpu".into(),
            threads: 3,
        }
    }

    #[test]
    fn sweep_toml_is_written_in_this_form_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        let definition = SweepDefinition::parse("tiny.toml", DEFINITION).unwrap();
        let file = SweepFile::new(&definition, vec!["a".into(), "b".into()], &provenance()).unwrap();
        store.write_sweep_file(&file).unwrap();
        assert_eq!(store.root.read_text("sweep.toml", most::RECORD).unwrap(), WRITTEN);
        assert_eq!(store.read_sweep_file().unwrap(), file);
    }

    #[test]
    fn unknown_and_missing_keys_are_tolerated() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        assert!(store.read_sweep_file().unwrap_err().message.contains("no sweep.toml"));
        store
            .root
            .write("sweep.toml", b"name = \"tiny\"\ntrials = [\"a\"]\nlater = 1\n[provenance]\nmore = true\n")
            .unwrap();
        let file = store.read_sweep_file().unwrap();
        assert_eq!((file.trials, file.seeds, file.question), (vec!["a".to_owned()], Vec::new(), None));
        assert!(file.provenance.contains_key("more"));
        store.root.write("sweep.toml", b"name = ").unwrap();
        assert!(store.read_sweep_file().is_err());
    }

    #[test]
    fn trials_have_names_of_folders() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        for id in ["../x", "/etc", "a/b", "..", "", "a\\nb", "a\\u001b[2J"] {
            store.root.write("sweep.toml", format!("name = \"tiny\"\ntrials = [\"{id}\"]").as_bytes()).unwrap();
            let error = store.read_sweep_file().unwrap_err();
            assert!(error.message.contains("no name of a folder"), "{id}: {error}");
            assert!(!error.message.chars().any(char::is_control), "{id}");
        }
    }
}
