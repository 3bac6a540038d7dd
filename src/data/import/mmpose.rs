//! MMPose's predictions: a JSON file an image with `meta_info` and `instance_info`, or a list of instances.
//!
//! Origin: MMPose follows COCO's pixel indices, so a pixel's centre is a whole number as here. Orientation: MMCV reads
//! pictures with OpenCV and turns them by EXIF (`mmcv.imread`, flag `color`). Visibility: a predicted point has a score and is always
//! there. Sources: `demo/topdown_demo_with_mmdet.py`, `mmpose/apis/inferencers/base_mmpose_inferencer.py` and
//! `mmpose/structures/utils.py` (`split_instances`) of github.com/open-mmlab/mmpose.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use sweep_core::error::{Error, Result};

use super::json_outline::Outline;
use super::known_names;
use super::marked::Marked;
use super::origin::Origin;
use super::parsed::{ParsedDataset, PixelSource, Record, split_in};
use super::pose_files::{found, image_of};
use super::tree::Tree;
use super::{Importer, Options};

pub(super) const IMPORTER: Importer = Importer {
    name: "mmpose",
    reads: "MMPose's predictions `NAME.json` beside the images: one instance an image, names from `meta_info`, else COCO's of \
            17 points or p1, p2, …; positions as they are; split from folders' names",
    loses: "scores, boxes",
    origin: Origin::Centre,
    leaves_origin: false,
    has_categories: true,
    is_table: false,
    recognizes: |tree| tree.some("json").iter().any(|file| is_mmpose(tree, file)),
    read,
};

fn is_mmpose(tree: &Tree, file: &Path) -> bool {
    let outline = Outline::of(tree, file);
    outline.is_object_of(&["instance_info"]) || outline.is_list_of(&["keypoints", "keypoint_scores"])
}

#[derive(Deserialize)]
#[serde(untagged)]
enum File {
    Whole(Whole),
    List(Vec<Instance>),
}

#[derive(Deserialize)]
struct Whole {
    #[serde(default)]
    meta_info: Meta,
    instance_info: Vec<Instance>,
}

#[derive(Deserialize, Default)]
struct Meta {
    #[serde(default)]
    keypoint_id2name: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Instance {
    keypoints: Option<Vec<Vec<Option<f64>>>>,
    /// Of a video.
    frame_id: Option<u64>,
}

fn read(tree: &Tree, options: &Options) -> Result<ParsedDataset> {
    let candidates = tree.annotations("json");
    let files: Vec<&Path> = candidates.iter().copied().filter(|file| is_mmpose(tree, file)).collect();
    let files = if files.is_empty() && candidates.len() == 1 { candidates } else { files };
    if files.is_empty() {
        return Err(Error::input("there is no JSON file of instances with keypoints"));
    }
    let origin = options.origin.unwrap_or(IMPORTER.origin);
    let mut marked = Marked::default();
    let mut names: Option<Vec<String>> = None;
    for file in files {
        let before = marked.len();
        let added = add(tree, file, origin, &mut marked, &mut names);
        marked.keep(tree, before, added)?;
    }
    Ok(marked.finish(tree))
}

/// Adds the image of a file with its points, which have these names, if files before it said them.
fn add(tree: &Tree, file: &Path, origin: Origin, marked: &mut Marked, names: &mut Option<Vec<String>>) -> Result<()> {
    let at = |e: Error| e.at(tree.path(file).display());
    let (meta, instances) = match tree.json::<File>(file)? {
        File::Whole(whole) => (whole.meta_info, whole.instance_info),
        File::List(list) => (Meta::default(), list),
    };
    let image = image_of(tree, file, "").map_err(at)?;
    let source = PixelSource::File(tree.path(&image));
    let location = tree.path(file).display().to_string();
    let record = Record { split: split_in(&image), ..Record::new(&image, source, Vec::new(), location) };
    let index = marked.image(record).map_err(at)?;
    let keypoints = match &instances[..] {
        [] => return Ok(()),
        [Instance { keypoints: Some(keypoints), frame_id: None }] => keypoints,
        [Instance { frame_id: Some(_), .. }, ..] => {
            return Err(at(Error::input("frames of a video")
                .at("field instance_info")
                .remedy("predict single images")));
        }
        [Instance { keypoints: None, .. }, ..] => {
            return Err(at(Error::input("an instance without keypoints").at("field instance_info[0]")));
        }
        [..] => {
            return Err(at(Error::input(format!("{} instances", instances.len()))
                .at("field instance_info")
                .remedy("keep one instance per image")));
        }
    };
    let own = names_of(&meta, keypoints.len(), &mut marked.notes, names.is_none()).map_err(at)?;
    let names = names.get_or_insert_with(|| own.clone());
    if *names != own {
        return Err(at(Error::input("other keypoints than in the file before it").at("field keypoints")));
    }
    marked.declare(names.iter().map(String::as_str));
    for (number, (position, name)) in keypoints.iter().zip(names.iter()).enumerate() {
        let at = |e: Error| at(e.at(format!("keypoints[{number}]")));
        let [x, y] = position[..] else {
            return Err(at(Error::input(format!("{} coordinates are not x and y", position.len()))));
        };
        if let Some((x, y)) = found(x, y, None).map_err(at)? {
            marked.mark(index, name, origin.position(x, y).map_err(at)?).map_err(at)?;
        }
    }
    Ok(())
}

/// Names of so many keypoints, as the file says them, else by their number.
fn names_of(meta: &Meta, count: usize, notes: &mut Vec<String>, is_first: bool) -> Result<Vec<String>> {
    if meta.keypoint_id2name.is_empty() {
        let (names, note) = known_names::of_count("person", count);
        notes.extend(note.filter(|_| is_first));
        return Ok(names);
    }
    let name = |index: usize| meta.keypoint_id2name.get(&index.to_string()).cloned();
    (0..count).map(name).collect::<Option<_>>().filter(|_| meta.keypoint_id2name.len() == count).ok_or_else(|| {
        Error::input(format!("not the names of {count} keypoints")).at("field meta_info.keypoint_id2name")
    })
}
