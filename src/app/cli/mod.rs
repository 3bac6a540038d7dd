//! The command line: what can be asked, and nothing of how it is done.

mod data;
mod networks;
mod run;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub use data::{Data, ImportFormat, Inspect};
pub use networks::{Eval, Export, Import, Inference, Onnx, Part, Predict, TableKind, Tables, WeightType};
pub use run::{Executor, Plan, Run, Trial, VerifyResume};

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
    /// Write a first definition for a data set, with a word on every key
    Init(Init),
    /// Print the trials of a definition, what they cost and what they can detect; writes nothing
    Plan(Plan),
    /// A line per trial: state, epoch, loss, landmark error, device, time left; also while a sweep runs
    Status(Status),
    /// Train the trial in this folder: what `sweep run` starts, in a process of its own, for every trial
    Trial(Trial),
    /// Kill a trial at random moments, go on each time, and compare with the same trial undisturbed
    VerifyResume(VerifyResume),
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
    /// Landmark error of trained networks on a data set
    Eval(Eval),
    /// Landmarks of pictures by trained networks, as CSV and drawn on them
    Predict(Predict),
    /// Write what was trained in a form for others
    #[command(subcommand)]
    Export(Export),
    /// Make a checkpoint that eval and predict take of weights that PyTorch trained
    Import(Import),
    /// Make, import and look at data sets
    #[command(subcommand)]
    Data(Data),
    /// JSON Schema of definitions and data sets, for editors and validators, to standard output
    Schema {
        /// Of what
        #[arg(long, default_value = "definition")]
        of: Described,
    },
    /// Devices seen
    Devices {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Shell completions, to standard output
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write a manual page for every command, as sweep-run.1
    Man {
        /// Folder to write them to
        dir: PathBuf,
    },
}

/// Files that have a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Described {
    /// A sweep's definition, as experiments/loss.toml
    Definition,
    /// `dataset.toml` of a data set
    Dataset,
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

/// `sweep init`.
#[derive(Debug, Args)]
pub struct Init {
    /// Folder of the data set (default: made-up radiographs)
    pub dir: Option<PathBuf>,
    /// File to write, as first.toml (default: standard output)
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `sweep status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Folder of the sweep, as results/loss
    pub results: PathBuf,
    /// A dashboard with curves, logs, and keys to pause, stop and retry; off a terminal the lines again as they change, until
    /// nothing is left to do
    #[arg(long, conflicts_with = "json")]
    pub watch: bool,
    /// With --watch, lines on a terminal too, as with `NO_COLOR`
    #[arg(long)]
    pub quiet: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
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
    /// Take the two trials for their whole cross-validations: all folds of their seeds together
    #[arg(long)]
    pub pooled: bool,
    /// Print the comparison as JSON
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
