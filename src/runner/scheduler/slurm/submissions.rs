//! Submissions on disk, by which a later runner on any machine finds the jobs again.
//!
//! `slurm/0001.json` maps a job to its trials; `0001.txt` is the same list as the job reads it, written before the
//! job is submitted and never changed; `0001.sh` is the script.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use sweep_core::error::{Error, Result};
use sweep_experiment::slurm::answers::Job;
use sweep_experiment::store::{Root, is_plain, most};

/// An array of trials that was submitted or is about to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// Name of its jobs.
    pub name: String,
    /// Comment that identifies its jobs.
    pub comment: String,
    /// Slurm's id of the array; `None` before Slurm has confirmed it.
    pub job: Option<u64>,
    /// Concurrency limit.
    #[serde(default)]
    pub at_once: Option<usize>,
    /// Whether Slurm never had it: it was refused, or its submitter died before.
    #[serde(default)]
    pub void: bool,
    /// Its trials, in the order of the array.
    pub trials: Vec<String>,
}

/// Name of a submission's file.
fn name(index: usize, kind: &str) -> String {
    format!("{:04}.{kind}", index + 1)
}

/// All submissions of a sweep.
#[derive(Debug)]
pub(super) struct SubmissionLog {
    folder: Root,
    pub(super) entries: Vec<Submission>,
}

impl SubmissionLog {
    /// Reads the submissions in a folder.
    pub(super) fn open(folder: &Root) -> Result<Self> {
        let mut log = Self { folder: folder.clone(), entries: Vec::new() };
        let remedy = "remove it once `squeue` shows no job of this sweep";
        while let Some(json) = folder.read_if_present(name(log.entries.len(), "json"), most::RECORD)? {
            let wrong =
                |what: String| Error::results(what).at(log.file(log.entries.len(), "json").display()).remedy(remedy);
            let read: Submission = serde_json::from_slice(&json).map_err(|e| wrong(e.to_string()))?;
            // Names become lines of the list that jobs read.
            if let Some(id) = read.trials.iter().find(|id| !is_plain(id)) {
                return Err(wrong(format!("the trial {id:?} has no name of a folder")));
            }
            log.entries.push(read);
        }
        Ok(log)
    }

    /// The path of a submission's file.
    pub(super) fn file(&self, index: usize, kind: &str) -> PathBuf {
        self.folder.join(name(index, kind))
    }

    /// Folder of the jobs' output.
    pub(super) fn logs(&self) -> Root {
        self.folder.folder("logs")
    }

    /// Records a submission before it is made. Returns its index, which `script` receives too.
    pub(super) fn record(
        &mut self,
        submission: Submission,
        script: impl FnOnce(&Self, usize) -> Result<String>,
    ) -> Result<usize> {
        let index = self.entries.len();
        let manifest: String = submission.trials.iter().flat_map(|trial| [trial.as_str(), "\n"]).collect();
        self.folder.write(name(index, "txt"), manifest.as_bytes())?;
        self.folder.write(name(index, "sh"), script(self, index)?.as_bytes())?;
        self.logs().create()?;
        self.entries.push(submission);
        self.write(index)?;
        Ok(index)
    }

    /// Writes a submission's current state.
    pub(super) fn write(&self, index: usize) -> Result<()> {
        let json = serde_json::to_vec(&self.entries[index]).map_err(|e| Error::results(e.to_string()))?;
        self.folder.replace(name(index, "json"), &json)
    }

    /// The trial of a job, found by its comment: ids may belong to another cluster or be reused.
    pub(super) fn trial_of(&self, job: &Job) -> Option<&str> {
        let submission = self.entries.iter().find(|one| !one.void && one.comment == job.comment)?;
        submission.trials.get(job.task as usize).map(String::as_str)
    }

    /// The submission of an array.
    pub(super) fn of_job(&self, array: u64) -> Option<&Submission> {
        self.entries.iter().find(|submission| submission.job == Some(array))
    }
}
