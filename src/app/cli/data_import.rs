//! Flags of `sweep data import`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use sweep_core::units::Spacing;
use sweep_data::import::{self, Missing, Origin, PositionUnit, Truth};
use sweep_data::picture::GreyRange;

/// `sweep data import`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct DataImport {
    /// Format of the source, as listed by `sweep data formats`; auto detects it
    #[arg(long, default_value = "auto", value_parser = import_format())]
    pub format: ImportFormat,
    /// Source: a folder with annotations and images, or the file of annotations in it
    pub source: PathBuf,
    /// Folder to write
    #[arg(required_unless_present = "dry_run")]
    pub out: Option<PathBuf>,
    /// Name of the data set (default: the source's)
    #[arg(long)]
    pub name: Option<String>,
    /// Size of a pixel in mm, if the source has none or a wrong one
    #[arg(long, value_name = "X[,Y]", value_parser = spacing)]
    pub spacing: Option<Spacing>,
    /// Observer whose landmarks are the ground truth, if the source has two
    #[arg(long, default_value = "mean", value_parser = truth())]
    pub truth: Truth,
    /// Source of the same images as marked by a second observer, in any format: the first is junior, the second senior
    #[arg(long, value_name = "SOURCE")]
    pub second: Option<PathBuf>,
    /// Observer whose rows count, of a table with a column `observer` (default: the mean of all of them)
    #[arg(long, value_name = "NAME")]
    pub observer: Option<String>,
    /// Share of the training images to use for validation, if the source has no validation images
    #[arg(long, value_name = "SHARE", default_value_t = 0.2)]
    pub val: f64,
    /// Seed of the drawn validation images
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Fold of the cross-validation lists to import (format payer: cv/setN)
    #[arg(long, value_name = "N")]
    pub fold: Option<usize>,
    /// Ignore the splits that columns, lists and names of folders or files say
    #[arg(long)]
    pub no_split: bool,
    /// Group of an image, which splits keep together: the first group of this regular expression in the image's path
    #[arg(long, value_name = "PATTERN")]
    pub group: Option<String>,
    /// Category (class, object) whose points are the landmarks, if the source has several
    #[arg(long, value_name = "NAME")]
    pub category: Option<String>,
    /// Sheet of an Excel workbook (default: the first)
    #[arg(long, value_name = "NAME")]
    pub sheet: Option<String>,
    /// Columns of tables that have other names, such as `image=FILE,landmark=POINT`
    #[arg(long, value_name = "NAME=HEADER", value_delimiter = ',', value_parser = column, allow_hyphen_values = true)]
    pub columns: Vec<(String, String)>,
    /// CSV of landmarks' names, OLD,NEW a row
    #[arg(long, value_name = "FILE")]
    pub rename: Option<PathBuf>,
    /// Where the source counts pixels from: the first pixel's centre or corner, or from one (default: as its tool does)
    #[arg(long, value_parser = origin())]
    pub origin: Option<Origin>,
    /// Count y upwards from the image's lower edge (false: downwards; default: as the format's tool does)
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub y_up: Option<bool>,
    /// Unit of the source's positions (default: the format's)
    #[arg(long, value_parser = unit())]
    pub unit: Option<PositionUnit>,
    /// Value of both coordinates, or of a table's cell, that says a landmark is missing; none counts every position
    /// (default: 0,0 and -1,-1 and the like are missing, with a note)
    #[arg(long, value_name = "VALUE", value_parser = missing, allow_hyphen_values = true)]
    pub missing: Option<Missing>,
    /// Values that become black and white in images of more than 8 bits (default: found from all images)
    #[arg(long, value_name = "LOW,HIGH", value_parser = grey, allow_hyphen_values = true)]
    pub grey: Option<GreyRange>,
    /// Leave out rows and images with an error, and list them
    #[arg(long)]
    pub skip_bad: bool,
    /// Write images that are in colour in colour, for `dataset.channels = 3` (default: grey)
    #[arg(long)]
    pub colour: bool,
    /// Read and check everything, and write no data set
    #[arg(long)]
    pub dry_run: bool,
    /// Folder for three of the images with their landmarks drawn
    #[arg(long, value_name = "DIR")]
    pub overlay: Option<PathBuf>,
}

/// A format to import; `None` detects it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportFormat(pub Option<import::Format>);

fn import_format() -> impl TypedValueParser<Value = ImportFormat> {
    let names = std::iter::once("auto").chain(import::Format::ALL.map(import::Format::name));
    PossibleValuesParser::new(names)
        .map(|name| ImportFormat(import::Format::ALL.into_iter().find(|format| format.name() == name)))
}

fn truth() -> impl TypedValueParser<Value = Truth> {
    PossibleValuesParser::new(Truth::ALL.map(Truth::name))
        .try_map(|name| Truth::ALL.into_iter().find(|truth| truth.name() == name).ok_or("no such observer"))
}

fn origin() -> impl TypedValueParser<Value = Origin> {
    PossibleValuesParser::new(Origin::ALL.map(Origin::name))
        .try_map(|name| Origin::ALL.into_iter().find(|origin| origin.name() == name).ok_or("no such origin"))
}

fn unit() -> impl TypedValueParser<Value = PositionUnit> {
    PossibleValuesParser::new(PositionUnit::ALL.map(PositionUnit::name))
        .try_map(|name| PositionUnit::ALL.into_iter().find(|unit| unit.name() == name).ok_or("no such unit"))
}

fn column(text: &str) -> Result<(String, String), String> {
    import::column_of(text).map_err(|e| e.remedy.unwrap_or(e.message))
}

fn missing(text: &str) -> Result<Missing, String> {
    Missing::parse(text).map_err(|e| e.remedy.unwrap_or(e.message))
}

/// Numbers with commas between them.
fn numbers(text: &str) -> Option<Vec<f64>> {
    text.split(',').map(|number| number.trim().parse().ok()).collect()
}

/// Two grey values.
fn grey(text: &str) -> Result<GreyRange, String> {
    let range = match numbers(text).as_deref() {
        Some([low, high]) => Some(GreyRange { low: *low, high: *high }),
        _ => None,
    };
    range
        .filter(|range| range.is_valid())
        .ok_or_else(|| "use the values of black and of white, the lesser first, for example 0,4095".to_owned())
}

/// Millimetres per pixel, one number for both axes or two.
fn spacing(text: &str) -> Result<Spacing, String> {
    let spacing = match numbers(text).as_deref() {
        Some([both]) => Some(Spacing { x: *both, y: *both }),
        Some([x, y]) => Some(Spacing { x: *x, y: *y }),
        _ => None,
    };
    spacing
        .filter(|s| s.is_valid())
        .ok_or_else(|| "use mm per pixel, for example 0.1, or 0.1,0.125 for x and y".to_owned())
}
