//! `sweep data`.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};

use sweep_core::units::Spacing;
use sweep_data::import::{Origin, Truth};
use sweep_data::{export, import};

/// `sweep data …`.
#[derive(Debug, Subcommand)]
pub enum Data {
    /// Generate a data set of phantom cephalograms
    #[command(after_help = "Example:\n  sweep data synth data/phantom --train 100")]
    Synth {
        /// Folder to write
        dir: PathBuf,
        /// Number of training images
        #[arg(long, default_value_t = 48)]
        train: usize,
        /// Number of validation images
        #[arg(long, default_value_t = 24)]
        val: usize,
        /// Height of the images in pixels
        #[arg(long, default_value_t = 800)]
        height: usize,
        /// Width of the images in pixels
        #[arg(long, default_value_t = 640)]
        width: usize,
        /// Seed of the generated subjects
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// Convert a data set in another format to a data set folder
    #[command(after_help = "Example:\n  sweep data import downloads/isbi2015 data/isbi2015")]
    Import {
        /// Format of the source, as listed by `sweep data formats`; auto detects it
        #[arg(long, default_value = "auto", value_parser = import_format())]
        format: ImportFormat,
        /// Source: a folder with annotations and images, or the file of annotations in it
        source: PathBuf,
        /// Folder to write
        out: PathBuf,
        /// Name of the data set (default: the source's)
        #[arg(long)]
        name: Option<String>,
        /// Size of a pixel in mm, if the source has none or a wrong one
        #[arg(long, value_name = "X[,Y]", value_parser = spacing)]
        spacing: Option<Spacing>,
        /// Observer whose landmarks are the ground truth, if the source has two
        #[arg(long, default_value = "mean", value_parser = truth())]
        truth: Truth,
        /// Share of the training images to use for validation, if the source has no validation images
        #[arg(long, value_name = "SHARE", default_value_t = 0.2)]
        val: f64,
        /// Seed of the drawn validation images
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Fold of the cross-validation lists to import (format payer: cv/setN)
        #[arg(long, value_name = "N")]
        fold: Option<usize>,
        /// Category (class, object) whose points are the landmarks, if the source has several
        #[arg(long, value_name = "NAME")]
        category: Option<String>,
        /// Where the source counts pixels from: the first pixel's centre or corner, or from one (default: as its tool does)
        #[arg(long, value_parser = origin())]
        origin: Option<Origin>,
    },
    /// Report the content and all problems of a data set, and draw it; exit with code 1 on problems that would spoil a sweep
    #[command(after_help = "Example:\n  sweep data inspect data/isbi2015")]
    Inspect(Inspect),
    /// Convert a data set folder to another format
    #[command(after_help = "Example:\n  sweep data export --format coco data/isbi2015 isbi2015-coco")]
    Export {
        /// Format to write
        #[arg(long, value_parser = export_format())]
        format: export::Format,
        /// Folder of the data set
        dir: PathBuf,
        /// Folder to write
        out: PathBuf,
    },
    /// List the formats for import and export, with the fields that are read and lost
    #[command(after_help = "Example:\n  sweep data formats")]
    Formats {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// `sweep data inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// Folder of the data set, which holds dataset.toml
    pub dir: PathBuf,
    /// Folder of the figures (default: inspect-NAME in the working directory, after the data set's folder)
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Also draw augmented.png: training images as augmented in the first epochs of FILE's first trial, or, without FILE, an
    /// example of every augmentation
    #[arg(long, value_name = "FILE", num_args = 0..=1, conflicts_with = "no_pictures")]
    pub augment: Option<Option<PathBuf>>,
    /// Draw no figures
    #[arg(long, conflicts_with = "output")]
    pub no_pictures: bool,
    /// Print content and problems as JSON
    #[arg(long)]
    pub json: bool,
}

/// A format to import; `None` detects it.
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

fn origin() -> impl TypedValueParser<Value = Origin> {
    PossibleValuesParser::new(Origin::ALL.map(Origin::name))
        .try_map(|name| Origin::ALL.into_iter().find(|origin| origin.name() == name).ok_or("no such origin"))
}

/// Millimetres per pixel, one number for both axes or two.
fn spacing(text: &str) -> Result<Spacing, String> {
    let numbers: Option<Vec<f64>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
    let spacing = match numbers.as_deref() {
        Some([both]) => Some(Spacing { x: *both, y: *both }),
        Some([x, y]) => Some(Spacing { x: *x, y: *y }),
        _ => None,
    };
    spacing
        .filter(|s| s.is_valid())
        .ok_or_else(|| "use mm per pixel, for example 0.1, or 0.1,0.125 for x and y".to_owned())
}
