//! `dataset.refit`: a network that trains on all images, and of which nothing is measured.

use std::fs;

use serde_json::Value;

use crate::harness::{Sandbox, trial_folders};

const DEFINITION: &str = r#"
name = "tiny"
seeds = [0]
[trial]
epochs = 3
batch_size = 4
loss = { name = "nll" }
dataset = { name = "phantom", train = 12, val = 4, height = 60, width = 48, refit = true }
input = { height = 60, width = 48 }
model = { name = "unet++", filters = [4, 8] }
optimizer = { name = "adamw", lr = 1e-2 }
"#;

#[test]
fn a_refit_trains_on_all_images_and_claims_no_error() {
    let sandbox = Sandbox::new(DEFINITION);
    assert!(sandbox.printed(&["plan", "tiny.toml"]).contains("no landmark error will be measured"));
    assert!(sandbox.printed(&["run", "tiny.toml"]).contains("no landmark error was measured"));
    let folder = trial_folders(&sandbox.path("results/tiny")).remove(0);
    let epochs = fs::read_to_string(folder.join("epochs.csv")).unwrap();
    assert_eq!(epochs.lines().count(), 4, "{epochs}");
    let mut reader = csv::Reader::from_reader(epochs.as_bytes());
    let column = reader.headers().unwrap().iter().position(|name| name == "val_mre_mm").unwrap();
    assert!(reader.records().all(|row| row.unwrap()[column].to_lowercase() == "nan"), "{epochs}");
    assert!(!folder.join("best.safetensors").exists(), "no epoch is the best");

    // All 16 images trained, so none is held out, and evaluation says so.
    let last = folder.join("last.safetensors").display().to_string();
    let measured: Value =
        serde_json::from_str(&sandbox.printed(&["eval", "--json", "--checkpoint", &last, "--split", "all"])).unwrap();
    assert_eq!(measured["trained_on"], 16, "{measured}");
    sandbox.expect(0, &["report", "results/tiny"]);
    for page in ["report.md", "index.html"] {
        let text = fs::read_to_string(sandbox.path("results/tiny/report").join(page)).unwrap();
        assert!(text.contains("no landmark error was measured"), "{page}");
    }
    sandbox.expect(0, &["status", "results/tiny"]);
    let refused = sandbox.sweep(&["baseline", "results/tiny", "--output", "b.json"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("dataset.refit"), "{said}");
}

#[test]
fn a_refit_goes_on_exactly_and_knows_unlike_images() {
    let sandbox = Sandbox::new(DEFINITION);
    sandbox.expect(0, &["verify-resume", "tiny.toml"]);
    sandbox.expect(0, &["run", "tiny.toml"]);
    let folder = trial_folders(&sandbox.path("results/tiny")).remove(0);
    let last = folder.join("last.safetensors").display().to_string();
    sandbox.expect(0, &["data", "synth", "phantoms", "--train", "2", "--val", "1", "--height", "60", "--width", "48"]);
    let image = fs::read_dir(sandbox.path("phantoms/images")).unwrap().next().unwrap().unwrap().path();
    let image = image.display().to_string();
    let found: Value =
        serde_json::from_str(sandbox.printed(&["predict", "--json", "--checkpoint", &last, &image]).trim()).unwrap();
    assert_eq!(found["out_of_distribution"]["unlike"], false, "{found}");
}

/// Radii of a cross-validation serve the network that all images trained by the same recipe, and no other.
#[test]
fn a_refit_takes_the_radii_of_its_cross_validation() {
    let folds = DEFINITION
        .replace("refit = true", "folds = 2")
        .replace("[trial]", "[axes]\n\"dataset.fold\" = [0, 1]\n[trial]\nevaluate_every = 3");
    let sandbox = Sandbox::new(&folds.replace("\"tiny\"", "\"folds\""));
    sandbox.expect(0, &["run", "tiny.toml"]);
    let of_folds: Vec<String> = trial_folders(&sandbox.path("results/folds"))
        .iter()
        .map(|folder| folder.join("last.safetensors").display().to_string())
        .collect();
    sandbox.expect(
        0,
        &[
            "eval",
            "--held-out",
            "--calibrate",
            "radii.json",
            "--checkpoint",
            &of_folds[0],
            "--checkpoint",
            &of_folds[1],
        ],
    );
    sandbox.write("tiny.toml", DEFINITION);
    sandbox.expect(0, &["run", "tiny.toml"]);
    let refit = trial_folders(&sandbox.path("results/tiny")).remove(0).join("last.safetensors").display().to_string();
    sandbox.expect(0, &["data", "synth", "phantoms", "--train", "2", "--val", "1", "--height", "60", "--width", "48"]);
    let image = fs::read_dir(sandbox.path("phantoms/images")).unwrap().next().unwrap().unwrap().path();
    let image = image.display().to_string();
    let predict = |checkpoint: &str, code: i32| {
        sandbox.expect(code, &["predict", "--json", "--radii", "radii.json", "--checkpoint", checkpoint, &image])
    };
    predict(&refit, 0);
    // Another learning rate is another recipe.
    sandbox.write("tiny.toml", &DEFINITION.replace("1e-2", "2e-2").replace("\"tiny\"", "\"other\""));
    sandbox.expect(0, &["run", "tiny.toml"]);
    let other = trial_folders(&sandbox.path("results/other")).remove(0).join("last.safetensors").display().to_string();
    assert!(predict(&other, 2).contains("not calibrated"));
}

/// The commands of `results/examples/best` work with the files that are there.
#[test]
fn the_committed_network_takes_its_radii() {
    let best = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("results/examples/best");
    let [network, radii] = ["best.safetensors", "radii.json"].map(|name| best.join(name).display().to_string());
    let sandbox = Sandbox::new(DEFINITION);
    sandbox
        .expect(0, &["data", "synth", "phantoms", "--train", "1", "--val", "1", "--height", "800", "--width", "640"]);
    let image = fs::read_dir(sandbox.path("phantoms/images")).unwrap().next().unwrap().unwrap().path();
    let image = image.display().to_string();
    let table = sandbox.printed(&["predict", "--checkpoint", &network, "--both-stages", "--radii", &radii, &image]);
    assert_eq!(table.lines().filter(|line| line.starts_with(&image)).count(), 10, "{table}");
}

#[test]
fn nothing_judges_by_validation_images_that_are_not_there() {
    let stop = DEFINITION.replace("batch_size = 4\n", "batch_size = 4\nearly_stop = { patience = 2 }\n");
    let error = Sandbox::new(&stop).expect(2, &["plan", "tiny.toml"]);
    assert!(error.contains("refit") && error.contains("early_stop"), "{error}");
    let folds = DEFINITION.replace("refit = true", "refit = true, folds = 5, fold = 0");
    let error = Sandbox::new(&folds).expect(2, &["plan", "tiny.toml"]);
    assert!(error.contains("remove `refit` or `folds`"), "{error}");
}
