//! `sweep run`: plans, trains every trial that is not done, and keeps summary and report up to date after each.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use candle_core::Device;
use image::GrayImage;
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::cli;
use crate::data::{DatasetSpec, Split};
use crate::definition::SweepDefinition;
use crate::device;
use crate::error::{Error, Kind, Outcome, Result};
use crate::plan::{Trial, plan};
use crate::provenance::{self, Provenance};
use crate::records::{State, TrialStatus};
use crate::report;
use crate::schedule::{Action, Wish, action};
use crate::store::{self, Store, TrialFile, TrialStore};
use crate::train::{self, Data, End};
use crate::units::Size;

use super::progress::{Signal, Watch};
use super::{definition, results};

/// Validation images kept to draw predictions on.
const OVERLAY_IMAGES: usize = 6;

pub(super) fn run(flags: &cli::Run) -> Result<Outcome> {
    let definition = definition(&flags.changes)?;
    let trials = plan(&definition)?;
    let (device, device_name) = device::open(flags.device)?;
    if let Some(threads) = flags.threads {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global()
            .map_err(|e| Error::new(Kind::Computation, format!("cannot start {threads} threads: {e}")))?;
    }
    let store = Store::new(&flags.results, &definition.name);
    let wish = Wish { resume_only: flags.resume_only, retry_failed: flags.retry_failed, rerun: flags.rerun };
    let mut runner = Runner { flags, store: &store, device, device_name, signal: watch_signals()?, cached: None };
    // Checked before anything is written: a missing data set must not leave an empty sweep behind. Where nothing is left
    // to train, no data is needed.
    for trial in &trials {
        if action(store.trial(&trial.id).status()?.state, wish) != Action::Leave {
            runner.data(trial)?;
            break;
        }
    }
    if let Some(precision) = trials.iter().map(|t| t.config.precision).find(|p| p.on(&runner.device) != *p) {
        eprintln!(
            "precision {}: {} has no unit for it; convolutions run in fp32",
            precision.name(),
            runner.device_name
        );
    }
    let _lock = store.lock()?;
    refuse_foreign_results(&store, &trials)?;
    write_definition(&store, &definition, &trials, &runner.device_name)?;

    let limit = if flags.fail_fast { Some(1) } else { flags.max_fail };
    let mut failures = 0;
    for (place, trial) in trials.iter().enumerate() {
        let folder = store.trial(&trial.id);
        let before = folder.status()?.state;
        let action = action(before, wish);
        if action == Action::StartAnew {
            folder.clear()?;
        }
        let state = match action {
            Action::Leave => before,
            Action::StartAnew | Action::Continue => {
                runner.train(trial, &folder, &format!("{}/{}", place + 1, trials.len()))?
            }
        };
        if matches!(state, State::Failed | State::Diverged) {
            failures += 1;
        }
        let signal = runner.signal.load(Ordering::Relaxed);
        if signal != 0 {
            results::refresh(&store)?;
            eprintln!("interrupted; finished epochs are saved. Run the same command again to go on.");
            return Ok(Outcome::Interrupted(i32::try_from(signal).unwrap_or(SIGINT)));
        }
        if limit.is_some_and(|limit| failures >= limit) {
            eprintln!("stopped: {failures} failed or diverged, as many as --fail-fast or --max-fail allows");
            break;
        }
    }
    let sweep = results::refresh(&store)?;
    if !flags.quiet {
        results::print(&sweep)?;
        eprintln!("report: {}", store.report().join("report.md").display());
    }
    if failures > 0 {
        eprintln!("{failures} of {} trials failed or diverged; --retry-failed trains them again", trials.len());
    }
    Ok(if failures > 0 { Outcome::Failed } else { Outcome::Done })
}

/// The first signal asks for a stop at the next step; the second ends the process at once.
fn watch_signals() -> Result<Signal> {
    let signal = Arc::new(AtomicUsize::new(0));
    let second = Arc::new(std::sync::atomic::AtomicBool::new(false));
    for number in [SIGINT, SIGTERM] {
        let registered = signal_hook::flag::register_conditional_shutdown(number, 128 + number, Arc::clone(&second))
            .and_then(|_| signal_hook::flag::register(number, Arc::clone(&second)))
            .and_then(|_| {
                signal_hook::flag::register_usize(number, Arc::clone(&signal), number.unsigned_abs() as usize)
            });
        registered.map_err(|e| Error::new(Kind::Computation, format!("cannot watch for signals: {e}")))?;
    }
    Ok(signal)
}

/// Results of trials that this plan does not have belong to another definition.
fn refuse_foreign_results(store: &Store, trials: &[Trial]) -> Result<()> {
    let foreign: Vec<String> =
        store.trials()?.into_iter().filter(|id| trials.iter().all(|trial| trial.id != *id)).collect();
    match foreign.first() {
        None => Ok(()),
        Some(first) => Err(Error::results(format!(
            "this folder holds results of another definition: {} trials that are not in this plan, as {first}",
            foreign.len()
        ))
        .at(store.root().display())
        .remedy("choose another folder with --results, or give the definition another name")),
    }
}

/// `sweep.toml`: the definition as run, with its provenance.
fn write_definition(store: &Store, definition: &SweepDefinition, trials: &[Trial], device: &str) -> Result<()> {
    #[derive(Serialize)]
    struct SweepFile<'a> {
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        question: Option<&'a str>,
        seeds: &'a [u64],
        trials: Vec<&'a str>,
        provenance: Provenance,
        definition: String,
    }
    let file = SweepFile {
        name: &definition.name,
        question: definition.question.as_deref(),
        seeds: &definition.seeds,
        trials: trials.iter().map(|trial| trial.id.as_str()).collect(),
        provenance: Provenance::gather(device),
        definition: definition.as_run(),
    };
    let text = toml::to_string_pretty(&file).map_err(|e| Error::results(format!("cannot write sweep.toml: {e}")))?;
    store::write(&store.definition(), text.as_bytes())
}

/// Trains trials one after the other, sharing the data of those that look at the same.
struct Runner<'a> {
    flags: &'a cli::Run,
    store: &'a Store,
    device: Device,
    device_name: String,
    signal: Signal,
    cached: Option<(DatasetSpec, Size, Data, TrialFacts)>,
}

/// What a trial's records say of its data.
#[derive(Clone)]
struct TrialFacts {
    hash: String,
    mean_shape_mre_mm: Option<f64>,
    observer_mre_mm: Option<f64>,
}

impl Runner<'_> {
    fn data(&mut self, trial: &Trial) -> Result<(&Data, TrialFacts)> {
        let config = &trial.config;
        let fits = matches!(&self.cached, Some((spec, size, ..)) if *spec == config.dataset && *size == config.input);
        if !fits {
            // The old one goes first: two data sets at once may not fit the memory.
            self.cached = None;
            let data = Data::load(config)?;
            let facts = TrialFacts {
                hash: data.content.clone(),
                mean_shape_mre_mm: data.dataset.mean_shape_error().map(|e| e.0),
                observer_mre_mm: data.dataset.observer_mre.map(|e| e.0),
            };
            self.cached = Some((config.dataset.clone(), config.input, data, facts));
        }
        match &self.cached {
            Some((_, _, data, facts)) => Ok((data, facts.clone())),
            None => Err(Error::new(Kind::Computation, "the data set was not kept")),
        }
    }

    /// Trains one trial and says how it ended; only what would hit every trial alike is an error.
    fn train(&mut self, trial: &Trial, folder: &TrialStore, place: &str) -> Result<State> {
        let (quiet, device, device_name) = (self.flags.quiet, self.device.clone(), self.device_name.clone());
        let (signal, images) = (Arc::clone(&self.signal), self.store.images());
        let store = self.store;
        let (data, facts) = self.data(trial)?;
        folder.begin(
            trial,
            &TrialFile {
                trial: trial.id.clone(),
                dataset_hash: facts.hash,
                mean_shape_mre_mm: facts.mean_shape_mre_mm,
                observer_mre_mm: facts.observer_mre_mm,
                axes: trial.axes.clone(),
                config: trial.config.clone(),
            },
        )?;
        keep_images(trial, data, &images)?;
        let before = folder.status()?;
        let graph = trial.config.model.graph(1, data.dataset.landmarks.len())?;
        let mut status = TrialStatus {
            trial: trial.id.clone(),
            state: State::Running,
            epoch: before.epoch,
            epochs: trial.config.epochs,
            attempts: before.attempts + 1,
            parameters: graph.trained_values() as u64,
            device: device_name,
            seconds: before.seconds,
            peak_memory_mib: before.peak_memory_mib,
            message: None,
        };
        folder.write_status(&status)?;
        let precision = trial.config.precision.on(&device).name();
        folder.log(&format!("attempt {} on {}, convolutions in {precision}", status.attempts, status.device))?;

        let started = Instant::now();
        let mut watch = Watch::new(&trial.id, place, trial.config.epochs, quiet, signal);
        let ended = train::train(&trial.id, &trial.config, data, folder, &device, &mut watch);
        watch.finish();
        (status.state, status.message) = match ended {
            Ok(End::Finished) => (State::Done, None),
            Ok(End::Diverged(why)) => (State::Diverged, Some(why)),
            Ok(End::Stopped) => (State::Interrupted, None),
            Err(error) => (State::Failed, Some(error.to_string())),
        };
        status.epoch = folder.epochs()?.len() as u32;
        status.seconds += started.elapsed().as_secs_f64();
        status.peak_memory_mib = provenance::peak_memory_mib();
        folder.write_status(&status)?;
        if let Some(message) = &status.message {
            eprintln!("{}: {}: {message}", trial.id, status.state.name());
            folder.log(&format!("{}: {message}", status.state.name()))?;
        } else {
            folder.log(&format!("{} after {} epochs", status.state.name(), status.epoch))?;
        }
        let sweep = results::refresh_summary(store)?;
        if let Some(records) = sweep.trials.iter().find(|records| records.id == trial.id) {
            report::write_trial(records, &images, folder.root())?;
        }
        Ok(status.state)
    }
}

/// Keeps a few validation images beside the results, because reports are drawn from records alone.
fn keep_images(trial: &Trial, data: &Data, folder: &Path) -> Result<()> {
    let mut places = data.dataset.indices(Split::Val);
    places.truncate(OVERLAY_IMAGES);
    places.retain(|place| !folder.join(&data.dataset.samples[*place].image).is_file());
    if places.is_empty() {
        return Ok(());
    }
    for sample in trial.config.dataset.open()?.originals(&places)? {
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
