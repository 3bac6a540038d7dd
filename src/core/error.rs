//! One error type for the whole tool: message, location and remedy; and the exit codes of the process.

use std::fmt;
use std::process::ExitCode;

use crate::plain;

/// Origin of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The definition, or a flag that changes it.
    Definition,
    /// A data set, an image, a checkpoint or another file that the user provided.
    Input,
    /// The results folder: it cannot be written, holds something else, or is incomplete.
    Results,
    /// The requested device is not available.
    Device,
    /// The user or the system asked the process to stop.
    Interrupted,
    /// A tensor operation failed: a bug, or memory ran out.
    Computation,
    /// Nobody reads standard output any more, as when `head` has seen enough: no reason to say a word.
    ClosedOutput,
}

/// A message, with its location and a remedy if they are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Its origin.
    pub kind: Kind,
    /// The problem: one sentence without a full stop.
    pub message: String,
    /// Where: file, line and key, or image and landmark.
    pub location: Option<String>,
    /// How to fix it.
    pub remedy: Option<String>,
    /// Further mistakes found beside it.
    pub others: Vec<Error>,
}

/// Result with the tool's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Creates an error of this kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), location: None, remedy: None, others: Vec::new() }
    }

    /// Creates an error of [`Kind::Definition`].
    pub fn definition(message: impl Into<String>) -> Self {
        Self::new(Kind::Definition, message)
    }

    /// Creates an error of [`Kind::Input`].
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(Kind::Input, message)
    }

    /// Creates an error of [`Kind::Results`].
    pub fn results(message: impl Into<String>) -> Self {
        Self::new(Kind::Results, message)
    }

    /// Joins errors that were found at once into the first of them; `None` if there is none.
    #[must_use]
    pub fn joined(errors: Vec<Self>) -> Option<Self> {
        let mut all = errors.into_iter();
        let mut first = all.next()?;
        for mut error in all {
            let inner = std::mem::take(&mut error.others);
            first.others.push(error);
            first.others.extend(inner);
        }
        Some(first)
    }

    /// Adds a location; one that is already there follows it after a colon.
    #[must_use]
    pub fn at(mut self, location: impl fmt::Display) -> Self {
        self.location = Some(match self.location {
            Some(inner) => format!("{location}: {inner}"),
            None => location.to_string(),
        });
        self
    }

    /// Adds a remedy; one that is already there is more specific and stays.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy.get_or_insert_with(|| remedy.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names of files and keys may come from somebody else; terminals must not obey them.
        if let Some(location) = &self.location {
            write!(f, "{}: ", plain::line(location))?;
        }
        f.write_str(&plain::text(&self.message))?;
        if let Some(remedy) = &self.remedy {
            write!(f, "\n  help: {}", plain::text(remedy))?;
        }
        self.others.iter().try_for_each(|other| write!(f, "\nerror: {other}"))
    }
}

impl std::error::Error for Error {}

/// How a command ended, if not with an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything requested was done.
    Done,
    /// A trial failed or diverged, or the gate found a regression.
    Failed,
    /// The gate has too little data to decide.
    Inconclusive,
    /// Stopped by this signal; all results so far are saved.
    Interrupted(i32),
}

impl Outcome {
    /// Exit code of the process; users' scripts depend on it.
    #[must_use]
    pub fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Inconclusive => 3,
            Self::Interrupted(signal) => u8::try_from(128 + signal).unwrap_or(130),
        })
    }
}

/// Exit code of an [`Error`].
pub const EXIT_ERROR: u8 = 2;
/// Exit code where nobody reads standard output: that of a program which the signal SIGPIPE ended.
pub const EXIT_CLOSED_OUTPUT: u8 = 141;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_nest_and_the_specific_remedy_wins() {
        let error = Error::input("landmark outside the image")
            .at("line 3")
            .at("landmarks.csv")
            .remedy("remove it")
            .remedy("give up");
        assert_eq!(error.to_string(), "landmarks.csv: line 3: landmark outside the image\n  help: remove it");
    }
}
