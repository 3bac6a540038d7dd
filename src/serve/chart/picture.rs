//! Charts as the shapes of an SVG, which a template writes into the page: they are there without any script.

use serde::Serialize;

use sweep_analysis::drawing::scale::Scale;
use sweep_analysis::format::number;

use super::Curves;

/// Size of the drawing, in its own units.
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 46.0;
/// How many curves a picture shows, and how many places of each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Detail {
    /// Most curves.
    lines: usize,
    /// Most places of a curve.
    places: usize,
}

impl Detail {
    /// In a page, where the script draws more.
    pub(crate) const PAGE: Self = Self { lines: 30, places: 200 };
    /// In a file.
    pub(crate) const FILE: Self = Self { lines: 100, places: 1000 };
}

/// A chart to draw.
#[derive(Debug, Serialize)]
pub(crate) struct Picture {
    width: f64,
    height: f64,
    /// The frame: left, top, right, bottom.
    frame: [f64; 4],
    across: String,
    up: String,
    x: Vec<Tick>,
    y: Vec<Tick>,
    lines: Vec<Line>,
    points: Vec<Dot>,
    /// The least height of the points up to each place, as a line of steps; empty if it is not drawn.
    least: String,
    /// Number of lines that are left out.
    pub(crate) left_out: usize,
}

impl Picture {
    /// Width and height, in units of the drawing.
    pub(crate) fn size(&self) -> [f64; 2] {
        [self.width, self.height]
    }

    /// With a line of the least height so far; the points are in order.
    pub(crate) fn with_least(mut self) -> Self {
        // Lower on the screen is a greater number.
        let mut lowest = f64::NEG_INFINITY;
        let mut steps: Vec<String> = Vec::new();
        for point in &self.points {
            if lowest.is_finite() {
                steps.push(format!("{},{lowest}", point.x));
            }
            lowest = lowest.max(point.y);
            steps.push(format!("{},{lowest}", point.x));
        }
        self.least = steps.join(" ");
        self
    }
}

#[derive(Debug, Serialize)]
struct Tick {
    at: f64,
    label: String,
}

#[derive(Debug, Serialize)]
struct Line {
    name: String,
    colour: usize,
    points: String,
}

#[derive(Debug, Serialize)]
struct Dot {
    x: f64,
    y: f64,
    colour: usize,
    name: String,
    href: String,
}

/// A point of a scatter chart.
pub(crate) struct Point {
    /// Place on the horizontal axis.
    pub(crate) x: f64,
    /// Place on the vertical axis.
    pub(crate) y: f64,
    /// Index of its colour.
    pub(crate) colour: usize,
    /// What it stands for.
    pub(crate) name: String,
    /// Where its page is.
    pub(crate) href: String,
}

fn across(scale: Scale, value: f64) -> Option<f64> {
    Some(LEFT + scale.position(value)? * (WIDTH - LEFT - RIGHT))
}

fn up(scale: Scale, value: f64) -> Option<f64> {
    Some(HEIGHT - BOTTOM - scale.position(value)? * (HEIGHT - TOP - BOTTOM))
}

/// An empty chart with its axes.
fn framed(title: [&str; 2], x: Scale, y: Scale) -> Picture {
    let tick = |at: Option<f64>, label: String| Some(Tick { at: rounded(at?), label });
    Picture {
        width: WIDTH,
        height: HEIGHT,
        frame: [LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM],
        across: title[0].to_owned(),
        up: title[1].to_owned(),
        x: x.ticks(8).into_iter().filter_map(|(value, label)| tick(across(x, value), label)).collect(),
        y: y.ticks(6).into_iter().filter_map(|(value, label)| tick(up(y, value), label)).collect(),
        lines: Vec::new(),
        points: Vec::new(),
        least: String::new(),
        left_out: 0,
    }
}

fn rounded(value: f64) -> f64 {
    (10.0 * value).round() / 10.0
}

fn scale(values: impl Iterator<Item = f64>, log: bool) -> Scale {
    if log { Scale::log(values) } else { Scale::linear(values) }
}

/// Curves as lines.
pub(crate) fn of_curves(curves: &Curves, log: bool, detail: Detail) -> Picture {
    let shown = &curves.series[..curves.series.len().min(detail.lines)];
    let x = if curves.over == "epoch" {
        Scale::epochs(curves.x.last().copied().unwrap_or(1.0) as u32)
    } else {
        Scale::linear(curves.x.iter().copied())
    };
    let y = scale(shown.iter().flat_map(|series| series.y.iter().copied().flatten().map(f64::from)), log);
    let mut picture = framed([curves.over, &curves.title], x, y);
    let every = curves.x.len().div_ceil(detail.places).max(1);
    for series in shown {
        let points: Vec<String> = curves
            .x
            .iter()
            .zip(&series.y)
            .filter_map(|(place, value)| Some((across(x, *place)?, up(y, f64::from((*value)?))?)))
            .step_by(every)
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        picture.lines.push(Line { name: series.name.clone(), colour: series.colour, points: points.join(" ") });
    }
    picture.left_out = curves.left_out + curves.series.len() - shown.len();
    picture
}

/// Scales for points, linear or logarithmic.
pub(crate) fn scales(points: &[Point], log: [bool; 2]) -> [Scale; 2] {
    [scale(points.iter().map(|point| point.x), log[0]), scale(points.iter().map(|point| point.y), log[1])]
}

/// Points, each a link.
pub(crate) fn of_points(points: Vec<Point>, title: [&str; 2], [x, y]: [Scale; 2]) -> Picture {
    let is_drawn = |point: &Point| {
        let fits = |value: f64, scale: Scale| value.is_finite() && (!scale.is_log() || value > 0.0);
        fits(point.x, x) && fits(point.y, y)
    };
    let (points, others): (Vec<Point>, Vec<Point>) = points.into_iter().partition(is_drawn);
    let mut picture = framed(title, x, y);
    picture.left_out = others.len();
    for point in points {
        let (Some(at), Some(height)) = (across(x, point.x), up(y, point.y)) else { continue };
        let name = format!("{}: {} {}, {} {}", point.name, title[0], number(point.x), title[1], number(point.y));
        picture.points.push(Dot { x: rounded(at), y: rounded(height), colour: point.colour, name, href: point.href });
    }
    picture
}
