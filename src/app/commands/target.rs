//! The target of a command: a sweep or one of its trials, found by the folder that the user named.

use std::path::Path;

use sweep_core::error::{Error, Result};
use sweep_experiment::store::{Store, is_plain};

/// A sweep, or a trial of it.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) store: Store,
    pub(super) trial: Option<String>,
}

impl Target {
    /// The sweep or trial in this folder.
    pub(super) fn of(folder: &Path) -> Result<Self> {
        let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let trials = absolute.parent().filter(|above| above.file_name().is_some_and(|name| name == "trials"));
        if let Some(sweep) = trials.and_then(Path::parent) {
            let (store, id) =
                (Store::at(sweep), absolute.file_name().unwrap_or_default().to_string_lossy().into_owned());
            return if is_plain(&id) && store.trials()?.contains(&id) {
                Ok(Self { store, trial: Some(id) })
            } else {
                Err(Error::results("no trial.toml: this is not the folder of a trial")
                    .at(folder.display())
                    .remedy(format!("`sweep status {}` names the sweep's trials", sweep.display())))
            };
        }
        let store = Store::at(folder);
        if store.is_sweep() || !store.trials()?.is_empty() {
            return Ok(Self { store, trial: None });
        }
        Err(Error::results("no sweep.toml and no trials: this is not the folder of a sweep")
            .at(folder.display())
            .remedy(store.name_a_sweep()))
    }

    /// Its name in messages.
    pub(super) fn name(&self) -> String {
        let folder = self.store.root().file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.trial.clone().unwrap_or(folder)
    }
}
