//! Cross-fitted errors: the epoch is chosen on one half of the images and measured on the other.
//!
//! The least of many noisy errors is too low, the more epochs are evaluated and the more they scatter. An epoch that one half
//! of the images chooses is measured without that bias on the other half. Every split of the images in halves measures every
//! image once; the mean over 25 splits is the image's error. Images of one patient stay together. All trials with the
//! same images share the splits, so that they can be compared image by image. The epoch is chosen as training chooses the best
//! epoch, by the sweep's objective: the mean, the median, the 95th percentile or the share within 2 mm.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;

use sweep_core::seed::{self, Stream};
use sweep_core::units::ErrorUnit;
use sweep_experiment::metric::Objective;
use sweep_experiment::records::{EpochErrors, LandmarkRecord, Selection};

use super::TrialRecords;
use super::statistics::quantile_of;

/// Number of splits in halves.
const SPLITS: u64 = 25;
/// Fewest patients, or images, that are split.
const FEWEST: usize = 4;

/// The rule that chooses an epoch: a cost of the errors of some images, smaller for better epochs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Criterion {
    /// The mean.
    Mean,
    /// The quantile of this share.
    Quantile(f64),
    /// The share of errors beyond this distance.
    Beyond(f64),
}

/// Of an epoch, by its place in a table, on the images of some patients.
type Cost<'a> = dyn Fn(usize, &[Vec<usize>]) -> f64 + 'a;

impl Criterion {
    /// The criterion of an objective; `None` where errors in this unit do not tell the objective.
    #[must_use]
    pub fn of(objective: Objective, unit: ErrorUnit) -> Option<Self> {
        let name = objective.name();
        match name.strip_suffix(&format!("_{unit}")) {
            _ if objective.is_default() => Some(Self::Mean),
            Some("median") => Some(Self::Quantile(0.5)),
            Some("p95") => Some(Self::Quantile(0.95)),
            _ if name == "sdr_2mm" && unit.is_millimetres() => Some(Self::Beyond(2.0)),
            _ => None,
        }
    }

    /// The cost of an epoch of the table on some images; infinite without errors.
    fn cost(self, table: &EpochErrors) -> Box<Cost<'_>> {
        match self {
            Self::Mean => Box::new(mean_of(table, |error| error)),
            Self::Beyond(radius) => Box::new(mean_of(table, move |error| f64::from(u8::from(error > radius)))),
            Self::Quantile(share) => Box::new(move |epoch, half| {
                let of_images = half.iter().flatten().flat_map(|image| finite(table, epoch, *image));
                let mut errors: Vec<f64> = of_images.collect();
                if errors.is_empty() { f64::INFINITY } else { quantile_of(&mut errors, share) }
            }),
        }
    }
}

/// The mean of a score of errors, of an epoch on some images. Each image is added up once, not for every split.
fn mean_of<S: Fn(f64) -> f64>(table: &EpochErrors, score: S) -> impl Fn(usize, &[Vec<usize>]) -> f64 + use<S> {
    let of_image = |epoch, image| {
        finite(table, epoch, image).fold((0.0, 0.0), |(sum, count), error| (sum + score(error), count + 1.0))
    };
    let of_epoch = |epoch| (0..table.images.len()).map(|image| of_image(epoch, image)).collect();
    let sums: Vec<Vec<(f64, f64)>> = (0..table.epochs.len()).map(of_epoch).collect();
    move |epoch, half| {
        let cells = half.iter().flatten().map(|image| sums[epoch][*image]);
        let (sum, count) = cells.fold((0.0, 0.0), |(s, c), cell| (s + cell.0, c + cell.1));
        if count > 0.0 { sum / count } else { f64::INFINITY }
    }
}

/// The known errors of an image at an epoch.
fn finite(table: &EpochErrors, epoch: usize, image: usize) -> impl Iterator<Item = f64> + '_ {
    let landmarks = table.landmarks.len();
    let of_image = &table.of_epoch(epoch)[image * landmarks..(image + 1) * landmarks];
    of_image.iter().filter(|error| error.is_finite()).map(|error| f64::from(*error))
}

/// The trial's predictions at its last epoch with cross-fitted errors. With fewer than four images, which no split leaves
/// enough of, the errors are those of the last epoch.
#[must_use]
pub fn cross_fitted(trial: &TrialRecords) -> Vec<LandmarkRecord> {
    let last = trial.landmarks.iter().filter(|row| row.selected == Selection::Last && row.error().is_finite());
    let mut rows: Vec<LandmarkRecord> = last.cloned().collect();
    let Some((table, criterion)) = trial.errors.as_ref().zip(Criterion::of(trial.objective, trial.unit)) else {
        return rows;
    };
    let errors = of_table(table, criterion);
    let image: BTreeMap<&str, usize> = table.images.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
    let mark: BTreeMap<&str, usize> = table.landmarks.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
    for row in &mut rows {
        let at = image.get(row.image.as_str()).zip(mark.get(row.landmark.as_str()));
        let error = at.and_then(|(i, l)| errors.as_ref().map(|errors| errors[i * table.landmarks.len() + l]));
        let Some(error) = error.filter(|error| error.is_finite()) else { continue };
        if row.error_mm.is_nan() { row.error_px = error } else { row.error_mm = error }
    }
    rows
}

/// Cross-fitted errors `[images, landmarks]` of a table; `None` with too few images or no epoch.
#[must_use]
pub fn of_table(table: &EpochErrors, criterion: Criterion) -> Option<Vec<f64>> {
    let (images, landmarks) = (table.images.len(), table.landmarks.len());
    let mut units: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (image, name) in table.images.iter().enumerate() {
        let unit = table.patients.get(image).filter(|patient| !patient.is_empty()).unwrap_or(name);
        units.entry(unit).or_default().push(image);
    }
    if units.len() < FEWEST || table.epochs.is_empty() {
        return None;
    }
    let mut units: Vec<Vec<usize>> = units.into_values().collect();
    let key = key(table);
    let cost = criterion.cost(table);
    let best_on = |half: &[Vec<usize>]| -> usize {
        (0..table.epochs.len())
            .map(|epoch| (epoch, cost(epoch, half)))
            .fold((0, f64::INFINITY), |best, of| if of.1 < best.1 { of } else { best })
            .0
    };
    let mut fitted = vec![0.0; images * landmarks];
    for split in 0..SPLITS {
        units.sort();
        units.shuffle(&mut seed::derive(key, Stream::Bootstrap, 6, split));
        let (one, other) = units.split_at(units.len() / 2);
        for (chooses, measured) in [(one, other), (other, one)] {
            let errors = table.of_epoch(best_on(chooses));
            for image in measured.iter().flatten() {
                for cell in image * landmarks..(image + 1) * landmarks {
                    fitted[cell] += f64::from(errors[cell]) / SPLITS as f64;
                }
            }
        }
    }
    Some(fitted)
}

/// The same for the same images, whatever the trial.
fn key(table: &EpochErrors) -> u64 {
    let digest = blake3::hash(table.images.join("\0").as_bytes());
    digest.as_bytes().iter().take(8).fold(0, |key, byte| key << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;
    use crate::statistics::{mean, normal_quantile};
    use sweep_core::units::ErrorUnit;

    fn table(epochs: usize, images: usize, patients: usize, error: &mut dyn FnMut(usize, usize) -> f64) -> EpochErrors {
        let names = (0..images).map(|i| format!("{i:03}.png")).collect();
        let patients =
            if patients > 0 { (0..images).map(|i| format!("p{}", i % patients)).collect() } else { Vec::new() };
        let mut table = EpochErrors::new(ErrorUnit::Millimetres, names, patients, vec!["a".into()]);
        for epoch in 0..epochs {
            let errors: Vec<f64> = (0..images).map(|image| error(epoch, image)).collect();
            table.push(epoch as u32 + 1, &errors);
        }
        table
    }

    #[test]
    fn the_least_of_equal_epochs_is_no_better_than_any() {
        // A hundred epochs of the same true error 2, with noise of 0.5 an image.
        let (mut least, mut fitted) = (Vec::new(), Vec::new());
        for repeat in 0..40 {
            let mut rng = seed::derive(repeat, Stream::Bootstrap, 0, 0);
            let table = table(100, 20, 0, &mut |_, _| 2.0 + 0.5 * normal_quantile(rng.random_range(1e-9..1.0)));
            let means = (0..100).map(|e| mean(&table.of_epoch(e).iter().map(|v| f64::from(*v)).collect::<Vec<_>>()));
            least.push(means.fold(f64::INFINITY, f64::min));
            fitted.push(mean(&of_table(&table, Criterion::Mean).unwrap()));
        }
        assert!(mean(&least) < 1.75, "{}", mean(&least));
        assert!((mean(&fitted) - 2.0).abs() < 0.03, "{}", mean(&fitted));
    }

    #[test]
    fn an_epoch_that_is_better_for_all_is_chosen() {
        let table = table(10, 8, 0, &mut |epoch, image| if epoch == 6 { 1.0 } else { 3.0 } + 0.125 * image as f64);
        let fitted = of_table(&table, Criterion::Mean).unwrap();
        assert!(fitted.iter().enumerate().all(|(i, e)| (e - 1.0 - 0.125 * i as f64).abs() < 1e-9), "{fitted:?}");
    }

    #[test]
    fn images_of_a_patient_never_choose_for_one_another() {
        // Each patient has an epoch of its own at which its images have no error: found only by looking at itself.
        let table = table(6, 12, 6, &mut |epoch, image| if epoch == image % 6 { 0.0 } else { 1.0 });
        assert!(of_table(&table, Criterion::Mean).unwrap().iter().all(|e| (e - 1.0).abs() < 1e-9));
        let few = self::table(6, 12, 3, &mut |_, _| 1.0);
        assert!(of_table(&few, Criterion::Mean).is_none(), "three patients are too few to split");
    }

    #[test]
    fn the_epoch_is_chosen_by_the_objective() {
        // Every image has the same twenty errors, so every half chooses alike. The first epoch has the least mean, the second
        // the least median, the third the least 95th percentile, the fourth the fewest errors beyond 2 mm.
        let epochs = [(16, 1.5, 2.5), (12, 0.1, 8.0), (20, 2.2, 2.2), (18, 1.9, 9.0)];
        let names = (0..8).map(|i| format!("{i}.png")).collect();
        let marks = (0..20).map(|i| i.to_string()).collect();
        let mut table = EpochErrors::new(ErrorUnit::Millimetres, names, Vec::new(), marks);
        for (epoch, (count, most, others)) in (1..).zip(epochs) {
            let errors: Vec<f64> = (0..160).map(|cell| if cell % 20 < count { most } else { others }).collect();
            table.push(epoch, &errors);
        }
        let criteria = [Criterion::Mean, Criterion::Quantile(0.5), Criterion::Quantile(0.95), Criterion::Beyond(2.0)];
        for (criterion, (count, most, others)) in criteria.into_iter().zip(epochs) {
            let expected = (f64::from(count) * most + f64::from(20 - count) * others) / 20.0;
            let fitted = mean(&of_table(&table, criterion).unwrap());
            // Errors are stored in half precision.
            assert!((fitted - expected).abs() < 2e-3, "{criterion:?}: {fitted}, not {expected}");
        }
    }

    #[test]
    fn an_objective_is_cross_fitted_where_errors_tell_it() {
        use ErrorUnit::{Millimetres, Pixels};
        let of = |name, unit| Criterion::of(Objective::from_name(name).unwrap(), unit);
        assert_eq!(of("mre_mm", Millimetres), Some(Criterion::Mean));
        assert_eq!(of("mre_px", Pixels), Some(Criterion::Mean));
        assert_eq!(of("median_mm", Millimetres), Some(Criterion::Quantile(0.5)));
        assert_eq!(of("median_px", Pixels), Some(Criterion::Quantile(0.5)));
        assert_eq!(of("p95_mm", Millimetres), Some(Criterion::Quantile(0.95)));
        assert_eq!(of("sdr_2mm", Millimetres), Some(Criterion::Beyond(2.0)));
        // The errors of a data set in millimetres do not tell pixels, nor any the reference length of an image.
        assert_eq!(of("median_px", Millimetres), None);
        assert_eq!(of("nme", Pixels), None);
        assert_eq!(of("last", Millimetres), None);
    }
}
