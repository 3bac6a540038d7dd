//! Records of a trial and their CSV files: the contract between training and analysis.
//!
//! Columns are only ever added at the end of the header. A missing number is written as `nan`; columns in millimetres are
//! empty where the size of the data set's pixels is not known.

use serde::{Deserialize, Serialize};

use sweep_core::units::ErrorUnit;

pub use domain::Row;
pub use epoch_errors::EpochErrors;
pub use table::{read_csv, read_csv_start, write_csv, write_csv_in, write_named_csv_in};

mod domain;
mod epoch_errors;
mod table;
#[cfg(test)]
mod tests;

/// One epoch of one trial: a row of `epochs.csv`. Losses are means per image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Trial id.
    pub trial: String,
    /// The trial's seed.
    pub seed: u64,
    /// Epoch, from 1.
    pub epoch: u32,
    /// Mean loss over the training images as trained (augmented, weights moving).
    #[serde(serialize_with = "number")]
    pub train_loss: f64,
    /// Mean loss over the validation images; this and the fields below are `nan` for epochs without evaluation.
    #[serde(serialize_with = "number")]
    pub val_loss: f64,
    /// Loss of an all-zero output on the validation images.
    #[serde(serialize_with = "number")]
    pub zero_loss: f64,
    /// Mean radial error on the un-augmented training images, mm.
    #[serde(serialize_with = "number", deserialize_with = "maybe")]
    pub train_mre_mm: f64,
    /// Mean radial error on the validation images, mm of the original image.
    #[serde(serialize_with = "number", deserialize_with = "maybe")]
    pub val_mre_mm: f64,
    /// The same in pixels of the original image.
    #[serde(serialize_with = "number")]
    pub val_mre_px: f64,
    /// Standard deviation of the radial error (N − 1), mm.
    #[serde(serialize_with = "number", deserialize_with = "maybe")]
    pub val_sd_mm: f64,
    /// Median radial error, mm.
    #[serde(serialize_with = "number", deserialize_with = "maybe")]
    pub val_median_mm: f64,
    /// 95th percentile of the radial error, mm.
    #[serde(serialize_with = "number", deserialize_with = "maybe")]
    pub val_p95_mm: f64,
    /// Success detection rate: per cent of landmarks within 2 mm.
    #[serde(serialize_with = "number", deserialize_with = "maybe")]
    pub val_sdr_2mm: f64,
    /// Per cent within 2.5 mm.
    #[serde(serialize_with = "number", deserialize_with = "maybe")]
    pub val_sdr_2_5mm: f64,
    /// Per cent within 3 mm.
    #[serde(serialize_with = "number", deserialize_with = "maybe")]
    pub val_sdr_3mm: f64,
    /// Per cent within 4 mm.
    #[serde(serialize_with = "number", deserialize_with = "maybe")]
    pub val_sdr_4mm: f64,
    /// Learning rate of the epoch's last step.
    #[serde(serialize_with = "number")]
    pub lr: f64,
    /// Training images per second of training time. Not a result: it differs from run to run.
    #[serde(serialize_with = "number")]
    pub images_per_second: f64,
    /// Seconds the epoch took, evaluation included. Not a result: it differs from run to run.
    #[serde(serialize_with = "number")]
    pub seconds: f64,
    /// Mean radial error on the un-augmented training images, pixels of the original image; `nan` in files of before it was
    /// recorded, as all that follow.
    #[serde(serialize_with = "number", deserialize_with = "maybe", default = "unknown")]
    pub train_mre_px: f64,
    /// Standard deviation of the radial error (N − 1), pixels.
    #[serde(serialize_with = "number", deserialize_with = "maybe", default = "unknown")]
    pub val_sd_px: f64,
    /// Median radial error, pixels.
    #[serde(serialize_with = "number", deserialize_with = "maybe", default = "unknown")]
    pub val_median_px: f64,
    /// 95th percentile of the radial error, pixels.
    #[serde(serialize_with = "number", deserialize_with = "maybe", default = "unknown")]
    pub val_p95_px: f64,
    /// Success detection rate: per cent of landmarks within 2 pixels.
    #[serde(serialize_with = "number", deserialize_with = "maybe", default = "unknown")]
    pub val_sdr_2px: f64,
    /// Per cent within 4 pixels.
    #[serde(serialize_with = "number", deserialize_with = "maybe", default = "unknown")]
    pub val_sdr_4px: f64,
    /// Per cent within 8 pixels.
    #[serde(serialize_with = "number", deserialize_with = "maybe", default = "unknown")]
    pub val_sdr_8px: f64,
    /// Per cent within 16 pixels.
    #[serde(serialize_with = "number", deserialize_with = "maybe", default = "unknown")]
    pub val_sdr_16px: f64,
    /// Normalised mean error: radial errors in reference lengths of their images, averaged, per cent; `nan` where the data set
    /// states no reference length.
    #[serde(serialize_with = "number", deserialize_with = "maybe", default = "unknown")]
    pub val_nme: f64,
    /// Percentage of correct keypoints: per cent of landmarks within 0.05 reference lengths.
    #[serde(serialize_with = "number", deserialize_with = "maybe", default = "unknown")]
    pub val_pck_05: f64,
    /// Per cent within 0.1 reference lengths.
    #[serde(serialize_with = "number", deserialize_with = "maybe", default = "unknown")]
    pub val_pck_10: f64,
    /// Per cent within 0.2 reference lengths.
    #[serde(serialize_with = "number", deserialize_with = "maybe", default = "unknown")]
    pub val_pck_20: f64,
}

impl EpochRecord {
    /// The unit of the errors, as far as they say; `None` of an epoch that was not evaluated.
    #[must_use]
    pub fn unit(&self) -> Option<ErrorUnit> {
        match (self.val_mre_mm.is_nan(), self.val_mre_px.is_nan()) {
            (false, _) => Some(ErrorUnit::Millimetres),
            (true, false) => Some(ErrorUnit::Pixels),
            (true, true) => None,
        }
    }

    /// The value in mm where that is known, else in pixels.
    fn in_unit(&self, mm: f64, px: f64) -> f64 {
        if self.unit() == Some(ErrorUnit::Pixels) { px } else { mm }
    }

    /// Mean radial error on the validation images in the data set's unit; `nan` of an epoch that was not evaluated.
    #[must_use]
    pub fn mre(&self) -> f64 {
        self.in_unit(self.val_mre_mm, self.val_mre_px)
    }

    /// Mean radial error on the un-augmented training images in the data set's unit.
    #[must_use]
    pub fn train_mre(&self) -> f64 {
        self.in_unit(self.train_mre_mm, self.train_mre_px)
    }

    /// Standard deviation of the radial error in the data set's unit.
    #[must_use]
    pub fn sd(&self) -> f64 {
        self.in_unit(self.val_sd_mm, self.val_sd_px)
    }

    /// Success detection rates in per cent, within [`ErrorUnit::radii`] of the data set's unit.
    #[must_use]
    pub fn sdr(&self) -> [f64; 4] {
        match self.unit() {
            Some(ErrorUnit::Pixels) => self.sdr_px(),
            _ => [self.val_sdr_2mm, self.val_sdr_2_5mm, self.val_sdr_3mm, self.val_sdr_4mm],
        }
    }

    /// Success detection rates in per cent within 2, 4, 8 and 16 pixels.
    #[must_use]
    pub fn sdr_px(&self) -> [f64; 4] {
        [self.val_sdr_2px, self.val_sdr_4px, self.val_sdr_8px, self.val_sdr_16px]
    }
}

/// Reason why an epoch's predictions were kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// The best epoch by the objective: that of the least validation landmark error, unless the definition names another.
    BestError,
    /// The epoch with the least validation loss.
    BestLoss,
    /// The last epoch.
    Last,
}

/// One landmark of one validation image: a row of `landmarks.csv`. Positions are pixels of the original image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LandmarkRecord {
    /// Trial id.
    pub trial: String,
    /// The trial's seed.
    pub seed: u64,
    /// Epoch, from 1.
    pub epoch: u32,
    /// Reason why this epoch was kept.
    pub selected: Selection,
    /// Image file name.
    pub image: String,
    /// Landmark name.
    pub landmark: String,
    /// True position, pixels.
    pub x_true: f64,
    /// True position, pixels.
    pub y_true: f64,
    /// Predicted position, pixels.
    pub x_pred: f64,
    /// Predicted position, pixels.
    pub y_pred: f64,
    /// Radial error, pixels.
    pub error_px: f64,
    /// Radial error, mm; `nan` where the data set's pixels have no known size.
    #[serde(deserialize_with = "maybe")]
    pub error_mm: f64,
    /// How sure the network was, from 0 to 1; `nan` in files written before it was recorded.
    #[serde(serialize_with = "number", default = "unknown")]
    pub confidence: f64,
    /// The image's reference length, pixels, that normalises its errors; `nan` where the data set states none.
    #[serde(serialize_with = "number", deserialize_with = "maybe", default = "unknown")]
    pub reference_px: f64,
    /// Width of a pixel of the image, mm; `nan` where it is not known.
    #[serde(serialize_with = "number", deserialize_with = "maybe", default = "unknown")]
    pub spacing_x_mm: f64,
    /// Height of a pixel of the image, mm; `nan` where it is not known.
    #[serde(serialize_with = "number", deserialize_with = "maybe", default = "unknown")]
    pub spacing_y_mm: f64,
}

impl LandmarkRecord {
    /// Radial error in the data set's unit: mm where that is known, else pixels.
    #[must_use]
    pub fn error(&self) -> f64 {
        if self.error_mm.is_nan() { self.error_px } else { self.error_mm }
    }

    /// The unit of [`Self::error`].
    #[must_use]
    pub fn unit(&self) -> ErrorUnit {
        if self.error_mm.is_nan() && !self.error_px.is_nan() { ErrorUnit::Pixels } else { ErrorUnit::Millimetres }
    }
}

/// Reads a number that may be missing.
fn maybe<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

fn unknown() -> f64 {
    f64::NAN
}

/// State of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Not started.
    Pending,
    /// In training, or its process died.
    Running,
    /// Trained to the last epoch.
    Done,
    /// Ended early because its loss was not a finite number.
    Diverged,
    /// Ended by an error, or its process died.
    Failed,
    /// Stopped because it exceeded its time limit, or made no step for too long.
    TimedOut,
    /// Stopped because its landmark error was too far behind that of other trials.
    Pruned,
    /// Stopped on demand, or because its records could not be written; continues from its last checkpoint.
    Interrupted,
}

impl State {
    /// All states, in the order of interest.
    pub const ALL: [Self; 8] = [
        Self::Done,
        Self::Running,
        Self::Pending,
        Self::Interrupted,
        Self::Pruned,
        Self::Diverged,
        Self::TimedOut,
        Self::Failed,
    ];

    /// Whether running the same command again leaves a trial in this state alone.
    #[must_use]
    pub fn is_settled(self) -> bool {
        match self {
            Self::Done | Self::Diverged | Self::Failed | Self::TimedOut | Self::Pruned => true,
            Self::Pending | Self::Running | Self::Interrupted => false,
        }
    }

    /// Whether `--retry-failed` trains a trial in this state again.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Diverged | Self::TimedOut)
    }

    /// Name in `status.json` and `summary.csv`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Done => "done",
            Self::Diverged => "diverged",
            Self::Failed => "failed",
            Self::TimedOut => "timed-out",
            Self::Pruned => "pruned",
            Self::Interrupted => "interrupted",
        }
    }
}

/// `status.json` of a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialStatus {
    /// Trial id.
    pub trial: String,
    /// Its state.
    pub state: State,
    /// Epochs trained.
    pub epoch: u32,
    /// Epochs requested.
    pub epochs: u32,
    /// How often it was started.
    pub attempts: u32,
    /// Trainable parameters of its network.
    pub parameters: u64,
    /// Device it ran on.
    pub device: String,
    /// Name of the machine that trained it, last if there were several; empty in files of earlier versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// Seconds of training and evaluation, all attempts together.
    pub seconds: f64,
    /// Peak resident memory of the process, MiB; absent if the system does not provide it.
    pub peak_memory_mib: Option<f64>,
    /// The error, if there is one.
    pub message: Option<String>,
    /// Signs of life, of interest only during training.
    #[serde(default)]
    pub live: Live,
}

/// Signs of life of a trial that is being trained. No result depends on any of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Live {
    /// The process that trains it, or did.
    pub pid: u32,
    /// Grows with every unit of work: a trial whose beat stands still hangs.
    pub beat: u64,
    /// Steps done in all attempts together.
    pub step: u64,
    /// Steps of the whole training.
    pub steps: u64,
    /// Estimated seconds until the end, from the speed of this attempt.
    pub seconds_left: Option<f64>,
    /// Time of writing, seconds since 1970, for people: no decision depends on the clock.
    pub written: u64,
}

impl TrialStatus {
    /// Status of a trial that has not started.
    #[must_use]
    pub fn pending(trial: &str) -> Self {
        Self {
            trial: trial.to_owned(),
            state: State::Pending,
            epoch: 0,
            epochs: 0,
            attempts: 0,
            parameters: 0,
            device: String::new(),
            host: String::new(),
            seconds: 0.0,
            peak_memory_mib: None,
            message: None,
            live: Live::default(),
        }
    }
}

/// Serialises a float so that CSV contains `nan`, the spelling that every CSV reader knows.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn number<S: serde::Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_nan() { serializer.serialize_str("nan") } else { serializer.serialize_f64(*value) }
}
