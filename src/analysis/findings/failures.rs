//! Findings on failures: trials that diverged or failed, and networks that are worse than guessing. They come first.

use sweep_experiment::records::{EpochRecord, State};

use super::{Finding, Part, SourceRecords, Statement, SweepView, Topic, Unit, Verdict};
use crate::TrialRecords;
use crate::errors::MRE;

/// Trials that ended badly, and configurations whose error is certainly above that of guessing the mean shape; `None` if all
/// is well.
pub(super) fn failures(view: &SweepView<'_>) -> Option<Finding> {
    let named = |is_meant: &dyn Fn(&TrialRecords) -> bool| -> Vec<String> {
        view.sweep.trainings().filter(|trial| is_meant(trial)).map(|trial| trial.id.clone()).collect()
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
    let diverged = named(&|trial| trial.status.state == State::Diverged);
    let failed = named(&|trial| matches!(trial.status.state, State::Failed | State::TimedOut));
    let not_finite = named(&|trial| trial.status.state != State::Diverged && has_lost_a_loss(&trial.epochs));
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
    let is_mixed =
        |losses: &[f64]| losses.iter().any(|loss| loss.is_finite()) && losses.iter().any(|loss| !loss.is_finite());
    let trained: Vec<f64> = epochs.iter().map(|epoch| epoch.train_loss).collect();
    let evaluated: Vec<f64> =
        epochs.iter().filter(|epoch| epoch.mre().is_finite()).map(|epoch| epoch.val_loss).collect();
    is_mixed(&trained) || is_mixed(&evaluated)
}
