//! Augmentation: random rotation, translation, scale, brightness and contrast, a function of seed, epoch and image.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::resize::Picture;
use crate::error::{Error, Result};
use crate::seed::{self, Stream};
use crate::units::{Point, Size, Spacing};

/// What to vary, and how far. The default varies nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentSpec {
    /// Share of images that are changed at all.
    pub probability: f64,
    /// Rotation about the centre, uniform within ± this many degrees; a true rotation of the patient, also where
    /// pixels are not square.
    pub rotation_degrees: f64,
    /// Translation, uniform within ± this fraction of width and of height.
    pub translate: f64,
    /// Magnification about the centre, uniform from the first to the second.
    pub scale: [f64; 2],
    /// Grey values are multiplied by a factor uniform in 1 ± this.
    pub brightness: f64,
    /// Distances from the image's mean grey are multiplied by a factor uniform in 1 ± this.
    pub contrast: f64,
}

impl Default for AugmentSpec {
    fn default() -> Self {
        Self {
            probability: 1.0,
            rotation_degrees: 0.0,
            translate: 0.0,
            scale: [1.0, 1.0],
            brightness: 0.0,
            contrast: 0.0,
        }
    }
}

/// What becomes of one image in one epoch.
struct Draw {
    applies: bool,
    rotation: f64,
    translation: [f64; 2],
    scale: f64,
    brightness: f32,
    contrast: f32,
}

impl AugmentSpec {
    /// Whether every number is possible.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<()> {
        let ranges = [
            ("probability", self.probability, 1.0),
            ("rotation_degrees", self.rotation_degrees, 180.0),
            ("translate", self.translate, 1.0),
            ("brightness", self.brightness, 1.0),
            ("contrast", self.contrast, 1.0),
        ];
        for (key, value, largest) in ranges {
            if !(0.0..=largest).contains(&value) {
                return Err(Error::definition(format!("{value} is not possible"))
                    .at(key)
                    .remedy(format!("a number from 0 to {largest}")));
            }
        }
        let [low, high] = self.scale;
        if !(low > 0.0 && low <= high && high.is_finite()) {
            return Err(Error::definition(format!("[{low}, {high}] is not a range of magnifications"))
                .at("scale")
                .remedy("two numbers above 0, the smaller one first, e.g. [0.9, 1.1]"));
        }
        Ok(())
    }

    /// Whether images stay as they are.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self { probability: self.probability, ..Self::default() } || self.probability <= 0.0
    }

    /// Writes the picture as changed in this epoch to `pixels`, row by row, in [0, 1], and returns its landmarks;
    /// those that left it are `None`. `index` is the image's place in the data set.
    ///
    /// Contrast and brightness first, then rotation, scale and translation as one bilinear resampling; what was
    /// outside is black.
    pub fn apply(
        &self,
        picture: &Picture,
        seed: u64,
        epoch: u64,
        index: u64,
        pixels: &mut [f32],
    ) -> Vec<Option<Point>> {
        let Some(change) = self.change(picture, seed, epoch, index) else {
            pixels.copy_from_slice(&picture.pixels);
            return picture.landmarks.clone();
        };
        let grey = jitter(&picture.pixels, change.brightness, change.contrast);
        change.affine.warp(&bordered(&picture.pixels, picture.size, grey), picture.size, pixels);
        change.landmarks(picture)
    }

    /// What becomes of the picture in this epoch; `None` where it stays as it is.
    pub(super) fn change(&self, picture: &Picture, seed: u64, epoch: u64, index: u64) -> Option<Change> {
        let draw = self.draw(seed, epoch, index);
        (draw.applies && !self.is_none()).then(|| Change {
            affine: Affine::new(&draw, picture.size, picture.spacing),
            brightness: draw.brightness,
            contrast: draw.contrast,
        })
    }

    /// Draws every number whether it is used or not, so that no setting changes what the others draw.
    fn draw(&self, seed: u64, epoch: u64, index: u64) -> Draw {
        let mut rng = seed::derive(seed, Stream::Augment, epoch, index);
        let mut unit = || rng.random_range(0.0..1.0);
        let applies = unit() < self.probability;
        let mut around = |middle: f64, reach: f64| middle + reach * (2.0 * unit() - 1.0);
        let [low, high] = self.scale;
        Draw {
            applies,
            rotation: around(0.0, self.rotation_degrees).to_radians(),
            translation: [around(0.0, self.translate), around(0.0, self.translate)],
            scale: around(f64::midpoint(low, high), (high - low) / 2.0),
            brightness: around(1.0, self.brightness) as f32,
            contrast: around(1.0, self.contrast) as f32,
        }
    }
}

/// What becomes of one picture: grey values first, then places.
#[derive(Debug, Clone)]
pub(super) struct Change {
    affine: Affine,
    /// Grey values are multiplied by it.
    pub(super) brightness: f32,
    /// Distances from the mean grey are.
    pub(super) contrast: f32,
}

impl Change {
    /// Where the picture's landmarks are now; `None` for those that left it.
    pub(super) fn landmarks(&self, picture: &Picture) -> Vec<Option<Point>> {
        let moved = |p: Point| Some(self.affine.forward(p)).filter(|p| p.is_inside(picture.size));
        picture.landmarks.iter().map(|p| p.and_then(moved)).collect()
    }

    /// A place of the result is read at `centre + inverse·(place − centre − shift)`.
    #[cfg(any(feature = "cuda", test))]
    pub(super) fn inverse(&self) -> [[f64; 2]; 2] {
        self.affine.inverse()
    }

    /// As in [`Change::inverse`].
    #[cfg(any(feature = "cuda", test))]
    pub(super) fn centre(&self) -> Point {
        self.affine.centre
    }

    /// As in [`Change::inverse`].
    #[cfg(any(feature = "cuda", test))]
    pub(super) fn shift(&self) -> Point {
        self.affine.shift
    }
}

/// What becomes of a grey value of this picture: brightness, then contrast, each clamped to [0, 1], as torchvision's
/// `ColorJitter`.
fn jitter(pixels: &[f32], brightness: f32, contrast: f32) -> impl Fn(f32) -> f32 {
    let brighter = move |v: f32| (v * brightness).clamp(0.0, 1.0);
    let sum: f64 = pixels.iter().map(|&v| f64::from(brighter(v))).sum();
    let mean = (sum / pixels.len() as f64) as f32;
    move |v| (mean + (brighter(v) - mean) * contrast).clamp(0.0, 1.0)
}

/// The picture with every grey value changed, inside a border of one black pixel: `[H, W]` → `[H + 2, W + 2]`.
fn bordered(pixels: &[f32], size: Size, change: impl Fn(f32) -> f32) -> Vec<f32> {
    let stride = size.width + 2;
    let mut wide = vec![0.0; stride * (size.height + 2)];
    for (row, from) in wide[stride..].chunks_exact_mut(stride).zip(pixels.chunks_exact(size.width)) {
        for (value, &old) in row[1..].iter_mut().zip(from) {
            *value = change(old);
        }
    }
    wide
}

/// `p ↦ centre + M·(p − centre) + shift`, in pixels.
#[derive(Debug, Clone)]
struct Affine {
    centre: Point,
    matrix: [[f64; 2]; 2],
    shift: Point,
}

impl Affine {
    /// M turns and magnifies in millimetres: pixels → mm → rotate, scale → pixels.
    fn new(draw: &Draw, size: Size, spacing: Spacing) -> Self {
        let (sin, cos) = draw.rotation.sin_cos();
        let aspect = spacing.y / spacing.x;
        Self {
            centre: Point { x: (size.width as f64 - 1.0) / 2.0, y: (size.height as f64 - 1.0) / 2.0 },
            matrix: [[cos, -sin * aspect], [sin / aspect, cos]].map(|row| row.map(|v| v * draw.scale)),
            shift: Point { x: draw.translation[0] * size.width as f64, y: draw.translation[1] * size.height as f64 },
        }
    }

    /// Where a place of the old picture is in the new one.
    fn forward(&self, p: Point) -> Point {
        let [along_x, along_y] = self.matrix;
        let (dx, dy) = (p.x - self.centre.x, p.y - self.centre.y);
        Point {
            x: self.centre.x + along_x[0] * dx + along_x[1] * dy + self.shift.x,
            y: self.centre.y + along_y[0] * dx + along_y[1] * dy + self.shift.y,
        }
    }

    fn inverse(&self) -> [[f64; 2]; 2] {
        let [[a, b], [c, d]] = self.matrix;
        let determinant = a * d - b * c;
        [[d / determinant, -b / determinant], [-c / determinant, a / determinant]]
    }

    /// Each new pixel is read, bilinearly, where it was in the old picture, which comes with a border of one black
    /// pixel: `[H + 2, W + 2]` → `[H, W]`.
    fn warp(&self, from: &[f32], size: Size, to: &mut [f32]) {
        let inverse = self.inverse();
        let stride = size.width + 2;
        let (right, bottom) = (size.width as f64 + 1.0, size.height as f64 + 1.0);
        for (y, row) in to.chunks_exact_mut(size.width).enumerate() {
            let dy = y as f64 - self.centre.y - self.shift.y;
            let start = [0, 1].map(|axis| inverse[axis][1] * dy + [self.centre.x, self.centre.y][axis] + 1.0);
            for (x, value) in row.iter_mut().enumerate() {
                let dx = x as f64 - self.centre.x - self.shift.x;
                let (source_x, source_y) = (start[0] + inverse[0][0] * dx, start[1] + inverse[1][0] * dx);
                *value = if source_x >= 0.0 && source_x < right && source_y >= 0.0 && source_y < bottom {
                    let (left, top) = (source_x as usize, source_y as usize);
                    let (fx, fy) = ((source_x - left as f64) as f32, (source_y - top as f64) as f32);
                    let at = top * stride + left;
                    let (upper, lower) = (&from[at..at + 2], &from[at + stride..at + stride + 2]);
                    let mix = |pair: &[f32]| pair[0] + (pair[1] - pair[0]) * fx;
                    mix(upper) + (mix(lower) - mix(upper)) * fy
                } else {
                    0.0
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { height: 96, width: 72 };

    fn strong() -> AugmentSpec {
        AugmentSpec {
            probability: 1.0,
            rotation_degrees: 25.0,
            translate: 0.1,
            scale: [0.8, 1.2],
            brightness: 0.5,
            contrast: 0.5,
        }
    }

    /// Soft dots of radius 2 px at `points` on black.
    fn dots(points: &[Point]) -> Picture {
        let pixel = |i: usize| {
            let p = Point { x: (i % SIZE.width) as f64, y: (i / SIZE.width) as f64 };
            points.iter().map(|q| (-p.distance(*q).0.powi(2) / 8.0).exp()).sum::<f64>() as f32
        };
        Picture {
            size: SIZE,
            pixels: (0..SIZE.area()).map(pixel).collect::<Vec<_>>().into(),
            landmarks: points.iter().copied().map(Some).collect(),
            spacing: Spacing { x: 1.0, y: 0.8 },
        }
    }

    fn centroid(pixels: &[f32]) -> Point {
        let (mut x, mut y, mut sum) = (0.0, 0.0, 0.0);
        for (i, &v) in pixels.iter().enumerate() {
            x += f64::from(v) * (i % SIZE.width) as f64;
            y += f64::from(v) * (i / SIZE.width) as f64;
            sum += f64::from(v);
        }
        Point { x: x / sum, y: y / sum }
    }

    #[test]
    fn a_dot_follows_its_landmark() {
        let spec = AugmentSpec { brightness: 0.0, contrast: 0.0, ..strong() };
        let mut worst = 0.0f64;
        for (epoch, place) in [(20.3, 33.0), (36.0, 48.5), (50.0, 61.7)].into_iter().enumerate() {
            let dot = dots(&[Point { x: place.0, y: place.1 }]);
            for index in 0..40 {
                let mut pixels = vec![0.0; SIZE.area()];
                let landmark = spec.apply(&dot, 7, epoch as u64, index, &mut pixels)[0].unwrap();
                worst = worst.max(landmark.distance(centroid(&pixels)).0);
            }
        }
        assert!(worst < 0.05, "{worst} px");
    }

    #[test]
    fn the_patient_is_turned_not_sheared() {
        let [p, q, r] = [(30.0, 40.0), (42.0, 40.0), (30.0, 55.0)].map(|(x, y)| Point { x, y });
        let picture = dots(&[p, q, r]);
        let spec = AugmentSpec { rotation_degrees: 90.0, translate: 0.02, ..strong() };
        for index in 0..20 {
            let mut pixels = vec![0.0; SIZE.area()];
            let moved: Vec<_> = spec.apply(&picture, 1, 1, index, &mut pixels).into_iter().flatten().collect();
            let scale = spec.draw(1, 1, index).scale;
            for (i, j, before) in [(0, 1, 12.0), (0, 2, 12.0), (1, 2, 12.0 * 2.0f64.sqrt())] {
                let after = picture.spacing.distance(moved[i], moved[j]).0;
                assert!((after - before * scale).abs() < 1e-9, "{i}–{j}: {after} mm");
            }
        }
    }

    #[test]
    fn depends_on_seed_epoch_and_image_alone() {
        let picture = dots(&[Point { x: 30.0, y: 40.0 }]);
        let run = |seed, epoch, index| {
            let mut pixels = vec![0.0; SIZE.area()];
            let landmarks = strong().apply(&picture, seed, epoch, index, &mut pixels);
            (pixels, landmarks)
        };
        assert_eq!(run(1, 2, 3), run(1, 2, 3));
        assert!([run(0, 2, 3), run(1, 0, 3), run(1, 2, 0)].iter().all(|other| *other != run(1, 2, 3)));
    }

    #[test]
    fn probability_is_the_share_of_changed_images() {
        let picture = dots(&[Point { x: 30.0, y: 40.0 }]);
        let spec = AugmentSpec { probability: 0.7, ..strong() };
        let mut pixels = vec![0.0; SIZE.area()];
        let changed = (0..400).filter(|&i| spec.apply(&picture, 0, 1, i, &mut pixels) != picture.landmarks).count();
        // 0.7 ± 4 standard deviations.
        assert!((243..=317).contains(&changed), "{changed} of 400");
        assert!(AugmentSpec::default().is_none() && !spec.is_none());
        AugmentSpec::default().apply(&picture, 0, 1, 0, &mut pixels);
        assert_eq!(pixels, *picture.pixels);
    }

    #[test]
    fn landmarks_that_leave_the_picture_are_masked_and_the_void_is_black() {
        let mut picture = dots(&[Point { x: 1.0, y: 1.0 }, Point { x: 36.0, y: 48.0 }]);
        picture.pixels = vec![1.0; SIZE.area()].into();
        let spec = AugmentSpec { rotation_degrees: 0.0, translate: 0.4, brightness: 0.0, contrast: 0.0, ..strong() };
        let mut gone = 0;
        for index in 0..50 {
            let mut pixels = vec![0.5; SIZE.area()];
            let landmarks = spec.apply(&picture, 3, 1, index, &mut pixels);
            gone += usize::from(landmarks[0].is_none());
            let [x, y] = spec.draw(3, 1, index).translation;
            if x > 0.2 && y > 0.2 {
                assert!(landmarks[1].is_some());
                assert!(pixels[0].abs() < 1e-6);
            }
        }
        assert!((20..50).contains(&gone), "{gone} of 50");
    }

    #[test]
    fn jitter_is_that_of_torchvision() {
        // adjust_contrast(adjust_brightness(x, 1.5), 0.5): 0.3, 0.6, 1 (clamped); their mean 0.6333.
        let pixels = [0.2, 0.4, 0.8];
        let change = jitter(&pixels, 1.5, 0.5);
        for (got, want) in pixels.map(change).into_iter().zip([0.466_67, 0.616_67, 0.816_67]) {
            assert!((got - want).abs() < 1e-4, "{got} {want}");
        }
    }

    #[test]
    fn impossible_numbers_name_their_key() {
        let place = |spec: AugmentSpec| spec.check().unwrap_err().place.unwrap();
        assert_eq!(strong().check(), Ok(()));
        assert_eq!(place(AugmentSpec { probability: 1.1, ..strong() }), "probability");
        assert_eq!(place(AugmentSpec { rotation_degrees: f64::NAN, ..strong() }), "rotation_degrees");
        assert_eq!(place(AugmentSpec { translate: -0.1, ..strong() }), "translate");
        assert_eq!(place(AugmentSpec { scale: [1.1, 0.9], ..strong() }), "scale");
        assert_eq!(place(AugmentSpec { scale: [0.0, 0.9], ..strong() }), "scale");
        assert!(toml::from_str::<AugmentSpec>("rotate = 3").is_err());
    }
}
