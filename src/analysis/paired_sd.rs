//! Standard deviation of paired differences, estimated from a finished sweep: the input of [`crate::power`].

use std::collections::{BTreeMap, BTreeSet};

use sweep_experiment::records::{LandmarkRecord, Selection};

/// A trial's predictions, with the arm and the seed by which trials are paired.
#[derive(Debug, Clone)]
pub struct ArmTrial<'a> {
    /// Trials of the same arm are replicates.
    pub arm: String,
    /// The trial's seed.
    pub seed: u64,
    /// Its predictions.
    pub landmarks: &'a [LandmarkRecord],
}

/// Standard deviations of differences in mean radial error between two arms; `None` if there are too few data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairedSd {
    /// Between seeds, each on the same validation images.
    pub seeds_mm: Option<f64>,
    /// Between images, of one seed.
    pub images_mm: Option<f64>,
    /// Number of pairs of arms with at least one common seed.
    pub pairs: usize,
}

/// Errors (mm) of a trial per image, at the epoch of least error.
type ImageErrors = BTreeMap<String, f64>;
/// Errors of an arm by seed.
type ArmErrors = BTreeMap<u64, ImageErrors>;

/// Pools the variances of all pairs of arms.
#[must_use]
pub fn paired_sd(trials: &[ArmTrial]) -> PairedSd {
    let mut arms: BTreeMap<&str, ArmErrors> = BTreeMap::new();
    for trial in trials {
        let mut images: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for row in trial.landmarks.iter().filter(|row| row.selected == Selection::BestError) {
            images.entry(row.image.clone()).or_default().push(row.error());
        }
        if !images.is_empty() {
            let errors = images.into_iter().map(|(image, errors)| (image, mean(&errors))).collect();
            arms.entry(&trial.arm).or_default().insert(trial.seed, errors);
        }
    }
    let arms: Vec<ArmErrors> = arms.into_values().collect();
    let (mut between_seeds, mut between_images, mut pairs) = (Vec::new(), Vec::new(), 0);
    for (index, a) in arms.iter().enumerate() {
        for b in &arms[index + 1..] {
            let differences = differences(a, b);
            pairs += usize::from(!differences.is_empty());
            between_images.extend(differences.iter().filter_map(|of_seed| variance(of_seed)));
            between_seeds.extend(variance(&differences.iter().map(|of_seed| mean(of_seed)).collect::<Vec<_>>()));
        }
    }
    let deviation = |variances: &[f64]| (!variances.is_empty()).then(|| mean(variances).sqrt());
    PairedSd { seeds_mm: deviation(&between_seeds), images_mm: deviation(&between_images), pairs }
}

/// Per common seed, the differences on all images that both arms were evaluated on with all common seeds.
fn differences(a: &ArmErrors, b: &ArmErrors) -> Vec<Vec<f64>> {
    let common: Vec<(&ImageErrors, &ImageErrors)> =
        a.iter().filter_map(|(seed, errors)| Some((errors, b.get(seed)?))).collect();
    let mut images: Option<BTreeSet<&String>> = None;
    for errors in common.iter().flat_map(|(a, b)| [a, b]) {
        let evaluated: BTreeSet<&String> = errors.keys().collect();
        images = Some(images.map_or(evaluated.clone(), |before| before.intersection(&evaluated).copied().collect()));
    }
    let images = images.unwrap_or_default();
    if images.is_empty() {
        return Vec::new();
    }
    common.iter().map(|(a, b)| images.iter().map(|image| a[*image] - b[*image]).collect()).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// With n − 1; `None` below two values.
fn variance(values: &[f64]) -> Option<f64> {
    let centre = mean(values);
    let squares: f64 = values.iter().map(|value| (value - centre).powi(2)).sum();
    (values.len() > 1).then(|| squares / (values.len() as f64 - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn landmarks(errors: &[(&str, f64)]) -> Vec<LandmarkRecord> {
        let row = |selected, image: &str, error_mm| LandmarkRecord {
            trial: "t".into(),
            seed: 0,
            epoch: 1,
            selected,
            image: image.into(),
            landmark: "sella".into(),
            x_true: 0.0,
            y_true: 0.0,
            x_pred: 0.0,
            y_pred: 0.0,
            error_px: 0.0,
            error_mm,
            confidence: f64::NAN,
            reference_px: f64::NAN,
            spacing_x_mm: f64::NAN,
            spacing_y_mm: f64::NAN,
        };
        // Two landmarks an image, half a millimetre to either side, and another epoch that does not count.
        let all = errors.iter().flat_map(|(image, mm)| {
            [
                row(Selection::BestError, image, mm - 0.5),
                row(Selection::BestError, image, mm + 0.5),
                row(Selection::Last, image, 99.0),
            ]
        });
        all.collect()
    }

    #[test]
    fn it_is_that_of_the_paired_differences() {
        let a = [landmarks(&[("1", 2.0), ("2", 4.0), ("3", 3.0)]), landmarks(&[("1", 2.0), ("2", 3.0), ("3", 2.5)])];
        let b = [landmarks(&[("1", 1.0), ("2", 1.0), ("9", 7.0)]), landmarks(&[("1", 1.5), ("2", 1.5), ("3", 0.0)])];
        let measured = |arm: &str, seed: usize, of: &'static str| (arm.to_owned(), seed as u64, of);
        let trials: Vec<ArmTrial> =
            [measured("a", 0, "a"), measured("a", 1, "a"), measured("b", 0, "b"), measured("b", 1, "b")]
                .into_iter()
                .map(|(arm, seed, of)| {
                    let landmarks = if of == "a" { &a[seed as usize] } else { &b[seed as usize] };
                    ArmTrial { arm, seed, landmarks }
                })
                .collect();
        // Images 1 and 2: differences 1 and 3 with seed 0, 0.5 and 1.5 with seed 1; their means 2 and 1.
        let spread = paired_sd(&trials);
        assert_eq!(spread.pairs, 1);
        assert!((spread.images_mm.unwrap() - f64::midpoint(2.0, 0.5).sqrt()).abs() < 1e-12, "{spread:?}");
        assert!((spread.seeds_mm.unwrap() - 0.5f64.sqrt()).abs() < 1e-12, "{spread:?}");
        // One seed measures images alone, one arm nothing.
        let one = paired_sd(&[trials[0].clone(), trials[2].clone()]);
        assert_eq!((one.seeds_mm, one.images_mm.map(f64::sqrt).is_some()), (None, true));
        assert_eq!(paired_sd(&trials[..2]), PairedSd { seeds_mm: None, images_mm: None, pairs: 0 });
        assert_eq!(paired_sd(&[trials[0].clone(), trials[3].clone()]).pairs, 0, "no common seed");
    }
}
