//! Shapes as a PNG. Everything is rendered at twice the size and averaged down, which smooths edges and lets positions fall
//! between pixels.

use plotters::prelude::{BitMapBackend, Color, DrawingBackend};
use plotters::style::text_anchor::{Pos, VPos};

use sweep_core::error::{Error, Kind, Result};

use super::colour::Colour;
use super::geometry::{OVERSAMPLING, PixelPoint, distance_to_segment, rendered, short_segments};
use super::palette;
use super::shape::Shape;
use super::stroke::Stroke;
use super::text::register_fonts;

/// The shapes as a PNG of this size in pixels.
///
/// # Errors
/// When something could not be drawn or encoded.
pub(super) fn png(shapes: &[Shape], width: u32, height: u32) -> Result<Vec<u8>> {
    let mut raster = Raster::new(width, height);
    for shape in shapes {
        raster.shape(shape);
    }
    // A palette would spoil the grey values of images.
    raster.encoded(shapes.iter().any(|shape| matches!(shape, Shape::Image { .. })))
}

/// RGB pixels that are drawn to.
struct Raster {
    pixels: Vec<u8>,
    width: u32,
    height: u32,
    failure: Option<String>,
}

impl Raster {
    /// White pixels.
    fn new(width: u32, height: u32) -> Self {
        let failure = (!register_fonts()).then(|| "the built-in font is unreadable".to_owned());
        let pixels = vec![255; (width * OVERSAMPLING) as usize * (height * OVERSAMPLING) as usize * 3];
        Self { pixels, width, height, failure }
    }

    fn draw<E: std::fmt::Display>(&mut self, element: impl FnOnce(&mut BitMapBackend<'_>) -> Result<(), E>) {
        let size = (self.width * OVERSAMPLING, self.height * OVERSAMPLING);
        let mut backend = BitMapBackend::with_buffer(&mut self.pixels, size);
        if let Err(error) = element(&mut backend) {
            self.failure.get_or_insert(error.to_string());
        }
    }

    fn shape(&mut self, shape: &Shape) {
        match shape {
            Shape::Rect(rect, colour) => {
                let (from, to) = (rendered((rect.left, rect.top)), rendered((rect.right, rect.bottom)));
                self.draw(|b| b.draw_rect(from, (to.0 - 1, to.1 - 1), colour, true));
            }
            Shape::Line(points, stroke) => self.line(points, *stroke),
            Shape::Band { upper, lower, colour } => self.band(upper, lower, *colour),
            Shape::Disc(centre, radius, colour) => {
                let radius = (radius * f64::from(OVERSAMPLING)).round() as u32;
                self.draw(|b| b.draw_circle(rendered(*centre), radius, colour, true));
            }
            Shape::Polygon(corners, colour) => {
                self.draw(|b| b.fill_polygon(corners.iter().copied().map(rendered), colour));
            }
            Shape::Text { text, position: (x, y), anchor, style, upwards } => {
                let down = 0.25 * style.size;
                let at = if *upwards { (x + down, *y) } else { (*x, y + down) };
                let style = style.rendered(*upwards).pos(Pos::new(anchor.side(), VPos::Center));
                self.draw(|b| b.draw_text(text, &style, rendered(at)));
            }
            Shape::About(shapes, _) => shapes.iter().for_each(|shape| self.shape(shape)),
            Shape::Spot(..) => {}
            Shape::Image { pixels, corner, .. } => {
                self.draw(|b| b.blit_bitmap(rendered(*corner), pixels.dimensions(), pixels.as_raw()));
            }
        }
    }

    /// The coverage of each pixel follows from its distance to the line. The wide lines of plotters are polygons with integer
    /// corners, and their width would change visibly with the direction.
    fn line(&mut self, points: &[PixelPoint], stroke: Stroke) {
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

    fn band(&mut self, upper: &[PixelPoint], lower: &[PixelPoint], colour: Colour) {
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

    fn encoded(self, has_image: bool) -> Result<Vec<u8>> {
        let failed = |reason: String| Error::new(Kind::Computation, format!("cannot draw a chart: {reason}"));
        if let Some(reason) = self.failure {
            return Err(failed(reason));
        }
        let pixels = averaged(&self.pixels, self.width as usize, self.height as usize);
        let (colours, bytes) = if has_image { (Vec::new(), pixels) } else { palette::indexed(&pixels) };
        let mut png = Vec::new();
        let mut encoder = png::Encoder::new(&mut png, self.width, self.height);
        encoder.set_depth(png::BitDepth::Eight);
        if has_image {
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
    use super::super::text::{Anchor, TextStyle};
    use super::*;

    #[test]
    fn greek_and_superscripts_are_in_the_font() {
        let drawn = |text: String| {
            let style = TextStyle::plain(24.0);
            let mut raster = Raster::new(40, 40);
            raster.shape(&Shape::Text { text, position: (20.0, 20.0), anchor: Anchor::Centre, style, upwards: false });
            raster.pixels
        };
        let missing = drawn("\u{E000}".to_owned());
        for sign in "·–−×≤±√→⁻⁰¹²³⁴⁵⁶⁷⁸⁹…αβσΔü".chars() {
            let pixels = drawn(sign.to_string());
            assert!(pixels.iter().any(|p| *p < 128), "{sign} is blank");
            assert_ne!(pixels, missing, "{sign} is missing");
        }
    }
}
