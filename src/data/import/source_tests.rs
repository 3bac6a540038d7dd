//! Sources as people have them: what is read, what is noted and what is refused.

use std::fmt::Write as _;
use std::fs;

use image::{GrayImage, Luma};
use tempfile::TempDir;

use super::*;
use crate::Split;
use sweep_core::units::{Point, Spacing};

/// A folder of files; images are empty, since reading a source decodes none.
fn source(files: &[(&str, &[u8])]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    root
}

fn images<'a>(names: &[&'a str]) -> Vec<(&'a str, &'static [u8])> {
    names.iter().map(|name| (*name, &b""[..])).collect()
}

fn with_table(name: &str, table: &[u8], options: &Options) -> Result<ParsedDataset> {
    let mut files = images(&["0.png", "1.png", "2.png"]);
    files.push((name, table));
    read(source(&files).path(), None, options)
}

fn csv(table: &str) -> ParsedDataset {
    with_table("marks.csv", table.as_bytes(), &Options::default()).unwrap()
}

fn points(parsed: &ParsedDataset, image: usize) -> Vec<Option<(f64, f64)>> {
    parsed.records[image].landmarks.iter().map(|p| p.map(|p| (p.x, p.y))).collect()
}

fn has_note(parsed: &ParsedDataset, parts: &[&str]) -> bool {
    parsed.notes.iter().any(|note| parts.iter().all(|part| note.contains(part)))
}

#[test]
fn spreadsheets_of_all_languages_are_read_alike() {
    let german = "image;S_x;S_y\r\n0.png;1,5;2\r\n1.png;3;4,25\r\n2.png;;\r\n";
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(german.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let tables: [Vec<u8>; 7] = [
        german.into(),
        format!("\u{feff}{german}").into(),
        format!("sep=;\r\n{german}").into(),
        format!("\"sep=;\"\n{german}").into(),
        utf16,
        german.replace(';', "\t").into(),
        "image,S_x,S_y\n0.png,\"1,5\",2\n1.png,3,\"4,25\"\n2.png,,\n".into(),
    ];
    for table in tables {
        let parsed = with_table("marks.csv", &table, &Options::default()).unwrap();
        let all: Vec<_> = (0..3).map(|image| points(&parsed, image)[0]).collect();
        assert_eq!(all, [Some((1.5, 2.0)), Some((3.0, 4.25)), None], "{}", String::from_utf8_lossy(&table));
    }
    // Thousands or thousandths: nobody knows.
    let error = with_table("marks.csv", b"image,S_x,S_y\n0.png,\"1,234\",2\n", &Options::default()).unwrap_err();
    assert!(error.to_string().contains("line 2: column S_x: `1,234` is not a number"), "{error}");
    // The line is the file's, also below `sep=`.
    let error = with_table("marks.csv", b"sep=;\nimage;S_x;S_y\n0.png;a;2\n", &Options::default()).unwrap_err();
    assert!(error.to_string().contains("line 3: column S_x"), "{error}");
    let latin = with_table("marks.csv", b"image,\xe9pine_x,\xe9pine_y\n0.png,1,2\n1.png,1,2\n", &Options::default());
    let latin = latin.unwrap();
    assert_eq!(latin.landmarks, ["\u{e9}pine"]);
    assert!(has_note(&latin, &["marks.csv", "Windows-1252"]), "{:?}", latin.notes);
}

#[test]
fn columns_of_visibility_are_obeyed_and_others_noted() {
    for (column, on, off) in
        [("visible", "1", "0"), ("v", "2", "0"), ("visibility", "true", "false"), ("missing", "0", "1")]
    {
        let table = format!(
            "image,landmark,x,y,{column},occluded\n0.png,S,1,2,{on},0\n0.png,N,9,9,{off},1\n1.png,S,3,4,{on},0\n1.png,N,5,6,,1\n"
        );
        let parsed = csv(&table);
        assert_eq!(points(&parsed, 0), [Some((1.0, 2.0)), None], "{column}");
        assert_eq!(points(&parsed, 1)[1], Some((5.0, 6.0)), "{column}");
        assert!(has_note(&parsed, &["1 landmarks are missing", "visibility"]), "{:?}", parsed.notes);
        assert!(has_note(&parsed, &["columns that are not read: occluded"]), "{:?}", parsed.notes);
    }
    let wide = csv("image,N_x,N_y,N_v,n_x,n_y,remark\n0.png,1,2,0,3,4,a\n1.png,5,6,1,7,8,b\n");
    assert_eq!(wide.landmarks, ["N", "n"]);
    assert_eq!(points(&wide, 0), [None, Some((3.0, 4.0))]);
    assert!(has_note(&wide, &["not read: remark"]), "{:?}", wide.notes);
    let error = with_table("m.csv", b"image,landmark,x,y,v\n0.png,S,1,2,perhaps\n", &Options::default()).unwrap_err();
    assert!(error.to_string().contains("line 2: column v: `perhaps`"), "{error}");
}

#[test]
fn marks_of_missing_landmarks_are_noted_and_can_be_said() {
    let table = "image,S_x,S_y,N_x,N_y\n0.png,0,0,5,5\n1.png,1,2,-1,-1\n2.png,3,4,x,x\n";
    let said = Options { missing: Missing::parse("x,-1").unwrap(), ..Options::default() };
    let parsed = with_table("marks.csv", table.as_bytes(), &said).unwrap();
    assert_eq!(points(&parsed, 0)[0], Some((0.0, 0.0)), "only what is said is missing");
    assert_eq!((points(&parsed, 1)[1], points(&parsed, 2)[1]), (None, None));
    let usual = with_table("marks.csv", table.replace("x,x", ",").as_bytes(), &Options::default()).unwrap();
    assert_eq!((points(&usual, 0)[0], points(&usual, 1)[1]), (None, None));
    assert!(has_note(&usual, &["1 landmarks at (0, 0)", "S 1", "--missing none"]), "{:?}", usual.notes);
}

#[test]
fn columns_of_other_names_are_said() {
    let table = b"FOTO,PUNKT,X,Y\n0.png,S,1,2\n1.png,S,3,4\n";
    let error = with_table("marks.csv", table, &Options::default()).unwrap_err().to_string();
    assert!(error.contains("nearest to `csv-long`") && error.contains("columns FOTO, PUNKT, X, Y"), "{error}");
    let pairs = ["image=FOTO", "landmark=PUNKT"].map(|text| column_of(text).unwrap()).to_vec();
    let parsed = with_table("marks.csv", table, &Options { columns: pairs, ..Options::default() }).unwrap();
    assert_eq!((parsed.landmarks.as_slice(), points(&parsed, 1)), (&["S".to_owned()][..], vec![Some((3.0, 4.0))]));
    let absent = Options { columns: vec![column_of("image=PICTURE").unwrap()], ..Options::default() };
    let error = with_table("marks.csv", b"image,S_x,S_y\n0.png,1,2\n1.png,1,2\n", &absent).unwrap_err().to_string();
    assert!(error.contains("has no column `PICTURE`"), "{error}");
}

#[test]
fn splits_come_from_names_only_where_these_are_meant() {
    let table = b"image,S_x,S_y\ntest0.png,1,2\nscan1.png,3,4\nscan2.png,5,6\n";
    let mut files = images(&["test0.png", "scan1.png", "scan2.png"]);
    files.push(("test.csv", table));
    let lone = read(source(&files).path(), None, &Options::default()).unwrap();
    assert!(lone.records.iter().any(|record| record.split == Some(Split::Val)));
    assert!(lone.records.iter().all(|record| record.split != Some(Split::Test)));

    let folders = ["train/1.png", "train/2.png", "val/3.png"];
    let mut files = images(&folders);
    files.push(("marks.csv", b"image,S_x,S_y\ntrain/1.png,1,2\ntrain/2.png,3,4\nval/3.png,5,6\n"));
    let meant = source(&files);
    let splits = |options: &Options| -> Vec<_> {
        read(meant.path(), None, options).unwrap().records.iter().map(|record| record.split).collect()
    };
    assert_eq!(splits(&Options::default()), [Some(Split::Train), Some(Split::Train), Some(Split::Val)]);
    let noted = read(meant.path(), None, &Options::default()).unwrap();
    assert!(
        has_note(&noted, &["`train` (train, 2 images)", "`val` (val, 1 images)", "--no-split"]),
        "{:?}",
        noted.notes
    );
    let drawn = read(meant.path(), None, &Options { no_split: true, ..Options::default() }).unwrap();
    assert!(has_note(&drawn, &["were drawn"]), "{:?}", drawn.notes);

    let mut files = images(&["test/1.png", "test/2.png", "3.png"]);
    files.push(("marks.csv", b"image,S_x,S_y\ntest/1.png,1,2\ntest/2.png,3,4\n3.png,5,6\n"));
    let error = read(source(&files).path(), None, &Options::default()).unwrap_err().to_string();
    assert!(error.contains("2 images have a split and 1 have none") && error.contains("`test` (test"), "{error}");
    assert!(error.contains("--no-split"), "{error}");

    // Files beside each other that say different splits are meant.
    let mut files = images(&["1.png", "2.png"]);
    files.push(("train.csv", b"image,S_x,S_y\n1.png,1,2\n"));
    files.push(("val.csv", b"image,S_x,S_y\n2.png,3,4\n"));
    let both = read(source(&files).path(), None, &Options::default()).unwrap();
    assert_eq!([both.records[0].split, both.records[1].split], [Some(Split::Train), Some(Split::Val)]);
}

#[test]
fn bad_rows_are_left_out_only_if_the_user_wants_so() {
    let table = b"image,S_x,S_y\n0.png,1,2\n1.png,abc,2\n9.png,1,2\n2.png,1\n2.png,5,6\n";
    assert!(with_table("marks.csv", table, &Options::default()).is_err());
    let parsed = with_table("marks.csv", table, &Options { skip_bad: true, ..Options::default() }).unwrap();
    assert_eq!(parsed.records.len(), 2);
    let parts = ["3 rows or images were left out", "line 3: column S_x", "no image `9.png`", "2 cells under 3 columns"];
    assert!(has_note(&parsed, &parts), "{:?}", parsed.notes);
}

#[test]
fn a_second_observer_of_any_format_is_joined() {
    let mut files = images(&["0.png", "1.png"]);
    files.push(("a/marks.csv", b"image,S_x,S_y,spacing\n0.png,1,2,0.5\n1.png,3,4,0.5\n"));
    files.push(("b/marks.csv", b"image,landmark,x,y\n0.png,S,3,2\n1.png,S,5,4\n"));
    files.extend([("a/0.png", &b""[..]), ("a/1.png", b""), ("b/0.png", b""), ("b/1.png", b"")]);
    let root = source(&files);
    let join = |truth| {
        let options = Options { second: Some(root.path().join("b")), truth, ..Options::default() };
        read(&root.path().join("a"), None, &options).unwrap()
    };
    let mean = join(Truth::Mean);
    assert_eq!((points(&mean, 0)[0], mean.name.as_str()), (Some((2.0, 2.0)), "a-mean"));
    // Each lies 1 px of 0.5 mm from the mean.
    assert!((mean.observer_mre.unwrap().0 - 0.5).abs() < 1e-12);
    assert_eq!(points(&join(Truth::Senior), 0)[0], Some((3.0, 2.0)));
}

/// Landmarks of a written image of 40×30 pixels, all at one position.
fn written(position: &str, options: &Options) -> Result<(Point, Vec<String>)> {
    let root = source(&[]);
    let mut table = "image,S_x,S_y\n".to_owned();
    for number in 0..2 {
        GrayImage::from_fn(40, 30, |x, y| Luma([(x + y + number) as u8]))
            .save(root.path().join(format!("{number}.png")))
            .unwrap();
        writeln!(table, "{number}.png,{position}").unwrap();
    }
    fs::write(root.path().join("marks.csv"), table).unwrap();
    let parsed = read(root.path(), None, options)?;
    let Written { dataset, notes } = check(&parsed, options)?;
    Ok((dataset.samples[0].landmarks[0].unwrap(), parsed.notes.into_iter().chain(notes).collect()))
}

#[test]
fn positions_are_converted_from_the_users_origin_unit_and_direction() {
    let spacing = Some(Spacing { x: 0.5, y: 0.25 });
    let plain = Options { spacing, ..Options::default() };
    let at = |position: &str, options: Options| {
        let (point, _) = written(position, &options).unwrap();
        (point.x, point.y)
    };
    assert_eq!(at("10,20", plain.clone()), (10.0, 20.0));
    let origin = |origin| Options { origin: Some(origin), ..plain.clone() };
    assert_eq!(at("10,20", origin(Origin::Corner)), (9.5, 19.5));
    assert_eq!(at("10,20", origin(Origin::One)), (9.0, 19.0));
    let up = Options { y_up: Some(true), ..plain.clone() };
    assert_eq!(at("10,20", up.clone()), (10.0, 9.0));
    // 20 from the lower edge's corner is 10 from the upper one's, and so 9.5 from the first pixel's centre.
    assert_eq!(at("10,20", Options { origin: Some(Origin::Corner), ..up }), (9.5, 9.5));
    let unit = |unit| Options { unit: Some(unit), ..plain.clone() };
    assert_eq!(at("5,5", unit(PositionUnit::Millimetres)), (10.0, 20.0));
    assert_eq!(at("0.25,0.5", unit(PositionUnit::Relative)), (10.0, 15.0));
    let percent = Options { origin: Some(Origin::Corner), ..unit(PositionUnit::Percent) };
    assert_eq!(at("25,50", percent), (9.5, 14.5));
}

#[test]
fn landmarks_a_little_outside_are_moved_onto_the_edge_with_a_note() {
    let options = Options { spacing: Some(Spacing { x: 0.5, y: 0.25 }), ..Options::default() };
    let (point, notes) = written("42.5,20", &options).unwrap();
    assert_eq!((point.x, point.y), (39.5, 20.0));
    let note = notes.iter().find(|note| note.contains("onto its edge")).unwrap();
    assert!(note.contains("2 landmarks") && note.contains("0.png: S by 3.0 px"), "{note}");
    assert!(written("46,20", &options).unwrap_err().to_string().contains("outside the image"));
    let mut bad = options;
    bad.skip_bad = true;
    let error = written("46,20", &bad).unwrap_err().to_string();
    assert!(error.contains("no image of split") || error.contains("no landmarks"), "{error}");
}

#[test]
fn unknown_sources_are_told_what_they_are_near_to() {
    let says = |files: &[(&str, &[u8])]| read(source(files).path(), None, &Options::default()).unwrap_err().to_string();
    let coco = says(&[("a.json", br#"{"images": [], "annotations": []}"#)]);
    assert!(coco.contains("nearest to `coco`") && coco.contains("lacks the key categories"), "{coco}");
    let xml = says(&[("a.xml", b"<?xml version=\"1.0\"?>\n<annotation><object/></annotation>")]);
    assert!(xml.contains("begins with <annotation>"), "{xml}");
    let table = says(&[("a.csv", b"image,score\n1.png,2\n")]);
    assert!(table.contains("nearest to `csv`") && table.contains("columns image, score"), "{table}");
    let workbook = says(&[("a.xlsx", b"PK\x03\x04 and no more"), ("1.png", b"")]);
    assert!(workbook.contains("a.xlsx is a workbook that cannot be read"), "{workbook}");
    let none = says(&[("a.png", b""), ("b.png", b""), ("c.doc", b"")]);
    assert!(none.contains("2 .png, 1 .doc"), "{none}");
}
