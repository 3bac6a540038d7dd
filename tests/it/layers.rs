//! Rules of the source tree that Cargo does not enforce; it enforces the direction between crates.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use sweep_testing::repository;

/// Crates that work from records alone, and therefore build without candle.
const WITHOUT_CANDLE: [&str; 4] = ["analysis", "runner", "serve", "experiment"];

const MOST_LINES: usize = 450;

/// Files that may be longer, with the reason.
const LONG: &[(&str, &str)] = &[
    ("src/data/phantom/template.rs", "one drawing, coordinate by coordinate"),
    ("tests/bench/simulation.rs", "one simulated cluster, whose parts see each other"),
];

/// Modules of a crate that import each other, with the reason.
const CIRCLES: &[(&str, &[&str], &str)] = &[
    ("data", &["custom", "folder", "index"], "a data set of one's own is indexed the way folders are"),
    ("data", &["augment", "view"], "a view says how images are augmented, and augmentation reads a view"),
];

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

/// Names of a package's dependencies, including those of single platforms, without those of tests.
fn dependencies(manifest: &toml::Table) -> BTreeSet<String> {
    let targets = manifest.get("target").and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::values);
    let tables = targets.filter_map(toml::Value::as_table).chain([manifest]);
    let listed = tables.flat_map(|table| ["dependencies", "build-dependencies"].map(|key| table.get(key)));
    listed.flatten().filter_map(toml::Value::as_table).flat_map(toml::Table::keys).cloned().collect()
}

/// Every crate of this workspace that another one depends on, directly or indirectly, and that crate itself.
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
    for path in ["src", "tests"].into_iter().flat_map(|folder| sources(&root.join(folder))) {
        let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        let listed = LONG.iter().any(|(long, _)| *long == name);
        if lines > MOST_LINES && !listed {
            wrong.push(format!("{name}: {lines} lines, at most {MOST_LINES}"));
        }
    }
    for (name, _) in LONG {
        let lines = fs::read_to_string(root.join(name)).unwrap().lines().count();
        if lines <= MOST_LINES {
            wrong.push(format!("{name}: {lines} lines need no exception"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The module directly below the crate's root that a file belongs to; `None` for the root itself and for tests.
fn module(crate_root: &Path, file: &Path) -> Option<String> {
    let relative = file.strip_prefix(crate_root).unwrap().with_extension("");
    let names: Vec<String> = relative.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    let outside = names.iter().any(|name| name == "tests") || ["lib", "build"].contains(&names[0].as_str());
    (!outside).then(|| names[0].clone())
}

/// Number of `super::` in a path from a file to the root of its crate.
fn supers(crate_root: &Path, file: &Path) -> usize {
    let depth = file.strip_prefix(crate_root).unwrap().components().count();
    if file.ends_with("mod.rs") { depth - 1 } else { depth }
}

/// Names directly below the root of the crate, after `crate::` or this many `super::`, inside braces too. Comments and
/// a test module at the end do not count.
fn uses(text: &str, supers: usize) -> BTreeSet<String> {
    let code = text.split("\nmod tests {").next().unwrap_or_default();
    let code = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let first = |path: &str| path.trim_start().split(|c| !is_name(c)).next().unwrap_or_default().to_owned();
    let mut found = BTreeSet::new();
    let upwards = "super::".repeat(supers);
    let upward = code.match_indices(&upwards).filter(|(at, _)| !code[..*at].ends_with("super::"));
    for (at, prefix) in code.match_indices("crate::").chain(upward) {
        let rest = &code[at + prefix.len()..];
        if !rest.starts_with('{') {
            found.insert(first(rest));
            continue;
        }
        // Paths start after the outermost brace and after every comma that is not inside an inner one.
        let mut depth = 0;
        for (index, c) in rest.char_indices() {
            depth += match c {
                '{' => 1,
                '}' => -1,
                _ => 0,
            };
            if depth == 0 {
                break;
            }
            if depth == 1 && (c == '{' || c == ',') {
                found.insert(first(&rest[index + 1..]));
            }
        }
    }
    found
}

#[test]
fn the_scan_of_uses_sees_nested_braces() {
    let text = "use crate::{a::{x, y}, b, c::Z};\n// crate::d\nlet e = crate::e::f();\n#[cfg(test)]\nmod tests {\nuse crate::g;";
    assert_eq!(uses(text, 1).into_iter().collect::<Vec<_>>(), ["a", "b", "c", "e"]);
    let upwards = "use super::{super::a, b};\nuse super::super::{c, d::e};";
    assert_eq!(uses(upwards, 2).into_iter().collect::<Vec<_>>(), ["c", "d"]);
}

/// Modules that a module reaches over `edges`; it reaches itself only on a circle.
fn reachable(edges: &BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut next: Vec<&str> = vec![from];
    while let Some(module) = next.pop() {
        for to in edges.get(module).into_iter().flatten() {
            if found.insert(to.clone()) {
                next.push(to);
            }
        }
    }
    found
}

/// Modules directly below a crate's root import each other in one direction only.
#[test]
fn modules_of_a_crate_do_not_import_each_other_in_a_circle() {
    let mut wrong = Vec::new();
    for entry in fs::read_dir(repository().join("src")).unwrap() {
        let root = entry.unwrap().path();
        if !root.join("lib.rs").is_file() {
            continue;
        }
        let name = root.file_name().unwrap().to_string_lossy().into_owned();
        let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for file in sources(&root) {
            if let Some(module) = module(&root, &file) {
                let mut uses = uses(&fs::read_to_string(&file).unwrap(), supers(&root, &file));
                uses.remove(&module);
                edges.entry(module).or_default().extend(uses);
            }
        }
        for module in edges.keys() {
            let reached = reachable(&edges, module);
            let circle = reached.iter().filter(|other| reachable(&edges, other).contains(module));
            let circle: Vec<&str> = circle.map(String::as_str).collect();
            let known = CIRCLES.iter().any(|(of, known, _)| *of == name && circle.iter().all(|m| known.contains(m)));
            if reached.contains(module) && !known {
                wrong.push(format!("{name}: `{module}` imports itself through {circle:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Files that may touch the disk themselves, with the reason. Everything else reads and writes results through
/// `sweep_experiment::store::Root`, and what users name through the functions of `sweep_experiment::store`.
const TOUCH_THE_DISK: &[(&str, &str)] = &[
    ("src/experiment/store/files.rs", "reads and writes what users name"),
    ("src/experiment/provenance.rs", "reads what the system says about itself, below /proc and /sys"),
    ("src/experiment/store/appended.rs", "reads on in an opened file"),
    ("src/experiment/store/lock.rs", "locks an opened file"),
    ("src/experiment/store/root/mod.rs", "is the boundary"),
    ("src/experiment/store/root/walk.rs", "is the boundary"),
    ("src/experiment/store/trial.rs", "names the type of the opened log"),
    ("src/app/commands/init.rs", "asks whether a file is there that the user named"),
    ("src/app/commands/data/inspect.rs", "compares folders that the user named"),
    ("src/app/commands/predict.rs", "compares files that the user named"),
    ("src/runner/scheduler/local.rs", "asks where its own program is"),
];

/// Code that touches the disk.
const DISK: [&str; 12] = [
    "fs::",
    "File::",
    "OpenOptions",
    ".is_file()",
    ".is_dir()",
    ".exists()",
    ".is_symlink()",
    ".canonicalize()",
    ".read_dir()",
    "ImageReader::open",
    "image::open",
    "image::image_dimensions",
];

fn touches_the_disk(line: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    DISK.iter()
        .any(|call| line.match_indices(call).any(|(at, _)| call.starts_with('.') || !line[..at].ends_with(is_name)))
}

#[test]
fn results_are_read_and_written_through_their_root_alone() {
    let root = repository();
    let mut wrong = Vec::new();
    for name in ["experiment", "analysis", "training", "runner", "serve", "app"] {
        for path in sources(&root.join("src").join(name)) {
            let file = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
            if file.contains("tests") || TOUCH_THE_DISK.iter().any(|(listed, _)| *listed == file) {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("\nmod tests {").next().unwrap_or_default();
            let lines = code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
            for (number, line) in lines {
                if touches_the_disk(line) {
                    wrong.push(format!("{file}:{}: {}", number + 1, line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "use the store's Root, or list the file with a reason:\n{}", wrong.join("\n"));
    for (file, _) in TOUCH_THE_DISK {
        let text = fs::read_to_string(root.join(file)).unwrap();
        assert!(text.lines().any(touches_the_disk), "{file} need not be listed");
    }
}

/// A remark must not panic where standard error is closed, and data must not where standard output is: `note!` and `say` write
/// them. Tests and build scripts may print.
#[test]
fn only_tests_print_by_macros_that_panic() {
    let mut wrong = Vec::new();
    for file in sources(&repository().join("src")) {
        let path = file.strip_prefix(repository()).unwrap().display().to_string();
        let of_tests =
            ["tests.rs", "/tests/", "src/testing/", "src/graph/build.rs", "src/data/picture/memory.rs", "measured.rs"];
        if of_tests.iter().any(|part| path.contains(part)) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let prints = |line: &&str| {
            !line.trim_start().starts_with("//") && ["println!(", "print!("].iter().any(|m| line.contains(m))
        };
        wrong.extend(code.lines().filter(prints).map(|line| format!("{path}: {}", line.trim())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
