//! Jobs of a sweep: the script of an array, and its preview.

use std::path::{Path, PathBuf};

use super::controller;
use super::submissions::SubmissionLog;
use sweep_core::error::{Error, Result};
use sweep_experiment::slurm::SlurmSpec;
use sweep_experiment::slurm::script::{Array, script};
use sweep_experiment::store::Store;

/// Slurm's own default for the largest array.
const LARGEST_ARRAY: usize = 1001;

/// How jobs start trials.
#[derive(Debug, Clone)]
pub struct Jobs {
    /// Name of all jobs of the sweep.
    pub name: String,
    /// Identifies this runner's submissions.
    pub token: String,
    /// Working directory of the jobs.
    pub from: PathBuf,
    /// The `sweep` program.
    pub program: PathBuf,
    /// Device, as `--device` takes it.
    pub device: String,
    /// Threads of a trial, if specified.
    pub threads: Option<usize>,
}

impl Jobs {
    /// The comment that identifies the jobs of a submission.
    pub(super) fn comment(&self, index: usize) -> String {
        format!("sweep:{}:{index}", self.token)
    }

    /// The batch script of an array.
    pub(super) fn script(
        &self,
        spec: &SlurmSpec,
        array: Array<'_>,
        submissions: &SubmissionLog,
        index: usize,
        folder: &Path,
    ) -> Result<String> {
        let (manifest, logs) = (submissions.file(index, "txt"), submissions.logs());
        let array = Array {
            name: &self.name,
            manifest: &manifest,
            folder,
            logs: logs.path(),
            from: &self.from,
            program: &self.program,
            device: &self.device,
            threads: self.threads,
            ..array
        };
        script(spec, &array)
    }
}

/// Largest number of tasks of an array: the smaller of the requested number and what the cluster allows, if known.
pub(super) fn largest(spec: &SlurmSpec, allowed: Option<usize>) -> usize {
    let allowed = allowed.unwrap_or(LARGEST_ARRAY);
    spec.array.map_or(allowed, |most| most.min(allowed)).max(1)
}

/// The first script that would be submitted for this number of trials, and the number of arrays. Writes nothing.
///
/// # Errors
/// When earlier submissions cannot be read, or the folder's path cannot be resolved.
pub fn preview(spec: &SlurmSpec, jobs: &Jobs, store: &Store, trials: usize) -> Result<(String, usize)> {
    let root = std::path::absolute(store.root()).map_err(|e| Error::results(e.to_string()))?;
    let submissions = SubmissionLog::open(&Store::at(&root).slurm())?;
    let largest = largest(spec, controller::largest_array());
    let arrays = trials.div_ceil(largest).max(1);
    let index = submissions.entries.len();
    let array = Array {
        comment: &jobs.comment(index),
        trials: trials.min(largest),
        at_once: spec.max_concurrent.map(|most| most.div_ceil(arrays)),
        ..Array::default()
    };
    Ok((jobs.script(spec, array, &submissions, index, &root.join("trials"))?, arrays))
}
