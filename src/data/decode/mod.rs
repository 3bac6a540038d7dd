//! A network's map back to a landmark.

pub mod gpu;
mod map_kind;
mod peak;
mod window;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use sweep_core::error::{Error, Result};
use sweep_core::units::{Point, Size};
use sweep_graph::simd_math::sum_of_exponentials;

use peak::{NEAR, Peak, centroid, largest};
use window::{Window, copy, reach_of_dark};

pub use map_kind::MapKind;

/// How the landmark is read off a map.
// Braces on variants without settings: serde refuses unknown keys only with them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum DecodeSpec {
    /// The mean position of all pixels from `threshold` × maximum up. Where no pixel is above 0 it is that of the
    /// pixels that equal the maximum.
    Centroid {
        /// Share of the maximum.
        #[serde(default = "threshold")]
        threshold: f64,
    },
    /// The brightest pixel; of several the first, row by row.
    Argmax {},
    /// The brightest pixel moved, per axis, to the top of the parabola through the logarithms of it and its two
    /// neighbours: exact for a Gaussian. Not moved at a border, beside a value that has no logarithm, on a plateau.
    Subpixel {},
    /// Local soft-argmax: the mean position of the pixels up to `reach` from the brightest, weighted by `exp(β·v)`: of
    /// logits the values themselves, so that with `beta` 1 it is the expectation under their probability; of heatmaps
    /// their heights as shares of the brightest's. At a border the window is narrower, as far on both sides; where no
    /// pixel is above 0 the brightest is it.
    SoftArgmax {
        /// Pixels to each side.
        #[serde(default = "reach")]
        reach: usize,
        /// Inverse temperature; 1 for logits and 10 for heatmaps where it is not stated.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        beta: Option<f64>,
    },
    /// The brightest pixel moved to the top of the quadric through the logarithms of the map blurred by a Gaussian
    /// (Zhang et al. 2020, "Distribution-aware coordinate representation"). Not moved within two pixels of a border,
    /// where the blurred map has no top, or further than two pixels.
    Dark {
        /// Standard deviation of the blur in pixels: as published, that of the heatmaps trained on.
        #[serde(default = "sigma")]
        sigma: f64,
    },
}

fn threshold() -> f64 {
    0.95
}

fn reach() -> usize {
    5
}

fn sigma() -> f64 {
    2.0
}

/// The furthest a window reaches: what is read of every map on a GPU.
const FURTHEST: usize = 32;

impl Default for DecodeSpec {
    fn default() -> Self {
        Self::Centroid { threshold: threshold() }
    }
}

/// A decoded landmark.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// Position of the landmark, in pixels of the map.
    pub point: Point,
    /// See [`confidence`].
    pub confidence: f64,
}

impl DecodeSpec {
    /// Whether every number is possible.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<()> {
        let wrong = |key: &str, value: String, right: String| {
            Err(Error::definition(format!("{value} is not possible")).at(key).remedy(right))
        };
        match *self {
            Self::Centroid { threshold } if !(threshold > 0.0 && threshold <= 1.0) => {
                wrong("threshold", threshold.to_string(), "a share of the maximum, above 0 and up to 1".into())
            }
            Self::SoftArgmax { reach, .. } if !(1..=FURTHEST).contains(&reach) => {
                wrong("reach", reach.to_string(), format!("pixels to each side, from 1 to {FURTHEST}"))
            }
            Self::SoftArgmax { beta: Some(beta), .. } if !(beta.is_finite() && beta > 0.0) => wrong(
                "beta",
                beta.to_string(),
                "a number above 0: the higher, the nearer to the brightest pixel".into(),
            ),
            Self::Dark { sigma } if !(sigma > 0.0 && sigma <= 12.0) => {
                wrong("sigma", sigma.to_string(), "pixels, above 0 and up to 12".into())
            }
            Self::Centroid { .. }
            | Self::Argmax {}
            | Self::Subpixel {}
            | Self::SoftArgmax { .. }
            | Self::Dark { .. } => Ok(()),
        }
    }

    /// Position of the landmark of a map of `size`, row by row, in pixels of the map. Values that are not numbers are
    /// skipped; the landmark of a map without numbers is the centre.
    ///
    /// # Panics
    /// When `map` has not `size.area()` values.
    #[must_use]
    pub fn decode(&self, map: &[f32], size: Size, maps: MapKind) -> Point {
        let Some(peak) = self.find(map, size, maps) else { return centre(size) };
        self.point(&peak, size, maps)
    }

    /// Position, as [`Self::decode`] returns it, and confidence of a map's landmark.
    ///
    /// # Panics
    /// See [`Self::decode`].
    #[must_use]
    pub fn read(&self, map: &[f32], size: Size, maps: MapKind) -> Reading {
        let Some(peak) = self.find(map, size, maps) else { return Reading::of_nothing(size) };
        let sum = if maps == MapKind::Logits { sum_of_exponentials(map, peak.highest) } else { 1.0 };
        Reading { point: self.point(&peak, size, maps), confidence: peak.confidence(sum, maps) }
    }

    fn find(&self, map: &[f32], size: Size, maps: MapKind) -> Option<Peak> {
        let (index, highest) = largest(map, size)?;
        let threshold = if let Self::Centroid { threshold } = *self { Some(threshold as f32) } else { None };
        let centroid = threshold.map(|threshold| centroid(map, size, maps.least(threshold, highest)));
        Some(Peak { index, highest, reach: self.reach(), window: copy(map, size, index, self.reach()), centroid })
    }

    /// How far from a map's peak values are read; at least as far as [`confidence`] reads.
    fn reach(&self) -> usize {
        match *self {
            Self::Centroid { .. } | Self::Argmax {} | Self::Subpixel {} => NEAR,
            Self::SoftArgmax { reach, .. } => reach.max(NEAR),
            Self::Dark { sigma } => reach_of_dark(sigma).max(NEAR),
        }
    }

    /// Position of the landmark of a map of `size` with this peak.
    fn point(&self, peak: &Peak, size: Size, maps: MapKind) -> Point {
        let start = Point { x: (peak.index % size.width) as f64, y: (peak.index / size.width) as f64 };
        let window = Window::new(&peak.window, peak.reach, maps);
        let shift = match *self {
            Self::Centroid { .. } => return peak.centroid.unwrap_or(start),
            Self::Argmax {} => return start,
            Self::Subpixel {} => window.vertex(),
            Self::SoftArgmax { reach, beta } => {
                let usual = if maps == MapKind::Logits { 1.0 } else { 10.0 };
                let near = window.middle(reach);
                Window::new(&near, reach, maps).expectation(beta.unwrap_or(usual))
            }
            Self::Dark { sigma } => window.dark(sigma),
        };
        let moved = Point { x: start.x + shift.x, y: start.y + shift.y };
        // Not a number where the peak is infinite.
        if moved.is_inside(size) { moved } else { start }
    }
}

/// Declares [`DecodeSpec::examples`]; a variant without an example does not compile.
macro_rules! examples {
    ($($variant:ident: $({ $($setting:ident: $value:expr),* })+);+ $(;)?) => {
        impl DecodeSpec {
            /// Every decoder, with usual and with unusual settings.
            #[must_use]
            pub fn examples() -> Vec<Self> {
                let every_variant_is_listed = |spec: &Self| match spec {
                    $(Self::$variant { .. } => (),)+
                };
                let examples = vec![$($(Self::$variant { $($setting: $value),* },)+)+];
                examples.iter().for_each(every_variant_is_listed);
                examples
            }
        }
    };
}

examples! {
    Centroid: { threshold: 0.95 };
    Argmax: {};
    Subpixel: {};
    SoftArgmax: { reach: 5, beta: None } { reach: 1, beta: Some(3.0) };
    Dark: { sigma: 2.0 } { sigma: 0.4 };
}

impl Reading {
    /// The reading of a map without a number.
    fn of_nothing(size: Size) -> Self {
        Self { point: centre(size), confidence: 0.0 }
    }
}

fn centre(size: Size) -> Point {
    Point { x: (size.width as f64 - 1.0) / 2.0, y: (size.height as f64 - 1.0) / 2.0 }
}

/// Confidence of a map of `size` in its landmark, from 0 to 1: the peak's height on a heatmap, as a share of the true one's;
/// the probability within ±2 pixels of it for logits; 0 for a map without a number.
///
/// # Panics
/// When `map` has not `size.area()` values.
#[must_use]
pub fn confidence(map: &[f32], size: Size, maps: MapKind) -> f64 {
    DecodeSpec::Argmax {}.read(map, size, maps).confidence
}

#[cfg(test)]
mod tests;
