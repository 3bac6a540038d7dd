//! The command line: commands, flags and their help. `commands` carries them out.

mod data;
mod data_import;
mod keeping;
mod networks;
mod run;
mod serve;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub use data::{Cluster, Data, Inspect, Label};
pub use data_import::{DataImport, ImportFormat};
pub use keeping::{Note, Rm, Tag};
pub use networks::{Eval, Export, Import, Inference, Onnx, Part, Predict, TableKind, Tables, WeightType};
pub use run::{Executor, Plan, Run, Trial, VerifyResume};
pub use serve::Serve;

/// Sweeps of landmark-detection trainings, judged on the landmark error beside the loss.
#[derive(Debug, Parser)]
#[command(
    name = "sweep",
    version,
    after_help = "Exit codes: 0 done · 1 a trial failed or diverged, or the gate \
found a regression · 2 usage, definition or input error · 3 gate inconclusive · 130/143 interrupted (state saved)"
)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train all unfinished trials of a sweep, evaluate them, and write the report
    #[command(after_help = "Example:\n  sweep run experiments/loss.toml")]
    Run(Run),
    /// Write a commented definition for a data set, to start from
    #[command(after_help = "Example:\n  sweep init data/ceph --output experiments/first.toml")]
    Init(Init),
    /// Print the trials of a sweep, their cost, and the differences that they can detect; write nothing
    #[command(after_help = "Example:\n  sweep plan experiments/loss.toml")]
    Plan(Plan),
    /// Print the state, epoch, loss, landmark error, device and time left of every trial, also while the sweep runs
    #[command(after_help = "Example:\n  sweep status results/loss --watch")]
    Status(Status),
    /// Show sweeps live in the browser: answers, curves, tables, landmarks
    #[command(after_help = "Example:\n  sweep serve results")]
    Serve(Serve),
    /// List the sweeps in a folder of results, with the states of their trials and their least error
    #[command(after_help = "Example:\n  sweep list results")]
    List(List),
    /// Print what two definitions, or two recorded sweeps, do differently
    #[command(after_help = "Example:\n  sweep diff experiments/loss.toml results/loss/sweep.toml")]
    Diff(Diff),
    /// Note a line of text about a sweep or a trial, or print the note
    #[command(after_help = "Example:\n  sweep note results/loss \"for the paper\"")]
    Note(Note),
    /// Add tags to a sweep or a trial, remove some, or print them
    #[command(after_help = "Example:\n  sweep tag results/loss/trials/l1-seed0-3f9a2c1b best --remove candidate")]
    Tag(Tag),
    /// Remove sweeps or trials
    #[command(after_help = "Example:\n  sweep rm results/loss --others --dry-run")]
    Rm(Rm),
    /// Train the trial in a folder, as `sweep run` does in one process per trial
    #[command(after_help = "Example:\n  sweep trial results/loss/trials/l1-seed0-3f9a2c1b")]
    Trial(Trial),
    /// Check that a trial that is killed and resumed gives the same results as an undisturbed one
    #[command(after_help = "Example:\n  sweep verify-resume experiments/loss.toml --kills 3")]
    VerifyResume(VerifyResume),
    /// Write summary and report again, from the records alone
    #[command(after_help = "Example:\n  sweep report results/loss")]
    Report(Report),
    /// Store the landmark errors of a sweep as the baseline of later sweeps
    #[command(after_help = "Example:\n  sweep baseline results/ci --output baseline.json")]
    Baseline {
        /// Folder of the sweep, for example results/ci
        results: PathBuf,
        /// File to write, for example baseline.json
        #[arg(long)]
        output: PathBuf,
        /// Folder of a sweep with several seeds of the same configurations: how much training again changes their errors. Needed
        /// where RESULTS has one seed
        #[arg(long, value_name = "RESULTS")]
        noise: Option<PathBuf>,
    },
    /// Test whether the landmark errors of a sweep are no worse than its baseline's (regression gate)
    #[command(after_help = "Example:\n  sweep check results/ci --baseline baseline.json")]
    Check(Check),
    /// Compare two trials, or two sweeps configuration by configuration, paired on their shared images
    #[command(
        after_help = "Examples:\n  sweep compare results/loss/trials/l1-seed0-3f9a2c1b results/loss/trials/nll-seed0-8d1e90aa\n  sweep compare results/before results/after"
    )]
    Compare(Compare),
    /// Measure the landmark error of trained networks on a data set
    #[command(
        after_help = "Example:\n  sweep eval --checkpoint results/loss/trials/l1-seed0-3f9a2c1b/best.safetensors --split test"
    )]
    Eval(Eval),
    /// Predict the landmarks of images by trained networks
    #[command(
        after_help = "Example:\n  sweep predict --checkpoint results/loss/trials/l1-seed0-3f9a2c1b/best.safetensors images/ --output landmarks.csv"
    )]
    Predict(Predict),
    /// Export networks and records to other formats
    #[command(subcommand)]
    Export(Export),
    /// Convert weights trained by PyTorch to a checkpoint for eval and predict
    #[command(after_help = "Example:\n  sweep import unet.pth --like experiments/loss.toml --output unet.safetensors")]
    Import(Import),
    /// Generate, import, inspect and export data sets
    #[command(subcommand)]
    Data(Data),
    /// Print the JSON Schema of definitions or data sets, for editors and validators
    #[command(after_help = "Example:\n  sweep schema > definition.schema.json")]
    Schema {
        /// Kind of file
        #[arg(long, default_value = "definition")]
        of: Described,
    },
    /// List the networks that a definition can name, with their cost and where weights for them are found
    #[command(after_help = "Example:\n  sweep models --height 400 --width 320")]
    Models(Models),
    /// List the devices that can train, and why others cannot
    #[command(after_help = "Example:\n  sweep devices")]
    Devices {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the completions for a shell
    #[command(after_help = "Example:\n  sweep completions bash > ~/.local/share/bash-completion/completions/sweep")]
    Completions {
        /// Shell to complete in
        shell: Shell,
    },
    /// Write a manual page for every command, for example sweep-run.1
    #[command(after_help = "Example:\n  sweep man ~/.local/share/man/man1")]
    Man {
        /// Folder to write the pages to
        dir: PathBuf,
    },
}

/// Files that have a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Described {
    /// Definition of a sweep, for example experiments/loss.toml
    Definition,
    /// `dataset.toml` of a data set folder
    Dataset,
}

/// A definition and its changes from the command line.
#[derive(Debug, Args)]
pub struct Changes {
    /// Definition of the sweep, for example experiments/loss.toml
    pub file: PathBuf,
    /// Set a key of every trial's configuration to a TOML value, for example optimizer.lr=1e-3; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Use the data set in this folder instead of the definition's
    #[arg(long, value_name = "DIR")]
    pub dataset: Option<PathBuf>,
}

/// `sweep init`.
#[derive(Debug, Args)]
pub struct Init {
    /// Folder of the data set (default: synthetic radiographs)
    pub dir: Option<PathBuf>,
    /// File to write, for example first.toml (default: standard output)
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `sweep status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Folder of the sweep, for example results/loss
    pub results: PathBuf,
    /// Show a dashboard with curves, logs, and keys to pause, stop and retry; without a terminal, print the table whenever it
    /// changes, until no trial is left
    #[arg(long, conflicts_with = "json")]
    pub watch: bool,
    /// With --watch, print the table instead of the dashboard, as `NO_COLOR` does
    #[arg(long)]
    pub quiet: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `sweep list`.
#[derive(Debug, Args)]
pub struct List {
    /// Folder that holds sweeps
    #[arg(default_value = "results")]
    pub results: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `sweep models`.
#[derive(Debug, Args)]
pub struct Models {
    /// Height of images, in pixels
    #[arg(long, default_value_t = 200, value_parser = pixels)]
    pub height: usize,
    /// Width of images, in pixels
    #[arg(long, default_value_t = 160, value_parser = pixels)]
    pub width: usize,
    /// Channels of images: 1, or 3 in colour
    #[arg(long, default_value_t = 1, value_parser = channels)]
    pub channels: usize,
    /// Number of landmarks
    #[arg(long, default_value_t = 19, value_parser = pixels)]
    pub landmarks: usize,
    /// Images of a batch
    #[arg(long, default_value_t = 1, value_parser = pixels)]
    pub batch_size: usize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// A number from 1 to 16384: larger images need more memory than there is.
fn pixels(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=1 << 14).contains(number));
    number.ok_or_else(|| "a number from 1 to 16384 is needed".to_owned())
}

/// 1 or 3.
fn channels(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| [1, 3].contains(number)).ok_or_else(|| "1 or 3 is needed".to_owned())
}

/// `sweep diff`.
#[derive(Debug, Args)]
pub struct Diff {
    /// Definition, or sweep.toml in the folder of a sweep
    pub a: PathBuf,
    /// The definition to compare with it
    pub b: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `sweep report`.
#[derive(Debug, Args)]
pub struct Report {
    /// Folder of the sweep, for example results/loss
    pub results: PathBuf,
    /// Folder of the report (default: report in the sweep's folder)
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Leave out figures that show images of the data set, for example for a published report
    #[arg(long)]
    pub without_images: bool,
    /// Draw curves.png and overlay.png of every trial again, not only where they are older than the records
    #[arg(long)]
    pub all_pictures: bool,
    /// Print the findings as JSON
    #[arg(long)]
    pub json: bool,
}

/// `sweep check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Folder of the sweep, for example results/ci
    pub results: PathBuf,
    /// Baseline, as written by `sweep baseline`
    #[arg(long)]
    pub baseline: PathBuf,
    /// Accepted increase of the mean radial error, overall and of each landmark, in the baseline's unit [default: 0.1 for mm,
    /// 0.4 for px]
    #[arg(long, value_name = "NUMBER")]
    pub margin: Option<f64>,
    /// Accepted decrease of the share of landmarks within 2 mm or 2 px, in percentage points
    #[arg(long, value_name = "POINTS", default_value_t = 5.0)]
    pub sdr_margin: f64,
    /// Accepted increase of the mean absolute error of a measure of the data set, in its own unit, for example SNA=0.5; may be
    /// given several times
    #[arg(long, value_name = "MEASURE=NUMBER", value_parser = margin)]
    pub measure_margin: Vec<(String, f64)>,
    /// Write the comparisons as JUnit XML to this file
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write the comparisons as Markdown to this file, for a job summary or a pull request
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// Print the comparisons as JSON
    #[arg(long)]
    pub json: bool,
}

/// A measure's name and its margin.
fn margin(text: &str) -> Result<(String, f64), String> {
    let (name, margin) = text.rsplit_once('=').ok_or("write the measure and its margin, as SNA=0.5")?;
    let margin: f64 = margin.trim().parse().map_err(|_| format!("`{margin}` is no number: write SNA=0.5"))?;
    if name.trim().is_empty() || !margin.is_finite() || margin < 0.0 {
        return Err("name a measure and a margin of 0 or more, as SNA=0.5".to_owned());
    }
    Ok((name.trim().to_owned(), margin))
}

/// `sweep compare`.
#[derive(Debug, Args)]
pub struct Compare {
    /// Folder of the reference, whose errors are subtracted: a trial, for example results/loss/trials/l1-seed0-3f9a2c1b, or a
    /// sweep, for example results/loss
    pub a: PathBuf,
    /// Folder of the trial or sweep to compare with it
    pub b: PathBuf,
    /// Of two trials, compare their whole cross-validations: pool all folds of their seeds
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
    use sweep_runner::trackers::TrackerSpec;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_tracker_has_a_flag_an_export_and_a_place_in_the_guide() {
        let command = Cli::command();
        let run = command.find_subcommand("run").unwrap();
        let track = run.get_arguments().find(|argument| argument.get_id() == "track").unwrap();
        let help = track.get_help().unwrap().to_string();
        let guide = include_str!("../../guide/trackers.md");
        for name in TrackerSpec::NAMES {
            assert!(help.contains(name), "--track of `sweep run` does not name {name}: {help}");
            let export = command.find_subcommand("export").unwrap();
            assert!(export.find_subcommand(name).is_some(), "there is no `sweep export {name}`");
            assert!(guide.contains(&format!("--track {name}")), "{name} is not in guide/trackers.md");
        }
    }
}
