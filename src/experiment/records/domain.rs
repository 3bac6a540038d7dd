//! Values that a record can have. A number far outside is damage, or an attack on whatever draws it.

use serde::de::DeserializeOwned;

use super::{EpochRecord, LandmarkRecord, TrialStatus};

/// Largest size of a loss that is a number; single precision ends at 3.4e38.
const LARGEST: f64 = 1e100;
/// Largest error, coordinate or time.
const FARTHEST: f64 = 1e12;
/// Largest epoch: a training of a second an epoch takes thirty years to it.
const LAST_EPOCH: u32 = 1_000_000_000;

/// A row of a table of records.
pub trait Row: DeserializeOwned {
    /// Checks every value.
    ///
    /// # Errors
    /// The first column whose value cannot be, and what is wrong with it.
    fn check(&self) -> Result<(), (&'static str, String)>;
}

impl Row for EpochRecord {
    fn check(&self) -> Result<(), (&'static str, String)> {
        epoch(self.epoch)?;
        all(loss, &[("train_loss", self.train_loss), ("val_loss", self.val_loss), ("zero_loss", self.zero_loss)])?;
        all(
            length,
            &[
                ("train_mre_mm", self.train_mre_mm),
                ("val_mre_mm", self.val_mre_mm),
                ("val_mre_px", self.val_mre_px),
                ("val_sd_mm", self.val_sd_mm),
                ("val_median_mm", self.val_median_mm),
                ("val_p95_mm", self.val_p95_mm),
                ("train_mre_px", self.train_mre_px),
                ("val_sd_px", self.val_sd_px),
                ("val_median_px", self.val_median_px),
                ("val_p95_px", self.val_p95_px),
                ("val_nme", self.val_nme),
                ("lr", self.lr),
                ("images_per_second", self.images_per_second),
                ("seconds", self.seconds),
            ],
        )?;
        all(
            percent,
            &[
                ("val_sdr_2mm", self.val_sdr_2mm),
                ("val_sdr_2_5mm", self.val_sdr_2_5mm),
                ("val_sdr_3mm", self.val_sdr_3mm),
                ("val_sdr_4mm", self.val_sdr_4mm),
                ("val_sdr_2px", self.val_sdr_2px),
                ("val_sdr_4px", self.val_sdr_4px),
                ("val_sdr_8px", self.val_sdr_8px),
                ("val_sdr_16px", self.val_sdr_16px),
                ("val_pck_05", self.val_pck_05),
                ("val_pck_10", self.val_pck_10),
                ("val_pck_20", self.val_pck_20),
            ],
        )
    }
}

impl Row for LandmarkRecord {
    fn check(&self) -> Result<(), (&'static str, String)> {
        epoch(self.epoch)?;
        all(
            coordinate,
            &[
                ("x_true", self.x_true),
                ("y_true", self.y_true),
                ("x_pred", self.x_pred),
                ("y_pred", self.y_pred),
                ("confidence", self.confidence),
            ],
        )?;
        let lengths = [
            ("error_px", self.error_px),
            ("error_mm", self.error_mm),
            ("reference_px", self.reference_px),
            ("spacing_x_mm", self.spacing_x_mm),
            ("spacing_y_mm", self.spacing_y_mm),
        ];
        all(length, &lengths)
    }
}

impl TrialStatus {
    /// Checks every number.
    ///
    /// # Errors
    /// The first key whose value cannot be, and what is wrong with it.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let known = |value: Option<f64>| value.unwrap_or(f64::NAN);
        for (key, number) in [("epoch", self.epoch), ("epochs", self.epochs), ("attempts", self.attempts)] {
            if number > LAST_EPOCH {
                return Err((key, format!("{number} is more than {LAST_EPOCH}")));
            }
        }
        let times = [
            ("seconds", self.seconds),
            ("peak_memory_mib", known(self.peak_memory_mib)),
            ("live.seconds_left", known(self.live.seconds_left)),
            ("live.written", self.live.written as f64),
        ];
        all(length, &times)
    }
}

fn all(check: fn(f64) -> Option<&'static str>, values: &[(&'static str, f64)]) -> Result<(), (&'static str, String)> {
    match values.iter().find_map(|(column, value)| Some((column, value, check(*value)?))) {
        Some((column, value, why)) => Err((column, format!("{value:e} {why}"))),
        None => Ok(()),
    }
}

fn epoch(epoch: u32) -> Result<(), (&'static str, String)> {
    match epoch {
        0 => Err(("epoch", "0 is no epoch: they count from 1".to_owned())),
        epoch if epoch > LAST_EPOCH => Err(("epoch", format!("{epoch} is more than {LAST_EPOCH}"))),
        _ => Ok(()),
    }
}

/// A loss may be infinite or not a number, as the last of a trial that diverged is.
fn loss(value: f64) -> Option<&'static str> {
    let size = value.abs();
    if size.is_finite() && size > LARGEST {
        return Some("is no loss: it is larger than 1e100");
    }
    (size > 0.0 && size < LARGEST.recip()).then_some("is no loss: it is not 0 and smaller than 1e-100")
}

fn length(value: f64) -> Option<&'static str> {
    if value < 0.0 {
        return Some("is negative");
    }
    (value.is_finite() && value > FARTHEST).then_some("is more than 1e12")
}

fn percent(value: f64) -> Option<&'static str> {
    // Rounding may lead beyond the ends; what is missing is no number.
    (!value.is_nan() && !(-1e-6..=100.0 + 1e-6).contains(&value))
        .then_some("is no share in per cent: it is not between 0 and 100")
}

fn coordinate(value: f64) -> Option<&'static str> {
    (value.abs() > FARTHEST).then_some("is no position or confidence: it is beyond 1e12")
}
