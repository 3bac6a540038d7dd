//! Sources as people have them, in one table: what makes a source, how it is imported, and what must come of it.
//!
//! Every film has a bright spot under each landmark, so that a landmark is right where its spot lies in the imported picture,
//! however picture and positions were turned, converted or named on the way. Inputs are made here; formats that only their own
//! tools write are fixtures (`formats.rs`, `src/data/picture`).

mod kinds;
mod pictures;
mod sources;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use landmark_sweep::data::import::{self, Format, Options, Origin, PositionUnit};
use landmark_sweep::data::pictures::Photograph;
use landmark_sweep::data::{Dataset, folder};
use landmark_sweep::units::Spacing;

use pictures::{LANDMARKS, positions, spot};

/// A kind of source.
struct Case {
    name: &'static str,
    make: fn(&Path),
    options: fn() -> Options,
    expect: Expect,
}

/// Expected result of a source.
enum Expect {
    /// Every landmark of so many films lies on its spot.
    Marks(u32),
    /// The same, except that these landmarks of films are missing.
    MarksBut(u32, &'static [(u32, &'static str)]),
    /// Every landmark on its spot, and this size of a pixel.
    Millimetres(u32, [f64; 2]),
    /// Every landmark on its spot, and a note that says all of this.
    Noted(u32, &'static [&'static str]),
    /// A refusal that says all of this.
    Refused(&'static [&'static str]),
}

fn plain() -> Options {
    Options { spacing: Some(Spacing { x: 0.1, y: 0.1 }), ..Options::default() }
}

fn as_source_says() -> Options {
    Options::default()
}

/// Every kind of source, from the tools that people mark landmarks with.
#[rustfmt::skip]
const CASES: &[Case] = &[
    Case { name: "labelme: pictures turned by every EXIF orientation in JPEG, PNG and TIFF", make: sources::labelme_turned, options: plain, expect: Expect::Marks(24) },
    Case { name: "labelme: paths of Windows, of another drive and of a share", make: sources::labelme_windows, options: plain, expect: Expect::Marks(4) },
    Case { name: "labelme: names spelt in several ways", make: sources::labelme_spelling, options: plain, expect: Expect::Noted(0, &["sella", "Sella"]) },
    Case { name: "CVAT for images: turned pictures", make: sources::cvat_turned, options: plain, expect: Expect::Marks(8) },
    Case { name: "CVAT for images: frames of one name in two subsets", make: sources::cvat_subsets, options: plain, expect: Expect::Marks(4) },
    Case { name: "COCO by CVAT, with a label that is no skeleton", make: sources::coco_by_cvat, options: plain, expect: Expect::Marks(4) },
    Case { name: "COCO by CVAT: turned pictures", make: sources::coco_turned, options: plain, expect: Expect::Marks(8) },
    Case { name: "COCO: a category per landmark", make: sources::coco_category_per_landmark, options: plain, expect: Expect::Marks(3) },
    Case { name: "COCO by Roboflow: three folders, a category without points", make: sources::coco_roboflow, options: plain, expect: Expect::Marks(3) },
    Case { name: "COCO: NaN of Python where a landmark is missing", make: sources::coco_nan, options: plain, expect: Expect::MarksBut(3, &[(1, "menton")]) },
    Case { name: "COCO: file names with folders of Windows", make: sources::coco_windows, options: plain, expect: Expect::Marks(3) },
    Case { name: "Label Studio: per cent, prefixed files", make: sources::label_studio, options: plain, expect: Expect::Marks(3) },
    Case { name: "YOLO pose: shares and visibility", make: sources::yolo, options: plain, expect: Expect::MarksBut(4, &[(2, "nasion")]) },
    Case { name: "VIA: CSV with JSON in its cells", make: sources::via_csv, options: plain, expect: Expect::Marks(3) },
    Case { name: "3D Slicer: LPS in mm of a volume with an origin", make: sources::slicer, options: as_source_says, expect: Expect::Millimetres(3, [0.2, 0.2]) },
    Case { name: "TPS: y upwards, SCALE", make: sources::tps, options: as_source_says, expect: Expect::Millimetres(4, [0.2, 0.2]) },
    Case { name: "ibug .pts: counted from one", make: sources::pts, options: plain, expect: Expect::Marks(3) },
    Case { name: "dlib: parts by name", make: sources::dlib, options: plain, expect: Expect::Marks(3) },
    Case { name: "DeepLabCut: three rows of header", make: sources::deeplabcut, options: as_source_says, expect: Expect::MarksBut(3, &[(2, "gonion")]) },
    Case { name: "ImageJ: results with labels", make: sources::imagej, options: || Options { unit: Some(PositionUnit::Pixels), ..plain() }, expect: Expect::Marks(3) },
    Case { name: "CSV: names that differ by case", make: sources::csv_case, options: plain, expect: Expect::Marks(3) },
    Case { name: "CSV: accents in one or two characters", make: sources::csv_accents, options: plain, expect: Expect::Marks(3) },
    Case { name: "CSV: German Excel with sep=;, comma and byte-order mark", make: sources::csv_german, options: plain, expect: Expect::Marks(3) },
    Case { name: "CSV: UTF-16 with tabs", make: sources::csv_utf16, options: plain, expect: Expect::Marks(3) },
    Case { name: "CSV: the index column of pandas", make: sources::csv_index, options: plain, expect: Expect::Marks(3) },
    Case { name: "CSV: −1, 0 and NaN for missing landmarks", make: sources::csv_missing, options: plain, expect: Expect::MarksBut(4, &[(0, "menton"), (1, "nasion"), (2, "gonion")]) },
    Case { name: "CSV: a row per landmark, a column of visibility", make: sources::csv_visible, options: plain, expect: Expect::MarksBut(3, &[(1, "sella")]) },
    Case { name: "CSV: files of one name in a folder per patient, paths of Windows", make: sources::csv_patients, options: plain, expect: Expect::Marks(3) },
    Case { name: "CSV: a table and films called test", make: sources::csv_called_test, options: plain, expect: Expect::Marks(6) },
    Case { name: "CSV: counted from one, y upwards, by options", make: sources::csv_from_one_up, options: || Options { origin: Some(Origin::One), y_up: Some(true), ..plain() }, expect: Expect::Marks(3) },
    Case { name: "CSV: per cent, by an option", make: sources::csv_percent, options: || Options { unit: Some(PositionUnit::Percent), origin: Some(Origin::Corner), ..plain() }, expect: Expect::Marks(3) },
    Case { name: "CSV: turned pictures", make: sources::csv_turned, options: plain, expect: Expect::Marks(8) },
    Case { name: "CSV: a landmark far outside its image", make: sources::csv_outside, options: plain, expect: Expect::Refused(&["marks.csv: line 3", "outside the image"]) },
    Case { name: "CSV: endings in capitals, and in another case than the table's", make: sources::csv_capitals, options: plain, expect: Expect::Marks(3) },
    Case { name: "DICOM: a negative rescale slope", make: sources::dicom_negative_slope, options: as_source_says, expect: Expect::Millimetres(2, [0.2, 0.2]) },
    Case { name: "DICOM: MONOCHROME1 with a window", make: sources::dicom_monochrome1, options: as_source_says, expect: Expect::Millimetres(2, [0.2, 0.2]) },
    Case { name: "DICOM: MONOCHROME1 and INVERSE", make: sources::dicom_inverse, options: as_source_says, expect: Expect::Millimetres(2, [0.2, 0.2]) },
    Case { name: "DICOM: pixels that are not square", make: sources::dicom_oblong, options: as_source_says, expect: Expect::Millimetres(2, [0.1, 0.3]) },
    Case { name: "DICOM: the spacing on the detector, magnified", make: sources::dicom_magnified, options: as_source_says, expect: Expect::Millimetres(2, [0.2, 0.2]) },
    Case { name: "DICOM: files without an ending and without a preamble", make: sources::dicom_bare, options: as_source_says, expect: Expect::Millimetres(2, [0.2, 0.2]) },
    Case { name: "DICOM: pixels that are not square, of unknown size", make: sources::dicom_aspect, options: as_source_says, expect: Expect::Refused(&["PixelAspectRatio", "--spacing"]) },
    Case { name: "DICOM: pixels that are not square, of a size that the user says", make: sources::dicom_aspect, options: || Options { spacing: Some(Spacing { x: 0.1, y: 0.2 }), ..Options::default() }, expect: Expect::Millimetres(2, [0.1, 0.2]) },
    Case { name: "3D Slicer: LPS in mm of a radiograph without a place in the patient", make: sources::slicer_on_radiograph, options: as_source_says, expect: Expect::Millimetres(2, [0.3, 0.2]) },
    Case { name: "3D Slicer: RAS in mm of a DICOM slice in the patient", make: sources::slicer_on_slice, options: as_source_says, expect: Expect::Millimetres(2, [0.3, 0.2]) },
    Case { name: "3D Slicer: a calibrated radiograph, marked in the detector's millimetres", make: sources::slicer_on_calibrated, options: as_source_says, expect: Expect::Millimetres(2, [0.1, 0.1]) },
    Case { name: "YOLO pose: one folder to train and to validate", make: sources::yolo_one_folder, options: plain, expect: Expect::Refused(&["`train` and `val` both have", "--no-split"]) },
    Case { name: "YOLO pose: one folder to train and to validate, by an option", make: sources::yolo_one_folder, options: || Options { no_split: true, ..plain() }, expect: Expect::MarksBut(4, &[(2, "nasion")]) },
    Case { name: "CSV: two landmarks of one name", make: sources::csv_name_twice, options: plain, expect: Expect::Refused(&["marks.csv: line 1", "two columns are called sella_x"]) },
    Case { name: "CSV: shares of the sides without a word", make: sources::csv_shares, options: plain, expect: Expect::Refused(&["shares", "--unit relative"]) },
    Case { name: "CSV: shares of the sides, by an option", make: sources::csv_shares, options: || Options { unit: Some(PositionUnit::Relative), origin: Some(Origin::Corner), ..plain() }, expect: Expect::Marks(3) },
    Case { name: "CSV: pictures in colour that become grey", make: sources::csv_colours, options: plain, expect: Expect::Noted(0, &["2 of 3 images are in colour and became grey", "--colour"]) },
    Case { name: "PNG of 16 bits: a narrow range far from zero", make: sources::narrow_range, options: plain, expect: Expect::Marks(3) },
    Case { name: "PNG of 16 bits: 12 bits, a white marker in one film", make: sources::white_marker, options: plain, expect: Expect::Marks(3) },
];

fn imported(case: &Case) -> Result<(Dataset, Vec<String>), String> {
    let root = tempfile::tempdir().unwrap();
    let (source, out) = (root.path().join("source"), root.path().join("out"));
    std::fs::create_dir(&source).unwrap();
    (case.make)(&source);
    let options = (case.options)();
    let parsed = import::read(&source, None, &options).map_err(|e| e.to_string())?;
    let written = import::write_saying(&parsed, &out, &options).map_err(|e| e.to_string())?;
    let dataset = folder::read(&out).map_err(|e| e.to_string())?;
    Ok((dataset, parsed.notes.into_iter().chain(written.notes).collect()))
}

/// Every landmark of a film on its spot; the film is known by the number in its name.
fn assert_marks(name: &str, dataset: &Dataset, films: u32, missing: &[(u32, &str)]) {
    assert_eq!(dataset.samples.len(), films as usize, "{name}");
    let mut seen = BTreeSet::new();
    for sample in &dataset.samples {
        let digits: String = sample.image.chars().filter(char::is_ascii_digit).collect();
        // Of two subsets, the second one's frames are counted on.
        let film = digits.parse::<u32>().unwrap() + if sample.image.contains("Validation") { 2 } else { 0 };
        seen.insert(film);
        for (index, (landmark, _, light)) in LANDMARKS.iter().enumerate() {
            let is_it = |other: &String| other.to_lowercase() == *landmark || *other == (index + 1).to_string();
            let place = dataset.landmarks.iter().position(|other| is_it(other) || sources::is_alias(other, index));
            let place = place.unwrap_or_else(|| panic!("{name}: no {landmark} among {:?}", dataset.landmarks));
            let Some(point) = sample.landmarks[place] else {
                assert!(missing.contains(&(film, landmark)), "{name}: {}: {landmark} is missing", sample.image);
                continue;
            };
            assert!(!missing.contains(&(film, landmark)), "{name}: {}: {landmark} at {point:?}", sample.image);
            let ([x, y], peak) = spot(&sample.pixels, sample.size.width, [point.x, point.y]);
            let off = (x - point.x).hypot(y - point.y);
            // Tools that round to whole pixels are off by up to 0.71.
            assert!(off < 0.75, "{name}: {}: {landmark} at {point:?}, its spot at ({x:.2}, {y:.2})", sample.image);
            // Spots differ by 40 grey levels; a range that is stretched to the darkest and brightest value shifts them.
            let expected = light + 10.0;
            assert!((peak - expected).abs() < 19.0, "{name}: {}: {landmark} lies on a spot of {peak}", sample.image);
        }
    }
    assert_eq!(seen.len(), films as usize, "{name}: two films are one");
}

#[test]
fn landmarks_of_every_kind_of_source_lie_on_their_marks() {
    let mut failed = Vec::new();
    for case in CASES {
        let judged = std::panic::catch_unwind(|| judge(case));
        if let Err(panic) = judged {
            let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            failed.push(format!("{}: {text}", case.name));
        }
    }
    assert!(failed.is_empty(), "{} of {} cases are wrong:\n{}", failed.len(), CASES.len(), failed.join("\n"));
}

fn judge(case: &Case) {
    let result = imported(case);
    if let Expect::Refused(parts) = &case.expect {
        let error = result.err().unwrap_or_else(|| panic!("it was imported"));
        for part in *parts {
            assert!(error.contains(part), "{part:?} is not in: {error}");
        }
        return;
    }
    let (dataset, notes) = result.unwrap_or_else(|error| panic!("refused: {error}"));
    match &case.expect {
        Expect::Marks(films) => assert_marks("", &dataset, *films, &[]),
        Expect::MarksBut(films, missing) => assert_marks("", &dataset, *films, missing),
        Expect::Millimetres(films, [x, y]) => {
            assert_marks("", &dataset, *films, &[]);
            for sample in &dataset.samples {
                let spacing = sample.spacing.unwrap();
                assert!((spacing.x - x).abs() < 1e-9 && (spacing.y - y).abs() < 1e-9, "{spacing:?}");
            }
        }
        Expect::Noted(films, parts) => {
            if *films > 0 {
                assert_marks("", &dataset, *films, &[]);
            }
            let says = |note: &String| parts.iter().all(|part| note.contains(part));
            assert!(notes.iter().any(says), "no note says {parts:?}: {notes:?}");
        }
        Expect::Refused(_) => {}
    }
}

/// `sweep predict` reads every file of a film as the same picture.
#[test]
fn every_file_of_a_film_is_one_picture_to_predict() {
    let root = tempfile::tempdir().unwrap();
    let mut files: Vec<PathBuf> = Vec::new();
    for ending in ["jpg", "png", "tif"] {
        for exif in 1..=8 {
            let path = root.path().join(format!("{exif}.{ending}"));
            pictures::turned(&path, 0, exif);
            files.push(path);
        }
    }
    for (index, dicom) in sources::dicoms().into_iter().enumerate() {
        let path = root.path().join(format!("IM{index:06}"));
        dicom.write(&path, 0);
        files.push(path);
    }
    let expected = pictures::film(0);
    for file in &files {
        let picture = Photograph::read(file).unwrap();
        assert_eq!([picture.size.width as u32, picture.size.height as u32], pictures::SIZE, "{}", file.display());
        let worst = picture.pixels.iter().zip(expected.as_raw()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst <= 4, "{}: {worst} grey levels off", file.display());
    }
}

/// The table has every format that people's tools write.
#[test]
fn every_format_of_a_tool_has_a_case() {
    let mut formats = BTreeSet::new();
    for case in CASES {
        let root = tempfile::tempdir().unwrap();
        (case.make)(root.path());
        formats.insert(Format::detect(root.path()).map_or_else(|e| panic!("{}: {e}", case.name), Format::name));
    }
    // Formats of published data sets, and those whose files only their own tools write, have miniatures in `formats.rs`.
    let others =
        ["isbi2015", "heatmap-folders", "cl-detection", "aariz", "payer", "excel", "datumaro", "openpose", "mmpose"];
    for format in Format::ALL {
        assert_ne!(formats.contains(format.name()), others.contains(&format.name()), "{}", format.name());
    }
    assert!(positions(0)[0].iter().zip(LANDMARKS[0].1).all(|(a, b)| (a - b).abs() < 1e-12));
}
