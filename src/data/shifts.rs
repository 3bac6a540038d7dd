//! Shifts: fixed changes of a picture, to evaluate networks as on other people's images.
//!
//! A shift changes the picture in the pixels of its file, before a network's own preparation of its input, as another scanner,
//! exposure or archive would have. It is the same for every network and in every evaluation; the noise alone is drawn, from the
//! image's place in its data set. The steps are those of [`crate::augment`] and [`crate::resize`], with fixed settings, most of
//! them at the edge of what trainings draw or beyond it.

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ExtendedColorType, ImageFormat};
use rand::RngCore;

use crate::Sample;
use crate::augment::{Change, POINTS};
use crate::resize::{Picture, Window, view};
use sweep_core::error::{Error, Kind, Result};
use sweep_core::seed::{self, Stream};
use sweep_core::units::{Size, Spacing};

/// A fixed change of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shift {
    /// Gamma of 1.8.
    Darker,
    /// Gamma of 1/1.8.
    Brighter,
    /// Half the distance of every grey value from the mean.
    LowerContrast,
    /// 1.8 times the distance of every grey value from the mean.
    HigherContrast,
    /// The monotone curve v + 0.1·sin 2πv of grey values from 0 to 1.
    GreyCurve,
    /// Half the pixels a side, restored to as many as before.
    HalfResolution,
    /// A third of the pixels a side, restored to as many as before.
    ThirdResolution,
    /// Gaussian blur, its σ 0.3 % of the picture's side.
    Blur,
    /// Gaussian noise with a standard deviation of 6 % of the way from black to white.
    Noise,
    /// JPEG of quality 10.
    Jpeg,
    /// Turned by 10° anticlockwise.
    TurnedLeft,
    /// Turned by 10° clockwise.
    TurnedRight,
    /// Magnified by 1.15.
    Larger,
    /// Made smaller by 0.85.
    Smaller,
}

const GAMMA: f32 = 1.8;
const LOW_CONTRAST: f32 = 0.5;
const HIGH_CONTRAST: f32 = 1.8;
/// Greatest distance of the grey curve from the identity.
const BEND: f64 = 0.1;
/// Share of the picture's side (the root of its area).
const BLUR: f64 = 0.003;
const NOISE: f32 = 0.06;
const JPEG_QUALITY: u8 = 10;
const DEGREES: f64 = 10.0;
const LARGER: f64 = 1.15;
const SMALLER: f64 = 0.85;

impl Shift {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 14] = [
        Self::Darker,
        Self::Brighter,
        Self::LowerContrast,
        Self::HigherContrast,
        Self::GreyCurve,
        Self::HalfResolution,
        Self::ThirdResolution,
        Self::Blur,
        Self::Noise,
        Self::Jpeg,
        Self::TurnedLeft,
        Self::TurnedRight,
        Self::Larger,
        Self::Smaller,
    ];

    /// Its name in tables and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Darker => "darker",
            Self::Brighter => "brighter",
            Self::LowerContrast => "lower-contrast",
            Self::HigherContrast => "higher-contrast",
            Self::GreyCurve => "grey-curve",
            Self::HalfResolution => "half-resolution",
            Self::ThirdResolution => "third-resolution",
            Self::Blur => "blur",
            Self::Noise => "noise",
            Self::Jpeg => "jpeg",
            Self::TurnedLeft => "turned-left",
            Self::TurnedRight => "turned-right",
            Self::Larger => "larger",
            Self::Smaller => "smaller",
        }
    }

    /// The sample as this shift shows it: its picture, where its landmarks are then, and the size of its pixels, by which errors
    /// stay in millimetres of the patient. Landmarks that left the picture are `None`. `index` is the image's place in its data
    /// set, from which noise is drawn.
    ///
    /// # Errors
    /// When a picture is too large for a JPEG file (65 535 pixels a side).
    pub fn apply(self, sample: &Sample, index: usize) -> Result<Sample> {
        let coarser = |by: usize| {
            let size = Size { height: (sample.size.height / by).max(1), width: (sample.size.width / by).max(1) };
            let fewer = Sample { size, pixels: resized(sample, size), ..sample.clone() };
            Sample { pixels: resized(&fewer, sample.size), ..sample.clone() }
        };
        let (degrees, scale) = match self {
            Self::HalfResolution => return Ok(coarser(2)),
            Self::ThirdResolution => return Ok(coarser(3)),
            Self::Jpeg => return Ok(Sample { pixels: as_jpeg(sample)?, ..sample.clone() }),
            Self::TurnedLeft => (-DEGREES, 1.0),
            Self::TurnedRight => (DEGREES, 1.0),
            Self::Larger => (0.0, LARGER),
            Self::Smaller => (0.0, SMALLER),
            _ => (0.0, 1.0),
        };
        let mut change = Change::turned(degrees.to_radians(), scale, sample.size, sample.pixel_size());
        match self {
            Self::Darker => change.values.gamma = GAMMA,
            Self::Brighter => change.values.gamma = 1.0 / GAMMA,
            Self::LowerContrast => change.values.contrast = LOW_CONTRAST,
            Self::HigherContrast => change.values.contrast = HIGH_CONTRAST,
            Self::GreyCurve => change.values.curve = Some(curve()),
            Self::Blur => change.blur = (BLUR * (sample.size.area() as f64).sqrt()).min(crate::augment::LARGEST_BLUR),
            Self::Noise => {
                change.noise = NOISE;
                change.noise_key = seed::derive(0, Stream::Shift, 0, index as u64).next_u64();
            }
            _ => {}
        }
        Ok(changed(sample, &change, scale))
    }
}

/// The sample as a change shows it; `scale` is how much larger it shows the patient.
fn changed(sample: &Sample, change: &Change, scale: f64) -> Sample {
    let picture = Picture {
        size: sample.size,
        pixels: sample.pixels.iter().map(|v| f32::from(*v) / 255.0).collect::<Vec<f32>>().into(),
        landmarks: Vec::new(),
        spacing: sample.pixel_size(),
    };
    let mut pixels = vec![0.0; sample.pixels.len()];
    change.apply(&picture, &mut pixels);
    Sample {
        pixels: bytes(&pixels),
        landmarks: change.landmarks(&sample.landmarks, sample.size),
        spacing: sample.spacing.map(|Spacing { x, y }| Spacing { x: x / scale, y: y / scale }),
        ..sample.clone()
    }
}

/// The grey curve at the points that it is linear between.
fn curve() -> [f32; POINTS] {
    std::array::from_fn(|i| {
        let value = i as f64 / (POINTS - 1) as f64;
        (value + BEND * (std::f64::consts::TAU * value).sin()).clamp(0.0, 1.0) as f32
    })
}

/// The picture at another size, in 8 bits as scanners give them.
fn resized(sample: &Sample, size: Size) -> Vec<u8> {
    bytes(&view(&sample.pixels, sample.size, Window::whole(sample.size), size))
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().map(|v| (v * 255.0).round() as u8).collect()
}

/// The picture after a JPEG file of low quality.
fn as_jpeg(sample: &Sample) -> Result<Vec<u8>> {
    let failed = |e: image::ImageError| Error::new(Kind::Computation, format!("no JPEG: {e}")).at(&sample.image);
    let (size, area) = (sample.size, sample.size.area());
    let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
    let is_grey = sample.pixels.len() == area;
    let mut file = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut file, JPEG_QUALITY);
    if is_grey {
        encoder.encode(&sample.pixels, side(size.width), side(size.height), ExtendedColorType::L8).map_err(failed)?;
    } else {
        let colours: Vec<u8> =
            (0..area).flat_map(|i| [0, 1, 2].map(|channel| sample.pixels[channel * area + i])).collect();
        encoder.encode(&colours, side(size.width), side(size.height), ExtendedColorType::Rgb8).map_err(failed)?;
    }
    let picture: DynamicImage = image::load_from_memory_with_format(&file, ImageFormat::Jpeg).map_err(failed)?;
    if is_grey {
        return Ok(picture.into_luma8().into_raw());
    }
    let colours = picture.into_rgb8().into_raw();
    Ok([0, 1, 2].into_iter().flat_map(|channel| colours.iter().skip(channel).step_by(3).copied()).collect())
}

#[cfg(test)]
mod tests;
