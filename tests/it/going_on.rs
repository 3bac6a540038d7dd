//! Sweeps that go on after something has changed: the data moved, the definition grew, records were lost, nobody reads.

use std::fs::{self, File};
use std::process::Stdio;

use rustix::process::Signal;

use crate::harness::{SWEEP, Sandbox, assert_same, ended, measured, running, trial_folders, wait_for};

const DEFINITION: &str = r#"
name = "tiny"
[axes]
"loss.name" = ["l1", "smooth-l1"]
[trial]
epochs = 2
batch_size = 2
dataset = { name = "phantom", train = 4, val = 3, height = 40, width = 32 }
input = { height = 40, width = 32 }
model = { name = "unet++", filters = [4, 8] }
"#;

fn on_folder(path: &str) -> String {
    let source = "dataset = { name = \"phantom\", train = 4, val = 3, height = 40, width = 32 }";
    DEFINITION.replace(source, &format!("dataset = {{ name = \"folder\", path = \"{path}\" }}"))
}

fn synthesise(sandbox: &Sandbox, folder: &str, seed: &str) {
    let size = ["--train", "4", "--val", "3", "--height", "40", "--width", "32", "--seed", seed];
    sandbox.expect(0, &[&["data", "synth", folder][..], &size].concat());
}

#[test]
fn a_trial_goes_on_where_its_data_moved() {
    let sandbox = Sandbox::new(&on_folder("films").replace("epochs = 2", "epochs = 150"));
    synthesise(&sandbox, "films", "0");
    let run = sandbox.start(&["run", "tiny.toml", "--quiet", "--jobs", "1"]);
    running(&sandbox.path("results/tiny"), 2);
    run.signal(Signal::INT);
    run.expect(130);
    fs::rename(sandbox.path("films"), sandbox.path("moved")).unwrap();
    sandbox.expect(0, &["run", "tiny.toml", "--quiet", "--dataset", "moved", "--set", "epochs=150"]);
    assert_eq!(sandbox.states("results/tiny"), ["done", "done"]);
    let trial = &trial_folders(&sandbox.path("results/tiny"))[0];
    assert!(fs::read_to_string(trial.join("trial.toml")).unwrap().contains("path = \"moved\""));
}

#[test]
fn data_beside_a_definition_are_found_from_anywhere() {
    let sandbox = Sandbox::new("");
    fs::create_dir(sandbox.path("sub")).unwrap();
    synthesise(&sandbox, "sub/films", "0");
    sandbox.write("sub/beside.toml", &on_folder("films").replace("tiny", "beside"));
    sandbox.expect(0, &["run", "sub/beside.toml", "--quiet"]);
    synthesise(&sandbox, "films", "1");
    let said = sandbox.expect(2, &["run", "sub/beside.toml", "--quiet"]);
    assert!(said.contains("another one is beside the definition") && said.contains("sub/beside.toml"), "{said}");
    sandbox.write("sub/gone.toml", &on_folder("nowhere").replace("tiny", "gone"));
    let said = sandbox.expect(2, &["run", "sub/gone.toml"]);
    assert!(said.contains("working directory") && said.contains("beside the definition"), "{said}");
}

#[test]
fn more_epochs_go_on_and_end_as_one_training() {
    let sandbox = Sandbox::new(DEFINITION);
    sandbox.expect(0, &["run", "tiny.toml", "--quiet"]);
    let said = sandbox.expect(0, &["run", "tiny.toml", "--set", "epochs=4"]);
    assert_eq!(said.lines().filter(|line| line.contains(" epoch ")).count(), 4, "two new epochs each: {said}");
    assert!(said.contains("2 other trials"), "{said}");
    sandbox.expect(0, &["run", "tiny.toml", "--set", "epochs=4", "--quiet", "--results", "fresh"]);
    let fresh = trial_folders(&sandbox.path("fresh/tiny"));
    for trial in &fresh {
        let ours = sandbox.path("results/tiny/trials").join(trial.file_name().unwrap());
        assert_eq!(measured(&ours), measured(trial));
        for file in ["landmarks.csv", "best.safetensors", "last.safetensors"] {
            assert!(fs::read(ours.join(file)).unwrap() == fs::read(trial.join(file)).unwrap(), "{file}");
        }
    }
    // The rate of one-cycle depends on the number of epochs: everything is trained anew.
    let cycle = ["--set", "schedule={ name = 'one-cycle' }"];
    sandbox.expect(0, &[&["run", "tiny.toml", "--quiet"][..], &cycle].concat());
    let said = sandbox.expect(0, &[&["run", "tiny.toml", "--set", "epochs=3"][..], &cycle].concat());
    assert_eq!(said.lines().filter(|line| line.contains(" epoch ")).count(), 6, "{said}");
}

#[test]
fn lost_and_damaged_records_are_said_and_trained_again() {
    let sandbox = Sandbox::new(DEFINITION);
    sandbox.expect(0, &["run", "tiny.toml", "--quiet"]);
    let sweep = sandbox.path("results/tiny");
    let trial = trial_folders(&sweep).remove(0);
    let before = (measured(&trial), fs::read(trial.join("landmarks.csv")).unwrap());
    let cut = |name: &str, bytes: usize| {
        let whole = fs::read(trial.join(name)).unwrap();
        fs::write(trial.join(name), &whole[..whole.len() - bytes]).unwrap();
    };
    let damages: [(&str, &dyn Fn()); 5] = [
        ("landmarks.csv is missing", &|| fs::remove_file(trial.join("landmarks.csv")).unwrap()),
        ("landmarks.csv is cut off", &|| cut("landmarks.csv", 700)),
        ("epochs.csv holds 0 of 2", &|| fs::remove_file(trial.join("epochs.csv")).unwrap()),
        ("epochs.csv: ", &|| {
            let text = fs::read_to_string(trial.join("epochs.csv")).unwrap();
            let first = text.lines().next().unwrap();
            fs::write(trial.join("epochs.csv"), format!("{first}\ngarbage,,,\n")).unwrap();
        }),
        ("trial.toml", &|| fs::write(trial.join("trial.toml"), "trial = ").unwrap()),
    ];
    for (what, damage) in damages {
        damage();
        let said = sandbox.expect(0, &["report", "results/tiny"]);
        assert!(said.contains("left out: l1-") && said.contains(what), "{what}: {said}");
        let said = sandbox.expect(0, &["baseline", "results/tiny", "--output", "b.json"]);
        assert!(said.contains("left out: l1-"), "{what}: {said}");
        assert!(sandbox.expect(0, &["run", "tiny.toml"]).contains("trained again"), "{what}");
        assert_eq!((measured(&trial), fs::read(trial.join("landmarks.csv")).unwrap()), before, "{what}");
        assert!(trial.join("damaged").is_dir());
    }
    fs::remove_file(trial.join("best.safetensors")).unwrap();
    sandbox.expect(0, &["report", "results/tiny"]);
    sandbox.expect(0, &["run", "tiny.toml", "--quiet"]);
    assert!(trial.join("best.safetensors").is_file());
}

#[test]
fn an_interrupted_rerun_goes_on() {
    let sandbox = Sandbox::new(&DEFINITION.replace("epochs = 2", "epochs = 40"));
    sandbox.expect(0, &["run", "tiny.toml", "--quiet"]);
    let run = sandbox.start(&["run", "tiny.toml", "--rerun", "--jobs", "1"]);
    let sweep = sandbox.path("results/tiny");
    let second = || trial_folders(&sweep).into_iter().find(|folder| folder.to_string_lossy().contains("smooth"));
    wait_for("the second trial's rerun", || {
        let text = fs::read_to_string(second()?.join("epochs.csv")).ok()?;
        let state = crate::harness::status(&second()?)?;
        (text.lines().count() > 2 && state["state"] == "running").then_some(())
    });
    run.signal(Signal::INT);
    run.expect(130);
    let said = sandbox.expect(0, &["run", "tiny.toml", "--rerun", "--jobs", "1"]);
    assert!(said.contains("going on with the rerun"), "{said}");
    assert!(!said.lines().any(|line| line.starts_with("l1-") && line.contains(" epoch ")), "{said}");
    // The next rerun is of all trials again.
    let said = sandbox.expect(0, &["run", "tiny.toml", "--rerun", "--jobs", "1"]);
    assert_eq!(said.lines().filter(|line| line.contains(" epoch ")).count(), 80, "{said}");
}

#[test]
fn a_recorded_definition_runs_again_and_reports_go_elsewhere() {
    let sandbox = Sandbox::new(DEFINITION);
    sandbox.expect(0, &["run", "tiny.toml", "--quiet", "--set", "batch_size=4"]);
    sandbox.expect(0, &["run", "results/tiny/sweep.toml", "--results", "again", "--quiet"]);
    assert_same(&sandbox.path("results/tiny"), &sandbox.path("again/tiny"));
    let before = fs::read(sandbox.path("results/tiny/summary.csv")).unwrap();
    fs::remove_file(sandbox.path("results/tiny/summary.csv")).unwrap();
    sandbox.expect(0, &["report", "results/tiny", "--output", "elsewhere"]);
    assert!(!sandbox.path("results/tiny/summary.csv").exists(), "nothing is written into the results");
    assert_eq!(fs::read(sandbox.path("elsewhere/summary.csv")).unwrap(), before);
}

#[test]
fn a_pruned_trial_goes_on_where_nothing_prunes_it() {
    let rates = "\"optimizer.lr\" = [1e-2, 3e-3, 1e-3, 1e-4, 1e-5]";
    let plain =
        DEFINITION.replace("\"loss.name\" = [\"l1\", \"smooth-l1\"]", rates).replace("epochs = 2", "epochs = 60");
    // Long enough for the runner to decide before a trial has ended.
    let plain = plain.replace("[trial]", "[trial]\nloss = { name = \"l1\" }\noptimizer = { name = \"adamw\" }");
    let pruned = format!("{plain}[prune]\nmethod = \"median\"\nwarm_up = 2\nmin_trials = 2\naudit = 0\n");
    let sandbox = Sandbox::new(&pruned);
    sandbox.expect(0, &["run", "tiny.toml", "--quiet", "--jobs", "1"]);
    assert!(sandbox.states("results/tiny").contains(&"pruned".to_owned()));
    sandbox.write("tiny.toml", &pruned.replace("warm_up = 2", "warm_up = 60"));
    sandbox.expect(0, &["run", "tiny.toml", "--quiet", "--jobs", "1"]);
    assert_eq!(sandbox.states("results/tiny"), ["done"; 5], "a looser rule stops none of them");
    sandbox.expect(0, &["run", "tiny.toml", "--quiet", "--results", "fresh"]);
    assert_same(&sandbox.path("results/tiny"), &sandbox.path("fresh/tiny"));
}

#[test]
fn nobody_has_to_read_what_is_said() {
    let sandbox = Sandbox::new(DEFINITION);
    let mut command = sandbox.command(SWEEP);
    command
        .args(["run", "tiny.toml"])
        .stdout(Stdio::null())
        .stderr(File::options().write(true).open("/dev/full").unwrap());
    ended(0, &command.output().unwrap(), &["run"]);
    assert_eq!(sandbox.states("results/tiny"), ["done", "done"]);
    for arguments in [&["schema"][..], &["plan", "--no-calibrate", "tiny.toml"], &["status", "results/tiny"]] {
        let mut command = sandbox.command(SWEEP);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // The reader goes away before anything is written.
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let code = output.status.code();
        assert!(matches!(code, Some(0 | 141)) && output.stderr.is_empty(), "{arguments:?}: {code:?}");
    }
}
