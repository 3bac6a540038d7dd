//! Fuzz targets: the ways in which other people's files come in, as one list. The tests of this folder try each with bounded
//! memory.
//!
//! A target reads a file as a command of `sweep` would. It returns whether the file was accepted; it may take neither much memory
//! nor much time, nor panic, nor touch anything outside the scene's folder.

mod checkpoints;
mod data_sets;
mod pictures;
mod results;

use std::fs;
use std::path::{Path, PathBuf};

use landmark_sweep::data::import::{self, Options};

pub(crate) use checkpoints::{opened, sealed};

/// A way in which a file comes in.
pub(crate) struct Target {
    /// Its name.
    pub(crate) name: &'static str,
    /// Reads a file of these bytes; returns whether it was accepted.
    pub(crate) read: fn(&Scene, &[u8]) -> bool,
    /// Whole files that are accepted.
    pub(crate) seeds: fn(&Scene) -> Vec<Vec<u8>>,
}

impl Target {
    /// Number of leading bytes that choose which file the others replace.
    pub(crate) fn selector(&self) -> usize {
        match self.name {
            "annotations" => 2,
            "picture_header" => 1,
            _ => 0,
        }
    }
}

/// Every target.
pub(crate) const TARGETS: &[Target] = &[
    Target {
        name: "picture",
        read: |_, bytes| pictures::decode(bytes),
        seeds: |_| {
            let endings = ["bmp", "gz", "jpg", "nii", "nrrd", "png", "tif"];
            ["formats/images", "pictures"].into_iter().flat_map(|folder| fixtures(folder, &endings)).collect()
        },
    },
    Target { name: "picture_header", read: pictures::header, seeds: pictures::headers },
    Target { name: "dicom", read: |_, bytes| pictures::decode(bytes), seeds: |_| fixtures("dicom", &["dcm"]) },
    Target {
        name: "checkpoint",
        read: checkpoints::checkpoint,
        seeds: |scene| vec![results::of_trial(scene, "best.safetensors")],
    },
    Target {
        name: "pth",
        read: checkpoints::pth,
        seeds: |_| fixtures("weights", &["pth"]).into_iter().filter(|f| checkpoints::is_state(f)).collect(),
    },
    Target { name: "definition", read: |_, bytes| data_sets::definition(bytes), seeds: data_sets::definitions },
    Target {
        name: "dataset_toml",
        read: |scene, bytes| data_sets::in_set(scene, "dataset.toml", bytes),
        seeds: |scene| data_sets::set(scene, "dataset.toml"),
    },
    Target {
        name: "landmarks_csv",
        read: |scene, bytes| data_sets::in_set(scene, "landmarks.csv", bytes),
        seeds: |scene| data_sets::set(scene, "landmarks.csv"),
    },
    Target {
        name: "picture_of_set",
        read: |scene, bytes| data_sets::in_set(scene, "images/0.png", bytes),
        seeds: |scene| data_sets::set(scene, "images/0.png"),
    },
    Target { name: "annotations", read: data_sets::annotations, seeds: data_sets::annotated },
    Target {
        name: "epochs_csv",
        read: |scene, bytes| results::record(scene, "epochs.csv", bytes),
        seeds: |scene| vec![results::of_trial(scene, "epochs.csv")],
    },
    Target {
        name: "results_csv",
        read: |scene, bytes| results::record(scene, "landmarks.csv", bytes),
        seeds: |scene| vec![results::of_trial(scene, "landmarks.csv")],
    },
    Target {
        name: "trial_toml",
        read: |scene, bytes| results::record(scene, "trial.toml", bytes),
        seeds: |scene| vec![results::of_trial(scene, "trial.toml")],
    },
    Target {
        name: "sweep_toml",
        read: results::sweep_toml,
        seeds: |scene| vec![fs::read(scene.results.join("sweep.toml")).unwrap()],
    },
    Target { name: "status", read: results::status, seeds: |scene| vec![results::of_trial(scene, "status.json")] },
    Target {
        name: "submission",
        read: results::submission,
        seeds: |_| vec![results::submitted().to_string().into_bytes()],
    },
    Target {
        name: "baseline",
        read: results::baseline,
        seeds: |scene| vec![results::now(scene).to_json().unwrap().into_bytes()],
    },
    Target { name: "events", read: results::events, seeds: |scene| vec![results::logged(scene).1] },
    Target { name: "cache", read: pictures::cache, seeds: |scene| vec![fs::read(pictures::cached(scene)).unwrap()] },
];

/// The target of this name.
pub(crate) fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).unwrap()
}

/// A folder to read in: a copy of a sweep's results, a data set, and the fixtures of annotations.
pub(crate) struct Scene {
    scratch: PathBuf,
    /// The copy of the results.
    pub(crate) results: PathBuf,
}

impl Scene {
    /// In a new folder, with a copy of these results of a finished sweep.
    pub(crate) fn new(scratch: &Path, results: &Path) -> Self {
        let scene = Self { scratch: scratch.to_owned(), results: scratch.join("received") };
        copy(results, &scene.results);
        let draft = import::read(&repository().join("tests/fixtures/formats/csv"), None, &Options::default()).unwrap();
        import::write(&draft, &scratch.join("set")).unwrap();
        copy(&repository().join("tests/fixtures/pictures"), &scratch.join("pictures"));
        for (source, _) in data_sets::sources() {
            copy(&source, &scratch.join("sources").join(source.file_name().unwrap()));
        }
        scene
    }

    /// The first trial's folder.
    pub(crate) fn trial(&self) -> PathBuf {
        let entries = fs::read_dir(self.results.join("trials")).unwrap();
        let mut trials: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        trials.sort();
        trials.remove(0)
    }
}

/// The repository's folder; `tests/fuzz` is a package of its own in it.
fn repository() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().find(|folder| folder.join("tests/fixtures").is_dir()).unwrap().to_owned()
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|e| (e.path(), e.file_name())).unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// All files below a folder, sorted.
pub(crate) fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
    found.sort();
}

fn fixtures(folder: &str, endings: &[&str]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    files(&repository().join("tests/fixtures").join(folder), &mut all);
    let is_wanted = |file: &PathBuf| file.extension().and_then(|e| e.to_str()).is_some_and(|e| endings.contains(&e));
    all.into_iter().filter(is_wanted).map(|file| fs::read(file).unwrap()).collect()
}

/// Reads with a file of these bytes in place of another one, which is then put back.
fn with<T>(file: &Path, bytes: &[u8], read: impl FnOnce() -> T) -> T {
    let whole = fs::read(file).unwrap();
    fs::write(file, bytes).unwrap();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
    fs::write(file, whole).unwrap();
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
