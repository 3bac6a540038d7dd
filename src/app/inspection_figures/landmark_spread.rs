//! `landmark_spread.png`: position of each landmark after all shapes are aligned to their mean, and its spread.

use plotters::style::RGBAColor;

use sweep_analysis::drawing::canvas::Canvas;
use sweep_analysis::drawing::colour::{BLACK, Colour, GREY, LIGHT_GREY, group_style, tint};
use sweep_analysis::drawing::figure::Figure;
use sweep_analysis::drawing::geometry::{PixelPoint, Rect};
use sweep_analysis::drawing::legend::LegendEntry;
use sweep_analysis::drawing::stroke::Stroke;
use sweep_analysis::drawing::text::{Anchor, SMALL_SIZE, TextStyle};
use sweep_core::error::Result;
use sweep_core::units::{ErrorUnit, Point};
use sweep_data::inspect::{DatasetFacts, Spread};

const OUTLIER: Colour = RGBAColor(225, 30, 30, 1.0);
/// Number of standard deviations that contain 95 % of a normal distribution in the plane.
const ELLIPSE_SDS: f64 = 2.447_746_830_680_816;
/// Share of the figure's width for the shapes.
const SHAPES_WIDTH: f64 = 0.6;

/// Draws the spread; `None` if no landmark is annotated.
///
/// # Errors
/// When the figure cannot be drawn or encoded.
pub(crate) fn landmark_spread(facts: &DatasetFacts, spread: &Spread) -> Result<Option<Vec<u8>>> {
    let Some(viewport) = Viewport::of(spread) else { return Ok(None) };
    let rows = facts.landmarks.len();
    let row = (760.0 / rows as f64).clamp(24.0, 52.0);
    let tall = SHAPES_WIDTH * 1552.0 * viewport.height / viewport.width;
    let height = tall.clamp(600.0, 1100.0).max(row * rows as f64 + 60.0);
    let far = spread.places.iter().flatten().any(|(_, far)| *far);
    let mut legend = vec![
        LegendEntry::dot("landmark of one image", group_style(0).0),
        LegendEntry::line("holds 95 % of a normal distribution", Stroke::solid(BLACK, 2.0)),
    ];
    if far {
        legend.push(LegendEntry::dot("far from the others, not in the ellipse", OUTLIER));
    }
    let title = format!("{}: how far landmarks scatter", facts.name);
    let subtitle = "Shapes of all images, shifted, turned and scaled onto their mean. Bars: median distance from the mean \
                    shape, and from where an image's other landmarks put it.";
    let mut figure = Figure::new(&title, subtitle, &legend, height);
    let content = figure.content;
    let left = Rect { right: content.left + SHAPES_WIDTH * content.width(), ..content };
    let right = Rect { left: left.right + 30.0, ..content };
    draw_shapes(&mut figure.canvas, left, facts, spread, viewport);
    draw_bars(&mut figure.canvas, right, facts, row);
    figure.png().map(Some)
}

/// The drawn part of the mean shape's plane.
#[derive(Debug, Clone, Copy)]
struct Viewport {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl Viewport {
    fn of(spread: &Spread) -> Option<Self> {
        let usual = spread.places.iter().flatten().filter(|(_, far)| !far).map(|(p, _)| *p);
        let points: Vec<Point> = usual.chain(spread.mean.iter().flatten().copied()).collect();
        let range = |of: fn(&Point) -> f64| {
            let (low, high) = points.iter().map(of).fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
            (low, high)
        };
        let ((x0, x1), (y0, y1)) = (range(|p| p.x), range(|p| p.y));
        let margin = 0.08 * (x1 - x0).max(y1 - y0);
        let viewport =
            Self { left: x0 - margin, top: y0 - margin, width: x1 - x0 + 2.0 * margin, height: y1 - y0 + 2.0 * margin };
        (!points.is_empty() && margin > 0.0).then_some(viewport)
    }
}

/// Centre, half axes and direction of the first axis of the ellipse around these points.
fn ellipse(points: &[Point]) -> Option<(Point, [f64; 2], f64)> {
    let n = points.len() as f64;
    if points.len() < 3 {
        return None;
    }
    let mean = |of: &dyn Fn(&Point) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(&|p| p.x), mean(&|p| p.y));
    let unbiased = n / (n - 1.0);
    let (xx, yy) = (unbiased * mean(&|p| (p.x - x).powi(2)), unbiased * mean(&|p| (p.y - y).powi(2)));
    let xy = unbiased * mean(&|p| (p.x - x) * (p.y - y));
    let (half, root) = (f64::midpoint(xx, yy), (((xx - yy) / 2.0).powi(2) + xy * xy).sqrt());
    let axes = [half + root, half - root].map(|variance| ELLIPSE_SDS * variance.max(0.0).sqrt());
    Some((Point { x, y }, axes, 0.5 * (2.0 * xy).atan2(xx - yy)))
}

fn draw_shapes(canvas: &mut Canvas, area: Rect, facts: &DatasetFacts, spread: &Spread, viewport: Viewport) {
    let scale = (area.width() / viewport.width).min(area.height() / viewport.height);
    let (left, top) = (
        area.left + (area.width() - scale * viewport.width) / 2.0,
        area.top + (area.height() - scale * viewport.height) / 2.0,
    );
    let position = |p: Point| -> PixelPoint {
        let at = (left + scale * (p.x - viewport.left), top + scale * (p.y - viewport.top));
        (at.0.clamp(area.left, area.right), at.1.clamp(area.top, area.bottom))
    };
    canvas.fill_rect(area, tint(LIGHT_GREY, 0.25));
    let radius = if spread.places.iter().map(Vec::len).max().unwrap_or(0) > 150 { 1.8 } else { 2.8 };
    for (k, places) in spread.places.iter().enumerate() {
        for (p, far) in places {
            canvas.disc(position(*p), radius, if *far { OUTLIER } else { tint(group_style(k).0, 0.6) });
        }
    }
    // Areas that names must not cover: each landmark's ellipse, or its position without one.
    let mut taken: Vec<Option<Rect>> = Vec::new();
    for (mean, places) in spread.mean.iter().zip(&spread.places) {
        let usual: Vec<Point> = places.iter().filter(|(_, far)| !far).map(|(p, _)| *p).collect();
        let line: Vec<PixelPoint> = match ellipse(&usual) {
            None => mean.iter().map(|p| position(*p)).collect(),
            Some((centre, axes, angle)) => {
                let (sin, cos) = angle.sin_cos();
                let on = |i: i32| {
                    let (s, c) = (f64::from(i) / 60.0 * std::f64::consts::TAU).sin_cos();
                    let (u, v) = (axes[0] * c, axes[1] * s);
                    position(Point { x: centre.x + u * cos - v * sin, y: centre.y + u * sin + v * cos })
                };
                (0..=60).map(on).collect()
            }
        };
        canvas.line(&line, Stroke::solid(BLACK, 2.0));
        let around = line.iter().map(|(x, y)| Rect { left: *x, top: *y, right: *x, bottom: *y });
        taken.push(around.reduce(|a, b| Rect {
            left: a.left.min(b.left),
            top: a.top.min(b.top),
            right: a.right.max(b.right),
            bottom: a.bottom.max(b.bottom),
        }));
    }
    draw_names(canvas, area, facts, &taken);
    // A scale bar replaces axes: the mean shape has a size but no position.
    let length = match facts.unit {
        ErrorUnit::Millimetres => 10.0,
        // A round number that is about a tenth of the width.
        ErrorUnit::Pixels => 10f64.powf((viewport.width / 10.0).max(1.0).log10().round()),
    };
    let bar = (area.right - 24.0 - length * scale, area.bottom - 24.0);
    canvas.line(&[bar, (bar.0 + length * scale, bar.1)], Stroke::solid(BLACK, 4.0));
    let (middle, words) = (bar.0 + length / 2.0 * scale, format!("{length} {}", facts.unit));
    canvas.text(&words, (middle, bar.1 - 20.0), Anchor::Centre, TextStyle::plain(SMALL_SIZE));
}

/// Names beside their landmarks' `ellipses`, so that they cover neither these nor each other.
fn draw_names(canvas: &mut Canvas, area: Rect, facts: &DatasetFacts, ellipses: &[Option<Rect>]) {
    let text_style = TextStyle::plain(if ellipses.len() > 30 { 15.0 } else { SMALL_SIZE });
    let mut taken: Vec<Rect> = ellipses.iter().flatten().copied().collect();
    for (landmark, own) in facts.landmarks.iter().zip(ellipses).filter_map(|(l, e)| Some((l, (*e)?))) {
        let (width, half) = (text_style.width(&landmark.name), 0.6 * text_style.size);
        let (x, y) = (f64::midpoint(own.left, own.right), f64::midpoint(own.top, own.bottom));
        let overlap = |a: &Rect, b: &Rect| {
            let w = (a.right.min(b.right) - a.left.max(b.left)).max(0.0);
            let h = (a.bottom.min(b.bottom) - a.top.max(b.top)).max(0.0);
            w * h
        };
        let around = [8.0, 22.0, 44.0, 70.0].into_iter().flat_map(|gap| {
            [(1.0, 0.0), (-1.0, 0.0), (0.0, -1.0), (0.0, 1.0), (0.8, -0.8), (0.8, 0.8), (-0.8, -0.8), (-0.8, 0.8)]
                .map(|(dx, dy)| (gap, dx, dy))
        });
        let boxes = around.map(|(gap, dx, dy): (f64, f64, f64)| {
            let left = x + dx * (own.width() / 2.0 + gap + 4.0) + width * (dx - 1.0) / 2.0;
            let middle = y + dy * (own.height() / 2.0 + gap + half);
            Rect { left, top: middle - half, right: left + width, bottom: middle + half }
        });
        let cost = |b: &Rect| {
            let outside =
                (b.right - area.right).max(area.left - b.left).max(b.bottom - area.bottom).max(area.top - b.top);
            let far = (f64::midpoint(b.left, b.right) - x).hypot(f64::midpoint(b.top, b.bottom) - y);
            taken.iter().map(|t| overlap(b, t)).sum::<f64>() + 100.0 * outside.max(0.0) + far
        };
        let Some(best) = boxes.min_by(|a, b| cost(a).total_cmp(&cost(b))) else { continue };
        let middle = f64::midpoint(best.top, best.bottom);
        // A line connects a distant name with its landmark.
        let (from, to) = ((best.left.max(x.min(best.right)), middle), (own.left.max(best.left.min(own.right)), y));
        if (from.0 - to.0).hypot(from.1 - to.1) > own.height() / 2.0 + 44.0 {
            canvas.line(&[to, from], Stroke::solid(GREY, 1.5));
        }
        canvas.label(&landmark.name, (best.left, middle), Anchor::Left, text_style);
        taken.push(best);
    }
}

/// Median distances of each landmark.
fn draw_bars(canvas: &mut Canvas, area: Rect, facts: &DatasetFacts, row: f64) {
    let text_style = TextStyle::plain(SMALL_SIZE.min(0.75 * row));
    let widest = facts.landmarks.iter().map(|l| text_style.width(&l.name)).fold(0.0, f64::max).min(230.0);
    let left = area.left + widest + 14.0;
    let far = |of: Option<f64>| of.unwrap_or(0.0);
    let most = facts.landmarks.iter().map(|l| far(l.from_mean_mm).max(far(l.from_others_mm))).fold(0.1, f64::max);
    let across = |mm: f64| left + mm / most * (area.right - left - 70.0);
    let (mean, others) = (group_style(0).0, group_style(1).0);
    let mut x = left;
    for (words, colour) in [("from the mean", mean), ("from the others", others)] {
        canvas.disc((x + 6.0, area.top + 14.0), 6.0, colour);
        canvas.text(words, (x + 20.0, area.top + 14.0), Anchor::Left, TextStyle::plain(18.0));
        x += 40.0 + TextStyle::plain(18.0).width(words);
    }
    for (i, landmark) in facts.landmarks.iter().enumerate() {
        let top = area.top + 40.0 + i as f64 * row;
        let middle = top + row / 2.0;
        let (name, fitted) = text_style.fit(&landmark.name, widest);
        canvas.text(&name, (left - 10.0, middle), Anchor::Right, fitted);
        let half = 0.4 * row;
        for (value, colour, from) in [(landmark.from_mean_mm, mean, -half), (landmark.from_others_mm, others, 0.0)] {
            let Some(mm) = value else { continue };
            let bar =
                Rect { left, top: middle + from, right: across(mm).max(left + 1.0), bottom: middle + from + half };
            canvas.fill_rect(bar, colour);
            let small = TextStyle::plain((0.9 * half).clamp(9.0, 17.0));
            canvas.text(
                &format!("{mm:.1} {}", facts.unit),
                (bar.right + 6.0, f64::midpoint(bar.top, bar.bottom)),
                Anchor::Left,
                small,
            );
        }
    }
}
