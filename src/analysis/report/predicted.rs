//! Predicted landmarks drawn on their image, large enough to be read, with names where there is space.

use image::RgbImage;
use plotters::style::RGBAColor;

use sweep_core::error::Result;

use crate::drawing::canvas::Canvas;
use crate::drawing::colour::{Colour, WHITE};
use crate::drawing::geometry::{PixelPoint, Rect};
use crate::drawing::marker::{Marker, MarkerShape};
use crate::drawing::stroke::Stroke;
use crate::drawing::text::{Anchor, TextStyle};

/// A landmark to draw, in pixels of the image.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedLandmark {
    /// Its name.
    pub name: String,
    /// x coordinate.
    pub x: f64,
    /// y coordinate.
    pub y: f64,
    /// Half axes of an ellipse around it, in pixels along x and y.
    pub radii: Option<[f64; 2]>,
}

/// Least and greatest length of the longer side in pixels.
const LONGER_SIDE: [f64; 2] = [1200.0, 1600.0];
const COLOUR: Colour = RGBAColor(255, 70, 60, 1.0);
const CIRCLE: Colour = RGBAColor(255, 190, 60, 1.0);
/// Corners of a drawn ellipse.
const ELLIPSE: u32 = 60;
const BACKGROUND: Colour = RGBAColor(0, 0, 0, 0.6);

/// The image with its landmarks as a PNG.
///
/// # Errors
/// When something cannot be drawn or encoded.
pub fn predicted(image: &RgbImage, landmarks: &[NamedLandmark]) -> Result<Vec<u8>> {
    let (width, height) = (f64::from(image.width()), f64::from(image.height()));
    let longer = width.max(height);
    let scale = longer.clamp(LONGER_SIDE[0], LONGER_SIDE[1]) / longer;
    let size = [width, height].map(|side| ((side * scale).round() as u32).max(1));
    let mut canvas = Canvas::new(size[0], size[1]);
    let bounds = Rect { left: 0.0, top: 0.0, right: f64::from(size[0]), bottom: f64::from(size[1]) };
    let frame = canvas.image(image, bounds);
    // Markers and letters have the same relative size on large and small images.
    let unit = longer * scale / LONGER_SIDE[0];
    let position = |landmark: &NamedLandmark| {
        let x = frame.left + (landmark.x + 0.5) / width * frame.width();
        let y = frame.top + (landmark.y + 0.5) / height * frame.height();
        (x, y)
    };
    let positions: Vec<PixelPoint> = landmarks.iter().map(position).collect();
    let text_style = TextStyle { colour: WHITE, ..TextStyle::plain(17.0 * unit) };
    let radius = 6.0 * unit;
    let mut taken: Vec<Rect> = positions.iter().map(|p| square(*p, radius + 2.0)).collect();
    for (landmark, at) in landmarks.iter().zip(&positions) {
        let label = [text_style.width(&landmark.name) + 8.0 * unit, 22.0 * unit];
        if let Some(background) = free_rect(*at, label, radius + 4.0 * unit, frame, &taken) {
            canvas.fill_rect(background, BACKGROUND);
            let middle = f64::midpoint(background.top, background.bottom);
            canvas.text(&landmark.name, (background.left + 4.0 * unit, middle), Anchor::Left, text_style);
            taken.push(background);
        }
    }
    for (landmark, (x, y)) in landmarks.iter().zip(positions) {
        let cross = Marker { shape: MarkerShape::Cross, filled: true };
        let Some([across, down]) = landmark.radii else {
            canvas.marker((x, y), radius, cross, COLOUR);
            continue;
        };
        // A small cross leaves a small circle visible.
        canvas.marker((x, y), radius / 3.0, cross, COLOUR);
        let [across, down] = [across / width * frame.width(), down / height * frame.height()];
        let corner = |step: u32| {
            let angle = std::f64::consts::TAU * f64::from(step) / f64::from(ELLIPSE);
            (x + across * angle.cos(), y + down * angle.sin())
        };
        canvas.line(&(0..=ELLIPSE).map(corner).collect::<Vec<_>>(), Stroke::solid(CIRCLE, 2.0 * unit));
    }
    canvas.png()
}

fn square((x, y): PixelPoint, radius: f64) -> Rect {
    Rect { left: x - radius, top: y - radius, right: x + radius, bottom: y + radius }
}

/// The rectangle of a label beside a point that covers nothing in `taken`: to the right, to the left, diagonal, above or
/// below.
fn free_rect((x, y): PixelPoint, [width, height]: [f64; 2], gap: f64, frame: Rect, taken: &[Rect]) -> Option<Rect> {
    let at = |left: f64, top: f64| Rect { left, top, right: left + width, bottom: top + height };
    let (right, left, middle) = (x + gap, x - gap - width, y - height / 2.0);
    let (above, below, centred) = (y - gap - height, y + gap, x - width / 2.0);
    // Far enough for a label's corner to clear the marker.
    let slant = gap * 0.85;
    [
        at(right, middle),
        at(left, middle),
        at(x + slant, y - slant - height),
        at(x + slant, y + slant),
        at(x - slant - width, y - slant - height),
        at(x - slant - width, y + slant),
        at(centred, above),
        at(centred, below),
    ]
    .into_iter()
    .find(|label| {
        let inside = label.left >= frame.left
            && label.top >= frame.top
            && label.right <= frame.right
            && label.bottom <= frame.bottom;
        inside && !taken.iter().any(|other| overlap(*label, *other))
    })
}

fn overlap(a: Rect, b: Rect) -> bool {
    a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_where_they_cover_nothing() {
        let frame = Rect { left: 0.0, top: 0.0, right: 100.0, bottom: 100.0 };
        let label = [30.0, 10.0];
        assert_eq!(free_rect((50.0, 50.0), label, 5.0, frame, &[]).map(|r| r.left), Some(55.0));
        // At the right border it moves to the left; if everything is taken there is none.
        assert_eq!(free_rect((95.0, 50.0), label, 5.0, frame, &[]).map(|r| r.right), Some(90.0));
        assert_eq!(free_rect((50.0, 50.0), label, 5.0, frame, &[frame]), None);
    }

    #[test]
    fn small_pictures_are_enlarged_and_marked() {
        let image = RgbImage::from_pixel(64, 80, image::Rgb([90; 3]));
        let landmark = |name: &str, x: f64, y: f64| NamedLandmark { name: name.into(), x, y, radii: Some([8.0, 8.0]) };
        let png = predicted(&image, &[landmark("sella", 20.0, 30.0), landmark("off", -200.0, 1e6)]).unwrap();
        let drawn = image::load_from_memory(&png).unwrap().into_rgb8();
        assert_eq!((drawn.width(), drawn.height()), (960, 1200));
        let [red, green, _] = drawn.get_pixel((20.5 * 15.0) as u32, (30.5 * 15.0) as u32).0;
        assert!(red > 200 && green < 120, "the marker is where the landmark is");
        let [red, green, _] = drawn.get_pixel((20.5 * 15.0) as u32, ((30.5 + 8.0) * 15.0) as u32).0;
        assert!(red > 200 && green > 150, "the circle is where its radius ends");
    }
}
