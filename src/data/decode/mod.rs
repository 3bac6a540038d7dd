//! A network's map back to a landmark.

#[cfg(any(feature = "cuda", test))]
pub(crate) mod gpu;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::units::{Point, Size};

/// What a network's output means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapKind {
    /// A heatmap: 1 at the landmark, 0 far from it.
    Heatmap,
    /// Logarithms of a probability per pixel, up to a constant; read as `exp(v − max)`.
    Logits,
}

/// How the landmark is read off a map.
// Braces on variants without settings: serde refuses unknown keys only with them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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
}

fn threshold() -> f64 {
    0.95
}

impl Default for DecodeSpec {
    fn default() -> Self {
        Self::Centroid { threshold: threshold() }
    }
}

impl DecodeSpec {
    /// Whether every number is possible.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<()> {
        match *self {
            Self::Centroid { threshold } if !(threshold > 0.0 && threshold <= 1.0) => {
                Err(Error::definition(format!("{threshold} is not possible"))
                    .at("threshold")
                    .remedy("a share of the maximum, above 0 and up to 1"))
            }
            Self::Centroid { .. } | Self::Argmax {} | Self::Subpixel {} => Ok(()),
        }
    }

    /// Where a map of `size`, row by row, shows its landmark, in pixels of the map. Values that are not numbers are
    /// passed over; of a map without any the landmark is the centre.
    ///
    /// # Panics
    /// When `map` has not `size.area()` values.
    #[must_use]
    pub fn decode(&self, map: &[f32], size: Size, maps: MapKind) -> Point {
        let Some((place, highest)) = peak(map, size) else { return centre(size) };
        let threshold = if let Self::Centroid { threshold } = *self { Some(threshold as f32) } else { None };
        let least = |threshold: f32| match maps {
            MapKind::Heatmap if highest > 0.0 => threshold * highest,
            MapKind::Heatmap => highest,
            MapKind::Logits => highest + threshold.ln(),
        };
        let centroid = threshold.map(|threshold| centroid(map, size, least(threshold)));
        self.point(&Found { place, highest, around: around(map, size, place), centroid }, size, maps)
    }

    /// Where what was found of a map of `size` shows its landmark.
    fn point(&self, found: &Found, size: Size, maps: MapKind) -> Point {
        let peak = Point { x: (found.place % size.width) as f64, y: (found.place / size.width) as f64 };
        match *self {
            Self::Centroid { .. } => found.centroid.unwrap_or(peak),
            Self::Argmax {} => peak,
            Self::Subpixel {} => {
                let [left, right, above, below] = found.around;
                let shift = |before, after| vertex([before, found.highest, after], maps);
                Point { x: peak.x + shift(left, right), y: peak.y + shift(above, below) }
            }
        }
    }
}

/// What decoders look at in a map that has a number.
#[derive(Debug, Clone, Copy)]
struct Found {
    /// Of the first of the largest values.
    place: usize,
    highest: f32,
    /// Its neighbours left, right, above and below; not numbers where one of the two is beyond the border.
    around: [f32; 4],
    /// Mean position of the pixels from the threshold up, where that is asked for.
    centroid: Option<Point>,
}

/// The neighbours of a place.
fn around(map: &[f32], size: Size, place: usize) -> [f32; 4] {
    let near = |at: usize, len: usize, step: usize| {
        let inside = at > 0 && at + 1 < len;
        if inside { [map[place - step], map[place + step]] } else { [f32::NAN; 2] }
    };
    let ([left, right], [above, below]) =
        (near(place % size.width, size.width, 1), near(place / size.width, size.height, size.width));
    [left, right, above, below]
}

fn centre(size: Size) -> Point {
    Point { x: (size.width as f64 - 1.0) / 2.0, y: (size.height as f64 - 1.0) / 2.0 }
}

/// How sure a map of `size` is of its landmark, from 0 to 1: the peak's height on a heatmap; the probability within ±2
/// pixels of it for logits; 0 for a map without a number.
///
/// # Panics
/// When `map` has not `size.area()` values.
#[must_use]
pub fn confidence(map: &[f32], size: Size, maps: MapKind) -> f64 {
    let confidence = peak(map, size).map_or(0.0, |(place, highest)| match maps {
        MapKind::Heatmap => f64::from(highest),
        MapKind::Logits => mass_near(map, size, (place % size.width, place / size.width), highest),
    });
    // Not a number where a logit is infinite.
    if confidence.is_nan() { 0.0 } else { confidence.clamp(0.0, 1.0) }
}

/// Values looked at side by side.
const LANES: usize = 16;

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

/// Where, within ±½, the parabola through three logarithms has its top; 0 if it has none.
fn vertex(values: [f32; 3], maps: MapKind) -> f64 {
    let [before, here, after] = values.map(|v| match maps {
        MapKind::Heatmap => f64::from(v).ln(),
        MapKind::Logits => f64::from(v),
    });
    let curvature = before - 2.0 * here + after;
    let shift = (before - after) / (2.0 * curvature);
    if curvature < 0.0 && shift.is_finite() { shift.clamp(-0.5, 0.5) } else { 0.0 }
}

/// Probability within ±2 pixels of the peak.
fn mass_near(map: &[f32], size: Size, (x, y): (usize, usize), highest: f32) -> f64 {
    const REACH: usize = 2;
    let mass =
        |values: &[f32]| values.iter().map(|v| f64::from((v - highest).exp())).filter(|m| !m.is_nan()).sum::<f64>();
    let columns = x.saturating_sub(REACH)..(x + REACH + 1).min(size.width);
    let rows = y.saturating_sub(REACH)..(y + REACH + 1).min(size.height);
    let near: f64 = rows.map(|row| mass(&map[row * size.width..][columns.clone()])).sum();
    near / mass(map)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::heatmap::HeatmapSpec;

    const SIZE: Size = Size { height: 50, width: 40 };
    const ALL: [DecodeSpec; 3] =
        [DecodeSpec::Centroid { threshold: 0.95 }, DecodeSpec::Argmax {}, DecodeSpec::Subpixel {}];

    fn worst(heatmap: HeatmapSpec, decode: DecodeSpec, maps: MapKind) -> f64 {
        let mut worst = 0.0f64;
        for i in 0..21 {
            for j in 0..21 {
                let landmark = Point { x: 17.0 + f64::from(i) / 20.0, y: 23.0 + f64::from(j) / 20.0 };
                let mut map = heatmap.profiles(landmark, SIZE).product();
                if maps == MapKind::Logits {
                    map = map.into_iter().map(|v| v.ln() + 3.0).collect();
                }
                let confidence = confidence(&map, SIZE, maps);
                assert!(confidence > 0.0 && confidence <= 1.0);
                worst = worst.max(landmark.distance(decode.decode(&map, SIZE, maps)).0);
            }
        }
        worst
    }

    #[test]
    fn decoding_undoes_encoding() {
        let gaussian = HeatmapSpec::Gaussian { sigma: 2.5 };
        // As steep as published with power 3: pixels above 0.95 reach 3.5 px from the landmark.
        let laplace = HeatmapSpec::Laplace { decay: 0.004_83, power: 3.0, reference_height: SIZE.height as u32 };
        let half_diagonal = 0.5f64.hypot(0.5) + 1e-9;
        let [centroid, argmax, subpixel] = ALL;
        for (heatmap, decode, bound) in [
            (gaussian, centroid, 0.4),
            (gaussian, argmax, half_diagonal),
            (gaussian, subpixel, 1e-4),
            (laplace, centroid, 0.4),
            (laplace, argmax, half_diagonal),
            (laplace, subpixel, 0.13),
        ] {
            let error = worst(heatmap, decode, MapKind::Heatmap);
            println!("{heatmap:?} {decode:?}: {error:.4} px");
            assert!(error <= bound, "{heatmap:?} {decode:?}: {error} px, at most {bound}");
        }
        assert!(worst(gaussian, subpixel, MapKind::Logits) < 1e-4);
        assert!(worst(laplace, centroid, MapKind::Logits) < 0.4);
    }

    #[test]
    fn logits_decode_as_the_heatmap_they_are_the_logarithm_of() {
        let map = HeatmapSpec::Gaussian { sigma: 4.0 }.profiles(Point { x: 11.3, y: 20.8 }, SIZE).product();
        let logits: Vec<f32> = map.iter().map(|v| v.ln() - 100.0).collect();
        for decode in ALL {
            let of = decode.decode(&map, SIZE, MapKind::Heatmap);
            assert!(of.distance(decode.decode(&logits, SIZE, MapKind::Logits)).0 < 1e-3, "{decode:?}");
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
                for maps in [MapKind::Heatmap, MapKind::Logits] {
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
        assert_eq!(error.place.as_deref(), Some("threshold"));
    }
}
