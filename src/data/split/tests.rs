//! Which images train and which validate.

use std::collections::BTreeSet;

use super::*;

#[test]
fn a_refit_trains_on_all_but_test_images() {
    let items = ["a", "b", "c"].into_iter().zip([Split::Train, Split::Val, Split::Test]);
    let items: Vec<_> = items.map(|(image, split)| SplitItem { image, patient: None, group: None, split }).collect();
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
    let item = |(i, image): (usize, &'a String)| SplitItem { image, patient: patient(i), group: None, split: split(i) };
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
