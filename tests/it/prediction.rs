//! `sweep eval`, `sweep predict` and `sweep export weights` as users run them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{SWEEP, Sandbox, send, trial_folders};

/// Two seeds on images of 48×40 pixels; the network's input is smaller.
const DEFINITION: &str = r#"
name = "tiny"
seeds = [0, 1]
[trial]
epochs = 3
batch_size = 2
dataset = { name = "folder", path = "films" }
input = { height = 40, width = 32 }
model = { name = "unet", filters = [4, 8] }
loss = { name = "nll" }
heatmap = { name = "gaussian", sigma = 2 }
decode = { name = "subpixel" }
optimizer = { name = "adamw", lr = 1e-2 }
"#;

type Row = BTreeMap<String, String>;

fn rows(csv: &str) -> Vec<Row> {
    let mut lines = csv.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let row = |line: &str| header.iter().map(|h| (*h).to_owned()).zip(line.split(',').map(str::to_owned)).collect();
    lines.map(row).collect()
}

fn number(row: &Row, column: &str) -> f64 {
    row[column].parse().unwrap()
}

/// A finished sweep, and its trials.
fn trained(definition: &str, films: &[&str]) -> (Sandbox, Vec<PathBuf>) {
    let sandbox = Sandbox::new(definition);
    let synth = ["data", "synth", "films", "--height", "48", "--width", "40"];
    sandbox.expect(0, &[&synth[..], films].concat());
    sandbox.expect(0, &["run", "tiny.toml", "--quiet", "--jobs", "2", "--threads", "1"]);
    let trials = trial_folders(&sandbox.path("results/tiny"));
    (sandbox, trials)
}

fn best(trial: &Path) -> String {
    trial.join("best.safetensors").display().to_string()
}

fn json(sandbox: &Sandbox, arguments: &[&str]) -> Value {
    let output = sandbox.sweep(&[&["eval", "--json"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn predicted(sandbox: &Sandbox, arguments: &[&str]) -> Vec<Row> {
    let output = sandbox.sweep(&[&["predict"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    rows(&String::from_utf8(output.stdout).unwrap())
}

/// The largest distance between predictions in the same order.
fn apart(a: &[Row], b: &[Row]) -> f64 {
    assert_eq!(a.len(), b.len());
    let distance = |(a, b): (&Row, &Row)| {
        assert_eq!((&a["image"], &a["landmark"]), (&b["image"], &b["landmark"]));
        (number(a, "x") - number(b, "x")).hypot(number(a, "y") - number(b, "y"))
    };
    a.iter().zip(b).map(distance).fold(0.0, f64::max)
}

#[test]
fn evaluation_gives_what_training_wrote_to_the_last_bit() {
    let (sandbox, trials) = trained(DEFINITION, &["--train", "6", "--val", "5"]);
    for trial in &trials {
        let epochs = rows(&fs::read_to_string(trial.join("epochs.csv")).unwrap());
        let least = epochs.iter().min_by(|a, b| number(a, "val_mre_mm").total_cmp(&number(b, "val_mre_mm"))).unwrap();
        for threads in ["1", "2"] {
            let found = json(&sandbox, &["--checkpoint", &best(trial), "--output", "out.csv", "--threads", threads]);
            for (key, column) in [
                ("mre_mm", "val_mre_mm"),
                ("median_mm", "val_median_mm"),
                ("p95_mm", "val_p95_mm"),
                ("sdr_2mm", "val_sdr_2mm"),
                ("sdr_2_5mm", "val_sdr_2_5mm"),
                ("sdr_3mm", "val_sdr_3mm"),
                ("sdr_4mm", "val_sdr_4mm"),
            ] {
                let (ours, theirs) = (found[key].as_f64().unwrap(), number(least, column));
                let same =
                    if key == "mre_mm" { ours.to_bits() == theirs.to_bits() } else { (ours - theirs).abs() < 1e-9 };
                assert!(same, "{key}: {ours} {theirs}");
            }
            assert!((found["sd_mm"].as_f64().unwrap() - number(least, "val_sd_mm")).abs() < 1e-9);
            assert_eq!(
                (found["images"].as_u64(), found["checkpoints"][0]["epoch"].to_string()),
                (Some(5), least["epoch"].clone())
            );
            let [low, high] = [0, 1].map(|end| found["mre_interval_mm"][end].as_f64().unwrap());
            assert!(low < found["mre_mm"].as_f64().unwrap() && found["mre_mm"].as_f64().unwrap() < high);
        }
        // Every prediction is written too, with its confidence, in training's columns.
        let [written, kept] =
            [sandbox.path("out.csv"), trial.join("landmarks.csv")].map(|path| fs::read_to_string(path).unwrap());
        let lines = |text: &str| -> Vec<String> {
            let best = text.lines().enumerate().filter(|(i, line)| *i == 0 || line.contains(",best-error,"));
            best.map(|(_, line)| line.to_owned()).collect()
        };
        assert_eq!(lines(&written), lines(&kept));
        assert!(rows(&kept).iter().all(|row| number(row, "confidence") > 0.0));
    }
    let output = sandbox.sweep(&["eval", "--checkpoint", &best(&trials[0])]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("5 images of split val") && said.contains("sella") && said.contains("≤2.5 mm"), "{said}");
    // Another folder of the same kind; none of its images trains or validates.
    sandbox.expect(0, &["data", "synth", "others", "--train", "2", "--val", "2", "--height", "50", "--width", "36"]);
    let table = fs::read_to_string(sandbox.path("others/landmarks.csv")).unwrap();
    sandbox.write("others/landmarks.csv", &table.replace(",train,", ",test,").replace(",val,", ",test,"));
    let others = ["--checkpoint", &best(&trials[0]), "--dataset", "others"];
    assert_eq!(json(&sandbox, &[&others[..], &["--split", "test"]].concat())["images"], 4);
    let said = sandbox.expect(2, &[&["eval"], &others[..]].concat());
    assert!(said.contains("no image of split val") && said.contains("4 of test"), "{said}");
}

#[test]
fn networks_of_trained_widths_predict_as_they_were_trained() {
    let definition = DEFINITION
        .replace("seeds = [0, 1]", "seeds = [0]")
        .replace("\"nll\"", "\"sum-l2\"")
        .replace("name = \"gaussian\"", "name = \"learned-gaussian\"");
    let (sandbox, trials) = trained(&definition, &["--train", "6", "--val", "3"]);
    json(&sandbox, &["--checkpoint", &best(&trials[0]), "--output", "out.csv"]);
    let [written, kept] =
        [sandbox.path("out.csv"), trials[0].join("landmarks.csv")].map(|path| fs::read_to_string(path).unwrap());
    let kept: Vec<&str> = kept.lines().filter(|line| line.contains(",best-error,")).collect();
    assert_eq!(written.lines().skip(1).collect::<Vec<_>>(), kept);
}

#[test]
fn both_stages_meet_halfway() {
    let one = r#"model = { name = "unet", filters = [4, 8] }"#;
    let two = r#"model = { name = "two-stage", coarse = { name = "unet", filters = [4, 8] }, fine = { name = "unet", filters = [4, 4] }, crop = 16, size = { height = 48, width = 40 } }"#;
    let definition = DEFINITION.replace("seeds = [0, 1]", "seeds = [0]").replace(one, two);
    let (sandbox, trials) = trained(&definition, &["--train", "6", "--val", "3"]);
    let both = best(&trials[0]);
    // The first stage as a network of its own.
    sandbox.write("coarse.toml", &DEFINITION.replace("\"tiny\"", "\"coarse\""));
    sandbox
        .expect(0, &["import", "--like", "coarse.toml", "--strip", "coarse.", "--output", "coarse.safetensors", &both]);
    let fine = predicted(&sandbox, &["--checkpoint", &both, "films/images"]);
    let coarse = predicted(&sandbox, &["--checkpoint", "coarse.safetensors", "films/images"]);
    assert!(apart(&fine, &coarse) > 0.1);
    let joined = predicted(&sandbox, &["--checkpoint", &both, "--both-stages", "films/images"]);
    for ((joined, fine), coarse) in joined.iter().zip(&fine).zip(&coarse) {
        for column in ["x", "y", "confidence"] {
            let middle = number(fine, column).midpoint(number(coarse, column));
            assert!((number(joined, column) - middle).abs() < 1e-4, "{joined:?}: {fine:?}, {coarse:?}");
        }
    }
    let together = predicted(&sandbox, &["--checkpoint", &both, "coarse.safetensors", "films/images"]);
    assert!(apart(&together, &joined) < 1e-4);
    assert_eq!(json(&sandbox, &["--checkpoint", &both, "--both-stages"])["both_stages"], true);
    let said = sandbox.expect(2, &["predict", "--checkpoint", "coarse.safetensors", "--both-stages", "films/images"]);
    assert!(said.contains("no network here has two stages") && said.contains("--both-stages"), "{said}");
}

#[test]
fn predictions_are_those_of_training_alone_or_together() {
    let (sandbox, trials) = trained(DEFINITION, &["--train", "6", "--val", "3"]);
    let [one, other] = [best(&trials[0]), best(&trials[1])];
    let alone = predicted(&sandbox, &["--checkpoint", &one, "films/images"]);
    assert_eq!(alone.len(), 9 * 10);
    let names: Vec<&str> = alone[0].keys().map(String::as_str).collect();
    assert_eq!(names, ["confidence", "image", "landmark", "x", "y"]);
    let by_place: BTreeMap<(String, String), &Row> =
        alone.iter().map(|row| ((row["image"].replace("films/images/", ""), row["landmark"].clone()), row)).collect();
    let kept = rows(&fs::read_to_string(trials[0].join("landmarks.csv")).unwrap());
    for row in kept.iter().filter(|row| row["selected"] == "best-error") {
        let ours = by_place[&(row["image"].clone(), row["landmark"].clone())];
        assert!((number(ours, "x") - number(row, "x_pred")).abs() < 1e-3, "{row:?} {ours:?}");
        assert!((number(ours, "y") - number(row, "y_pred")).abs() < 1e-3, "{row:?} {ours:?}");
        assert!((0.0..=1.0).contains(&number(ours, "confidence")));
    }

    // A single view changes nothing, several do; a network twice equals the network; the order of two does not matter.
    assert_eq!(predicted(&sandbox, &["--checkpoint", &one, "films/images", "--tta", "1"]), alone);
    assert!(apart(&predicted(&sandbox, &["--checkpoint", &one, "films/images", "--tta", "3"]), &alone) > 1e-6);
    let twice = predicted(&sandbox, &["--checkpoint", &one, "--checkpoint", &one, "films/images"]);
    assert!(apart(&twice, &alone) < 1e-9);
    let both = predicted(&sandbox, &["--checkpoint", &one, "--checkpoint", &other, "films/images"]);
    let turned = predicted(&sandbox, &["--checkpoint", &other, "--checkpoint", &one, "films/images"]);
    assert!(apart(&both, &turned) < 1e-9 && apart(&both, &alone) > 1e-6);

    // A file of another kind, in colour or 16 bits, is the same image.
    let films: Vec<PathBuf> = fs::read_dir(sandbox.path("films/images")).unwrap().map(|e| e.unwrap().path()).collect();
    let film = films.iter().min().unwrap();
    let picture = image::open(film).unwrap();
    picture.to_rgb8().save(sandbox.path("colour.bmp")).unwrap();
    picture.to_luma16().save(sandbox.path("deep.png")).unwrap();
    let kinds = ["--checkpoint", &one, "--overlay", "drawn", "--output", "kinds.csv", "colour.bmp", "deep.png"];
    sandbox.expect(0, &[&["predict"], &kinds[..]].concat());
    let kinds = rows(&fs::read_to_string(sandbox.path("kinds.csv")).unwrap());
    for (row, same) in kinds.iter().zip(alone[..kinds.len() / 2].iter().cycle()) {
        assert_eq!((&row["landmark"], &row["x"], &row["y"]), (&same["landmark"], &same["x"], &same["y"]));
    }
    let drawn = image::open(sandbox.path("drawn/deep.png")).unwrap();
    assert_eq!((drawn.width(), drawn.height()), (1000, 1200));
    assert!(sandbox.path("drawn/colour.png").is_file());
    let said = sandbox.expect(2, &["predict", "--checkpoint", &one, "--overlay", ".", "deep.png"]);
    assert!(said.contains("would replace the image"), "{said}");
}

#[test]
fn what_cannot_be_predicted_is_said_and_the_rest_is_done() {
    let (sandbox, trials) = trained(DEFINITION, &["--train", "4", "--val", "2"]);
    let one = best(&trials[0]);
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/parity/unet.safetensors");
    sandbox.write("words.safetensors", "not a checkpoint, however long this text is");
    for (file, why) in
        [("words.safetensors", "not a readable checkpoint"), (fixture, "no description"), ("none", "none")]
    {
        for command in ["eval", "predict"] {
            let images: &[&str] = if command == "predict" { &["films/images"] } else { &[] };
            let said = sandbox.expect(2, &[&[command, "--checkpoint", file], images].concat());
            assert!(said.contains(why) && said.contains("best.safetensors"), "{said}");
        }
    }

    // A data set with another name for a landmark.
    let table = fs::read_to_string(sandbox.path("films/landmarks.csv")).unwrap();
    sandbox.write("films/landmarks.csv", &table.replace("sella_", "turcica_"));
    let said = sandbox.expect(2, &["eval", "--checkpoint", &one]);
    assert!(said.contains("does not have `sella`") && said.contains("turcica"), "{said}");
    let said = sandbox.expect(2, &["eval", "--checkpoint", &one, "--dataset", "nowhere"]);
    assert!(said.contains("nowhere") && said.contains("dataset.toml"), "{said}");
    // A network that was trained on the data cannot be combined with one that was not.
    sandbox.expect(0, &["run", "tiny.toml", "--quiet", "--results", "renamed"]);
    let renamed = best(&trial_folders(&sandbox.path("renamed/tiny"))[0]);
    let said = sandbox.expect(2, &["predict", "--checkpoint", &one, "--checkpoint", &renamed, "films/images"]);
    assert!(said.contains("does not find `sella` and finds `turcica`"), "{said}");

    // One file of a folder is damaged: the others are predicted.
    fs::create_dir(sandbox.path("mixed")).unwrap();
    let films: Vec<PathBuf> = fs::read_dir(sandbox.path("films/images")).unwrap().map(|e| e.unwrap().path()).collect();
    fs::copy(&films[0], sandbox.path("mixed/b.png")).unwrap();
    sandbox.write("mixed/a.png", "no picture");
    sandbox.write("mixed/notes.txt", "no picture either, and none by its name");
    let output = sandbox.sweep(&["predict", "--checkpoint", &one, "mixed", "--output", "mixed.csv"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("mixed/a.png") && said.contains("1 of 2 images could not be read"), "{said}");
    let found = rows(&fs::read_to_string(sandbox.path("mixed.csv")).unwrap());
    assert!(!found.is_empty() && found.iter().all(|row| row["image"] == "mixed/b.png"));
    fs::create_dir(sandbox.path("empty")).unwrap();
    for (images, why) in [("empty", "no image in this folder"), ("gone.png", "no such file or folder")] {
        let said = sandbox.expect(2, &["predict", "--checkpoint", &one, images]);
        assert!(said.contains(why) && said.contains(images), "{said}");
    }
    sandbox.expect(2, &["predict", "--checkpoint", &one]);
    sandbox.expect(2, &["predict", "films/images"]);
}

#[test]
fn every_image_is_scored_once_by_those_that_did_not_train_on_it() {
    let folds = r#"dataset = { name = "folder", path = "films", folds = 3, fold = 0 }"#;
    let definition = DEFINITION
        .replace(r#"dataset = { name = "folder", path = "films" }"#, folds)
        .replace("[trial]", "[axes]\n\"dataset.fold\" = [0, 1, 2]\n[trial]");
    let (sandbox, trials) = trained(&definition, &["--train", "7", "--val", "4"]);
    assert_eq!(trials.len(), 6);
    let seed0: Vec<String> = trials.iter().filter(|t| t.to_string_lossy().contains("seed0")).map(|t| best(t)).collect();
    let all: Vec<String> = trials.iter().map(|t| best(t)).collect();
    let with = |files: &[String], more: &[&str]| -> Vec<String> {
        let mut arguments = vec!["--checkpoint".to_owned()];
        arguments.extend(files.iter().cloned());
        arguments.extend(more.iter().map(|m| (*m).to_owned()));
        arguments
    };
    let json = |arguments: &[String]| json(&sandbox, &arguments.iter().map(String::as_str).collect::<Vec<_>>());

    // One seed: the pooled records of the folds' trainings.
    let pooled = json(&with(&seed0, &["--held-out", "--output", "pooled.csv"]));
    assert_eq!(pooled["images"], 11);
    let key = |row: &Row| (row["image"].clone(), row["landmark"].clone());
    let mut theirs = BTreeMap::new();
    for trial in trials.iter().filter(|t| t.to_string_lossy().contains("seed0")) {
        let kept = rows(&fs::read_to_string(trial.join("landmarks.csv")).unwrap());
        theirs.extend(kept.iter().filter(|r| r["selected"] == "best-error").map(|r| (key(r), r["x_pred"].clone())));
    }
    let ours = rows(&fs::read_to_string(sandbox.path("pooled.csv")).unwrap());
    assert_eq!(ours.iter().map(|r| (key(r), r["x_pred"].clone())).collect::<BTreeMap<_, _>>(), theirs);

    // Two seeds predict together, but images are still judged only by networks that were not trained on them.
    let together = json(&with(&all, &["--held-out", "--output", "together.csv"]));
    assert_eq!(together["images"], 11);
    assert_ne!(together["mre_mm"], pooled["mre_mm"]);
    let rows = rows(&fs::read_to_string(sandbox.path("together.csv")).unwrap());
    assert!(rows.iter().all(|row| row["trial"].matches('+').count() == 1), "two judges each");

    // Missing trials are reported: a seed in some folds, or whole folds.
    let said = |files: &[String]| {
        let output = sandbox.sweep(&with(files, &["--held-out"]).iter().fold(vec!["eval"], |mut all, one| {
            all.push(one);
            all
        }));
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(said(&all[..5]).contains("are judged by fewer networks than others: 1 to 2"), "{}", said(&all[..5]));
    assert!(said(&seed0[..2]).contains("were held out by none of these networks"), "{}", said(&seed0[..2]));
    assert!(!["judged by fewer", "held out by none"].iter().any(|what| said(&all).contains(what)), "{}", said(&all));

    // Without it, trials that were trained on the images are reported; a data set that has changed is refused.
    let plain =
        sandbox.sweep(&[&["eval", "--checkpoint"], &all.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat());
    let said = String::from_utf8_lossy(&plain.stderr);
    assert!(plain.status.success() && said.contains("were trained on, by 4 of 6 networks"), "{said}");
    let table = fs::read_to_string(sandbox.path("films/landmarks.csv")).unwrap();
    let fewer: Vec<&str> = table.lines().collect();
    let gone = fewer[1].split(',').next().unwrap().to_owned();
    sandbox.write("films/landmarks.csv", &[&fewer[..1], &fewer[2..]].concat().join("\n"));
    fs::remove_file(sandbox.path("films/images").join(gone)).unwrap();
    let said = sandbox.expect(2, &["eval", "--held-out", "--checkpoint", &all[0]]);
    assert!(said.contains("not those that this network was trained and validated on"), "{said}");
}

#[test]
fn half_precision_halves_the_file_and_finds_the_same() {
    let elsewhere = DEFINITION.replace("\"films\"", "\"./films\"");
    let (sandbox, trials) = trained(&elsewhere, &["--train", "4", "--val", "3"]);
    let one = best(&trials[0]);
    let last = trials[0].join("last.safetensors").display().to_string();
    for (file, dtype) in [("f32.safetensors", "f32"), ("f16.safetensors", "f16")] {
        sandbox.expect(0, &["export", "weights", &one, file, "--dtype", dtype]);
    }
    let whole = predicted(&sandbox, &["--checkpoint", &one, "films/images"]);
    assert_eq!(predicted(&sandbox, &["--checkpoint", "f32.safetensors", "films/images"]), whole);
    let half = predicted(&sandbox, &["--checkpoint", "f16.safetensors", "films/images"]);
    let off = apart(&whole, &half);
    assert!(off > 0.0 && off < 1.0, "{off} px");
    let size = |file: &str| fs::metadata(sandbox.path(file)).unwrap().len();
    let header = 3000;
    assert!(size("f16.safetensors") < size("f32.safetensors") / 2 + header);
    // The file does not contain the local path of the data.
    let about = |file: &Path| String::from_utf8_lossy(&fs::read(file).unwrap()).replace('\\', "");
    assert!(about(Path::new(&one)).contains("\"path\":\"./films\""));
    assert!(about(&sandbox.path("f16.safetensors")).contains("\"path\":\"films\""));
    // The optimizer's moments are not exported.
    sandbox.expect(0, &["export", "weights", &last, "last.safetensors"]);
    assert!(size("last.safetensors") < fs::metadata(&last).unwrap().len() / 2);
    json(&sandbox, &["--checkpoint", "last.safetensors"]);
}

#[test]
fn images_unlike_those_of_the_training_are_pointed_out() {
    let definition = DEFINITION.replace("seeds = [0, 1]", "seeds = [0]");
    let (sandbox, trials) = trained(&definition, &["--train", "12", "--val", "12"]);
    let judged = |checkpoint: &str, images: &str| -> (Vec<Value>, String) {
        let output = sandbox.sweep(&["predict", "--json", "--checkpoint", checkpoint, images]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).unwrap();
        let images =
            lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["out_of_distribution"].clone());
        (images.collect(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (own, said) = judged(&best(&trials[0]), "films/images");
    let alarms = own.iter().filter(|image| image["unlike"] == true).count();
    assert!(own.len() == 24 && alarms == 0 && !said.contains("warning"), "{alarms}: {said}");
    // Each says how unlike it is, and how often such a warning is wrong: once in 13 images.
    assert!(
        own.iter().all(|image| image["p"].as_f64().unwrap() > 1.0 / 13.0 && image["score"].as_f64().unwrap() <= 1.0)
    );
    assert!((own[0]["false_alarm_rate"].as_f64().unwrap() - 1.0 / 13.0).abs() < 1e-12);

    fs::create_dir(sandbox.path("inverted")).unwrap();
    for film in fs::read_dir(sandbox.path("films/images")).unwrap().take(3) {
        let film = film.unwrap();
        let mut picture = image::open(film.path()).unwrap().into_luma8();
        picture.pixels_mut().for_each(|pixel| pixel.0[0] = 255 - pixel.0[0]);
        picture.save(sandbox.path("inverted").join(film.file_name())).unwrap();
    }
    let (inverted, said) = judged(&best(&trials[0]), "inverted");
    assert!(
        inverted.iter().all(|image| image["unlike"] == true && image["p"].as_f64().unwrap() < 0.08),
        "{inverted:?}"
    );
    assert_eq!(said.matches("unlike the images that the network was trained on").count(), 3, "{said}");
    assert!(said.contains("3 of 3 images unlike") && said.contains("at most 7.7 %"), "{said}");
    let features = inverted[0]["differs"].as_array().unwrap();
    assert!(features.iter().any(|difference| difference["feature"] == "layout"), "{features:?}");

    let evaluated = json(&sandbox, &["--checkpoint", &best(&trials[0])]);
    assert_eq!(
        (&evaluated["out_of_distribution"]["judged"], &evaluated["out_of_distribution"]["unlike"]),
        (&12.into(), &0.into())
    );
    assert_eq!(evaluated["out_of_distribution"]["images"].as_array().unwrap().len(), 12);

    // A checkpoint of an earlier version judges no image, and says so once.
    let earlier = concat!(env!("CARGO_MANIFEST_DIR"), "/results/examples/two-stage/best.safetensors");
    let (nothing, said) = judged(earlier, "inverted");
    assert!(nothing.iter().all(Value::is_null), "{nothing:?}");
    assert_eq!(said.matches("says nothing of its training images").count(), 1, "{said}");
}

#[test]
fn a_signal_stops_between_pictures_and_keeps_what_is_found() {
    let (sandbox, trials) = trained(DEFINITION, &["--train", "40", "--val", "3"]);
    let mut command = sandbox.command(SWEEP);
    command.args(["predict", "--checkpoint", &best(&trials[0]), "--tta", "500", "--threads", "1", "films/images"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    send(child.id(), Signal::INT);
    let rest: Vec<String> = lines.map(std::result::Result::unwrap).collect();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("of 43 images") && !rest.is_empty(), "{said}");
}
