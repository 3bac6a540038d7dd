//! COCO files as several programs write them.

#![expect(clippy::needless_pass_by_value, reason = "`json!` makes values in place")]

use serde_json::{Value, json};

use super::test_source::{assert_says, category, import, points, refusal};
use super::{Format, Options, Origin, ParsedDataset};

const IMAGES: [(&str, &str); 2] = [("a.png", ""), ("b.png", "")];

fn file(categories: Value, annotations: Value) -> Value {
    json!({
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
        "annotations": annotations,
        "categories": categories,
    })
}

fn mark(image: u64, category: u64, keypoints: &Value) -> Value {
    json!({"image_id": image, "category_id": category, "keypoints": keypoints})
}

fn with(text: &str) -> [(&str, &str); 3] {
    [IMAGES[0], IMAGES[1], ("marks.json", text)]
}

fn imported(file: &Value, options: &Options) -> ParsedDataset {
    import(Format::Coco, options, &with(&file.to_string())).unwrap()
}

fn refused(text: &str, options: &Options) -> String {
    refusal(Format::Coco, options, &with(text))
}

#[test]
fn of_several_categories_the_one_with_keypoints_is_read() {
    let categories = json!([
        {"id": 1, "name": "ruler", "keypoints": [], "skeleton": []},
        {"id": 2, "name": "ceph", "keypoints": ["S", "N"]},
        {"id": 3, "name": "head"},
    ]);
    let annotations = json!([
        mark(1, 2, &json!([1, 2, 2, 3, 4, 1])),
        {"image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2]},
        mark(1, 1, &json!([])),
        mark(2, 2, &json!([5, 6, 2, 0, 0, 0])),
    ]);
    let parsed = imported(&file(categories, annotations), &Options::default());
    assert_eq!(parsed.landmarks, ["S", "N"]);
    assert_eq!(points(&parsed, "a.png"), [Some((1.0, 2.0)), Some((3.0, 4.0))]);
    assert_eq!(points(&parsed, "b.png"), [Some((5.0, 6.0)), None]);
}

#[test]
fn of_two_categories_with_keypoints_the_user_names_one() {
    let categories = json!([
        {"id": 1, "name": "left hand", "keypoints": ["tip", "root"]},
        {"id": 2, "name": "right hand", "keypoints": ["tip", "root"]},
    ]);
    let annotations = json!([mark(1, 1, &json!([1, 1, 2, 2, 2, 2])), mark(1, 2, &json!([8, 8, 2, 9, 9, 2]))]);
    let both = file(categories, annotations);
    let error = refused(&both.to_string(), &Options::default());
    assert_says(&error, &["marks.json", "field categories", "left hand, right hand", "--category NAME"]);
    let parsed = imported(&both, &category("right hand"));
    assert_eq!(points(&parsed, "a.png"), [Some((8.0, 8.0)), Some((9.0, 9.0))]);
    assert_says(&refused(&both.to_string(), &category("foot")), &["foot", "left hand, right hand"]);
}

#[test]
fn a_category_per_landmark_is_one_landmark_each() {
    let each = |name: &str, id: u64| json!({"id": id, "name": name, "keypoints": [name]});
    let categories = json!([each("S", 1), each("N", 2), each("Me", 3)]);
    let annotations = json!([
        mark(1, 2, &json!([3.5, 4, 2])),
        mark(1, 1, &json!([1, 2, 2])),
        mark(2, 3, &json!([5, 6, 2])),
        mark(2, 1, &json!([7, 8, 0])),
    ]);
    let parsed = imported(&file(categories.clone(), annotations), &Options::default());
    assert_eq!(parsed.landmarks, ["S", "N", "Me"]);
    assert_eq!(points(&parsed, "a.png"), [Some((1.0, 2.0)), Some((3.5, 4.0)), None]);
    assert_eq!(points(&parsed, "b.png"), [None, None, Some((5.0, 6.0))]);

    let twice = json!([mark(1, 2, &json!([3, 4, 2])), mark(1, 2, &json!([5, 6, 2]))]);
    let error = refused(&file(categories, twice).to_string(), &Options::default());
    assert_says(&error, &["annotations[1].keypoints", "landmark N is there twice in image 1"]);
}

#[test]
fn nan_is_missing_where_the_visibility_says_so_and_refused_elsewhere() {
    let text = r#"{"images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
        "annotations": [
            {"image_id": 1, "category_id": 1, "area": NaN, "keypoints": [1, 2, 2, NaN, NaN, 0, NaN, NaN, NaN]},
            {"image_id": 2, "category_id": 1, "keypoints": [3, 4, 2, 5, 6, 1, 7, 8, 2]}],
        "categories": [{"id": 1, "name": "c", "keypoints": ["S", "N", "Me"]}]}"#;
    let parsed = import(Format::Coco, &Options::default(), &with(text)).unwrap();
    assert_eq!(points(&parsed, "a.png"), [Some((1.0, 2.0)), None, None]);
    assert_eq!(points(&parsed, "b.png"), [Some((3.0, 4.0)), Some((5.0, 6.0)), Some((7.0, 8.0))]);

    let wrong = text.replace("[3, 4, 2, 5, 6, 1", "[3, 4, 2, Infinity, 6, 1");
    let error = refused(&wrong, &Options::default());
    assert_says(&error, &["marks.json: field annotations[1].keypoints", "N: v = 1", "NaN"]);
    let error = refused(&text.replace("5, 6, 1,", "5, 6, NaN,"), &Options::default());
    assert_says(&error, &["annotations[1].keypoints", "N: v is NaN"]);
    // Where a number must be, the error says what stands in its place.
    let error = refused(&text.replace("\"file_name\": \"a.png\"", "\"file_name\": NaN"), &Options::default());
    assert_says(&error, &["marks.json: field images[0].file_name", "NaN", "line 1"]);
}

#[test]
fn programs_that_count_from_the_corner_are_known_and_the_user_has_the_last_word() {
    let categories = json!([{"id": 1, "name": "c", "keypoints": ["S"]}]);
    let annotations = json!([mark(1, 1, &json!([10.5, 20, 2])), mark(2, 1, &json!([1, 1, 2]))]);
    let own = file(categories, annotations);
    let mut of_datumaro = own.clone();
    of_datumaro["licenses"] = json!([{"name": "", "id": 0, "url": ""}]);
    for image in of_datumaro["images"].as_array_mut().unwrap() {
        image["license"] = json!(0);
        image["date_captured"] = json!(0);
    }
    let mut of_label_studio = own.clone();
    of_label_studio["info"] = json!({"contributor": "Label Studio"});
    let origin = |origin| Options { origin: Some(origin), ..Options::default() };
    for (file, options, wanted) in [
        (&own, Options::default(), (10.5, 20.0)),
        (&own, origin(Origin::Corner), (10.0, 19.5)),
        (&own, origin(Origin::One), (9.5, 19.0)),
        (&of_datumaro, Options::default(), (10.0, 19.5)),
        (&of_datumaro, origin(Origin::Centre), (10.5, 20.0)),
        (&of_label_studio, Options::default(), (10.0, 19.5)),
    ] {
        let parsed = imported(file, &options);
        assert_eq!(points(&parsed, "a.png"), [Some(wanted)], "{options:?}");
    }
    let notes = |file: &Value| imported(file, &Options::default()).notes.join("\n");
    assert_says(&notes(&own), &["marks.json", "--origin corner"]);
    assert_says(&notes(&of_datumaro), &["CVAT or Datumaro", "--origin centre"]);
}

#[test]
fn a_second_object_is_refused_unless_it_has_no_keypoints() {
    let categories = json!([{"id": 1, "name": "person", "keypoints": ["S"]}]);
    let second = |v: u64| {
        let annotations = json!([mark(1, 1, &json!([1, 1, 2])), mark(1, 1, &json!([4, 4, v]))]);
        file(categories.clone(), annotations)
    };
    assert_eq!(points(&imported(&second(0), &Options::default()), "a.png"), [Some((1.0, 1.0))]);
    let error = refused(&second(2).to_string(), &Options::default());
    assert_says(&error, &["annotations[1].keypoints", "a second object with keypoints in image 1"]);
}

#[test]
fn names_that_are_not_there_are_cocos_or_numbers() {
    let numbers = |count: usize| json!((0..count).flat_map(|i| [i as f64, 2.0, 2.0]).collect::<Vec<_>>());
    let nameless = |name: &str, count| file(json!([{"id": 1, "name": name}]), json!([mark(1, 1, &numbers(count))]));
    assert_eq!(imported(&nameless("person", 17), &Options::default()).landmarks[16], "right_ankle");
    let parsed = imported(&nameless("mouse", 3), &Options::default());
    assert_eq!(parsed.landmarks, ["p1", "p2", "p3"]);
    assert!(parsed.notes.iter().any(|note| note.contains("have no names")), "{:?}", parsed.notes);
    let mut several = nameless("mouse", 3);
    several["annotations"].as_array_mut().unwrap().push(mark(2, 1, &numbers(4)));
    let error = refused(&several.to_string(), &Options::default());
    assert_says(&error, &["categories[0].keypoints", "3 or 4 keypoints"]);

    // COCO-WholeBody keeps feet, face and hands beside the body's 17 points.
    let mut whole = nameless("person", 17);
    for (key, count) in [("foot_kpts", 6), ("face_kpts", 68), ("lefthand_kpts", 21), ("righthand_kpts", 21)] {
        whole["annotations"][0][key] = numbers(count);
    }
    let parsed = imported(&whole, &Options::default());
    assert_eq!(parsed.landmarks.len(), 133);
    let at = |name: &str| {
        let index = parsed.landmarks.iter().position(|own| own == name).unwrap();
        points(&parsed, "a.png")[index]
    };
    assert_eq!((at("left_heel"), at("face-67")), (Some((2.0, 2.0)), Some((67.0, 2.0))));
    assert_eq!(at("right_pinky_finger4"), Some((20.0, 2.0)));
}

#[test]
fn boxes_alone_are_no_landmarks() {
    let boxes = json!([{"image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2]}]);
    let error = refused(&file(json!([{"id": 1, "name": "S"}]), boxes).to_string(), &Options::default());
    assert_says(&error, &["no category has keypoints", "COCO Keypoints"]);
}

#[test]
fn a_subsets_image_is_not_taken_from_another_subset() {
    let text = file(
        json!([{"id": 1, "name": "c", "keypoints": ["S"]}]),
        json!([mark(1, 1, &json!([1, 1, 2])), mark(2, 1, &json!([2, 2, 2]))]),
    )
    .to_string();
    let files = [
        ("annotations/person_keypoints_train.json", text.as_str()),
        ("images/train/a.png", ""),
        ("images/val/a.png", ""),
        ("images/val/b.png", ""),
    ];
    let error = refusal(Format::Coco, &Options::default(), &files);
    assert_says(&error, &["images[1].file_name", "no image `b.png` in train", "images/val/b.png"]);
}
