//! Exports data sets to other formats. A format is one file with an `EXPORTER` and one line in the list of [`Format`]. A few
//! images are in memory at a time. An export is complete, or it leaves nothing behind.

use std::path::Path;

use rayon::prelude::*;

use super::folder::{self, FolderIndex};
use super::{Dataset, Sample, SplitSpec};
use sweep_core::error::{Error, Result};

mod coco;
mod csv;
mod heatmap_folders;

/// Declares [`Format`] from the exporters' modules, so that variants, [`Format::ALL`] and the dispatch are one list.
macro_rules! formats {
    ($($(#[$doc:meta])* $variant:ident = $module:ident),+ $(,)?) => {
        /// Formats that can be written.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Format {
            $($(#[$doc])* $variant,)+
        }

        impl Format {
            /// All formats.
            pub const ALL: [Self; [$(Self::$variant),+].len()] = [$(Self::$variant),+];

            fn exporter(self) -> &'static Exporter {
                match self {
                    $(Self::$variant => &$module::EXPORTER,)+
                }
            }
        }
    };
}

formats! {
    /// A CSV with a row per image.
    Csv = csv,
    /// COCO keypoints.
    Coco = coco,
    /// Folders of heatmaps.
    HeatmapFolders = heatmap_folders,
}

/// A format's description and writers; every format's file has one, called `EXPORTER`.
struct Exporter {
    name: &'static str,
    writes: &'static str,
    loses: &'static str,
    /// Whether the format can hold the data set; called before an image is read.
    check: fn(&Dataset) -> Result<()>,
    /// Writes the files of one image; `original` is its file.
    image: fn(dir: &Path, names: &[String], sample: &Sample, original: &Path) -> Result<()>,
    /// Writes the files of the whole data set, which has no grey values.
    annotations: fn(dir: &Path, dataset: &Dataset) -> Result<()>,
}

impl Format {
    /// Name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.exporter().name
    }

    /// Description of what is written.
    #[must_use]
    pub fn writes(self) -> &'static str {
        self.exporter().writes
    }

    /// Description of what is lost.
    #[must_use]
    pub fn loses(self) -> &'static str {
        self.exporter().loses
    }
}

/// Writes the data set in the folder `source` to the new folder `out`, and returns it without grey values.
///
/// # Errors
/// Same errors as [`folder::read`]; content that the format cannot hold; when `out` exists or cannot be written. No file is
/// left behind then.
pub fn export(source: &Path, format: Format, out: &Path) -> Result<Dataset> {
    let index = FolderIndex::read_by(source, &SplitSpec::default())?;
    let exporter = format.exporter();
    (exporter.check)(&index.dataset(Vec::new()))?;
    folder::write_all_or_nothing(out, |dir| {
        let export_image = |position: usize| -> Result<Sample> {
            let sample = index.decode_some(&[position])?.pop().ok_or_else(|| Error::input("the data set changed"))?;
            (exporter.image)(dir, index.landmarks(), &sample, &index.file(&sample.image))?;
            Ok(Sample { pixels: Vec::new(), ..sample })
        };
        let samples: Vec<Result<Sample>> = (0..index.len()).into_par_iter().map(export_image).collect();
        let dataset = index.dataset(samples.into_iter().collect::<Result<_>>()?);
        dataset.check_table()?;
        (exporter.annotations)(dir, &dataset)?;
        Ok(dataset)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exporter_is_documented() {
        let guide = include_str!("../../guide/data.md");
        for format in Format::ALL {
            let row = format!("\n| `{}` | {}", format.name(), format.writes());
            assert!(guide.contains(&row), "{row} is not in guide/data.md");
        }
    }
}
