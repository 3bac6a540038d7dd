//! `sweep data`.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};

use sweep_data::export;

use super::data_import::DataImport;
use super::networks::Inference;

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
        /// Number of test images
        #[arg(long, default_value_t = 0)]
        test: usize,
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
    Import(Box<DataImport>),
    /// Report the content and all problems of a data set, and draw it; exit with code 1 on problems that would spoil a sweep
    #[command(after_help = "Example:\n  sweep data inspect data/isbi2015")]
    Inspect(Inspect),
    /// Find clusters of images that look alike, to validate on images unlike those of the training
    #[command(after_help = "Example:\n  sweep data cluster data/isbi2015 --into 5 --write")]
    Cluster(Cluster),
    /// Copy a data set with training labels by trained networks, and with more images that they label: another network that
    /// learns from it is distilled from them
    #[command(
        after_help = "Example:\n  sweep data label data/clinic data/labelled --checkpoint results/loss/trials/*/best.safetensors --images unlabelled/"
    )]
    Label(Box<Label>),
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

/// `sweep data cluster`.
#[derive(Debug, Args)]
pub struct Cluster {
    /// Folder of the data set, which holds dataset.toml
    pub dir: PathBuf,
    /// Number of clusters
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub into: usize,
    /// Write the clusters to the data set's CSV, as the column `group_NAME`
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = "cluster")]
    pub write: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `sweep data label`.
#[derive(Debug, Args)]
pub struct Label {
    /// Folder of the data set, which holds dataset.toml
    pub dir: PathBuf,
    /// Folder to write
    pub out: PathBuf,
    /// Checkpoint of a trained network; the predictions of several are combined
    #[arg(long = "checkpoint", value_name = "FILE", required = true, num_args = 1..)]
    pub checkpoints: Vec<PathBuf>,
    /// Images without labels, or folders of them, to add as training images; those unlike the training's are left out
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub images: Vec<PathBuf>,
    /// Share of a prediction in the label of a marked landmark, from 0 to 1; missing marks of training images are predictions
    #[arg(long, value_name = "SHARE", default_value_t = 0.5)]
    pub share: f64,
    /// Options to run the networks.
    #[command(flatten)]
    pub inference: Inference,
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

fn export_format() -> impl TypedValueParser<Value = export::Format> {
    PossibleValuesParser::new(export::Format::ALL.map(export::Format::name))
        .try_map(|name| export::Format::ALL.into_iter().find(|f| f.name() == name).ok_or("no such format"))
}
