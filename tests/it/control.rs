//! Requests that a runner takes from files while it trains: pause, stop, retry.

use std::fs;
use std::time::Duration;

use crate::harness::{Sandbox, assert_same, measured, running, status, trial_folders, wait_for};

const DEFINITION: &str = r#"
name = "tiny"
seeds = [0, 1]
[trial]
epochs = 60
batch_size = 2
dataset = { name = "phantom", train = 6, val = 2, height = 60, width = 48 }
input = { height = 40, width = 32 }
model = { name = "unet++", filters = [4, 8, 8] }
loss = { name = "l1" }
"#;

const RUN: [&str; 6] = ["run", "tiny.toml", "--jobs", "1", "--threads", "1"];

fn order(sandbox: &Sandbox, name: &str) {
    let file = sandbox.path("results/tiny/control").join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, "").unwrap();
}

#[test]
fn a_pause_frees_the_machine_and_changes_no_number() {
    let sandbox = Sandbox::new(DEFINITION);
    sandbox.expect(0, &[&RUN[..], &["--results", "undisturbed"]].concat());
    let started = sandbox.start(&RUN);
    let sweep = sandbox.path("results/tiny");
    let (folder, _) = running(&sweep, 2);
    order(&sandbox, "pause");
    wait_for("the trial to save and end", || (status(&folder)?["state"] == "interrupted").then_some(()));
    let before = measured(&folder);
    std::thread::sleep(Duration::from_secs(1));
    let states = sandbox.states("results/tiny");
    assert!(!states.contains(&"running".to_owned()), "{states:?}");
    assert_eq!(measured(&folder), before);
    let shown = sandbox.sweep(&["status", "results/tiny"]).stdout;
    assert!(String::from_utf8_lossy(&shown).contains(", paused"));
    fs::remove_file(sweep.join("control/pause")).unwrap();
    let said = started.expect(0);
    for what in ["paused: ", "going on"] {
        assert!(said.contains(what), "{said}");
    }
    assert_eq!(sandbox.states("results/tiny"), ["done", "done"]);
    assert_same(&sweep, &sandbox.path("undisturbed/tiny"));
}

#[test]
fn a_stop_is_as_a_signal_and_is_not_asked_of_the_next_run() {
    let sandbox = Sandbox::new(DEFINITION);
    let started = sandbox.start(&RUN);
    running(&sandbox.path("results/tiny"), 1);
    order(&sandbox, "stop");
    let said = started.expect(130);
    assert!(said.contains("stopping: ") && said.contains("go on"), "{said}");
    sandbox.expect(0, &RUN);
    assert_eq!(sandbox.states("results/tiny"), ["done", "done"]);
}

#[test]
fn what_failed_is_tried_again_while_others_run() {
    // A loss that soon becomes infinite, and a trial that takes a while.
    let sandbox = Sandbox::new(&DEFINITION.replace(
        "seeds = [0, 1]",
        "[axes]\nzip = [{ \"optimizer.lr\" = 1e30, label = \"steep\" }, { \"optimizer.lr\" = 1e-3, label = \"flat\" }]",
    ).replace("epochs = 60", "epochs = 150\noptimizer = { name = \"adamw\", lr = 1.0 }"));
    let started = sandbox.start(&RUN);
    let sweep = sandbox.path("results/tiny");
    let failed = wait_for("a trial that diverges", || {
        trial_folders(&sweep).into_iter().find(|folder| status(folder).is_some_and(|s| s["state"] == "diverged"))
    });
    let name = failed.file_name().unwrap().to_string_lossy().into_owned();
    order(&sandbox, &format!("retry/{name}"));
    order(&sandbox, "retry/nobody");
    let said = started.expect(1);
    assert!(said.contains(&format!("{name}: to be trained again")), "{said}");
    assert!(said.contains("nobody: not trained again"), "{said}");
    assert_eq!(said.matches(&format!("{name}: diverged")).count(), 2, "{said}");
    assert!(said.contains("1 of 2 trials failed"), "{said}");
    assert!(fs::read_dir(sweep.join("control/retry")).unwrap().next().is_none());
}

#[test]
fn off_a_terminal_a_watch_is_lines() {
    let sandbox = Sandbox::new(&DEFINITION.replace("epochs = 60", "epochs = 2"));
    sandbox.expect(0, &RUN);
    let output = sandbox.sweep(&["status", "results/tiny", "--watch"]);
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && shown.contains("2 trials: 2 done") && !shown.contains('\u{1b}'), "{shown}");
}
