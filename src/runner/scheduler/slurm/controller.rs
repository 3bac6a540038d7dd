//! Calls of Slurm's programs, and the clock for polling.

#![expect(clippy::disallowed_methods, reason = "starts Slurm's programs")]

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use sweep_core::error::{Error, Kind, Result};
use sweep_experiment::slurm::answers::{self, Job, JobState};

/// Why Slurm did not carry out a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Its controller does not answer now; the request may have been carried out all the same.
    Away(String),
    /// Slurm refused, with its message.
    Refused(String),
}

/// How to stop a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancel {
    /// A running job gets a signal that makes the trial save and end.
    Gently,
    /// The job is killed, whether it runs or waits.
    AtOnce,
}

/// The system that runs jobs, and a clock. [`Programs`] is Slurm; tests simulate others.
pub trait Controller {
    /// Submits a script; returns the number of its job.
    ///
    /// # Errors
    /// See [`Refusal`].
    fn submit(&mut self, script: &Path) -> Result<u64, Refusal>;

    /// All tasks of jobs with this name that Slurm remembers, in a single query.
    ///
    /// # Errors
    /// See [`Refusal`].
    fn jobs(&mut self, name: &str) -> Result<Vec<Job>, Refusal>;

    /// Outcomes of jobs that Slurm's controller has forgotten, if Slurm keeps accounts.
    ///
    /// # Errors
    /// See [`Refusal`]; [`Refusal::Refused`] if Slurm keeps no accounts.
    fn history(&mut self, arrays: &[u64]) -> Result<Vec<(u64, u32, JobState, String)>, Refusal>;

    /// The exit code of an ended task as Slurm writes it, `1:0` or `0:9`, if it still knows.
    fn exit_code(&mut self, job: &str) -> Option<String>;

    /// Stops jobs or tasks, given for example as `12` or `12_3`.
    ///
    /// # Errors
    /// See [`Refusal`].
    fn cancel(&mut self, jobs: &[String], how: Cancel) -> Result<(), Refusal>;

    /// Excludes nodes from the waiting tasks of an array.
    ///
    /// # Errors
    /// See [`Refusal`].
    fn exclude(&mut self, array: u64, nodes: &[String]) -> Result<(), Refusal>;

    /// Largest number of tasks of an array, if known.
    fn largest_array(&mut self) -> Option<usize>;

    /// Monotonic time since an arbitrary moment.
    fn now(&self) -> Duration;

    /// Waits this long, or until the user makes a request.
    fn wait(&mut self, time: Duration);
}

/// `sbatch`, `squeue`, `scancel`, `scontrol` and `sacct`.
#[derive(Debug)]
pub struct Programs {
    woken: Receiver<()>,
    begun: Instant,
}

/// If a program of Slurm takes longer, its controller counts as not answering.
const PATIENCE: Duration = Duration::from_secs(60);

impl Programs {
    /// Polls Slurm; `woken` receives a message when the user makes a request.
    ///
    /// # Errors
    /// When Slurm is not installed.
    pub fn new(woken: Receiver<()>) -> Result<Self> {
        match Command::new("sbatch").arg("--version").stdin(Stdio::null()).output() {
            Ok(_) => Ok(Self { woken, begun: Instant::now() }),
            Err(e) => Err(Error::new(Kind::Device, format!("sbatch cannot be started: {e}"))
                .at("--executor slurm")
                .remedy("run it on a machine of the cluster that submits jobs, for example a login node; without a cluster leave --executor out")),
        }
    }
}

/// The standard output of a program.
fn ask(program: &str, arguments: &[&str]) -> Result<String, Refusal> {
    let Ended { status, out, err } = run(program, arguments)?;
    if status.success() {
        return Ok(out);
    }
    let message = last_line(&err).unwrap_or_else(|| last_line(&out).unwrap_or_else(|| format!("{program} failed")));
    Err(if answers::is_away(&err) { Refusal::Away(message) } else { Refusal::Refused(message) })
}

/// How a program ended, and what it printed.
struct Ended {
    status: ExitStatus,
    out: String,
    err: String,
}

/// Runs a program to its end, for as long as [`PATIENCE`] lasts.
fn run(program: &str, arguments: &[&str]) -> Result<Ended, Refusal> {
    let mut command = Command::new(program);
    // This program parses the output: no colours, no columns chosen by the user, no filtered lists.
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
    // Other variables of `sbatch` only set options that the script leaves open.
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
    // A process group of its own: the terminal's interrupt stops this program, but an ongoing submission finishes.
    command.process_group(0);
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
                // If the kill fails, the program has already ended.
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
            None => std::thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(50));
    };
    let [out, err] = [out, err].map(|reader| reader.join().unwrap_or_default());
    let slow = || Refusal::Away(format!("{program} did not answer within {} s", PATIENCE.as_secs()));
    Ok(Ended { status: status.ok_or_else(slow)?, out, err })
}

/// The last non-empty line, without the program's name.
fn last_line(text: &str) -> Option<String> {
    let line = text.lines().rfind(|line| !line.trim().is_empty())?.trim();
    Some(line.split_once("error: ").map_or(line, |(_, what)| what).to_owned())
}

/// All tasks of jobs with this name that Slurm remembers.
///
/// # Errors
/// See [`Refusal`].
pub(super) fn jobs(name: &str) -> Result<Vec<Job>, Refusal> {
    Ok(answers::jobs(&ask("squeue", &["-h", "-r", "-t", "all", "-n", name, "-o", answers::FORMAT])?))
}

/// Largest number of tasks of an array, if Slurm is installed and reports it.
pub(super) fn largest_array() -> Option<usize> {
    answers::setting(&ask("scontrol", &["show", "config"]).ok()?, "MaxArraySize")?.parse().ok()
}

impl Controller for Programs {
    fn submit(&mut self, script: &Path) -> Result<u64, Refusal> {
        let output = ask("sbatch", &["--parsable", &script.display().to_string()])?;
        answers::submitted(&output).ok_or_else(|| Refusal::Away(format!("sbatch printed no job number: {output:?}")))
    }

    fn jobs(&mut self, name: &str) -> Result<Vec<Job>, Refusal> {
        jobs(name)
    }

    fn history(&mut self, arrays: &[u64]) -> Result<Vec<(u64, u32, JobState, String)>, Refusal> {
        let arrays: Vec<String> = arrays.iter().map(u64::to_string).collect();
        let output = ask("sacct", &["-n", "-X", "-P", "-D", "-j", &arrays.join(","), "-o", "JobID,State,ExitCode"])?;
        Ok(answers::history(&output))
    }

    fn exit_code(&mut self, job: &str) -> Option<String> {
        let output = ask("scontrol", &["-o", "show", "job", job]).ok()?;
        answers::field(&output, "ExitCode").map(str::to_owned)
    }

    fn cancel(&mut self, jobs: &[String], how: Cancel) -> Result<(), Refusal> {
        // As many as fit into a command line.
        for some in jobs.chunks(500) {
            let mut arguments = match how {
                // Slurm's own signals end with TERM: INT means that no kill will follow.
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

/// The job of this process, as `scontrol` takes it, and how often it was requeued.
#[must_use]
pub fn own_job() -> Option<(String, u32)> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    // Not SLURM_JOB_ID: for one task of an array it may be the number of the whole array, which would requeue all
    // tasks.
    let job = match (variable("SLURM_ARRAY_JOB_ID"), variable("SLURM_ARRAY_TASK_ID")) {
        (Some(array), Some(task)) => format!("{array}_{task}"),
        _ => variable("SLURM_JOB_ID")?,
    };
    Some((job, variable("SLURM_RESTART_COUNT").and_then(|count| count.parse().ok()).unwrap_or(0)))
}

/// Requeues a job.
///
/// A refusal is not final: a controller that is still recording the job's start refuses to change the job, and
/// accepts the same request a moment later.
///
/// # Errors
/// When Slurm keeps refusing or does not answer.
pub fn requeue(job: &str) -> Result<()> {
    let mut last = String::new();
    for pause in [0, 1, 2, 5] {
        std::thread::sleep(Duration::from_secs(pause));
        last = match run("scontrol", &["requeue", job]) {
            // Slurm then ends every process of the job, often this one before it has its answer.
            Ok(ended) if ended.status.success() || ended.status.signal().is_some() => return Ok(()),
            Ok(ended) => last_line(&ended.err).unwrap_or_else(|| "scontrol failed".to_owned()),
            Err(Refusal::Refused(why) | Refusal::Away(why)) => why,
        };
    }
    Err(Error::new(Kind::Computation, format!("job {job} was not queued again: {last}")))
}
