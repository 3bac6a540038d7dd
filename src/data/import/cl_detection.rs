//! CL-Detection 2023: a stack of images, padded with black to the right and below, and one JSON of all points; and the
//! CSV files of 2023 and 2024 beside single images.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::picture::mha;
use sweep_core::error::{Error, Result};
use sweep_core::units::{Point, Spacing};

use super::coordinates::pairs;
use super::csv_wide::{header_of, read_files};
use super::number::{Number, Word};
use super::parsed::{ParsedDataset, PixelSource, Record, position};
use super::tree::Tree;
use super::{Importer, Options, Origin};

pub(super) const IMPORTER: Importer = Importer {
    name: "cl-detection",
    reads: "a stack `.mha` and a JSON of \"Multiple points\" (padding cropped, spacing from `scale`), or CSV \
            `file,scale,p1x,p1y,…` or `image file,spacing(mm),p1x,…` and images",
    loses: "colours; image numbers become names",
    origin: Origin::Centre,
    leaves_origin: true,
    has_categories: false,
    is_table: false,
    recognizes: |tree| tree.some("json").iter().any(|file| is_points(tree, file)) || !tables(tree).is_empty(),
    read,
};

/// The JSON of all points.
#[derive(Deserialize)]
struct Points {
    points: Vec<Marked>,
}

#[derive(Deserialize)]
struct Marked {
    name: Word,
    /// x, y and the image's number, from 1.
    point: [Number; 3],
    scale: Option<Number>,
}

fn is_points(tree: &Tree, file: &Path) -> bool {
    let keys = tree.keys(file);
    keys.iter().any(|key| key == "points") && keys.iter().any(|key| key == "type")
}

/// CSV files whose landmarks are p1, p2, … beside a scale.
fn tables(tree: &Tree) -> Vec<&Path> {
    let is = |file: &&Path| {
        header_of(tree, file).is_some_and(|cells| {
            cells.column(&["scale", "spacing(mm)"]).is_some()
                && pairs(&cells).first().is_some_and(|pair| pair.name.eq_ignore_ascii_case("p1"))
        })
    };
    tree.annotations("csv").into_iter().filter(is).collect()
}

fn read(tree: &Tree, _: &Options) -> Result<ParsedDataset> {
    let name = format!("cl-detection-{}", tree.name());
    let files: Vec<&Path> = tree.annotations("json").into_iter().filter(|file| is_points(tree, file)).collect();
    match files[..] {
        [] => read_files(tree, &tables(tree), name),
        [one] => read_stack(tree, one, name),
        [..] => Err(Error::input("several JSON files of points").remedy("name one of them as the source")),
    }
}

fn read_stack(tree: &Tree, file: &Path, name: String) -> Result<ParsedDataset> {
    let stack = stack(tree)?;
    let start = tree.start(stack, mha::MAX_HEADER)?;
    let header = mha::Header::parse(&start).map_err(|e| e.at(tree.path(stack).display()))?;
    let marked: Points = tree.json(file)?;

    let mut names: Vec<(Option<u64>, String)> = Vec::new();
    let mut images: BTreeMap<usize, (Option<f64>, BTreeMap<String, Point>)> = BTreeMap::new();
    for (index, marked) in marked.points.into_iter().enumerate() {
        let at = |e: Error| e.at(format!("{}: field points[{index}]", tree.path(file).display()));
        let [x, y, number] = marked.point.map(|n| n.0);
        let label = marked.name.0;
        // Numbered landmarks are called as in the CSV files.
        let label = if label.chars().all(|c| c.is_ascii_digit()) { format!("p{label}") } else { label };
        let is_number = number >= 1.0 && number <= header.slices as f64 && number.fract() == 0.0;
        if !is_number {
            return Err(at(Error::input(format!("image {number} of a stack of {}", header.slices))
                .at("point")
                .remedy("images are counted from 1")));
        }
        let key = (label.strip_prefix('p').and_then(|n| n.parse().ok()), label.clone());
        if !names.contains(&key) {
            names.push(key);
        }
        let (scale, points) = images.entry(number as usize).or_default();
        let own = marked.scale.map(|scale| scale.0);
        if *scale != own && !points.is_empty() {
            return Err(at(Error::input(format!("another scale than before in image {number}")).at("scale")));
        }
        *scale = own;
        if points.insert(label.clone(), position(x, y).map_err(at)?).is_some() {
            return Err(at(Error::input(format!("image {number} has landmark {label} twice"))));
        }
    }
    names.sort_by(|a, b| (a.0.is_none(), a).cmp(&(b.0.is_none(), b)));
    let landmarks: Vec<String> = names.into_iter().map(|(_, name)| name).collect();
    let mut notes = Vec::new();
    if images.len() < header.slices {
        notes.push(format!(
            "{} of {} images have no point and were left out",
            header.slices - images.len(),
            header.slices
        ));
    }
    let records = images.into_iter().map(|(number, (scale, points))| {
        let image = format!("{number:03}.png");
        let source = PixelSource::Slice { stack: tree.path(stack), index: number - 1 };
        let landmarks = landmarks.iter().map(|name| points.get(name).copied()).collect();
        let location = format!("{}: image {number}", tree.path(file).display());
        let spacing = scale.map(|scale| Spacing { x: scale, y: scale });
        Record { spacing, ..Record::new(Path::new(&image), source, landmarks, location) }
    });
    Ok(ParsedDataset { name, records: records.collect(), landmarks, observer_mre: None, notes })
}

/// The one stack.
fn stack(tree: &Tree) -> Result<&Path> {
    let ends = |file: &&Path| file.extension().is_some_and(|e| e.eq_ignore_ascii_case("mha"));
    let stacks: Vec<&Path> = tree.files().filter(ends).collect();
    match stacks[..] {
        [one] => Ok(one),
        [] => Err(Error::input("there is no stack of images").remedy("put the .mha file beside the JSON")),
        [a, b, ..] => Err(Error::input(format!("two stacks, {} and {}", a.display(), b.display()))
            .remedy("keep the JSON with its own stack in a folder")),
    }
}
