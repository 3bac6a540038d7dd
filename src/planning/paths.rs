//! Relative paths of a definition: they are looked for in the working directory, and else in the definition's own folder, so
//! that a definition can be run from anywhere together with the data beside it.

use std::path::{Path, PathBuf};

use sweep_core::error::{Error, Result};
use sweep_data::{DatasetSpec, Source};
use sweep_experiment::definition::SweepDefinition;

use crate::config::TrialConfig;

/// Puts the paths of the data set and of the weights in the place of relative ones that are found beside the definition. What
/// the command line says is relative to the working directory.
///
/// # Errors
/// When a path names two different places; the location is the key.
pub(crate) fn resolve(config: &mut TrialConfig, definition: &SweepDefinition) -> Result<()> {
    let set_here = |key: &str| definition.set_by(key).is_some();
    if let Source::Folder { path } = &mut config.dataset.source
        && !set_here("dataset.path")
    {
        find(path, definition, |path| path.join("dataset.toml").is_file()).map_err(|e| e.at("dataset.path"))?;
    }
    if let Some(weights) = config.model.weights_mut()
        && !set_here("model.weights.path")
    {
        find(&mut weights.path, definition, Path::is_file).map_err(|e| e.at("model.weights.path"))?;
    }
    Ok(())
}

/// Replaces a relative path by that beside the definition, if it is there alone.
fn find(path: &mut PathBuf, definition: &SweepDefinition, is_there: impl Fn(&Path) -> bool) -> Result<()> {
    let Some(folder) = folder_of(definition).filter(|_| path.is_relative()) else { return Ok(()) };
    let beside = folder.join(&path);
    if !is_there(&beside) {
        return Ok(());
    }
    if !is_there(path) {
        *path = beside;
        return Ok(());
    }
    if matches!((path.canonicalize(), beside.canonicalize()), (Ok(a), Ok(b)) if a != b) {
        let what =
            format!("`{}` is in the working directory, and another one is beside the definition", path.display());
        return Err(Error::definition(what).remedy("write the whole path, or name the data set with --dataset"));
    }
    Ok(())
}

/// The folder of a definition that is not in the working directory.
fn folder_of(definition: &SweepDefinition) -> Option<&Path> {
    Path::new(&definition.source.file).parent().filter(|folder| !folder.as_os_str().is_empty())
}

/// Adds to the error of a data set that is not found where it was looked for.
#[must_use]
pub fn looked_for(error: Error, dataset: &DatasetSpec, definition: &SweepDefinition) -> Error {
    let Source::Folder { path } = &dataset.source else { return error };
    if path.starts_with("~") {
        let right = "`~` stands for the home folder in a shell only: write the whole path";
        return Error { remedy: Some(right.to_owned()), ..error };
    }
    if path.is_absolute() || path.join("dataset.toml").is_file() {
        return error;
    }
    let here = std::path::absolute("").map_or_else(|_| ".".to_owned(), |here| here.display().to_string());
    let beside = folder_of(definition)
        .map_or_else(String::new, |folder| format!(" and beside the definition, in {}", folder.display()));
    let message =
        format!("{}; the path is relative: it was looked for in the working directory, {here}{beside}", error.message);
    Error { message, ..error }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "makes the folders of a user")]
mod tests {
    use super::*;

    #[test]
    fn data_are_found_beside_their_definition() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("sub");
        std::fs::create_dir_all(folder.join("films")).unwrap();
        std::fs::write(folder.join("films/dataset.toml"), "").unwrap();
        let text = "name = 'a'\n[trial]\nepochs = 1\nmodel = { name = 'unet' }\nloss = { name = 'l1' }\n\
                    dataset = { name = 'folder', path = 'films' }";
        let file = folder.join("a.toml").display().to_string();
        let mut definition = SweepDefinition::parse(&file, text).unwrap();
        let mut config: TrialConfig = {
            let mut table = definition.trial.clone();
            table.insert("seed".into(), 0.into());
            table.try_into().unwrap()
        };
        let before = config.clone();
        resolve(&mut config, &definition).unwrap();
        assert_eq!(config.dataset, DatasetSpec::folder(folder.join("films")));
        // A path on the command line is relative to where it was typed.
        definition.set("dataset.path=films").unwrap();
        let mut typed = before.clone();
        resolve(&mut typed, &definition).unwrap();
        assert_eq!(typed, before);
        let error = looked_for(Error::input("not a data set"), &before.dataset, &definition);
        assert!(
            error.message.contains("working directory") && error.message.contains("beside the definition"),
            "{error}"
        );
        let home = looked_for(Error::input("not a data set"), &DatasetSpec::folder("~/films"), &definition);
        assert!(home.remedy.unwrap().contains("whole path"));
    }
}
