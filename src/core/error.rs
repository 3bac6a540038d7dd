//! One error for the whole tool: what is wrong, where, and what would be right; and what becomes of the process.

use std::fmt;
use std::process::ExitCode;

/// Where an error comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The definition, or a flag that changes it.
    Definition,
    /// A data set, an image, a checkpoint: something the user gave us to read.
    Input,
    /// The results folder: cannot be written, holds something else, was cut off.
    Results,
    /// The device asked for is not there.
    Device,
    /// The user or the system asked the process to stop.
    Interrupted,
    /// A tensor operation failed: a defect of ours, or memory ran out.
    Computation,
}

/// What is wrong, where, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Where it comes from.
    pub kind: Kind,
    /// What is wrong, one sentence without a full stop.
    pub what: String,
    /// Where: file, line and key, or the image and landmark.
    pub place: Option<String>,
    /// What would be right, or what to do.
    pub remedy: Option<String>,
}

/// Result with the tool's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of this kind.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), place: None, remedy: None }
    }

    /// [`Kind::Definition`].
    pub fn definition(what: impl Into<String>) -> Self {
        Self::new(Kind::Definition, what)
    }

    /// [`Kind::Input`].
    pub fn input(what: impl Into<String>) -> Self {
        Self::new(Kind::Input, what)
    }

    /// [`Kind::Results`].
    pub fn results(what: impl Into<String>) -> Self {
        Self::new(Kind::Results, what)
    }

    /// Says where; an inner place is kept, the outer one put before it.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.place = Some(match self.place {
            Some(inner) => format!("{place}: {inner}"),
            None => place.to_string(),
        });
        self
    }

    /// Says what would be right; an inner, more specific remedy wins.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy.get_or_insert_with(|| remedy.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.what)?;
        if let Some(remedy) = &self.remedy {
            write!(f, "\n  help: {remedy}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// How a command ended, when it did not end in an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All that was asked for is there.
    Done,
    /// A trial failed or diverged, or the gate found a regression.
    Failed,
    /// The gate cannot tell.
    Inconclusive,
    /// Stopped by this signal; everything computed is saved.
    Interrupted(i32),
}

impl Outcome {
    /// The process's exit code, as users' scripts know it.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_nest_and_the_specific_remedy_wins() {
        let error = Error::input("landmark outside the image")
            .at("line 3")
            .at("landmarks.csv")
            .remedy("remove it")
            .remedy("give up");
        assert_eq!(error.to_string(), "landmarks.csv: line 3: landmark outside the image\n  help: remove it");
    }
}
