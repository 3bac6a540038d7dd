//! The two sides of `sweep compare`, read from their folders.

use sweep_core::error::{Error, Result};
use sweep_experiment::records::{LandmarkRecord, Selection, State};
use sweep_experiment::store::{Store, TrialStore};

use super::{Comparison, compare};
use crate::folds::Fold;
use crate::load::load;

/// One side of a comparison.
struct Side {
    name: String,
    fold: Option<Fold>,
    selection: Selection,
    landmarks: Vec<LandmarkRecord>,
}

impl Side {
    /// Reads a trial from its folder.
    fn read(trial: &TrialStore, pooled: bool) -> Result<Self> {
        let remedy = "name two trials' folders, as results/loss/trials/l1-seed0-3f9a2c1b";
        if !trial.has_begun() {
            return Err(Error::input("no trial.toml: this is not the folder of a trial")
                .at(trial.root().display())
                .remedy(remedy));
        }
        let about = trial.trial_file()?;
        if pooled {
            return Self::pooled(&trial.sweep(), &about.trial);
        }
        let landmarks = trial.landmarks()?;
        if landmarks.is_empty() {
            return Err(Error::results("no landmarks.csv: the trial has no evaluated epoch yet")
                .at(trial.root().display())
                .remedy("run it first"));
        }
        let fold = about.fold().map(|(fold, of)| Fold { fold, of });
        Ok(Self { name: about.trial, fold, selection: Selection::BestError, landmarks })
    }

    /// Reads the cross-validation that a trial is a fold of.
    fn pooled(sweep: &Store, trial: &str) -> Result<Self> {
        let records = load(sweep)?;
        let pooled = records.pooled();
        let of = pooled.trials.iter().find(|t| t.trainings().iter().any(|fold| fold.id == trial));
        let wrong = |what: String, right: &str| Error::results(what).at(trial).remedy(right);
        let pool = of.filter(|pool| !pool.folds.is_empty()).ok_or_else(|| {
            wrong(
                "it is no fold of a cross-validation".into(),
                "leave --pooled out: the sweep has no axis `dataset.fold`",
            )
        })?;
        if pool.status.state != State::Done {
            let what = format!("its cross-validation is not whole: {}", pool.progress());
            return Err(wrong(what, "run the sweep to its end, or compare single folds without --pooled"));
        }
        let name = format!("{}, seed {}, {} folds", pool.group(), pool.seed, pool.folds.len());
        Ok(Self { name, fold: None, selection: pool.selection(), landmarks: pool.landmarks.clone() })
    }
}

/// Compares two trials on the images that both were evaluated on, or, if `pooled`, the cross-validations that they are folds
/// of. Returns the fold too, where the trials are of one.
///
/// # Errors
/// When one cannot be read, is not evaluated yet, or both were measured on different images.
pub fn compare_trials(a: &TrialStore, b: &TrialStore, pooled: bool) -> Result<(Comparison, Option<Fold>)> {
    let [a, b] = [Side::read(a, pooled)?, Side::read(b, pooled)?];
    if let (Some(of_a), Some(of_b)) = (a.fold, b.fold)
        && of_a != of_b
    {
        return Err(Error::input(format!(
            "{} is fold {} of {}, {} fold {} of {}: they were measured on different images",
            a.name, of_a.fold, of_a.of, b.name, of_b.fold, of_b.of
        ))
        .remedy("name trials of the same fold, or compare whole cross-validations with --pooled"));
    }
    let comparison = compare(&a.landmarks, &b.landmarks, a.selection)?;
    Ok((Comparison { a: a.name, b: b.name, ..comparison }, a.fold))
}
