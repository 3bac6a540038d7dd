//! OpenPose: a JSON file an image, `NAME_keypoints.json` of `people`.
//!
//! Origin: positions in the input picture's pixels as `--keypoint_scale 0` writes them, which the documentation does not place
//! within the pixel; they are taken from pixels' centres. Orientation: OpenCV, which reads the pictures, turns them by EXIF. Visibility: a
//! point of confidence 0 is missing. Source: "OpenPose - Output" of github.com/CMU-Perceptual-Computing-Lab/openpose.

use std::path::Path;

use serde::Deserialize;

use sweep_core::error::{Error, Result};

use super::json_outline::Outline;
use super::known_names::{BODY_25, OPENPOSE_COCO, OPENPOSE_MPI};
use super::marked::Marked;
use super::origin::Origin;
use super::parsed::{ParsedDataset, PixelSource, Record, split_in};
use super::pose_files::{found, image_of};
use super::tree::Tree;
use super::{Importer, Options};

pub(super) const IMPORTER: Importer = Importer {
    name: "openpose",
    reads: "OpenPose's `NAME_keypoints.json` beside the images: one person an image, body (25, 18 or 15 points by name), face \
            and hands; confidence 0 is missing; positions as they are; split from folders' names",
    loses: "confidence, 3D points",
    origin: Origin::Centre,
    leaves_origin: false,
    has_categories: true,
    is_table: false,
    recognizes: |tree| tree.some("json").iter().any(|file| is_openpose(tree, file)),
    read,
};

fn is_openpose(tree: &Tree, file: &Path) -> bool {
    Outline::of(tree, file).is_object_of(&["people"])
}

#[derive(Deserialize)]
struct File {
    people: Vec<Person>,
}

type Numbers = Vec<Option<f64>>;

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "OpenPose's names")]
struct Person {
    #[serde(default)]
    pose_keypoints_2d: Numbers,
    #[serde(default)]
    face_keypoints_2d: Numbers,
    #[serde(default)]
    hand_left_keypoints_2d: Numbers,
    #[serde(default)]
    hand_right_keypoints_2d: Numbers,
}

fn read(tree: &Tree, options: &Options) -> Result<ParsedDataset> {
    let candidates = tree.annotations("json");
    let files: Vec<&Path> = candidates.iter().copied().filter(|file| is_openpose(tree, file)).collect();
    let files = if files.is_empty() && candidates.len() == 1 { candidates } else { files };
    if files.is_empty() {
        return Err(Error::input("there is no JSON file of people"));
    }
    let origin = options.origin.unwrap_or(IMPORTER.origin);
    let mut marked = Marked::default();
    let mut extent: Option<f64> = None;
    for file in files {
        let before = marked.len();
        let added = add(tree, file, origin, &mut marked, &mut extent);
        marked.keep(tree, before, added)?;
    }
    if extent.is_some_and(|extent| extent <= 1.0) {
        return Err(Error::input("all positions are between -1 and 1: shares of the size, not pixels")
            .remedy("run OpenPose with --keypoint_scale 0"));
    }
    Ok(marked.finish(tree))
}

/// Adds the image of a file with its points; `extent` becomes the greatest coordinate so far.
fn add(tree: &Tree, file: &Path, origin: Origin, marked: &mut Marked, extent: &mut Option<f64>) -> Result<()> {
    let content: File = tree.json(file)?;
    let at = |e: Error| e.at(tree.path(file).display());
    let image = image_of(tree, file, "_keypoints").map_err(at)?;
    let source = PixelSource::File(tree.path(&image));
    let location = tree.path(file).display().to_string();
    let record = Record { split: split_in(&image), ..Record::new(&image, source, Vec::new(), location) };
    let index = marked.image(record).map_err(at)?;
    let person = match &content.people[..] {
        [] => return Ok(()),
        [one] => one,
        [..] => {
            return Err(at(Error::input(format!("{} people", content.people.len()))
                .at("field people")
                .remedy("keep one person per image")));
        }
    };
    for (field, numbers, names) in person.parts().map_err(at)? {
        for (number, (triple, name)) in numbers.chunks_exact(3).zip(names).enumerate() {
            let at = |e: Error| at(e.at(format!("field people[0].{field}[{}]", 3 * number)));
            if let Some((x, y)) = found(triple[0], triple[1], triple[2]).map_err(at)? {
                *extent = Some(extent.unwrap_or_default().max(x.abs()).max(y.abs()));
                marked.mark(index, &name, origin.position(x, y).map_err(at)?).map_err(at)?;
            }
        }
    }
    Ok(())
}

impl Person {
    /// Fields with points, and the points' names.
    fn parts(&self) -> Result<Vec<(&'static str, &Numbers, Vec<String>)>> {
        let body = || -> Result<Vec<String>> {
            let count = self.pose_keypoints_2d.len() / 3;
            [&BODY_25[..], &OPENPOSE_COCO, &OPENPOSE_MPI]
                .into_iter()
                .find(|names| names.len() == count)
                .map(|names| names.iter().map(|name| (*name).to_owned()).collect())
                .ok_or_else(|| {
                    Error::input(format!("{count} points are no body of 25, 18 or 15 points"))
                        .at("field people[0].pose_keypoints_2d")
                })
        };
        let numbered = |name: &str, numbers: &Numbers| (0..numbers.len() / 3).map(|i| format!("{name}{i}")).collect();
        let mut parts = Vec::new();
        for (field, numbers, name) in [
            ("pose_keypoints_2d", &self.pose_keypoints_2d, ""),
            ("face_keypoints_2d", &self.face_keypoints_2d, "face"),
            ("hand_left_keypoints_2d", &self.hand_left_keypoints_2d, "hand_left"),
            ("hand_right_keypoints_2d", &self.hand_right_keypoints_2d, "hand_right"),
        ] {
            if numbers.is_empty() {
                continue;
            }
            if numbers.len() % 3 != 0 {
                return Err(Error::input(format!("{} numbers are not x, y and confidence of points", numbers.len()))
                    .at(format!("field people[0].{field}")));
            }
            parts.push((field, numbers, if name.is_empty() { body()? } else { numbered(name, numbers) }));
        }
        Ok(parts)
    }
}
