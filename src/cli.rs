//! The command line: what can be asked, and nothing of how it is done.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::device::Choice;
use crate::schedule::Request;

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
    /// auto, cpu, cuda or cuda:N; as cuda:0*2 for two trials at once; may be given several times
    #[arg(long = "device", value_name = "DEVICE", default_value = "auto")]
    pub devices: Vec<Request>,
    /// Trials at once (default: what gives most images per second)
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub jobs: Option<usize>,
    /// Threads per trial (default: the cores, shared out between trials); results do not depend on it
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub threads: Option<usize>,
    /// Memory in MiB that all trials together may take (default: what the system has left)
    #[arg(long, value_name = "MIB")]
    pub memory: Option<f64>,
    /// Stop the sweep after this time, as 8h: trials save what they did
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// Stop an attempt of a trial after this time
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub trial_timeout: Option<Duration>,
    /// Stop a trial in which nothing is done for this time
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30m")]
    pub stall_timeout: Duration,
    /// Go on with trials that have begun; begin no new ones
    #[arg(long, conflicts_with = "rerun")]
    pub resume_only: bool,
    /// Train failed, timed-out and diverged trials again
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

/// `sweep status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Folder of the sweep, as results/loss
    pub results: PathBuf,
    /// Show it again every second until nothing is left to do
    #[arg(long, conflicts_with = "json")]
    pub watch: bool,
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

/// `sweep trial`.
#[derive(Debug, Args)]
pub struct Trial {
    /// Folder of the trial, which holds trial.toml
    pub dir: PathBuf,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub device: Choice,
    /// Threads to train with (default: all cores)
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub threads: Option<usize>,
    /// Stop when standard input ends, as it does when the runner is gone
    #[arg(long, hide = true)]
    pub attended: bool,
}

/// `sweep verify-resume`.
#[derive(Debug, Args)]
pub struct VerifyResume {
    /// The definition, whose first trial is trained, and its changes.
    #[command(flatten)]
    pub changes: Changes,
    /// How often it is killed
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub kills: u32,
    /// Other seeds kill at other moments
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: Request,
    /// Threads to train with (default: all cores)
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub threads: Option<usize>,
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
    /// Do not estimate time by training a few steps of every network
    #[arg(long)]
    pub no_calibrate: bool,
    /// Threads a trial would train with (default: all cores)
    #[arg(long, value_name = "N")]
    pub threads: Option<std::num::NonZeroUsize>,
    /// Standard deviation of the paired difference in mean radial error between seeds, for what can be detected [default:
    /// 0.3, or as measured by --like]
    #[arg(long, value_name = "MM")]
    pub seed_sd: Option<f64>,
    /// Standard deviation of the paired difference in mean radial error between images [default: 0.8, or as measured by
    /// --like]
    #[arg(long, value_name = "MM")]
    pub image_sd: Option<f64>,
    /// Measure these standard deviations on a sweep that has run, as results/loss
    #[arg(long, value_name = "RESULTS")]
    pub like: Option<std::path::PathBuf>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
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

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "use a whole number from 1".to_owned())
}

/// A time: a number of seconds, or with a unit: 90s, 15m, 1.5h, 2d.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(char::is_alphabetic);
    let unit = match &text[digits.len()..] {
        "" | "s" => 1.0,
        "ms" => 1e-3,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => f64::NAN,
    };
    let seconds = digits.parse::<f64>().ok().map(|number| number * unit).filter(|seconds| *seconds > 0.0);
    let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.ok_or_else(|| "use a time, as 90s, 15m, 1.5h or 2d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_have_units() {
        for (text, seconds) in [("90", 90.0), ("90s", 90.0), ("15m", 900.0), ("1.5h", 5400.0), ("250ms", 0.25)] {
            assert_eq!(duration(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        for wrong in ["", "h", "-1s", "0", "5y", "1e400h", "nan"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
