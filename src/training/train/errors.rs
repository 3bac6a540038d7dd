//! The errors of an epoch on all validation images, for `errors.bin`.

use std::collections::BTreeMap;

use sweep_core::units::ErrorUnit;
use sweep_data::{Dataset, Split};
use sweep_experiment::records::EpochErrors;

use crate::evaluate::Evaluation;

/// Errors of this epoch alone, on the validation images in the data set's order.
pub(crate) fn of_epoch(epoch: u32, val: &Evaluation, dataset: &Dataset) -> EpochErrors {
    let samples = || dataset.samples.iter().enumerate().filter(|(_, sample)| sample.split == Split::Val);
    let row: BTreeMap<usize, usize> = samples().enumerate().map(|(row, (index, _))| (index, row)).collect();
    let unit =
        if val.errors.iter().any(|error| !error.mm.is_nan()) { ErrorUnit::Millimetres } else { ErrorUnit::Pixels };
    let patients = samples().map(|(_, sample)| sample.patient.clone().unwrap_or_default()).collect::<Vec<_>>();
    let mut table = EpochErrors::new(
        unit,
        samples().map(|(_, sample)| sample.image.clone()).collect(),
        if patients.iter().all(String::is_empty) { Vec::new() } else { patients },
        dataset.landmarks.clone(),
    );
    let mut errors = vec![f64::NAN; table.cells()];
    for error in &val.errors {
        if let Some(row) = row.get(&error.sample) {
            errors[row * dataset.landmarks.len() + error.landmark] =
                if unit.is_millimetres() { error.mm } else { error.px };
        }
    }
    table.push(epoch, &errors);
    table
}
