//! The content of a source before an image is decoded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::split::SplitItem;
use crate::{Split, SplitSpec};
use sweep_core::error::{Error, Result};
use sweep_core::units::{Millimetres, Point, Size, Spacing};

use super::{Frame, Options, Origin};

/// A data set to be written.
#[derive(Debug)]
pub struct ParsedDataset {
    /// Its name.
    pub name: String,
    /// Landmark names, in order.
    pub landmarks: Vec<String>,
    /// Error between one observer and the mean of two, where the source has both.
    pub observer_mre: Option<Millimetres>,
    /// An image each.
    pub records: Vec<Record>,
    /// Notes for the user: skipped content, and why.
    pub notes: Vec<String>,
}

/// An image of a source.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its name: a relative path.
    pub image: String,
    /// Location of its grey values.
    pub source: PixelSource,
    /// Which part it belongs to, if the source says so.
    pub split: Option<Split>,
    /// The patient, where known.
    pub patient: Option<String>,
    /// Millimetres per pixel, unless only the image file tells.
    pub spacing: Option<Spacing>,
    /// The size it was annotated at.
    pub size: Option<Size>,
    /// One per name in [`ParsedDataset::landmarks`].
    pub landmarks: Vec<Option<Point>>,
    /// The unit of [`Record::landmarks`].
    pub unit: Unit,
    /// The picture that [`Record::landmarks`] and [`Record::size`] belong to, where EXIF turns it.
    pub frame: Frame,
    /// File and line, for errors.
    pub location: String,
}

/// Units of positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Pixels of the image.
    Pixels,
    /// Millimetres: pixels times spacing.
    Millimetres,
    /// Shares of the picture's width and height; times these, pixels counted from the origin.
    Shares(Origin),
}

/// Location of an image's grey values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PixelSource {
    /// An image file.
    File(PathBuf),
    /// The `imageData` of a labelme file.
    Labelme(PathBuf),
    /// A slice of a stack, padded with black to the right and below.
    Slice {
        /// The stack.
        stack: PathBuf,
        /// From 0.
        index: usize,
    },
}

impl Record {
    /// An image of which no more is known than its name and its landmarks, in pixels.
    pub(super) fn new(image: &Path, source: PixelSource, landmarks: Vec<Option<Point>>, location: String) -> Self {
        Self {
            image: image.to_string_lossy().replace('\\', "/"),
            source,
            split: None,
            patient: None,
            spacing: None,
            size: None,
            landmarks,
            unit: Unit::Pixels,
            frame: Frame::Turned,
            location,
        }
    }
}

/// The position; an error if a coordinate is missing or infinite.
pub(super) fn position(x: f64, y: f64) -> Result<Point> {
    if x.is_finite() && y.is_finite() {
        Ok(Point { x, y })
    } else {
        Err(Error::input(format!("({x}, {y}) is no position")).remedy("leave a missing landmark out"))
    }
}

/// A landmark's name as it stands in the header of a CSV: without line ends and other control characters, and without
/// space around it.
pub(super) fn landmark_name(name: &str) -> Result<String> {
    let plain: String = name.trim().chars().map(|c| if c.is_control() { '_' } else { c }).collect();
    if plain.is_empty() {
        return Err(Error::input("a landmark has no name").remedy("name every landmark"));
    }
    Ok(plain)
}

/// The split that a word in a path says: `train`, `Training`, `val`, `Valid`, `test`, also with numbers, as in
/// `keypoints_train2017.json`. None if several do.
pub(super) fn split_in(path: &Path) -> Option<Split> {
    let text = path.to_string_lossy().to_lowercase();
    let words = text.split(|c: char| !c.is_alphabetic());
    let said: BTreeSet<Split> = words.filter_map(split_word).collect();
    said.first().copied().filter(|_| said.len() == 1)
}

/// The split a word says.
pub(super) fn split_word(word: &str) -> Option<Split> {
    match word.trim().to_lowercase().as_str() {
        "train" | "training" => Some(Split::Train),
        "val" | "valid" | "validation" | "dev" => Some(Split::Val),
        "test" | "testing" => Some(Split::Test),
        _ => None,
    }
}

impl ParsedDataset {
    /// Completes the data set: images' names become unique, and every image gets a split. Where the source has
    /// none, or none to validate on, training images are dealt at random, by patient.
    pub(super) fn settle(&mut self, options: &Options) -> Result<()> {
        if self.records.is_empty() {
            return Err(Error::input("there is no annotated image").remedy("see `sweep data formats`"));
        }
        self.name_images();
        let said = self.records.iter().filter(|record| record.split.is_some()).count();
        if said != 0 && said != self.records.len() {
            let without = self.records.iter().find(|record| record.split.is_none());
            return Err(Error::input(format!(
                "{} images have a split and {} have none",
                said,
                self.records.len() - said
            ))
            .at(without.map(|record| record.location.clone()).unwrap_or_default())
            .remedy("give every image a split, or none"));
        }
        for record in &mut self.records {
            record.split.get_or_insert(Split::Train);
        }
        if self.records.iter().any(|record| record.split == Some(Split::Val)) {
            return Ok(());
        }
        let by =
            SplitSpec { val_fraction: Some(options.val_fraction), split_seed: options.seed, ..SplitSpec::default() };
        by.check().map_err(|e| Error { location: Some("--val".into()), ..e })?;
        let items: Vec<SplitItem<'_>> = self
            .records
            .iter()
            .map(|record| SplitItem {
                image: &record.image,
                patient: record.patient.as_deref(),
                split: record.split.unwrap_or(Split::Train),
            })
            .collect();
        let splits = by.assign(&items)?;
        for (record, split) in self.records.iter_mut().zip(splits) {
            record.split = Some(split);
        }
        let percent = options.val_fraction * 100.0;
        self.notes.push(format!(
            "the source says not which images validate: {percent:.0} % of its training images were drawn (--val, --seed)"
        ));
        Ok(())
    }

    /// Names without the folders they share, all ending in `.png`, none twice.
    fn name_images(&mut self) {
        let folders: Vec<Vec<&str>> = self.records.iter().map(|r| r.image.split('/').collect()).collect();
        let mut shared = folders.iter().map(|parts| parts.len() - 1).min().unwrap_or(0);
        while shared > 0 && !folders.windows(2).all(|pair| pair[0][..shared] == pair[1][..shared]) {
            shared -= 1;
        }
        let short: Vec<String> = folders.iter().map(|parts| parts[shared..].join("/")).collect();
        let as_png = |name: &str| Path::new(name).with_extension("png").to_string_lossy().replace('\\', "/");
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        for name in &short {
            *count.entry(as_png(name)).or_default() += 1;
        }
        for (record, name) in self.records.iter_mut().zip(short) {
            let plain = as_png(&name);
            // `a.jpg` and `a.tif` become `a.jpg.png` and `a.tif.png`.
            record.image = if count[&plain] > 1 { format!("{name}.png") } else { plain };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_are_words_of_paths() {
        for (path, split) in [
            ("Train/Cephalograms/1.png", Some(Split::Train)),
            ("annotations/person_keypoints_val2017.json", Some(Split::Val)),
            ("Valid/x", Some(Split::Val)),
            ("test-set/1.png", Some(Split::Test)),
            ("latest/constrain.png", None),
            ("train/test.png", None),
        ] {
            assert_eq!(split_in(Path::new(path)), split, "{path}");
        }
    }

    #[test]
    fn names_lose_shared_folders_and_stay_apart() {
        let record = |name: &str| Record::new(Path::new(name), PixelSource::File(name.into()), vec![], String::new());
        let mut parsed = ParsedDataset {
            name: String::new(),
            landmarks: vec![],
            observer_mre: None,
            records: ["x/a/1.jpg", "x/b/1.jpg", "x/b/2.tif", "x/b/2.bmp"].map(record).to_vec(),
            notes: vec![],
        };
        parsed.name_images();
        let names: Vec<_> = parsed.records.iter().map(|r| r.image.as_str()).collect();
        assert_eq!(names, ["a/1.png", "b/1.png", "b/2.tif.png", "b/2.bmp.png"]);
    }
}
