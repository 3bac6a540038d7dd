//! The data set as a folder: `dataset.toml`, one wide CSV of landmarks, and image files.
//!
//! ```toml
//! name = "ceph10"
//! images = "images"              # folder of the image files
//! landmarks = "landmarks.csv"    # image,split,NAME_x,NAME_y,…, and, where known, patient (or group)
//! spacing_mm = { x = 0.3, y = 0.3 }    # or columns spacing_x_mm and spacing_y_mm; without either, errors are in pixels
//! observer_mre_mm = 1.18         # optional: error between observers
//! inspect = { turned = false }   # optional: checks of `sweep data inspect` that are off
//! grey = { low = 0.0, high = 4095.0 }    # optional: values of deep images that are black and white
//! normalise = { by = ["left_eye", "right_eye"] }    # optional: a reference length, see [`crate::Normaliser`]
//! flip_pairs = [["left_eye", "right_eye"]]      # optional: landmarks that change sides in a mirrored image; [] if none does
//! measure_set = "isbi2015"                      # optional: a set of measures, see [`sweep_core::measures`]
//! [measures]                                    # optional: angles, distances and ratios of landmarks
//! SNA = { angle = ["sella", "nasion", "subspinale"] }
//! ```
//! Split is `train`, `val` or `test`, and there may be further columns of these words, for `dataset.split_column` to
//! choose, and columns `group_NAME`, for `dataset.folds_by`; images of one `patient` are never divided between folds; an
//! empty cell is a missing landmark; pixel centres are whole numbers, x to the right, y down, in the pixels of the image as
//! viewers show it. Without `grey`, each image of more than 8 bits is shown by its own range of values; the key matters to
//! no other image, but trained networks keep it for those they predict.

#![expect(clippy::disallowed_methods, reason = "reads data sets")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::Channels;
use crate::content_hash::ContentHasher;
use crate::dataset::{Dataset, Sample, Split, observers_in_unit, unmarked};
use crate::flips::check_pairs;
use crate::picture::{self, GreyRange};
use crate::pictures::Photograph;
use crate::progress::count_image;
use crate::relative_path::relative_path;
use crate::split::{SplitItem, SplitSpec};
use sweep_core::error::{Error, Result};
use sweep_core::measures::Measures;
use sweep_core::units::Millimetres;

mod edit;
mod groups;
mod header;
mod labels;
mod source;
mod survey;
mod table;
mod write;

pub use groups::with_groups;
pub(super) use header::HEADER;
use header::{Header, deep_grey, read_header};
pub use header::{OPTIONAL_CHECKS, schema};
pub use labels::{AddedImage, Labels, relabelled_copy, shared_spacing};
pub use survey::{Defect, Survey, SurveyedRow, survey};
pub use write::write;
pub(super) use write::{copy, write_all_or_nothing, write_grey, write_image, write_table_with, write_text};

/// A data set's header and table, compared with its files; no image is decoded.
#[derive(Debug)]
pub struct FolderIndex {
    header: Header,
    csv: PathBuf,
    images: PathBuf,
    table: table::Table,
    measures: Measures,
    channels: Channels,
}

/// Reads a data set; images are decoded in parallel.
///
/// # Errors
/// The first of: something wrong in `dataset.toml`, in the CSV, between CSV and image files, in an image, between
/// an image and its landmarks. Each names the file, the line, the column or key, and what would be right.
pub fn read(dir: &Path) -> Result<Dataset> {
    FolderIndex::read(dir)?.decode()
}

impl FolderIndex {
    /// Reads `dataset.toml` and the CSV.
    ///
    /// # Errors
    /// The first of: something wrong in `dataset.toml`, in the CSV, between CSV and image files.
    fn read(dir: &Path) -> Result<Self> {
        Self::read_by(dir, &SplitSpec::default())
    }

    /// [`FolderIndex::read`] with the split of a definition.
    pub(super) fn read_by(dir: &Path, split: &SplitSpec) -> Result<Self> {
        let header = read_header(dir)?;
        let csv = dir.join(&header.landmarks);
        let root = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
        is_within(&root, &csv).map_err(|e| e.at(dir.join(HEADER).display()))?;
        let table = table::parse(&read_text(&csv)?, header.spacing_mm, split).map_err(|e| e.at(csv.display()))?;
        let about = |e: Error| e.at(dir.join(HEADER).display());
        header.normalise.as_ref().map_or(Ok(()), |normalise| normalise.check(&table.landmarks)).map_err(about)?;
        let measures = header.all_measures(&table.landmarks).map_err(about)?.0;
        check_pairs(header.flip_pairs.as_deref().unwrap_or_default(), &table.landmarks)
            .map_err(|e| about(e.at("key `flip_pairs`")))?;
        observers_in_unit(table.unit(), header.observer_mre_mm.map(Millimetres))
            .map_err(|e| about(e.at("key `observer_mre_mm`")))?;
        let images = dir.join(&header.images);
        let rows: Vec<(u64, &str)> = table.rows.iter().map(|row| (row.line, row.image.as_str())).collect();
        for row in &table.rows {
            is_within(&root, &images.join(&row.image))
                .map_err(|e| e.at(format!("{}: column image", table::line_number(row.line))).at(csv.display()))?;
        }
        match mismatches(&images, &rows)?.into_iter().next() {
            Some((Some(line), error)) => return Err(error.at(table::line_number(line)).at(csv.display())),
            Some((None, error)) => return Err(error.at(csv.display())),
            None => {}
        }
        Ok(Self { header, csv, images, table, measures, channels: Channels::Grey })
    }

    /// Decodes every image.
    ///
    /// # Errors
    /// Something wrong in an image, or between an image and its landmarks.
    fn decode(&self) -> Result<Dataset> {
        let dataset = self.decode_by(&self.table.rows.iter().map(|row| row.split).collect::<Vec<_>>())?;
        dataset.check().map_err(|e| e.at(self.csv.display()))?;
        Ok(dataset)
    }

    /// [`FolderIndex::decode`] with every image's split, in order.
    fn decode_by(&self, splits: &[Split]) -> Result<Dataset> {
        let rows = self.table.rows.par_iter().zip(splits);
        let samples: Vec<Result<Sample>> =
            rows.map(|(row, split)| Ok(Sample { split: *split, ..self.sample(row)? })).collect();
        // In the order of the file, so that the first error is always the same one.
        let dataset = self.dataset(samples.into_iter().collect::<Result<_>>()?);
        dataset.check_images().map_err(|e| e.at(self.csv.display()))?;
        Ok(dataset)
    }

    /// Decodes the images at these indices.
    ///
    /// # Errors
    /// Same errors as [`FolderIndex::decode`].
    pub(super) fn decode_some(&self, indices: &[usize]) -> Result<Vec<Sample>> {
        indices.iter().filter_map(|i| self.table.rows.get(*i)).map(|row| self.sample(row)).collect()
    }

    /// Number of images.
    pub(super) fn len(&self) -> usize {
        self.table.rows.len()
    }

    /// An image's file.
    pub(super) fn file(&self, image: &str) -> PathBuf {
        self.images.join(image)
    }

    /// Landmark names.
    pub(super) fn landmarks(&self) -> &[String] {
        &self.table.landmarks
    }

    /// Inputs of an assignment of splits, one per image.
    pub(super) fn split_items(&self) -> Vec<SplitItem<'_>> {
        let items = self.table.rows.iter().map(|row| SplitItem {
            image: &row.image,
            patient: row.patient.as_deref(),
            group: row.group.as_deref(),
            split: row.split,
        });
        items.collect()
    }

    /// Whether these splits leave something to train and to evaluate on.
    ///
    /// # Errors
    /// Names the line of an image without a landmark, or the split that is empty.
    fn check_splits(&self, splits: &[Split], by: &SplitSpec) -> Result<()> {
        for (row, split) in self.table.rows.iter().zip(splits) {
            if *split != Split::Test && row.landmarks.iter().all(Option::is_none) {
                return Err(unmarked().at(&row.image).at(table::line_number(row.line)).at(self.csv.display()));
            }
        }
        by.check_present(splits).map_err(|e| e.at(self.csv.display()))
    }

    /// A hash of every image file's bytes.
    ///
    /// # Errors
    /// When an image cannot be read.
    fn digests(&self) -> Result<Vec<blake3::Hash>> {
        self.digests_of(self.table.rows.iter().collect())
    }

    /// Hashes of these rows' image files.
    fn digests_of(&self, rows: Vec<&table::ImageRow>) -> Result<Vec<blake3::Hash>> {
        let digest = |row: &table::ImageRow| picture::digest(&self.images.join(&row.image));
        let files: Vec<Result<blake3::Hash>> = rows.into_par_iter().map(digest).collect();
        files.into_iter().collect()
    }

    /// Hashes everything that training and evaluation use: the table's content, whatever its spelling, and the image files'
    /// bytes; with or without splits.
    fn hash_images(&self, files: &[blake3::Hash], splits: Option<&[Split]>, hasher: &mut ContentHasher) {
        hasher.names(&self.table.landmarks);
        if let Some(GreyRange { low, high }) = self.header.grey {
            hasher.bytes(b"grey");
            hasher.real(low);
            hasher.real(high);
        }
        hasher.normaliser(self.header.normalise.as_ref());
        for (index, (row, file)) in self.table.rows.iter().zip(files).enumerate() {
            let split = splits.and_then(|splits| splits.get(index)).copied();
            hasher.image(&row.image, split, file, row.spacing, &row.landmarks);
        }
    }

    /// The data set of these samples.
    pub(super) fn dataset(&self, samples: Vec<Sample>) -> Dataset {
        Dataset {
            name: self.header.name.clone(),
            landmarks: self.table.landmarks.clone(),
            observer_mre: self.header.observer_mre_mm.map(Millimetres),
            normalise: self.header.normalise.clone(),
            samples,
        }
    }

    fn sample(&self, row: &table::ImageRow) -> Result<Sample> {
        let path = self.images.join(&row.image);
        let Photograph { size, pixels } = Photograph::open(&path, deep_grey(self.header.grey), self.channels)?.0;
        count_image();
        let sample = row.sample(size, pixels);
        sample
            .check(&self.table.landmarks)
            .map_err(|e| e.at(&sample.image).at(table::line_number(row.line)).at(self.csv.display()))?;
        Ok(sample)
    }
}

fn read_text(path: &Path) -> Result<String> {
    // Reading a pipe would block for ever.
    if path.exists() && !path.is_file() {
        return Err(Error::input("not a file").at(path.display()).remedy("name a text file"));
    }
    let bytes = fs::read(path).map_err(|e| {
        Error::input(format!("cannot be read: {e}"))
            .at(path.display())
            .remedy("its name is the key `landmarks` of dataset.toml")
    })?;
    // Spreadsheets begin UTF-8 with a byte-order mark.
    let text = String::from_utf8(bytes).map_err(|_| {
        Error::input("not UTF-8 text").at(path.display()).remedy("save it as \"CSV UTF-8\" or plain text in UTF-8")
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// Whether a file lies inside the data set, links resolved; `root` is the data set's resolved folder.
fn is_within(root: &Path, file: &Path) -> Result<()> {
    match fs::canonicalize(file) {
        Ok(real) if !real.starts_with(root) => {
            Err(Error::input(format!("the link `{}` leads out of the data set", file.display()))
                .remedy("copy what it leads to into the data set"))
        }
        // Readers report missing files.
        _ => Ok(()),
    }
}

/// Rows without an image and images without a row, each as an error with the row's line.
///
/// # Errors
/// When there is no folder of images.
fn mismatches(images: &Path, rows: &[(u64, &str)]) -> Result<Vec<(Option<u64>, Error)>> {
    if !images.is_dir() {
        return Err(Error::input("there is no such folder")
            .at(images.display())
            .remedy("its name is the key `images` of dataset.toml; write \".\" if the images lie beside that file"));
    }
    let mut wrong = Vec::new();
    let mut folders = BTreeSet::from([PathBuf::new()]);
    let mut listed = BTreeSet::new();
    let mut paths = Vec::new();
    for &(line, image) in rows {
        let path = match relative_path(image) {
            Ok(path) => path,
            Err(error) => {
                wrong.push((Some(line), error.at("column image")));
                continue;
            }
        };
        folders.insert(path.parent().unwrap_or(Path::new("")).to_owned());
        if !listed.insert(path) {
            let error = Error::input(format!("`{image}` is there twice")).at("column image");
            wrong.push((Some(line), error.remedy("keep one row per image")));
        }
        paths.push((line, image, images.join(image)));
    }
    let mut found = BTreeSet::new();
    for folder in &folders {
        let here = images.join(folder);
        let Ok(entries) = fs::read_dir(&here) else { continue };
        for entry in entries {
            let entry = entry.map_err(|e| Error::input(format!("cannot be read: {e}")).at(here.display()))?;
            if picture::is_image_file(&entry.path()) && entry.path().is_file() {
                found.insert(folder.join(entry.file_name()));
            }
        }
    }
    for (line, image, path) in paths {
        if !path.is_file() {
            let stem = |p: &Path| p.file_stem().map(|s| s.to_string_lossy().to_lowercase());
            let similar = found.iter().find(|f| stem(f) == stem(&path));
            let error = Error::input(format!("there is no image `{image}` in {}", images.display()))
                .at("column image")
                .remedy(match similar {
                    Some(similar) => format!("there is `{}`: write the name as the file has it", similar.display()),
                    None => "add the image, or remove the row".to_owned(),
                });
            wrong.push((Some(line), error));
        }
    }
    let unlisted: Vec<_> = found.difference(&listed).collect();
    if !unlisted.is_empty() {
        let few: Vec<_> = unlisted.iter().take(3).map(|p| format!("`{}`", p.display())).collect();
        let more = if unlisted.len() > few.len() { ", …" } else { "" };
        let count = unlisted.len();
        let what = format!("{count} of the images in {} have no row: {}{more}", images.display(), few.join(", "));
        wrong.push((None, Error::input(what).remedy("add their rows, or move the images out of the data set")));
    }
    Ok(wrong)
}
