//! Aariz: `{Train,Valid,Test}/Cephalograms/*` and `…/Annotations/Cephalometric Landmarks/{Senior,Junior}
//! Orthodontists/*.json`, 29 landmarks by symbol; sizes of pixels, by machine, in `cephalogram_machine_mappings.csv`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use sweep_core::error::{Error, Result};
use sweep_core::units::{Point, Spacing};

use super::cells::{Cells, line};
use super::number::Number;
use super::observers::{Marks, error_of_one};
use super::parsed::{ParsedDataset, PixelSource, Record, landmark_name, position, split_in};
use super::tree::Tree;
use super::{Frame, Importer, Options, Origin};

pub(super) const IMPORTER: Importer = Importer {
    name: "aariz",
    reads: "Train, Valid, Test with Cephalograms and Annotations by senior and junior orthodontists (`--truth`), \
            landmarks by symbol; pixel sizes from cephalogram_machine_mappings.csv; error of one observer",
    loses: "landmarks' titles and order, stages of the vertebrae, machines' names",
    origin: Origin::Centre,
    leaves_origin: true,
    has_categories: false,
    is_table: false,
    recognizes: |tree| tree.files().any(|file| observer(file).is_some()),
    read,
};

/// The published images have no EXIF that turns them; a copy that has one is not the file that was marked.
const FRAME: Frame = Frame::Unknown;

#[derive(Deserialize)]
struct Annotation {
    landmarks: Vec<Landmark>,
}

#[derive(Deserialize)]
struct Landmark {
    symbol: String,
    value: Option<Value>,
}

#[derive(Deserialize)]
struct Value {
    x: Option<Number>,
    y: Option<Number>,
}

/// Whether a file is an annotation, and by the senior.
fn observer(file: &Path) -> Option<bool> {
    let folder = file.parent()?.file_name()?.to_string_lossy().to_lowercase();
    let about = file.parent()?.parent()?.file_name()?.to_string_lossy().to_lowercase();
    let is_json = file.extension().is_some_and(|e| e.eq_ignore_ascii_case("json"));
    if !is_json || about != "cephalometric landmarks" {
        return None;
    }
    match folder.as_str() {
        "senior orthodontists" => Some(true),
        "junior orthodontists" => Some(false),
        _ => None,
    }
}

fn read(tree: &Tree, options: &Options) -> Result<ParsedDataset> {
    let spacings = spacings(tree)?;
    let mut landmarks: Vec<String> = Vec::new();
    // An image's annotations by its path: junior, senior.
    let mut found: BTreeMap<std::path::PathBuf, [Option<BTreeMap<String, Point>>; 2]> = BTreeMap::new();
    let mut locations = BTreeMap::new();
    for file in tree.files() {
        let Some(is_senior) = observer(file) else { continue };
        let location = tree.path(file).display().to_string();
        let annotation: Annotation = tree.json(file)?;
        let points = points(annotation, &mut landmarks).map_err(|e| e.at(&location))?;
        // `Train/Annotations/Cephalometric Landmarks/Senior Orthodontists/x.json` is of `Train/Cephalograms/x.*`.
        let part = file.ancestors().nth(4).unwrap_or(Path::new(""));
        let stem = file.file_stem().unwrap_or_default();
        let image =
            tree.find(part, &part.join("Cephalograms").join(stem).to_string_lossy()).map_err(|e| e.at(&location))?;
        let of = found.entry(image.clone()).or_default();
        if of[usize::from(is_senior)].replace(points).is_some() {
            return Err(Error::input("this observer marked the image twice").at(location));
        }
        locations.insert(image, location);
    }
    // Files list them in no order.
    landmarks.sort();
    let (mut records, mut judged) = (Vec::new(), Vec::new());
    for (image, [junior, senior]) in found {
        let marks = |by: Option<BTreeMap<String, Point>>| {
            by.map(|points| landmarks.iter().map(|name| points.get(name).copied()).collect::<Vec<_>>())
        };
        let of = Marks { junior: marks(junior), senior: marks(senior) };
        let location = locations.remove(&image).unwrap_or_default();
        let truth = options.truth.choose(&of).map_err(|e| e.at(&location))?;
        let stem = image.file_stem().map(|stem| stem.to_string_lossy().to_lowercase()).unwrap_or_default();
        let split = split_in(&image);
        records.push(Record {
            split,
            spacing: spacings.get(&stem).copied(),
            frame: FRAME,
            ..Record::new(&image, PixelSource::File(tree.path(&image)), truth, location)
        });
        judged.push((of, split));
    }
    let observer_mre = error_of_one(&judged, |index| options.spacing.or(records[index].spacing));
    Ok(ParsedDataset {
        name: format!("aariz-{}", options.truth.name()),
        landmarks,
        observer_mre,
        records,
        notes: Vec::new(),
    })
}

/// Positions by symbol; symbols join `names`.
fn points(annotation: Annotation, names: &mut Vec<String>) -> Result<BTreeMap<String, Point>> {
    let mut points = BTreeMap::new();
    for landmark in annotation.landmarks {
        let name = landmark_name(&landmark.symbol)?;
        if !names.contains(&name) {
            names.push(name.clone());
        }
        let Some((x, y)) = landmark.value.and_then(|value| value.x.zip(value.y)) else { continue };
        if points.insert(name.clone(), position(x.0, y.0)?).is_some() {
            return Err(Error::input(format!("landmark {name} is there twice")));
        }
    }
    Ok(points)
}

/// Sizes of pixels by image, in lower case and without ending; none without the file.
fn spacings(tree: &Tree) -> Result<BTreeMap<String, Spacing>> {
    let mut spacings = BTreeMap::new();
    for file in tree.files().filter(|file| file.ends_with("cephalogram_machine_mappings.csv")) {
        let at = |e: Error| e.at(tree.path(file).display());
        let cells = Cells::read(&tree.text(file)?).map_err(at)?;
        let id = cells.column(&["cephalogram_id", "ceph_id", "image_id", "cephalogram", "image", "id"]);
        let size = cells.column(&["pixel_size", "pixel_size_(mm)", "pixel_size(mm)", "pixelsize", "spacing"]);
        let (Some(id), Some(size)) = (id, size) else {
            return Err(at(Error::input("no columns of images and sizes of pixels")
                .at(line(1))
                .remedy("they are called cephalogram_id and pixel_size; or remove the file and use --spacing")));
        };
        for (number, row) in &cells.rows {
            if let Some(mm) = cells.number(row, size).map_err(|e| at(e.at(line(*number))))? {
                let name = Path::new(row.get(id).unwrap_or_default()).with_extension("");
                spacings.insert(name.to_string_lossy().to_lowercase(), Spacing { x: mm, y: mm });
            }
        }
    }
    Ok(spacings)
}
