//! `sweep data cluster`, and folds by the clusters that it finds.

use std::collections::BTreeSet;
use std::fs;

use crate::harness::{Sandbox, trial_folders};

const DEFINITION: &str = r#"
name = "tiny"
seeds = [0]
[axes]
"dataset.fold" = [0, 1]
[trial]
epochs = 1
batch_size = 2
dataset = { name = "folder", path = "set", folds = 2, folds_by = "group_cluster" }
input = { height = 40, width = 32 }
model = { name = "unet", filters = [4, 8] }
loss = { name = "mse" }
optimizer = { name = "adamw", lr = 1e-3 }
"#;

#[test]
fn each_fold_validates_on_a_cluster_of_images_that_look_alike() {
    let sandbox = Sandbox::new(DEFINITION);
    sandbox.expect(0, &["data", "synth", "set", "--train", "6", "--val", "3", "--height", "60", "--width", "48"]);
    let dark = ["train-001.png", "train-004.png", "val-002.png"];
    for name in dark {
        let path = sandbox.path("set/images").join(name);
        let mut image = image::open(&path).unwrap().to_luma8();
        image.pixels_mut().for_each(|pixel| pixel.0[0] /= 3);
        image.save(&path).unwrap();
    }
    let missing = sandbox.expect(2, &["run", "tiny.toml", "--quiet"]);
    assert!(missing.contains("landmarks.csv: line 1: there is no column `group_cluster`"), "{missing}");
    assert!(missing.contains("dataset.folds_by"), "{missing}");

    let cluster = |flags: &[&str]| {
        let output = sandbox.sweep(&[&["data", "cluster", "set", "--into", "2"], flags].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let before = fs::read_to_string(sandbox.path("set/landmarks.csv")).unwrap();
    let printed = cluster(&[]);
    assert!(printed.contains("train-001.png, train-004.png, val-002.png"), "{printed}");
    assert_eq!(fs::read_to_string(sandbox.path("set/landmarks.csv")).unwrap(), before);
    let printed = cluster(&["--write"]);
    assert!(printed.contains("folds_by = \"group_cluster\""), "{printed}");
    let table = fs::read_to_string(sandbox.path("set/landmarks.csv")).unwrap();
    for (line, old) in table.lines().zip(before.lines()).skip(1) {
        let is_dark = dark.iter().any(|name| line.starts_with(name));
        assert_eq!(line, format!("{old},{}", usize::from(is_dark)));
    }
    // A column of groups is nothing that other commands stumble over.
    sandbox.expect(0, &["data", "inspect", "set", "--no-pictures"]);

    sandbox.expect(0, &["run", "tiny.toml", "--quiet", "--device", "cpu"]);
    let validated: Vec<BTreeSet<String>> = trial_folders(&sandbox.path("results/tiny"))
        .iter()
        .map(|folder| {
            let table = fs::read_to_string(folder.join("landmarks.csv")).unwrap();
            let column = table.lines().next().unwrap().split(',').position(|name| name == "image").unwrap();
            table.lines().skip(1).map(|line| line.split(',').nth(column).unwrap().to_owned()).collect()
        })
        .collect();
    assert_eq!(validated.iter().map(BTreeSet::len).sum::<usize>(), 9);
    let dark: BTreeSet<String> = dark.into_iter().map(str::to_owned).collect();
    assert!(validated.contains(&dark), "{validated:?}");
}
