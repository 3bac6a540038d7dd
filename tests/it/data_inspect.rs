//! `sweep data inspect`, as users run it: all defects at once, exit codes, JSON, figures.

use std::fs;
use std::path::Path;
use std::process::Command;

use landmark_sweep::data::folder;
use landmark_sweep::data::phantom::PhantomSpec;

/// Exit code and standard output, in a separate working directory.
fn inspect(here: &Path, arguments: &[&str]) -> (i32, String, String) {
    let command = Command::new(env!("CARGO_BIN_EXE_sweep"))
        .current_dir(here)
        .args(["data", "inspect"])
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (command.status.code().unwrap(), text(&command.stdout), text(&command.stderr))
}

fn phantoms(dir: &Path) {
    let spec = PhantomSpec { train: 24, val: 12, test: 0, height: 100, width: 80, seed: 0 };
    folder::write(&spec.generate().unwrap(), dir).unwrap();
}

/// Replaces a cell of the CSV; lines count from 1.
fn cell(dir: &Path, line: usize, column: usize, value: &str) {
    let path = dir.join("landmarks.csv");
    let text = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    lines[line - 1][column] = value;
    let lines: Vec<String> = lines.iter().map(|cells| cells.join(",")).collect();
    fs::write(path, lines.join("\n") + "\n").unwrap();
}

#[test]
fn a_sound_data_set_is_told_and_drawn_and_left_as_it_is() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("set");
    phantoms(&dir);
    let before = fs::read_dir(&dir).unwrap().count();
    let (code, out, err) = inspect(root.path(), &["set"]);
    assert_eq!(code, 0, "{out}{err}");
    for part in
        ["phantom: 36 images (train 24, val 12, test 0)", "80×100 pixels", "sella", "24/24", "12/12", "fit for a sweep"]
    {
        assert!(out.contains(part), "{part:?} is not in {out}");
    }
    for picture in ["contact_sheet.png", "landmark_spread.png"] {
        let drawn = image::open(root.path().join("inspect-set").join(picture)).unwrap();
        assert!(drawn.width() == 1600 && drawn.height() > 500, "{picture}");
    }
    assert_eq!(fs::read_dir(&dir).unwrap().count(), before);
    // In a data set's folder, figures are drawn only on request, and never among its images.
    let (code, _, err) = inspect(&dir, &["."]);
    assert!(code == 2 && err.contains("--output"), "{code} {err}");
    let (code, _, err) = inspect(root.path(), &["set", "--output", "set/images/sheet"]);
    assert!(code == 2 && err.contains("data set itself"), "{code} {err}");
    assert_eq!(inspect(&dir, &[".", "--no-pictures"]).0, 0);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), before);
}

#[test]
fn every_defect_is_told_at_once() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("set");
    phantoms(&dir);
    // Columns: image, split, then sella x, sella y, nasion x, …
    cell(&dir, 2, 2, "abc");
    cell(&dir, 3, 1, "training");
    cell(&dir, 4, 5, "");
    cell(&dir, 5, 2, "500");
    cell(&dir, 6, 0, "missing.png");
    cell(&dir, 8, 0, "train-005.png");
    let image = |name: &str| dir.join("images").join(name);
    fs::write(image("train-010.png"), "no image").unwrap();
    fs::copy(image("val-003.png"), image("train-011.png")).unwrap();
    image::GrayImage::new(80, 100).save(image("train-012.png")).unwrap();
    let (code, out, err) = inspect(root.path(), &["set", "--json", "--no-pictures"]);
    assert_eq!(code, 1, "{out}{err}");
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["spoilt"], true);
    let findings = json["findings"].as_array().unwrap();
    let has = |check: &str, line: u64, words: &str| {
        findings.iter().any(|f| {
            f["check"] == check
                && f["line"] == line
                && f["what"].as_str().unwrap().contains(words)
                && !f["remedy"].as_str().unwrap().is_empty()
        })
    };
    for (check, line, words) in [
        ("table", 2, "`abc` is not a number"),
        ("table", 3, "unknown split `training`"),
        ("table", 4, "has an x but no y"),
        ("outside", 5, "lies outside the image of 80×100"),
        ("table", 6, "no image `missing.png`"),
        ("table", 8, "`train-005.png` is there twice"),
        ("unreadable", 12, "no image format that is read"),
        ("leakage", 13, "val-003.png (val): pixel for pixel"),
        ("flat", 14, "black all over"),
    ] {
        assert!(has(check, line, words), "{check} at line {line}: {words} is not in {out}");
    }
    assert!(out.contains("have no row: `train-004.png`, `train-006.png`"), "{out}");
    assert_eq!(json["images"]["none"], 1);
}

#[test]
fn what_cannot_be_read_at_all_is_an_error_of_input() {
    let root = tempfile::tempdir().unwrap();
    let (code, _, err) = inspect(root.path(), &["nowhere"]);
    assert!(code == 2 && err.contains("no dataset.toml"), "{code} {err}");
    let dir = root.path().join("set");
    phantoms(&dir);
    fs::write(dir.join("landmarks.csv"), "").unwrap();
    let (code, _, err) = inspect(root.path(), &["set"]);
    assert!(code == 2 && err.contains("the file is empty"), "{code} {err}");
}
