//! What an evaluation puts into the record of an epoch.

use sweep_core::units::ErrorUnit;
use sweep_experiment::records::EpochRecord;

use super::Evaluations;
use crate::evaluate::{Evaluation, Metrics, Normalised};

/// The fields of an epoch's record that evaluation measures; `nan` without an evaluation.
pub(crate) fn epoch_record(seed: u64, epoch: u32, evaluated: Option<&Evaluations>) -> EpochRecord {
    let metrics = |split: Option<&Evaluation>, unit| Metrics::of(split.map_or(&[], |e| &e.errors), unit);
    let (on_val, on_train) = (evaluated.map(|(val, _)| val), evaluated.map(|(_, train)| train));
    let [mm, px] = [ErrorUnit::Millimetres, ErrorUnit::Pixels].map(|unit| metrics(on_val, unit));
    let [train_mm, train_px] = [ErrorUnit::Millimetres, ErrorUnit::Pixels].map(|unit| metrics(on_train, unit));
    let errors = on_val.map_or(&[][..], |val| &val.errors);
    let normalised = Normalised::of(errors.iter().map(|error| (error.sample, error.px / error.reference)));
    EpochRecord {
        trial: String::new(),
        seed,
        epoch,
        train_loss: f64::NAN,
        val_loss: evaluated.map_or(f64::NAN, |(val, _)| val.loss),
        zero_loss: f64::NAN,
        train_mre_mm: train_mm.mre,
        val_mre_mm: mm.mre,
        val_mre_px: px.mre,
        val_sd_mm: mm.sd,
        val_median_mm: mm.median,
        val_p95_mm: mm.p95,
        val_sdr_2mm: mm.sdr[0],
        val_sdr_2_5mm: mm.sdr[1],
        val_sdr_3mm: mm.sdr[2],
        val_sdr_4mm: mm.sdr[3],
        lr: f64::NAN,
        images_per_second: f64::NAN,
        seconds: f64::NAN,
        train_mre_px: train_px.mre,
        val_sd_px: px.sd,
        val_median_px: px.median,
        val_p95_px: px.p95,
        val_sdr_2px: px.sdr[0],
        val_sdr_4px: px.sdr[1],
        val_sdr_8px: px.sdr[2],
        val_sdr_16px: px.sdr[3],
        val_nme: normalised.nme,
        val_pck_05: normalised.pck[0],
        val_pck_10: normalised.pck[1],
        val_pck_20: normalised.pck[2],
    }
}

/// The record of a trial that did not evaluate this epoch.
pub(crate) fn unevaluated(record: &EpochRecord) -> EpochRecord {
    EpochRecord {
        trial: record.trial.clone(),
        train_loss: record.train_loss,
        zero_loss: record.zero_loss,
        lr: record.lr,
        images_per_second: record.images_per_second,
        seconds: record.seconds,
        ..epoch_record(record.seed, record.epoch, None)
    }
}
