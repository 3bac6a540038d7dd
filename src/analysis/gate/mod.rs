//! The regression gate: is the landmark error no worse than a baseline's, as a paired comparison on the same images?
//!
//! A non-inferiority test: *pass* is shown by an interval below the margin, never by the lack of significance.
//! Sweeps that cannot be compared are an error and never a pass.

mod baseline;
mod measures;
mod noise;
mod render;

use std::collections::BTreeMap;

use serde::Serialize;

use sweep_core::error::{Error, Result};
use sweep_core::units::ErrorUnit;

use crate::errors::{MRE, Measure, within};
use crate::statistics::{Contrast, Crossed, Estimate, holm};
pub use baseline::{
    Baseline, Configuration, METRIC, METRIC_CROSS_FITTED, METRIC_CROSS_FITTED_IN_PIXELS, METRIC_IN_PIXELS,
    METRIC_OF_FOLDS, METRIC_OF_FOLDS_IN_PIXELS, TrialErrors, collect, collect_as,
};
pub use noise::TrainingNoise;
pub use render::{annotations, junit, junit_of_error, markdown, markdown_of_error};

/// Margins of non-inferiority.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Margins {
    /// For the mean radial error, and for that of each landmark, in the baseline's unit.
    pub mre_mm: f64,
    /// For the share of landmarks within the least radius, percentage points.
    pub sdr_points: f64,
    /// For the mean absolute error of measures, by name, in each one's unit; others are not compared.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub measures: BTreeMap<String, f64>,
}

/// Level of each one-sided test: one tail of a 95 % interval.
const ALPHA: f64 = 0.025;

/// A quantity that is compared with the baseline.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// Mean radial error: decides between pass, fail and inconclusive.
    Mre,
    /// Share of landmarks within 2 mm, percentage points: can only fail.
    Sdr2mm,
    /// Share of landmarks within 2 px, percentage points: can only fail.
    Sdr2px,
    /// One landmark's mean error: can only fail.
    Landmark(String),
    /// A measure's mean absolute error: can only fail.
    Measure {
        /// The measure.
        name: String,
        /// The symbol of its unit.
        unit: &'static str,
    },
}

impl Quantity {
    /// Name for readers.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Mre => "MRE".to_owned(),
            Self::Sdr2mm => "landmarks within 2 mm".to_owned(),
            Self::Sdr2px => "landmarks within 2 px".to_owned(),
            Self::Landmark(name) | Self::Measure { name, .. } => name.clone(),
        }
    }

    /// Unit of its change, given that of the errors.
    #[must_use]
    pub fn unit(&self, errors: ErrorUnit) -> &'static str {
        match self {
            Self::Sdr2mm | Self::Sdr2px => "percentage points",
            Self::Measure { unit, .. } => unit,
            Self::Mre | Self::Landmark(_) => errors.symbol(),
        }
    }

    /// Whether it is a share of landmarks, which is better if larger.
    #[must_use]
    pub fn is_share(&self) -> bool {
        matches!(self, Self::Sdr2mm | Self::Sdr2px)
    }
}

/// Result of the gate, or of one of its tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Not worse by more than the margin.
    Pass,
    /// Neither of the two could be shown.
    Inconclusive,
    /// Worse by more than the margin.
    Fail,
}

impl Verdict {
    /// Name for readers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Inconclusive => "inconclusive",
            Self::Fail => "FAIL",
        }
    }
}

/// One quantity of one configuration against the baseline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Test {
    /// The configuration, as its values on the axes.
    pub configuration: String,
    /// The compared quantity.
    pub quantity: Quantity,
    /// The sweep minus the baseline, paired by seed and image.
    pub change: Estimate,
    /// The unit of the errors.
    #[serde(skip_serializing_if = "ErrorUnit::is_millimetres")]
    pub unit: ErrorUnit,
    /// Allowed change towards worse.
    pub margin: f64,
    /// One-sided p-value of the hypothesis that it is not worse than the margin, corrected by Holm among the tests of its
    /// kind.
    pub p_worse: f64,
    /// Whether the interval covers training again; without it, nothing fails.
    pub knows_training_noise: bool,
    /// Result of the test.
    pub verdict: Verdict,
}

/// Result of the gate, with all tests.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GateReport {
    /// The worst of the tests.
    pub verdict: Verdict,
    /// Every comparison, configurations in the baseline's order.
    pub tests: Vec<Test>,
    /// Limits of the comparison.
    pub warnings: Vec<String>,
    /// The allowed changes.
    pub margins: Margins,
    /// The unit of the errors.
    #[serde(skip_serializing_if = "ErrorUnit::is_millimetres")]
    pub unit: ErrorUnit,
}

/// Non-inferiority of `now` to `baseline`.
///
/// # Errors
/// When the comparison cannot be made: other data, split or metric, a trial that is missing or not finished, other images
/// or landmarks, errors that are not finite. An error is never a pass.
pub fn check(baseline: &Baseline, now: &Baseline, margins: &Margins) -> Result<GateReport> {
    let of_measures = margins.measures.values().map(|margin| ("--measure-margin", *margin));
    let of_errors = [("--margin", margins.mre_mm), ("--sdr-margin", margins.sdr_points)];
    for (flag, margin) in of_errors.into_iter().chain(of_measures) {
        if !(margin.is_finite() && margin >= 0.0) {
            return Err(Error::definition(format!("the margin is {margin}")).at(flag).remedy("use 0 or more"));
        }
    }
    if baseline.unit != now.unit {
        return Err(Error::input(format!(
            "the errors of the baseline are in {}, those of the sweep in {}",
            baseline.unit.name(),
            now.unit.name()
        ))
        .remedy("compare the same definition on the same data, or make a new baseline"));
    }
    let unit = baseline.unit;
    if baseline.configurations.is_empty() {
        return Err(Error::input("the baseline holds no trial").remedy("make it from a finished sweep"));
    }
    let (mut tests, mut warnings) = (Vec::new(), Vec::new());
    for before in &baseline.configurations {
        let pairs = before.paired_with(&baseline.metric, now)?;
        let mut add = |quantity: Quantity, table: &Crossed, margin: f64| {
            tests.push(test(before, &pairs, quantity, table, margin, unit));
        };
        add(Quantity::Mre, &pairs.table(MRE, None), margins.mre_mm);
        let share = if unit.is_millimetres() { Quantity::Sdr2mm } else { Quantity::Sdr2px };
        add(share, &pairs.table(&within(unit.radii()[0]), None), margins.sdr_points);
        for landmark in pairs.landmarks() {
            add(Quantity::Landmark(landmark.to_owned()), &pairs.table(MRE, Some(landmark)), margins.mre_mm);
        }
        for (name, margin) in &margins.measures {
            let unit = baseline.measure_unit(name)?.symbol(unit);
            let table = pairs.of_measure(name).map_err(|error| error.at(&before.label))?;
            add(Quantity::Measure { name: name.clone(), unit }, &table, *margin);
        }
        if pairs.seeds.len() == 1 && pairs.noise.is_none() && !pairs.are_equal() {
            warnings.push(format!(
                "{}: one seed: these two trained networks differ, which says nothing of training again, so nothing can fail; make \
                 the baseline from several seeds, or give it the training noise of a sweep with `sweep baseline --noise RESULTS`",
                before.label
            ));
        }
        if let Some(resolution) = pairs.resolution().filter(|step| margins.mre_mm < *step) {
            warnings.push(format!(
                "{}: predictions lie on a grid of {resolution:.2} {unit}, so a margin of {} {unit} is below what the metric resolves; \
                 use a decoder with sub-pixel positions or a wider margin",
                before.label, margins.mre_mm
            ));
        }
    }
    correct(&mut tests);
    for kind in [Quantity::Mre] {
        let wide = tests.iter().filter(|t| t.quantity == kind && half_width(t) > t.margin && t.margin > 0.0);
        for test in wide {
            warnings.push(format!(
                "{}: the interval is ±{:.2} {unit} wide, more than the margin of {} {unit}: more images or seeds would be needed to \
                 pass a change of nothing",
                test.configuration,
                half_width(test),
                test.margin
            ));
        }
    }
    let known: Vec<&Configuration> = baseline.configurations.iter().filter_map(|c| c.found_in(now)).collect();
    let new = now.configurations.iter().filter(|c| !known.contains(c));
    warnings.extend(new.map(|c| format!("{}: not in the baseline, not checked", c.label)));
    let verdict = tests.iter().map(|t| t.verdict).max().unwrap_or(Verdict::Inconclusive);
    Ok(GateReport { verdict, tests, warnings, margins: margins.clone(), unit })
}

fn half_width(test: &Test) -> f64 {
    (test.change.interval[1] - test.change.interval[0]) / 2.0
}

fn test(
    before: &Configuration,
    pairs: &PairedTrials<'_>,
    quantity: Quantity,
    table: &Crossed,
    margin: f64,
    unit: ErrorUnit,
) -> Test {
    let change = pairs.change(&quantity, table);
    let p_worse = if quantity.is_share() { change.p_below(-margin) } else { change.p_above(margin) };
    let knows_training_noise = pairs.seeds.len() > 1 || pairs.noise.is_some_and(|noise| noise.sd(&quantity).is_some());
    let configuration = before.label.clone();
    Test { configuration, quantity, change, unit, margin, p_worse, knows_training_noise, verdict: Verdict::Pass }
}

/// Corrects the tests of each kind for their number and sets their verdicts.
fn correct(tests: &mut [Test]) {
    let kind = |quantity: &Quantity| match quantity {
        Quantity::Mre => 0,
        Quantity::Sdr2mm | Quantity::Sdr2px => 1,
        Quantity::Landmark(_) => 2,
        Quantity::Measure { .. } => 3,
    };
    for which in 0..4 {
        let indices: Vec<usize> = (0..tests.len()).filter(|i| kind(&tests[*i].quantity) == which).collect();
        let corrected = holm(&indices.iter().map(|i| tests[*i].p_worse).collect::<Vec<_>>());
        for (index, p) in indices.into_iter().zip(corrected) {
            let test = &mut tests[index];
            let [low, high] = test.change.interval;
            let (worse, not_worse) = if which == 1 {
                (high < -test.margin, low >= -test.margin)
            } else {
                (low > test.margin, high <= test.margin)
            };
            test.p_worse = p;
            test.verdict = match which {
                _ if worse && p < ALPHA && test.knows_training_noise => Verdict::Fail,
                _ if worse && p < ALPHA => Verdict::Inconclusive,
                0 if !not_worse => Verdict::Inconclusive,
                _ => Verdict::Pass,
            };
        }
    }
}

/// Errors of the baseline and of the sweep, for every seed.
struct PairedTrials<'a> {
    seeds: Vec<(&'a TrialErrors, &'a TrialErrors)>,
    /// Training noise of the baseline, for a single seed.
    noise: Option<&'a TrainingNoise>,
}

impl PairedTrials<'_> {
    /// Whether nothing changed: the same training, bit for bit.
    fn are_equal(&self) -> bool {
        self.seeds.iter().all(|(before, after)| before.errors == after.errors)
    }

    /// The change of a quantity with its interval, which covers training again where its noise is known: from the seeds, or,
    /// with one seed, from the baseline. The noise of an equal training is none.
    fn change(&self, quantity: &Quantity, table: &Crossed) -> Estimate {
        let noise = self.noise.and_then(|noise| Some((noise.sd(quantity)?, noise.degrees as f64)));
        let contrast = Contrast::of(&[(1.0, table.clone())]).map(|contrast| match noise {
            Some((sd, degrees)) if !self.are_equal() => contrast.with_training_noise(2.0 * sd * sd, degrees),
            _ => contrast,
        });
        match contrast.filter(|contrast| contrast.half_width(2.0 * ALPHA) > 0.0) {
            Some(contrast) => contrast.estimate(2.0 * ALPHA),
            None => table.estimate(0),
        }
    }

    fn landmarks(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for name in self.seeds.iter().flat_map(|(before, _)| before.errors.values().flat_map(|m| m.keys())) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names
    }

    fn table(&self, measure: Measure<'_>, landmark: Option<&str>) -> Crossed {
        let row = |(before, after): &(&TrialErrors, &TrialErrors)| -> Vec<(f64, usize)> {
            let cell = |(image, marks): (&String, &BTreeMap<String, f64>)| {
                let of_interest = marks.iter().filter(|(name, _)| landmark.is_none_or(|l| l == name.as_str()));
                let changes: Vec<f64> = of_interest
                    .filter_map(|(name, then)| Some(measure(*after.errors.get(image)?.get(name)?) - measure(*then)))
                    .collect();
                (changes.iter().sum(), changes.len())
            };
            before.errors.iter().map(cell).filter(|cell| landmark.is_none() || cell.1 > 0).collect()
        };
        Crossed::new(&self.seeds.iter().map(row).collect::<Vec<_>>())
    }

    /// The coarsest grid of the predictions, in the baseline or the sweep.
    fn resolution(&self) -> Option<f64> {
        let both = self.seeds.iter().flat_map(|(before, after)| [before.resolution, after.resolution]);
        both.flatten().reduce(f64::max)
    }
}

#[cfg(test)]
mod tests;
