//! What was submitted, on disk: whoever comes after, on whatever machine, finds the jobs again.
//!
//! `slurm/0001.json` says which job has which trials; `0001.txt` is the same list as the job reads it, written before the
//! job is submitted and never changed; `0001.sh` is the script.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use sweep_core::error::{Error, Result};
use sweep_experiment::slurm::answers::Job;
use sweep_experiment::store;

/// An array of trials that was submitted, or was about to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// Name of its jobs.
    pub name: String,
    /// What its jobs carry, and no other's do.
    pub comment: String,
    /// Slurm's number of it; none before Slurm has said it.
    pub job: Option<u64>,
    /// How many of its trials run at once, at most.
    #[serde(default)]
    pub at_once: Option<usize>,
    /// Slurm never had it: it was refused, or its submitter died before.
    #[serde(default)]
    pub void: bool,
    /// Its trials, in the order of the array.
    pub trials: Vec<String>,
}

/// All submissions of a sweep.
#[derive(Debug)]
pub(super) struct Ledger {
    folder: PathBuf,
    pub(super) submissions: Vec<Submission>,
}

impl Ledger {
    /// Those in this folder.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let mut ledger = Self { folder: folder.to_owned(), submissions: Vec::new() };
        for place in 0.. {
            let path = ledger.file(place, "json");
            if !path.is_file() {
                break;
            }
            let read = store::read_text(&path)
                .and_then(|text| serde_json::from_str(&text).map_err(|e| Error::results(e.to_string())));
            let remedy = "remove it once `squeue` shows no job of this sweep";
            ledger.submissions.push(read.map_err(|e| e.at(path.display()).remedy(remedy))?);
        }
        Ok(ledger)
    }

    /// A file of a submission.
    pub(super) fn file(&self, place: usize, kind: &str) -> PathBuf {
        self.folder.join(format!("{:04}.{kind}", place + 1))
    }

    /// Where jobs print.
    pub(super) fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    /// Writes down what is about to be submitted; its place. Its script is made from that.
    pub(super) fn intend(
        &mut self,
        submission: Submission,
        script: impl FnOnce(&Self, usize) -> String,
    ) -> Result<usize> {
        let place = self.submissions.len();
        let manifest: String = submission.trials.iter().flat_map(|trial| [trial.as_str(), "\n"]).collect();
        store::write(&self.file(place, "txt"), manifest.as_bytes())?;
        store::write(&self.file(place, "sh"), script(self, place).as_bytes())?;
        store::create_folder(&self.logs())?;
        self.submissions.push(submission);
        self.keep(place)?;
        Ok(place)
    }

    /// Writes down what Slurm said of it.
    pub(super) fn keep(&self, place: usize) -> Result<()> {
        let json = serde_json::to_vec(&self.submissions[place]).map_err(|e| Error::results(e.to_string()))?;
        store::replace(&self.file(place, "json"), &json)
    }

    /// The trial that a job has, if it is one of these: a number may be another cluster's, or be given out anew, a comment is
    /// not.
    pub(super) fn trial_of(&self, job: &Job) -> Option<&str> {
        let submission = self.submissions.iter().find(|one| !one.void && one.comment == job.comment)?;
        submission.trials.get(job.task as usize).map(String::as_str)
    }

    /// The submission with this job.
    pub(super) fn of_job(&self, array: u64) -> Option<&Submission> {
        self.submissions.iter().find(|submission| submission.job == Some(array))
    }
}
