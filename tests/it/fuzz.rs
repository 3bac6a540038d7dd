//! Every parser of users' files is given damaged files: it must return an error or a value soon, without a panic, with
//! little memory and without touching files outside its folder.
//!
//! proptest mutates valid files (fixtures of the formats, a data set, definitions). Checksums and compressed containers are made
//! anew after a change, so that it reaches the reader behind them. A separate process with bounded memory and processor time
//! reads the mutants. `LANDMARK_SWEEP_FUZZ_SECONDS=600 cargo test --release --test it fuzz -- --nocapture` runs for ten
//! minutes; `LANDMARK_SWEEP_FUZZ_SEED` sets the seed, `LANDMARK_SWEEP_FUZZ_ONLY` names the targets by a part of their names.

mod containers;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use landmark_sweep::data::import::{self, Format, Options, PixelSource};
use landmark_sweep::data::{folder, picture};
use landmark_sweep::definition::SweepDefinition;
use landmark_sweep::units::Spacing;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Memory limit of the process: two images of the largest allowed size fit.
const MEMORY_KIB: u32 = 1 << 20;
/// The largest allowed picture.
const MEGAPIXELS: &str = "16";
/// Time limit of a mutant.
const PATIENCE: Duration = Duration::from_secs(20);

const TOKENS: [&str; 26] = [
    "../",
    "../../../../etc/passwd",
    "/etc/passwd",
    "C:\\",
    "nan",
    "NaN",
    "inf",
    "1e309",
    "-1",
    "0",
    "1e-320",
    "99999999999999999999",
    "4294967295",
    "65536",
    "\u{feff}",
    "\"",
    "{",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    "}",
    ",",
    ";",
    "\n",
    "\0",
    "<points label=\"a\" points=\"1,2\"/>",
    "<skeleton><skeleton><skeleton><skeleton>",
    "&amp;&#x10ffff;",
];

/// A change of a file's bytes; offsets are fractions of its length.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Byte(u16, u8),
    Word(u16, u32),
    Insert(u16, usize),
    Delete(u16, u16),
    Repeat(u16, u16, u8),
    Number(u16, usize),
    Truncate(u16),
    Replace(Vec<u8>),
}

pub(crate) fn change() -> impl Strategy<Value = Change> {
    let extreme = prop_oneof![
        any::<u32>(),
        prop::sample::select(vec![0, 1, 2, 0x7fff_ffff, 0x8000_0000, u32::MAX, 0xffff, 0x7fff, 0x8000, 0x0100_0000]),
    ];
    prop_oneof![
        6 => (any::<u16>(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        4 => (any::<u16>(), extreme).prop_map(|(at, word)| Change::Word(at, word)),
        4 => (any::<u16>(), 0..TOKENS.len()).prop_map(|(at, token)| Change::Insert(at, token)),
        3 => (any::<u16>(), 0..2000u16).prop_map(|(at, length)| Change::Delete(at, length)),
        2 => (any::<u16>(), any::<u16>(), 1..40u8).prop_map(|(at, length, times)| Change::Repeat(at, length, times)),
        6 => (any::<u16>(), 0..TOKENS.len()).prop_map(|(at, token)| Change::Number(at, token)),
        2 => any::<u16>().prop_map(Change::Truncate),
        1 => vec(any::<u8>(), 0..200).prop_map(Change::Replace),
    ]
}

pub(crate) fn mutated(bytes: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for change in changes {
        let offset = |at: u16| usize::from(at) * bytes.len() / 65536;
        match change {
            Change::Byte(at, byte) => {
                let at = offset(*at);
                if let Some(target) = bytes.get_mut(at) {
                    *target = *byte;
                }
            }
            Change::Word(at, word) => {
                let at = offset(*at);
                for (target, byte) in bytes.iter_mut().skip(at).zip(word.to_le_bytes()) {
                    *target = byte;
                }
            }
            Change::Insert(at, token) => {
                let at = offset(*at);
                bytes.splice(at..at, TOKENS[*token].bytes());
            }
            Change::Delete(at, length) => {
                let at = offset(*at);
                let end = bytes.len().min(at + usize::from(*length) % 97);
                bytes.drain(at..end);
            }
            Change::Repeat(at, length, times) => {
                let at = offset(*at);
                let end = bytes.len().min(at + usize::from(*length) % 500);
                let part = bytes[at..end].repeat(usize::from(*times));
                bytes.splice(at..at, part);
            }
            // Changes the next number in a text.
            Change::Number(at, token) => {
                let at = offset(*at);
                let is_number = |b: &u8| b.is_ascii_digit() || *b == b'.';
                let from = bytes.iter().skip(at).position(is_number).map_or(bytes.len(), |n| at + n);
                let to = bytes.iter().skip(from).position(|b| !is_number(b)).map_or(bytes.len(), |n| from + n);
                bytes.splice(from..to, TOKENS[*token].bytes());
            }
            Change::Truncate(at) => bytes.truncate(offset(*at)),
            Change::Replace(others) => bytes.clone_from(others),
        }
    }
    bytes
}

/// A parser of one user file.
struct Target {
    name: String,
    /// The file in the sandbox, and its valid content.
    file: PathBuf,
    whole: Vec<u8>,
    kind: Kind,
}

enum Kind {
    Image,
    /// An image with its values in another file, or a part of a container.
    ImageFile,
    Import(Format, PathBuf),
    Folder(PathBuf),
    Definition,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/formats")
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
    found.sort();
}

fn copy(from: &Path, to: &Path) {
    let mut all = Vec::new();
    files(from, &mut all);
    for file in all {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(file, target).unwrap();
    }
}

/// All parsers, in a sandbox.
fn targets(sandbox: &Path) -> Vec<Target> {
    let mut targets = Vec::new();
    let mut add = |name: String, file: PathBuf, kind| {
        let whole = fs::read(&file).unwrap();
        targets.push(Target { name, file, whole, kind });
    };
    let mut images = Vec::new();
    files(&fixtures().join("images"), &mut images);
    files(&fixtures().with_file_name("dicom"), &mut images);
    files(&fixtures().with_file_name("pictures"), &mut images);
    for image in images.into_iter().filter(|file| file.extension().is_some_and(|e| e != "json")) {
        let ending = image.extension().unwrap().to_string_lossy().into_owned();
        match ending.as_str() {
            // Values beside a header are read with it.
            "raw" | "zraw" => {}
            "mhd" | "nhdr" => {
                let folder = sandbox.join("apart").join(image.file_stem().unwrap());
                copy(image.parent().unwrap(), &folder);
                add(format!("image {ending}"), folder.join(image.file_name().unwrap()), Kind::ImageFile);
            }
            _ => add(format!("image {ending}"), image, Kind::Image),
        }
    }
    let jpeg = sandbox.join("grey.jpg");
    image::open(fixtures().join("images/grey.bmp")).unwrap().save(&jpeg).unwrap();
    add("image jpg".into(), jpeg, Kind::Image);
    let mut folders: Vec<PathBuf> =
        fs::read_dir(fixtures()).unwrap().map(|e| e.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    for source in folders {
        let name = source.file_name().unwrap().to_string_lossy().into_owned();
        let format = Format::ALL.into_iter().filter(|f| name.starts_with(f.name())).max_by_key(|f| f.name().len());
        let Some(format) = format else { continue };
        let here = sandbox.join("source").join(&name);
        copy(&source, &here);
        let mut all = Vec::new();
        files(&here, &mut all);
        let mut of_kind: BTreeMap<String, usize> = BTreeMap::new();
        for file in all {
            let ending = file.extension().unwrap().to_string_lossy().into_owned();
            // Few cases of each kind; single images have their own targets.
            let count = of_kind.entry(ending.clone()).or_default();
            *count += 1;
            if *count <= 3 && !["bmp", "png", "jpg", "tif", "dcm"].contains(&ending.as_str()) {
                add(format!("import {name}"), file, Kind::Import(format, here.clone()));
            }
        }
    }
    let set = sandbox.join("set");
    let draft = import::read(&fixtures().join("csv"), None, &Options::default()).unwrap();
    import::write(&draft, &set).unwrap();
    for file in ["dataset.toml", "landmarks.csv", "images/0.png"] {
        add(format!("data set {file}"), set.join(file), Kind::Folder(set.clone()));
    }
    let mut definitions = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments"), &mut definitions);
    for file in definitions.into_iter().filter(|file| file.extension().is_some_and(|e| e == "toml")) {
        add("definition".into(), file, Kind::Definition);
    }
    targets
}

/// Reads the mutant; returns whether it was accepted.
fn read(target: &Target, bytes: &[u8], sandbox: &Path) -> bool {
    match &target.kind {
        Kind::Image => picture::decode(bytes).is_ok_and(|grey| {
            assert_eq!(grey.pixels.len(), grey.size.area());
            true
        }),
        Kind::ImageFile => with(target, bytes, || {
            picture::read(&target.file).is_ok_and(|grey| {
                assert_eq!(grey.pixels.len(), grey.size.area());
                true
            })
        }),
        Kind::Definition => SweepDefinition::parse("fuzz.toml", &String::from_utf8_lossy(bytes)).is_ok(),
        Kind::Folder(dir) => with(target, bytes, || folder::read(dir).is_ok()),
        Kind::Import(format, dir) => with(target, bytes, || {
            drop(Format::detect(dir));
            let lacks = matches!(
                format,
                Format::Coco
                    | Format::Labelme
                    | Format::Cvat
                    | Format::LabelStudio
                    | Format::Datumaro
                    | Format::YoloPose
                    | Format::Via
                    | Format::OpenPose
                    | Format::MmPose
            );
            let spacing = lacks.then_some(Spacing { x: 0.1, y: 0.1 });
            let options = Options { spacing, ..Options::default() };
            let Ok(draft) = import::read(dir, Some(*format), &options) else { return false };
            let root = dir.canonicalize().unwrap();
            for record in &draft.records {
                let (PixelSource::File(path) | PixelSource::Labelme(path) | PixelSource::Slice { stack: path, .. }) =
                    &record.source;
                assert!(path.canonicalize().unwrap().starts_with(&root), "{} is outside", path.display());
            }
            let out = sandbox.join("out");
            let made = import::write(&draft, &out).is_ok();
            assert_eq!(made, out.exists());
            if made {
                folder::read(&out).unwrap();
                fs::remove_dir_all(&out).unwrap();
            }
            let mut left: Vec<_> = fs::read_dir(sandbox).unwrap().map(|e| e.unwrap().file_name()).collect();
            left.sort();
            assert_eq!(left, ["apart", "grey.jpg", "set", "source"]);
            made
        }),
    }
}

/// Calls a closure with the changed file, then restores the file.
fn with(target: &Target, bytes: &[u8], read: impl FnOnce() -> bool) -> bool {
    fs::write(&target.file, bytes).unwrap();
    let accepted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
    fs::write(&target.file, &target.whole).unwrap();
    accepted.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

pub(crate) fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The part that runs in the separate process.
#[test]
#[ignore = "run by `damaged_files_are_refused_or_read`, with its memory bounded"]
fn worker() {
    let sandbox = tempfile::tempdir().unwrap();
    let mut targets = targets(sandbox.path());
    if let Ok(only) = std::env::var("LANDMARK_SWEEP_FUZZ_ONLY") {
        targets.retain(|target| target.name.contains(&only));
    }
    for target in &targets {
        assert!(read(target, &target.whole, sandbox.path()), "{} is refused whole", target.file.display());
    }
    let until = Instant::now() + Duration::from_secs(number("LANDMARK_SWEEP_FUZZ_SECONDS", 4));
    let mut counts: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
    let mut round = number("LANDMARK_SWEEP_FUZZ_SEED", 0);
    while Instant::now() < until {
        for target in &targets {
            let mut seed = [0u8; 32];
            seed[..8].copy_from_slice(&round.to_le_bytes());
            let config = Config { cases: 8, failure_persistence: None, ..Config::default() };
            let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
            let count = std::cell::RefCell::new([0, 0]);
            let result = runner.run(&vec(change(), 1..5), |changes| {
                let start = Instant::now();
                let changed = containers::changed(&target.whole, |content| mutated(content, &changes));
                let accepted = read(target, &changed, sandbox.path());
                prop_assert!(start.elapsed() < PATIENCE, "took {:?}", start.elapsed());
                count.borrow_mut()[usize::from(accepted)] += 1;
                Ok(())
            });
            if let Err(error) = result {
                panic!("round {round}, {}: {error}", target.file.display());
            }
            let [refused, accepted] = count.into_inner();
            let sum = counts.entry(&target.name).or_default();
            *sum = [sum[0] + refused, sum[1] + accepted];
        }
        round += 1;
    }
    let mut total = 0;
    for (name, [refused, accepted]) in &counts {
        println!("{name}: {} inputs, {accepted} of them read", refused + accepted);
        total += refused + accepted;
    }
    println!("in all {total} inputs, 0 crashes");
}

#[test]
fn damaged_files_are_refused_or_read() {
    // Two threads, besides what starting takes.
    let processor = 2 * number("LANDMARK_SWEEP_FUZZ_SECONDS", 4) + 120;
    let mut child = Command::new("sh")
        .args(["-c", &format!("ulimit -d {MEMORY_KIB} && ulimit -t {processor} && exec \"$@\""), "fuzz"])
        .arg(std::env::current_exe().unwrap())
        .args(["fuzz::worker", "--exact", "--ignored", "--nocapture"])
        .env("RAYON_NUM_THREADS", "2")
        .env(picture::MEGAPIXELS_VARIABLE, MEGAPIXELS)
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(number("LANDMARK_SWEEP_FUZZ_SECONDS", 4)) + 15 * PATIENCE;
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
