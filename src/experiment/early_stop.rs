//! Stops a training whose landmark error no longer falls. The decision depends on the records alone, so a resumed
//! training stops where it would have stopped without the interruption.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::records::EpochRecord;
use sweep_core::error::{Error, Result};
use sweep_core::units::ErrorUnit;

/// Rule for stopping a training early.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EarlyStop {
    /// Epochs without improvement after which the training ends.
    pub patience: u32,
    /// Improvement that counts: the least fall of the mean radial error on the validation images, mm.
    #[serde(default)]
    pub min_delta_mm: f64,
    /// The same in pixels, for data sets that do not say the size of a pixel.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub min_delta_px: f64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives references")]
fn is_zero(value: &f64) -> bool {
    value.abs() <= 0.0
}

impl EarlyStop {
    /// Checks that the numbers are possible.
    ///
    /// # Errors
    /// When one is not; the error's location is the key.
    pub fn check(&self) -> Result<()> {
        if self.patience == 0 {
            let what = "a patience of 0 epochs ends every training at once";
            return Err(Error::definition(what).at("patience").remedy("use 1 or more; 10 or 20 are common"));
        }
        for (key, value, unit) in
            [("min_delta_mm", self.min_delta_mm, "mm"), ("min_delta_px", self.min_delta_px, "pixels")]
        {
            if !(value.is_finite() && value >= 0.0) {
                let what = format!("a least improvement of {value} {unit} is not possible");
                return Err(Error::definition(what).at(key).remedy(format!("use 0 {unit} or more, for example 0.05")));
            }
        }
        Ok(())
    }

    /// Whether the least improvement is in the data set's unit.
    ///
    /// # Errors
    /// Its place is the key.
    pub fn check_unit(&self, unit: ErrorUnit) -> Result<()> {
        let wrong = |key: &str, what: &str, remedy: &str| Err(Error::definition(what).at(key).remedy(remedy));
        match unit {
            ErrorUnit::Millimetres if self.min_delta_px > 0.0 => {
                wrong("min_delta_px", "the errors of this data set are in millimetres", "use min_delta_mm")
            }
            ErrorUnit::Pixels if self.min_delta_mm > 0.0 => {
                wrong("min_delta_mm", "the data set does not say the size of a pixel", "use min_delta_px")
            }
            _ => Ok(()),
        }
    }

    /// The reason why a training with these epochs is over; `None` if it is not. Epochs without evaluation are skipped.
    #[must_use]
    pub fn over(&self, epochs: &[EpochRecord]) -> Option<String> {
        let mut best: Option<(u32, f64)> = None;
        for record in epochs.iter().filter(|record| !record.mre().is_nan()) {
            let unit = record.unit().unwrap_or_default();
            let min_delta = if unit.is_millimetres() { self.min_delta_mm } else { self.min_delta_px };
            match best {
                Some((epoch, mre)) if record.mre() > mre - min_delta || record.mre() >= mre => {
                    if record.epoch - epoch >= self.patience {
                        return Some(format!(
                            "stopped early after epoch {}: {mre:.3} {unit} of epoch {epoch} was not improved on in {} epochs",
                            record.epoch,
                            record.epoch - epoch
                        ));
                    }
                }
                _ => best = Some((record.epoch, record.mre())),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(errors: &[f64]) -> Vec<EpochRecord> {
        let header = "trial,seed,epoch,train_loss,val_loss,zero_loss,train_mre_mm,val_mre_mm,val_mre_px,val_sd_mm,\
                      val_median_mm,val_p95_mm,val_sdr_2mm,val_sdr_2_5mm,val_sdr_3mm,val_sdr_4mm,lr,images_per_second,seconds";
        let rows =
            errors.iter().enumerate().map(|(i, mre)| format!("t,0,{},1,1,1,1,{mre},{mre},1,1,1,1,1,1,1,1,1,1", i + 1));
        let text = std::iter::once(header.to_owned()).chain(rows).collect::<Vec<_>>().join("\n");
        crate::records::read_csv(text.as_bytes()).unwrap()
    }

    fn ends(patience: u32, min_delta_mm: f64, errors: &[f64]) -> Option<usize> {
        let rule = EarlyStop { patience, min_delta_mm, min_delta_px: 0.0 };
        let all = epochs(errors);
        (1..=all.len()).find(|n| rule.over(&all[..*n]).is_some())
    }

    #[test]
    fn it_ends_after_patience_without_improvement() {
        let errors = [9.0, 5.0, 6.0, 4.0, 4.5, 4.5, 4.5, 1.0];
        assert_eq!(ends(3, 0.0, &errors), Some(7));
        assert_eq!(ends(2, 0.0, &errors), Some(6));
        assert_eq!(ends(4, 0.0, &errors), None);
        assert_eq!(ends(1, 0.0, &errors), Some(3));
        assert_eq!(ends(2, 0.0, &[5.0, 5.0, 5.0]), Some(3), "as good is not better");
    }

    #[test]
    fn an_improvement_must_be_large_enough() {
        let errors = [5.0, 4.9, 4.8, 4.7, 4.6, 4.5];
        assert_eq!(ends(2, 0.0, &errors), None);
        assert_eq!(ends(2, 0.15, &errors), None, "4.8 is 0.2 better than 5.0");
        assert_eq!(ends(2, 0.25, &errors), Some(3));
    }

    #[test]
    fn epochs_without_an_evaluation_only_pass() {
        let nan = f64::NAN;
        assert_eq!(ends(4, 0.0, &[nan, 5.0, nan, 6.0, nan, 6.0, nan, 6.0]), Some(6));
        assert_eq!(ends(1, 0.0, &[nan, nan, nan]), None);
    }

    #[test]
    fn a_training_that_was_over_stays_over() {
        let rule = EarlyStop { patience: 1, min_delta_mm: 0.0, min_delta_px: 0.0 };
        let all = epochs(&[2.0, 3.0, 1.0]);
        assert_eq!(rule.over(&all[..2]), rule.over(&all));
        assert!(rule.over(&all).unwrap().contains("2.000 mm of epoch 1"));
    }

    #[test]
    fn in_pixels_the_least_improvement_is_of_pixels() {
        let mut all = epochs(&[2.0, 1.5, 1.0]);
        for record in &mut all {
            (record.val_mre_px, record.val_mre_mm) = (10.0 * record.val_mre_mm, f64::NAN);
        }
        let rule = |min_delta_px| EarlyStop { patience: 2, min_delta_mm: 0.0, min_delta_px };
        assert_eq!(rule(4.0).over(&all), None);
        assert!(rule(20.0).over(&all).unwrap().contains("20.000 px of epoch 1"));
        let wrong = EarlyStop { min_delta_mm: 0.1, ..rule(0.0) }.check_unit(ErrorUnit::Pixels).unwrap_err();
        assert_eq!(
            (wrong.location.as_deref(), wrong.remedy.as_deref()),
            (Some("min_delta_mm"), Some("use min_delta_px"))
        );
        assert!(
            rule(4.0).check_unit(ErrorUnit::Millimetres).is_err() && rule(4.0).check_unit(ErrorUnit::Pixels).is_ok()
        );
    }
}
