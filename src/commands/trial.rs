//! `sweep trial`: one trial, in a process of its own. Its records are the truth; whoever started it reads nothing else.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use image::GrayImage;

use crate::analysis::TrialRecords;
use crate::cli;
use crate::config::TrialConfig;
use crate::data::Split;
use crate::device;
use crate::error::{Error, Kind, Outcome, Result};
use crate::provenance;
use crate::records::{State, TrialStatus};
use crate::report;
use crate::store::{self, Asked, TrialFile, TrialStore};
use crate::train::{self, Data, End};

use super::pulse::Pulse;
use super::signals::{Signal, stop_flag};

/// Validation images kept to draw predictions on.
const OVERLAY_IMAGES: usize = 6;
/// A trial whose runner is gone has this long to save what it did.
const ORPHAN: Duration = Duration::from_secs(60);
/// Whoever has the trial may be such an orphan.
const PATIENCE: Duration = Duration::from_secs(75);

pub(super) fn trial(flags: &cli::Trial) -> Result<Outcome> {
    let folder = TrialStore::at(&std::path::absolute(&flags.dir).unwrap_or_else(|_| flags.dir.clone()));
    let file = folder.trial_file().map_err(|e| e.remedy("name the folder of a trial, as results/loss/trials/l1-…"))?;
    let signal = stop_flag()?;
    if flags.attended {
        stop_with_the_runner(Arc::clone(&signal));
    }
    let patience = if flags.attended { PATIENCE } else { Duration::ZERO };
    let _lock = match folder.lock(&provenance::host(), patience)? {
        Asked::Held(lock) => lock,
        Asked::Busy(holder) => {
            let who = holder.map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
            return Err(Error::results(format!("{who} trains this trial")).at(folder.root().display()));
        }
    };
    if let Some(threads) = flags.threads {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global()
            .map_err(|e| Error::new(Kind::Computation, format!("cannot start {threads} threads: {e}")))?;
    }

    // A status that is torn is a status that says nothing.
    let before = folder.status().unwrap_or_else(|_| TrialStatus::pending(&file.trial));
    if before.state == State::Done {
        // Whoever had it until now finished it.
        return Ok(Outcome::Done);
    }
    let mut status = TrialStatus {
        trial: file.trial.clone(),
        state: State::Running,
        epochs: file.config.epochs,
        attempts: before.attempts + 1,
        message: None,
        ..before
    };
    status.live.pid = std::process::id();
    status.live.written = provenance::unix_seconds();
    folder.write_status(&status)?;

    let started = Instant::now();
    let config = file.config.clone();
    let ended = attempt(flags, &folder, file, &mut status, &signal);
    (status.state, status.message) = match &ended {
        Ok(End::Finished) => (State::Done, stopped_early(&folder, &config)),
        Ok(End::Diverged(why)) => (State::Diverged, Some(why.clone())),
        Ok(End::Stopped) => (State::Interrupted, None),
        // What cannot be written today can be tomorrow: nothing is wrong with the trial.
        Err(error) if error.kind == Kind::Results => (State::Interrupted, Some(error.to_string())),
        Err(error) => (State::Failed, Some(error.to_string())),
    };
    let said = status.message.clone().unwrap_or_else(|| format!("{} epochs", status.epoch));
    let logged = folder.log(&format!("{}: {said}", status.state.name()));
    status.seconds = before.seconds + started.elapsed().as_secs_f64();
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
    status.device = device_name;
    let precision = config.precision.on(&device).name();
    folder.log(&format!(
        "attempt {} on {} with {} threads, convolutions in {precision}",
        status.attempts,
        status.device,
        rayon::current_num_threads()
    ))?;
    let mut pulse = Pulse::start(folder, status.clone(), flags.attended, Arc::clone(signal));
    let data = Data::load(config)?;
    if config.identity(&data.content)? != file.identity {
        return Err(Error::input("the data set is not the one this trial was planned on: it has changed since")
            .remedy("run the sweep again: what was trained on the data as they were is kept beside it"));
    }
    let file = TrialFile {
        mean_shape_mre_mm: data.dataset.mean_shape_error().map(|e| e.0),
        observer_mre_mm: data.dataset.observer_mre.map(|e| e.0),
        ..file
    };
    if folder.trial_file()? != file {
        folder.write_trial_file(&file)?;
    }
    let images = folder.sweep().images();
    keep_images(&file.config, &data, &images)?;
    status.parameters = file.config.model.graph(1, data.dataset.landmarks.len())?.trained_values() as u64;
    pulse.about(status.clone());

    let ended = train::train(&file.trial, &file.config, &data, folder, &device, &mut pulse);
    status.live = pulse.end();
    status.peak_memory_mib = device::peak_memory_mib(&device);
    status.epoch = folder.sound_epochs().map_or(status.epoch, |(rows, _)| rows.len() as u32);
    let ended = ended?;
    // Pictures before the state: a trial that is done has them.
    let records = TrialRecords {
        id: file.trial,
        seed: file.config.seed,
        axes: file.axes,
        dataset_hash: file.dataset_hash,
        status: TrialStatus {
            state: if ended == End::Finished { State::Done } else { status.state },
            ..status.clone()
        },
        epochs: folder.epochs()?,
        landmarks: folder.landmarks()?,
    };
    if ended != End::Stopped {
        report::write_trial(&records, &images, folder.root())?;
    }
    if ended == End::Finished {
        folder.forget_previous()?;
    }
    Ok(ended)
}

/// Why training ended before its last epoch, if it did.
fn stopped_early(folder: &TrialStore, config: &TrialConfig) -> Option<String> {
    config.early_stop?.over(&folder.sound_epochs().ok()?.0)
}

/// Keeps a few validation images beside the results, because reports are drawn from records alone.
fn keep_images(config: &TrialConfig, data: &Data, folder: &Path) -> Result<()> {
    let mut places = data.dataset.indices(Split::Val);
    places.truncate(OVERLAY_IMAGES);
    places.retain(|place| !folder.join(&data.dataset.samples[*place].image).is_file());
    if places.is_empty() {
        return Ok(());
    }
    for sample in config.dataset.open()?.originals(&places)? {
        let path = folder.join(&sample.image);
        let picture = GrayImage::from_raw(sample.size.width as u32, sample.size.height as u32, sample.pixels);
        let mut bytes = std::io::Cursor::new(Vec::new());
        let encoded = picture.map(|picture| picture.write_to(&mut bytes, image::ImageFormat::Png));
        if let Some(Ok(())) = encoded {
            store::write(&path, bytes.get_ref())?;
        }
    }
    Ok(())
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
