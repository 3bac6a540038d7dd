//! Slurm itself: its programs, and the clock by which they are asked.

#![expect(clippy::disallowed_methods, reason = "starts Slurm's programs")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use sweep_core::error::{Error, Kind, Result};
use sweep_experiment::slurm::answers::{self, Job, JobState};

/// Why Slurm did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Its controller does not answer now; what was asked may have been done all the same.
    Away(String),
    /// It does not want to, in its words.
    Refused(String),
}

/// How a job is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancel {
    /// One that runs is sent a signal that has the trial save and end.
    Gently,
    /// It is ended, whether it runs or waits.
    AtOnce,
}

/// Whoever has the jobs, and the time. [`Programs`] is Slurm; simulations are others.
pub trait Controller {
    /// Submits a script; the number of its job.
    ///
    /// # Errors
    /// As [`Refusal`] says.
    fn submit(&mut self, script: &Path) -> Result<u64, Refusal>;

    /// All tasks of jobs with this name that Slurm remembers: one question, however many there are.
    ///
    /// # Errors
    /// As [`Refusal`] says.
    fn jobs(&mut self, name: &str) -> Result<Vec<Job>, Refusal>;

    /// How jobs ended that Slurm's controller has forgotten, where it keeps accounts.
    ///
    /// # Errors
    /// As [`Refusal`] says; [`Refusal::Refused`] where it keeps none.
    fn history(&mut self, arrays: &[u64]) -> Result<Vec<(u64, u32, JobState, String)>, Refusal>;

    /// The exit code of an ended task as Slurm writes it, `1:0` or `0:9`, if it still knows.
    fn exit_code(&mut self, job: &str) -> Option<String>;

    /// Stops jobs or tasks, as `12` or `12_3`.
    ///
    /// # Errors
    /// As [`Refusal`] says.
    fn cancel(&mut self, jobs: &[String], how: Cancel) -> Result<(), Refusal>;

    /// Keeps what waits of an array off these nodes.
    ///
    /// # Errors
    /// As [`Refusal`] says.
    fn exclude(&mut self, array: u64, nodes: &[String]) -> Result<(), Refusal>;

    /// The most tasks an array may have, if it is known.
    fn largest_array(&mut self) -> Option<usize>;

    /// Time since some moment, steadily.
    fn now(&self) -> Duration;

    /// Waits so long, or until the user wants something.
    fn wait(&mut self, time: Duration);
}

/// `sbatch`, `squeue`, `scancel`, `scontrol` and `sacct`.
#[derive(Debug)]
pub struct Programs {
    woken: Receiver<()>,
    begun: Instant,
}

/// A program of Slurm's that takes longer is taken for one whose controller is away.
const PATIENCE: Duration = Duration::from_secs(60);

impl Programs {
    /// Polls Slurm whenever `woken` says so.
    ///
    /// # Errors
    /// When Slurm is not here.
    pub fn new(woken: Receiver<()>) -> Result<Self> {
        match Command::new("sbatch").arg("--version").stdin(Stdio::null()).output() {
            Ok(_) => Ok(Self { woken, begun: Instant::now() }),
            Err(e) => Err(Error::new(Kind::Device, format!("sbatch cannot be started: {e}"))
                .at("--executor slurm")
                .remedy("run it on a machine of the cluster that submits jobs, as a login node; without a cluster leave --executor out")),
        }
    }
}

/// What a program prints on standard output.
fn ask(program: &str, arguments: &[&str]) -> Result<String, Refusal> {
    let mut command = Command::new(program);
    // The answers are for this program: no colours, no user's own columns, no shortened lists.
    for name in [
        "SQUEUE_FORMAT",
        "SQUEUE_FORMAT2",
        "SQUEUE_SORT",
        "SQUEUE_STATES",
        "SQUEUE_PARTITION",
        "SQUEUE_ACCOUNT",
        "SACCT_FORMAT",
    ] {
        command.env_remove(name);
    }
    // Those of `sbatch` would override nothing but what the script leaves open, except these.
    for name in [
        "SBATCH_ARRAY_INX",
        "SBATCH_JOB_NAME",
        "SBATCH_SIGNAL",
        "SBATCH_NO_REQUEUE",
        "SBATCH_OPEN_MODE",
        "SBATCH_OUTPUT",
    ] {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Not by the terminal's interrupt: that asks this program to stop, and a submission under way is finished.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let away = |e: std::io::Error| Refusal::Away(format!("{program} cannot be started: {e}"));
    let mut child = command.spawn().map_err(away)?;
    let [out, err] = [
        child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn std::io::Read + Send>),
        child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn std::io::Read + Send>),
    ]
    .map(|pipe| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut text));
            String::from_utf8_lossy(&text).into_owned()
        })
    });
    let began = Instant::now();
    let mut pause = Duration::from_millis(2);
    let status = loop {
        match child.try_wait().map_err(away)? {
            Some(status) => break Some(status),
            None if began.elapsed() >= PATIENCE => {
                // Whether it still lives is seen below.
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
            None => std::thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(50));
    };
    let [out, err] = [out, err].map(|reader| reader.join().unwrap_or_default());
    match status {
        Some(status) if status.success() => Ok(out),
        Some(_) => {
            let said = telling(&err).unwrap_or_else(|| telling(&out).unwrap_or_else(|| format!("{program} failed")));
            Err(if answers::is_away(&err) { Refusal::Away(said) } else { Refusal::Refused(said) })
        }
        None => Err(Refusal::Away(format!("{program} did not answer within {} s", PATIENCE.as_secs()))),
    }
}

/// The last line that says something, without the program's name before it.
fn telling(said: &str) -> Option<String> {
    let line = said.lines().rfind(|line| !line.trim().is_empty())?.trim();
    Some(line.split_once("error: ").map_or(line, |(_, what)| what).to_owned())
}

/// All tasks of jobs with this name that Slurm remembers.
///
/// # Errors
/// As [`Refusal`] says.
pub(super) fn jobs(name: &str) -> Result<Vec<Job>, Refusal> {
    Ok(answers::jobs(&ask("squeue", &["-h", "-r", "-t", "all", "-n", name, "-o", answers::FORMAT])?))
}

/// The most tasks an array may have, where Slurm is here and says so.
pub(super) fn largest_array() -> Option<usize> {
    answers::setting(&ask("scontrol", &["show", "config"]).ok()?, "MaxArraySize")?.parse().ok()
}

impl Controller for Programs {
    fn submit(&mut self, script: &Path) -> Result<u64, Refusal> {
        let said = ask("sbatch", &["--parsable", &script.display().to_string()])?;
        answers::submitted(&said).ok_or_else(|| Refusal::Away(format!("sbatch says no job's number but {said:?}")))
    }

    fn jobs(&mut self, name: &str) -> Result<Vec<Job>, Refusal> {
        jobs(name)
    }

    fn history(&mut self, arrays: &[u64]) -> Result<Vec<(u64, u32, JobState, String)>, Refusal> {
        let arrays: Vec<String> = arrays.iter().map(u64::to_string).collect();
        let said = ask("sacct", &["-n", "-X", "-P", "-D", "-j", &arrays.join(","), "-o", "JobID,State,ExitCode"])?;
        Ok(answers::history(&said))
    }

    fn exit_code(&mut self, job: &str) -> Option<String> {
        let said = ask("scontrol", &["-o", "show", "job", job]).ok()?;
        answers::field(&said, "ExitCode").map(str::to_owned)
    }

    fn cancel(&mut self, jobs: &[String], how: Cancel) -> Result<(), Refusal> {
        // So many as fit a command line.
        for some in jobs.chunks(500) {
            let mut arguments = match how {
                // Slurm's own requests end with TERM: another signal says that nobody will follow it up.
                Cancel::Gently => vec!["--quiet", "--batch", "--signal=INT"],
                Cancel::AtOnce => vec!["--quiet"],
            };
            arguments.extend(some.iter().map(String::as_str));
            ask("scancel", &arguments)?;
        }
        Ok(())
    }

    fn exclude(&mut self, array: u64, nodes: &[String]) -> Result<(), Refusal> {
        ask("scontrol", &["update", &format!("JobId={array}"), &format!("ExcNodeList={}", nodes.join(","))]).map(drop)
    }

    fn largest_array(&mut self) -> Option<usize> {
        largest_array()
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn wait(&mut self, time: Duration) {
        match self.woken.recv_timeout(time) {
            Ok(()) => while self.woken.try_recv().is_ok() {},
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(time),
        }
    }
}

/// The job that this process is, as `scontrol` takes it, and how often it was queued again.
#[must_use]
pub fn own_job() -> Option<(String, u32)> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    // Not SLURM_JOB_ID: one task of an array has the number of the whole array, and all of it would be queued again.
    let job = match (variable("SLURM_ARRAY_JOB_ID"), variable("SLURM_ARRAY_TASK_ID")) {
        (Some(array), Some(task)) => format!("{array}_{task}"),
        _ => variable("SLURM_JOB_ID")?,
    };
    Some((job, variable("SLURM_RESTART_COUNT").and_then(|count| count.parse().ok()).unwrap_or(0)))
}

/// Has Slurm queue a job again.
///
/// # Errors
/// When Slurm refuses or does not answer.
pub fn requeue(job: &str) -> Result<()> {
    let mut last = String::new();
    for pause in [0, 2, 5] {
        std::thread::sleep(Duration::from_secs(pause));
        match ask("scontrol", &["requeue", job]) {
            Ok(_) => return Ok(()),
            Err(Refusal::Refused(why)) => {
                last = why;
                break;
            }
            Err(Refusal::Away(why)) => last = why,
        }
    }
    Err(Error::new(Kind::Computation, format!("job {job} is not queued again: {last}")))
}
