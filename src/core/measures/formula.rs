//! A measure's formula, as `dataset.toml` spells it, and its value.

use schemars::JsonSchema;
use serde::de::{MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Classes, MeasureUnit, Positions};
use crate::error::{Error, Result};
use crate::units::Point;

/// A line through two landmarks, directed from the first to the second.
pub type Line = [String; 2];

/// A measure: one formula, and classes of its values. The keys are the formulas.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Measure {
    /// Angle at the middle one of three landmarks, 0 to 180 degrees; with `signed`, from the first to the third, −180 to 180,
    /// positive clockwise as the image is seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub angle: Option<[String; 3]>,
    /// Angle between two directed lines, 0 to 180 degrees; with `signed`, from the first to the second, −180 to 180, positive
    /// clockwise as the image is seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub angle_between: Option<[Line; 2]>,
    /// Distance of two landmarks; with `signed`, negative where the second lies left of the first in the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance: Option<Line>,
    /// Signed length of a vector along the direction of a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub along: Option<Projection>,
    /// Signed length of a vector across the direction of a line, positive to the right of who looks along it as the image is
    /// seen: below a line that runs to the right. With a vector that begins on the line, the distance from the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub across: Option<Projection>,
    /// The first distance divided by the second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<[Line; 2]>,
    /// Sum of measures, by name or by formula.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sum: Option<Vec<Term>>,
    /// The first measure less the second, by name or by formula.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<[Term; 2]>,
    /// Whether an angle or a distance has a sign.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub signed: bool,
    /// Names of ranges of its values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Classes>,
}

/// A vector and a line that it is projected on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Projection {
    /// The landmarks that the vector leads from and to.
    pub vector: Line,
    /// The landmarks that give the direction.
    pub line: Line,
}

/// A part of a sum: a measure's name, or a formula of its own.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Term {
    /// Another measure.
    Named(String),
    /// A formula that is no measure of its own.
    Formula(Box<Measure>),
}

impl<'de> Deserialize<'de> for Term {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Term;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the name of a measure, or a formula as { angle = [\"…\", \"…\", \"…\"] }")
            }

            fn visit_str<E>(self, name: &str) -> Result<Term, E> {
                Ok(Term::Named(name.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Term, A::Error> {
                Ok(Term::Formula(Box::new(Measure::deserialize(MapAccessDeserializer::new(map))?)))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Measure {
    /// The measure's terms, if it is a sum or a difference.
    ///
    /// # Errors
    /// When it has no formula or several, a line leads from a landmark to itself, or `signed` has no effect.
    pub(super) fn check(&self) -> Result<Vec<&Term>> {
        let formulas = [
            ("angle", self.angle.is_some()),
            ("angle_between", self.angle_between.is_some()),
            ("distance", self.distance.is_some()),
            ("along", self.along.is_some()),
            ("across", self.across.is_some()),
            ("ratio", self.ratio.is_some()),
            ("sum", self.sum.is_some()),
            ("difference", self.difference.is_some()),
        ];
        let given: Vec<&str> = formulas.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
        let all = formulas.map(|(name, _)| name).join(", ");
        match given.as_slice() {
            [_] => {}
            [] => return Err(Error::input("the measure has no formula").remedy(format!("give it one of {all}"))),
            several => {
                return Err(Error::input(format!("the measure has several formulas: {}", several.join(", ")))
                    .remedy("keep one, and make the others measures of their own"));
            }
        }
        if let Some([landmark, _]) = self.lines().into_iter().find(|[from, to]| from == to) {
            return Err(Error::input(format!("a line from `{landmark}` to itself has no direction"))
                .remedy("name two landmarks"));
        }
        let has_sign = self.angle.is_some() || self.angle_between.is_some() || self.distance.is_some();
        if self.signed && !has_sign {
            return Err(Error::input(format!("`signed` has no effect on `{}`", given[0]))
                .remedy("remove it: along and across always have a sign, a ratio never"));
        }
        let terms: Vec<&Term> = self.sum.iter().flatten().chain(self.difference.iter().flatten()).collect();
        if self.sum.as_ref().is_some_and(Vec::is_empty) {
            return Err(Error::input("the sum has no terms").remedy("name measures, as sum = [\"SNA\", \"SNB\"]"));
        }
        Ok(terms)
    }

    /// Lines that need two landmarks at different places.
    fn lines(&self) -> Vec<[&str; 2]> {
        let mut lines: Vec<[&str; 2]> = Vec::new();
        if let Some([a, b, c]) = &self.angle {
            lines.extend([[b.as_str(), a.as_str()], [b.as_str(), c.as_str()]]);
        }
        let both = self.angle_between.iter().chain(&self.ratio).flatten();
        let projected = self.along.iter().chain(&self.across).flat_map(|of| [&of.vector, &of.line]);
        lines.extend(both.chain(&self.distance).chain(projected).map(|[a, b]| [a.as_str(), b.as_str()]));
        lines
    }

    /// The landmarks that it names itself or in its inner formulas.
    pub(super) fn landmarks(&self) -> Vec<&str> {
        let terms = self.sum.iter().flatten().chain(self.difference.iter().flatten());
        let inner = terms.filter_map(|term| match term {
            Term::Formula(measure) => Some(measure.landmarks()),
            Term::Named(_) => None,
        });
        self.lines().into_iter().flatten().chain(inner.flatten()).collect()
    }

    /// Names of measures in its sum or difference.
    pub(super) fn named_terms(&self) -> impl Iterator<Item = &str> {
        let terms = self.sum.iter().flatten().chain(self.difference.iter().flatten());
        terms.filter_map(|term| match term {
            Term::Named(name) => Some(name.as_str()),
            Term::Formula(_) => None,
        })
    }

    /// The unit of a formula that is no sum.
    pub(super) fn own_unit(&self) -> MeasureUnit {
        if self.angle.is_some() || self.angle_between.is_some() {
            MeasureUnit::Degrees
        } else if self.ratio.is_some() {
            MeasureUnit::Ratio
        } else {
            MeasureUnit::Length
        }
    }

    /// Its value, from positions in one unit along both axes.
    pub(super) fn value(&self, at: &Positions<'_>, of_term: &dyn Fn(&Term) -> Option<f64>) -> Option<f64> {
        let vector = |[from, to]: [&str; 2]| -> Option<[f64; 2]> {
            let (Point { x: x0, y: y0 }, Point { x, y }) = (at(from)?, at(to)?);
            Some([x - x0, y - y0])
        };
        let of = |[from, to]: &Line| vector([from, to]);
        let length = |[x, y]: [f64; 2]| x.hypot(y);
        if let Some([a, b, c]) = &self.angle {
            return turn(vector([b, a])?, vector([b, c])?, self.signed);
        }
        if let Some([one, other]) = &self.angle_between {
            return turn(of(one)?, of(other)?, self.signed);
        }
        if let Some(line) = &self.distance {
            let [x, y] = of(line)?;
            return Some(if self.signed && x < 0.0 { -length([x, y]) } else { length([x, y]) });
        }
        if let Some(Projection { vector, line }) = &self.along {
            let (v, u) = (of(vector)?, of(line)?);
            return Some((v[0] * u[0] + v[1] * u[1]) / length(u));
        }
        if let Some(Projection { vector, line }) = &self.across {
            let (v, u) = (of(vector)?, of(line)?);
            return Some((u[0] * v[1] - u[1] * v[0]) / length(u));
        }
        if let Some([one, other]) = &self.ratio {
            return Some(length(of(one)?) / length(of(other)?));
        }
        if let Some(terms) = &self.sum {
            return terms.iter().map(of_term).sum();
        }
        let [one, other] = self.difference.as_ref()?;
        Some(of_term(one)? - of_term(other)?)
    }
}

/// The angle from one direction to another in degrees, y down: clockwise as seen is positive. `None` without a direction.
fn turn(from: [f64; 2], to: [f64; 2], signed: bool) -> Option<f64> {
    if [from, to].iter().any(|[x, y]| x.hypot(*y) == 0.0) {
        return None;
    }
    let cross = from[0] * to[1] - from[1] * to[0];
    let angle = cross.atan2(from[0] * to[0] + from[1] * to[1]).to_degrees();
    Some(if signed { angle } else { angle.abs() })
}
