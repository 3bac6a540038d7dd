//! How a picture has to be turned to stand upright: EXIF's orientation, which JPEG, PNG and TIFF files may hold.
//!
//! The value says where the first stored row and column lie in the picture as viewers show it (CIPA DC-008, Exif 2.32,
//! tag 274; TIFF 6.0, tag Orientation).

use sweep_core::units::{Point, Size};

/// One of the eight orientations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Orientation(u8);

impl Orientation {
    /// The orientation of this EXIF value; a value that EXIF does not have means none, as viewers treat it.
    #[must_use]
    pub fn from_exif(value: u32) -> Self {
        Self(if (2..=8).contains(&value) { value as u8 - 1 } else { 0 })
    }

    /// The EXIF value, 1 to 8.
    #[must_use]
    pub fn exif(self) -> u8 {
        self.0 + 1
    }

    /// Whether the shown picture differs from the stored one.
    #[must_use]
    pub fn is_turned(self) -> bool {
        self.0 != 0
    }

    /// Whether stored rows are shown as columns.
    fn swaps(self) -> bool {
        self.exif() >= 5
    }

    /// Size of the shown picture, given the stored one's.
    #[must_use]
    pub fn size(self, stored: Size) -> Size {
        if self.swaps() { Size { height: stored.width, width: stored.height } } else { stored }
    }

    /// Where a position of a stored picture of this size lies in the shown one.
    #[must_use]
    pub fn point(self, p: Point, stored: Size) -> Point {
        let (right, bottom) = (stored.width as f64 - 1.0, stored.height as f64 - 1.0);
        let (x, y) = match self.exif() {
            2 => (right - p.x, p.y),
            3 => (right - p.x, bottom - p.y),
            4 => (p.x, bottom - p.y),
            5 => (p.y, p.x),
            6 => (bottom - p.y, p.x),
            7 => (bottom - p.y, right - p.x),
            8 => (p.y, right - p.x),
            _ => (p.x, p.y),
        };
        Point { x, y }
    }

    /// The picture as it is shown, from the stored one, row by row.
    pub(super) fn turn(self, stored: Size, mut pixels: Vec<u8>) -> Vec<u8> {
        let Size { height, width } = stored;
        if pixels.len() != stored.area() || width == 0 {
            return pixels;
        }
        match self.exif() {
            2 => pixels.chunks_exact_mut(width).for_each(<[u8]>::reverse),
            3 => pixels.reverse(),
            4 => {
                for y in 0..height / 2 {
                    let (above, below) = pixels.split_at_mut((height - 1 - y) * width);
                    above[y * width..(y + 1) * width].swap_with_slice(&mut below[..width]);
                }
            }
            5..=8 => {
                let flipped =
                    |index: usize, len: usize, is_flipped: bool| if is_flipped { len - 1 - index } else { index };
                let (across, down) = (matches!(self.exif(), 6 | 7), matches!(self.exif(), 7 | 8));
                let mut shown = Vec::with_capacity(pixels.len());
                for x in 0..width {
                    let column = flipped(x, width, down);
                    shown.extend((0..height).map(|y| pixels[flipped(y, height, across) * width + column]));
                }
                return shown;
            }
            _ => {}
        }
        pixels
    }

    /// Sizes of a pixel along the shown picture's axes.
    pub(super) fn spacing(self, stored: sweep_core::units::Spacing) -> sweep_core::units::Spacing {
        if self.swaps() { sweep_core::units::Spacing { x: stored.y, y: stored.x } } else { stored }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The eight orientations of EXIF, applied to
    /// ```text
    /// 1 2 3
    /// 4 5 6
    /// ```
    const SHOWN: [(u32, [u8; 6], usize); 8] = [
        (1, [1, 2, 3, 4, 5, 6], 3),
        (2, [3, 2, 1, 6, 5, 4], 3),
        (3, [6, 5, 4, 3, 2, 1], 3),
        (4, [4, 5, 6, 1, 2, 3], 3),
        (5, [1, 4, 2, 5, 3, 6], 2),
        (6, [4, 1, 5, 2, 6, 3], 2),
        (7, [6, 3, 5, 2, 4, 1], 2),
        (8, [3, 6, 2, 5, 1, 4], 2),
    ];

    #[test]
    fn all_eight_turn_pixels_and_positions_alike() {
        let stored = Size { height: 2, width: 3 };
        for (value, shown, width) in SHOWN {
            let orientation = Orientation::from_exif(value);
            assert_eq!(orientation.exif(), value as u8);
            assert_eq!(orientation.turn(stored, vec![1, 2, 3, 4, 5, 6]), shown, "{value}");
            assert_eq!(orientation.size(stored).width, width, "{value}");
            for index in 0..6usize {
                let p = orientation.point(Point { x: (index % 3) as f64, y: (index / 3) as f64 }, stored);
                assert_eq!(shown[p.y as usize * width + p.x as usize], index as u8 + 1, "{value}: {p:?}");
            }
        }
    }

    #[test]
    fn values_that_exif_lacks_turn_nothing() {
        for value in [0, 9, 255, 70_000] {
            assert!(!Orientation::from_exif(value).is_turned(), "{value}");
        }
    }
}
