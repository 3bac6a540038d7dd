//! Measures in the gate: those of the truth and of the predictions, image by image.

use std::collections::BTreeMap;

use sweep_core::error::{Error, Result};
use sweep_core::measures::MeasureUnit;
use sweep_experiment::records::Selection;

use super::{Baseline, PairedTrials};
use crate::measures::readings;
use crate::statistics::Crossed;
use crate::{SweepRecords, TrialRecords};

/// A trial's readings at an epoch: measure → image → truth and prediction.
pub(super) fn measured(
    sweep: &SweepRecords,
    trial: &TrialRecords,
    selection: Selection,
) -> BTreeMap<String, BTreeMap<String, [f64; 2]>> {
    let mut all: BTreeMap<String, BTreeMap<String, [f64; 2]>> = BTreeMap::new();
    for reading in readings(&sweep.measures, &trial.landmarks, selection) {
        let both = [reading.truth, reading.predicted].map(|value| (value * 1e6).round() / 1e6);
        all.entry(reading.measure).or_default().insert(reading.image, both);
    }
    all
}

impl Baseline {
    /// The unit of a measure.
    ///
    /// # Errors
    /// When the baseline has no such measure.
    pub(super) fn measure_unit(&self, name: &str) -> Result<MeasureUnit> {
        self.measures.get(name).copied().ok_or_else(|| {
            let known: Vec<&str> = self.measures.keys().map(String::as_str).collect();
            let remedy = if known.is_empty() {
                "define measures in dataset.toml, run the sweep again, which trains nothing, and make a new baseline"
                    .to_owned()
            } else {
                format!("it has {}", known.join(", "))
            };
            Error::input(format!("the baseline holds no measure `{name}`")).at("--measure-margin").remedy(remedy)
        })
    }
}

impl PairedTrials<'_> {
    /// Changes of the absolute error of a measure.
    ///
    /// # Errors
    /// When it was read on other images, or the truth was another: its definition has changed.
    pub(super) fn of_measure(&self, name: &str) -> Result<Crossed> {
        let cannot = |what: String| {
            Error::results(what).remedy("compare the same measures of the same data, or make a new baseline")
        };
        let mut rows = Vec::new();
        for (before, after) in &self.seeds {
            let none = || cannot(format!("no image has the measure `{name}`"));
            let then = before.measures.get(name).ok_or_else(none)?;
            let now = after.measures.get(name).ok_or_else(none)?;
            if !then.keys().eq(now.keys()) {
                return Err(cannot(format!("the measure `{name}` is of other images than the baseline's")));
            }
            let mut row = Vec::new();
            for ((image, [truth, predicted]), [truth_now, predicted_now]) in then.iter().zip(now.values()) {
                let known = [truth, predicted, truth_now, predicted_now].iter().all(|value| value.is_finite());
                if !known || (truth - truth_now).abs() > 1e-4 * truth.abs().max(1.0) {
                    return Err(cannot(format!(
                        "the measure `{name}` of the true landmarks of {image} was {truth} and is {truth_now}: it is defined otherwise"
                    )));
                }
                row.push(((predicted_now - truth_now).abs() - (predicted - truth).abs(), 1));
            }
            rows.push(row);
        }
        Ok(Crossed::new(&rows))
    }
}
