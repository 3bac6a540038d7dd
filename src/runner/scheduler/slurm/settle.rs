//! What the end of a job amounts to: the trial's own word first, Slurm's second. Pure.

use sweep_experiment::records::{State, TrialStatus};
use sweep_experiment::slurm::answers::JobState;

/// What is known of a trial whose job is over.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Facts<'a> {
    /// How it ended, if Slurm still knows.
    pub(super) job: Option<JobState>,
    /// What the trial left.
    pub(super) left: &'a TrialStatus,
    /// Whether it left that in this job, and not before.
    pub(super) begun: bool,
    /// Whether the runner had asked it to stop.
    pub(super) asked: bool,
    /// Whether some process trains it at this moment.
    pub(super) trained: bool,
    /// Whether what its node wrote must be seen here by now.
    pub(super) shown: bool,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// Look again later.
    Wait,
    /// It is over as the trial itself says, or as the runner wanted.
    Over,
    /// Its records could not be written.
    Results,
    /// Somebody stopped it.
    Stopped(String),
    /// It failed.
    Failed(String),
    /// It goes on in another job, because of this.
    Again(String),
    /// The same, and its node may be why.
    Lost(String),
}

pub(super) fn decide(facts: Facts<'_>) -> Decision {
    let Facts { job, left, begun, asked, trained, shown } = facts;
    if left.state == State::Done || (begun && left.state.is_settled()) || (asked && !trained) {
        return Decision::Over;
    }
    if trained {
        return Decision::Wait;
    }
    let again = |why: &str| Decision::Again(why.to_owned());
    match job {
        Some(JobState::Waiting | JobState::Running) => Decision::Wait,
        Some(JobState::Cancelled) => Decision::Stopped("its job was cancelled; run again to go on with it".to_owned()),
        Some(JobState::TimedOut) => again("its job's time was over"),
        Some(JobState::Preempted) => again("its job was preempted"),
        Some(JobState::NodeFailed) => again("its node failed"),
        Some(JobState::OutOfMemory) => Decision::Failed(
            "it took more memory than its job had asked for: set `memory` in [slurm], or use a smaller batch or input"
                .to_owned(),
        ),
        // By itself: its last word may not be seen here yet.
        Some(JobState::Failed | JobState::Completed) | None if !shown => Decision::Wait,
        _ if begun && left.state == State::Interrupted => {
            // It says why only where it could not write.
            if left.message.is_some() { Decision::Results } else { again("it was stopped and saved what it had") }
        }
        None => again("its job is gone and nobody knows how it ended"),
        Some(JobState::Failed) if begun => Decision::Failed("its process ended without a word".to_owned()),
        // Not by the trial's fault, then: its node, or the lines of setup.
        Some(JobState::Failed) => Decision::Lost("its job failed before training began".to_owned()),
        Some(JobState::Completed) => Decision::Failed(
            "its job ended well and left nothing here: do the nodes see the same results folder as this machine?"
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

    fn of(job: Option<JobState>, state: State) -> Decision {
        let left = left(state);
        decide(Facts { job, left: &left, begun: true, asked: false, trained: false, shown: true })
    }

    #[test]
    fn what_the_trial_says_counts_before_what_slurm_says() {
        for job in [Some(JobState::Failed), Some(JobState::Cancelled), Some(JobState::NodeFailed), None] {
            assert_eq!(of(job, State::Done), Decision::Over);
            assert_eq!(of(job, State::Failed), Decision::Over);
            assert_eq!(of(job, State::Diverged), Decision::Over);
        }
        let before = left(State::Failed);
        let facts = Facts {
            job: Some(JobState::NodeFailed),
            left: &before,
            begun: false,
            asked: false,
            trained: false,
            shown: true,
        };
        assert!(matches!(decide(facts), Decision::Again(_)), "an earlier attempt's failure is not this one's");
        let trained = Facts { trained: true, ..facts };
        assert_eq!(decide(trained), Decision::Wait, "somebody else has it");
    }

    #[test]
    fn ends_from_outside_are_no_failures_of_the_trial() {
        for job in [JobState::TimedOut, JobState::Preempted, JobState::NodeFailed] {
            assert!(matches!(of(Some(job), State::Running), Decision::Again(_)), "{job:?}");
        }
        assert!(matches!(of(Some(JobState::Cancelled), State::Running), Decision::Stopped(_)));
        assert!(matches!(of(Some(JobState::Failed), State::Interrupted), Decision::Again(_)));
        assert!(matches!(of(None, State::Running), Decision::Again(_)));
    }

    #[test]
    fn a_silent_end_is_believed_once_files_must_be_seen() {
        let status = left(State::Pending);
        let facts =
            |job| Facts { job: Some(job), left: &status, begun: false, asked: false, trained: false, shown: false };
        let after = |job| decide(Facts { shown: true, ..facts(job) });
        assert_eq!(
            [JobState::Failed, JobState::Completed].map(|job| decide(facts(job))),
            [Decision::Wait, Decision::Wait]
        );
        assert!(matches!(after(JobState::Failed), Decision::Lost(why) if why.contains("before training")));
        assert!(matches!(after(JobState::Completed), Decision::Failed(why) if why.contains("same results folder")));
        let mut full = left(State::Interrupted);
        full.message = Some("cannot write: No space left on device".into());
        let facts =
            Facts { job: Some(JobState::Failed), left: &full, begun: true, asked: false, trained: false, shown: true };
        assert_eq!(decide(facts), Decision::Results);
    }
}
