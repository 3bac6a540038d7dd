//! Time until a trial reaches a landmark error, in epochs and in seconds of its own clock.

use serde::Serialize;

use crate::TrialRecords;

/// Time until a trial first reached an error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TimeToError {
    /// Epochs until then; all epochs if it never did.
    pub epochs: f64,
    /// Seconds of training and evaluation until then.
    pub seconds: f64,
    /// Whether the error was reached.
    pub reached: bool,
}

/// Time to the first evaluated epoch with a validation MRE of at most `target` mm; `None` if nothing was evaluated.
#[must_use]
pub fn time_to_error(trial: &TrialRecords, target: f64) -> Option<TimeToError> {
    let (mut seconds, mut last) = (0.0, None);
    for epoch in &trial.epochs {
        seconds += if epoch.seconds.is_finite() { epoch.seconds } else { 0.0 };
        if epoch.mre().is_finite() {
            let reached = epoch.mre() <= target;
            last = Some(TimeToError { epochs: f64::from(epoch.epoch), seconds, reached });
            if reached {
                break;
            }
        }
    }
    last
}
