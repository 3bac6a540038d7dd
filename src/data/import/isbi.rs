//! The challenge of ISBI 2015: `RawImage/{TrainingData,Test1Data,Test2Data}/NNN.bmp`, and by two observers
//! `AnnotationsByMD/{400_junior,400_senior}/NNN.txt`, whose first 19 lines are `x,y`; classes follow.

use std::collections::BTreeMap;
use std::path::Path;

use crate::Split;
use sweep_core::error::{Error, Result};
use sweep_core::units::{Point, Spacing};

use super::observers::{Marks, error_of_one};
use super::parsed::{ParsedDataset, PixelSource, Record, position};
use super::tree::Tree;
use super::{Frame, Importer, Options, Origin};

pub(super) const IMPORTER: Importer = Importer {
    name: "isbi2015",
    reads: "`RawImage/{TrainingData,Test1Data,Test2Data}`, `AnnotationsByMD/{400_junior,400_senior}`; `--truth`; \
            0.1 mm; error of one observer. Training, Test1 and Test2 become train, val and test and are never pooled",
    loses: "classes of the skull (lines 20 to 27)",
    origin: Origin::Centre,
    leaves_origin: true,
    has_categories: false,
    is_table: false,
    recognizes: |tree| {
        tree.files().any(|file| observer(file).is_some()) && tree.images().any(|file| part(file).is_some())
    },
    read,
};

/// In the order of the files' lines.
pub(super) const LANDMARKS: [&str; 19] = [
    "sella",
    "nasion",
    "orbitale",
    "porion",
    "subspinale",
    "supramentale",
    "pogonion",
    "menton",
    "gnathion",
    "gonion",
    "lower_incisor",
    "upper_incisor",
    "upper_lip",
    "lower_lip",
    "subnasale",
    "soft_tissue_pogonion",
    "PNS",
    "ANS",
    "articulare",
];

/// The challenge's bitmaps have no EXIF; a copy that has one is not the file that was marked.
const FRAME: Frame = Frame::Unknown;

const SPACING: Spacing = Spacing { x: 0.1, y: 0.1 };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Observer {
    Junior,
    Senior,
}

fn is_in(file: &Path, folder: &str) -> bool {
    file.parent().is_some_and(|p| p.components().any(|c| c.as_os_str().to_string_lossy().eq_ignore_ascii_case(folder)))
}

fn observer(file: &Path) -> Option<Observer> {
    let is_text = file.extension().is_some_and(|e| e.eq_ignore_ascii_case("txt"));
    match () {
        () if is_text && is_in(file, "400_junior") => Some(Observer::Junior),
        () if is_text && is_in(file, "400_senior") => Some(Observer::Senior),
        () => None,
    }
}

/// Test2 was marked otherwise than the rest: results on it and on Test1 are told apart by their splits.
fn part(file: &Path) -> Option<Split> {
    let parts = [("TrainingData", Split::Train), ("Test1Data", Split::Val), ("Test2Data", Split::Test)];
    parts.into_iter().find(|(folder, _)| is_in(file, folder)).map(|(_, split)| split)
}

fn stem(file: &Path) -> String {
    file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

fn read(tree: &Tree, options: &Options) -> Result<ParsedDataset> {
    let mut marks: BTreeMap<String, Marks> = BTreeMap::new();
    for file in tree.files() {
        let Some(by) = observer(file) else { continue };
        let points = points(&tree.text(file)?).map_err(|e| e.at(tree.path(file).display()))?;
        let of = marks.entry(stem(file)).or_default();
        let there = match by {
            Observer::Junior => &mut of.junior,
            Observer::Senior => &mut of.senior,
        };
        if there.replace(points).is_some() {
            return Err(Error::input("this observer marked the image twice").at(tree.path(file).display()));
        }
    }
    let (mut records, mut judged, mut notes, mut unmarked) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for file in tree.images() {
        let Some(split) = part(file) else { continue };
        let Some(of) = marks.get(&stem(file)) else {
            unmarked += 1;
            continue;
        };
        let location = tree.path(file).display().to_string();
        let landmarks = options.truth.choose(of).map_err(|e| e.at(&location))?;
        records.push(Record {
            split: Some(split),
            spacing: Some(SPACING),
            frame: FRAME,
            ..Record::new(file, PixelSource::File(tree.path(file)), landmarks, location)
        });
        judged.push((of.clone(), Some(split)));
    }
    if unmarked > 0 {
        notes.push(format!("{unmarked} images without annotations were left out"));
    }
    if records.iter().any(|record| record.split == Some(Split::Test)) {
        notes.push(
            "Test1 is split val, Test2 is split test: Test2 was marked otherwise and is never pooled with it".into(),
        );
    }
    Ok(ParsedDataset {
        name: format!("isbi2015-{}", options.truth.name()),
        landmarks: LANDMARKS.map(str::to_owned).to_vec(),
        observer_mre: error_of_one(&judged, |_| Some(options.spacing.unwrap_or(SPACING))),
        records,
        notes,
    })
}

fn points(text: &str) -> Result<Vec<Option<Point>>> {
    let mut lines = text.lines().enumerate();
    let mut point = |name: &str| {
        let (number, line) = lines.next().ok_or_else(|| {
            Error::input(format!("it ends before {name}")).remedy("the first 19 lines are x,y of the landmarks")
        })?;
        let coordinates: Vec<f64> = line.split(',').filter_map(|word| word.trim().parse().ok()).collect();
        match coordinates[..] {
            [x, y] => position(x, y).map(Some),
            _ => Err(Error::input(format!("`{}` is not x,y", line.chars().take(40).collect::<String>()))
                .remedy("the first 19 lines are x,y of the landmarks")),
        }
        .map_err(|e| e.at(format!("line {}: {name}", number + 1)))
    };
    LANDMARKS.iter().map(|name| point(name)).collect()
}
