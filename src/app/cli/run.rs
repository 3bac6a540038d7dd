//! What trains: `sweep run`, `plan`, `trial`, `verify-resume`.

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
    /// Where results go
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub results: PathBuf,
    /// auto and cuda: all GPUs, one trial each; cpu, or cuda:N; as cuda:0*2 for two trials at once; may be given several
    /// times
    #[arg(long = "device", value_name = "DEVICE", default_value = "auto")]
    pub devices: Vec<Request>,
    /// Trials at once (default: what gives most images per second)
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub jobs: Option<usize>,
    /// Threads per trial (default: the cores, shared out between trials); results do not depend on it
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub threads: Option<usize>,
    /// Where trials run
    #[arg(long, value_name = "WHERE", default_value = "local")]
    pub executor: Executor,
    /// Set a key of the table slurm, as partition=gpu or time=4:00:00, with --executor slurm
    #[arg(long, value_name = "KEY=VALUE")]
    pub slurm: Vec<String>,
    /// Submit, and leave: run again, or sweep status, to see how it goes
    #[arg(long)]
    pub detach: bool,
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
    /// Tell a tracker of every trial while it runs: tensorboard, or mlflow=URL; may be given several times
    #[arg(long, value_name = "TRACKER")]
    pub track: Vec<TrackerSpec>,
    /// No progress; errors only
    #[arg(long)]
    pub quiet: bool,
}

/// Where trials run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Executor {
    /// As processes of this machine
    Local,
    /// As jobs of a cluster with Slurm
    Slurm,
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
    /// Where trials would run: for slurm, print the script that would be submitted and the hours it would take
    #[arg(long, value_name = "WHERE", default_value = "local")]
    pub executor: Executor,
    /// Set a key of the table slurm, as partition=gpu or time=4:00:00, with --executor slurm
    #[arg(long, value_name = "KEY=VALUE")]
    pub slurm: Vec<String>,
    /// Where results would go
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub results: PathBuf,
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
    /// What the runner calls the device, of which this process sees no other
    #[arg(long, hide = true)]
    pub called: Option<String>,
    /// As a job of Slurm's: on SIGUSR2 save, and have the job queued again, so often at most
    #[arg(long, hide = true, value_name = "TIMES")]
    pub requeue: Option<u32>,
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
