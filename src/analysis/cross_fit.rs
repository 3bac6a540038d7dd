//! Cross-fitted errors: the epoch is chosen on one half of the images and measured on the other.
//!
//! The least of many noisy errors is too low, the more epochs are evaluated and the more they scatter. An epoch that one half
//! of the images chooses is measured without that bias on the other half. Every split of the images in halves measures every
//! image once; the mean over 25 splits is the image's error. Images of one patient stay together. All trials with the
//! same images share the splits, so that they can be compared image by image. The epoch is chosen as training chooses the best
//! epoch, by the sweep's objective: the mean, the median, the 95th percentile, the share within 2 mm, or the mean and the share
//! within a fifth of the image's reference length.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;

use sweep_core::seed::{self, Stream};
use sweep_experiment::records::{EpochErrors, LandmarkRecord, Selection};

use super::TrialRecords;
use super::statistics::quantile_of;

/// Number of splits in halves.
const SPLITS: u64 = 25;
/// Fewest patients, or images, that are split.
const FEWEST: usize = 4;

/// The rule that chooses an epoch: a cost of the errors of some images, smaller for better epochs.
#[derive(Debug, Clone, PartialEq)]
pub enum Criterion {
    /// The mean.
    Mean,
    /// The quantile of this share.
    Quantile(f64),
    /// The share of errors beyond this distance.
    Beyond(f64),
    /// The mean over images of the mean error, in reference lengths (`nme`); the length of each image, in the errors' unit.
    Normalised(Vec<f64>),
    /// The share of errors beyond this distance of each image (`pck`).
    BeyondOwn(Vec<f64>),
}

/// Of an epoch, by its place in a table, on the images of some patients.
type Cost<'a> = dyn Fn(usize, &[Vec<usize>]) -> f64 + 'a;

impl Criterion {
    /// The criterion of a trial's objective; `None` where its kept errors do not tell it.
    #[must_use]
    pub fn of(trial: &TrialRecords) -> Option<Self> {
        let (objective, unit) = (trial.objective, trial.unit);
        let name = objective.name();
        match name.strip_suffix(&format!("_{unit}")) {
            _ if objective.is_default() => Some(Self::Mean),
            Some("median") => Some(Self::Quantile(0.5)),
            Some("p95") => Some(Self::Quantile(0.95)),
            _ if name == "sdr_2mm" && unit.is_millimetres() => Some(Self::Beyond(2.0)),
            _ if name == "nme" => Some(Self::Normalised(reference_lengths(trial)?)),
            _ if name == "pck" => {
                let fifths = reference_lengths(trial)?.into_iter().map(|length| PCK * length).collect();
                Some(Self::BeyondOwn(fifths))
            }
            _ => None,
        }
    }

    /// The cost of an epoch of the table on some images; infinite without errors.
    fn cost<'a>(&'a self, table: &'a EpochErrors) -> Box<Cost<'a>> {
        match self {
            Self::Mean => mean_of(table, |_, error| error),
            Self::Beyond(radius) => mean_of(table, |_, error| f64::from(u8::from(error > *radius))),
            Self::BeyondOwn(radii) => mean_of(table, |image, error| f64::from(u8::from(error > radii[image]))),
            Self::Normalised(lengths) => {
                let of_image = |epoch, image| {
                    let (sum, count) = sum_of(table, (epoch, image), |error| error / lengths[image]);
                    if count > 0.0 { (sum / count, 1.0) } else { (0.0, 0.0) }
                };
                mean_over(table, of_image)
            }
            Self::Quantile(share) => Box::new(move |epoch, half| {
                let of_images = half.iter().flatten().flat_map(|image| finite(table, epoch, *image));
                let mut errors: Vec<f64> = of_images.collect();
                if errors.is_empty() { f64::INFINITY } else { quantile_of(&mut errors, *share) }
            }),
        }
    }
}

/// The share of the reference length that the objective `pck` counts as found.
const PCK: f64 = 0.2;

/// The reference length of each image of the trial's table, in the unit of its errors; `nan` for images without a landmark. `None`
/// without such lengths, and where millimetres are not the same number of pixels in both directions.
fn reference_lengths(trial: &TrialRecords) -> Option<Vec<f64>> {
    let mut of_image: BTreeMap<&str, f64> = BTreeMap::new();
    for row in trial.landmarks.iter().filter(|row| row.reference_px.is_finite()) {
        let spacing = if trial.unit.is_millimetres() { row.spacing_x_mm } else { 1.0 };
        let is_square = (row.spacing_x_mm - row.spacing_y_mm).abs() <= 1e-9 * row.spacing_x_mm;
        if trial.unit.is_millimetres() && !is_square {
            return None;
        }
        of_image.insert(&row.image, spacing * row.reference_px);
    }
    let images = trial.errors.as_ref()?.images.iter();
    (!of_image.is_empty())
        .then(|| images.map(|name| of_image.get(name.as_str()).copied().unwrap_or(f64::NAN)).collect())
}

/// The sum of a score of an image's errors at an epoch, and their number.
fn sum_of(table: &EpochErrors, (epoch, image): (usize, usize), score: impl Fn(f64) -> f64) -> (f64, f64) {
    finite(table, epoch, image).fold((0.0, 0.0), |(sum, count), error| (sum + score(error), count + 1.0))
}

/// The mean of a score of errors and their image, of an epoch on some images.
fn mean_of(table: &EpochErrors, score: impl Fn(usize, f64) -> f64) -> Box<Cost<'static>> {
    mean_over(table, |epoch, image| sum_of(table, (epoch, image), |error| score(image, error)))
}

/// The mean of what each image gives, a sum and a number. Each image is added up once, not for every split.
fn mean_over(table: &EpochErrors, of_image: impl Fn(usize, usize) -> (f64, f64)) -> Box<Cost<'static>> {
    let of_epoch = |epoch| (0..table.images.len()).map(|image| of_image(epoch, image)).collect();
    let sums: Vec<Vec<(f64, f64)>> = (0..table.epochs.len()).map(of_epoch).collect();
    Box::new(move |epoch, half| {
        let cells = half.iter().flatten().map(|image| sums[epoch][*image]);
        let (sum, count) = cells.fold((0.0, 0.0), |(s, c), cell| (s + cell.0, c + cell.1));
        if count > 0.0 { sum / count } else { f64::INFINITY }
    })
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
    let Some((table, criterion)) = trial.errors.as_ref().zip(Criterion::of(trial)) else {
        return rows;
    };
    let errors = of_table(table, &criterion);
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
pub fn of_table(table: &EpochErrors, criterion: &Criterion) -> Option<Vec<f64>> {
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
    use sweep_experiment::metric::Objective;

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
            fitted.push(mean(&of_table(&table, &Criterion::Mean).unwrap()));
        }
        assert!(mean(&least) < 1.75, "{}", mean(&least));
        assert!((mean(&fitted) - 2.0).abs() < 0.03, "{}", mean(&fitted));
    }

    #[test]
    fn an_epoch_that_is_better_for_all_is_chosen() {
        let table = table(10, 8, 0, &mut |epoch, image| if epoch == 6 { 1.0 } else { 3.0 } + 0.125 * image as f64);
        let fitted = of_table(&table, &Criterion::Mean).unwrap();
        assert!(fitted.iter().enumerate().all(|(i, e)| (e - 1.0 - 0.125 * i as f64).abs() < 1e-9), "{fitted:?}");
    }

    #[test]
    fn images_of_a_patient_never_choose_for_one_another() {
        // Each patient has an epoch of its own at which its images have no error: found only by looking at itself.
        let table = table(6, 12, 6, &mut |epoch, image| if epoch == image % 6 { 0.0 } else { 1.0 });
        assert!(of_table(&table, &Criterion::Mean).unwrap().iter().all(|e| (e - 1.0).abs() < 1e-9));
        let few = self::table(6, 12, 3, &mut |_, _| 1.0);
        assert!(of_table(&few, &Criterion::Mean).is_none(), "three patients are too few to split");
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
            let fitted = mean(&of_table(&table, &criterion).unwrap());
            // Errors are stored in half precision.
            assert!((fitted - expected).abs() < 2e-3, "{criterion:?}: {fitted}, not {expected}");
        }
    }

    /// A trial of two landmarks on eight images with this objective; the length of an image's reference is 10 px times its
    /// number, and a pixel 0.5 mm.
    fn trial(objective: &str, unit: ErrorUnit, spacing: [f64; 2]) -> TrialRecords {
        let status = sweep_experiment::records::TrialStatus::pending("a");
        let mut trial = TrialRecords::new("a".into(), 0, status);
        let names: Vec<String> = (1..=8).map(|i| format!("{i}.png")).collect();
        trial.landmarks = names
            .iter()
            .zip(1..)
            .map(|(image, i)| LandmarkRecord {
                trial: "a".into(),
                seed: 0,
                epoch: 1,
                selected: Selection::Last,
                image: image.clone(),
                landmark: "l".into(),
                x_true: 0.0,
                y_true: 0.0,
                x_pred: 0.0,
                y_pred: 0.0,
                error_px: 1.0,
                error_mm: f64::NAN,
                confidence: f64::NAN,
                reference_px: 10.0 * f64::from(i),
                spacing_x_mm: spacing[0],
                spacing_y_mm: spacing[1],
            })
            .collect();
        trial.errors = Some(EpochErrors::new(unit, names, Vec::new(), vec!["l".into(), "m".into()]));
        TrialRecords { objective: Objective::from_name(objective).unwrap(), unit, ..trial }
    }

    #[test]
    fn an_objective_is_cross_fitted_where_errors_tell_it() {
        use ErrorUnit::{Millimetres, Pixels};
        let of = |name, unit| Criterion::of(&trial(name, unit, [0.5; 2]));
        assert_eq!(of("mre_mm", Millimetres), Some(Criterion::Mean));
        assert_eq!(of("mre_px", Pixels), Some(Criterion::Mean));
        assert_eq!(of("median_mm", Millimetres), Some(Criterion::Quantile(0.5)));
        assert_eq!(of("median_px", Pixels), Some(Criterion::Quantile(0.5)));
        assert_eq!(of("p95_mm", Millimetres), Some(Criterion::Quantile(0.95)));
        assert_eq!(of("sdr_2mm", Millimetres), Some(Criterion::Beyond(2.0)));
        let lengths = |mm: f64| (1..=8).map(|i| mm * 10.0 * f64::from(i)).collect::<Vec<f64>>();
        assert_eq!(of("nme", Pixels), Some(Criterion::Normalised(lengths(1.0))));
        assert_eq!(of("nme", Millimetres), Some(Criterion::Normalised(lengths(0.5))));
        assert_eq!(of("pck", Pixels), Some(Criterion::BeyondOwn(lengths(0.2))));
        // The errors of a data set in millimetres do not tell pixels, nor those that are longer one way than the other.
        assert_eq!(of("median_px", Millimetres), None);
        assert_eq!(Criterion::of(&trial("nme", Millimetres, [0.5, 0.6])), None);
        assert_eq!(of("last", Millimetres), None);
        let none = TrialRecords { landmarks: Vec::new(), ..trial("nme", Pixels, [f64::NAN; 2]) };
        assert_eq!(Criterion::of(&none), None);
    }

    #[test]
    fn normalised_errors_choose_by_the_length_of_each_image() {
        let mut trial = trial("nme", ErrorUnit::Pixels, [f64::NAN; 2]);
        // The first epoch has the same error everywhere, and the lesser mean; the second errs by a tenth of each length.
        let lengths: Vec<f64> = (0..16).map(|cell| 10.0 * f64::from(1 + cell / 2)).collect();
        let table = trial.errors.as_mut().unwrap();
        table.push(1, &[4.0; 16]);
        table.push(2, &lengths.iter().map(|length| 0.1 * length).collect::<Vec<f64>>());
        let all: Vec<Vec<usize>> = (0..8).map(|image| vec![image]).collect();
        let costs = |criterion: &Criterion| {
            let cost = criterion.cost(trial.errors.as_ref().unwrap());
            [0, 1].map(|epoch| cost(epoch, &all))
        };
        let near = |costs: [f64; 2], expected: [f64; 2]| costs.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-3);
        assert!(near(costs(&Criterion::Mean), [4.0, 4.5]));
        let nme = lengths.iter().map(|length| 4.0 / length).sum::<f64>() / 16.0;
        assert!(near(costs(&Criterion::of(&trial).unwrap()), [nme, 0.1]));
        // Within a fifth of the length lie all of the second, and of the first those of all images but the smallest.
        let pck = TrialRecords { objective: Objective::from_name("pck").unwrap(), ..trial.clone() };
        assert!(near(costs(&Criterion::of(&pck).unwrap()), [0.125, 0.0]));
    }
}
