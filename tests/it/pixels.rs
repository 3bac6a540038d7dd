//! A data set whose pixels have no known size, through every command: errors are in pixels, and nothing says millimetres.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::harness::{Sandbox, trial_folders};

const DEFINITION: &str = r#"
name = "tiny"
seeds = [0, 1]
[axes]
"loss.name" = ["l1", "nll"]
[trial]
epochs = 3
batch_size = 2
dataset = { name = "folder", path = "films" }
input = { height = 40, width = 32 }
model = { name = "unet", filters = [4, 8] }
heatmap = { name = "gaussian", sigma = 2 }
optimizer = { name = "adamw", lr = 1e-2 }
"#;

/// Films without the size of a pixel; `more` goes into their `dataset.toml`.
fn films(sandbox: &Sandbox, folder: &str, more: &str) {
    sandbox.expect(0, &["data", "synth", folder, "--height", "48", "--width", "40", "--train", "5", "--val", "6"]);
    let header = sandbox.path(folder).join("dataset.toml");
    let text = fs::read_to_string(&header).unwrap();
    let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with("spacing_mm")).collect();
    assert!(kept.len() < text.lines().count(), "{text}");
    fs::write(header, format!("{}\n{more}\n", kept.join("\n"))).unwrap();
}

fn said(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let output = sandbox.sweep(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

/// The words that name millimetres: ` mm`, `_mm`, `(mm)`, `2mm`.
fn millimetres(text: &str) -> Vec<String> {
    let is_word = |word: &str| {
        let word = word.trim_end_matches(|c: char| !c.is_alphanumeric());
        word.strip_suffix("mm").is_some_and(|start| !start.ends_with(char::is_alphabetic)) || word.contains("illimet")
    };
    text.split_whitespace().filter(|word| is_word(word)).map(str::to_owned).collect()
}

/// Text of a page without its tags, pictures and style.
fn visible(page: &str) -> String {
    let body = &page[page.find("<body>").unwrap()..];
    let mut text = String::new();
    for piece in body.split('<') {
        text.push_str(piece.split_once('>').map_or("", |(_, text)| text));
        text.push(' ');
    }
    text
}

fn cells(csv: &str, column: &str) -> Vec<String> {
    let mut lines = csv.lines();
    let at = lines.next().unwrap().split(',').position(|name| name == column).unwrap();
    lines.map(|line| line.split(',').nth(at).unwrap().to_owned()).collect()
}

#[test]
fn every_command_speaks_of_pixels() {
    let sandbox = Sandbox::new(DEFINITION);
    films(&sandbox, "films", "normalise = { by = [\"sella\", \"nasion\"] }");
    let inspected = said(&sandbox, &["data", "inspect", "films"]);
    assert!(inspected.contains("from mean px") && inspected.contains("of unknown size"), "{inspected}");
    assert_eq!(millimetres(&inspected), Vec::<String>::new());
    let planned = said(&sandbox, &["plan", "tiny.toml", "--no-calibrate"]);
    assert!(planned.contains("1.20 px between seeds") && millimetres(&planned).is_empty(), "{planned}");

    let ran = said(&sandbox, &["run", "tiny.toml", "--jobs", "2", "--threads", "1"]);
    assert!(ran.contains("MRE (px)") && ran.contains("within 2 px (%)") && millimetres(&ran).is_empty(), "{ran}");
    let sweep = sandbox.path("results/tiny");
    let folders = trial_folders(&sweep);
    for folder in &folders {
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        let about: toml::Table = toml::from_str(&read("trial.toml")).unwrap();
        assert_eq!((about["unit"].as_str(), about["config"]["objective"].as_str()), (Some("px"), Some("mre_px")));
        assert!(about["mean_shape_mre_px"].as_float().unwrap() > 1.0 && !about.contains_key("mean_shape_mre_mm"));
        let epochs = read("epochs.csv");
        for column in ["train_mre_mm", "val_mre_mm", "val_sd_mm", "val_median_mm", "val_p95_mm", "val_sdr_2mm"] {
            assert_eq!(cells(&epochs, column), ["", "", ""], "{column}");
        }
        let landmarks = read("landmarks.csv");
        assert!(cells(&landmarks, "error_mm").iter().all(String::is_empty));
        let number =
            |column: &str| -> Vec<f64> { cells(&landmarks, column).iter().map(|cell| cell.parse().unwrap()).collect() };
        let last: Vec<usize> =
            cells(&landmarks, "selected").iter().enumerate().filter(|(_, s)| *s == "last").map(|(i, _)| i).collect();
        let (px, reference) = (number("error_px"), number("reference_px"));
        let mean = |values: &dyn Fn(usize) -> f64| last.iter().map(|i| values(*i)).sum::<f64>() / last.len() as f64;
        let recorded = |column: &str| cells(&epochs, column)[2].parse::<f64>().unwrap();
        assert!((recorded("val_mre_px") - mean(&|i| px[i])).abs() < 1e-9);
        // Every film has all landmarks, so that the mean over images is that over landmarks.
        assert!((recorded("val_nme") - mean(&|i| 100.0 * px[i] / reference[i])).abs() < 1e-9);
        let within = |share: f64| mean(&|i| if px[i] <= share * reference[i] { 100.0 } else { 0.0 });
        assert!((recorded("val_pck_20") - within(0.2)).abs() < 1e-9, "{} {}", recorded("val_pck_20"), within(0.2));
        assert!(recorded("val_pck_20") >= recorded("val_pck_05"));
        assert!((recorded("val_sdr_8px") - mean(&|i| if px[i] <= 8.0 { 100.0 } else { 0.0 })).abs() < 1e-9);
    }
    let summary = fs::read_to_string(sweep.join("summary.csv")).unwrap();
    assert!(cells(&summary, "best_val_mre_mm").iter().all(String::is_empty));
    assert!(cells(&summary, "best_val_mre_px").iter().all(|cell| cell.parse::<f64>().unwrap() > 0.0));
    assert_eq!(cells(&summary, "unit"), ["px"; 4]);

    // The report: words, axes and numbers.
    let report = |name: &str| fs::read_to_string(sweep.join("report").join(name)).unwrap();
    let markdown = report("report.md");
    assert!(markdown.contains("least validation MRE (px)") && markdown.contains("above 40 px"), "{markdown}");
    assert_eq!(millimetres(&markdown), Vec::<String>::new());
    let page = visible(&report("index.html"));
    let page = page.split("The definition as run").next().unwrap().to_owned();
    assert!(page.contains("in px of the original image"), "{page}");
    assert_eq!(millimetres(&page), Vec::<String>::new());
    let findings = report("findings.json");
    assert!(findings.contains("\"unit\": \"px\"") && findings.contains("error_px"));
    assert_eq!(millimetres(&findings.replace(['"', ':', ','], " ")), Vec::<String>::new());
    let status = said(&sandbox, &["status", "results/tiny"]);
    assert!(status.contains("MRE px") && millimetres(&status).is_empty(), "{status}");
    let of = &sandbox.status("results/tiny")[0];
    assert!(of["val_mre_mm"].is_null() && of["val_mre_px"].as_f64().unwrap() > 0.0 && of["unit"] == "px", "{of}");

    gate(&sandbox);
    evaluation(&sandbox, &folders);
    let tensorboard = ["export", "tensorboard", "results/tiny", "events"];
    said(&sandbox, &tensorboard);
    let table = said(&sandbox, &["export", "csv", "results/tiny"]);
    assert_eq!(cells(&table, "best_val_mre_mm"), ["nan"; 4], "{table}");
}

/// Baseline and gate.
fn gate(sandbox: &Sandbox) {
    sandbox.expect(0, &["baseline", "results/tiny", "--output", "base.json"]);
    let base = fs::read_to_string(sandbox.path("base.json")).unwrap();
    assert!(base.contains("\"unit\":\"px\"") && base.contains("\"error_px\"") && !base.contains("mm"), "{base}");
    let check = ["check", "results/tiny", "--baseline", "base.json", "--markdown", "gate.md", "--junit", "gate.xml"];
    let checked = said(sandbox, &check);
    assert!(checked.contains("margin 0.4 px"), "{checked}");
    for text in [checked, fs::read_to_string(sandbox.path("gate.md")).unwrap()] {
        assert_eq!(millimetres(&text), Vec::<String>::new(), "{text}");
    }
    assert!(!fs::read_to_string(sandbox.path("gate.xml")).unwrap().contains("mm"));
    let json: Value = serde_json::from_str(&said(sandbox, &[&check[..4], &["--json"]].concat())).unwrap();
    assert_eq!((json["margins"]["mre_px"].as_f64(), json["unit"].as_str()), (Some(0.4), Some("px")));
    // A baseline in millimetres is no comparison.
    sandbox.write("mm.json", &base.replace("\"unit\":\"px\",", "").replace("error_px", "error_mm"));
    let error = sandbox.expect(2, &["check", "results/tiny", "--baseline", "mm.json"]);
    assert!(error.contains("millimetres") && error.contains("pixels"), "{error}");
}

/// `eval`, `predict` and `compare`.
fn evaluation(sandbox: &Sandbox, folders: &[PathBuf]) {
    let [a, b] = [0, 1].map(|i| folders[i].display().to_string());
    let best = folders[0].join("best.safetensors").display().to_string();
    let evaluated = said(sandbox, &["eval", "--checkpoint", &best, "--dataset", "films"]);
    assert!(evaluated.contains("MRE px") && evaluated.contains("≤16 px") && evaluated.contains("NME"), "{evaluated}");
    assert_eq!(millimetres(&evaluated), Vec::<String>::new());
    let text = said(sandbox, &["eval", "--checkpoint", &best, "--dataset", "films", "--json"]);
    // Notes on standard error follow.
    let json = serde_json::Deserializer::from_str(&text).into_iter::<Value>().next().unwrap().unwrap();
    for key in ["mre_mm", "sd_mm", "median_mm", "sdr_2mm", "sdr_2_5mm", "sdr_3mm", "sdr_4mm"] {
        assert!(json.as_object().unwrap().contains_key(key) && json[key].is_null(), "{key}: {json}");
    }
    let epochs = fs::read_to_string(folders[0].join("epochs.csv")).unwrap();
    let least = cells(&epochs, "val_mre_px").iter().map(|cell| cell.parse().unwrap()).fold(f64::INFINITY, f64::min);
    assert!((json["mre_px"].as_f64().unwrap() - least).abs() < 1e-9, "{json}");
    assert!(json["nme"].as_f64().unwrap() > 0.0 && json["pck_20"].is_number() && json["unit"] == "px", "{json}");
    let compared = said(sandbox, &["compare", &a, &b]);
    assert!(compared.contains(" px, 95 %") && compared.contains("within 2 px"), "{compared}");
    assert_eq!(millimetres(&compared), Vec::<String>::new());
}

#[test]
fn what_needs_millimetres_is_refused_with_a_remedy() {
    let sandbox = Sandbox::new(DEFINITION);
    films(&sandbox, "films", "");
    let refused = |change: (&str, &str), what: &[&str]| {
        assert!(DEFINITION.contains(change.0));
        sandbox.write("other.toml", &DEFINITION.replacen(change.0, change.1, 1));
        let error = sandbox.expect(2, &["run", "other.toml"]);
        assert!(what.iter().all(|what| error.contains(what)), "{what:?}: {error}");
    };
    let seeds = "seeds = [0, 1]\n";
    refused((seeds, "seeds = [0]\nobjective = \"mre_mm\"\n"), &["other.toml:4", "mre_mm", "\"mre_px\"", "spacing_mm"]);
    refused((seeds, "seeds = [0]\nobjective = \"nme\"\n"), &["other.toml:4", "reference length", "[normalise]"]);
    refused(
        ("batch_size = 2", "batch_size = 2\nearly_stop = { patience = 1, min_delta_mm = 0.1 }"),
        &["early_stop", "min_delta_px"],
    );
    refused(("batch_size = 2", "batch_size = 2\naugment = { elastic_mm = 4 }"), &["elastic_mm", "spacing_mm"]);
    // Two units in one sweep.
    sandbox.expect(0, &["data", "synth", "known", "--height", "48", "--width", "40", "--train", "2", "--val", "2"]);
    let axis = "\"loss.name\" = [\"l1\", \"nll\"]";
    refused(
        (axis, "\"loss.name\" = [\"l1\"]\n\"dataset.path\" = [\"films\", \"known\"]"),
        &["other.toml:4", "`films` in pixels", "`known` are in millimetres", "two sweeps"],
    );
    // Two units in one data set.
    let table = fs::read_to_string(sandbox.path("films/landmarks.csv")).unwrap();
    let spaced = table.lines().enumerate().map(|(i, line)| match i {
        0 => format!("{line},spacing_x_mm,spacing_y_mm\n"),
        3 => format!("{line},,\n"),
        _ => format!("{line},0.5,0.5\n"),
    });
    fs::write(sandbox.path("films/landmarks.csv"), spaced.collect::<String>()).unwrap();
    let error = sandbox.expect(2, &["run", "tiny.toml"]);
    assert!(error.contains("line 4") && error.contains("train-002.png") && error.contains("train-000.png"), "{error}");
}
