//! Trials as the program runs them: several at once, on devices that fail, and verified exact resume.

use std::fs;

use crate::harness::{Sandbox, assert_same, status, trial_folders};

const DEFINITION: &str = r#"
name = "tiny"
seeds = [0, 1]
[axes]
"loss.name" = ["l1", "nll", "mse"]
[trial]
epochs = 2
batch_size = 2
dataset = { name = "phantom", train = 6, val = 3, height = 32, width = 32 }
input = { height = 32, width = 32 }
model = { name = "unet", filters = [4, 8] }
"#;

#[test]
fn trials_side_by_side_leave_the_same_numbers() {
    let sandbox = Sandbox::new(DEFINITION);
    sandbox.expect(0, &["run", "tiny.toml", "--quiet", "--results", "one", "--jobs", "1", "--threads", "2"]);
    let said = sandbox.expect(0, &["run", "tiny.toml", "--results", "three", "--device", "cpu*3"]);
    assert!(said.contains("3 trials at once"), "{said}");
    assert_same(&sandbox.path("one/tiny"), &sandbox.path("three/tiny"));
}

#[test]
fn a_device_that_fails_three_trials_in_a_row_is_taken_out_of_service() {
    let sandbox = Sandbox::new(DEFINITION);
    sandbox.expect(0, &["data", "synth", "films", "--train", "4", "--val", "2", "--height", "40", "--width", "32"]);
    // An image that exists and cannot be decoded: every trial fails, like on a broken device.
    let images = fs::read_dir(sandbox.path("films/images")).unwrap().map(|entry| entry.unwrap().path());
    fs::write(images.min().unwrap(), "not a picture").unwrap();
    let said = sandbox.expect(1, &["run", "tiny.toml", "--dataset", "films", "--jobs", "1"]);
    assert_eq!(said.matches(": failed").count(), 3, "{said}");
    assert!(said.contains("cpu is out of service") && said.contains("3 trials were not started"), "{said}");
    assert_eq!(sandbox.states("results/tiny"), ["failed", "failed", "failed", "pending", "pending", "pending"]);
    // Exactly as many failures as the limit.
    let run = ["run", "tiny.toml", "--dataset", "films", "--results", "other", "--fail-fast", "--jobs", "1"];
    let said = sandbox.expect(1, &run);
    assert_eq!(said.matches(": failed").count(), 1, "{said}");
}

#[test]
fn any_user_can_have_exact_resume_proved() {
    let sandbox = Sandbox::new(DEFINITION);
    let output = sandbox.sweep(&[
        "verify-resume",
        "tiny.toml",
        "--kills",
        "4",
        "--set",
        "epochs=20",
        "--set",
        "model.filters=[8,16]",
    ]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("killed after") && said.contains("bit for bit"), "{said}");
    assert_eq!(said.matches(": equal").count(), 5, "{said}");
    assert!(!sandbox.path("results").exists(), "it leaves nothing");
}

#[test]
fn status_reads_whatever_is_there() {
    let sandbox = Sandbox::new(DEFINITION);
    sandbox.expect(0, &["run", "tiny.toml", "--quiet"]);
    let folders = trial_folders(&sandbox.path("results/tiny"));
    fs::write(folders[0].join("status.json"), "{\"trial\":").unwrap();
    let damaged = fs::read_to_string(folders[1].join("epochs.csv")).unwrap() + "half a row";
    fs::write(folders[1].join("epochs.csv"), damaged).unwrap();
    fs::remove_file(folders[2].join("epochs.csv")).unwrap();
    fs::remove_dir_all(&folders[3]).unwrap();
    let text = fs::read_to_string(folders[4].join("status.json")).unwrap();
    fs::write(folders[4].join("status.json"), text.replace("\"done\"", "\"running\"")).unwrap();
    let mut states = sandbox.states("results/tiny");
    states.sort();
    assert_eq!(states, ["done", "done", "done", "illegible", "interrupted", "pending"]);
    fs::write(sandbox.path("results/tiny/sweep.toml"), "name = ").unwrap();
    let output = sandbox.sweep(&["status", "results/tiny"]);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("the trials that have begun") && shown.contains("5 trials"), "{shown}");
    assert_eq!(status(&folders[1]).unwrap()["state"], "done");
}

/// Eight trials, most of which are behind after some epochs.
const PRUNED: &str = r#"
name = "tiny"
seeds = [0, 1]
[axes]
"loss.name" = ["l1", "nll"]
"optimizer.lr" = [1e-2, 1e-4]
[prune]
method = "asha"
reduction = 4
min_epochs = 1
audit = 0
[trial]
epochs = 150
batch_size = 4
dataset = { name = "phantom", train = 8, val = 4, height = 32, width = 32 }
input = { height = 32, width = 32 }
model = { name = "unet", filters = [4, 8] }
optimizer = { name = "adamw", lr = 1e-3 }
"#;

#[test]
fn trials_behind_the_others_are_pruned_the_same_whatever_runs_beside_them() {
    let sandbox = Sandbox::new(PRUNED);
    for (results, jobs) in [("one", "1"), ("two", "2")] {
        let run = ["run", "tiny.toml", "--quiet", "--results", results, "--jobs", jobs, "--threads", "1"];
        let said = sandbox.expect(0, &run);
        assert!(said.contains(": pruned"), "{said}");
        // A pruned trial is final, and not a failure.
        let before = sandbox.status(&format!("{results}/tiny"));
        sandbox.expect(0, &run);
        assert_eq!(before, sandbox.status(&format!("{results}/tiny")));
    }
    let states = sandbox.states("one/tiny");
    assert_eq!(states, sandbox.states("two/tiny"));
    let pruned = sandbox.status("one/tiny").into_iter().filter(|trial| trial["state"] == "pruned");
    for trial in pruned {
        assert!(trial["epoch"].as_u64().unwrap() < 150 && !trial["message"].as_str().unwrap().is_empty(), "{trial}");
    }

    // If every trial is spared, all run to their end, and the report says how often pruning would have been wrong.
    sandbox.write("tiny.toml", &PRUNED.replace("audit = 0", "audit = 1").replace("epochs = 150", "epochs = 20"));
    let said = sandbox.expect(0, &["run", "tiny.toml", "--results", "spared", "--jobs", "2", "--threads", "1"]);
    assert!(said.contains("runs on though") && said.contains("spared"), "{said}");
    assert!(sandbox.states("spared/tiny").iter().all(|state| state == "done"));
}

#[test]
fn a_search_draws_on_what_it_has_found_and_goes_on_where_it_was_stopped() {
    let search = r#"
        [search]
        method = "tpe"
        budget = 5
        startup = 2
        round = 1
        "optimizer.lr" = { log = [1e-4, 1e-2] }
        [trial]"#;
    let definition = DEFINITION
        .replace("seeds = [0, 1]", "")
        .replace("[axes]\n\"loss.name\" = [\"l1\", \"nll\", \"mse\"]", "")
        .replace("[trial]", search)
        + "loss = { name = \"l1\" }\noptimizer = { name = \"adamw\", lr = 1e-3 }\n";
    let sandbox = Sandbox::new(&definition);
    sandbox.expect(0, &["run", "tiny.toml", "--quiet", "--results", "whole"]);
    assert_eq!(sandbox.states("whole/tiny"), ["done"; 5]);
    let written = |results: &str| fs::read_to_string(sandbox.path(results).join("tiny/sweep.toml")).unwrap();
    let trials = |text: String| text.split("trials = [").nth(1).unwrap().split(']').next().unwrap().to_owned();
    assert_eq!(trials(written("whole")).matches("-seed0-").count(), 5);

    // Some, then the rest: the same five.
    sandbox.expect(130, &["run", "tiny.toml", "--quiet", "--results", "parts", "--timeout", "300ms"]);
    sandbox.expect(0, &["run", "tiny.toml", "--quiet", "--results", "parts"]);
    assert_eq!(trials(written("parts")), trials(written("whole")));
    assert_same(&sandbox.path("whole/tiny"), &sandbox.path("parts/tiny"));
}

/// Heatmaps with trained widths: parameters besides the network's.
const WIDTHS: &str = r#"
name = "tiny"
[trial]
epochs = 12
batch_size = 2
dataset = { name = "phantom", train = 6, val = 3, height = 32, width = 32 }
input = { height = 32, width = 32 }
model = { name = "unet", filters = [4, 8] }
heatmap = { name = "learned-gaussian", sigma = 3 }
loss = { name = "sum-l2" }
optimizer = { name = "adamw", lr = 1e-2 }
"#;

#[test]
fn trained_widths_are_saved_and_resumed_bit_for_bit() {
    let sandbox = Sandbox::new(WIDTHS);
    let output = sandbox.sweep(&["verify-resume", "tiny.toml", "--kills", "2"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("bit for bit"), "{said}");

    sandbox.expect(0, &["run", "tiny.toml", "--quiet"]);
    let folder = trial_folders(&sandbox.path("results/tiny")).remove(0);
    let weights = candle_core::safetensors::load(folder.join("last.safetensors"), &candle_core::Device::Cpu).unwrap();
    let widths: Vec<f32> = weights["heatmap.sigma"].to_vec1().unwrap();
    assert!(widths.iter().all(|sigma| (sigma - 3.0).abs() > 1e-3 && *sigma > 0.5), "{widths:?}");
    let moments = weights["optimizer.exp_avg"].elem_count();
    let trained = weights.iter().filter(|(name, _)| !name.starts_with("optimizer."));
    let trained: usize = trained.map(|(_, tensor)| tensor.elem_count()).sum();
    assert_eq!(moments, trained, "no normalisation: all is trained");
    // The loss of an empty output depends on the widths in that epoch.
    let epochs = fs::read_to_string(folder.join("epochs.csv")).unwrap();
    let zero: Vec<&str> = epochs.lines().skip(1).map(|row| row.split(',').nth(5).unwrap()).collect();
    assert!(zero.len() == 12 && zero[0] != zero[11], "{zero:?}");

    let said = sandbox.expect(2, &["run", "tiny.toml", "--set", "loss.name=nll"]);
    assert!(said.contains("sum-l2") && said.contains("tiny.toml"), "{said}");
}

#[test]
fn widths_of_both_stages_are_trained_averaged_and_resumed_bit_for_bit() {
    let two = "model = { name = \"two-stage\", coarse = { name = \"unet\", filters = [4, 8] }, \
               fine = { name = \"unet\", filters = [4, 8] }, size = { height = 48, width = 48 }, crop = 16 }\n\
               ema = { decay = 0.9 }";
    let sandbox = Sandbox::new(
        &WIDTHS.replace("epochs = 12", "epochs = 4").replace("model = { name = \"unet\", filters = [4, 8] }", two),
    );
    let output = sandbox.sweep(&["verify-resume", "tiny.toml", "--kills", "1"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));

    sandbox.expect(0, &["run", "tiny.toml", "--quiet"]);
    let folder = trial_folders(&sandbox.path("results/tiny")).remove(0);
    let saved = candle_core::safetensors::load(folder.join("last.safetensors"), &candle_core::Device::Cpu).unwrap();
    let trained: Vec<f32> = saved["optimizer.trained"].to_vec1().unwrap();
    // The widths are the last of the trained values; their average, which predicts, lags behind.
    let widths = ["coarse", "fine"].map(|stage| saved[&format!("{stage}.heatmap.sigma")].to_vec1::<f32>().unwrap());
    let averaged = widths.concat();
    let now = &trained[trained.len() - averaged.len()..];
    let between = |(average, now): (&f32, &f32)| (average - 3.0).abs() < (now - 3.0).abs() && *average > 0.5;
    assert!(averaged.iter().zip(now).all(between), "{averaged:?} {now:?}");

    let said = sandbox.expect(2, &["run", "tiny.toml", "--set", "loss.name=nll"]);
    assert!(said.contains("heatmap") && said.contains("sum-l2"), "{said}");
}
