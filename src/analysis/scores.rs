//! Evaluation of predictions on a set of images: the usual metrics, each with its interval for other images.

use std::collections::BTreeMap;

use sweep_core::units::ErrorUnit;
use sweep_experiment::records::LandmarkRecord;

use super::errors::{MRE, Measure, within};
use super::statistics::{Crossed, Estimate, mean, quantile, variance_of};

/// Metrics of one landmark, or of all.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// Name of the landmark; `all` for all.
    pub name: String,
    /// Mean radial error.
    pub mre: Estimate,
    /// Standard deviation (N − 1).
    pub sd: f64,
    /// Median.
    pub median: f64,
    /// 95th percentile.
    pub p95: f64,
    /// Per cent within [`ErrorUnit::radii`].
    pub sdr: [Estimate; 4],
}

/// Metrics of a set of predictions, in one unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// The unit of the errors.
    pub unit: ErrorUnit,
    /// All landmarks together.
    pub all: Score,
    /// Each landmark, in the records' order.
    pub landmarks: Vec<Score>,
}

impl Scores {
    /// Metrics of records that contain every image and landmark at most once. Images are resampled together with their
    /// landmarks.
    #[must_use]
    pub fn of(records: &[LandmarkRecord]) -> Self {
        let unit = records.first().map_or(ErrorUnit::default(), LandmarkRecord::unit);
        Self::in_unit(records, unit)
    }

    /// The same in pixels, whatever the records' unit.
    #[must_use]
    pub fn in_pixels(records: &[LandmarkRecord]) -> Self {
        Self::in_unit(records, ErrorUnit::Pixels)
    }

    fn in_unit(records: &[LandmarkRecord], unit: ErrorUnit) -> Self {
        let mut names: Vec<&str> = Vec::new();
        for record in records {
            if !names.contains(&record.landmark.as_str()) {
                names.push(&record.landmark);
            }
        }
        let landmarks = names.iter().map(|name| Score::of(name, unit, records.iter().filter(|r| r.landmark == **name)));
        Self { unit, landmarks: landmarks.collect(), all: Score::of("all", unit, records.iter()) }
    }
}

impl Score {
    /// Metrics of all these records together, in this unit. An image may occur several times: it is resampled with all of them.
    #[must_use]
    pub fn together<'a>(records: impl IntoIterator<Item = &'a LandmarkRecord>, unit: ErrorUnit) -> Self {
        Self::of("all", unit, records.into_iter())
    }

    fn of<'a>(name: &str, unit: ErrorUnit, records: impl Iterator<Item = &'a LandmarkRecord>) -> Self {
        let mut images: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        let mut errors = Vec::new();
        for record in records {
            let error = if unit.is_millimetres() { record.error_mm } else { record.error_px };
            images.entry(&record.image).or_default().push(error);
            errors.push(error);
        }
        let table = |measure: Measure<'_>| {
            let cell = |errors: &Vec<f64>| (errors.iter().map(|e| measure(*e)).sum(), errors.len());
            Crossed::new(&[images.values().map(cell).collect()])
        };
        let within = |radius: f64| table(&within(radius)).share();
        // In the records' order, so that the mean is what training wrote, to the last bit.
        let mre = Estimate { point: mean(&errors), ..table(MRE).positive(0) };
        let sd = variance_of(&errors).sqrt();
        errors.sort_by(f64::total_cmp);
        Self {
            name: name.to_owned(),
            mre,
            sd,
            median: quantile(&errors, 0.5),
            p95: quantile(&errors, 0.95),
            sdr: unit.radii().map(within),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sweep_experiment::records::Selection;

    #[test]
    fn numbers_are_the_fields() {
        let record = |image: usize, landmark: &str, error_mm: f64| LandmarkRecord {
            trial: "t".into(),
            seed: 0,
            epoch: 1,
            selected: Selection::BestError,
            image: format!("{image}.png"),
            landmark: landmark.into(),
            x_true: 0.0,
            y_true: 0.0,
            x_pred: 0.0,
            y_pred: 0.0,
            error_px: 0.0,
            error_mm,
            confidence: f64::NAN,
            reference_px: f64::NAN,
            spacing_x_mm: f64::NAN,
            spacing_y_mm: f64::NAN,
        };
        // numpy: mean, std(ddof=1), median, percentile 95 of [3.2, 0.5, 9.0, 2.0, 2.5].
        let errors = [("a", 3.2), ("b", 0.5), ("a", 9.0), ("b", 2.0), ("a", 2.5)];
        let records: Vec<_> = errors.iter().enumerate().map(|(i, (name, e))| record(i / 2, name, *e)).collect();
        let scores = Scores::of(&records);
        let all = &scores.all;
        for (ours, theirs) in
            [(all.mre.point, 3.44), (all.sd, 3.262_361_108_154_644_6), (all.median, 2.5), (all.p95, 7.84)]
        {
            assert!((ours - theirs).abs() < 1e-12, "{all:?}");
        }
        let sdr: Vec<u32> = all.sdr.iter().map(|rate| rate.point.round() as u32).collect();
        assert_eq!(sdr, [40, 60, 60, 80], "an error of exactly the radius counts");
        assert_eq!((all.mre.n.images, all.mre.n.landmarks), (3, 5));
        let names: Vec<&str> = scores.landmarks.iter().map(|score| score.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert!((scores.landmarks[1].mre.point - 1.25).abs() < 1e-12);
        let [low, high] = all.mre.interval;
        assert!(low < 3.44 && 3.44 < high);
    }
}
