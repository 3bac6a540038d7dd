//! Analysis of curves over epochs: tests for overfitting, collapse, and the time until an error is reached.

mod collapse;
mod onset;
mod time_to_error;

use sweep_experiment::records::EpochRecord;

use super::TrialRecords;
pub use collapse::{ABOVE_ZERO, COLLAPSE, Collapse, collapse};
pub use onset::{MIN_EPOCHS, Onset, isotonic, onset};
pub use time_to_error::{TimeToError, time_to_error};

/// A column of the epochs' records.
pub type Value = fn(&EpochRecord) -> f64;

/// `(epoch, validation, training)` of the evaluated epochs where both values are finite and positive, so that logarithms
/// can be taken.
#[must_use]
pub fn positive_pairs(trial: &TrialRecords, validation: Value, training: Value) -> Vec<(u32, f64, f64)> {
    let points = trial.epochs.iter().map(|e| (e.epoch, validation(e), training(e)));
    points.filter(|(_, v, t)| v.is_finite() && t.is_finite() && *v > 0.0 && *t > 0.0).collect()
}

/// Geometric mean of replicates at the epochs that all of them share.
#[must_use]
pub fn geometric_mean(curves: &[Vec<(u32, f64, f64)>]) -> Vec<(u32, f64, f64)> {
    let Some((first, others)) = curves.split_first() else { return Vec::new() };
    let n = curves.len() as f64;
    let shared = |point: &(u32, f64, f64)| {
        let mut logs = (point.1.ln(), point.2.ln());
        for curve in others {
            let same = curve.binary_search_by_key(&point.0, |p| p.0).ok().map(|at| curve[at])?;
            logs = (logs.0 + same.1.ln(), logs.1 + same.2.ln());
        }
        Some((point.0, (logs.0 / n).exp(), (logs.1 / n).exp()))
    };
    first.iter().filter_map(shared).collect()
}
