//! Which images train and which validate, where a data set's own split does not decide it: k folds, a seeded fraction,
//! another column. Images of one patient are never divided; test images stay test images.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dataset::{Split, has_splits};
use sweep_core::error::{Error, Result};
use sweep_core::seed::{self, Stream};

/// How the names of columns of groups begin.
pub(super) const GROUP_PREFIX: &str = "group_";

/// How training and validation images are told apart: as the data set says, unless a key is given.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SplitSpec {
    /// Cross-validation: all images of train and val are dealt into this many parts of like size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folds: Option<usize>,
    /// Deals groups of images, those with the same word in this column of the CSV, whose name begins with `group_`: a site, a
    /// scanner, a cluster. With as many folds as there are groups each group validates once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folds_by: Option<String>,
    /// The part that validates, from 0; the others are trained on. An axis, as a rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold: Option<usize>,
    /// This part of all images of train and val validates, drawn at random.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_fraction: Option<f64>,
    /// Decides which images go where; the data set's and not the trial's, so that all trials of a sweep see one deal.
    #[serde(skip_serializing_if = "is_zero")]
    pub split_seed: u64,
    /// The column that says train, val or test, where that is not `split`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split_column: Option<String>,
    /// Trains on all images of train and val, and validates on none: for the network that is handed on, once a
    /// cross-validation has measured how it is trained. Nothing is measured then.
    #[serde(skip_serializing_if = "is_false")]
    pub refit: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(set: &bool) -> bool {
    !set
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// An image's input to the assignment of splits.
#[derive(Debug, Clone, Copy)]
pub(super) struct SplitItem<'a> {
    pub(super) image: &'a str,
    /// Images of unknown patients are taken for different patients'.
    pub(super) patient: Option<&'a str>,
    /// The group that `folds_by` takes for whole, if there is one.
    pub(super) group: Option<&'a str>,
    /// The data set's own split.
    pub(super) split: Split,
}

impl SplitSpec {
    /// Its keys in a definition's `dataset`.
    pub const KEYS: [&str; 7] = ["folds", "folds_by", "fold", "val_fraction", "split_seed", "split_column", "refit"];

    /// Whether what the data set calls train and val is one pool: images are dealt at random, or all of them train.
    #[must_use]
    pub fn pools(&self) -> bool {
        self.folds.is_some() || self.val_fraction.is_some() || self.refit
    }

    /// Whether it can be meant; looks at no file.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<()> {
        let wrong = |key: &str, what: String, right: &str| Err(Error::definition(what).at(key).remedy(right));
        let axis = "have both, as folds = 5 in [trial.dataset] and \"dataset.fold\" = [0, 1, 2, 3, 4] in [axes]";
        match (self.folds, self.fold) {
            (Some(folds), None) => {
                return wrong("folds", format!("{folds} folds, and `fold` does not say which one validates"), axis);
            }
            (None, Some(fold)) => {
                return wrong("fold", format!("fold {fold}, and `folds` does not say of how many"), axis);
            }
            (Some(folds), _) if folds < 2 => {
                return wrong(
                    "folds",
                    format!("{folds} folds leave nothing to train on"),
                    "use 2 or more; 5 is common",
                );
            }
            (Some(folds), Some(fold)) if fold >= folds => {
                let right = format!("folds are counted from 0: the last one is {}", folds - 1);
                return wrong("fold", format!("there is no fold {fold} of {folds}"), &right);
            }
            _ => {}
        }
        if let Some(fraction) = self.val_fraction {
            if !(fraction > 0.0 && fraction < 1.0) {
                let right = "use a number between 0 and 1, as 0.2";
                return wrong("val_fraction", format!("{fraction} is no part of the images"), right);
            }
            if self.folds.is_some() {
                return wrong(
                    "val_fraction",
                    "`folds` and `val_fraction` both say which images validate".into(),
                    "remove one of them",
                );
            }
        }
        if self.refit {
            let dealt = [("folds", self.folds.is_some()), ("val_fraction", self.val_fraction.is_some())];
            if let Some((key, _)) = dealt.into_iter().find(|(_, is_there)| *is_there) {
                let what = format!("`refit` trains on all images, and `{key}` keeps some for validation");
                return wrong("refit", what, &format!("remove `refit` or `{key}`"));
            }
        }
        if let Some(column) = &self.folds_by {
            if !column.starts_with(GROUP_PREFIX) || column.len() == GROUP_PREFIX.len() {
                let right = format!("name a column such as {GROUP_PREFIX}site, with a word for every image");
                return wrong("folds_by", format!("`{column}` is no column of groups"), &right);
            }
            if self.folds.is_none() && self.val_fraction.is_none() {
                let right = "set `folds` and `fold`, or `val_fraction`";
                return wrong("folds_by", "folds_by has no effect: no image is dealt".into(), right);
            }
        }
        if self.split_seed != 0 && (self.refit || !self.pools()) {
            return wrong(
                "split_seed",
                "split_seed has no effect: no image is dealt".into(),
                "set `folds` and `fold`, or `val_fraction`; without them the data set's own split counts",
            );
        }
        Ok(())
    }

    /// Every image's split, given the data set's own.
    ///
    /// # Errors
    /// When there are fewer patients than folds, or too few to both train and validate.
    pub(super) fn assign(&self, items: &[SplitItem<'_>]) -> Result<Vec<Split>> {
        let mut splits: Vec<Split> = items.iter().map(|item| item.split).collect();
        if !self.pools() {
            return Ok(splits);
        }
        if self.refit {
            splits.iter_mut().filter(|split| **split == Split::Val).for_each(|split| *split = Split::Train);
            return Ok(splits);
        }
        let groups = groups(items, self.split_seed);
        let what = if self.folds_by.is_some() { "groups" } else { "patients" };
        let (parts, val) = match (self.folds, self.fold, self.val_fraction) {
            (Some(folds), Some(fold), _) => (balanced(&groups, folds, what)?, fold),
            (.., Some(fraction)) => (drawn(&groups, fraction, what)?, 1),
            _ => return Ok(splits),
        };
        for (group, part) in groups.iter().zip(parts) {
            for image in group {
                splits[*image] = if part == val { Split::Val } else { Split::Train };
            }
        }
        Ok(splits)
    }

    /// Whether there are images to train on and, unless all train, to validate on.
    ///
    /// # Errors
    /// Names the split that is missing.
    pub(super) fn check_present(&self, splits: &[Split]) -> Result<()> {
        let needed: &[Split] = if self.refit { &[Split::Train] } else { &[Split::Train, Split::Val] };
        has_splits(splits.iter().copied(), needed)
    }
}

/// Places of the images that are dealt, by patient and group, shuffled. The order of the data set's rows does not matter.
fn groups(items: &[SplitItem<'_>], seed: u64) -> Vec<Vec<usize>> {
    // A patient's name and an image's are told apart by their place in the pair.
    let mut patients: BTreeMap<(Option<&str>, &str), Vec<usize>> = BTreeMap::new();
    for (position, item) in items.iter().enumerate().filter(|(_, item)| item.split != Split::Test) {
        let own = if item.patient.is_some() { "" } else { item.image };
        patients.entry((item.patient, own)).or_default().push(position);
    }
    let groups = joined(patients.into_values().collect(), items);
    let order = seed::shuffled(groups.len(), seed, Stream::Folds, 0);
    order.into_iter().map(|position| groups[position].clone()).collect()
}

/// Patients with an image in the same group become one, and so do groups with images of the same patient. Those that come
/// first keep their place.
fn joined(patients: Vec<Vec<usize>>, items: &[SplitItem<'_>]) -> Vec<Vec<usize>> {
    let mut joined: Vec<(BTreeSet<&str>, Vec<usize>)> = Vec::new();
    for images in patients {
        let words: BTreeSet<&str> = images.iter().filter_map(|image| items[*image].group).collect();
        if words.is_empty() {
            joined.push((words, images));
            continue;
        }
        let (meeting, apart): (Vec<_>, Vec<_>) = joined.into_iter().partition(|(other, _)| !other.is_disjoint(&words));
        joined = apart;
        let mut all = (words, Vec::new());
        for (words, images) in meeting {
            all.0.extend(words);
            all.1.extend(images);
        }
        all.1.extend(images);
        joined.push(all);
    }
    joined.into_iter().map(|(_, images)| images).collect()
}

/// A part for every group, so that parts hold as many images as can be: the largest groups first, each into the part
/// that has the fewest images by then.
fn balanced(groups: &[Vec<usize>], folds: usize, what: &str) -> Result<Vec<usize>> {
    if groups.len() < folds {
        let what = format!("only {} {what} cannot be dealt into {folds} folds", groups.len());
        let right = format!("use at most {} folds; an image without a patient counts as a patient", groups.len());
        return Err(Error::input(what).remedy(right));
    }
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by_key(|group| std::cmp::Reverse(groups[*group].len()));
    let (mut parts, mut sizes) = (vec![0; groups.len()], vec![0; folds]);
    for group in order {
        let smallest = (0..folds).min_by_key(|part| sizes[*part]).unwrap_or(0);
        parts[group] = smallest;
        sizes[smallest] += groups[group].len();
    }
    Ok(parts)
}

/// 1 for the groups that validate, 0 for the others: groups in their order, as long as they fit into the fraction.
fn drawn(groups: &[Vec<usize>], fraction: f64, what: &str) -> Result<Vec<usize>> {
    if groups.len() < 2 {
        let what = format!("the images of {} {what} cannot both train and validate", groups.len());
        return Err(Error::input(what).remedy("two patients are the least; without a column `patient` images count"));
    }
    let images: usize = groups.iter().map(Vec::len).sum();
    let wanted = (images as f64 * fraction).round() as usize;
    let (mut parts, mut taken) = (vec![0; groups.len()], 0);
    for (part, group) in parts.iter_mut().zip(groups) {
        if taken + group.len() <= wanted && taken + group.len() < images {
            *part = 1;
            taken += group.len();
        }
    }
    if taken == 0
        && let Some(smallest) = (0..groups.len()).min_by_key(|group| groups[*group].len())
    {
        parts[smallest] = 1;
    }
    Ok(parts)
}

#[cfg(test)]
mod tests;
