//! The command line: what can be asked, and nothing of how it is done.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::device::Choice;

/// Sweeps of landmark-detection trainings, judged on the landmark error beside the loss.
#[derive(Debug, Parser)]
#[command(
    name = "sweep",
    version,
    about,
    after_help = "Exit codes: 0 done · 1 a trial failed or diverged, or the gate \
found a regression · 2 usage, definition or input error · 3 gate inconclusive · 130/143 interrupted (state saved)"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train every trial of a definition that is not done, evaluate, and write the report; run again, it resumes
    Run(Run),
    /// Print the trials of a definition and what they cost; writes nothing
    Plan(Plan),
    /// A line per trial: state, epoch, loss, landmark error
    Status {
        /// Folder of the sweep, as results/loss
        results: PathBuf,
    },
    /// Make summary and report again, from the records alone
    Report(Report),
    /// Store the landmark errors of a sweep, to hold later ones against
    Baseline {
        /// Folder of the sweep, as results/ci
        results: PathBuf,
        /// File to write
        #[arg(long)]
        output: PathBuf,
    },
    /// The regression gate: is the landmark error no worse than the baseline's?
    Check(Check),
    /// Paired comparison of two trials on their shared images
    Compare(Compare),
    /// Make, import and look at data sets
    #[command(subcommand)]
    Data(Data),
    /// Devices seen
    Devices,
    /// Shell completions, to standard output
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// What changes a definition from the command line.
#[derive(Debug, Args)]
pub struct Changes {
    /// The definition
    pub file: PathBuf,
    /// Set a key of every trial's configuration, as optimizer.lr=1e-3 (TOML value)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Use the data set in this folder
    #[arg(long, value_name = "DIR")]
    pub dataset: Option<PathBuf>,
}

/// `sweep run`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Run {
    /// The definition and its changes.
    #[command(flatten)]
    pub changes: Changes,
    /// Where results go
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub results: PathBuf,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub device: Choice,
    /// Threads to train with (default: all cores); results do not depend on it
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Go on with trials that have begun; begin no new ones
    #[arg(long, conflicts_with = "rerun")]
    pub resume_only: bool,
    /// Train failed and diverged trials again
    #[arg(long)]
    pub retry_failed: bool,
    /// Train every trial again, throwing its results away
    #[arg(long)]
    pub rerun: bool,
    /// Stop at the first trial that fails or diverges
    #[arg(long)]
    pub fail_fast: bool,
    /// Stop when this many trials have failed or diverged
    #[arg(long, value_name = "N", conflicts_with = "fail_fast")]
    pub max_fail: Option<usize>,
    /// No progress; errors only
    #[arg(long)]
    pub quiet: bool,
}

/// `sweep report`.
#[derive(Debug, Args)]
pub struct Report {
    /// Folder of the sweep, as results/loss
    pub results: PathBuf,
    /// Write the report here instead of into the sweep's folder
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Leave out pictures that show images of the data set, as for a report that is published
    #[arg(long)]
    pub without_images: bool,
    /// Print the findings as JSON
    #[arg(long)]
    pub json: bool,
}

/// `sweep check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Folder of the sweep, as results/ci
    pub results: PathBuf,
    /// File that `sweep baseline` wrote
    #[arg(long)]
    pub baseline: PathBuf,
    /// How much worse the mean radial error, and each landmark's, may be, in mm
    #[arg(long, value_name = "MM", default_value_t = 0.1)]
    pub margin: f64,
    /// How many percentage points fewer landmarks may lie within 2 mm
    #[arg(long, value_name = "POINTS", default_value_t = 5.0)]
    pub sdr_margin: f64,
    /// Write the comparisons as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write them as Markdown, for a job summary or a pull request
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// Print them as JSON
    #[arg(long)]
    pub json: bool,
}

/// `sweep compare`.
#[derive(Debug, Args)]
pub struct Compare {
    /// Folder of the trial that is subtracted, as results/loss/trials/l1-seed0-3f9a2c1b
    pub a: PathBuf,
    /// Folder of the trial that is held against it
    pub b: PathBuf,
    /// Print the comparison as JSON
    #[arg(long)]
    pub json: bool,
}

/// `sweep plan`.
#[derive(Debug, Args)]
pub struct Plan {
    /// The definition and its changes.
    #[command(flatten)]
    pub changes: Changes,
}

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
        /// Format of the source
        #[arg(long)]
        format: Format,
        /// What to read
        source: PathBuf,
        /// Folder to make
        out: PathBuf,
    },
    /// List the formats that can be imported
    Formats,
}

/// Formats of other people's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// train/ and val/ with 0img and a folder of heatmap PNGs per landmark
    HeatmapFolders,
}
