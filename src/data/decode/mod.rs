//! A network's map back to a landmark.

pub mod gpu;
mod window;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use sweep_core::error::{Error, Result};
use sweep_core::units::{Point, Size};
use sweep_graph::simd_math::{LANES, sum_of_exponentials};
use window::{Window, copy, reach_of_dark};

/// What a network's output means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MapKind {
    /// A heatmap: 1 at the landmark, 0 far from it.
    Heatmap,
    /// A heatmap whose landmarks are as high as this.
    Scaled {
        /// Height of the true heatmap at its landmark.
        peak: f32,
    },
    /// Logarithms of a probability per pixel, up to a constant; read as `exp(v − max)`.
    Logits,
    /// A heatmap before its sigmoid; read as `1/(1 + exp(−v))`.
    Sigmoid,
}

impl MapKind {
    /// Height of a value as a heatmap's, up to a factor for a whole map.
    fn height(self, value: f32) -> f64 {
        match self {
            Self::Heatmap | Self::Scaled { .. } => f64::from(value),
            Self::Logits => f64::from(value).exp(),
            Self::Sigmoid => sigmoid(f64::from(value)),
        }
    }

    /// Logarithm of [`Self::height`].
    fn logarithm(self, value: f32) -> f64 {
        let value = f64::from(value);
        match self {
            Self::Heatmap | Self::Scaled { .. } => value.ln(),
            Self::Logits => value,
            Self::Sigmoid => -(-value).exp().ln_1p(),
        }
    }

    /// The least value whose height is at least this share of that of a map's largest; where no height is above 0, the
    /// largest itself.
    fn least(self, share: f32, highest: f32) -> f32 {
        match self {
            Self::Heatmap | Self::Scaled { .. } if highest > 0.0 => share * highest,
            Self::Heatmap | Self::Scaled { .. } => highest,
            Self::Logits => highest + share.ln(),
            Self::Sigmoid => {
                let height = f64::from(share) * sigmoid(f64::from(highest));
                // Rounding must not leave the largest out.
                ((height / (1.0 - height)).ln() as f32).min(highest)
            }
        }
    }
}

fn sigmoid(value: f64) -> f64 {
    1.0 / (1.0 + (-value).exp())
}

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

/// What a map shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// Where the landmark is, in pixels of the map.
    pub point: Point,
    /// As [`confidence`].
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

    /// Where a map of `size`, row by row, shows its landmark, in pixels of the map. Values that are not numbers are
    /// passed over; of a map without any the landmark is the centre.
    ///
    /// # Panics
    /// When `map` has not `size.area()` values.
    #[must_use]
    pub fn decode(&self, map: &[f32], size: Size, maps: MapKind) -> Point {
        let Some(found) = self.find(map, size, maps) else { return centre(size) };
        self.point(&found, size, maps)
    }

    /// Where a map shows its landmark, as [`Self::decode`], and how sure it is of it.
    ///
    /// # Panics
    /// As [`Self::decode`].
    #[must_use]
    pub fn read(&self, map: &[f32], size: Size, maps: MapKind) -> Reading {
        let Some(found) = self.find(map, size, maps) else { return Reading::of_nothing(size) };
        let sum = if maps == MapKind::Logits { sum_of_exponentials(map, found.highest) } else { 1.0 };
        Reading { point: self.point(&found, size, maps), confidence: found.confidence(sum, maps) }
    }

    fn find(&self, map: &[f32], size: Size, maps: MapKind) -> Option<Found> {
        let (place, highest) = peak(map, size)?;
        let threshold = if let Self::Centroid { threshold } = *self { Some(threshold as f32) } else { None };
        let centroid = threshold.map(|threshold| centroid(map, size, maps.least(threshold, highest)));
        Some(Found { place, highest, reach: self.reach(), window: copy(map, size, place, self.reach()), centroid })
    }

    /// How far from its peak a map is looked at; far enough for [`confidence`].
    fn reach(&self) -> usize {
        match *self {
            Self::Centroid { .. } | Self::Argmax {} | Self::Subpixel {} => NEAR,
            Self::SoftArgmax { reach, .. } => reach.max(NEAR),
            Self::Dark { sigma } => reach_of_dark(sigma).max(NEAR),
        }
    }

    /// Where what was found of a map of `size` shows its landmark.
    fn point(&self, found: &Found, size: Size, maps: MapKind) -> Point {
        let peak = Point { x: (found.place % size.width) as f64, y: (found.place / size.width) as f64 };
        let window = Window::new(&found.window, found.reach, maps);
        let shift = match *self {
            Self::Centroid { .. } => return found.centroid.unwrap_or(peak),
            Self::Argmax {} => return peak,
            Self::Subpixel {} => window.vertex(),
            Self::SoftArgmax { reach, beta } => {
                let usual = if maps == MapKind::Logits { 1.0 } else { 10.0 };
                let near = window.middle(reach);
                Window::new(&near, reach, maps).expectation(beta.unwrap_or(usual))
            }
            Self::Dark { sigma } => window.dark(sigma),
        };
        let moved = Point { x: peak.x + shift.x, y: peak.y + shift.y };
        // Not a number where the peak is infinite.
        if moved.is_inside(size) { moved } else { peak }
    }
}

/// What decoders look at in a map that has a number.
#[derive(Debug, Clone)]
struct Found {
    /// Of the first of the largest values.
    place: usize,
    highest: f32,
    /// The values around it, up to so many pixels away.
    reach: usize,
    window: Vec<f32>,
    /// Mean position of the pixels from the threshold up, where that is asked for.
    centroid: Option<Point>,
}

/// How far from a peak its probability is counted, pixels.
const NEAR: usize = 2;

impl Found {
    /// As [`confidence`], of logits whose `Σ exp(v − highest)` is this.
    fn confidence(&self, sum: f64, maps: MapKind) -> f64 {
        let confidence = match maps {
            MapKind::Heatmap => f64::from(self.highest),
            MapKind::Scaled { peak } => f64::from(self.highest) / f64::from(peak),
            MapKind::Sigmoid => sigmoid(f64::from(self.highest)),
            MapKind::Logits => {
                let near = Window::new(&self.window, self.reach, maps).middle(NEAR);
                Window::new(&near, NEAR, maps).mass(sum)
            }
        };
        // Not a number where a logit is infinite.
        if confidence.is_nan() { 0.0 } else { confidence.clamp(0.0, 1.0) }
    }
}

impl Reading {
    /// Of a map without a number.
    fn of_nothing(size: Size) -> Self {
        Self { point: centre(size), confidence: 0.0 }
    }
}

fn centre(size: Size) -> Point {
    Point { x: (size.width as f64 - 1.0) / 2.0, y: (size.height as f64 - 1.0) / 2.0 }
}

/// How sure a map of `size` is of its landmark, from 0 to 1: the peak's height on a heatmap, as a share of the true one's;
/// the probability within ±2 pixels of it for logits; 0 for a map without a number.
///
/// # Panics
/// When `map` has not `size.area()` values.
#[must_use]
pub fn confidence(map: &[f32], size: Size, maps: MapKind) -> f64 {
    DecodeSpec::Argmax {}.read(map, size, maps).confidence
}

/// The first of the largest values and its place; `None` where none is a number.
fn peak(map: &[f32], size: Size) -> Option<(usize, f32)> {
    assert_eq!(map.len(), size.area(), "a map of another size");
    let larger = |m: f32, v: f32| if v > m { v } else { m };
    let (full, rest) = map.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for values in full {
        for (lane, value) in lanes.iter_mut().zip(values) {
            *lane = larger(*lane, *value);
        }
    }
    let highest = lanes.into_iter().chain(rest.iter().copied()).fold(f32::NEG_INFINITY, larger);
    map.iter().position(|value| *value >= highest).map(|place| (place, map[place]))
}

/// Mean position of the pixels from `least` up.
fn centroid(map: &[f32], size: Size, least: f32) -> Point {
    let (mut x, mut y, mut count) = (0usize, 0usize, 0usize);
    for (row, values) in map.chunks_exact(size.width).enumerate() {
        // Most rows have none; counting them is quick.
        let inside = values.iter().map(|value| u32::from(*value >= least)).sum::<u32>() as usize;
        if inside > 0 {
            let columns = values.iter().enumerate().filter(|(_, value)| **value >= least);
            (x, y, count) = (x + columns.map(|(column, _)| column).sum::<usize>(), y + row * inside, count + inside);
        }
    }
    Point { x: x as f64 / count as f64, y: y as f64 / count as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heatmap::HeatmapSpec;

    const SIZE: Size = Size { height: 50, width: 40 };
    pub(super) const ALL: [DecodeSpec; 7] = [
        DecodeSpec::Centroid { threshold: 0.95 },
        DecodeSpec::Argmax {},
        DecodeSpec::Subpixel {},
        DecodeSpec::SoftArgmax { reach: 5, beta: None },
        DecodeSpec::SoftArgmax { reach: 1, beta: Some(3.0) },
        DecodeSpec::Dark { sigma: 2.0 },
        DecodeSpec::Dark { sigma: 0.4 },
    ];
    pub(super) const KINDS: [MapKind; 4] =
        [MapKind::Heatmap, MapKind::Scaled { peak: 100.0 }, MapKind::Logits, MapKind::Sigmoid];

    /// A heatmap as a network's map of this kind.
    fn as_kind(heatmap: &[f32], maps: MapKind) -> Vec<f32> {
        let value = |v: f64| match maps {
            MapKind::Heatmap => v,
            MapKind::Scaled { peak } => v * f64::from(peak),
            MapKind::Logits => v.ln() + 3.0,
            MapKind::Sigmoid => (v / (1.0 - v)).ln(),
        };
        // A sigmoid has no 1.
        heatmap.iter().map(|v| value(0.99 * f64::from(*v)) as f32).collect()
    }

    fn worst(heatmap: HeatmapSpec, decode: DecodeSpec, maps: MapKind) -> f64 {
        let mut worst = 0.0f64;
        for i in 0..21 {
            for j in 0..21 {
                let landmark = Point { x: 17.0 + f64::from(i) / 20.0, y: 23.0 + f64::from(j) / 20.0 };
                let map = as_kind(&heatmap.profiles(landmark, SIZE).product(), maps);
                let reading = decode.read(&map, SIZE, maps);
                assert!(reading.confidence > 0.0 && reading.confidence <= 1.0);
                assert_eq!(reading.point, decode.decode(&map, SIZE, maps));
                worst = worst.max(landmark.distance(reading.point).0);
            }
        }
        worst
    }

    #[test]
    fn decoding_undoes_encoding() {
        let gaussian = HeatmapSpec::Gaussian { sigma: 2.5 };
        let narrow = HeatmapSpec::Gaussian { sigma: 1.5 };
        // As steep as published with power 3: pixels above 0.95 reach 3.5 px from the landmark.
        let laplace = HeatmapSpec::Laplace { decay: 0.004_83, power: 3.0, reference_height: SIZE.height as u32 };
        let half_diagonal = 0.5f64.hypot(0.5) + 1e-9;
        let [centroid, argmax, subpixel, soft, .., dark, _] = ALL;
        for maps in KINDS {
            for (heatmap, decode, bound) in [
                (gaussian, centroid, 0.4),
                (gaussian, argmax, half_diagonal),
                // The logarithm of a probability before its softmax or sigmoid is in single precision.
                (gaussian, subpixel, 1e-3),
                (gaussian, dark, 2e-2),
                (narrow, dark, 5e-2),
                (laplace, centroid, 0.4),
                (laplace, argmax, half_diagonal),
                (laplace, subpixel, 0.13),
            ] {
                let error = worst(heatmap, decode, maps);
                println!("{heatmap:?} {decode:?} {maps:?}: {error:.4} px");
                assert!(error <= bound, "{heatmap:?} {decode:?} {maps:?}: {error} px, at most {bound}");
            }
        }
        for maps in KINDS {
            for heatmap in [narrow, gaussian] {
                println!("{heatmap:?} {maps:?}: {:.4} px", worst(heatmap, soft, maps));
            }
        }
    }

    #[test]
    fn logits_decode_as_the_heatmap_they_are_the_logarithm_of() {
        let map = HeatmapSpec::Gaussian { sigma: 4.0 }.profiles(Point { x: 11.3, y: 20.8 }, SIZE).product();
        let logits: Vec<f32> = map.iter().map(|v| v.ln() - 100.0).collect();
        // Soft-argmax weights logits and heights otherwise.
        for decode in ALL.into_iter().filter(|d| !matches!(d, DecodeSpec::SoftArgmax { .. })) {
            let of = decode.decode(&map, SIZE, MapKind::Heatmap);
            assert!(of.distance(decode.decode(&logits, SIZE, MapKind::Logits)).0 < 1e-3, "{decode:?}");
        }
    }

    #[test]
    fn dark_is_the_published_one() {
        let text = include_str!("../../../tests/fixtures/losses/reference.json");
        let reference: serde_json::Value = serde_json::from_str(text).unwrap();
        for case in reference["dark"].as_array().unwrap() {
            let number = |key: &str| case[key].as_f64().unwrap();
            let map: Vec<f32> = case["map"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
            let size = Size { height: number("height") as usize, width: number("width") as usize };
            let found = DecodeSpec::Dark { sigma: number("sigma") }.decode(&map, size, MapKind::Heatmap);
            let expected = Point { x: number("x"), y: number("y") };
            assert!(found.distance(expected).0 < 1e-9, "{found:?} {expected:?}");
        }
    }

    #[test]
    fn no_map_whatever_gives_a_landmark_off_the_picture() {
        let mut spike = vec![0.0; SIZE.area()];
        spike[SIZE.area() - 1] = f32::INFINITY;
        let nan = vec![f32::NAN; SIZE.area()];
        let mut one = nan.clone();
        one[SIZE.width + 3] = -2.0;
        for map in
            [vec![0.0; SIZE.area()], vec![-1.0; SIZE.area()], vec![f32::NEG_INFINITY; SIZE.area()], spike, nan, one]
        {
            for decode in ALL {
                for maps in KINDS {
                    let (point, confidence) = (decode.decode(&map, SIZE, maps), confidence(&map, SIZE, maps));
                    assert!(
                        point.is_inside(SIZE) && (0.0..=1.0).contains(&confidence),
                        "{decode:?} {maps:?}: {point:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn plateaus_and_ties_are_settled() {
        let mut map = vec![-3.0; SIZE.area()];
        for i in [2 * SIZE.width + 5, 2 * SIZE.width + 8] {
            map[i] = -1.0;
        }
        let at = |decode: DecodeSpec| decode.decode(&map, SIZE, MapKind::Heatmap);
        assert_eq!(at(ALL[0]), Point { x: 6.5, y: 2.0 });
        assert_eq!(at(ALL[1]), Point { x: 5.0, y: 2.0 });
        assert_eq!(at(ALL[2]), Point { x: 5.0, y: 2.0 });
        // Where no height is above 0, shares of it would put the lowest first.
        map[20 * SIZE.width + 20] = -0.5;
        for decode in &ALL[1..] {
            assert_eq!(decode.decode(&map, SIZE, MapKind::Heatmap), Point { x: 20.0, y: 20.0 }, "{decode:?}");
        }
    }

    #[test]
    fn every_place_is_looked_at() {
        for place in 0..SIZE.area() {
            let mut map = vec![f32::NAN; SIZE.area()];
            map[place] = -4.0;
            if place + 41 < SIZE.area() {
                map[place + 41] = -4.0;
            }
            let expected = Point { x: (place % SIZE.width) as f64, y: (place / SIZE.width) as f64 };
            assert_eq!(DecodeSpec::Argmax {}.decode(&map, SIZE, MapKind::Heatmap), expected);
        }
    }

    #[test]
    fn confidence_of_logits_is_the_probability_around_the_peak() {
        let flat = confidence(&vec![4.0; SIZE.area()], SIZE, MapKind::Logits);
        // The first pixel is a corner: 3×3 of it are inside.
        assert!((flat - 9.0 / SIZE.area() as f64).abs() < 1e-9);
        let mut sure = vec![0.0; SIZE.area()];
        sure[10 * SIZE.width + 10] = 50.0;
        assert!(confidence(&sure, SIZE, MapKind::Logits) > 0.999);
    }

    #[test]
    fn definitions_have_the_stated_defaults_and_refuse_nonsense() {
        assert_eq!(toml::from_str::<DecodeSpec>("name = 'centroid'").unwrap(), DecodeSpec::default());
        assert!(toml::from_str::<DecodeSpec>("name = 'argmax'\nthreshold = 1").is_err());
        let error = DecodeSpec::Centroid { threshold: 1.5 }.check().unwrap_err();
        assert_eq!(error.location.as_deref(), Some("threshold"));
    }
}
