//! Images to the size a network takes.

use super::Sample;
use super::pixels::Pixels;
use sweep_core::units::{Point, Size, Spacing};

/// A sample as a network sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Size of `pixels`.
    pub size: Size,
    /// Values in [0, 1], row by row, plane after plane: grey, or red, green and blue.
    pub pixels: Pixels,
    /// In pixels of this picture; `None` where missing.
    pub landmarks: Vec<Option<Point>>,
    /// Size of a pixel of this picture, in the unit of the data set's errors: mm, or pixels of the original image.
    pub spacing: Spacing,
}

/// A rectangle of an image, which may reach beyond it: edges in pixels of the image, whose own lie at 0 and its size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Left edge.
    pub left: f64,
    /// Top edge.
    pub top: f64,
    /// From left to right.
    pub width: f64,
    /// From top to bottom.
    pub height: f64,
}

impl Picture {
    /// Number of planes: 1 in grey, 3 in colour.
    #[must_use]
    pub fn channels(&self) -> usize {
        (self.pixels.len() / self.size.area().max(1)).max(1)
    }
}

impl Window {
    /// All of an image.
    #[must_use]
    pub fn whole(image: Size) -> Self {
        Self { left: 0.0, top: 0.0, width: image.width as f64, height: image.height as f64 }
    }

    /// Where in the image a place lies, given in pixels of a picture of this size of what the window shows.
    #[must_use]
    pub fn place(self, p: Point, picture: Size) -> Point {
        let map = |v: f64, from: usize, start: f64, extent: f64| (v + 0.5) * extent / from as f64 - 0.5 + start;
        Point { x: map(p.x, picture.width, self.left, self.width), y: map(p.y, picture.height, self.top, self.height) }
    }
}

/// Resizes with a triangle filter as wide as the reduction, so that nothing aliases: what PyTorch calls bilinear
/// interpolation with antialiasing. Landmarks follow by [`Point::rescale`].
#[must_use]
pub fn resize(sample: &Sample, input: Size) -> Picture {
    placed(sample, input, view(&sample.pixels, sample.size, Window::whole(sample.size), input).into())
}

/// The part of an image that a window shows, `[C, h, w]`, resized as by [`resize`]: `[C, H, W]` in [0, 1]. What lies beyond the
/// image is black, as in augmented pictures.
///
/// # Panics
/// When there are not `from.area()` values for each channel.
#[must_use]
pub fn view(planes: &[u8], from: Size, window: Window, input: Size) -> Vec<f32> {
    assert!(planes.len().is_multiple_of(from.area()), "an image of another size");
    let columns = Filter::new(from.width, window.left, window.width, input.width);
    let rows = Filter::new(from.height, window.top, window.height, input.height);

    planes.chunks_exact(from.area()).flat_map(|plane| filtered(plane, from, input, &columns, &rows)).collect()
}

/// A plane along its rows first, [h, w] → [h, W]; then each output row is a blend of whole rows, [h, W] → [H, W].
fn filtered(plane: &[u8], from: Size, input: Size, columns: &Filter, rows: &Filter) -> Vec<f32> {
    let mut narrow = Vec::with_capacity(from.height * input.width);
    for row in plane.chunks_exact(from.width) {
        narrow.extend(columns.taps.iter().map(|tap| {
            let values = tap.weights.iter().zip(&row[tap.first..]);
            values.map(|(w, &v)| w * f32::from(v)).sum::<f32>() / 255.0
        }));
    }
    let mut pixels = vec![0.0; input.area()];
    for (out, tap) in pixels.chunks_exact_mut(input.width).zip(&rows.taps) {
        for (weight, row) in tap.weights.iter().zip(narrow[tap.first * input.width..].chunks_exact(input.width)) {
            for (o, v) in out.iter_mut().zip(row) {
                *o += weight * v;
            }
        }
        for o in out {
            *o = o.clamp(0.0, 1.0);
        }
    }
    pixels
}

/// The picture of a sample whose values at this size are known: landmarks and spacing follow.
pub(super) fn placed(sample: &Sample, input: Size, pixels: Pixels) -> Picture {
    let from = sample.size;
    Picture {
        size: input,
        pixels,
        landmarks: sample.landmarks.iter().map(|p| p.map(|p| p.rescale(from, input))).collect(),
        spacing: Spacing {
            x: sample.pixel_size().x * from.width as f64 / input.width as f64,
            y: sample.pixel_size().y * from.height as f64 / input.height as f64,
        },
    }
}

/// Source pixels and weights of each output pixel of one axis.
struct Filter {
    taps: Vec<Tap>,
}

/// Weights, which sum to 1, of consecutive input pixels; none where there are no such pixels.
struct Tap {
    first: usize,
    weights: Vec<f32>,
}

impl Filter {
    /// For `to` pixels of what reaches from `start` so far in a line of `from` pixels.
    fn new(from: usize, start: f64, extent: f64, to: usize) -> Self {
        let scale = extent / to as f64;
        let radius = scale.max(1.0);
        let taps = (0..to).map(|place| {
            let centre = (place as f64 + 0.5) * scale - 0.5 + start;
            if centre < -0.5 || centre > from as f64 - 0.5 {
                return Tap { first: 0, weights: Vec::new() };
            }
            let first = (centre - radius).ceil().max(0.0) as usize;
            let last = ((centre + radius).floor() as usize).min(from - 1);
            let weights: Vec<f64> =
                (first..=last).map(|i| (1.0 - (i as f64 - centre).abs() / radius).max(0.0)).collect();
            let sum: f64 = weights.iter().sum();
            Tap { first, weights: weights.iter().map(|w| (w / sum) as f32).collect() }
        });
        Self { taps: taps.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Split;

    fn sample(width: usize, height: usize, pixel: impl Fn(usize, usize) -> u8) -> Sample {
        Sample {
            image: "a".into(),
            split: Split::Train,
            size: Size { height, width },
            pixels: (0..width * height).map(|i| pixel(i % width, i / width)).collect(),
            landmarks: vec![Some(Point { x: -0.5, y: 1.5 }), None],
            spacing: Some(Spacing { x: 0.3, y: 0.2 }),
            patient: None,
        }
    }

    #[test]
    fn agrees_with_pillow() {
        // Image.fromarray(f).resize((4, 3), BILINEAR) of the 7×5 image, mode F.
        let picture = resize(&sample(7, 5, |x, y| ((x * x * 5 + y * 31 + x * y * 3) % 256) as u8), EXPECTED_SIZE);
        for (got, want) in picture.pixels.iter().zip(EXPECTED) {
            assert!((got * 255.0 - want).abs() < 1e-3, "{got} {want}");
        }
    }

    #[test]
    fn same_size_changes_nothing_and_enlarging_interpolates() {
        let same = resize(&sample(3, 2, |x, y| (x * 80 + y) as u8), Size { height: 2, width: 3 });
        assert!(
            same.pixels.iter().zip([0u8, 80, 160, 1, 81, 161]).all(|(p, v)| (p * 255.0 - f32::from(v)).abs() < 1e-4)
        );
        let twice = resize(&sample(2, 1, |x, _| x as u8 * 200), Size { height: 1, width: 4 });
        let grey: Vec<_> = twice.pixels.iter().map(|p| (p * 255.0).round() as u8).collect();
        assert_eq!(grey, [0, 50, 150, 200]);
    }

    #[test]
    fn a_window_shows_its_part_and_black_beyond() {
        let whole = sample(8, 6, |x, y| (x * 30 + y * 5) as u8);
        let window = Window { left: 2.0, top: -1.0, width: 4.0, height: 3.0 };
        let seen = view(&whole.pixels, whole.size, window, Size { height: 3, width: 4 });
        for (i, value) in seen.iter().enumerate() {
            let (x, y) = (i % 4 + 2, i / 4);
            let expected = if y == 0 { 0.0 } else { (x * 30 + (y - 1) * 5) as f32 };
            assert!((value * 255.0 - expected).abs() < 1e-3, "{i}: {value}");
        }
        // A place goes where the window says, and with the whole image where resizing says.
        let place = window.place(Point { x: 1.0, y: 2.0 }, Size { height: 3, width: 4 });
        assert_eq!(place, Point { x: 3.0, y: 1.0 });
        let (p, input) = (Point { x: 3.7, y: 1.2 }, Size { height: 4, width: 5 });
        assert_eq!(Window::whole(whole.size).place(p, input), p.rescale(input, whole.size));
        // Half beyond and enlarged: still finite, nothing read that is not there.
        let far = Window { left: 7.0, top: 5.0, width: 2.0, height: 2.0 };
        let seen = view(&whole.pixels, whole.size, far, Size { height: 5, width: 5 });
        assert!(seen.iter().all(|v| (0.0..=1.0).contains(v)) && seen[0] > 0.0 && seen[24] == 0.0);
    }

    #[test]
    fn stripes_finer_than_the_output_turn_grey_instead_of_aliasing() {
        let picture = resize(&sample(64, 8, |x, _| (x % 2) as u8 * 255), Size { height: 2, width: 10 });
        assert!(picture.pixels.iter().all(|p| (p - 0.5).abs() < 0.05), "{:?}", picture.pixels);
    }

    #[test]
    fn landmarks_and_spacing_follow() {
        let picture = resize(&sample(8, 4, |_, _| 0), Size { height: 2, width: 2 });
        assert_eq!(picture.landmarks, [Some(Point { x: -0.5, y: 0.5 }), None]);
        assert_eq!(picture.spacing, Spacing { x: 0.3 * 4.0, y: 0.2 * 2.0 });
    }

    const EXPECTED_SIZE: Size = Size { height: 3, width: 4 };
    const EXPECTED: [f32; 12] = [
        17.0544, 39.9600, 97.5257, 171.9932, 68.2381, 98.4800, 153.3422, 117.8466, 119.4218, 157.0000, 180.7143,
        77.2449,
    ];
}
