//! `sweep baseline` and `sweep check`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::analysis::load;
use crate::check::{self, Baseline, TrialErrors, Verdict};
use crate::error::{Error, Outcome, Result};
use crate::records::{Selection, State};
use crate::store::{self, Store};

use super::say;

pub(super) fn baseline(folder: &Path, output: &Path) -> Result<Outcome> {
    let baseline = collect(folder)?;
    if baseline.trials.is_empty() {
        return Err(Error::results("no trial of this sweep is done").at(folder.display()).remedy("run it first"));
    }
    let json = serde_json::to_string(&baseline).map_err(|e| Error::results(e.to_string()))?;
    store::write(output, format!("{json}\n").as_bytes())?;
    say(&format!("{}: {} trials", output.display(), baseline.trials.len()))?;
    Ok(Outcome::Done)
}

pub(super) fn check(folder: &Path, baseline: &Path, margin: f64) -> Result<Outcome> {
    let before: Baseline = serde_json::from_str(&store::read_text(baseline)?).map_err(|e| {
        Error::input(format!("not a baseline: {e}")).at(baseline.display()).remedy("make one with sweep baseline")
    })?;
    let verdict = check::check(&before, &collect(folder)?, margin)?;
    let (word, changes, outcome) = match verdict {
        Verdict::Pass(changes) => ("pass", changes, Outcome::Done),
        Verdict::Fail(changes) => ("FAIL", changes, Outcome::Failed),
        Verdict::Inconclusive(changes) => ("inconclusive", changes, Outcome::Inconclusive),
    };
    // Thousandths of a millimetre, none of them "-0.000".
    let shown = |mm: f64| (mm * 1e3).round() / 1e3 + 0.0;
    for change in changes {
        let ([low, high], estimate) = (change.interval.map(shown), shown(change.estimate));
        say(&format!(
            "{}: MRE {estimate:+.3} mm against the baseline, 95 % interval {low:+.3} to {high:+.3} mm, {} images",
            change.trial, change.images
        ))?;
    }
    say(&format!("{word}: margin {margin} mm"))?;
    Ok(outcome)
}

/// Errors of the finished trials at their best epoch.
fn collect(folder: &Path) -> Result<Baseline> {
    let store = Store::at(folder);
    let sweep = load::load(&store)?;
    let mut trials = BTreeMap::new();
    for trial in sweep.trials.iter().filter(|trial| trial.status.state == State::Done) {
        let mut error_mm: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
        for row in trial.landmarks.iter().filter(|row| row.selected == Selection::BestError) {
            error_mm.entry(row.image.clone()).or_default().insert(row.landmark.clone(), row.error_mm);
        }
        let dataset_hash = store.trial(&trial.id).trial_file()?.dataset_hash;
        trials.insert(trial.id.clone(), TrialErrors { dataset_hash, error_mm });
    }
    Ok(Baseline { version: 1, sweep: sweep.name, trials })
}
