//! Paired comparison of two trials, or of the configurations of two sweeps, on the images that both were evaluated on.

mod sweeps;
mod trials;

use std::collections::BTreeMap;

use serde::Serialize;

use sweep_core::error::{Error, Result};
use sweep_core::units::ErrorUnit;
use sweep_experiment::records::{LandmarkRecord, Selection};

pub use sweeps::{ConfigurationChange, SweepComparison, compare_sweeps};
pub use trials::compare_trials;

use super::errors::{MRE, Measure, within};
use super::statistics::{Crossed, Estimate, holm, sign_flip, wilcoxon};

/// The second trial minus the first, each at its epoch of least error, or complete cross-validations at the last epoch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The trial that is subtracted.
    pub a: String,
    /// The trial that is compared with it.
    pub b: String,
    /// Change of the mean radial error, mm.
    pub mre: Estimate,
    /// Change of the share of landmarks within 2 mm, percentage points.
    pub sdr: Estimate,
    /// The unit of the errors.
    #[serde(skip_serializing_if = "ErrorUnit::is_millimetres")]
    pub unit: ErrorUnit,
    /// p-value of the signed-rank test over images.
    pub wilcoxon: f64,
    /// p-value of the sign-flip test over images.
    pub sign_flip: f64,
    /// Each landmark separately.
    pub landmarks: Vec<LandmarkChange>,
}

/// One landmark's change.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LandmarkChange {
    /// Its name.
    pub name: String,
    /// Change of its mean error, mm.
    pub change: Estimate,
    /// p-value, corrected by Holm for the number of landmarks.
    pub p_adjusted: f64,
}

/// The errors of two trials on the landmarks that both were evaluated on.
struct Paired<'a> {
    unit: ErrorUnit,
    /// Landmarks in the order of the records.
    names: Vec<&'a str>,
    /// Image → landmark, error of a and of b.
    images: BTreeMap<&'a str, Vec<(&'a str, f64, f64)>>,
}

impl<'a> Paired<'a> {
    /// Pairs the predictions at the selected epochs, where the true landmarks are the same.
    ///
    /// # Errors
    /// When they share no image with the same true landmarks, or their errors differ in their unit.
    fn of(a: &'a [LandmarkRecord], b: &'a [LandmarkRecord], selection: Selection) -> Result<Self> {
        let selected = |row: &&LandmarkRecord| row.selected == selection && row.error().is_finite();
        let [unit, other] = [a, b].map(|rows| rows.iter().find(selected).map(LandmarkRecord::unit));
        if let (Some(of_a), Some(of_b)) = (unit, other)
            && of_a != of_b
        {
            let what =
                format!("the errors of the first trial are in {}, those of the second in {}", of_a.name(), of_b.name());
            return Err(Error::input(what).remedy("compare trials that were run on the same data set"));
        }
        let of_b: BTreeMap<(&str, &str), &LandmarkRecord> =
            b.iter().filter(selected).map(|r| ((r.image.as_str(), r.landmark.as_str()), r)).collect();
        let mut paired = Self { unit: unit.unwrap_or_default(), names: Vec::new(), images: BTreeMap::new() };
        for row in a.iter().filter(selected) {
            let other = of_b.get(&(row.image.as_str(), row.landmark.as_str()));
            let same =
                |o: &&&LandmarkRecord| (o.x_true - row.x_true).abs() < 1e-6 && (o.y_true - row.y_true).abs() < 1e-6;
            if let Some(other) = other.filter(same) {
                if !paired.names.contains(&row.landmark.as_str()) {
                    paired.names.push(&row.landmark);
                }
                paired.images.entry(&row.image).or_default().push((&row.landmark, row.error(), other.error()));
            }
        }
        if paired.images.is_empty() {
            return Err(Error::input("the two trials share no image with the same true landmarks")
                .remedy("compare trials that were run on the same data set"));
        }
        Ok(paired)
    }

    /// The change of a measure on an image, summed over its landmarks, or of one of them, and their number.
    fn change(&self, image: &str, measure: Measure<'_>, landmark: Option<&str>) -> (f64, usize) {
        let marks = self.images.get(image).into_iter().flatten();
        let of_interest = marks.filter(|mark| landmark.is_none_or(|name| name == mark.0));
        let changes: Vec<f64> = of_interest.map(|mark| measure(mark.2) - measure(mark.1)).collect();
        (changes.iter().sum(), changes.len())
    }
}

/// Compares the predictions of two trials at the selected epochs.
///
/// # Errors
/// When they share no image with the same true landmarks.
pub fn compare(a: &[LandmarkRecord], b: &[LandmarkRecord], selection: Selection) -> Result<Comparison> {
    let paired = Paired::of(a, b, selection)?;
    let unit = paired.unit;
    let table = |measure: Measure<'_>, landmark: Option<&str>| {
        let cells = paired.images.keys().map(|image| paired.change(image, measure, landmark));
        Crossed::new(&[cells.filter(|cell| cell.1 > 0).collect()])
    };
    let mre = table(MRE, None);
    let by_image = mre.by_image();
    let changes: Vec<(&str, Estimate)> =
        paired.names.iter().map(|name| (*name, table(MRE, Some(name)).estimate(0))).collect();
    let adjusted = holm(&changes.iter().map(|(_, change)| change.p_value(0.0)).collect::<Vec<_>>());
    let id = |rows: &[LandmarkRecord]| rows.first().map_or_else(String::new, |r| r.trial.clone());
    Ok(Comparison {
        a: id(a),
        b: id(b),
        mre: mre.estimate(0),
        sdr: table(&within(unit.radii()[0]), None).estimate(0),
        unit,
        wilcoxon: wilcoxon(&by_image),
        sign_flip: sign_flip(&by_image, 0),
        landmarks: changes
            .into_iter()
            .zip(adjusted)
            .map(|((name, change), p_adjusted)| LandmarkChange { name: name.to_owned(), change, p_adjusted })
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(trial: &str, shift: f64, truth: f64) -> Vec<LandmarkRecord> {
        let row = |i: usize, landmark: &str| LandmarkRecord {
            trial: trial.into(),
            seed: 0,
            epoch: 1,
            selected: Selection::BestError,
            image: format!("{i:02}.png"),
            landmark: landmark.into(),
            x_true: truth,
            y_true: 1.0,
            x_pred: 0.0,
            y_pred: 0.0,
            error_px: 1.0,
            confidence: f64::NAN,
            reference_px: f64::NAN,
            spacing_x_mm: f64::NAN,
            spacing_y_mm: f64::NAN,
            error_mm: 1.5
                + 0.1 * (i % 5) as f64
                + if landmark == "sella" { shift * (1.0 + 0.1 * (i % 3) as f64) } else { 0.0 },
        };
        (0..20).flat_map(|i| [row(i, "sella"), row(i, "nasion")]).collect()
    }

    #[test]
    fn tells_which_landmark_changed() {
        let found = compare(&rows("a", 0.0, 5.0), &rows("b", 1.0, 5.0), Selection::BestError).unwrap();
        assert!((found.mre.point - 0.55).abs() < 0.01 && found.mre.excludes(0.0) && found.wilcoxon < 0.001);
        assert!(found.landmarks[0].p_adjusted < 0.001 && found.landmarks[1].p_adjusted > 0.9);
        assert_eq!((found.a.as_str(), found.b.as_str(), found.mre.n.images), ("a", "b", 20));
    }

    #[test]
    fn other_data_is_no_comparison() {
        assert!(compare(&rows("a", 0.0, 5.0), &rows("b", 0.0, 6.0), Selection::BestError).is_err());
        assert!(compare(&[], &[], Selection::BestError).is_err());
    }
}
