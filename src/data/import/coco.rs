//! COCO keypoints: `images`, `annotations` and `categories` in a JSON file, or one a split.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use sweep_core::error::{Error, Result};
use sweep_core::units::{Point, Size, Spacing};

use super::number::Word;
use super::parsed::{ParsedDataset, PixelSource, Record, landmark_name, position, split_in};
use super::tree::Tree;
use super::{Frame, Importer, Options};

pub(super) const IMPORTER: Importer = Importer {
    name: "coco",
    reads: "JSON of one category with keypoints, one annotated object an image; v = 0 is missing; split from the name of \
            the JSON or the images' folder; `spacing_mm` and `patient` of an image, which `sweep data export` adds",
    loses: "boxes, masks, skeleton, hidden (v = 1) or visible (v = 2)",
    recognizes: |tree| tree.some("json").iter().any(|file| is_coco(tree, file)),
    read,
};

/// COCO says nothing of EXIF. Browsers and CVAT show the turned picture, so that it is what people mark; but some exporters
/// measure the stored one even so (Label Studio's: HumanSignal/label-studio#6608), and pipelines on `OpenCV` or PIL may mark
/// that (voxel51/fiftyone#3778, Erotemic/shitspotter#18).
const FRAME: Frame = Frame::Exported;

#[derive(Deserialize)]
struct File {
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
}

#[derive(Deserialize)]
struct Annotation {
    image_id: Word,
    category_id: Word,
    keypoints: Option<Vec<Option<f64>>>,
}

#[derive(Deserialize)]
struct Category {
    id: Word,
    keypoints: Option<Vec<Word>>,
}

fn is_coco(tree: &Tree, file: &Path) -> bool {
    let keys = tree.keys(file);
    ["images", "annotations", "categories"].iter().all(|need| keys.iter().any(|key| key == need))
}

fn read(tree: &Tree, _: &Options) -> Result<ParsedDataset> {
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
        read_file(tree, file, &content, &mut parsed).map_err(|e| e.at(tree.path(file).display()))?;
    }
    if files == 0 {
        return Err(Error::input("there is no JSON file of images, annotations and categories"));
    }
    Ok(parsed)
}

fn read_file(tree: &Tree, file: &Path, content: &File, parsed: &mut ParsedDataset) -> Result<()> {
    let with: Vec<(usize, &Category)> =
        content.categories.iter().enumerate().filter(|(_, category)| category.keypoints.is_some()).collect();
    let [(index, category)] = with[..] else {
        return Err(Error::input(format!("{} categories have keypoints", with.len()))
            .at("field categories")
            .remedy("keep the one whose keypoints are the landmarks"));
    };
    let names = category.keypoints.iter().flatten().map(|name| landmark_name(&name.0)).collect::<Result<Vec<_>>>();
    let names = names.map_err(|e| e.at(format!("field categories[{index}].keypoints")))?;
    if parsed.landmarks.is_empty() {
        parsed.landmarks.clone_from(&names);
    } else if parsed.landmarks != names {
        return Err(Error::input("other keypoints than in the file before it").at("field categories"));
    }
    let mut points: BTreeMap<&Word, Vec<Option<Point>>> = BTreeMap::new();
    for (index, annotation) in content.annotations.iter().enumerate() {
        if annotation.category_id != category.id {
            continue;
        }
        let Some(keypoints) = &annotation.keypoints else { continue };
        let at = |e: Error| e.at(format!("field annotations[{index}].keypoints"));
        let found = keypoints_of(keypoints, names.len()).map_err(at)?;
        if found.iter().all(Option::is_none) {
            continue;
        }
        if points.insert(&annotation.image_id, found).is_some() {
            return Err(at(Error::input(format!("a second object with keypoints in image {}", annotation.image_id.0))
                .remedy("keep one object per image")));
        }
    }
    let mut unmarked = 0;
    let folder = file.parent().unwrap_or(Path::new(""));
    for (index, image) in content.images.iter().enumerate() {
        let at = |e: Error| e.at(format!("field images[{index}].file_name"));
        let found = points.remove(&image.id);
        let path = tree.find(folder, &image.file_name).map_err(at)?;
        let split = split_in(file).or_else(|| split_in(&path));
        // A test image may be without a landmark.
        let Some(landmarks) = found.or_else(|| (split == Some(crate::Split::Test)).then(|| vec![None; names.len()]))
        else {
            unmarked += 1;
            continue;
        };
        parsed.records.push(Record {
            split,
            frame: FRAME,
            size: image.width.zip(image.height).map(|(width, height)| Size { height, width }),
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
    if let Some((id, _)) = points.first_key_value() {
        return Err(Error::input(format!("an annotation is of image {}, which is not there", id.0)).at("field images"));
    }
    if unmarked > 0 {
        parsed.notes.push(format!("{}: {unmarked} images without keypoints were left out", file.display()));
    }
    Ok(())
}

/// x, y, v of every landmark.
fn keypoints_of(keypoints: &[Option<f64>], count: usize) -> Result<Vec<Option<Point>>> {
    if keypoints.len() != 3 * count {
        return Err(Error::input(format!("{} numbers are not x, y, v of {count} keypoints", keypoints.len())));
    }
    let point = |triple: &[Option<f64>]| match triple[..] {
        [Some(x), Some(y), Some(v)] if v > 0.0 => position(x, y).map(Some),
        _ => Ok(None),
    };
    keypoints.chunks_exact(3).map(point).collect()
}
