//! The state of a trial whose process ended, from its status file, its exit and the runner's stop request. Pure.

use super::{Exit, Stop};
use sweep_experiment::records::{State, TrialStatus};

/// Why the runner requested a trial to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The user stopped the sweep, or its time limit was reached.
    Interrupted,
    /// The user paused the sweep.
    Paused,
    /// It exceeded a time limit or hung, with the details.
    TimedOut(String),
    /// Its landmark error is too far behind, with the details.
    Pruned(String),
}

/// The result of judging an ended process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The trial's state, with a message.
    Trial(State, Option<String>),
    /// Records could not be written, which concerns the whole sweep.
    Results(String),
}

/// Exit code of a trial whose records cannot be written.
const EXIT_RESULTS: i32 = 2;

/// The verdict on a trial from its process's exit, the status it `left`, the runner's stop request and the `tail` of its
/// output. A final state that the trial wrote itself takes precedence over the request.
#[must_use]
pub fn verdict(exit: &Exit, left: &TrialStatus, request: Option<&(Reason, Stop)>, tail: &[String]) -> Verdict {
    if left.state.is_settled() {
        return Verdict::Trial(left.state, left.message.clone());
    }
    match request.map(|(reason, _)| reason) {
        Some(Reason::Interrupted | Reason::Paused) => return Verdict::Trial(State::Interrupted, None),
        Some(Reason::TimedOut(why)) => return Verdict::Trial(State::TimedOut, Some(why.clone())),
        Some(Reason::Pruned(why)) => return Verdict::Trial(State::Pruned, Some(why.clone())),
        None => {}
    }
    let suffix = error_message(tail).map_or_else(String::new, |line| format!(": {line}"));
    match exit {
        Exit::Code(EXIT_RESULTS) => {
            let why = || error_message(tail).unwrap_or_else(|| "its records cannot be written".to_owned());
            Verdict::Results(left.message.clone().unwrap_or_else(why))
        }
        // Somebody else stopped it.
        Exit::Stopped(reason) => Verdict::Trial(State::Interrupted, Some(reason.clone())),
        // The last line is quoted only if it is an error.
        Exit::Failed(reason) if tail.iter().any(is_error) => {
            Verdict::Trial(State::Failed, Some(format!("{reason}{suffix}")))
        }
        Exit::Failed(reason) => Verdict::Trial(State::Failed, Some(reason.clone())),
        _ if left.state == State::Interrupted => Verdict::Trial(State::Interrupted, left.message.clone()),
        Exit::Code(code) => {
            Verdict::Trial(State::Failed, Some(format!("its process ended with exit code {code}{suffix}")))
        }
        Exit::Signal(signal) => {
            Verdict::Trial(State::Failed, Some(format!("its process was ended by {}{suffix}", signal_name(*signal))))
        }
    }
}

/// The error in the last lines of output: an error with its help, a panic with its message, or else the last line.
fn error_message(tail: &[String]) -> Option<String> {
    let Some(at) = tail.iter().rposition(is_error) else {
        return tail.iter().rfind(|line| !line.trim().is_empty()).cloned();
    };
    let next = tail.get(at + 1).filter(|next| tail[at].ends_with(':') || next.trim_start().starts_with("help: "));
    let first = tail[at].trim_start_matches("error: ");
    Some(next.map_or_else(|| first.to_owned(), |next| format!("{first}\n  {}", next.trim_start())))
}

#[expect(clippy::ptr_arg, reason = "of an iterator over lines")]
fn is_error(line: &String) -> bool {
    line.starts_with("error: ") || line.contains("panicked at") || line.starts_with("memory allocation of")
}

fn signal_name(signal: i32) -> String {
    let (name, meaning) = match signal {
        4 => ("SIGILL", ", an instruction this processor does not have"),
        6 => ("SIGABRT", ", it aborted"),
        7 => ("SIGBUS", ", a file it had in memory was cut off or a disk failed"),
        8 => ("SIGFPE", ""),
        9 => ("SIGKILL", ", as the system does when memory runs out"),
        11 => ("SIGSEGV", ", it crashed"),
        15 => ("SIGTERM", ""),
        _ => return format!("signal {signal}"),
    };
    format!("signal {signal} ({name}{meaning})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: State) -> TrialStatus {
        TrialStatus { state, ..TrialStatus::pending("t") }
    }

    #[test]
    fn what_a_trial_left_counts_before_how_it_ended() {
        let killed = Exit::Signal(9);
        assert_eq!(verdict(&killed, &status(State::Done), None, &[]), Verdict::Trial(State::Done, None));
        let request = (Reason::Pruned("far behind".into()), Stop::Gently);
        let done = verdict(&Exit::Code(0), &status(State::Done), Some(&request), &[]);
        assert_eq!(done, Verdict::Trial(State::Done, None), "it was faster than the question");
        let pruned = verdict(&Exit::Code(130), &status(State::Interrupted), Some(&request), &[]);
        assert_eq!(pruned, Verdict::Trial(State::Pruned, Some("far behind".into())));
    }

    #[test]
    fn a_death_is_a_failure_and_says_how() {
        let tail = ["warning", "memory allocation of 7 bytes failed", "stack backtrace:", ""].map(str::to_owned);
        for (exit, words) in [
            (Exit::Signal(6), "SIGABRT, it aborted): memory allocation of 7 bytes failed"),
            (Exit::Signal(9), "memory runs out"),
            (Exit::Code(101), "exit code 101"),
            (Exit::Signal(31), "signal 31"),
        ] {
            let Verdict::Trial(State::Failed, Some(why)) = verdict(&exit, &status(State::Running), None, &tail) else {
                panic!("{exit:?} is a failure")
            };
            assert!(why.contains(words), "{why}");
        }
    }

    #[test]
    fn a_stop_that_was_asked_for_is_no_failure() {
        let killed = |reason, state| verdict(&Exit::Signal(9), &status(state), Some(&(reason, Stop::AtOnce)), &[]);
        assert_eq!(killed(Reason::Interrupted, State::Running), Verdict::Trial(State::Interrupted, None));
        let hung = killed(Reason::TimedOut("no step for 1 s".into()), State::Running);
        assert_eq!(hung, Verdict::Trial(State::TimedOut, Some("no step for 1 s".into())));
        let by_hand = verdict(&Exit::Code(143), &status(State::Interrupted), None, &[]);
        assert_eq!(by_hand, Verdict::Trial(State::Interrupted, None));
    }

    #[test]
    fn records_that_cannot_be_written_are_the_sweeps_trouble() {
        let tail = ["error: trials/t: cannot write: No space left on device", "  help: make room"].map(str::to_owned);
        let judged = verdict(&Exit::Code(2), &status(State::Running), None, &tail);
        assert_eq!(
            judged,
            Verdict::Results("trials/t: cannot write: No space left on device\n  help: make room".into())
        );
        let panic =
            ["thread 'main' panicked at src/a.rs:1:2:", "index out of bounds", "note: run with"].map(str::to_owned);
        let judged = verdict(&Exit::Code(101), &status(State::Running), None, &panic);
        assert!(matches!(judged, Verdict::Trial(State::Failed, Some(why)) if why.ends_with("index out of bounds")));
    }
}
