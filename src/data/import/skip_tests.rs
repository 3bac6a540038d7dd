//! Bad images of every format of annotation tools: refused, or left out and listed.

use serde_json::json;

use super::test_source::{assert_says, points, source};
use super::{Format, Options, read};

/// A format, the files of a source by name, and the words about its bad image.
type Case = (Format, Vec<(String, String)>, &'static str);

/// Sources of three images, of which the last is bad.
fn sources() -> Vec<Case> {
    let file = |name: &str, text: &dyn ToString| (name.to_owned(), text.to_string());
    let labelme = |number: usize, x: serde_json::Value| {
        let shape = json!({"label": "S", "shape_type": "point", "points": [[x, 2.5]]});
        file(&format!("{number}.json"), &json!({"shapes": [shape], "imagePath": format!("{number}.png")}))
    };
    let coco = |keypoints: &[serde_json::Value; 3]| {
        let image = |id: usize| json!({"id": id, "file_name": format!("{id}.png")});
        let mark = |id: usize| json!({"image_id": id, "category_id": 1, "keypoints": keypoints[id]});
        file(
            "a.json",
            &json!({"images": [image(0), image(1), image(2)], "annotations": [mark(0), mark(1), mark(2)],
                               "categories": [{"id": 1, "name": "c", "keypoints": ["S"]}]}),
        )
    };
    let cvat = |positions: [&str; 3]| {
        let image = |number: usize| {
            format!("<image name=\"{number}.png\"><points label=\"S\" points=\"{}\"/></image>\n", positions[number])
        };
        file("a.xml", &format!("<annotations>\n{}{}{}</annotations>", image(0), image(1), image(2)))
    };
    let task = |number: usize, rotation: f64| {
        json!({"data": {"image": format!("{number}.png")}, "annotations": [{"result": [{"type": "keypointlabels",
            "original_width": 100, "original_height": 100, "image_rotation": rotation,
            "value": {"x": 1.5, "y": 2.5, "keypointlabels": ["S"]}}]}]})
    };
    let item = |number: usize, points: serde_json::Value| {
        json!({"id": number.to_string(), "image": {"path": format!("{number}.png")},
               "annotations": [{"type": "points", "label_id": 0, "points": points}]})
    };
    let categories = json!({"label": {"labels": [{"name": "S"}]}});
    let yolo = |number: usize, line: &str| file(&format!("{number}.txt"), &line);
    let via = |name: &str, y: serde_json::Value| {
        json!({"filename": name, "size": 1, "regions": [{"shape_attributes": {"name": "point", "cx": 1, "cy": y},
               "region_attributes": {"landmark": "S"}}]})
    };
    let person = |number: usize, numbers: Vec<f64>| {
        file(&format!("{number}_keypoints.json"), &json!({"people": [{"pose_keypoints_2d": numbers}]}))
    };
    let body = vec![2.0; 75];
    let instance = |number: usize, points: serde_json::Value| {
        file(
            &format!("{number}.json"),
            &json!({"meta_info": {"keypoint_id2name": {"0": "S"}}, "instance_info": [{"keypoints": points}]}),
        )
    };
    vec![
        (Format::Labelme, vec![labelme(0, json!(1.5)), labelme(1, json!(1.5)), labelme(2, json!(null))], "2.json"),
        (Format::Coco, vec![coco(&[json!([1, 2, 2]), json!([1, 2, 2]), json!([1, 2])])], "field annotations[2]"),
        (Format::Cvat, vec![cvat(["1.5,2.5", "1.5,2.5", "1.5"])], "line 4"),
        (Format::LabelStudio, vec![file("a.json", &json!([task(0, 0.0), task(1, 0.0), task(2, 90.0)]))], "a.json: [2]"),
        (
            Format::Datumaro,
            vec![file(
                "a.json",
                &json!({"categories": categories, "items": [item(0, json!([1.5, 2.5])), item(1, json!([1.5, 2.5])), item(2, json!([1.5]))]}),
            )],
            "field items[2]",
        ),
        (
            Format::YoloPose,
            vec![
                file("data.yaml", &"train: .\nkpt_shape: [1, 3]\nnames: [ceph]\n"),
                yolo(0, "0 .5 .5 1 1 0.2 0.2 2"),
                yolo(1, "0 .5 .5 1 1 0.2 0.2 2"),
                yolo(2, "0 .5 .5 1 1 0.2"),
            ],
            "2.txt: line 1",
        ),
        (
            Format::Via,
            vec![file(
                "a.json",
                &json!({"x": via("0.png", json!(2)), "y": via("1.png", json!(2)), "z": via("7.png", json!(2))}),
            )],
            "7.png",
        ),
        (
            Format::OpenPose,
            vec![person(0, body.clone()), person(1, body.clone()), person(2, vec![2.0; 7])],
            "2_keypoints.json",
        ),
        (
            Format::MmPose,
            vec![instance(0, json!([[1, 2]])), instance(1, json!([[1, 2]])), instance(2, json!([[1]]))],
            "2.json",
        ),
    ]
}

#[test]
fn bad_images_of_every_tool_are_refused_or_left_out_and_listed() {
    for (format, annotations, place) in sources() {
        let images = (0..3).map(|number| (format!("{number}.png"), String::new()));
        let files: Vec<(String, String)> = annotations.into_iter().chain(images).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let root = source(&files);
        let error = read(root.path(), Some(format), &Options::default()).unwrap_err().to_string();
        assert_says(&error, &[place]);
        let options = Options { skip_bad: true, ..Options::default() };
        let parsed = read(root.path(), Some(format), &options).unwrap_or_else(|e| panic!("{}: {e}", format.name()));
        let names: Vec<&str> = parsed.records.iter().map(|record| record.image.as_str()).collect();
        assert_eq!(names, ["0.png", "1.png"], "{}", format.name());
        assert!(points(&parsed, "0.png").iter().any(Option::is_some), "{}", format.name());
        let note = parsed.notes.iter().find(|note| note.contains("left out (--skip-bad)"));
        let note = note.unwrap_or_else(|| panic!("{}: {:?}", format.name(), parsed.notes));
        assert_says(note, &["1 rows or images", place]);
    }
}

#[test]
fn an_image_that_is_there_twice_is_refused_by_its_line() {
    let table = "image,S_x,S_y\n0.png,1,2\n1.png,3,4\n0.png,5,6\n";
    let root = source(&[("marks.csv", table), ("0.png", ""), ("1.png", "")]);
    let error = read(root.path(), None, &Options::default()).unwrap_err().to_string();
    assert_says(&error, &["marks.csv: line 4", "annotated already in", "marks.csv: line 2", "column `observer`"]);
    let kept = read(root.path(), None, &Options { skip_bad: true, ..Options::default() }).unwrap();
    assert_eq!((kept.records.len(), points(&kept, "0.png")), (2, vec![Some((1.0, 2.0))]));
}

#[test]
fn names_of_addresses_are_found_without_their_escapes() {
    let table = "image,S_x,S_y\nfilm%20%c3%a9.png,1,2\n100%25.png,3,4\n50%.png,5,6\n";
    let root =
        source(&[("marks.csv", table), ("film é.png", ""), ("100%25.png", ""), ("100%.png", ""), ("50%.png", "")]);
    let parsed = read(root.path(), None, &Options::default()).unwrap();
    let names: Vec<&str> = parsed.records.iter().map(|record| record.image.as_str()).collect();
    assert_eq!(names, ["film é.png", "100%25.png", "50%.png"]);
}
