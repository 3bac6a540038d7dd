//! A sheet to draw on: lines, markers and text in the picture's own pixels, no system font and no file.
//!
//! Everything is drawn at twice the size and averaged down, which smooths edges and lets positions fall between pixels.

use plotters::prelude::{BitMapBackend, Color, DrawingBackend, RGBAColor, TextStyle};
use plotters::style::FontTransform;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::palette;
use super::text::{Anchor, Type, fonts_are_there};
use sweep_core::error::{Error, Kind, Result};

/// Drawn pixels per pixel of the picture.
pub const OVERSAMPLING: u32 = 2;
/// A colour with its opacity.
pub type Colour = RGBAColor;
/// A position: pixels right and down from the picture's corner.
pub type Place = (f64, f64);

pub const BLACK: Colour = RGBAColor(20, 20, 20, 1.0);
pub const WHITE: Colour = RGBAColor(255, 255, 255, 1.0);
pub const GREY: Colour = RGBAColor(105, 105, 105, 1.0);
pub const LIGHT: Colour = RGBAColor(222, 222, 222, 1.0);

/// The same hue on its way to white: `share` of the colour is left. Unlike opacity it does not add up where lines cross.
pub fn pale(colour: Colour, share: f64) -> Colour {
    let mix = |c: u8| (255.0 - share * (255.0 - f64::from(c))).round() as u8;
    RGBAColor(mix(colour.0), mix(colour.1), mix(colour.2), 1.0)
}

/// A rectangle of the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rect {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

impl Rect {
    pub fn width(self) -> f64 {
        self.right - self.left
    }

    pub fn height(self) -> f64 {
        self.bottom - self.top
    }

    /// Cell `index` of a grid, counted along the rows.
    pub fn cell(self, index: usize, columns: usize, rows: usize, gap: f64) -> Self {
        let width = (self.width() - gap * (columns - 1) as f64) / columns as f64;
        let height = (self.height() - gap * (rows - 1) as f64) / rows as f64;
        let left = self.left + (index % columns) as f64 * (width + gap);
        let top = self.top + (index / columns) as f64 * (height + gap);
        Self { left, top, right: left + width, bottom: top + height }
    }
}

/// How a line is interrupted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Dash {
    Solid,
    Dashed,
    Dotted,
}

/// Colour, width (pixels) and dash of a line.
#[derive(Debug, Clone, Copy)]
pub struct Stroke {
    pub colour: Colour,
    pub width: f64,
    pub dash: Dash,
}

impl Stroke {
    pub fn solid(colour: Colour, width: f64) -> Self {
        Self { colour, width, dash: Dash::Solid }
    }

    pub fn dashed(colour: Colour, width: f64) -> Self {
        Self { colour, width, dash: Dash::Dashed }
    }

    pub fn dotted(colour: Colour, width: f64) -> Self {
        Self { colour, width, dash: Dash::Dotted }
    }
}

/// DatasetSummary of a marker.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    Circle,
    Square,
    Up,
    Diamond,
    Down,
    Cross,
    Plus,
}

/// A sign that stands for a point of the data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Marker {
    pub shape: Shape,
    pub filled: bool,
}

/// The sheet. Drawing never fails by itself; the first failure is told by [`Canvas::png`].
pub struct Canvas {
    pixels: Vec<u8>,
    width: u32,
    height: u32,
    failure: Option<String>,
    /// Holds an image, whose greys a palette would spoil.
    photo: bool,
}

impl Canvas {
    /// A white sheet of this size in pixels.
    pub fn new(width: u32, height: u32) -> Self {
        let failure = (!fonts_are_there()).then(|| "the built-in font is unreadable".to_owned());
        let pixels = vec![255; (width * OVERSAMPLING) as usize * (height * OVERSAMPLING) as usize * 3];
        Self { pixels, width, height, failure, photo: false }
    }

    fn draw<E: std::fmt::Display>(&mut self, element: impl FnOnce(&mut BitMapBackend<'_>) -> Result<(), E>) {
        let size = (self.width * OVERSAMPLING, self.height * OVERSAMPLING);
        let mut backend = BitMapBackend::with_buffer(&mut self.pixels, size);
        if let Err(error) = element(&mut backend) {
            self.failure.get_or_insert(error.to_string());
        }
    }

    /// A filled rectangle.
    pub fn fill(&mut self, rect: Rect, colour: Colour) {
        let (from, to) = (drawn((rect.left, rect.top)), drawn((rect.right, rect.bottom)));
        self.draw(|b| b.draw_rect(from, (to.0 - 1, to.1 - 1), &colour, true));
    }

    /// A line through the places, with round ends and joints.
    ///
    /// Each pixel is covered as its distance from the line says: plotters' own wide lines are polygons with whole-number
    /// corners, whose width changes visibly with the direction.
    pub fn line(&mut self, places: &[Place], stroke: Stroke) {
        let k = f64::from(OVERSAMPLING);
        let radius = stroke.width * k / 2.0;
        let (width, height) = (f64::from(self.width) * k, f64::from(self.height) * k);
        for pair in dashes(places, stroke).iter().flat_map(|piece| piece.windows(2)) {
            for (a, b) in short_pieces(pair[0], pair[1]) {
                let (a, b) = ((a.0 * k, a.1 * k), (b.0 * k, b.1 * k));
                let span = |a: f64, b: f64, end: f64| {
                    let low = (a.min(b) - radius - 1.0).clamp(0.0, end - 1.0) as i32;
                    low..=(a.max(b) + radius + 1.0).clamp(0.0, end - 1.0) as i32
                };
                let columns = span(a.0, b.0, width);
                let covered =
                    span(a.1, b.1, height).flat_map(|y| columns.clone().map(move |x| (x, y))).filter_map(|pixel| {
                        let centre = (f64::from(pixel.0) + 0.5, f64::from(pixel.1) + 0.5);
                        let cover = (radius + 0.5 - distance(centre, a, b)).clamp(0.0, 1.0);
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

    /// The area between two lines that share their positions across, which ascend.
    pub fn band(&mut self, upper: &[Place], lower: &[Place], colour: Colour) {
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
                let at = |line: &[Place]| ((line[0].1 + share * (line[1].1 - line[0].1)) * k).round() as i32;
                (at(top).max(0)..at(bottom).min(height)).map(move |y| (x, y))
            });
            let pixels: Vec<(i32, i32)> = columns.collect();
            self.draw(|b| pixels.into_iter().try_for_each(|pixel| b.draw_pixel(pixel, colour.to_backend_color())));
        }
    }

    /// A filled circle.
    pub fn disc(&mut self, centre: Place, radius: f64, colour: Colour) {
        let radius = (radius * f64::from(OVERSAMPLING)).round() as u32;
        self.draw(|b| b.draw_circle(drawn(centre), radius, &colour, true));
    }

    /// A circle's line.
    pub fn ring(&mut self, centre: Place, radius: f64, stroke: Stroke) {
        let places: Vec<Place> = (0..=48)
            .map(|i| (f64::from(i) / 48.0 * std::f64::consts::TAU).sin_cos())
            .map(|(sin, cos)| (centre.0 + radius * cos, centre.1 + radius * sin))
            .collect();
        self.line(&places, stroke);
    }

    /// A filled convex polygon.
    fn polygon(&mut self, corners: &[Place], colour: Colour) {
        self.draw(|b| b.fill_polygon(corners.iter().copied().map(drawn), &colour));
    }

    /// A marker of about this radius, with a thin white edge that parts it from what lies below.
    pub fn marker(&mut self, centre: Place, radius: f64, marker: Marker, colour: Colour) {
        match marker.shape {
            Shape::Cross | Shape::Plus => {
                let r = radius * if marker.shape == Shape::Cross { 0.8 } else { 1.1 };
                let arms = |dx: f64, dy: f64| [(centre.0 - dx, centre.1 - dy), (centre.0 + dx, centre.1 + dy)];
                let [a, b] =
                    if marker.shape == Shape::Cross { [arms(r, r), arms(r, -r)] } else { [arms(r, 0.0), arms(0.0, r)] };
                for (colour, width) in [(WHITE, radius * 0.5 + 3.0), (colour, radius * 0.5)] {
                    self.line(&a, Stroke::solid(colour, width));
                    self.line(&b, Stroke::solid(colour, width));
                }
            }
            shape => {
                self.solid(centre, radius + 1.5, shape, WHITE);
                self.solid(centre, radius, shape, colour);
                if !marker.filled {
                    self.solid(centre, radius * 0.55, shape, WHITE);
                }
            }
        }
    }

    fn solid(&mut self, (x, y): Place, r: f64, shape: Shape, colour: Colour) {
        match shape {
            Shape::Circle | Shape::Cross | Shape::Plus => self.disc((x, y), r, colour),
            Shape::Square => {
                let r = r * 0.88;
                self.fill(Rect { left: x - r, top: y - r, right: x + r, bottom: y + r }, colour);
            }
            Shape::Up => {
                self.polygon(&[(x, y - 1.2 * r), (x + 1.1 * r, y + 0.8 * r), (x - 1.1 * r, y + 0.8 * r)], colour);
            }
            Shape::Down => {
                self.polygon(&[(x, y + 1.2 * r), (x + 1.1 * r, y - 0.8 * r), (x - 1.1 * r, y - 0.8 * r)], colour);
            }
            Shape::Diamond => {
                let r = 1.25 * r;
                self.polygon(&[(x, y - r), (x + r, y), (x, y + r), (x - r, y)], colour);
            }
        }
    }

    /// A line of text.
    pub fn text(&mut self, text: &str, place: Place, anchor: Anchor, face: Type) {
        self.write(text, (place.0, place.1 + 0.25 * face.size), anchor, &face.style());
    }

    /// A line of text that reads upwards, its middle at the place.
    pub fn text_upwards(&mut self, text: &str, place: Place, face: Type) {
        let style = face.style().transform(FontTransform::Rotate270);
        self.write(text, (place.0 + 0.25 * face.size, place.1), Anchor::Centre, &style);
    }

    fn write(&mut self, text: &str, place: Place, anchor: Anchor, style: &TextStyle<'_>) {
        let side = match anchor {
            Anchor::Left => HPos::Left,
            Anchor::Centre => HPos::Center,
            Anchor::Right => HPos::Right,
        };
        let style = style.pos(Pos::new(side, VPos::Center));
        self.draw(|b| b.draw_text(text, &style, drawn(place)));
    }

    /// A line of text on a white ground, for labels amid data.
    pub fn label(&mut self, text: &str, place: Place, anchor: Anchor, face: Type) {
        let width = face.width(text);
        let left = place.0
            - match anchor {
                Anchor::Left => 0.0,
                Anchor::Centre => width / 2.0,
                Anchor::Right => width,
            };
        let half = 0.6 * face.size;
        let ground = Rect { left: left - 4.0, top: place.1 - half, right: left + width + 4.0, bottom: place.1 + half };
        self.fill(ground, RGBAColor(255, 255, 255, 0.85));
        self.text(text, place, anchor, face);
    }

    /// A picture, fitted into the rectangle without changing its proportions; where it came to lie.
    pub fn picture(&mut self, picture: &image::RgbImage, rect: Rect) -> Rect {
        self.photo = true;
        let scale = (rect.width() / f64::from(picture.width())).min(rect.height() / f64::from(picture.height()));
        let size = |pixels: u32| ((f64::from(pixels) * scale * f64::from(OVERSAMPLING)).round() as u32).max(1);
        let (width, height) = (size(picture.width()), size(picture.height()));
        let resized = image::imageops::resize(picture, width, height, image::imageops::FilterType::Triangle);
        let (w, h) = (f64::from(width) / f64::from(OVERSAMPLING), f64::from(height) / f64::from(OVERSAMPLING));
        let left = rect.left + (rect.width() - w) / 2.0;
        let top = rect.top + (rect.height() - h) / 2.0;
        self.draw(|b| b.blit_bitmap(drawn((left, top)), (width, height), resized.as_raw()));
        Rect { left, top, right: left + w, bottom: top + h }
    }

    /// The sheet as a PNG.
    ///
    /// # Errors
    /// When something could not be drawn.
    pub fn png(self) -> Result<Vec<u8>> {
        let failed = |why: String| Error::new(Kind::Computation, format!("cannot draw a chart: {why}"));
        if let Some(why) = self.failure {
            return Err(failed(why));
        }
        let pixels = averaged(&self.pixels, self.width as usize, self.height as usize);
        let (colours, bytes) = if self.photo { (Vec::new(), pixels) } else { palette::indexed(&pixels) };
        let mut png = Vec::new();
        let mut encoder = png::Encoder::new(&mut png, self.width, self.height);
        encoder.set_depth(png::BitDepth::Eight);
        if self.photo {
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

/// A place in drawn pixels. Far outside is as good as just outside, and cannot overflow.
fn drawn((x, y): Place) -> (i32, i32) {
    let round = |v: f64| (v.clamp(-1e5, 1e5) * f64::from(OVERSAMPLING)).round() as i32;
    (round(x), round(y))
}

/// Mean of each block of drawn pixels: RGB rows of the picture.
fn averaged(drawn: &[u8], width: usize, height: usize) -> Vec<u8> {
    let k = OVERSAMPLING as usize;
    let mut picture = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            for c in 0..3 {
                let block = (0..k * k).map(|i| u32::from(drawn[((y * k + i / k) * width * k + x * k + i % k) * 3 + c]));
                let sum: u32 = block.sum();
                picture.push(((sum + OVERSAMPLING * OVERSAMPLING / 2) / (OVERSAMPLING * OVERSAMPLING)) as u8);
            }
        }
    }
    picture
}

/// Distance of a point from the segment between two others.
fn distance(point: Place, a: Place, b: Place) -> f64 {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let length = dx * dx + dy * dy;
    let along =
        if length > 0.0 { (((point.0 - a.0) * dx + (point.1 - a.1) * dy) / length).clamp(0.0, 1.0) } else { 0.0 };
    (point.0 - a.0 - along * dx).hypot(point.1 - a.1 - along * dy)
}

/// A segment in pieces whose bounding boxes are small.
fn short_pieces(a: Place, b: Place) -> impl Iterator<Item = (Place, Place)> {
    let count = ((b.0 - a.0).abs().min((b.1 - a.1).abs()) / 16.0).ceil().clamp(1.0, 1000.0) as u32;
    let at = move |i: u32| {
        let share = f64::from(i) / f64::from(count);
        (a.0 + share * (b.0 - a.0), a.1 + share * (b.1 - a.1))
    };
    (0..count).map(move |i| (at(i), at(i + 1)))
}

/// The pieces of a line that are drawn.
fn dashes(places: &[Place], stroke: Stroke) -> Vec<Vec<Place>> {
    let (on, off) = match stroke.dash {
        Dash::Solid => return vec![places.to_vec()],
        // Round ends lengthen what is inked by the line's width.
        Dash::Dashed => (5.0 + 2.0 * stroke.width, 4.0 + 2.0 * stroke.width),
        Dash::Dotted => (0.1, 2.0 + 2.0 * stroke.width),
    };
    let mut pieces = Vec::new();
    let (mut inked, mut left) = (true, on);
    let mut piece: Vec<Place> = places.first().copied().into_iter().collect();
    for pair in places.windows(2) {
        let [mut a, b] = [pair[0], pair[1]];
        loop {
            let distance = (b.0 - a.0).hypot(b.1 - a.1);
            if distance <= left {
                left -= distance;
                if inked {
                    piece.push(b);
                }
                break;
            }
            a = (a.0 + (b.0 - a.0) * left / distance, a.1 + (b.1 - a.1) * left / distance);
            if inked {
                piece.push(a);
                pieces.push(std::mem::take(&mut piece));
            } else {
                piece = vec![a];
            }
            inked = !inked;
            left = if inked { on } else { off };
        }
    }
    pieces.push(piece);
    pieces.retain(|p| p.len() > 1);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_cover_their_share_of_the_line() {
        let stroke = Stroke::dashed(BLACK, 2.0);
        let pieces = dashes(&[(0.0, 0.0), (40.0, 0.0), (40.0, 62.0)], stroke);
        let length: f64 =
            pieces.iter().flat_map(|p| p.windows(2)).map(|s| (s[1].0 - s[0].0).abs() + (s[1].1 - s[0].1).abs()).sum();
        assert_eq!(pieces.len(), 6);
        assert!((length - 54.0).abs() < 1e-9, "{length}");
    }

    #[test]
    fn greek_and_superscripts_are_in_the_font() {
        for sign in "·–−×≤±√→⁻⁰¹²³⁴⁵⁶⁷⁸⁹…αβσΔü".chars() {
            let mut canvas = Canvas::new(40, 40);
            canvas.text(&sign.to_string(), (20.0, 20.0), Anchor::Centre, Type::plain(24.0));
            let mut missing = Canvas::new(40, 40);
            missing.text("\u{E000}", (20.0, 20.0), Anchor::Centre, Type::plain(24.0));
            assert!(canvas.pixels.iter().any(|p| *p < 128), "{sign} is blank");
            assert_ne!(canvas.pixels, missing.pixels, "{sign} is missing");
        }
    }
}
