//! Cross-validation: trials that differ only in the fold, pooled into one per seed.
//!
//! Each fold's network is evaluated on images that it was not trained on and that no other fold is evaluated on, so
//! together they predict every image once. These pooled predictions are compared, averaged and resampled. The fold is
//! neither an axis that could have an effect nor a replicate, because each fold has other images.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use sweep_experiment::definition::SweepDefinition;
use sweep_experiment::records::{EpochRecord, Selection, State, TrialStatus};

use super::{SweepRecords, TrialRecords};

/// Path of the axis of folds.
pub const AXIS: &str = "dataset.fold";

/// The fold of its data set that a trial is evaluated on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Fold {
    /// Index, from 0.
    pub fold: usize,
    /// Number of folds.
    pub of: usize,
}

/// Axis paths and values.
type Axes = Vec<(String, String)>;

/// The folds that a definition plans, ascending; `None` if folds are no axis of it.
#[must_use]
pub fn planned(definition: &str) -> Option<Vec<usize>> {
    let axes = SweepDefinition::parse("sweep.toml", definition).ok()?.axes;
    let grid = axes.grid.iter().filter(|(key, _)| key == AXIS).flat_map(|(_, values)| values);
    let points = axes.zip.iter().chain(&axes.include).filter_map(|point| point.get(AXIS));
    let number = |value: &toml::Value| usize::try_from(value.as_integer()?).ok();
    let mut folds: Vec<usize> = grid.chain(points).filter_map(number).collect();
    folds.sort_unstable();
    folds.dedup();
    (!folds.is_empty()).then_some(folds)
}

impl SweepRecords {
    /// The sweep with one trial per configuration and seed, its folds pooled; the sweep itself if folds are no axis.
    #[must_use]
    pub fn pooled(&self) -> Cow<'_, Self> {
        let Some(planned) = self.folds.as_ref().filter(|_| !self.is_pooled()) else { return Cow::Borrowed(self) };
        let mut pools: Vec<(u64, Axes, Vec<&TrialRecords>)> = Vec::new();
        for trial in &self.trials {
            let axes: Axes = trial.axes.iter().filter(|(key, _)| key != AXIS).cloned().collect();
            match pools.iter_mut().find(|(seed, of, _)| *seed == trial.seed && *of == axes) {
                Some((.., folds)) => folds.push(trial),
                None => pools.push((trial.seed, axes, vec![trial])),
            }
        }
        let trials = pools.into_iter().map(|(_, axes, folds)| pool(axes, folds, planned)).collect();
        Cow::Owned(Self { trials, ..self.clone() })
    }

    /// Whether its trials are pools of folds.
    #[must_use]
    pub fn is_pooled(&self) -> bool {
        self.trials.iter().any(|trial| !trial.folds.is_empty())
    }

    /// The trained trials, before pooling.
    pub fn trainings(&self) -> impl Iterator<Item = &TrialRecords> {
        self.trials.iter().flat_map(TrialRecords::trainings)
    }
}

impl TrialRecords {
    /// The trained trials: the folds of a pool, or the trial itself.
    #[must_use]
    pub fn trainings(&self) -> &[Self] {
        if self.folds.is_empty() { std::slice::from_ref(self) } else { &self.folds }
    }

    /// Selection of the epoch that represents the trial. For pooled folds it is the last: at the epoch of least error, a
    /// fold would be evaluated on the images that selected the epoch, because there are no others.
    #[must_use]
    pub fn selection(&self) -> Selection {
        if self.folds.is_empty() { Selection::BestError } else { Selection::Last }
    }

    /// The epoch of [`Self::selection`].
    #[must_use]
    pub fn selected(&self) -> Option<&EpochRecord> {
        match self.selection() {
            Selection::Last => self.epochs.iter().rev().find(|epoch| epoch.mre().is_finite()),
            Selection::BestError => self.best_error(),
            Selection::BestLoss => self.best_loss(),
        }
    }

    /// Name of its state; for an incomplete pool, its progress.
    #[must_use]
    pub fn progress(&self) -> String {
        if self.folds.is_empty() || self.status.state == State::Done {
            return self.status.state.name().to_owned();
        }
        self.status.message.clone().unwrap_or_default()
    }

    /// Mean radial error and per cent within the least radius, every fold at the epoch that is best for the *other* folds: the
    /// gain from selecting an epoch without the images that it is evaluated on. `None` with fewer than three folds.
    #[must_use]
    pub fn error_at_other_folds_epoch(&self) -> Option<[f64; 2]> {
        let folds = &self.folds;
        if folds.len() < 3 || self.status.state != State::Done {
            return None;
        }
        let weights: Vec<f64> = folds.iter().map(|fold| size(fold).0).collect();
        let at: Vec<BTreeMap<u32, &EpochRecord>> = folds.iter().map(by_epoch).collect();
        let shared: Vec<u32> =
            at[0].keys().copied().filter(|epoch| at.iter().all(|of| of.contains_key(epoch))).collect();
        let (mut sums, mut total) = ([0.0; 2], 0.0);
        for out in 0..folds.len() {
            let of_others = |epoch: u32| -> f64 {
                let others = (0..folds.len()).filter(|fold| *fold != out);
                others.map(|fold| weights[fold] * at[fold][&epoch].mre()).sum()
            };
            let chosen = shared.iter().copied().min_by(|a, b| of_others(*a).total_cmp(&of_others(*b)))?;
            let epoch = at[out][&chosen];
            for (sum, value) in sums.iter_mut().zip([epoch.mre(), epoch.sdr()[0]]) {
                *sum += weights[out] * value;
            }
            total += weights[out];
        }
        Some(sums.map(|sum| sum / total))
    }
}

/// The evaluated epochs.
fn by_epoch(trial: &TrialRecords) -> BTreeMap<u32, &EpochRecord> {
    trial.epochs.iter().filter(|e| e.mre().is_finite()).map(|epoch| (epoch.epoch, epoch)).collect()
}

/// Number of landmarks and images that a fold was evaluated on; 1 of each without predictions.
fn size(fold: &TrialRecords) -> (f64, f64) {
    let rows = fold.landmarks.iter().filter(|row| row.selected == Selection::Last && row.error().is_finite());
    let (mut landmarks, mut images) = (0, std::collections::BTreeSet::new());
    for row in rows {
        landmarks += 1;
        images.insert(row.image.as_str());
    }
    (f64::from(landmarks.max(1)), images.len().max(1) as f64)
}

/// Pools the folds of one configuration and seed into one trial. Curves and predictions of incomplete pools are left out,
/// because they would be mistaken for those of the whole data set.
fn pool(axes: Axes, mut folds: Vec<&TrialRecords>, planned: &[usize]) -> TrialRecords {
    folds.sort_by_key(|trial| (trial.fold, trial.id.as_str()));
    let seed = folds[0].seed;
    let status = status(&folds, planned);
    let label = axes.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join("-");
    let hashes: Vec<&str> = folds.iter().map(|trial| trial.dataset_hash.as_str()).collect();
    let whole = status.state == State::Done;
    let id = format!("{}-seed{seed}", if label.is_empty() { "trial" } else { &label });
    TrialRecords {
        loss_kind: folds[0].loss_kind.clone(),
        configuration: folds[0].configuration.clone(),
        axes,
        objective: folds[0].objective,
        unit: folds[0].unit,
        dataset_hash: blake3::hash(hashes.join("\n").as_bytes()).to_hex().to_string(),
        epochs: if whole { epochs(&folds) } else { Vec::new() },
        landmarks: if whole { folds.iter().flat_map(|f| f.landmarks.iter().cloned()).collect() } else { Vec::new() },
        images: folds.iter().flat_map(|fold| fold.images.clone()).collect(),
        folds: folds.into_iter().cloned().collect(),
        ..TrialRecords::new(id, seed, status)
    }
}

/// Done if all planned folds are done; else the state of one that is not.
fn status(folds: &[&TrialRecords], planned: &[usize]) -> TrialStatus {
    let of = folds.iter().filter_map(|trial| trial.fold).map(|fold| fold.of).max().unwrap_or(0);
    let wanted: Vec<usize> = planned.iter().copied().filter(|fold| *fold < of).collect();
    let done = |fold: &usize| {
        let this = |trial: &&&TrialRecords| trial.fold.is_some_and(|f| f.fold == *fold);
        folds.iter().find(this).is_some_and(|trial| trial.status.state == State::Done)
    };
    let whole = wanted.iter().filter(|fold| done(fold)).count();
    let open = folds.iter().map(|trial| trial.status.state).find(|state| *state != State::Done);
    let first = &folds[0].status;
    TrialStatus {
        state: if whole == wanted.len() { State::Done } else { open.unwrap_or(State::Pending) },
        epoch: folds.iter().map(|trial| trial.status.epoch).min().unwrap_or(0),
        attempts: folds.iter().map(|trial| trial.status.attempts).max().unwrap_or(0),
        seconds: folds.iter().map(|trial| trial.status.seconds).sum(),
        peak_memory_mib: folds.iter().filter_map(|trial| trial.status.peak_memory_mib).reduce(f64::max),
        message: (whole < wanted.len()).then(|| match open {
            Some(state) => format!("{whole} of {} folds done, one {}", wanted.len(), state.name()),
            None => format!("{whole} of {} folds done", wanted.len()),
        }),
        ..first.clone()
    }
}

/// Curves of the whole data set, at the epochs that all folds share: errors weighted by landmarks, losses by images. Values
/// that do not follow from those of the folds (median and percentile) are `nan`.
fn epochs(folds: &[&TrialRecords]) -> Vec<EpochRecord> {
    let sizes: Vec<(f64, f64)> = folds.iter().map(|fold| size(fold)).collect();
    let of = |epoch: u32| -> Option<Vec<&EpochRecord>> {
        folds.iter().map(|fold| fold.epochs.iter().find(|e| e.epoch == epoch)).collect()
    };
    let pooled = |first: &EpochRecord| -> Option<EpochRecord> {
        let rows = of(first.epoch)?;
        let mean = |weight: fn(&(f64, f64)) -> f64, value: fn(&EpochRecord) -> f64| {
            let total: f64 = sizes.iter().map(weight).sum();
            sizes.iter().zip(&rows).map(|(size, row)| weight(size) * value(row)).sum::<f64>() / total
        };
        let (landmarks, images) = (|s: &(f64, f64)| s.0, |s: &(f64, f64)| s.1);
        let count: f64 = sizes.iter().map(|size| size.0).sum();
        let sd = |sd: fn(&EpochRecord) -> f64, mre: fn(&EpochRecord) -> f64| {
            let whole = mean(landmarks, mre);
            let squares =
                sizes.iter().zip(&rows).map(|((n, _), e)| (n - 1.0) * sd(e).powi(2) + n * (mre(e) - whole).powi(2));
            (squares.sum::<f64>() / (count - 1.0)).sqrt()
        };
        // Every field is named: a metric that is not pooled would be that of the first fold.
        Some(EpochRecord {
            trial: first.trial.clone(),
            seed: first.seed,
            epoch: first.epoch,
            train_loss: mean(|_| 1.0, |e| e.train_loss),
            val_loss: mean(images, |e| e.val_loss),
            zero_loss: mean(images, |e| e.zero_loss),
            train_mre_mm: mean(|_| 1.0, |e| e.train_mre_mm),
            val_mre_mm: mean(landmarks, |e| e.val_mre_mm),
            val_mre_px: mean(landmarks, |e| e.val_mre_px),
            val_sd_mm: sd(|e| e.val_sd_mm, |e| e.val_mre_mm),
            val_median_mm: f64::NAN,
            val_p95_mm: f64::NAN,
            val_sdr_2mm: mean(landmarks, |e| e.val_sdr_2mm),
            val_sdr_2_5mm: mean(landmarks, |e| e.val_sdr_2_5mm),
            val_sdr_3mm: mean(landmarks, |e| e.val_sdr_3mm),
            val_sdr_4mm: mean(landmarks, |e| e.val_sdr_4mm),
            lr: first.lr,
            images_per_second: mean(|_| 1.0, |e| e.images_per_second),
            seconds: mean(|_| 1.0, |e| e.seconds),
            train_mre_px: mean(|_| 1.0, |e| e.train_mre_px),
            val_sd_px: sd(|e| e.val_sd_px, |e| e.val_mre_px),
            val_median_px: f64::NAN,
            val_p95_px: f64::NAN,
            val_sdr_2px: mean(landmarks, |e| e.val_sdr_2px),
            val_sdr_4px: mean(landmarks, |e| e.val_sdr_4px),
            val_sdr_8px: mean(landmarks, |e| e.val_sdr_8px),
            val_sdr_16px: mean(landmarks, |e| e.val_sdr_16px),
            val_nme: mean(images, |e| e.val_nme),
            val_pck_05: mean(landmarks, |e| e.val_pck_05),
            val_pck_10: mean(landmarks, |e| e.val_pck_10),
            val_pck_20: mean(landmarks, |e| e.val_pck_20),
        })
    };
    folds[0].epochs.iter().filter_map(pooled).collect()
}

#[cfg(test)]
mod tests;
