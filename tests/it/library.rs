//! A sweep run by the library leaves the same results folder as one run by the program, byte for byte, except for what the
//! clock and the process decide.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use landmark_sweep::definition::SweepDefinition;
use landmark_sweep::device::Choice;
use landmark_sweep::sweep::{Quiet, Sweep};
use serde_json::Value;

use crate::harness::{SWEEP, Sandbox, ended, measured};

const DEFINITION: &str = r#"
name = "tiny"
question = "Do both ways agree?"
[axes]
"loss.name" = ["l1", "nll"]
[trial]
epochs = 2
batch_size = 2
dataset = { name = "phantom", train = 5, val = 3, height = 60, width = 48 }
input = { height = 40, width = 32 }
augment = { probability = 0.9, rotation_degrees = 10 }
model = { name = "unet", filters = [4, 8] }
"#;

/// Columns of `summary.csv` and fields of `status.json` that differ between two runs of the same sweep.
const MEASURED: [&str; 2] = ["seconds", "peak_memory_mib"];

#[test]
fn the_library_and_the_program_leave_the_same_folder() {
    let sandbox = Sandbox::new(DEFINITION);
    let definition = sandbox.path("tiny.toml");
    let [by_program, by_library] = ["program", "library"].map(|name| sandbox.path(name));

    // Both run in this process's directory, because the provenance names the commit that is checked out there.
    let threads = rayon::current_num_threads().to_string();
    let arguments = ["run", definition.to_str().unwrap(), "--device", "cpu", "--jobs", "1", "--threads", &threads];
    let mut program = sandbox.command(SWEEP);
    program.current_dir(std::env::current_dir().unwrap()).args(arguments).arg("--results").arg(&by_program);
    ended(0, &program.output().unwrap(), &arguments);

    let text = fs::read_to_string(&definition).unwrap();
    let definition = SweepDefinition::parse(definition.to_str().unwrap(), &text).unwrap();
    Sweep::new(definition, &by_library).run(Choice::Cpu, &mut Quiet).unwrap();

    let [program, library] = [by_program, by_library].map(|results| results.join("tiny"));
    let files = files(&program);
    assert_eq!(files, self::files(&library));
    let differing: Vec<&PathBuf> = files
        .iter()
        .filter(|file| !is_timed_figure(file) && comparable(&program.join(file)) != comparable(&library.join(file)))
        .collect();
    assert!(differing.is_empty(), "{differing:?}");
}

/// Every file below a folder, by its path in the folder.
fn files(root: &Path) -> BTreeSet<PathBuf> {
    let (mut files, mut folders) = (BTreeSet::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    files
}

/// Figures with seconds on an axis.
fn is_timed_figure(file: &Path) -> bool {
    file == Path::new("report/convergence.png")
}

/// The content of a file without the fields that differ between two runs of the same sweep.
fn comparable(path: &Path) -> Vec<u8> {
    match path.file_name().unwrap().to_str().unwrap() {
        // The process that holds the lock.
        ".lock" => Vec::new(),
        "epochs.csv" => measured(path.parent().unwrap()).into_bytes(),
        "status.json" => {
            let mut status: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
            let fields = status.as_object_mut().unwrap();
            for field in MEASURED.iter().chain(&["live"]) {
                fields.remove(*field);
            }
            serde_json::to_vec(&status).unwrap()
        }
        "summary.csv" => without_columns(path),
        _ => fs::read(path).unwrap(),
    }
}

/// A table without the columns that are measured.
fn without_columns(path: &Path) -> Vec<u8> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let headers = reader.headers().unwrap().clone();
    let cells = |row: &csv::StringRecord| -> Vec<String> {
        let named = headers.iter().zip(row.iter()).filter(|(name, _)| !MEASURED.contains(name));
        named.map(|(_, cell)| cell.to_owned()).collect()
    };
    let mut table = vec![cells(&headers)];
    table.extend(reader.records().map(|row| cells(&row.unwrap())));
    serde_json::to_vec(&table).unwrap()
}
