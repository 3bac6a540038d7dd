//! One notion of the best epoch, from the checkpoint to the gate; and the names by which configurations are found again.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::harness::{Sandbox, trial_folders};

const DEFINITION: &str = r#"
name = "tiny"
objective = "sdr_2mm"
seeds = [0, 1]
[axes]
"loss.name" = ["l1", "smooth-l1"]
[trial]
epochs = 6
batch_size = 2
dataset = { name = "phantom", train = 6, val = 5, height = 60, width = 48 }
input = { height = 60, width = 48 }
model = { name = "unet++", filters = [4, 8] }
optimizer = { name = "adamw", lr = 1e-2 }
"#;

fn json(sandbox: &Sandbox, arguments: &[&str]) -> Value {
    let output = sandbox.sweep(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn table(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader.deserialize().map(|row| row.unwrap()).collect()
}

fn number(row: &BTreeMap<String, String>, column: &str) -> f64 {
    row[column].parse().unwrap()
}

#[test]
fn every_number_of_a_report_is_that_of_the_saved_checkpoint() {
    let sandbox = Sandbox::new(DEFINITION);
    sandbox.expect(0, &["run", "tiny.toml", "--quiet"]);
    let sweep = sandbox.path("results/tiny");
    let summary = table(&fs::read_to_string(sweep.join("summary.csv")).unwrap());
    let report = fs::read_to_string(sweep.join("report/report.md")).unwrap();
    assert!(report.contains("best sdr_2mm"), "the report says which epoch is meant");
    sandbox.expect(0, &["baseline", "results/tiny", "--output", "b.json"]);
    let baseline: Value = serde_json::from_str(&fs::read_to_string(sandbox.path("b.json")).unwrap()).unwrap();
    // The gate compares errors at epochs that other images choose, by the same objective.
    assert!(baseline["metric"].as_str().unwrap().contains("epochs of best sdr_2mm on other images"));
    let states = sandbox.status("results/tiny");
    let mut differ = 0;
    let mut means: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (row, folder) in summary.iter().map(|row| (row, sweep.join("trials").join(&row["trial"]))) {
        let best = folder.join("best.safetensors").display().to_string();
        let measured = json(&sandbox, &["eval", "--json", "--checkpoint", &best]);
        let [mre, sdr] = ["mre_mm", "sdr_2mm"].map(|key| measured[key].as_f64().unwrap());
        let close = |what: &str, value: f64, wanted: f64| {
            assert!((value - wanted).abs() < 1e-9 * wanted.abs().max(1.0), "{what}: {value}, not {wanted}");
        };
        close("summary", number(row, "best_val_mre_mm"), mre);
        close("summary", number(row, "sdr_2mm"), sdr);
        close("summary", number(row, "best_objective"), sdr);
        assert_eq!(row["objective"], "sdr_2mm");
        assert_eq!(measured["checkpoints"][0]["epoch"].to_string(), row["best_epoch"]);
        assert_eq!(measured["trained_on"], 0);
        let rows = table(&fs::read_to_string(folder.join("landmarks.csv")).unwrap());
        let chosen: Vec<f64> =
            rows.iter().filter(|row| row["selected"] == "best-error").map(|row| number(row, "error_mm")).collect();
        close("landmarks.csv", chosen.iter().sum::<f64>() / chosen.len() as f64, mre);
        let state = states.iter().find(|state| state["trial"] == row["trial"].as_str()).unwrap();
        close("status", state["best_val_mre_mm"].as_f64().unwrap(), mre);
        means.entry(row["loss.name"].clone()).or_default().push(mre);
        let epochs = table(&fs::read_to_string(folder.join("epochs.csv")).unwrap());
        let least = epochs.iter().map(|row| number(row, "val_mre_mm")).fold(f64::INFINITY, f64::min);
        differ += usize::from((least - mre).abs() > 1e-9);
    }
    assert!(differ > 0, "the objective must choose another epoch than the error somewhere, or this test shows nothing");
    for (loss, of) in means {
        let mean = of.iter().sum::<f64>() / of.len() as f64;
        assert!(report.contains(&format!("| {loss} | 2 | done | {mean:.2} ±")), "{loss}: {mean:.2}\n{report}");
    }
    sandbox.expect(0, &["check", "results/tiny", "--baseline", "b.json", "--margin", "9"]);
}

#[test]
fn evaluation_tells_of_training_images_wherever_they_lie() {
    let size = ["--train", "5", "--val", "3", "--height", "40", "--width", "32"];
    let source = DEFINITION.lines().find(|line| line.starts_with("dataset")).unwrap();
    let films = "dataset = { name = \"folder\", path = \"films\", val_fraction = 0.4 }";
    let definition = DEFINITION.replace(source, films).replace("objective = \"sdr_2mm\"\nseeds = [0, 1]", "");
    let sandbox = Sandbox::new(&definition.replace("epochs = 6", "epochs = 1").replace("\"smooth-l1\"", "\"mse\""));
    sandbox.expect(0, &[&["data", "synth", "films"][..], &size].concat());
    sandbox.expect(0, &["run", "tiny.toml", "--quiet"]);
    let best = trial_folders(&sandbox.path("results/tiny"))[0].join("best.safetensors").display().to_string();
    fs::rename(sandbox.path("films"), sandbox.path("clinic")).unwrap();
    // The folder's own split is another than the one that was trained: all 8 images, 3 of 5 of which trained.
    let all = ["eval", "--checkpoint", &best, "--dataset", "clinic", "--split", "all"];
    let said = sandbox.expect(0, &all);
    assert!(said.contains("were trained on, by 1 of 1 network") && said.contains("--held-out"), "{said}");
    let measured = json(&sandbox, &[&all[..], &["--json"]].concat());
    let trained = measured["trained_on"].as_u64().unwrap();
    assert!(trained > 0 && trained < 8, "{measured}");
    let held_out = ["eval", "--checkpoint", &best, "--dataset", "clinic", "--held-out", "--json"];
    assert_eq!(json(&sandbox, &held_out)["trained_on"], 0);
}

#[test]
fn a_configuration_is_found_again_when_an_axis_grows() {
    let axis =
        |values: &str| DEFINITION.replace("\"loss.name\" = [\"l1\", \"smooth-l1\"]", &format!("loss = [{values}]"));
    let plain = |values: &str| {
        axis(values).replace("objective = \"sdr_2mm\"\nseeds = [0, 1]", "").replace("epochs = 6", "epochs = 2")
    };
    let two = "{ name = \"l1\" }, { name = \"smooth-l1\", beta = 1.0 }";
    let sandbox = Sandbox::new(&plain(two));
    sandbox.expect(0, &["run", "tiny.toml", "--quiet"]);
    sandbox.expect(0, &["baseline", "results/tiny", "--output", "b.json"]);
    let summary = || fs::read_to_string(sandbox.path("results/tiny/summary.csv")).unwrap();
    let before = summary();
    let three = plain(&format!("{two}, {{ name = \"smooth-l1\", beta = 0.5 }}"));
    sandbox.write("tiny.toml", &three);
    sandbox.expect(0, &["run", "tiny.toml", "--quiet"]);
    assert!(sandbox.expect(0, &["check", "results/tiny", "--baseline", "b.json"]).contains("not in the baseline"));
    let names =
        |text: &str| table(text).into_iter().map(|row| (row["trial"].clone(), row["loss"].clone())).collect::<Vec<_>>();
    assert_eq!(names(&before), names(&summary())[..2], "a value's name does not depend on the others");
    // Another axis, of one value: its name is in every label now.
    sandbox.write("tiny.toml", &three.replace("[axes]", "[axes]\nbatch_size = [2]"));
    sandbox.expect(0, &["run", "tiny.toml", "--quiet"]);
    sandbox.expect(0, &["check", "results/tiny", "--baseline", "b.json"]);
    // The parts of a table are columns, beside the table as a whole.
    let rows = json(&sandbox, &["export", "json", "results/tiny"]);
    let of = |key: &str| rows.as_array().unwrap().iter().map(|row| row[key].to_string()).collect::<Vec<_>>();
    assert_eq!(of("loss.name"), ["\"l1\"", "\"smooth-l1\"", "\"smooth-l1\""]);
    assert_eq!(of("loss.beta"), ["null", "1", "0.5"]);
    assert_eq!(of("loss")[2], "\"smooth-l1 beta=0.5\"");
}

#[test]
fn points_that_leave_a_key_to_the_trial_have_its_value() {
    let axes = "\"loss.name\" = [\"l1\", \"smooth-l1\"]\nbatch_size = [1, 2]\n\"model.filters\" = [[4, 8]]\ninclude = [{ \"loss.name\" = \"mse\" }]";
    let definition = DEFINITION.replace("\"loss.name\" = [\"l1\", \"smooth-l1\"]", axes);
    let definition =
        definition.replace("objective = \"sdr_2mm\"\nseeds = [0, 1]", "").replace("epochs = 6", "epochs = 1");
    let sandbox = Sandbox::new(&definition);
    sandbox.expect(0, &["run", "tiny.toml", "--quiet"]);
    let rows = json(&sandbox, &["export", "json", "results/tiny"]);
    let mse: Vec<&Value> = rows.as_array().unwrap().iter().filter(|row| row["loss.name"] == "mse").collect();
    assert_eq!((mse.len(), &mse[0]["batch_size"], &mse[0]["model.filters"]), (1, &2.into(), &"[4, 8]".into()));
    let summary = table(&fs::read_to_string(sandbox.path("results/tiny/summary.csv")).unwrap());
    assert_eq!(summary.iter().find(|row| row["loss.name"] == "mse").unwrap()["batch_size"], "2");
    assert!(summary.iter().all(|row| !row["host"].is_empty()));
    let report = fs::read_to_string(sandbox.path("results/tiny/report/report.md")).unwrap();
    assert!(report.contains("mse · 2"), "{report}");
}
