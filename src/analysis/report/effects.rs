//! `effects.png`: effects of the axes on the landmark error, with intervals.

use sweep_core::units::ErrorUnit;

use crate::drawing::colour::{BLACK, Colour, GREY, LIGHT_GREY, group_style};
use crate::drawing::figure::Figure;
use crate::drawing::geometry::Rect;
use crate::drawing::legend::LegendEntry;
use crate::drawing::marker::{Marker, MarkerShape};
use crate::drawing::panel::{Panel, PanelLabels};
use crate::drawing::scale::Scale;
use crate::drawing::shape::About;
use crate::drawing::stroke::Stroke;
use crate::drawing::text::{Anchor, SMALL_SIZE, TextStyle};
use crate::findings::{Finding, Statement, Topic, Verdict};
use crate::format::{change, signed};

const ROW_HEIGHT: f64 = 44.0;
/// Greatest number of rows; the findings have the rest.
const MAX_ROWS: usize = 30;

struct EffectRow {
    label: String,
    point: f64,
    interval: [f64; 2],
    /// What the test found, for averages over settings; `None` for a single setting.
    verdict: Option<Verdict>,
}

/// A row per difference and interaction, those of single settings below their average if there is room; `None` without any.
pub(super) fn draw(findings: &[Finding], unit: ErrorUnit) -> Option<Figure> {
    let mut rows: Vec<EffectRow> = findings.iter().flat_map(effect_rows).collect();
    if rows.is_empty() {
        return None;
    }
    let all = rows.len();
    if all > MAX_ROWS {
        // Every axis is worth more than every setting of one.
        rows.retain(|row| row.verdict.is_some());
        rows.truncate(MAX_ROWS);
    }
    let left_out = all - rows.len();
    let note = if left_out > 0 { format!(" Not shown: {left_out} more.") } else { String::new() };
    let has_settings = rows.iter().any(|row| row.verdict.is_none());
    let settings = if has_settings { " Small markers: single settings of the other axes." } else { "" };
    let subtitle = format!(
        "Paired difference of the mean radial error on the same images and seeds, with its 95 % interval; left of zero the \
         value named first is better.{settings}{note}"
    );
    let looks = [Some(Verdict::Evidence), Some(Verdict::NetworksDiffer), Some(Verdict::NoEvidence), None];
    let legend: Vec<LegendEntry> = looks
        .into_iter()
        .map(Look::of)
        .filter(|look| rows.iter().any(|row| Look::of(row.verdict).words == look.words))
        .map(|look| LegendEntry::marker(look.words, look.marker, look.colour))
        .collect();
    let mut figure = Figure::new(
        "What each axis does to the landmark error",
        &subtitle,
        &legend,
        rows.len() as f64 * ROW_HEIGHT + 90.0,
    );
    let text_style = TextStyle::plain(SMALL_SIZE);
    let widest = rows.iter().map(|r| text_style.width(&r.label)).fold(0.0, f64::max).min(720.0);
    let outer = Rect { left: figure.content.left + widest, ..figure.content };
    let x = Scale::linear(rows.iter().flat_map(|r| [r.interval[0], r.interval[1], r.point]).chain([0.0]));
    let y = Scale::Linear { low: 0.0, high: rows.len() as f64 };
    let x_name = format!("difference of MRE ({unit})");
    let labels = PanelLabels { title: "", x: &x_name, y: "" };
    let panel = Panel::without_y_ticks(&mut figure.canvas, outer, labels, x, y);
    let canvas = &mut figure.canvas;
    panel.vertical_line(canvas, 0.0, Stroke::solid(GREY, 2.5));
    for (i, row) in rows.iter().enumerate() {
        let at = rows.len() as f64 - i as f64 - 0.5;
        if i > 0 && row.verdict.is_some() {
            panel.horizontal_line(canvas, at + 0.5, Stroke::solid(LIGHT_GREY, 1.0));
        }
        let middle = panel.position((0.0, at)).map_or(outer.top, |p| p.1);
        let text_style = if row.verdict.is_some() { TextStyle::bold(SMALL_SIZE) } else { text_style };
        let (label, text_style) = text_style.fit(&row.label, widest);
        canvas.text(&label, (panel.area.left - 12.0, middle), Anchor::Right, text_style);
        let Look { marker, colour, .. } = Look::of(row.verdict);
        let (radius, width) = if row.verdict.is_some() { (10.0, 5.0) } else { (6.0, 2.0) };
        let [low, high] = row.interval.map(|end| signed(end, 2));
        canvas.about(About::value(format!("{} {unit}, 95 % interval {low} to {high}", row.label)), |canvas| {
            panel.line(canvas, &row.interval.map(|end| (end, at)), Stroke::solid(colour, width));
            panel.marker(canvas, (row.point, at), radius, marker, colour);
        });
    }
    Some(figure)
}

/// The appearance of a verdict.
struct Look {
    words: &'static str,
    marker: Marker,
    colour: Colour,
}

impl Look {
    /// That of a row's verdict; of none for a single setting.
    fn of(verdict: Option<Verdict>) -> Self {
        let diamond = |filled| Marker { shape: MarkerShape::Diamond, filled };
        let (words, marker, colour) = match verdict {
            Some(Verdict::Evidence) => ("evidence, corrected for the number of tests", diamond(true), group_style(0).0),
            Some(Verdict::NetworksDiffer) => ("one seed each: these trained networks differ", diamond(true), GREY),
            Some(_) => ("no evidence", diamond(false), GREY),
            None => {
                let circle = Marker { shape: MarkerShape::Circle, filled: true };
                ("single setting, not tested", circle, BLACK)
            }
        };
        Self { words, marker, colour }
    }
}

fn effect_rows(finding: &Finding) -> Vec<EffectRow> {
    let label = match (&finding.statement, finding.topic) {
        (Statement::Effect { factor, from, to, .. }, Topic::Effects) => format!("{factor}: {to} minus {from}"),
        (Statement::Interaction { factor, other, at, .. }, _) => {
            format!("{factor} × {other}: {} minus {}", at[1], at[0])
        }
        _ => return Vec::new(),
    };
    let Some(estimate) = &finding.estimate else { return Vec::new() };
    let mut rows = vec![EffectRow {
        label: format!("{label}  {}", change(estimate.point)),
        point: estimate.point,
        interval: estimate.interval,
        verdict: Some(finding.verdict),
    }];
    for part in finding.parts.iter().filter(|part| part.unit.is_of_errors()) {
        rows.push(EffectRow {
            label: format!("{}  {}", part.label, change(part.estimate.point)),
            point: part.estimate.point,
            interval: part.estimate.interval,
            verdict: None,
        });
    }
    rows
}
