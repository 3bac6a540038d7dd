//! Imports data sets of other formats. A format is one file with an `IMPORTER` and one line in the list of [`Format`]: it
//! reads a source's files into a [`ParsedDataset`]. Tasks of all formats (splits where the source has none, names, images into PNG,
//! all or nothing) are done here once.

use std::path::Path;

use crate::folder;
use sweep_core::error::{Error, Result};
use sweep_core::units::Spacing;

pub use observers::Truth;
pub use parsed::{ParsedDataset, PixelSource, Record, Unit};
pub use write::write;

use tree::Tree;

mod aariz;
mod cells;
mod cl_detection;
mod coco;
mod csv_long;
mod csv_wide;
mod cvat;
pub(super) mod heatmap_folders;
mod isbi;
mod labelme;
mod number;
mod observers;
mod parsed;
mod payer;
mod tree;
mod write;

/// Declares [`Format`] from the importers' modules, so that variants, [`Format::ALL`] and the dispatch are one list.
macro_rules! formats {
    ($($(#[$doc:meta])* $variant:ident = $module:ident),+ $(,)?) => {
        /// Formats of other people's data, from the most to the least specific: the order of detection.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Format {
            $($(#[$doc])* $variant,)+
        }

        impl Format {
            /// All formats, in the order of detection.
            pub const ALL: [Self; [$(Self::$variant),+].len()] = [$(Self::$variant),+];

            fn importer(self) -> &'static Importer {
                match self {
                    $(Self::$variant => &$module::IMPORTER,)+
                }
            }
        }

        /// The listed modules.
        #[cfg(test)]
        const MODULES: [&str; Format::ALL.len()] = [$(stringify!($module)),+];
    };
}

formats! {
    /// The challenge of ISBI 2015.
    Isbi2015 = isbi,
    /// Folders of heatmaps.
    HeatmapFolders = heatmap_folders,
    /// CL-Detection 2023 and 2024.
    ClDetection = cl_detection,
    /// Aariz.
    Aariz = aariz,
    /// COCO keypoints.
    Coco = coco,
    /// labelme.
    Labelme = labelme,
    /// CVAT for images 1.1.
    Cvat = cvat,
    /// A CSV with a row per image.
    Csv = csv_wide,
    /// A CSV with a row per landmark.
    CsvLong = csv_long,
    /// Payer's CSV without a header.
    Payer = payer,
}

/// A format's description and reader; every format's file has one, called `IMPORTER`.
struct Importer {
    name: &'static str,
    reads: &'static str,
    loses: &'static str,
    /// Whether a source looks like this format.
    recognizes: fn(&Tree) -> bool,
    read: fn(&Tree, &Options) -> Result<ParsedDataset>,
}

/// The user's additions to a source.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The data set's name, if not the source's.
    pub name: Option<String>,
    /// Size of every image's pixels, whatever the source says.
    pub spacing: Option<Spacing>,
    /// The observer whose landmarks count, where there are two.
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
    /// Name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.importer().name
    }

    /// Description of what is read.
    #[must_use]
    pub fn reads(self) -> &'static str {
        self.importer().reads
    }

    /// Description of what is lost.
    #[must_use]
    pub fn loses(self) -> &'static str {
        self.importer().loses
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
    Format::ALL.into_iter().find(|format| (format.importer().recognizes)(tree)).ok_or_else(|| {
        Error::input("looks like no format that is known")
            .at(source.display())
            .remedy("see `sweep data formats`, and say which one by --format for errors that name what is missing")
    })
}

/// Reads a source; no image is decoded except heatmaps. Without a format, the format is detected.
///
/// # Errors
/// The source's first error, with file, line or field.
pub fn read(source: &Path, format: Option<Format>, options: &Options) -> Result<ParsedDataset> {
    if options.spacing.is_some_and(|spacing| !spacing.is_valid()) {
        return Err(Error::input("spacing must be positive")
            .at("--spacing")
            .remedy("write mm per pixel, as 0.1 or 0.1,0.125"));
    }
    let tree = Tree::open(source)?;
    let format = format.map_or_else(|| detect(&tree, source), Ok)?;
    let mut parsed = (format.importer().read)(&tree, options)
        .map_err(|e| if e.location.is_none() { e.at(source.display()) } else { e })?;
    if let Some(name) = &options.name {
        // The observer stays part of the name.
        let by = parsed.name.rsplit_once('-').map(|(_, last)| last).filter(|last| {
            matches!(format, Format::Isbi2015 | Format::Aariz | Format::Payer)
                && Truth::ALL.iter().any(|t| t.name() == *last)
        });
        parsed.name = by.map_or_else(|| name.clone(), |by| format!("{name}-{by}"));
    }
    if let Some(spacing) = options.spacing {
        parsed.records.iter_mut().for_each(|record| record.spacing = Some(spacing));
    }
    if matches!(format, Format::Isbi2015 | Format::ClDetection | Format::Aariz | Format::Payer) {
        check_spacing(&parsed)?;
    }
    parsed.settle(options).map_err(|e| if e.location.is_none() { e.at(source.display()) } else { e })?;
    Ok(parsed)
}

/// Whether the size of every image's pixels is known, or may be by its file: radiographs of these formats are measured in mm.
fn check_spacing(parsed: &ParsedDataset) -> Result<()> {
    let may_say = |path: &Path| {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        !ending.is_some_and(|ending| ["png", "jpg", "jpeg", "bmp", "tif", "tiff"].contains(&ending.as_str()))
    };
    let says = |record: &&Record| match &record.source {
        PixelSource::File(path) => record.spacing.is_some() || may_say(path),
        _ => true,
    };
    parsed.records.iter().find(|record| !says(record)).map_or(Ok(()), |record| {
        Err(Error::input("neither the annotations nor the image say the size of a pixel")
            .at(&record.location)
            .remedy("say it, in mm: --spacing X, or --spacing X,Y where it differs"))
    })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "reads this folder's files")]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_importer_is_listed_and_documented() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("import");
        let mut importers = Vec::new();
        for file in fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let has_importer = fs::read_to_string(&path).unwrap().contains(concat!("const IMPORTER", ": Importer"));
            importers.extend(has_importer.then(|| path.file_stem().unwrap().to_string_lossy().into_owned()));
        }
        importers.sort();
        let mut listed = MODULES;
        listed.sort_unstable();
        assert_eq!(importers, listed, "files with an IMPORTER, and the list of formats");
        let guide = include_str!("../../guide/data.md");
        for format in Format::ALL {
            assert!(guide.contains(&format!("\n| `{}` |", format.name())), "{} is not in guide/data.md", format.name());
        }
    }
}
