//! Test-time augmentation: several slightly shifted and magnified views of an image. Every second one is mirrored for networks
//! that were trained on mirrored images, and for no others: patients on radiographs face one way.

use sweep_core::units::Size;
use sweep_data::resize::Window;

/// A view of an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    /// Shift as a share of the image's width and height.
    shift: [f64; 2],
    /// Magnification about the centre.
    magnification: f64,
    /// Whether networks that were trained on mirrored images see it mirrored.
    mirrored: bool,
}

/// Largest shift to either side, as a share of width and height: a few pixels of any input, and no multiple of the strides
/// of pooling, which would give the same features.
const SHIFT: f64 = 0.015;
/// Largest difference of a magnification from 1.
const MAGNIFICATION: f64 = 0.03;

impl View {
    /// The whole image, unchanged.
    pub const PLAIN: Self = Self { shift: [0.0, 0.0], magnification: 1.0, mirrored: false };

    /// Whether networks that were trained on mirrored images see it mirrored.
    #[must_use]
    pub fn is_mirrored(self) -> bool {
        self.mirrored
    }

    /// The part of an image that the view shows.
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

/// Views and stages whose predictions are combined.
#[derive(Debug, Clone, PartialEq)]
pub struct TtaViews {
    /// Views of every image, for every network.
    pub views: Vec<View>,
    /// Whether predictions of both stages are combined, instead of using the second stage's alone.
    pub both_stages: bool,
}

impl TtaViews {
    /// This number of [`views`], with predictions of the last stage.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self { views: views(count), both_stages: false }
    }
}

/// `count` views, the first of them plain. Fewer views are a prefix of more views, and shifts and magnifications are evenly
/// distributed: the additive recurrence of Roberts in three dimensions.
#[must_use]
pub fn views(count: usize) -> Vec<View> {
    // The only real number above 1 with g⁴ = g + 1.
    const G: f64 = 1.220_744_084_605_759_5;
    let at = |index: usize, power: i32| 2.0 * (0.5 + index as f64 / G.powi(power)).fract() - 1.0;
    let view = |index: usize| View {
        shift: [SHIFT * at(index, 1), SHIFT * at(index, 2)],
        magnification: 1.0 + MAGNIFICATION * at(index, 3),
        mirrored: !index.is_multiple_of(2),
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
        let centres: Vec<Point> =
            many.iter().map(|v| v.window(PICTURE).place(Point { x: 79.5, y: 99.5 }, INPUT)).collect();
        let mean = |of: &dyn Fn(&Point) -> f64| centres.iter().map(of).sum::<f64>() / centres.len() as f64;
        // Within a twentieth of the largest shift: 9.6 and 12 pixels.
        let off = [mean(&|p| p.x) - centre.x, mean(&|p| p.y) - centre.y];
        assert!(off[0].abs() < 0.48 && off[1].abs() < 0.6, "{off:?}");
        let furthest = centres.iter().map(|p| (p.x - centre.x).abs()).fold(0.0, f64::max);
        assert!(furthest > 8.0 && furthest < 10.5, "{furthest}");
        let magnification = many.iter().map(|v| v.magnification).sum::<f64>() / 200.0;
        assert!((magnification - 1.0).abs() < 1e-3 && many.iter().all(|v| (0.97..=1.03).contains(&v.magnification)));
    }
}
