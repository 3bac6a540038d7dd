//! Label Studio's own JSON: an export "JSON" of tasks with annotations, or "JSON-MIN".
//!
//! Origin: per cent of the picture's width and height, counted from its upper left corner, so x · width / 100 is half a pixel
//! more than here. Orientation: the browser turns pictures by EXIF before they are marked, and `original_width` is the turned
//! picture's; `image_rotation` is a turn by the annotator, which is refused. Visibility: a missing landmark has no region.
//! Sources: labelstud.io/guide/export ("JSON", "JSON-MIN", "Units of image annotations"), and
//! `label_studio_sdk/converter/keypoints.py`.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use sweep_core::error::{Error, Result};
use sweep_core::units::Size;

use super::json_outline::Outline;
use super::marked::Marked;
use super::number::Word;
use super::origin::Origin;
use super::parsed::{ParsedDataset, PixelSource, Record, split_in};
use super::tree::Tree;
use super::{Importer, Options, text};
use crate::picture;

pub(super) const IMPORTER: Importer = Importer {
    name: "label-studio",
    reads: "Label Studio's JSON or JSON-MIN: key points by label, in per cent of the size, less half a pixel since they are \
            counted from the image's corner; of an image's annotations the ground truth, else the last that is not cancelled; \
            file names with or without the upload's prefix; split from folders' names",
    loses: "other regions (counted), other annotations and predictions, choices, texts, relations",
    origin: Origin::Corner,
    leaves_origin: false,
    has_categories: true,
    is_table: false,
    recognizes: |tree| tree.some("json").iter().any(|file| is_tasks(tree, file)),
    read,
};

fn is_tasks(tree: &Tree, file: &Path) -> bool {
    let outline = Outline::of(tree, file);
    let is_full = outline.is_list_of(&["data", "annotations"]) || outline.is_list_of(&["data", "completions"]);
    is_full || outline.is_list_of(&["annotation_id", "annotator"])
}

#[derive(Deserialize)]
struct Task {
    id: Option<Word>,
    data: Option<Map<String, Value>>,
    file_upload: Option<String>,
    #[serde(alias = "completions")]
    annotations: Option<Vec<Annotation>>,
    /// JSON-MIN has the data and the regions beside each other.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct Annotation {
    #[serde(default)]
    result: Vec<Value>,
    #[serde(default)]
    was_cancelled: bool,
    #[serde(default)]
    ground_truth: bool,
}

/// A key point; of another region, only that it is there.
#[derive(Deserialize)]
struct Region {
    x: f64,
    y: f64,
    #[serde(default)]
    keypointlabels: Vec<String>,
    original_width: Option<f64>,
    original_height: Option<f64>,
    #[serde(default)]
    image_rotation: f64,
    item_index: Option<u64>,
}

fn read(tree: &Tree, options: &Options) -> Result<ParsedDataset> {
    let candidates = tree.annotations("json");
    let files: Vec<&Path> = candidates.iter().copied().filter(|file| is_tasks(tree, file)).collect();
    // A file that was named is read, so that its errors are reported.
    let files = if files.is_empty() && candidates.len() == 1 { candidates } else { files };
    if files.is_empty() {
        return Err(Error::input("there is no JSON list of tasks with data and annotations")
            .remedy("export as JSON or JSON-MIN"));
    }
    let mut reading = Reading {
        tree,
        origin: options.origin.unwrap_or(IMPORTER.origin),
        marked: Marked::default(),
        others: 0,
        dropped: 0,
    };
    for file in files {
        let tasks: Vec<Task> = tree.json(file)?;
        for (index, task) in tasks.iter().enumerate() {
            let at = |e: Error| e.at(format!("{}: [{index}]", tree.path(file).display()));
            let before = reading.marked.len();
            let added = reading.task(file, index, task).map_err(at);
            reading.marked.keep(tree, before, added)?;
        }
    }
    let Reading { mut marked, others, dropped, .. } = reading;
    if others > 0 {
        marked.notes.push(format!("{others} regions are not key points and were left out"));
    }
    if dropped > 0 {
        marked.notes.push(format!(
            "{dropped} images have several annotations: the ground truth counts, else the last one that is not cancelled"
        ));
    }
    Ok(marked.finish(tree))
}

struct Reading<'a> {
    tree: &'a Tree,
    origin: Origin,
    marked: Marked,
    others: usize,
    dropped: usize,
}

impl Reading<'_> {
    fn task(&mut self, file: &Path, index: usize, task: &Task) -> Result<()> {
        let regions = match &task.annotations {
            Some(annotations) => {
                let valid: Vec<(usize, &Annotation)> =
                    annotations.iter().enumerate().filter(|(_, annotation)| !annotation.was_cancelled).collect();
                self.dropped += usize::from(valid.len() > 1);
                let truth = valid.iter().rev().find(|(_, annotation)| annotation.ground_truth);
                truth.or(valid.last()).map(|(number, chosen)| chosen_regions(*number, chosen)).unwrap_or_default()
            }
            None => minimal_regions(&task.rest),
        };
        let mut points = Vec::new();
        let mut size = None;
        for (place, region) in regions {
            let at = |e: Error| e.at(&place);
            let Some(region) = region.map_err(at)? else {
                self.others += 1;
                continue;
            };
            let (point, own) = self.point(&region).map_err(at)?;
            if size.replace(own).is_some_and(|other| other != own) {
                return Err(at(Error::input("another original_width or original_height than before")));
            }
            let [name] = &region.keypointlabels[..] else {
                return Err(at(Error::input(format!("a key point with {} labels", region.keypointlabels.len()))
                    .at("value.keypointlabels")
                    .remedy("give every key point one label")));
            };
            points.push((place, name.clone(), point));
        }
        let image = self.image(file, task)?;
        let id = task.id.as_ref().map_or_else(|| index.to_string(), |id| id.0.clone());
        let location = format!("{}: task {id}", self.tree.path(file).display());
        let source = PixelSource::File(self.tree.path(&image));
        let record = Record { size, split: split_in(&image), ..Record::new(&image, source, Vec::new(), location) };
        let image = self.marked.image(record)?;
        for (place, name, point) in points {
            self.marked.mark(image, &name, point).map_err(|e| e.at(place))?;
        }
        Ok(())
    }

    /// The position, and the size of the picture it is of.
    fn point(&self, region: &Region) -> Result<(sweep_core::units::Point, Size)> {
        if region.image_rotation != 0.0 {
            return Err(Error::input(format!(
                "the picture was turned by {}° while it was marked",
                region.image_rotation
            ))
            .at("image_rotation")
            .remedy("turn it back in Label Studio, and mark it upright"));
        }
        if region.item_index.is_some_and(|index| index > 0) {
            return Err(Error::input("a task of several images").at("item_index").remedy("make one task per image"));
        }
        let (Some(width), Some(height)) = (region.original_width, region.original_height) else {
            return Err(Error::input("the size of the picture is not there").at("original_width"));
        };
        if !(width >= 1.0 && height >= 1.0) {
            return Err(Error::input(format!("{width}×{height} is no size of a picture")).at("original_width"));
        }
        let point = self.origin.position(region.x / 100.0 * width, region.y / 100.0 * height)?;
        Ok((point, Size { height: height as usize, width: width as usize }))
    }

    /// The image of a task: by the name of its file, without an upload's prefix if it is not there with it.
    fn image(&self, file: &Path, task: &Task) -> Result<PathBuf> {
        let data = task.data.as_ref().unwrap_or(&task.rest);
        let texts: Vec<&str> = data.values().filter_map(Value::as_str).collect();
        let is_image = |text: &&&str| picture::is_image(Path::new(&last_part(text)));
        let named: Vec<&&str> = texts.iter().filter(is_image).collect();
        let text = match (&named[..], &task.file_upload) {
            ([one], _) => **one,
            (_, Some(upload)) => upload.as_str(),
            ([], None) => {
                return Err(Error::input("no value of data names an image").at("data"));
            }
            ([..], None) => {
                let names = named.iter().map(|name| **name).collect::<Vec<_>>().join(", ");
                return Err(Error::input(format!("several values of data name an image: {names}")).at("data"));
            }
        };
        let folder = file.parent().unwrap_or(Path::new(""));
        let at = |e: Error| e.at(format!("image `{text}`"));
        let name = last_part(text);
        let whole = self.tree.find(folder, &name);
        if whole.is_ok() {
            return whole;
        }
        match without_prefix(&name) {
            Some(plain) => self.tree.find(folder, plain).map_err(at),
            None => whole.map_err(at),
        }
    }
}

/// A region's place, and the key point if it is one.
type Placed = (String, Result<Option<Region>>);

fn chosen_regions(number: usize, annotation: &Annotation) -> Vec<Placed> {
    let mut placed = Vec::new();
    for (index, result) in annotation.result.iter().enumerate() {
        let place = format!("annotations[{number}].result[{index}]");
        let kind = result.get("type").and_then(Value::as_str).unwrap_or_default();
        if !matches!(kind, "keypointlabels" | "keypoint") {
            // Labels of a key point may be a result of their own, with the key point's id.
            placed.extend((kind != "labels").then_some((place, Ok(None))));
            continue;
        }
        let mut value = result.get("value").and_then(Value::as_object).cloned().unwrap_or_default();
        for key in ["original_width", "original_height", "image_rotation", "item_index"] {
            if let Some(own) = result.get(key).filter(|own| !own.is_null()) {
                value.insert(key.to_owned(), own.clone());
            }
        }
        if !value.contains_key("keypointlabels") {
            let is_of_it = |other: &&Value| {
                other.get("id") == result.get("id") && other.get("type").and_then(Value::as_str) == Some("labels")
            };
            let separate = || annotation.result.iter().find(is_of_it)?.get("value")?.get("labels").cloned();
            if let Some(labels) = value.get("labels").cloned().or_else(separate) {
                value.insert("keypointlabels".to_owned(), labels);
            }
        }
        placed.push((place, region(Value::Object(value)).map(Some)));
    }
    placed
}

/// Regions of JSON-MIN: lists beside the data.
fn minimal_regions(task: &Map<String, Value>) -> Vec<Placed> {
    let mut placed = Vec::new();
    for (key, value) in task {
        let Some(list) = value.as_array() else { continue };
        for (index, value) in list.iter().enumerate() {
            let Some(object) = value.as_object() else { continue };
            let place = format!("{key}[{index}]");
            if object.contains_key("keypointlabels") {
                placed.push((place, region(value.clone()).map(Some)));
            } else if object.contains_key("x") {
                placed.push((place, Ok(None)));
            }
        }
    }
    placed
}

fn region(value: Value) -> Result<Region> {
    serde_path_to_error::deserialize(value).map_err(|e| {
        let field = e.path().to_string();
        Error::input(e.into_inner().to_string()).at(format!("value.{field}"))
    })
}

/// The name of the file that an address names, without escapes: of `/data/upload/1/a.png`, `s3://b/a.png?x=y` and
/// `/data/local-files/?d=folder/a.png`.
fn last_part(address: &str) -> String {
    let address = match address.split_once("?d=") {
        Some((_, path)) => path,
        None if address.contains("://") || address.starts_with("/data/") => {
            address.split(['?', '#']).next().unwrap_or(address)
        }
        None => address,
    };
    let name = address.rsplit(['/', '\\']).next().unwrap_or(address);
    text::percent_decoded(name).unwrap_or_else(|| name.to_owned())
}

/// The name that a file had before it was uploaded: without eight hexadecimal digits and a hyphen.
fn without_prefix(name: &str) -> Option<&str> {
    let (prefix, rest) = name.split_at_checked(8)?;
    let is_prefix = prefix.chars().all(|c| c.is_ascii_hexdigit());
    rest.strip_prefix('-').filter(|rest| is_prefix && !rest.is_empty())
}
