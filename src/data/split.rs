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
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_refit_trains_on_all_but_test_images() {
        let items = ["a", "b", "c"].into_iter().zip([Split::Train, Split::Val, Split::Test]);
        let items: Vec<_> =
            items.map(|(image, split)| SplitItem { image, patient: None, group: None, split }).collect();
        let refit = SplitSpec { refit: true, ..SplitSpec::default() };
        let splits = refit.assign(&items).unwrap();
        assert_eq!(splits, [Split::Train, Split::Train, Split::Test]);
        assert!(refit.check().is_ok() && refit.check_present(&splits).is_ok());
        assert!(SplitSpec::default().check_present(&splits).unwrap_err().message.contains("split `val`"));
        let both = SplitSpec { folds: Some(5), fold: Some(0), ..refit.clone() };
        assert!(both.check().unwrap_err().message.contains("`folds` keeps some"));
        assert!(SplitSpec { split_seed: 1, ..refit }.check().unwrap_err().message.contains("no effect"));
    }

    fn folds(folds: usize, fold: usize) -> SplitSpec {
        SplitSpec { folds: Some(folds), fold: Some(fold), ..SplitSpec::default() }
    }

    fn items<'a>(names: &'a [String], patient: &dyn Fn(usize) -> Option<&'a str>) -> Vec<SplitItem<'a>> {
        let split = |i| [Split::Train, Split::Train, Split::Val, Split::Test][i % 4];
        let item =
            |(i, image): (usize, &'a String)| SplitItem { image, patient: patient(i), group: None, split: split(i) };
        names.iter().enumerate().map(item).collect()
    }

    #[test]
    fn folds_are_disjoint_balanced_and_leave_the_test_images_alone() {
        let names: Vec<String> = (0..124).map(|i| format!("{i:03}.png")).collect();
        let items = items(&names, &|_| None);
        let mut validated = vec![0; items.len()];
        for fold in 0..5 {
            let splits = folds(5, fold).assign(&items).unwrap();
            let mut size = 0;
            for (index, (split, item)) in splits.iter().zip(&items).enumerate() {
                assert_eq!(*split == Split::Test, item.split == Split::Test);
                if *split == Split::Val {
                    validated[index] += 1;
                    size += 1;
                }
            }
            assert!(size == 18 || size == 19, "93 images in 5 folds: {size}");
        }
        for (times, item) in validated.iter().zip(&items) {
            assert_eq!(*times, usize::from(item.split != Split::Test), "{}", item.image);
        }
    }

    #[test]
    fn a_patient_is_never_divided() {
        let names: Vec<String> = (0..80).map(|i| format!("{i:03}.png")).collect();
        let patients: Vec<String> = (0..80).map(|i| format!("p{}", i * i % 13)).collect();
        let items = items(&names, &|i| (i % 10 != 0).then(|| patients[i].as_str()));
        let specs = (0..4).map(|fold| folds(4, fold));
        let fraction = SplitSpec { val_fraction: Some(0.3), ..SplitSpec::default() };
        for spec in specs.chain([fraction]) {
            let splits = spec.assign(&items).unwrap();
            let of = |split: Split| -> BTreeSet<&str> {
                let there = items.iter().zip(&splits).filter(|(_, s)| **s == split);
                there.filter_map(|(item, _)| item.patient).collect()
            };
            let (train, val) = (of(Split::Train), of(Split::Val));
            assert!(!train.is_empty() && !val.is_empty());
            assert_eq!(train.intersection(&val).count(), 0, "{spec:?}");
        }
    }

    #[test]
    fn a_group_is_never_divided_nor_a_patient_of_two() {
        let names: Vec<String> = (0..60).map(|i| format!("{i:02}.png")).collect();
        let sites = ["a", "b", "c", "d", "e"];
        let mut items = items(&names, &|_| None);
        for (i, item) in items.iter_mut().enumerate() {
            item.group = Some(sites[i % 5]);
        }
        let by = |fold| SplitSpec { folds_by: Some("group_site".into()), ..folds(5, fold) };
        let val = |items: &[SplitItem<'_>], spec: &SplitSpec| -> BTreeSet<String> {
            let splits = spec.assign(items).unwrap();
            let val = items.iter().zip(splits).filter(|(_, split)| *split == Split::Val);
            val.filter_map(|(item, _)| item.group).map(str::to_owned).collect()
        };
        let each: Vec<BTreeSet<String>> = (0..5).map(|fold| val(&items, &by(fold))).collect();
        assert!(each.iter().all(|sites| sites.len() == 1), "{each:?}");
        assert_eq!(each.iter().flatten().collect::<BTreeSet<_>>().len(), 5);
        // A patient who was seen at two sites keeps them together.
        items[0].patient = Some("p");
        items[1].patient = Some("p");
        let each: Vec<BTreeSet<String>> =
            (0..4).map(|fold| val(&items, &SplitSpec { folds: Some(4), ..by(fold) })).collect();
        assert!(each.iter().any(|sites| sites.contains("a") && sites.contains("b")), "{each:?}");
        assert!(by(0).assign(&items).unwrap_err().message.contains("only 4 groups"));
        let key = |spec: SplitSpec| spec.check().unwrap_err().location.unwrap();
        assert_eq!(key(SplitSpec { folds_by: Some("site".into()), ..folds(5, 0) }), "folds_by");
        assert_eq!(key(SplitSpec { folds_by: Some("group_site".into()), ..SplitSpec::default() }), "folds_by");
        assert_eq!(by(0).check(), Ok(()));
    }

    #[test]
    fn the_deal_depends_on_its_seed_and_on_nothing_else() {
        let names: Vec<String> = (0..20).map(|i| format!("{i:03}.png")).collect();
        let items = items(&names, &|_| None);
        let val = |spec: SplitSpec, items: &[SplitItem<'_>]| -> BTreeSet<String> {
            let splits = spec.assign(items).unwrap();
            let there = items.iter().zip(splits).filter(|(_, split)| *split == Split::Val);
            there.map(|(item, _)| item.image.to_owned()).collect()
        };
        let first = val(folds(5, 1), &items);
        // Pinned: every cross-validation ever run would be another one if this changed.
        assert_eq!(first.iter().map(String::as_str).collect::<Vec<_>>(), PINNED);
        let turned: Vec<SplitItem<'_>> = items.iter().rev().copied().collect();
        assert_eq!(val(folds(5, 1), &turned), first, "the order of the rows does not matter");
        let pool: Vec<SplitItem<'_>> = items
            .iter()
            .map(|item| match item.split {
                Split::Test => *item,
                _ => SplitItem { split: Split::Val, ..*item },
            })
            .collect();
        assert_eq!(val(folds(5, 1), &pool), first, "train and val are one pool");
        assert_ne!(val(SplitSpec { split_seed: 1, ..folds(5, 1) }, &items), first);
    }

    const PINNED: [&str; 3] = ["001.png", "002.png", "006.png"];

    #[test]
    fn a_fraction_is_kept_as_near_as_patients_allow() {
        let names: Vec<String> = (0..40).map(|i| format!("{i:03}.png")).collect();
        let count = |fraction: f64, items: &[SplitItem<'_>]| {
            let spec = SplitSpec { val_fraction: Some(fraction), ..SplitSpec::default() };
            spec.assign(items).unwrap().iter().filter(|s| **s == Split::Val).count()
        };
        let single = items(&names, &|_| None);
        assert_eq!((count(0.2, &single), count(0.001, &single), count(0.999, &single)), (6, 1, 29));
        // Two patients of 15 images each: a fifth of the images is nobody's, so one patient it is.
        let two = items(&names, &|i| Some(if i < 20 { "a" } else { "b" }));
        assert_eq!(count(0.2, &two), 15);
    }

    #[test]
    fn what_cannot_be_dealt_is_said() {
        let names: Vec<String> = (0..8).map(|i| format!("{i}.png")).collect();
        let one = items(&names, &|_| Some("a"));
        assert_eq!(folds(2, 0).assign(&one).unwrap_err().message, "only 1 patients cannot be dealt into 2 folds");
        let fraction = SplitSpec { val_fraction: Some(0.5), ..SplitSpec::default() };
        assert!(fraction.assign(&one).unwrap_err().message.contains("cannot both train and validate"));
        let key = |spec: SplitSpec| spec.check().unwrap_err().location.unwrap();
        let plain = SplitSpec::default;
        assert_eq!(key(SplitSpec { folds: Some(5), ..plain() }), "folds");
        assert_eq!(key(SplitSpec { fold: Some(0), ..plain() }), "fold");
        assert_eq!(key(folds(1, 0)), "folds");
        assert_eq!(key(folds(5, 5)), "fold");
        assert_eq!(key(SplitSpec { val_fraction: Some(1.0), ..plain() }), "val_fraction");
        assert_eq!(key(SplitSpec { val_fraction: Some(f64::NAN), ..plain() }), "val_fraction");
        assert_eq!(key(SplitSpec { val_fraction: Some(0.5), ..folds(5, 0) }), "val_fraction");
        assert_eq!(key(SplitSpec { split_seed: 1, ..plain() }), "split_seed");
        assert_eq!(folds(5, 4).check(), Ok(()));
    }
}
