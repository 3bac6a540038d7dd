//! Findings of an inspection: severity, place, defect and remedy.

use std::fmt;

use serde::Serialize;

/// How much a finding matters; the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Spoils a sweep: it would not start, or its numbers would not mean what they say.
    Error,
    /// Most likely wrong; a sweep can still be judged.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// All of them, the worst first.
    pub const ALL: [Self; 3] = [Self::Error, Self::Warning, Self::Note];

    /// Name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// Something about a data set that is, or may be, wrong.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// Which check found it, as programs know it.
    pub check: &'static str,
    /// The file to change.
    pub file: String,
    /// Its line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Other images that are part of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
    /// The landmarks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub landmarks: Vec<String>,
    /// How far off in mm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off_mm: Option<f64>,
    /// The defect, in one sentence without a full stop.
    pub what: String,
    /// The correct form, or what to do.
    pub remedy: String,
}

impl Finding {
    /// A finding about a whole file.
    pub fn new(severity: Severity, check: &'static str, file: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            severity,
            check,
            file: file.into(),
            line: None,
            image: None,
            others: Vec::new(),
            landmarks: Vec::new(),
            off_mm: None,
            what: what.into(),
            remedy: String::new(),
        }
    }

    /// Says at which line, and about which image.
    #[must_use]
    pub fn at(mut self, line: u64, image: &str) -> Self {
        (self.line, self.image) = (Some(line), Some(image.to_owned()));
        self
    }

    /// Says which landmark.
    #[must_use]
    pub fn landmark(mut self, name: &str) -> Self {
        self.landmarks.push(name.to_owned());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ": line {line}")?;
        }
        if let Some(image) = &self.image {
            write!(f, ": {image}")?;
        }
        if !self.landmarks.is_empty() {
            write!(f, ": {}", self.landmarks.join(", "))?;
        }
        write!(f, ": {}", self.what)
    }
}
