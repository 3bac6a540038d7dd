//! The peak of a map.

use super::map_kind::{MapKind, sigmoid};
use super::window::Window;
use sweep_core::units::{Point, Size};
use sweep_graph::simd_math::LANES;

/// The peak of a map and the values around it: the input of every decoder.
#[derive(Debug, Clone)]
pub(super) struct Peak {
    /// Index of the first of the largest values.
    pub(super) index: usize,
    pub(super) highest: f32,
    /// The values around it, up to so many pixels away.
    pub(super) reach: usize,
    pub(super) window: Vec<f32>,
    /// Mean position of the pixels from the threshold up, for the centroid decoder.
    pub(super) centroid: Option<Point>,
}

/// How far from a peak its probability is counted, pixels.
pub(super) const NEAR: usize = 2;

impl Peak {
    /// See [`confidence`](super::confidence); of logits, `sum` is `Σ exp(v − highest)`.
    pub(super) fn confidence(&self, sum: f64, maps: MapKind) -> f64 {
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

/// The first of the largest values and its index; `None` where none is a number.
pub(super) fn largest(map: &[f32], size: Size) -> Option<(usize, f32)> {
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
    map.iter().position(|value| *value >= highest).map(|index| (index, map[index]))
}

/// Mean position of the pixels from `least` up.
pub(super) fn centroid(map: &[f32], size: Size, least: f32) -> Point {
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
