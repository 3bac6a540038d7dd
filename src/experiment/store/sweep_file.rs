//! `sweep.toml`: the definition that a sweep ran with, the trials it planned, and its provenance.

use std::path::Path;

use serde::{Deserialize, Serialize};
use toml::Table;

use sweep_core::error::{Error, Result};

use super::{Store, files};
use crate::definition::SweepDefinition;
use crate::provenance::Provenance;

/// The content of `sweep.toml`. Unknown keys are ignored when it is read, so that a newer program may add some.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepFile {
    /// Name of the sweep.
    pub name: String,
    /// The question that the sweep is to answer, if its definition states one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
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
        if !path.is_file() {
            return Err(Error::results("no sweep.toml: this is not the folder of a sweep")
                .at(self.root().display())
                .remedy(self.name_a_sweep()));
        }
        toml::from_str(&files::read_text(&path)?).map_err(|e| Error::results(e.message().to_owned()).at(path.display()))
    }

    /// Which sweep to name instead of this folder, which is none: one that is in it, or in `results`.
    #[must_use]
    pub fn name_a_sweep(&self) -> String {
        let sweeps = |folder: &Path| -> Vec<String> {
            let folders = files::folders_in(folder).unwrap_or_default().into_iter();
            folders
                .filter(|inner| Store::at(inner).definition().is_file())
                .map(|inner| inner.display().to_string())
                .collect()
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
        files::write(&self.definition(), text.as_bytes())
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
        assert_eq!(files::read_text(&store.definition()).unwrap(), WRITTEN);
        assert_eq!(store.read_sweep_file().unwrap(), file);
    }

    #[test]
    fn unknown_and_missing_keys_are_tolerated() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        assert!(store.read_sweep_file().unwrap_err().message.contains("no sweep.toml"));
        files::write(&store.definition(), b"name = \"tiny\"\ntrials = [\"a\"]\nlater = 1\n[provenance]\nmore = true\n")
            .unwrap();
        let file = store.read_sweep_file().unwrap();
        assert_eq!((file.trials, file.seeds, file.question), (vec!["a".to_owned()], Vec::new(), None));
        assert!(file.provenance.contains_key("more"));
        files::write(&store.definition(), b"name = ").unwrap();
        assert!(store.read_sweep_file().is_err());
    }
}
