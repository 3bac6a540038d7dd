//! The decision about a trial whose job is over: its status file takes precedence over Slurm's job state. Pure.

use sweep_experiment::records::{State, TrialStatus};
use sweep_experiment::slurm::answers::JobState;

/// Evidence about a trial whose job is over.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Evidence<'a> {
    /// The job's state, if Slurm still knows it.
    pub(super) job: Option<JobState>,
    /// The trial's status file.
    pub(super) left: &'a TrialStatus,
    /// Whether the status was written by this job, and not by an earlier attempt.
    pub(super) begun: bool,
    /// Whether the runner requested it to stop.
    pub(super) stop_requested: bool,
    /// Whether a process trains it now.
    pub(super) is_training: bool,
    /// Whether files written on its node must be visible here by now.
    pub(super) files_synced: bool,
}

/// Action for the trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// Check again later.
    Wait,
    /// It ended as its status says, or as the runner requested.
    Over,
    /// Its records could not be written.
    Results,
    /// Somebody cancelled its job.
    Stopped(String),
    /// It failed.
    Failed(String),
    /// Submit it again, with the reason.
    Resubmit(String),
    /// Same as `Resubmit`; the node may be at fault.
    FailedStart(String),
}

pub(super) fn decide(evidence: Evidence<'_>) -> Decision {
    let Evidence { job, left, begun, stop_requested, is_training, files_synced } = evidence;
    if left.state == State::Done || (begun && left.state.is_settled()) || (stop_requested && !is_training) {
        return Decision::Over;
    }
    if is_training {
        return Decision::Wait;
    }
    let again = |why: &str| Decision::Resubmit(why.to_owned());
    match job {
        Some(JobState::Waiting | JobState::Running | JobState::Suspended) => Decision::Wait,
        Some(JobState::Cancelled) => Decision::Stopped("its job was cancelled; run again to go on with it".to_owned()),
        Some(JobState::TimedOut) => again("its job's time was over"),
        Some(JobState::Preempted) => again("its job was preempted"),
        Some(JobState::NodeFailed) => again("its node failed"),
        Some(JobState::OutOfMemory) => Decision::Failed(
            "it took more memory than its job had asked for: set `memory` in [slurm], or use a smaller batch or input"
                .to_owned(),
        ),
        // It ended by itself: its last status may not be visible here yet.
        Some(JobState::Failed | JobState::Completed) | None if !files_synced => Decision::Wait,
        _ if begun && left.state == State::Interrupted => {
            // An interrupted trial has a message only if it could not write its records.
            if left.message.is_some() { Decision::Results } else { again("it was stopped and saved what it had") }
        }
        None => again("its job is gone and Slurm does not know how it ended"),
        Some(JobState::Failed) if begun => Decision::Failed("its process ended without an error message".to_owned()),
        // The node or the setup lines are at fault, not the trial.
        Some(JobState::Failed) => Decision::FailedStart("its job failed before training began".to_owned()),
        Some(JobState::Completed) => Decision::Failed(
            "its job ended without an error but left no results here: do the nodes see the same results folder as this machine?"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(state: State) -> TrialStatus {
        TrialStatus { state, attempts: 1, ..TrialStatus::pending("t") }
    }

    fn decision_for(job: Option<JobState>, state: State) -> Decision {
        let left = left(state);
        decide(Evidence {
            job,
            left: &left,
            begun: true,
            stop_requested: false,
            is_training: false,
            files_synced: true,
        })
    }

    #[test]
    fn what_the_trial_says_counts_before_what_slurm_says() {
        for job in [Some(JobState::Failed), Some(JobState::Cancelled), Some(JobState::NodeFailed), None] {
            assert_eq!(decision_for(job, State::Done), Decision::Over);
            assert_eq!(decision_for(job, State::Failed), Decision::Over);
            assert_eq!(decision_for(job, State::Diverged), Decision::Over);
        }
        let before = left(State::Failed);
        let evidence = Evidence {
            job: Some(JobState::NodeFailed),
            left: &before,
            begun: false,
            stop_requested: false,
            is_training: false,
            files_synced: true,
        };
        assert!(matches!(decide(evidence), Decision::Resubmit(_)), "an earlier attempt's failure is not this one's");
        let is_training = Evidence { is_training: true, ..evidence };
        assert_eq!(decide(is_training), Decision::Wait, "somebody else has it");
    }

    #[test]
    fn ends_from_outside_are_no_failures_of_the_trial() {
        for job in [JobState::TimedOut, JobState::Preempted, JobState::NodeFailed] {
            assert!(matches!(decision_for(Some(job), State::Running), Decision::Resubmit(_)), "{job:?}");
        }
        assert!(matches!(decision_for(Some(JobState::Cancelled), State::Running), Decision::Stopped(_)));
        assert!(matches!(decision_for(Some(JobState::Failed), State::Interrupted), Decision::Resubmit(_)));
        assert!(matches!(decision_for(None, State::Running), Decision::Resubmit(_)));
    }

    #[test]
    fn a_silent_end_is_believed_once_files_must_be_seen() {
        let status = left(State::Pending);
        let evidence = |job| Evidence {
            job: Some(job),
            left: &status,
            begun: false,
            stop_requested: false,
            is_training: false,
            files_synced: false,
        };
        let after = |job| decide(Evidence { files_synced: true, ..evidence(job) });
        assert_eq!(
            [JobState::Failed, JobState::Completed].map(|job| decide(evidence(job))),
            [Decision::Wait, Decision::Wait]
        );
        assert!(matches!(after(JobState::Failed), Decision::FailedStart(why) if why.contains("before training")));
        assert!(matches!(after(JobState::Completed), Decision::Failed(why) if why.contains("same results folder")));
        let mut full = left(State::Interrupted);
        full.message = Some("cannot write: No space left on device".into());
        let evidence = Evidence {
            job: Some(JobState::Failed),
            left: &full,
            begun: true,
            stop_requested: false,
            is_training: false,
            files_synced: true,
        };
        assert_eq!(decide(evidence), Decision::Results);
    }
}
