//! YOLO's and VIA's files, their variants and their faults.

#![expect(clippy::needless_pass_by_value, reason = "`json!` makes values in place")]

use serde_json::{Value, json};

use super::test_source::{assert_says, category, import, points, refusal};
use super::{Format, Options, Unit};

const YAML: &str = "path: .\ntrain: images/train\nval: images/val\nkpt_shape: [2, 3]\nnames: [ceph]\n";
const FILMS: [(&str, &str); 2] = [("images/train/a.png", ""), ("images/val/b.png", "")];
const B: (&str, &str) = ("labels/val/b.txt", "0 .5 .5 1 1 0.25 0.5 2 0.75 0.125 1\n");

#[test]
fn yolo_reads_shares_with_and_without_visibility() {
    let files = [FILMS[0], FILMS[1], B, ("data.yaml", YAML), ("labels/train/a.txt", "0 .5 .5 1 1 0.5 0.5 2 0 0 0\n")];
    let parsed = import(Format::YoloPose, &Options::default(), &files).unwrap();
    assert_eq!(parsed.landmarks, ["p1", "p2"]);
    assert!(parsed.records.iter().all(|record| matches!(record.unit, Unit::Shares(_))));
    assert_eq!(points(&parsed, "train/a.png"), [Some((0.5, 0.5)), None]);
    assert_eq!(points(&parsed, "val/b.png"), [Some((0.25, 0.5)), Some((0.75, 0.125))]);

    let yaml = YAML.replace("[2, 3]", "[2, 2]") + "kpt_names:\n  0: [S, N]\n";
    let files = [
        FILMS[0],
        FILMS[1],
        ("data.yaml", yaml.as_str()),
        ("labels/train/a.txt", "0 .5 .5 1 1 0.5 0.5 -1 -1\n"),
        ("labels/val/b.txt", "0 .5 .5 1 1 0 0 1 0.125\n"),
    ];
    let parsed = import(Format::YoloPose, &Options::default(), &files).unwrap();
    assert_eq!(parsed.landmarks, ["S", "N"]);
    assert_eq!(points(&parsed, "train/a.png"), [Some((0.5, 0.5)), None]);
    assert_eq!(points(&parsed, "val/b.png"), [None, Some((1.0, 0.125))]);
}

#[test]
fn yolo_finds_images_by_folders_lists_and_other_machines_paths() {
    let a = ("labels/train/a.txt", "0 .5 .5 1 1 0.5 0.5 2 0 0 0\n");
    let list = ("train.txt", "./images/train/a.png\n");
    for yaml in [
        YAML.to_owned(),
        YAML.replace("path: .", "path: /home/anna/sets/ceph"),
        YAML.replace("path: .\n", "").replace("images/train", "../images/train").replace("images/val", "../images/val"),
        YAML.replace("images/train", "/home/anna/ceph/images/train"),
        YAML.replace("images/train", "train.txt"),
        YAML.replace("images/val", "[images/val]"),
        YAML.to_owned() + "test: images/test\n",
    ] {
        let files = [FILMS[0], FILMS[1], a, B, list, ("data.yaml", &yaml)];
        let parsed = import(Format::YoloPose, &Options::default(), &files).unwrap_or_else(|e| panic!("{yaml}: {e}"));
        let splits: Vec<_> = parsed.records.iter().map(|r| (r.image.as_str(), r.split.unwrap().name())).collect();
        assert_eq!(splits, [("images/train/a.png", "train"), ("images/val/b.png", "val")], "{yaml}");
    }
    // Roboflow's folders, with labels beside the images.
    let yaml = YAML.replace("images/train", "../train/images").replace("images/val", "../valid/images");
    let files = [
        ("train/images/a.png", ""),
        ("train/labels/a.txt", a.1),
        ("valid/images/b.png", ""),
        ("valid/images/b.txt", B.1),
        ("data.yaml", &yaml),
    ];
    let parsed = import(Format::YoloPose, &Options::default(), &files).unwrap();
    assert_eq!(points(&parsed, "valid/images/b.png")[0], Some((0.25, 0.5)));
    // Another split's images are never taken for a split that is missing.
    let yaml = YAML.replace("images/val", "../valid/images");
    let error = refusal(Format::YoloPose, &Options::default(), &[FILMS[0], a, ("data.yaml", &yaml)]);
    assert_says(&error, &["data.yaml: line 3: key val", "no folder `../valid/images`"]);
}

#[test]
fn yolo_refuses_what_does_not_fit_and_names_the_line() {
    let refused = |yaml: &str, label: &str| {
        let files = [FILMS[0], FILMS[1], B, ("data.yaml", yaml), ("labels/train/a.txt", label)];
        refusal(Format::YoloPose, &Options::default(), &files)
    };
    let good = "0 .5 .5 1 1 0.5 0.5 2 0 0 0\n";
    for (label, part) in [
        ("\n0 .5 .5 1 1\n", "line 2: a box without keypoints"),
        ("0 .5 .5 1 1 0.5 0.5 2\n", "line 1: 8 numbers, but kpt_shape [2, 3] makes 11"),
        ("0 .5 .5 1 1 0.5 nan 2 0 0 0\n", "line 1: `nan` is not a number"),
        ("0.5 .5 .5 1 1 0.5 0.5 2 0 0 0\n", "line 1: 0.5 is not a class"),
        (&(good.to_owned() + good), "line 2: a second object"),
    ] {
        assert_says(&refused(YAML, label), &["labels/train/a.txt", part]);
    }
    for (yaml, part) in [
        (YAML.replace("[2, 3]", "[2, 4]"), "line 4: key kpt_shape"),
        (YAML.replace("[2, 3]", "many"), "line 4: key kpt_shape: it is not a list"),
        (YAML.to_owned() + "kpt_names: [S]\n", "line 6: key kpt_names: 1 names"),
        (YAML.to_owned() + "kpt_names: [S, S]\n", "key kpt_names: two keypoints have the same name"),
        (YAML.replace("path: .", "path: *x"), "line 1"),
    ] {
        assert_says(&refused(&yaml, good), &["data.yaml", part]);
    }
    let classes = YAML.replace("[ceph]", "[ceph, hand]");
    let other = "1 .5 .5 1 1 0.125 0.5 2 0 0 0\n".to_owned() + good;
    assert_says(&refused(&classes, &other), &["key names", "ceph, hand", "--category NAME"]);
    let files = [FILMS[0], FILMS[1], B, ("data.yaml", classes.as_str()), ("labels/train/a.txt", &other)];
    let parsed = import(Format::YoloPose, &category("ceph"), &files).unwrap();
    assert_eq!(points(&parsed, "train/a.png"), [Some((0.5, 0.5)), None]);
}

fn region(x: u32, attributes: Value) -> Value {
    json!({"shape_attributes": {"name": "point", "cx": x, "cy": 5}, "region_attributes": attributes})
}

/// An export of two images.
fn via(a: Value, b: Value) -> String {
    json!({
        "a.png12": {"filename": "a.png", "size": 12, "regions": a, "file_attributes": {}},
        "b.png12": {"filename": "b.png", "size": 12, "regions": b, "file_attributes": {}},
    })
    .to_string()
}

fn with(text: &str) -> [(&str, &str); 3] {
    [("a.png", ""), ("b.png", ""), ("via.json", text)]
}

#[test]
fn via_names_points_by_the_attribute_that_tells_them_apart() {
    let of = |landmark: &str, side: &str| json!({"landmark": landmark, "side": side});
    let text = via(
        json!([region(1, of("S", "left")), region(2, of("N", "left"))]),
        // VIA 1 numbers regions.
        json!({"1": region(4, of("S", "left")), "0": region(3, of("N", "right"))}),
    );
    let parsed = import(Format::Via, &Options::default(), &with(&text)).unwrap();
    assert_eq!(parsed.landmarks, ["S", "N"]);
    assert_eq!(points(&parsed, "a.png"), [Some((1.0, 5.0)), Some((2.0, 5.0))]);
    assert_eq!(points(&parsed, "b.png"), [Some((4.0, 5.0)), Some((3.0, 5.0))]);

    let unclear = via(json!([region(1, of("S", "left"))]), json!([region(1, of("S", "right"))]));
    let error = refusal(Format::Via, &Options::default(), &with(&unclear));
    assert_says(&error, &["via.json", "landmark, side", "--category ATTRIBUTE"]);
    let parsed = import(Format::Via, &category("landmark"), &with(&unclear)).unwrap();
    assert_eq!(parsed.landmarks, ["S"]);

    // A checkbox holds its options.
    let ticked = |name: &str| json!({"landmark": {"S": name == "S", "N": name == "N"}});
    let boxes = via(json!([region(1, ticked("N"))]), json!([region(2, ticked("S"))]));
    assert_eq!(import(Format::Via, &Options::default(), &with(&boxes)).unwrap().landmarks, ["N", "S"]);
    let lacks = via(json!([region(1, json!({"landmark": "S"})), region(2, json!({"landmark": ""}))]), json!([]));
    let error = refusal(Format::Via, &Options::default(), &with(&lacks));
    assert_says(&error, &["via.json", "a.png12.regions[1]", "without a value of landmark"]);
}

#[test]
fn via_numbers_points_without_names_where_all_are_there() {
    let none = || json!({});
    let text = via(json!([region(1, none()), region(2, none())]), json!([region(3, none()), region(4, none())]));
    let parsed = import(Format::Via, &Options::default(), &with(&text)).unwrap();
    assert_eq!(parsed.landmarks, ["p1", "p2"]);
    assert_eq!(points(&parsed, "b.png"), [Some((3.0, 5.0)), Some((4.0, 5.0))]);
    let uneven = via(json!([region(1, none()), region(2, none())]), json!([region(3, none())]));
    let error = refusal(Format::Via, &Options::default(), &with(&uneven));
    assert_says(&error, &["via.json", "field b.png12", "1 here and 2 at field a.png12"]);
}

#[test]
fn via_finds_images_that_were_added_by_their_address() {
    let text = json!({
        "x": {"filename": "https://example.org/films/a.png", "size": -1, "regions": [region(1, json!({"name": "S"}))]},
    });
    let text = text.to_string();
    let parsed = import(Format::Via, &Options::default(), &with(&text)).unwrap();
    assert_eq!(points(&parsed, "a.png"), [Some((1.0, 5.0))]);
}

/// A project of VIA 3 with two images; the second lacks a landmark and has a box.
const VIA_3: &str = r#"{"project":{"pid":"__VIA_PROJECT_ID__","data_format_version":"3.1.1","vid_list":["1","2"]},"config":{},
"attribute":{"1":{"aname":"landmark","anchor_id":"FILE1_Z0_XY1","type":4,"desc":"","options":{"0":"sella","1":"nasion"},"default_option_id":""},
"2":{"aname":"note","anchor_id":"FILE1_Z0_XY0","type":1,"desc":"","options":{},"default_option_id":""}},
"file":{"1":{"fid":"1","fname":"a.png","type":2,"loc":1,"src":""},"2":{"fid":2,"fname":"b.png","type":2,"loc":1,"src":""}},
"metadata":{"1_q":{"vid":"1","flg":0,"z":[],"xy":[1,12.5,20],"av":{"1":"0"}},"1_r":{"vid":"1","flg":0,"z":[],"xy":[1,30,7.25],"av":{"1":"1"}},
"2_s":{"vid":"2","flg":0,"z":[],"xy":[1,9,8],"av":{"1":"1"}},"2_t":{"vid":"2","flg":0,"z":[],"xy":[2,1,1,5,5],"av":{"1":"0"}},
"2_u":{"vid":"2","flg":0,"z":[],"xy":[],"av":{"2":"blurred"}}},
"view":{"1":{"fid_list":["1"]},"2":{"fid_list":[2]}}}"#;

#[test]
fn via_3_names_points_by_the_options_of_its_attributes() {
    let read = |text: &str| import(Format::Via, &Options::default(), &[("p.json", text), ("a.png", ""), ("b.png", "")]);
    let parsed = read(VIA_3).unwrap();
    assert_eq!(parsed.landmarks, ["sella", "nasion"]);
    assert_eq!(points(&parsed, "a.png"), [Some((12.5, 20.0)), Some((30.0, 7.25))]);
    assert_eq!(points(&parsed, "b.png"), [None, Some((9.0, 8.0))]);
    assert!(parsed.notes.iter().any(|note| note.contains("1 regions are not points")), "{:?}", parsed.notes);
    let refused = |from: &str, to: &str| read(&VIA_3.replacen(from, to, 1)).unwrap_err().to_string();
    assert_says(&refused("[1,12.5,20]", "[1,12.5]"), &["p.json", "field metadata.1_q", "not x and y"]);
    assert_says(&refused(r#"["1"]},"2""#, r#"["1",2]},"2""#), &["field view.1", "2 files"]);
    assert_says(
        &refused(r#""vid":"2","flg":0,"z":[],"xy":[1"#, r#""vid":"7","flg":0,"z":[],"xy":[1"#),
        &["metadata.2_s", "no view 7"],
    );
    assert_says(&refused(r#"{"1":"0"}},"1_r""#, r#"{"1":"0,1"}},"1_r""#), &["several values of landmark"]);
}

#[test]
fn via_tables_name_the_line_of_a_fault() {
    let head = "#filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n";
    let row = |shape: &str, attributes: &str| {
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        format!("a.png,12,\"{{}}\",1,0,{},{}\n", quoted(shape), quoted(attributes))
    };
    let good = row(r#"{"name":"point","cx":3,"cy":4}"#, r#"{"landmark":"S"}"#);
    let files = |text: &str| import(Format::Via, &Options::default(), &[("a.png", ""), ("via.csv", text)]);
    let parsed = files(&(head.to_owned() + &good + &row("{}", "{}") + &row(r#"{"name":"rect","x":1}"#, "{}"))).unwrap();
    assert_eq!(points(&parsed, "a.png"), [Some((3.0, 4.0))]);
    assert!(parsed.notes.iter().any(|note| note.contains("1 regions are not points")), "{:?}", parsed.notes);
    for (bad, part) in [
        (row("{", "{}"), "line 3: column region_shape_attributes: not JSON"),
        (
            row(r#"{"name":"point","cx":3}"#, "{}"),
            "line 3: column region_shape_attributes: a point without the number cy",
        ),
        (good.clone(), "line 3: landmark S of this image is there twice"),
    ] {
        let error = files(&(head.to_owned() + &good + &bad)).unwrap_err().to_string();
        assert_says(&error, &["via.csv", part]);
    }
}
