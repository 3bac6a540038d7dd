//! labelme: a JSON file an image, with a shape of type `point` per landmark.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use sweep_core::error::{Error, Result};
use sweep_core::units::{Point, Size};

use super::parsed::{ParsedDataset, PixelSource, Record, landmark_name, position, split_in};
use super::tree::Tree;
use super::{Frame, Importer, Options};

pub(super) const IMPORTER: Importer = Importer {
    name: "labelme",
    reads: "a JSON an image, shapes of type `point` by label, the image from `imagePath` or `imageData`; positions less \
            ½, since labelme counts from the image's corner; split from folders' names",
    loses: "other shapes (counted), flags, groups",
    recognizes: |tree| tree.some("json").iter().any(|file| is_labelme(tree, file)),
    read,
};

/// labelme turns the picture before it shows, measures and embeds it, since wkentaro/labelme#305 (2019); before, it used
/// the stored one.
const FRAME: Frame = Frame::Turned;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    shapes: Vec<LabelmeShape>,
    image_path: Option<String>,
    image_data: Option<IgnoredAny>,
    image_height: Option<usize>,
    image_width: Option<usize>,
}

#[derive(Deserialize)]
struct LabelmeShape {
    label: String,
    points: Vec<[f64; 2]>,
    #[serde(rename = "shape_type")]
    kind: Option<String>,
}

fn is_labelme(tree: &Tree, file: &Path) -> bool {
    let keys = tree.keys(file);
    ["shapes", "imagePath"].iter().all(|need| keys.iter().any(|key| key == need))
}

fn read(tree: &Tree, _: &Options) -> Result<ParsedDataset> {
    let mut landmarks: Vec<String> = Vec::new();
    let mut marked = Vec::new();
    let (mut others, mut foreign) = (0, 0);
    let candidates = tree.annotations("json");
    for file in &candidates {
        if candidates.len() > 1 && !is_labelme(tree, file) && tree.json::<IgnoredAny>(file).is_ok() {
            foreign += 1;
            continue;
        }
        let content: File = tree.json(file)?;
        let at = |e: Error| e.at(tree.path(file).display());
        let points = points(&content.shapes, &mut landmarks, &mut others).map_err(at)?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let found = tree.find(folder, content.image_path.as_deref().unwrap_or_default());
        let (image, source) = match found {
            Ok(image) => {
                let path = tree.path(&image);
                (image, PixelSource::File(path))
            }
            Err(_) if content.image_data.is_some() => {
                (file.with_extension("png"), PixelSource::Labelme(tree.path(file)))
            }
            Err(error) => return Err(at(error.at("field imagePath"))),
        };
        let size = content.image_width.zip(content.image_height).map(|(width, height)| Size { height, width });
        marked.push((file, image, source, size, points));
    }
    let records = marked.into_iter().map(|(file, image, source, size, points)| {
        let landmarks = landmarks.iter().map(|name| points.get(name).copied()).collect();
        let location = tree.path(file).display().to_string();
        Record { size, frame: FRAME, split: split_in(&image), ..Record::new(&image, source, landmarks, location) }
    });
    let records = records.collect();
    let mut notes = Vec::new();
    if others > 0 {
        notes.push(format!("{others} shapes are not points and were left out"));
    }
    if foreign > 0 {
        notes.push(format!("{foreign} JSON files are not labelme's and were not read"));
    }
    Ok(ParsedDataset { name: tree.name(), landmarks, observer_mre: None, records, notes })
}

fn points(shapes: &[LabelmeShape], names: &mut Vec<String>, others: &mut usize) -> Result<BTreeMap<String, Point>> {
    let mut points = BTreeMap::new();
    for (index, shape) in shapes.iter().enumerate() {
        let at = |e: Error| e.at(format!("field shapes[{index}]"));
        let [[x, y]] = shape.points[..] else {
            *others += 1;
            continue;
        };
        if shape.kind.as_deref().is_some_and(|kind| kind != "point") {
            *others += 1;
            continue;
        }
        let name = landmark_name(&shape.label).map_err(at)?;
        if !names.contains(&name) {
            names.push(name.clone());
        }
        // The centre of the first pixel is ½ in labelme and 0 here.
        if points.insert(name.clone(), position(x - 0.5, y - 0.5).map_err(at)?).is_some() {
            return Err(at(Error::input(format!("landmark {name} is there twice")).remedy("keep one point per label")));
        }
    }
    Ok(points)
}
