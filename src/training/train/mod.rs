//! Training one trial, top to bottom.

use std::collections::BTreeMap;
use std::time::Instant;

use candle_core::Device;

use crate::checkpoint::{self, Checkpoint, Description, MidEpoch};
use crate::evaluate::{self, Evaluation, Metrics};
use crate::model_runner::Network;
use sweep_core::error::{Error, Result};
use sweep_data::cache::Cache;
use sweep_data::loader::Loader;
use sweep_data::{Coverage, Dataset, Split, split_hash};
use sweep_experiment::records::{EpochRecord, LandmarkRecord, Selection};
use sweep_experiment::store::{self, TrialStore};
use sweep_graph::params::ParamStore;
use sweep_model::lr_schedule::Progress;
use sweep_model::networks::weights::{self, StateDict, WeightsSpec};
use sweep_model::optim::Update;
use sweep_planning::config::TrialConfig;

/// What a trial is trained on: a data set whose two splits are resized to the trial's input.
pub struct Data {
    /// The data set, without its images' original grey values.
    pub dataset: Dataset,
    /// What it holds, as [`sweep_data::DatasetIndex::content_hash`].
    pub content: String,
    /// Landmarks that are not trained, or not measured.
    pub coverage: Coverage,
    /// Its training images.
    pub train: Loader,
    /// Its validation images.
    pub val: Loader,
    /// What the file holds that the network's parameters start from, if there is one.
    pub weights: Option<StateDict>,
}

impl Data {
    /// Loads and resizes, or takes both from the cache; trials of the same data set and input share it.
    ///
    /// # Errors
    /// When the data set cannot be read.
    pub fn load(config: &TrialConfig) -> Result<Self> {
        Self::load_through(&Cache::of_environment(), config)
    }

    /// The same with a cache of the caller's choice.
    ///
    /// # Errors
    /// When the data set, or the file with weights, cannot be read.
    pub fn load_through(cache: &Cache, config: &TrialConfig) -> Result<Self> {
        let mut resized = cache.load(&config.dataset, config.input)?;
        let coverage = resized.keep_trained()?;
        let mut loaders = [Split::Train, Split::Val].map(|split| Loader::of(&resized, split, config.input));
        if let Some(fine) = config.model.two_stage() {
            let finer = cache.load(&config.dataset, fine.size)?;
            loaders = loaders.map(|loader| loader.with_views(&finer.pictures));
        }
        let [train, val] = loaders;
        let weights = config.model.weights().map(WeightsSpec::read).transpose()?;
        Ok(Self { dataset: resized.dataset, content: resized.content, coverage, train, val, weights })
    }

    /// Puts the file's weights into parameters, if there is one.
    fn start(&self, config: &TrialConfig, parameters: &ParamStore) -> Result<()> {
        match (config.model.weights(), &self.weights) {
            (Some(spec), Some(file)) => {
                weights::start(spec, file, &config.model.graphs(1, self.dataset.landmarks.len())?, parameters)
            }
            _ => Ok(()),
        }
    }
}

/// Who watches a training: told of progress, and asked whether to stop.
pub trait Observer {
    /// After every step.
    fn step(&mut self, _progress: Progress) {}
    /// After every epoch, when its records are on disk.
    fn epoch(&mut self, _record: &EpochRecord) {}
    /// Whether to stop before the next step; what was done is saved.
    fn stop(&self) -> bool {
        false
    }
    /// Whether to save what was done before the next step: epochs may be long.
    fn save(&self) -> bool {
        false
    }
    /// Something went otherwise than it should, and training goes on.
    fn note(&mut self, _what: &str) {}
}

/// How a training ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// After its last epoch, or where [`sweep_experiment::early_stop`] ends it.
    Finished,
    /// Its loss was no longer a number.
    Diverged(String),
    /// The observer asked for it.
    Stopped,
}

/// Trains a trial from its last checkpoint, or from the start, and leaves its records in `store`.
///
/// # Errors
/// When a record cannot be read or written, or a tensor operation fails.
pub fn train(
    id: &str,
    config: &TrialConfig,
    data: &Data,
    store: &TrialStore,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<End> {
    let dataset = &data.dataset;
    let mut network = Network::new(config, dataset.landmarks.len(), device)?;
    let parameters = network.parameters(config.seed)?;
    data.start(config, &parameters)?;
    let mut update = Update::new(config.update(), &parameters)?;
    let mut history = History::default();
    let mut within = MidEpoch::default();
    if let Some((last, before)) = resume(id, config, store, observer)? {
        update.restore(last.description.steps, &last.weights, &last.state, &parameters)?;
        history = before;
        within = last.description.within.unwrap_or_default();
    }
    let split = split_hash(dataset.samples.iter().map(|sample| (sample.image.as_str(), sample.split)));
    let untrained = data.coverage.untrained.clone();
    let start = Description { untrained, split: Some(split), ..Description::start(id, config, &dataset.landmarks) };
    let describe = |epoch, steps, within| Description { epoch, steps, within, ..start.clone() };
    let save = |description: &Description, update: &Update| {
        let bytes = checkpoint::encode(description, update.predicting(&parameters), update.state(&parameters))?;
        store.replace_last(&bytes)
    };

    let (train, val) = (data.train.on(device)?, data.val.on(device)?);
    let mut zero_loss = network.zero_loss(update.predicting(&parameters), &val)?;
    let batches_per_epoch = data.train.len().div_ceil(config.batch_size.get());
    let steps_per_epoch = batches_per_epoch.div_ceil(config.accumulate.get()) as u64;
    let mut progress = Progress {
        epoch: history.epochs.len() as u32,
        step: update.steps(),
        steps: steps_per_epoch * u64::from(config.epochs),
        steps_per_epoch,
    };
    let over = |history: &History| config.early_stop.is_some_and(|rule| rule.over(&history.epochs).is_some());
    while progress.epoch < config.epochs && !over(&history) {
        let started = Instant::now();
        let before = std::mem::take(&mut within);
        let (mut loss_sum, mut images_seen, mut lr) = (before.loss(), before.images, 0.0);
        let batches = train.epoch(config.batch_size, &config.augment, config.seed, u64::from(progress.epoch));
        for (place, batch) in batches.enumerate().skip(before.batches) {
            // Between steps only, since half a sum of gradients is not saved.
            let between = place.is_multiple_of(config.accumulate.get());
            let stop = between && observer.stop();
            if (stop || between && observer.save()) && place > before.batches {
                let within = Some(MidEpoch::new(place, loss_sum, images_seen));
                save(&describe(progress.epoch, update.steps(), within), &update)?;
            }
            if stop {
                return Ok(End::Stopped);
            }
            let step = network.step(&parameters, &batch?, u64::from(progress.epoch))?;
            if !step.loss.is_finite() {
                return Ok(diverged("the training loss", step.loss, progress));
            }

            lr = config.schedule.lr(config.optimizer.lr(), progress);
            let complete = (place + 1).is_multiple_of(config.accumulate.get()) || place + 1 == batches_per_epoch;
            update.add(&parameters, &step.gradient, step.images, complete, lr)?;

            loss_sum += step.loss * step.images as f64;
            images_seen += step.images;
            progress.step += u64::from(complete);
            observer.step(progress);
        }
        let training_seconds = started.elapsed().as_secs_f64();
        progress.epoch += 1;

        let due = progress.epoch.is_multiple_of(config.evaluate_every) || progress.epoch == config.epochs;
        if network.trains_targets() {
            zero_loss = network.zero_loss(update.predicting(&parameters), &val)?;
        }
        let weights = update.predicting(&parameters);
        let evaluated = due.then(|| evaluate(&mut network, weights, [&val, &train], dataset, config)).transpose()?;
        if let Some((val, _)) = &evaluated
            && !val.loss.is_finite()
        {
            return Ok(diverged("the validation loss", val.loss, progress));
        }
        let record = EpochRecord {
            trial: id.to_owned(),
            train_loss: loss_sum / f64::from(images_seen.max(1) as u32),
            zero_loss,
            lr,
            images_per_second: data.train.len() as f64 / training_seconds,
            seconds: started.elapsed().as_secs_f64(),
            ..epoch_record(config.seed, progress.epoch, evaluated.as_ref())
        };
        let selected = history.add(config, &record);

        let description = describe(progress.epoch, update.steps(), None);
        if let Some((val, _)) = &evaluated {
            history.keep(id, config.seed, progress.epoch, &selected, val, dataset);
            store.write_landmarks(&history.landmarks)?;
            if selected.contains(&Selection::BestError) {
                checkpoint::save(&store.best(), &description, update.predicting(&parameters))?;
            }
        }
        store.append_epoch(&record)?;
        // Last, because resuming trusts it: everything it counts is already on disk.
        save(&description, &update)?;
        observer.epoch(&record);
    }
    Ok(End::Finished)
}

fn diverged(what: &str, value: f64, progress: Progress) -> End {
    End::Diverged(format!("{what} became {value} in epoch {}, step {}", progress.epoch + 1, progress.step + 1))
}

/// Evaluation on the validation images, and on the training images without augmentation.
fn evaluate(
    network: &mut Network,
    parameters: &ParamStore,
    [val, train]: [&Loader; 2],
    dataset: &Dataset,
    config: &TrialConfig,
) -> Result<(Evaluation, Evaluation)> {
    let mut of = |loader| evaluate::evaluate(network, parameters, loader, dataset, config.batch_size);
    Ok((of(val)?, of(train)?))
}

/// The part of an epoch's record that evaluation knows; `nan` where there was none.
fn epoch_record(seed: u64, epoch: u32, evaluated: Option<&(Evaluation, Evaluation)>) -> EpochRecord {
    let metrics = |split: Option<&Evaluation>| Metrics::of(split.map_or(&[], |e| &e.errors));
    let val = metrics(evaluated.map(|(val, _)| val));
    EpochRecord {
        trial: String::new(),
        seed,
        epoch,
        train_loss: f64::NAN,
        val_loss: evaluated.map_or(f64::NAN, |(val, _)| val.loss),
        zero_loss: f64::NAN,
        train_mre_mm: metrics(evaluated.map(|(_, train)| train)).mre_mm,
        val_mre_mm: val.mre_mm,
        val_mre_px: val.mre_px,
        val_sd_mm: val.sd_mm,
        val_median_mm: val.median_mm,
        val_p95_mm: val.p95_mm,
        val_sdr_2mm: val.sdr[0],
        val_sdr_2_5mm: val.sdr[1],
        val_sdr_3mm: val.sdr[2],
        val_sdr_4mm: val.sdr[3],
        lr: f64::NAN,
        images_per_second: f64::NAN,
        seconds: f64::NAN,
    }
}

/// What earlier epochs left: their records, and the predictions of the selected ones.
#[derive(Debug, Default)]
struct History {
    epochs: Vec<EpochRecord>,
    landmarks: Vec<LandmarkRecord>,
}

impl History {
    /// The records up to a checkpoint's epoch.
    fn until(last: &Checkpoint, config: &TrialConfig, store: &TrialStore) -> Result<Self> {
        let wanted = last.description.epoch;
        let (mut epochs, damage) = store.readable_epochs()?;
        epochs.truncate(wanted as usize);
        let in_order = epochs.iter().zip(1..).all(|(record, epoch)| record.epoch == epoch);
        if epochs.len() < wanted as usize || !in_order {
            let why = damage.map_or_else(|| "a row is missing".to_owned(), |e| e.what);
            let what = format!("epochs.csv does not hold the {wanted} epochs of the checkpoint: {why}");
            return Err(Error::results(what));
        }
        let mut history = Self { epochs: Vec::new(), landmarks: store.landmarks()? };
        let mut selected_at = BTreeMap::new();
        for record in &epochs {
            let selected = history.add(config, record);
            let evaluated = !record.val_mre_mm.is_nan();
            selected_at.extend(selected.into_iter().filter(|_| evaluated).map(|selection| (selection, record.epoch)));
        }
        // Rows of a later epoch are well: that epoch comes again and writes the same.
        let stale = |(selection, epoch): (&Selection, &u32)| {
            !history.landmarks.iter().any(|row| row.selected == *selection && row.epoch >= *epoch)
        };
        if selected_at.iter().any(stale) {
            return Err(Error::results("landmarks.csv does not hold the predictions of the selected epochs"));
        }
        Ok(history)
    }

    /// Takes a record in and says what its epoch is selected for; the first of equals stays the best.
    fn add(&mut self, config: &TrialConfig, record: &EpochRecord) -> Vec<Selection> {
        let least = |cost: &dyn Fn(&EpochRecord) -> f64| {
            let new = cost(record);
            !new.is_nan() && self.epochs.iter().all(|earlier| cost(earlier).is_nan() || new < cost(earlier))
        };
        let mut selected = Vec::new();
        if least(&|epoch| config.objective.cost(epoch)) {
            selected.push(Selection::BestError);
        }
        if least(&|epoch| epoch.val_loss) {
            selected.push(Selection::BestLoss);
        }
        selected.push(Selection::Last);
        self.epochs.push(record.clone());
        selected
    }

    /// Replaces the predictions kept for these selections by this epoch's.
    fn keep(&mut self, trial: &str, seed: u64, epoch: u32, selected: &[Selection], val: &Evaluation, data: &Dataset) {
        self.landmarks.retain(|row| !selected.contains(&row.selected));
        for selection in selected {
            self.landmarks.extend(val.errors.iter().map(|error| LandmarkRecord {
                trial: trial.to_owned(),
                seed,
                epoch,
                ..error.record(*selection, &data.samples[error.sample].image, &data.landmarks[error.landmark])
            }));
        }
        self.landmarks.sort_by_key(|row| row.selected);
    }
}

/// Where an earlier attempt got to: the last checkpoint that is sound and whose epochs the records still know, with the
/// records cut back to it. Where nothing is sound, what is there is set aside and training starts anew.
fn resume(
    id: &str,
    config: &TrialConfig,
    store: &TrialStore,
    observer: &mut dyn Observer,
) -> Result<Option<(Checkpoint, History)>> {
    let mut damaged = false;
    for path in [store.last(), store.previous()].into_iter().filter(|path| path.is_file()) {
        // A file that cannot be read is an error: it may be sound, and readable tomorrow.
        let bytes = store::read(&path)?;
        match checkpoint::decode(&bytes).and_then(|last| History::until(&last, config, store).map(|h| (last, h))) {
            Ok((last, history)) => {
                store.write_epochs(&history.epochs)?;
                return Ok(Some((last, history)));
            }
            Err(why) => {
                damaged = true;
                observer.note(&format!("{why}; not resumed from {}", path.display()));
            }
        }
    }
    if damaged {
        store.quarantine()?;
        observer.note(&format!("nothing sound to go on from: {id} starts anew, what it left lies in damaged/"));
    } else {
        store.write_epochs(&[])?;
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
