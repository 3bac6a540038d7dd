//! Augmentation: random changes of training images, a function of seed, epoch and image alone.
//!
//! A picture goes through, in this order:
//! 1. `grey`: brightness, contrast, gamma, histogram shift — each a function of the grey value;
//! 2. `blur`: one Gaussian, where asked for; it also removes what would alias when the picture is made smaller;
//! 3. `warp`: translation, rotation and scale (`affine`) of the elastically deformed (`elastic`) patient, composed into
//!    one place to read for every pixel of the result: however many of them there are, the picture is interpolated once;
//! 4. `noise` and 5. `cutout`, at the result's own pixels, so that nothing smooths them.
//!
//! It starts from the picture at the network's input size, not from the original file. What the network is evaluated on
//! is that picture, made by a filter as wide as the reduction (twelve original pixels for ISBI's at 200 × 160); reading
//! the original anew through a turned filter of that width would cost several hundred taps a pixel in every epoch, and
//! memory for all originals, to save one bilinear interpolation between pixels that the reduction has smoothed already.
//! Six radiographs of 800 × 640, made smaller by 0.95 to 0.5, differed from the originals so resized by 0.8 to 1.9 of 255
//! grey levels (root mean square) at 200 × 160, and at 800 × 640 by 0.3 to 1.7, with `antialias` by 0.3 to 0.7. A test has
//! the same of phantoms.
//!
//! There are no flips: patients face one way, and a mirrored one is not among those the network will see.

mod affine;
mod blur;
mod cutout;
mod draw;
mod elastic;
mod grey;
mod noise;
mod warp;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::resize::Picture;
use affine::Affine;
use cutout::Cutout;
use draw::Draw;
use elastic::Elastic;
use grey::GreyTransform;
use sweep_core::error::{Error, Result};
use sweep_core::units::{Point, Size};

pub(super) use grey::ImageGreyTransform;

/// What to vary, and how far. The default varies nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// Grey values in [0, 1] are raised to a power between the first and the second, its logarithm uniform.
    #[serde(skip_serializing_if = "is_one")]
    pub gamma: [f64; 2],
    /// Grey values go through a random monotone curve: 1 is MONAI's `RandHistogramShift`, 0 the identity.
    #[serde(skip_serializing_if = "is_off")]
    pub histogram_shift: f64,
    /// Elastic deformation: control points of cubic B-splines move by up to ± this many mm of the patient along each axis.
    #[serde(skip_serializing_if = "is_off")]
    pub elastic_mm: f64,
    /// The control points' distance, mm.
    #[serde(skip_serializing_if = "is_default_grid")]
    pub elastic_grid_mm: f64,
    /// Gaussian blur, its σ uniform from 0 to this, pixels of the input.
    #[serde(skip_serializing_if = "is_off")]
    pub blur: f64,
    /// Whether a picture that is made smaller is first blurred by as much as keeps its finest detail from aliasing: σ² =
    /// (1/scale² − 1)/4, to which that of `blur` is added.
    #[serde(skip_serializing_if = "is_off")]
    pub antialias: bool,
    /// Gaussian noise, its standard deviation uniform from 0 to this; grey values reach from 0 to 1.
    #[serde(skip_serializing_if = "is_off")]
    pub noise: f64,
    /// A black rectangle, its sides uniform from 0 to this share of the picture's.
    #[serde(skip_serializing_if = "is_off")]
    pub cutout: f64,
}

/// Distance of the control points of Payer's 6 × 6 lattice on a lateral cephalogram of 240 mm.
const GRID_MM: f64 = 48.0;

/// Values that switch something off are not serialized, so that a new key changes no trial's name.
fn is_off<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
#[expect(clippy::float_cmp, reason = "what is off is exactly 1")]
fn is_one(range: &[f64; 2]) -> bool {
    *range == [1.0, 1.0]
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives references")]
fn is_default_grid(value: &f64) -> bool {
    *value == GRID_MM
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
            gamma: [1.0, 1.0],
            histogram_shift: 0.0,
            elastic_mm: 0.0,
            elastic_grid_mm: GRID_MM,
            blur: 0.0,
            antialias: false,
            noise: 0.0,
            cutout: 0.0,
        }
    }
}

impl AugmentSpec {
    /// Some of everything, to begin with.
    #[must_use]
    pub fn example() -> Self {
        Self {
            probability: 1.0,
            rotation_degrees: 10.0,
            translate: 0.05,
            scale: [0.9, 1.1],
            brightness: 0.3,
            contrast: 0.3,
            gamma: [0.7, 1.43],
            elastic_mm: 8.0,
            blur: 1.0,
            noise: 0.03,
            cutout: 0.2,
            ..Self::default()
        }
    }

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
            ("histogram_shift", self.histogram_shift, 1.0),
            ("blur", self.blur, LARGEST_BLUR),
            ("noise", self.noise, 1.0),
            ("cutout", self.cutout, 1.0),
        ];
        for (key, value, largest) in ranges {
            if !(0.0..=largest).contains(&value) {
                return Err(Error::definition(format!("{value} is not possible"))
                    .at(key)
                    .remedy(format!("a number from 0 to {largest}")));
            }
        }
        for (key, [low, high], what, example) in
            [("scale", self.scale, "magnifications", "[0.9, 1.1]"), ("gamma", self.gamma, "powers", "[0.7, 1.5]")]
        {
            if !(low > 0.0 && low <= high && high.is_finite()) {
                return Err(Error::definition(format!("[{low}, {high}] is not a range of {what}"))
                    .at(key)
                    .remedy(format!("two numbers above 0, the smaller one first, e.g. {example}")));
            }
        }
        if !(self.elastic_grid_mm >= 1.0 && self.elastic_grid_mm.is_finite()) {
            return Err(Error::definition(format!("{} is no distance of control points", self.elastic_grid_mm))
                .at("elastic_grid_mm")
                .remedy(format!("a number of mm of at least 1, e.g. {GRID_MM}")));
        }
        let largest = elastic::LARGEST * self.elastic_grid_mm;
        if !(0.0..=largest).contains(&self.elastic_mm) {
            let why = format!(
                "{} mm is not possible with control points {} mm apart: the picture could fold",
                self.elastic_mm, self.elastic_grid_mm
            );
            return Err(Error::definition(why)
                .at("elastic_mm")
                .remedy(format!("a number from 0 to {largest:.1}, or a larger `elastic_grid_mm`")));
        }
        Ok(())
    }

    /// Whether images stay as they are.
    #[must_use]
    pub fn is_none(&self) -> bool {
        let idle = Self {
            probability: self.probability,
            elastic_grid_mm: self.elastic_grid_mm,
            antialias: self.antialias,
            ..Self::default()
        };
        *self == idle || self.probability <= 0.0
    }

    /// Writes the picture as changed in this epoch to `pixels`, row by row, in [0, 1], and returns its landmarks;
    /// those that left it are `None`. `index` is the image's place in the data set.
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
        change.apply(picture, pixels);
        change.landmarks(picture)
    }

    /// The picture's change in this epoch; `None` where it stays unchanged.
    pub(super) fn change(&self, picture: &Picture, seed: u64, epoch: u64, index: u64) -> Option<Change> {
        let draw = Draw::new(self, seed, epoch, index);
        let (size, spacing) = (picture.size, picture.spacing);
        (draw.applies && !self.is_none()).then(|| Change {
            affine: Affine::new(draw.radians, draw.scale, draw.translation, size, spacing),
            elastic: (self.elastic_mm > 0.0)
                .then(|| Elastic::new((self.elastic_mm, self.elastic_grid_mm), (size, spacing), (seed, epoch, index))),
            values: GreyTransform {
                brightness: draw.brightness,
                contrast: draw.contrast,
                gamma: draw.gamma,
                curve: (self.histogram_shift > 0.0).then(|| grey::curve(self.histogram_shift, draw.curve)),
            },
            blur: {
                let lost = if self.antialias { (draw.scale.powi(-2) - 1.0).max(0.0) / 4.0 } else { 0.0 };
                (draw.blur.powi(2) + lost).sqrt().min(LARGEST_BLUR)
            },
            noise: draw.noise,
            noise_key: draw.noise_key,
            cutout: (self.cutout > 0.0).then(|| Cutout::new(self.cutout, draw.cutout, size)),
        })
    }
}

/// The change of one picture. Steps are in the order of application, except the first two, which are applied together.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) affine: Affine,
    pub(super) elastic: Option<Elastic>,
    pub(super) values: GreyTransform,
    /// Standard deviation of the Gaussian, pixels; less than [`LEAST_BLUR`] is none.
    pub(super) blur: f64,
    /// Standard deviation; 0 is none.
    pub(super) noise: f32,
    pub(super) noise_key: u64,
    pub(super) cutout: Option<Cutout>,
}

/// A Gaussian narrower than this many pixels has no weight beside its centre that 8-bit grey values would show.
const LEAST_BLUR: f64 = 0.25;
/// A wider one leaves nothing to find, and would need more weights than the GPU's kernels have room for.
const LARGEST_BLUR: f64 = 20.0;

impl Change {
    /// The picture as changed.
    fn apply(&self, picture: &Picture, pixels: &mut [f32]) {
        let size = picture.size;
        let greys = self.grey_transform(picture);
        let from = match self.blur_weights() {
            Some(weights) => {
                let mut blurred: Vec<f32> = picture.pixels.iter().map(|&v| greys.apply(v)).collect();
                // The result's memory is free until the result is written.
                blur::blur(&mut blurred, pixels, size, &weights);
                warp::bordered(&blurred, size, |v| v)
            }
            None => warp::bordered(&picture.pixels, size, |v| greys.apply(v)),
        };
        warp::warp(&self.affine, self.elastic.as_ref(), &from, size, pixels);
        if self.noise > 0.0 {
            noise::add(pixels, self.noise, self.noise_key);
        }
        if let Some(cutout) = self.cutout {
            cutout.apply(pixels, size.width);
        }
    }

    /// The change of grey values, with the picture's own mean.
    pub(super) fn grey_transform(&self, picture: &Picture) -> ImageGreyTransform {
        self.values.fit(&picture.pixels)
    }

    /// Positions in the picture of the pixels of a row of the result, from the one at `(left, y)` to the right; counted from
    /// one pixel before the picture's first.
    pub(super) fn sources(&self, start: [f64; 2], xs: &mut [f64], ys: &mut [f64]) {
        warp::sources(&self.affine, self.elastic.as_ref(), start, xs, ys);
    }

    /// Adds the noise of a part of the result whose first pixel, at the top left, is `(left, top)`, and blackens its part
    /// of the cutout.
    pub(super) fn finish(&self, [left, top]: [i64; 2], size: Size, pixels: &mut [f32]) {
        if self.noise > 0.0 {
            // Another key for every position, so that no two parts share their noise.
            let position = ((top as u64) << 32) ^ (left as u64 & u64::from(u32::MAX));
            noise::add(pixels, self.noise, self.noise_key ^ position);
        }
        if let Some(cutout) = self.cutout {
            cutout.apply_to_part(pixels, size, [left, top]);
        }
    }

    /// Weights of the Gaussian's centre and one side; `None` without blur.
    pub(super) fn blur_weights(&self) -> Option<Vec<f32>> {
        (self.blur >= LEAST_BLUR).then(|| blur::weights(self.blur))
    }

    /// The landmarks' new positions; `None` for those that left the picture.
    pub(super) fn landmarks(&self, picture: &Picture) -> Vec<Option<Point>> {
        let moved = |p: Point| {
            let deformed = self.elastic.as_ref().map_or(p, |elastic| elastic.inverse(p));
            Some(self.affine.forward(deformed)).filter(|p| p.is_inside(picture.size))
        };
        picture.landmarks.iter().map(|p| p.and_then(moved)).collect()
    }
}

#[cfg(test)]
mod tests;
