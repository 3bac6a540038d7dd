//! Legends: what the lines and markers of a figure stand for.

use super::canvas::Canvas;
use super::colour::{Colour, group_style};
use super::geometry::PixelPoint;
use super::marker::Marker;
use super::shape::About;
use super::stroke::Stroke;
use super::text::{Anchor, SMALL_SIZE, TextStyle};

/// Width of an entry's symbol in pixels.
const SYMBOL_WIDTH: f64 = 52.0;
/// Height of a legend's row in pixels.
pub(super) const ROW_HEIGHT: f64 = 34.0;

/// An entry of a legend: a label and the symbols that it explains.
#[derive(Debug, Clone)]
pub struct LegendEntry {
    pub(crate) label: String,
    stroke: Option<Stroke>,
    marker: Option<(Marker, Colour)>,
    ring: Option<Colour>,
    dot: Option<Colour>,
    /// The configuration that it stands for, by its index.
    group: Option<usize>,
}

impl LegendEntry {
    /// A line.
    pub fn line(label: impl Into<String>, stroke: Stroke) -> Self {
        Self { label: label.into(), stroke: Some(stroke), marker: None, ring: None, dot: None, group: None }
    }

    pub(crate) fn marker(label: impl Into<String>, marker: Marker, colour: Colour) -> Self {
        Self { label: label.into(), stroke: None, marker: Some((marker, colour)), ring: None, dot: None, group: None }
    }

    /// A circle's outline.
    pub fn ring(label: impl Into<String>, colour: Colour) -> Self {
        Self { label: label.into(), stroke: None, marker: None, ring: Some(colour), dot: None, group: None }
    }

    /// A small disc.
    pub fn dot(label: impl Into<String>, colour: Colour) -> Self {
        Self { label: label.into(), stroke: None, marker: None, ring: None, dot: Some(colour), group: None }
    }

    /// Line and marker of a group, by its index.
    pub(crate) fn group(label: &str, group: usize) -> Self {
        let (colour, marker) = group_style(group);
        let line = Self::line(label, Stroke::solid(colour, 3.5));
        Self { marker: Some((marker, colour)), group: Some(group), ..line }
    }

    /// The entry as one of a configuration, by its index.
    pub(crate) fn about(self, group: Option<usize>) -> Self {
        Self { group, ..self }
    }

    /// Draws symbol and label, the middle of the symbol's left edge at `(x, y)`; the label ends before `right`.
    pub(super) fn draw(&self, canvas: &mut Canvas, position: PixelPoint, right: f64) {
        match self.group {
            Some(group) => {
                canvas.about(About::group(&self.label, group), |canvas| self.draw_alone(canvas, position, right));
            }
            None => self.draw_alone(canvas, position, right),
        }
    }

    fn draw_alone(&self, canvas: &mut Canvas, (x, y): PixelPoint, right: f64) {
        let middle = (x + SYMBOL_WIDTH / 2.0, y);
        if let Some(stroke) = self.stroke {
            canvas.line(&[(x, y), (x + SYMBOL_WIDTH, y)], stroke);
        }
        if let Some((marker, colour)) = self.marker {
            canvas.marker(middle, 8.0, marker, colour);
        }
        if let Some(colour) = self.dot {
            canvas.disc(middle, 4.0, colour);
        }
        if let Some(colour) = self.ring {
            canvas.ring(middle, 11.0, Stroke::solid(colour, 3.0));
        }
        let (label, style) = TextStyle::plain(SMALL_SIZE).fit(&self.label, right - x - SYMBOL_WIDTH - 10.0);
        canvas.text(&label, (x + SYMBOL_WIDTH + 10.0, y), Anchor::Left, style);
    }
}

/// Positions of a legend's entries, from its upper left corner: one row where all fit, else columns of equal width.
pub(super) fn layout(entries: &[LegendEntry], width: f64) -> Vec<PixelPoint> {
    let style = TextStyle::plain(SMALL_SIZE);
    let widths: Vec<f64> = entries.iter().map(|entry| SYMBOL_WIDTH + 10.0 + style.width(&entry.label) + 30.0).collect();
    if widths.iter().sum::<f64>() <= width + 30.0 {
        let starts = widths.iter().scan(0.0, |x, w| Some(std::mem::replace(x, *x + w)));
        return starts.map(|x| (x, 0.0)).collect();
    }
    let widest = widths.iter().copied().fold(0.0, f64::max);
    let columns = (((width + 30.0) / widest) as usize).max(1);
    (0..entries.len())
        .map(|i| ((i % columns) as f64 * width / columns as f64, (i / columns) as f64 * ROW_HEIGHT))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legends_stay_within_the_figure() {
        let entries = |label: &str, count| vec![LegendEntry::group(label, 0); count];
        assert!(layout(&entries("l1", 3), 1552.0).iter().all(|(_, y)| *y < 1.0));
        let many = layout(&entries("smooth-l1 · 1 · unet", 12), 1552.0);
        assert!(many.iter().all(|(x, _)| *x < 1400.0) && many[11].1 > many[0].1);
        assert_eq!(layout(&entries(&"long ".repeat(80), 2), 1552.0), [(0.0, 0.0), (0.0, ROW_HEIGHT)]);
    }
}
