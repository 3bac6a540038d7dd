//! Every `--json`: one JSON document, whatever a trial came to, with `null` for what is not a number.

use std::fs;

use serde_json::Value;

use crate::harness::{Sandbox, trial_folders};

/// The last trial diverges.
const DEFINITION: &str = r#"
name = "tiny"
seeds = [0]
[axes]
"optimizer.lr" = [1e-3, 2e-3, 1e30]
[trial]
epochs = 2
batch_size = 2
dataset = { name = "phantom", train = 2, val = 2, height = 40, width = 32 }
input = { height = 40, width = 32 }
model = { name = "unet", filters = [4, 8] }
loss = { name = "mse" }
optimizer = { name = "adamw" }
"#;

/// Commands that print JSON, by the words of their manual page's name.
fn commands() -> Vec<String> {
    let sandbox = Sandbox::new("");
    sandbox.expect(0, &["man", "man"]);
    let pages = fs::read_dir(sandbox.path("man")).unwrap().map(|entry| entry.unwrap().path());
    let with_json = pages.filter(|page| fs::read_to_string(page).unwrap().replace('\\', "").contains("--json"));
    let name = |page: std::path::PathBuf| page.file_stem().unwrap().to_string_lossy().into_owned();
    let mut names: Vec<String> = with_json.map(name).collect();
    names.sort();
    names
}

#[test]
fn every_json_is_json() {
    let sandbox = Sandbox::new(DEFINITION);
    sandbox.expect(1, &["run", "tiny.toml", "--device", "cpu", "--quiet"]);
    sandbox.expect(0, &["data", "synth", "set", "--train", "2", "--val", "2", "--height", "40", "--width", "32"]);
    let trials = trial_folders(&sandbox.path("results/tiny"));
    let [a, b] = [0, 1].map(|index: usize| trials[index].display().to_string());
    let [best, other] = [&a, &b].map(|trial| format!("{trial}/best.safetensors"));
    let image = sandbox.path("set/images");
    let image = fs::read_dir(image).unwrap().next().unwrap().unwrap().path().display().to_string();
    fs::write(sandbox.path("other.toml"), DEFINITION.replace("1e30", "nan")).unwrap();
    sandbox.write("again.toml", &DEFINITION.replace("\"tiny\"", "\"again\"").replace(", 1e30", ""));
    sandbox.expect(0, &["run", "again.toml", "--device", "cpu", "--quiet"]);
    let calls: Vec<(&str, Vec<&str>)> = vec![
        ("sweep-plan", vec!["plan", "tiny.toml", "--no-calibrate"]),
        ("sweep-status", vec!["status", "results/tiny"]),
        ("sweep-list", vec!["list", "results"]),
        ("sweep-report", vec!["report", "results/tiny"]),
        ("sweep-compare", vec!["compare", &a, &b]),
        ("sweep-compare", vec!["compare", "results/tiny", "results/again"]),
        ("sweep-eval", vec!["eval", "--checkpoint", &best, "--device", "cpu"]),
        ("sweep-eval", vec!["eval", "--checkpoint", &best, "--device", "cpu", "--shifts", "--against", &other]),
        ("sweep-predict", vec!["predict", "--checkpoint", &best, "--device", "cpu", &image]),
        ("sweep-check", vec!["check", "results/tiny", "--baseline", "base.json"]),
        ("sweep-devices", vec!["devices"]),
        ("sweep-diff", vec!["diff", "tiny.toml", "other.toml"]),
        ("sweep-models", vec!["models"]),
        ("sweep-data-inspect", vec!["data", "inspect", "set", "--no-pictures"]),
        ("sweep-data-cluster", vec!["data", "cluster", "set", "--into", "2"]),
        ("sweep-data-formats", vec!["data", "formats"]),
    ];
    sandbox.sweep(&["baseline", "results/tiny", "--output", "base.json"]);
    let covered: Vec<&str> = calls.iter().map(|(name, _)| *name).collect();
    let missing: Vec<String> = commands().into_iter().filter(|name| !covered.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "not covered: {missing:?}");
    for (name, arguments) in calls {
        let output = sandbox.sweep(&[&arguments[..], &["--json"]].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!text.trim().is_empty(), "{name}: {said}");
        // A document, or a document a line.
        let is_json = |text: &str| serde_json::from_str::<Value>(text).is_ok();
        assert!(is_json(&text) || text.lines().all(is_json), "{name}: {text}");
    }
}

#[test]
fn two_sweeps_compare_as_two_trials_do() {
    let sandbox = Sandbox::new(&DEFINITION.replace(", 1e30", ""));
    sandbox.expect(0, &["run", "tiny.toml", "--device", "cpu", "--quiet"]);
    let other = DEFINITION.replace("\"tiny\"", "\"other\"").replace("2e-3, 1e30", "4e-3");
    sandbox.write("other.toml", &other.replace("\"mse\"", "\"l1\""));
    sandbox.expect(0, &["run", "other.toml", "--device", "cpu", "--quiet"]);
    let output = sandbox.sweep(&["compare", "results/tiny", "results/other", "--json"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    // One configuration is in both, and one in each alone.
    let shared = found["configurations"].as_array().unwrap();
    assert_eq!((shared.len(), &found["unmatched"]), (1, &serde_json::json!([["0.002"], ["0.004"]])), "{found}");
    // The same numbers as of its two trials: there is one seed.
    let of = |sweep: &str| {
        let trials = trial_folders(&sandbox.path(&format!("results/{sweep}")));
        trials.into_iter().find(|trial| trial.file_name().unwrap().to_string_lossy().starts_with("0.001")).unwrap()
    };
    let [a, b] = ["tiny", "other"].map(|sweep| of(sweep).display().to_string());
    let output = sandbox.sweep(&["compare", &a, &b, "--json"]);
    let trials: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shared[0]["mre"], trials["mre"]);
    let said = String::from_utf8(sandbox.sweep(&["compare", "results/tiny", "results/other"]).stdout).unwrap();
    assert!(said.contains("only in results/tiny: 0.002") && said.contains("95 % interval"), "{said}");
    // A sweep is no trial, and folds of sweeps are pooled anyway.
    assert!(sandbox.expect(2, &["compare", "results/tiny", &b]).contains("two sweeps"));
    assert!(sandbox.expect(2, &["compare", "results/tiny", "results/other", "--pooled"]).contains("--pooled"));
}
