//! Measures of the predicted and of the true landmarks: a row per selected epoch, validation image and measure.

use sweep_core::measures::Measures;
use sweep_experiment::records::Selection;

use super::columns::{Columns, selected};
use crate::TrialRecords;
use crate::measures::{Reading, readings};

/// A measure of a validation image at a selected epoch.
pub(super) struct MeasureRow {
    selected: Selection,
    reading: Reading,
    unit: &'static str,
    /// Classes of the truth and of the prediction, empty where the measure has none.
    classes: [String; 2],
}

impl MeasureRow {
    /// All of a trial; none without measures.
    pub(super) fn of(trial: &mut TrialRecords, measures: &Measures) -> Vec<Self> {
        let row = |selected: Selection, reading: Reading| {
            let class = |value: f64| {
                let classes = measures.classes(&reading.measure);
                classes.and_then(|classes| classes.names.get(classes.of(value)).cloned()).unwrap_or_default()
            };
            let classes = [class(reading.truth), class(reading.predicted)];
            let unit = measures.unit(&reading.measure).map_or("", |unit| unit.symbol(trial.unit));
            Self { selected, reading, unit, classes }
        };
        let at = |selection| readings(measures, &trial.landmarks, selection).into_iter().map(move |of| (selection, of));
        let all = [Selection::BestError, Selection::BestLoss, Selection::Last].into_iter().flat_map(at);
        all.map(|(selection, reading)| row(selection, reading)).collect()
    }
}

pub(super) fn measures() -> Columns<MeasureRow> {
    Columns::new()
        .text("selected", |row: &MeasureRow| selected(row.selected))
        .text("image", |row| &row.reading.image)
        .text("measure", |row| &row.reading.measure)
        .text("unit", |row| row.unit)
        .number("truth", |row| row.reading.truth)
        .number("predicted", |row| row.reading.predicted)
        .number("error", |row| row.reading.error())
        .text("class_true", |row| &row.classes[0])
        .text("class_predicted", |row| &row.classes[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic::{Scenario, sweep};

    #[test]
    fn every_measure_has_a_row_with_its_class() {
        let mut trial = sweep(1, 1, Scenario::Realistic).trials.remove(0);
        let measures: Measures = toml::from_str(
            "SNA = { angle = ['sella', 'nasion', 'subspinale'], classes = { cuts = [0, 180], names = ['a', 'b', 'c'] } }\n\
             length = { distance = ['sella', 'nasion'] }",
        )
        .unwrap();
        let rows = MeasureRow::of(&mut trial, &measures);
        assert_eq!(rows.len(), 2 * 8 * 2, "two epochs, eight images, two measures");
        assert_eq!((rows[0].reading.measure.as_str(), rows[0].unit), ("SNA", "°"));
        assert_eq!(rows[0].classes, ["b", "b"]);
        assert_eq!((rows[1].unit, rows[1].classes[0].as_str()), ("mm", ""));
        let mut columns = super::measures();
        for row in &rows {
            columns.push(row);
        }
        assert_eq!(columns.finish().len(), 9);
        assert!(MeasureRow::of(&mut trial, &Measures::default()).is_empty());
    }
}
