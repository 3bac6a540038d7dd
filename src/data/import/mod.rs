//! Other people's data sets into ours. A format is one file and one variant of [`Format`]: it reads a source's files
//! into a [`Draft`]; what all formats share (splits where the source has none, names, images into PNG, whole or not at
//! all) is done here once.

use std::path::Path;

use crate::folder;
use sweep_core::error::{Error, Result};
use sweep_core::units::Spacing;

pub use draft::{Draft, Record, Source, Unit};
pub use observers::Truth;
pub use write::write;

use tree::Tree;

mod aariz;
mod cells;
mod cl_detection;
mod coco;
mod csv_long;
mod csv_wide;
mod cvat;
mod draft;
pub(super) mod heatmap_folders;
mod isbi;
mod labelme;
mod number;
mod observers;
mod payer;
mod tree;
mod write;

/// Formats of other people's data, the most particular first: in this order a source is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The challenge of ISBI 2015.
    Isbi2015,
    /// Folders of heatmaps.
    HeatmapFolders,
    /// CL-Detection 2023 and 2024.
    ClDetection,
    /// Aariz.
    Aariz,
    /// COCO keypoints.
    Coco,
    /// labelme.
    Labelme,
    /// CVAT for images 1.1.
    Cvat,
    /// A CSV with a row per image.
    Csv,
    /// A CSV with a row per landmark.
    CsvLong,
    /// Payer's CSV without a header.
    Payer,
}

/// What a format's file says of it.
struct Entry {
    name: &'static str,
    reads: &'static str,
    loses: &'static str,
    /// Whether a source looks like it.
    is: fn(&Tree) -> bool,
    read: fn(&Tree, &Options) -> Result<Draft>,
}

/// What the user adds to a source.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The data set's name, if not the source's.
    pub name: Option<String>,
    /// Size of every image's pixels, whatever the source says.
    pub spacing: Option<Spacing>,
    /// Whose landmarks count, where there are two observers.
    pub truth: Truth,
    /// Share of the training images that validate, where the source has none that do.
    pub val_fraction: f64,
    /// Which ones.
    pub seed: u64,
    /// The fold of cross-validation lists.
    pub fold: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self { name: None, spacing: None, truth: Truth::default(), val_fraction: 0.2, seed: 0, fold: None }
    }
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Isbi2015,
        Self::HeatmapFolders,
        Self::ClDetection,
        Self::Aariz,
        Self::Coco,
        Self::Labelme,
        Self::Cvat,
        Self::Csv,
        Self::CsvLong,
        Self::Payer,
    ];

    fn entry(self) -> &'static Entry {
        match self {
            Self::Isbi2015 => &isbi::FORMAT,
            Self::HeatmapFolders => &heatmap_folders::FORMAT,
            Self::ClDetection => &cl_detection::FORMAT,
            Self::Aariz => &aariz::FORMAT,
            Self::Coco => &coco::FORMAT,
            Self::Labelme => &labelme::FORMAT,
            Self::Cvat => &cvat::FORMAT,
            Self::Csv => &csv_wide::FORMAT,
            Self::CsvLong => &csv_long::FORMAT,
            Self::Payer => &payer::FORMAT,
        }
    }

    /// As on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// What is read.
    #[must_use]
    pub fn reads(self) -> &'static str {
        self.entry().reads
    }

    /// What is lost.
    #[must_use]
    pub fn loses(self) -> &'static str {
        self.entry().loses
    }

    /// The format that a source looks like.
    ///
    /// # Errors
    /// When it cannot be read, or looks like none.
    pub fn detect(source: &Path) -> Result<Self> {
        detect(&Tree::open(source)?, source)
    }
}

fn detect(tree: &Tree, source: &Path) -> Result<Format> {
    if tree.has(Path::new(folder::HEADER)) {
        return Err(Error::input("a data set already: there is nothing to import")
            .at(source.display())
            .remedy("use it as it is, e.g. by --dataset"));
    }
    Format::ALL.into_iter().find(|format| (format.entry().is)(tree)).ok_or_else(|| {
        Error::input("looks like no format that is known")
            .at(source.display())
            .remedy("see `sweep data formats`, and say which one by --format for errors that name what is missing")
    })
}

/// Reads what a source says; no image is decoded but heatmaps. Without a format, it is the one that it looks like.
///
/// # Errors
/// The first thing wrong with it, with file, line or field.
pub fn read(source: &Path, format: Option<Format>, options: &Options) -> Result<Draft> {
    if options.spacing.is_some_and(|spacing| !spacing.is_valid()) {
        return Err(Error::input("spacing must be positive")
            .at("--spacing")
            .remedy("write mm per pixel, as 0.1 or 0.1,0.125"));
    }
    let tree = Tree::open(source)?;
    let format = format.map_or_else(|| detect(&tree, source), Ok)?;
    let mut draft = (format.entry().read)(&tree, options)
        .map_err(|e| if e.location.is_none() { e.at(source.display()) } else { e })?;
    if let Some(name) = &options.name {
        // Whose landmarks the truth is, is part of every name.
        let by = draft.name.rsplit_once('-').map(|(_, last)| last).filter(|last| {
            matches!(format, Format::Isbi2015 | Format::Aariz | Format::Payer)
                && Truth::ALL.iter().any(|t| t.name() == *last)
        });
        draft.name = by.map_or_else(|| name.clone(), |by| format!("{name}-{by}"));
    }
    if let Some(spacing) = options.spacing {
        draft.records.iter_mut().for_each(|record| record.spacing = Some(spacing));
    }
    draft.settle(options).map_err(|e| if e.location.is_none() { e.at(source.display()) } else { e })?;
    Ok(draft)
}
