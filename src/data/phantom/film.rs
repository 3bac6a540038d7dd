//! The film: adds up, along every ray, what the bodies and edges in its way take from it.

use rand::RngCore;

use super::curve::{Curve, Vector};
use super::exposure::Exposure;
use super::subject::FILM;
use sweep_core::units::Size;

/// Samples are no farther apart than this, in millimetres; coarser pictures average several a pixel.
const FINEST: f64 = 1.3;

/// Attenuation of the rays, in arbitrary units (soft tissue of a hand's breadth is 0.3), sampled on a grid.
pub(super) struct Film {
    size: Size,
    /// Samples a pixel, along each axis.
    samples: usize,
    rows: usize,
    columns: usize,
    /// Millimetres between samples.
    step: [f32; 2],
    lost: Vec<f32>,
    /// Squared distance to the curve at hand, for the samples near it.
    near: Vec<f32>,
}

/// The samples that a curve can touch.
struct Window {
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
}

impl Film {
    /// An unexposed film that becomes a picture of this size.
    pub(super) fn new(size: Size) -> Self {
        let coarsest = (FILM.x / size.width as f64).max(FILM.y / size.height as f64);
        let samples = (coarsest / FINEST).ceil().max(1.0) as usize;
        let (rows, columns) = (size.height * samples, size.width * samples);
        let step = [FILM.x / columns as f64, FILM.y / rows as f64].map(|step| step as f32);
        let empty = vec![0.0; rows * columns];
        Self { size, samples, rows, columns, step, lost: empty.clone(), near: empty }
    }

    /// The wider of the two distances between samples.
    fn blur(&self) -> f32 {
        self.step[0].max(self.step[1])
    }

    /// The samples within `reach` of the box of the given points.
    fn window(&self, points: &[Vector], reach: f32) -> Window {
        let reach = f64::from(reach);
        let range = |low: f64, high: f64, step: f32, count: usize| {
            let index = |mm: f64| (mm / f64::from(step)).clamp(0.0, count as f64) as usize;
            index(low - reach)..(index(high + reach) + 1).min(count)
        };
        let bounds = |of: fn(&Vector) -> f64| {
            points.iter().map(of).fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)))
        };
        let ((left, right), (top, bottom)) = (bounds(|p| p.x), bounds(|p| p.y));
        Window {
            rows: range(top, bottom, self.step[1], self.rows),
            columns: range(left, right, self.step[0], self.columns),
        }
    }

    /// Fills `near` with the squared distance to the curve, at most `reach`².
    fn measure(&mut self, curve: &Curve, reach: f32) -> Window {
        let whole = self.window(&curve.points, reach);
        for row in whole.rows.clone() {
            self.near[row * self.columns..][whole.columns.clone()].fill(reach * reach);
        }
        let count = curve.points.len();
        for index in 0..if curve.closed { count } else { count - 1 } {
            let (start, end) = (curve.points[index], curve.points[(index + 1) % count]);
            let window = self.window(&[start, end], reach);
            let along = [(end.x - start.x) as f32, (end.y - start.y) as f32];
            let square = along[0] * along[0] + along[1] * along[1];
            let inverse = if square > 0.0 { 1.0 / square } else { 0.0 };
            for row in window.rows {
                let y = (row as f32 + 0.5) * self.step[1] - start.y as f32;
                let first = window.columns.start;
                let line = &mut self.near[row * self.columns..][window.columns.clone()];
                for (column, near) in line.iter_mut().enumerate() {
                    let x = ((first + column) as f32 + 0.5) * self.step[0] - start.x as f32;
                    let t = ((x * along[0] + y * along[1]) * inverse).clamp(0.0, 1.0);
                    let (dx, dy) = (x - t * along[0], y - t * along[1]);
                    let distance = dx * dx + dy * dy;
                    *near = if distance < *near { distance } else { *near };
                }
            }
        }
        whole
    }

    /// Adds a thin sheet seen edge-on: a ridge along the curve that fades to nothing `width` away from it.
    pub(super) fn line(&mut self, curve: &Curve, width: f32, amount: f32) {
        // As wide as the samples at least, and fainter accordingly, or thin lines would come and go between them.
        let wide = (width * width + self.blur() * self.blur()).sqrt();
        let amount = amount * width / wide;
        let window = self.measure(curve, wide);
        for row in window.rows {
            for column in window.columns.clone() {
                let index = row * self.columns + column;
                let fall = 1.0 - self.near[index] / (wide * wide);
                self.lost[index] += amount * fall * fall;
            }
        }
    }

    /// Adds a body whose edge is round: `amount` deeper than `softness` inside the outline, less towards it, as the
    /// chord through a circle.
    pub(super) fn body(&mut self, outline: &Curve, softness: f32, amount: f32) {
        let edge = self.blur() * 0.5;
        let reach = softness.max(edge);
        let window = self.measure(outline, reach);
        let mut crossings = Vec::new();
        for row in window.rows {
            self.crossings(outline, row, &mut crossings);
            let mut passed = 0;
            for column in window.columns.clone() {
                let x = (column as f32 + 0.5) * self.step[0];
                while passed < crossings.len() && crossings[passed] <= x {
                    passed += 1;
                }
                let index = row * self.columns + column;
                let distance = self.near[index].sqrt();
                let inside = passed % 2 == 1;
                if !inside && distance >= edge {
                    continue;
                }
                let depth = if inside { distance } else { -distance };
                let cover = (0.5 + depth / (2.0 * edge)).clamp(0.0, 1.0);
                // No edge is endlessly thin: a sixth of the body begins at once.
                let missing = 1.0 - (depth / softness).clamp(0.0, 1.0);
                let chord = (1.0 - missing * missing).sqrt().max(1.0 / 6.0);
                self.lost[index] += amount * cover * chord;
            }
        }
    }

    /// Where the middle of a row crosses the outline, from left to right.
    fn crossings(&self, outline: &Curve, row: usize, crossings: &mut Vec<f32>) {
        crossings.clear();
        let y = (row as f64 + 0.5) * f64::from(self.step[1]);
        for (index, &a) in outline.points.iter().enumerate() {
            let b = outline.points[(index + 1) % outline.points.len()];
            if (a.y <= y) != (b.y <= y) {
                crossings.push((a.x + (b.x - a.x) * (y - a.y) / (b.y - a.y)) as f32);
            }
        }
        crossings.sort_by(f32::total_cmp);
    }

    /// Grey values, row by row: attenuation averaged over each pixel, exposed and developed.
    pub(super) fn develop(&self, exposure: &Exposure, rng: &mut impl RngCore) -> Vec<u8> {
        let Size { height, width } = self.size;
        let grain = exposure.grain(self.size, rng);
        let mut pixels = Vec::with_capacity(self.size.area());
        for row in 0..height {
            for column in 0..width {
                let place = [
                    (column as f32 + 0.5) * self.step[0] * self.samples as f32,
                    (row as f32 + 0.5) * self.step[1] * self.samples as f32,
                ];
                let grey = exposure.grey(self.mean(row, column), place) + grain[row * width + column];
                pixels.push(grey.clamp(0.0, 255.0).round() as u8);
            }
        }
        pixels
    }

    /// Mean attenuation over one pixel.
    fn mean(&self, row: usize, column: usize) -> f32 {
        let mut sum = 0.0;
        for sample in row * self.samples..(row + 1) * self.samples {
            let line = &self.lost[sample * self.columns..][column * self.samples..(column + 1) * self.samples];
            sum += line.iter().sum::<f32>();
        }
        sum / (self.samples * self.samples) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [Size; 3] =
        [Size { height: 800, width: 640 }, Size { height: 100, width: 80 }, Size { height: 64, width: 130 }];

    /// Total attenuation of a film, in attenuation times mm².
    fn total(film: &Film) -> f64 {
        let Size { height, width } = film.size;
        let sum: f64 = (0..height)
            .flat_map(|row| (0..width).map(move |column| (row, column)))
            .map(|(row, column)| f64::from(film.mean(row, column)))
            .sum();
        sum * FILM.x * FILM.y / film.size.area() as f64
    }

    #[test]
    fn a_body_takes_its_area_times_its_amount_at_any_size() {
        let kite = Curve::straight(&[(60.3, 95.1), (120.7, 70.0), (181.1, 95.1), (120.7, 171.4)], true);
        let expected = 0.5 * 0.5 * (181.1 - 60.3) * (171.4 - 70.0);
        for size in SIZES {
            let mut film = Film::new(size);
            film.body(&kite, 0.01, 0.5);
            let error = total(&film) / expected - 1.0;
            assert!(error.abs() < 0.01, "{size:?}: {error}");
        }
    }

    #[test]
    fn a_thin_line_is_as_strong_at_any_size() {
        let line = Curve::straight(&[(40.3, 50.2), (140.9, 171.7)], false);
        // The integral of (1 − t²)² over [−1, 1] is 16/15.
        let expected = 0.8 * 0.4 * 16.0 / 15.0 * 100.6_f64.hypot(121.5);
        for size in SIZES {
            let mut film = Film::new(size);
            film.line(&line, 0.8, 0.4);
            let error = total(&film) / expected - 1.0;
            assert!(error.abs() < 0.03, "{size:?}: {error}");
        }
    }

    #[test]
    fn a_curve_off_the_film_leaves_no_trace() {
        let mut film = Film::new(SIZES[1]);
        let disc = Curve::ellipse(Vector::new(-60.0, 300.0), Vector::new(30.0, 20.0));
        film.body(&disc, 4.0, 1.0);
        film.line(&disc, 2.0, 1.0);
        assert!(film.lost.iter().all(|&lost| lost == 0.0));
    }
}
