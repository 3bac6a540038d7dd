//! Cutout: a rectangle of the picture turns black, so that landmarks in it must be found from what is around.

use sweep_core::units::Size;

/// A rectangle of whole pixels, wholly inside the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cutout {
    /// First row.
    pub(crate) top: usize,
    /// First column.
    pub(crate) left: usize,
    /// Rows and columns.
    pub(crate) size: Size,
}

impl Cutout {
    /// Sides of up to the `largest` share of the picture's, anywhere; `units` (height, width, y, x) are uniform in [0, 1).
    pub(super) fn new(largest: f64, units: [f64; 4], size: Size) -> Self {
        let side = |length: usize, unit: f64| (largest * unit * length as f64).round() as usize;
        let sides = Size { height: side(size.height, units[0]), width: side(size.width, units[1]) };
        let start = |length: usize, side: usize, unit: f64| (unit * (length - side + 1) as f64) as usize;
        Self {
            top: start(size.height, sides.height, units[2]),
            left: start(size.width, sides.width, units[3]),
            size: sides,
        }
    }

    /// Blackens what of it lies in a part of the picture whose first pixel, at the top left, is `(left, top)`.
    pub(super) fn apply_to_part(self, pixels: &mut [f32], size: Size, [left, top]: [i64; 2]) {
        let within = |start: usize, length: usize, first: i64, end: usize| {
            let place = |at: usize| (at as i64 - first).clamp(0, end as i64) as usize;
            place(start)..place(start + length)
        };
        let columns = within(self.left, self.size.width, left, size.width);
        let rows = within(self.top, self.size.height, top, size.height);
        for row in pixels.chunks_exact_mut(size.width).take(rows.end).skip(rows.start) {
            row[columns.clone()].fill(0.0);
        }
    }

    /// Blackens it.
    pub(super) fn apply(self, pixels: &mut [f32], width: usize) {
        for row in pixels.chunks_exact_mut(width).skip(self.top).take(self.size.height) {
            row[self.left..][..self.size.width].fill(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rectangles_lie_inside_and_cover_what_they_say() {
        let size = Size { height: 20, width: 10 };
        let last = 1.0 - 1e-16;
        for units in [[0.0; 4], [last; 4], [0.5, 0.5, last, 0.0], [last, 0.0, 0.3, 0.9]] {
            let cutout = Cutout::new(1.0, units, size);
            assert!(cutout.top + cutout.size.height <= 20 && cutout.left + cutout.size.width <= 10, "{cutout:?}");
            let mut pixels = vec![1.0; size.area()];
            cutout.apply(&mut pixels, size.width);
            assert_eq!(pixels.iter().filter(|v| **v < 0.5).count(), cutout.size.area());
        }
        let cutout = Cutout::new(0.5, [0.4, 0.6, 0.999, 0.0], size);
        assert_eq!(cutout, Cutout { top: 16, left: 0, size: Size { height: 4, width: 3 } });
    }
}
