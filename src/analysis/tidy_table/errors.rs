//! The errors of every evaluated epoch, from `errors.bin`: a row per epoch, validation image and landmark.

use std::rc::Rc;

use sweep_core::units::ErrorUnit;

use super::columns::Columns;
use crate::TrialRecords;

/// An error of a landmark of a validation image at an evaluated epoch.
pub(super) struct ErrorRow {
    epoch: u32,
    image: Rc<str>,
    patient: Rc<str>,
    landmark: Rc<str>,
    error: f64,
    unit: ErrorUnit,
}

impl ErrorRow {
    /// All of a trial; none if the trial did not keep them.
    pub(super) fn of(trial: &mut TrialRecords) -> Vec<Self> {
        let Some(table) = trial.errors.take() else { return Vec::new() };
        let shared = |names: &[String]| names.iter().map(|name| Rc::from(name.as_str())).collect::<Vec<Rc<str>>>();
        let (images, patients, landmarks) = (shared(&table.images), shared(&table.patients), shared(&table.landmarks));
        let unknown: Rc<str> = Rc::from("");
        let mut rows = Vec::with_capacity(table.epochs.len() * table.cells());
        for (at, epoch) in table.epochs.iter().enumerate() {
            for (cell, error) in table.of_epoch(at).iter().enumerate() {
                let (image, landmark) = (cell / landmarks.len(), cell % landmarks.len());
                rows.push(Self {
                    epoch: *epoch,
                    image: images[image].clone(),
                    patient: patients.get(image).unwrap_or(&unknown).clone(),
                    landmark: landmarks[landmark].clone(),
                    error: f64::from(*error),
                    unit: table.unit,
                });
            }
        }
        rows
    }

    fn in_unit(&self, unit: ErrorUnit) -> f64 {
        if self.unit == unit { self.error } else { f64::NAN }
    }
}

pub(super) fn errors() -> Columns<ErrorRow> {
    Columns::new()
        .integer("epoch", |row: &ErrorRow| Some(row.epoch.into()))
        .text("image", |row| &row.image)
        .text("patient", |row| &row.patient)
        .text("landmark", |row| &row.landmark)
        .number("error_px", |row| row.in_unit(ErrorUnit::Pixels))
        .number("error_mm", |row| row.in_unit(ErrorUnit::Millimetres))
}

#[cfg(test)]
mod tests {
    use sweep_experiment::records::EpochErrors;

    use super::*;
    use crate::report::synthetic::{Scenario, sweep};

    #[test]
    fn every_error_has_a_row() {
        let mut trial = sweep(1, 1, Scenario::Realistic).trials.remove(0);
        let names = |names: [&str; 2]| names.map(str::to_owned).to_vec();
        let mut table =
            EpochErrors::new(ErrorUnit::Millimetres, names(["a.png", "b.png"]), names(["p", "q"]), names(["s", "n"]));
        table.push(3, &[1.0, 2.0, 3.0, f64::NAN]);
        table.push(6, &[0.5, 1.5, 2.5, 3.5]);
        trial.errors = Some(table);
        let mut columns = errors();
        let rows = ErrorRow::of(&mut trial);
        for row in &rows {
            columns.push(row);
        }
        let places: Vec<(u32, &str, &str, &str)> =
            rows.iter().map(|row| (row.epoch, &*row.image, &*row.patient, &*row.landmark)).collect();
        assert_eq!(places[2], (3, "b.png", "q", "s"));
        assert_eq!(places[5], (6, "a.png", "p", "n"));
        assert!(rows[3].error.is_nan() && (rows[7].in_unit(ErrorUnit::Millimetres) - 3.5).abs() < 1e-12);
        assert!(rows[7].in_unit(ErrorUnit::Pixels).is_nan() && rows.len() == 8);
        let names: Vec<String> = columns.finish().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["epoch", "image", "patient", "landmark", "error_px", "error_mm"]);
        assert!(ErrorRow::of(&mut trial).is_empty(), "a trial without them has no row");
    }
}
