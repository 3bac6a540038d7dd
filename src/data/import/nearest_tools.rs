//! Which annotation tool's file a source is nearest to, and why it cannot be read, where no importer recognises it.

use std::path::Path;

use super::json_outline::Outline;
use super::tree::Tree;

/// JSON objects: a format, the keys that tell it, and all that it needs.
const OBJECTS: [(&str, &[&str], &[&str]); 7] = [
    ("coco", &["annotations"], &["images", "annotations", "categories"]),
    ("coco", &["categories"], &["images", "annotations", "categories"]),
    ("labelme", &["shapes"], &["shapes", "imagePath"]),
    ("datumaro", &["dm_format_version"], &["categories", "items"]),
    ("mmpose", &["meta_info"], &["meta_info", "instance_info"]),
    ("labelme", &["imagePath"], &["shapes", "imagePath"]),
    ("labelme", &["imageData"], &["shapes", "imagePath"]),
];

/// A sentence about the first telling file; none where there is no such file.
pub(super) fn describe(tree: &Tree) -> Option<String> {
    let of_json = tree.some("json").into_iter().find_map(|file| json(tree, file));
    of_json.or_else(|| yolo(tree)).or_else(|| via_table(tree))
}

fn json(tree: &Tree, file: &Path) -> Option<String> {
    let name = file.display();
    let outline = Outline::of(tree, file);
    match &outline {
        Outline::Object(_) if outline.is_object_of(&["project", "config", "metadata", "view"]) => {
            Some(format!("it is nearest to `via`: {name} is a project of VIA 3, but lacks the key file or attribute"))
        }
        Outline::Object(keys) => {
            let (format, _, needs) = OBJECTS.iter().find(|(_, telling, _)| outline.is_object_of(telling))?;
            let lacks: Vec<&str> = needs.iter().filter(|need| !keys.iter().any(|key| key == **need)).copied().collect();
            let lacks = lacks.join(", ");
            (!lacks.is_empty()).then(|| format!("it is nearest to `{format}`, but {name} lacks the key {lacks}"))
        }
        Outline::List(_) if outline.is_list_of(&["image_id", "category_id", "keypoints"]) => Some(format!(
            "{name} holds COCO's results, which do not name the images: `coco` needs images and categories too"
        )),
        Outline::List(_) if outline.is_list_of(&["data"]) => {
            Some(format!("it is nearest to `label-studio`, but the tasks of {name} have no annotations"))
        }
        Outline::List(_) | Outline::Other => match tree.json::<serde::de::IgnoredAny>(file) {
            Err(error) => Some(format!("{name} is not readable JSON: {}", error.message)),
            Ok(_) => None,
        },
    }
}

/// YOLO's files of boxes, or of poses without `data.yaml`.
fn yolo(tree: &Tree) -> Option<String> {
    let yaml = tree.some("yaml").into_iter().chain(tree.some("yml"));
    let has_classes = |file: &&Path| {
        tree.text(file).is_ok_and(|text| {
            ["names:", "train:"].iter().all(|key| text.lines().any(|line| line.trim_start().starts_with(key)))
        })
    };
    if let Some(file) = yaml.into_iter().find(has_classes) {
        return Some(format!(
            "it is nearest to `yolo-pose`, but {} has no kpt_shape: boxes without keypoints are no landmarks",
            file.display()
        ));
    }
    let is_label = |file: &&Path| {
        let Ok(text) = tree.head(file) else { return false };
        let line = text.lines().next().unwrap_or_default();
        let numbers: Option<Vec<f64>> = line.split_whitespace().map(|word| word.parse().ok()).collect();
        numbers.is_some_and(|numbers| {
            numbers.len() > 5
                && numbers[0].fract() == 0.0
                && numbers[1..5].iter().all(|share| (0.0..=1.0).contains(share))
        })
    };
    let label = tree.some("txt").into_iter().find(is_label)?;
    Some(format!(
        "{} looks like a label of `yolo-pose`, but there is no data.yaml with kpt_shape beside the folders",
        label.display()
    ))
}

fn via_table(tree: &Tree) -> Option<String> {
    let is_third = |file: &&Path| tree.head(file).is_ok_and(|text| text.contains("temporal_segment_start"));
    let file = tree.some("csv").into_iter().find(is_third)?;
    Some(format!("{} is a table of VIA 3, whose project (.json) is read instead", file.display()))
}

#[cfg(test)]
mod tests {
    use super::super::test_source::{assert_says, source};
    use super::super::{Format, Options, read};

    #[test]
    fn the_nearest_format_and_what_it_lacks_are_named() {
        for (file, text, parts) in [
            ("a.json", r#"{"images": [], "annotations": []}"#, ["`coco`", "a.json lacks the key categories"]),
            ("a.json", r#"{"shapes": [], "version": "5"}"#, ["`labelme`", "a.json lacks the key imagePath"]),
            ("a.json", r#"[{"data": {"image": "a.png"}}]"#, ["`label-studio`", "have no annotations"]),
            ("a.json", r#"[{"image_id": 1, "category_id": 1, "keypoints": []}]"#, ["COCO's results", "a.json"]),
            ("a.json", r#"{"project": {}, "config": {}, "metadata": {}, "view": {}}"#, ["VIA 3", "a.json"]),
            ("a.json", "{\"images\": [}", ["a.json is not readable JSON", "line 1"]),
            ("data.yaml", "train: images\nval: images\nnames: [a]\n", ["`yolo-pose`", "data.yaml has no kpt_shape"]),
            ("labels/a.txt", "0 0.5 0.5 1 1 0.2 0.2 2\n", ["labels/a.txt", "no data.yaml with kpt_shape"]),
            ("a.csv", "# CSV_HEADER = metadata_id,file_list,temporal_segment_start\n", ["VIA 3", "a.csv"]),
        ] {
            let root = source(&[(file, text), ("a.png", "")]);
            let error = Format::detect(root.path()).unwrap_err().to_string();
            assert_says(&error, &["looks like no format that is known", parts[0], parts[1]]);
            assert!(read(root.path(), None, &Options::default()).is_err());
        }
    }
}
