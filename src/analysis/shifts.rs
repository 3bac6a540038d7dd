//! Evaluation under shift: predictions under several conditions are compared with those on the images as they are, and two
//! recipes with each other under every condition.
//!
//! Images are resampled, or counted, together with their landmarks and, where several conditions are joined, with all their
//! versions. The intervals of a table's differences are simultaneous, by Bonferroni, and agree with the adjusted p-values.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use sweep_core::units::ErrorUnit;
use sweep_experiment::records::LandmarkRecord;

use super::findings::ALPHA;
use super::scores::Score;
use super::statistics::{Contrast, Crossed, Estimate};

/// Predictions of a recipe's networks under a condition; each image and landmark occurs once.
#[derive(Debug, Clone)]
pub struct Condition<'a> {
    /// The name of the row.
    pub name: String,
    /// The predictions, a row for each image and landmark.
    pub predictions: Cow<'a, [LandmarkRecord]>,
}

/// The image names of a part of a data set, as a row of the table.
#[derive(Debug, Clone)]
pub struct Subset {
    /// The name of the row.
    pub name: String,
    /// Names of its images.
    pub images: BTreeSet<String>,
}

/// What a row holds its condition against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reference {
    /// Nothing: the images as they are.
    Nothing,
    /// The same images as they are, landmark by landmark.
    AsItIs,
    /// The other images of the evaluation, as they are.
    OtherImages,
}

/// A condition's row in the table of a recipe.
#[derive(Debug, Clone, Serialize)]
pub struct ShiftScore {
    /// The condition.
    pub name: String,
    /// Mean radial error, mm or px.
    pub mre: Estimate,
    /// Per cent within the least of [`ErrorUnit::radii`].
    pub within: Estimate,
    /// What `change` is held against.
    pub reference: Reference,
    /// The mean radial error less that of the reference; its interval is simultaneous with the table's others.
    pub change: Option<Estimate>,
    /// p-value of no change, adjusted for the table's number of changes.
    pub p_adjusted: Option<f64>,
}

/// Whether a recipe is better than another under a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Its error is smaller: the interval lies below zero.
    Better,
    /// Its error is greater: the interval lies above zero.
    Worse,
    /// The interval holds zero.
    NotShown,
}

impl Standing {
    /// A word for tables.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::NotShown => "not shown",
        }
    }
}

/// A condition's row in the comparison of two recipes.
#[derive(Debug, Clone, Serialize)]
pub struct RecipeChange {
    /// The condition.
    pub name: String,
    /// Mean radial errors of the recipe and of the one it is compared with, on the landmarks that both were evaluated on.
    pub mre: [f64; 2],
    /// The first less the second; the interval is simultaneous with the table's others.
    pub change: Estimate,
    /// p-value of no difference, adjusted for the table's number of conditions.
    pub p_adjusted: f64,
    /// What the interval says.
    pub standing: Standing,
}

impl Condition<'_> {
    fn all(&self) -> Vec<&LandmarkRecord> {
        self.predictions.iter().collect()
    }
}

/// The conditions of an evaluation.
#[derive(Debug, Clone)]
pub struct Conditions<'a> {
    /// The images as they are.
    pub as_is: Condition<'a>,
    /// The same images shifted.
    pub shifted: Vec<Condition<'a>>,
    /// The predictions on the images as they are, held against other marks.
    pub marks: Vec<Condition<'a>>,
    /// Parts of the images as they are.
    pub subsets: Vec<Subset>,
}

/// A row before its statistics: the predictions that it joins, and those of the reference.
struct Row<'a> {
    name: String,
    reference: Reference,
    of: Vec<Vec<&'a LandmarkRecord>>,
    against: Vec<Vec<&'a LandmarkRecord>>,
}

impl<'r> Conditions<'r> {
    /// A condition beside the same images as they are.
    fn paired<'a>(&'a self, condition: &'a Condition<'r>) -> Row<'a> {
        Row {
            name: condition.name.clone(),
            reference: Reference::AsItIs,
            of: vec![condition.all()],
            against: vec![self.as_is.all()],
        }
    }

    fn rows(&self) -> Vec<Row<'_>> {
        let (name, of) = (self.as_is.name.clone(), vec![self.as_is.all()]);
        let mut rows = vec![Row { name, reference: Reference::Nothing, of, against: Vec::new() }];
        rows.extend(self.shifted.iter().map(|condition| self.paired(condition)));
        if self.shifted.len() > 1 {
            rows.push(Row {
                name: format!("all {} shifts", self.shifted.len()),
                reference: Reference::AsItIs,
                of: self.shifted.iter().map(Condition::all).collect(),
                against: self.shifted.iter().map(|_| self.as_is.all()).collect(),
            });
        }
        rows.extend(self.subsets.iter().map(|subset| {
            let (of, others) = self.as_is.predictions.iter().partition(|row| subset.images.contains(&row.image));
            Row {
                name: format!("{} ({})", subset.name, super::format::counted(subset.images.len(), "image")),
                reference: Reference::OtherImages,
                of: vec![of],
                against: vec![others],
            }
        }));
        rows.extend(self.marks.iter().map(|condition| self.paired(condition)));
        rows
    }

    /// The table of a recipe, a row for each condition with a prediction.
    #[must_use]
    pub fn scores(&self, unit: ErrorUnit) -> Vec<ShiftScore> {
        let rows: Vec<Row<'_>> = self.rows().into_iter().filter(|row| row.of.iter().any(|of| !of.is_empty())).collect();
        let changes: Vec<Option<Contrast>> = rows.iter().map(Row::change).collect();
        let tests = changes.iter().flatten().count();
        let score = |(row, change): (Row<'_>, Option<Contrast>)| {
            let score = Score::together(row.of.into_iter().flatten(), unit);
            let [within, ..] = score.sdr;
            ShiftScore {
                name: row.name,
                mre: score.mre,
                within,
                reference: row.reference,
                p_adjusted: change.as_ref().map(|change| adjusted(change, tests)),
                change: change.map(|change| change.estimate(ALPHA / tests.max(1) as f64)),
            }
        };
        rows.into_iter().zip(changes).map(score).collect()
    }

    /// This recipe against another under every condition, on the images and landmarks that both were evaluated on. Conditions
    /// are paired by their place; subsets are this one's.
    #[must_use]
    pub fn against(&self, other: &Self) -> Vec<RecipeChange> {
        let other = Self { subsets: self.subsets.clone(), ..other.clone() };
        let pairs: Vec<(String, Pairs)> = self
            .rows()
            .into_iter()
            .zip(other.rows())
            .map(|(of, against)| (of.name, Pairs::of(&of.of, &against.of)))
            .collect();
        let contrasts = pairs.into_iter().filter_map(|(name, pairs)| Some((name, pairs.means(), pairs.contrast()?)));
        let contrasts: Vec<(String, [f64; 2], Contrast)> = contrasts.collect();
        let tests = contrasts.len();
        let change = |(name, mre, contrast): (String, [f64; 2], Contrast)| {
            let change = contrast.estimate(ALPHA / tests as f64);
            let standing = match change.interval {
                [_, high] if high < 0.0 => Standing::Better,
                [low, _] if low > 0.0 => Standing::Worse,
                _ => Standing::NotShown,
            };
            RecipeChange { name, mre, change, p_adjusted: adjusted(&contrast, tests), standing }
        };
        contrasts.into_iter().map(change).collect()
    }
}

/// Which difference between two recipes holds, in a sentence. The first row is that of the images as they are.
#[must_use]
pub fn holds(changes: &[RecipeChange]) -> String {
    let Some((as_is, others)) = changes.split_first() else { return String::new() };
    let names = |standing: Standing| -> Vec<&str> {
        others.iter().filter(|of| of.standing == standing).map(|of| of.name.as_str()).collect()
    };
    let listed = |what: &str, standing: Standing| {
        let names = names(standing);
        (!names.is_empty()).then(|| format!("{what} {}", names.join(", ")))
    };
    let (held, reversed, first) = match as_is.standing {
        Standing::NotShown => {
            let found: Vec<String> = [listed("better under", Standing::Better), listed("worse under", Standing::Worse)]
                .into_iter()
                .flatten()
                .collect();
            let shown = if found.is_empty() { "nor under any other condition".to_owned() } else { found.join("; ") };
            return format!("On the images as they are, no difference is shown; {shown}.");
        }
        Standing::Better => (Standing::Better, Standing::Worse, "better"),
        Standing::Worse => (Standing::Worse, Standing::Better, "worse"),
    };
    let mut parts = vec![format!(
        "On the images as they are: {first}. So under {} of {} other conditions",
        names(held).len(),
        others.len()
    )];
    parts.extend(listed("not shown under", Standing::NotShown));
    parts.extend(listed("the reverse under", reversed));
    format!("{}.", parts.join("; "))
}

/// The p-value of no difference, adjusted for so many tests as the simultaneous intervals are.
fn adjusted(contrast: &Contrast, tests: usize) -> f64 {
    (contrast.p_value(0.0) * tests as f64).min(1.0)
}

impl Row<'_> {
    /// The difference from the reference.
    fn change(&self) -> Option<Contrast> {
        match self.reference {
            Reference::Nothing => None,
            Reference::AsItIs => Pairs::of(&self.of, &self.against).contrast(),
            Reference::OtherImages => {
                let table = |rows: &[Vec<&LandmarkRecord>]| {
                    let mut images: BTreeMap<&str, (f64, usize)> = BTreeMap::new();
                    for row in rows.iter().flatten().filter(|row| row.error().is_finite()) {
                        let cell = images.entry(&row.image).or_default();
                        *cell = (cell.0 + row.error(), cell.1 + 1);
                    }
                    Crossed::new(&[images.into_values().collect()])
                };
                Contrast::between(&table(&self.of), &table(&self.against))
            }
        }
    }
}

/// Errors of the same landmarks of the same images in two sets of predictions, summed by image.
struct Pairs {
    /// Sum of the first's errors, of the second's, and their number.
    images: BTreeMap<String, ([f64; 2], usize)>,
}

impl Pairs {
    /// Of lists of predictions that belong together by their place.
    fn of(first: &[Vec<&LandmarkRecord>], second: &[Vec<&LandmarkRecord>]) -> Self {
        let mut images: BTreeMap<String, ([f64; 2], usize)> = BTreeMap::new();
        for (first, second) in first.iter().zip(second) {
            let key = |row: &LandmarkRecord| (row.image.clone(), row.landmark.clone());
            let known = |row: &&&LandmarkRecord| row.error().is_finite();
            let of_second: BTreeMap<_, f64> = second.iter().filter(known).map(|row| (key(row), row.error())).collect();
            for row in first.iter().filter(known) {
                if let Some(other) = of_second.get(&key(row)) {
                    let (sums, count) = images.entry(row.image.clone()).or_default();
                    *sums = [sums[0] + row.error(), sums[1] + other];
                    *count += 1;
                }
            }
        }
        Self { images }
    }

    fn table(&self, side: usize) -> Crossed {
        Crossed::new(&[self.images.values().map(|(sums, count)| (sums[side], *count)).collect()])
    }

    fn means(&self) -> [f64; 2] {
        [0, 1].map(|side| self.table(side).mean())
    }

    /// The first less the second; `None` with fewer than two images.
    fn contrast(&self) -> Option<Contrast> {
        Contrast::of(&[(1.0, self.table(0)), (-1.0, self.table(1))])
    }
}

#[cfg(test)]
mod tests;
