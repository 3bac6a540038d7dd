//! What is drawn on a canvas, in pixels of the figure.

use image::RgbImage;

use super::colour::Colour;
use super::geometry::{PixelPoint, Rect};
use super::stroke::Stroke;
use super::text::{Anchor, TextStyle};

/// A shape.
pub(super) enum Shape {
    /// Filled.
    Rect(Rect, Colour),
    Line(Vec<PixelPoint>, Stroke),
    /// The area between two lines.
    Band {
        upper: Vec<PixelPoint>,
        lower: Vec<PixelPoint>,
        colour: Colour,
    },
    /// Centre, radius and colour.
    Disc(PixelPoint, f64, Colour),
    /// Filled and convex.
    Polygon(Vec<PixelPoint>, Colour),
    Text {
        text: String,
        position: PixelPoint,
        anchor: Anchor,
        style: TextStyle,
        upwards: bool,
    },
    /// In rendered pixels, and where its upper left corner lies.
    Image(RgbImage, PixelPoint),
}
