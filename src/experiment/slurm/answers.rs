//! Parsers for the output of Slurm's programs, in the formats that all their versions share.

/// Format for `squeue -o` that [`jobs`] reads: the fields of a job; those that may contain any character come last.
pub const FORMAT: &str = "%i|%T|%k|%N|%r";

/// A task of a job array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Number of the array's job.
    pub array: u64,
    /// Number of the task.
    pub task: u32,
    /// Its state.
    pub state: JobState,
    /// Comment that it was submitted with.
    pub comment: String,
    /// The node it runs on, or last ran on.
    pub node: String,
    /// Reason why it waits.
    pub reason: String,
}

impl Job {
    /// Its name for `scancel`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}_{}", self.array, self.task)
    }
}

/// State of a job, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// It waits, perhaps after a requeue.
    Waiting,
    /// It is on a node, or about to start or end there.
    Running,
    /// It is on a node and does nothing until it is resumed.
    Suspended,
    /// It ended by itself, with success.
    Completed,
    /// It ended by itself, with an error.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// It reached its time limit.
    TimedOut,
    /// A job of higher priority took its resources.
    Preempted,
    /// Its node failed, or did not boot.
    NodeFailed,
    /// It used more memory than it had requested.
    OutOfMemory,
}

impl JobState {
    /// From Slurm's name for it, which further words may follow (`CANCELLED by 1000`).
    fn from_name(name: &str) -> Self {
        match name.split([' ', '+']).next().unwrap_or_default() {
            "COMPLETED" => Self::Completed,
            "FAILED" | "DEADLINE" => Self::Failed,
            "CANCELLED" | "REVOKED" => Self::Cancelled,
            "TIMEOUT" => Self::TimedOut,
            "PREEMPTED" => Self::Preempted,
            "NODE_FAIL" | "BOOT_FAIL" => Self::NodeFailed,
            "OUT_OF_MEMORY" => Self::OutOfMemory,
            "PENDING" | "REQUEUED" | "REQUEUE_FED" | "REQUEUE_HOLD" | "SPECIAL_EXIT" | "RESV_DEL_HOLD" => Self::Waiting,
            "SUSPENDED" | "STOPPED" => Self::Suspended,
            // CONFIGURING, RUNNING, STAGE_OUT, SIGNALING, RESIZING, COMPLETING, and states of later
            // versions.
            _ => Self::Running,
        }
    }

    /// Whether the job has ended.
    #[must_use]
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running | Self::Suspended)
    }
}

/// Tasks of arrays in the output of `squeue -h -r -t all -o` [`FORMAT`]; other jobs are left out.
#[must_use]
pub fn jobs(answer: &str) -> Vec<Job> {
    answer.lines().filter_map(job).collect()
}

fn job(line: &str) -> Option<Job> {
    let mut fields = line.splitn(5, '|').map(str::trim);
    let (array, task) = task(fields.next()?)?;
    let state = JobState::from_name(fields.next()?);
    let [comment, node, reason] = [0; 3].map(|_| fields.next().unwrap_or_default().to_owned());
    Some(Job { array, task, state, comment, node, reason })
}

/// Parses `12_3`.
fn task(name: &str) -> Option<(u64, u32)> {
    let (array, task) = name.split_once('_')?;
    Some((array.parse().ok()?, task.parse().ok()?))
}

/// Tasks of arrays in the output of `sacct -n -X -P -o JobID,State,ExitCode`, with their outcomes. If a task is listed
/// twice, it was requeued, and its last line counts.
#[must_use]
pub fn history(answer: &str) -> Vec<(u64, u32, JobState, String)> {
    let line = |line: &str| {
        let mut fields = line.split('|');
        let (array, task) = task(fields.next()?)?;
        let state = JobState::from_name(fields.next()?);
        Some((array, task, state, fields.next().unwrap_or_default().to_owned()))
    };
    answer.lines().filter_map(line).collect()
}

/// The job's number in the output of `sbatch --parsable`: `12`, or `12;cluster`.
#[must_use]
pub fn submitted(answer: &str) -> Option<u64> {
    // A plugin of the site may print lines before it.
    answer.lines().rev().find_map(|line| line.trim().split(';').next()?.parse().ok())
}

/// A setting in the output of `scontrol show config`.
#[must_use]
pub fn setting<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let value =
        |line: &'a str| line.split_once('=').filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim());
    answer.lines().find_map(value)
}

/// A field in the output of `scontrol -o show job`.
#[must_use]
pub fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

/// Whether an error text means that the controller cannot be reached now, not that it refuses.
#[must_use]
pub fn is_away(message: &str) -> bool {
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
    let message = message.to_ascii_lowercase();
    WORDS.iter().any(|words| message.contains(words))
}

/// Whether a refused submission may succeed once fewer jobs are queued.
#[must_use]
pub fn is_full(message: &str) -> bool {
    const WORDS: [&str; 3] = ["submit limit", "submitjoblimit", "slurm at its limit"];
    let message = message.to_ascii_lowercase();
    WORDS.iter().any(|words| message.contains(words)) || (message.contains("maxsubmit") && message.contains("limit"))
}

/// Reason why a waiting job will not start without help, and the remedy; `None` if it merely waits.
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
        assert_eq!(found.len(), 4, "a job outside an array is not ours");
        assert_eq!((found[0].name(), found[0].state), ("12_3".to_owned(), JobState::Waiting));
        assert_eq!((found[1].node.as_str(), found[1].state), ("node7", JobState::Running));
        assert_eq!(["SUSPENDED", "STOPPED"].map(JobState::from_name), [JobState::Suspended; 2]);
        assert!(!JobState::Suspended.is_over());
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
