//! Measures of predicted landmarks compared with those of the true ones: what a landmark error of a millimetre means for an
//! angle or a distance that people read.
//!
//! They follow from the positions in `landmarks.csv` and the definitions in `trial.toml`; training knows nothing of them. A
//! measure has no value where one of its landmarks is not marked.

use std::collections::BTreeMap;

use serde::Serialize;

use sweep_core::measures::{Classes, MeasureUnit, Measures};
use sweep_core::units::{ErrorUnit, Point, Spacing};
use sweep_experiment::records::{LandmarkRecord, Selection};

use super::groups::Group;
use super::measured::Measured;
use super::statistics::{
    Contrast, Crossed, Estimate, Icc, LEVEL, LimitsOfAgreement, icc_agreement, limits_of_agreement, mean,
};

/// A measure of the true and of the predicted landmarks of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The image.
    pub image: String,
    /// The measure's name.
    pub measure: String,
    /// The measure of the true landmarks.
    pub truth: f64,
    /// The measure of the predicted landmarks.
    pub predicted: f64,
}

impl Reading {
    /// Predicted less true.
    #[must_use]
    pub fn error(&self) -> f64 {
        self.predicted - self.truth
    }
}

/// The readings of a trial's predictions at an epoch, by image and measure.
#[must_use]
pub fn readings(measures: &Measures, rows: &[LandmarkRecord], selection: Selection) -> Vec<Reading> {
    let mut images: BTreeMap<&str, BTreeMap<&str, &LandmarkRecord>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.selected == selection) {
        images.entry(&row.image).or_default().insert(&row.landmark, row);
    }
    let mut all = Vec::new();
    for (image, marks) in images {
        let Some(spacing) = marks.values().next().and_then(|row| spacing(row)) else { continue };
        let truth = |name: &str| marks.get(name).map(|row| Point { x: row.x_true, y: row.y_true });
        let predicted = |name: &str| marks.get(name).map(|row| Point { x: row.x_pred, y: row.y_pred });
        for measure in measures.names() {
            let both = measures.value(measure, &truth, spacing).zip(measures.value(measure, &predicted, spacing));
            let Some((truth, predicted)) = both else { continue };
            all.push(Reading { image: image.to_owned(), measure: measure.to_owned(), truth, predicted });
        }
    }
    all
}

/// The size of the image's pixels, in the unit of errors; `None` in records of earlier versions, which do not say it.
fn spacing(row: &LandmarkRecord) -> Option<Spacing> {
    let recorded = Spacing { x: row.spacing_x_mm, y: row.spacing_y_mm };
    match row.unit() {
        ErrorUnit::Pixels => Some(Spacing::ONE_PIXEL),
        ErrorUnit::Millimetres => recorded.is_valid().then_some(recorded),
    }
}

/// Agreement of the predicted with the true values of a measure, in one configuration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Agreement {
    /// The configuration.
    pub group: String,
    /// The measure.
    pub measure: String,
    /// Its unit.
    pub unit: MeasureUnit,
    /// Mean absolute error.
    pub error: Estimate,
    /// Mean error: positive where predictions are too large.
    pub bias: Estimate,
    /// Limits of agreement, of images and seeds together.
    pub limits: LimitsOfAgreement,
    /// ICC(A,1) of truth and prediction over the images: each seed's own, averaged.
    pub icc: Option<Icc>,
    /// Per cent of predictions in the class of the truth, if the measure has classes.
    pub same_class: Option<f64>,
}

/// A configuration's readings of one measure: seed → image → (truth, predicted), on the images that all seeds have.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadingTable {
    images: Vec<String>,
    /// `[seeds][images]`.
    values: Vec<Vec<(f64, f64)>>,
}

impl ReadingTable {
    /// The readings of a configuration's finished trials, at the epoch that stands for them.
    #[must_use]
    pub fn of(group: &Group<'_>, measures: &Measures, measured: Measured) -> BTreeMap<String, Self> {
        let seeds: Vec<Vec<Reading>> =
            group.done().map(|trial| readings(measures, &trial.landmarks, measured.predicted_at(trial))).collect();
        let table = |measure: &str| {
            let of_seed = |all: &Vec<Reading>| -> BTreeMap<String, (f64, f64)> {
                let own = all.iter().filter(|reading| reading.measure == measure);
                own.map(|reading| (reading.image.clone(), (reading.truth, reading.predicted))).collect()
            };
            let seeds: Vec<BTreeMap<String, (f64, f64)>> = seeds.iter().map(of_seed).collect();
            let shared = |image: &&String| seeds.iter().all(|of| of.contains_key(*image));
            let images: Vec<String> = seeds.first()?.keys().filter(shared).cloned().collect();
            let values = seeds.iter().map(|of| images.iter().map(|image| of[image]).collect()).collect();
            (!images.is_empty()).then_some((measure.to_owned(), Self { images, values }))
        };
        measures.names().filter_map(table).collect()
    }

    /// Truth and prediction of every image and seed.
    pub fn pairs(&self) -> impl Iterator<Item = (f64, f64)> {
        self.values.iter().flatten().copied()
    }

    /// Values of a function of truth and prediction, over seeds and images.
    fn crossed(&self, of: impl Fn(f64, f64) -> f64) -> Crossed {
        let row = |row: &Vec<(f64, f64)>| row.iter().map(|(truth, predicted)| (of(*truth, *predicted), 1)).collect();
        Crossed::new(&self.values.iter().map(row).collect::<Vec<Vec<(f64, usize)>>>())
    }

    /// The table on these images alone.
    fn on(&self, images: &[String]) -> Self {
        let at: Vec<usize> = images.iter().filter_map(|name| self.images.iter().position(|own| own == name)).collect();
        let values = self.values.iter().map(|row| at.iter().map(|i| row[*i]).collect()).collect();
        Self { images: images.to_vec(), values }
    }

    /// Agreement of predictions with the truth.
    #[must_use]
    pub fn agreement(&self, group: &str, measure: &str, unit: MeasureUnit, classes: Option<&Classes>) -> Agreement {
        let differences: Vec<f64> = self.pairs().map(|(truth, predicted)| predicted - truth).collect();
        let same = |classes: &Classes| {
            let hits: Vec<f64> =
                self.pairs().map(|(truth, predicted)| f64::from(classes.of(truth) == classes.of(predicted))).collect();
            100.0 * mean(&hits)
        };
        Agreement {
            group: group.to_owned(),
            measure: measure.to_owned(),
            unit,
            error: within(self.crossed(|truth, predicted| (predicted - truth).abs()).positive(0), self.largest()),
            bias: within(self.crossed(|truth, predicted| predicted - truth).estimate(0), self.largest()),
            limits: limits_of_agreement(&differences),
            icc: self.icc(),
            same_class: classes.map(same),
        }
    }

    /// The largest error, whatever its sign.
    fn largest(&self) -> f64 {
        self.pairs().map(|(truth, predicted)| (predicted - truth).abs()).fold(0.0, f64::max)
    }

    fn icc(&self) -> Option<Icc> {
        let of_seed = |row: &Vec<(f64, f64)>| {
            icc_agreement(&row.iter().map(|(truth, predicted)| vec![*truth, *predicted]).collect::<Vec<_>>())
        };
        let seeds: Vec<Icc> = self.values.iter().map(of_seed).collect::<Option<_>>()?;
        let average = |of: fn(&Icc) -> f64| mean(&seeds.iter().map(of).collect::<Vec<_>>());
        Some(Icc {
            point: average(|icc| icc.point),
            interval: [average(|icc| icc.interval[0]), average(|icc| icc.interval[1])],
        })
    }
}

/// The estimate without its interval, where that reaches further than a mean of such errors can: two seeds that differ in
/// everything say nothing of a third.
fn within(estimate: Estimate, largest: f64) -> Estimate {
    let is_possible = estimate.interval.iter().all(|end| end.abs() <= largest);
    if is_possible { estimate } else { Estimate { interval: [f64::NAN; 2], ..estimate } }
}

/// The two configurations with the least mean absolute error of a measure, and the difference between them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Best {
    /// The measure.
    pub measure: String,
    /// The configuration of least error.
    pub group: String,
    /// The next one.
    pub next: String,
    /// Error of the next one less that of the best, on the images and as many seeds as both have; a 95 % interval for this
    /// pair alone, which is not corrected for having been chosen.
    pub behind: Option<Estimate>,
}

/// Agreement of every configuration, measure by measure, and for each measure the two best.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct MeasureErrors {
    /// Every measure of every configuration; configurations in the plan's order.
    pub agreements: Vec<Agreement>,
    /// For every measure, the best configuration.
    pub best: Vec<Best>,
}

impl MeasureErrors {
    /// Of configurations, on a sweep's measures.
    #[must_use]
    pub fn of(groups: &[&Group<'_>], measures: &Measures, measured: Measured) -> Self {
        let tables: Vec<BTreeMap<String, ReadingTable>> =
            groups.iter().map(|group| ReadingTable::of(group, measures, measured)).collect();
        let mut all = Self::default();
        for name in measures.names() {
            let Some(unit) = measures.unit(name) else { continue };
            let of: Vec<(&str, &ReadingTable)> = groups
                .iter()
                .zip(&tables)
                .filter_map(|(group, tables)| Some((group.label.as_str(), tables.get(name)?)))
                .collect();
            let agreements: Vec<Agreement> =
                of.iter().map(|(group, table)| table.agreement(group, name, unit, measures.classes(name))).collect();
            let mut order: Vec<usize> = (0..of.len()).collect();
            order.sort_by(|a, b| agreements[*a].error.point.total_cmp(&agreements[*b].error.point));
            if let [best, next, ..] = order.as_slice() {
                let (best, next) = (of[*best], of[*next]);
                let behind = behind(best.1, next.1);
                all.best.push(Best { measure: name.to_owned(), group: best.0.into(), next: next.0.into(), behind });
            }
            all.agreements.extend(agreements);
        }
        all
    }
}

fn behind(best: &ReadingTable, next: &ReadingTable) -> Option<Estimate> {
    let shared: Vec<String> = best.images.iter().filter(|image| next.images.contains(image)).cloned().collect();
    let seeds = best.values.len().min(next.values.len());
    let table = |of: &ReadingTable| {
        let mut of = of.on(&shared);
        of.values.truncate(seeds);
        of.crossed(|truth, predicted| (predicted - truth).abs())
    };
    let contrast = Contrast::of(&[(1.0, table(next)), (-1.0, table(best))])?;
    Some(within(contrast.estimate(1.0 - LEVEL), best.largest().max(next.largest())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::groups;
    use crate::report::synthetic::{Scenario, sweep};

    fn measures() -> Measures {
        toml::from_str(
            "height = { distance = ['nasion', 'menton'] }\nSNA = { angle = ['sella', 'nasion', 'subspinale'] }",
        )
        .unwrap()
    }

    #[test]
    fn a_reading_is_of_the_positions_in_millimetres() {
        let mut rows: Vec<LandmarkRecord> = sweep(1, 1, Scenario::Realistic).trials.remove(0).landmarks;
        rows.retain(|row| row.image == "001.png" && row.selected == Selection::Last);
        let all = |rows: &[LandmarkRecord]| readings(&measures(), rows, Selection::Last);
        let height = |rows: &[LandmarkRecord]| all(rows).into_iter().find(|r| r.measure == "height").unwrap();
        let at = |name: &str| rows.iter().find(|row| row.landmark == name).unwrap().clone();
        let (nasion, menton) = (at("nasion"), at("menton"));
        let mm = |dx: f64, dy: f64| (0.25 * dx).hypot(0.25 * dy);
        let truth = mm(menton.x_true - nasion.x_true, menton.y_true - nasion.y_true);
        let predicted = mm(menton.x_pred - nasion.x_pred, menton.y_pred - nasion.y_pred);
        let reading = height(&rows);
        assert!((reading.truth - truth).abs() < 1e-9 && (reading.predicted - predicted).abs() < 1e-9, "{reading:?}");
        assert!((reading.error() - (predicted - truth)).abs() < 1e-12);
        for row in &mut rows {
            row.spacing_y_mm = 0.5;
        }
        let wide = mm(menton.x_true - nasion.x_true, 2.0 * (menton.y_true - nasion.y_true));
        assert!((height(&rows).truth - wide).abs() < 1e-9, "each axis has its own size of a pixel");
        rows.retain(|row| row.landmark != "menton");
        assert_eq!(all(&rows).len(), 1, "a landmark that is not marked");
    }

    #[test]
    fn bias_error_and_limits_are_of_the_differences() {
        let table = ReadingTable {
            images: ["1", "2", "3"].map(str::to_owned).to_vec(),
            values: vec![vec![(80.0, 81.0), (82.0, 81.0), (84.0, 87.0)]],
        };
        let classes = Classes { cuts: vec![81.5], names: vec!["low".into(), "high".into()] };
        let of = table.agreement("g", "SNA", MeasureUnit::Degrees, Some(&classes));
        assert!((of.bias.point - 1.0).abs() < 1e-12 && (of.error.point - 5.0 / 3.0).abs() < 1e-12, "{of:?}");
        assert!((of.limits.sd - 2.0).abs() < 1e-12);
        assert!((of.same_class.unwrap() - 200.0 / 3.0).abs() < 1e-9, "82 is high and read as low");
        assert!(of.icc.unwrap().point > 0.5);
    }

    #[test]
    fn the_best_of_a_measure_is_the_one_of_least_error() {
        let mut records = sweep(2, 2, Scenario::Realistic);
        // The second configuration finds every landmark.
        for row in records.trials[2..].iter_mut().flat_map(|trial| &mut trial.landmarks) {
            (row.x_pred, row.y_pred) = (row.x_true, row.y_true);
        }
        let groups = groups(&records);
        let all = MeasureErrors::of(&groups.iter().collect::<Vec<_>>(), &measures(), Measured::At(Selection::Last));
        for best in &all.best {
            assert_eq!((&best.group, &best.next), (&groups[1].label, &groups[0].label));
            let behind = best.behind.as_ref().unwrap();
            let error = all.agreements.iter().find(|of| of.measure == best.measure && of.group == best.next).unwrap();
            assert!((behind.point - error.error.point).abs() < 1e-9, "the best has no error at all");
        }
        assert_eq!(all.best.len(), 2);
    }
}
