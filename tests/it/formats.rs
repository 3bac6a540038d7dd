//! Formats of other programs: small files in each format (`scripts/formats_fixtures.py`) are imported as expected and survive
//! a round trip; errors name their location.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use landmark_sweep::data::import::{self, Format, Options, Truth};
use landmark_sweep::data::{Dataset, Sample, Split, export, folder, picture};
use landmark_sweep::error::{Error, Result};
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

/// Damages a copy of a small file and returns the error of its import, without the folder's name.
fn complaint(source: &str, damage: impl Fn(&Path)) -> String {
    let root = tempfile::tempdir().unwrap();
    let here = root.path().join(source);
    copy(&fixtures().join(source), &here);
    damage(&here);
    let expected = &truth()[source];
    let format = Format::ALL.into_iter().find(|f| source.starts_with(f.name()) && f.name().len() == source.len());
    let error: Error = imported(&here, format, &options(expected.spacing.as_deref())).unwrap_err();
    assert!(error.location.is_some(), "no location: {error}");
    error.to_string().replace(&root.path().canonicalize().unwrap().display().to_string(), "")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn edit(file: &str, from: &str, to: &str) -> impl Fn(&Path) {
    let (file, from, to) = (file.to_owned(), from.to_owned(), to.to_owned());
    move |dir| {
        let text = fs::read_to_string(dir.join(&file)).unwrap();
        assert!(text.contains(&from), "{from:?} is not in {text:?}");
        fs::write(dir.join(&file), text.replacen(&from, &to, 1)).unwrap();
    }
}

#[test]
fn errors_name_file_line_or_field_and_nothing_is_left() {
    let says = |source: &str, damage: &dyn Fn(&Path), parts: &[&str]| {
        let complaint = complaint(source, damage);
        for part in parts {
            assert!(complaint.contains(part), "{source}: {part:?} is not in: {complaint}");
        }
    };
    let junior = "AnnotationsByMD/400_junior/001.txt";
    says("isbi2015", &edit(junior, "10,12", "10;12"), &[junior, "line 2: nasion", "`10;12` is not x,y"]);
    says("isbi2015", &|dir| fs::write(dir.join(junior), "1,2\n").unwrap(), &[junior, "ends before nasion"]);
    says("isbi2015", &|dir| fs::remove_file(dir.join(junior)).unwrap(), &["001.bmp", "junior", "--truth senior"]);
    says("isbi2015", &edit(junior, "10,12", "5000,12"), &["001.bmp", "outside the image of 26×34"]);
    says("payer", &edit("junior.csv", "001,", "001,x"), &["junior.csv: line 1: cell 2", "is not a number"]);
    says("payer", &edit("test1.txt", "003", "001"), &["test1.txt: line 1", "`001` is in two lists"]);
    says("payer", &edit("junior.csv", "002,", "001,"), &["junior.csv: line 2", "stands in line 1 already"]);
    says(
        "cl-detection",
        &edit("train-gt.json", ", 1]", ", 9]"),
        &["train-gt.json: field points[0]", "image 9 of a stack of 4"],
    );
    says("cl-detection", &edit("train-gt.json", "\"0.1\"", "\"fine\""), &["points[0].scale", "`fine` is not a number"]);
    says("cl-detection", &edit("train-gt.json", "\"name\": 2", "\"name\": 1"), &["points[1]", "has landmark p1 twice"]);
    says(
        "coco",
        &edit("annotations/person_keypoints_val2017.json", "3.jpg", "../../x.jpg"),
        &["images[0].file_name", "no image"],
    );
    says(
        "coco",
        &edit("annotations/person_keypoints_val2017.json", "\"keypoints\": [", "\"keypoints\": [7, "),
        &["annotations[0].keypoints"],
    );
    says(
        "coco",
        &edit("annotations/person_keypoints_val2017.json", "\"image_id\": 3", "\"image_id\": 4"),
        &["of image 4", "not there"],
    );
    says(
        "coco",
        &edit("annotations/person_keypoints_val2017.json", "\"width\": 26", "\"width\": 27"),
        &["27×34", "26×34"],
    );
    says(
        "coco",
        &edit("annotations/person_keypoints_val2017.json", "\"images\"", "\"image\""),
        &["person_keypoints_val2017.json"],
    );
    says(
        "labelme",
        &edit("ceph 1.json", "\"S\"", "\"N\""),
        &["ceph 1.json: field shapes[1]", "landmark N is there twice"],
    );
    says("labelme", &edit("ceph 2.json", "iVBOR", "!VBOR"), &["ceph 2.json", "imageData", "base64"]);
    says("labelme", &edit("ceph 1.json", "{", ""), &["ceph 1.json: ", "line 2"]);
    says(
        "cvat",
        &edit("annotations.xml", "name=\"1.png\"", "name=\"9.png\""),
        &["annotations.xml: line ", "attribute name", "no image `9.png`"],
    );
    says("cvat", &edit("annotations.xml", "</image>", ""), &["annotations.xml: line ", "an <image> within <image>"]);
    says(
        "cvat",
        &edit(
            "annotations.xml",
            "label=\"lip\" source=\"manual\" occluded=\"0\" points=\"",
            "label=\"lip\" points=\"x",
        ),
        &["attribute points", "not a number"],
    );
    says("csv", &edit("marks.csv", "NaN", "7"), &["marks.csv: line 3", "has one coordinate"]);
    says(
        "csv",
        &edit("marks.csv", "validation", "perhaps"),
        &["marks.csv: line 4: column Split", "unknown split `perhaps`"],
    );
    says("csv", &edit("marks.csv", "fine", "fine;more"), &["marks.csv: line 2", "11 cells under 10 columns"]);
    says(
        "csv-long",
        &edit("marks.csv", "1.dcm,sella", "0.dcm,sella"),
        &["marks.csv: line ", "stands in line 2 already"],
    );
    let mapping = "cephalogram_machine_mappings.csv";
    says("aariz", &edit(mapping, "pixel_size", "size"), &[mapping, "line 1", "sizes of pixels"]);
    says("aariz", &|dir| fs::remove_file(dir.join(mapping)).unwrap(), &["size of a pixel", "--spacing"]);
    says(
        "csv-long",
        &|dir| fs::write(dir.join("2.dcm"), "DICM").unwrap(),
        &["marks.csv: line ", "2.dcm", "not a readable image"],
    );
}

#[test]
fn no_path_leads_out_of_the_source() {
    for outside in ["../secret.png", "/etc/hostname", "link.png", "..\\secret.png", "a/../../secret.png"] {
        let root = tempfile::tempdir().unwrap();
        let source = root.path().join("source");
        fs::create_dir_all(source.join("a")).unwrap();
        fs::copy(fixtures().join("images/deep.png"), root.path().join("secret.png")).unwrap();
        std::os::unix::fs::symlink(root.path().join("secret.png"), source.join("link.png")).unwrap();
        fs::write(source.join("marks.csv"), format!("image,a_x,a_y\n\"{outside}\",1,1\n")).unwrap();
        let error = imported(&source, Some(Format::Csv), &options(Some("0.1"))).unwrap_err().to_string();
        assert!(error.contains("marks.csv: line 2: column image"), "{outside}: {error}");
    }
}

#[test]
fn a_data_set_reads_no_file_outside_itself() {
    let root = tempfile::tempdir().unwrap();
    let set = root.path().join("set");
    let draft = import::read(&fixtures().join("csv"), None, &Options::default()).unwrap();
    import::write(&draft, &set).unwrap();
    fs::rename(set.join("images/0.png"), root.path().join("0.png")).unwrap();
    std::os::unix::fs::symlink(root.path().join("0.png"), set.join("images/0.png")).unwrap();
    let error = folder::read(&set).unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("leads out of the data set"), "{error}");

    // A link within the data set counts as a file.
    fs::remove_file(set.join("images/0.png")).unwrap();
    fs::rename(root.path().join("0.png"), set.join("original.png")).unwrap();
    std::os::unix::fs::symlink("../original.png", set.join("images/0.png")).unwrap();
    folder::read(&set).unwrap();
    // The data set itself may be a link too.
    std::os::unix::fs::symlink(&set, root.path().join("link")).unwrap();
    folder::read(&root.path().join("link")).unwrap();
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
