//! Figures: a title above, a legend below, and the content between them.

use sweep_core::error::Result;

use super::canvas::Canvas;
use super::geometry::Rect;
use super::legend::{LegendEntry, ROW_HEIGHT, layout};
use super::text::{Anchor, SMALL_SIZE, TextStyle};

/// Width of every figure in pixels: legible at half of it.
const WIDTH: u32 = 1600;
/// Free border of a figure in pixels.
const MARGIN: f64 = 24.0;

/// A canvas with a title above and a legend below; between them lies the content.
pub struct Figure {
    /// The canvas, title and legend drawn.
    pub canvas: Canvas,
    /// Area of the panels.
    pub content: Rect,
}

impl Figure {
    /// A figure whose content is `height` pixels high.
    #[must_use]
    pub fn new(title: &str, subtitle: &str, legend: &[LegendEntry], height: f64) -> Self {
        let width = f64::from(WIDTH) - 2.0 * MARGIN;
        let (title_style, subtitle_style) = (TextStyle::bold(28.0), TextStyle::grey(SMALL_SIZE));
        let (titles, subtitles) = (title_style.wrap(title, width), subtitle_style.wrap(subtitle, width));
        let positions = layout(legend, width);
        let top = MARGIN + 38.0 * titles.len() as f64 + 30.0 * subtitles.len() as f64 + 10.0;
        let below = positions.last().map_or(0.0, |(_, y)| 14.0 + y + ROW_HEIGHT);
        let mut canvas = Canvas::new(WIDTH, (top + height + below + MARGIN).ceil() as u32);
        let mut y = MARGIN + 14.0;
        for line in titles {
            canvas.text(&line, (MARGIN, y), Anchor::Left, title_style);
            y += 38.0;
        }
        for line in subtitles {
            canvas.text(&line, (MARGIN, y - 2.0), Anchor::Left, subtitle_style);
            y += 30.0;
        }
        for (entry, (x, y)) in legend.iter().zip(positions) {
            let position = (MARGIN + x, top + height + 14.0 + ROW_HEIGHT / 2.0 + y);
            entry.draw(&mut canvas, position, MARGIN + width);
        }
        let content = Rect { left: MARGIN, top, right: MARGIN + width, bottom: top + height };
        Self { canvas, content }
    }

    /// The figure as a PNG.
    ///
    /// # Errors
    /// When something could not be drawn or encoded.
    pub fn png(&self) -> Result<Vec<u8>> {
        self.canvas.png()
    }
}
