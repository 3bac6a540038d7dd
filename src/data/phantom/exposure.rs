//! From what the rays lost to grey values: uneven tissue, exposure, the film's characteristic curve, grain.

use rand::{Rng, RngCore};

use super::subject::{FILM, spread};
use sweep_core::units::Size;

/// How the film was exposed, developed and digitised.
pub(super) struct Exposure {
    /// Factor on what the rays lose.
    gain: f32,
    /// The loss that gives a middle grey.
    middle: f32,
    /// Grey of the unexposed film.
    fog: f32,
    /// Where scattered rays lighten the film most, in millimetres, and how much.
    glare: ([f32; 2], f32),
    /// Tissue is nowhere even: coarse, middle and fine variation as shares of what is lost.
    texture: [Texture; 3],
    /// Standard deviation of the grain, in grey values.
    grain: f32,
}

/// How far scattered rays reach, in millimetres.
const GLARE_REACH: f32 = 75.0;

/// The lightest grey a film of endless thickness would have; whiter than white, since lead marks are.
const WHITE: f32 = 275.0;

impl Exposure {
    pub(super) fn draw(rng: &mut impl Rng) -> Self {
        let gain = 1.0 + spread(rng, 0.11) as f32;
        let middle = 0.54 + spread(rng, 0.055) as f32;
        let fog = 8.0 + 6.0 * rng.random::<f32>();
        let centre = [FILM.x + 8.0 + spread(rng, 10.0), 50.0 + 130.0 * rng.random::<f64>()].map(|mm| mm as f32);
        let glare = (centre, 0.36 + spread(rng, 0.07) as f32);
        let texture = [(34.0, 0.12), (8.0, 0.06), (2.0, 0.06)].map(|(cell, share)| Texture::draw(rng, cell, share));
        Self { gain, middle, fog, glare, texture, grain: 1.6 + 2.4 * rng.random::<f32>() }
    }

    /// The grey of a place, in millimetres, where the rays lost so much.
    pub(super) fn grey(&self, lost: f32, place: [f32; 2]) -> f32 {
        let thickness: f32 = 1.0 + self.texture.iter().map(|texture| texture.at(place)).sum::<f32>();
        let (centre, amount) = self.glare;
        let [x, y] = [0, 1].map(|axis| (place[axis] - centre[axis]) / GLARE_REACH);
        let fall = 1.0 / (1.0 + x * x + y * y);
        let seen = (lost.max(0.0) * self.gain * thickness + amount * fall * fall) / self.middle;
        // Toe and shoulder of the characteristic curve.
        let bent = seen * (seen + 0.2);
        self.fog + (WHITE - self.fog) * bent / (1.0 + bent)
    }

    /// Grain of this film, in grey values, row by row.
    pub(super) fn grain(&self, size: Size, rng: &mut impl RngCore) -> Vec<f32> {
        let mut grain = grain(size, rng);
        for value in &mut grain {
            *value *= self.grain;
        }
        grain
    }
}

/// Smooth variation: random numbers at the corners of square cells, blended inside them.
struct Texture {
    /// Side of a cell, in millimetres.
    cell: f32,
    columns: usize,
    corners: Vec<f32>,
}

impl Texture {
    fn draw(rng: &mut impl Rng, cell: f32, share: f32) -> Self {
        let [columns, rows] = [FILM.x, FILM.y].map(|mm| (mm as f32 / cell).ceil() as usize + 1);
        let corners = (0..columns * rows).map(|_| share * (2.0 * rng.random::<f32>() - 1.0)).collect();
        Self { cell, columns, corners }
    }

    fn at(&self, place: [f32; 2]) -> f32 {
        let [x, y] = place.map(|mm| mm / self.cell);
        let index = y as usize * self.columns + x as usize;
        let [u, v] = [x, y].map(|t| t - t.floor()).map(|t| t * t * (3.0 - 2.0 * t));
        let row = |index: usize| self.corners[index] + (self.corners[index + 1] - self.corners[index]) * u;
        let (upper, lower) = (row(index), row(index + self.columns));
        upper + (lower - upper) * v
    }
}

/// Noise of standard deviation about 1, each pixel a little like its neighbours.
fn grain(size: Size, rng: &mut impl RngCore) -> Vec<f32> {
    // The sum of four bytes: mean 510, variance 4·(256² − 1)/12.
    let white: Vec<f32> = (0..size.area())
        .map(|_| {
            let sum: u32 = rng.next_u32().to_le_bytes().iter().map(|&byte| u32::from(byte)).sum();
            (sum as f32 - 510.0) / 147.8
        })
        .collect();
    let at = |row: usize, column: usize| white[row.min(size.height - 1) * size.width + column.min(size.width - 1)];
    let mut grain = Vec::with_capacity(size.area());
    for row in 0..size.height {
        for column in 0..size.width {
            let beside = at(row, column.saturating_sub(1)) + at(row, column + 1);
            let above = at(row.saturating_sub(1), column) + at(row + 1, column);
            grain.push(0.8 * at(row, column) + 0.3 * (beside + above));
        }
    }
    grain
}

#[cfg(test)]
mod tests {
    use super::*;
    use sweep_core::seed::{Stream, derive};

    #[test]
    fn more_loss_is_brighter_everywhere() {
        let exposure = Exposure::draw(&mut derive(0, Stream::Phantom, 0, 0));
        for place in [[0.0, 0.0], [96.0, 120.0], [191.9, 239.9]] {
            let greys: Vec<f32> = (0..40).map(|step| exposure.grey(step as f32 * 0.1, place)).collect();
            assert!(greys.windows(2).all(|pair| pair[0] < pair[1]), "{greys:?}");
            assert!(greys[0] >= exposure.fog && greys[39] > 230.0, "{greys:?}");
        }
    }

    #[test]
    fn grain_has_mean_0_deviation_1_and_correlated_neighbours() {
        let size = Size { height: 200, width: 150 };
        let grain = grain(size, &mut derive(0, Stream::Phantom, 0, 1));
        let mean = |values: &mut dyn Iterator<Item = f32>| values.sum::<f32>() / size.area() as f32;
        let variance = mean(&mut grain.iter().map(|g| g * g));
        let beside = mean(&mut grain.windows(2).map(|pair| pair[0] * pair[1]));
        assert!(mean(&mut grain.iter().copied()).abs() < 0.05);
        assert!((variance - 1.0).abs() < 0.05, "{variance}");
        assert!((beside - 0.48).abs() < 0.05, "{beside}");
    }
}
