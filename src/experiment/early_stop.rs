//! Stops a training whose landmark error no longer falls. The decision depends on the records alone, so a resumed
//! training stops where it would have stopped without the interruption.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::records::EpochRecord;
use sweep_core::error::{Error, Result};

/// Rule for stopping a training early.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EarlyStop {
    /// Epochs without improvement after which the training ends.
    pub patience: u32,
    /// Improvement that counts: the least fall of the mean radial error on the validation images, mm.
    #[serde(default)]
    pub min_delta_mm: f64,
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
        if !(self.min_delta_mm.is_finite() && self.min_delta_mm >= 0.0) {
            let what = format!("a least improvement of {} mm is not possible", self.min_delta_mm);
            return Err(Error::definition(what).at("min_delta_mm").remedy("use 0 mm or more, for example 0.05"));
        }
        Ok(())
    }

    /// The reason why a training with these epochs is over; `None` if it is not. Epochs without evaluation are skipped.
    #[must_use]
    pub fn over(&self, epochs: &[EpochRecord]) -> Option<String> {
        let mut best: Option<(u32, f64)> = None;
        for record in epochs.iter().filter(|record| !record.val_mre_mm.is_nan()) {
            match best {
                Some((epoch, mre)) if record.val_mre_mm > mre - self.min_delta_mm || record.val_mre_mm >= mre => {
                    if record.epoch - epoch >= self.patience {
                        return Some(format!(
                            "stopped early after epoch {}: {mre:.3} mm of epoch {epoch} was not improved on in {} epochs",
                            record.epoch,
                            record.epoch - epoch
                        ));
                    }
                }
                _ => best = Some((record.epoch, record.val_mre_mm)),
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
            errors.iter().enumerate().map(|(i, mre)| format!("t,0,{},1,1,1,1,{mre},1,1,1,1,1,1,1,1,1,1,1", i + 1));
        let text = std::iter::once(header.to_owned()).chain(rows).collect::<Vec<_>>().join("\n");
        crate::records::read_csv(text.as_bytes()).unwrap()
    }

    fn ends(patience: u32, min_delta_mm: f64, errors: &[f64]) -> Option<usize> {
        let rule = EarlyStop { patience, min_delta_mm };
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
        let rule = EarlyStop { patience: 1, min_delta_mm: 0.0 };
        let all = epochs(&[2.0, 3.0, 1.0]);
        assert_eq!(rule.over(&all[..2]), rule.over(&all));
        assert!(rule.over(&all).unwrap().contains("2.000 mm of epoch 1"));
    }
}
