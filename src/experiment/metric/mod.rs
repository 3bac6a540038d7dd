//! The metrics of an epoch: one table of their names, units, directions, CSV columns and tags in trackers.
//!
//! A new metric is a field of [`EpochRecord`], at its end, and an entry of [`METRICS`]. Trackers, tables and the choice of
//! the best epoch read the table.

pub use objective::Objective;

use crate::records::EpochRecord;
use sweep_core::units::ErrorUnit;

mod objective;
#[cfg(test)]
mod tests;

/// A number that is recorded for each epoch of a trial.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Column of `epochs.csv`, and name of the metric in MLflow.
    pub column: &'static str,
    /// Short sentence for documentation.
    pub description: &'static str,
    /// Unit; empty for losses and the learning rate.
    pub unit: &'static str,
    /// Whether smaller or larger values are better.
    pub direction: Direction,
    /// Whether the metric is `nan` in epochs that were not evaluated.
    pub needs_evaluation: bool,
    /// TensorBoard run.
    pub run: Run,
    /// TensorBoard tag.
    pub tag: &'static str,
    /// Whether older records lack it, and data sets may.
    pub optional: bool,
    /// Name as an [`Objective`]; `None` if the best epoch cannot be selected by this metric.
    pub objective: Option<&'static str>,
    /// Reads the value from a record.
    pub value: fn(&EpochRecord) -> f64,
}

/// Which values of a metric are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Smaller values are better.
    Minimize,
    /// Larger values are better.
    Maximize,
    /// Neither: the value describes the run, not its result.
    Neutral,
}

/// The TensorBoard run that a metric belongs to. TensorBoard overlays curves with the same tag in different runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// The trial itself.
    Trial,
    /// Metrics on the training images.
    Train,
    /// Metrics on the validation images.
    Val,
}

impl Metric {
    /// Whether this epoch has the metric: it was evaluated if that is needed, and the metric's unit is known.
    #[must_use]
    pub fn is_known(&self, epoch: &EpochRecord) -> bool {
        let evaluated = !epoch.val_loss.is_nan() || epoch.unit().is_some();
        let of_other_unit = self.column.ends_with("mm") && epoch.unit() == Some(ErrorUnit::Pixels);
        let is_absent = self.optional && (self.value)(epoch).is_nan();
        (evaluated || !self.needs_evaluation) && !of_other_unit && !is_absent
    }
}

/// All metrics, in the order of the columns of `epochs.csv`.
pub static METRICS: [Metric; 28] = [
    Metric {
        column: "train_loss",
        description: "Mean loss over the training images.",
        direction: Direction::Minimize,
        tag: "loss",
        value: |epoch| epoch.train_loss,
        ..TRAIN
    },
    Metric {
        column: "val_loss",
        description: "Mean loss over the validation images.",
        direction: Direction::Minimize,
        tag: "loss",
        value: |epoch| epoch.val_loss,
        ..VAL
    },
    Metric {
        column: "zero_loss",
        description: "Loss of an all-zero output on the validation images.",
        tag: "loss/of_zeros",
        value: |epoch| epoch.zero_loss,
        ..VAL
    },
    Metric {
        column: "train_mre_mm",
        description: "Mean radial error on the training images.",
        unit: "mm",
        direction: Direction::Minimize,
        needs_evaluation: true,
        tag: "landmark_error/mre_mm",
        value: |epoch| epoch.train_mre_mm,
        ..TRAIN
    },
    Metric {
        column: "val_mre_mm",
        description: "Mean radial error.",
        unit: "mm",
        direction: Direction::Minimize,
        tag: "landmark_error/mre_mm",
        objective: Some("mre_mm"),
        value: |epoch| epoch.val_mre_mm,
        ..VAL
    },
    Metric {
        column: "val_mre_px",
        description: "Mean radial error in pixels of the original image.",
        unit: "px",
        direction: Direction::Minimize,
        tag: "landmark_error/mre_px",
        objective: Some("mre_px"),
        value: |epoch| epoch.val_mre_px,
        ..VAL
    },
    Metric {
        column: "val_sd_mm",
        description: "Standard deviation of the radial error.",
        unit: "mm",
        direction: Direction::Minimize,
        tag: "landmark_error/sd_mm",
        value: |epoch| epoch.val_sd_mm,
        ..VAL
    },
    Metric {
        column: "val_median_mm",
        description: "Median radial error.",
        unit: "mm",
        direction: Direction::Minimize,
        tag: "landmark_error/median_mm",
        objective: Some("median_mm"),
        value: |epoch| epoch.val_median_mm,
        ..VAL
    },
    Metric {
        column: "val_p95_mm",
        description: "95th percentile of the radial error.",
        unit: "mm",
        direction: Direction::Minimize,
        tag: "landmark_error/p95_mm",
        objective: Some("p95_mm"),
        value: |epoch| epoch.val_p95_mm,
        ..VAL
    },
    Metric {
        column: "val_sdr_2mm",
        description: "Success detection rate within 2 mm.",
        unit: "%",
        direction: Direction::Maximize,
        tag: "sdr/2mm",
        objective: Some("sdr_2mm"),
        value: |epoch| epoch.val_sdr_2mm,
        ..VAL
    },
    Metric {
        column: "val_sdr_2_5mm",
        description: "Success detection rate within 2.5 mm.",
        unit: "%",
        direction: Direction::Maximize,
        tag: "sdr/2_5mm",
        value: |epoch| epoch.val_sdr_2_5mm,
        ..VAL
    },
    Metric {
        column: "val_sdr_3mm",
        description: "Success detection rate within 3 mm.",
        unit: "%",
        direction: Direction::Maximize,
        tag: "sdr/3mm",
        value: |epoch| epoch.val_sdr_3mm,
        ..VAL
    },
    Metric {
        column: "val_sdr_4mm",
        description: "Success detection rate within 4 mm.",
        unit: "%",
        direction: Direction::Maximize,
        tag: "sdr/4mm",
        value: |epoch| epoch.val_sdr_4mm,
        ..VAL
    },
    Metric {
        column: "lr",
        description: "Learning rate of the epoch's last step.",
        tag: "optimizer/lr",
        value: |epoch| epoch.lr,
        ..TRIAL
    },
    Metric {
        column: "images_per_second",
        description: "Training images per second of training time.",
        unit: "images/s",
        tag: "speed/images_per_second",
        value: |epoch| epoch.images_per_second,
        ..TRIAL
    },
    Metric {
        column: "seconds",
        description: "Duration of the epoch, evaluation included.",
        unit: "s",
        tag: "speed/seconds_per_epoch",
        value: |epoch| epoch.seconds,
        ..TRIAL
    },
    Metric {
        column: "train_mre_px",
        description: "Mean radial error on the training images in pixels of the original image.",
        unit: "px",
        direction: Direction::Minimize,
        needs_evaluation: true,
        optional: true,
        tag: "landmark_error/mre_px",
        value: |epoch| epoch.train_mre_px,
        ..TRAIN
    },
    Metric {
        column: "val_sd_px",
        description: "Standard deviation of the radial error in pixels.",
        unit: "px",
        direction: Direction::Minimize,
        optional: true,
        tag: "landmark_error/sd_px",
        value: |epoch| epoch.val_sd_px,
        ..VAL
    },
    Metric {
        column: "val_median_px",
        description: "Median radial error in pixels.",
        unit: "px",
        direction: Direction::Minimize,
        optional: true,
        tag: "landmark_error/median_px",
        objective: Some("median_px"),
        value: |epoch| epoch.val_median_px,
        ..VAL
    },
    Metric {
        column: "val_p95_px",
        description: "95th percentile of the radial error in pixels.",
        unit: "px",
        direction: Direction::Minimize,
        optional: true,
        tag: "landmark_error/p95_px",
        objective: Some("p95_px"),
        value: |epoch| epoch.val_p95_px,
        ..VAL
    },
    Metric {
        column: "val_sdr_2px",
        description: "Success detection rate within 2 pixels.",
        unit: "%",
        direction: Direction::Maximize,
        optional: true,
        tag: "sdr/2px",
        value: |epoch| epoch.val_sdr_2px,
        ..VAL
    },
    Metric {
        column: "val_sdr_4px",
        description: "Success detection rate within 4 pixels.",
        unit: "%",
        direction: Direction::Maximize,
        optional: true,
        tag: "sdr/4px",
        value: |epoch| epoch.val_sdr_4px,
        ..VAL
    },
    Metric {
        column: "val_sdr_8px",
        description: "Success detection rate within 8 pixels.",
        unit: "%",
        direction: Direction::Maximize,
        optional: true,
        tag: "sdr/8px",
        value: |epoch| epoch.val_sdr_8px,
        ..VAL
    },
    Metric {
        column: "val_sdr_16px",
        description: "Success detection rate within 16 pixels.",
        unit: "%",
        direction: Direction::Maximize,
        optional: true,
        tag: "sdr/16px",
        value: |epoch| epoch.val_sdr_16px,
        ..VAL
    },
    Metric {
        column: "val_nme",
        description: "Normalised mean error: radial errors in reference lengths of their images.",
        unit: "%",
        direction: Direction::Minimize,
        optional: true,
        tag: "landmark_error/nme",
        objective: Some("nme"),
        value: |epoch| epoch.val_nme,
        ..VAL
    },
    Metric {
        column: "val_pck_05",
        description: "Percentage of correct keypoints, within 0.05 reference lengths.",
        unit: "%",
        direction: Direction::Maximize,
        optional: true,
        tag: "pck/0.05",
        value: |epoch| epoch.val_pck_05,
        ..VAL
    },
    Metric {
        column: "val_pck_10",
        description: "Percentage of correct keypoints, within 0.1 reference lengths.",
        unit: "%",
        direction: Direction::Maximize,
        optional: true,
        tag: "pck/0.1",
        value: |epoch| epoch.val_pck_10,
        ..VAL
    },
    Metric {
        column: "val_pck_20",
        description: "Percentage of correct keypoints, within 0.2 reference lengths.",
        unit: "%",
        direction: Direction::Maximize,
        optional: true,
        tag: "pck/0.2",
        objective: Some("pck"),
        value: |epoch| epoch.val_pck_20,
        ..VAL
    },
];

/// Defaults of metrics of the trial itself.
const TRIAL: Metric = Metric {
    column: "",
    description: "",
    unit: "",
    direction: Direction::Neutral,
    needs_evaluation: false,
    run: Run::Trial,
    tag: "",
    optional: false,
    objective: None,
    value: |_| f64::NAN,
};
/// Defaults of metrics on the training images.
const TRAIN: Metric = Metric { run: Run::Train, ..TRIAL };
/// Defaults of metrics on the validation images.
const VAL: Metric = Metric { run: Run::Val, needs_evaluation: true, ..TRIAL };
