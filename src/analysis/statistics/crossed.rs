//! Means over seeds × images with intervals that keep their coverage even with few seeds or images.

use super::{Count, Estimate, LEVEL, Method, RESAMPLES, percentiles, resample, student_quantile, variance_of};

/// A quantity summed over the landmarks of each image, for every seed: landmarks of one image are correlated, so they
/// stay together.
#[derive(Debug, Clone, PartialEq)]
pub struct Crossed {
    seeds: usize,
    images: usize,
    /// `[seeds, images]`: sum over landmarks.
    sums: Vec<f64>,
    /// `[seeds, images]`: number of landmarks.
    counts: Vec<f64>,
}

/// Variance of the mean over seeds × images, and how well it is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Uncertainty {
    pub(super) variance: f64,
    pub(super) degrees: f64,
}

impl Crossed {
    /// From cells of `(sum over landmarks, number of landmarks)`, a row of images per seed.
    ///
    /// Rows must have equal lengths; a missing combination of seed and image is a cell of zero landmarks.
    #[must_use]
    pub fn new(rows: &[Vec<(f64, usize)>]) -> Self {
        let images = rows.first().map_or(0, Vec::len);
        let cells = || rows.iter().flat_map(|row| row.iter().take(images));
        Self {
            seeds: rows.len(),
            images,
            sums: cells().map(|c| c.0).collect(),
            counts: cells().map(|c| c.1 as f64).collect(),
        }
    }

    /// The weighted sum of tables of the same seeds, images and landmarks, cell by cell; `None` if their shapes differ.
    #[must_use]
    pub fn weighted(terms: &[(f64, Self)]) -> Option<Self> {
        let (_, first) = terms.first()?;
        let mut whole = Self { sums: vec![0.0; first.sums.len()], ..first.clone() };
        for (weight, table) in terms {
            if (table.seeds, table.images) != (first.seeds, first.images) || table.counts != first.counts {
                return None;
            }
            whole.sums.iter_mut().zip(&table.sums).for_each(|(sum, of)| *sum += weight * of);
        }
        Some(whole)
    }

    /// Number of seeds, images, and landmarks of one seed.
    #[must_use]
    pub fn count(&self) -> Count {
        let landmarks = self.counts.iter().take(self.images).sum::<f64>() as usize;
        Count { seeds: self.seeds, images: self.images, landmarks }
    }

    /// Mean over all landmarks.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.sums.iter().sum::<f64>() / self.counts.iter().sum::<f64>()
    }

    /// Mean over landmarks of each image, all seeds together.
    #[must_use]
    pub fn by_image(&self) -> Vec<f64> {
        let column = |values: &[f64], image: usize| values.iter().skip(image).step_by(self.images).sum::<f64>();
        (0..self.images).map(|i| column(&self.sums, i) / column(&self.counts, i)).collect()
    }

    /// Mean over landmarks of each seed.
    #[must_use]
    pub fn by_seed(&self) -> Vec<f64> {
        let rows = self.sums.chunks(self.images.max(1)).zip(self.counts.chunks(self.images.max(1)));
        rows.map(|(sums, counts)| sums.iter().sum::<f64>() / counts.iter().sum::<f64>()).collect()
    }

    /// The mean with each seed and each image counted as often as it was drawn.
    pub(super) fn drawn(&self, seeds: &[u32], images: &[u32]) -> f64 {
        let (mut sum, mut count) = (0.0, 0.0);
        let rows = self.sums.chunks_exact(self.images).zip(self.counts.chunks_exact(self.images));
        for ((sums, counts), times) in rows.zip(seeds).filter(|(_, times)| **times > 0) {
            sum += weighted_sum(sums, images) * f64::from(*times);
            count += weighted_sum(counts, images) * f64::from(*times);
        }
        sum / count
    }

    /// The mean with a 95 % interval for other seeds and other images; with one seed, for other images alone.
    ///
    /// Percentiles of a bootstrap are too narrow for few units: by √((n−1)/n), and as a normal is to Student's t
    /// (Hesterberg 2015, §4.3). With a handful of seeds that is the whole difference between 95 and 85 %. So the
    /// distances of the percentiles from the mean, whose asymmetry is kept, are widened to the scale of the analysis of
    /// variance of seeds × images, with Satterthwaite's degrees of freedom (1946).
    #[must_use]
    pub fn estimate(&self, key: u64) -> Estimate {
        self.estimate_with(key, RESAMPLES)
    }

    /// [`Self::estimate`] with this number of resamples.
    #[must_use]
    pub fn estimate_with(&self, key: u64, resamples: usize) -> Estimate {
        self.estimate_by(key, resamples, |v| v, |v| v, 1.0)
    }

    /// [`Self::estimate_with`], the interval taken on another scale; `slope` is that of the scale at the mean.
    pub(super) fn estimate_by(
        &self,
        key: u64,
        resamples: usize,
        scale: fn(f64) -> f64,
        back: fn(f64) -> f64,
        slope: f64,
    ) -> Estimate {
        let method = if self.seeds > 1 { Method::SeedsAndImages } else { Method::Images };
        let bare = Estimate::bare(self.mean(), self.count(), method);
        let Some(known) = self.uncertainty() else { return bare };
        let (point, standard_error) = (scale(bare.point), known.variance.sqrt() * slope);
        let replicates = resample(self.seeds, self.images, resamples, key, |s, i| scale(self.drawn(s, i)));
        let spread = variance_of(&replicates.iter().copied().filter(|v| v.is_finite()).collect::<Vec<_>>()).sqrt();
        let t = student_quantile(f64::midpoint(LEVEL, 1.0), known.degrees);
        let widening = if spread > 0.0 { standard_error / spread * t / NORMAL_975 } else { 0.0 };
        let interval = percentiles(&replicates, LEVEL).map(|end| point + (end - point) * widening);
        // A bootstrap of two or three units is too discrete; the interval is at least the symmetric one.
        let half = t * standard_error;
        let interval = if self.seeds.min(self.images) < 5 && self.seeds > 1 {
            [interval[0].min(point - half), interval[1].max(point + half)]
        } else {
            interval
        };
        Estimate { interval: interval.map(back), standard_error: known.variance.sqrt(), degrees: known.degrees, ..bare }
    }

    /// Two-way analysis of variance of each cell's contribution to the mean; `None` for a single cell.
    pub(super) fn uncertainty(&self) -> Option<Uncertainty> {
        let (seeds, images) = (self.seeds as f64, self.images as f64);
        let (by_seed, by_image, rest) = self.mean_squares()?;
        // Each is a variance of the mean: from seeds, from images, and from single cells, which both contain.
        let (of_seeds, of_images, of_cells) = (by_seed / seeds, by_image / images, rest / (seeds * images));
        Some(match (self.seeds, self.images) {
            (1, _) => Uncertainty { variance: of_images, degrees: images - 1.0 },
            (_, 1) => Uncertainty { variance: of_seeds, degrees: seeds - 1.0 },
            _ => {
                let variance = (of_seeds + of_images - of_cells).max(of_seeds).max(of_images);
                let doubt = of_seeds.powi(2) / (seeds - 1.0)
                    + of_images.powi(2) / (images - 1.0)
                    + of_cells.powi(2) / ((seeds - 1.0) * (images - 1.0));
                let degrees = if doubt > 0.0 { variance.powi(2) / doubt } else { seeds - 1.0 };
                Uncertainty { variance, degrees: degrees.max(1.0) }
            }
        })
    }

    /// Variances of the seeds' means, of the images' means, and of the residuals of single cells.
    pub(super) fn mean_squares(&self) -> Option<(f64, f64, f64)> {
        if self.seeds == 0 || self.images == 0 || self.seeds * self.images < 2 {
            return None;
        }
        let mean = self.mean();
        let per_cell = self.counts.iter().sum::<f64>() / self.counts.len() as f64;
        // Contribution of a cell to the mean, linearised: with equal counts its deviation from the mean.
        let share: Vec<f64> = self.sums.iter().zip(&self.counts).map(|(s, c)| (s - mean * c) / per_cell).collect();
        if share.iter().any(|v| !v.is_finite()) {
            return None;
        }
        let rows: Vec<f64> = share.chunks_exact(self.images).map(super::mean).collect();
        let columns: Vec<f64> = (0..self.images)
            .map(|i| share.iter().skip(i).step_by(self.images).sum::<f64>() / self.seeds as f64)
            .collect();
        let squares = |values: &[f64]| if values.len() > 1 { variance_of(values) } else { 0.0 };
        let rest: f64 = share
            .iter()
            .enumerate()
            .map(|(at, v)| (v - rows[at / self.images] - columns[at % self.images]).powi(2))
            .sum();
        let degrees = (self.seeds - 1) * (self.images - 1);
        Some((squares(&rows), squares(&columns), if degrees > 0 { rest / degrees as f64 } else { 0.0 }))
    }
}

/// The sum of values, each as often as it was drawn, in four parts that do not wait for one another.
fn weighted_sum(values: &[f64], times: &[u32]) -> f64 {
    let (values, last) = values.as_chunks::<4>();
    let (times, last_times) = times.as_chunks::<4>();
    let mut parts = [0.0; 4];
    for (values, times) in values.iter().zip(times) {
        for lane in 0..4 {
            // As signed numbers they become floating ones in one instruction.
            parts[lane] += values[lane] * f64::from(times[lane].cast_signed());
        }
    }
    let last = last.iter().zip(last_times).map(|(value, times)| value * f64::from(*times));
    parts.iter().sum::<f64>() + last.sum::<f64>()
}

/// The 97.5 % quantile of the standard normal distribution.
const NORMAL_975: f64 = 1.959_963_984_540_054;
