//! COCO keypoints: `annotations/SPLIT.json`, and the image files as they are under `images`.

use std::path::Path;

use serde_json::{Value, json};

use super::Exporter;
use crate::folder;
use crate::{Dataset, Sample, Split};
use sweep_core::error::{Error, Result};

pub(super) const EXPORTER: Exporter = Exporter {
    name: "coco",
    writes: "`annotations/train.json`, `val.json`, `test.json`: one category whose keypoints are the landmarks, v = 2 or 0; \
             `spacing_mm` and `patient` of every image beside COCO's own fields; image files as they are",
    loses: "name, observers' error, `normalise`, `grey` and `inspect`",
    check: |_| Ok(()),
    image: |dir, _, sample, original| folder::copy(original, &dir.join("images").join(&sample.image)),
    annotations,
};

fn annotations(dir: &Path, dataset: &Dataset) -> Result<()> {
    for split in Split::ALL {
        let samples: Vec<&Sample> = dataset.samples.iter().filter(|sample| sample.split == split).collect();
        if samples.is_empty() {
            continue;
        }
        let numbered = || samples.iter().zip(1..);
        let file = json!({
            "info": { "description": dataset.name },
            "images": numbered().map(|(sample, id)| image(sample, id)).collect::<Vec<_>>(),
            "annotations": numbered().filter_map(|(sample, id)| annotation(sample, id)).collect::<Vec<_>>(),
            "categories": [{
                "id": 1, "name": "landmarks", "supercategory": "landmarks", "keypoints": dataset.landmarks, "skeleton": [],
            }],
        });
        let text = serde_json::to_string_pretty(&file).map_err(|e| Error::input(e.to_string()))?;
        folder::write_text(&dir.join(format!("annotations/{}.json", split.name())), &(text + "\n"))?;
    }
    Ok(())
}

fn image(sample: &Sample, id: usize) -> Value {
    let mut image = json!({
        "id": id,
        "file_name": format!("images/{}", sample.image.replace('\\', "/")),
        "width": sample.size.width,
        "height": sample.size.height,
    });
    if let Some(spacing) = sample.spacing {
        image["spacing_mm"] = json!([spacing.x, spacing.y]);
    }
    if let Some(patient) = &sample.patient {
        image["patient"] = json!(patient);
    }
    image
}

/// None of an image on which nothing is marked.
fn annotation(sample: &Sample, id: usize) -> Option<Value> {
    let marked = || sample.landmarks.iter().flatten();
    let (mut low, mut high) = marked().next().map(|p| (*p, *p))?;
    for p in marked() {
        (low.x, low.y) = (low.x.min(p.x), low.y.min(p.y));
        (high.x, high.y) = (high.x.max(p.x), high.y.max(p.y));
    }
    let keypoints: Vec<Value> = sample
        .landmarks
        .iter()
        .flat_map(|p| p.map_or([json!(0), json!(0), json!(0)], |p| [json!(p.x), json!(p.y), json!(2)]))
        .collect();
    let (width, height) = (high.x - low.x, high.y - low.y);
    Some(json!({
        "id": id,
        "image_id": id,
        "category_id": 1,
        "keypoints": keypoints,
        "num_keypoints": marked().count(),
        "bbox": [low.x, low.y, width, height],
        "area": width * height,
        "iscrowd": 0,
    }))
}
