//! Classes of a measure: names of the ranges that cut points divide its values into.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Classes of a measure's values: `{ cuts = [3.2, 5.7], names = ["III", "I", "II"] }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Classes {
    /// Limits between the classes, in ascending order. A value at a limit belongs to the class above it.
    pub cuts: Vec<f64>,
    /// Names of the classes, from the lowest values to the highest: one more than limits.
    pub names: Vec<String>,
}

impl Classes {
    /// Whether the limits ascend, and there is a name for every class.
    ///
    /// # Errors
    /// Says which is wrong.
    pub(super) fn check(&self) -> Result<()> {
        let wrong = |what: String, right: String| Err(Error::input(what).at("classes").remedy(right));
        let (cuts, names) = (self.cuts.len(), self.names.len());
        if cuts == 0 || names != cuts + 1 {
            return wrong(
                format!("{cuts} limits divide values into {} classes, and {names} are named", cuts + 1),
                "name one class more than there are limits, as { cuts = [3.2, 5.7], names = [\"III\", \"I\", \"II\"] }"
                    .into(),
            );
        }
        let ascend = self.cuts.windows(2).all(|pair| pair[0] < pair[1]) && self.cuts.iter().all(|cut| cut.is_finite());
        if !ascend {
            return wrong(format!("the limits {:?} do not ascend", self.cuts), "sort them, each once".into());
        }
        let repeated = self.names.iter().enumerate().find(|(i, name)| self.names[..*i].contains(name));
        match repeated {
            Some((_, name)) => wrong(format!("two classes are called `{name}`"), "give each its own name".into()),
            None if self.names.iter().any(|name| name.trim().is_empty()) => {
                wrong("a class has no name".into(), "give each a name".into())
            }
            None => Ok(()),
        }
    }

    /// The class of a value, by its place.
    #[must_use]
    pub fn of(&self, value: f64) -> usize {
        self.cuts.iter().filter(|cut| value >= **cut).count()
    }
}
