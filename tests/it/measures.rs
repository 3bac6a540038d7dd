//! Measures of a data set from its definition to the report, the tables and the gate; and radii from a calibration to the
//! pictures.

use std::fs;

use serde_json::Value;
use sweep_testing::shared_data;

use crate::harness::{Sandbox, trial_folders};

const DEFINITION: &str = r#"
name = "tiny"
seeds = [0, 1]
[axes]
"loss.name" = ["l1", "nll"]
[trial]
epochs = 3
batch_size = 2
dataset = { name = "folder", path = "heads" }
input = { height = 60, width = 48 }
model = { name = "unet++", filters = [4, 8] }
optimizer = { name = "adamw", lr = 1e-2 }
"#;

/// A sandbox with a folder of phantoms that defines no measure yet.
fn heads() -> Sandbox {
    let sandbox = Sandbox::new(DEFINITION);
    sandbox.expect(0, &["data", "synth", "heads", "--train", "6", "--val", "5", "--height", "60", "--width", "48"]);
    sandbox
}

/// Adds text to the end of the data set's header.
fn define(sandbox: &Sandbox, text: &str) {
    let header = sandbox.path("heads/dataset.toml");
    let before = fs::read_to_string(&header).unwrap();
    fs::write(header, before + text).unwrap();
}

#[test]
fn a_mistake_in_a_measure_names_the_file_the_key_and_what_was_meant() {
    for (text, expected) in [
        (
            "[measures]\nSNA = { angle = ['sella', 'nasoin', 'subspinale'] }\n",
            ["heads/dataset.toml", "measures.SNA", "no landmark `nasoin`", "did you mean `nasion`?"],
        ),
        ("measure_set = 'isbi2016'\n", ["heads/dataset.toml", "measure_set", "`isbi2016`", "`isbi2015`"]),
        (
            "[measures]\nSNA = { angel = ['sella', 'nasion', 'subspinale'] }\n",
            ["heads/dataset.toml", "line", "angel", "angle_between"],
        ),
    ] {
        let sandbox = heads();
        define(&sandbox, text);
        let told = sandbox.expect(2, &["run", "tiny.toml", "--quiet"]);
        assert!(expected.iter().all(|part| told.contains(part)), "{text}: {told}");
    }
    let sandbox = heads();
    define(&sandbox, "[measures]\nSNA = { angle = ['sella', 'nasoin', 'subspinale'] }\n");
    let inspected = sandbox.sweep(&["data", "inspect", "heads", "--no-pictures"]);
    let told = String::from_utf8_lossy(&inspected.stdout);
    assert_eq!(inspected.status.code(), Some(1), "{told}");
    assert!(told.contains("measures.SNA") && told.contains("did you mean `nasion`?"), "{told}");
}

#[test]
fn measures_that_are_defined_after_the_training_are_reported_exported_and_held() {
    let sandbox = heads();
    sandbox.expect(0, &["run", "tiny.toml", "--quiet"]);
    let report = || fs::read_to_string(sandbox.path("results/tiny/report/report.md")).unwrap();
    assert!(!report().contains("## Measures"));
    define(&sandbox, "measure_set = 'isbi2015'\n[measures]\nface = { distance = ['nasion', 'menton'] }\n");

    let inspected = sandbox.printed(&["data", "inspect", "heads", "--no-pictures"]);
    let line = |name: &str| inspected.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(line("SNA").contains(" ° ") && line("SNA").contains("normal"), "{inspected}");
    assert!(line("face").contains("11/11") && line("face").contains("mm"), "{inspected}");
    assert!(inspected.contains("those of APDI, MW, ODI"), "{inspected}");

    // Nothing is trained again: measures change no result.
    let epochs = |sandbox: &Sandbox| -> Vec<Vec<u8>> {
        trial_folders(&sandbox.path("results/tiny")).iter().map(|f| fs::read(f.join("epochs.csv")).unwrap()).collect()
    };
    let before = epochs(&sandbox);
    sandbox.expect(0, &["run", "tiny.toml", "--quiet"]);
    assert_eq!(epochs(&sandbox), before);
    let told = report();
    assert!(told.contains("## Measures") && told.contains("bland_altman.png"), "{told}");
    assert_eq!(told.lines().filter(|line| line.starts_with("| face | 5 |")).count(), 3, "two rows, and which is best");
    assert!(sandbox.path("results/tiny/report/bland_altman.png").is_file());

    let table = sandbox.printed(&["export", "csv", "results/tiny", "--table", "measures"]);
    let mut rows = csv::Reader::from_reader(table.as_bytes());
    let headers = rows.headers().unwrap().clone();
    let at = |name: &str| headers.iter().position(|header| header == name).unwrap();
    let (truth, predicted, error) = (at("truth"), at("predicted"), at("error"));
    let mut faces = 0;
    for row in rows.records().map(|row| row.unwrap()) {
        let number = |at: usize| row[at].parse::<f64>().unwrap();
        assert!((number(predicted) - number(truth) - number(error)).abs() < 1e-9);
        if &row[at("measure")] == "face" && &row[at("selected")] == "last" {
            assert!((60.0..180.0).contains(&number(truth)), "a face in millimetres: {row:?}");
            faces += 1;
        }
    }
    assert_eq!(faces, 4 * 5, "four trials, five validation images");

    sandbox.expect(0, &["baseline", "results/tiny", "--output", "b.json"]);
    let held = ["check", "results/tiny", "--baseline", "b.json", "--measure-margin", "face=0.5"];
    let checked = sandbox.printed(&held);
    assert!(checked.lines().any(|line| line.contains("face") && line.contains("margin 0.5 mm")), "{checked}");
    let wrong = ["check", "results/tiny", "--baseline", "b.json", "--measure-margin", "none=0.5"];
    assert!(sandbox.expect(2, &wrong).contains("no measure `none`"));
    // A baseline that measured every face as it is: the measure alone is worse.
    let mut baseline: Value = serde_json::from_slice(&fs::read(sandbox.path("b.json")).unwrap()).unwrap();
    for configuration in baseline["configurations"].as_array_mut().unwrap() {
        for trial in configuration["seeds"].as_object_mut().unwrap().values_mut() {
            for both in trial["measures"]["face"].as_object_mut().unwrap().values_mut() {
                both[1] = both[0].clone();
            }
        }
    }
    sandbox.write("b.json", &baseline.to_string());
    let failed = sandbox.sweep(&held);
    let told = String::from_utf8_lossy(&failed.stdout).into_owned();
    assert!(matches!(failed.status.code(), Some(1 | 3)), "{told}");
    assert!(told.lines().filter(|line| line.contains("MRE")).all(|line| !line.contains("FAIL")), "{told}");
}

/// The hundred radiographs' means as a program of a few lines in Python gives them.
const CEPH10: [(&str, f64, f64); 5] = [
    ("SNA", 82.713, 4.094),
    ("SNB", 80.977, 5.839),
    ("ANB", 1.737, 4.260),
    ("FHI", 0.648, 0.050),
    ("FMA", 32.628, 6.389),
];

#[test]
fn measures_of_radiographs_are_those_of_another_program() {
    let Some(data) = shared_data("ceph10") else { return };
    let sandbox = Sandbox::new("");
    let copy = sandbox.path("ceph10");
    fs::create_dir_all(copy.join("images")).unwrap();
    for image in fs::read_dir(data.join("images")).unwrap().map(|entry| entry.unwrap()) {
        fs::copy(image.path(), copy.join("images").join(image.file_name())).unwrap();
    }
    fs::copy(data.join("landmarks.csv"), copy.join("landmarks.csv")).unwrap();
    let header = fs::read_to_string(data.join("dataset.toml")).unwrap();
    fs::write(copy.join("dataset.toml"), format!("{header}\nmeasure_set = \"isbi2015\"\n")).unwrap();
    let output = sandbox.sweep(&["data", "inspect", "ceph10", "--no-pictures", "--json"]);
    let facts: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(facts["unknown_measures"], serde_json::json!(["APDI", "MW", "ODI"]));
    for (name, mean, sd) in CEPH10 {
        let of = facts["measures"].as_array().unwrap().iter().find(|of| of["name"] == name).unwrap();
        let near = |key: &str, expected: f64| (of[key].as_f64().unwrap() - expected).abs() < 6e-4;
        assert!(near("mean", mean) && near("sd", sd) && of["images"] == 100, "{of}");
        let classes = of["classes"].as_array().unwrap();
        assert_eq!(classes.iter().map(|class| class["images"].as_u64().unwrap()).sum::<u64>(), 100, "{of}");
    }
}

#[test]
fn radii_are_calibrated_tested_and_drawn() {
    let sandbox = Sandbox::new(
        &DEFINITION
            .replace("{ name = \"folder\", path = \"heads\" }", PHANTOMS)
            .replace("seeds = [0, 1]", "seeds = [0]")
            .replace("[\"l1\", \"nll\"]", "[\"nll\"]"),
    );
    sandbox.expect(0, &["run", "tiny.toml", "--quiet"]);
    let network = trial_folders(&sandbox.path("results/tiny")).remove(0).join("last.safetensors").display().to_string();
    let eval = |more: &[&str]| {
        [&["eval", "--checkpoint", &network], more].concat().iter().map(|a| (*a).to_owned()).collect::<Vec<_>>()
    };
    let run = |code: i32, arguments: &[String]| {
        sandbox.expect(code, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let refused = run(2, &eval(&["--split", "train", "--calibrate", "radii.json"]));
    assert!(refused.contains("were trained on") && refused.contains("--held-out"), "{refused}");
    run(0, &eval(&["--split", "test", "--calibrate", "radii.json"]));
    let radii: Value = serde_json::from_slice(&fs::read(sandbox.path("radii.json")).unwrap()).unwrap();
    assert_eq!((&radii["unit"], &radii["landmarks"]["sella"]["images"]), (&"mm".into(), &12.into()), "{radii}");

    let tested = eval(&["--split", "test", "--radii", "radii.json"]);
    let tested = sandbox.printed(&tested.iter().map(String::as_str).collect::<Vec<_>>());
    // The very images of the calibration: each landmark's ⌈13 · 0.9⌉ = 12 of 12 errors.
    assert!(tested.contains("radii: 100.0 % of 120 landmarks lie within"), "{tested}");

    sandbox.expect(
        0,
        &["data", "synth", "more", "--train", "2", "--val", "1", "--height", "60", "--width", "48", "--seed", "9"],
    );
    let predict = ["predict", "--checkpoint", &network, "more/images", "--radii", "radii.json", "--overlay", "drawn"];
    let csv = sandbox.printed(&predict);
    assert!(csv.starts_with("image,landmark,x,y,confidence,radius_90_mm,radius_90_px,radius_note\n"), "{csv}");
    let mut rows = csv::Reader::from_reader(csv.as_bytes());
    for row in rows.records().map(|row| row.unwrap()) {
        assert!(row[5].parse::<f64>().unwrap() > 0.0 && row[6].is_empty(), "{row:?}");
    }
    let plain = sandbox.printed(&predict[..4]);
    assert!(plain.starts_with("image,landmark,x,y,confidence\n"));
    let json = sandbox.printed(&[&predict[..6], &["--json"]].concat());
    let line: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert!(line["landmarks"][0]["radius_90_mm"].as_f64().unwrap() > 0.0, "{line}");
    let without = sandbox.printed(&[&predict[..4], &["--overlay", "plain"]].concat());
    assert_eq!(without, plain);
    let picture = |folder: &str| fs::read(sandbox.path(folder).join("train-001.png")).unwrap();
    assert_ne!(picture("drawn"), picture("plain"), "circles are drawn");

    fs::write(sandbox.path("radii.json"), radii.to_string().replace("after epoch", "after another epoch")).unwrap();
    assert!(sandbox.expect(2, &predict).contains("not calibrated for"));
}

const PHANTOMS: &str = "{ name = \"phantom\", train = 6, val = 4, test = 12, height = 60, width = 48 }";
