//! Annotation tools' files, their variants and their faults.

#![expect(clippy::needless_pass_by_value, reason = "`json!` makes values in place")]

use serde_json::{Value, json};

use super::test_source::{assert_says, category, import, points, refusal};
use super::{Format, Options, Origin};

const A: (&str, &str) = ("a.png", "");

fn cvat(body: &str) -> String {
    format!("<annotations>\n{body}\n</annotations>\n")
}

#[test]
fn cvat_finds_a_subsets_images_in_its_folder_alone() {
    let image = |subset: &str, name: &str, x: f64| {
        format!(
            "<image id=\"0\" name=\"{name}\" subset=\"{subset}\"><points label=\"S\" points=\"{x},2.5\"/></image>\n"
        )
    };
    let both = cvat(&(image("Train", "f_0.png", 1.5) + &image("Validation", "f_0.png", 5.5)));
    let folders = [("images/Train/f_0.png", ""), ("images/Validation/f_0.png", "")];
    let files = [folders[0], folders[1], ("annotations.xml", both.as_str())];
    let parsed = import(Format::Cvat, &Options::default(), &files).unwrap();
    assert_eq!(points(&parsed, "Train/f_0.png"), [Some((1.0, 2.0))]);
    assert_eq!(points(&parsed, "Validation/f_0.png"), [Some((5.0, 2.0))]);
    let splits: Vec<_> = parsed.records.iter().map(|record| record.split.unwrap().name()).collect();
    assert_eq!(splits, ["train", "val"]);

    let only = cvat(&image("Train", "f_1.png", 1.5));
    let files = [folders[0], ("images/Validation/f_1.png", ""), ("annotations.xml", only.as_str())];
    let error = refusal(Format::Cvat, &Options::default(), &files);
    assert_says(&error, &["annotations.xml: line 2: attribute name", "no image `Train/f_1.png`"]);
}

#[test]
fn cvat_refuses_points_whose_names_are_unclear() {
    let image = |name: &str, body: &str| format!("<image id=\"0\" name=\"{name}\">{body}</image>\n");
    let refused = |body: &str, options: &Options| {
        let text = cvat(body);
        refusal(Format::Cvat, options, &[A, ("b.png", ""), ("annotations.xml", &text)])
    };
    let uneven = image("a.png", "<points label=\"lip\" points=\"1,1;2,2\"/>")
        + &image("b.png", "<points label=\"lip\" points=\"1,1\"/>");
    assert_says(&refused(&uneven, &Options::default()), &["line 3", "1 points of label lip, but 2", "line 2"]);
    let twice = image("a.png", "<points label=\"S\" points=\"1,1\"/><points label=\"S\" points=\"2,2\"/>");
    assert_says(&refused(&twice, &Options::default()), &["line 2", "landmark S", "twice"]);
    let again = image("a.png", "<points label=\"S\" points=\"1,1\"/>") + &image("a.png", "");
    assert_says(&refused(&again, &Options::default()), &["line 3", "annotated already", "line 2"]);

    let hand = |label: &str, x: f64| {
        format!("<skeleton label=\"{label}\"><points label=\"tip\" outside=\"0\" points=\"{x},1\"/></skeleton>")
    };
    let hands = image("a.png", &(hand("left", 1.0) + &hand("right", 7.0)));
    assert_says(&refused(&hands, &Options::default()), &["landmark tip", "twice", "--category"]);
    assert_says(&refused(&hands, &category("foot")), &["no skeleton is called foot"]);
    let text = cvat(&hands);
    let parsed = import(Format::Cvat, &category("right"), &[A, ("annotations.xml", &text)]).unwrap();
    assert_eq!(points(&parsed, "a.png"), [Some((6.5, 0.5))]);
}

#[test]
fn cvat_tracks_need_their_frames() {
    let track = "<track label=\"S\">\n<points frame=\"7\" outside=\"0\" points=\"1,1\"/>\n</track>";
    let text = cvat(track);
    let of = |image| [("annotations.xml", text.as_str()), (image, "")];
    let parsed = import(Format::Cvat, &Options::default(), &of("frame_000007.png")).unwrap();
    assert_eq!(points(&parsed, "frame_000007.png"), [Some((0.5, 0.5))]);
    let parsed = import(Format::Cvat, &Options::default(), &of("mouse-7.jpg")).unwrap();
    assert_eq!(points(&parsed, "mouse-7.jpg"), [Some((0.5, 0.5))]);
    let error = refusal(Format::Cvat, &Options::default(), &of("frame_000008.png"));
    assert_says(&error, &["annotations.xml: line 3: attribute frame", "no image of frame 7", "frame_000007.png"]);
}

#[test]
fn labelme_refuses_a_landmark_that_is_drawn_as_another_shape() {
    let shape = |label: &str, kind: &str, points: Value| json!({"label": label, "shape_type": kind, "points": points});
    let file =
        |image: &str, shapes: Value| json!({"imagePath": image, "imageData": null, "shapes": shapes}).to_string();
    let first =
        file("a.png", json!([shape("upper lip", "point", json!([[1.5, 2.5]])), shape("N", "point", json!([[3, 4]]))]));
    let import_with = |second: &str| {
        let files = [A, ("b.png", ""), ("a.json", first.as_str()), ("b.json", second)];
        import(Format::Labelme, &Options::default(), &files)
    };
    let circle = file("b.png", json!([shape("upper lip", "circle", json!([[1, 1], [2, 2]]))]));
    let error = import_with(&circle).unwrap_err().to_string();
    assert_says(&error, &["b.json: field shapes[0].shape_type", "upper lip is a circle"]);
    // A circle beside the point is something else, and so is one that is called otherwise.
    let beside = file(
        "b.png",
        json!([
            shape("N", "circle", json!([[1, 1], [2, 2]])),
            shape("N", "point", json!([[5.5, 6.5]])),
            shape("jaw", "polygon", json!([[1, 1], [2, 2], [3, 1]])),
        ]),
    );
    let parsed = import_with(&beside).unwrap();
    assert_eq!(parsed.landmarks, ["upper lip", "N"]);
    assert_eq!(points(&parsed, "b.png"), [None, Some((5.0, 6.0))]);
    let broken = file("b.png", json!([shape("N", "point", json!([[1, 1], [2, 2]]))]));
    assert_says(&import_with(&broken).unwrap_err().to_string(), &["b.json: field shapes[0]: points", "2 positions"]);
    let persons = file(
        "b.png",
        json!([
            {"label": "N", "shape_type": "point", "points": [[1, 1]], "group_id": 1},
            {"label": "N", "shape_type": "point", "points": [[2, 2]], "group_id": 2},
        ]),
    );
    let error = import_with(&persons).unwrap_err().to_string();
    assert_says(&error, &["b.json: field shapes[1]", "landmark N is there twice", "group_id"]);
}

#[test]
fn labelme_files_without_a_path_hold_their_image() {
    let text = json!({"shapes": [{"label": "S", "points": [[1, 1]]}], "imageData": "iVBORw0KGgo="}).to_string();
    let parsed = import(Format::Labelme, &Options::default(), &[("a.json", &text)]).unwrap();
    assert_eq!(points(&parsed, "a.png"), [Some((0.5, 0.5))]);
    let error = refusal(
        Format::Labelme,
        &Options::default(),
        &[("a.json", r#"{"shapes": [{"label": "S", "points": [[NaN, 1]]}], "imagePath": "a.png"}"#), A],
    );
    assert_says(&error, &["a.json: field shapes[0].points[0][0]", "NaN"]);
}

fn key_point(label: &str, x: f64, y: f64) -> Value {
    json!({"type": "keypointlabels", "original_width": 200, "original_height": 100, "image_rotation": 0, "id": label,
           "value": {"x": x, "y": y, "width": 1, "keypointlabels": [label]}})
}

fn task(image: &str, annotations: Value) -> Value {
    json!({"id": 1, "data": {"image": image}, "annotations": annotations, "predictions": []})
}

fn label_studio(task: Value, files: &[(&str, &str)]) -> sweep_core::error::Result<super::ParsedDataset> {
    let text = json!([task]).to_string();
    let mut all = vec![("export.json", text.as_str())];
    all.extend(files);
    import(Format::LabelStudio, &Options::default(), &all)
}

#[test]
fn label_studio_takes_the_ground_truth_else_the_last_annotation() {
    let annotations = |truth: bool| {
        json!([
            {"result": [key_point("S", 1.0, 1.0)], "was_cancelled": false},
            {"result": [key_point("S", 10.0, 20.0)], "was_cancelled": false, "ground_truth": truth},
            {"result": [key_point("S", 50.0, 50.0)], "was_cancelled": false},
            {"result": [key_point("S", 2.0, 2.0)], "was_cancelled": true},
        ])
    };
    for (truth, wanted) in [(true, (19.5, 19.5)), (false, (99.5, 49.5))] {
        let parsed = label_studio(task("a.png", annotations(truth)), &[A]).unwrap();
        assert_eq!(points(&parsed, "a.png"), [Some(wanted)]);
        assert!(parsed.notes.iter().any(|note| note.contains("several annotations")));
    }
}

#[test]
fn label_studio_finds_images_by_every_kind_of_address() {
    let annotations = json!([{"result": [key_point("S", 10.0, 20.0)]}]);
    for address in [
        "/data/upload/3/0a1b2c3d-a.png",
        "/data/local-files/?d=films%2Fa.png",
        "s3://bucket/films/a.png",
        "https://example.org/films/a.png?token=1#2",
        "a.png",
    ] {
        let parsed = label_studio(task(address, annotations.clone()), &[("films/a.png", "")]).unwrap();
        assert_eq!(points(&parsed, "a.png"), [Some((19.5, 19.5))], "{address}");
    }
    let error = label_studio(task("/data/upload/3/0a1b2c3d-b.png", annotations), &[A]).unwrap_err().to_string();
    assert_says(&error, &["export.json: [0]", "no image `b.png`"]);
}

#[test]
fn label_studio_refuses_turned_pictures_and_labels_that_are_unclear() {
    let refused =
        |result: Value| label_studio(task("a.png", json!([{"result": [result]}])), &[A]).unwrap_err().to_string();
    let mut turned = key_point("S", 1.0, 1.0);
    turned["image_rotation"] = json!(90);
    assert_says(&refused(turned), &["export.json: [0]", "annotations[0].result[0]: image_rotation", "turned by 90"]);
    let mut two = key_point("S", 1.0, 1.0);
    two["value"]["keypointlabels"] = json!(["S", "N"]);
    assert_says(&refused(two), &["value.keypointlabels", "2 labels"]);
    let mut sizeless = key_point("S", 1.0, 1.0);
    sizeless["original_width"] = json!(null);
    assert_says(&refused(sizeless), &["original_width", "size of the picture"]);
    // A key point and its label may be two results of one id.
    let mut plain = key_point("S", 10.0, 20.0);
    plain["type"] = json!("keypoint");
    plain["value"].as_object_mut().unwrap().remove("keypointlabels");
    let label = json!({"type": "labels", "id": "S", "value": {"labels": ["Sella"]}});
    let parsed = label_studio(task("a.png", json!([{"result": [plain, label]}])), &[A]).unwrap();
    assert_eq!(
        (parsed.landmarks.as_slice(), points(&parsed, "a.png")),
        (&["Sella".to_owned()][..], vec![Some((19.5, 19.5))])
    );
}

fn datumaro(annotations: Value) -> String {
    json!({
        "dm_format_version": "1.0",
        "categories": {
            "label": {"labels": [{"name": "ceph"}, {"name": "N"}]},
            "points": {"items": [{"label_id": 0, "labels": ["S", "Me"], "joints": []}]},
        },
        "items": [{"id": "a", "annotations": annotations, "image": {"path": "a.png", "size": [10, 20]}, "media": {"path": ""}}],
    })
    .to_string()
}

#[test]
fn datumaro_names_points_by_category_or_label() {
    let points_of = |label: u64, points: Value, visibility: Value| json!({"type": "points", "label_id": label, "points": points, "visibility": visibility});
    let text = datumaro(json!([
        points_of(0, json!([1.5, 2.5, null, null]), json!([2, 0])),
        points_of(1, json!([3.5, 4.5]), json!([1])),
    ]));
    let files = [("annotations/default.json", text.as_str()), ("images/default/a.png", "")];
    let parsed = import(Format::Datumaro, &Options::default(), &files).unwrap();
    assert_eq!(parsed.landmarks, ["S", "N"]);
    assert_eq!(points(&parsed, "a.png"), [Some((1.0, 2.0)), Some((3.0, 4.0))]);
    let parsed = import(Format::Datumaro, &category("N"), &files).unwrap();
    assert_eq!((parsed.landmarks.as_slice(), parsed.notes.is_empty()), (&["N".to_owned()][..], false));
    for (annotation, parts) in [
        (
            points_of(0, json!([1, 2, 3, 4, 5, 6]), json!([2, 2, 2])),
            ["annotations[0]", "3 points, but the category has 2"],
        ),
        (points_of(1, json!([1, 2, 3, 4]), json!([2, 2])), ["annotations[0]", "2 points of label N"]),
        (points_of(1, json!([1, 2, 3]), json!([2])), ["annotations[0]", "3 numbers"]),
        (points_of(9, json!([1, 2]), json!([2])), ["label_id", "not in categories.label"]),
        (points_of(1, json!([null, 2]), json!([2])), ["annotations[0]", "N: x or y is NaN or null"]),
    ] {
        let text = datumaro(json!([annotation]));
        let files = [("annotations/default.json", text.as_str()), ("images/default/a.png", "")];
        assert_says(
            &refusal(Format::Datumaro, &Options::default(), &files),
            &["default.json: field items[0]", parts[0], parts[1]],
        );
    }
}

#[test]
fn estimators_files_belong_to_the_image_of_their_name() {
    let person = |count: usize, x: f64| {
        let numbers: Vec<f64> = (0..count).flat_map(|i| [x + i as f64, 3.0, if i == 1 { 0.0 } else { 0.5 }]).collect();
        json!({"pose_keypoints_2d": numbers})
    };
    let open_pose = |people: Value| {
        let text = json!({"version": 1.3, "people": people}).to_string();
        import(Format::OpenPose, &Options::default(), &[("films/a.png", ""), ("json/a_keypoints.json", &text)])
    };
    let parsed = open_pose(json!([person(25, 2.0)])).unwrap();
    assert_eq!((parsed.landmarks.len(), parsed.landmarks[23].as_str()), (24, "RHeel"));
    assert_eq!(points(&parsed, "a.png")[1], Some((4.0, 3.0)), "RShoulder, since the neck was not found");
    for (people, part) in [
        (json!([person(25, 2.0), person(25, 9.0)]), "2 people"),
        (json!([person(7, 2.0)]), "7 points are no body"),
        (json!([{"pose_keypoints_2d": [1, 2]}]), "2 numbers are not x, y and confidence"),
    ] {
        assert_says(&open_pose(people).unwrap_err().to_string(), &["a_keypoints.json: field people", part]);
    }
    let shares: Vec<f64> = (0..25).flat_map(|_| [0.5, 0.5, 0.9]).collect();
    assert_says(&open_pose(json!([{"pose_keypoints_2d": shares}])).unwrap_err().to_string(), &["--keypoint_scale 0"]);

    let mm_pose = |content: Value| {
        import(Format::MmPose, &Options::default(), &[A, ("predictions/a.json", &content.to_string())])
    };
    let instance = |count: usize| {
        let keypoints: Vec<_> = (0..count).map(|i| [i as f64, 2.0]).collect();
        json!({"keypoints": keypoints, "keypoint_scores": vec![0.5; count]})
    };
    let parsed = mm_pose(json!([instance(17)])).unwrap();
    assert_eq!((parsed.landmarks[0].as_str(), points(&parsed, "a.png")[16]), ("nose", Some((16.0, 2.0))));
    assert_says(&mm_pose(json!([instance(3), instance(3)])).unwrap_err().to_string(), &["a.json", "2 instances"]);
    let video = json!({"meta_info": {}, "instance_info": [{"frame_id": 1, "instances": []}]});
    assert_says(&mm_pose(video).unwrap_err().to_string(), &["a.json", "frames of a video"]);
}

#[test]
fn the_user_says_where_a_tool_counts_from() {
    let text = json!({"imagePath": "a.png", "shapes": [{"label": "S", "points": [[3, 4]]}]}).to_string();
    for (origin, wanted) in [(None, (2.5, 3.5)), (Some(Origin::Centre), (3.0, 4.0)), (Some(Origin::One), (2.0, 3.0))] {
        let options = Options { origin, ..Options::default() };
        let parsed = import(Format::Labelme, &options, &[A, ("a.json", &text)]).unwrap();
        assert_eq!(points(&parsed, "a.png"), [Some(wanted)], "{origin:?}");
    }
}
