//! The action for each trial of a plan, given its state. Pure.

use sweep_experiment::records::State;

/// Which trials to train besides those that are not done yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetryPolicy {
    /// Resume trials that have begun; start no new ones.
    pub resume_only: bool,
    /// Train failed, timed-out and diverged trials again.
    pub retry_failed: bool,
    /// Train every trial again.
    pub rerun: bool,
}

/// Action for a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing: it is done, or was not requested.
    Skip,
    /// Train it from its last checkpoint, or from the start if it has none.
    Continue,
    /// Delete its records, then train it.
    StartAnew,
    /// Set its damaged records aside, then train it.
    Restore,
}

/// The action for a trial in this state. A failed trial never counts as done.
#[must_use]
pub fn action(state: State, policy: RetryPolicy) -> Action {
    match state {
        _ if policy.rerun => Action::StartAnew,
        State::Diverged if policy.retry_failed => Action::StartAnew,
        State::Failed | State::TimedOut if policy.retry_failed => Action::Continue,
        State::Running | State::Interrupted => Action::Continue,
        State::Pending if !policy.resume_only => Action::Continue,
        State::Done | State::Pending | State::Failed | State::TimedOut | State::Diverged | State::Pruned => {
            Action::Skip
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_done_is_repeated_and_nothing_failed_is_done() {
        let plain = RetryPolicy::default();
        assert_eq!(action(State::Done, plain), Action::Skip);
        assert_eq!(action(State::Running, plain), Action::Continue);
        assert_eq!(action(State::Failed, plain), Action::Skip);
        let retry = RetryPolicy { retry_failed: true, ..plain };
        assert_eq!(action(State::Failed, retry), Action::Continue);
        assert_eq!(action(State::TimedOut, retry), Action::Continue);
        assert_eq!(action(State::TimedOut, plain), Action::Skip);
        assert_eq!(action(State::Pruned, retry), Action::Skip);
        assert_eq!(action(State::Diverged, retry), Action::StartAnew);
        assert_eq!(action(State::Done, retry), Action::Skip);
        let resume = RetryPolicy { resume_only: true, ..plain };
        assert_eq!(action(State::Pending, resume), Action::Skip);
        assert_eq!(action(State::Interrupted, resume), Action::Continue);
        assert_eq!(action(State::Done, RetryPolicy { rerun: true, ..plain }), Action::StartAnew);
    }
}
