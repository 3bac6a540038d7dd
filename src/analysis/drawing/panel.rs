//! Panels: axes with ticks and labels, and data drawn in their coordinates.

use plotters::style::RGBAColor;

use super::canvas::Canvas;
use super::colour::{BLACK, Colour, GREY, LIGHT_GREY, WHITE, group_style, tint};
use super::geometry::{PixelPoint, Rect};
use super::marker::Marker;
use super::scale::Scale;
use super::shape::About;
use super::stroke::{Dash, Stroke};
use super::text::{Anchor, SMALL_SIZE, TextStyle};

/// Opacity of bands: two that overlap are still told apart.
const BAND_OPACITY: f64 = 0.16;
/// Most values of a curve that readers can point at: closer ones would lie on each other.
const SPOTS: usize = 50;
/// Size of axis labels in pixels.
const LABEL_SIZE: f64 = 22.0;

/// Marks the epoch of least loss, alike in every chart.
pub(crate) fn ring_best_loss(canvas: &mut Canvas, position: PixelPoint) {
    canvas.ring(position, 13.0, Stroke::solid(BLACK, 2.0));
}

/// Title of a panel and labels of its axes; an empty one is left out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PanelLabels<'a> {
    pub(crate) title: &'a str,
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
}

/// Two axes and the area they span.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Panel {
    /// Area of the data.
    pub(crate) area: Rect,
    x: Scale,
    y: Scale,
}

impl Panel {
    /// Draws title, grid, ticks and axis labels within `outer`; the rest of it is the data's area.
    pub(crate) fn new(canvas: &mut Canvas, outer: Rect, labels: PanelLabels<'_>, x: Scale, y: Scale) -> Self {
        Self::with_ticks(canvas, outer, labels, x, y, &y.ticks((outer.height() / 70.0) as usize))
    }

    /// [`Panel::new`] without vertical ticks, for rows that the caller labels.
    pub(crate) fn without_y_ticks(
        canvas: &mut Canvas,
        outer: Rect,
        labels: PanelLabels<'_>,
        x: Scale,
        y: Scale,
    ) -> Self {
        Self::with_ticks(canvas, outer, labels, x, y, &[])
    }

    fn with_ticks(
        canvas: &mut Canvas,
        outer: Rect,
        labels: PanelLabels<'_>,
        x: Scale,
        y: Scale,
        y_ticks: &[(f64, String)],
    ) -> Self {
        let tick = TextStyle::plain(SMALL_SIZE);
        let widest = y_ticks.iter().map(|(_, label)| tick.width(label)).fold(20.0, f64::max);
        let title_height = if labels.title.is_empty() { 14.0 } else { 44.0 };
        let area = Rect {
            left: outer.left + widest + if labels.y.is_empty() { 16.0 } else { 52.0 },
            top: outer.top + title_height,
            right: outer.right - 14.0,
            bottom: outer.bottom - 76.0,
        };
        let panel = Self { area, x, y };
        let x_ticks = x.ticks((area.width() / 105.0).max(2.0) as usize);

        for v in x.minor_ticks() {
            panel.vertical_line(canvas, v, Stroke::solid(tint(LIGHT_GREY, 0.45), 1.0));
        }
        for v in y.minor_ticks() {
            panel.horizontal_line(canvas, v, Stroke::solid(tint(LIGHT_GREY, 0.45), 1.0));
        }
        for (v, label) in &x_ticks {
            panel.vertical_line(canvas, *v, Stroke::solid(LIGHT_GREY, 1.5));
            canvas.text(label, (panel.x_position(*v).unwrap_or(area.left), area.bottom + 20.0), Anchor::Centre, tick);
        }
        for (v, label) in y_ticks {
            panel.horizontal_line(canvas, *v, Stroke::solid(LIGHT_GREY, 1.5));
            canvas.text(label, (area.left - 10.0, panel.y_position(*v).unwrap_or(area.bottom)), Anchor::Right, tick);
        }
        canvas.line(
            &[(area.left, area.top), (area.left, area.bottom), (area.right, area.bottom)],
            Stroke::solid(GREY, 2.0),
        );
        let (title, style) = TextStyle::bold(23.0).fit(labels.title, outer.width() - 10.0);
        canvas.text(&title, (outer.left + 8.0, outer.top + 18.0), Anchor::Left, style);
        let middle = f64::midpoint(area.left, area.right);
        let (name, style) = TextStyle::plain(LABEL_SIZE).fit(labels.x, area.width() + 60.0);
        canvas.text(&name, (middle, area.bottom + 54.0), Anchor::Centre, style);
        let (name, style) = TextStyle::plain(LABEL_SIZE).fit(labels.y, area.height() + 40.0);
        canvas.text_upwards(&name, (outer.left + 16.0, f64::midpoint(area.top, area.bottom)), style);
        panel
    }

    fn x_position(&self, x: f64) -> Option<f64> {
        Some(self.area.left + self.x.position(x)? * self.area.width())
    }

    fn y_position(&self, y: f64) -> Option<f64> {
        Some(self.area.bottom - self.y.position(y)? * self.area.height())
    }

    /// Position of a data point; `None` if one of its coordinates is not finite.
    pub(crate) fn position(&self, (x, y): (f64, f64)) -> Option<PixelPoint> {
        Some((self.x_position(x)?, self.y_position(y)?))
    }

    /// A line through the points with finite coordinates; a single point is a dot, hollow if the stroke is dashed.
    pub(crate) fn line(&self, canvas: &mut Canvas, points: &[(f64, f64)], stroke: Stroke) {
        let positions: Vec<PixelPoint> = points.iter().filter_map(|p| self.position(*p)).collect();
        if positions.len() > 1 {
            canvas.line(&positions, stroke);
        } else if let Some(position) = positions.first() {
            let radius = stroke.width.max(2.5) + 2.0;
            canvas.disc(*position, radius, stroke.colour);
            if stroke.dash != Dash::Solid {
                canvas.disc(*position, 0.55 * radius, WHITE);
            }
        }
    }

    /// The curve of a group, given as its label and index: a line, its markers, and values to point at.
    pub(crate) fn group_line(
        &self,
        canvas: &mut Canvas,
        (label, group): (&str, usize),
        points: &[(f64, f64)],
        words: impl Fn(f64, f64) -> String,
    ) {
        let (colour, marker) = group_style(group);
        canvas.about(About::group(label, group), |canvas| {
            self.line(canvas, points, Stroke::solid(colour, 3.5));
            for point in marker_points(points, group) {
                self.marker(canvas, point, 8.0, marker, colour);
            }
            self.spots(canvas, points, words);
        });
    }

    /// Lets readers of the page point at the values of a curve: at most [`SPOTS`] of them.
    pub(crate) fn spots(&self, canvas: &mut Canvas, points: &[(f64, f64)], words: impl Fn(f64, f64) -> String) {
        for point in points.iter().step_by(points.len().div_ceil(SPOTS).max(1)) {
            if let Some(position) = self.position(*point) {
                canvas.spot(position, words(point.0, point.1));
            }
        }
    }

    /// The area between two curves, from points `(x, lower, upper)` with ascending `x`.
    pub(crate) fn band(&self, canvas: &mut Canvas, points: &[(f64, f64, f64)], colour: Colour) {
        let line = |pick: fn(&(f64, f64, f64)) -> f64| -> Vec<PixelPoint> {
            points.iter().filter_map(|p| self.position((p.0, pick(p)))).collect()
        };
        let (lower, upper) = (line(|p| p.1), line(|p| p.2));
        if lower.len() == upper.len() {
            canvas.band(&upper, &lower, RGBAColor(colour.0, colour.1, colour.2, BAND_OPACITY));
        }
    }

    /// A vertical bar from `low` to `high`, for example the interval of a point.
    pub(crate) fn whisker(&self, canvas: &mut Canvas, x: f64, [low, high]: [f64; 2], stroke: Stroke) {
        self.line(canvas, &[(x, low), (x, high)], stroke);
    }

    /// A marker at a point.
    pub(crate) fn marker(&self, canvas: &mut Canvas, point: (f64, f64), radius: f64, marker: Marker, colour: Colour) {
        if let Some(position) = self.position(point) {
            canvas.marker(position, radius, marker, colour);
        }
    }

    /// A horizontal line at `y`.
    pub(crate) fn horizontal_line(&self, canvas: &mut Canvas, y: f64, stroke: Stroke) {
        if let Some(y) = self.y_position(y) {
            canvas.line(&[(self.area.left, y), (self.area.right, y)], stroke);
        }
    }

    /// A vertical line at `x`.
    pub(crate) fn vertical_line(&self, canvas: &mut Canvas, x: f64, stroke: Stroke) {
        if let Some(x) = self.x_position(x) {
            canvas.line(&[(x, self.area.top), (x, self.area.bottom)], stroke);
        }
    }

    /// A labelled horizontal line at `y`. Draw it before the data, which it must not cover.
    pub(crate) fn reference_line(&self, canvas: &mut Canvas, y: f64, label: &str, stroke: Stroke) {
        self.horizontal_line(canvas, y, stroke);
        if let Some(y) = self.y_position(y) {
            let label_y = if y - 18.0 < self.area.top { y + 18.0 } else { y - 16.0 };
            let (label, style) = TextStyle::grey(SMALL_SIZE).fit(label, self.area.width() - 20.0);
            canvas.label(&label, (self.area.right - 6.0, label_y), Anchor::Right, style);
        }
    }

    /// Text in the middle of a panel without data.
    pub(crate) fn message(&self, canvas: &mut Canvas, text: &str) {
        let middle = (f64::midpoint(self.area.left, self.area.right), f64::midpoint(self.area.top, self.area.bottom));
        let (text, style) = TextStyle::grey(LABEL_SIZE).fit(text, self.area.width() - 10.0);
        canvas.label(&text, middle, Anchor::Centre, style);
    }
}

/// Points of a line at which its group's marker is drawn: about eight, shifted from group to group so that they do not
/// meet.
fn marker_points(points: &[(f64, f64)], group: usize) -> impl Iterator<Item = (f64, f64)> {
    let step = points.len().div_ceil(8).max(1);
    points.iter().copied().skip((group * 3) % step).step_by(step)
}
