//! What is done of a trial beside training it: facts of its data before, pictures after.

use std::path::Path;
use std::time::{Duration, Instant};

use image::GrayImage;

use crate::analysis::TrialRecords;
use crate::config::TrialConfig;
use crate::data::Split;
use crate::device::{self, Choice};
use crate::error::{Error, Kind, Result};
use crate::models::weights::{self, Matching};
use crate::provenance;
use crate::records::{State, TrialStatus};
use crate::report;
use crate::store::{self, Asked, TrialFile, TrialStore};
use crate::train::{self, Data, End, Observer};

/// Validation images kept to draw predictions on.
const OVERLAY_IMAGES: usize = 6;

/// That the data are those the trial was planned on; then `trial.toml` with what is known of them, some of their images
/// kept, and the status with the network's size.
pub(crate) fn prepare(
    folder: &TrialStore,
    file: TrialFile,
    data: &Data,
    status: &mut TrialStatus,
) -> Result<TrialFile> {
    let weights = data.weights.as_ref().map(|weights| weights.content.as_str());
    if file.config.identity(&data.content, weights)? != file.identity {
        let what = match weights {
            Some(_) => {
                "the data set or the file with weights is not the one this trial was planned on: it has changed since"
            }
            None => "the data set is not the one this trial was planned on: it has changed since",
        };
        return Err(Error::input(what)
            .remedy("run the sweep again: what was trained on the data as they were is kept beside it"));
    }
    for sentence in data.coverage.sentences() {
        folder.log(&format!("landmarks {sentence}"))?;
    }
    let file = TrialFile {
        mean_shape_mre_mm: data.dataset.mean_shape_error().map(|e| e.0),
        observer_mre_mm: data.dataset.observer_mre.map(|e| e.0),
        untrained: data.coverage.untrained.clone(),
        unmeasured: data.coverage.unmeasured.clone(),
        weights: started(folder, &file.config, data)?,
        ..file
    };
    if folder.trial_file()? != file {
        folder.write_trial_file(&file)?;
    }
    keep_images(&file.config, data, &folder.sweep().images())?;
    let stages = file.config.model.stages(1, data.dataset.landmarks.len(), file.config.input)?;
    status.parameters = stages.iter().map(|stage| stage.graph.trained_values() as u64).sum();
    Ok(file)
}

/// Draws the trial's pictures, which a trial that is done has.
pub(crate) fn finish(folder: &TrialStore, file: TrialFile, status: &TrialStatus, ended: &End) -> Result<()> {
    if *ended != End::Stopped {
        let state = if *ended == End::Finished { State::Done } else { status.state };
        let records = TrialRecords {
            id: file.trial,
            seed: file.config.seed,
            loss_kind: String::new(),
            axes: file.axes,
            dataset_hash: file.dataset_hash,
            status: TrialStatus { state, ..status.clone() },
            epochs: folder.epochs()?,
            landmarks: folder.landmarks()?,
            fold: None,
            folds: Vec::new(),
        };
        report::write_trial(&records, &folder.sweep().images(), folder.root())?;
    }
    if *ended == End::Finished { folder.forget_previous() } else { Ok(()) }
}

/// A trial's status as an attempt begins, written. One that is torn says nothing.
pub(crate) fn begin(folder: &TrialStore, file: &TrialFile) -> Result<TrialStatus> {
    let before = folder.status().unwrap_or_else(|_| TrialStatus::pending(&file.trial));
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
    Ok(status)
}

/// What an attempt's end makes of a trial.
pub(crate) fn conclude(status: &mut TrialStatus, ended: &Result<End>, folder: &TrialStore, config: &TrialConfig) {
    (status.state, status.message) = match ended {
        Ok(End::Finished) => (State::Done, stopped_early(folder, config)),
        Ok(End::Diverged(why)) => (State::Diverged, Some(why.clone())),
        Ok(End::Stopped) => (State::Interrupted, None),
        // What cannot be written today can be tomorrow: nothing is wrong with the trial.
        Err(error) if error.kind == Kind::Results => (State::Interrupted, Some(error.to_string())),
        Err(error) => (State::Failed, Some(error.to_string())),
    };
}

/// Trains the trial in this folder, in this process.
pub(super) fn train_here(folder: &TrialStore, device: Choice, observer: &mut dyn Observer) -> Result<End> {
    let Asked::Held(_lock) = folder.lock(&provenance::host(), Duration::ZERO)? else {
        return Err(Error::results("another process trains this trial").at(folder.root().display()));
    };
    let file = folder.trial_file()?;
    let mut status = begin(folder, &file)?;
    let (seconds, started, config) = (status.seconds, Instant::now(), file.config.clone());
    let ended = attempt(folder, file, device, &mut status, observer);
    conclude(&mut status, &ended, folder, &config);
    status.epoch = folder.sound_epochs().map_or(status.epoch, |(rows, _)| rows.len() as u32);
    status.seconds = seconds + started.elapsed().as_secs_f64();
    let written = folder.write_status(&status);
    let ended = ended?;
    written.map(|()| ended)
}

fn attempt(
    folder: &TrialStore,
    file: TrialFile,
    device: Choice,
    status: &mut TrialStatus,
    observer: &mut dyn Observer,
) -> Result<End> {
    let (device, name) = device::open(device)?;
    status.device = name;
    let data = Data::load(&file.config)?;
    let file = prepare(folder, file, &data, status)?;
    let ended = train::train(&file.trial, &file.config, &data, folder, &device, observer)?;
    status.peak_memory_mib = device::peak_memory_mib(&device);
    status.epoch = folder.sound_epochs().map_or(status.epoch, |(rows, _)| rows.len() as u32);
    finish(folder, file, status, &ended)?;
    Ok(ended)
}

/// What of the file with weights the network starts from, if there is one; into the log where it is not known yet.
fn started(folder: &TrialStore, config: &TrialConfig, data: &Data) -> Result<Option<Matching>> {
    let (Some(spec), Some(file)) = (config.model.weights(), &data.weights) else { return Ok(None) };
    let graphs = config.model.graphs(1, data.dataset.landmarks.len())?;
    let matching = weights::matching(spec, file, &graphs)?;
    if folder.trial_file()?.weights.as_ref() != Some(&matching) {
        for line in matching.lines() {
            folder.log(&line)?;
        }
    }
    Ok(Some(matching))
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
