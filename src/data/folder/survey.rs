//! A data-set folder read leniently: everything it says, and everything that is wrong with it, for an inspection.
//!
//! The strict reader ([`super::read`]) ends at the first defect, since nothing may be trained on what is not understood.
//! This one parses with the same functions and goes on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{Header, is_within, mismatches, read_header, read_text, table};
use crate::dataset::{Sample, Split};
use crate::picture;
use crate::relative_path::relative_path;
use crate::split::SplitSpec;
use sweep_core::error::{Error, Result};
use sweep_core::units::{Millimetres, Point, Spacing};

/// What a data set says.
#[derive(Debug)]
pub struct Survey {
    /// Its name.
    pub name: String,
    /// The CSV of landmarks.
    pub csv: PathBuf,
    /// The folder of the images.
    pub images: PathBuf,
    /// Landmark names, in order.
    pub landmarks: Vec<String>,
    /// Error between the people who marked it, where the data set states one.
    pub observer_mre: Option<Millimetres>,
    /// An entry per row that names an image, in the order of the file.
    pub entries: Vec<Entry>,
    /// What is wrong with header, table and files; images and landmarks are for others to judge.
    pub defects: Vec<Defect>,
}

/// What a row says; what it says wrongly is missing here and among the defects.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The row's line in the file, from 1.
    pub line: u64,
    /// File name within the folder of images.
    pub image: String,
    /// Which part it belongs to.
    pub split: Option<Split>,
    /// Whose image it is, where that is said.
    pub patient: Option<String>,
    /// Millimetres per pixel.
    pub spacing: Option<Spacing>,
    /// One per landmark name, in pixels of the image.
    pub landmarks: Vec<Option<Point>>,
}

/// Something wrong in the folder's text or files.
#[derive(Debug, Clone, PartialEq)]
pub struct Defect {
    /// The file it is in.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: Option<u64>,
    /// The image, where one is concerned.
    pub image: Option<String>,
    /// The landmark, where one is concerned.
    pub landmark: Option<String>,
    /// What, and what would be right; its place is the column.
    pub error: Error,
}

/// Reads a data set, but for its images, whatever is wrong with it.
///
/// # Errors
/// When there is nothing to inspect: no `dataset.toml` or one that is not understood, no folder of images, no CSV, or one
/// without rows, a column `image` or landmarks.
pub fn survey(dir: &Path) -> Result<Survey> {
    let header = read_header(dir)?;
    let csv = dir.join(&header.landmarks);
    let images = dir.join(&header.images);
    let readings =
        table::read(&read_text(&csv)?, header.spacing_mm, &SplitSpec::default()).map_err(|e| e.at(csv.display()))?;
    let defect = |line: Option<u64>, image: Option<&str>, error: Error| {
        let image = image.map(str::to_owned);
        Defect { file: csv.clone(), line, image, landmark: None, error }
    };
    let mut defects: Vec<Defect> =
        readings.header.into_iter().map(|(line, error)| defect(Some(line), None, error)).collect();
    let (mut entries, mut listed) = (Vec::new(), Vec::new());
    for row in readings.rows {
        let reading = match row {
            Ok(reading) => reading,
            Err(table::Ragged { line, image, error }) => {
                defects.push(defect(Some(line), image.as_deref(), error));
                listed.extend(image.map(|image| (line, image)));
                continue;
            }
        };
        let line = reading.line;
        let name = match reading.image {
            Ok(name) => name,
            Err(error) => {
                defects.push(defect(Some(line), None, error));
                continue;
            }
        };
        let mut wrong: Vec<Defect> = Vec::new();
        let split = reading.split.and_then(|s| s.map_err(|e| wrong.push(defect(Some(line), Some(&name), e))).ok());
        let spacing = reading.spacing.and_then(|s| s.map_err(|e| wrong.push(defect(Some(line), Some(&name), e))).ok());
        wrong.extend(reading.further.err().map(|e| defect(Some(line), Some(&name), e)));
        let mut landmarks = Vec::with_capacity(readings.landmarks.len());
        for (landmark, point) in readings.landmarks.iter().zip(reading.landmarks) {
            landmarks.push(point.unwrap_or_else(|error| {
                wrong.push(Defect { landmark: Some(landmark.clone()), ..defect(Some(line), Some(&name), error) });
                None
            }));
        }
        defects.extend(wrong);
        listed.push((line, name.clone()));
        entries.push(Entry { line, image: name, split, patient: reading.patient, spacing, landmarks });
    }
    let rows: Vec<(u64, &str)> = listed.iter().map(|(line, name)| (*line, name.as_str())).collect();
    for (line, error) in mismatches(&images, &rows)? {
        let name = listed.iter().find(|(l, _)| Some(*l) == line).map(|(_, name)| name.as_str());
        defects.push(defect(line, name, error));
        // What cannot be read as an image must not be read again for what is in it.
        let there = |entry: &Entry| relative_path(&entry.image).is_ok_and(|path| images.join(path).is_file());
        entries.retain(|entry| Some(entry.line) != line || there(entry));
    }
    let root = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    entries.retain(|entry: &Entry| match is_within(&root, &images.join(&entry.image)) {
        Ok(()) => true,
        Err(error) => {
            defects.push(defect(Some(entry.line), Some(&entry.image), error));
            false
        }
    });
    let mut seen = BTreeSet::new();
    entries.retain(|entry| seen.insert(relative_path(&entry.image).unwrap_or_default()));
    let Header { name, observer_mre_mm, .. } = header;
    let observer_mre = observer_mre_mm.map(Millimetres);
    Ok(Survey { name, csv, images, landmarks: readings.landmarks, observer_mre, entries, defects })
}

impl Survey {
    /// TtaViews at every image, decoded one after another on all cores; what is seen is kept, the images are not. The sample
    /// has all that is known; a split or spacing that is not is train and 1 mm.
    pub fn look<T: Send>(&self, see: impl Fn(Result<Sample>) -> T + Sync) -> Vec<T> {
        self.entries.par_iter().map(|entry| see(self.sample(entry))).collect()
    }

    /// TtaViews at some images, by their places among the entries.
    pub fn look_at<T: Send>(&self, places: &[usize], see: impl Fn(&Entry, Result<Sample>) -> T + Sync) -> Vec<T> {
        let there: Vec<&Entry> = places.iter().filter_map(|i| self.entries.get(*i)).collect();
        there.into_par_iter().map(|entry| see(entry, self.sample(entry))).collect()
    }

    /// An entry's image with its landmarks.
    ///
    /// # Errors
    /// When it cannot be read; names the file.
    fn sample(&self, entry: &Entry) -> Result<Sample> {
        let grey = picture::read(&self.images.join(&entry.image))?;
        Ok(Sample {
            image: entry.image.clone(),
            split: entry.split.unwrap_or(Split::Train),
            size: grey.size,
            pixels: grey.pixels,
            landmarks: entry.landmarks.clone(),
            spacing: entry.spacing.unwrap_or(Spacing { x: 1.0, y: 1.0 }),
            patient: entry.patient.clone(),
        })
    }
}
