//! A cross-validation as a user runs it: folds are an axis, with one pooled result.

use std::fs;

use serde_json::Value;

use crate::harness::{Sandbox, trial_folders};

const DEFINITION: &str = r#"
name = "tiny"
seeds = [0, 1]
[axes]
"loss.name" = ["l1", "mse"]
"dataset.fold" = [0, 1, 2]
[trial]
epochs = 3
batch_size = 2
dataset = { name = "phantom", train = 8, val = 3, height = 60, width = 48, folds = 3 }
input = { height = 40, width = 32 }
model = { name = "unet", filters = [4, 8] }
"#;

#[test]
fn folds_are_one_result_in_the_report_the_comparison_and_the_gate() {
    let sandbox = Sandbox::new(DEFINITION);
    let planned = String::from_utf8(sandbox.sweep(&["plan", "tiny.toml", "--no-calibrate"]).stdout).unwrap();
    assert!(planned.contains("by 11 validation images"), "all folds' images: {planned}");
    sandbox.expect(0, &["run", "tiny.toml", "--device", "cpu"]);
    let sweep = sandbox.path("results/tiny");
    assert_eq!(trial_folders(&sweep).len(), 12);
    let summary = fs::read_to_string(sweep.join("summary.csv")).unwrap();
    assert!(
        summary.starts_with("trial,seed,loss.name,dataset.fold,state,") && summary.lines().count() == 13,
        "{summary}"
    );

    let report = fs::read_to_string(sweep.join("report/report.md")).unwrap();
    assert!(
        report.contains("3-fold cross-validation, 11 images, 2 seeds: every image is predicted by a network that was")
    );
    assert!(report.contains("| l1 | 2 | done | ") && report.contains("| mse | 2 | done | "), "{report}");
    assert!(report.contains("## Landmarks\n") && report.contains("| sella | 11 |"), "{report}");
    let findings: Vec<Value> =
        serde_json::from_str(&fs::read_to_string(sweep.join("report/findings.json")).unwrap()).unwrap();
    let ids: Vec<&str> = findings.iter().map(|f| f["id"].as_str().unwrap()).collect();
    assert_eq!(ids[0], "cross-validation");
    assert_eq!(ids.iter().filter(|id| id.starts_with("effect/")).collect::<Vec<_>>(), [&"effect/loss.name/l1/mse"]);
    let effect = findings.iter().find(|f| f["id"] == "effect/loss.name/l1/mse").unwrap();
    assert_eq!((&effect["estimate"]["n"]["seeds"], &effect["estimate"]["n"]["images"]), (&2.into(), &11.into()));
    let page = fs::read_to_string(sweep.join("report/index.html")).unwrap();
    assert!(page.contains("12 of 12 trials done") && page.contains("<h2 id=\"landmarks\">"));

    // Two folds of a configuration share no image; all folds together have every image.
    let folders: Vec<String> = trial_folders(&sweep).iter().map(|f| f.display().to_string()).collect();
    let of = |name: &str| folders.iter().find(|f| f.contains(&format!("/{name}-seed0-"))).unwrap().as_str();
    let said = sandbox.expect(2, &["compare", of("l1-0"), of("l1-1")]);
    assert!(said.contains("fold 0 of 3") && said.contains("--pooled"), "{said}");
    let one = String::from_utf8(sandbox.sweep(&["compare", of("l1-0"), of("mse-0")]).stdout).unwrap();
    assert!(one.starts_with("fold 0 of 3 alone"), "{one}");
    let output = sandbox.sweep(&["compare", of("l1-0"), of("mse-2"), "--pooled", "--json"]);
    let comparison: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&comparison["mre"]["n"]["images"], &comparison["a"]), (&11.into(), &"l1, seed 0, 3 folds".into()));

    sandbox.expect(0, &["baseline", "results/tiny", "--output", "base.json"]);
    sandbox.expect(0, &["check", "results/tiny", "--baseline", "base.json", "--margin", "0.5"]);

    // A missing fold is reported, and its cross-validation is left out of comparisons.
    fs::remove_dir_all(of("mse-1")).unwrap();
    sandbox.expect(0, &["report", "results/tiny"]);
    let report = fs::read_to_string(sweep.join("report/report.md")).unwrap();
    assert!(report.contains("mse, seed 0 (2 of 3 folds done)"), "{report}");
    assert!(report.contains("| mse | 2 | 1 done; seed 0: 2 of 3 folds done |"), "{report}");
    let said = sandbox.expect(2, &["compare", of("l1-0"), of("mse-0"), "--pooled"]);
    assert!(said.contains("2 of 3 folds done"), "{said}");
    let said = sandbox.expect(2, &["check", "results/tiny", "--baseline", "base.json"]);
    assert!(said.contains("2 of 3 folds done"), "{said}");
}

#[test]
fn a_search_that_learns_would_learn_something_else_in_every_fold() {
    let sandbox = Sandbox::new(&DEFINITION.replace(
        "[trial]",
        "[search]\nmethod = \"tpe\"\nbudget = 8\n\"optimizer.lr\" = { log = [1e-4, 1e-2] }\n[trial]",
    ));
    let said = sandbox.expect(2, &["plan", "tiny.toml", "--no-calibrate"]);
    assert!(said.contains("other points in every fold") && said.contains("search.method"), "{said}");
}
