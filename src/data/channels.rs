//! How many values a pixel has: one of grey, or three of red, green and blue.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Whether images are read in grey or in colour; as a number, 1 or 3.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Channels {
    /// One value a pixel: colours become luma.
    #[default]
    Grey,
    /// Red, green and blue.
    Colour,
}

impl Channels {
    /// Values of a pixel.
    #[must_use]
    pub const fn count(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Colour => 3,
        }
    }

    /// Whether images are read in grey, which is the default.
    #[must_use]
    pub const fn is_grey(&self) -> bool {
        matches!(self, Self::Grey)
    }
}

impl From<Channels> for u8 {
    fn from(channels: Channels) -> Self {
        match channels {
            Channels::Grey => 1,
            Channels::Colour => 3,
        }
    }
}

impl TryFrom<u8> for Channels {
    type Error = String;

    fn try_from(count: u8) -> Result<Self, String> {
        match count {
            1 => Ok(Self::Grey),
            3 => Ok(Self::Colour),
            _ => Err(format!("{count} channels: use 1 for grey or 3 for colour")),
        }
    }
}

impl JsonSchema for Channels {
    fn schema_name() -> Cow<'static, str> {
        "Channels".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "enum": [1, 3] })
    }
}

/// Planes `[C, H, W]` of values that lie side by side in every pixel, `[H, W, C]`.
#[must_use]
pub fn planes<T: Copy>(pixels: &[T], channels: usize) -> Vec<T> {
    (0..channels).flat_map(|channel| pixels.iter().skip(channel).step_by(channels).copied()).collect()
}

/// Red, green and blue side by side, `[H, W, 3]`, of one or three planes; a grey value is all three.
#[must_use]
pub fn rgb<T: Copy>(planes: &[T], area: usize) -> Vec<T> {
    let channels = (planes.len() / area.max(1)).max(1);
    let value = |pixel: usize, channel: usize| planes[(channel * area + pixel) % (channels * area)];
    (0..area).flat_map(|pixel| (0..3).map(move |channel| value(pixel, channel))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_and_pixels_are_two_orders_of_the_same_values() {
        let pixels = [1, 2, 3, 4, 5, 6];
        assert_eq!(planes(&pixels, 3), [1, 4, 2, 5, 3, 6]);
        assert_eq!(planes(&pixels, 1), pixels);
        assert_eq!(rgb(&planes(&pixels, 3), 2), pixels);
        assert_eq!(rgb(&[7, 8], 2), [7, 7, 7, 8, 8, 8]);
    }

    #[test]
    fn numbers_other_than_one_and_three_are_refused() {
        assert_eq!(Channels::try_from(3), Ok(Channels::Colour));
        assert!(Channels::try_from(4).unwrap_err().contains("4 channels"));
        assert_eq!((Channels::Grey.count(), Channels::Colour.count()), (1, 3));
    }
}
