//! Findings on failures: trials that diverged or failed, and networks that are worse than guessing. They come first.

use sweep_experiment::records::{EpochRecord, State};

use super::{Finding, Part, SourceRecords, Statement, SweepView, Topic, Unit, Verdict};
use crate::errors::MRE;

/// Trials that ended badly, and configurations whose error is certainly above that of guessing the mean shape; `None` if all
/// is well.
pub(super) fn failures(view: &SweepView<'_>) -> Option<Finding> {
    let of_state = |states: &[State]| -> Vec<String> {
        let trials = view.sweep.trainings().filter(|trial| states.contains(&trial.status.state));
        trials.map(|trial| trial.id.clone()).collect()
    };
    let guess = view.sweep.mean_shape_mre;
    let mut parts = Vec::new();
    for (g, group) in view.groups.iter().enumerate() {
        let Some(table) = view.errors.contrast(&[(g, 1.0)], MRE) else { continue };
        let estimate = table.positive(0);
        if guess.is_some_and(|guess| estimate.interval[0] > guess) {
            parts.push(Part {
                label: group.label.clone(),
                estimate,
                unit: Unit::Millimetres,
                p_adjusted: None,
                note: "worse than guessing the mean shape".into(),
            });
        }
    }
    let (diverged, failed) = (of_state(&[State::Diverged]), of_state(&[State::Failed, State::TimedOut]));
    let not_finite: Vec<String> = view
        .sweep
        .trainings()
        .filter(|trial| trial.status.state != State::Diverged && has_lost_a_loss(&trial.epochs))
        .map(|trial| trial.id.clone())
        .collect();
    if diverged.is_empty() && failed.is_empty() && not_finite.is_empty() && parts.is_empty() {
        return None;
    }
    let statement = Statement::Failures {
        diverged,
        failed,
        not_finite,
        worse_than_guessing: parts.iter().map(|part| part.label.clone()).collect(),
        guess_mm: guess.unwrap_or(f64::NAN),
        trials: view.sweep.trainings().count(),
    };
    let rows =
        SourceRecords { file: "status.json", select: "state; landmarks.csv, error_mm".into(), trials: Vec::new() };
    let mut finding = Finding::new("failures".into(), Topic::Failures, statement, rows);
    finding.verdict = Verdict::Warning;
    finding.parts = parts;
    Some(finding)
}

/// Whether a loss is not finite at one epoch and finite at another, of those that trained or evaluated. Records of other
/// programs may have such epochs; ours end there.
fn has_lost_a_loss(epochs: &[EpochRecord]) -> bool {
    let evaluated = || epochs.iter().filter(|epoch| epoch.mre().is_finite()).map(|epoch| epoch.val_loss);
    let is_mixed = |losses: &mut dyn Iterator<Item = f64>| {
        let (finite, lost): (Vec<f64>, Vec<f64>) = losses.partition(|loss| loss.is_finite());
        !finite.is_empty() && !lost.is_empty()
    };
    is_mixed(&mut epochs.iter().map(|epoch| epoch.train_loss)) || is_mixed(&mut evaluated())
}
