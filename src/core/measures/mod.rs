//! Measures: what landmarks are marked for. Angles, distances, ratios and projections of an image's landmarks, by name.
//!
//! `[measures]` of `dataset.toml` defines them, `trial.toml` records them, reports compare those of the truth with those of
//! the predictions. Angles are in degrees; lengths are in millimetres, or in pixels where the size of a pixel is not known.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::spelling::nearest;
use crate::units::{ErrorUnit, Point, Spacing};

mod built_in;
mod classes;
mod formula;
#[cfg(test)]
mod tests;

pub use built_in::{BuiltIn, SETS};
pub use classes::Classes;
pub use formula::{Line, Measure, Projection, Term};

/// Deepest nesting of sums and differences, and most formulas that one measure may take: far more than anatomy needs.
const DEEPEST: usize = 8;
const MOST_FORMULAS: usize = 200;
/// Longest name of a measure: it heads a column.
const LONGEST_NAME: usize = 60;

/// The measures of a data set, by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, Measure>", into = "BTreeMap<String, Measure>")]
pub struct Measures(BTreeMap<String, Measure>);

/// The unit of a measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MeasureUnit {
    /// An angle.
    Degrees,
    /// A length, in the data set's unit.
    Length,
    /// A number without a unit.
    Ratio,
}

impl MeasureUnit {
    /// Its symbol, given the unit of lengths; empty for ratios.
    #[must_use]
    pub fn symbol(self, lengths: ErrorUnit) -> &'static str {
        match self {
            Self::Degrees => "°",
            Self::Length => lengths.symbol(),
            Self::Ratio => "",
        }
    }

    /// Decimals that people read such a value to.
    #[must_use]
    pub fn decimals(self) -> usize {
        match self {
            Self::Degrees | Self::Length => 2,
            Self::Ratio => 4,
        }
    }
}

/// A landmark's position on one image, by name.
pub type Positions<'a> = dyn Fn(&str) -> Option<Point> + 'a;

impl TryFrom<BTreeMap<String, Measure>> for Measures {
    type Error = Error;

    fn try_from(measures: BTreeMap<String, Measure>) -> Result<Self> {
        Self::new(measures)
    }
}

impl From<Measures> for BTreeMap<String, Measure> {
    fn from(measures: Measures) -> Self {
        measures.0
    }
}

impl Measures {
    /// Measures that are complete: each with one formula, and sums of measures that exist and do not contain themselves.
    ///
    /// # Errors
    /// Its place is the key, as `measures.SNA`.
    pub fn new(measures: BTreeMap<String, Measure>) -> Result<Self> {
        let all = Self(measures);
        for (name, measure) in &all.0 {
            all.check(name, measure).map_err(|error| error.at(format!("key `measures.{name}`")))?;
        }
        Ok(all)
    }

    fn check(&self, name: &str, measure: &Measure) -> Result<()> {
        if name.trim().is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
            return Err(Error::input(format!("a measure's name has 1 to {LONGEST_NAME} letters"))
                .remedy("shorten it, for example to SNA"));
        }
        let mut left = MOST_FORMULAS;
        self.unit_of(measure, DEEPEST, &mut left)?;
        measure.classes.as_ref().map_or(Ok(()), Classes::check)
    }

    /// The unit of a formula, whose parts are all there. `left` counts down the formulas.
    fn unit_of(&self, measure: &Measure, depth: usize, left: &mut usize) -> Result<MeasureUnit> {
        *left = left.checked_sub(1).ok_or_else(|| {
            Error::input(format!("more than {MOST_FORMULAS} formulas are added up")).remedy("add up fewer of them")
        })?;
        let terms = measure.check()?;
        let Some((first, others)) = terms.split_first() else { return Ok(measure.own_unit()) };
        let depth = depth.checked_sub(1).ok_or_else(|| {
            Error::input(format!("sums and differences are nested more than {DEEPEST} deep, or in a circle"))
                .remedy("a measure may not contain itself")
        })?;
        let unit = self.unit_of(self.named(first)?, depth, left)?;
        for term in others {
            if self.unit_of(self.named(term)?, depth, left)? != unit {
                return Err(
                    Error::input("degrees, lengths and ratios are added up").remedy("add up measures of the same unit")
                );
            }
        }
        Ok(unit)
    }

    /// The measure that a term is.
    fn named<'a>(&'a self, term: &'a Term) -> Result<&'a Measure> {
        let name = match term {
            Term::Formula(measure) => return Ok(measure),
            Term::Named(name) => name,
        };
        self.0.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.names().collect();
            unknown(&format!("there is no measure `{name}`"), name, &names)
        })
    }

    /// Whether these are landmarks of the data set.
    ///
    /// # Errors
    /// Names the key, the unknown landmark, and the nearest one.
    pub fn check_landmarks(&self, landmarks: &[String]) -> Result<()> {
        let known: Vec<&str> = landmarks.iter().map(String::as_str).collect();
        for (name, measure) in &self.0 {
            if let Some(missing) = measure.landmarks().into_iter().find(|landmark| !known.contains(landmark)) {
                return Err(unknown(&format!("the data set has no landmark `{missing}`"), missing, &known)
                    .at(format!("key `measures.{name}`")));
            }
        }
        Ok(())
    }

    /// Those of a built-in set that these landmarks suffice for, beside these measures, which take precedence; and the names of
    /// the others.
    ///
    /// # Errors
    /// When there is no such set, or the data set has no landmark of it.
    pub fn with_set(self, set: &str, landmarks: &[String]) -> Result<(Self, Vec<String>)> {
        let Some(built_in) = SETS.iter().find(|built_in| built_in.name == set) else {
            let names: Vec<&str> = SETS.iter().map(|set| set.name).collect();
            return Err(unknown(&format!("there is no set of measures `{set}`"), set, &names).at("key `measure_set`"));
        };
        let (known, missing) = built_in.measures(landmarks)?;
        let own = self.0;
        let measures = known.0.into_iter().filter(|(name, _)| !own.contains_key(name)).collect::<BTreeMap<_, _>>();
        let missing = missing.into_iter().filter(|name| !own.contains_key(name)).collect();
        Ok((Self::new(measures.into_iter().chain(own).collect())?, missing))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// A measure's classes, if it has some.
    #[must_use]
    pub fn classes(&self, name: &str) -> Option<&Classes> {
        self.0.get(name)?.classes.as_ref()
    }

    /// A measure's unit; `None` where there is no such measure.
    #[must_use]
    pub fn unit(&self, name: &str) -> Option<MeasureUnit> {
        self.unit_of(self.0.get(name)?, DEEPEST, &mut MOST_FORMULAS.clone()).ok()
    }

    /// A measure's value on an image: degrees, a length in the unit of `spacing`, or a ratio. `None` where a landmark is missing,
    /// or the value is not defined, as the angle at two landmarks of one place.
    #[must_use]
    pub fn value(&self, name: &str, positions: &Positions<'_>, spacing: Spacing) -> Option<f64> {
        let scaled = |landmark: &str| positions(landmark).map(|p| Point { x: p.x * spacing.x, y: p.y * spacing.y });
        self.value_of(self.0.get(name)?, &scaled, DEEPEST).filter(|value| value.is_finite())
    }

    fn value_of(&self, measure: &Measure, positions: &Positions<'_>, depth: usize) -> Option<f64> {
        let depth = depth.checked_sub(1)?;
        measure.value(positions, &|term| self.value_of(self.named(term).ok()?, positions, depth))
    }
}

/// The error for an unknown word, with the nearest known one.
fn unknown(what: &str, word: &str, known: &[&str]) -> Error {
    let remedy = match nearest(word, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "there is none".to_owned(),
        None => format!("there are {}", known.join(", ")),
    };
    Error::input(what).remedy(remedy)
}
