//! A canvas to draw on: lines, markers, text and images in pixels of the figure. Uses no system font and no file.
//!
//! It keeps the shapes that are drawn; `raster` makes a PNG of them, `vector` an SVG.

use image::RgbImage;
use plotters::style::RGBAColor;

use sweep_core::error::Result;

use super::colour::{Colour, WHITE};
use super::geometry::{OVERSAMPLING, PixelPoint, Rect};
use super::marker::{Marker, MarkerShape};
use super::resize::resized;
use super::shape::{About, Shape};
use super::stroke::Stroke;
use super::text::{Anchor, TextStyle};
use super::{raster, vector};

/// A canvas. Drawing itself never fails; [`Canvas::png`] returns the first failure.
pub struct Canvas {
    shapes: Vec<Shape>,
    width: u32,
    height: u32,
}

impl Canvas {
    /// A white canvas of this size in pixels.
    #[must_use]
    pub fn new(width: u32, height: u32) -> Self {
        Self { shapes: Vec::new(), width, height }
    }

    /// A filled rectangle.
    pub fn fill_rect(&mut self, rect: Rect, colour: Colour) {
        self.shapes.push(Shape::Rect(rect, colour));
    }

    /// A line through `points`, with round caps and joins.
    pub fn line(&mut self, points: &[PixelPoint], stroke: Stroke) {
        self.shapes.push(Shape::Line(points.to_vec(), stroke));
    }

    /// The area between two lines that share their ascending x coordinates.
    pub fn band(&mut self, upper: &[PixelPoint], lower: &[PixelPoint], colour: Colour) {
        self.shapes.push(Shape::Band { upper: upper.to_vec(), lower: lower.to_vec(), colour });
    }

    /// A filled circle.
    pub fn disc(&mut self, centre: PixelPoint, radius: f64, colour: Colour) {
        self.shapes.push(Shape::Disc(centre, radius, colour));
    }

    /// The outline of a circle.
    pub fn ring(&mut self, centre: PixelPoint, radius: f64, stroke: Stroke) {
        let points: Vec<PixelPoint> = (0..=48)
            .map(|i| (f64::from(i) / 48.0 * std::f64::consts::TAU).sin_cos())
            .map(|(sin, cos)| (centre.0 + radius * cos, centre.1 + radius * sin))
            .collect();
        self.line(&points, stroke);
    }

    /// A filled convex polygon.
    fn polygon(&mut self, corners: &[PixelPoint], colour: Colour) {
        self.shapes.push(Shape::Polygon(corners.to_vec(), colour));
    }

    /// A marker of about this radius, with a thin white edge that separates it from the background.
    pub(crate) fn marker(&mut self, centre: PixelPoint, radius: f64, marker: Marker, colour: Colour) {
        match marker.shape {
            MarkerShape::Cross | MarkerShape::Plus => {
                let r = radius * if marker.shape == MarkerShape::Cross { 0.8 } else { 1.1 };
                let arms = |dx: f64, dy: f64| [(centre.0 - dx, centre.1 - dy), (centre.0 + dx, centre.1 + dy)];
                let [a, b] = if marker.shape == MarkerShape::Cross {
                    [arms(r, r), arms(r, -r)]
                } else {
                    [arms(r, 0.0), arms(0.0, r)]
                };
                for (colour, width) in [(WHITE, radius * 0.5 + 3.0), (colour, radius * 0.5)] {
                    self.line(&a, Stroke::solid(colour, width));
                    self.line(&b, Stroke::solid(colour, width));
                }
            }
            shape => {
                self.filled_marker(centre, radius + 1.5, shape, WHITE);
                self.filled_marker(centre, radius, shape, colour);
                if !marker.filled {
                    self.filled_marker(centre, radius * 0.55, shape, WHITE);
                }
            }
        }
    }

    fn filled_marker(&mut self, (x, y): PixelPoint, r: f64, shape: MarkerShape, colour: Colour) {
        match shape {
            MarkerShape::Circle | MarkerShape::Cross | MarkerShape::Plus => self.disc((x, y), r, colour),
            MarkerShape::Square => {
                let r = r * 0.88;
                self.fill_rect(Rect { left: x - r, top: y - r, right: x + r, bottom: y + r }, colour);
            }
            MarkerShape::TriangleUp => {
                self.polygon(&[(x, y - 1.2 * r), (x + 1.1 * r, y + 0.8 * r), (x - 1.1 * r, y + 0.8 * r)], colour);
            }
            MarkerShape::TriangleDown => {
                self.polygon(&[(x, y + 1.2 * r), (x + 1.1 * r, y - 0.8 * r), (x - 1.1 * r, y - 0.8 * r)], colour);
            }
            MarkerShape::Diamond => {
                let r = 1.25 * r;
                self.polygon(&[(x, y - r), (x + r, y), (x, y + r), (x - r, y)], colour);
            }
        }
    }

    /// A line of text with its anchor at `position`.
    pub fn text(&mut self, text: &str, position: PixelPoint, anchor: Anchor, style: TextStyle) {
        self.shapes.push(Shape::Text { text: text.to_owned(), position, anchor, style, upwards: false });
    }

    /// A line of text rotated to read upwards, its middle at `position`.
    pub(crate) fn text_upwards(&mut self, text: &str, position: PixelPoint, style: TextStyle) {
        self.shapes.push(Shape::Text { text: text.to_owned(), position, anchor: Anchor::Centre, style, upwards: true });
    }

    /// A line of text on a nearly opaque white background, for labels amid data.
    pub fn label(&mut self, text: &str, position: PixelPoint, anchor: Anchor, style: TextStyle) {
        let width = style.width(text);
        let left = position.0
            - match anchor {
                Anchor::Left => 0.0,
                Anchor::Centre => width / 2.0,
                Anchor::Right => width,
            };
        let half = 0.6 * style.size;
        let background =
            Rect { left: left - 4.0, top: position.1 - half, right: left + width + 4.0, bottom: position.1 + half };
        self.fill_rect(background, RGBAColor(255, 255, 255, 0.85));
        self.text(text, position, anchor, style);
    }

    /// An image, scaled to fit into `rect` with its proportions kept and centred there; the rectangle it covers.
    pub fn image(&mut self, image: &RgbImage, rect: Rect) -> Rect {
        let scale = (rect.width() / f64::from(image.width())).min(rect.height() / f64::from(image.height()));
        let size = |pixels: u32| ((f64::from(pixels) * scale * f64::from(OVERSAMPLING)).round() as u32).max(1);
        let (width, height) = (size(image.width()), size(image.height()));
        let resized = resized(image, width, height);
        let (w, h) = (f64::from(width) / f64::from(OVERSAMPLING), f64::from(height) / f64::from(OVERSAMPLING));
        let left = rect.left + (rect.width() - w) / 2.0;
        let top = rect.top + (rect.height() - h) / 2.0;
        let is_small = u64::from(image.width()) * u64::from(image.height()) < u64::from(width) * u64::from(height);
        let source = is_small.then(|| image.clone());
        self.shapes.push(Shape::Image { pixels: resized, corner: (left, top), source });
        Rect { left, top, right: left + w, bottom: top + h }
    }

    /// Draws shapes that are about something.
    pub(crate) fn about(&mut self, about: About, draw: impl FnOnce(&mut Self)) {
        let before = self.shapes.len();
        draw(self);
        let shapes = self.shapes.split_off(before);
        self.shapes.push(Shape::About(shapes, about));
    }

    /// Says something to those who point at a place of the page.
    pub(crate) fn spot(&mut self, position: PixelPoint, words: String) {
        self.shapes.push(Shape::Spot(position, words));
    }

    /// The canvas as a PNG.
    ///
    /// # Errors
    /// When something could not be drawn or encoded.
    pub fn png(&self) -> Result<Vec<u8>> {
        raster::png(&self.shapes, self.width, self.height)
    }

    /// The canvas as an SVG with this name for those who do not see it; `None` where a PNG serves better, because it shows so
    /// many points that the file would be large.
    ///
    /// # Errors
    /// When something could not be drawn.
    pub fn svg(&self, name: &str) -> Result<Option<String>> {
        vector::svg(&self.shapes, self.width, self.height, name)
    }
}
