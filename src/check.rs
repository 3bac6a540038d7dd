//! The regression gate: is the landmark error no worse than a baseline's, as a paired comparison on the same images?
//!
//! Landmarks of one image are correlated, so images are resampled, not landmarks (Efron & Tibshirani 1993, ch. 8).

use std::collections::BTreeMap;

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::seed::{self, Stream};

/// Landmark errors of a sweep, to hold later ones against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Version of this format.
    pub version: u32,
    /// Name of the sweep.
    pub sweep: String,
    /// By trial id.
    pub trials: BTreeMap<String, TrialErrors>,
}

/// Errors of one trial at its best epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrialErrors {
    /// Hash of the data set it was measured on.
    pub dataset_hash: String,
    /// Image → landmark → radial error in mm.
    pub error_mm: BTreeMap<String, BTreeMap<String, f64>>,
}

/// Change of the mean radial error of one trial against the baseline, mm; positive is worse.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Trial id.
    pub trial: String,
    /// The mean over images.
    pub estimate: f64,
    /// 95 % percentile bootstrap interval over images.
    pub interval: [f64; 2],
    /// Images compared.
    pub images: usize,
}

/// What the gate says.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Every trial's whole interval is below the margin: not worse.
    Pass(Vec<Change>),
    /// At least one trial's whole interval is above the margin.
    Fail(Vec<Change>),
    /// Not worse could not be shown, nor worse.
    Inconclusive(Vec<Change>),
}

const RESAMPLES: usize = 10_000;

/// Non-inferiority of `now` to `baseline` by `margin` mm.
///
/// # Errors
/// When the comparison cannot be made: other data, other trials, other images, errors that are no numbers. Never a pass.
pub fn check(baseline: &Baseline, now: &Baseline, margin: f64) -> Result<Verdict> {
    if !(margin.is_finite() && margin >= 0.0) {
        return Err(Error::definition(format!("the margin is {margin}")).at("--margin").remedy("use 0 or more, in mm"));
    }
    if baseline.trials.is_empty() {
        return Err(Error::input("the baseline holds no trial").remedy("make it from a finished sweep"));
    }
    let mut changes = Vec::new();
    for (id, before) in &baseline.trials {
        let cannot = |what: String| {
            Error::results(what).at(id).remedy("compare the same definition on the same data, or make a new baseline")
        };
        let after = now.trials.get(id).ok_or_else(|| cannot("the sweep has no such finished trial".into()))?;
        if before.dataset_hash != after.dataset_hash {
            return Err(cannot("the baseline was measured on other data".into()));
        }
        changes.push(compare(id, before, after).map_err(cannot)?);
    }
    Ok(if changes.iter().any(|change| change.interval[0] > margin) {
        Verdict::Fail(changes)
    } else if changes.iter().all(|change| change.interval[1] <= margin) {
        Verdict::Pass(changes)
    } else {
        Verdict::Inconclusive(changes)
    })
}

fn compare(trial: &str, before: &TrialErrors, after: &TrialErrors) -> Result<Change, String> {
    let names = |errors: &TrialErrors| -> Vec<(String, Vec<String>)> {
        errors.error_mm.iter().map(|(image, marks)| (image.clone(), marks.keys().cloned().collect())).collect()
    };
    if names(before) != names(after) || before.error_mm.is_empty() {
        return Err("baseline and sweep do not have the same images and landmarks".into());
    }
    let mean = |marks: &BTreeMap<String, f64>| marks.values().sum::<f64>() / marks.len() as f64;
    let differences: Vec<f64> =
        before.error_mm.values().zip(after.error_mm.values()).map(|(b, a)| mean(a) - mean(b)).collect();
    if let Some(bad) = differences.iter().position(|d| !d.is_finite()) {
        return Err(format!("image {} has an error that is no number", names(before)[bad].0));
    }
    let count = differences.len();
    let mut rng = seed::derive(0, Stream::Bootstrap, 0, 0);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| (0..count).map(|_| differences[rng.random_range(0..count)]).sum::<f64>() / count as f64)
        .collect();
    means.sort_by(f64::total_cmp);
    let at = |q: f64| means[(q * (RESAMPLES - 1) as f64).round() as usize];
    Ok(Change {
        trial: trial.to_owned(),
        estimate: differences.iter().sum::<f64>() / count as f64,
        interval: [at(0.025), at(0.975)],
        images: count,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline(shift: f64, noise: f64, images: usize) -> Baseline {
        let mut rng = seed::derive(7, Stream::Bootstrap, 0, 1);
        let error_mm = (0..images)
            .map(|i| {
                let marks = ["sella", "nasion"].map(|mark| {
                    let base = 1.5 + 0.1 * (i % 7) as f64;
                    (mark.to_owned(), base + shift + noise * rng.random_range(-1.0..1.0))
                });
                (format!("{i:03}.png"), BTreeMap::from(marks))
            })
            .collect();
        let trial = TrialErrors { dataset_hash: "abc".into(), error_mm };
        Baseline { version: 1, sweep: "ci".into(), trials: BTreeMap::from([("l1-seed0-0".into(), trial)]) }
    }

    #[test]
    fn passes_fails_and_says_when_it_cannot_tell() {
        let before = baseline(0.0, 0.0, 40);
        assert!(matches!(check(&before, &before, 0.3).unwrap(), Verdict::Pass(_)));
        assert!(matches!(check(&before, &baseline(0.6, 0.2, 40), 0.3).unwrap(), Verdict::Fail(_)));
        assert!(matches!(check(&before, &baseline(0.3, 2.0, 40), 0.3).unwrap(), Verdict::Inconclusive(_)));
        let Verdict::Pass(changes) = check(&before, &baseline(0.1, 0.0, 40), 0.3).unwrap() else {
            panic!("not a pass")
        };
        assert!((changes[0].estimate - 0.1).abs() < 1e-12 && changes[0].images == 40);
    }

    #[test]
    fn what_cannot_be_compared_is_an_error_and_never_a_pass() {
        let before = baseline(0.0, 0.0, 4);
        let mut other_data = before.clone();
        other_data.trials.values_mut().for_each(|t| t.dataset_hash = "xyz".into());
        let mut missing = before.clone();
        missing.trials.clear();
        let mut not_a_number = before.clone();
        not_a_number.trials.values_mut().for_each(|t| {
            t.error_mm.values_mut().take(1).for_each(|m| m.values_mut().for_each(|e| *e = f64::NAN));
        });
        for now in [other_data, missing, not_a_number, baseline(0.0, 0.0, 5)] {
            assert!(check(&before, &now, 0.3).is_err());
        }
        assert!(check(&before, &before, f64::NAN).is_err());
    }
}
