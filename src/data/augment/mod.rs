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
//! All channels of a picture in colour are changed alike, by one draw; noise alone is drawn for each.
//!
//! A mirrored picture's landmarks change names where the data set says so ([`crate::flips`]): the mirror image of a left ear
//! is a right one. Patients on radiographs face one way, and need no mirror.

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

use super::flips::{Sides, check_pairs, partners};
use super::resize::Picture;
use affine::Affine;
use cutout::Cutout;
use draw::Draw;
use elastic::Elastic;
use grey::GreyTransform;
use sweep_core::error::{Error, Result};
use sweep_core::units::{Point, Size, Spacing};

pub(super) use grey::{ImageGreyTransform, POINTS};

/// Properties to vary, and how far. The default varies nothing.
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
    /// Share of the changed images that are mirrored, left and right; landmarks of `flip_pairs` change places.
    #[serde(skip_serializing_if = "is_off")]
    pub flip: f64,
    /// Landmarks that change places in a mirrored image; by default those of `flip_pairs` in dataset.toml.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flip_pairs: Option<Vec<[String; 2]>>,
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
            flip: 0.0,
            flip_pairs: None,
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
            ("flip", self.flip, 1.0),
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
            flip_pairs: self.flip_pairs.clone(),
            ..Self::default()
        };
        *self == idle || self.probability <= 0.0
    }

    /// Fills in which landmarks change places in a mirrored image, where images are mirrored and nothing says it yet.
    ///
    /// # Errors
    /// When the data set does not say it either; or a landmark of a pair is not there. The place is the key.
    pub fn resolve_pairs(&mut self, sides: &Sides) -> Result<()> {
        if self.flip <= 0.0 {
            // Pairs that no image needs are part of no trial.
            self.flip_pairs = None;
            return Ok(());
        }
        let pairs = match self.flip_pairs.take() {
            Some(pairs) => pairs,
            None => sides.pairs().map_err(|e| e.at("flip"))?,
        };
        check_pairs(&pairs, &sides.landmarks).map_err(|e| e.at("flip_pairs"))?;
        self.flip_pairs = Some(pairs);
        Ok(())
    }
}

/// An augmentation of images with known landmarks.
#[derive(Debug, Clone, PartialEq)]
pub struct Augmentation {
    spec: AugmentSpec,
    /// For every landmark, the one whose place it takes in a mirrored image.
    partners: Vec<usize>,
}

impl Augmentation {
    /// The augmentation of images with these landmarks.
    ///
    /// # Errors
    /// When images are mirrored and a landmark of a pair is not there, or pairs are not said.
    pub fn new(spec: &AugmentSpec, landmarks: &[String]) -> Result<Self> {
        let pairs = match &spec.flip_pairs {
            None if spec.flip > 0.0 => Sides { landmarks: landmarks.to_vec(), flip_pairs: None }.pairs()?,
            pairs => pairs.clone().unwrap_or_default(),
        };
        let pairs = if spec.flip > 0.0 { pairs } else { Vec::new() };
        Ok(Self { spec: spec.clone(), partners: partners(&pairs, landmarks).map_err(|e| e.at("flip_pairs"))? })
    }

    /// Writes the picture as changed in this epoch to `pixels`, row by row and plane by plane, in [0, 1], and returns its landmarks;
    /// those that left it are `None`. `index` is the image's place in the data set.
    pub fn apply(
        &self,
        picture: &Picture,
        seed: u64,
        epoch: u64,
        index: u64,
        pixels: &mut [f32],
    ) -> Vec<Option<Point>> {
        let Some(change) = self.change((picture.size, picture.spacing), seed, epoch, index) else {
            pixels.copy_from_slice(&picture.pixels);
            return picture.landmarks.clone();
        };
        change.apply(picture, pixels);
        change.landmarks(&picture.landmarks, picture.size)
    }

    /// The change in this epoch of a picture of this size and spacing; `None` where it stays unchanged.
    pub(super) fn change(&self, (size, spacing): (Size, Spacing), seed: u64, epoch: u64, index: u64) -> Option<Change> {
        let spec = &self.spec;
        let draw = Draw::new(spec, seed, epoch, index);
        let affine = Affine::new(draw.radians, draw.scale, draw.translation, size, spacing);
        (draw.applies && !spec.is_none()).then(|| Change {
            affine: if draw.flipped { affine.mirrored() } else { affine },
            elastic: (spec.elastic_mm > 0.0)
                .then(|| Elastic::new((spec.elastic_mm, spec.elastic_grid_mm), (size, spacing), (seed, epoch, index))),
            values: GreyTransform {
                brightness: draw.brightness,
                contrast: draw.contrast,
                gamma: draw.gamma,
                curve: (spec.histogram_shift > 0.0).then(|| grey::curve(spec.histogram_shift, draw.curve)),
            },
            blur: {
                let lost = if spec.antialias { (draw.scale.powi(-2) - 1.0).max(0.0) / 4.0 } else { 0.0 };
                (draw.blur.powi(2) + lost).sqrt().min(LARGEST_BLUR)
            },
            noise: draw.noise,
            noise_key: draw.noise_key,
            partners: if draw.flipped { self.partners.clone() } else { Vec::new() },
            cutout: (spec.cutout > 0.0).then(|| Cutout::new(spec.cutout, draw.cutout, size)),
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
    /// For every landmark of a mirrored picture, the one whose place it takes; none of a picture that is not mirrored.
    partners: Vec<usize>,
}

/// A Gaussian narrower than this many pixels has no weight beside its centre that 8-bit grey values would show.
const LEAST_BLUR: f64 = 0.25;
/// A wider one leaves nothing to find, and would need more weights than the GPU's kernels have room for.
pub(super) const LARGEST_BLUR: f64 = 20.0;

impl Change {
    /// No change of a picture of this size and spacing but that it is turned by `radians` and magnified by `scale` about its
    /// centre; the caller sets the other steps.
    pub(super) fn turned(radians: f64, scale: f64, size: Size, spacing: Spacing) -> Self {
        Self {
            affine: Affine::new(radians, scale, [0.0, 0.0], size, spacing),
            elastic: None,
            values: GreyTransform { brightness: 1.0, contrast: 1.0, gamma: 1.0, curve: None },
            blur: 0.0,
            noise: 0.0,
            noise_key: 0,
            cutout: None,
            partners: Vec::new(),
        }
    }

    /// The picture as changed.
    pub(super) fn apply(&self, picture: &Picture, pixels: &mut [f32]) {
        let size = picture.size;
        let greys = self.grey_transform(picture);
        let from = match self.blur_weights() {
            Some(weights) => {
                let mut blurred: Vec<f32> = picture.pixels.iter().map(|&v| greys.apply(v)).collect();
                // The result's memory is free until the result is written.
                let planes = blurred.chunks_exact_mut(size.area()).zip(pixels.chunks_exact_mut(size.area()));
                planes.for_each(|(plane, spare)| blur::blur(plane, spare, size, &weights));
                warp::bordered(&blurred, size, |v| v)
            }
            None => warp::bordered(&picture.pixels, size, |v| greys.apply(v)),
        };
        warp::warp(&self.affine, self.elastic.as_ref(), &from, size, pixels);
        if self.noise > 0.0 {
            noise::add(pixels, size.area(), self.noise, self.noise_key);
        }
        if let Some(cutout) = self.cutout {
            pixels.chunks_exact_mut(size.area()).for_each(|plane| cutout.apply(plane, size.width));
        }
    }

    /// The change of grey values, with the picture's own mean.
    pub(super) fn grey_transform(&self, picture: &Picture) -> ImageGreyTransform {
        self.values.fit(&picture.pixels, picture.size.area())
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
            noise::add(pixels, size.area(), self.noise, self.noise_key ^ position);
        }
        if let Some(cutout) = self.cutout {
            pixels.chunks_exact_mut(size.area()).for_each(|plane| cutout.apply_to_part(plane, size, [left, top]));
        }
    }

    /// Weights of the Gaussian's centre and one side; `None` without blur.
    pub(super) fn blur_weights(&self) -> Option<Vec<f32>> {
        (self.blur >= LEAST_BLUR).then(|| blur::weights(self.blur))
    }

    /// The new positions of landmarks of a picture of this size; `None` for those that left it.
    pub(super) fn landmarks(&self, before: &[Option<Point>], size: Size) -> Vec<Option<Point>> {
        let moved = |p: Point| {
            let deformed = self.elastic.as_ref().map_or(p, |elastic| elastic.inverse(p));
            Some(self.affine.forward(deformed)).filter(|p| p.is_inside(size))
        };
        let landmarks: Vec<Option<Point>> = before.iter().map(|p| p.and_then(moved)).collect();
        if self.partners.is_empty() {
            return landmarks;
        }
        // The mirror image of the left one is the right one.
        self.partners.iter().map(|partner| landmarks.get(*partner).copied().flatten()).collect()
    }
}

#[cfg(test)]
mod tests;
