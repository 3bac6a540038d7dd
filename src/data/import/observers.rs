//! Two observers of the same images.

use crate::Split;
use sweep_core::error::{Error, Result};
use sweep_core::units::{Millimetres, Point, Spacing};

/// The observer whose landmarks are the ground truth, where a source has two observers; part of the data set's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Truth {
    /// The junior observer's.
    Junior,
    /// The senior observer's.
    Senior,
    /// Half-way between both.
    #[default]
    Mean,
}

impl Truth {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Junior, Self::Senior, Self::Mean];

    /// Name on the command line and in data sets' names.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Junior => "junior",
            Self::Senior => "senior",
            Self::Mean => "mean",
        }
    }

    /// The truth about an image, of which each observer may know nothing.
    pub(super) fn choose(self, marks: &Marks) -> Result<Vec<Option<Point>>> {
        let lacks = |who: &str, other: &str| {
            Error::input(format!("there is nothing by the {who} observer"))
                .remedy(format!("choose the other one's: --truth {other}"))
        };
        let junior = || marks.junior.as_ref().ok_or_else(|| lacks("junior", "senior"));
        let senior = || marks.senior.as_ref().ok_or_else(|| lacks("senior", "junior"));
        Ok(match self {
            Self::Junior => junior()?.clone(),
            Self::Senior => senior()?.clone(),
            Self::Mean => junior()?.iter().zip(senior()?).map(|(a, b)| Some(half_way((*a)?, (*b)?))).collect(),
        })
    }
}

fn half_way(a: Point, b: Point) -> Point {
    Point { x: f64::midpoint(a.x, b.x), y: f64::midpoint(a.y, b.y) }
}

/// Each observer's landmarks of an image.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks {
    pub(super) junior: Option<Vec<Option<Point>>>,
    pub(super) senior: Option<Vec<Option<Point>>>,
}

/// Error of one observer against the mean of both, which is half the distance between them; over validation images, if
/// there are any, for it is they that results are judged on.
pub(super) fn error_of_one(
    images: &[(Marks, Option<Split>)],
    spacing: impl Fn(usize) -> Option<Spacing>,
) -> Option<Millimetres> {
    let judged = images.iter().any(|(_, split)| *split == Some(Split::Val));
    let (mut sum, mut count) = (0.0, 0usize);
    for (index, (marks, split)) in images.iter().enumerate() {
        if judged && *split != Some(Split::Val) {
            continue;
        }
        let (Some(junior), Some(senior), Some(spacing)) = (&marks.junior, &marks.senior, spacing(index)) else {
            continue;
        };
        for (a, b) in junior.iter().zip(senior).filter_map(|(a, b)| a.zip(*b)) {
            sum += spacing.distance(a, half_way(a, b)).0;
            count += 1;
        }
    }
    (count > 0).then(|| Millimetres(sum / count as f64))
}
