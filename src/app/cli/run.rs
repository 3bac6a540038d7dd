//! Commands that train or plan: `sweep run`, `plan`, `trial`, `verify-resume`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::Changes;
use super::networks::at_least_one;
use sweep_runner::scheduler::Request;
use sweep_runner::trackers::TrackerSpec;
use sweep_training::device::Choice;

/// `sweep run`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Run {
    /// The definition and its changes.
    #[command(flatten)]
    pub changes: Changes,
    /// Folder of the results
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub results: PathBuf,
    /// Device to train on: auto or cuda for one trial on each GPU, cpu, or cuda:N; cuda:0*2 runs two trials at once; repeatable
    #[arg(long = "device", value_name = "DEVICE", default_value = "auto")]
    pub devices: Vec<Request>,
    /// Number of simultaneous trials (default: as many as train most images per second)
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub jobs: Option<usize>,
    /// Number of threads per trial (default: the cores divided by the number of simultaneous trials); results do not depend on it
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub threads: Option<usize>,
    /// Where trials run: on this machine or on a Slurm cluster
    #[arg(long, value_name = "WHERE", default_value = "local")]
    pub executor: Executor,
    /// Set a key of the table slurm, for example partition=gpu or time=4:00:00, with --executor slurm; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    pub slurm: Vec<String>,
    /// Submit the jobs and exit; run again, or use sweep status, to follow them
    #[arg(long)]
    pub detach: bool,
    /// Memory limit of all trials together, in MiB (default: the available memory)
    #[arg(long, value_name = "MIB")]
    pub memory: Option<f64>,
    /// Stop the sweep after this time, for example 8h; trials save their progress
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// Stop each attempt at a trial after this time
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub trial_timeout: Option<Duration>,
    /// Stop a trial that makes no progress for this time
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30m")]
    pub stall_timeout: Duration,
    /// Resume trials that have begun, and start no new ones
    #[arg(long, conflicts_with = "rerun")]
    pub resume_only: bool,
    /// Train failed, timed-out and diverged trials again
    #[arg(long)]
    pub retry_failed: bool,
    /// Discard all results and train every trial again
    #[arg(long)]
    pub rerun: bool,
    /// Stop at the first trial that fails or diverges
    #[arg(long)]
    pub fail_fast: bool,
    /// Stop when this many trials have failed or diverged
    #[arg(long, value_name = "N", conflicts_with = "fail_fast", value_parser = at_least_one)]
    pub max_fail: Option<usize>,
    /// Log all trials to a tracker while they run: tensorboard, or mlflow=URL; repeatable
    #[arg(long, value_name = "TRACKER")]
    pub track: Vec<TrackerSpec>,
    /// With --track: leave out pictures of patients, that is overlays and the page that shows them
    #[arg(long, requires = "track")]
    pub without_images: bool,
    /// Print errors only, no progress
    #[arg(long)]
    pub quiet: bool,
}

/// Where trials run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Executor {
    /// Processes on this machine
    Local,
    /// Jobs of a Slurm cluster
    Slurm,
}

/// `sweep plan`.
#[derive(Debug, Args)]
pub struct Plan {
    /// The definition and its changes.
    #[command(flatten)]
    pub changes: Changes,
    /// Do not train a few steps of every network to estimate times
    #[arg(long)]
    pub no_calibrate: bool,
    /// Number of threads per trial (default: all cores)
    #[arg(long, value_name = "N")]
    pub threads: Option<std::num::NonZeroUsize>,
    /// Where trials would run; for slurm, print the script to submit and the hours that it takes
    #[arg(long, value_name = "WHERE", default_value = "local")]
    pub executor: Executor,
    /// Set a key of the table slurm, for example partition=gpu or time=4:00:00, with --executor slurm; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    pub slurm: Vec<String>,
    /// Folder of the results
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub results: PathBuf,
    /// Standard deviation between seeds of the paired difference in mean radial error, in the data set's unit [default: 0.3
    /// for mm, 1.2 for px, or as measured by --like]
    #[arg(long, value_name = "NUMBER")]
    pub seed_sd: Option<f64>,
    /// Standard deviation between images of the paired difference in mean radial error, in the data set's unit [default: 0.8
    /// for mm, 3.2 for px, or as measured by --like]
    #[arg(long, value_name = "NUMBER")]
    pub image_sd: Option<f64>,
    /// Measure these standard deviations on a finished sweep, for example results/loss
    #[arg(long, value_name = "RESULTS")]
    pub like: Option<std::path::PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `sweep trial`.
#[derive(Debug, Args)]
pub struct Trial {
    /// Folder of the trial, which holds trial.toml
    pub dir: PathBuf,
    /// Device to train on: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub device: Choice,
    /// Number of threads (default: all cores); results do not depend on it
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub threads: Option<usize>,
    /// Stop when standard input ends, which happens when the runner ends
    #[arg(long, hide = true)]
    pub attended: bool,
    /// The runner's name of the only device that this process sees
    #[arg(long, hide = true)]
    pub called: Option<String>,
    /// In a Slurm job: on SIGUSR2 save and requeue the job, at most this many times
    #[arg(long, hide = true, value_name = "TIMES")]
    pub requeue: Option<u32>,
}

/// `sweep verify-resume`.
#[derive(Debug, Args)]
pub struct VerifyResume {
    /// The definition, whose first trial is trained, and its changes.
    #[command(flatten)]
    pub changes: Changes,
    /// Number of kills
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub kills: u32,
    /// Seed of the moments of the kills
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Device to train on: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: Request,
    /// Number of threads (default: all cores); results do not depend on it
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub threads: Option<usize>,
}

/// Parses a time: a number of seconds, or a number with a unit: 90s, 15m, 1.5h, 2d.
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
    time.ok_or_else(|| "use a time, for example 90s, 15m, 1.5h or 2d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

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
