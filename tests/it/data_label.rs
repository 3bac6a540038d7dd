//! `sweep data label`: a data set with labels by trained networks.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::harness::{Sandbox, trial_folders};

const DEFINITION: &str = r#"
name = "tiny"
seeds = [0, 1]
[trial]
epochs = 2
batch_size = 2
dataset = { name = "folder", path = "set" }
input = { height = 40, width = 32 }
model = { name = "unet", filters = [4, 8] }
loss = { name = "nll" }
optimizer = { name = "adamw", lr = 1e-3 }
"#;

/// The cells of a data set's table, by image and column.
fn table(path: &Path) -> BTreeMap<String, BTreeMap<String, String>> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let row = |cells: Vec<&str>| {
        let named = header.iter().zip(&cells).map(|(name, cell)| ((*name).to_owned(), (*cell).to_owned()));
        (cells[0].to_owned(), named.collect())
    };
    lines.map(row).collect()
}

fn trained(sandbox: &Sandbox, sweep: &str) -> Vec<String> {
    let folders = trial_folders(&sandbox.path("results").join(sweep));
    folders.iter().map(|folder| folder.join("last.safetensors").display().to_string()).collect()
}

#[test]
fn networks_label_training_images_and_new_ones() {
    let sandbox = Sandbox::new(DEFINITION);
    let size = ["--height", "60", "--width", "48"];
    sandbox.expect(0, &[&["data", "synth", "set", "--train", "5", "--val", "2"][..], &size].concat());
    sandbox.expect(0, &[&["data", "synth", "more", "--train", "2", "--val", "1", "--seed", "9"][..], &size].concat());
    let csv = sandbox.path("set/landmarks.csv");
    let mut rows: Vec<String> = fs::read_to_string(&csv).unwrap().lines().map(str::to_owned).collect();
    let mut cells: Vec<&str> = rows[1].split(',').collect();
    (cells[2], cells[3]) = ("", "");
    rows[1] = cells.join(",");
    fs::write(&csv, rows.join("\n") + "\n").unwrap();
    sandbox.expect(0, &["run", "tiny.toml", "--quiet", "--device", "cpu"]);
    let teachers = trained(&sandbox, "tiny");
    let with = |teachers: &[String], words: &[&str]| {
        let checkpoints: Vec<&str> = teachers.iter().flat_map(|teacher| ["--checkpoint", teacher.as_str()]).collect();
        [&["data", "label", "set"], words, &["--device", "cpu"], &checkpoints[..]].concat().join("\n")
    };
    let label = |code: i32, teachers: &[String], words: &[&str]| {
        let call = with(teachers, words);
        sandbox.expect(code, &call.split('\n').collect::<Vec<_>>())
    };
    label(0, &teachers, &["half", "--share", "0.25", "--images", "more/images"]);
    label(0, &teachers, &["whole", "--share", "1"]);
    let [old, half, whole] = ["set", "half", "whole"].map(|set| table(&sandbox.path(set).join("landmarks.csv")));
    assert_eq!(half.len(), old.len() + 3, "{:?}", half.keys());
    assert_eq!(whole.len(), old.len());
    let first = &rows[1].split(',').next().unwrap().to_owned();
    let mut moved = 0;
    for (image, cells) in &old {
        for (column, cell) in cells.iter().filter(|(name, _)| name.ends_with("_x") || name.ends_with("_y")) {
            let [half, whole] = [&half, &whole].map(|set| set[image][column].parse::<f64>().unwrap());
            if cells["split"] == "val" {
                assert_eq!(cell, &whole.to_string(), "{image} {column}");
                assert!((half - whole).abs() <= 0.0);
            } else if let Ok(mark) = cell.parse::<f64>() {
                assert!((half - (0.75 * mark + 0.25 * whole)).abs() < 2e-3, "{image} {column}");
                moved += usize::from((whole - mark).abs() > 0.5);
            } else {
                assert!(image == first && (half - whole).abs() < 1e-9, "a missing mark is a prediction");
            }
        }
    }
    assert!(moved > 20, "networks of two epochs are off: {moved}");
    let added: Vec<&String> = half.keys().filter(|image| image.starts_with("added/")).collect();
    assert_eq!(added.len(), 3);
    assert!(added.iter().all(|image| half[*image]["split"] == "train"));
    // As the networks predict them.
    let image = sandbox.path("half/images").join(added[0]).display().to_string();
    let predict = ["predict", "--checkpoint", &teachers[0], "--checkpoint", &teachers[1], &image, "--device", "cpu"];
    let output = sandbox.sweep(&[&predict[..], &["--output", "predicted.csv"]].concat());
    assert!(output.status.success());
    let predicted = fs::read_to_string(sandbox.path("predicted.csv")).unwrap();
    let sella: Vec<&str> = predicted.lines().find(|line| line.contains(",sella,")).unwrap().split(',').collect();
    let close = |column: &str, value: &str| {
        (half[added[0]][column].parse::<f64>().unwrap() - value.parse::<f64>().unwrap()).abs() < 1e-3
    };
    assert!(close("sella_x", sella[2]) && close("sella_y", sella[3]), "{sella:?} {:?}", half[added[0]]);
    // The copy is a data set like any other.
    sandbox
        .write("again.toml", &DEFINITION.replace("\"tiny\"", "\"again\"").replace("path = \"set\"", "path = \"half\""));
    sandbox.expect(0, &["run", "again.toml", "--quiet", "--device", "cpu"]);

    let there = label(2, &teachers, &["half"]);
    assert!(there.contains("half") && there.contains("there is something already"), "{there}");
    assert!(label(2, &teachers, &["new", "--share", "1.5"]).contains("--share"));
    // A network that saw a validation image would hand on what it learned there.
    let folds =
        DEFINITION.replace("path = \"set\"", "path = \"set\", folds = 3, fold = 0").replace("\"tiny\"", "\"folds\"");
    sandbox.write("folds.toml", &folds);
    sandbox.expect(0, &["run", "folds.toml", "--quiet", "--device", "cpu"]);
    let refused = label(2, &trained(&sandbox, "folds"), &["new"]);
    assert!(refused.contains("validation or test images of this data set trained a network"), "{refused}");
    assert!(!sandbox.path("new").exists());
}
