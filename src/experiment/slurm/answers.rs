//! What Slurm's programs answer, in the formats that all their versions share.

/// Format of [`jobs`] for `squeue -o`: everything about a job that matters, what may hold any character last.
pub const FORMAT: &str = "%i|%T|%k|%N|%r";

/// A job, or a task of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Number of the array.
    pub array: u64,
    /// Number of the task.
    pub task: u32,
    /// Where it stands.
    pub state: JobState,
    /// What it was submitted with.
    pub comment: String,
    /// The node it runs on, or did.
    pub node: String,
    /// Why it waits.
    pub reason: String,
}

impl Job {
    /// As `scancel` takes it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}_{}", self.array, self.task)
    }
}

/// Where a job stands, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// It waits, again perhaps.
    Waiting,
    /// It is on a node, or about to come or go.
    Running,
    /// By itself, with success.
    Completed,
    /// By itself, without.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// Its time was over.
    TimedOut,
    /// Something more important took its place.
    Preempted,
    /// Its node failed, or did not start.
    NodeFailed,
    /// It took more memory than it had asked for.
    OutOfMemory,
}

impl JobState {
    /// By Slurm's name for it, which may have words behind it (`CANCELLED by 1000`).
    fn of(name: &str) -> Self {
        match name.split([' ', '+']).next().unwrap_or_default() {
            "COMPLETED" => Self::Completed,
            "FAILED" | "DEADLINE" => Self::Failed,
            "CANCELLED" | "REVOKED" => Self::Cancelled,
            "TIMEOUT" => Self::TimedOut,
            "PREEMPTED" => Self::Preempted,
            "NODE_FAIL" | "BOOT_FAIL" => Self::NodeFailed,
            "OUT_OF_MEMORY" => Self::OutOfMemory,
            "PENDING" | "REQUEUED" | "REQUEUE_FED" | "REQUEUE_HOLD" | "SPECIAL_EXIT" | "RESV_DEL_HOLD" => Self::Waiting,
            // CONFIGURING, RUNNING, STAGE_OUT, SIGNALING, SUSPENDED, STOPPED, RESIZING, COMPLETING, and what is to come.
            _ => Self::Running,
        }
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }
}

/// Tasks of arrays in the answer of `squeue -h -r -t all -o` [`FORMAT`]; other jobs are left out.
#[must_use]
pub fn jobs(answer: &str) -> Vec<Job> {
    answer.lines().filter_map(job).collect()
}

fn job(line: &str) -> Option<Job> {
    let mut fields = line.splitn(5, '|').map(str::trim);
    let (array, task) = task(fields.next()?)?;
    let state = JobState::of(fields.next()?);
    let [comment, node, reason] = [0; 3].map(|_| fields.next().unwrap_or_default().to_owned());
    Some(Job { array, task, state, comment, node, reason })
}

/// `12_3`.
fn task(name: &str) -> Option<(u64, u32)> {
    let (array, task) = name.split_once('_')?;
    Some((array.parse().ok()?, task.parse().ok()?))
}

/// Tasks of arrays in the answer of `sacct -n -X -P -o JobID,State,ExitCode`, and how they ended; a task that is there twice
/// was queued again, and its last line counts.
#[must_use]
pub fn history(answer: &str) -> Vec<(u64, u32, JobState, String)> {
    let line = |line: &str| {
        let mut fields = line.split('|');
        let (array, task) = task(fields.next()?)?;
        let state = JobState::of(fields.next()?);
        Some((array, task, state, fields.next().unwrap_or_default().to_owned()))
    };
    answer.lines().filter_map(line).collect()
}

/// The job in the answer of `sbatch --parsable`: `12`, or `12;cluster`.
#[must_use]
pub fn submitted(answer: &str) -> Option<u64> {
    // A site's own plugin may print before it.
    answer.lines().rev().find_map(|line| line.trim().split(';').next()?.parse().ok())
}

/// A setting in the answer of `scontrol show config`.
#[must_use]
pub fn setting<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let value =
        |line: &'a str| line.split_once('=').filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim());
    answer.lines().find_map(value)
}

/// A field in the answer of `scontrol -o show job`.
#[must_use]
pub fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

/// Whether what a program says means that the controller cannot be asked now, and not that it refuses.
#[must_use]
pub fn is_away(said: &str) -> bool {
    const WORDS: [&str; 11] = [
        "unable to contact slurm controller",
        "socket timed out",
        "connection refused",
        "connect failure",
        "zero bytes were transmitted",
        "communication connection failure",
        "unexpected message received",
        "temporarily",
        "protocol authentication error",
        "munge",
        "slurmctld backup",
    ];
    let said = said.to_ascii_lowercase();
    WORDS.iter().any(|words| said.contains(words))
}

/// Whether a refused submission may be taken when fewer jobs are there.
#[must_use]
pub fn is_full(said: &str) -> bool {
    const WORDS: [&str; 3] = ["submit limit", "submitjoblimit", "slurm at its limit"];
    let said = said.to_ascii_lowercase();
    WORDS.iter().any(|words| said.contains(words)) || (said.contains("maxsubmit") && said.contains("limit"))
}

/// Why a waiting job will not start unless somebody does something, and what that is; `None` where it only waits.
#[must_use]
pub fn stuck(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "JobHeldUser" => "it is held: `scontrol release` lets it go",
        "JobHeldAdmin" => "an administrator holds it: ask there",
        "PartitionTimeLimit" => "its partition allows less time: lower time, or name another partition",
        "PartitionNodeLimit" | "BadConstraints" => "no node has all it asks for: see gres, constraint, cpus and memory",
        "PartitionDown" | "PartitionInactive" => "its partition is closed",
        "DependencyNeverSatisfied" => "what it waits for will not come",
        "InvalidAccount" | "InvalidQOS" => "its account or QOS is not valid any more",
        "AccountNotAllowed" | "QOSNotAllowed" => "its account or QOS may not use this partition",
        "launch_failed_requeued_held" => "it could not be started and is held: `scontrol release` tries again",
        _ => {
            let reason = reason.to_ascii_lowercase();
            if reason.contains("launch failed") {
                return Some("it could not be started and is held: `scontrol release` tries again");
            }
            if reason.contains("notavail") || reason.contains("down") && reason.contains("drained") {
                return Some("the nodes it needs are down or reserved");
            }
            if reason.contains("perjob") || reason.contains("maxwall") {
                return Some("it asks for more than its account may have for one job");
            }
            return None;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squeues_answer_is_read() {
        let answer = "12_3|PENDING|sweep:ab||JobArrayTaskLimit\n12_0|RUNNING|sweep:ab|node7|None\n13|RUNNING|(null)|n|None\n\
                      12_1|COMPLETING|sweep:ab|node7|None\n14_0|NODE_FAIL|||a | b\n";
        let found = jobs(answer);
        assert_eq!(found.len(), 4, "a job that is no array's is not ours");
        assert_eq!((found[0].name(), found[0].state), ("12_3".to_owned(), JobState::Waiting));
        assert_eq!((found[1].node.as_str(), found[1].state), ("node7", JobState::Running));
        assert!(!found[2].state.is_over() && found[3].state.is_over());
        assert_eq!(found[3].reason, "a | b");
    }

    #[test]
    fn the_other_answers_are_read() {
        assert_eq!(submitted("12\n"), Some(12));
        assert_eq!(submitted("Welcome!\n12;cluster\n"), Some(12));
        assert_eq!(submitted("sbatch: error"), None);
        let history = history("12_0|COMPLETED|0:0\n12_1|CANCELLED by 0|0:15\n12|FAILED|1:0\n");
        assert_eq!(history.len(), 2);
        assert_eq!(history[1], (12, 1, JobState::Cancelled, "0:15".to_owned()));
        assert_eq!(setting("MaxArraySize            = 1001\nMaxJobCount = 5", "MaxArraySize"), Some("1001"));
        assert_eq!(field("JobId=3 JobState=FAILED ExitCode=0:53 NodeList=vm", "ExitCode"), Some("0:53"));
    }

    #[test]
    fn a_controller_that_is_away_has_refused_nothing() {
        assert!(is_away("slurm_load_jobs error: Unable to contact slurm controller (connect failure)"));
        assert!(is_away("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"));
        assert!(!is_away("sbatch: error: Batch job submission failed: Invalid partition name specified"));
        let full = "Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)";
        assert!(is_full(full) && !is_full("Invalid account or account/partition combination specified"));
    }

    #[test]
    fn a_job_that_only_waits_is_not_stuck() {
        for reason in
            ["Priority", "Resources", "JobArrayTaskLimit", "BeginTime", "Dependency", "None", "QOSMaxJobsPerUserLimit"]
        {
            assert_eq!(stuck(reason), None, "{reason}");
        }
        for reason in
            ["JobHeldUser", "PartitionTimeLimit", "launch failed requeued held", "ReqNodeNotAvail, UnavailableNodes:n"]
        {
            assert!(stuck(reason).is_some(), "{reason}");
        }
    }
}
