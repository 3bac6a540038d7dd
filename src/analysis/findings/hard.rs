//! Sources of error variance, hard images and landmarks, and the tail of the errors.

use std::collections::{BTreeMap, BTreeSet};

use sweep_core::units::ErrorUnit;

use super::{Finding, Part, SourceRecords, Statement, SweepView, Topic, Unit, seed_caveat};
use crate::errors::{MRE, above_gross};
use crate::statistics::{
    Components, Count, Estimate, LEVEL, Method, RESAMPLES, components, mean, percentiles, quantile, resample,
};

/// Below this number of images the tail is not known.
const FEW_IMAGES: usize = 50;
/// Number of names that a finding lists.
const LISTED: usize = 3;

pub(super) fn hard(view: &SweepView<'_>) -> Vec<Finding> {
    let best = (0..view.groups.len())
        .filter_map(|g| Some((g, view.errors.contrast(&[(g, 1.0)], MRE)?.mean())))
        .min_by(|a, b| a.1.total_cmp(&b.1));
    let Some((best, _)) = best else { return Vec::new() };
    [Some(scatter(view, best)), worst(view), Some(tail(view))].into_iter().flatten().collect()
}

fn rows(view: &SweepView<'_>) -> SourceRecords {
    SourceRecords { file: "landmarks.csv", select: view.select("image, landmark, error_mm"), trials: Vec::new() }
}

/// A complete table `[seeds, images, landmarks]`: the image or landmark with the greatest share of missing cells is left
/// out, one after the other, until no cell is missing.
fn complete(view: &SweepView<'_>, group: usize) -> Option<(Vec<f64>, [usize; 3])> {
    let mut cells: BTreeMap<(usize, usize), BTreeMap<u64, f64>> = BTreeMap::new();
    let (mut seeds, mut images, mut landmarks) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (seed, image, landmark, error) in view.errors.all(group) {
        cells.entry((image, landmark)).or_default().insert(seed, error);
        seeds.insert(seed);
        images.insert(image);
        landmarks.insert(landmark);
    }
    let present = |image: usize, landmark: usize| cells.get(&(image, landmark)).is_some_and(|c| c.len() == seeds.len());
    loop {
        let share = |missing: usize, of: usize| missing as f64 / of as f64;
        let of_image = |i: &usize| share(landmarks.iter().filter(|l| !present(*i, **l)).count(), landmarks.len());
        let of_landmark = |l: &usize| share(images.iter().filter(|i| !present(**i, *l)).count(), images.len());
        let greatest =
            |shares: Vec<(usize, f64)>| shares.into_iter().max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)));
        let image = greatest(images.iter().map(|i| (*i, of_image(i))).collect())?;
        let landmark = greatest(landmarks.iter().map(|l| (*l, of_landmark(l))).collect())?;
        if image.1 <= 0.0 {
            break;
        }
        if landmark.1 > image.1 {
            landmarks.remove(&landmark.0);
        } else {
            images.remove(&image.0);
        }
    }
    let at = |seed: &u64, image: &usize, landmark: &usize| cells.get(&(*image, *landmark))?.get(seed).copied();
    let mut table = Vec::new();
    for seed in &seeds {
        for image in &images {
            table.extend(landmarks.iter().filter_map(|landmark| at(seed, image, landmark)));
        }
    }
    (!table.is_empty()).then_some((table, [seeds.len(), images.len(), landmarks.len()]))
}

/// Variance components of every configuration.
fn scatter(view: &SweepView<'_>, best: usize) -> Finding {
    let of = |g: usize| -> Option<Components> {
        let (table, [seeds, images, landmarks]) = complete(view, g)?;
        components(&table, seeds, images, landmarks)
    };
    let all = (0..view.groups.len()).filter_map(|g| Some((view.groups[g].label.clone(), of(g)?)));
    let statement = Statement::Scatter { best: view.groups[best].label.clone(), components: all.collect() };
    let mut finding = Finding::new("scatter".into(), Topic::Hard, statement, rows(view));
    finding.unit = Unit::Percent;
    finding.picture = Some("scatter.png");
    finding.caveats =
        vec!["Variance of a single landmark's error, by analysis of variance with random effects.".into()];
    finding
}

/// The images and landmarks of greatest mean error, over all configurations that find landmarks at all.
fn worst(view: &SweepView<'_>) -> Option<Finding> {
    let guess = view.sweep.mean_shape_mre.unwrap_or(f64::INFINITY);
    let working: Vec<usize> = (0..view.groups.len())
        .filter(|g| view.errors.contrast(&[(*g, 1.0)], MRE).is_some_and(|t| t.mean() < guess))
        .collect();
    let (mut by_image, mut by_landmark): (BTreeMap<usize, Vec<f64>>, BTreeMap<usize, Vec<f64>>) = Default::default();
    for (_, image, landmark, error) in working.iter().flat_map(|g| view.errors.all(*g)) {
        by_image.entry(image).or_default().push(error);
        by_landmark.entry(landmark).or_default().push(error);
    }
    let top = |of: BTreeMap<usize, Vec<f64>>, names: &[String]| {
        let mut all: Vec<(String, f64)> =
            of.into_iter().map(|(at, errors)| (names[at].clone(), mean(&errors))).collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all.truncate(LISTED);
        all
    };
    if working.is_empty() {
        return None;
    }
    let statement = Statement::Hard {
        images: top(by_image, &view.errors.images),
        landmarks: top(by_landmark.clone(), &view.errors.landmarks),
        groups: working.len(),
    };
    let mut finding = Finding::new("hard".into(), Topic::Hard, statement, rows(view));
    finding.picture = Some("per_landmark.png");
    let mut order: Vec<usize> = by_landmark.keys().copied().collect();
    order.sort_by(|a, b| mean(&by_landmark[b]).total_cmp(&mean(&by_landmark[a])));
    let weight = 1.0 / working.len() as f64;
    let terms: Vec<(usize, f64)> = working.iter().map(|g| (*g, weight)).collect();
    for landmark in order {
        if let Some(table) = view.errors.contrast_on(&terms, MRE, Some(landmark)) {
            finding.parts.push(Part {
                label: view.errors.landmarks[landmark].clone(),
                estimate: table.positive(0),
                unit: Unit::Millimetres,
                p_adjusted: None,
                note: String::new(),
            });
        }
    }
    finding.caveats = vec![
        "Configurations that are no better than guessing the mean shape are left out; the worst of many is worse than it \
         would be on other images."
            .into(),
    ];
    Some(finding)
}

/// The 95th percentile and the share of gross errors, per configuration.
fn tail(view: &SweepView<'_>) -> Finding {
    let statement = Statement::Hard { images: Vec::new(), landmarks: Vec::new(), groups: view.groups.len() };
    let mut finding = Finding::new("tail".into(), Topic::Hard, statement, rows(view));
    finding.picture = Some("cumulative_error.png");
    for (g, group) in view.groups.iter().enumerate() {
        if let Some(table) = view.errors.contrast(&[(g, 1.0)], &above_gross(view.unit())) {
            finding.caveats = seed_caveat(table.count().seeds).into_iter().collect();
            if table.count().images < FEW_IMAGES {
                finding.caveats.push(format!(
                    "With {} images, misses as rare as one image in {} may not have been seen at all: no interval knows of them.",
                    table.count().images,
                    table.count().images
                ));
            }
            for (what, estimate, unit) in [
                ("95th percentile".to_owned(), percentile_95(view, g), Unit::Millimetres),
                (above(view.unit()), table.share(), Unit::Percent),
            ] {
                let label = format!("{}: {what}", group.label);
                finding.parts.push(Part { label, estimate, unit, p_adjusted: None, note: String::new() });
            }
        }
    }
    finding
}

/// `above 10 mm`.
pub(super) fn above(unit: ErrorUnit) -> String {
    format!("above {} {unit}", unit.gross())
}

/// The 95th percentile of a group's errors, with an interval from resampled seeds and images.
fn percentile_95(view: &SweepView<'_>, group: usize) -> Estimate {
    let mut errors: Vec<(f64, usize, usize)> = Vec::new();
    let mut seeds: Vec<u64> = Vec::new();
    for (seed, image, _, error) in view.errors.all(group) {
        let at = seeds.iter().position(|s| *s == seed).unwrap_or_else(|| {
            seeds.push(seed);
            seeds.len() - 1
        });
        errors.push((error, at, image));
    }
    errors.sort_by(|a, b| a.0.total_cmp(&b.0));
    let ascending: Vec<f64> = errors.iter().map(|e| e.0).collect();
    let images = view.errors.images.len();
    // Weighted by how often seed and image were drawn: the error at which 95 % of the weight is reached.
    let weighted = |of_seeds: &[u32], of_images: &[u32]| {
        let weight = |e: &(f64, usize, usize)| f64::from(of_seeds[e.1] * of_images[e.2]);
        let total: f64 = errors.iter().map(weight).sum();
        let mut reached = 0.0;
        for error in &errors {
            reached += weight(error);
            if reached >= 0.95 * total {
                return error.0;
            }
        }
        f64::NAN
    };
    let replicates = resample(seeds.len(), images, RESAMPLES / 5, 0, weighted);
    let n = Count { seeds: seeds.len(), images, landmarks: errors.len() / seeds.len().max(1) };
    let point = quantile(&ascending, 0.95);
    Estimate { interval: percentiles(&replicates, LEVEL), ..Estimate::bare(point, n, Method::Percentile) }
}
