//! Our data sets into other people's formats: one file and one variant each, a few images in memory at a time, whole or
//! not at all.

use std::path::Path;

use rayon::prelude::*;

use super::folder::{self, FolderIndex};
use super::{Dataset, Sample, SplitSpec};
use sweep_core::error::{Error, Result};

mod coco;
mod csv;
mod heatmap_folders;

/// Formats that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A CSV with a row per image.
    Csv,
    /// COCO keypoints.
    Coco,
    /// Folders of heatmaps.
    HeatmapFolders,
}

/// What a format's file says of it.
struct Entry {
    name: &'static str,
    writes: &'static str,
    loses: &'static str,
    /// Fit to be written at all, before an image is read.
    check: fn(&Dataset) -> Result<()>,
    /// Writes what belongs to one image; `original` is its file.
    image: fn(dir: &Path, names: &[String], sample: &Sample, original: &Path) -> Result<()>,
    /// Writes what belongs to all; nothing is known of grey values.
    whole: fn(dir: &Path, dataset: &Dataset) -> Result<()>,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Csv, Self::Coco, Self::HeatmapFolders];

    fn entry(self) -> &'static Entry {
        match self {
            Self::Csv => &csv::FORMAT,
            Self::Coco => &coco::FORMAT,
            Self::HeatmapFolders => &heatmap_folders::FORMAT,
        }
    }

    /// As on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// What is written.
    #[must_use]
    pub fn writes(self) -> &'static str {
        self.entry().writes
    }

    /// What is lost.
    #[must_use]
    pub fn loses(self) -> &'static str {
        self.entry().loses
    }
}

/// Writes the data set in the folder `source` to the new folder `out`, and returns it without grey values.
///
/// # Errors
/// As [`folder::read`]; what the format cannot say; when `out` exists or cannot be written. Nothing is left then.
pub fn export(source: &Path, format: Format, out: &Path) -> Result<Dataset> {
    let index = FolderIndex::read_by(source, &SplitSpec::default())?;
    let entry = format.entry();
    (entry.check)(&index.dataset(Vec::new()))?;
    folder::whole(out, |dir| {
        let export_image = |position: usize| -> Result<Sample> {
            let sample = index.decode_some(&[position])?.pop().ok_or_else(|| Error::input("the data set changed"))?;
            (entry.image)(dir, index.landmarks(), &sample, &index.file(&sample.image))?;
            Ok(Sample { pixels: Vec::new(), ..sample })
        };
        let samples: Vec<Result<Sample>> = (0..index.len()).into_par_iter().map(export_image).collect();
        let dataset = index.dataset(samples.into_iter().collect::<Result<_>>()?);
        dataset.check_table()?;
        (entry.whole)(dir, &dataset)?;
        Ok(dataset)
    })
}
