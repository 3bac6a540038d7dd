//! How the shapes of a data set stand: alike, as heads on radiographs do, or each in another direction, as animals seen from
//! above do. A turned or mirrored shape is a finding only where the others agree.

use rayon::prelude::*;

use super::finding::{Finding, Severity};
use super::orientation;
use super::procrustes::{FEWEST, Shape, median};
use super::shape_statistics::{FEWEST_IMAGES, ShapeStatistics};

/// Shapes that stand alike are turned against each other by less, in degrees.
pub(super) const UPRIGHT: f64 = 45.0;
/// Images that were turned by a quarter or a half keep the tilt of the others: this median distance from the nearest
/// quarter turn, in degrees, is more than the tilt of heads (4° on radiographs) and less than that of any direction (22.5°).
const TILT: f64 = 12.0;
/// At least this share of the shapes is turned by more than [`UPRIGHT`] where poses vary.
const TURNED: f64 = 0.05;
/// A mirror image is told from a shape where at most one in four shapes, mirrored, fits the mean shape.
const FITTING: usize = 4;
/// Fewer landmarks, bent a little, are as near to a mirror image as to the mean shape.
const FEWEST_MIRRORED: usize = 6;

/// The poses that a data set shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Poses {
    /// A shape turned further than this, in degrees, is turned against the others.
    pub(super) limit: f64,
    /// Whether mirror images are told from the shapes: not where both occur, or where the shape is nearly symmetrical.
    pub(super) mirrors: bool,
}

impl Poses {
    /// Poses of shapes that are all judged against each other.
    pub(super) fn of(shapes: &[Shape], statistics: &ShapeStatistics) -> Self {
        let mean = &statistics.mean;
        let fitted = statistics.aligned.iter().flatten();
        let fitted = fitted.filter(|(_, aligned)| orientation::cost(aligned, mean) < orientation::WELL);
        let degrees: Vec<f64> = fitted.map(|(transform, _)| transform.degrees()).collect();
        let tilt = median(degrees.iter().map(|d| (d - 90.0 * (d / 90.0).round()).abs()));
        let turned = degrees.iter().filter(|d| d.abs() > UPRIGHT).count();
        let vary = degrees.len() >= FEWEST_IMAGES && tilt > TILT && turned as f64 > TURNED * degrees.len() as f64;
        let mirrored = shapes.par_iter().filter(|shape| shape.iter().flatten().count() >= FEWEST);
        let mut mirrored: Vec<f64> = mirrored.map(|shape| orientation::cost_mirrored(shape, mean)).collect();
        mirrored.sort_by(f64::total_cmp);
        let mirrors = mean.shape.iter().flatten().count() >= FEWEST_MIRRORED
            && mirrored.get(mirrored.len() / FITTING).is_none_or(|cost| *cost >= orientation::WELL);
        Self { limit: if vary { 180.0 } else { UPRIGHT }, mirrors }
    }

    /// Whether shapes stand alike.
    pub(super) fn are_upright(self) -> bool {
        self.limit <= UPRIGHT
    }

    /// Says what is not judged, because the data set itself shows it.
    pub(super) fn findings(self, csv: &str) -> Vec<Finding> {
        let note = |what: &str, remedy: &str| Finding::new(Severity::Note, "poses", csv, what).remedy(remedy);
        let turned = (!self.are_upright()).then(|| {
            note(
                "shapes stand in every direction, so turned ones are not looked for",
                "right where subjects turn; augment.rotation_degrees up to 180 trains on every direction",
            )
        });
        let mirrored = (!self.mirrors).then(|| {
            note(
                "mirror images are not told from these shapes, so mirrored ones are not looked for",
                "right where subjects show either side, are nearly symmetrical, or have fewer than six landmarks",
            )
        });
        turned.into_iter().chain(mirrored).collect()
    }
}
