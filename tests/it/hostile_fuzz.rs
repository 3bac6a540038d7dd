//! Files that `sweep` itself wrote, changed by somebody who knows how they are made: hashes and checksums are right again, and
//! values are hostile. Whatever reads them returns a value or an error, within 1 GiB and some seconds.
//!
//! `LANDMARK_SWEEP_FUZZ_SECONDS=600 cargo test --release --test it hostile_fuzz -- --nocapture` runs for ten minutes;
//! `LANDMARK_SWEEP_FUZZ_SEED` sets the seed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use candle_core::Device;
use landmark_sweep::analysis::{findings, load};
use landmark_sweep::gate::{self, Baseline, Margins};
use landmark_sweep::networks::weights::WeightsSpec;
use landmark_sweep::predict::Predictor;
use landmark_sweep::predict::views::TtaViews;
use landmark_sweep::report::{self, Content};
use landmark_sweep::scheduler::slurm::under_way;
use landmark_sweep::store::{Root, Store};
use landmark_sweep::trackers;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use crate::fuzz::{Change, change, mutated, number};
use crate::hostile::{MEMORY_KIB, copy, described, trained};

/// Time limit of a mutant; reports draw a dozen figures.
const PATIENCE: Duration = Duration::from_secs(60);

/// Values that programs have trouble with.
fn hostile(which: u8) -> Value {
    match which % 20 {
        0 => json!(0),
        1 => json!(-1),
        2 => json!(1),
        3 => json!(65_535),
        4 => json!(65_536),
        5 => json!(u32::MAX),
        6 => json!(1u64 << 33),
        7 => json!(1u64 << 53),
        8 => json!(i64::MAX),
        9 => json!(u64::MAX),
        10 => json!(1e308),
        11 => json!(-1e-308),
        12 => json!(0.5),
        13 => json!(""),
        14 => json!("../../x"),
        15 => json!("\u{1b}[2J\n::error::"),
        16 => json!(vec![8; 50]),
        17 => json!([]),
        18 => Value::Null,
        _ => json!({ "name": "unet", "filters": [u64::MAX, 1] }),
    }
}

/// Number of values in JSON that are no tables or lists.
fn leaves(value: &Value) -> usize {
    match value {
        Value::Array(values) => values.iter().map(leaves).sum(),
        Value::Object(fields) => fields.values().map(leaves).sum(),
        _ => 1,
    }
}

/// The leaf of this number.
fn leaf<'a>(value: &'a mut Value, number: &mut usize) -> Option<&'a mut Value> {
    match value {
        Value::Array(values) => values.iter_mut().find_map(|value| leaf(value, number)),
        Value::Object(fields) => fields.iter_mut().find_map(|(_, value)| leaf(value, number)),
        value if *number == 0 => Some(value),
        _ => {
            *number -= 1;
            None
        }
    }
}

fn with_hostile(value: &mut Value, changes: &[(u16, u8)]) {
    for (at, which) in changes {
        let mut number = usize::from(*at) * leaves(value) / 65536;
        if let Some(leaf) = leaf(value, &mut number) {
            *leaf = hostile(*which);
        }
    }
}

/// A zip archive whose entries are stored, as `torch.save` writes them.
fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::<u8>::new(), Vec::<u8>::new());
    for (name, bytes) in entries {
        let mut crc = !0u32;
        for byte in *bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            }
        }
        let mut about = Vec::new();
        about.extend([20, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        about.extend((!crc).to_le_bytes());
        about.extend((bytes.len() as u32).to_le_bytes());
        about.extend((bytes.len() as u32).to_le_bytes());
        about.extend((name.len() as u16).to_le_bytes());
        about.extend([0, 0]);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&about);
        directory.extend([0; 10]);
        directory.extend((out.len() as u32).to_le_bytes());
        directory.extend(name.bytes());
        out.extend(b"PK\x03\x04");
        out.extend(&about);
        out.extend(name.bytes());
        out.extend(*bytes);
    }
    let (start, count) = (out.len() as u32, entries.len() as u16);
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0, 0]);
    out
}

/// `{"a": tensor}` as `torch.save` pickles it, with these numbers.
fn pickle(offset: u32, size: &[u32], stride: &[u32]) -> Vec<u8> {
    let int = |value: u32| [&b"J"[..], &value.to_le_bytes()].concat();
    let text = |text: &str| [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let tuple = |values: &[u32]| {
        let inner: Vec<u8> = values.iter().flat_map(|value| int(*value)).collect();
        [&b"("[..], &inner, b"t"].concat()
    };
    [
        b"\x80\x02}",
        &*text("a"),
        b"ctorch._utils\n_rebuild_tensor_v2\n((",
        &text("storage"),
        b"ctorch\nFloatStorage\n",
        &text("0"),
        &text("cpu"),
        &int(6),
        b"tQ",
        &int(offset),
        &tuple(size),
        &tuple(stride),
        b"\x89NtRs.",
    ]
    .concat()
}

/// Reads a mutant of a copy of the results in this folder.
type Read = fn(&Path, &[(u16, u8)], &[Change]) -> bool;

/// A kind of file.
struct Target {
    name: &'static str,
    read: Read,
}

const TARGETS: [Target; 7] = [
    Target { name: "checkpoint, hash redone", read: checkpoint },
    Target { name: "checkpoint, any byte", read: bytes_of_checkpoint },
    Target { name: "weights of torch.save", read: weights },
    Target { name: "records and report", read: records },
    Target { name: "status and submissions", read: status },
    Target { name: "baseline", read: baseline },
    Target { name: "event file", read: events },
];

fn predicts(file: &Path) -> bool {
    Predictor::load(&[file.to_owned()], TtaViews::new(1), &Device::Cpu).is_ok()
}

fn trial(folder: &Path) -> PathBuf {
    let mut trials: Vec<PathBuf> = fs::read_dir(folder.join("trials")).unwrap().map(|e| e.unwrap().path()).collect();
    trials.sort();
    trials.remove(0)
}

fn checkpoint(folder: &Path, values: &[(u16, u8)], _: &[Change]) -> bool {
    let best = fs::read(trial(folder).join("best.safetensors")).unwrap();
    let file = folder.join("changed.safetensors");
    fs::write(&file, described(&best, |description| with_hostile(description, values))).unwrap();
    predicts(&file)
}

fn bytes_of_checkpoint(folder: &Path, _: &[(u16, u8)], changes: &[Change]) -> bool {
    let best = fs::read(trial(folder).join("best.safetensors")).unwrap();
    let file = folder.join("changed.safetensors");
    fs::write(&file, mutated(&best, changes)).unwrap();
    predicts(&file)
}

fn weights(folder: &Path, values: &[(u16, u8)], changes: &[Change]) -> bool {
    let number = |(at, which): &(u16, u8)| hostile(*which).as_u64().map_or(u32::from(*at), |value| value as u32);
    let (mut size, mut stride) = (vec![2, 3], vec![3, 1]);
    for (index, value) in values.iter().enumerate() {
        let list = if index % 2 == 0 { &mut size } else { &mut stride };
        let at = usize::from(value.0) % list.len();
        list[at] = number(value);
    }
    let offset = values.first().map_or(0, |value| u32::from(value.1 % 3));
    let numbers = [0u8; 24];
    // Every other mutant also has other bytes in its pickle.
    let plain = pickle(offset, &size, &stride);
    let pickle = if values.len().is_multiple_of(2) { mutated(&plain, changes) } else { plain };
    let file = folder.join("changed.pth");
    fs::write(&file, zip(&[("a/data.pkl", &pickle), ("a/data/0", &numbers)])).unwrap();
    let spec: WeightsSpec = serde_json::from_value(json!({ "path": file })).unwrap();
    spec.read().is_ok()
}

/// Reads with a changed file, and restores it.
fn with(file: &Path, change: impl FnOnce(&[u8]) -> Vec<u8>, read: impl FnOnce() -> bool) -> bool {
    let whole = fs::read(file).unwrap();
    fs::write(file, change(&whole)).unwrap();
    let accepted = read();
    fs::write(file, whole).unwrap();
    accepted
}

fn records(folder: &Path, values: &[(u16, u8)], changes: &[Change]) -> bool {
    let of_trial = ["trial.toml", "epochs.csv", "landmarks.csv", "status.json"].map(|name| trial(folder).join(name));
    let files: Vec<PathBuf> = of_trial.into_iter().chain([folder.join("sweep.toml")]).collect();
    let file = &files[values.first().map_or(0, |value| usize::from(value.0)) % files.len()];
    with(
        file,
        |whole| mutated(whole, changes),
        || {
            let Ok(sweep) = load::load(&Store::at(folder)) else { return false };
            let (found, onsets) = (findings::findings(&sweep), findings::onsets(&sweep));
            let images = Store::at(folder).images();
            let content = Content { findings: &found, onsets: &onsets, images: Some(&images) };
            report::write(&sweep, content, &Root::at(&folder.join("out"))).is_ok()
        },
    )
}

fn status(folder: &Path, values: &[(u16, u8)], _: &[Change]) -> bool {
    let changed = |whole: &[u8]| {
        let mut json: Value = serde_json::from_slice(whole).unwrap();
        with_hostile(&mut json, values);
        json.to_string().into_bytes()
    };
    let store = Store::at(folder);
    let submission = json!({ "name": "sweep-tiny", "comment": "c", "job": null, "void": true, "trials": ["a", "b"] });
    store.slurm().write("0001.json", submission.to_string().as_bytes()).unwrap();
    let read = with(&folder.join("slurm/0001.json"), changed, || under_way(&store).is_ok());
    let status = trial(folder).join("status.json");
    with(&status, changed, || store.trial(trial(folder).file_name().unwrap().to_str().unwrap()).status().is_ok())
        && read
}

fn baseline(folder: &Path, values: &[(u16, u8)], changes: &[Change]) -> bool {
    let now = gate::collect(&load::load(&Store::at(folder)).unwrap());
    let mut json: Value = serde_json::from_str(&now.to_json().unwrap()).unwrap();
    with_hostile(&mut json, values);
    let text = json.to_string();
    // Every other mutant is also no JSON.
    let text = if values.len().is_multiple_of(2) { mutated(text.as_bytes(), changes) } else { text.into_bytes() };
    let Ok(before) = Baseline::parse(&String::from_utf8_lossy(&text)) else { return false };
    gate::check(&before, &now, Margins { mre_mm: 0.1, sdr_points: 5.0 }).is_ok_and(|checked| {
        let _ = (gate::junit(&checked).unwrap(), gate::markdown(&checked), gate::annotations(Ok(&checked)));
        true
    })
}

fn events(folder: &Path, _: &[(u16, u8)], changes: &[Change]) -> bool {
    let (store, out) = (Store::at(folder), folder.join("events"));
    assert!(trackers::export_tensorboard(&store, &out, false).is_ok());
    let run = out.join(trial(folder).file_name().unwrap()).join("train");
    let file = fs::read_dir(&run).unwrap().next().unwrap().unwrap().path();
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, mutated(&bytes, changes)).unwrap();
    let written = trackers::export_tensorboard(&store, &out, false).is_ok();
    fs::remove_dir_all(&out).unwrap();
    written
}

/// The part that runs in the separate process.
#[test]
#[ignore = "run by `hostile_files_are_refused_or_read`, with its memory bounded"]
fn worker() {
    let scratch = tempfile::tempdir().unwrap();
    let source = PathBuf::from(std::env::var_os("SWEEP_HOSTILE_SOURCE").unwrap());
    let folder = scratch.path().join("received");
    copy(&source, &folder);
    for target in &TARGETS {
        assert!((target.read)(&folder, &[], &[]), "{} is refused whole", target.name);
    }
    let until = Instant::now() + Duration::from_secs(number("LANDMARK_SWEEP_FUZZ_SECONDS", 6));
    let mut counts: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
    let mut round = number("LANDMARK_SWEEP_FUZZ_SEED", 0);
    while Instant::now() < until {
        for target in &TARGETS {
            let mut seed = [0u8; 32];
            seed[..8].copy_from_slice(&round.to_le_bytes());
            let config = Config { cases: 4, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
            let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
            let count = std::cell::RefCell::new([0, 0]);
            let inputs = (vec(any::<(u16, u8)>(), 1..4), vec(change(), 1..4));
            let result = runner.run(&inputs, |(values, changes)| {
                let start = Instant::now();
                let accepted = (target.read)(&folder, &values, &changes);
                prop_assert!(start.elapsed() < PATIENCE, "took {:?}", start.elapsed());
                count.borrow_mut()[usize::from(accepted)] += 1;
                Ok(())
            });
            if let Err(error) = result {
                panic!("round {round}, {}: {error}", target.name);
            }
            let [refused, accepted] = count.into_inner();
            let sum = counts.entry(target.name).or_default();
            *sum = [sum[0] + refused, sum[1] + accepted];
        }
        round += 1;
    }
    for (name, [refused, accepted]) in &counts {
        println!("{name}: {} inputs, {accepted} of them read", refused + accepted);
    }
}

#[test]
fn hostile_files_are_refused_or_read() {
    let mut child = Command::new("sh")
        .args(["-c", &format!("ulimit -v {MEMORY_KIB} && exec \"$@\""), "fuzz"])
        .arg(std::env::current_exe().unwrap())
        .args(["hostile_fuzz::worker", "--exact", "--ignored", "--nocapture"])
        .env("SWEEP_HOSTILE_SOURCE", trained())
        .env("RAYON_NUM_THREADS", "2")
        .env("MALLOC_ARENA_MAX", "1")
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(number("LANDMARK_SWEEP_FUZZ_SECONDS", 6)) + 10 * PATIENCE;
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if Instant::now() > until => {
                child.kill().unwrap();
                panic!("a mutant is read for ever");
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    assert!(status.success(), "a mutant crashed its reader: {status}");
}
