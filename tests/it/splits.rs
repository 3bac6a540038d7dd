//! Splits into training and validation images: folds, fractions and columns, as users write them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use landmark_sweep::data::cache::Cache;
use landmark_sweep::data::{Dataset, DatasetSpec, Sample, Split, folder};
use landmark_sweep::definition::SweepDefinition;
use landmark_sweep::error::{Error, Result};
use landmark_sweep::plan::{Trial, plan};
use landmark_sweep::units::{Point, Size, Spacing};

use crate::harness::Sandbox;

/// Twelve images of six patients, two of which are test images of one patient.
fn write(dir: &Path) {
    let sample = |i: usize| Sample {
        image: format!("{i:02}.png"),
        split: [Split::Train, Split::Val, Split::Test][if i >= 10 { 2 } else { usize::from(i % 5 == 4) }],
        size: Size { height: 40, width: 32 },
        pixels: (0..40 * 32).map(|p| (p * (i + 3) % 251) as u8).collect(),
        landmarks: vec![Some(Point { x: 3.0 + i as f64, y: 9.5 }), Some(Point { x: 20.0, y: 4.0 + i as f64 })],
        spacing: Some(Spacing { x: 0.5, y: 0.5 }),
        patient: Some(format!("p{}", i / 2)),
    };
    let landmarks = vec!["a".to_owned(), "b".to_owned()];
    let samples = (0..12).map(sample).collect();
    folder::write(&Dataset { name: "twelve".into(), landmarks, observer_mre: None, normalise: None, samples }, dir)
        .unwrap();
}

fn edit(dir: &Path, change: impl Fn(&str) -> String) {
    let path = dir.join("landmarks.csv");
    fs::write(&path, change(&fs::read_to_string(&path).unwrap())).unwrap();
}

fn definition(dir: &Path, axes: &str, dataset: &str) -> String {
    format!(
        "name = \"t\"\n[axes]\n{axes}\n[trial]\nepochs = 1\nmodel = {{ name = \"unet\", filters = [4, 8] }}\nloss = {{ name = \"l1\" }}\n\
         dataset = {{ name = \"folder\", path = {:?}{dataset} }}\n",
        dir.display().to_string()
    )
}

fn trials(text: &str) -> Result<Vec<Trial>> {
    plan(&SweepDefinition::parse("d.toml", text)?)
}

fn refused(text: &str) -> Error {
    trials(text).unwrap_err()
}

#[test]
fn a_fold_is_an_axis_and_every_image_validates_once() {
    let sandbox = Sandbox::new("");
    let dir = sandbox.path("set");
    write(&dir);
    let trials = trials(&definition(&dir, "\"dataset.fold\" = [0, 1, 2, 3, 4]", ", folds = 5")).unwrap();
    let readable: Vec<&str> = trials.iter().map(|t| t.id.rsplit_once('-').unwrap().0).collect();
    assert_eq!(readable, ["0-seed0", "1-seed0", "2-seed0", "3-seed0", "4-seed0"]);
    let (cache, input) = (Cache::at(&sandbox.path("cache")), Size { height: 20, width: 16 });
    let (mut identities, mut validated) = (BTreeSet::new(), Vec::new());
    for trial in &trials {
        identities.insert(trial.identity.clone());
        let loaded = cache.load(&trial.config.dataset, input).unwrap();
        assert_eq!(loaded.content, trial.content);
        let whole = trial.config.dataset.load().unwrap();
        let of = |split: Split| {
            let samples = loaded.dataset.samples.iter().filter(|s| s.split == split);
            samples.map(|s| s.patient.clone().unwrap()).collect::<BTreeSet<_>>()
        };
        let (train, val, test) = (of(Split::Train), of(Split::Val), of(Split::Test));
        assert_eq!((train.len(), val.len(), test.len()), (4, 1, 1), "whole patients");
        assert!(train.is_disjoint(&val) && test.contains("p5"));
        for (a, b) in whole.samples.iter().zip(&loaded.dataset.samples) {
            assert_eq!((&a.image, a.split, &a.landmarks), (&b.image, b.split, &b.landmarks));
        }
        let outline = trial.config.dataset.open().unwrap().summary();
        assert_eq!((outline.train, outline.val), (8, 2));
        let indices = whole.indices(Split::Val);
        assert!(
            trial.config.dataset.open().unwrap().originals(&indices).unwrap().iter().all(|s| s.split == Split::Val)
        );
        validated.extend(loaded.dataset.samples.iter().filter(|s| s.split == Split::Val).map(|s| s.image.clone()));
    }
    assert_eq!(identities.len(), 5, "every fold is a trial of its own");
    validated.sort();
    assert_eq!(validated, (0..10).map(|i| format!("{i:02}.png")).collect::<Vec<_>>());
    let kept = fs::read_dir(sandbox.path("cache")).unwrap().filter_map(Result::ok);
    assert_eq!(kept.filter(|entry| entry.path().extension().is_some_and(|e| e == "pictures")).count(), 1);
}

#[test]
fn phantoms_and_flags_are_dealt_too() {
    let sandbox = Sandbox::new(
        "name = \"t\"\n[axes]\n\"dataset.fold\" = [0, 1]\n[trial]\nepochs = 1\nmodel = { name = \"unet\", filters = [4, 8] }\n\
         loss = { name = \"l1\" }\ndataset = { name = \"phantom\", train = 4, val = 2, height = 40, width = 40, folds = 2 }\n",
    );
    let text = fs::read_to_string(sandbox.path("tiny.toml")).unwrap();
    for trial in trials(&text).unwrap() {
        let dataset = trial.config.dataset.load().unwrap();
        assert_eq!((dataset.indices(Split::Train).len(), dataset.indices(Split::Val).len()), (3, 3));
    }
    // The folds of the definition contain other images than the data set's.
    write(&sandbox.path("set"));
    let output = sandbox.sweep(&["plan", "tiny.toml", "--dataset", "set", "--no-calibrate"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("2 trials of sweep"), "{output:?}");
}

#[test]
fn splits_by_column_and_by_fraction() {
    let sandbox = Sandbox::new("");
    let dir = sandbox.path("set");
    write(&dir);
    let load = |split: &str| -> Dataset {
        let spec: DatasetSpec =
            toml::from_str(&format!("name = \"folder\"\npath = {:?}\n{split}", dir.display().to_string())).unwrap();
        spec.load().unwrap()
    };
    let numbers = |d: &Dataset| Split::ALL.map(|split| d.indices(split).len());
    assert_eq!(numbers(&load("")), [8, 2, 2]);
    let half = load("val_fraction = 0.4");
    assert_eq!(numbers(&half), [6, 4, 2]);
    let val = |d: &Dataset| d.indices(Split::Val);
    assert!((1..5).any(|seed| val(&load(&format!("val_fraction = 0.4\nsplit_seed = {seed}"))) != val(&half)));
    edit(&dir, |text| {
        let set1 = |(i, line): (usize, &str)| match i {
            0 => format!("{line},set1"),
            1..=3 => format!("{line},val"),
            4 => format!("{line},test"),
            _ => format!("{line},train"),
        };
        text.lines().enumerate().map(set1).collect::<Vec<_>>().join("\n")
    });
    assert_eq!(numbers(&load("")), [8, 2, 2], "further columns are for whom asks for them");
    assert_eq!(numbers(&load("split_column = \"set1\"")), [8, 3, 1]);
    assert_eq!(numbers(&load("split_column = \"set1\"\nfolds = 2\nfold = 0"))[2], 1);
    // If images are split at random, no column needs to say how.
    edit(&dir, |text| text.replacen(",split,", ",set2,", 1));
    assert_eq!(numbers(&load("folds = 6\nfold = 5")), [10, 2, 0]);
}

#[test]
fn what_cannot_be_split_is_said_with_file_key_and_remedy() {
    let sandbox = Sandbox::new("");
    let dir = sandbox.path("set");
    write(&dir);
    let csv = dir.join("landmarks.csv").display().to_string();
    let with = |dataset: &str| definition(&dir, "\"loss.name\" = [\"l1\"]", dataset);
    for (text, location, what) in [
        (with(", folds = 5"), "d.toml:8, key `trial.dataset.folds`", "does not say which one"),
        (with(", fold = 1"), "d.toml:8, key `trial.dataset.fold`", "of how many"),
        (with(", folds = 5, fold = 5"), "d.toml:8, key `trial.dataset.fold`", "no fold 5 of 5"),
        (
            definition(&dir, "\"dataset.fold\" = [4, 5]", ", folds = 5"),
            "d.toml:3, key `axes.dataset.fold`",
            "no fold 5",
        ),
        (with(", val_fraction = 1.5"), "d.toml:8, key `trial.dataset.val_fraction`", "no part of the images"),
        (with(", split_seed = 3"), "d.toml:8, key `trial.dataset.split_seed`", "no effect"),
        (with(", folds = 6, fold = 0"), csv.as_str(), "only 5 patients cannot be dealt into 6 folds"),
        (with(", split_column = \"set1\""), csv.as_str(), "no column `set1`"),
        (with(", colour = 1"), "d.toml:8, key `trial.dataset", "colour"),
    ] {
        let error = refused(&text);
        assert!(error.message.contains(what), "{error:?}");
        assert!(error.location.as_ref().is_some_and(|p| p.starts_with(location)), "{location}: {error:?}");
        assert!(error.remedy.is_some() || what == "colour", "{error:?}");
    }
    // An image without any landmark, which the split would put into the training set.
    edit(&dir, |text| text.replacen("03.png,train,p1,6,9.5,20,7", "03.png,test,p1,,,,", 1));
    assert!(trials(&with(", folds = 4, fold = 0")).is_ok());
    edit(&dir, |text| text.replacen("03.png,test", "03.png,train", 1));
    let error = refused(&with(", folds = 4, fold = 0"));
    assert!(error.message.contains("not one landmark"), "{error:?}");
    assert_eq!(error.location.unwrap(), format!("{csv}: line 5: 03.png"));
    edit(&dir, |text| text.replace(",train,", ",test,").replace(",val,", ",test,"));
    assert!(refused(&with("")).message.contains("no image of split `train`"));
    // A column that is neither a landmark's nor one of splits.
    edit(&dir, |text| text.replacen(",patient,", ",colour,", 1));
    assert!(refused(&with("")).message.contains("unknown column `colour`"));
}
