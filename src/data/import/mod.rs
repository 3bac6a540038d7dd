//! Imports data sets of other formats. A format is one file with an `IMPORTER` and one line in the list of [`Format`]: it
//! reads a source's files into a [`ParsedDataset`]. Tasks of all formats (splits where the source has none, names, images into PNG,
//! all or nothing) are done here once.

use std::path::Path;

use crate::folder;
use sweep_core::error::{Error, Result};

pub use frame::Frame;
pub use observers::Truth;
pub use options::{Missing, Options, PositionUnit, column_of};
pub use origin::Origin;
pub use parsed::{ParsedDataset, PixelSource, Record, Unit};
pub use rename::read_names;
pub use write::{Written, check, read_image, write, write_saying};

use tree::Tree;

mod aariz;
mod cells;
mod cl_detection;
mod coco;
mod coco_layout;
mod coco_origin;
mod coordinates;
mod csv_long;
mod csv_wide;
mod cvat;
mod cvat_xml;
mod datumaro;
mod deeplabcut;
mod dlib_xml;
mod excel;
mod frame;
mod grey;
mod groups;
pub(super) mod heatmap_folders;
mod imagej;
mod images;
mod isbi;
mod json_numbers;
mod json_outline;
mod known_names;
mod label_studio;
mod labelme;
mod marked;
mod missing;
mod mmpose;
mod name_list;
mod name_order;
mod nearest;
mod nearest_tools;
mod nifti_volume;
mod number;
mod observer_column;
mod observers;
mod openpose;
mod options;
mod origin;
mod parsed;
mod payer;
mod pose_files;
mod pts;
mod rename;
mod settle;
mod slicer;
mod slicer_volume;
mod spelling;
mod splits;
mod stack;
mod text;
mod tps;
mod tree;
mod via;
mod via3;
mod without_importer;
mod workbook;
mod write;
mod yaml;
mod yolo_pose;

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
    /// CVAT 1.1.
    Cvat = cvat,
    /// Label Studio.
    LabelStudio = label_studio,
    /// Datumaro.
    Datumaro = datumaro,
    /// YOLO pose.
    YoloPose = yolo_pose,
    /// VGG Image Annotator.
    Via = via,
    /// OpenPose.
    OpenPose = openpose,
    /// MMPose.
    MmPose = mmpose,
    /// A CSV with a row per image.
    Csv = csv_wide,
    /// A CSV with a row per landmark.
    CsvLong = csv_long,
    /// A workbook with a sheet like these.
    Excel = excel,
    /// DeepLabCut.
    DeepLabCut = deeplabcut,
    /// Markups of 3D Slicer.
    Slicer = slicer,
    /// Results of ImageJ.
    ImageJ = imagej,
    /// ibug's .pts.
    Pts = pts,
    /// dlib's XML.
    Dlib = dlib_xml,
    /// TPS.
    Tps = tps,
    /// Payer's CSV without a header.
    Payer = payer,
}

/// A format's description and reader; every format's file has one, called `IMPORTER`.
struct Importer {
    name: &'static str,
    reads: &'static str,
    loses: &'static str,
    /// Where the format's tool counts from, unless the user says otherwise.
    origin: Origin,
    /// Whether positions come from `read` as the source says them, so that the user's origin is still to be applied.
    leaves_origin: bool,
    /// Whether landmarks belong to objects of categories, of which `--category` names one.
    has_categories: bool,
    /// Whether it is a table of landmarks with a header of the user's, which may have a column of observers.
    is_table: bool,
    /// Whether a source looks like this format.
    recognizes: fn(&Tree) -> bool,
    read: fn(&Tree, &Options) -> Result<ParsedDataset>,
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
        Self::detect_as(source, &Options::default())
    }

    /// The format that a source looks like with what the user says of it.
    ///
    /// # Errors
    /// Same errors as [`Format::detect`].
    pub fn detect_as(source: &Path, options: &Options) -> Result<Self> {
        detect(&Tree::open(source, options)?, source)
    }
}

fn detect(tree: &Tree, source: &Path) -> Result<Format> {
    if tree.has(Path::new(folder::HEADER)) {
        return Err(Error::input("a data set already: there is nothing to import")
            .at(source.display())
            .remedy("use it as it is, e.g. by --dataset"));
    }
    Format::ALL.into_iter().find(|format| (format.importer().recognizes)(tree)).ok_or_else(|| {
        let (what, remedy) = without_importer::describe(tree).unwrap_or_else(|| {
            let what = nearest_tools::describe(tree).unwrap_or_else(|| nearest::describe(tree));
            (
                what,
                "see `sweep data formats`, and say which one by --format for errors that name what is missing"
                    .to_owned(),
            )
        });
        Error::input(format!("looks like no format that is known: {what}")).at(source.display()).remedy(remedy)
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
    let mut tree = Tree::open(source, options)?;
    let format = format.map_or_else(|| detect(&tree, source), Ok)?;
    has_effect(format, options)?;
    let at = |e: Error| if e.location.is_none() { e.at(source.display()) } else { e };
    let names = observer_column::names(&tree, format, options).map_err(at)?;
    let mut parsed = if names.len() > 1 {
        let mut all = Vec::new();
        for name in names {
            let own = Options { observer: Some(name.clone()), ..options.clone() };
            tree = Tree::open(source, &own)?;
            all.push((name, parse(&tree, format, &own).map_err(at)?));
        }
        observer_column::join(all, options).map_err(at)?
    } else {
        parse(&tree, format, options).map_err(at)?
    };
    tree.check_columns()?;
    if let Some(name) = &options.name {
        // The observer stays part of the name.
        let by = parsed.name.rsplit_once('-').map(|(_, last)| last).filter(|last| {
            matches!(format, Format::Isbi2015 | Format::Aariz | Format::Payer)
                && Truth::ALL.iter().any(|t| t.name() == *last)
        });
        parsed.name = by.map_or_else(|| name.clone(), |by| format!("{name}-{by}"));
    }
    if let Some(second) = &options.second {
        let theirs = parse_second(second, options).map_err(|e| e.at("--second"))?;
        observers::unite(&mut parsed, theirs, options).map_err(at)?;
    }
    if matches!(format, Format::Isbi2015 | Format::ClDetection | Format::Aariz | Format::Payer) {
        check_spacing(&parsed)?;
    }
    parsed.settle(&tree, options, format != Format::HeatmapFolders).map_err(at)?;
    let notes = std::mem::take(&mut parsed.notes);
    parsed.notes = tree.notes().into_iter().chain(notes).collect();
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

/// Whether what the user says of the source has an effect in its format.
fn has_effect(format: Format, options: &Options) -> Result<()> {
    let Importer { has_categories, is_table, .. } = *format.importer();
    let wrong = [
        ("--category", options.category.is_some() && !has_categories, "categories"),
        ("--sheet", options.sheet.is_some() && format != Format::Excel, "sheets"),
        ("--fold", options.fold.is_some() && format != Format::Payer, "folds"),
        ("--observer", options.observer.is_some() && !is_table, "column of observers"),
    ];
    match wrong.into_iter().find(|(_, is_wrong, _)| *is_wrong) {
        Some((flag, _, what)) => {
            Err(Error::input(format!("the format {} has no {what}", format.name())).at(flag).remedy("leave it out"))
        }
        None => Ok(()),
    }
}

/// The second observer's marks.
fn parse_second(source: &Path, options: &Options) -> Result<ParsedDataset> {
    let tree = Tree::open(source, options)?;
    let format = detect(&tree, source)?;
    let mut parsed = parse(&tree, format, options)?;
    missing::settle(&mut parsed, options)?;
    Ok(parsed)
}

/// The importer's result, with the user's spacing, unit, origin and direction of y.
fn parse(tree: &Tree, format: Format, options: &Options) -> Result<ParsedDataset> {
    // Positions in another unit than pixels get their origin only when they are in pixels.
    let mut options = options.clone();
    let importer = format.importer();
    let origin = options.origin.unwrap_or(importer.origin);
    if options.unit.is_some() {
        options.origin = Some(origin);
    }
    let mut parsed = (importer.read)(tree, &options)?;
    for record in &mut parsed.records {
        if importer.leaves_origin {
            record.first += options.origin.map_or(0.0, Origin::first);
        }
        if let Some(unit) = options.unit {
            reinterpret(record, unit, origin);
        }
        record.y_up = options.y_up.unwrap_or(record.y_up);
        record.spacing = options.spacing.or(record.spacing);
    }
    Ok(parsed)
}

/// Takes an image's positions for those of another unit.
fn reinterpret(record: &mut Record, unit: PositionUnit, origin: Origin) {
    // The offset that the importer has already subtracted is added again.
    let taken = if record.unit == Unit::Pixels { origin.first() - record.first } else { 0.0 };
    let scale = if unit == PositionUnit::Percent { 0.01 } else { 1.0 };
    for point in record.landmarks.iter_mut().flatten() {
        (point.x, point.y) = ((point.x + taken) * scale, (point.y + taken) * scale);
    }
    (record.unit, record.first) = match unit {
        PositionUnit::Pixels => (Unit::Pixels, origin.first()),
        PositionUnit::Millimetres => (Unit::Millimetres, origin.first()),
        PositionUnit::Percent | PositionUnit::Relative => (Unit::Shares(origin), 0.0),
    };
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "makes sources")]
mod source_tests;

#[cfg(test)]
mod coco_tests;
#[cfg(test)]
mod skip_tests;
#[cfg(test)]
mod tables_tests;
#[cfg(test)]
mod test_source;
#[cfg(test)]
mod tools_tests;

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "reads this folder's files")]
mod tests;
