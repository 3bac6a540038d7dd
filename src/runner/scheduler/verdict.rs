//! What an ended process amounts to, from what it left in its trial's folder and from what the runner had asked of it. Pure.

use super::{Exit, Stop};
use sweep_experiment::records::{State, TrialStatus};

/// Why the runner asked a trial to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The user, or the sweep's time is over.
    Interrupted,
    /// The user, for now.
    Paused,
    /// It took too long, or made no step for too long; says which.
    TimedOut(String),
    /// Its landmark error is too far behind; says how far.
    Pruned(String),
}

/// What became of a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// It is in this state, with a word on why.
    Trial(State, Option<String>),
    /// Its records could not be written: a matter of the whole sweep, not of this trial.
    Results(String),
}

/// Exit code of a trial whose records cannot be written.
const EXIT_RESULTS: i32 = 2;

/// The state of a trial whose process ended so, having left this status, after the runner had asked it to stop for this
/// reason. A state that the trial itself left counts, even if it was asked to stop.
#[must_use]
pub fn verdict(exit: &Exit, left: &TrialStatus, asked: Option<&(Reason, Stop)>, tail: &[String]) -> Judged {
    if left.state.is_settled() {
        return Judged::Trial(left.state, left.message.clone());
    }
    match asked.map(|(reason, _)| reason) {
        Some(Reason::Interrupted | Reason::Paused) => return Judged::Trial(State::Interrupted, None),
        Some(Reason::TimedOut(why)) => return Judged::Trial(State::TimedOut, Some(why.clone())),
        Some(Reason::Pruned(why)) => return Judged::Trial(State::Pruned, Some(why.clone())),
        None => {}
    }
    let said = told(tail).map_or_else(String::new, |line| format!(": {line}"));
    match exit {
        Exit::Code(EXIT_RESULTS) => {
            let why = || told(tail).unwrap_or_else(|| "its records cannot be written".to_owned());
            Judged::Results(left.message.clone().unwrap_or_else(why))
        }
        // Somebody else asked it to stop, and it did.
        Exit::Stopped(words) => Judged::Trial(State::Interrupted, Some(words.clone())),
        // Its output need not end with what went wrong.
        Exit::Failed(words) if tail.iter().any(is_telling) => {
            Judged::Trial(State::Failed, Some(format!("{words}{said}")))
        }
        Exit::Failed(words) => Judged::Trial(State::Failed, Some(words.clone())),
        _ if left.state == State::Interrupted => Judged::Trial(State::Interrupted, left.message.clone()),
        Exit::Code(code) => {
            Judged::Trial(State::Failed, Some(format!("its process ended with exit code {code}{said}")))
        }
        Exit::Signal(signal) => {
            Judged::Trial(State::Failed, Some(format!("its process was ended by {}{said}", signal_name(*signal))))
        }
    }
}

/// The last lines' own word on what happened: an error with its help, a panic with its message, or the last line.
fn told(tail: &[String]) -> Option<String> {
    let Some(at) = tail.iter().rposition(is_telling) else {
        return tail.iter().rfind(|line| !line.trim().is_empty()).cloned();
    };
    let next = tail.get(at + 1).filter(|next| tail[at].ends_with(':') || next.trim_start().starts_with("help: "));
    let first = tail[at].trim_start_matches("error: ");
    Some(next.map_or_else(|| first.to_owned(), |next| format!("{first}\n  {}", next.trim_start())))
}

#[expect(clippy::ptr_arg, reason = "of an iterator over lines")]
fn is_telling(line: &String) -> bool {
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
        assert_eq!(verdict(&killed, &status(State::Done), None, &[]), Judged::Trial(State::Done, None));
        let asked = (Reason::Pruned("far behind".into()), Stop::Gently);
        let done = verdict(&Exit::Code(0), &status(State::Done), Some(&asked), &[]);
        assert_eq!(done, Judged::Trial(State::Done, None), "it was faster than the question");
        let pruned = verdict(&Exit::Code(130), &status(State::Interrupted), Some(&asked), &[]);
        assert_eq!(pruned, Judged::Trial(State::Pruned, Some("far behind".into())));
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
            let Judged::Trial(State::Failed, Some(why)) = verdict(&exit, &status(State::Running), None, &tail) else {
                panic!("{exit:?} is a failure")
            };
            assert!(why.contains(words), "{why}");
        }
    }

    #[test]
    fn a_stop_that_was_asked_for_is_no_failure() {
        let killed = |reason, state| verdict(&Exit::Signal(9), &status(state), Some(&(reason, Stop::AtOnce)), &[]);
        assert_eq!(killed(Reason::Interrupted, State::Running), Judged::Trial(State::Interrupted, None));
        let hung = killed(Reason::TimedOut("no step for 1 s".into()), State::Running);
        assert_eq!(hung, Judged::Trial(State::TimedOut, Some("no step for 1 s".into())));
        let by_hand = verdict(&Exit::Code(143), &status(State::Interrupted), None, &[]);
        assert_eq!(by_hand, Judged::Trial(State::Interrupted, None));
    }

    #[test]
    fn records_that_cannot_be_written_are_the_sweeps_trouble() {
        let tail = ["error: trials/t: cannot write: No space left on device", "  help: make room"].map(str::to_owned);
        let judged = verdict(&Exit::Code(2), &status(State::Running), None, &tail);
        assert_eq!(
            judged,
            Judged::Results("trials/t: cannot write: No space left on device\n  help: make room".into())
        );
        let panic =
            ["thread 'main' panicked at src/a.rs:1:2:", "index out of bounds", "note: run with"].map(str::to_owned);
        let judged = verdict(&Exit::Code(101), &status(State::Running), None, &panic);
        assert!(matches!(judged, Judged::Trial(State::Failed, Some(why)) if why.ends_with("index out of bounds")));
    }
}
