//! COCO keypoints, as several tools write them.

use std::path::Path;

use serde_json::{Value, json};

use super::{names, turned_copy, write};
use crate::cases::pictures::{SIZE, plain, positions};

struct Coco {
    /// Offset of positions: half a pixel by tools that count from the corner.
    shift: f64,
    is_by_cvat: bool,
    prefix: &'static str,
}

impl Coco {
    fn file(&self, films: &[u32], images: &[String], categories: &Value, missing: Option<(u32, usize)>) -> Value {
        let image = |(number, name): (&u32, &String)| {
            let mut image = json!({ "id": number + 1, "file_name": format!("{}{name}", self.prefix), "width": SIZE[0], "height": SIZE[1] });
            if self.is_by_cvat {
                image["license"] = 0.into();
                image["date_captured"] = 0.into();
                image["flickr_url"] = "".into();
            }
            image
        };
        let annotation = |number: &u32| {
            let points = positions(*number % 3).into_iter().enumerate().flat_map(|(index, [x, y])| {
                let known = missing != Some((*number, index));
                if known { [x + self.shift, y + self.shift, 2.0] } else { [f64::MAX, f64::MAX, 0.0] }
            });
            json!({ "id": number + 1, "image_id": number + 1, "category_id": 1, "keypoints": points.collect::<Vec<_>>(), "num_keypoints": 4, "bbox": [1, 1, 70, 90], "area": 6300, "iscrowd": 0 })
        };
        let licenses = if self.is_by_cvat { json!([{ "name": "", "id": 0, "url": "" }]) } else { json!([]) };
        json!({
            "licenses": licenses,
            "info": { "contributor": "", "date_created": "", "description": "", "url": "", "version": "", "year": "" },
            "categories": categories,
            "images": films.iter().zip(images).map(image).collect::<Vec<_>>(),
            "annotations": films.iter().map(annotation).collect::<Vec<_>>(),
        })
    }
}

const CVAT: Coco = Coco { shift: 0.5, is_by_cvat: true, prefix: "" };
const OWN: Coco = Coco { shift: 0.0, is_by_cvat: false, prefix: "" };

fn ceph() -> Value {
    json!({ "id": 1, "name": "ceph", "supercategory": "", "keypoints": names(), "skeleton": [] })
}

pub(in crate::cases) fn coco_by_cvat(dir: &Path) {
    let films = [0, 1, 2, 3];
    let images = films.map(|number| format!("{number}.png"));
    for number in films {
        plain(&dir.join(format!("images/default/{number}.png")), number % 3);
    }
    let ruler = json!({ "id": 2, "name": "ruler", "supercategory": "", "keypoints": [], "skeleton": [] });
    let file = CVAT.file(&films, &images, &json!([ceph(), ruler]), None);
    write(&dir.join("annotations/person_keypoints_default.json"), file.to_string());
}

pub(in crate::cases) fn coco_turned(dir: &Path) {
    let films: Vec<u32> = (0..8).collect();
    let images: Vec<String> = films.iter().map(|number| format!("{number}.jpg")).collect();
    for number in &films {
        turned_copy(&dir.join(format!("images/default/{number}.jpg")), *number, *number as u8 + 1);
    }
    let file = CVAT.file(&films, &images, &json!([ceph()]), None);
    write(&dir.join("annotations/person_keypoints_default.json"), file.to_string());
}

pub(in crate::cases) fn coco_category_per_landmark(dir: &Path) {
    let category =
        |(id, name): (usize, &str)| json!({ "id": id + 1, "name": name, "keypoints": ["point"], "skeleton": [] });
    let (mut images, mut annotations) = (Vec::new(), Vec::new());
    for number in 0..3u32 {
        plain(&dir.join(format!("{number}.png")), number);
        images.push(
            json!({ "id": number + 1, "file_name": format!("{number}.png"), "width": SIZE[0], "height": SIZE[1] }),
        );
        for (index, [x, y]) in positions(number).into_iter().enumerate() {
            annotations.push(json!({ "id": annotations.len() + 1, "image_id": number + 1, "category_id": index + 1, "keypoints": [x, y, 2], "num_keypoints": 1, "bbox": [x, y, 1, 1], "iscrowd": 0 }));
        }
    }
    let categories: Vec<Value> = names().into_iter().enumerate().map(category).collect();
    write(
        &dir.join("annotations.json"),
        json!({ "images": images, "annotations": annotations, "categories": categories }).to_string(),
    );
}

pub(in crate::cases) fn coco_roboflow(dir: &Path) {
    for (number, split) in (0..).zip(["train", "valid", "test"]) {
        let image = format!("{number}.png");
        plain(&dir.join(split).join(&image), number);
        let empty = json!({ "id": 0, "name": "points", "supercategory": "none" });
        let file = OWN.file(&[number], &[image], &json!([empty, ceph()]), None);
        write(&dir.join(split).join("_annotations.coco.json"), file.to_string());
    }
}

pub(in crate::cases) fn coco_nan(dir: &Path) {
    let films = [0, 1, 2];
    for number in films {
        plain(&dir.join(format!("{number}.png")), number);
    }
    let file = OWN.file(&films, &films.map(|number| format!("{number}.png")), &json!([ceph()]), Some((1, 2)));
    // As Python writes it; a number of JSON cannot say it.
    let text = file.to_string().replace(&json!(f64::MAX).to_string(), "NaN");
    assert!(text.contains("NaN"));
    write(&dir.join("annotations.json"), text);
}

pub(in crate::cases) fn coco_windows(dir: &Path) {
    let films = [0, 1, 2];
    for number in films {
        plain(&dir.join(format!("images/{number}.png")), number);
    }
    let coco = Coco { prefix: "images\\", ..OWN };
    let file = coco.file(&films, &films.map(|number| format!("{number}.png")), &json!([ceph()]), None);
    write(&dir.join("annotations.json"), file.to_string());
}
