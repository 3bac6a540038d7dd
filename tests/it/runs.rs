//! The program as users run it: records, resuming, exit codes, and errors for bad input.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use candle_core::Device;
use landmark_sweep::data::cache::Cache;
use landmark_sweep::definition::SweepDefinition;
use landmark_sweep::early_stop::EarlyStop;
use landmark_sweep::lr_schedule::ScheduleSpec;
use landmark_sweep::optim::Ema;
use landmark_sweep::plan::{Trial, plan};
use landmark_sweep::store::Store;
use landmark_sweep::train::{self, Data, End};

use crate::harness::{Sandbox, StopAfter, measured, trial_folders};

const DEFINITION: &str = r#"
name = "tiny"
question = "Does it run?"
[axes]
"loss.name" = ["l1", "nll"]
[trial]
epochs = 3
batch_size = 2
dataset = { name = "phantom", train = 5, val = 3, height = 60, width = 48 }
input = { height = 40, width = 32 }
augment = { probability = 0.9, rotation_degrees = 10, translate = 0.05, scale = [0.9, 1.1], brightness = 0.5, contrast = 0.5 }
model = { name = "unet++", filters = [4, 8, 8] }
"#;

const TWO_STAGES_OF_A_LARGE_CROP: &str = "model={ name = 'two-stage', size = { height = 60, width = 48 }, crop = 49 }";

/// Same as [`DEFINITION`], with a model of two stages.
fn two_stages() -> String {
    let model = r#"model = { name = "two-stage", coarse = { name = "unet++", filters = [4, 8, 8] },
        fine = { name = "unet", filters = [4, 8] }, size = { height = 60, width = 48 }, crop = 16 }"#;
    let line = DEFINITION.lines().last().unwrap();
    DEFINITION.replace(line, &model.replace('\n', " "))
}

#[test]
fn pictures_of_the_worst_images_are_kept_with_the_first() {
    let sandbox = Sandbox::new(&DEFINITION.replace("val = 3", "val = 20"));
    sandbox.expect(0, &["run", "tiny.toml"]);
    let sweep = sandbox.path("results/tiny");
    for folder in trial_folders(&sweep) {
        let kept: toml::Table = fs::read_to_string(folder.join("trial.toml")).unwrap().parse().unwrap();
        let kept = kept["images"].as_table().unwrap();
        let mut errors: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for row in csv::Reader::from_path(folder.join("landmarks.csv")).unwrap().into_records().map(Result::unwrap) {
            if &row[3] == "best-error" {
                errors.entry(row[4].to_owned()).or_default().push(row[11].parse().unwrap());
            }
        }
        let mean = |errors: &[f64]| errors.iter().sum::<f64>() / errors.len() as f64;
        let mut worst: Vec<(f64, &str)> = errors.iter().map(|(image, of)| (mean(of), image.as_str())).collect();
        worst.sort_by(|a, b| b.0.total_cmp(&a.0));
        assert_eq!(worst.len(), 20);
        let first = (0..6).map(|i| format!("val-{i:03}.png"));
        for image in worst[..6].iter().map(|of| of.1.to_owned()).chain(first) {
            let file = kept.get(&image).and_then(toml::Value::as_str).unwrap_or_else(|| panic!("{image} is not kept"));
            assert!(sweep.join("images").join(file).is_file());
        }
        assert!(kept.len() <= 12, "{kept:?}");
    }
}

#[test]
fn one_command_leaves_everything_the_contract_names() {
    let sandbox = Sandbox::new(DEFINITION);
    sandbox.expect(0, &["run", "tiny.toml"]);
    let sweep = sandbox.path("results/tiny");
    let mut wanted = vec![sweep.join("sweep.toml"), sweep.join("summary.csv")];
    for name in ["loss_curves", "landmark_error", "loss_vs_error", "per_landmark", "overlays", "cumulative_error"] {
        wanted.push(sweep.join(format!("report/{name}.png")));
    }
    for name in ["report.md", "index.html", "findings.json", "collapse.png", "convergence.png", "effects.png"] {
        wanted.push(sweep.join("report").join(name));
    }
    for folder in trial_folders(&sweep) {
        for name in [
            "trial.toml",
            "status.json",
            "log.txt",
            "epochs.csv",
            "landmarks.csv",
            "best.safetensors",
            "last.safetensors",
            "curves.png",
            "overlay.png",
        ] {
            wanted.push(folder.join(name));
        }
        // Header, then 3 images × 10 landmarks at three selected epochs; fewer if one lies outside.
        let rows = fs::read_to_string(folder.join("landmarks.csv")).unwrap().lines().count();
        assert_eq!(rows, 1 + 3 * 10 * 3);
    }
    for path in wanted {
        assert!(fs::metadata(&path).is_ok_and(|m| m.len() > 0), "{} is missing", path.display());
    }
    let summary = fs::read_to_string(sweep.join("summary.csv")).unwrap();
    assert!(summary.starts_with("trial,seed,loss.name,state,attempts,epochs,parameters,best_epoch,best_val_mre_mm,"));
    assert_eq!(summary.matches(",done,1,3,").count(), 2, "{summary}");

    // Run again: nothing is trained, nothing is lost.
    let before = fs::read(trial_folders(&sweep)[0].join("epochs.csv")).unwrap();
    sandbox.expect(0, &["run", "tiny.toml"]);
    assert_eq!(before, fs::read(trial_folders(&sweep)[0].join("epochs.csv")).unwrap());
    assert_eq!(sandbox.states("results/tiny"), ["done", "done"]);
    let status = String::from_utf8(sandbox.sweep(&["status", "results/tiny"]).stdout).unwrap();
    assert!(status.contains("3/3") && status.contains("2 trials: 2 done"), "{status}");

    // The records alone make the same report again.
    let first = fs::read(sweep.join("report/loss_vs_error.png")).unwrap();
    fs::remove_dir_all(sweep.join("report")).unwrap();
    sandbox.expect(0, &["report", "results/tiny"]);
    assert_eq!(first, fs::read(sweep.join("report/loss_vs_error.png")).unwrap());

    // A sweep is not worse than itself; a baseline on other data cannot be compared.
    sandbox.expect(0, &["baseline", "results/tiny", "--output", "base.json"]);
    let reports = ["--junit", "gate.xml", "--markdown", "gate.md"];
    sandbox.expect(0, &[&["check", "results/tiny", "--baseline", "base.json"], &reports[..]].concat());
    let read = |name: &str| fs::read_to_string(sandbox.path(name)).unwrap();
    assert!(read("gate.xml").contains("failures=\"0\"") && read("gate.md").contains("baseline: pass"));
    let json = sandbox.sweep(&["check", "results/tiny", "--baseline", "base.json", "--json"]);
    assert!(String::from_utf8(json.stdout).unwrap().contains("\"verdict\": \"pass\""));
    let findings = sandbox.sweep(&["report", "results/tiny", "--json"]);
    assert!(String::from_utf8(findings.stdout).unwrap().contains("\"id\": \"effect/loss.name/l1/nll\""));
    let base = fs::read_to_string(sandbox.path("base.json")).unwrap();
    let hash = base.split("\"dataset_hash\":\"").nth(1).unwrap().split('"').next().unwrap();
    sandbox.write("other.json", &base.replace(hash, "0000"));
    let other = [&["check", "results/tiny", "--baseline", "other.json"], &reports[..]].concat();
    assert!(sandbox.expect(2, &other).contains("other data"));
    assert!(read("gate.xml").contains("errors=\"1\"") && read("gate.md").contains("no comparison"));

    // Larger errors fail the gate; unfinished trials cannot be compared.
    let label = "\"label\":\"l1\"";
    let at = base.find(label).unwrap();
    let (before, after) = base.split_at(at);
    let smaller = after.replacen("\"error_mm\":{", "\"error_mm\":{\"absent.png\":{\"sella\":1.0},", 1);
    sandbox.write("images.json", &format!("{before}{smaller}"));
    assert!(sandbox.expect(2, &["check", "results/tiny", "--baseline", "images.json"]).contains("same images"));
    sandbox.write("seeds.json", &base.replacen("\"seeds\":{\"0\"", "\"seeds\":{\"7\"", 1));
    assert!(sandbox.expect(2, &["check", "results/tiny", "--baseline", "seeds.json"]).contains("seed 7 is missing"));
    let mut better = lowered(serde_json::from_str(&base).unwrap());
    sandbox.write("better.json", &better.to_string());
    // Of one seed each nobody knows how much training again changes them; where the baseline knows it, they fail.
    let code = || sandbox.sweep(&["check", "results/tiny", "--baseline", "better.json"]).status.code();
    assert_eq!(code(), Some(3));
    for configuration in better["configurations"].as_array_mut().unwrap() {
        configuration["noise"] = serde_json::json!({ "mre": 0.01, "share": 0.1, "landmarks": {}, "degrees": 5 });
    }
    sandbox.write("better.json", &better.to_string());
    assert_eq!(code(), Some(1));

    // Two trials on their shared images.
    let [a, b] = [0, 1].map(|i| trial_folders(&sweep)[i].display().to_string());
    let compared = sandbox.sweep(&["compare", &a, &b]);
    assert!(String::from_utf8(compared.stdout).unwrap().contains("on 3 images and 30 landmarks that both have"));
    assert!(sandbox.sweep(&["compare", &a, &b, "--json"]).status.success());
    assert!(sandbox.expect(2, &["compare", &a, "results/tiny"]).contains("two trials' folders"));
    sandbox.write("broken.json", &base[..base.len() / 2]);
    sandbox.expect(2, &["check", "results/tiny", "--baseline", "broken.json"]);
}

/// A baseline with every error divided by five.
fn lowered(mut baseline: serde_json::Value) -> serde_json::Value {
    fn walk(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(map) => map.iter_mut().for_each(|(key, value)| {
                if key == "error_mm" {
                    for error in value
                        .as_object_mut()
                        .unwrap()
                        .values_mut()
                        .flat_map(|m| m.as_object_mut().unwrap().values_mut())
                    {
                        *error = (error.as_f64().unwrap() / 5.0).into();
                    }
                } else {
                    walk(value);
                }
            }),
            serde_json::Value::Array(values) => values.iter_mut().for_each(walk),
            _ => {}
        }
    }
    walk(&mut baseline);
    baseline
}

#[test]
fn the_same_definition_gives_the_same_records_with_any_number_of_threads() {
    threads_do_not_matter(DEFINITION);
}

#[test]
fn a_model_of_two_stages_gives_the_same_records_with_any_number_of_threads() {
    threads_do_not_matter(&two_stages());
}

fn threads_do_not_matter(definition: &str) {
    let sandbox = Sandbox::new(definition);
    for (results, threads) in [("a", "1"), ("b", "2"), ("c", "2"), ("d", "3")] {
        sandbox.expect(
            0,
            &["run", "tiny.toml", "--quiet", "--results", results, "--threads", threads, "--set", "epochs=2"],
        );
    }
    let reference = trial_folders(&sandbox.path("a/tiny"));
    assert_eq!(reference.len(), 2);
    for results in ["b", "c", "d"] {
        for (one, other) in reference.iter().zip(trial_folders(&sandbox.path(results).join("tiny"))) {
            assert_eq!(measured(one), measured(&other));
            for file in ["landmarks.csv", "best.safetensors", "last.safetensors"] {
                assert_eq!(
                    fs::read(one.join(file)).unwrap(),
                    fs::read(other.join(file)).unwrap(),
                    "{file} of {results}"
                );
            }
        }
    }
}

fn trial_of(definition: &str) -> Trial {
    plan(&SweepDefinition::parse("tiny.toml", definition).unwrap()).unwrap().remove(0)
}

#[test]
fn an_interrupted_training_goes_on_as_if_nothing_had_happened() {
    interruptions_do_not_matter(&trial_of(DEFINITION), 4);
}

#[test]
fn an_interrupted_training_of_two_stages_goes_on_as_if_nothing_had_happened() {
    interruptions_do_not_matter(&trial_of(&two_stages()), 4);
}

#[test]
fn an_interrupted_training_of_averaged_weights_goes_on_as_if_nothing_had_happened() {
    let mut trial = trial_of(DEFINITION);
    trial.config.accumulate = NonZeroUsize::new(2).unwrap();
    trial.config.gradient_clip = Some(0.1);
    trial.config.ema = Some(Ema { decay: 0.9 });
    trial.config.schedule = ScheduleSpec::Cosine { t_max: 3, eta_min: 0.0, warm_up: 1 };
    interruptions_do_not_matter(&trial, 3);
}

/// `across`: steps of the third part, so many that it ends in a later epoch than it began.
fn interruptions_do_not_matter(trial: &Trial, across: u64) {
    let data = Data::load_through(&Cache::none(), &trial.config).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let train = |name: &str, steps: u64| {
        let store = Store::new(folder.path(), name).trial(&trial.id);
        store.begin(trial.file().unwrap()).unwrap();
        train::train(&trial.id, &trial.config, &data, &store, &Device::Cpu, &mut StopAfter(steps)).unwrap()
    };
    assert_eq!(train("whole", u64::MAX), End::Finished);
    // Three batches per epoch, nine in all: stopped twice within the first epoch, within or after the second, in the
    // last.
    for steps in [1, 1, across, 1, u64::MAX] {
        let expected = if steps == u64::MAX { End::Finished } else { End::Stopped };
        assert_eq!(train("parts", steps), expected);
    }
    let [whole, parts] = ["whole", "parts"].map(|name| Store::new(folder.path(), name).trial(&trial.id));
    assert_eq!(measured(whole.root()), measured(parts.root()));
    for file in ["landmarks.csv", "best.safetensors", "last.safetensors"] {
        assert_eq!(fs::read(whole.file(file)).unwrap(), fs::read(parts.file(file)).unwrap(), "{file}");
    }
}

#[test]
fn a_training_stopped_early_is_done_and_ends_at_the_same_epoch_however_often_it_is_interrupted() {
    let mut trial = trial_of(DEFINITION);
    // No epoch improves by a metre: the first is the best, and one more passes.
    trial.config.early_stop =
        Some(EarlyStop { patience: 1, min_delta_mm: 1000.0, min_delta_px: 0.0, min_delta_points: 0.0 });
    let data = Data::load_through(&Cache::none(), &trial.config).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let train = |name: &str, steps: u64| {
        let store = Store::new(folder.path(), name).trial(&trial.id);
        store.begin(trial.file().unwrap()).unwrap();
        train::train(&trial.id, &trial.config, &data, &store, &Device::Cpu, &mut StopAfter(steps)).unwrap()
    };
    assert_eq!(train("whole", u64::MAX), End::Finished);
    for steps in [2, 2, 4] {
        train("parts", steps);
    }
    // Run once more, it does not continue.
    assert_eq!(train("parts", u64::MAX), End::Finished);
    let [whole, parts] = ["whole", "parts"].map(|name| Store::new(folder.path(), name).trial(&trial.id));
    assert_eq!(whole.epochs().unwrap().len(), 2);
    assert_eq!(measured(whole.root()), measured(parts.root()));
    for file in ["landmarks.csv", "best.safetensors", "last.safetensors"] {
        assert_eq!(fs::read(whole.file(file)).unwrap(), fs::read(parts.file(file)).unwrap(), "{file}");
    }
}

#[test]
fn a_trial_that_diverges_keeps_its_records_and_the_sweep_goes_on() {
    let sandbox = Sandbox::new(DEFINITION);
    sandbox.write(
        "tiny.toml",
        &DEFINITION.replace("\"loss.name\" = [\"l1\", \"nll\"]", "\"optimizer.lr\" = [1e38, 1e-3]"),
    );
    let trial = "optimizer = { name = \"adamw\", lr = 1, weight_decay = 0 }\nloss = { name = \"mse\" }\nmodel";
    let text = fs::read_to_string(sandbox.path("tiny.toml")).unwrap().replace("model", trial);
    sandbox.write("tiny.toml", &text);
    let said = sandbox.expect(1, &["run", "tiny.toml"]);
    assert!(said.contains("diverged") && said.contains("--retry-failed"), "{said}");
    let summary = fs::read_to_string(sandbox.path("results/tiny/summary.csv")).unwrap();
    assert!(summary.contains(",diverged,1,") && summary.contains(",done,1,3,"), "{summary}");
    // It stays failed until a retry is requested, and is then tried again.
    sandbox.expect(1, &["run", "tiny.toml"]);
    sandbox.expect(1, &["run", "tiny.toml", "--retry-failed"]);
    sandbox.expect(1, &["run", "tiny.toml", "--rerun", "--fail-fast"]);
}

#[test]
fn bad_input_is_an_error_that_names_the_remedy_and_loses_nothing() {
    let sandbox = Sandbox::new(DEFINITION);
    for (arguments, says) in [
        (vec!["run", "absent.toml"], "absent.toml"),
        (vec!["run", "tiny.toml", "--dataset", "absent"], "absent"),
        (vec!["run", "tiny.toml", "--set", "epochs=0"], "epochs is 0"),
        (vec!["run", "tiny.toml", "--set", "epoch=1"], "unknown key `epoch`"),
        (vec!["run", "tiny.toml", "--set", "input.height=3"], "too small"),
        (vec!["run", "tiny.toml", "--set", "dataset.train=0"], "dataset.train"),
        (vec!["run", "tiny.toml", "--set", TWO_STAGES_OF_A_LARGE_CROP], "model.crop"),
        (vec!["run", "tiny.toml", "--device", "cuda"], "CUDA"),
        (vec!["run", "tiny.toml", "--device", "gpu"], "cuda:N"),
        (vec!["run", "tiny.toml", "--results", "tiny.toml"], "tiny.toml"),
        (vec!["status", "."], "sweep.toml"),
        (vec!["baseline", ".", "--output", "b.json"], "sweep.toml"),
        (vec!["data", "synth", "d", "--train", "0"], "--train"),
        (vec!["data", "import", "--format", "heatmap-folders", "absent", "d"], "absent"),
        (vec!["data", "import", "--format", "mpii", "absent", "d"], "heatmap-folders"),
        (vec!["data", "import", "--format", "coco", "absent", "d"], "absent"),
    ] {
        let said = sandbox.expect(2, &arguments);
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
    assert!(!sandbox.path("results").exists() && !sandbox.path("d").exists(), "an error left something behind");
}

#[test]
fn a_wider_sweep_runs_only_what_is_new_and_leaves_the_rest_alone() {
    let sandbox = Sandbox::new(DEFINITION);
    let sweep = sandbox.path("results/tiny");
    sandbox.expect(0, &["run", "tiny.toml", "--quiet", "--set", "epochs=1"]);
    let before = trial_folders(&sweep);
    let written = |folder: &Path| fs::metadata(folder.join("last.safetensors")).unwrap().modified().unwrap();
    let stamps: Vec<_> = before.iter().map(|folder| written(folder)).collect();

    // One more value on an axis, and one more axis whose first value is the earlier default: two of six are done.
    let wider = DEFINITION
        .replace(r#"["l1", "nll"]"#, "[\"l1\", \"nll\", \"mse\"]\nbatch_size = [2, 3]")
        .replace("\nbatch_size = 2\n", "\n");
    sandbox.write("tiny.toml", &wider);
    let said = sandbox.expect(0, &["run", "tiny.toml", "--set", "epochs=1"]);
    assert_eq!(said.matches("epoch   1/1").count(), 4, "{said}");
    let after: Vec<_> = before.iter().map(|folder| written(folder)).collect();
    assert_eq!((trial_folders(&sweep).len(), after), (6, stamps));
    let summary = fs::read_to_string(sweep.join("summary.csv")).unwrap();
    assert!(summary.starts_with("trial,seed,loss.name,batch_size,state"), "{summary}");
    assert_eq!(summary.matches(",done,1,1,").count(), 6, "{summary}");

    // A different definition of the same name: its trials are new, and the old ones stay.
    sandbox.expect(0, &["run", "tiny.toml", "--quiet", "--set", "epochs=2"]);
    assert_eq!(trial_folders(&sweep).len(), 12);
    assert_eq!(sandbox.states("results/tiny").len(), 6);
    let status = String::from_utf8(sandbox.sweep(&["status", "results/tiny"]).stdout).unwrap();
    assert!(status.contains("6 other trials"), "{status}");
    let again = sandbox.expect(0, &["run", "tiny.toml", "--set", "epochs=1"]);
    assert!(!again.contains("epoch   1/1"), "{again}");
}

#[test]
fn phantoms_written_to_a_folder_are_read_back_as_a_data_set() {
    let sandbox = Sandbox::new(DEFINITION);
    sandbox.expect(0, &["data", "synth", "phantoms", "--train", "5", "--val", "3", "--height", "60", "--width", "48"]);
    sandbox.expect(0, &["run", "tiny.toml", "--quiet", "--results", "memory", "--set", "epochs=1"]);
    sandbox.expect(
        0,
        &["run", "tiny.toml", "--quiet", "--results", "folder", "--set", "epochs=1", "--dataset", "phantoms"],
    );
    let [memory, folder] = ["memory", "folder"].map(|r| trial_folders(&sandbox.path(r).join("tiny"))[0].clone());
    let numbers = |folder: &Path| measured(folder).lines().last().unwrap().split_once(',').unwrap().1.to_owned();
    assert_eq!(numbers(&memory), numbers(&folder));
    assert!(sandbox.expect(2, &["data", "synth", "phantoms"]).contains("phantoms"), "a folder was overwritten");

    // A sweep without trials to train needs no data; otherwise the missing data is reported and nothing starts.
    fs::remove_dir_all(sandbox.path("phantoms")).unwrap();
    let again = |results, epochs| {
        ["run", "tiny.toml", "--quiet", "--results", results, "--set", epochs, "--dataset", "phantoms"]
    };
    sandbox.expect(0, &again("folder", "epochs=1"));
    sandbox.expect(2, &[&again("folder", "epochs=1")[..], &["--rerun"]].concat());
    assert!(measured(&folder).lines().count() > 1, "records were thrown away before the data were there");
    sandbox.expect(2, &again("elsewhere", "epochs=1"));
    assert!(!sandbox.path("elsewhere").exists());
}
