//! Landmarks that some images lack, and images with different pixel spacings, from the data set to the gate.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use landmark_sweep::data::cache::Cache;
use landmark_sweep::data::phantom::PhantomSpec;
use landmark_sweep::data::{Dataset, DatasetSpec, Sample, Source, Split, folder};
use landmark_sweep::definition::SweepDefinition;
use landmark_sweep::plan::plan;
use landmark_sweep::records::{self, EpochRecord, LandmarkRecord};
use landmark_sweep::train::Data;
use landmark_sweep::units::{Point, Spacing};

use crate::harness::{Sandbox, trial_folders};

/// `all` is marked everywhere, `some` in two of three images, `no-train` in no training image, `no-val` in no validation
/// image; a test image has none at all. Every image has pixels of its own size.
fn dataset() -> Dataset {
    let spec = PhantomSpec { train: 6, val: 4, test: 0, height: 60, width: 48, seed: 3 };
    let mut dataset = DatasetSpec::from(Source::Phantom(spec)).load().unwrap();
    dataset.landmarks = ["all", "some", "no-train", "no-val"].map(str::to_owned).into();
    for (i, sample) in dataset.samples.iter_mut().enumerate() {
        sample.landmarks.truncate(4);
        sample.spacing = Some(Spacing { x: 2.0 + 0.25 * i as f64, y: 3.0 + 0.5 * i as f64 });
        if i % 3 == 1 {
            sample.landmarks[1] = None;
        }
        sample.landmarks[if sample.split == Split::Train { 2 } else { 3 }] = None;
    }
    let unmarked =
        Sample { image: "test.png".into(), split: Split::Test, landmarks: vec![None; 4], ..dataset.samples[0].clone() };
    dataset.samples.push(unmarked);
    dataset
}

const DEFINITION: &str = r#"
name = "tiny"
seeds = [0, 1]
[axes]
"loss.name" = ["l1", "mse"]
[trial]
epochs = 3
batch_size = 2
dataset = { name = "folder", path = "set" }
input = { height = 40, width = 32 }
augment = { probability = 0.9, rotation_degrees = 10, translate = 0.05, scale = [0.9, 1.1] }
model = { name = "unet", filters = [4, 8] }
"#;

fn rows<R: records::Row>(folder: &Path, name: &str) -> Vec<R> {
    records::read_csv(fs::read(folder.join(name)).unwrap().as_slice()).unwrap()
}

#[test]
fn what_is_not_marked_is_neither_trained_nor_measured_and_that_is_said() {
    let sandbox = Sandbox::new(DEFINITION);
    let truth = dataset();
    folder::write(&truth, &sandbox.path("set")).unwrap();
    sandbox.expect(0, &["run", "tiny.toml", "--device", "cpu"]);
    let sweep = sandbox.path("results/tiny");
    let marked: BTreeMap<(&str, &str), (Point, Spacing)> = truth
        .samples
        .iter()
        .flat_map(|s| {
            truth
                .landmarks
                .iter()
                .zip(&s.landmarks)
                .filter_map(|(name, p)| Some(((s.image.as_str(), name.as_str()), ((*p)?, s.spacing?))))
        })
        .collect();
    let val: Vec<&Sample> = truth.samples.iter().filter(|s| s.split == Split::Val).collect();
    let expected: BTreeSet<(&str, &str)> = marked
        .keys()
        .copied()
        .filter(|(image, name)| val.iter().any(|s| s.image == *image) && ["all", "some"].contains(name))
        .collect();
    assert_eq!(expected.len(), 4 + 3);
    for folder in trial_folders(&sweep) {
        let landmarks: Vec<LandmarkRecord> = rows(&folder, "landmarks.csv");
        let last: Vec<&LandmarkRecord> = landmarks.iter().filter(|r| r.selected == records::Selection::Last).collect();
        assert_eq!(last.iter().map(|r| (r.image.as_str(), r.landmark.as_str())).collect::<BTreeSet<_>>(), expected);
        for row in &last {
            let (point, spacing) = marked[&(row.image.as_str(), row.landmark.as_str())];
            assert!((row.x_true - point.x).abs() < 1e-9 && (row.y_true - point.y).abs() < 1e-9);
            let (dx, dy) = (row.x_pred - point.x, row.y_pred - point.y);
            assert!(
                (row.error_mm - f64::hypot(dx * spacing.x, dy * spacing.y)).abs() < 1e-9,
                "by the image's own spacing"
            );
            assert!((row.error_px - f64::hypot(dx, dy)).abs() < 1e-9);
        }
        let epochs: Vec<EpochRecord> = rows(&folder, "epochs.csv");
        let mean = last.iter().map(|r| r.error_mm).sum::<f64>() / last.len() as f64;
        assert!((epochs[2].val_mre_mm - mean).abs() < 1e-9, "each marked landmark counts once");
        for epoch in &epochs {
            assert!(
                [epoch.train_loss, epoch.val_loss, epoch.zero_loss, epoch.train_mre_mm].iter().all(|v| v.is_finite())
            );
        }
        let log = fs::read_to_string(folder.join("log.txt")).unwrap();
        assert!(log.contains("marked in no training image, so neither trained nor measured: no-train"), "{log}");
        assert!(log.contains("marked in no validation image, so not measured: no-val"), "{log}");
        assert!(folder.join("overlay.png").is_file() && folder.join("best.safetensors").is_file());
    }
    let report = fs::read_to_string(sweep.join("report/report.md")).unwrap();
    assert!(
        report.contains("Landmarks marked in no training image, there neither trained nor measured: no-train."),
        "{report}"
    );
    assert!(report.contains("Landmarks marked in no validation image, not measured: no-val."), "{report}");
    assert!(!report.contains("NaN"), "{report}");
    let page = fs::read_to_string(sweep.join("report/index.html")).unwrap();
    assert!(page.contains("not measured: no-val"));
    // Two trials are compared pair by pair; the sweep is checked against itself as the baseline.
    let folders = trial_folders(&sweep);
    let [a, b] = [0, 1].map(|i: usize| folders[i].display().to_string());
    let output = sandbox.sweep(&["compare", &a, &b, "--json"]);
    let comparison: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (comparison["mre"]["n"]["images"].as_u64(), comparison["mre"]["n"]["landmarks"].as_u64()),
        (Some(4), Some(7))
    );
    let names: Vec<&str> =
        comparison["landmarks"].as_array().unwrap().iter().map(|l| l["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["all", "some"]);
    sandbox.expect(0, &["baseline", "results/tiny", "--output", "base.json"]);
    sandbox.expect(0, &["check", "results/tiny", "--baseline", "base.json", "--margin", "0.5"]);
}

#[test]
fn where_an_unmarked_landmark_might_be_changes_nothing() {
    let sandbox = Sandbox::new(DEFINITION);
    let mut other = dataset();
    for sample in other.samples.iter_mut().filter(|s| s.split == Split::Val) {
        sample.landmarks[2] = Some(Point { x: 1.0, y: 2.0 });
    }
    let run = |name: &str, dataset: &Dataset| -> Vec<Vec<String>> {
        folder::write(dataset, &sandbox.path(name)).unwrap();
        sandbox.expect(
            0,
            &["run", "tiny.toml", "--dataset", name, "--results", &format!("results-{name}"), "--device", "cpu"],
        );
        let of_trial = |folder: &std::path::PathBuf| {
            let epochs: Vec<EpochRecord> = rows(folder, "epochs.csv");
            epochs.iter().map(|e| format!("{} {} {} {}", e.train_loss, e.val_loss, e.zero_loss, e.val_mre_mm)).collect()
        };
        let mut all: Vec<Vec<String>> =
            trial_folders(&sandbox.path(&format!("results-{name}/tiny"))).iter().map(of_trial).collect();
        all.sort();
        all
    };
    assert_eq!(run("set", &dataset()), run("other", &other));
}

#[test]
fn nothing_to_measure_is_said_before_training() {
    let sandbox = Sandbox::new("");
    let mut disjoint = dataset();
    for sample in &mut disjoint.samples {
        let keep = if sample.split == Split::Train { 3 } else { 2 };
        for k in (0..4).filter(|k| *k != keep) {
            sample.landmarks[k] = None;
        }
    }
    folder::write(&disjoint, &sandbox.path("set")).unwrap();
    let text = DEFINITION.replace("path = \"set\"", &format!("path = {:?}", sandbox.path("set").display().to_string()));
    let trial = plan(&SweepDefinition::parse("d.toml", &text).unwrap()).unwrap().remove(0);
    let error = Data::load_through(&Cache::none(), &trial.config).err().unwrap();
    assert!(error.message.contains("no landmark is marked in both"), "{error:?}");
    assert!(error.remedy.is_some());
}

#[test]
fn a_landmark_of_one_fold_is_measured_in_none_and_one_of_two_in_both() {
    // Twenty images in four folds: `rare` is marked in one image alone, so its fold cannot learn it.
    let sandbox = Sandbox::new(
        &DEFINITION
            .replace("path = \"set\"", "path = \"set\", folds = 4")
            .replace("\"loss.name\" = [\"l1\", \"mse\"]", "\"dataset.fold\" = [0, 1, 2, 3]")
            .replace("input =", "loss = { name = \"l1\" }\ninput =")
            .replace("seeds = [0, 1]", ""),
    );
    let mut rare = dataset();
    rare.landmarks = ["all", "some", "rare", "half"].map(str::to_owned).into();
    for (i, sample) in rare.samples.iter_mut().enumerate() {
        let at = Some(Point { x: 20.0, y: 30.0 });
        sample.landmarks[2] = at.filter(|_| i == 4);
        sample.landmarks[3] = at.filter(|_| i % 2 == 0);
    }
    folder::write(&rare, &sandbox.path("set")).unwrap();
    sandbox.expect(0, &["run", "tiny.toml", "--device", "cpu"]);
    let report = fs::read_to_string(sandbox.path("results/tiny/report/report.md")).unwrap();
    assert!(report.contains("4-fold cross-validation, 10 images, 1 seed"), "{report}");
    assert!(
        report.contains("in no training image of some folds, there neither trained nor measured: rare."),
        "{report}"
    );
    let line = |name: &str| report.lines().find(|l| l.starts_with(&format!("| {name} |"))).map(str::to_owned);
    assert!(line("all").unwrap().starts_with("| all | 10 |"), "{report}");
    assert!(line("half").unwrap().starts_with("| half | 5 |"), "{report}");
    assert_eq!(line("rare"), None);
}
