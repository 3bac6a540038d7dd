//! One attempt at a trial, from its lock to its figures. `sweep trial` and [`Sweep::run`](crate::sweep::Sweep::run) both
//! train by [`train()`], so that their folders are alike.

mod heartbeat;
mod images;
mod prepare;

use std::time::{Duration, Instant};

use sweep_analysis::{TrialRecords, report};
use sweep_core::error::{Error, Kind, Result};
use sweep_experiment::provenance;
use sweep_experiment::records::{State, TrialStatus};
use sweep_experiment::store::{LockResult, TrialFile, TrialStore};
use sweep_planning::config::TrialConfig;
use sweep_training::device::{self, Choice};
use sweep_training::train::{self, Data, End, Observer};

use heartbeat::Heartbeat;
use prepare::prepare;

/// Settings of an attempt at a trial.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    /// Device to train on.
    pub(crate) device: Choice,
    /// The runner's name of the device, if this process sees no other; recorded instead of `cuda:0`.
    pub(crate) device_name: Option<String>,
    /// Time to wait for another process to release the trial.
    pub(crate) patience: Duration,
    /// Time between two heartbeats in `status.json`.
    pub(crate) heartbeat: Duration,
}

impl Attempt {
    /// Time between heartbeats on one machine.
    pub(crate) const HEARTBEAT: Duration = Duration::from_secs(1);

    /// An attempt on this device that does not wait for another process.
    pub(crate) fn on(device: Choice) -> Self {
        Self { device, device_name: None, patience: Duration::ZERO, heartbeat: Self::HEARTBEAT }
    }
}

/// End of an attempt.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The trial has its last epoch, from this attempt or an earlier one.
    Finished,
    /// Its loss became infinite or not a number.
    Diverged,
    /// The observer requested a stop; progress is saved.
    Stopped,
    /// It cannot be trained, which is recorded as its state.
    Failed(Error),
}

/// Trains the trial in this folder, from its last checkpoint if it has one, in this process. The status, the log and the
/// figures are written here and nowhere else.
///
/// # Errors
/// When the folder has no trial, another process trains it, or records cannot be written. A trial that cannot be trained is
/// [`Ended::Failed`] instead.
pub(crate) fn train(folder: &TrialStore, attempt: &Attempt, observer: &mut dyn Observer) -> Result<Ended> {
    let _lock = match folder.lock(&provenance::host(), attempt.patience)? {
        LockResult::Held(lock) => lock,
        LockResult::Busy(holder) => {
            let who = holder.map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
            return Err(Error::results(format!("{who} trains this trial")).at(folder.root().display()));
        }
    };
    if folder.status().is_ok_and(|before| before.state == State::Done) {
        // The process that held the lock until now finished it.
        return Ok(Ended::Finished);
    }
    let file = folder.trial_file()?;
    let config = TrialConfig::recorded(&file)?;
    let mut status = begin(folder, &file, &config)?;
    let (seconds, started) = (status.seconds, Instant::now());
    let ended = run(folder, file, &config, attempt, &mut status, observer);
    conclude(&mut status, &ended, folder, &config);
    let result = status.message.clone().unwrap_or_else(|| format!("{} epochs", status.epoch));
    let logged = folder.log(&format!("{}: {result}", status.state.name()));
    status.seconds = seconds + started.elapsed().as_secs_f64();
    status.live.seconds_left = None;
    let written = folder.write_status(&status);
    match ended {
        Err(error) if error.kind == Kind::Results => Err(error),
        Err(error) => Ok(Ended::Failed(error)),
        Ok(end) => {
            logged.and(written)?;
            Ok(match end {
                End::Finished => Ended::Finished,
                End::Diverged(_) => Ended::Diverged,
                End::Stopped => Ended::Stopped,
            })
        }
    }
}

/// Writes the trial's status at the start of an attempt. An incomplete status is replaced.
fn begin(folder: &TrialStore, file: &TrialFile, config: &TrialConfig) -> Result<TrialStatus> {
    let before = folder.status().unwrap_or_else(|_| TrialStatus::pending(&file.trial));
    let mut status = TrialStatus {
        trial: file.trial.clone(),
        state: State::Running,
        epochs: config.epochs,
        attempts: before.attempts + 1,
        message: None,
        ..before
    };
    status.host = provenance::host();
    status.live.pid = std::process::id();
    status.live.written = provenance::unix_seconds();
    folder.write_status(&status)?;
    Ok(status)
}

/// Runs an attempt, from opening the device to drawing the trial's figures.
fn run(
    folder: &TrialStore,
    file: TrialFile,
    config: &TrialConfig,
    attempt: &Attempt,
    status: &mut TrialStatus,
    observer: &mut dyn Observer,
) -> Result<End> {
    let (device, name) = device::open(attempt.device)?;
    status.device = match &attempt.device_name {
        Some(given) => name.replacen("cuda:0", given, 1),
        None => name,
    };
    let precision = device::precision_in_words(&device, config.precision);
    folder.log(&format!(
        "attempt {} on {} with {} threads, convolutions in {precision}",
        status.attempts,
        status.device,
        rayon::current_num_threads()
    ))?;
    let mut heartbeat = Heartbeat::start(folder, status.clone(), attempt.heartbeat, observer);
    let data = Data::load(config)?;
    let file = prepare(folder, file, config, &data, status)?;
    heartbeat.update(status.clone());

    let ended = train::train(&file.trial, config, &data, folder, &device, &mut heartbeat);
    status.live = heartbeat.end();
    status.peak_memory_mib = device::peak_memory_mib(&device);
    status.epoch = folder.readable_epochs().map_or(status.epoch, |(rows, _)| rows.len() as u32);
    let ended = ended?;
    // Figures come before the state, so that every trial that is done has them.
    draw(folder, file, (config, &data), status, &ended)?;
    Ok(ended)
}

/// Draws the trial's figures, and copies the images on which it errs most, unless it is only interrupted; removes the spare
/// checkpoint of a finished trial.
fn draw(
    folder: &TrialStore,
    file: TrialFile,
    (config, data): (&TrialConfig, &Data),
    status: &TrialStatus,
    ended: &End,
) -> Result<()> {
    if *ended != End::Stopped {
        let state = if *ended == End::Finished { State::Done } else { status.state };
        let mut records = TrialRecords {
            objective: file.objective(),
            axes: file.axes.clone(),
            unit: file.unit,
            dataset_hash: file.dataset_hash.clone(),
            epochs: folder.epochs()?,
            landmarks: folder.landmarks()?,
            images: file.images.clone(),
            ..TrialRecords::new(file.trial.clone(), file.seed(), TrialStatus { state, ..status.clone() })
        };
        match images::worst(config, data, &records, &folder.sweep().images()) {
            Ok(worst) => records.images.extend(worst),
            // What is trained is not lost because the data set can no longer be read.
            Err(error) => folder.log(&format!("the images of greatest error are not copied: {error}"))?,
        }
        if records.images != file.images {
            folder.write_trial_file(&TrialFile { images: records.images.clone(), ..file })?;
        }
        report::write_trial(&records, &folder.sweep().images(), folder.folder())?;
    }
    if *ended == End::Finished { folder.remove_previous() } else { Ok(()) }
}

/// Sets the state and message after an attempt.
fn conclude(status: &mut TrialStatus, ended: &Result<End>, folder: &TrialStore, config: &TrialConfig) {
    (status.state, status.message) = match ended {
        Ok(End::Finished) => (State::Done, stopped_early(folder, config)),
        Ok(End::Diverged(why)) => (State::Diverged, Some(why.clone())),
        Ok(End::Stopped) => (State::Interrupted, None),
        // Records may be writable later, so that the trial has not failed.
        Err(error) if error.kind == Kind::Results => (State::Interrupted, Some(error.to_string())),
        Err(error) => (State::Failed, Some(error.to_string())),
    };
}

/// Why training ended before its last epoch, if it did.
fn stopped_early(folder: &TrialStore, config: &TrialConfig) -> Option<String> {
    config.early_stop?.over(&folder.readable_epochs().ok()?.0, config.objective)
}
