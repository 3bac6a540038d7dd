//! Results of sweeps, and what is made of them.

use std::fs;
use std::path::PathBuf;

use landmark_sweep::analysis::{findings, load};
use landmark_sweep::gate::{self, Baseline, Margins};
use landmark_sweep::report::{self, Content};
use landmark_sweep::scheduler::slurm::under_way;
use landmark_sweep::store::{Root, Store};
use landmark_sweep::trackers;
use serde_json::{Value, json};

use super::{Scene, with};

pub(crate) fn of_trial(scene: &Scene, file: &str) -> Vec<u8> {
    fs::read(scene.trial().join(file)).unwrap()
}

/// As `sweep report` reads a folder: loads, finds and draws.
pub(super) fn reported(scene: &Scene) -> bool {
    let store = Store::at(&scene.results);
    let Ok(sweep) = load::load(&store) else { return false };
    let (found, onsets) = (findings::findings(&sweep), findings::onsets(&sweep));
    let images = store.images();
    let content = Content { findings: &found, onsets: &onsets, images: Some(&images) };
    report::write(&sweep, content, &Root::at(&scene.scratch.join("report"))).is_ok()
}

pub(super) fn record(scene: &Scene, file: &str, bytes: &[u8]) -> bool {
    with(&scene.trial().join(file), bytes, || reported(scene))
}

pub(super) fn sweep_toml(scene: &Scene, bytes: &[u8]) -> bool {
    with(&scene.results.join("sweep.toml"), bytes, || reported(scene))
}

pub(super) fn status(scene: &Scene, bytes: &[u8]) -> bool {
    let (trial, store) = (scene.trial(), Store::at(&scene.results));
    let name = trial.file_name().unwrap().to_str().unwrap();
    with(&trial.join("status.json"), bytes, || store.trial(name).status().is_ok())
}

pub(crate) fn submitted() -> Value {
    json!({ "name": "sweep-tiny", "comment": "c", "job": null, "void": true, "trials": ["a", "b"] })
}

pub(super) fn submission(scene: &Scene, bytes: &[u8]) -> bool {
    let store = Store::at(&scene.results);
    store.slurm().write("0001.json", bytes).unwrap();
    let is_read = under_way(&store).is_ok();
    fs::remove_dir_all(scene.results.join("slurm")).unwrap();
    is_read
}

pub(super) fn now(scene: &Scene) -> Baseline {
    gate::collect(&load::load(&Store::at(&scene.results)).unwrap())
}

pub(super) fn baseline(scene: &Scene, bytes: &[u8]) -> bool {
    let Ok(before) = Baseline::parse(&String::from_utf8_lossy(bytes)) else { return false };
    gate::check(
        &before,
        &now(scene),
        &Margins { mre_mm: 0.1, sdr_points: 5.0, measures: std::collections::BTreeMap::new() },
    )
    .is_ok_and(|checked| {
        let _ = (gate::junit(&checked).unwrap(), gate::markdown(&checked), gate::annotations(Ok(&checked)));
        true
    })
}

/// The first trial's event file, as `sweep export tensorboard` writes it, and its bytes.
pub(super) fn logged(scene: &Scene) -> (PathBuf, Vec<u8>) {
    let out = scene.scratch.join("events");
    let _ = fs::remove_dir_all(&out);
    assert!(trackers::export_tensorboard(&Store::at(&scene.results), &out, false).is_ok());
    let run = out.join(scene.trial().file_name().unwrap()).join("train");
    let file = fs::read_dir(&run).unwrap().next().unwrap().unwrap().path();
    let bytes = fs::read(&file).unwrap();
    (file, bytes)
}

pub(super) fn events(scene: &Scene, bytes: &[u8]) -> bool {
    let (file, _) = logged(scene);
    fs::write(&file, bytes).unwrap();
    trackers::export_tensorboard(&Store::at(&scene.results), &scene.scratch.join("events"), false).is_ok()
}
