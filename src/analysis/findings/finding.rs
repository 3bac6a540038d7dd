//! The type of findings.

use serde::Serialize;

use super::statement::Statement;
use crate::statistics::Estimate;
use sweep_core::units::ErrorUnit;

/// One statement about a sweep, with the numbers behind it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Name that stays the same from report to report: `effect/loss.name/l1/smooth-l1`.
    pub id: String,
    /// Subject.
    pub topic: Topic,
    /// The statement, as data.
    pub statement: Statement,
    /// Verdict of the test or the description.
    pub verdict: Verdict,
    /// The statement in words.
    pub sentence: String,
    /// The estimate that the verdict is based on. The interval of a test is simultaneous with all tests of the report, so that
    /// it leaves out no effect exactly where the verdict is evidence.
    pub estimate: Option<Estimate>,
    /// Unit of the estimate.
    pub unit: Unit,
    /// p-value of the test, if there is one.
    pub p_value: Option<f64>,
    /// p-value corrected for all tests of the report: below 0.05 is evidence.
    pub p_adjusted: Option<f64>,
    /// Number of tests on this topic.
    pub tests: usize,
    /// Further estimates.
    pub parts: Vec<Part>,
    /// Limits of the statement.
    pub caveats: Vec<String>,
    /// File name of the figure that shows it.
    pub picture: Option<&'static str>,
    /// Records that it was computed from.
    pub rows: SourceRecords,
}

impl Finding {
    /// A described finding without any numbers yet.
    pub(crate) fn new(id: String, topic: Topic, statement: Statement, rows: SourceRecords) -> Self {
        Self {
            id,
            topic,
            statement,
            verdict: Verdict::Described,
            sentence: String::new(),
            estimate: None,
            unit: Unit::Millimetres,
            p_value: None,
            p_adjusted: None,
            tests: 0,
            parts: Vec::new(),
            caveats: Vec::new(),
            picture: None,
            rows,
        }
    }

    /// The verdict in a word or two. No evidence of overfitting is good news, and does not sound like a failure.
    #[must_use]
    pub fn badge(&self) -> &'static str {
        match (self.topic, self.verdict) {
            (Topic::Overfitting, Verdict::NoEvidence) => "none found",
            (_, verdict) => verdict.name(),
        }
    }
}

/// A further estimate of a finding, mostly that of one configuration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// Configuration or quantity that it belongs to.
    pub label: String,
    /// The estimate.
    pub estimate: Estimate,
    /// Its unit.
    pub unit: Unit,
    /// Corrected p-value, if it was tested.
    pub p_adjusted: Option<f64>,
    /// A remark.
    pub note: String,
}

/// Records that a finding was computed from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceRecords {
    /// File in the folder of each trial, or of the sweep.
    pub file: &'static str,
    /// Selected rows and columns.
    pub select: String,
    /// Ids of the trials; empty for all.
    pub trials: Vec<String>,
}

/// Subjects of findings, in the order of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// Trials that diverged, failed or are no better than guessing.
    Failures,
    /// Design and results of a cross-validation.
    CrossValidation,
    /// Claims of the study that the definition names.
    Claims,
    /// Which errors are compared.
    Errors,
    /// Effect of an axis.
    Effects,
    /// Interactions of axes.
    Interactions,
    /// The best configuration, and whether the loss would have selected it.
    Ranking,
    /// Agreement of loss and landmark error.
    Agreement,
    /// Cost of selecting the epoch by its loss.
    Regret,
    /// Networks that predict zero, or the same for every image.
    Collapse,
    /// Validation worsens while training improves.
    Overfitting,
    /// Validation error above training error.
    Gap,
    /// How soon an error is reached.
    Convergence,
    /// Sources of error variance, and hard images and landmarks.
    Hard,
    /// Relation of confidence and error.
    Calibration,
}

impl Topic {
    /// Name for readers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Failures => "What went wrong",
            Self::Errors => "Which errors",
            Self::CrossValidation => "Cross-validation",
            Self::Claims => "Claims of the study",
            Self::Effects => "What each axis does",
            Self::Interactions => "Axes together",
            Self::Ranking => "Which is best",
            Self::Agreement => "Does the loss tell?",
            Self::Regret => "Choosing by loss",
            Self::Collapse => "Collapse",
            Self::Overfitting => "Overfitting",
            Self::Gap => "Generalisation gap",
            Self::Convergence => "Convergence",
            Self::Hard => "Where errors are",
            Self::Calibration => "Confidence",
        }
    }
}

/// Result of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Beyond what chance explains, corrected for the number of tests.
    Evidence,
    /// One training each: these networks differ beyond what other images explain, but training again might give the opposite.
    NetworksDiffer,
    /// Something went wrong that is a fact and no test.
    Warning,
    /// No evidence: the data agree with chance.
    NoEvidence,
    /// A description, with an interval and without a test.
    Described,
    /// Too few data to say anything.
    TooFew,
    /// The sweep supports the claim.
    Confirmed,
    /// The sweep contradicts the claim.
    Refuted,
    /// The sweep neither supports nor contradicts the claim.
    Undecided,
}

impl Verdict {
    /// Name for readers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Evidence => "evidence",
            Self::NetworksDiffer => "these networks differ",
            Self::Warning => "warning",
            Self::NoEvidence => "no evidence",
            Self::Described => "described",
            Self::TooFew => "too few data",
            Self::Confirmed => "confirmed",
            Self::Refuted => "refuted",
            Self::Undecided => "undecided",
        }
    }
}

impl Unit {
    /// The unit of errors.
    #[must_use]
    pub fn of_errors(unit: ErrorUnit) -> Self {
        match unit {
            ErrorUnit::Millimetres => Self::Millimetres,
            ErrorUnit::Pixels => Self::Pixels,
        }
    }

    /// Whether it is a unit of errors.
    #[must_use]
    pub fn is_of_errors(self) -> bool {
        matches!(self, Self::Millimetres | Self::Pixels)
    }
}

/// Unit of an estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// Millimetres of the original image.
    #[serde(rename = "mm")]
    Millimetres,
    /// Pixels of the original image.
    #[serde(rename = "px")]
    Pixels,
    /// Percentage points.
    #[serde(rename = "percentage points")]
    Points,
    /// Per cent.
    #[serde(rename = "%")]
    Percent,
    /// A factor.
    #[serde(rename = "factor")]
    Factor,
    /// Kendall's τ-b.
    #[serde(rename = "tau")]
    Tau,
    /// Spearman's ρ.
    #[serde(rename = "rho")]
    Rho,
    /// A share from 0 to 1.
    #[serde(rename = "share")]
    Share,
}
