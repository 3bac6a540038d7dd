//! What is drawn on a canvas, in pixels of the figure.

use image::RgbImage;

use super::colour::Colour;
use super::geometry::{PixelPoint, Rect};
use super::stroke::Stroke;
use super::text::{Anchor, TextStyle};

/// The configuration or value that shapes show, for readers who point at them in a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct About {
    /// What a reader sees who points at them.
    pub(super) words: String,
    /// The configuration that they show, by its index. The page links it to its row.
    pub(super) group: Option<usize>,
    /// Whether they are a layer on an image, which a reader can hide.
    pub(super) layer: bool,
}

impl About {
    /// About a configuration, by its label and index.
    pub(crate) fn group(label: &str, group: usize) -> Self {
        Self { words: label.to_owned(), group: Some(group), layer: false }
    }

    /// About a configuration's predictions on an image.
    pub(crate) fn layer(label: &str, group: usize) -> Self {
        Self { layer: true, ..Self::group(label, group) }
    }

    /// About a value.
    pub(crate) fn value(words: String) -> Self {
        Self { words, group: None, layer: false }
    }
}

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
    /// In rendered pixels, and where its upper left corner lies; the source, where that has fewer pixels.
    Image {
        pixels: RgbImage,
        corner: PixelPoint,
        source: Option<RgbImage>,
    },
    /// Shapes that are about something.
    About(Vec<Shape>, About),
    /// A place without a shape that says something to those who point at it.
    Spot(PixelPoint, String),
}
