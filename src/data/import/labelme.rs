//! labelme: a JSON file an image, with a shape of type `point` per landmark. X-AnyLabeling writes the same with more keys.
//!
//! Origin: labelme's canvas counts from the image's upper left corner, so a pixel's centre is ½ more than here. Orientation:
//! labelme turns pictures by EXIF before they are marked (`labelme/_label_file.py`, `apply_exif_orientation`), also those it puts
//! into `imageData`; so does X-AnyLabeling. Visibility: a missing landmark has no shape. Files of labelme 3 have no `shape_type`: one point
//! is a point. Source: `labelme/_label_file.py` of github.com/wkentaro/labelme.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;

use sweep_core::error::{Error, Result};
use sweep_core::units::{Point, Size};

use super::name_list::NameList;
use super::origin::Origin;
use super::parsed::{ParsedDataset, PixelSource, Record, landmark_name, split_in};
use super::tree::Tree;
use super::{Frame, Importer, Options};

pub(super) const IMPORTER: Importer = Importer {
    name: "labelme",
    reads: "a JSON an image, shapes of type `point` by label, the image from `imagePath` or `imageData`; positions less \
            ½, since labelme counts from the image's corner; split from folders' names; also X-AnyLabeling's files",
    loses: "other shapes (counted), flags, groups",
    origin: Origin::Corner,
    leaves_origin: false,
    has_categories: true,
    is_table: false,
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
    #[serde(rename = "group_id")]
    group: Option<serde_json::Value>,
}

fn is_labelme(tree: &Tree, file: &Path) -> bool {
    let keys = tree.keys(file);
    let has = |need: &str| keys.iter().any(|key| key == need);
    has("shapes") && (has("imagePath") || has("imageData"))
}

fn read(tree: &Tree, options: &Options) -> Result<ParsedDataset> {
    let origin = options.origin.unwrap_or(IMPORTER.origin);
    let mut names = NameList::default();
    let mut marked = Vec::new();
    let (mut others, mut foreign) = (0, 0);
    let candidates = tree.annotations("json");
    for file in &candidates {
        if candidates.len() > 1 && !is_labelme(tree, file) && tree.json::<IgnoredAny>(file).is_ok() {
            foreign += 1;
            continue;
        }
        let Some(image) = tree.keep(image(tree, file, origin, &mut names))? else { continue };
        others += image.shapes.others.len();
        marked.push((file, image));
    }
    let mut records = Vec::new();
    for (file, image) in marked {
        let at = |e: Error| e.at(tree.path(file).display());
        if tree.keep(image.shapes.check(&names).map_err(at))?.is_none() {
            continue;
        }
        let Image { path, source, size, shapes } = image;
        let location = tree.path(file).display().to_string();
        let new = Record::new(&path, source, names.row(&shapes.points), location);
        records.push(Record { size, frame: FRAME, split: split_in(&path), ..new });
    }
    let mut notes = Vec::new();
    if others > 0 {
        notes.push(format!("{others} shapes are not points and were left out"));
    }
    if foreign > 0 {
        notes.push(format!("{foreign} JSON files are not labelme's and were not read"));
    }
    Ok(ParsedDataset { name: tree.name(), landmarks: names.names().to_vec(), observer_mre: None, records, notes })
}

/// The image as a file describes it.
struct Image {
    path: PathBuf,
    source: PixelSource,
    size: Option<Size>,
    shapes: Shapes,
}

fn image(tree: &Tree, file: &Path, origin: Origin, names: &mut NameList) -> Result<Image> {
    let content: File = tree.json(file)?;
    let at = |e: Error| e.at(tree.path(file).display());
    let shapes = shapes(&content.shapes, origin, names).map_err(at)?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let found = tree.find(folder, content.image_path.as_deref().unwrap_or_default());
    let (path, source) = match found {
        Ok(image) => {
            let path = tree.path(&image);
            (image, PixelSource::File(path))
        }
        Err(_) if content.image_data.is_some() => (file.with_extension("png"), PixelSource::Labelme(tree.path(file))),
        Err(error) => return Err(at(error.at("field imagePath"))),
    };
    let size = content.image_width.zip(content.image_height).map(|(width, height)| Size { height, width });
    Ok(Image { path, source, size, shapes })
}

/// The shapes of a file.
#[derive(Default)]
struct Shapes {
    points: BTreeMap<usize, Point>,
    /// Label, type and place of shapes that are not points.
    others: Vec<(String, String, usize)>,
}

impl Shapes {
    /// An error where a landmark was drawn as another shape: it would be missing without a word.
    fn check(&self, names: &NameList) -> Result<()> {
        let drawn = self
            .others
            .iter()
            .find(|(label, ..)| names.get(label).is_some_and(|index| !self.points.contains_key(&index)));
        match drawn {
            Some((label, kind, index)) => {
                Err(Error::input(format!("{label} is a {kind} here, and a point in other files"))
                    .at(format!("field shapes[{index}].shape_type"))
                    .remedy(format!("mark {label} as a point, or give the {kind} another label")))
            }
            None => Ok(()),
        }
    }
}

fn shapes(all: &[LabelmeShape], origin: Origin, names: &mut NameList) -> Result<Shapes> {
    let mut shapes = Shapes::default();
    let mut groups: BTreeMap<usize, &LabelmeShape> = BTreeMap::new();
    for (index, shape) in all.iter().enumerate() {
        let at = |e: Error| e.at(format!("field shapes[{index}]"));
        let kind = shape.kind.as_deref();
        let [x, y] = match (&shape.points[..], kind) {
            ([one], None | Some("point")) => *one,
            (points, Some("point")) => {
                return Err(at(Error::input(format!("{} positions are not one point", points.len())).at("points")));
            }
            _ => {
                let kind = kind.unwrap_or("shape of several points").to_owned();
                shapes.others.push((landmark_name(&shape.label).unwrap_or_default(), kind, index));
                continue;
            }
        };
        let name = landmark_name(&shape.label).map_err(at)?;
        let number = names.index(&name);
        if shapes.points.insert(number, origin.position(x, y).map_err(at)?).is_some() {
            let before = groups.get(&number).and_then(|shape| shape.group.as_ref());
            let remedy = if before == shape.group.as_ref() {
                "keep one point per label"
            } else {
                "keep one object per image: these points have different group_id"
            };
            return Err(at(Error::input(format!("landmark {name} is there twice")).remedy(remedy)));
        }
        groups.insert(number, shape);
    }
    Ok(shapes)
}
