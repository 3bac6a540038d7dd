//! What to do with each trial of a plan, given where it stands. Pure.

use sweep_experiment::records::State;

/// What the user asked for beyond "what is not done yet".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetryPolicy {
    /// Go on with trials that have begun; begin no new ones.
    pub resume_only: bool,
    /// Train failed, timed-out and diverged trials again.
    pub retry_failed: bool,
    /// Train every trial again, whatever is there.
    pub rerun: bool,
}

/// What to do with a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing: it is done, or not wished for.
    Leave,
    /// Train it from its last checkpoint, or from the start if it has none.
    Continue,
    /// Throw away what it left, then train it.
    StartAnew,
}

/// The action for a trial in this state. A failed trial is never taken for a done one.
#[must_use]
pub fn action(state: State, wish: RetryPolicy) -> Action {
    match state {
        _ if wish.rerun => Action::StartAnew,
        State::Diverged if wish.retry_failed => Action::StartAnew,
        State::Failed | State::TimedOut if wish.retry_failed => Action::Continue,
        State::Running | State::Interrupted => Action::Continue,
        State::Pending if !wish.resume_only => Action::Continue,
        State::Done | State::Pending | State::Failed | State::TimedOut | State::Diverged | State::Pruned => {
            Action::Leave
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_done_is_repeated_and_nothing_failed_is_done() {
        let plain = RetryPolicy::default();
        assert_eq!(action(State::Done, plain), Action::Leave);
        assert_eq!(action(State::Running, plain), Action::Continue);
        assert_eq!(action(State::Failed, plain), Action::Leave);
        let retry = RetryPolicy { retry_failed: true, ..plain };
        assert_eq!(action(State::Failed, retry), Action::Continue);
        assert_eq!(action(State::TimedOut, retry), Action::Continue);
        assert_eq!(action(State::TimedOut, plain), Action::Leave);
        assert_eq!(action(State::Pruned, retry), Action::Leave);
        assert_eq!(action(State::Diverged, retry), Action::StartAnew);
        assert_eq!(action(State::Done, retry), Action::Leave);
        let resume = RetryPolicy { resume_only: true, ..plain };
        assert_eq!(action(State::Pending, resume), Action::Leave);
        assert_eq!(action(State::Interrupted, resume), Action::Continue);
        assert_eq!(action(State::Done, RetryPolicy { rerun: true, ..plain }), Action::StartAnew);
    }
}
