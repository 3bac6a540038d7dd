//! Calibration: a network's confidence in a landmark compared with the landmark's error.

use std::collections::BTreeMap;

use serde::Serialize;

use sweep_experiment::records::LandmarkRecord;

use super::groups::Group;
use super::measured::Measured;
use super::statistics::{
    ClusteredPairs, Count, Estimate, LEVEL, Method, RESAMPLES, percentiles, resample, spearman, variance_of,
};

/// Radius within which a landmark counts as found, mm: confidence is compared with the share of landmarks within it.
pub const RADIUS_MM: f64 = 2.0;
/// Least number of landmarks in a bin.
const FEWEST: usize = 20;
/// Greatest number of bins.
const BINS: usize = 10;

/// Landmarks of about the same confidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bin {
    /// Their mean confidence, from 0 to 1.
    pub confidence: f64,
    /// Share of them within [`RADIUS_MM`], from 0 to 1.
    pub within_2mm: f64,
    /// Their mean radial error, mm.
    pub error_mm: f64,
    /// Number of landmarks.
    pub landmarks: usize,
}

/// Relation of confidence and error in one configuration, at one epoch of each trial.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// Configuration.
    pub group: String,
    /// Bins of about equally many landmarks, in ascending order of confidence.
    pub bins: Vec<Bin>,
    /// Expected calibration error: mean over landmarks of the difference between their bin's confidence and its share within
    /// 2 mm.
    pub gap: f64,
    /// Spearman's ρ between confidence and error: −1 if the most confident landmarks are the best.
    pub rho: Estimate,
    /// Mean error of the tenth of least confidence, and of all others, mm.
    pub least_sure_mm: [f64; 2],
}

/// Calibration of a configuration's finished trials, where these errors stand for them; `None` without recorded confidences,
/// or with fewer than 40 landmarks.
#[must_use]
pub fn calibration(group: &Group<'_>, measured: Measured) -> Option<Calibration> {
    let rows = group.done().flat_map(|trial| {
        let selection = measured.predicted_at(trial);
        trial.landmarks.iter().filter(move |row| row.selected == selection)
    });
    let mut rows: Vec<&LandmarkRecord> =
        rows.filter(|row| row.error().is_finite() && row.confidence.is_finite()).collect();
    if rows.len() < 2 * FEWEST {
        return None;
    }
    // Stable: equal confidences keep the records' order.
    rows.sort_by(|a, b| a.confidence.total_cmp(&b.confidence));
    let bins = (rows.len() / FEWEST).min(BINS);
    let edge = |bin: usize| bin * rows.len() / bins;
    let bins: Vec<Bin> = (0..bins).map(|i| Bin::of(&rows[edge(i)..edge(i + 1)])).collect();
    let off = |bin: &Bin| bin.landmarks as f64 * (bin.confidence - bin.within_2mm).abs();
    let gap = bins.iter().map(off).sum::<f64>() / rows.len() as f64;
    let (least, others) = rows.split_at(rows.len().div_ceil(10));
    let least_sure_mm = [least, others].map(|rows| rows.iter().map(|r| r.error()).sum::<f64>() / rows.len() as f64);
    Some(Calibration { group: group.label.clone(), bins, gap, rho: rho(&rows, group.done().count()), least_sure_mm })
}

impl Bin {
    fn of(rows: &[&LandmarkRecord]) -> Self {
        let mean =
            |value: &dyn Fn(&LandmarkRecord) -> f64| rows.iter().map(|row| value(row)).sum::<f64>() / rows.len() as f64;
        Self {
            confidence: mean(&|row| row.confidence),
            within_2mm: mean(&|row| f64::from(u8::from(row.error() <= row.unit().radii()[0]))),
            error_mm: mean(&|row| row.error()),
            landmarks: rows.len(),
        }
    }
}

/// Spearman's ρ with an interval from resampled images, each with all its landmarks of all seeds.
fn rho(rows: &[&LandmarkRecord], seeds: usize) -> Estimate {
    let mut images: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for row in rows {
        images.entry(&row.image).or_default().push((row.confidence, row.error()));
    }
    let pairs: Vec<(f64, f64)> = rows.iter().map(|row| (row.confidence, row.error())).collect();
    let point = spearman(&pairs);
    let n = Count { seeds, images: images.len(), landmarks: rows.len() / seeds.max(1) };
    if images.len() < 5 || !point.is_finite() {
        return Estimate::bare(point, n, Method::Images);
    }
    let images: Vec<Vec<(f64, f64)>> = images.into_values().collect();
    let pairs = ClusteredPairs::new(&images);
    // ρ needs no third decimal.
    let replicates = resample(1, images.len(), RESAMPLES / 10, 5, |_, drawn| pairs.drawn(drawn));
    let finite: Vec<f64> = replicates.into_iter().filter(|v| v.is_finite()).collect();
    Estimate {
        interval: percentiles(&finite, LEVEL),
        standard_error: variance_of(&finite).sqrt(),
        degrees: f64::INFINITY,
        ..Estimate::bare(point, n, Method::Images)
    }
}
