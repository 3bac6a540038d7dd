//! What a sweep shows, as typed claims: each with its estimate, interval, sample, method, caveats, the picture and the
//! records behind it, and corrected for how many were looked at.

mod calibration;
mod claims;
mod effects;
mod folds;
mod hard;
mod losses;
mod sentence;
mod training;

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::Serialize;

use super::calibration::Calibration;
use super::curves::Onset;
use super::errors::ErrorTable;
use super::groups::{Group, groups};
use super::statistics::{Components, Estimate, holm};
use super::{SweepRecords, TrialRecords};
use sweep_experiment::records::Selection;
pub use training::trial_onsets;

/// Level of all tests, after correction for their number.
pub const ALPHA: f64 = 0.05;

/// What the sweep says on one matter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Name that stays the same from report to report: `effect/loss.name/l1/smooth-l1`.
    pub id: String,
    /// What kind of matter.
    pub topic: Topic,
    /// What was looked at, as facts.
    pub statement: Statement,
    /// What it amounts to.
    pub verdict: Verdict,
    /// The statement in words.
    pub sentence: String,
    /// The number that the verdict rests on.
    pub estimate: Option<Estimate>,
    /// Unit of the estimate.
    pub unit: Unit,
    /// p-value of the test, if there is one.
    pub p_value: Option<f64>,
    /// The same, corrected by Holm for the tests on this topic.
    pub p_adjusted: Option<f64>,
    /// How many tests that were.
    pub tests: usize,
    /// Numbers beside it.
    pub parts: Vec<Part>,
    /// What to bear in mind.
    pub caveats: Vec<String>,
    /// The picture that shows it.
    pub picture: Option<&'static str>,
    /// The records behind it.
    pub rows: SourceRecords,
}

/// A further number of a finding, mostly one configuration's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// What it is of.
    pub label: String,
    /// The number.
    pub estimate: Estimate,
    /// Its unit.
    pub unit: Unit,
    /// Corrected p-value, where it was tested.
    pub p_adjusted: Option<f64>,
    /// A word on it.
    pub note: String,
}

/// The records a finding was computed from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceRecords {
    /// File in each of the trials' folders, or in the sweep's.
    pub file: &'static str,
    /// Which rows and columns.
    pub select: String,
    /// Trials, or empty for all.
    pub trials: Vec<String>,
}

/// Matters, in the order in which a report tells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// Of a cross-validation: what was measured, and how.
    CrossValidation,
    /// Claims of the study that this tool grew from.
    Claims,
    /// What an axis does.
    Effects,
    /// How axes depend on one another.
    Interactions,
    /// Which configuration is best, and whether its loss would have told.
    Ranking,
    /// Whether loss and landmark error order things alike.
    Agreement,
    /// What choosing the epoch by its loss costs.
    Regret,
    /// Networks that answer zero, or the same for every image.
    Collapse,
    /// Validation that worsens while training improves.
    Overfitting,
    /// Validation error above training error.
    Gap,
    /// How soon an error is reached.
    Convergence,
    /// Where errors scatter, and which images and landmarks are hard.
    Hard,
    /// Whether confidence tells where the errors are.
    Calibration,
}

/// What a finding amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Beyond what chance explains, corrected for the number of tests.
    Evidence,
    /// No evidence: the data agree with chance.
    NoEvidence,
    /// A description, with an interval and without a test.
    Described,
    /// Too few data to say anything.
    TooFew,
    /// A claim that the sweep bears out.
    Confirmed,
    /// A claim that the sweep contradicts.
    Refuted,
    /// A claim that the sweep can neither bear out nor contradict.
    Undecided,
}

impl Verdict {
    /// In words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Evidence => "evidence",
            Self::NoEvidence => "no evidence",
            Self::Described => "described",
            Self::TooFew => "too few data",
            Self::Confirmed => "confirmed",
            Self::Refuted => "refuted",
            Self::Undecided => "undecided",
        }
    }
}

/// What an estimate is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// Millimetres of the original image.
    #[serde(rename = "mm")]
    Millimetres,
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

pub use folds::CrossValidationScores;

/// Facts of a finding.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Statement {
    /// Every configuration by its out-of-fold predictions.
    CrossValidation {
        /// Parts that the images were dealt into.
        of: usize,
        /// Parts that were run.
        folds: usize,
        /// Whole cross-validations, in the plan's order.
        configurations: Vec<CrossValidationScores>,
        /// Those that are not whole, and how far they came.
        incomplete: Vec<(String, String)>,
    },
    /// The error changes when one axis does.
    Effect {
        /// Axis.
        factor: String,
        /// Value that is subtracted.
        from: String,
        /// Value it is held against.
        to: String,
        /// Settings of the other axes it was averaged over.
        contexts: usize,
        /// Effect found in four of five repetitions of this design, mm.
        detectable_mm: f64,
        /// Seeds that would find half of that; none where the images' share alone is more.
        seeds_for_half: Option<usize>,
    },
    /// An effect depends on another axis.
    Interaction {
        /// Axis of the effect.
        factor: String,
        /// Its values.
        values: [String; 2],
        /// The axis it depends on.
        other: String,
        /// That axis's values.
        at: [String; 2],
    },
    /// Configurations by landmark error.
    Ranking {
        /// Of least error.
        best: String,
        /// The next.
        runner_up: Option<String>,
        /// Of least validation loss.
        least_loss: String,
        /// Whether the losses are of one kind, so that their values may be compared.
        comparable: bool,
        /// τ-b between landmark error and the reference loss across configurations.
        reference_tau: f64,
    },
    /// Loss and error over epochs and across trials.
    Agreement {
        /// Trials whose loss falls as the error does, over all epochs.
        agree: usize,
        /// Trials judged.
        trials: usize,
    },
    /// Selection by loss.
    Regret {
        /// Trials whose epoch of least loss is not that of least error.
        differ: usize,
        /// Trials judged.
        trials: usize,
        /// The greatest regret of a single trial, mm.
        greatest_mm: f64,
    },
    /// Collapsed or blind networks.
    Collapse {
        /// Trials whose last loss is 0.9 times the all-zero output's or more.
        collapsed: Vec<String>,
        /// Trials whose predictions do not depend on the image.
        blind: Vec<String>,
        /// Trials judged.
        trials: usize,
    },
    /// Onset of overfitting on one curve, over configurations.
    Overfitting {
        /// `loss` or `landmark error`.
        curve: &'static str,
        /// Configurations with evidence, and the epoch from which on.
        onsets: Vec<(String, u32)>,
        /// Configurations judged.
        judged: usize,
    },
    /// Generalisation gap.
    Gap {
        /// Configuration of the greatest gap.
        greatest: String,
    },
    /// Epochs or seconds to an error.
    Convergence {
        /// Axis.
        factor: String,
        /// Value that divides.
        from: String,
        /// Value that is divided.
        to: String,
        /// The error to reach, mm.
        target_mm: f64,
        /// Trials of `from` and `to` that reached it, and how many there were.
        reached: [(usize, usize); 2],
    },
    /// Where errors scatter.
    Scatter {
        /// Configuration of least error.
        best: String,
        /// Variance components of every configuration with two or more seeds.
        components: Vec<(String, Components)>,
    },
    /// Hard images and landmarks.
    Hard {
        /// Images with the greatest mean error, mm.
        images: Vec<(String, f64)>,
        /// Landmarks with the greatest mean error, mm.
        landmarks: Vec<(String, f64)>,
        /// How many configurations and images that is over.
        groups: usize,
    },
    /// Confidence beside errors.
    Calibration {
        /// Configuration whose confidence orders its errors best.
        clearest: String,
        /// Those whose records have confidences.
        configurations: Vec<Calibration>,
    },
    /// A claim of the study that this tool grew from.
    Claim {
        /// As the study put it.
        claim: &'static str,
        /// Why the verdict is what it is.
        because: String,
    },
}

/// All that findings are made from.
pub(super) struct SweepView<'a> {
    pub(super) sweep: &'a SweepRecords,
    pub(super) groups: Vec<Group<'a>>,
    /// At the epoch that stands for the trial, then at that of least loss: group `g` of the latter is `g + groups.len()`.
    /// Of pooled folds those of least error come third.
    pub(super) errors: ErrorTable,
    /// That epoch: [`TrialRecords::selection`].
    pub(super) selection: Selection,
    /// Onsets on the mean loss and on the mean error of each group.
    pub(super) onsets: Vec<[Onset; 2]>,
}

impl SweepView<'_> {
    fn ids(&self, groups: &[usize]) -> Vec<String> {
        let done = groups.iter().flat_map(|g| self.groups[*g].done());
        done.flat_map(TrialRecords::trainings).map(|t| t.id.clone()).collect()
    }

    /// Group `g` at its epochs of least error.
    fn at_least_error(&self, g: usize) -> usize {
        if self.selection == Selection::BestError { g } else { g + 2 * self.groups.len() }
    }

    /// Group `g` at its epochs of least loss.
    fn at_least_loss(&self, g: usize) -> usize {
        g + self.groups.len()
    }

    /// The rows that predictions are taken from, in words.
    fn select(&self, columns: &str) -> String {
        format!("selected = {}; {columns}", if self.selection == Selection::Last { "last" } else { "best-error" })
    }
}

/// Onsets of overfitting by trial, on the loss and on the landmark error.
pub type Onsets = BTreeMap<String, [Onset; 2]>;

/// Each trial's onsets.
#[must_use]
pub fn onsets(sweep: &SweepRecords) -> Onsets {
    let trainings: Vec<&TrialRecords> = sweep.trainings().collect();
    trainings.into_par_iter().map(|trial| (trial.id.clone(), trial_onsets(trial))).collect()
}

/// Everything the sweep shows, most important matters first. Of trials that are done; others are counted as absent.
#[must_use]
pub fn findings(sweep: &SweepRecords) -> Vec<Finding> {
    let sweep = &*sweep.pooled();
    let groups = groups(sweep);
    let (selection, selections) = if sweep.is_pooled() {
        (Selection::Last, vec![Selection::Last, Selection::BestLoss, Selection::BestError])
    } else {
        (Selection::BestError, vec![Selection::BestError, Selection::BestLoss])
    };
    let errors = ErrorTable::of(&groups, &selections);
    let onsets = groups.par_iter().map(training::group_onsets).collect();
    let view = SweepView { sweep, groups, errors, selection, onsets };
    let mut found = Vec::new();
    found.extend(folds::cross_validation(&view));
    found.extend(effects::effects(&view));
    found.extend(effects::interactions(&view));
    found.extend(effects::ranking(&view));
    found.extend(losses::agreement(&view));
    found.extend(losses::regret(&view));
    found.extend(training::collapse(&view));
    found.extend(training::overfitting(&view));
    found.extend(training::gap(&view));
    found.extend(training::convergence(&view));
    found.extend(hard::hard(&view));
    found.extend(calibration::calibrations(&view));
    found.extend(claims::claims(&view));
    found.sort_by_key(|finding| finding.topic);
    for finding in &mut found {
        finding.sentence = sentence::sentence(finding);
    }
    found
}

/// A finding that is yet to be filled in.
fn unfilled(id: String, topic: Topic, statement: Statement, rows: SourceRecords) -> Finding {
    Finding {
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

/// Corrects the tests of these findings for their number and says what each amounts to.
fn judge(findings: &mut [Finding]) {
    let adjusted = holm(&findings.iter().map(|f| f.p_value.unwrap_or(f64::NAN)).collect::<Vec<_>>());
    let tests = adjusted.iter().filter(|p| p.is_finite()).count();
    for (finding, p) in findings.iter_mut().zip(adjusted) {
        finding.tests = tests;
        finding.p_adjusted = p.is_finite().then_some(p);
        finding.verdict = match p {
            p if p.is_nan() => Verdict::TooFew,
            p if p < ALPHA => Verdict::Evidence,
            _ => Verdict::NoEvidence,
        };
    }
}

/// What few seeds mean for any comparison.
fn seed_caveat(seeds: usize) -> Option<String> {
    match seeds {
        1 => Some(
            "One seed: the interval is about other images for these trained networks, not about training again.".into(),
        ),
        2..6 => Some(format!(
            "{seeds} seeds: by signs alone no difference between trainings can reach p < 0.05 with fewer than six; the \
             interval rests on the seeds' scatter being roughly normal."
        )),
        _ => None,
    }
}
