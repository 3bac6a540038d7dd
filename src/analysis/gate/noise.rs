//! Training noise: how much the error of one training differs from that of another with the same definition.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use sweep_core::units::ErrorUnit;

use super::{Baseline, Quantity, TrialErrors};
use crate::errors::{MRE, Measure, within};
use crate::statistics::{mean, variance_of};

/// Standard deviations between trainings that differ only in the seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingNoise {
    /// Of the mean radial error, in the baseline's unit.
    pub mre: f64,
    /// Of the share of landmarks within the least radius, percentage points.
    pub share: f64,
    /// Of the mean error of each landmark.
    pub landmarks: BTreeMap<String, f64>,
    /// Of the mean absolute error of each measure.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub measures: BTreeMap<String, f64>,
    /// Degrees of freedom of all of them: the number of trainings less one.
    pub degrees: usize,
}

impl TrainingNoise {
    /// Of the trainings of one configuration; `None` with fewer than two.
    pub(super) fn of(seeds: &BTreeMap<u64, TrialErrors>, unit: ErrorUnit) -> Option<Self> {
        let degrees = seeds.len().checked_sub(1).filter(|degrees| *degrees > 0)?;
        let sd = |measure: Measure<'_>, landmark: Option<&str>| {
            let of_trial = |trial: &TrialErrors| {
                let marks =
                    trial.errors.values().flatten().filter(|(name, _)| landmark.is_none_or(|l| l == name.as_str()));
                mean(&marks.map(|(_, error)| measure(*error)).collect::<Vec<_>>())
            };
            variance_of(&seeds.values().map(of_trial).collect::<Vec<_>>()).sqrt()
        };
        let first = seeds.values().next()?;
        let of_measure = |name: &String| {
            let of_trial = |trial: &TrialErrors| {
                let errors = trial.measures.get(name).into_iter().flat_map(BTreeMap::values);
                mean(&errors.map(|[truth, predicted]| (predicted - truth).abs()).collect::<Vec<_>>())
            };
            variance_of(&seeds.values().map(of_trial).collect::<Vec<_>>()).sqrt()
        };
        let mut names: Vec<&String> = first.errors.values().flat_map(BTreeMap::keys).collect();
        names.sort_unstable();
        names.dedup();
        Some(Self {
            mre: sd(MRE, None),
            share: sd(&within(unit.radii()[0]), None),
            landmarks: names.into_iter().map(|name| (name.clone(), sd(MRE, Some(name)))).collect(),
            // A measure that some training reads on no image has no noise that is known.
            measures: first
                .measures
                .keys()
                .map(|name| (name.clone(), of_measure(name)))
                .filter(|(_, sd)| sd.is_finite())
                .collect(),
            degrees,
        })
    }

    /// Standard deviation of a quantity between trainings; `None` where not known.
    pub(super) fn sd(&self, quantity: &Quantity) -> Option<f64> {
        match quantity {
            Quantity::Mre => Some(self.mre),
            Quantity::Sdr2mm | Quantity::Sdr2px => Some(self.share),
            Quantity::Landmark(name) => self.landmarks.get(name).copied(),
            Quantity::Measure { name, .. } => self.measures.get(name).copied(),
        }
        .filter(|sd| sd.is_finite())
    }
}

impl Baseline {
    /// Gives every configuration the training noise of the same one in another sweep, or of that sweep's only one. Returns
    /// the labels of those that it has none for.
    pub fn take_noise(&mut self, from: &Self) -> Vec<String> {
        let known: Vec<(&String, TrainingNoise)> = from
            .configurations
            .iter()
            .filter_map(|c| Some((&c.label, TrainingNoise::of(&c.seeds, from.unit)?)))
            .collect();
        let mut missing = Vec::new();
        for configuration in &mut self.configurations {
            let same = known.iter().find(|(label, _)| **label == configuration.label);
            match same.or_else(|| known.first().filter(|_| known.len() == 1)) {
                Some((_, noise)) => configuration.noise = Some(noise.clone()),
                None => missing.push(configuration.label.clone()),
            }
        }
        missing
    }
}
