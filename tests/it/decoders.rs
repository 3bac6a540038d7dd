//! Trials that differ in their decoder alone share one training and have the records that each would have had alone.

use std::fs;

use landmark_sweep::definition::SweepDefinition;
use landmark_sweep::device::Choice;
use landmark_sweep::records::EpochRecord;
use landmark_sweep::sweep::Sweep;
use landmark_sweep::train::Observer;
use rustix::process::Signal;

use crate::harness::{Sandbox, assert_same, measured, running, trial_folders};

const DECODERS: [&str; 3] = ["argmax", "subpixel", "dark"];

fn definition(decoders: &[&str], epochs: u32) -> String {
    format!(
        r#"
name = "tiny"
[axes]
"decode.name" = {decoders:?}
[trial]
epochs = {epochs}
batch_size = 2
dataset = {{ name = "phantom", train = 4, val = 3, height = 40, width = 32 }}
input = {{ height = 40, width = 32 }}
heatmap = {{ name = "gaussian", sigma = 1.5 }}
model = {{ name = "unet++", filters = [4, 8] }}
loss = {{ name = "l1" }}
"#
    )
}

fn epochs_of(said: &str) -> usize {
    said.lines().filter(|line| line.contains("  epoch ")).count()
}

/// Trains each decoder by a definition of its own, into `alone/tiny`.
fn alone(sandbox: &Sandbox, epochs: u32) {
    for decoder in DECODERS {
        sandbox.write("one.toml", &definition(&[decoder], epochs));
        let said = sandbox.expect(0, &["run", "one.toml", "--results", "alone"]);
        assert_eq!(epochs_of(&said), epochs as usize, "{said}");
    }
}

#[test]
fn three_decoders_are_one_training() {
    let sandbox = Sandbox::new(&definition(&DECODERS, 3));
    let said = sandbox.printed(&["plan", "tiny.toml", "--no-calibrate"]);
    assert!(said.contains("3 trials of sweep `tiny`, served by 1 training"), "{said}");
    let said = sandbox.expect(0, &["run", "tiny.toml"]);
    assert_eq!(epochs_of(&said), 3, "{said}");
    assert_eq!(said.lines().filter(|line| line.contains("takes over the training of argmax-")).count(), 2, "{said}");
    assert_eq!(sandbox.states("results/tiny"), ["done"; 3]);
    alone(&sandbox, 3);
    assert_same(&sandbox.path("results/tiny"), &sandbox.path("alone/tiny"));
    for trial in trial_folders(&sandbox.path("results/tiny")) {
        assert!(!trial.join("followers").exists() && trial.join("curves.png").is_file(), "{}", trial.display());
    }
    // A further decoder cannot be evaluated, since the weights of every epoch are not kept: it is trained.
    sandbox.write("tiny.toml", &definition(&["argmax", "subpixel", "dark", "centroid"], 3));
    assert_eq!(epochs_of(&sandbox.expect(0, &["run", "tiny.toml"])), 3);
    // A rerun trains them all again, as one.
    assert_eq!(epochs_of(&sandbox.expect(0, &["run", "tiny.toml", "--rerun"])), 3);
    assert_eq!(sandbox.states("results/tiny"), ["done"; 4]);
}

#[test]
fn kills_and_stops_change_nothing() {
    let sandbox = Sandbox::new(&definition(&DECODERS, 60));
    let sweep = sandbox.path("results/tiny");
    for signal in [Signal::KILL, Signal::INT] {
        let run = sandbox.start(&["run", "tiny.toml", "--quiet", "--jobs", "1"]);
        running(&sweep, 3);
        let status = sandbox.status("results/tiny");
        let follows = |trial: &serde_json::Value| trial["follows"].as_str().is_some_and(|of| of.starts_with("argmax-"));
        assert_eq!(status.iter().filter(|trial| follows(trial)).count(), 2, "{status:?}");
        run.signal(signal);
        run.output();
    }
    sandbox.expect(0, &["run", "tiny.toml", "--quiet"]);
    alone(&sandbox, 60);
    assert_same(&sweep, &sandbox.path("alone/tiny"));
}

#[test]
fn trials_that_their_errors_end_are_trained_each() {
    let early = definition(&DECODERS[..2], 2).replace("batch_size", "early_stop = { patience = 9 }\nbatch_size");
    let pruned = format!("{}\n[prune]\nmethod = \"median\"\n", definition(&DECODERS[..2], 2));
    for definition in [early, pruned] {
        let sandbox = Sandbox::new(&definition);
        let said = sandbox.printed(&["plan", "tiny.toml", "--no-calibrate"]);
        assert!(!said.contains("served by"), "{said}");
        assert_eq!(epochs_of(&sandbox.expect(0, &["run", "tiny.toml"])), 4);
    }
}

#[test]
fn another_objective_chooses_again_and_trains_only_where_it_must() {
    let one = definition(&["argmax"], 3);
    let sandbox = Sandbox::new(&one);
    sandbox.expect(0, &["run", "tiny.toml", "--quiet"]);
    // Of fewer evaluations, that of the last epoch is kept in any case.
    let said = sandbox.expect(0, &["run", "tiny.toml", "--set", "evaluate_every=3"]);
    assert_eq!(epochs_of(&said), 0, "{said}");
    // More evaluations were never made.
    sandbox.write("every.toml", &one.replace("tiny", "every"));
    sandbox.expect(0, &["run", "every.toml", "--quiet", "--set", "evaluate_every=3"]);
    let said = sandbox.expect(0, &["run", "every.toml"]);
    assert!(epochs_of(&said) == 3 && said.contains("it did not evaluate epoch 1"), "{said}");
    for objective in ["median_mm", "p95_mm", "sdr_2mm"] {
        sandbox.write("tiny.toml", &format!("objective = \"{objective}\"\n{one}"));
        let said = sandbox.expect(0, &["run", "tiny.toml"]);
        let why = said.contains("is trained, though");
        assert_eq!(epochs_of(&said), if why { 3 } else { 0 }, "{said}");
        sandbox.expect(0, &["run", "tiny.toml", "--quiet", "--results", "fresh"]);
    }
    for fresh in trial_folders(&sandbox.path("fresh/tiny")) {
        let ours = sandbox.path("results/tiny/trials").join(fresh.file_name().unwrap());
        assert_eq!(measured(&ours), measured(&fresh));
        for file in ["landmarks.csv", "errors.bin", "best.safetensors", "last.safetensors"] {
            assert!(fs::read(ours.join(file)).unwrap() == fs::read(fresh.join(file)).unwrap(), "{file}");
        }
    }
}

/// Counts epochs.
#[derive(Default)]
struct Epochs(usize);

impl Observer for Epochs {
    fn epoch(&mut self, _record: &EpochRecord) {
        self.0 += 1;
    }
}

#[test]
fn a_sweep_of_the_library_shares_trainings_too() {
    let sandbox = Sandbox::new(&definition(&DECODERS, 2));
    let parsed = SweepDefinition::parse("tiny.toml", &definition(&DECODERS, 2)).unwrap();
    let sweep = Sweep::new(parsed, &sandbox.path("library"));
    let mut epochs = Epochs::default();
    sweep.run(Choice::Cpu, &mut epochs).unwrap();
    assert_eq!(epochs.0, 2);
    sweep.run(Choice::Cpu, &mut epochs).unwrap();
    assert_eq!(epochs.0, 2, "all are done");
    sandbox.expect(0, &["run", "tiny.toml", "--quiet"]);
    assert_same(&sandbox.path("library/tiny"), &sandbox.path("results/tiny"));
}
