//! Two sweeps against each other: their configurations of the same axis values, and the best of each.

use serde::Serialize;

use sweep_core::error::{Error, Result};
use sweep_core::units::ErrorUnit;

use super::Paired;
use crate::errors::{MRE, Measure, within};
use crate::groups::{Group, groups};
use crate::statistics::{Crossed, Estimate, holm, mean};
use crate::{SweepRecords, TrialRecords};

/// The second sweep minus the first, trials of the same seed paired on the images that both were evaluated on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SweepComparison {
    /// The unit of the errors.
    pub unit: ErrorUnit,
    /// The configuration of least error of each sweep. Both were picked by the errors that are compared.
    pub best: Option<ConfigurationChange>,
    /// Configurations that both sweeps have, in the order of the first; `p_adjusted` is corrected for their number.
    pub configurations: Vec<ConfigurationChange>,
    /// Configurations of one sweep alone: of the first, and of the second.
    pub unmatched: [Vec<String>; 2],
    /// Configurations that both have and that cannot be compared, and why.
    pub incomparable: Vec<(String, String)>,
}

/// The change from a configuration of the first sweep to one of the second.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConfigurationChange {
    /// The configuration of the first sweep.
    pub a: String,
    /// The configuration of the second.
    pub b: String,
    /// Mean radial errors of both, on the landmarks that both have.
    pub errors: [f64; 2],
    /// Change of the mean radial error.
    pub mre: Estimate,
    /// Change of the share of landmarks within the least radius, percentage points.
    pub sdr: Estimate,
    /// p-value of the change of the error, corrected by Holm for the number of configurations.
    pub p_adjusted: f64,
}

/// Compares two sweeps by the finished trials of their configurations. As in `sweep compare`, errors are those at each trial's
/// best epoch, or at the last epoch of whole cross-validations.
///
/// Configurations are matched by their values on the axes, so that what both definitions share beside the axes may differ.
///
/// # Errors
/// When no trial of one is done, or their errors differ in their unit.
pub fn compare_sweeps(a: &SweepRecords, b: &SweepRecords) -> Result<SweepComparison> {
    if a.unit != b.unit {
        let what =
            format!("the errors of {} are in {}, those of {} in {}", a.name, a.unit.name(), b.name, b.unit.name());
        return Err(Error::input(what).remedy("compare sweeps that were run on the same data set"));
    }
    let (pooled_a, pooled_b) = (a.pooled(), b.pooled());
    let [of_a, of_b] = [&*pooled_a, &*pooled_b].map(finished);
    for (sweep, groups) in [(a, &of_a), (b, &of_b)] {
        if groups.is_empty() {
            return Err(Error::results("no trial is done yet").at(&sweep.name).remedy("run it first"));
        }
    }
    let (mut configurations, mut incomparable, mut unmatched) = (Vec::new(), Vec::new(), [Vec::new(), Vec::new()]);
    for group in &of_a {
        match of_b.iter().find(|other| other.label == group.label).map(|other| change(group, other)) {
            Some(Ok(change)) => configurations.push(change),
            Some(Err(error)) => incomparable.push((group.label.clone(), error.message)),
            None => unmatched[0].push(group.label.clone()),
        }
    }
    let is_known = |label: &String| of_a.iter().any(|group| group.label == *label);
    unmatched[1].extend(of_b.iter().map(|group| group.label.clone()).filter(|label| !is_known(label)));
    let adjusted = holm(&configurations.iter().map(|change| change.mre.p_value(0.0)).collect::<Vec<_>>());
    configurations.iter_mut().zip(adjusted).for_each(|(change, p)| change.p_adjusted = p);
    let best = best(&of_a).zip(best(&of_b)).map(|(a, b)| change(a, b)).and_then(Result::ok);
    Ok(SweepComparison { unit: a.unit, best, configurations, unmatched, incomparable })
}

/// Configurations with a finished trial.
fn finished(sweep: &SweepRecords) -> Vec<Group<'_>> {
    groups(sweep).into_iter().filter(|group| group.done().next().is_some()).collect()
}

/// The configuration of least mean error.
fn best<'a, 'b>(groups: &'b [Group<'a>]) -> Option<&'b Group<'a>> {
    let error = |group: &Group<'_>| {
        let errors: Vec<f64> = group.done().filter_map(|trial| Some(trial.selected()?.mre())).collect();
        if errors.is_empty() { f64::INFINITY } else { mean(&errors) }
    };
    groups.iter().min_by(|x, y| error(x).total_cmp(&error(y)))
}

/// The change between two configurations over the seeds that both have.
fn change(a: &Group<'_>, b: &Group<'_>) -> Result<ConfigurationChange> {
    let mut pairs = Vec::new();
    for trial in a.done() {
        if let Some(other) = b.done().find(|other| other.seed == trial.seed) {
            pairs.push(pair(trial, other)?);
        }
    }
    let Some(first) = pairs.first() else {
        return Err(Error::input("their finished trials have no seed in common").remedy("run both with the same seeds"));
    };
    // Every seed on the same images, as the statistics of seeds × images demand.
    let images: Vec<&str> =
        first.images.keys().copied().filter(|image| pairs.iter().all(|pair| pair.images.contains_key(image))).collect();
    if images.is_empty() {
        return Err(Error::input("their seeds have no image in common").remedy("compare sweeps of the same data set"));
    }
    let table = |measure: Measure<'_>| {
        let of = |pair: &Paired<'_>| images.iter().map(|image| pair.change(image, measure, None)).collect();
        Crossed::new(&pairs.iter().map(of).collect::<Vec<Vec<(f64, usize)>>>())
    };
    let marks = || pairs.iter().flat_map(|pair| images.iter().filter_map(|image| pair.images.get(image)).flatten());
    let error = |side: fn(&(&str, f64, f64)) -> f64| mean(&marks().map(side).collect::<Vec<f64>>());
    let mre = table(MRE).estimate(0);
    Ok(ConfigurationChange {
        a: a.label.clone(),
        b: b.label.clone(),
        errors: [error(|mark| mark.1), error(|mark| mark.2)],
        sdr: table(&within(first.unit.radii()[0])).estimate(0),
        p_adjusted: mre.p_value(0.0),
        mre,
    })
}

fn pair<'a>(a: &'a TrialRecords, b: &'a TrialRecords) -> Result<Paired<'a>> {
    if a.selection() != b.selection() {
        let what = "one is a cross-validation and the other is not: their errors are those of different epochs";
        return Err(Error::input(what).remedy("compare sweeps that are both divided into folds, or neither"));
    }
    Paired::of(&a.landmarks, &b.landmarks, a.selection())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic::{Scenario, sweep};

    #[test]
    fn a_sweep_differs_from_itself_by_nothing() {
        let one = sweep(3, 2, Scenario::Realistic);
        let found = compare_sweeps(&one, &one).unwrap();
        assert_eq!((found.configurations.len(), found.unmatched), (3, [vec![], vec![]]));
        for change in found.configurations.iter().chain(&found.best) {
            assert!(change.mre.point.abs() < 1e-12 && change.a == change.b, "{change:?}");
            assert_eq!((change.mre.n.seeds, change.mre.n.images > 1), (2, true));
        }
    }

    #[test]
    fn a_shift_of_one_configuration_is_found_and_others_are_named() {
        let (one, mut two) = (sweep(3, 3, Scenario::Realistic), sweep(4, 3, Scenario::Realistic));
        let worse = one.trials[0].group();
        for trial in two.trials.iter_mut().filter(|trial| trial.group() == worse) {
            for (at, row) in trial.landmarks.iter_mut().enumerate() {
                row.error_mm += 1.0 + 0.1 * (at % 3) as f64;
            }
        }
        let found = compare_sweeps(&one, &two).unwrap();
        let shifted = found.configurations.iter().find(|change| change.a == worse).unwrap();
        assert!(shifted.mre.point > 0.9 && shifted.mre.excludes(0.0) && shifted.p_adjusted < 0.05, "{shifted:?}");
        assert!((shifted.errors[1] - shifted.errors[0] - shifted.mre.point).abs() < 1e-9);
        let others = found.configurations.iter().filter(|change| change.a != worse);
        assert!(others.clone().count() == 2 && others.into_iter().all(|change| change.mre.point.abs() < 1e-12));
        assert_eq!((found.unmatched[0].len(), found.unmatched[1].len()), (0, 1));
    }

    #[test]
    fn other_seeds_are_no_comparison() {
        let (one, mut two) = (sweep(2, 2, Scenario::Realistic), sweep(2, 2, Scenario::Realistic));
        two.trials.iter_mut().for_each(|trial| trial.seed += 10);
        let found = compare_sweeps(&one, &two).unwrap();
        assert!(found.configurations.is_empty() && found.best.is_none());
        assert!(found.incomparable.iter().all(|(_, why)| why.contains("no seed in common")));
    }
}
