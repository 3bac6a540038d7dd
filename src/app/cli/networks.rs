//! What uses trained networks, and their records: `sweep eval`, `predict`, `export`, `import`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use sweep_training::device::Choice;
use sweep_training::predict::views::TtaViews;

/// How trained networks are run.
#[derive(Debug, Args)]
pub struct Inference {
    /// Look at every picture so many times, a little shifted and magnified, and join what is seen
    #[arg(long, value_name = "N", value_parser = at_least_one, default_value_t = 1)]
    pub tta: usize,
    /// Of networks with two stages, join what both see; a landmark is otherwise where the second one sees it
    #[arg(long)]
    pub both_stages: bool,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub device: Choice,
    /// Threads (default: all cores); results do not depend on it
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub threads: Option<usize>,
}

impl Inference {
    /// What is joined.
    #[must_use]
    pub fn looks(&self) -> TtaViews {
        TtaViews { both_stages: self.both_stages, ..TtaViews::new(self.tta) }
    }
}

/// `sweep eval`.
#[derive(Debug, Args)]
pub struct Eval {
    /// A trained network, as results/loss/trials/l1-seed0-3f9a2c1b/best.safetensors; several predict together
    #[arg(long = "checkpoint", value_name = "FILE", required = true, num_args = 1..)]
    pub checkpoints: Vec<PathBuf>,
    /// Folder of the data set (default: the one that the first network was trained on)
    #[arg(long, value_name = "DIR")]
    pub dataset: Option<PathBuf>,
    /// Which images
    #[arg(long, default_value = "val", conflicts_with = "held_out")]
    pub split: Part,
    /// Every image that a network validated on, by the networks that did: with the checkpoints of all folds this scores
    /// a cross-validation, the seeds of each fold predicting together
    #[arg(long)]
    pub held_out: bool,
    /// How the networks are run.
    #[command(flatten)]
    pub inference: Inference,
    /// Write every predicted landmark as CSV, in the columns of landmarks.csv
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Parts of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// What was trained on
    Train,
    /// What was evaluated on while training
    Val,
    /// What training never saw
    Test,
    /// All images
    All,
}

/// `sweep predict`.
#[derive(Debug, Args)]
pub struct Predict {
    /// A trained network, as results/loss/trials/l1-seed0-3f9a2c1b/best.safetensors; given several times, they predict
    /// together
    #[arg(long = "checkpoint", value_name = "FILE", required = true)]
    pub checkpoints: Vec<PathBuf>,
    /// Image files, or folders of them
    #[arg(value_name = "IMAGE|FOLDER", required = true)]
    pub images: Vec<PathBuf>,
    /// How the networks are run.
    #[command(flatten)]
    pub inference: Inference,
    /// Write the CSV here instead of to standard output
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// As JSON instead of CSV, a line a picture
    #[arg(long)]
    pub json: bool,
    /// Draw the landmarks on every picture, as PNG in this folder
    #[arg(long, value_name = "DIR")]
    pub overlay: Option<PathBuf>,
    /// Write what the network reads and the heatmaps it makes of it, a safetensors file a picture in this folder
    #[arg(long, value_name = "DIR")]
    pub heatmaps: Option<PathBuf>,
}

/// `sweep export …`.
#[derive(Debug, Subcommand)]
pub enum Export {
    /// A checkpoint without what only training needs, and in fewer bytes
    Weights {
        /// The checkpoint, as results/loss/trials/l1-seed0-3f9a2c1b/best.safetensors
        checkpoint: PathBuf,
        /// File to write
        output: PathBuf,
        /// Type of the convolutions' weights
        #[arg(long, default_value = "f32")]
        dtype: WeightType,
    },
    /// The network as an ONNX model, for onnxruntime and others; of a two-stage model two, FILE.coarse.onnx and FILE.fine.onnx
    Onnx(Onnx),
    /// One table over many sweeps as comma-separated values, nan where there is no number
    Csv(Tables),
    /// One table over many sweeps as Apache Parquet
    Parquet(Tables),
    /// One table over many sweeps as JSON, a list of objects
    Json(Tables),
    /// Event files for TensorBoard, in a folder per trial; again, it brings them up to date
    Tensorboard {
        /// Folder of the sweep, as results/loss
        results: PathBuf,
        /// Folder of the event files
        output: PathBuf,
    },
    /// Tell an MLflow server of a sweep; again, it tells what the server does not know yet
    Mlflow {
        /// Folder of the sweep, as results/loss
        results: PathBuf,
        /// Address of the server, as in `--track mlflow=URL` (default: what `MLFLOW_TRACKING_URI` says)
        url: Option<String>,
    },
}

/// `sweep export csv|parquet|json`.
#[derive(Debug, Args)]
pub struct Tables {
    /// Folders of sweeps, as results/loss, or folders that hold some, as results
    #[arg(required = true)]
    pub results: Vec<PathBuf>,
    /// What a row is: a trial, an epoch, or a landmark of a validation image
    #[arg(long, default_value = "summary")]
    pub table: TableKind,
    /// File to write (default: standard output)
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// What the rows of a table are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TableKind {
    /// Trials, as in summary.csv
    Summary,
    /// Epochs, as in epochs.csv
    Epochs,
    /// Landmarks of validation images at the selected epochs, as in landmarks.csv
    Landmarks,
}

/// `sweep export onnx`.
#[derive(Debug, Args)]
pub struct Onnx {
    /// The checkpoint, as results/loss/trials/l1-seed0-3f9a2c1b/best.safetensors
    pub checkpoint: PathBuf,
    /// File to write, as net.onnx
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Images of a pass, for runtimes that want to know (default: any number)
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub batch: Option<usize>,
    /// Keep batch normalisations as operators of their own instead of making them part of their convolutions
    #[arg(long)]
    pub keep_norms: bool,
}

/// `sweep import`.
#[derive(Debug, Args)]
pub struct Import {
    /// The state dict: a .pth of torch.save, or safetensors
    pub weights: PathBuf,
    /// Whose weights they are: a definition, as experiments/loss.toml, or a checkpoint of the same network
    #[arg(long, value_name = "DEFINITION|CHECKPOINT")]
    pub like: PathBuf,
    /// Checkpoint to write, as net.safetensors
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Put before the names in the file, as encoder.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub prefix: String,
    /// Taken away from the start of the names in the file, as `state_dict.module.`
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub strip: String,
    /// Set a key of the definition's trial, as model.name=unet (TOML value)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Name the landmarks as the data set in this folder does, instead of the definition's
    #[arg(long, value_name = "DIR")]
    pub dataset: Option<PathBuf>,
}

/// Types of numbers in a file of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WeightType {
    /// Single precision, as trained
    F32,
    /// Half precision: half the bytes
    F16,
}

pub(super) fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "use a whole number from 1".to_owned())
}
