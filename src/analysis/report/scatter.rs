//! `scatter.png`: variance components of single landmark errors: seed, image, landmark and their interactions.

use crate::drawing::colour::{BLACK, WHITE, group_style};
use crate::drawing::figure::Figure;
use crate::drawing::geometry::Rect;
use crate::drawing::legend::LegendEntry;
use crate::drawing::marker::{Marker, MarkerShape};
use crate::drawing::shape::About;
use crate::drawing::text::{Anchor, SMALL_SIZE, TextStyle};
use crate::findings::{Finding, Statement};

const ROW_HEIGHT: f64 = 54.0;
/// Greatest number of bars.
const MOST_BARS: usize = 40;

/// A bar per configuration with two or more seeds; `None` without any.
pub(super) fn draw(findings: &[Finding]) -> Option<Figure> {
    let found = findings.iter().find_map(|finding| match &finding.statement {
        Statement::Scatter { components, .. } if !components.is_empty() => Some(components),
        _ => None,
    });
    let components = found?;
    let drawn = &components[..components.len().min(MOST_BARS)];
    let note = if drawn.len() < components.len() {
        format!(" Shown: the first {MOST_BARS} of {} configurations.", components.len())
    } else {
        String::new()
    };
    let bars: Vec<(&str, [(&str, f64); 7])> = drawn.iter().map(|(label, c)| (label.as_str(), c.shares())).collect();
    let names: Vec<&str> = bars[0].1.iter().map(|s| s.0).collect();
    let square = Marker { shape: MarkerShape::Square, filled: true };
    let legend: Vec<LegendEntry> =
        names.iter().enumerate().map(|(i, n)| LegendEntry::marker(*n, square, group_style(i).0)).collect();
    let subtitle = format!(
        "Shares of the variance of a single landmark's error at the epoch of least validation error, by analysis of variance \
         with random effects. The share of image × landmark is what every training finds hard.{note}"
    );
    let mut figure = Figure::new("Where do errors scatter?", &subtitle, &legend, bars.len() as f64 * ROW_HEIGHT + 10.0);
    let text_style = TextStyle::plain(SMALL_SIZE);
    let widest = bars.iter().map(|(label, _)| text_style.width(label)).fold(0.0, f64::max).min(420.0);
    let content = figure.content;
    let left = content.left + widest + 20.0;
    for (i, (label, shares)) in bars.iter().enumerate() {
        let top = content.top + i as f64 * ROW_HEIGHT;
        let (text, fitted) = text_style.fit(label, widest);
        figure.canvas.text(&text, (left - 14.0, top + ROW_HEIGHT / 2.0), Anchor::Right, fitted);
        let mut from = left;
        for (j, (_, share)) in shares.iter().enumerate() {
            let to = from + share * (content.right - left);
            let bar = Rect { left: from, top: top + 6.0, right: to.max(from + 1.0), bottom: top + ROW_HEIGHT - 6.0 };
            let words = format!("{label}, {}: {:.1} % of the variance", names[j], 100.0 * share);
            figure.canvas.about(About::value(words), |canvas| canvas.fill_rect(bar, group_style(j).0));
            if to - from > 60.0 {
                let colour = if j == 4 || j == 5 { BLACK } else { WHITE };
                let text_style = TextStyle { colour, ..text_style };
                let middle = f64::midpoint(from, to);
                figure.canvas.text(
                    &format!("{:.0} %", 100.0 * share),
                    (middle, top + ROW_HEIGHT / 2.0),
                    Anchor::Centre,
                    text_style,
                );
            }
            from = to;
        }
    }
    Some(figure)
}
