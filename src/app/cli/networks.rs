//! Commands that use trained networks and their records: `sweep eval`, `predict`, `export`, `import`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use sweep_training::device::Choice;
use sweep_training::predict::views::TtaViews;

/// Options to run trained networks.
#[derive(Debug, Args)]
pub struct Inference {
    /// Test-time augmentation: predict from N slightly shifted and magnified views of every image and combine them
    #[arg(long, value_name = "N", value_parser = at_least_one, default_value_t = 1)]
    pub tta: usize,
    /// Combine the predictions of both stages of two-stage networks instead of using the second stage's
    #[arg(long)]
    pub both_stages: bool,
    /// Device to run on: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub device: Choice,
    /// Number of threads (default: all cores); results do not depend on it
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub threads: Option<usize>,
}

impl Inference {
    /// The views to predict from.
    #[must_use]
    pub fn views(&self) -> TtaViews {
        TtaViews { both_stages: self.both_stages, ..TtaViews::new(self.tta) }
    }
}

/// `sweep eval`.
#[derive(Debug, Args)]
pub struct Eval {
    /// Checkpoint of a trained network, for example results/loss/trials/l1-seed0-3f9a2c1b/best.safetensors; the predictions
    /// of several are combined
    #[arg(long = "checkpoint", value_name = "FILE", required = true, num_args = 1..)]
    pub checkpoints: Vec<PathBuf>,
    /// Folder of the data set (default: the training data of the first network)
    #[arg(long, value_name = "DIR")]
    pub dataset: Option<PathBuf>,
    /// Images to evaluate on
    #[arg(long, default_value = "val", conflicts_with = "held_out")]
    pub split: Part,
    /// Evaluate on every image that a network was validated on, by these networks: with the checkpoints of all folds this
    /// scores a cross-validation, and the seeds of each fold are combined
    #[arg(long)]
    pub held_out: bool,
    /// Options to run the networks.
    #[command(flatten)]
    pub inference: Inference,
    /// Evaluate under shifts too, on images made darker, coarser, noisier, turned and so on: how much the error grows, with
    /// intervals. The guide's page on trained networks lists them. Takes fifteen times as long
    #[arg(long)]
    pub shifts: bool,
    /// Compare with these networks, combined in the same way, under every shift: which of two recipes is better, and whether its
    /// gain holds
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "shifts", conflicts_with_all = ["calibrate", "radii"])]
    pub against: Vec<PathBuf>,
    /// Folder of the same images with another observer's landmarks, to measure by these too; repeatable
    #[arg(long, value_name = "DIR", requires = "shifts")]
    pub marks: Vec<PathBuf>,
    /// Write every predicted landmark to this file as CSV, with the columns of landmarks.csv; with --shifts, the first column
    /// names the shift
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write radii to this file that hold 90 % of the errors on new images like these, for --radii of eval and predict; with
    /// --shifts, also how much wider they are for images unlike those of the training
    #[arg(long, value_name = "FILE", conflicts_with = "radii")]
    pub calibrate: Option<PathBuf>,
    /// Say how many errors lie within the radii of this file, as written by --calibrate
    #[arg(long, value_name = "FILE")]
    pub radii: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Parts of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Training images
    Train,
    /// Validation images
    Val,
    /// Test images, which training never uses
    Test,
    /// All images
    All,
}

/// `sweep predict`.
#[derive(Debug, Args)]
pub struct Predict {
    /// Checkpoint of a trained network, for example results/loss/trials/l1-seed0-3f9a2c1b/best.safetensors; the predictions
    /// of several are combined
    #[arg(long = "checkpoint", value_name = "FILE", required = true, num_args = 1..)]
    pub checkpoints: Vec<PathBuf>,
    /// Image files, or folders of image files. Coordinates are pixels of an image as viewers show it: turned as its EXIF
    /// orientation asks. Grey values of more than 8 bits are shown to the network as in its training
    #[arg(value_name = "IMAGE|FOLDER")]
    pub images: Vec<PathBuf>,
    /// Options to run the networks.
    #[command(flatten)]
    pub inference: Inference,
    /// File to write (default: standard output)
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write JSON instead of CSV, one line per image
    #[arg(long)]
    pub json: bool,
    /// Give every landmark the radius that holds the truth nine times in ten, from a file of `sweep eval --calibrate`
    #[arg(long, value_name = "FILE")]
    pub radii: Option<PathBuf>,
    /// Draw the landmarks on every image, with their radii as circles, as PNG files in this folder
    #[arg(long, value_name = "DIR")]
    pub overlay: Option<PathBuf>,
    /// Write the network's input and heatmaps, one safetensors file per image in this folder
    #[arg(long, value_name = "DIR")]
    pub heatmaps: Option<PathBuf>,
}

/// `sweep export …`.
#[derive(Debug, Subcommand)]
pub enum Export {
    /// Export the weights of a checkpoint, without the state of the training
    #[command(
        after_help = "Example:\n  sweep export weights results/loss/trials/l1-seed0-3f9a2c1b/best.safetensors net.safetensors --dtype f16"
    )]
    Weights {
        /// Checkpoint to export, for example results/loss/trials/l1-seed0-3f9a2c1b/best.safetensors
        checkpoint: PathBuf,
        /// File to write
        output: PathBuf,
        /// Number type of the convolutions' weights
        #[arg(long, default_value = "f32")]
        dtype: WeightType,
    },
    /// Export a network as an ONNX model; a two-stage network becomes FILE.coarse.onnx and FILE.fine.onnx
    #[command(
        after_help = "Example:\n  sweep export onnx results/loss/trials/l1-seed0-3f9a2c1b/best.safetensors --output net.onnx"
    )]
    Onnx(Onnx),
    /// Export the records of sweeps as one table of comma-separated values; missing numbers are nan
    #[command(after_help = "Example:\n  sweep export csv results --table epochs --output epochs.csv")]
    Csv(Tables),
    /// Export the records of sweeps as one table in Apache Parquet format
    #[command(after_help = "Example:\n  sweep export parquet results --output summary.parquet")]
    Parquet(Tables),
    /// Export the records of sweeps as one table in JSON, a list of objects
    #[command(after_help = "Example:\n  sweep export json results/loss --output summary.json")]
    Json(Tables),
    /// Write event files for TensorBoard, one folder per trial, or update existing ones
    #[command(after_help = "Example:\n  sweep export tensorboard results/loss events")]
    Tensorboard {
        /// Folder of the sweep, for example results/loss
        results: PathBuf,
        /// Folder to write the event files to
        output: PathBuf,
        /// Leave out pictures of patients: overlay.png
        #[arg(long)]
        without_images: bool,
    },
    /// Log a sweep to an MLflow server, or update its runs there
    #[command(after_help = "Example:\n  sweep export mlflow results/loss http://localhost:5000")]
    Mlflow {
        /// Folder of the sweep, for example results/loss
        results: PathBuf,
        /// Address of the server (default: the environment variable `MLFLOW_TRACKING_URI`)
        url: Option<String>,
        /// Leave out pictures of patients: overlay.png, and overlays.png and index.html of the report
        #[arg(long)]
        without_images: bool,
    },
}

/// `sweep export csv|parquet|json`.
#[derive(Debug, Args)]
pub struct Tables {
    /// Folders of sweeps, for example results/loss, or folders that hold sweeps, for example results
    #[arg(required = true)]
    pub results: Vec<PathBuf>,
    /// Rows of the table
    #[arg(long, default_value = "summary")]
    pub table: TableKind,
    /// File to write (default: standard output)
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Rows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TableKind {
    /// Trials: every setting, state, time and memory
    Trials,
    /// Trials: losses and errors, as in summary.csv
    Summary,
    /// Epochs, as in epochs.csv
    Epochs,
    /// Landmarks of validation images at the selected epochs, as in landmarks.csv
    Landmarks,
    /// Errors of landmarks of validation images at every evaluated epoch, from errors.bin
    Errors,
    /// Measures of validation images at the selected epochs: of the true and of the predicted landmarks
    Measures,
}

/// `sweep export onnx`.
#[derive(Debug, Args)]
pub struct Onnx {
    /// Checkpoint to export, for example results/loss/trials/l1-seed0-3f9a2c1b/best.safetensors
    pub checkpoint: PathBuf,
    /// File to write, for example net.onnx
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Fixed number of images per pass, for runtimes that need it (default: any number)
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub batch: Option<usize>,
    /// Keep batch normalisations as separate operators instead of folding them into convolutions
    #[arg(long)]
    pub keep_norms: bool,
}

/// `sweep import`.
#[derive(Debug, Args)]
pub struct Import {
    /// File of the state dict: .pth of torch.save, or safetensors
    pub weights: PathBuf,
    /// Definition, for example experiments/loss.toml, or checkpoint of the same network
    #[arg(long, value_name = "DEFINITION|CHECKPOINT")]
    pub like: PathBuf,
    /// Checkpoint to write, for example net.safetensors
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Prefix to add to the names in the file, for example `encoder.`
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub prefix: String,
    /// Prefix to remove from the names in the file, for example `state_dict.module.`
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub strip: String,
    /// Set a key of the definition's trial to a TOML value, for example model.name=unet; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Take the names of the landmarks from the data set in this folder instead of the definition's
    #[arg(long, value_name = "DIR")]
    pub dataset: Option<PathBuf>,
}

/// Number types of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WeightType {
    /// Single precision, as trained
    F32,
    /// Half precision, half the size
    F16,
}

pub(super) fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "use a whole number from 1".to_owned())
}
