//! `sweep trial`: one trial, in a process of its own. Its records are the truth; whoever started it reads nothing else.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGTERM, SIGUSR2};

use crate::cli;
use crate::device;
use crate::error::{Error, Kind, Outcome, Result};
use crate::provenance;
use crate::records::{State, TrialStatus};
use crate::schedule::slurm;
use crate::store::{Asked, TrialFile, TrialStore};
use crate::sweep::{begin, conclude, finish, prepare};
use crate::train::{Data, End};

use super::pulse::Pulse;
use super::signals::{Signal, heed_warning, stop_flag};

/// A trial whose runner is gone has this long to save what it did.
const ORPHAN: Duration = Duration::from_secs(60);
/// Whoever has the trial may be such an orphan.
const PATIENCE: Duration = Duration::from_secs(75);

pub(super) fn trial(flags: &cli::Trial) -> Result<Outcome> {
    let signal = stop_flag()?;
    if flags.requeue.is_some() {
        heed_warning(&signal)?;
    }
    let outcome = train(flags, &signal)?;
    match (outcome, flags.requeue) {
        (Outcome::Interrupted(signal), Some(most)) => Ok(after_stop(signal, most)),
        _ => Ok(outcome),
    }
}

/// What a trial that saved and let go does in a job of Slurm's.
fn after_stop(signal: i32, most: u32) -> Outcome {
    let stopped = Outcome::Interrupted(signal);
    match (signal, slurm::own_job()) {
        (SIGUSR2, Some((job, times))) if times < most => match slurm::requeue(&job) {
            Ok(()) => {
                eprintln!("saved; job {job} is queued again");
                stopped
            }
            Err(error) => {
                eprintln!("error: {error}");
                stopped
            }
        },
        (SIGUSR2, Some((job, times))) => {
            eprintln!("saved; job {job} was queued again {times} times and is not once more");
            stopped
        }
        // Slurm ends what it asks to stop, and queues again what it preempts, but not what ends by itself before.
        (SIGTERM, Some(_)) => {
            std::thread::sleep(ORPHAN);
            stopped
        }
        _ => stopped,
    }
}

fn train(flags: &cli::Trial, signal: &Signal) -> Result<Outcome> {
    let folder = TrialStore::at(&std::path::absolute(&flags.dir).unwrap_or_else(|_| flags.dir.clone()));
    let file = folder.trial_file().map_err(|e| e.remedy("name the folder of a trial, as results/loss/trials/l1-…"))?;
    if flags.attended {
        stop_with_the_runner(Arc::clone(signal));
    }
    let patience = if flags.attended || flags.requeue.is_some() { PATIENCE } else { Duration::ZERO };
    let _lock = match folder.lock(&provenance::host(), patience)? {
        Asked::Held(lock) => lock,
        Asked::Busy(holder) => {
            let who = holder.map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
            return Err(Error::results(format!("{who} trains this trial")).at(folder.root().display()));
        }
    };
    super::use_threads(flags.threads)?;

    if folder.status().is_ok_and(|before| before.state == State::Done) {
        // Whoever had it until now finished it.
        return Ok(Outcome::Done);
    }
    let mut status = begin(&folder, &file)?;
    let (seconds, started, config) = (status.seconds, Instant::now(), file.config.clone());
    let ended = attempt(flags, &folder, file, &mut status, signal);
    conclude(&mut status, &ended, &folder, &config);
    let said = status.message.clone().unwrap_or_else(|| format!("{} epochs", status.epoch));
    let logged = folder.log(&format!("{}: {said}", status.state.name()));
    status.seconds = seconds + started.elapsed().as_secs_f64();
    status.live.seconds_left = None;
    let written = folder.write_status(&status);
    match ended {
        Err(error) if error.kind == Kind::Results => Err(error),
        Err(error) => {
            eprintln!("error: {error}");
            Ok(Outcome::Failed)
        }
        Ok(end) => {
            logged.and(written)?;
            Ok(match end {
                End::Finished => Outcome::Done,
                End::Diverged(_) => Outcome::Failed,
                End::Stopped => Outcome::Interrupted(i32::try_from(signal.load(Ordering::Relaxed)).unwrap_or(15)),
            })
        }
    }
}

/// One attempt: from loading the data to drawing the trial's pictures.
fn attempt(
    flags: &cli::Trial,
    folder: &TrialStore,
    file: TrialFile,
    status: &mut TrialStatus,
    signal: &Signal,
) -> Result<End> {
    let (device, device_name) = device::open(flags.device)?;
    let config = &file.config;
    status.device = match &flags.called {
        Some(called) => device_name.replacen("cuda:0", called, 1),
        None => device_name,
    };
    let precision = config.precision.on(&device).name();
    folder.log(&format!(
        "attempt {} on {} with {} threads, convolutions in {precision}",
        status.attempts,
        status.device,
        rayon::current_num_threads()
    ))?;
    let mut pulse = Pulse::start(folder, status.clone(), flags, Arc::clone(signal));
    let data = Data::load(config)?;
    let file = prepare(folder, file, &data, status)?;
    pulse.about(status.clone());

    let ended = crate::train::train(&file.trial, &file.config, &data, folder, &device, &mut pulse);
    status.live = pulse.end();
    status.peak_memory_mib = device::peak_memory_mib(&device);
    status.epoch = folder.sound_epochs().map_or(status.epoch, |(rows, _)| rows.len() as u32);
    let ended = ended?;
    // Pictures before the state: a trial that is done has them.
    finish(folder, file, status, &ended)?;
    Ok(ended)
}

/// Asks for a stop when standard input ends, which its writer's death does; an orphan that does not stop is ended.
fn stop_with_the_runner(signal: Signal) {
    std::thread::spawn(move || {
        let mut nothing = [0; 64];
        while std::io::stdin().read(&mut nothing).is_ok_and(|read| read > 0) {}
        let terminated = signal_hook::consts::SIGTERM.unsigned_abs() as usize;
        let _ = signal.compare_exchange(0, terminated, Ordering::Relaxed, Ordering::Relaxed);
        std::thread::sleep(ORPHAN);
        signal_hook::low_level::exit(128 + signal_hook::consts::SIGTERM);
    });
}
