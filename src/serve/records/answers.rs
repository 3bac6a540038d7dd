//! The answer to a sweep's question and its findings, computed anew when trials have ended.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;

use rayon::prelude::*;
use serde::Serialize;

use sweep_analysis::curves::Onset;
use sweep_analysis::findings::{Finding, Onsets, Statement, Topic, deciding, findings_from, trial_onsets};
use sweep_analysis::load::load;
use sweep_analysis::report::Answer;
use sweep_analysis::{SweepRecords, TrialRecords};
use sweep_experiment::store::Store;

use super::Sweep;
use super::trial::in_a_line;

/// What analysis says of a sweep.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Answered {
    /// The trials and epochs that it is about.
    #[serde(skip)]
    pub(super) about: String,
    /// The answer, if configurations can be compared.
    pub(crate) answer: Option<Answer>,
    /// The words under the answer's table.
    pub(crate) caption: String,
    /// What went wrong.
    pub(crate) warnings: Vec<String>,
    /// Everything else that is found: verdict, subject and sentence.
    pub(crate) findings: Vec<[String; 3]>,
    /// The largest difference between two values of each axis.
    pub(crate) axes: Vec<AxisEffect>,
    /// How far the error follows each axis of many values, the closest first.
    pub(crate) trends: Vec<AxisTrend>,
    /// Trials whose records are damaged, and why.
    pub(crate) left_out: Vec<(String, String)>,
    /// Why there is none.
    pub(crate) problem: Option<String>,
    /// Whether all findings are computed, and not only those that answer the question.
    pub(crate) is_whole: bool,
}

impl Answered {
    /// Of nothing yet.
    fn of_nothing(about: String) -> Self {
        Self {
            about,
            answer: None,
            caption: String::new(),
            warnings: Vec::new(),
            findings: Vec::new(),
            axes: Vec::new(),
            trends: Vec::new(),
            left_out: Vec::new(),
            problem: None,
            is_whole: true,
        }
    }
}

/// Onsets of overfitting of trials that are done, by id, with the number of epochs that they were found on. Finding them takes
/// most of the time of an answer, and the next answer needs those of the same trials.
pub(super) type KnownOnsets = BTreeMap<String, (usize, [Onset; 2])>;

/// How far the order of the errors follows an axis of many values.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct AxisTrend {
    /// The axis.
    pub(crate) axis: String,
    /// Explained share of the order, %.
    pub(crate) percent: f64,
    /// Where the best quarter of the configurations lies, or the value of least median error.
    pub(crate) best: String,
    /// How certain it is.
    pub(crate) verdict: &'static str,
}

/// How much the error depends on an axis.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct AxisEffect {
    /// The axis.
    pub(crate) axis: String,
    /// The value of larger error, and that of smaller.
    pub(crate) values: [String; 2],
    /// The difference between their errors.
    pub(crate) difference: f64,
    /// How certain it is.
    pub(crate) verdict: &'static str,
}

/// What an answer would be about: the finished trials. `None` while none has ended, or some have not been read.
pub(super) fn subject(sweep: &Sweep) -> Option<String> {
    let mut hasher = blake3::Hasher::new();
    let mut any = false;
    for trial in &sweep.trials {
        if !trial.is_read {
            return None;
        }
        if trial.records.is_done() {
            any = true;
            let best = trial.summary.best_val_mre.to_bits();
            hasher.update(format!("{} {} {best}\n", trial.id(), trial.epochs).as_bytes());
        }
    }
    any.then(|| hasher.finalize().to_hex().to_string())
}

/// Computes the answer from the records of a sweep, and shows it twice: as soon as the question is answered, and with all
/// findings. Records that analysis cannot bear give none, and do not end the program.
pub(super) fn answer(store: &Store, about: &str, known: &mut KnownOnsets, show: &dyn Fn(Answered)) {
    let analysis = AssertUnwindSafe(|| match load(store) {
        Ok(sweep) => {
            show(Answered { is_whole: false, ..answered(&sweep, &deciding(&sweep), about) });
            let onsets = onsets(&sweep, known);
            show(answered(&sweep, &findings_from(&sweep, &onsets), about));
        }
        Err(error) => {
            show(Answered { problem: Some(in_a_line(&error)), ..Answered::of_nothing(about.to_owned()) });
        }
    });
    if std::panic::catch_unwind(analysis).is_err() {
        let problem = Some("the analysis of its records broke off".to_owned());
        show(Answered { problem, ..Answered::of_nothing(about.to_owned()) });
    }
}

/// The onsets of a sweep's trials: those of finished trials as they are known, and kept for the next answer.
fn onsets(sweep: &SweepRecords, known: &mut KnownOnsets) -> Onsets {
    let before = std::mem::take(known);
    let of = |trial: &&TrialRecords| {
        let count = trial.epochs.len();
        let found = before.get(&trial.id).filter(|(epochs, _)| *epochs == count).map(|(_, onsets)| *onsets);
        (trial.id.clone(), count, found.unwrap_or_else(|| trial_onsets(trial)))
    };
    let trainings: Vec<&TrialRecords> = sweep.trainings().filter(|trial| trial.is_done()).collect();
    let found: Vec<(String, usize, [Onset; 2])> = trainings.par_iter().map(of).collect();
    known.extend(found.iter().map(|(id, count, onsets)| (id.clone(), (*count, *onsets))));
    found.into_iter().map(|(id, _, onsets)| (id, onsets)).collect()
}

fn answered(sweep: &SweepRecords, found: &[Finding], about: &str) -> Answered {
    let answer = Answer::of(sweep, found);
    let (warnings, others): (Vec<&Finding>, Vec<&Finding>) =
        found.iter().filter(|f| !f.sentence.is_empty()).partition(|f| f.topic == Topic::Failures);
    let shown = |f: &Finding| [f.badge().to_owned(), f.topic.name().to_owned(), f.sentence.replace('`', "")];
    Answered {
        caption: answer.as_ref().map(Answer::caption).unwrap_or_default(),
        answer,
        warnings: warnings.into_iter().map(|f| f.sentence.replace('`', "")).collect(),
        findings: others.into_iter().map(shown).collect(),
        axes: axes(found),
        trends: trends(found),
        left_out: sweep.left_out.clone(),
        ..Answered::of_nothing(about.to_owned())
    }
}

/// Axes of many values, those that explain most first.
fn trends(found: &[Finding]) -> Vec<AxisTrend> {
    let trend = |finding: &Finding| {
        let Statement::Trend { axis, best, .. } = &finding.statement else { return None };
        let best = match (best, finding.parts.first()) {
            (Some((_, [from, to])), _) if from == to => from.clone(),
            (Some((_, [from, to])), _) => format!("{from} to {to}"),
            (None, part) => part?.label.clone(),
        };
        let percent = 100.0 * finding.estimate.as_ref()?.point;
        Some(AxisTrend { axis: axis.clone(), percent, best, verdict: finding.verdict.name() })
    };
    let mut all: Vec<AxisTrend> = found.iter().filter_map(trend).collect();
    all.sort_by(|a, b| b.percent.total_cmp(&a.percent));
    all
}

/// The largest effect of each axis, largest first.
fn axes(found: &[Finding]) -> Vec<AxisEffect> {
    let mut largest: BTreeMap<&str, AxisEffect> = BTreeMap::new();
    for finding in found {
        let (Statement::Effect { factor, from, to, .. }, Some(estimate)) = (&finding.statement, &finding.estimate)
        else {
            continue;
        };
        let difference = estimate.point.abs();
        if largest.get(factor.as_str()).is_some_and(|known| known.difference >= difference) {
            continue;
        }
        let values = if estimate.point < 0.0 { [from.clone(), to.clone()] } else { [to.clone(), from.clone()] };
        let effect = AxisEffect { axis: factor.clone(), values, difference, verdict: finding.verdict.name() };
        largest.insert(factor, effect);
    }
    let mut all: Vec<AxisEffect> = largest.into_values().collect();
    all.sort_by(|a, b| b.difference.total_cmp(&a.difference));
    all
}
