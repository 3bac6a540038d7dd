//! The tables of a cross-validation: configurations and landmarks, out of fold, with intervals.

use serde::Serialize;

use sweep_core::units::ErrorUnit;
use sweep_experiment::records::State;

use super::series::Group;
use crate::findings::{CrossValidationScores, Finding, Statement};
use crate::format::{fixed, interval, mm};
use crate::statistics::Estimate;

/// Greatest number of configurations in the table of landmarks; the best are shown.
const MAX_CONFIGURATIONS: usize = 6;

/// A table of text cells.
#[derive(Debug, Clone, Serialize)]
pub struct TextTable {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Rows of as many cells.
    pub rows: Vec<Vec<String>>,
}

/// Caption of the table of configurations.
pub(super) const CAPTION: &str = "Out-of-fold predictions at the last epoch, all folds of a seed together; intervals are for \
other images and seeds. The others' epoch: every fold at the epoch that is best for the other folds, mean over seeds: \
what choosing an epoch gains where it may not look at the images it is judged by. Own best epoch: chosen on the very \
images that are measured, so too good; it is what a single split reports. MRE: mean radial error.";

/// Caption of the table of landmarks.
pub(super) fn landmark_caption(unit: ErrorUnit) -> String {
    format!(
        "Mean radial error ({unit}) with its 95 % interval, out of fold at the last epoch, over the images where the landmark is \
         marked."
    )
}

fn scores(findings: &[Finding]) -> Option<&[CrossValidationScores]> {
    findings.iter().find_map(|finding| match &finding.statement {
        Statement::CrossValidation { configurations, .. } => Some(configurations.as_slice()),
        _ => None,
    })
}

fn percent(estimate: &Estimate) -> String {
    fixed(estimate.point, 1)
}

fn ends(estimate: &Estimate, show: impl Fn(f64) -> String) -> String {
    let ends = interval(estimate, show);
    if ends.is_empty() { "–".to_owned() } else { ends }
}

/// Table of the configurations, in the plan's order; `None` if folds are no axis.
pub(super) fn configurations(groups: &[Group<'_>], findings: &[Finding], unit: ErrorUnit) -> Option<TextTable> {
    let scores = scores(findings)?;
    let [least, wider @ ..] = unit.radii();
    let [a, b, c] = wider.map(|radius| format!("{radius} {unit}"));
    let columns = [
        "configuration".to_owned(),
        "seeds".to_owned(),
        "state".to_owned(),
        format!("MRE ({unit})"),
        "95 % interval".to_owned(),
        format!("within {least} {unit} (%)"),
        "95 % interval".to_owned(),
        a,
        b,
        c,
        format!("MRE at the others' epoch ({unit})"),
        format!("at the own best epoch ({unit})"),
    ];
    let row = |group: &Group<'_>| -> Vec<String> {
        let mut cells = vec![group.label.clone(), group.trials.len().to_string(), state(group)];
        match scores.iter().find(|s| s.label == group.label) {
            Some(s) => {
                let optional = |error: Option<f64>| error.map_or_else(|| "–".to_owned(), mm);
                cells.extend([mm(s.mre.point), ends(&s.mre, mm), percent(&s.sdr[0])]);
                cells.push(ends(&s.sdr[0], |v| format!("{v:.1}")));
                cells.extend(s.sdr[1..].iter().map(percent));
                cells.extend([optional(s.others_epoch_mm), optional(s.own_epoch_mm)]);
            }
            None => cells.extend(vec!["–".to_owned(); columns.len() - cells.len()]),
        }
        cells
    };
    Some(TextTable { rows: groups.iter().map(row).collect(), columns: columns.to_vec() })
}

/// Table of the landmarks, in the data set's order, with a column for each of the best configurations; `None` without a
/// complete configuration.
pub(super) fn landmarks(findings: &[Finding]) -> Option<TextTable> {
    let scores = scores(findings)?;
    let mut best: Vec<&CrossValidationScores> = scores.iter().collect();
    best.sort_by(|a, b| a.mre.point.total_cmp(&b.mre.point));
    best.truncate(MAX_CONFIGURATIONS);
    let shown: Vec<&CrossValidationScores> =
        scores.iter().filter(|s| best.iter().any(|b| b.label == s.label)).collect();
    let first = shown.first()?;
    let cell = |scores: &&CrossValidationScores, name: &str| {
        let of = scores.landmarks.iter().find(|(landmark, _)| landmark == name);
        of.map_or_else(|| "–".to_owned(), |(_, error)| format!("{} ({})", mm(error.point), ends(error, mm)))
    };
    let row = |(name, error): &(String, Estimate)| {
        let mut cells = vec![name.clone(), error.n.images.to_string()];
        cells.extend(shown.iter().map(|scores| cell(scores, name)));
        cells
    };
    let columns = ["landmark".to_owned(), "images".to_owned()];
    Some(TextTable {
        rows: first.landmarks.iter().map(row).collect(),
        columns: columns.into_iter().chain(shown.iter().map(|scores| scores.label.clone())).collect(),
    })
}

/// Number of complete cross-validations of a configuration, and the progress of the others.
fn state(group: &Group<'_>) -> String {
    let complete = group.trials.iter().filter(|t| t.status.state == State::Done).count();
    if complete == group.trials.len() {
        return State::Done.name().to_owned();
    }
    let open = group.trials.iter().filter(|t| t.status.state != State::Done);
    let mut parts: Vec<String> = open.map(|t| format!("seed {}: {}", t.seed, t.progress())).collect();
    if complete > 0 {
        parts.insert(0, format!("{complete} done"));
    }
    parts.join("; ")
}
