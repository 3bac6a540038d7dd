//! What `sweep eval --shifts` adds: a table of all conditions and, with `--against`, which differences between two recipes hold.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::marks::Marks;
use super::{Predicted, Recipe};
use crate::commands::text_table::say_table;
use crate::commands::{radii, say};
use sweep_analysis::format::{self, counted};
use sweep_analysis::report::TextTable;
use sweep_analysis::shifts::{Condition, Conditions, RecipeChange, ShiftScore, Subset, holds};
use sweep_analysis::statistics::Estimate;
use sweep_core::error::{Error, Result};
use sweep_core::note;
use sweep_core::units::{ErrorUnit, Point};
use sweep_data::inspect::distances_from_mean_shape;
use sweep_experiment::records::{self, LandmarkRecord};
use sweep_training::predict::radii::{Coverage, Radii};

/// The name of the images without a shift.
const AS_IT_IS: &str = "as it is";
/// With fewer images, a quarter of them would say nothing.
const LEAST_FOR_QUARTERS: usize = 8;

/// Tables of an evaluation under shifts.
pub(super) struct Tables<'a> {
    recipe: &'a Recipe,
    conditions: Conditions<'a>,
    other: Option<(&'a Recipe, Conditions<'a>)>,
}

impl<'a> Tables<'a> {
    /// # Errors
    /// When recipes were evaluated on other images, or marks are of others.
    pub(super) fn new(recipe: &'a Recipe, other: Option<&'a Recipe>, marks: &[Marks]) -> Result<Self> {
        let conditions = conditions(recipe, marks)?;
        let other = match other {
            Some(other) => {
                let of_other = self::conditions(other, marks)?;
                same_images(&conditions.as_is.predictions, &of_other.as_is.predictions)?;
                Some((other, of_other))
            }
            None => None,
        };
        Ok(Self { recipe, conditions, other })
    }

    /// The predictions under a condition that has some of its own, by the name of its row.
    fn predicted(&self, row: &str) -> Option<&Predicted> {
        let measured = &self.recipe.measured;
        let shifted = measured.shifted.iter().find(|(shift, _)| shift.name() == row).map(|(_, predicted)| predicted);
        shifted.or_else(|| (row == AS_IT_IS).then_some(&measured.as_is))
    }

    /// Writes every prediction, with the condition in the first column.
    pub(super) fn write(&self, unit: ErrorUnit, bytes: &mut Vec<u8>) -> Result<()> {
        let of = std::iter::once(&self.conditions).chain(self.other.as_ref().map(|(_, conditions)| conditions));
        let conditions = of.flat_map(|of| std::iter::once(&of.as_is).chain(&of.shifted).chain(&of.marks));
        let tables: Vec<(&str, &[LandmarkRecord])> =
            conditions.map(|of| (of.name.as_str(), &*of.predictions)).collect();
        records::write_named_csv_in(unit, "shift", &tables, bytes)
    }

    pub(super) fn json(&self, unit: ErrorUnit, known: Option<&Radii>) -> Value {
        let condition = |score: &ShiftScore| {
            let predicted = self.predicted(&score.name);
            let unlike = predicted.map(unlike);
            let coverage = known.zip(predicted).and_then(|(radii, predicted)| radii::covered(radii, predicted));
            let mut json = json!({
                "name": score.name, "images": score.mre.n.images, "landmarks": score.mre.n.landmarks,
                "reference": score.reference, "p_adjusted": score.p_adjusted,
                "judged": unlike.map(|(_, judged)| judged), "unlike": unlike.map(|(unlike, _)| unlike),
                "radii": radii::json(coverage.as_ref()),
            });
            let within = unit.radii()[0].to_string().replace('.', "_");
            for (key, estimate) in [(format!("mre_{unit}"), &score.mre), (format!("sdr_{within}{unit}"), &score.within)]
            {
                json[format!("{key}_interval")] = estimate.interval.to_vec().into();
                json[key] = estimate.point.into();
            }
            let change = score.change.as_ref();
            json[format!("change_{unit}")] = change.map(|change| change.point).into();
            json[format!("change_interval_{unit}")] = change.map(|change| change.interval.to_vec()).into();
            json
        };
        let conditions: Vec<Value> = self.conditions.scores(unit).iter().map(condition).collect();
        let against = self.other.as_ref().map(|(other, of_other)| {
            let changes = self.conditions.against(of_other);
            let checkpoints = other.predictor.descriptions();
            let change = |change: &RecipeChange| {
                let mut json = json!({
                    "name": change.name, "images": change.change.n.images, "landmarks": change.change.n.landmarks,
                    "p_adjusted": change.p_adjusted, "standing": change.standing,
                });
                json[format!("mre_{unit}")] = change.mre[0].into();
                json[format!("mre_against_{unit}")] = change.mre[1].into();
                json[format!("change_{unit}")] = change.change.point.into();
                json[format!("change_interval_{unit}")] = change.change.interval.to_vec().into();
                json
            };
            json!({
                "checkpoints": checkpoints.map(|d| json!({ "trial": d.trial, "epoch": d.epoch })).collect::<Vec<_>>(),
                "conditions": changes.iter().map(change).collect::<Vec<_>>(),
                "finding": holds(&changes),
            })
        });
        json!({ "conditions": conditions, "against": against })
    }

    pub(super) fn print(&self, unit: ErrorUnit, known: Option<&Radii>) -> Result<()> {
        say("")?;
        let scores = self.conditions.scores(unit);
        say_table(&self.score_table(&scores, unit, known))?;
        say("")?;
        let tests = scores.iter().filter(|score| score.change.is_some()).count();
        say(&format!(
            "differences: of a shift and of other marks from the same images as they are, of a quarter of the images from the \
             others; simultaneous 95 % intervals of {tests} comparisons, over images"
        ))?;
        let Some((other, of_other)) = &self.other else { return Ok(()) };
        say("")?;
        say("against")?;
        for of in other.predictor.descriptions() {
            say(&format!("  {}", of.at_epoch()))?;
        }
        say("")?;
        let changes = self.conditions.against(of_other);
        let columns =
            ["condition", format!("MRE {unit}").as_str(), "against", "difference"].map(str::to_owned).to_vec();
        let row = |change: &RecipeChange| {
            let [own, against] = change.mre.map(format::mm);
            vec![
                change.name.clone(),
                own,
                against,
                format!("{}  {}", difference(&change.change), change.standing.word()),
            ]
        };
        say_table(&TextTable { columns, rows: changes.iter().map(row).collect() })?;
        say("")?;
        say(&holds(&changes))?;
        say(&format!(
            "differences: less than zero is better; paired, simultaneous 95 % intervals of {} comparisons, over images: they say \
             nothing about training again",
            changes.len()
        ))
    }

    fn score_table(&self, scores: &[ShiftScore], unit: ErrorUnit, known: Option<&Radii>) -> TextTable {
        let within = unit.radii()[0];
        let (mre, within) = (format!("MRE {unit}"), format!("≤{within} {unit}"));
        let mut columns =
            ["condition", &*mre, "95 % interval", &*within, "difference", "unlike"].map(str::to_owned).to_vec();
        columns.extend(known.map(|_| "in radii".to_owned()));
        let row = |score: &ShiftScore| {
            let predicted = self.predicted(&score.name);
            let unlike = predicted.map(unlike).filter(|(_, judged)| *judged > 0);
            let mut cells = vec![
                score.name.clone(),
                format::mm(score.mre.point),
                format::interval(&score.mre, format::mm),
                format!("{:.1} %", score.within.point),
                score.change.as_ref().map(difference).unwrap_or_default(),
                unlike.map(|(unlike, judged)| format!("{unlike} of {judged}")).unwrap_or_default(),
            ];
            if let Some(radii) = known {
                let coverage = predicted.and_then(|predicted| radii::covered(radii, predicted));
                cells.push(coverage.as_ref().map(covered).unwrap_or_default());
            }
            cells
        };
        TextTable { columns, rows: scores.iter().map(row).collect() }
    }
}

/// How many images are unlike those of the training, and how many are judged.
fn unlike(predicted: &Predicted) -> (usize, usize) {
    let judged = || predicted.judgements.iter().filter_map(|(_, judgement)| judgement.as_ref());
    (judged().filter(|judgement| judgement.unlike).count(), judged().count())
}

/// A coverage in a cell: the share within, and how many images have no radius.
fn covered(coverage: &Coverage) -> String {
    let share = if coverage.landmarks > 0 { format!("{:.1} %", 100.0 * coverage.share) } else { "–".to_owned() };
    if coverage.refused == 0 { share } else { format!("{share}, {} without", coverage.refused) }
}

/// A difference with its interval.
fn difference(change: &Estimate) -> String {
    let interval = format::interval(change, format::change);
    let point = format::change(change.point);
    if interval.is_empty() { point } else { format!("{point} ({interval})") }
}

/// The conditions of an evaluation.
fn conditions<'a>(recipe: &'a Recipe, marks: &[Marks]) -> Result<Conditions<'a>> {
    let measured = &recipe.measured;
    let by_marks = |marks: &Marks| {
        Ok(Condition { name: format!("marks of {}", marks.name), predictions: marks.of(measured)?.into() })
    };
    Ok(Conditions {
        as_is: condition(AS_IT_IS, &measured.as_is),
        shifted: measured.shifted.iter().map(|(shift, of)| condition(shift.name(), of)).collect(),
        marks: marks.iter().map(by_marks).collect::<Result<_>>()?,
        subsets: subsets(&measured.as_is),
    })
}

fn condition<'a>(name: &str, predicted: &'a Predicted) -> Condition<'a> {
    Condition { name: name.to_owned(), predictions: predicted.records.as_slice().into() }
}

/// The quarter of the images whose shapes are farthest from the mean, and the quarter that looks least like the training's.
fn subsets(as_is: &Predicted) -> Vec<Subset> {
    let mut shapes: BTreeMap<&str, BTreeMap<&str, Point>> = BTreeMap::new();
    for row in &as_is.records {
        let millimetres = |pixels: f64, spacing: f64| if spacing.is_finite() { pixels * spacing } else { pixels };
        let at = Point { x: millimetres(row.x_true, row.spacing_x_mm), y: millimetres(row.y_true, row.spacing_y_mm) };
        shapes.entry(&row.image).or_default().insert(&row.landmark, at);
    }
    let names: BTreeSet<&str> = shapes.values().flat_map(|shape| shape.keys().copied()).collect();
    let positions: Vec<Vec<Option<Point>>> =
        shapes.values().map(|shape| names.iter().map(|name| shape.get(name).copied()).collect()).collect();
    let distances = distances_from_mean_shape(&positions);
    let by_shape: Vec<(f64, &str)> =
        shapes.keys().zip(distances).filter_map(|(image, distance)| Some((distance?, *image))).collect();
    let judged = as_is.judgements.iter();
    let by_look: Vec<(f64, &str)> =
        judged.filter_map(|(image, of)| Some((of.as_ref()?.score, image.as_str()))).collect();
    let of = |(name, images): (&str, Vec<(f64, &str)>)| {
        farthest_quarter(images).map(|images| Subset { name: name.to_owned(), images })
    };
    [("unusual shapes", by_shape), ("least like the training's", by_look)].into_iter().filter_map(of).collect()
}

/// The quarter of the images with the greatest distances; none of so few that it would say nothing.
fn farthest_quarter(mut images: Vec<(f64, &str)>) -> Option<BTreeSet<String>> {
    // Equal distances go by name.
    images.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    let is_enough = images.len() >= LEAST_FOR_QUARTERS;
    is_enough.then(|| images[..images.len() / 4].iter().map(|(_, image)| (*image).to_owned()).collect())
}

/// Whether two recipes were evaluated on the same pictures; says how many of them are shared, where not all are.
///
/// # Errors
/// When no image is shared, or a shared name has other landmarks.
fn same_images(one: &[LandmarkRecord], other: &[LandmarkRecord]) -> Result<()> {
    let remedy = "name one data set with --dataset, and checkpoints of the same folds";
    let key = |row: &LandmarkRecord| (row.image.clone(), row.landmark.clone());
    let of_other: BTreeMap<_, &LandmarkRecord> = other.iter().map(|row| (key(row), row)).collect();
    let images = |rows: &[LandmarkRecord]| rows.iter().map(|row| row.image.clone()).collect::<BTreeSet<String>>();
    let [all, all_of_other] = [images(one), images(other)];
    let shared = all.intersection(&all_of_other).count();
    for row in one {
        let Some(same) = of_other.get(&key(row)) else { continue };
        if (same.x_true - row.x_true).abs() > 1e-6 || (same.y_true - row.y_true).abs() > 1e-6 {
            let what = format!("{} of {} lies elsewhere for the networks of --against", row.landmark, row.image);
            return Err(Error::input(what).at("--against").remedy(remedy));
        }
    }
    if shared == 0 {
        return Err(Error::input("the two recipes are evaluated on different images").at("--against").remedy(remedy));
    }
    if shared < all.len().max(all_of_other.len()) {
        note!(
            "note: compared on {} that both recipes are evaluated on, of {} and {}",
            counted(shared, "image"),
            all.len(),
            all_of_other.len()
        );
    }
    Ok(())
}
