//! Collapse: a network that predicts (nearly) zero everywhere, which some losses reward.

use serde::Serialize;

use crate::TrialRecords;

/// A validation loss of at least this share of an all-zero output's is a collapsed network.
pub const COLLAPSE: f64 = 0.9;

/// A validation loss above this share of an all-zero output's is worse than that of predicting nothing.
pub const ABOVE_ZERO: f64 = 1.1;

/// Ratio of a trial's validation loss to that of an all-zero output, over epochs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Collapse {
    /// `(epoch, validation loss / all-zero loss)` of every evaluated epoch.
    pub ratios: Vec<(u32, f64)>,
    /// Whether the last evaluated epoch is at or above [`COLLAPSE`].
    pub collapsed: bool,
    /// First epoch of the last unbroken stretch of collapse, if the trial ended in one.
    pub since: Option<u32>,
}

/// A trial's ratios; `None` if no epoch was evaluated or the all-zero loss is not positive.
#[must_use]
pub fn collapse(trial: &TrialRecords) -> Option<Collapse> {
    let ratios: Vec<(u32, f64)> = trial
        .epochs
        .iter()
        .filter(|e| e.zero_loss > 0.0)
        .map(|e| (e.epoch, e.val_loss / e.zero_loss))
        .filter(|(_, ratio)| ratio.is_finite())
        .collect();
    let stretch = ratios.iter().rev().take_while(|(_, ratio)| *ratio >= COLLAPSE).last();
    let since = stretch.map(|(epoch, _)| *epoch);
    (!ratios.is_empty()).then_some(Collapse { collapsed: since.is_some(), since, ratios })
}
