//! Gaussian heatmaps whose widths are trained, one per landmark.

use super::Profiles;
use sweep_core::units::{Point, Size};

/// The narrowest a heatmap gets, pixels: below, none of its pixels need be near its landmark.
const LEAST: f64 = 0.5;

/// The widths of a moment, σ per landmark in pixels of the input.
#[derive(Debug, Clone, PartialEq)]
pub struct Widths {
    sigmas: Vec<f64>,
    start: f64,
    penalty: f64,
    height: f64,
}

impl Widths {
    /// Of heatmaps that start with `start` and are then `height` high, with the weight of the penalty as published, where
    /// heatmaps are `1000/2πσ²` high (Payer et al. 2019).
    #[must_use]
    pub fn new(sigmas: Vec<f64>, start: f64, penalty: f64, height: f64) -> Self {
        let times_published = height * std::f64::consts::TAU * start * start / 1000.0;
        Self { sigmas, start, penalty: penalty * times_published * times_published, height }
    }

    /// A landmark's, no less than half a pixel.
    #[must_use]
    pub fn sigma(&self, landmark: usize) -> f64 {
        self.sigmas[landmark].max(LEAST)
    }

    /// Weight of the penalty `½·α·σ²`, for heatmaps as high as these.
    #[must_use]
    pub fn penalty(&self) -> f64 {
        self.penalty
    }

    /// The factor of heatmaps in the loss: their height at the start.
    #[must_use]
    pub fn height(&self) -> f64 {
        self.height
    }

    /// How much higher a landmark's heatmap is than it was at the start: its volume stays.
    #[must_use]
    pub fn rise(&self, landmark: usize) -> f64 {
        (self.start / self.sigma(landmark)).powi(2)
    }

    /// The heatmap `(σ₀/σ)²·exp(−r²/2σ²)` of a landmark.
    #[must_use]
    pub fn profiles(&self, landmark: usize, at: Point, input: Size) -> Profiles {
        let (sigma, rise) = (self.sigma(landmark), self.rise(landmark));
        let axis = |centre: f64, len: usize, factor: f64| -> Vec<f32> {
            (0..len).map(|i| (factor * gaussian(i as f64 - centre, sigma)) as f32).collect()
        };
        Profiles { rows: axis(at.y, input.height, rise), columns: axis(at.x, input.width, 1.0) }
    }

    /// Sum over a plane `[H, W]` times the derivative of a landmark's heatmap to its σ.
    #[must_use]
    pub fn slope(&self, landmark: usize, at: Point, input: Size, plane: &[f64]) -> f64 {
        let (sigma, rise) = (self.sigma(landmark), self.rise(landmark));
        // Of the narrowest, σ is no longer what it depends on.
        if self.sigmas[landmark] < LEAST {
            return 0.0;
        }
        let axis = |centre: f64, len: usize| -> Vec<[f64; 2]> {
            let value = |d: f64| [gaussian(d, sigma), gaussian(d, sigma) * d * d / sigma.powi(3)];
            (0..len).map(|i| value(i as f64 - centre)).collect()
        };
        let (rows, columns) = (axis(at.y, input.height), axis(at.x, input.width));
        let mut sum = 0.0;
        for (values, [row, row_slope]) in plane.chunks_exact(input.width).zip(rows) {
            let [mut beside, mut slopes] = [0.0; 2];
            for (value, [column, column_slope]) in values.iter().zip(&columns) {
                beside += value * column;
                slopes += value * column_slope;
            }
            sum += (row_slope - 2.0 / sigma * row) * beside + row * slopes;
        }
        rise * sum
    }
}

fn gaussian(distance: f64, sigma: f64) -> f64 {
    (-distance * distance / (2.0 * sigma * sigma)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUT: Size = Size { height: 9, width: 13 };

    #[test]
    fn at_the_start_they_are_plain_gaussians_and_keep_their_volume() {
        let at = Point { x: 30.3, y: 29.6 };
        let input = Size { height: 60, width: 60 };
        let of = |sigma: f64| Widths::new(vec![sigma], 2.0, 100.0, 100.0).profiles(0, at, input);
        assert_eq!(of(2.0), super::super::HeatmapSpec::Gaussian { sigma: 2.0 }.profiles(at, input));
        let volume = |sigma: f64| of(sigma).product().iter().map(|v| f64::from(*v)).sum::<f64>();
        assert!((volume(2.0) - volume(3.5)).abs() < 1e-3 * volume(2.0));
        // As published: 1000/2πσ² high, and a penalty of 100.
        let height = 1000.0 / (std::f64::consts::TAU * 9.0);
        assert!((Widths::new(vec![3.0], 3.0, 100.0, height).penalty() - 100.0).abs() < 1e-9);
    }

    #[test]
    fn slopes_are_the_central_differences() {
        let at = Point { x: 5.3, y: 7.6 };
        let plane: Vec<f64> = (0..INPUT.area()).map(|i| (i as f64 * 0.7).sin()).collect();
        let of = |sigma: f64| Widths::new(vec![sigma], 2.0, 1.0, 1.0);
        for sigma in [0.8f64, 2.0, 3.7] {
            let sum = |sigma: f64| -> f64 {
                let value = |i: usize| {
                    let (dx, dy) = ((i % INPUT.width) as f64 - at.x, (i / INPUT.width) as f64 - at.y);
                    of(sigma).rise(0) * gaussian(dx, sigma) * gaussian(dy, sigma)
                };
                plane.iter().enumerate().map(|(i, g)| g * value(i)).sum()
            };
            let numeric = (sum(sigma + 1e-5) - sum(sigma - 1e-5)) / 2e-5;
            let found = of(sigma).slope(0, at, INPUT, &plane);
            assert!((found - numeric).abs() < 1e-8, "{sigma}: {found} {numeric}");
        }
        assert!(of(0.3).slope(0, at, INPUT, &plane).abs() < 1e-300 && (of(0.3).sigma(0) - LEAST).abs() < 1e-12);
    }
}
