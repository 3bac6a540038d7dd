//! `sweep trial`: trains one trial in its own process. The process that started it reads nothing but the records.

use std::cell::Cell;
use std::io::{IsTerminal, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGTERM, SIGUSR2};
use sweep_core::error::{Outcome, Result};
use sweep_core::note;
use sweep_experiment::records::EpochRecord;
use sweep_experiment::store::TrialStore;
use sweep_runner::scheduler::slurm;
use sweep_training::train::Observer;

use super::progress::Course;
use super::signals::{Signal, stop_flag, stop_on_job_warning};
use crate::cli;
use crate::trial::{self, Attempt, Ended};

/// Time between heartbeats on a cluster, where a thousand trials write to one file system.
const CLUSTER_HEARTBEAT: Duration = Duration::from_secs(20);
/// Time between checkpoints within an epoch.
const SAVE_INTERVAL: Duration = Duration::from_secs(600);
/// Time that a trial has to save its progress once its runner has ended.
const ORPHAN_GRACE: Duration = Duration::from_secs(60);
/// Time to wait for another process to release the trial, which may be a process whose runner has ended.
pub(super) const PATIENCE: Duration = Duration::from_secs(75);

pub(super) fn trial(flags: &cli::Trial) -> Result<Outcome> {
    let signal = stop_flag()?;
    if flags.requeue.is_some() {
        stop_on_job_warning(&signal)?;
    }
    let outcome = train(flags, &signal)?;
    match (outcome, flags.requeue) {
        (Outcome::Interrupted(signal), Some(most)) => Ok(after_stop(signal, most)),
        _ => Ok(outcome),
    }
}

/// Requeues the job of a stopped trial, or waits for Slurm to end it.
fn after_stop(signal: i32, most: u32) -> Outcome {
    let stopped = Outcome::Interrupted(signal);
    match (signal, slurm::own_job()) {
        (SIGUSR2, Some((job, times))) if times < most => match slurm::requeue(&job) {
            Ok(()) => {
                note!("saved; job {job} is queued again");
                stopped
            }
            Err(error) => {
                note!("error: {error}");
                stopped
            }
        },
        (SIGUSR2, Some((job, times))) => {
            note!("saved; job {job} was queued again {times} times and is not once more");
            stopped
        }
        // Slurm requeues a preempted job only if the job has not ended by itself before.
        (SIGTERM, Some(_)) => {
            std::thread::sleep(ORPHAN_GRACE);
            stopped
        }
        _ => stopped,
    }
}

fn train(flags: &cli::Trial, signal: &Signal) -> Result<Outcome> {
    let folder = TrialStore::at(&std::path::absolute(&flags.dir).unwrap_or_else(|_| flags.dir.clone()));
    let file = folder
        .trial_file()
        .map_err(|e| e.remedy("name the folder of a trial, for example results/loss/trials/l1-seed0-3f9a2c1b"))?;
    if flags.attended {
        stop_with_the_runner(Arc::clone(signal));
    }
    super::use_threads(flags.threads)?;
    let attempt = Attempt {
        device_name: flags.called.clone(),
        patience: if flags.attended || flags.requeue.is_some() { PATIENCE } else { Duration::ZERO },
        heartbeat: if flags.requeue.is_some() { CLUSTER_HEARTBEAT } else { Attempt::HEARTBEAT },
        ..Attempt::on(flags.device)
    };
    let mut console = Console {
        signal: Arc::clone(signal),
        saved: Cell::new(Instant::now()),
        prints_epochs: !flags.attended || std::io::stderr().is_terminal(),
        epochs: file.config.get("epochs").and_then(toml::Value::as_integer).map_or(0, |epochs| epochs as u32),
        course: Course::of(&folder.readable_epochs()?.0),
        trial: file.trial,
    };
    Ok(match trial::train(&folder, &attempt, &mut console)? {
        Ended::Finished => Outcome::Done,
        Ended::Diverged => Outcome::Failed,
        Ended::Stopped => Outcome::Interrupted(i32::try_from(signal.load(Ordering::Relaxed)).unwrap_or(15)),
        Ended::Failed(error) => {
            note!("error: {error}");
            Outcome::Failed
        }
    })
}

/// Prints epochs and notes, requests a stop on a signal, and requests checkpoints within long epochs.
struct Console {
    signal: Signal,
    saved: Cell<Instant>,
    prints_epochs: bool,
    epochs: u32,
    trial: String,
    course: Course,
}

impl Observer for Console {
    fn epoch(&mut self, record: &EpochRecord) {
        self.saved.set(Instant::now());
        self.course.add(record);
        if self.prints_epochs {
            note!("{}", self.course.line(&self.trial, self.epochs, record));
        }
    }

    fn stop(&self) -> bool {
        self.signal.load(Ordering::Relaxed) != 0
    }

    fn save(&self) -> bool {
        let due = self.saved.get().elapsed() >= SAVE_INTERVAL;
        if due {
            self.saved.set(Instant::now());
        }
        due
    }

    fn note(&mut self, message: &str) {
        note!("{message}");
    }
}

/// Requests a stop when standard input ends, which happens when the runner ends; ends the process if it does not stop.
fn stop_with_the_runner(signal: Signal) {
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while std::io::stdin().read(&mut buffer).is_ok_and(|read| read > 0) {}
        let terminated = signal_hook::consts::SIGTERM.unsigned_abs() as usize;
        let _ = signal.compare_exchange(0, terminated, Ordering::Relaxed, Ordering::Relaxed);
        std::thread::sleep(ORPHAN_GRACE);
        signal_hook::low_level::exit(128 + signal_hook::consts::SIGTERM);
    });
}
