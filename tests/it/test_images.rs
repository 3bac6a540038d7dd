//! Test images: found once, when a training has ended, with the weights that other images chose; and the last epoch as an
//! objective, which chooses nothing.

use std::fs;

use serde_json::Value;

use crate::harness::{Sandbox, trial_folders};

const DEFINITION: &str = r#"
name = "tiny"
[axes]
"loss.name" = ["l1", "nll"]
[trial]
epochs = 4
batch_size = 2
dataset = { name = "phantom", train = 6, val = 4, test = 3, height = 60, width = 48 }
input = { height = 60, width = 48 }
model = { name = "unet++", filters = [4, 8] }
optimizer = { name = "adamw", lr = 1e-2 }
"#;

fn rows(path: &std::path::Path) -> Vec<csv::StringRecord> {
    csv::Reader::from_path(path).unwrap().records().map(|row| row.unwrap()).collect()
}

fn column(path: &std::path::Path, name: &str) -> Vec<String> {
    let headers = csv::Reader::from_path(path).unwrap().headers().unwrap().clone();
    let index = headers.iter().position(|header| header == name).unwrap();
    rows(path).iter().map(|row| row[index].to_owned()).collect()
}

fn mean(values: &[String]) -> f64 {
    values.iter().map(|value| value.parse::<f64>().unwrap()).sum::<f64>() / values.len() as f64
}

#[test]
fn test_images_are_scored_once_with_the_best_weights() {
    let sandbox = Sandbox::new(DEFINITION);
    sandbox.expect(0, &["run", "tiny.toml", "--quiet"]);
    let sweep = sandbox.path("results/tiny");
    let summary = sweep.join("summary.csv");
    let in_summary: Vec<(String, String)> =
        column(&summary, "trial").into_iter().zip(column(&summary, "test_mre_mm")).collect();
    for folder in trial_folders(&sweep) {
        let test = folder.join("test.csv");
        assert_eq!(rows(&test).len(), 3 * 10, "three images of ten landmarks");
        assert!(column(&test, "image").iter().all(|image| image.starts_with("test-")));
        let error = mean(&column(&test, "error_mm"));
        let best = folder.join("best.safetensors").display().to_string();
        let output = sandbox.sweep(&["eval", "--json", "--split", "test", "--checkpoint", &best]);
        let measured: Value = serde_json::from_slice(&output.stdout).unwrap();
        let wanted = measured["mre_mm"].as_f64().unwrap();
        assert!((error - wanted).abs() < 1e-9 * wanted, "{error}, but `sweep eval` finds {wanted}");
        assert_eq!(column(&test, "epoch")[0], measured["checkpoints"][0]["epoch"].to_string());
        let name = folder.file_name().unwrap().to_str().unwrap();
        let (_, recorded) = in_summary.iter().find(|(trial, _)| trial == name).unwrap();
        assert!((recorded.parse::<f64>().unwrap() - error).abs() < 1e-9 * error, "{recorded}, not {error}");
        // The validation images are those of the sweep without test images.
        assert!(column(&folder.join("landmarks.csv"), "image").iter().all(|image| image.starts_with("val-")));
    }
    let report = fs::read_to_string(sweep.join("report/report.md")).unwrap();
    assert!(report.contains("On 3 test images, which trained nothing and chose no epoch"), "{report}");
    assert!(report.contains("| MRE on test images (mm) |"), "{report}");
}

#[test]
fn a_training_stopped_before_its_test_images_scores_them_when_it_goes_on() {
    let sandbox = Sandbox::new(DEFINITION);
    sandbox.expect(0, &["run", "tiny.toml", "--quiet"]);
    let sweep = sandbox.path("results/tiny");
    let folder = trial_folders(&sweep).remove(0);
    let (test, status) = (folder.join("test.csv"), folder.join("status.json"));
    let written = fs::read(&test).unwrap();
    // What a kill between the last epoch and the test images leaves.
    fs::remove_file(&test).unwrap();
    fs::write(&status, fs::read_to_string(&status).unwrap().replace("\"done\"", "\"running\"")).unwrap();
    sandbox.expect(0, &["run", "tiny.toml", "--quiet"]);
    assert_eq!(fs::read(&test).unwrap(), written);
}

#[test]
fn the_last_epoch_is_an_objective_that_chooses_nothing() {
    let sandbox = Sandbox::new(&format!("objective = \"last\"\n{DEFINITION}"));
    sandbox.expect(0, &["run", "tiny.toml", "--quiet"]);
    let sweep = sandbox.path("results/tiny");
    assert!(column(&sweep.join("summary.csv"), "best_epoch").iter().all(|epoch| epoch == "4"));
    for folder in trial_folders(&sweep) {
        let landmarks = folder.join("landmarks.csv");
        let best: Vec<String> = column(&landmarks, "selected")
            .into_iter()
            .zip(column(&landmarks, "epoch"))
            .filter(|(selected, _)| selected == "best-error")
            .map(|(_, epoch)| epoch)
            .collect();
        assert!(!best.is_empty() && best.iter().all(|epoch| epoch == "4"), "{best:?}");
    }
    let report = fs::read_to_string(sweep.join("report/report.md")).unwrap();
    assert!(report.contains("The compared errors are of the last epoch, which nothing chose"), "{report}");
    sandbox.expect(0, &["baseline", "results/tiny", "--output", "b.json"]);
    sandbox.expect(0, &["check", "results/tiny", "--baseline", "b.json"]);
    let refused = Sandbox::new(&format!("objective = \"last\"\n{DEFINITION}early_stop = {{ patience = 2 }}\n"));
    let output = refused.sweep(&["plan", "tiny.toml"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("`last` judges nothing") && said.contains("leave out `early_stop`"), "{said}");
}
