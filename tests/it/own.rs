//! Custom networks, losses and data sets, and sweeps from Rust: the example stands for a user's program.

use std::fs;
use std::path::{Path, PathBuf};

use landmark_sweep::definition::SweepDefinition;
use landmark_sweep::device::Choice;
use landmark_sweep::records::{EpochRecord, State};
use landmark_sweep::sweep::{Quiet, Sweep};
use landmark_sweep::train::Observer;

use crate::harness::{SWEEP, Sandbox, StopAfter, assert_same, ended, measured, trial_folders};

#[expect(dead_code, reason = "its `main` is the example's")]
#[path = "../examples/own_parts.rs"]
mod own_parts;

const DEFINITION: &str = include_str!("../examples/own_parts.toml");

/// The example as `cargo test` builds it.
fn program() -> PathBuf {
    let path = Path::new(SWEEP).with_file_name("examples").join("own-parts");
    assert!(path.is_file(), "{} is missing: `cargo build --release --example own-parts` makes it", path.display());
    path
}

impl Sandbox {
    fn own(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.command(program().to_str().unwrap()).args(arguments).output().unwrap();
        let said = ended(code, &output, arguments);
        said + &String::from_utf8_lossy(&output.stdout)
    }
}

#[test]
fn a_program_with_parts_of_its_own_sweeps_and_the_plain_one_reads_what_it_left() {
    let sandbox = Sandbox::new(DEFINITION);
    sandbox.own(0, &["run", "tiny.toml", "--quiet"]);
    let results = sandbox.path("results/own-parts");
    let trials = trial_folders(&results);
    assert_eq!(trials.len(), 4);
    let summary = fs::read_to_string(results.join("summary.csv")).unwrap();
    let column = |name: &str| summary.lines().next().unwrap().split(',').position(|c| c == name).unwrap();
    for row in summary.lines().skip(1) {
        let cells: Vec<&str> = row.split(',').collect();
        assert_eq!(cells[column("state")], "done");
        // A pixel is half a millimetre; guessing gives an error of 3.4.
        assert!(cells[column("best_val_mre_mm")].parse::<f64>().unwrap() < 1.5, "{row}");
    }
    let own = trials.iter().find(|t| t.to_string_lossy().contains("charbonnier-seed0-")).unwrap();
    let written = fs::read_to_string(own.join("trial.toml")).unwrap();
    assert!(
        written.contains("kind = \"charbonnier\"\nversion = \"1\"") && written.contains("kind = \"ladder\"\nversion")
    );

    // Everything is done, and stays done.
    let before = measured(own);
    sandbox.own(0, &["run", "tiny.toml", "--quiet"]);
    assert_eq!(measured(own), before);

    let checkpoint = own.join("best.safetensors");
    let checkpoint = checkpoint.to_str().unwrap();
    assert!(sandbox.own(0, &["eval", "--checkpoint", checkpoint]).contains("bottom right"));
    let picture = fs::read_dir(results.join("images")).unwrap().next().unwrap().unwrap();
    let name = picture.file_name().into_string().unwrap();
    let picture = picture.path();
    let landmarks = sandbox.own(0, &["predict", "--checkpoint", checkpoint, picture.to_str().unwrap()]);
    assert!(landmarks.contains(&format!("{name},top left,")), "{landmarks}");

    // Any program can read the records; training and prediction need the program with the custom components.
    sandbox.expect(0, &["status", "results/own-parts"]);
    sandbox.expect(0, &["report", "results/own-parts"]);
    for wrong in [
        sandbox.expect(2, &["plan", "tiny.toml"]),
        sandbox.expect(2, &["eval", "--checkpoint", checkpoint]),
        sandbox.expect(2, &["predict", "--checkpoint", checkpoint, picture.to_str().unwrap()]),
    ] {
        assert!(wrong.contains("this program has no") && wrong.contains("landmark_sweep::program::Program"), "{wrong}");
    }
}

#[test]
fn what_is_wrong_with_a_part_is_told_with_its_line_and_key() {
    let sandbox = Sandbox::new(DEFINITION);
    for (from, to, at, what) in [
        ("kind = \"ladder\"", "kind = \"leader\"", "wrong.toml:20, key `trial.model.kind`", "it has `ladder`"),
        ("[8, 16, 32]", "[8]", "wrong.toml:20, key `trial.model.options.filters`", "two levels or more"),
        ("options = { filters", "options = { filter", "wrong.toml:20, key `trial.model.options", "`filter`"),
        (
            "kind = \"ladder\"",
            "kind = \"ladder\", version = \"1\"",
            "key `trial.model.version`",
            "but the definition expects 1",
        ),
        ("epsilon = 0.01", "epsilon = -1", "wrong.toml:8, key `axes.loss`", "a positive number"),
        ("train = 32", "train = 1", "wrong.toml:16, key `trial.dataset.options.train`", "too few"),
        ("kind = \"boxes\"", "split_column = \"set\", kind = \"boxes\"", "trial.dataset.split_column`", "no column"),
    ] {
        assert!(DEFINITION.contains(from));
        sandbox.write("wrong.toml", &DEFINITION.replace(from, to));
        let said = sandbox.own(2, &["plan", "wrong.toml"]);
        assert!(said.contains(at) && said.contains(what), "{to}: {said}");
    }
}

const TINY: &str = r#"
name = "tiny"
seeds = [0, 1]
[axes]
"loss.name" = ["l1", "nll"]
[trial]
epochs = 3
batch_size = 2
dataset = { name = "phantom", train = 5, val = 3, height = 60, width = 48 }
input = { height = 40, width = 32 }
augment = { probability = 0.9, rotation_degrees = 10 }
model = { name = "unet", filters = [4, 8] }
"#;

/// Counts epochs.
#[derive(Default)]
struct Count(usize);

impl Observer for Count {
    fn epoch(&mut self, _record: &EpochRecord) {
        self.0 += 1;
    }
}

#[test]
fn a_sweep_from_rust_is_the_programs_interrupted_or_not() {
    let sandbox = Sandbox::new(TINY);
    sandbox.expect(0, &["run", "tiny.toml", "--quiet", "--results", "theirs"]);
    let definition = SweepDefinition::parse("tiny.toml", TINY).unwrap();
    let sweep = Sweep::new(definition, &sandbox.path("ours"));
    assert!(sweep.records().is_err());
    let some = sweep.run(Choice::Cpu, &mut StopAfter(5)).unwrap();
    let states: Vec<State> = some.trials.iter().map(|trial| trial.status.state).collect();
    assert_eq!(states, [State::Interrupted]);
    let mut count = Count::default();
    let all = sweep.run(Choice::Cpu, &mut count).unwrap();
    assert_eq!((all.trials.len(), count.0), (4, 11), "an epoch was done before");
    assert!(all.trials.iter().all(|trial| trial.status.state == State::Done && trial.status.parameters > 0));
    assert_same(&sandbox.path("theirs/tiny"), &sandbox.path("ours/tiny"));
    for name in ["summary.csv", "report/index.html", "report/overlays.png"] {
        assert!(sandbox.path("ours/tiny").join(name).is_file(), "{name}");
    }
    // Program and library resume each other's sweeps: nothing is left to do.
    sandbox.expect(0, &["run", "tiny.toml", "--quiet", "--results", "ours"]);
    let mut none = Count::default();
    sweep.run(Choice::Cpu, &mut none).unwrap();
    assert_eq!(none.0, 0);

    let pruned = format!("{TINY}\n[prune]\nmethod = \"median\"");
    let pruned = SweepDefinition::parse("tiny.toml", &pruned).unwrap();
    let refused = Sweep::new(pruned, &sandbox.path("ours")).run(Choice::Cpu, &mut Quiet).unwrap_err();
    assert!(refused.message.contains("depend on how others end"), "{refused}");
}
