//! COCO keypoints: `images`, `annotations` and `categories` in a JSON file, or one a split.
//!
//! Origin: COCO's own keypoints are indices of pixels, so a pixel's centre is a whole number as here. Other programs write
//! positions from the image's corner into the same fields, half a pixel more (detectron2's `coco.py` adds ½ to COCO's own
//! for that reason): `coco_origin.rs` tells them apart. Orientation: COCO's own images have no EXIF orientation; exporters
//! write what their tool marked, see there. Visibility: v = 0 is missing, 1 hidden, 2 visible. Source:
//! cocodataset.org/#format-data, "Keypoint Detection".

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use sweep_core::error::{Error, Result};
use sweep_core::units::{Point, Size, Spacing};

use super::coco_layout::{Category, Layout};
use super::coco_origin;
use super::known_names;
use super::number::Word;
use super::origin::Origin;
use super::parsed::{ParsedDataset, PixelSource, Record, split_in};
use super::tree::Tree;
use super::{Frame, Importer, Options};

pub(super) const IMPORTER: Importer = Importer {
    name: "coco",
    reads: "JSON of one category with keypoints (of several, `--category NAME`), one annotated object an image, or of a \
            category with one keypoint per landmark; v = 0 is missing; positions as they are, or less ½ where CVAT, Datumaro, \
            Label Studio or X-AnyLabeling wrote the file; split from the name of the JSON or the images' folder; \
            `spacing_mm` and `patient` of an image, which `sweep data export` adds",
    loses: "boxes, masks, skeleton, hidden (v = 1) or visible (v = 2)",
    origin: Origin::Centre,
    leaves_origin: false,
    has_categories: true,
    is_table: false,
    recognizes: |tree| tree.some("json").iter().any(|file| is_coco(tree, file)),
    read,
};

/// COCO says nothing of EXIF. Browsers and CVAT show the turned picture, so that it is what people mark; but some exporters
/// measure the stored one even so (Label Studio's: HumanSignal/label-studio#6608), and pipelines on `OpenCV` or PIL may mark
/// that (voxel51/fiftyone#3778, Erotemic/shitspotter#18).
const FRAME: Frame = Frame::Exported;

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    info: Value,
    #[serde(default)]
    licenses: Value,
    images: Vec<Image>,
    annotations: Vec<Annotation>,
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct Image {
    id: Word,
    file_name: String,
    width: Option<usize>,
    height: Option<usize>,
    /// Not COCO's, which knows no size of pixels.
    spacing_mm: Option<[f64; 2]>,
    patient: Option<Word>,
    license: Option<Value>,
    date_captured: Option<Value>,
}

type Numbers = Vec<Option<f64>>;

#[derive(Deserialize)]
struct Annotation {
    image_id: Word,
    category_id: Word,
    keypoints: Option<Numbers>,
    // Of COCO-WholeBody.
    foot_kpts: Option<Numbers>,
    face_kpts: Option<Numbers>,
    lefthand_kpts: Option<Numbers>,
    righthand_kpts: Option<Numbers>,
}

impl Annotation {
    /// COCO-WholeBody's further points: six of the feet, 68 of the face, 21 of each hand.
    fn whole_body(&self) -> Option<[(&Numbers, usize); 4]> {
        Some([
            (self.foot_kpts.as_ref()?, 6),
            (self.face_kpts.as_ref()?, 68),
            (self.lefthand_kpts.as_ref()?, 21),
            (self.righthand_kpts.as_ref()?, 21),
        ])
    }
}

fn is_coco(tree: &Tree, file: &Path) -> bool {
    let keys = tree.keys(file);
    ["images", "annotations", "categories"].iter().all(|need| keys.iter().any(|key| key == need))
}

fn read(tree: &Tree, options: &Options) -> Result<ParsedDataset> {
    let (mut parsed, mut files) = (
        ParsedDataset {
            name: tree.name(),
            landmarks: Vec::new(),
            observer_mre: None,
            records: Vec::new(),
            notes: Vec::new(),
        },
        0,
    );
    let candidates = tree.annotations("json");
    for file in &candidates {
        // Files that are no JSON and the named file are read, so that their errors are reported.
        let other = || tree.json::<IgnoredAny>(file).is_ok() && !tree.keys(file).iter().any(|key| key == "annotations");
        if candidates.len() > 1 && other() {
            parsed.notes.push(format!("{} is not COCO and was not read", file.display()));
            continue;
        }
        files += 1;
        let content: File = tree.json(file)?;
        read_file(tree, file, &content, options, &mut parsed).map_err(|e| e.at(tree.path(file).display()))?;
    }
    if files == 0 {
        return Err(Error::input("there is no JSON file of images, annotations and categories"));
    }
    Ok(parsed)
}

fn read_file(tree: &Tree, file: &Path, content: &File, options: &Options, parsed: &mut ParsedDataset) -> Result<()> {
    let layout = layout(content, options)?;
    let (origin, note) = origin(content, &layout, options);
    parsed.notes.extend(layout.note.iter().cloned().chain(note).map(|note| format!("{}: {note}", file.display())));
    if parsed.landmarks.is_empty() {
        parsed.landmarks.clone_from(&layout.landmarks);
    } else if parsed.landmarks != layout.landmarks {
        return Err(Error::input("other keypoints than in the file before it").at("field categories"));
    }
    let (mut points, bad) = points(tree, file, content, &layout, origin)?;
    let mut unmarked = 0;
    let subset = subset(tree, file);
    let place = || tree.path(file).display().to_string();
    for (index, image) in content.images.iter().enumerate() {
        let at = |e: Error| e.at(format!("field images[{index}].file_name"));
        let found = points.remove(&image.id);
        if bad.contains(&image.id) {
            continue;
        }
        let path = find(tree, file, &image.file_name, subset.as_deref()).map_err(at);
        let Some(path) = tree.keep_at(place, path)? else { continue };
        let split = split_in(file).or_else(|| split_in(&path));
        // A test image may be without a landmark.
        let missing = || (split == Some(crate::Split::Test)).then(|| vec![None; layout.landmarks.len()]);
        let Some(landmarks) = found.or_else(missing) else {
            unmarked += 1;
            continue;
        };
        // Datumaro writes 0 where it does not know the size.
        let size = image.width.zip(image.height).filter(|(width, height)| width * height > 0);
        parsed.records.push(Record {
            split,
            frame: FRAME,
            size: size.map(|(width, height)| Size { height, width }),
            spacing: image.spacing_mm.map(|[x, y]| Spacing { x, y }),
            patient: image.patient.as_ref().map(|patient| patient.0.clone()),
            ..Record::new(
                &path,
                PixelSource::File(tree.path(&path)),
                landmarks,
                format!("{}: field images[{index}]", tree.path(file).display()),
            )
        });
    }
    for id in points.into_keys().filter(|id| !bad.contains(id)) {
        let what = format!("an annotation is of image {}, which is not there", id.0);
        tree.keep_at::<()>(place, Err(Error::input(what).at("field images")))?;
    }
    if unmarked > 0 {
        parsed.notes.push(format!("{}: {unmarked} images without keypoints were left out", file.display()));
    }
    Ok(())
}

/// The file's landmarks, COCO-WholeBody's among them.
fn layout(content: &File, options: &Options) -> Result<Layout> {
    let mut counts: BTreeMap<&Word, BTreeSet<usize>> = BTreeMap::new();
    for annotation in &content.annotations {
        if let Some(keypoints) = annotation.keypoints.as_ref().filter(|keypoints| !keypoints.is_empty()) {
            counts.entry(&annotation.category_id).or_default().insert(keypoints.len() / 3);
        }
    }
    let mut layout = Layout::of(&content.categories, &counts, options.category.as_deref())?;
    let whole = content.annotations.iter().any(|annotation| annotation.whole_body().is_some());
    if whole && layout.ranges.len() == 1 && layout.landmarks.len() == known_names::COCO.len() {
        layout.landmarks.extend(known_names::whole_body_without_body());
        layout.ranges.values_mut().for_each(|(_, count)| *count = layout.landmarks.len());
    }
    Ok(layout)
}

fn origin(content: &File, layout: &Layout, options: &Options) -> (Origin, Option<String>) {
    if let Some(origin) = options.origin {
        return (origin, None);
    }
    let image = content.images.first();
    let says = coco_origin::Signs {
        info: &content.info,
        licenses: &content.licenses,
        image_license: image.and_then(|image| image.license.as_ref()),
        date_captured: image.and_then(|image| image.date_captured.as_ref()),
        is_own: image.is_some_and(|image| image.spacing_mm.is_some()),
    };
    let of_landmarks = content.annotations.iter().filter(|a| layout.ranges.contains_key(&a.category_id));
    let numbers = of_landmarks.filter_map(|annotation| annotation.keypoints.as_ref()).flatten();
    let has_fractions = numbers.flatten().any(|number| number.fract() != 0.0);
    coco_origin::of(&says, has_fractions)
}

/// Landmarks by image.
type ImagePoints<'a> = BTreeMap<&'a Word, Vec<Option<Point>>>;

/// Landmarks by image, and the images that are left out because an annotation of them is bad.
fn points<'a>(
    tree: &Tree,
    file: &Path,
    content: &'a File,
    layout: &Layout,
    origin: Origin,
) -> Result<(ImagePoints<'a>, BTreeSet<&'a Word>)> {
    let (mut points, mut bad) = (ImagePoints::new(), BTreeSet::new());
    let mut seen: BTreeSet<(&Word, &Word)> = BTreeSet::new();
    let place = || tree.path(file).display().to_string();
    for (index, annotation) in content.annotations.iter().enumerate() {
        let Some((first, count)) = layout.ranges.get(&annotation.category_id).copied() else { continue };
        let Some(keypoints) = annotation.keypoints.as_ref().filter(|keypoints| !keypoints.is_empty()) else { continue };
        let at = |e: Error| e.at(format!("field annotations[{index}].keypoints"));
        let mut all = keypoints.clone();
        if count > known_names::COCO.len()
            && let Some(more) = annotation.whole_body()
        {
            for (numbers, count) in more {
                all.extend(numbers.iter().copied().chain(std::iter::repeat(Some(0.0))).take(3 * count));
            }
        }
        let names = &layout.landmarks[first..first + count];
        let found = keypoints_of(&all, names, origin).map_err(at);
        let Some(found) = tree.keep_at(place, found)? else {
            bad.insert(&annotation.image_id);
            continue;
        };
        if found.iter().all(Option::is_none) {
            continue;
        }
        if !seen.insert((&annotation.image_id, &annotation.category_id)) {
            let what = if layout.ranges.len() > 1 {
                format!("landmark {} is there twice", layout.landmarks[first])
            } else {
                "a second object with keypoints".to_owned()
            };
            let error = Error::input(format!("{what} in image {}", annotation.image_id.0));
            tree.keep_at::<()>(place, Err(at(error.remedy("keep one object per image"))))?;
            bad.insert(&annotation.image_id);
            continue;
        }
        let row = points.entry(&annotation.image_id).or_insert_with(|| vec![None; layout.landmarks.len()]);
        row[first..first + count].copy_from_slice(&found);
    }
    Ok((points, bad))
}

/// x, y, v of every landmark.
fn keypoints_of(keypoints: &[Option<f64>], names: &[String], origin: Origin) -> Result<Vec<Option<Point>>> {
    if keypoints.len() != 3 * names.len() {
        return Err(Error::input(format!("{} numbers are not x, y, v of {} keypoints", keypoints.len(), names.len())));
    }
    let point = |(triple, name): (&[Option<f64>], &String)| match triple[..] {
        [_, _, Some(0.0)] | [None, None, None] => Ok(None),
        [Some(x), Some(y), Some(v)] if v > 0.0 => origin.position(x, y).map(Some),
        [_, _, Some(v)] if v < 0.0 => {
            Err(Error::input(format!("{name}: v = {v} is not 0, 1 or 2")).remedy("write v = 0 where it is missing"))
        }
        [_, _, Some(v)] => {
            Err(Error::input(format!("{name}: v = {v} says that it is marked, but x or y is NaN or null"))
                .remedy("write v = 0 where it is missing"))
        }
        _ => Err(Error::input(format!("{name}: v is NaN or null")).remedy("write v = 0 where it is missing, else 2")),
    };
    keypoints.chunks_exact(3).zip(names).map(point).collect()
}

/// The folder of images that belongs to a file: CVAT and Datumaro write `annotations/person_keypoints_SUBSET.json` and
/// `images/SUBSET`, COCO itself the same without `images`.
fn subset(tree: &Tree, file: &Path) -> Option<String> {
    let stem = file.file_stem()?.to_string_lossy().to_lowercase();
    let subset = ["person_keypoints_", "keypoints_"].iter().find_map(|task| stem.strip_prefix(task)).unwrap_or(&stem);
    let mut folders = tree.images().flat_map(|image| image.parent().into_iter().flat_map(Path::components));
    let has_folder = folders.any(|part| part.as_os_str().to_string_lossy().to_lowercase() == subset);
    has_folder.then(|| subset.to_owned())
}

fn find(tree: &Tree, file: &Path, name: &str, subset: Option<&str>) -> Result<PathBuf> {
    let folder = file.parent().unwrap_or(Path::new(""));
    if name.contains(['/', '\\']) {
        return tree.find(folder, name);
    }
    let of_subset = subset.and_then(|subset| tree.find(folder, &format!("{subset}/{name}")).ok());
    if let Some(path) = of_subset {
        return Ok(path);
    }
    let path = tree.find(folder, name)?;
    // Another subset's image of the same name is another image.
    match (subset, split_in(file).zip(split_in(&path))) {
        (Some(subset), Some((own, other))) if own != other => {
            Err(Error::input(format!("there is no image `{name}` in {subset}, only `{}`", path.display()))
                .remedy("put the image into its own folder, or remove the entry"))
        }
        _ => Ok(path),
    }
}
