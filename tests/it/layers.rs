//! Rules of the source tree that Cargo does not enforce; it enforces the direction between crates.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use sweep_testing::repository;

/// Crates that work from records alone, and therefore build without candle.
const WITHOUT_CANDLE: [&str; 3] = ["analysis", "runner", "experiment"];

const MOST_LINES: usize = 450;

/// Files that may be longer, with the reason.
const LONG: &[(&str, &str)] = &[];

/// Rust files of a folder, sorted.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let is_source = |path: &PathBuf| path.is_dir() || path.extension().is_some_and(|extension| extension == "rs");
    let files = |path: PathBuf| if path.is_dir() { sources(&path) } else { vec![path] };
    entries.into_iter().filter(is_source).flat_map(files).collect()
}

fn manifest(name: &str) -> toml::Table {
    toml::from_str(&fs::read_to_string(repository().join("src").join(name).join("Cargo.toml")).unwrap()).unwrap()
}

/// Names of the dependencies of a package, those of single platforms included, those of tests not.
fn dependencies(manifest: &toml::Table) -> BTreeSet<String> {
    let targets = manifest.get("target").and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::values);
    let tables = targets.filter_map(toml::Value::as_table).chain([manifest]);
    let listed = tables.flat_map(|table| ["dependencies", "build-dependencies"].map(|key| table.get(key)));
    listed.flatten().filter_map(toml::Value::as_table).flat_map(toml::Table::keys).cloned().collect()
}

/// Every crate of this workspace that another one depends on, directly or indirectly, itself included.
fn reached(name: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut next = vec![name.to_owned()];
    while let Some(name) = next.pop() {
        if reached.insert(name.clone()) {
            let own = |dependency: &String| dependency.strip_prefix("sweep-").map(str::to_owned);
            next.extend(dependencies(&manifest(&name)).iter().filter_map(own));
        }
    }
    reached
}

#[test]
fn analysis_runner_and_experiment_do_not_depend_on_candle() {
    for name in WITHOUT_CANDLE {
        for reached in reached(name) {
            let candle: Vec<String> =
                dependencies(&manifest(&reached)).into_iter().filter(|d| d.starts_with("candle")).collect();
            assert!(candle.is_empty(), "{name} depends on {candle:?} through {reached}");
        }
    }
    assert!(dependencies(&manifest("engine")).contains("candle-core"), "the scan misses dependencies");
    assert!(reached("training").contains("core"), "the scan misses indirect dependencies");
}

#[test]
fn every_test_file_is_part_of_the_binary() {
    let folder = repository().join("tests/it");
    let main = fs::read_to_string(folder.join("main.rs")).unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        if let Some(module) = name.strip_suffix(".rs").filter(|module| *module != "main") {
            assert!(main.contains(&format!("mod {module};")), "tests/it/{name} is not in main.rs");
        }
    }
}

#[test]
fn files_are_short() {
    let root = repository();
    let mut wrong = Vec::new();
    for path in sources(&root.join("src")) {
        let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        let listed = LONG.iter().any(|(long, _)| *long == name);
        if lines > MOST_LINES && !listed {
            wrong.push(format!("{name}: {lines} lines, at most {MOST_LINES}"));
        }
        if lines <= MOST_LINES && listed {
            wrong.push(format!("{name}: {lines} lines, take it off the list"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
