//! Two pictures of the same scene, told from two pictures of the same kind of scene.
//!
//! Radiographs of one kind are alike in everything coarse, so what is compared is the fine structure: a small copy, less its
//! own blur, divided by how much it varies thereabouts. That forgets brightness, contrast and compression. Copies are
//! laid over each other in all small shifts and with a slight crop of either; what then looks alike is fitted more
//! exactly, and only what correlates after that is the same picture.

use rayon::prelude::*;

use crate::resize::resize;
use crate::{Sample, Split};
use sweep_core::units::Size;

/// Pictures whose fingerprints correlate this much show the same. Of 4950 pairs of different radiographs the most alike
/// reach 0.70, of as many phantoms, which are drawn alike, 0.82.
pub(super) const CERTAIN: f64 = 0.88;
/// From here on they are copies, however their landmarks lie.
pub(super) const EXACT: f64 = 0.98;
/// From here on they may: if their landmarks have the same shape, they do.
pub(super) const LIKELY: f64 = 0.82;
/// Correlation from which on a fit is tried.
const CANDIDATE: f32 = 0.55;
/// Correlation of the coarse copies from which on the fine ones are compared.
const GLIMPSE: f32 = 0.55;

/// Side of the copy from which the others are made.
const REDUCED: usize = 256;
/// How much of it is cut off at each side for the cropped copy.
const CROP: usize = 8;

/// The fine structure by which a picture is recognised.
#[derive(Debug, Clone)]
pub(super) struct Fingerprint {
    /// The whole picture, and without its border.
    fine: [Print; 2],
    coarse: [Print; 2],
}

/// Fine structure on a square grid, and its norm within each shifted window.
#[derive(Debug, Clone)]
struct Print {
    side: usize,
    values: Vec<f32>,
    /// Norm of the window shifted by each `(dy, dx)`, row by row.
    norms: Vec<f32>,
}

impl Fingerprint {
    pub(super) fn of(sample: &Sample) -> Self {
        let small = square(sample, REDUCED);
        let cropped = crop(&small, CROP);
        let print = |sample: &Sample, side, margin| Print::of(&resized(sample, side), side, margin);
        Self {
            fine: [print(&small, 68, FINE), print(&cropped, 68, FINE)],
            coarse: [print(&small, 34, COARSE), print(&cropped, 34, COARSE)],
        }
    }

    /// How much two pictures correlate, laid over each other as well as can be; `None` if it is not much.
    fn correlation(&self, other: &Self) -> Option<f64> {
        let best = |a: &[Print; 2], b: &[Print; 2], margin| -> (f32, f64) {
            // The whole of one on the border-less other is one on the other a little larger.
            let zoom = 1.0 - 2.0 * CROP as f64 / REDUCED as f64;
            let pairs = [(0, 0, 1.0), (1, 0, zoom), (0, 1, 1.0 / zoom)];
            let scores = pairs.map(|(i, j, scale)| (a[i].best(&b[j], margin), scale));
            scores.into_iter().fold((f32::MIN, 1.0), |best, score| if score.0 > best.0 { score } else { best })
        };
        if best(&self.coarse, &other.coarse, COARSE).0 < GLIMPSE {
            return None;
        }
        let (score, scale) = best(&self.fine, &other.fine, FINE);
        (score >= CANDIDATE).then(|| fit(&self.fine[0], &other.fine[0], scale).max(f64::from(score)))
    }
}

/// Shifts to either side, in pixels of the fine and of the coarse copy.
const FINE: usize = 2;
const COARSE: usize = 1;

impl Print {
    fn of(grey: &[f32], side: usize, margin: usize) -> Self {
        let blurred = blur(grey, side);
        let fine: Vec<f32> = grey.iter().zip(&blurred).map(|(g, b)| g - b).collect();
        let variance = blur(&fine.iter().map(|v| v * v).collect::<Vec<f32>>(), side);
        // Two grey levels of 255: below that it is noise.
        let values: Vec<f32> =
            fine.iter().zip(variance).map(|(v, s)| v / (s + (2.0f32 / 255.0).powi(2)).sqrt()).collect();
        let mut print = Self { side, values, norms: Vec::new() };
        let shifts = (0..=2 * margin).flat_map(|dy| (0..=2 * margin).map(move |dx| (dy, dx)));
        print.norms = shifts.map(|shift| print.dot(shift, &print, shift, margin).sqrt().max(1e-6)).collect();
        print
    }

    /// Sum of products of two windows; a multiple of 16 wide.
    fn dot(&self, (ay, ax): (usize, usize), other: &Self, (by, bx): (usize, usize), margin: usize) -> f32 {
        let width = self.side - 2 * margin;
        let mut lanes = [0.0f32; 16];
        for y in 0..width {
            let a = &self.values[(y + ay) * self.side + ax..][..width];
            let b = &other.values[(y + by) * other.side + bx..][..width];
            for (a, b) in a.chunks_exact(16).zip(b.chunks_exact(16)) {
                for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
                    *lane += a * b;
                }
            }
        }
        lanes.iter().sum()
    }

    /// The greatest correlation over all shifts.
    fn best(&self, other: &Self, margin: usize) -> f32 {
        let across = 2 * margin + 1;
        let middle = self.norms[margin * across + margin];
        let scores = (0..across * across)
            .map(|i| self.dot((margin, margin), other, (i / across, i % across), margin) / (middle * other.norms[i]));
        scores.fold(f32::MIN, f32::max)
    }

    /// Between grid points; `None` beyond them.
    fn at(&self, x: f64, y: f64) -> Option<f64> {
        let last = (self.side - 1) as f64;
        if !(0.0..last).contains(&x) || !(0.0..last).contains(&y) {
            return None;
        }
        let (i, j) = (x as usize, y as usize);
        let (u, v) = (x - i as f64, y - j as f64);
        let value = |i: usize, j: usize| f64::from(self.values[j * self.side + i]);
        let row = |j: usize| value(i, j) * (1.0 - u) + value(i + 1, j) * u;
        Some(row(j) * (1.0 - v) + row(j + 1) * v)
    }
}

/// The correlation of the best fit found from a scale on: shift and scale along each axis, by ever smaller steps.
fn fit(a: &Print, b: &Print, scale: f64) -> f64 {
    let score = |p: [f64; 4], step: usize| {
        let centre = (a.side - 1) as f64 / 2.0;
        let (mut n, mut sums) = (0.0, [0.0; 5]);
        for y in (0..a.side).step_by(step) {
            for x in (0..a.side).step_by(step) {
                let at = (centre + p[2] * (x as f64 - centre) + p[0], centre + p[3] * (y as f64 - centre) + p[1]);
                let Some(v) = b.at(at.0, at.1) else { continue };
                let u = f64::from(a.values[y * a.side + x]);
                n += 1.0;
                for (sum, term) in sums.iter_mut().zip([u, v, u * u, v * v, u * v]) {
                    *sum += term;
                }
            }
        }
        let points = (a.side.div_ceil(step) as f64).powi(2);
        let [u, v, uu, vv, uv] = sums.map(|s| s / f64::max(n, 1.0));
        if n < 0.7 * points { -1.0 } else { (uv - u * v) / ((uu - u * u) * (vv - v * v)).sqrt().max(1e-12) }
    };
    let mut place = [0.0, 0.0, scale, scale];
    let mut best = score(place, 2);
    let mut steps = [2.0, 2.0, 0.03, 0.03];
    while steps[0] > 0.1 {
        let mut moved = false;
        for (i, step) in steps.into_iter().enumerate() {
            for sign in [-1.0, 1.0] {
                let mut tried = place;
                tried[i] += sign * step;
                let found = score(tried, 2);
                if found > best {
                    (best, place, moved) = (found, tried, true);
                }
            }
        }
        if !moved {
            steps = steps.map(|s| s / 2.0);
        }
    }
    score(place, 1)
}

/// Grey values in [0, 1] at a square size, whatever the proportions.
fn resized(sample: &Sample, side: usize) -> Vec<f32> {
    resize(sample, Size { height: side, width: side }).pixels.to_vec()
}

fn square(sample: &Sample, side: usize) -> Sample {
    let pixels = resized(sample, side).into_iter().map(|v| (v * 255.0).round() as u8).collect();
    picture(side, pixels)
}

fn crop(sample: &Sample, by: usize) -> Sample {
    let side = sample.size.width;
    let kept = by..side - by;
    let rows = sample.pixels.chunks_exact(side).take(kept.end).skip(by);
    picture(kept.len(), rows.flat_map(|row| row[kept.clone()].to_vec()).collect())
}

fn picture(side: usize, pixels: Vec<u8>) -> Sample {
    Sample {
        image: String::new(),
        split: Split::Train,
        size: Size { height: side, width: side },
        pixels,
        landmarks: Vec::new(),
        spacing: None,
        patient: None,
    }
}

/// A Gaussian blur of two pixels, edges repeated.
fn blur(grey: &[f32], side: usize) -> Vec<f32> {
    const REACH: usize = 6;
    let weights: Vec<f32> = (0..=2 * REACH).map(|i| (-(i as f32 - REACH as f32).powi(2) / 8.0).exp()).collect();
    let total: f32 = weights.iter().sum();
    let pass = |from: &[f32], step: usize, other: usize| -> Vec<f32> {
        let at = |line: usize, i: usize| from[line * other + i * step];
        let mut to = vec![0.0; from.len()];
        for line in 0..side {
            for i in 0..side {
                let taps = weights.iter().enumerate();
                let sum: f32 = taps.map(|(k, w)| w * at(line, (i + k).saturating_sub(REACH).min(side - 1))).sum();
                to[line * other + i * step] = sum / total;
            }
        }
        to
    };
    pass(&pass(grey, 1, side), side, 1)
}

/// Two images that may show the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pair {
    pub(super) images: [usize; 2],
    pub(super) correlation: f64,
}

/// All pairs of pictures that may show the same, though their pixels differ.
pub(super) fn alike(prints: &[Option<&Fingerprint>]) -> Vec<Pair> {
    let of_row = |i: usize| {
        let found = (0..i).filter_map(move |j| {
            let correlation = prints[i]?.correlation(prints[j]?)?;
            (correlation >= LIKELY).then_some(Pair { images: [j, i], correlation })
        });
        found.collect::<Vec<Pair>>()
    };
    let rows: Vec<Vec<Pair>> = (0..prints.len()).into_par_iter().map(of_row).collect();
    rows.into_iter().flatten().collect()
}

/// How much each pair of pictures correlates, to measure what is usual.
#[cfg(test)]
pub(super) fn correlations(prints: &[Fingerprint]) -> Vec<f64> {
    let of = |(i, j): (usize, usize)| prints[i].correlation(&prints[j]).unwrap_or(0.0);
    let pairs: Vec<(usize, usize)> = (0..prints.len()).flat_map(|i| (0..i).map(move |j| (i, j))).collect();
    pairs.into_par_iter().map(of).collect()
}
