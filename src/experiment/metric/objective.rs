//! The metric that chooses a trial's best epoch.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Value, json};

use super::{Direction, METRICS, Metric, VAL};
use crate::records::EpochRecord;
use sweep_core::error::{Error, Result};
use sweep_core::units::ErrorUnit;

/// Indices of the metrics that select the best epoch by default: `val_mre_mm`, or `val_mre_px` where millimetres are not known.
const DEFAULT_OBJECTIVE: usize = 4;
const DEFAULT_OBJECTIVE_PX: usize = 5;

/// Selects the last evaluated epoch, so that no result chooses it. No column of `epochs.csv`.
static LAST: Metric = Metric {
    column: "epoch",
    description: "The last evaluated epoch, which no result chooses.",
    direction: Direction::Maximize,
    objective: Some("last"),
    value: |epoch| if epoch.unit().is_some() { f64::from(epoch.epoch) } else { f64::NAN },
    ..VAL
};

/// The validation metric that selects the best epoch.
#[derive(Debug, Clone, Copy)]
pub struct Objective(&'static Metric);

impl Objective {
    /// All objectives, in the order of [`METRICS`]; then `last`.
    pub fn all() -> impl Iterator<Item = Self> {
        METRICS.iter().chain([&LAST]).filter(|metric| metric.objective.is_some()).map(Self)
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

    /// Whether it is the mean radial error, which definitions that name no objective have.
    #[must_use]
    pub fn is_default(self) -> bool {
        [DEFAULT_OBJECTIVE, DEFAULT_OBJECTIVE_PX].iter().any(|index| METRICS[*index].objective == self.0.objective)
    }

    /// Whether it is the last evaluated epoch, whatever its errors are.
    #[must_use]
    pub fn is_last(self) -> bool {
        self.name() == "last"
    }

    /// The epoch that it chooses, in words without the article: `best sdr_2mm` or `last epoch`.
    #[must_use]
    pub fn chosen_epoch(self) -> String {
        if self.is_last() { "last epoch".to_owned() } else { format!("best {}", self.name()) }
    }

    /// Checks that rules which judge trials by their objective have one that judges: the last epoch is neither good nor bad.
    ///
    /// # Errors
    /// Names the first of `rules`, the tables and keys of the definition that need it.
    pub fn check_rules(self, rules: &[&str]) -> Result<()> {
        match rules.first().filter(|_| self.is_last()) {
            None => Ok(()),
            Some(rule) => {
                Err(Error::definition(format!("`{rule}` judges by the objective, and `last` judges nothing"))
                    .remedy(format!("leave out `{rule}`, or name a metric, for example objective = \"mre_mm\"")))
            }
        }
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
