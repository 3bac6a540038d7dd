//! Strokes: colour, width and dashes of lines.

use super::colour::Colour;
use super::geometry::PixelPoint;

/// Dash pattern of a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Dash {
    /// Uninterrupted.
    Solid,
    /// Dashes with gaps of about their length.
    Dashed,
    /// Dots.
    Dotted,
}

/// Colour, width (pixels) and dash pattern of a line.
#[derive(Debug, Clone, Copy)]
pub struct Stroke {
    pub(crate) colour: Colour,
    pub(crate) width: f64,
    pub(crate) dash: Dash,
}

impl Stroke {
    /// An uninterrupted line.
    #[must_use]
    pub fn solid(colour: Colour, width: f64) -> Self {
        Self { colour, width, dash: Dash::Solid }
    }

    pub(crate) fn dashed(colour: Colour, width: f64) -> Self {
        Self { colour, width, dash: Dash::Dashed }
    }

    pub(crate) fn dotted(colour: Colour, width: f64) -> Self {
        Self { colour, width, dash: Dash::Dotted }
    }

    /// The visible pieces of a line through `points`.
    pub(super) fn pieces(self, points: &[PixelPoint]) -> Vec<Vec<PixelPoint>> {
        let (on, off) = match self.dash {
            Dash::Solid => return vec![points.to_vec()],
            // Round caps lengthen each dash by the line's width.
            Dash::Dashed => (5.0 + 2.0 * self.width, 4.0 + 2.0 * self.width),
            Dash::Dotted => (0.1, 2.0 + 2.0 * self.width),
        };
        let mut pieces = Vec::new();
        let (mut visible, mut left) = (true, on);
        let mut piece: Vec<PixelPoint> = points.first().copied().into_iter().collect();
        for pair in points.windows(2) {
            let [mut a, b] = [pair[0], pair[1]];
            loop {
                let distance = (b.0 - a.0).hypot(b.1 - a.1);
                if distance <= left {
                    left -= distance;
                    if visible {
                        piece.push(b);
                    }
                    break;
                }
                a = (a.0 + (b.0 - a.0) * left / distance, a.1 + (b.1 - a.1) * left / distance);
                if visible {
                    piece.push(a);
                    pieces.push(std::mem::take(&mut piece));
                } else {
                    piece = vec![a];
                }
                visible = !visible;
                left = if visible { on } else { off };
            }
        }
        pieces.push(piece);
        pieces.retain(|p| p.len() > 1);
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::super::colour::BLACK;
    use super::*;

    #[test]
    fn dashes_cover_their_share_of_the_line() {
        let pieces = Stroke::dashed(BLACK, 2.0).pieces(&[(0.0, 0.0), (40.0, 0.0), (40.0, 62.0)]);
        let length: f64 =
            pieces.iter().flat_map(|p| p.windows(2)).map(|s| (s[1].0 - s[0].0).abs() + (s[1].1 - s[0].1).abs()).sum();
        assert_eq!(pieces.len(), 6);
        assert!((length - 54.0).abs() < 1e-9, "{length}");
    }
}
