//! What charts share: the figure with its title, panels with axes, group styles and legends.

use super::canvas::{BLACK, Canvas, Colour, Dash, GREY, LIGHT, Marker, Place, Rect, Shape, Stroke, WHITE, pale};
use super::scale::Scale;
use super::text::{Anchor, Type};
use plotters::style::RGBAColor;

/// Width of every figure in pixels: legible at half of it.
pub const WIDTH: u32 = 1600;
/// Opacity of bands: two that overlap are still told apart.
const BAND: f64 = 0.16;
/// Free border of a figure in pixels.
const BORDER: f64 = 24.0;
/// Size of tick labels and legends in pixels.
pub const SMALL: f64 = 21.0;
/// Size of axis names in pixels.
const NAME: f64 = 22.0;

/// Colours that colour-blind readers can tell apart, after Okabe and Ito; their yellow is too pale on white.
const COLOURS: [Colour; 7] = [
    RGBAColor(0, 114, 178, 1.0),
    RGBAColor(213, 94, 0, 1.0),
    RGBAColor(0, 158, 115, 1.0),
    RGBAColor(190, 95, 150, 1.0),
    RGBAColor(230, 159, 0, 1.0),
    RGBAColor(86, 180, 233, 1.0),
    RGBAColor(60, 60, 60, 1.0),
];

const SHAPES: [Shape; 5] = [Shape::Circle, Shape::Square, Shape::Up, Shape::Diamond, Shape::Down];

/// How a group is drawn: the colour, and a marker for readers without colours. Repeats after 84 groups.
pub fn style(group: usize) -> (Colour, Marker) {
    let marker = match group % 12 {
        5 => Marker { shape: Shape::Cross, filled: true },
        6 => Marker { shape: Shape::Plus, filled: true },
        i if i < 5 => Marker { shape: SHAPES[i], filled: true },
        i => Marker { shape: SHAPES[i - 7], filled: false },
    };
    (COLOURS[group % COLOURS.len()], marker)
}

/// An entry of a legend.
#[derive(Debug, Clone)]
pub struct Key {
    pub label: String,
    pub stroke: Option<Stroke>,
    pub marker: Option<(Marker, Colour)>,
    pub ring: Option<Colour>,
    pub dot: Option<Colour>,
}

impl Key {
    pub fn line(label: impl Into<String>, stroke: Stroke) -> Self {
        Self { label: label.into(), stroke: Some(stroke), marker: None, ring: None, dot: None }
    }

    pub fn marker(label: impl Into<String>, marker: Marker, colour: Colour) -> Self {
        Self { label: label.into(), stroke: None, marker: Some((marker, colour)), ring: None, dot: None }
    }

    pub fn ring(label: impl Into<String>, colour: Colour) -> Self {
        Self { label: label.into(), stroke: None, marker: None, ring: Some(colour), dot: None }
    }

    pub fn dot(label: impl Into<String>, colour: Colour) -> Self {
        Self { label: label.into(), stroke: None, marker: None, ring: None, dot: Some(colour) }
    }

    /// Line and marker of a group.
    pub fn group(label: &str, group: usize) -> Self {
        let (colour, marker) = style(group);
        Self { marker: Some((marker, colour)), ..Self::line(label, Stroke::solid(colour, 3.5)) }
    }
}

const KEY_WIDTH: f64 = 52.0;
const ROW: f64 = 34.0;

/// Place of each key of a legend, from its upper left corner: one row where all fit, else columns of equal width.
fn legend(keys: &[Key], width: f64) -> Vec<Place> {
    let face = Type::plain(SMALL);
    let widths: Vec<f64> = keys.iter().map(|key| KEY_WIDTH + 10.0 + face.width(&key.label) + 30.0).collect();
    if widths.iter().sum::<f64>() <= width + 30.0 {
        let starts = widths.iter().scan(0.0, |x, w| Some(std::mem::replace(x, *x + w)));
        return starts.map(|x| (x, 0.0)).collect();
    }
    let widest = widths.iter().copied().fold(0.0, f64::max);
    let columns = (((width + 30.0) / widest) as usize).max(1);
    (0..keys.len()).map(|i| ((i % columns) as f64 * width / columns as f64, (i / columns) as f64 * ROW)).collect()
}

/// A sheet with a title above and a legend below; between them lies the content.
pub struct Figure {
    pub canvas: Canvas,
    /// Where the panels go.
    pub content: Rect,
}

impl Figure {
    /// A figure whose content is `height` pixels high.
    pub fn new(title: &str, subtitle: &str, keys: &[Key], height: f64) -> Self {
        let width = f64::from(WIDTH) - 2.0 * BORDER;
        let (head, sub, text) = (Type::bold(28.0), Type::grey(SMALL), Type::plain(SMALL));
        let (titles, subtitles) = (head.wrap(title, width), sub.wrap(subtitle, width));
        let places = legend(keys, width);
        let top = BORDER + 38.0 * titles.len() as f64 + 30.0 * subtitles.len() as f64 + 10.0;
        let below = places.last().map_or(0.0, |(_, y)| 14.0 + y + ROW);
        let mut canvas = Canvas::new(WIDTH, (top + height + below + BORDER).ceil() as u32);
        let mut y = BORDER + 14.0;
        for line in titles {
            canvas.text(&line, (BORDER, y), Anchor::Left, head);
            y += 38.0;
        }
        for line in subtitles {
            canvas.text(&line, (BORDER, y - 2.0), Anchor::Left, sub);
            y += 30.0;
        }
        for (key, (x, y)) in keys.iter().zip(places) {
            let (x, y) = (BORDER + x, top + height + 14.0 + ROW / 2.0 + y);
            draw_key(&mut canvas, key, (x, y));
            let (label, text) = text.fit(&key.label, BORDER + width - x - KEY_WIDTH - 10.0);
            canvas.text(&label, (x + KEY_WIDTH + 10.0, y), Anchor::Left, text);
        }
        let content = Rect { left: BORDER, top, right: BORDER + width, bottom: top + height };
        Self { canvas, content }
    }

    /// The figure as a PNG.
    pub fn png(self) -> sweep_core::error::Result<Vec<u8>> {
        self.canvas.png()
    }
}

fn draw_key(canvas: &mut Canvas, key: &Key, (x, y): Place) {
    let middle = (x + KEY_WIDTH / 2.0, y);
    if let Some(stroke) = key.stroke {
        canvas.line(&[(x, y), (x + KEY_WIDTH, y)], stroke);
    }
    if let Some((marker, colour)) = key.marker {
        canvas.marker(middle, 8.0, marker, colour);
    }
    if let Some(colour) = key.dot {
        canvas.disc(middle, 4.0, colour);
    }
    if let Some(colour) = key.ring {
        canvas.ring(middle, 11.0, Stroke::solid(colour, 3.0));
    }
}

/// The sign for the epoch of least loss, in every chart.
pub fn best_loss_ring(canvas: &mut Canvas, place: Place) {
    canvas.ring(place, 13.0, Stroke::solid(BLACK, 2.0));
}

/// Names of a panel and of its axes.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    pub title: &'a str,
    pub x: &'a str,
    pub y: &'a str,
}

/// Axes and the area they span.
#[derive(Debug, Clone, Copy)]
pub struct Panel {
    /// Where data is drawn.
    pub area: Rect,
    x: Scale,
    y: Scale,
}

impl Panel {
    /// Draws title, grid, ticks and names; the data's area is what remains of `outer`.
    pub fn new(canvas: &mut Canvas, outer: Rect, names: Names<'_>, x: Scale, y: Scale) -> Self {
        Self::with_ticks(canvas, outer, names, x, y, &y.ticks((outer.height() / 70.0) as usize))
    }

    /// The same without ticks upwards, for rows that the caller labels.
    pub fn without_y_ticks(canvas: &mut Canvas, outer: Rect, names: Names<'_>, x: Scale, y: Scale) -> Self {
        Self::with_ticks(canvas, outer, names, x, y, &[])
    }

    fn with_ticks(
        canvas: &mut Canvas,
        outer: Rect,
        names: Names<'_>,
        x: Scale,
        y: Scale,
        y_ticks: &[(f64, String)],
    ) -> Self {
        let tick = Type::plain(SMALL);
        let widest = y_ticks.iter().map(|(_, label)| tick.width(label)).fold(20.0, f64::max);
        let title_height = if names.title.is_empty() { 14.0 } else { 44.0 };
        let area = Rect {
            left: outer.left + widest + if names.y.is_empty() { 16.0 } else { 52.0 },
            top: outer.top + title_height,
            right: outer.right - 14.0,
            bottom: outer.bottom - 76.0,
        };
        let panel = Self { area, x, y };
        let x_ticks = x.ticks((area.width() / 105.0).max(2.0) as usize);

        for v in x.minor() {
            panel.vertical(canvas, v, Stroke::solid(pale(LIGHT, 0.45), 1.0));
        }
        for v in y.minor() {
            panel.horizontal(canvas, v, Stroke::solid(pale(LIGHT, 0.45), 1.0));
        }
        for (v, label) in &x_ticks {
            panel.vertical(canvas, *v, Stroke::solid(LIGHT, 1.5));
            canvas.text(label, (panel.across(*v).unwrap_or(area.left), area.bottom + 20.0), Anchor::Centre, tick);
        }
        for (v, label) in y_ticks {
            panel.horizontal(canvas, *v, Stroke::solid(LIGHT, 1.5));
            canvas.text(label, (area.left - 10.0, panel.up(*v).unwrap_or(area.bottom)), Anchor::Right, tick);
        }
        canvas.line(
            &[(area.left, area.top), (area.left, area.bottom), (area.right, area.bottom)],
            Stroke::solid(GREY, 2.0),
        );
        let (title, face) = Type::bold(23.0).fit(names.title, outer.width() - 10.0);
        canvas.text(&title, (outer.left + 8.0, outer.top + 18.0), Anchor::Left, face);
        let middle = f64::midpoint(area.left, area.right);
        let (name, face) = Type::plain(NAME).fit(names.x, area.width() + 60.0);
        canvas.text(&name, (middle, area.bottom + 54.0), Anchor::Centre, face);
        let (name, face) = Type::plain(NAME).fit(names.y, area.height() + 40.0);
        canvas.text_upwards(&name, (outer.left + 16.0, f64::midpoint(area.top, area.bottom)), face);
        panel
    }

    fn across(&self, x: f64) -> Option<f64> {
        Some(self.area.left + self.x.place(x)? * self.area.width())
    }

    fn up(&self, y: f64) -> Option<f64> {
        Some(self.area.bottom - self.y.place(y)? * self.area.height())
    }

    /// Where a point of the data lies; nowhere if one of its numbers is none.
    pub fn at(&self, (x, y): (f64, f64)) -> Option<Place> {
        Some((self.across(x)?, self.up(y)?))
    }

    /// A line through the points that have a place; a single point is a dot, hollow where the line is interrupted.
    pub fn line(&self, canvas: &mut Canvas, points: &[(f64, f64)], stroke: Stroke) {
        let places: Vec<Place> = points.iter().filter_map(|p| self.at(*p)).collect();
        if places.len() > 1 {
            canvas.line(&places, stroke);
        } else if let Some(place) = places.first() {
            let radius = stroke.width.max(2.5) + 2.0;
            canvas.disc(*place, radius, stroke.colour);
            if stroke.dash != Dash::Solid {
                canvas.disc(*place, 0.55 * radius, WHITE);
            }
        }
    }

    /// The area between a lower and an upper number at each position across, which ascend.
    pub fn band(&self, canvas: &mut Canvas, points: &[(f64, f64, f64)], colour: Colour) {
        let line = |pick: fn(&(f64, f64, f64)) -> f64| -> Vec<Place> {
            points.iter().filter_map(|p| self.at((p.0, pick(p)))).collect()
        };
        let (lower, upper) = (line(|p| p.1), line(|p| p.2));
        if lower.len() == upper.len() {
            canvas.band(&upper, &lower, RGBAColor(colour.0, colour.1, colour.2, BAND));
        }
    }

    /// A bar from one number to another along the vertical axis, as an interval of a point.
    pub fn whisker(&self, canvas: &mut Canvas, x: f64, [low, high]: [f64; 2], stroke: Stroke) {
        self.line(canvas, &[(x, low), (x, high)], stroke);
    }

    /// A marker at a point.
    pub fn marker(&self, canvas: &mut Canvas, point: (f64, f64), radius: f64, marker: Marker, colour: Colour) {
        if let Some(place) = self.at(point) {
            canvas.marker(place, radius, marker, colour);
        }
    }

    /// A line across at height `y`.
    pub fn horizontal(&self, canvas: &mut Canvas, y: f64, stroke: Stroke) {
        if let Some(up) = self.up(y) {
            canvas.line(&[(self.area.left, up), (self.area.right, up)], stroke);
        }
    }

    /// A line upwards at `x`.
    pub fn vertical(&self, canvas: &mut Canvas, x: f64, stroke: Stroke) {
        if let Some(across) = self.across(x) {
            canvas.line(&[(across, self.area.top), (across, self.area.bottom)], stroke);
        }
    }

    /// A labelled reference line at height `y`; to be drawn before the data, which it must not cover.
    pub fn reference(&self, canvas: &mut Canvas, y: f64, label: &str, stroke: Stroke) {
        self.horizontal(canvas, y, stroke);
        if let Some(up) = self.up(y) {
            let above = if up - 18.0 < self.area.top { up + 18.0 } else { up - 16.0 };
            let (label, face) = Type::grey(SMALL).fit(label, self.area.width() - 20.0);
            canvas.label(&label, (self.area.right - 6.0, above), Anchor::Right, face);
        }
    }

    /// Says in the middle why there is nothing to see.
    pub fn empty(&self, canvas: &mut Canvas, why: &str) {
        let middle = (f64::midpoint(self.area.left, self.area.right), f64::midpoint(self.area.top, self.area.bottom));
        let (why, face) = Type::grey(NAME).fit(why, self.area.width() - 10.0);
        canvas.label(&why, middle, Anchor::Centre, face);
    }
}

/// Points at which a line carries its group's marker: about eight, shifted from group to group so that they do not meet.
pub fn marked(points: &[(f64, f64)], group: usize) -> impl Iterator<Item = (f64, f64)> {
    let step = points.len().div_ceil(8).max(1);
    points.iter().copied().skip((group * 3) % step).step_by(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_differ_in_marker_even_without_colours() {
        let markers: Vec<Marker> = (0..12).map(|i| style(i).1).collect();
        for (i, marker) in markers.iter().enumerate() {
            assert!(!markers[..i].contains(marker), "{marker:?}");
        }
    }

    #[test]
    fn legends_stay_within_the_sheet() {
        let keys = |label: &str, count| vec![Key::group(label, 0); count];
        assert!(legend(&keys("l1", 3), 1552.0).iter().all(|(_, y)| *y < 1.0));
        let many = legend(&keys("smooth-l1 · 1 · unet", 12), 1552.0);
        assert!(many.iter().all(|(x, _)| *x < 1400.0) && many[11].1 > many[0].1);
        assert_eq!(legend(&keys(&"long ".repeat(80), 2), 1552.0), [(0.0, 0.0), (0.0, ROW)]);
    }
}
