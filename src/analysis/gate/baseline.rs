//! The gate's baseline: errors per image and landmark of every finished trial, with the data that make them comparable.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use sweep_core::error::{Error, Result};
use sweep_core::measures::MeasureUnit;
use sweep_core::units::ErrorUnit;
use sweep_experiment::metric::Objective;
use sweep_experiment::records::{LandmarkRecord, Selection, State};
use sweep_experiment::store;

use super::PairedTrials;
use super::measures::measured;
use super::noise::TrainingNoise;
use crate::SweepRecords;
use crate::measured::Measured;

/// Version of the file's format.
const VERSION: u32 = 2;
/// Largest error that is compared, in mm or pixels; the squares of larger ones overflow sooner or later.
const FARTHEST: f64 = 1e12;
/// The remedy where there is no baseline.
const MAKE_ONE: &str = "make one with sweep baseline RESULTS --output FILE";
/// Name of the metric; errors with different names are not comparable.
pub const METRIC: &str = "radial error in mm of the original image, validation epoch of least error, version 1";
/// The same of errors in pixels.
pub const METRIC_IN_PIXELS: &str =
    "radial error in px of the original image, validation epoch of least error, version 1";
/// Name of the metric where the errors of all epochs were kept.
pub const METRIC_CROSS_FITTED: &str =
    "radial error in mm of the original image, epochs chosen on other images, version 2";
/// The same of errors in pixels.
pub const METRIC_CROSS_FITTED_IN_PIXELS: &str =
    "radial error in px of the original image, epochs chosen on other images, version 2";
/// Name of the metric of cross-validations, where folds are an axis.
pub const METRIC_OF_FOLDS: &str = "radial error in mm of the original image, out of fold, last epoch, version 1";
/// The same of errors in pixels.
pub const METRIC_OF_FOLDS_IN_PIXELS: &str =
    "radial error in px of the original image, out of fold, last epoch, version 1";

/// Kinds of errors of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    BestEpoch,
    CrossFitted,
    Folds,
}

impl Kind {
    /// Name of the metric, of a sweep whose best epochs are chosen by this objective.
    fn metric(self, unit: ErrorUnit, objective: Objective) -> Cow<'static, str> {
        if self != Self::Folds && !objective.is_default() {
            let (chosen, version) = match objective.chosen_epoch() {
                last if objective.is_last() => (last, 1),
                best if self == Self::CrossFitted => (format!("epochs of {best} on other images"), 2),
                best => (format!("validation epoch of {best}"), 1),
            };
            return format!("radial error in {unit} of the original image, {chosen}, version {version}").into();
        }
        Cow::Borrowed(match (unit, self) {
            (ErrorUnit::Millimetres, Self::BestEpoch) => METRIC,
            (ErrorUnit::Millimetres, Self::CrossFitted) => METRIC_CROSS_FITTED,
            (ErrorUnit::Millimetres, Self::Folds) => METRIC_OF_FOLDS,
            (ErrorUnit::Pixels, Self::BestEpoch) => METRIC_IN_PIXELS,
            (ErrorUnit::Pixels, Self::CrossFitted) => METRIC_CROSS_FITTED_IN_PIXELS,
            (ErrorUnit::Pixels, Self::Folds) => METRIC_OF_FOLDS_IN_PIXELS,
        })
    }

    /// The errors that stand for a trial.
    fn measured(self) -> Measured {
        match self {
            Self::BestEpoch => Measured::At(Selection::BestError),
            Self::CrossFitted => Measured::CrossFitted,
            Self::Folds => Measured::At(Selection::Last),
        }
    }
}

/// Landmark errors of a sweep, with which later sweeps are compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Version of this format.
    pub version: u32,
    /// Name of the sweep.
    pub sweep: String,
    /// The metric: [`METRIC`] or [`METRIC_OF_FOLDS`], or the same in pixels.
    pub metric: String,
    /// The unit of the errors.
    #[serde(default, skip_serializing_if = "ErrorUnit::is_millimetres")]
    pub unit: ErrorUnit,
    /// The unit of every measure.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub measures: BTreeMap<String, MeasureUnit>,
    /// In the order of the plan.
    pub configurations: Vec<Configuration>,
}

/// One point of the sweep, whatever its trials' hashes: a definition may change, the question stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// Its values on the axes.
    pub label: String,
    /// Hash of its configuration without seed and fold, by which it is found again when the axes have changed; absent in
    /// baselines of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<String>,
    /// Its trials by seed.
    pub seeds: BTreeMap<u64, TrialErrors>,
    /// Training noise, from its seeds or from another sweep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<TrainingNoise>,
    /// Seeds that are begun or planned but not done, with their state.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unfinished: BTreeMap<u64, String>,
}

/// Errors of one trial at its best epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrialErrors {
    /// Hash of the data set that it was evaluated on.
    pub dataset_hash: String,
    /// Hash of the validation images' names and true landmarks.
    pub split_hash: String,
    /// Step of the grid of the predictions, if they lie on a grid.
    #[serde(default, rename = "resolution_mm", alias = "resolution_px", skip_serializing_if = "Option::is_none")]
    pub resolution: Option<f64>,
    /// Image → landmark → radial error in the baseline's unit, to a ten-thousandth.
    #[serde(rename = "error_mm", alias = "error_px")]
    pub errors: BTreeMap<String, BTreeMap<String, f64>>,
    /// Measure → image → the measure of the true and of the predicted landmarks, to a millionth.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub measures: BTreeMap<String, BTreeMap<String, [f64; 2]>>,
}

impl Baseline {
    /// Reads a baseline's file.
    ///
    /// # Errors
    /// When it cannot be read, and the errors of [`Baseline::parse`].
    pub fn read(file: &Path) -> Result<Self> {
        let text = store::read_text(file).map_err(|error| error.remedy(MAKE_ONE))?;
        Self::parse(&text).map_err(|error| error.at(file.display()))
    }

    /// Reads the file's text.
    ///
    /// # Errors
    /// When the text is no baseline, or has another version.
    pub fn parse(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let failed = |e: serde_json::Error| Error::input(format!("not a baseline: {e}")).remedy(MAKE_ONE);
        let Version { version } = serde_json::from_str(text).map_err(failed)?;
        if version != VERSION {
            let what = format!("the baseline is of version {version}, this program reads version {VERSION}");
            return Err(Error::input(what).remedy(MAKE_ONE));
        }
        serde_json::from_str(text).map_err(failed)
    }

    /// The file's text; keys say the unit.
    ///
    /// # Errors
    /// Never in practice.
    pub fn to_json(&self) -> Result<String> {
        let failed = |e: serde_json::Error| Error::results(e.to_string());
        if self.unit.is_millimetres() {
            return serde_json::to_string(self).map_err(failed);
        }
        let mut value = serde_json::to_value(self).map_err(failed)?;
        for configuration in value["configurations"].as_array_mut().into_iter().flatten() {
            for (_, trial) in configuration["seeds"].as_object_mut().into_iter().flatten() {
                let Some(trial) = trial.as_object_mut() else { continue };
                for name in ["resolution", "error"] {
                    // Not every key that ends so: images and landmarks are keys, too.
                    if let Some(of) = trial.remove(&format!("{name}_mm")) {
                        trial.insert(format!("{name}_{}", self.unit), of);
                    }
                }
            }
        }
        serde_json::to_string(&value).map_err(failed)
    }
}

impl Configuration {
    /// This configuration's trials, measured by `metric`, beside those of the same name and seed in `now`.
    ///
    /// # Errors
    /// When one is missing, not finished, or evaluated on other data.
    pub(super) fn paired_with<'a>(&'a self, metric: &str, now: &'a Baseline) -> Result<PairedTrials<'a>> {
        let cannot = |what: String| {
            Error::results(what)
                .at(&self.label)
                .remedy("compare the same definition on the same data, or make a new baseline")
        };
        if now.metric != metric {
            return Err(cannot(format!("the errors are of different metrics: {metric}; now {}", now.metric)));
        }
        let after = self.found_in(now).ok_or_else(|| cannot("the sweep has no such configuration".into()))?;
        let mut seeds = Vec::new();
        for (seed, before) in &self.seeds {
            let Some(trial) = after.seeds.get(seed) else {
                let state = after.unfinished.get(seed).map_or("missing", String::as_str);
                return Err(cannot(format!("the trial with seed {seed} is {state}, not done")));
            };
            before.comparable(trial).map_err(|what| cannot(format!("seed {seed}: {what}")))?;
            seeds.push((before, trial));
        }
        if seeds.is_empty() {
            return Err(cannot("the baseline holds no trial of it".into()));
        }
        Ok(PairedTrials { seeds, noise: self.noise.as_ref() })
    }
}

impl Configuration {
    /// The same configuration in another sweep: with equal settings, else of the same name, because a definition may change
    /// what all its trials share. Names of earlier versions left a table's keys out where its `name` told values apart.
    pub(super) fn found_in<'a>(&self, now: &'a Baseline) -> Option<&'a Self> {
        let all = || now.configurations.iter();
        let only = |mut found: Vec<&'a Self>| if found.len() == 1 { found.pop() } else { None };
        let equal = all().filter(|c| self.configuration.is_some() && c.configuration == self.configuration);
        only(equal.collect())
            .or_else(|| all().find(|c| c.label == self.label))
            .or_else(|| only(all().filter(|c| brief(&c.label) == self.label).collect()))
    }
}

/// A label with the names of tables alone.
fn brief(label: &str) -> String {
    label.split(" · ").map(|value| value.split(' ').next().unwrap_or_default()).collect::<Vec<_>>().join(" · ")
}

impl TrialErrors {
    /// Checks that the two can be compared; the reason if not.
    fn comparable(&self, now: &Self) -> Result<(), String> {
        if self.dataset_hash != now.dataset_hash {
            return Err("the baseline was measured on other data".into());
        }
        if self.split_hash != now.split_hash {
            return Err("the baseline was measured on another split: other validation images or true landmarks".into());
        }
        if self.errors.is_empty() {
            return Err("the baseline has no errors".into());
        }
        let names = |errors: &Self| -> Vec<(String, Vec<String>)> {
            errors.errors.iter().map(|(image, marks)| (image.clone(), marks.keys().cloned().collect())).collect()
        };
        if names(self) != names(now) {
            return Err("baseline and sweep do not have the same images and landmarks".into());
        }
        for (image, marks) in self.errors.iter().chain(&now.errors) {
            if let Some((name, _)) = marks.iter().find(|(_, error)| !error.is_finite()) {
                return Err(format!("image {image}, landmark {name}: an error that is no number"));
            }
            if let Some((name, error)) = marks.iter().find(|(_, error)| !(0.0..=FARTHEST).contains(*error)) {
                return Err(format!("image {image}, landmark {name}: {error:e} is no distance"));
            }
        }
        Ok(())
    }
}

/// Errors of a sweep's trials, each image at the epochs that other images choose; at their best epoch where the errors of all
/// epochs were not kept; of cross-validations, all folds of a seed together at their last.
#[must_use]
pub fn collect(sweep: &SweepRecords) -> Baseline {
    let sweep = &*sweep.pooled();
    let kind = match Measured::of(sweep) {
        _ if sweep.is_pooled() => Kind::Folds,
        Measured::CrossFitted => Kind::CrossFitted,
        Measured::At(_) => Kind::BestEpoch,
    };
    collect_kind(sweep, kind)
}

/// Errors of a sweep's trials by the metric of a baseline, if the sweep has them; else by its own.
#[must_use]
pub fn collect_as(sweep: &SweepRecords, metric: &str) -> Baseline {
    let sweep = &*sweep.pooled();
    let is_old = !sweep.is_pooled() && metric == Kind::BestEpoch.metric(sweep.unit, sweep.objective());
    if is_old { collect_kind(sweep, Kind::BestEpoch) } else { collect(sweep) }
}

fn collect_kind(sweep: &SweepRecords, kind: Kind) -> Baseline {
    let mut configurations: Vec<Configuration> = Vec::new();
    for trial in &sweep.trials {
        let label = trial.group();
        let at = configurations.iter().position(|c| c.label == label).unwrap_or_else(|| {
            configurations.push(Configuration {
                label,
                configuration: Some(trial.configuration.clone()),
                seeds: BTreeMap::new(),
                noise: None,
                unfinished: BTreeMap::new(),
            });
            configurations.len() - 1
        });
        if trial.status.state == State::Done {
            let rows = kind.measured().rows(trial);
            let rows: Vec<&LandmarkRecord> = rows.iter().collect();
            let errors = trial_errors(&rows, &trial.dataset_hash);
            let measures = measured(sweep, trial, kind.measured().predicted_at(trial));
            configurations[at].seeds.insert(trial.seed, TrialErrors { measures, ..errors });
        } else {
            configurations[at].unfinished.insert(trial.seed, trial.progress());
        }
    }
    for configuration in &mut configurations {
        configuration.noise = TrainingNoise::of(&configuration.seeds, sweep.unit);
    }
    let (unit, metric) = (sweep.unit, kind.metric(sweep.unit, sweep.objective()));
    let measures =
        sweep.measures.names().filter_map(|name| Some((name.to_owned(), sweep.measures.unit(name)?))).collect();
    let (sweep, metric) = (sweep.name.clone(), metric.into_owned());
    Baseline { version: VERSION, sweep, metric, unit, measures, configurations }
}

fn trial_errors(rows: &[&LandmarkRecord], dataset_hash: &str) -> TrialErrors {
    let mut errors: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
    let mut truths: Vec<String> = Vec::new();
    for row in rows {
        let error = (row.error() * 1e4).round() / 1e4;
        errors.entry(row.image.clone()).or_default().insert(row.landmark.clone(), error);
        truths.push(format!("{}\0{}\0{:.4}\0{:.4}\n", row.image, row.landmark, row.x_true, row.y_true));
    }
    truths.sort();
    TrialErrors {
        dataset_hash: dataset_hash.to_owned(),
        split_hash: blake3::hash(truths.concat().as_bytes()).to_hex().to_string(),
        resolution: resolution(rows),
        errors,
        measures: BTreeMap::new(),
    }
}

/// Step of the grid of the predictions, in the unit of errors: a decoder that returns whole pixels of a small map resolves no less.
fn resolution(rows: &[&LandmarkRecord]) -> Option<f64> {
    // Of the coarsest image: each image may have its own spacing.
    let spacing = rows.iter().filter(|r| r.error_px > 0.0).map(|r| r.error() / r.error_px).reduce(f64::max)?;
    let step = |pick: fn(&LandmarkRecord) -> f64| -> Option<f64> {
        let mut values: Vec<f64> = rows.iter().map(|r| pick(r)).collect();
        values.sort_by(f64::total_cmp);
        let gaps: Vec<f64> = values.windows(2).map(|w| w[1] - w[0]).filter(|gap| *gap > 1e-6).collect();
        let least = gaps.iter().copied().reduce(f64::min)?;
        let is_multiple = |gap: &f64| (gap / least - (gap / least).round()).abs() < 0.02;
        (least > 0.05 && gaps.iter().all(is_multiple)).then_some(least)
    };
    Some(step(|r| r.x_pred)?.max(step(|r| r.y_pred)?) * spacing)
}
