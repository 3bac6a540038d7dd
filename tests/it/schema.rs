//! The schemas that editors read: up to date, and in agreement with the program about every definition of the repository.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use landmark_sweep::schema;
use serde_json::Value;
use sweep_testing::python;

use crate::harness::Sandbox;

fn package() -> PathBuf {
    // The repository at run time may be elsewhere than at build time.
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

fn experiments() -> Vec<PathBuf> {
    let of = |folder: &str| fs::read_dir(package().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let all = of("experiments").chain(of("experiments/real"));
    let mut all: Vec<PathBuf> = all.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    all.sort();
    assert!(all.len() >= 9);
    all
}

#[test]
fn the_committed_schema_is_what_sweep_schema_prints() {
    let committed = fs::read_to_string(package().join("experiments/sweep.schema.json")).unwrap();
    let now = schema::definition().unwrap();
    assert!(committed == now, "run: sweep schema > experiments/sweep.schema.json");
    let sandbox = Sandbox::new("");
    let printed = |arguments: &[&str]| String::from_utf8(sandbox.sweep(arguments).stdout).unwrap();
    assert_eq!(printed(&["schema"]), committed);
    assert_eq!(printed(&["schema", "--of", "dataset"]), schema::dataset().unwrap());
}

#[test]
fn every_experiment_names_its_schema() {
    for path in experiments() {
        let text = fs::read_to_string(&path).unwrap();
        let named = text.lines().find_map(|line| line.strip_prefix("#:schema ")).unwrap_or_default();
        assert!(path.parent().unwrap().join(named).is_file(), "{} names `{named}`", path.display());
    }
}

/// Checks that every reference resolves, and that nothing requires a key that an axis may set.
#[test]
fn a_schema_is_whole() {
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    for text in [schema::definition().unwrap(), schema::dataset().unwrap()] {
        let schema: Value = serde_json::from_str(&text).unwrap();
        let mut found = BTreeSet::new();
        references(&schema, &mut found);
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(schema.pointer(pointer).is_some(), "{reference}");
        }
        assert!(!text.contains("[`") && !text.contains("crate::"), "links of rustdoc");
    }
    let schema: Value = serde_json::from_str(&schema::definition().unwrap()).unwrap();
    let axes = schema["definitions"]["axes"]["properties"].as_object().unwrap();
    for path in
        ["loss.name", "loss.beta", "optimizer.lr", "dataset.fold", "model.coarse.filters", "epochs", "model", "zip"]
    {
        assert!(axes.contains_key(path), "{path}");
    }
    assert!(!axes.contains_key("seed") && !axes.contains_key("objective"));
}

/// Every network, loss, decoder and so on has its place in the guide. Parts of one's own are in guide/library.md.
#[test]
fn the_guide_names_every_choice() {
    let guide = fs::read_to_string(package().join("src/guide/definition.md")).unwrap();
    let schema: Value = serde_json::from_str(&schema::definition().unwrap()).unwrap();
    let choices = |of: &str| -> Vec<String> {
        let of = &schema["definitions"][of];
        let variants = of["oneOf"].as_array().or(of["anyOf"].as_array()).unwrap();
        variants.iter().map(|variant| variant["properties"]["name"]["const"].as_str().unwrap().to_owned()).collect()
    };
    let mut count = 0;
    for of in [
        "DatasetSpec",
        "StandardiseSpec",
        "HeatmapSpec",
        "ModelSpec",
        "LossSpec",
        "OptimizerSpec",
        "ScheduleSpec",
        "DecodeSpec",
    ] {
        for name in choices(of).into_iter().filter(|name| name != "custom") {
            assert!(guide.contains(&format!("`{name}`")), "`{name}` of {of} is not in src/guide/definition.md");
            count += 1;
        }
    }
    assert!(count >= 30, "{count} choices");
}

/// A validator of JSON Schema and the program agree about which definitions are valid, as far as a schema can express it.
#[test]
fn a_validator_agrees_with_the_program() {
    // Python has tomllib since 3.11.
    let Some(python) = python("jsonschema, tomllib") else { return };
    let sandbox = Sandbox::new("");
    let validate = |schema: &Path, file: &Path| {
        let script = package().join("scripts/schema_check.py");
        Command::new(&python).arg(script).arg(schema).arg(file).output().unwrap()
    };
    let schema = package().join("experiments/sweep.schema.json");
    for path in experiments() {
        let output = validate(&schema, &path);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    let base = [
        "epochs = 1",
        "loss = { name = \"l1\" }",
        "model = { name = \"unet\", filters = [2, 4] }",
        "optimizer = { name = \"adamw\", lr = 1e-3 }",
        "dataset = { name = \"phantom\", train = 2, val = 1, height = 40, width = 32 }",
    ];
    // A line replaces the base line with the same key.
    let definition = |line: &str| {
        let key = |line: &str| line.split(' ').next().unwrap().to_owned();
        let others = base.iter().filter(|other| key(other) != key(line));
        let trial = others.copied().collect::<Vec<_>>().join("\n");
        format!("name = \"a\"\n[trial]\n{trial}\n{line}\n")
    };
    for right in [
        "",
        "dataset = { name = \"phantom\", folds = 2, fold = 0, train = 4 }",
        "[axes]\n\"loss.name\" = [\"l1\", \"smooth-l1\"]",
        "[axes]\nmodel = [{ name = \"unet\", filters = [2, 4] }, { name = \"unet++\", filters = [2, 4] }]",
        "[axes]\noptimizer.lr = [1e-3, 3e-4]",
        "[axes]\nzip = [{ batch_size = 1, \"optimizer.lr\" = 3e-5, label = \"a\" }, { batch_size = 2, \"optimizer.lr\" = 1e-4, label = \"b\" }]",
        "[search]\nmethod = \"sobol\"\nbudget = 4\n\"optimizer.lr\" = { log = [1e-5, 1e-2] }",
        "[prune]\nmethod = \"asha\"\nreduction = 3",
    ] {
        sandbox.write("right.toml", &definition(right));
        let output = validate(&schema, &sandbox.path("right.toml"));
        assert!(output.status.success(), "{right}: {}", String::from_utf8_lossy(&output.stdout));
        sandbox.expect(0, &["plan", "right.toml", "--no-calibrate"]);
    }
    for wrong in [
        "epoch = 3",
        "gradient_clip = \"long\"",
        "precision = \"fp64\"",
        "optimizer = { name = \"adam\" }",
        "augment = { flip = true }",
        "heatmap = { name = \"gaussian\", sigma = 2, decay = 1 }",
        "dataset = { name = \"folder\", train = 3 }",
        "seed = 3",
        "[axes]\n\"loss.nam\" = [\"l1\"]",
        "[axes]\n\"loss.name\" = \"l1\"",
        "[axes]\n\"loss.name\" = [\"l3\"]",
        "[axes]\n\"batch_size\" = [1, 1]",
        "[axes]\ninclude = [{ \"optimizer.rate\" = 1 }]",
        "[search]\nmethod = \"grid\"\nbudget = 3\n\"optimizer.lr\" = { log = [1e-5, 1e-2] }",
        "[search]\nmethod = \"random\"\nbudget = 3\n\"optimizer.lr\" = { log = [1e-5] }",
        "[prune]\nmethod = \"asha\"\nkeep = 2",
        "[gate]\nmargin = 1",
    ] {
        sandbox.write("wrong.toml", &definition(wrong));
        assert!(!validate(&schema, &sandbox.path("wrong.toml")).status.success(), "{wrong}");
        sandbox.expect(2, &["plan", "wrong.toml", "--no-calibrate"]);
    }
    // Data sets: the output of `synth` is valid, and an unknown key is not.
    sandbox.write("dataset.schema.json", &schema::dataset().unwrap());
    sandbox.expect(0, &["data", "synth", "set", "--train", "2", "--val", "1", "--height", "40", "--width", "32"]);
    let (schema, file) = (sandbox.path("dataset.schema.json"), sandbox.path("set/dataset.toml"));
    assert!(validate(&schema, &file).status.success());
    let text = fs::read_to_string(&file).unwrap();
    for wrong in [format!("{text}\ncolour = 1\n"), text.replace("images =", "pictures =")] {
        fs::write(&file, wrong).unwrap();
        assert!(!validate(&schema, &file).status.success());
        sandbox.expect(2, &["eval", "--checkpoint", "none.safetensors", "--dataset", "set"]);
    }
}

#[test]
fn a_first_definition_can_be_planned_as_it_is() {
    let sandbox = Sandbox::new("");
    sandbox.expect(0, &["init", "--output", "first.toml"]);
    sandbox.expect(0, &["plan", "first.toml", "--no-calibrate"]);
    let said = sandbox.expect(2, &["init", "--output", "first.toml"]);
    assert!(said.contains("there already"), "{said}");
    sandbox.expect(0, &["data", "synth", "set", "--train", "4", "--val", "2", "--height", "160", "--width", "130"]);
    sandbox.expect(0, &["init", "set", "--output", "set.toml"]);
    sandbox.expect(0, &["plan", "set.toml", "--no-calibrate"]);
    let text = fs::read_to_string(sandbox.path("set.toml")).unwrap();
    for said in [
        "path = \"set\"",
        "height = 160, width = 128",
        "1.4769 × 1.5 mm",
        "10 landmarks: ",
        "4 training and 2 validation",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    // If a set has no validation image, some are split off.
    let table = fs::read_to_string(sandbox.path("set/landmarks.csv")).unwrap();
    fs::write(sandbox.path("set/landmarks.csv"), table.replace(",val,", ",train,")).unwrap();
    sandbox.expect(0, &["init", "set", "--output", "dealt.toml"]);
    assert!(fs::read_to_string(sandbox.path("dealt.toml")).unwrap().contains("val_fraction = 0.2"));
    sandbox.expect(0, &["plan", "dealt.toml", "--no-calibrate"]);
    assert!(sandbox.expect(2, &["init", "nowhere"]).contains("nowhere"));
}

#[test]
fn every_command_has_a_manual_page_and_data_come_as_json() {
    let sandbox = Sandbox::new("");
    sandbox.expect(0, &["man", "man"]);
    for page in ["sweep.1", "sweep-run.1", "sweep-data-import.1", "sweep-export-onnx.1"] {
        let text = fs::read_to_string(sandbox.path("man").join(page)).unwrap();
        assert!(text.contains(".TH"), "{page}");
    }
    for arguments in [&["devices", "--json"][..], &["data", "formats", "--json"]] {
        let output = sandbox.sweep(arguments);
        let all: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        assert!(all.len() >= 2, "{arguments:?}");
    }
}
