//! A canvas to draw on: lines, markers, text and images in pixels of the figure. Uses no system font and no file.
//!
//! Everything is rendered at twice the size and averaged down, which smooths edges and lets positions fall between pixels.

use image::RgbImage;
use plotters::prelude::{BitMapBackend, Color, DrawingBackend, RGBAColor};
use plotters::style::FontTransform;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use sweep_core::error::{Error, Kind, Result};

use super::colour::{Colour, WHITE};
use super::geometry::{OVERSAMPLING, PixelPoint, Rect, distance_to_segment, short_segments};
use super::marker::{Marker, MarkerShape};
use super::palette;
use super::resize::resized;
use super::stroke::Stroke;
use super::text::{Anchor, TextStyle, register_fonts};

/// An RGB canvas. Drawing itself never fails; [`Canvas::png`] returns the first failure.
pub struct Canvas {
    pixels: Vec<u8>,
    width: u32,
    height: u32,
    failure: Option<String>,
    /// Whether an image was drawn, whose grey values a palette would spoil.
    has_image: bool,
}

impl Canvas {
    /// A white canvas of this size in pixels.
    #[must_use]
    pub fn new(width: u32, height: u32) -> Self {
        let failure = (!register_fonts()).then(|| "the built-in font is unreadable".to_owned());
        let pixels = vec![255; (width * OVERSAMPLING) as usize * (height * OVERSAMPLING) as usize * 3];
        Self { pixels, width, height, failure, has_image: false }
    }

    fn draw<E: std::fmt::Display>(&mut self, element: impl FnOnce(&mut BitMapBackend<'_>) -> Result<(), E>) {
        let size = (self.width * OVERSAMPLING, self.height * OVERSAMPLING);
        let mut backend = BitMapBackend::with_buffer(&mut self.pixels, size);
        if let Err(error) = element(&mut backend) {
            self.failure.get_or_insert(error.to_string());
        }
    }

    /// A filled rectangle.
    pub fn fill_rect(&mut self, rect: Rect, colour: Colour) {
        let (from, to) = (rendered((rect.left, rect.top)), rendered((rect.right, rect.bottom)));
        self.draw(|b| b.draw_rect(from, (to.0 - 1, to.1 - 1), &colour, true));
    }

    /// A line through `points`, with round caps and joins.
    ///
    /// The coverage of each pixel follows from its distance to the line. The wide lines of plotters are polygons with
    /// integer corners, and their width would change visibly with the direction.
    pub fn line(&mut self, points: &[PixelPoint], stroke: Stroke) {
        let k = f64::from(OVERSAMPLING);
        let radius = stroke.width * k / 2.0;
        let (width, height) = (f64::from(self.width) * k, f64::from(self.height) * k);
        for pair in stroke.pieces(points).iter().flat_map(|piece| piece.windows(2)) {
            for (a, b) in short_segments(pair[0], pair[1]) {
                let (a, b) = ((a.0 * k, a.1 * k), (b.0 * k, b.1 * k));
                let span = |a: f64, b: f64, end: f64| {
                    let low = (a.min(b) - radius - 1.0).clamp(0.0, end - 1.0) as i32;
                    low..=(a.max(b) + radius + 1.0).clamp(0.0, end - 1.0) as i32
                };
                let columns = span(a.0, b.0, width);
                let covered =
                    span(a.1, b.1, height).flat_map(|y| columns.clone().map(move |x| (x, y))).filter_map(|pixel| {
                        let centre = (f64::from(pixel.0) + 0.5, f64::from(pixel.1) + 0.5);
                        let cover = (radius + 0.5 - distance_to_segment(centre, a, b)).clamp(0.0, 1.0);
                        (cover > 0.0).then_some((pixel, cover))
                    });
                self.draw(|backend| {
                    covered.into_iter().try_for_each(|(pixel, cover)| {
                        backend.draw_pixel(pixel, stroke.colour.mix(cover).to_backend_color())
                    })
                });
            }
        }
    }

    /// The area between two lines that share their ascending x coordinates.
    pub fn band(&mut self, upper: &[PixelPoint], lower: &[PixelPoint], colour: Colour) {
        let k = f64::from(OVERSAMPLING);
        let (width, height) = ((self.width * OVERSAMPLING).cast_signed(), (self.height * OVERSAMPLING).cast_signed());
        let mut from = i32::MIN;
        for (top, bottom) in upper.windows(2).zip(lower.windows(2)) {
            let (left, right) = (top[0].0 * k, top[1].0 * k);
            let first = (left.round() as i32).max(from).max(0);
            from = right.round() as i32;
            let columns = (first..from.min(width)).flat_map(|x| {
                let share =
                    if right > left { ((f64::from(x) + 0.5 - left) / (right - left)).clamp(0.0, 1.0) } else { 0.0 };
                let at = |line: &[PixelPoint]| ((line[0].1 + share * (line[1].1 - line[0].1)) * k).round() as i32;
                (at(top).max(0)..at(bottom).min(height)).map(move |y| (x, y))
            });
            let pixels: Vec<(i32, i32)> = columns.collect();
            self.draw(|b| pixels.into_iter().try_for_each(|pixel| b.draw_pixel(pixel, colour.to_backend_color())));
        }
    }

    /// A filled circle.
    pub fn disc(&mut self, centre: PixelPoint, radius: f64, colour: Colour) {
        let radius = (radius * f64::from(OVERSAMPLING)).round() as u32;
        self.draw(|b| b.draw_circle(rendered(centre), radius, &colour, true));
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
        self.draw(|b| b.fill_polygon(corners.iter().copied().map(rendered), &colour));
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
        self.write(text, (position.0, position.1 + 0.25 * style.size), anchor, &style.rendered());
    }

    /// A line of text rotated to read upwards, its middle at `position`.
    pub(crate) fn text_upwards(&mut self, text: &str, position: PixelPoint, style: TextStyle) {
        let rendered = style.rendered().transform(FontTransform::Rotate270);
        self.write(text, (position.0 + 0.25 * style.size, position.1), Anchor::Centre, &rendered);
    }

    fn write(&mut self, text: &str, position: PixelPoint, anchor: Anchor, style: &plotters::style::TextStyle<'_>) {
        let side = match anchor {
            Anchor::Left => HPos::Left,
            Anchor::Centre => HPos::Center,
            Anchor::Right => HPos::Right,
        };
        let style = style.pos(Pos::new(side, VPos::Center));
        self.draw(|b| b.draw_text(text, &style, rendered(position)));
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
        self.has_image = true;
        let scale = (rect.width() / f64::from(image.width())).min(rect.height() / f64::from(image.height()));
        let size = |pixels: u32| ((f64::from(pixels) * scale * f64::from(OVERSAMPLING)).round() as u32).max(1);
        let (width, height) = (size(image.width()), size(image.height()));
        let resized = resized(image, width, height);
        let (w, h) = (f64::from(width) / f64::from(OVERSAMPLING), f64::from(height) / f64::from(OVERSAMPLING));
        let left = rect.left + (rect.width() - w) / 2.0;
        let top = rect.top + (rect.height() - h) / 2.0;
        self.draw(|b| b.blit_bitmap(rendered((left, top)), (width, height), resized.as_raw()));
        Rect { left, top, right: left + w, bottom: top + h }
    }

    /// The canvas as a PNG.
    ///
    /// # Errors
    /// When something could not be drawn or encoded.
    pub fn png(self) -> Result<Vec<u8>> {
        let failed = |reason: String| Error::new(Kind::Computation, format!("cannot draw a chart: {reason}"));
        if let Some(reason) = self.failure {
            return Err(failed(reason));
        }
        let pixels = averaged(&self.pixels, self.width as usize, self.height as usize);
        let (colours, bytes) = if self.has_image { (Vec::new(), pixels) } else { palette::indexed(&pixels) };
        let mut png = Vec::new();
        let mut encoder = png::Encoder::new(&mut png, self.width, self.height);
        encoder.set_depth(png::BitDepth::Eight);
        if self.has_image {
            encoder.set_color(png::ColorType::Rgb);
        } else {
            encoder.set_color(png::ColorType::Indexed);
            encoder.set_palette(colours);
            encoder.set_filter(png::Filter::NoFilter);
        }
        let written = encoder.write_header().and_then(|mut writer| {
            writer.write_image_data(&bytes)?;
            writer.finish()
        });
        written.map_err(|e| failed(e.to_string()))?;
        Ok(png)
    }
}

/// A position in rendered pixels. Positions far outside the canvas are clamped, so that they cannot overflow.
fn rendered((x, y): PixelPoint) -> (i32, i32) {
    let round = |v: f64| (v.clamp(-1e5, 1e5) * f64::from(OVERSAMPLING)).round() as i32;
    (round(x), round(y))
}

/// Mean of each block of rendered pixels: RGB rows of `width` × `height` pixels.
fn averaged(rendered: &[u8], width: usize, height: usize) -> Vec<u8> {
    const BLOCK: u16 = (OVERSAMPLING * OVERSAMPLING) as u16;
    let k = OVERSAMPLING as usize;
    let row = width * k * 3;
    let mut pixels = Vec::with_capacity(width * height * 3);
    let mut sums = vec![0; row];
    for rows in rendered.chunks_exact(row * k) {
        sums.fill(0);
        for values in rows.chunks_exact(row) {
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += u16::from(*value));
        }
        for block in sums.as_chunks::<{ OVERSAMPLING as usize * 3 }>().0 {
            for channel in 0..3 {
                let sum = (0..k).map(|i| block[3 * i + channel]).sum::<u16>();
                pixels.push(((sum + BLOCK / 2) / BLOCK) as u8);
            }
        }
    }
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greek_and_superscripts_are_in_the_font() {
        for sign in "·–−×≤±√→⁻⁰¹²³⁴⁵⁶⁷⁸⁹…αβσΔü".chars() {
            let mut canvas = Canvas::new(40, 40);
            canvas.text(&sign.to_string(), (20.0, 20.0), Anchor::Centre, TextStyle::plain(24.0));
            let mut missing = Canvas::new(40, 40);
            missing.text("\u{E000}", (20.0, 20.0), Anchor::Centre, TextStyle::plain(24.0));
            assert!(canvas.pixels.iter().any(|p| *p < 128), "{sign} is blank");
            assert_ne!(canvas.pixels, missing.pixels, "{sign} is missing");
        }
    }
}
