//! The house's one direction, enforced: a module uses only modules of lower layers, and the halves that the records
//! join never see each other.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Every module of `src/` and its layer; a folder is one module.
const LAYERS: &[(&str, u32)] = &[
    ("units", 0),
    ("seed", 0),
    ("tensors", 0),
    ("protobuf", 0),
    ("error", 0),
    ("guide", 0),
    ("lanes", 1),
    ("custom", 1),
    ("records", 1),
    ("gpu", 1),
    ("graph", 1),
    ("params", 1),
    ("engine", 1),
    ("data", 2),
    ("models", 2),
    ("loss", 2),
    ("lr", 2),
    ("optim", 2),
    ("onnx", 2),
    ("search", 2),
    ("early_stop", 2),
    ("power", 2),
    ("spread", 2),
    ("prune", 2),
    ("slurm", 2),
    ("config", 3),
    ("definition", 3),
    ("device", 3),
    ("network", 4),
    ("inspect", 3),
    ("points", 4),
    ("schema", 4),
    ("plan", 4),
    ("store", 4),
    ("provenance", 2),
    ("schedule", 6),
    ("evaluate", 5),
    ("checkpoint", 5),
    ("train", 5),
    ("cost", 6),
    ("predict", 6),
    ("analysis", 5),
    ("report", 6),
    ("track", 6),
    ("table", 6),
    ("check", 6),
    ("sweep", 7),
    ("cli", 7),
    ("commands", 7),
    ("program", 8),
    ("lib", 8),
    ("main", 9),
    ("landmark_sweep", 8),
];

/// Uses inside one layer that are meant.
const SIDEWAYS: &[(&str, &str)] = &[
    ("engine", "gpu"),
    ("plan", "points"),
    ("engine", "graph"),
    ("engine", "params"),
    ("params", "graph"),
    ("models", "data"),
    ("loss", "data"),
    ("store", "plan"),
    ("definition", "config"),
    ("train", "evaluate"),
    ("train", "checkpoint"),
    ("commands", "cli"),
    ("commands", "sweep"),
    ("records", "error"),
    ("seed", "error"),
    ("units", "error"),
];

/// The halves: neither may name the other's modules.
const TRAINING: [&str; 5] = ["train", "models", "data", "engine", "loss"];
const ANALYSIS: [&str; 6] = ["analysis", "report", "check", "schedule", "track", "table"];

fn sources() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            // A module's tests may build what they test with.
            if path.file_stem().is_some_and(|stem| stem == "tests") {
                continue;
            }
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found
}

fn module(path: &Path) -> String {
    let relative = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// Modules named after `crate::`, inside braces too; comments do not count.
fn uses(text: &str) -> Vec<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(braced) = rest.strip_prefix('{') {
            let inside = braced.split('}').next().unwrap_or_default();
            found.extend(inside.split(',').map(|part| part.trim().split("::").next().unwrap_or_default().to_owned()));
        } else {
            found.push(rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default().to_owned());
        }
    }
    found
}

#[test]
fn modules_use_lower_layers_only() {
    let layers: BTreeMap<&str, u32> = LAYERS.iter().copied().collect();
    let mut wrong = Vec::new();
    for path in sources() {
        let from = module(&path);
        let Some(layer) = layers.get(from.as_str()) else {
            wrong.push(format!("{} has no layer: add it to LAYERS", path.display()));
            continue;
        };
        let text = fs::read_to_string(&path).unwrap();
        for to in uses(text.split("\nmod tests {").next().unwrap()) {
            let Some(below) = layers.get(to.as_str()) else { continue };
            let allowed = to == from || below < layer || SIDEWAYS.contains(&(from.as_str(), to.as_str()));
            if !allowed {
                wrong.push(format!("{}: `{from}` (layer {layer}) uses `{to}` (layer {below})", path.display()));
            }
            if ANALYSIS.contains(&from.as_str()) && TRAINING.contains(&to.as_str()) {
                wrong.push(format!("{}: `{from}` works from records alone and may not use `{to}`", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_scan_sees_what_it_must() {
    assert_eq!(
        uses("use crate::{data::Split, error};\n// crate::train\nlet x = crate::loss::of();"),
        ["data", "error", "loss"]
    );
}

#[test]
fn every_test_file_is_part_of_the_binary() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let main = fs::read_to_string(folder.join("main.rs")).unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        if let Some(module) = name.strip_suffix(".rs").filter(|m| *m != "main") {
            assert!(main.contains(&format!("mod {module};")), "tests/it/{name} is not in main.rs");
        }
    }
}
