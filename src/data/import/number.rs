//! Values that some write as numbers and others as text.

use serde::{Deserialize, Deserializer, de};

#[derive(Deserialize)]
#[serde(untagged)]
enum Either {
    Whole(i64),
    Real(f64),
    Text(String),
}

/// A finite number, also if it is written as text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Number(pub(super) f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = match Either::deserialize(deserializer)? {
            Either::Whole(number) => number as f64,
            Either::Real(number) => number,
            Either::Text(text) => {
                text.trim().parse().map_err(|_| de::Error::custom(format!("`{text}` is not a number")))?
            }
        };
        if value.is_finite() { Ok(Self(value)) } else { Err(de::Error::custom("not a finite number")) }
    }
}

/// A name, also if it is written as a number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Word(pub(super) String);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Either::deserialize(deserializer)? {
            Either::Whole(number) => number.to_string(),
            Either::Real(number) => number.to_string(),
            Either::Text(text) => text,
        }))
    }
}
