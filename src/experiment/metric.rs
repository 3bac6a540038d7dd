//! The metrics of an epoch: one table of their names, units, directions, CSV columns and tags in trackers.
//!
//! A new metric is a field of [`EpochRecord`], at its end, and an entry of [`METRICS`]. Trackers, tables and the choice of
//! the best epoch read the table.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Value, json};

use crate::records::EpochRecord;
use sweep_core::error::{Error, Result};
use sweep_core::units::ErrorUnit;

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
        let evaluated = !(epoch.val_loss.is_nan() && epoch.unit().is_none());
        let of_other_unit = self.column.ends_with("mm") && epoch.unit() == Some(ErrorUnit::Pixels);
        (evaluated || !self.needs_evaluation) && !of_other_unit && !(self.optional && (self.value)(epoch).is_nan())
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

/// Indices of the metrics that select the best epoch by default: `val_mre_mm`, or `val_mre_px` where millimetres are not known.
const DEFAULT_OBJECTIVE: usize = 4;
const DEFAULT_OBJECTIVE_PX: usize = 5;

/// The validation metric that selects the best epoch.
#[derive(Debug, Clone, Copy)]
pub struct Objective(&'static Metric);

impl Objective {
    /// All objectives, in the order of [`METRICS`].
    pub fn all() -> impl Iterator<Item = Self> {
        METRICS.iter().filter(|metric| metric.objective.is_some()).map(Self)
    }

    /// The objective with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|objective| objective.name() == name)
    }

    /// Name in a definition.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.objective.unwrap_or_default()
    }

    /// The objective of a definition that names none: `mre_mm`, or `mre_px` where millimetres are not known.
    #[must_use]
    pub fn default_in(unit: ErrorUnit) -> Self {
        match unit {
            ErrorUnit::Millimetres => Self::default(),
            ErrorUnit::Pixels => Self(&METRICS[DEFAULT_OBJECTIVE_PX]),
        }
    }

    /// Whether it can be measured on a data set: in millimetres if the size of pixels is known, in reference lengths if the
    /// data set states one.
    ///
    /// # Errors
    /// Says what the data set lacks, and what to do.
    pub fn check(self, unit: ErrorUnit, is_normalised: bool) -> Result<()> {
        let name = self.name();
        if self.0.column.ends_with("mm") && !unit.is_millimetres() {
            let instead = if name == "sdr_2mm" { "mre_px".to_owned() } else { name.replace("mm", "px") };
            let what = format!("`{name}` cannot be measured: the data set does not say the size of a pixel");
            return Err(Error::definition(what).remedy(format!(
                "use objective = \"{instead}\", or state the size: spacing_mm = {{ x = …, y = … }} in dataset.toml"
            )));
        }
        if ["nme", "pck"].contains(&name) && !is_normalised {
            let what = format!("`{name}` cannot be measured: the data set states no reference length");
            return Err(Error::definition(what).remedy(
                "add [normalise] to dataset.toml, with by = \"bounding-box\" or by = [\"LANDMARK\", \"LANDMARK\"]",
            ));
        }
        Ok(())
    }

    /// The metric.
    #[must_use]
    pub fn metric(self) -> &'static Metric {
        self.0
    }

    /// A value that is smaller for a better epoch; `nan` if the epoch was not evaluated.
    #[must_use]
    pub fn cost(self, epoch: &EpochRecord) -> f64 {
        let value = (self.0.value)(epoch);
        if self.0.direction == Direction::Maximize { -value } else { value }
    }
}

impl Default for Objective {
    fn default() -> Self {
        Self(&METRICS[DEFAULT_OBJECTIVE])
    }
}

impl PartialEq for Objective {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Objective {}

impl Serialize for Objective {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Objective {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::from_name(&name).ok_or_else(|| {
            let names: Vec<String> = Self::all().map(|objective| format!("`{}`", objective.name())).collect();
            de::Error::custom(format!("unknown variant `{name}`, expected one of {}", names.join(", ")))
        })
    }
}

impl JsonSchema for Objective {
    fn schema_name() -> Cow<'static, str> {
        "Objective".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        let choice = |objective: Self| json!({ "type": "string", "description": objective.0.description, "const": objective.name() });
        let choices: Vec<Value> = Self::all().map(choice).collect();
        json_schema!({ "description": "The validation metric that selects the best epoch.", "oneOf": choices })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{read_csv, write_csv};

    fn record() -> EpochRecord {
        let columns: Vec<&str> = METRICS.iter().map(|metric| metric.column).collect();
        let values: Vec<String> = (0..METRICS.len()).map(|index| index.to_string()).collect();
        let text = format!("trial,seed,epoch,{}\nt,0,1,{}\n", columns.join(","), values.join(","));
        read_csv(text.as_bytes()).unwrap().remove(0)
    }

    #[test]
    fn table_has_the_columns_of_epochs_csv_in_their_order() {
        let mut csv = Vec::new();
        write_csv(&[record()], true, &mut csv).unwrap();
        let csv = String::from_utf8(csv).unwrap();
        let expected: Vec<&str> =
            ["trial", "seed", "epoch"].into_iter().chain(METRICS.iter().map(|metric| metric.column)).collect();
        assert_eq!(csv.lines().next().unwrap().split(',').collect::<Vec<_>>(), expected);
    }

    #[test]
    fn accessors_read_their_own_columns() {
        for (index, metric) in METRICS.iter().enumerate() {
            assert_eq!((metric.value)(&record()).to_bits(), (index as f64).to_bits(), "{}", metric.column);
        }
    }

    #[test]
    fn tags_of_tensorboard_stay() {
        let tags = |run| METRICS.iter().filter(|metric| metric.run == run).map(|metric| metric.tag).collect::<Vec<_>>();
        assert_eq!(tags(Run::Trial), ["optimizer/lr", "speed/images_per_second", "speed/seconds_per_epoch"]);
        assert_eq!(tags(Run::Train), ["loss", "landmark_error/mre_mm", "landmark_error/mre_px"]);
        assert_eq!(
            tags(Run::Val),
            [
                "loss",
                "loss/of_zeros",
                "landmark_error/mre_mm",
                "landmark_error/mre_px",
                "landmark_error/sd_mm",
                "landmark_error/median_mm",
                "landmark_error/p95_mm",
                "sdr/2mm",
                "sdr/2_5mm",
                "sdr/3mm",
                "sdr/4mm",
                "landmark_error/sd_px",
                "landmark_error/median_px",
                "landmark_error/p95_px",
                "sdr/2px",
                "sdr/4px",
                "sdr/8px",
                "sdr/16px",
                "landmark_error/nme",
                "pck/0.05",
                "pck/0.1",
                "pck/0.2"
            ]
        );
        let always = METRICS.iter().filter(|metric| !metric.needs_evaluation).map(|metric| metric.column);
        assert_eq!(always.collect::<Vec<_>>(), ["train_loss", "lr", "images_per_second", "seconds"]);
    }

    #[test]
    fn objectives_keep_their_names_and_directions() {
        let names: Vec<&str> = Objective::all().map(Objective::name).collect();
        assert_eq!(names, ["mre_mm", "mre_px", "median_mm", "p95_mm", "sdr_2mm", "median_px", "p95_px", "nme", "pck"]);
        assert_eq!(Objective::default().name(), "mre_mm");
        let default_in = |unit| Objective::default_in(unit).name();
        assert_eq!([ErrorUnit::Millimetres, ErrorUnit::Pixels].map(default_in), ["mre_mm", "mre_px"]);
        let epoch = record();
        let costs: Vec<f64> = Objective::all().map(|objective| objective.cost(&epoch)).collect();
        assert_eq!(
            costs[..5],
            [epoch.val_mre_mm, epoch.val_mre_px, epoch.val_median_mm, epoch.val_p95_mm, -epoch.val_sdr_2mm]
        );
        assert_eq!(costs[5..], [epoch.val_median_px, epoch.val_p95_px, epoch.val_nme, -epoch.val_pck_20]);
        for objective in Objective::all() {
            let json = serde_json::to_string(&objective).unwrap();
            assert_eq!(json, format!("\"{}\"", objective.name()));
            assert_eq!(serde_json::from_str::<Objective>(&json).unwrap(), objective);
        }
        let error = serde_json::from_str::<Objective>("\"loss\"").unwrap_err().to_string();
        assert!(error.contains("expected one of `mre_mm`, `mre_px`, `median_mm`, `p95_mm`, `sdr_2mm`"), "{error}");
    }

    #[test]
    fn an_objective_that_the_data_cannot_have_is_refused() {
        let check = |name: &str, unit, normalised| Objective::from_name(name).unwrap().check(unit, normalised);
        let (mm, px) = (ErrorUnit::Millimetres, ErrorUnit::Pixels);
        for (name, instead) in [("mre_mm", "\"mre_px\""), ("p95_mm", "\"p95_px\""), ("sdr_2mm", "\"mre_px\"")] {
            assert_eq!(check(name, mm, false), Ok(()));
            let remedy = check(name, px, true).unwrap_err().remedy.unwrap();
            assert!(remedy.contains(instead) && remedy.contains("spacing_mm"), "{remedy}");
        }
        for name in ["nme", "pck"] {
            assert_eq!((check(name, mm, true), check(name, px, true)), (Ok(()), Ok(())));
            assert!(check(name, mm, false).unwrap_err().remedy.unwrap().contains("[normalise]"));
        }
        assert_eq!((check("mre_px", mm, false), check("mre_px", px, false)), (Ok(()), Ok(())));
    }
}
