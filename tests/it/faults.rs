//! Faults of a machine during a sweep: the state, message and exit code of each, and the same results in the end.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;

use crate::harness::{SWEEP, Sandbox, assert_same, ended, measured, running, send, status, trial_folders, wait_for};

/// Two short trials.
const DEFINITION: &str = r#"
name = "tiny"
[axes]
"loss.name" = ["l1", "nll"]
[trial]
epochs = 12
batch_size = 2
dataset = { name = "phantom", train = 8, val = 4, height = 32, width = 32 }
input = { height = 32, width = 32 }
augment = { probability = 0.9, rotation_degrees = 10, translate = 0.05 }
model = { name = "unet", filters = [4, 8] }
"#;

const RUN: [&str; 5] = ["run", "tiny.toml", "--quiet", "--threads", "2"];

/// One trial that lasts until it is stopped.
fn endless() -> String {
    DEFINITION.replace("[\"l1\", \"nll\"]", "[\"l1\"]").replace("epochs = 12", "epochs = 100000")
}

/// A sandbox with an undisturbed run of the sweep in `whole`.
fn with_reference() -> Sandbox {
    let sandbox = Sandbox::new(DEFINITION);
    sandbox.expect(0, &[&RUN[..], &["--results", "whole"]].concat());
    sandbox
}

fn assert_as_undisturbed(sandbox: &Sandbox) {
    assert_same(&sandbox.path("whole/tiny"), &sandbox.path("results/tiny"));
}

/// Runs until a trial has some epochs, then stops it gently.
fn interrupted(sandbox: &Sandbox) -> std::path::PathBuf {
    let started = sandbox.start(&RUN);
    let (folder, _) = running(&sandbox.path("results/tiny"), 3);
    started.signal(Signal::INT);
    started.expect(130);
    folder
}

#[test]
fn a_disk_that_takes_no_large_files_stops_the_sweep_and_loses_nothing() {
    let sandbox = with_reference();
    // Too small for a checkpoint; small files fit.
    let full = format!("trap '' XFSZ; ulimit -f 16; exec {SWEEP} run tiny.toml --quiet");
    let output = sandbox.command("sh").env("LANDMARK_SWEEP_CACHE", "off").args(["-c", &full]).output().unwrap();
    let said = ended(2, &output, &["a size limit"]);
    assert!(said.contains("cannot write") && said.contains("free some space and run again"), "{said}");
    let trials = sandbox.status("results/tiny");
    let stopped = |trial: &serde_json::Value| {
        trial["state"] == "interrupted" && trial["message"].as_str().is_some_and(|why| why.contains("cannot write"))
    };
    assert!(trials.iter().any(stopped), "{trials:?}");
    sandbox.expect(0, &RUN);
    assert_as_undisturbed(&sandbox);
}

/// Runs a script as root of its own namespace, if the system lets users do that.
fn in_name_space(sandbox: &Sandbox, script: &str) -> Option<std::process::Output> {
    sweep_testing::unshare().then(|| sandbox.command("unshare").args(["-rm", "sh", "-c", script]).output().unwrap())
}

#[test]
fn a_full_disk_and_a_read_only_one() {
    let sandbox = Sandbox::new(DEFINITION);
    fs::create_dir(sandbox.path("results")).unwrap();
    let full = format!(
        "mount -t tmpfs -o size=100k none results && {SWEEP} run tiny.toml --quiet; code=$?
         {SWEEP} status results/tiny; mount -o remount,size=50m results && {SWEEP} run tiny.toml --quiet && exit $code"
    );
    if let Some(output) = in_name_space(&sandbox, &full) {
        let said = ended(2, &output, &["a full disk"]);
        assert!(said.contains("No space left on device") && said.contains("free some space"), "{said}");
        let status = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(status.contains("interrupted") || status.contains("pending"), "{status}");
    }
    let read_only = format!("mount -t tmpfs -o ro none results && exec {SWEEP} run tiny.toml");
    if let Some(output) = in_name_space(&sandbox, &read_only) {
        let said = ended(2, &output, &["a read-only disk"]);
        assert!(said.contains("Read-only file system") && said.contains("--results"), "{said}");
    }
}

#[test]
fn a_folder_removed_in_mid_run_stops_the_sweep_and_is_not_half_made_again() {
    let sandbox = Sandbox::new(&endless());
    let started = sandbox.start(&RUN);
    running(&sandbox.path("results/tiny"), 2);
    wait_for("the folder to be gone", || fs::remove_dir_all(sandbox.path("results")).ok());
    let said = started.expect(2);
    assert!(said.contains("cannot write") && said.contains("results"), "{said}");
    assert!(
        trial_folders(&sandbox.path("results/tiny")).is_empty(),
        "something was written into a folder that was gone"
    );
    sandbox.expect(0, &[&RUN[..], &["--set", "epochs=1"]].concat());
}

#[test]
fn a_torn_checkpoint_falls_back_to_the_one_before_and_two_torn_ones_to_the_start() {
    let sandbox = with_reference();
    let folder = interrupted(&sandbox);
    let last = folder.join("last.safetensors");
    let bytes = fs::read(&last).unwrap();
    fs::write(&last, &bytes[..bytes.len() / 2]).unwrap();
    sandbox.expect(0, &RUN);
    let log = fs::read_to_string(folder.join("log.txt")).unwrap();
    assert!(log.contains("not resumed from") && log.contains("last.safetensors"), "{log}");
    assert!(!log.contains("starts anew"), "{log}");
    assert_as_undisturbed(&sandbox);

    fs::remove_dir_all(sandbox.path("results")).unwrap();
    let folder = interrupted(&sandbox);
    for name in ["last.safetensors", "previous.safetensors"] {
        let mut bytes = fs::read(folder.join(name)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(folder.join(name), bytes).unwrap();
    }
    sandbox.expect(0, &RUN);
    let log = fs::read_to_string(folder.join("log.txt")).unwrap();
    assert!(log.contains("starts anew") && folder.join("damaged/epochs.csv").is_file(), "{log}");
    assert_as_undisturbed(&sandbox);
}

#[test]
fn a_damaged_table_is_cut_back_or_made_again() {
    let sandbox = with_reference();
    for (damage, anew) in [("l1,0,9,0.", false), ("l1,0,9,0.1\nnonsense\n", false), ("", true)] {
        let _ = fs::remove_dir_all(sandbox.path("results"));
        let folder = interrupted(&sandbox);
        let path = folder.join("epochs.csv");
        let text = fs::read_to_string(&path).unwrap();
        // A damaged end, or a damaged row within the epochs of the checkpoint.
        let broken = if anew { text.replacen(",0,1,", ",0,x,", 1) } else { text + damage };
        fs::write(&path, broken).unwrap();
        let shown = String::from_utf8(sandbox.sweep(&["status", "results/tiny"]).stdout).unwrap();
        assert!(shown.contains("interrupted"), "{shown}");
        sandbox.expect(0, &RUN);
        let log = fs::read_to_string(folder.join("log.txt")).unwrap();
        assert_eq!(log.contains("starts anew"), anew, "{log}");
        assert_as_undisturbed(&sandbox);
    }
}

#[test]
fn a_clock_that_jumps_changes_nothing() {
    let sandbox = with_reference();
    let folder = interrupted(&sandbox);
    // As if the clock had run a year ahead and back: file times and heartbeats lie in the future.
    let future = SystemTime::now() + Duration::from_secs(365 * 86400);
    for entry in fs::read_dir(&folder).unwrap() {
        let file = fs::File::options().append(true).open(entry.unwrap().path());
        if let Ok(file) = file {
            file.set_modified(future).unwrap();
        }
    }
    let text = fs::read_to_string(folder.join("status.json")).unwrap();
    let written = status(&folder).unwrap()["live"]["written"].to_string();
    fs::write(folder.join("status.json"), text.replace(&written, "4102444800")).unwrap();
    assert!(sandbox.states("results/tiny").contains(&"interrupted".to_owned()));
    sandbox.expect(0, &RUN);
    assert_as_undisturbed(&sandbox);
}

#[test]
fn two_runners_never_train_a_trial_together_and_a_dead_ones_lock_is_taken_over() {
    let sandbox = Sandbox::new(&endless());
    let first = sandbox.start(&RUN);
    let (folder, trial) = running(&sandbox.path("results/tiny"), 2);
    let said = sandbox.expect(2, &RUN);
    assert!(said.contains(&format!("process {} on", first.pid())) && said.contains("running this sweep"), "{said}");
    let said = sandbox.expect(2, &["trial", folder.to_str().unwrap()]);
    assert!(said.contains(&format!("process {trial} on")) && said.contains("trains this trial"), "{said}");

    // The runner dies; its trial saves its progress and ends; the next runner resumes it.
    let pid = first.pid();
    first.signal(Signal::KILL);
    let second = sandbox.start(&RUN);
    wait_for("the trial to go on", || (status(&folder)?["attempts"] == 2).then_some(()));
    assert_ne!(running(&sandbox.path("results/tiny"), 2).1, trial);
    second.signal(Signal::INT);
    let said = second.expect(130);
    assert!(said.contains(&format!("process {pid} on")) && said.contains("taking over"), "{said}");
}

#[test]
fn a_trial_that_aborts_fails_alone_and_at_once() {
    let sandbox = with_reference();
    let started = sandbox.start(&["run", "tiny.toml", "--threads", "2"]);
    let (folder, pid) = running(&sandbox.path("results/tiny"), 2);
    send(pid, Signal::ABORT);
    let said = started.expect(1);
    let id = folder.file_name().unwrap().to_string_lossy().into_owned();
    assert!(said.contains(&format!("{id}: failed on cpu")) && said.contains("SIGABRT"), "{said}");
    assert!(
        said.contains("its configuration:") && said.contains("filters = [4, 8]") && said.contains("log.txt"),
        "{said}"
    );
    let mut states = sandbox.states("results/tiny");
    states.sort();
    assert_eq!(states, ["done", "failed"]);
    // A failed trial is not done: it is reported again, and trained on request.
    sandbox.expect(1, &RUN);
    sandbox.expect(0, &[&RUN[..], &["--retry-failed"]].concat());
    assert_as_undisturbed(&sandbox);
    assert_eq!(status(&folder).unwrap()["attempts"], 2);
}

#[test]
fn a_trial_that_allocates_until_it_is_ended_takes_no_other_with_it() {
    // One batch needs several gigabytes.
    let large = DEFINITION
        .replace("[\"l1\", \"nll\"]", "[\"l1\"]")
        .replace("train = 8", "train = 64")
        .replace("input = { height = 32, width = 32 }", "input = { height = 512, width = 512 }")
        .replace("filters = [4, 8]", "filters = [16, 16]")
        .replace("batch_size = 2", "batch_size = 64");
    let sandbox = Sandbox::new(&large);
    let limited = format!("ulimit -v 2000000; exec {SWEEP} run tiny.toml --memory 1000000 --threads 2");
    let output = sandbox.command("sh").args(["-c", &limited]).output().unwrap();
    let said = ended(1, &output, &["little memory"]);
    assert!(said.contains("failed") && said.contains("SIGABRT") && said.contains("memory allocation"), "{said}");
    assert_eq!(sandbox.states("results/tiny"), ["failed"]);

    // The system does the same when memory runs out.
    let sandbox = Sandbox::new(DEFINITION);
    let started = sandbox.start(&RUN);
    send(running(&sandbox.path("results/tiny"), 2).1, Signal::KILL);
    let said = started.expect(1);
    assert!(said.contains("SIGKILL") && said.contains("memory runs out"), "{said}");
    let mut states = sandbox.states("results/tiny");
    states.sort();
    assert_eq!(states, ["done", "failed"]);
}

#[test]
fn a_trial_that_needs_more_memory_than_there_is_is_not_started() {
    let sandbox = Sandbox::new(DEFINITION);
    let said = sandbox.expect(1, &[&RUN[..], &["--memory", "3"]].concat());
    assert!(said.contains("not started: needs about") && said.contains("MiB"), "{said}");
    assert_eq!(sandbox.states("results/tiny"), ["failed", "failed"]);
    sandbox.expect(0, &[&RUN[..], &["--retry-failed"]].concat());
}

#[test]
fn a_trial_that_hangs_is_ended_and_others_run() {
    let sandbox = with_reference();
    let started = sandbox.start(&[&RUN[..], &["--stall-timeout", "5s"]].concat());
    let (folder, pid) = running(&sandbox.path("results/tiny"), 2);
    send(pid, Signal::STOP);
    let said = started.expect(1);
    assert!(said.contains("timed-out") && said.contains("hung: nothing was done for 5s"), "{said}");
    let mut states = sandbox.states("results/tiny");
    states.sort();
    assert_eq!(states, ["done", "timed-out"]);
    sandbox.expect(0, &[&RUN[..], &["--retry-failed"]].concat());
    assert_as_undisturbed(&sandbox);
    assert_eq!(status(&folder).unwrap()["attempts"], 2);
}

#[test]
fn times_that_are_over_stop_a_trial_or_the_sweep() {
    let sandbox = Sandbox::new(&endless());
    let said = sandbox.expect(1, &[&RUN[..], &["--trial-timeout", "5s"]].concat());
    assert!(said.contains("timed-out") && said.contains("took longer than 5s"), "{said}");
    let folder = trial_folders(&sandbox.path("results/tiny")).remove(0);
    let before = measured(&folder).lines().count();
    let said = sandbox.expect(130, &[&RUN[..], &["--retry-failed", "--timeout", "5s"]].concat());
    assert!(said.contains("the sweep's time is over"), "{said}");
    assert_eq!(sandbox.states("results/tiny"), ["interrupted"]);
    assert!(measured(&folder).lines().count() > before, "it did not go on from where it was stopped");
}

#[test]
fn the_first_interrupt_saves_within_an_epoch_and_the_second_does_not_wait() {
    // One long epoch: progress is saved within it.
    let long = endless()
        .replace("train = 8", "train = 400")
        .replace("input = { height = 32, width = 32 }", "input = { height = 160, width = 160 }")
        .replace("filters = [4, 8]", "filters = [32, 64]");
    let sandbox = Sandbox::new(&long);
    let started = sandbox.start(&["run", "tiny.toml", "--threads", "2"]);
    let sweep = sandbox.path("results/tiny");
    let (folder, pid) = running_step(&sweep, 3);
    started.signal(Signal::INT);
    let said = started.expect(130);
    assert!(said.contains("Run the same command again"), "{said}");
    let saved = status(&folder).unwrap();
    assert_eq!(saved["state"], "interrupted");
    assert!(saved["epoch"] == 0 && folder.join("last.safetensors").is_file(), "{saved}");
    let step = saved["live"]["step"].as_u64().unwrap();

    // It resumes at that step. Suspended, it cannot react; the second request kills it.
    let started = sandbox.start(&RUN);
    let again = wait_for("a process of its own", || Some(running_step(&sweep, step + 1).1).filter(|new| *new != pid));
    send(again, Signal::STOP);
    started.signal(Signal::INT);
    std::thread::sleep(Duration::from_millis(500));
    started.signal(Signal::INT);
    started.expect(130);
    assert_eq!(sandbox.states("results/tiny"), ["interrupted"], "recoverable");
    let third = sandbox.start(&RUN);
    wait_for("a process of its own", || (running_step(&sweep, step + 1).1 != again).then_some(()));
    third.signal(Signal::TERM);
    third.expect(143);
}

/// The running trial that has done this many steps.
fn running_step(sweep: &Path, step: u64) -> (std::path::PathBuf, u32) {
    wait_for("a step", || {
        trial_folders(sweep).into_iter().find_map(|folder| {
            let status = status(&folder)?;
            let pid = u32::try_from(status["live"]["pid"].as_u64()?).ok()?;
            (status["state"] == "running" && status["live"]["step"].as_u64()? >= step).then_some((folder, pid))
        })
    })
}
