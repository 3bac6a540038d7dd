//! `sweep plan`, as users run it.

use std::fs;
use std::process::{Command, Output};

use landmark_sweep::networks::ModelSpec;
use serde_json::Value;
use tempfile::TempDir;

const DEFINITION: &str = r#"
name = "tiny"
question = "Does it plan?"
seeds = [0, 1]
[search]
method = "tpe"
budget = 6
startup = 2
round = 2
"optimizer.lr" = { log = [1e-4, 1e-2] }
[axes]
"batch_size" = [1, 2]
[trial]
epochs = 3
dataset = { name = "phantom", train = 5, val = 8, height = 60, width = 48 }
input = { height = 40, width = 32 }
model = { name = "unet", filters = [4, 8] }
loss = { name = "l1" }
optimizer = { name = "adamw", lr = 1e-3 }
"#;

fn plan(folder: &TempDir, text: &str, flags: &[&str]) -> Output {
    fs::write(folder.path().join("d.toml"), text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sweep"));
    command.current_dir(folder.path()).args(["plan", "d.toml"]).args(flags).output().unwrap()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_plan_says_what_trials_cost_and_can_show_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let planned =
        json(&plan(&folder, DEFINITION, &["--json", "--threads", "1", "--seed-sd", "0.2", "--image-sd", "0.5"]));
    let model: ModelSpec = serde_json::from_str(r#"{"name":"unet","filters":[4,8]}"#).unwrap();
    let parameters = model.graph(1, 10).unwrap().trained_values();
    let trials = planned["trials"].as_array().unwrap();
    // 2 batch sizes × 2 points × 2 seeds now, 2 × 4 × 2 later.
    assert_eq!((trials.len(), planned["later_trials"].as_u64()), (8, Some(16)));
    for trial in trials {
        assert_eq!(trial["parameters"], parameters);
        assert!(trial["memory_mib"].as_f64().unwrap() > 10.0 && trial["seconds"].as_f64().unwrap() > 0.0, "{trial}");
        assert_eq!(trial["axes"].as_array().unwrap().len(), 2);
    }
    let sum: f64 = trials.iter().map(|t| t["seconds"].as_f64().unwrap()).sum();
    assert!((planned["seconds"].as_f64().unwrap() / sum - 3.0).abs() < 1e-9);
    let detects = &planned["detects"];
    assert_eq!(detects["images"], 8);
    let seeds = |n: u64| detects["by_seeds"].as_array().unwrap().iter().find(|row| row["seeds"] == n).unwrap().clone();
    // Two comparisons, each over two settings of the other axis; the report's own test, simulated in scripts/power.py.
    assert_eq!(detects["comparisons"], 2);
    let near = |value: &Value, expected: f64| (value.as_f64().unwrap() / expected - 1.0).abs() < 0.05;
    assert!(near(&seeds(6)["over_both_mm"], 0.7899) && seeds(2)["over_both_mm"].is_number(), "{detects}");
    assert!(near(&detects["over_images_mm"], 0.7671), "{detects}");
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["d.toml"]);
}

#[test]
fn the_table_says_the_same_and_a_missing_data_set_leaves_its_columns_empty() {
    let folder = tempfile::tempdir().unwrap();
    let output = plan(&folder, DEFINITION, &["--no-calibrate"]);
    let said = String::from_utf8(output.stdout).unwrap();
    for words in ["Does it plan?", "8 trials of sweep `tiny`, and 16 more", "GFLOP/image", "--seed-sd", "as planned"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains(" in all"), "{said}");
    let elsewhere = DEFINITION.replace(
        "{ name = \"phantom\", train = 5, val = 8, height = 60, width = 48 }",
        "{ name = \"folder\", path = \"gone\" }",
    );
    let output = plan(&folder, &elsewhere, &["--json"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let planned: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(planned["trials"][0]["memory_mib"].is_null() && planned["seconds"].is_null());
    assert!(String::from_utf8(output.stderr).unwrap().contains("gone: not a data set"));
    for flags in [["--image-sd", "0"], ["--like", "results/none"]] {
        assert_eq!(plan(&folder, DEFINITION, &flags).status.code(), Some(2), "{flags:?}");
    }
}

#[test]
fn a_sweep_that_has_run_says_how_far_differences_are_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (head, rest) = DEFINITION.split_once("[search]").unwrap();
    let text = format!("{head}[axes]{}", rest.split_once("[axes]").unwrap().1);
    fs::write(folder.path().join("d.toml"), &text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sweep"));
    let command = command.env("LANDMARK_SWEEP_CACHE", "off").current_dir(folder.path());
    assert!(command.args(["run", "d.toml", "--quiet"]).output().unwrap().status.success());
    let planned = json(&plan(&folder, &text, &["--json", "--no-calibrate", "--like", "results/tiny"]));
    let detects = &planned["detects"];
    assert_eq!(detects["measured_on"], "results/tiny");
    for sd in ["seed_sd_mm", "image_sd_mm"] {
        let sd = detects[sd].as_f64().unwrap();
        assert!(sd > 0.0 && sd < 50.0, "{detects}");
    }
    // Values given by hand take precedence over measured ones.
    let planned =
        json(&plan(&folder, &text, &["--json", "--no-calibrate", "--like", "results/tiny", "--seed-sd", "0.5"]));
    assert!((planned["detects"]["seed_sd_mm"].as_f64().unwrap() - 0.5).abs() < 1e-12);
}
