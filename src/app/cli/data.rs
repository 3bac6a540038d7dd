//! `sweep data`.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};

use sweep_core::units::Spacing;
use sweep_data::import::Truth;
use sweep_data::{export, import};

/// `sweep data …`.
#[derive(Debug, Subcommand)]
pub enum Data {
    /// Write a data set of phantom cephalograms
    Synth {
        /// Folder to make
        dir: PathBuf,
        /// Training images
        #[arg(long, default_value_t = 48)]
        train: usize,
        /// Validation images
        #[arg(long, default_value_t = 24)]
        val: usize,
        /// Height in pixels
        #[arg(long, default_value_t = 800)]
        height: usize,
        /// Width in pixels
        #[arg(long, default_value_t = 640)]
        width: usize,
        /// Other seeds make other subjects
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// Turn another format into a data set folder
    Import {
        /// Format of the source; auto finds it (`sweep data formats` lists them)
        #[arg(long, default_value = "auto", value_parser = import_format())]
        format: ImportFormat,
        /// What to read: a folder with annotations and images, or a file of annotations in it
        source: PathBuf,
        /// Folder to make
        out: PathBuf,
        /// Name of the data set, if not the source's
        #[arg(long)]
        name: Option<String>,
        /// Size of a pixel in mm, if the source does not say it, or says it wrong
        #[arg(long, value_name = "X[,Y]", value_parser = spacing)]
        spacing: Option<Spacing>,
        /// Whose landmarks are the truth, where there are two observers
        #[arg(long, default_value = "mean", value_parser = truth())]
        truth: Truth,
        /// Share of the training images that validate, where the source has none that do
        #[arg(long, value_name = "SHARE", default_value_t = 0.2)]
        val: f64,
        /// Other seeds draw other ones
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Fold of cross-validation lists (payer: cv/setN)
        #[arg(long, value_name = "N")]
        fold: Option<usize>,
    },
    /// Tell what a data set holds and all that is wrong with it, and draw it; exit code 1 when a sweep would be spoilt
    Inspect(Inspect),
    /// Turn a data set folder into another format
    Export {
        /// Format to write
        #[arg(long, value_parser = export_format())]
        format: export::Format,
        /// The data set
        dir: PathBuf,
        /// Folder to make
        out: PathBuf,
    },
    /// List the formats that are imported and exported, with what is read and what is lost
    Formats {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// `sweep data inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// Folder that holds dataset.toml
    pub dir: PathBuf,
    /// Folder for the contact sheet and the landmarks' spread (default: inspect-NAME here, after the data set's folder)
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Draw augmented.png too: training images as the first epochs of FILE's first trial see them, or, without FILE, with an
    /// example of every change
    #[arg(long, value_name = "FILE", num_args = 0..=1, conflicts_with = "no_pictures")]
    pub augment: Option<Option<PathBuf>>,
    /// Draw nothing
    #[arg(long, conflicts_with = "output")]
    pub no_pictures: bool,
    /// Print facts and findings as JSON
    #[arg(long)]
    pub json: bool,
}

/// A format to import, or any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportFormat(pub Option<import::Format>);

fn import_format() -> impl TypedValueParser<Value = ImportFormat> {
    let names = std::iter::once("auto").chain(import::Format::ALL.map(import::Format::name));
    PossibleValuesParser::new(names)
        .map(|name| ImportFormat(import::Format::ALL.into_iter().find(|format| format.name() == name)))
}

fn export_format() -> impl TypedValueParser<Value = export::Format> {
    PossibleValuesParser::new(export::Format::ALL.map(export::Format::name))
        .try_map(|name| export::Format::ALL.into_iter().find(|f| f.name() == name).ok_or("no such format"))
}

fn truth() -> impl TypedValueParser<Value = Truth> {
    PossibleValuesParser::new(Truth::ALL.map(Truth::name))
        .try_map(|name| Truth::ALL.into_iter().find(|truth| truth.name() == name).ok_or("no such observer"))
}

/// Millimetres per pixel, one number for both axes or two.
fn spacing(text: &str) -> Result<Spacing, String> {
    let numbers: Option<Vec<f64>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
    let spacing = match numbers.as_deref() {
        Some([both]) => Some(Spacing { x: *both, y: *both }),
        Some([x, y]) => Some(Spacing { x: *x, y: *y }),
        _ => None,
    };
    spacing.filter(|s| s.is_valid()).ok_or_else(|| "use mm per pixel, as 0.1, or 0.1,0.125 for x and y".to_owned())
}
