//! Positions and rectangles in pixels of the figure.

/// Rendered pixels per pixel of the figure, in each direction.
pub(super) const OVERSAMPLING: u32 = 2;

/// A position: pixels to the right of and below the figure's upper left corner.
pub type PixelPoint = (f64, f64);

/// A rectangle, in pixels of the figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rect {
    /// Left edge.
    pub left: f64,
    /// Upper edge.
    pub top: f64,
    /// Right edge.
    pub right: f64,
    /// Lower edge.
    pub bottom: f64,
}

impl Rect {
    /// Width in pixels.
    #[must_use]
    pub fn width(self) -> f64 {
        self.right - self.left
    }

    /// Height in pixels.
    #[must_use]
    pub fn height(self) -> f64 {
        self.bottom - self.top
    }

    /// Cell `index` of a grid with `gap` pixels between cells, counted row by row.
    pub(crate) fn cell(self, index: usize, columns: usize, rows: usize, gap: f64) -> Self {
        let width = (self.width() - gap * (columns - 1) as f64) / columns as f64;
        let height = (self.height() - gap * (rows - 1) as f64) / rows as f64;
        let left = self.left + (index % columns) as f64 * (width + gap);
        let top = self.top + (index / columns) as f64 * (height + gap);
        Self { left, top, right: left + width, bottom: top + height }
    }
}

/// Distance of a point from the segment between `a` and `b`.
pub(super) fn distance_to_segment(point: PixelPoint, a: PixelPoint, b: PixelPoint) -> f64 {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let length = dx * dx + dy * dy;
    let along =
        if length > 0.0 { (((point.0 - a.0) * dx + (point.1 - a.1) * dy) / length).clamp(0.0, 1.0) } else { 0.0 };
    // Positions of pixels neither overflow nor vanish when squared.
    ((point.0 - a.0 - along * dx).powi(2) + (point.1 - a.1 - along * dy).powi(2)).sqrt()
}

/// Splits a segment into pieces whose bounding boxes are small.
pub(super) fn short_segments(a: PixelPoint, b: PixelPoint) -> impl Iterator<Item = (PixelPoint, PixelPoint)> {
    let count = ((b.0 - a.0).abs().min((b.1 - a.1).abs()) / 16.0).ceil().clamp(1.0, 1000.0) as u32;
    let position = move |i: u32| {
        let share = f64::from(i) / f64::from(count);
        (a.0 + share * (b.0 - a.0), a.1 + share * (b.1 - a.1))
    };
    (0..count).map(move |i| (position(i), position(i + 1)))
}

/// A position in rendered pixels. Positions far outside the canvas are clamped, so that they cannot overflow.
pub(super) fn rendered((x, y): PixelPoint) -> (i32, i32) {
    let round = |v: f64| (v.clamp(-1e5, 1e5) * f64::from(OVERSAMPLING)).round() as i32;
    (round(x), round(y))
}
