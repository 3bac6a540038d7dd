//! The data set as a folder: `dataset.toml`, one wide CSV of landmarks, and image files.
//!
//! ```toml
//! name = "ceph10"
//! images = "images"              # folder of the image files
//! landmarks = "landmarks.csv"    # image,split,NAME_x,NAME_y,…
//! spacing_mm = { x = 0.3, y = 0.3 }    # or columns spacing_x_mm and spacing_y_mm
//! observer_mre_mm = 1.18         # optional: error between observers
//! ```
//! Split is `train`, `val` or `test`; an empty cell is a missing landmark; pixel centres are whole numbers, x to the
//! right, y down, in the image file's own pixels.

#![expect(clippy::disallowed_methods, reason = "reads data sets")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use rayon::prelude::*;
use serde::Deserialize;

use super::opened::Fields;
use super::{Dataset, Sample, Split, picture};
use crate::error::{Error, Result};
use crate::units::{Millimetres, Size, Spacing};

mod table;
mod write;

pub use write::write;

/// The file that makes a folder a data set.
const HEADER: &str = "dataset.toml";

/// `dataset.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    name: String,
    images: String,
    landmarks: String,
    spacing_mm: Option<Spacing>,
    observer_mre_mm: Option<f64>,
}

/// A data set's header and table, held against its files; no image is decoded.
#[derive(Debug)]
pub struct Index {
    header: Header,
    csv: PathBuf,
    images: PathBuf,
    table: table::Table,
}

/// Reads a data set; images are decoded in parallel.
///
/// # Errors
/// The first of: something wrong in `dataset.toml`, in the CSV, between CSV and image files, in an image, between
/// an image and its landmarks. Each names the file, the line, the column or key, and what would be right.
pub fn read(dir: &Path) -> Result<Dataset> {
    Index::read(dir)?.decode()
}

impl Index {
    /// Reads `dataset.toml` and the CSV.
    ///
    /// # Errors
    /// The first of: something wrong in `dataset.toml`, in the CSV, between CSV and image files.
    pub(super) fn read(dir: &Path) -> Result<Self> {
        let header = read_header(dir)?;
        let csv = dir.join(&header.landmarks);
        let table = table::parse(&read_text(&csv)?, header.spacing_mm).map_err(|e| e.at(csv.display()))?;
        let images = dir.join(&header.images);
        match_files(&images, &csv, &table.rows)?;
        Ok(Self { header, csv, images, table })
    }

    /// Decodes every image.
    ///
    /// # Errors
    /// Something wrong in an image, or between an image and its landmarks.
    pub(super) fn decode(&self) -> Result<Dataset> {
        let samples: Vec<Result<Sample>> = self.table.rows.par_iter().map(|row| self.sample(row)).collect();
        // In the order of the file, so that the first error is always the same one.
        let dataset = self.dataset(samples.into_iter().collect::<Result<_>>()?);
        dataset.check().map_err(|e| e.at(self.csv.display()))?;
        Ok(dataset)
    }

    /// Decodes some images.
    ///
    /// # Errors
    /// As [`Index::decode`].
    pub(super) fn samples(&self, indices: &[usize]) -> Result<Vec<Sample>> {
        indices.iter().filter_map(|i| self.table.rows.get(*i)).map(|row| self.sample(row)).collect()
    }

    /// The data set without a grey value, given its images' sizes.
    pub(super) fn without_pixels(&self, sizes: &[Size]) -> Dataset {
        let sample = |(row, size): (&table::Row, &Size)| row.sample(*size, Vec::new());
        self.dataset(self.table.rows.iter().zip(sizes).map(sample).collect())
    }

    /// Landmark names.
    pub(super) fn landmarks(&self) -> &[String] {
        &self.table.landmarks
    }

    /// Number of a split's images.
    pub(super) fn images(&self, split: Split) -> usize {
        self.table.rows.iter().filter(|row| row.split == split).count()
    }

    /// Hashes all that training and evaluation see: the table's content, whatever its spelling, and the image files'
    /// bytes.
    ///
    /// # Errors
    /// When an image cannot be read.
    pub(super) fn hash(&self, fields: &mut Fields) -> Result<()> {
        let digest = |row: &table::Row| {
            let path = self.images.join(&row.image);
            let bytes = fs::read(&path);
            let bytes = bytes.map_err(|e| Error::input(format!("cannot be read: {e}")).at(path.display()))?;
            Ok(blake3::hash(&bytes))
        };
        let files: Vec<Result<blake3::Hash>> = self.table.rows.par_iter().map(digest).collect();
        fields.number(self.table.landmarks.len() as u64);
        for name in &self.table.landmarks {
            fields.bytes(name.as_bytes());
        }
        for (row, file) in self.table.rows.iter().zip(files) {
            fields.bytes(row.image.as_bytes());
            fields.bytes(row.split.name().as_bytes());
            fields.bytes(file?.as_bytes());
            fields.real(row.spacing.x);
            fields.real(row.spacing.y);
            for point in &row.landmarks {
                // A missing landmark is told from any that is there by its length.
                match point {
                    Some(point) => {
                        fields.real(point.x);
                        fields.real(point.y);
                    }
                    None => fields.bytes(&[]),
                }
            }
        }
        Ok(())
    }

    fn dataset(&self, samples: Vec<Sample>) -> Dataset {
        Dataset {
            name: self.header.name.clone(),
            landmarks: self.table.landmarks.clone(),
            observer_mre: self.header.observer_mre_mm.map(Millimetres),
            samples,
        }
    }

    fn sample(&self, row: &table::Row) -> Result<Sample> {
        let grey = picture::read(&self.images.join(&row.image))?;
        let sample = row.sample(grey.size, grey.pixels);
        sample
            .check(&self.table.landmarks)
            .map_err(|e| e.at(&sample.image).at(table::place(row.line)).at(self.csv.display()))?;
        Ok(sample)
    }
}

fn read_header(dir: &Path) -> Result<Header> {
    let path = dir.join(HEADER);
    let place = path.display();
    if !path.is_file() {
        return Err(Error::input(format!("not a data set: there is no {HEADER}")).at(dir.display()).remedy(
            "name the folder that holds dataset.toml; `sweep data import` makes one from other formats, \
             `sweep data synth` from nothing",
        ));
    }
    let text = read_text(&path)?;
    let header: Header = toml::from_str(&text).map_err(|e| {
        let before = e.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = 1 + before.matches('\n').count();
        Error::input(e.message().to_owned())
            .at(format!("{place}: line {line}"))
            .remedy("the keys are name, images, landmarks, spacing_mm = { x, y } and observer_mre_mm")
    })?;
    for (key, value) in [("images", &header.images), ("landmarks", &header.landmarks)] {
        inside(value).map_err(|e| e.at(format!("{place}: key `{key}`")))?;
    }
    if header.spacing_mm.is_some_and(|s| !s.is_valid()) {
        return Err(Error::input("spacing must be positive")
            .at(format!("{place}: key `spacing_mm`"))
            .remedy("millimetres per pixel, e.g. spacing_mm = { x = 0.1, y = 0.1 }"));
    }
    if header.observer_mre_mm.is_some_and(|e| !e.is_finite() || e < 0.0) {
        return Err(Error::input("an error in millimetres is a number from 0")
            .at(format!("{place}: key `observer_mre_mm`"))
            .remedy("leave the key out where the error between observers is not known"));
    }
    Ok(header)
}

fn read_text(path: &Path) -> Result<String> {
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

/// The path's plain components, if it stays inside the data set.
fn inside(path: &str) -> Result<PathBuf> {
    let parts = Path::new(path).components().filter(|c| *c != Component::CurDir);
    let plain: Option<PathBuf> =
        parts.map(|c| if let Component::Normal(part) = c { Some(part) } else { None }).collect();
    match plain {
        Some(plain) if !path.is_empty() => Ok(plain),
        _ => Err(Error::input(format!("the path `{path}` leads out of the data set"))
            .remedy("name files relative to their folder, without `..`")),
    }
}

/// Every row needs its image, and every image beside them its row.
fn match_files(images: &Path, csv: &Path, rows: &[table::Row]) -> Result<()> {
    if !images.is_dir() {
        return Err(Error::input("there is no such folder")
            .at(images.display())
            .remedy("its name is the key `images` of dataset.toml; write \".\" if the images lie beside that file"));
    }
    let mut folders = BTreeSet::from([PathBuf::new()]);
    let mut listed = BTreeSet::new();
    for row in rows {
        let path = inside(&row.image)
            .map_err(|e| e.at(format!("{}: column image", table::place(row.line))).at(csv.display()))?;
        folders.insert(path.parent().unwrap_or(Path::new("")).to_owned());
        if !listed.insert(path) {
            return Err(Error::input(format!("`{}` is there twice", row.image))
                .at(format!("{}: column image", table::place(row.line)))
                .at(csv.display())
                .remedy("keep one row per image"));
        }
    }
    let mut found = BTreeSet::new();
    for folder in &folders {
        let here = images.join(folder);
        let Ok(entries) = fs::read_dir(&here) else { continue };
        for entry in entries {
            let entry = entry.map_err(|e| Error::input(format!("cannot be read: {e}")).at(here.display()))?;
            if picture::is_image(&entry.path()) && entry.path().is_file() {
                found.insert(folder.join(entry.file_name()));
            }
        }
    }
    for row in rows {
        let path = images.join(&row.image);
        if !path.is_file() {
            let stem = |p: &Path| p.file_stem().map(|s| s.to_string_lossy().to_lowercase());
            let similar = found.iter().find(|f| stem(f) == stem(&path));
            return Err(Error::input(format!("there is no image `{}` in {}", row.image, images.display()))
                .at(format!("{}: column image", table::place(row.line)))
                .at(csv.display())
                .remedy(match similar {
                    Some(similar) => format!("there is `{}`: write the name as the file has it", similar.display()),
                    None => "add the image, or remove the row".to_owned(),
                }));
        }
    }
    let unlisted: Vec<_> = found.difference(&listed).collect();
    if unlisted.is_empty() {
        return Ok(());
    }
    let few: Vec<_> = unlisted.iter().take(3).map(|p| format!("`{}`", p.display())).collect();
    let more = if unlisted.len() > few.len() { ", …" } else { "" };
    Err(Error::input(format!(
        "{} of the images in {} have no row: {}{more}",
        unlisted.len(),
        images.display(),
        few.join(", ")
    ))
    .at(csv.display())
    .remedy("add their rows, or move the images out of the data set"))
}
