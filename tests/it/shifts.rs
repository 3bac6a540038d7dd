//! `sweep eval --shifts` as users run it: tables, comparisons of recipes, other observers' marks, and radii of far pictures.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::{Sandbox, trial_folders};

/// Two seeds, ten validation images, twelve test images.
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

/// A finished sweep, and the last checkpoints of its trials.
fn trained() -> (Sandbox, Vec<String>) {
    let sandbox = Sandbox::new(DEFINITION);
    let films = ["--train", "12", "--val", "10", "--test", "12", "--height", "96", "--width", "80"];
    sandbox.expect(0, &[&["data", "synth", "films"][..], &films].concat());
    sandbox.expect(0, &["run", "tiny.toml", "--quiet", "--jobs", "2", "--threads", "1"]);
    let trials = trial_folders(&sandbox.path("results/tiny"));
    let last = |trial: &std::path::PathBuf| trial.join("last.safetensors").display().to_string();
    let checkpoints = trials.iter().map(last).collect();
    (sandbox, checkpoints)
}

fn json(sandbox: &Sandbox, arguments: &[&str]) -> Value {
    serde_json::from_str(&sandbox.printed(&[&["eval", "--json", "--shifts"], arguments].concat())).unwrap()
}

fn conditions(of: &Value) -> &Vec<Value> {
    of["conditions"].as_array().unwrap()
}

fn number(of: &Value, key: &str) -> f64 {
    of[key].as_f64().unwrap_or_else(|| panic!("{key}: {of}"))
}

/// A copy of a data set, its landmarks 2 pixels to the right, or its images mirrored.
fn copied(sandbox: &Sandbox, name: &str, change: impl Fn(&Path)) {
    let (from, to) = (sandbox.path("films"), sandbox.path(name));
    fs::create_dir_all(to.join("images")).unwrap();
    for file in ["dataset.toml", "landmarks.csv"] {
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
    for image in fs::read_dir(from.join("images")).unwrap() {
        let image = image.unwrap();
        fs::copy(image.path(), to.join("images").join(image.file_name())).unwrap();
    }
    change(&to);
}

#[test]
fn every_shift_has_its_row_whatever_the_number_of_threads() {
    let (sandbox, networks) = trained();
    let of = |more: &[&str]| {
        let arguments = [&["--checkpoint", &networks[0], "--split", "test"], more].concat();
        json(&sandbox, &arguments)
    };
    let found = of(&["--threads", "1", "--output", "all.csv"]);
    assert_eq!(found, of(&["--threads", "2", "--output", "again.csv"]), "threads");
    let read = |name: &str| fs::read_to_string(sandbox.path(name)).unwrap();
    assert_eq!(read("all.csv"), read("again.csv"));

    let rows = conditions(&found["shifts"]);
    let names: Vec<&str> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!((names.len(), names[0], names[15]), (18, "as it is", "all 14 shifts"), "{names:?}");
    assert_eq!(&names[16..], ["unusual shapes (3 images)", "least like the training's (3 images)"]);
    assert!(found["shifts"]["against"].is_null());
    assert_eq!(number(&rows[0], "mre_mm").to_bits(), number(&found, "mre_mm").to_bits());
    assert_eq!(rows[0]["sdr_2mm"], found["sdr_2mm"]);
    let whole = rows[1..15].iter().filter(|row| row["landmarks"] == rows[0]["landmarks"]);
    for row in whole {
        let change = number(row, "mre_mm") - number(&rows[0], "mre_mm");
        assert!((number(row, "change_mm") - change).abs() < 1e-9, "{row}");
        let [low, high] = [0, 1].map(|end| row["change_interval_mm"][end].as_f64().unwrap());
        assert!(low <= change && change <= high, "{row}");
        assert_eq!((&row["judged"], row["reference"].as_str()), (&12.into(), Some("as-it-is")), "{row}");
    }
    // A picture at half its contrast is unlike those of the training; the same pictures as they are are not.
    let unlike = |name: &str| number(rows.iter().find(|row| row["name"] == name).unwrap(), "unlike");
    assert!(unlike("lower-contrast") > 6.0 && unlike("as it is") <= 2.0, "{rows:?}");

    // Rows of the images as they are are those of an evaluation without shifts.
    let plain = ["eval", "--checkpoint", &networks[0], "--split", "test", "--output", "plain.csv"];
    let said = sandbox.printed(&plain);
    assert!(!said.contains("darker"), "{said}");
    let all = read("all.csv");
    let as_is: Vec<String> = all.lines().filter_map(|line| line.strip_prefix("as it is,")).map(str::to_owned).collect();
    assert_eq!(as_is, read("plain.csv").lines().skip(1).map(str::to_owned).collect::<Vec<_>>());
    assert!(all.starts_with("shift,trial,") && all.lines().any(|line| line.starts_with("third-resolution,")));
    let said = sandbox.printed(&[&plain[..], &["--shifts"]].concat());
    assert!(said.contains("all 14 shifts") && said.contains("of 12") && said.contains("simultaneous"), "{said}");
}

#[test]
fn two_recipes_are_held_against_each_other_under_every_shift() {
    let (sandbox, networks) = trained();
    let of = |one: &str, other: &str| json(&sandbox, &["--split", "test", "--checkpoint", one, "--against", other]);
    let found = of(&networks[0], &networks[1]);
    let mirrored = of(&networks[1], &networks[0]);
    let [changes, back] = [&found, &mirrored].map(|of| conditions(&of["shifts"]["against"]));
    assert_eq!(changes.len(), 18);
    let rows = conditions(&found["shifts"]);
    for ((row, change), back) in rows.iter().zip(changes).zip(back).take(16) {
        assert_eq!(row["name"], change["name"]);
        assert!((number(change, "change_mm") + number(back, "change_mm")).abs() < 1e-9, "{change} {back}");
        let of_means = number(change, "mre_mm") - number(change, "mre_against_mm");
        assert!((number(change, "change_mm") - of_means).abs() < 1e-9, "{change}");
        let is_shown = change["standing"] != "not-shown";
        assert_eq!(is_shown, number(change, "p_adjusted") < 0.05, "{change}");
    }
    assert_eq!(found["shifts"]["against"]["checkpoints"].as_array().unwrap().len(), 1);
    assert!(found["shifts"]["against"]["finding"].as_str().unwrap().starts_with("On the images as they are"));

    let same = of(&networks[0], &networks[0]);
    let unchanged = conditions(&same["shifts"]["against"]);
    assert!(
        unchanged.iter().all(|of| number(of, "change_mm") == 0.0 && of["standing"] == "not-shown"),
        "{unchanged:?}"
    );
    let text = ["eval", "--shifts", "--split", "test", "--checkpoint", &networks[0], "--against", &networks[1]];
    let said = sandbox.printed(&text);
    assert!(said.contains("against\n  ") && said.contains("less than zero is better"), "{said}");

    // What cannot be compared is refused, before anything is computed where that can be told.
    let refused = |more: &[&str]| sandbox.expect(2, &[&["eval", "--checkpoint", &networks[0]], more].concat());
    assert!(refused(&["--against", &networks[1]]).contains("--shifts"));
    assert!(refused(&["--shifts", "--against", &networks[1], "--radii", "radii.json"]).contains("--radii"));
    assert!(refused(&["--shifts", "--against", "nowhere.safetensors"]).contains("nowhere.safetensors"));
    assert!(refused(&["--shifts", "--both-stages", "--against", &networks[1]]).contains("two stages"));
}

#[test]
fn other_observers_marks_have_a_row_each() {
    let (sandbox, networks) = trained();
    let shifted = |dir: &Path| {
        let text = fs::read_to_string(dir.join("landmarks.csv")).unwrap();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().unwrap().clone();
        let mut writer = csv::Writer::from_path(dir.join("landmarks.csv")).unwrap();
        writer.write_record(&header).unwrap();
        for row in reader.records().map(|row| row.unwrap()) {
            let cell = |(name, cell): (&str, &str)| match cell.parse::<f64>() {
                Ok(x) if name.ends_with("_x") => (x + 2.0).to_string(),
                _ => cell.to_owned(),
            };
            writer.write_record(header.iter().zip(&row).map(cell)).unwrap();
        }
        writer.flush().unwrap();
    };
    copied(&sandbox, "junior", shifted);
    copied(&sandbox, "same", |_| ());
    copied(&sandbox, "renamed", |dir| {
        let text = fs::read_to_string(dir.join("landmarks.csv")).unwrap();
        fs::write(dir.join("landmarks.csv"), text.replace("sella_", "turcica_").replace("test-", "other-")).unwrap();
        for image in fs::read_dir(dir.join("images")).unwrap() {
            let path = image.unwrap().path();
            fs::rename(&path, path.display().to_string().replace("test-", "other-")).unwrap();
        }
    });
    copied(&sandbox, "smaller", |dir| {
        for image in fs::read_dir(dir.join("images")).unwrap() {
            let path = image.unwrap().path();
            let picture = image::open(&path).unwrap().into_luma8();
            image::imageops::crop_imm(&picture, 0, 0, 79, 96).to_image().save(&path).unwrap();
        }
    });
    let eval = ["--checkpoint", &networks[0], "--split", "test"];
    let found = json(&sandbox, &[&eval[..], &["--marks", "same", "--marks", "junior", "--output", "all.csv"]].concat());
    let rows = conditions(&found["shifts"]);
    assert_eq!((&rows[18]["name"], &rows[19]["name"]), (&"marks of same".into(), &"marks of junior".into()));
    assert_eq!((number(&rows[18], "change_mm"), &rows[18]["mre_mm"]), (0.0, &rows[0]["mre_mm"]));
    assert!(number(&rows[19], "change_mm") != 0.0 && rows[19]["landmarks"] == rows[0]["landmarks"]);
    let csv = fs::read_to_string(sandbox.path("all.csv")).unwrap();
    assert!(csv.lines().any(|line| line.starts_with("marks of junior,")));

    let refused = |more: &[&str]| sandbox.expect(2, &[&["eval"], &eval[..], more].concat());
    assert!(refused(&["--marks", "junior"]).contains("--shifts"));
    assert!(refused(&["--shifts", "--marks", "nowhere"]).contains("nowhere"));
    assert!(refused(&["--shifts", "--marks", "renamed"]).contains("none of the evaluated images"));
    assert!(refused(&["--shifts", "--marks", "smaller"]).contains("another size"));
}

fn eval<'a>(network: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["eval", "--split", "test", "--checkpoint", network][..], more].concat()
}

#[test]
fn radii_of_far_pictures_are_wider_or_refused() {
    let (sandbox, networks) = trained();
    let network = networks[0].as_str();
    let said = sandbox.expect(0, &eval(network, &["--calibrate", "plain.json"]));
    assert!(said.contains("get no radius: --shifts measures"), "{said}");
    let said = sandbox.expect(0, &eval(network, &["--calibrate", "shifted.json", "--shifts"]));
    assert!(said.contains("times as wide for images unlike"), "{said}");
    let file = |name: &str| -> Value { serde_json::from_slice(&fs::read(sandbox.path(name)).unwrap()).unwrap() };
    let (plain, shifted) = (file("plain.json"), file("shifted.json"));
    assert_eq!(plain["landmarks"], shifted["landmarks"], "images like the training's keep their radii");
    let classes = shifted["unlike"].as_array().unwrap();
    assert!(!classes.is_empty() && classes.iter().all(|class| number(class, "factor") >= 1.0), "{classes:?}");

    // Pictures at half their contrast, as the shift makes them, in files of their own.
    fs::create_dir(sandbox.path("dull")).unwrap();
    for film in fs::read_dir(sandbox.path("films/images")).unwrap().map(|film| film.unwrap()).take(6) {
        let mut picture = image::open(film.path()).unwrap().into_luma8();
        let mean =
            picture.pixels().map(|p| f64::from(p.0[0])).sum::<f64>() / f64::from(picture.width() * picture.height());
        picture.pixels_mut().for_each(|p| p.0[0] = (mean + (f64::from(p.0[0]) - mean) * 0.5).round() as u8);
        picture.save(sandbox.path("dull").join(film.file_name())).unwrap();
    }
    let predicted = |radii: &str, images: &str| -> Vec<Value> {
        let lines = sandbox.printed(&["predict", "--checkpoint", network, images, "--json", "--radii", radii]);
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (mut refused, mut widened) = (0, 0);
    for (plain, shifted) in predicted("plain.json", "dull").iter().zip(predicted("shifted.json", "dull")) {
        let pairs = plain["landmarks"].as_array().unwrap().iter().zip(shifted["landmarks"].as_array().unwrap());
        for (plain, wide) in pairs {
            if shifted["out_of_distribution"]["unlike"] == true {
                refused += 1;
                let note = plain["radius_note"].as_str().unwrap();
                assert!(plain["radius_90_mm"].is_null() && note.contains("unlike those of the training"), "{plain}");
                let is_wider = wide["radius_90_mm"].is_number();
                widened += usize::from(is_wider);
                let note = wide["radius_note"].as_str().unwrap();
                assert!(note.contains(if is_wider { "widened by" } else { "did not measure" }), "{wide}");
            } else {
                assert_eq!(plain["radius_90_mm"], wide["radius_90_mm"]);
            }
        }
    }
    assert!(refused > 0 && widened > 0, "{refused} {widened}");

    // An evaluation counts the same: what it promises is what a prediction gives.
    let found = json(&sandbox, &["--split", "test", "--checkpoint", network, "--radii", "shifted.json"]);
    let rows = conditions(&found["shifts"]);
    assert_eq!(rows[0]["radii"], found["radii"]);
    for row in &rows[..15] {
        let count = |of: &Value, key: &str| of[key].as_u64().unwrap();
        let [images, refused, widened] = ["images", "refused", "widened"].map(|key| count(&row["radii"], key));
        assert_eq!((images + refused, widened + refused), (12, count(row, "unlike")), "{row}");
    }
    let found = json(&sandbox, &["--split", "test", "--checkpoint", network, "--radii", "plain.json"]);
    for row in &conditions(&found["shifts"])[..15] {
        assert_eq!((&row["radii"]["refused"], &row["radii"]["widened"]), (&row["unlike"], &0.into()), "{row}");
    }
    let said = sandbox.printed(&eval(network, &["--shifts", "--radii", "shifted.json"]));
    assert!(said.contains("in radii"), "{said}");
    let broken = shifted.to_string().replace("\"factor\":", "\"factor\":-");
    fs::write(sandbox.path("broken.json"), broken).unwrap();
    assert!(sandbox.expect(2, &eval(network, &["--radii", "broken.json"])).contains("times as wide"));
}
