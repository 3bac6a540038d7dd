//! Projects of VGG Image Annotator (VIA) 3.
//!
//! A view shows a file; a piece of metadata belongs to a view and has `xy`, the number of a shape (1 is a point) and its
//! coordinates, and `av`, the values of attributes: of a choice, the option's key. Source: `CodeDoc.md`, `_via_metadata.js` and
//! `_via_attribute.js` of VIA 3 (gitlab.com/vgg/via/-/tree/master/via-3.x.y). Origin: as in VIA 2, the mouse's pixel; positions
//! have fractions where the picture was zoomed.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use sweep_core::error::{Error, Result};

use super::json_outline::Outline;
use super::number::Word;
use super::origin::Origin;
use super::tree::Tree;
use super::via::{Images, Region};

/// Keys of a project.
const KEYS: [&str; 4] = ["attribute", "file", "metadata", "view"];
/// The shape that is a point.
const POINT: f64 = 1.0;

#[derive(Deserialize)]
struct Project {
    attribute: BTreeMap<String, Attribute>,
    file: BTreeMap<String, File>,
    metadata: BTreeMap<String, Metadata>,
    view: BTreeMap<String, View>,
}

#[derive(Deserialize)]
struct Attribute {
    #[serde(rename = "aname")]
    name: String,
    #[serde(default)]
    options: BTreeMap<String, Word>,
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "fname")]
    name: String,
}

#[derive(Deserialize)]
struct View {
    #[serde(rename = "fid_list")]
    files: Vec<Word>,
}

#[derive(Deserialize)]
struct Metadata {
    vid: Word,
    #[serde(default)]
    xy: Vec<f64>,
    #[serde(default)]
    av: BTreeMap<String, Value>,
}

/// Whether a JSON file is such a project.
pub(super) fn is(outline: &Outline) -> bool {
    outline.is_object_of(&KEYS)
}

/// Images of a project; `others` counts regions that are no points.
pub(super) fn regions(tree: &Tree, file: &Path, origin: Origin, others: &mut usize) -> Result<Images> {
    let project: Project = tree.json(file)?;
    let mut images = Images::new();
    let mut of_view: BTreeMap<&str, usize> = BTreeMap::new();
    for (id, view) in &project.view {
        let at = |e: Error| e.at(format!("field view.{id}"));
        let [file] = &view.files[..] else {
            return Err(at(
                Error::input(format!("a view of {} files", view.files.len())).remedy("annotate one image in each view")
            ));
        };
        let file = project.file.get(&file.0);
        let file = file.ok_or_else(|| at(Error::input("there is no such file in the project").at("fid_list")))?;
        of_view.insert(id, images.len());
        images.push((file.name.clone(), format!("field view.{id}"), Vec::new()));
    }
    for (id, metadata) in &project.metadata {
        let place = format!("field metadata.{id}");
        let at = |e: Error| e.at(&place);
        let image = of_view.get(metadata.vid.0.as_str()).copied();
        let image = image.ok_or_else(|| at(Error::input(format!("there is no view {}", metadata.vid.0)).at("vid")))?;
        match metadata.xy[..] {
            // This attribute describes the whole image.
            [] => {}
            [shape, x, y] if shape.to_bits() == POINT.to_bits() => {
                let point = origin.position(x, y).map_err(at)?;
                let attributes = attributes(&project.attribute, &metadata.av).map_err(at)?;
                images[image].2.push(Region { point, attributes, place });
            }
            [shape, ..] if shape.to_bits() == POINT.to_bits() => {
                return Err(at(Error::input("a point whose coordinates are not x and y").at("xy")));
            }
            [..] => *others += 1,
        }
    }
    Ok(images)
}

/// Values of attributes, by the attributes' names.
fn attributes(
    known: &BTreeMap<String, Attribute>,
    values: &BTreeMap<String, Value>,
) -> Result<BTreeMap<String, String>> {
    let mut words = BTreeMap::new();
    for (id, value) in values {
        let Some(attribute) = known.get(id) else { continue };
        let word = match value {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        let word = match attribute.options.get(&word) {
            Some(option) => option.0.trim().to_owned(),
            // Options of a checkbox that are ticked.
            None if !attribute.options.is_empty() && word.contains(',') => {
                return Err(
                    Error::input(format!("several values of {} are ticked", attribute.name)).at(format!("av.{id}"))
                );
            }
            None => word,
        };
        if !word.is_empty() {
            words.insert(attribute.name.clone(), word);
        }
    }
    Ok(words)
}
