//! Whole sets: what is wrong with all of it, and that nothing stops at the first.

use super::*;
use crate::Split;
use sweep_core::units::{Point, Size, Spacing};

fn checks(inspection: &Inspection) -> Vec<&'static str> {
    serious(inspection).iter().map(|f| f.check).collect()
}

fn every_landmark(set: &mut Set, change: impl Fn(Point) -> Point) {
    for image in &mut set.images {
        image.row.landmarks.iter_mut().for_each(|p| *p = p.map(&change));
    }
}

#[test]
fn a_transposed_set_is_told_by_the_names_of_its_landmarks() {
    type Turn = (&'static str, &'static str, fn(Point) -> Point);
    let clean = sizes(&phantoms(30, 12));
    let (w, h) = (80.0, 100.0);
    let turns: [Turn; 3] = [
        ("transposed", "x and y exchanged", |p| Point { x: p.y, y: p.x }),
        ("mirrored", "upside down", |p| Point { x: p.x, y: 99.0 - p.y }),
        ("turned", "turned upside down", |p| Point { x: 79.0 - p.x, y: 99.0 - p.y }),
    ];
    for (check, words, turn) in turns {
        let mut set = clean.clone();
        every_landmark(&mut set, turn);
        let inspection = inspect(&set);
        let found = of(&serious(&inspection), check);
        assert!(found.iter().any(|f| f.what.contains(words) && f.image.is_none()), "{check}: {found:?}");
    }
    // All patients facing left is no error, only worth a word.
    let mut set = clean.clone();
    every_landmark(&mut set, |p| Point { x: w - 1.0 - p.x, y: p.y });
    let inspection = inspect(&set);
    assert_eq!(checks(&inspection), Vec::<&str>::new());
    assert!(inspection.of(Severity::Note).any(|f| f.check == "mirrored"));
    // Names that say nothing: what tells is that the exchanged coordinates fit on the images.
    let mut set = clean;
    set.landmarks = (0..10).map(|k| format!("p{k}")).collect();
    for image in &mut set.images {
        let summary = image.summary.as_mut().unwrap();
        summary.size = Size { height: h as usize, width: 55 };
    }
    every_landmark(&mut set, |p| Point { x: p.y, y: p.x * 0.65 });
    assert_eq!(checks(&inspect(&set)), ["transposed"]);
}

#[test]
fn images_that_show_nothing_and_landmarks_beside_them_are_all_told() {
    let mut dataset = phantoms(20, 12);
    dataset.samples[3].pixels.fill(0);
    dataset.samples[4].pixels.fill(77);
    dataset.samples[5].pixels.iter_mut().enumerate().for_each(|(i, p)| *p = 100 + (i % 5) as u8);
    let mut set = seen(&dataset, ImageSummary::of);
    set.images[6].summary = Err(sweep_core::error::Error::input("not a readable image"));
    set.images[7].row.landmarks[2] = Some(Point { x: -4.0, y: 300.0 });
    set.images[8].row.landmarks.fill(None);
    for image in &mut set.images {
        image.row.landmarks[9] = image.row.landmarks[9].filter(|_| image.row.split == Some(Split::Val));
        image.row.landmarks[8] = image.row.landmarks[8].filter(|_| image.row.split == Some(Split::Train));
    }
    let inspection = inspect(&set);
    let found = serious(&inspection);
    let lines = |check: &str| of(&found, check).iter().map(|f| f.line.unwrap_or(0)).collect::<Vec<u64>>();
    assert_eq!(lines("flat"), [5, 6, 7]);
    assert_eq!(lines("unreadable"), [8]);
    assert_eq!(lines("outside"), [9]);
    assert_eq!(lines("unmarked"), [10]);
    let missing: Vec<(Severity, &str)> =
        of(&found, "missing").iter().map(|f| (f.severity, f.landmarks[0].as_str())).collect();
    assert_eq!(missing, [(Severity::Error, "gonion"), (Severity::Warning, "gnathion")]);
    assert!(found.iter().all(|f| !f.remedy.is_empty()), "{found:?}");
    assert!(inspection.is_spoilt());
}

#[test]
fn the_same_picture_is_a_leak_between_splits_and_a_duplicate_within_one() {
    let mut dataset = phantoms(20, 12);
    dataset.samples[1].pixels = dataset.samples[25].pixels.clone();
    dataset.samples[2].pixels = dataset.samples[9].pixels.iter().map(|p| (f64::from(*p) * 0.8) as u8 + 9).collect();
    dataset.samples[4].landmarks = dataset.samples[30].landmarks.clone();
    let inspection = inspect(&seen(&dataset, ImageSummary::of));
    let found = serious(&inspection);
    let told = |check: &str| {
        let pair = |f: &Finding| (f.severity, f.image.clone().unwrap(), f.others.clone());
        of(&found, check).into_iter().map(pair).collect::<Vec<_>>()
    };
    let name = |i: usize| dataset.samples[i].image.clone();
    assert_eq!(told("leakage"), [(Severity::Error, name(1), vec![name(25)])]);
    assert_eq!(told("duplicate"), [(Severity::Warning, name(2), vec![name(9)])]);
    assert_eq!(told("same-coordinates"), [(Severity::Error, name(30), vec![name(4)])]);
}

#[test]
fn a_group_of_images_with_another_pixel_size_is_one_finding() {
    let mut set = sizes(&phantoms(30, 12));
    for image in set.images.iter_mut().take(15) {
        let spacing = image.row.spacing.unwrap();
        image.row.spacing = Some(Spacing { x: spacing.x / 2.2, y: spacing.y / 2.2 });
    }
    let inspection = inspect(&set);
    let found = of(&serious(&inspection), "pixel-size");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].what.contains("15 images") && found[0].what.contains("0.4"), "{}", found[0].what);
}

#[test]
fn coordinates_of_smaller_copies_are_told() {
    let mut set = sizes(&phantoms(30, 12));
    every_landmark(&mut set, |p| Point { x: p.x / 4.0, y: p.y / 4.0 });
    assert_eq!(checks(&inspect(&set)), ["coordinates"]);
}

#[test]
fn few_images_or_landmarks_are_not_judged_and_nothing_panics() {
    for count in [2, 3, 5] {
        let inspection = inspect(&seen(&phantoms(count - 1, 1), ImageSummary::of));
        assert_eq!(checks(&inspection), Vec::<&str>::new());
        assert!(inspection.of(Severity::Note).any(|f| f.check == "shapes") && inspection.spread.is_none());
    }
    let mut dataset = phantoms(12, 12);
    dataset.landmarks.truncate(3);
    dataset.samples.iter_mut().for_each(|s| s.landmarks.truncate(3));
    assert!(inspect(&sizes(&dataset)).spread.is_none());
    let mut set = sizes(&phantoms(12, 12));
    for image in &mut set.images {
        image.row.landmarks.iter_mut().for_each(|p| *p = Some(Point { x: 5.0, y: 5.0 }));
    }
    assert!(inspect(&set).spread.is_none());
    set.images.clear();
    assert!(inspect(&set).is_spoilt(), "no image to train on");
}

#[test]
fn the_facts_are_those_of_the_data_set() {
    let dataset = phantoms(30, 12);
    let facts = inspect(&sizes(&dataset)).facts;
    assert_eq!((facts.images.train, facts.images.val, facts.images.total()), (30, 12, 42));
    assert_eq!(facts.sizes[0].images, 42);
    let marked = dataset.mean_shape_error().unwrap();
    assert!((facts.mean_shape_mre_mm.unwrap() - marked).abs() < 1e-12);
    assert!(facts.landmarks.iter().all(|l| l.marked.total() == 42 && l.from_mean_mm > Some(0.0)));
}
