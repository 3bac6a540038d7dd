//! Test-time augmentation: a picture looked at several times, a little shifted and magnified each time. Never flipped:
//! patients face one way.

use sweep_core::units::Size;
use sweep_data::resize::Window;

/// A look at a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    /// What is seen is moved by this share of the picture's width and height.
    shift: [f64; 2],
    /// And magnified about its centre.
    magnification: f64,
}

/// Shifts reach this share of width and height to either side: a few pixels of any input, and no multiple of what
/// pooling would bring back to the same pixels.
const SHIFT: f64 = 0.015;
/// Magnifications reach so far from 1 to either side.
const MAGNIFICATION: f64 = 0.03;

impl View {
    /// As it is.
    pub const PLAIN: Self = Self { shift: [0.0, 0.0], magnification: 1.0 };

    /// The part of a picture that it shows.
    #[must_use]
    pub fn window(self, picture: Size) -> Window {
        if self == Self::PLAIN {
            return Window::whole(picture);
        }
        let [width, height] = [picture.width as f64, picture.height as f64];
        let (w, h) = (width / self.magnification, height / self.magnification);
        Window {
            left: (width - w) / 2.0 - self.shift[0] * w,
            top: (height - h) / 2.0 - self.shift[1] * h,
            width: w,
            height: h,
        }
    }
}

/// What is joined to a prediction, beside what several networks see.
#[derive(Debug, Clone, PartialEq)]
pub struct TtaViews {
    /// How a picture is looked at, each time by every network.
    pub views: Vec<View>,
    /// Whether of two stages what the first sees counts as much as what the second does, instead of only leading there.
    pub both_stages: bool,
}

impl TtaViews {
    /// So many [`views`], and of two stages what the second sees.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self { views: views(count), both_stages: false }
    }
}

/// So many views, the first of them plain. More views begin with the same ones, and all of them fill shifts and
/// magnifications evenly: the additive recurrence of Roberts in three dimensions.
#[must_use]
pub fn views(count: usize) -> Vec<View> {
    // The one number with g⁴ = g + 1 above 1.
    const G: f64 = 1.220_744_084_605_759_5;
    let at = |index: usize, power: i32| 2.0 * (0.5 + index as f64 / G.powi(power)).fract() - 1.0;
    let view = |index: usize| View {
        shift: [SHIFT * at(index, 1), SHIFT * at(index, 2)],
        magnification: 1.0 + MAGNIFICATION * at(index, 3),
    };
    (0..count).map(|index| if index == 0 { View::PLAIN } else { view(index) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sweep_core::units::Point;

    const PICTURE: Size = Size { height: 800, width: 640 };
    const INPUT: Size = Size { height: 200, width: 160 };

    #[test]
    fn the_first_view_is_plain_and_more_views_begin_alike() {
        assert_eq!(views(1), [View::PLAIN]);
        assert_eq!(views(9)[..4], views(4));
        assert_eq!(View::PLAIN.window(PICTURE), Window::whole(PICTURE));
    }

    #[test]
    fn views_lie_around_the_plain_one() {
        let centre = Point { x: 319.5, y: 399.5 };
        let many = views(200);
        let seen: Vec<Point> =
            many.iter().map(|v| v.window(PICTURE).place(Point { x: 79.5, y: 99.5 }, INPUT)).collect();
        let mean = |of: &dyn Fn(&Point) -> f64| seen.iter().map(of).sum::<f64>() / seen.len() as f64;
        // MidEpoch a twentieth of how far they reach: 9.6 and 12 pixels.
        let off = [mean(&|p| p.x) - centre.x, mean(&|p| p.y) - centre.y];
        assert!(off[0].abs() < 0.48 && off[1].abs() < 0.6, "{off:?}");
        let furthest = seen.iter().map(|p| (p.x - centre.x).abs()).fold(0.0, f64::max);
        assert!(furthest > 8.0 && furthest < 10.5, "{furthest}");
        let magnification = many.iter().map(|v| v.magnification).sum::<f64>() / 200.0;
        assert!((magnification - 1.0).abs() < 1e-3 && many.iter().all(|v| (0.97..=1.03).contains(&v.magnification)));
    }
}
