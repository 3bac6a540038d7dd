//! Stops a training whose objective no longer improves: the metric that chooses the best epoch. The decision depends on
//! the records alone, so a resumed training stops where it would have stopped without the interruption.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::metric::{Direction, Objective};
use crate::records::EpochRecord;
use sweep_core::error::{Error, Result};

/// Rule for stopping a training early.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EarlyStop {
    /// Epochs without improvement after which the training ends.
    pub patience: u32,
    /// Improvement that counts, mm, for objectives in millimetres such as `mre_mm`.
    #[serde(default)]
    pub min_delta_mm: f64,
    /// The same in pixels, for objectives in pixels such as `mre_px`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub min_delta_px: f64,
    /// The same in percentage points, for the objectives `sdr_2mm`, `nme` and `pck`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub min_delta_points: f64,
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
        for (key, value, unit) in self.deltas() {
            if !(value.is_finite() && value >= 0.0) {
                let what = format!("a least improvement of {value} {unit} is not possible");
                return Err(Error::definition(what).at(key).remedy(format!("use 0 {unit} or more, for example 0.05")));
            }
        }
        Ok(())
    }

    /// The least improvements by key, with their units.
    fn deltas(&self) -> [(&'static str, f64, &'static str); 3] {
        [
            ("min_delta_mm", self.min_delta_mm, "mm"),
            ("min_delta_px", self.min_delta_px, "px"),
            ("min_delta_points", self.min_delta_points, "%"),
        ]
    }

    /// Whether the least improvement is in the unit of the objective, which the rule watches.
    ///
    /// # Errors
    /// Its place is the key.
    pub fn check_unit(&self, objective: Objective) -> Result<()> {
        let unit = objective.metric().unit;
        match self.deltas().into_iter().find(|(_, value, of)| *value > 0.0 && *of != unit) {
            None => Ok(()),
            Some((key, ..)) => {
                let right =
                    self.deltas().into_iter().find(|(.., of)| *of == unit).map_or("none of them", |(key, ..)| key);
                let what = format!("the rule watches the objective `{}`, which is in {unit}", objective.name());
                Err(Error::definition(what).at(key).remedy(format!("use {right}")))
            }
        }
    }

    /// The reason why a training with these epochs is over; `None` if it is not. Epochs without evaluation are skipped.
    #[must_use]
    pub fn over(&self, epochs: &[EpochRecord], objective: Objective) -> Option<String> {
        let metric = objective.metric();
        let min_delta =
            self.deltas().into_iter().find(|(.., unit)| *unit == metric.unit).map_or(0.0, |(_, value, _)| value);
        let mut best: Option<(u32, f64)> = None;
        for record in epochs {
            let cost = objective.cost(record);
            if cost.is_nan() {
                continue;
            }
            match best {
                Some((epoch, least)) if cost > least - min_delta || cost >= least => {
                    if record.epoch - epoch >= self.patience {
                        // The cost of a metric to be maximised is its negative.
                        let value = if metric.direction == Direction::Maximize { -least } else { least };
                        let name =
                            if objective.is_default() { String::new() } else { format!("{} ", objective.name()) };
                        return Some(format!(
                            "stopped early after epoch {}: {name}{value:.3} {} of epoch {epoch} was not improved on in {} epochs",
                            record.epoch,
                            metric.unit,
                            record.epoch - epoch
                        ));
                    }
                }
                _ => best = Some((record.epoch, cost)),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sweep_core::units::ErrorUnit;

    fn epochs(errors: &[f64]) -> Vec<EpochRecord> {
        let header = "trial,seed,epoch,train_loss,val_loss,zero_loss,train_mre_mm,val_mre_mm,val_mre_px,val_sd_mm,\
                      val_median_mm,val_p95_mm,val_sdr_2mm,val_sdr_2_5mm,val_sdr_3mm,val_sdr_4mm,lr,images_per_second,seconds";
        let rows =
            errors.iter().enumerate().map(|(i, mre)| format!("t,0,{},1,1,1,1,{mre},{mre},1,1,1,1,1,1,1,1,1,1", i + 1));
        let text = std::iter::once(header.to_owned()).chain(rows).collect::<Vec<_>>().join("\n");
        crate::records::read_csv(text.as_bytes()).unwrap()
    }

    fn ends(patience: u32, min_delta_mm: f64, errors: &[f64]) -> Option<usize> {
        let rule = EarlyStop { patience, min_delta_mm, min_delta_px: 0.0, min_delta_points: 0.0 };
        let all = epochs(errors);
        (1..=all.len()).find(|n| rule.over(&all[..*n], Objective::default()).is_some())
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
        let rule = EarlyStop { patience: 1, min_delta_mm: 0.0, min_delta_px: 0.0, min_delta_points: 0.0 };
        let all = epochs(&[2.0, 3.0, 1.0]);
        let of = |epochs: &[EpochRecord]| rule.over(epochs, Objective::default());
        assert_eq!(of(&all[..2]), of(&all));
        assert!(of(&all).unwrap().contains("2.000 mm of epoch 1"));
    }

    #[test]
    fn in_pixels_the_least_improvement_is_of_pixels() {
        let mut all = epochs(&[2.0, 1.5, 1.0]);
        for record in &mut all {
            (record.val_mre_px, record.val_mre_mm) = (10.0 * record.val_mre_mm, f64::NAN);
        }
        let px = Objective::default_in(ErrorUnit::Pixels);
        let rule = |min_delta_px| EarlyStop { patience: 2, min_delta_mm: 0.0, min_delta_px, min_delta_points: 0.0 };
        assert_eq!(rule(4.0).over(&all, px), None);
        assert!(rule(20.0).over(&all, px).unwrap().contains("20.000 px of epoch 1"));
        let wrong = EarlyStop { min_delta_mm: 0.1, ..rule(0.0) }.check_unit(px).unwrap_err();
        assert_eq!(
            (wrong.location.as_deref(), wrong.remedy.as_deref()),
            (Some("min_delta_mm"), Some("use min_delta_px"))
        );
        assert!(rule(4.0).check_unit(Objective::default()).is_err() && rule(4.0).check_unit(px).is_ok());
    }

    #[test]
    fn the_objective_is_watched_whatever_the_mean_error_does() {
        let mut all = epochs(&[5.0, 4.0, 3.0, 2.0, 1.0]);
        for (record, within) in all.iter_mut().zip([50.0, 80.0, 80.5, 79.0, 81.0]) {
            record.val_sdr_2mm = within;
        }
        let sdr = Objective::from_name("sdr_2mm").unwrap();
        let rule = |min_delta_points| EarlyStop { patience: 2, min_delta_mm: 0.0, min_delta_px: 0.0, min_delta_points };
        assert_eq!(rule(0.0).over(&all, sdr), None, "81 is better than 80.5, two epochs later");
        let why = rule(2.0).over(&all, sdr).unwrap();
        assert_eq!(why, "stopped early after epoch 4: sdr_2mm 80.000 % of epoch 2 was not improved on in 2 epochs");
        assert_eq!(rule(0.0).over(&all, Objective::default()), None, "the mean error falls all the time");
        let wrong = EarlyStop { min_delta_mm: 0.1, ..rule(0.0) }.check_unit(sdr).unwrap_err();
        assert_eq!(wrong.remedy.as_deref(), Some("use min_delta_points"));
    }
}
