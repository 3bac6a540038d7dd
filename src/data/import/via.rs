//! VGG Image Annotator (VIA) 1 and 2: a project, its export as JSON, or its export as CSV with JSON in the cells. Projects of
//! VIA 3 are in `via3`.
//!
//! Origin: VIA stores the mouse's pixel, `Math.round(x * scale)` of `offsetX`, so a pixel's centre is a whole number as
//! here; positions are rounded to whole pixels. Orientation: browsers since 2020 turn pictures by EXIF before they are marked;
//! older ones did not. Visibility: a missing landmark has no region. Source: `via.js` of VIA 2.0 (www.robots.ox.ac.uk/~vgg/software/via).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use sweep_core::error::{Error, Result};
use sweep_core::units::Point;

use super::cells::{Cells, line};
use super::json_outline::Outline;
use super::known_names;
use super::marked::Marked;
use super::origin::Origin;
use super::parsed::{ParsedDataset, PixelSource, Record, split_in};
use super::tree::Tree;
use super::{Importer, Options, via3};

pub(super) const IMPORTER: Importer = Importer {
    name: "via",
    reads: "VGG Image Annotator 1 and 2: project, JSON or CSV; 3: project; regions of type point, named by their attribute (of several, \
            `--category ATTRIBUTE`), else p1, p2, … where every image has as many; positions are whole pixels; split from \
            folders' names",
    loses: "other shapes (counted), other attributes of regions and files",
    origin: Origin::Centre,
    leaves_origin: false,
    has_categories: true,
    is_table: false,
    recognizes: |tree| !files(tree).is_empty(),
    read,
};

/// A file of a source and its kind.
enum Kind {
    Csv,
    Json,
}

fn files(tree: &Tree) -> Vec<(&Path, Kind)> {
    let csv = tree.annotations("csv").into_iter().filter(|file| is_csv(tree, file)).map(|file| (file, Kind::Csv));
    let json = tree.annotations("json").into_iter().take(64).filter(|file| is_json(tree, file));
    csv.chain(json.map(|file| (file, Kind::Json))).collect()
}

fn is_csv(tree: &Tree, file: &Path) -> bool {
    tree.head(file).is_ok_and(|head| head.lines().next().is_some_and(|line| line.contains("region_shape_attributes")))
}

/// Whether it is a project, or an export: an object of images with regions, of which the first is looked at.
fn is_json(tree: &Tree, file: &Path) -> bool {
    match Outline::of(tree, file) {
        outline if via3::is(&outline) => true,
        Outline::Object(keys) if keys.iter().any(|key| key == "_via_img_metadata") => true,
        Outline::Object(keys) if !keys.is_empty() => {
            tree.json::<BTreeMap<String, Image>>(file).is_ok_and(|images| !images.is_empty())
        }
        _ => false,
    }
}

#[derive(Deserialize)]
struct Project {
    #[serde(rename = "_via_img_metadata")]
    images: BTreeMap<String, Image>,
}

#[derive(Deserialize)]
struct Image {
    filename: String,
    regions: Regions,
}

/// VIA 1 numbers regions by the keys of an object.
#[derive(Deserialize)]
#[serde(untagged)]
enum Regions {
    List(Vec<JsonRegion>),
    Numbered(BTreeMap<String, JsonRegion>),
}

#[derive(Deserialize)]
struct JsonRegion {
    shape_attributes: Value,
    #[serde(default)]
    region_attributes: Value,
}

/// A point and what is said about it.
pub(super) struct Region {
    pub(super) point: Point,
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) place: String,
}

/// The points of an image, by its name.
pub(super) type Images = Vec<(String, String, Vec<Region>)>;

fn read(tree: &Tree, options: &Options) -> Result<ParsedDataset> {
    let files = files(tree);
    if files.is_empty() {
        return Err(Error::input(
            "there is no CSV with a column region_shape_attributes and no JSON of images with regions",
        )
        .remedy("export the annotations (as csv or json) or save the project"));
    }
    if let [(a, _), (b, _), ..] = files[..] {
        return Err(Error::input(format!("several files of regions: {} and {}", a.display(), b.display()))
            .remedy("name one of them as the source"));
    }
    let (file, kind) = &files[0];
    let origin = options.origin.unwrap_or(IMPORTER.origin);
    let at = |e: Error| e.at(tree.path(file).display());
    let mut others = 0;
    let images = match kind {
        Kind::Csv => rows(&tree.text(file)?, origin, &mut others).map_err(at)?,
        Kind::Json if via3::is(&Outline::of(tree, file)) => {
            via3::regions(tree, file, origin, &mut others).map_err(at)?
        }
        Kind::Json => regions(tree, file, origin, &mut others).map_err(|e| match &e.location {
            Some(place) if place.contains(&file.display().to_string()) => e,
            _ => at(e),
        })?,
    };
    let naming = Naming::of(&images, options.category.as_deref()).map_err(at)?;
    let mut marked = Marked::default();
    if let Naming::Order(count) = naming {
        let (names, note) = known_names::numbered(count);
        marked.declare(names.iter().map(String::as_str));
        marked.notes.extend(note);
    }
    for (name, place, regions) in images {
        let before = marked.len();
        let added = add(tree, file, &naming, &mut marked, (&name, &place, regions));
        marked.keep(tree, before, added.map_err(at))?;
    }
    if others > 0 {
        marked.notes.push(format!("{others} regions are not points and were left out"));
    }
    Ok(marked.finish(tree))
}

/// Adds an image with its points.
fn add(
    tree: &Tree,
    file: &Path,
    naming: &Naming,
    marked: &mut Marked,
    (name, place, regions): (&str, &str, Vec<Region>),
) -> Result<()> {
    let at = |e: Error| e.at(place);
    let folder = file.parent().unwrap_or(Path::new(""));
    // Images may be added by their address.
    let file_name = if name.contains("://") { name.rsplit('/').next().unwrap_or(name) } else { name };
    let image = tree.find(folder, file_name).map_err(at)?;
    let location = format!("{}: {place}", tree.path(file).display());
    let source = PixelSource::File(tree.path(&image));
    let record = Record { split: split_in(&image), ..Record::new(&image, source, Vec::new(), location) };
    let index = marked.image(record).map_err(at)?;
    for (number, region) in regions.into_iter().enumerate() {
        let at = |e: Error| e.at(&region.place);
        let name = naming.name(&region, number).map_err(at)?;
        marked.mark(index, &name, region.point).map_err(at)?;
    }
    Ok(())
}

/// Images of a CSV, of which each row is a region.
fn rows(text: &str, origin: Origin, others: &mut usize) -> Result<Images> {
    let cells = Cells::read(text)?;
    let need = |names: &[&str]| {
        cells.column(names).ok_or_else(|| Error::input(format!("no column is called {}", names[0])).at(line(1)))
    };
    let (name, shape) = (need(&["filename", "#filename"])?, need(&["region_shape_attributes"])?);
    let attributes = need(&["region_attributes"])?;
    let mut images: Images = Vec::new();
    let mut by_name: BTreeMap<String, usize> = BTreeMap::new();
    for (number, row) in &cells.rows {
        let at = |e: Error, column: usize| e.at(format!("{}: {}", line(*number), cells.column_label(column)));
        let cell = |column: usize| -> Result<Value> {
            let text = row.get(column).unwrap_or_default();
            serde_json::from_str(text).map_err(|e| at(Error::input(format!("not JSON: {e}")), column))
        };
        let file = row.get(name).unwrap_or_default().to_owned();
        let index = *by_name.entry(file.clone()).or_insert_with(|| {
            images.push((file, line(*number), Vec::new()));
            images.len() - 1
        });
        let point = point(&cell(shape)?, origin).map_err(|e| at(e, shape))?;
        match point {
            Found::Point(point) => {
                let attributes = words(&cell(attributes)?).map_err(|e| at(e, attributes))?;
                images[index].2.push(Region { point, attributes, place: line(*number) });
            }
            Found::Other => *others += 1,
            Found::Nothing => {}
        }
    }
    Ok(images)
}

/// Images of a project or of an export as JSON.
fn regions(tree: &Tree, file: &Path, origin: Origin, others: &mut usize) -> Result<Images> {
    let is_project = Outline::of(tree, file).is_object_of(&["_via_img_metadata"]);
    let content =
        if is_project { tree.json::<Project>(file)?.images } else { tree.json::<BTreeMap<String, Image>>(file)? };
    let mut images = Images::new();
    for (key, image) in content {
        let list: Vec<JsonRegion> = match image.regions {
            Regions::List(list) => list,
            Regions::Numbered(numbered) => {
                let mut numbered: Vec<_> = numbered.into_iter().collect();
                numbered.sort_by_key(|(number, _)| number.parse::<usize>().unwrap_or(usize::MAX));
                numbered.into_iter().map(|(_, region)| region).collect()
            }
        };
        let mut found = Vec::new();
        for (number, region) in list.into_iter().enumerate() {
            let place = format!("field {key}.regions[{number}]");
            match point(&region.shape_attributes, origin).map_err(|e| e.at(&place))? {
                Found::Point(point) => {
                    let attributes = words(&region.region_attributes).map_err(|e| e.at(&place))?;
                    found.push(Region { point, attributes, place });
                }
                Found::Other => *others += 1,
                Found::Nothing => {}
            }
        }
        images.push((image.filename, format!("field {key}"), found));
    }
    Ok(images)
}

enum Found {
    Point(Point),
    /// A region of another shape.
    Other,
    /// A row of an image without regions.
    Nothing,
}

fn point(shape: &Value, origin: Origin) -> Result<Found> {
    match shape.get("name").and_then(Value::as_str) {
        Some("point") => {
            let number = |key: &str| {
                shape
                    .get(key)
                    .and_then(Value::as_f64)
                    .ok_or_else(|| Error::input(format!("a point without the number {key}")))
            };
            origin.position(number("cx")?, number("cy")?).map(Found::Point)
        }
        Some(_) => Ok(Found::Other),
        None => Ok(Found::Nothing),
    }
}

/// Attributes with a value, as text. Of a checkbox, which may have several, the only one that is ticked.
fn words(attributes: &Value) -> Result<BTreeMap<String, String>> {
    let mut words = BTreeMap::new();
    for (key, value) in attributes.as_object().into_iter().flatten() {
        let word = match value {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(number) => number.to_string(),
            Value::Object(options) => {
                let ticked: Vec<&String> =
                    options.iter().filter(|(_, v)| **v == Value::Bool(true)).map(|(k, _)| k).collect();
                match ticked[..] {
                    [] => String::new(),
                    [one] => one.clone(),
                    [..] => return Err(Error::input(format!("several values of {key} are ticked"))),
                }
            }
            _ => String::new(),
        };
        if !word.is_empty() {
            words.insert(key.clone(), word);
        }
    }
    Ok(words)
}

/// How points get their names.
enum Naming {
    Attribute(String),
    /// By their order, of so many points in every image.
    Order(usize),
}

impl Naming {
    fn of(images: &Images, wanted: Option<&str>) -> Result<Self> {
        let regions = || images.iter().flat_map(|(.., regions)| regions);
        let keys: BTreeSet<&String> = regions().flat_map(|region| region.attributes.keys()).collect();
        let list = || keys.iter().map(|key| key.as_str()).collect::<Vec<_>>().join(", ");
        if let Some(wanted) = wanted {
            return match keys.iter().find(|key| key.trim() == wanted.trim()) {
                Some(key) => Ok(Self::Attribute((*key).clone())),
                None => Err(Error::input(format!("no point has an attribute {wanted}"))
                    .at("--category")
                    .remedy(format!("name the one that holds the landmark's name: {}", list()))),
            };
        }
        // The name of a landmark is there for every point, and once an image.
        let names = |key: &&&String| {
            images.iter().all(|(.., regions)| {
                let values: BTreeSet<_> = regions.iter().filter_map(|region| region.attributes.get(**key)).collect();
                values.len() == regions.len()
            })
        };
        let fitting: Vec<&&String> = keys.iter().filter(names).collect();
        match (keys.len(), &fitting[..]) {
            (0, _) => Self::by_order(images),
            (1, _) => Ok(Self::Attribute(keys.first().map(|key| (*key).clone()).unwrap_or_default())),
            (_, [one]) => Ok(Self::Attribute((**one).clone())),
            _ => Err(Error::input(format!("several attributes of points may be the landmark's name: {}", list()))
                .remedy("name it: --category ATTRIBUTE")),
        }
    }

    fn by_order(images: &Images) -> Result<Self> {
        let mut counts = images.iter().filter(|(.., regions)| !regions.is_empty());
        let Some((_, first, regions)) = counts.next() else { return Ok(Self::Order(0)) };
        let count = regions.len();
        match counts.find(|(.., regions)| regions.len() != count) {
            Some((_, place, other)) => Err(Error::input(format!(
                "points without a name, {} here and {count} at {first}: which ones are missing is unknown",
                other.len()
            ))
            .at(place)
            .remedy("give every region an attribute with the landmark's name")),
            None => Ok(Self::Order(count)),
        }
    }

    fn name(&self, region: &Region, number: usize) -> Result<String> {
        match self {
            Self::Order(_) => Ok(format!("p{}", number + 1)),
            Self::Attribute(key) => region.attributes.get(key).cloned().ok_or_else(|| {
                Error::input(format!("a point without a value of {key}"))
                    .remedy("give it the landmark's name, or remove it")
            }),
        }
    }
}
