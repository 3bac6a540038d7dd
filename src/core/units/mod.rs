//! Types for lengths: [`Pixels`] of an image, [`Millimetres`] of the patient, and [`Spacing`], which converts one into the
//! other, per axis.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

mod error_unit;

pub use error_unit::ErrorUnit;

/// A length in pixels; which image's is said by the code that holds it.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pixels(pub f64);

/// A length in millimetres.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millimetres(pub f64);

/// Size of a pixel in mm, per axis: resized images seldom have square pixels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spacing {
    /// Millimetres per pixel along a row (to the right).
    pub x: f64,
    /// Millimetres per pixel along a column (downwards).
    pub y: f64,
}

impl Spacing {
    /// Where the size of a pixel is not known, lengths are counted in pixels.
    pub const ONE_PIXEL: Self = Self { x: 1.0, y: 1.0 };

    /// Whether both sizes are finite and positive.
    #[must_use]
    pub fn is_valid(self) -> bool {
        [self.x, self.y].iter().all(|s| s.is_finite() && *s > 0.0)
    }

    /// Distance between two points given in pixels: `√((Δx·sx)² + (Δy·sy)²)`.
    #[must_use]
    pub fn distance(self, a: Point, b: Point) -> Millimetres {
        Millimetres(((a.x - b.x) * self.x).hypot((a.y - b.y) * self.y))
    }
}

/// A position in an image: pixel centres have integer coordinates, x to the right, y down.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Column, in pixels.
    pub x: f64,
    /// Row, in pixels.
    pub y: f64,
}

impl Point {
    /// Distance to another point of the same image.
    #[must_use]
    pub fn distance(self, other: Self) -> Pixels {
        Pixels((self.x - other.x).hypot(self.y - other.y))
    }

    /// Whether the point lies in an image of this size (pixel edges included).
    #[must_use]
    pub fn is_inside(self, size: Size) -> bool {
        self.x >= -0.5 && self.y >= -0.5 && self.x <= size.width as f64 - 0.5 && self.y <= size.height as f64 - 0.5
    }

    /// The same position after the image was resized from `from` to `to`; pixel *edges* map to edges, so a centre
    /// moves by half-pixels: `x' = (x + ½)·to/from − ½`.
    #[must_use]
    pub fn rescale(self, from: Size, to: Size) -> Self {
        let map = |v: f64, from: usize, to: usize| (v + 0.5) * to as f64 / from as f64 - 0.5;
        Self { x: map(self.x, from.width, to.width), y: map(self.y, from.height, to.height) }
    }
}

/// Height and width of an image, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Size {
    /// Most pixels that a network reads at once: 8192 × 8192.
    const MOST: usize = 1 << 26;

    /// Number of pixels; the largest number there is where they are more.
    #[must_use]
    pub fn area(self) -> usize {
        self.height.saturating_mul(self.width)
    }

    /// Checks that a network can read images of this size at all.
    ///
    /// # Errors
    /// When there are no pixels, or more than 8192 × 8192.
    pub fn check(self) -> Result<()> {
        let Self { height, width } = self;
        let what = match self.area() {
            0 => "no pixels".to_owned(),
            area if area > Self::MOST => {
                format!("{height} × {width} pixels (height × width) are more than 8192 × 8192")
            }
            _ => return Ok(()),
        };
        Err(Error::definition(what).remedy("use a height and width of at least 32, and what the memory holds"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_uses_each_axis_own_spacing() {
        let spacing = Spacing { x: 0.5, y: 0.25 };
        let error = spacing.distance(Point { x: 0.0, y: 0.0 }, Point { x: 6.0, y: 16.0 });
        assert_eq!(error, Millimetres(5.0));
    }

    #[test]
    fn rescale_maps_edges_to_edges_and_back() {
        let (small, large) = (Size { height: 200, width: 160 }, Size { height: 800, width: 640 });
        let corner = Point { x: -0.5, y: 799.5 }.rescale(large, small);
        assert_eq!(corner, Point { x: -0.5, y: 199.5 });
        let there = Point { x: 10.25, y: 3.0 }.rescale(small, large);
        assert_eq!(there.rescale(large, small), Point { x: 10.25, y: 3.0 });
    }
}
