//! A sweep run by the library leaves the same results folder as one run by the program, byte for byte, except for times,
//! peak memory and process ids.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use landmark_sweep::definition::SweepDefinition;
use landmark_sweep::device::Choice;
use landmark_sweep::sweep::{Quiet, Sweep};
use serde_json::{Value, json};

use crate::harness::{SWEEP, Sandbox, ended, measured, trial_folders};

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
    let sweep = Sweep::new(definition, &by_library);
    sweep.run(Choice::Cpu, &mut Quiet).unwrap();

    let [program, library] = [by_program, by_library].map(|results| results.join("tiny"));
    assert_eq!(files(&program), files(&library));
    // Summary and report contain times: write them again from records without times.
    for folder in [&program, &library].into_iter().flat_map(|root| trial_folders(root)) {
        remove_measurements(&folder);
    }
    sandbox.expect(0, &["report", program.to_str().unwrap()]);
    sweep.report().unwrap();
    let files = files(&program);
    assert_eq!(files, self::files(&library));
    let content = |root: &Path, file: &Path| fs::read(root.join(file)).unwrap();
    let differing: Vec<&PathBuf> =
        files.iter().filter(|file| content(&program, file) != content(&library, file)).collect();
    assert!(differing.is_empty(), "{differing:?}");
}

/// The paths of all files below a folder; locks, which name a process, are left out.
fn files(root: &Path) -> BTreeSet<PathBuf> {
    let (mut files, mut folders) = (BTreeSet::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name != ".lock") {
                files.insert(path.strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    files
}

/// Replaces the fields of a trial's records that differ between two runs of the same trial.
fn remove_measurements(folder: &Path) {
    let epochs = measured(folder);
    let (header, rows) = epochs.split_once('\n').unwrap();
    let rows: Vec<String> = rows.lines().map(|row| format!("{row},1,1\n")).collect();
    let rows = rows.concat();
    fs::write(folder.join("epochs.csv"), format!("{header},images_per_second,seconds\n{rows}")).unwrap();

    let path = folder.join("status.json");
    let mut status: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    (status["seconds"], status["peak_memory_mib"]) = (json!(1), json!(1));
    for field in ["pid", "beat", "written"] {
        status["live"][field] = json!(1);
    }
    fs::write(path, status.to_string()).unwrap();
}
