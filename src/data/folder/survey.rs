//! A data-set folder read leniently: its whole content and all its defects, for an inspection.
//!
//! The strict reader ([`super::read`]) ends at the first defect, since nothing may be trained on what is not understood.
//! This one parses with the same functions and goes on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{HEADER, Header, deep_grey, is_within, mismatches, read_header, read_text, table};
use crate::dataset::{Sample, Split, observers_in_unit};
use crate::picture::{self, GreyRange};
use crate::relative_path::relative_path;
use crate::split::SplitSpec;
use sweep_core::error::{Error, Result};
use sweep_core::measures::Measures;
use sweep_core::units::{ErrorUnit, Millimetres, Point, Spacing};

/// The content of a data-set folder, however defective.
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
    /// The unit of landmark errors.
    pub unit: ErrorUnit,
    /// Error between human observers, where the data set states one.
    pub observer_mre: Option<Millimetres>,
    /// Checks that `dataset.toml` turns off.
    pub unwanted: Vec<String>,
    /// Every row that names an image, in the order of the file.
    pub rows: Vec<SurveyedRow>,
    /// Defects of header, table and files; images and landmarks are not checked.
    pub defects: Vec<Defect>,
    /// Values of images of more than 8 bits that become black and white.
    pub grey: Option<GreyRange>,
    /// Its measures; none if they are defective.
    pub measures: Measures,
    /// Measures of its set that its landmarks do not suffice for.
    pub unknown_measures: Vec<String>,
}

/// A row of the table; its wrong cells are missing here and reported as defects.
#[derive(Debug, Clone, PartialEq)]
pub struct SurveyedRow {
    /// The row's line in the file, from 1.
    pub line: u64,
    /// File name within the folder of images.
    pub image: String,
    /// Which part it belongs to.
    pub split: Option<Split>,
    /// The patient, where stated.
    pub patient: Option<String>,
    /// Size of a pixel in [`Survey::unit`].
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
    /// The defect and its remedy; the error's place is the column.
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
    let is_known = readings.rows.iter().flatten().any(|reading| reading.spacing.is_some());
    let unit = if is_known { ErrorUnit::Millimetres } else { ErrorUnit::Pixels };
    let mut defects: Vec<Defect> =
        readings.header.into_iter().map(|(line, error)| defect(Some(line), None, error)).collect();
    let (mut rows, mut listed) = (Vec::new(), Vec::new());
    for reading in readings.rows {
        let reading = match reading {
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
        let spacing = if is_known { spacing } else { Some(Spacing::ONE_PIXEL) };
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
        rows.push(SurveyedRow { line, image: name, split, patient: reading.patient, spacing, landmarks });
    }
    let names: Vec<(u64, &str)> = listed.iter().map(|(line, name)| (*line, name.as_str())).collect();
    for (line, error) in mismatches(&images, &names)? {
        let name = listed.iter().find(|(l, _)| Some(*l) == line).map(|(_, name)| name.as_str());
        defects.push(defect(line, name, error));
        // An image that cannot be read must not be read again for its content.
        let exists = |row: &SurveyedRow| relative_path(&row.image).is_ok_and(|path| images.join(path).is_file());
        rows.retain(|row| Some(row.line) != line || exists(row));
    }
    let root = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    rows.retain(|row: &SurveyedRow| match is_within(&root, &images.join(&row.image)) {
        Ok(()) => true,
        Err(error) => {
            defects.push(defect(Some(row.line), Some(&row.image), error));
            false
        }
    });
    let mut seen = BTreeSet::new();
    rows.retain(|row| seen.insert(relative_path(&row.image).unwrap_or_default()));
    let about = |error: Error| Defect { file: dir.join(HEADER), line: None, image: None, landmark: None, error };
    let normalise = header.normalise.as_ref().map_or(Ok(()), |normalise| normalise.check(&readings.landmarks));
    let observers = observers_in_unit(unit, header.observer_mre_mm.map(Millimetres));
    let all_measures = header.all_measures(&readings.landmarks);
    defects.extend([normalise, observers].into_iter().filter_map(Result::err).map(about));
    let (measures, unknown_measures) = all_measures.unwrap_or_else(|error| {
        defects.push(about(error));
        Default::default()
    });
    let Header { name, observer_mre_mm, inspect, grey, .. } = header;
    let observer_mre = observer_mre_mm.map(Millimetres);
    let unwanted = inspect.into_iter().filter_map(|(check, wanted)| (!wanted).then_some(check)).collect();
    let landmarks = readings.landmarks;
    Ok(Survey {
        name,
        csv,
        images,
        landmarks,
        unit,
        observer_mre,
        unwanted,
        rows,
        defects,
        grey,
        measures,
        unknown_measures,
    })
}

impl Survey {
    /// Applies `f` to every image, decoded on all cores; images are dropped afterwards. An unknown split is train.
    pub fn map_images<T: Send>(&self, f: impl Fn(Result<Sample>) -> T + Sync) -> Vec<T> {
        self.rows.par_iter().map(|row| f(self.sample(row))).collect()
    }

    /// Applies `f` to the images of these rows, by index.
    pub fn map_images_at<T: Send>(
        &self,
        indices: &[usize],
        f: impl Fn(&SurveyedRow, Result<Sample>) -> T + Sync,
    ) -> Vec<T> {
        let rows: Vec<&SurveyedRow> = indices.iter().filter_map(|i| self.rows.get(*i)).collect();
        rows.into_par_iter().map(|row| f(row, self.sample(row))).collect()
    }

    /// A row's image with its landmarks.
    ///
    /// # Errors
    /// When it cannot be read; names the file.
    fn sample(&self, row: &SurveyedRow) -> Result<Sample> {
        let grey = picture::open(&self.images.join(&row.image), deep_grey(self.grey))?.grey;
        Ok(Sample {
            image: row.image.clone(),
            split: row.split.unwrap_or(Split::Train),
            size: grey.size,
            pixels: grey.pixels,
            landmarks: row.landmarks.clone(),
            spacing: row.spacing.filter(|_| self.unit.is_millimetres()),
            patient: row.patient.clone(),
        })
    }
}
