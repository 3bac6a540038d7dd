//! `effects.png`: what each axis does to the landmark error, with intervals.

use super::canvas::{BLACK, Colour, GREY, LIGHT, Marker, Rect, Shape, Stroke};
use super::chart::{Figure, Key, Names, Panel, SMALL, style};
use super::scale::Scale;
use super::text::{Anchor, Type};
use crate::findings::{Finding, Statement, Topic, Unit, Verdict};
use crate::format::change;
use sweep_core::error::Result;

const ROW: f64 = 44.0;
/// Rows that are told; a sweep of many axes has a table for the rest.
const MOST_ROWS: usize = 30;

struct Row {
    label: String,
    point: f64,
    interval: [f64; 2],
    /// An average over settings, and whether there is evidence; none for a single setting.
    evidence: Option<bool>,
}

/// A row per difference and interaction, those of single settings below their average; `None` without any.
pub(super) fn draw(findings: &[Finding]) -> Result<Option<Vec<u8>>> {
    let mut rows: Vec<Row> = findings.iter().flat_map(rows).collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let left_out = rows.len().saturating_sub(MOST_ROWS);
    rows.truncate(MOST_ROWS);
    let note = if left_out > 0 { format!(" Not shown: {left_out} more.") } else { String::new() };
    let subtitle = format!(
        "Paired difference of the mean radial error on the same images and seeds, with its 95 % interval; left of zero the \
         second value is better. Small signs: single settings of the other axes.{note}"
    );
    let keys = [
        Key::marker("evidence, corrected for the number of tests", MARK, strong()),
        Key::marker("no evidence", OPEN, GREY),
        Key::marker("single setting, not tested", SINGLE, BLACK),
    ];
    let mut figure =
        Figure::new("What each axis does to the landmark error", &subtitle, &keys, rows.len() as f64 * ROW + 90.0);
    let face = Type::plain(SMALL);
    let widest = rows.iter().map(|r| face.width(&r.label)).fold(0.0, f64::max).min(720.0);
    let outer = Rect { left: figure.content.left + widest, ..figure.content };
    let x = Scale::linear(rows.iter().flat_map(|r| [r.interval[0], r.interval[1], r.point]).chain([0.0]));
    let y = Scale::Linear { low: 0.0, high: rows.len() as f64 };
    let names = Names { title: "", x: "difference of MRE (mm)", y: "" };
    let panel = Panel::without_y_ticks(&mut figure.canvas, outer, names, x, y);
    let canvas = &mut figure.canvas;
    panel.vertical(canvas, 0.0, Stroke::solid(GREY, 2.5));
    for (i, row) in rows.iter().enumerate() {
        let at = rows.len() as f64 - i as f64 - 0.5;
        if i > 0 && row.evidence.is_some() {
            panel.horizontal(canvas, at + 0.5, Stroke::solid(LIGHT, 1.0));
        }
        let middle = panel.at((0.0, at)).map_or(outer.top, |p| p.1);
        let face = if row.evidence.is_some() { Type::bold(SMALL) } else { face };
        let (label, face) = face.fit(&row.label, widest);
        canvas.text(&label, (panel.area.left - 12.0, middle), Anchor::Right, face);
        let (colour, marker, radius, width) = match row.evidence {
            Some(true) => (strong(), MARK, 10.0, 5.0),
            Some(false) => (GREY, OPEN, 10.0, 5.0),
            None => (BLACK, SINGLE, 6.0, 2.0),
        };
        panel.line(canvas, &row.interval.map(|end| (end, at)), Stroke::solid(colour, width));
        panel.marker(canvas, (row.point, at), radius, marker, colour);
    }
    figure.png().map(Some)
}

const MARK: Marker = Marker { shape: Shape::Diamond, filled: true };
const OPEN: Marker = Marker { shape: Shape::Diamond, filled: false };
const SINGLE: Marker = Marker { shape: Shape::Circle, filled: true };

fn strong() -> Colour {
    style(0).0
}

fn rows(finding: &Finding) -> Vec<Row> {
    let label = match (&finding.statement, finding.topic) {
        (Statement::Effect { factor, from, to, .. }, Topic::Effects) => format!("{factor}: {to} minus {from}"),
        (Statement::Interaction { factor, other, at, .. }, _) => {
            format!("{factor} × {other}: {} minus {}", at[1], at[0])
        }
        _ => return Vec::new(),
    };
    let Some(estimate) = &finding.estimate else { return Vec::new() };
    let mut rows = vec![Row {
        label: format!("{label}  {}", change(estimate.point)),
        point: estimate.point,
        interval: estimate.interval,
        evidence: Some(finding.verdict == Verdict::Evidence),
    }];
    for part in finding.parts.iter().filter(|part| part.unit == Unit::Millimetres) {
        rows.push(Row {
            label: format!("{}  {}", part.label, change(part.estimate.point)),
            point: part.estimate.point,
            interval: part.estimate.interval,
            evidence: None,
        });
    }
    rows
}
