//! Trainings with initial weights from a file: messages to users, and the identity of trials.

use std::fs;
use std::path::Path;

use crate::harness::{Sandbox, trial_folders};

const DEFINITION: &str = r#"
name = "tiny"
[trial]
epochs = 1
batch_size = 3
dataset = { name = "phantom", train = 3, val = 2, height = 40, width = 32 }
input = { height = 40, width = 32 }
model = { name = "unet-resnet18", filters = [4, 6], decoder = [6, 5, 4], weights = { path = "encoder.pth", prefix = "encoder." } }
loss = { name = "l1" }
"#;

fn fixture(name: &str) -> Vec<u8> {
    let package = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    fs::read(Path::new(&package).join("tests/fixtures/weights").join(name)).unwrap()
}

fn trials(sandbox: &Sandbox, results: &str) -> Vec<String> {
    let folders = trial_folders(&sandbox.path(results).join("tiny"));
    folders.iter().map(|folder| folder.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_trial_says_what_it_started_from_and_is_what_the_file_holds() {
    let sandbox = Sandbox::new(DEFINITION);
    fs::write(sandbox.path("encoder.pth"), fixture("encoder.pth")).unwrap();
    sandbox.expect(0, &["run", "tiny.toml", "--quiet"]);
    let [folder] = &trial_folders(&sandbox.path("results/tiny"))[..] else { panic!("one trial") };
    let file = fs::read_to_string(folder.join("trial.toml")).unwrap();
    for said in
        ["[weights]", "summed_over_colours = [\"encoder.conv1.weight\"]", "\"fc.weight\"", "\"encoder.bn1.bias\""]
    {
        assert!(file.contains(said), "{said}: {file}");
    }
    let log = fs::read_to_string(folder.join("log.txt")).unwrap();
    for said in
        ["weights matched (", "weights missing in the file (", "weights unused of the file (2): fc.bias, fc.weight"]
    {
        assert_eq!(log.matches(said).count(), 1, "{said}: {log}");
    }
    // The same file in another folder gives the same trial, which is done; the same numbers in another file do not.
    let first = trials(&sandbox, "results");
    fs::rename(sandbox.path("encoder.pth"), sandbox.path("moved.pth")).unwrap();
    sandbox.expect(0, &["run", "tiny.toml", "--quiet", "--set", "model.weights.path=\"moved.pth\""]);
    assert_eq!(trials(&sandbox, "results"), first);
    fs::write(sandbox.path("encoder.safetensors"), fixture("encoder.safetensors")).unwrap();
    let other = ["--set", "model.weights.path=\"encoder.safetensors\"", "--results", "other"];
    sandbox.expect(0, &[&["run", "tiny.toml", "--quiet"], &other[..]].concat());
    assert_ne!(trials(&sandbox, "other"), first);
    let epochs = |results: &str| {
        let folder = trial_folders(&sandbox.path(results).join("tiny")).remove(0);
        let text = fs::read_to_string(folder.join("epochs.csv")).unwrap();
        let row = text.lines().nth(1).unwrap().split(',').map(str::to_owned).collect::<Vec<_>>();
        row[3..15].to_vec()
    };
    assert_eq!(epochs("results"), epochs("other"), "but it trains alike");
}

/// The values of a tensor in a trial's last checkpoint.
fn last(sandbox: &Sandbox, results: &str, name: &str) -> Vec<u8> {
    let folder = trial_folders(&sandbox.path(results).join("tiny")).remove(0);
    let bytes = fs::read(folder.join("last.safetensors")).unwrap();
    safetensors::SafeTensors::deserialize(&bytes).unwrap().tensor(name).unwrap().data().to_vec()
}

#[test]
fn parameters_from_the_file_are_frozen_as_long_as_said_and_resumed_exactly() {
    let sandbox = Sandbox::new(&DEFINITION.replace("epochs = 1", "epochs = 3"));
    fs::write(sandbox.path("encoder.pth"), fixture("encoder.pth")).unwrap();
    let file = fixture("encoder.safetensors");
    let file = safetensors::SafeTensors::deserialize(&file).unwrap();
    let start = file.tensor("layer1.0.conv1.weight").unwrap().data().to_vec();
    let encoder = "encoder.layer1.0.conv1.weight";
    for (set, stays) in [
        ("model.weights.freeze=3", true),
        ("model.weights.freeze=1", false),
        ("model.weights.lr_factor=0.0", true),
        ("model.weights.lr_factor=0.1", false),
    ] {
        sandbox.expect(0, &["run", "tiny.toml", "--quiet", "--set", set, "--results", set]);
        assert_eq!(last(&sandbox, set, encoder) == start, stays, "{set}");
        // The others train alike as long as these stay.
        let decoder = "decoder.blocks.0.conv1.0.weight";
        let others = [set, "model.weights.freeze=3"].map(|results| last(&sandbox, results, decoder));
        assert_eq!(others[0] == others[1], stays, "{set}");
    }
    let text = fs::read_to_string(sandbox.path("tiny.toml")).unwrap();
    fs::write(sandbox.path("tiny.toml"), text.replace("prefix = ", "freeze = 1, prefix = ")).unwrap();
    sandbox.expect(0, &["verify-resume", "tiny.toml", "--kills", "3"]);
    let said = sandbox.expect(2, &["plan", "tiny.toml", "--set", "model.weights.lr_factor=-1.0"]);
    assert!(said.contains("lr_factor"), "{said}");
}

#[test]
fn a_file_that_cannot_be_used_stops_the_plan_and_names_the_key() {
    let sandbox = Sandbox::new(DEFINITION);
    let refused = |what: &[&str]| {
        let said = sandbox.expect(2, &["run", "tiny.toml", "--quiet"]);
        assert!(what.iter().all(|what| said.contains(what)), "{what:?}: {said}");
        assert!(!sandbox.path("results/tiny/trials").exists(), "nothing begins");
    };
    refused(&["tiny.toml:8", "encoder.pth", "cannot read weights"]);
    let whole = fixture("encoder.pth");
    fs::write(sandbox.path("encoder.pth"), &whole[..whole.len() / 2]).unwrap();
    refused(&["tiny.toml:8", "encoder.pth", "torch.save"]);
    let legacy = fixture("legacy.pth");
    fs::write(sandbox.path("encoder.pth"), &legacy[..legacy.len() - 9]).unwrap();
    refused(&["ends early"]);
    fs::write(sandbox.path("encoder.pth"), fixture("evil.pth")).unwrap();
    refused(&["`encoder.conv1.weight [4, 1, 7, 7], in the file [1]`", "model.weights.mismatched"]);
    fs::write(sandbox.path("encoder.pth"), fixture("checkpoint.pth")).unwrap();
    refused(&["not one tensor has the name of a parameter", "`state_dict.module.bn1.bias`", "model.weights.prefix"]);
    assert!(!sandbox.path("landmark-sweep-pickle-was-run").exists());
}
