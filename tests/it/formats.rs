//! Formats of other programs: small files in each format (`scripts/formats_fixtures.py`) are imported as expected and survive
//! a round trip; errors name their location (`errors`).

mod errors;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use landmark_sweep::data::import::{self, Format, Options, Truth};
use landmark_sweep::data::{Dataset, Sample, Split, export, folder, picture};
use landmark_sweep::error::Result;
use landmark_sweep::units::{Point, Size, Spacing};
use serde::Deserialize;

use crate::harness::SWEEP;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/formats")
}

/// The expected import of a small file.
#[derive(Deserialize)]
struct Expected {
    source: String,
    name: String,
    landmarks: Vec<String>,
    images: BTreeMap<String, Image>,
    observer_mre_mm: Option<f64>,
    /// Options that the user must give.
    spacing: Option<String>,
}

#[derive(Deserialize)]
struct Image {
    split: Option<String>,
    spacing: [f64; 2],
    points: Vec<Option<[f64; 2]>>,
    patient: Option<String>,
    size: Option<[usize; 2]>,
}

fn truth() -> BTreeMap<String, Expected> {
    let read = |name: &str| -> BTreeMap<String, Expected> {
        serde_json::from_str(&fs::read_to_string(fixtures().join(name)).unwrap()).unwrap()
    };
    read("truth.json").into_iter().chain(read("truth_tables.json")).collect()
}

fn options(spacing: Option<&str>) -> Options {
    let numbers: Vec<f64> = spacing.unwrap_or_default().split(',').filter_map(|n| n.parse().ok()).collect();
    let spacing = match numbers[..] {
        [both] => Some(Spacing { x: both, y: both }),
        [x, y] => Some(Spacing { x, y }),
        _ => None,
    };
    Options { spacing, ..Options::default() }
}

/// Imported into a new folder and read back from it.
fn imported(source: &Path, format: Option<Format>, options: &Options) -> Result<Dataset> {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    let made = import::read(source, format, options).and_then(|draft| import::write(&draft, &out));
    if let Err(error) = made {
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0, "something is left after: {error}");
        return Err(error);
    }
    folder::read(&out)
}

fn by_name(dataset: &Dataset) -> BTreeMap<&str, &Sample> {
    dataset.samples.iter().map(|sample| (sample.image.as_str(), sample)).collect()
}

#[test]
fn every_format_has_a_miniature_that_comes_to_what_it_says() {
    let mut names = Vec::new();
    for (what, expected) in truth() {
        let source = fixtures().join(&expected.source);
        let format = Format::detect(&source).unwrap();
        assert!(what.starts_with(format.name()), "{what} was taken for {}", format.name());
        names.push(format.name());
        let dataset = imported(&source, None, &options(expected.spacing.as_deref())).unwrap();
        assert_eq!((&dataset.name, &dataset.landmarks), (&expected.name, &expected.landmarks), "{what}");
        let observers = dataset.observer_mre.map(|e| e.0).zip(expected.observer_mre_mm);
        assert!(observers.is_none_or(|(a, b)| (a - b).abs() < 1e-6), "{what}: {observers:?}");
        assert_eq!(dataset.observer_mre.is_some(), expected.observer_mre_mm.is_some(), "{what}");
        let samples = by_name(&dataset);
        assert_eq!(samples.keys().collect::<Vec<_>>(), expected.images.keys().collect::<Vec<_>>(), "{what}");
        for (name, image) in &expected.images {
            let sample = samples[name.as_str()];
            let label = format!("{what}: {name}");
            if let Some(split) = &image.split {
                assert_eq!(sample.split.name(), split, "{label}");
            }
            if let Some([width, height]) = image.size {
                assert_eq!(sample.size, Size { height, width }, "{label}");
            }
            let [x, y] = image.spacing;
            let spacing = sample.spacing.unwrap();
            assert!((spacing.x - x).abs() < 1e-12 && (spacing.y - y).abs() < 1e-12, "{label}");
            for (point, wanted) in sample.landmarks.iter().zip(&image.points) {
                let off = match (point, wanted) {
                    (Some(p), Some([x, y])) => p.distance(Point { x: *x, y: *y }).0,
                    (None, None) => 0.0,
                    _ => f64::INFINITY,
                };
                assert!(off < 1e-3, "{label}: {point:?} is not {wanted:?}");
            }
            match image.patient.as_deref() {
                Some("hashed") => assert!(sample.patient.as_ref().is_some_and(|p| !p.contains("anna")), "{label}"),
                patient => assert_eq!(sample.patient.as_deref(), patient, "{label}"),
            }
            // Images are lighter at the lower right than at the upper right, and never constant.
            assert!(sample.pixels.iter().max() > sample.pixels.iter().min(), "{label}");
        }
    }
    names.push(Format::HeatmapFolders.name());
    for format in Format::ALL {
        assert!(names.contains(&format.name()), "{} has no miniature", format.name());
    }
}

#[derive(Deserialize)]
struct Grey {
    width: usize,
    height: usize,
    spacing: Option<[f64; 2]>,
    #[serde(rename = "grey")]
    values: Vec<i32>,
}

#[test]
fn images_of_every_kind_are_read_as_they_are_meant() {
    let text = fs::read_to_string(fixtures().join("images/expected.json")).unwrap();
    let expected: BTreeMap<String, Grey> = serde_json::from_str(&text).unwrap();
    assert!(expected.len() > 25);
    for (name, wanted) in expected {
        let read = picture::read(&fixtures().join("images").join(&name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(read.size, Size { height: wanted.height, width: wanted.width }, "{name}");
        assert_eq!(read.spacing.map(|s| [s.x, s.y]), wanted.spacing, "{name}");
        // JPEG decoders may differ by one, and so may the rounding of halves.
        let worst = read.pixels.iter().zip(&wanted.values).map(|(a, b)| (i32::from(*a) - b).abs()).max().unwrap();
        assert!(worst <= 1, "{name}: {worst} grey levels off");
        let off = read.pixels.iter().zip(&wanted.values).filter(|(a, b)| i32::from(**a) != **b).count();
        assert!(off * 10 <= wanted.values.len(), "{name}: {off} of {} pixels differ", wanted.values.len());
    }
}

#[test]
fn the_truth_is_chosen_and_named() {
    let source = fixtures().join("isbi2015");
    let read = |truth| import::read(&source, None, &Options { truth, ..Options::default() }).unwrap();
    let [junior, senior, mean] = [Truth::Junior, Truth::Senior, Truth::Mean].map(read);
    assert_eq!([&junior.name, &senior.name, &mean.name], ["isbi2015-junior", "isbi2015-senior", "isbi2015-mean"]);
    let point = |draft: &import::ParsedDataset| draft.records[0].landmarks[1].unwrap();
    let (a, b, m) = (point(&junior), point(&senior), point(&mean));
    assert_ne!(a, b);
    assert_eq!(m, Point { x: f64::midpoint(a.x, b.x), y: f64::midpoint(a.y, b.y) });
    // Test1 and Test2 stay separate, and the report says so.
    let splits: Vec<_> = mean.records.iter().map(|r| (r.image.as_str(), r.split.unwrap())).collect();
    assert!(
        splits.contains(&("Test1Data/151.png", Split::Val)) && splits.contains(&("Test2Data/301.png", Split::Test))
    );
    assert!(mean.notes.iter().any(|note| note.contains("never pooled")));
    let named = Options { name: Some("mine".into()), ..Options::default() };
    assert_eq!(import::read(&source, None, &named).unwrap().name, "mine-mean");
}

#[test]
fn payers_folds_are_read() {
    let source = fixtures().join("payer");
    let read = |fold| import::read(&source, Some(Format::Payer), &Options { fold, ..Options::default() });
    let draft = read(Some(1)).unwrap();
    let splits: Vec<_> = draft.records.iter().map(|r| (r.image.as_str(), r.split.unwrap())).collect();
    assert_eq!(splits, [("001.png", Split::Val), ("002.png", Split::Train), ("003.png", Split::Train)]);
    assert!(draft.notes[0].contains("2 ids are in no list"), "{:?}", draft.notes);
    assert!(read(Some(7)).unwrap_err().message.contains("cv/set7/train.txt"));
}

#[test]
fn images_without_a_split_are_dealt_by_patient_and_seed() {
    let root = tempfile::tempdir().unwrap();
    let mut rows = "image,patient,spacing,a_x,a_y\n".to_owned();
    for number in 0..40 {
        fs::copy(fixtures().join("images/grey.bmp"), root.path().join(format!("{number}.bmp"))).unwrap();
        writeln!(rows, "{number}.bmp,p{},0.1,{},3", number / 4, number % 10).unwrap();
    }
    fs::write(root.path().join("marks.csv"), rows).unwrap();
    let deal = |val_fraction, seed| {
        let draft = import::read(root.path(), None, &Options { val_fraction, seed, ..Options::default() }).unwrap();
        draft.records.iter().map(|r| (r.patient.clone().unwrap(), r.split.unwrap())).collect::<Vec<_>>()
    };
    let dealt = deal(0.2, 0);
    assert_eq!(dealt.iter().filter(|(_, split)| *split == Split::Val).count(), 8);
    for (patient, split) in &dealt {
        assert!(dealt.iter().all(|(other, s)| other != patient || s == split), "{patient} is divided");
    }
    assert_eq!(dealt, deal(0.2, 0));
    assert_ne!(dealt, deal(0.2, 1));
    assert_eq!(deal(0.5, 0).iter().filter(|(_, split)| *split == Split::Val).count(), 20);
}

/// Asserts equality except for the name, the observers' error and the folders of names; positions to `tolerance`
/// pixels.
fn assert_alike(a: &Dataset, b: &Dataset, tolerance: f64, what: &str) {
    // The order of folders is not defined.
    let indices: Vec<usize> = a
        .landmarks
        .iter()
        .map(|name| b.landmarks.iter().position(|other| other == name).unwrap_or_else(|| panic!("{what} lost {name}")))
        .collect();
    assert_eq!(a.landmarks.len(), b.landmarks.len(), "{what}");
    assert!(tolerance > 0.0 || indices.is_sorted(), "{what}");
    let names = |d: &Dataset| {
        let mut all: Vec<String> = d.samples.iter().map(|s| s.image.replace('/', "-")).collect();
        all.sort();
        all
    };
    assert_eq!(names(a), names(b), "{what}");
    for sample in &a.samples {
        let other = b.samples.iter().find(|s| s.image.replace('/', "-") == sample.image.replace('/', "-")).unwrap();
        assert_eq!((&sample.pixels, sample.split), (&other.pixels, other.split), "{what}: {}", sample.image);
        for (p, index) in sample.landmarks.iter().zip(&indices) {
            let q = &other.landmarks[*index];
            let off = match (p, q) {
                (Some(p), Some(q)) => p.distance(*q).0,
                (None, None) => 0.0,
                _ => f64::INFINITY,
            };
            // Numbers of JSON are read to the last bit but one.
            assert!(off <= tolerance + 1e-9, "{what}: {}: {p:?} became {q:?}", sample.image);
        }
        if tolerance == 0.0 {
            assert_eq!((sample.spacing, &sample.patient), (other.spacing, &other.patient), "{what}: {}", sample.image);
        }
    }
}

#[test]
fn what_is_imported_and_exported_is_imported_again() {
    for (what, expected) in truth() {
        let root = tempfile::tempdir().unwrap();
        let set = root.path().join("set");
        let draft =
            import::read(&fixtures().join(&expected.source), None, &options(expected.spacing.as_deref())).unwrap();
        import::write(&draft, &set).unwrap();
        let first = folder::read(&set).unwrap();
        for format in export::Format::ALL {
            let out = root.path().join(format.name());
            export::export(&set, format, &out).unwrap();
            let (back, tolerance) = match format {
                export::Format::Csv => (Format::Csv, 0.0),
                export::Format::Coco => (Format::Coco, 0.0),
                // Small heatmaps are imprecise, especially at a border.
                export::Format::HeatmapFolders => (Format::HeatmapFolders, 0.75),
            };
            assert_eq!(Format::detect(&out).unwrap(), back, "{what}");
            let spacing = (back == Format::HeatmapFolders).then_some("0.1");
            let again = imported(&out, None, &options(spacing)).unwrap();
            assert_alike(&first, &again, tolerance, &format!("{what} by way of {}", format.name()));
            let refused = export::export(&set, format, &out).unwrap_err();
            assert!(refused.message.contains("something already"), "{refused}");
        }
    }
}

#[test]
fn folders_of_tiff_dicom_and_metaimage_are_data_sets_as_they_are() {
    let root = tempfile::tempdir().unwrap();
    let names = ["deep.tiff", "explicit.dcm", "deep.mha"];
    for name in names {
        fs::copy(fixtures().join("images").join(name), root.path().join(name)).unwrap();
    }
    let header = "name = 'mixed'\nimages = '.'\nlandmarks = 'l.csv'\nspacing_mm = { x = 0.1, y = 0.1 }\n";
    fs::write(root.path().join("dataset.toml"), header).unwrap();
    let rows = "image,split,a_x,a_y\ndeep.tiff,train,1,2\nexplicit.dcm,train,1,2\ndeep.mha,val,1,2\n";
    fs::write(root.path().join("l.csv"), rows).unwrap();
    let dataset = folder::read(root.path()).unwrap();
    // One image of 12 bits in three files.
    assert_eq!(dataset.samples[0].pixels, dataset.samples[1].pixels);
    assert_eq!(dataset.samples[0].pixels, dataset.samples[2].pixels);
}

fn sweep(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(SWEEP).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text)
}

#[test]
fn the_command_imports_exports_and_lists() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name).display().to_string();
    fs::create_dir(root.path().join("nothing")).unwrap();
    let (source, set, coco) = (fixtures().join("isbi2015").display().to_string(), path("set"), path("coco"));
    let (code, text) = sweep(&["data", "import", "--truth", "senior", &source, &set]);
    assert_eq!(code, Some(0), "{text}");
    for part in [
        "read as isbi2015",
        "never pooled",
        "isbi2015-senior: 2 training and 1 validation images, 1 test, 19 landmarks",
        "one observer against the mean of two: ",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    let (code, text) = sweep(&["data", "import", "--format", "isbi2015", &source, &set]);
    assert!(code == Some(2) && text.contains("something already"), "{text}");
    let (code, text) = sweep(&["data", "export", "--format", "coco", &set, &coco]);
    assert!(code == Some(0) && text.contains("lost in coco: name"), "{text}");
    let (code, text) = sweep(&["data", "import", "--format", "labelme", &source, &path("other")]);
    assert!(code == Some(2) && !root.path().join("other").exists(), "{text}");
    let (code, text) = sweep(&["data", "import", "--spacing", "0", &source, &path("other")]);
    assert!(code == Some(2) && text.contains("0.1,0.125"), "{text}");
    let (code, text) = sweep(&["data", "import", &path("nothing"), &path("other")]);
    assert!(code == Some(2) && text.contains("looks like no format"), "{text}");
    let (code, text) = sweep(&["data", "import", &set, &path("other")]);
    assert!(code == Some(2) && text.contains("a data set already"), "{text}");
    let (_, text) = sweep(&["data", "formats"]);
    for format in Format::ALL {
        assert!(
            text.contains(format.name()) && text.contains(format.reads()) && text.contains(format.loses()),
            "{text}"
        );
    }
}

/// The guide's table equals the registry's.
#[test]
fn the_guide_says_what_the_registry_says() {
    let guide = include_str!("../../src/guide/data.md");
    let mut lacks = Vec::new();
    for format in Format::ALL {
        let test = match format {
            Format::HeatmapFolders => "tests/it/data_import.rs",
            Format::Isbi2015
            | Format::ClDetection
            | Format::Aariz
            | Format::Coco
            | Format::Labelme
            | Format::Cvat
            | Format::LabelStudio
            | Format::Datumaro
            | Format::YoloPose
            | Format::Via
            | Format::OpenPose
            | Format::MmPose
            | Format::Csv
            | Format::CsvLong
            | Format::Excel
            | Format::DeepLabCut
            | Format::Slicer
            | Format::ImageJ
            | Format::Pts
            | Format::Dlib
            | Format::Tps
            | Format::Payer => "tests/it/formats.rs",
        };
        lacks.push(format!("| `{}` | {} | {} | `{test}` |", format.name(), format.reads(), format.loses()));
    }
    for format in export::Format::ALL {
        lacks.push(format!(
            "| `{}` | {} | {} | `tests/it/formats.rs` |",
            format.name(),
            format.writes(),
            format.loses()
        ));
    }
    lacks.retain(|row| !guide.contains(row.as_str()));
    assert!(lacks.is_empty(), "the guide lacks\n{}", lacks.join("\n"));
}
