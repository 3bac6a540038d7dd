//! Training one trial, top to bottom.

mod data;
mod errors;
mod follower;
mod history;
mod record;
mod test_images;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::time::Instant;

use candle_core::Device;

use crate::checkpoint::{self, Description, MidEpoch};
use crate::evaluate::{self, Evaluation};
use crate::model_runner::Network;
use crate::out_of_distribution::TrainingImages;
use sweep_core::error::Result;
use sweep_data::augment::Augmentation;
use sweep_data::decode::DecodeSpec;
use sweep_data::loader::Loader;
use sweep_data::split_hash;
use sweep_experiment::records::{EpochRecord, Selection};
use sweep_experiment::store::TrialStore;
use sweep_graph::params::ParamStore;
use sweep_model::lr_schedule::Progress;
use sweep_model::optim::Update;
use sweep_planning::config::TrialConfig;

pub use data::Data;
pub(crate) use errors::of_epoch;
use follower::Follower;
pub(crate) use history::History;
use history::resume;
pub(crate) use record::epoch_record;
pub(crate) use record::unevaluated;

/// Observer of a training: receives its progress, and may request a stop or a checkpoint.
pub trait Observer {
    /// Called after every step.
    fn step(&mut self, _progress: Progress) {}
    /// Called before every batch of an evaluation: a sign of life.
    fn evaluating(&mut self) {}
    /// Called after every epoch, when its records are on disk.
    fn epoch(&mut self, _record: &EpochRecord) {}
    /// Whether to stop before the next step, or the next batch of an evaluation; progress is saved.
    fn stop(&self) -> bool {
        false
    }
    /// Whether to save progress before the next step, because epochs may be long.
    fn save(&self) -> bool {
        false
    }
    /// Called with a problem that does not stop the training.
    fn note(&mut self, _message: &str) {}
}

/// End of a training.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// After its last epoch, or by [`sweep_experiment::early_stop`].
    Finished,
    /// Its loss became infinite or not a number.
    Diverged(String),
    /// The observer requested it.
    Stopped,
}

/// Trains a trial from its last checkpoint, or from the start, and writes its records to `store`.
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
    let mut training = Training::resume_or_start(id, config, data, store, device, observer)?;
    while !training.is_over() {
        let trained = match training.train_epoch(observer)? {
            ControlFlow::Continue(trained) => trained,
            ControlFlow::Break(end) => return Ok(end),
        };
        let evaluated = match training.evaluate(&trained, observer)? {
            ControlFlow::Continue(evaluated) => evaluated,
            ControlFlow::Break(end) => return Ok(end),
        };
        let own = evaluated.first();
        if let Some((val, _)) = own.filter(|(val, _)| !val.loss.is_finite()) {
            return Ok(training.diverged("the validation loss", val.loss));
        }
        let record = training.record(id, &trained, own);
        training.save_followers(&trained, evaluated.get(1..).unwrap_or_default())?;
        training.save_epoch(&record, own)?;
        observer.epoch(&record);
    }
    Ok(if training.score_test_images(observer)? { End::Finished } else { End::Stopped })
}

/// A trial in training.
struct Training<'a> {
    id: &'a str,
    config: &'a TrialConfig,
    data: &'a Data,
    store: &'a TrialStore,
    network: Network,
    parameters: ParamStore,
    update: Update,
    history: History,
    /// Trials that differ from this one in their decoder alone, and are evaluated with it.
    followers: Vec<Follower>,
    /// The part of the next epoch that an earlier attempt trained.
    mid_epoch: MidEpoch,
    /// Description of the trial's checkpoints before the first step.
    start: Description,
    augment: Augmentation,
    train: Loader,
    val: Loader,
    zero_loss: f64,
    batches_per_epoch: usize,
    progress: Progress,
}

/// An epoch before its evaluation.
struct TrainedEpoch {
    started: Instant,
    seconds: f64,
    /// Images trained on in this attempt.
    images: usize,
    /// Mean loss per image.
    loss: f64,
    /// Learning rate of the last step.
    lr: f64,
    /// Progress to go on from while the epoch is not evaluated.
    before_evaluation: MidEpoch,
}

/// Evaluations on the validation images, and on the training images without augmentation.
pub(crate) type Evaluations = (Evaluation, Evaluation);

impl<'a> Training<'a> {
    fn resume_or_start(
        id: &'a str,
        config: &'a TrialConfig,
        data: &'a Data,
        store: &'a TrialStore,
        device: &Device,
        observer: &mut dyn Observer,
    ) -> Result<Self> {
        let dataset = &data.dataset;
        let network = Network::new(config, dataset.landmarks.len(), device)?;
        let parameters = network.parameters(config.seed)?;
        let batches_per_epoch = data.train.len().div_ceil(config.batch_size.get());
        let steps_per_epoch = batches_per_epoch.div_ceil(config.accumulate.get()) as u64;
        let slowed = data.initialise(config, &parameters, steps_per_epoch)?;
        let mut update = Update::new(config.update(), &parameters)?;
        update.slow(slowed);
        let (mut history, mut mid_epoch) = (History::default(), MidEpoch::default());
        let finest = config.model.two_stage().map_or(config.input, |stages| stages.size);
        let mut training_images = TrainingImages::of(&data.train, &data.val, dataset, finest)?;
        let resumed = resume(id, config, store, observer)?;
        let last = resumed.as_ref().map(|(last, _)| last);
        if last.is_none() {
            network.check_gradients(&parameters, config)?;
        }
        let followers = Follower::of(store, config, data, last, training_images.as_ref(), observer)?;
        if let Some((last, before)) = resumed {
            update.restore(last.description.steps, &last.weights, &last.state, &parameters)?;
            history = before;
            mid_epoch = last.description.mid_epoch.unwrap_or_default();
            if let (Some(images), Some(earlier)) = (&mut training_images, &last.description.training_images) {
                images.take_confidences(earlier);
            }
        }
        let split = split_hash(dataset.samples.iter().map(|sample| (sample.image.as_str(), sample.split)));
        let start = Description {
            untrained: data.coverage.untrained.clone(),
            split: Some(split),
            grey: data.grey,
            training_images,
            training_image_hashes: data.training_image_hashes.clone(),
            ..Description::start(id, config, &dataset.landmarks)
        };
        let augment = Augmentation::new(&config.augment, &dataset.landmarks)?;
        let (train, val) = (data.train.on(device)?, data.val.on(device)?);
        let zero_loss = network.zero_loss(update.predicting(&parameters), &val)?;
        let progress = Progress {
            epoch: history.epochs.len() as u32,
            step: update.steps(),
            steps: steps_per_epoch * u64::from(config.epochs),
            steps_per_epoch,
        };
        Ok(Self {
            id,
            config,
            data,
            store,
            network,
            parameters,
            update,
            history,
            followers,
            mid_epoch,
            start,
            augment,
            train,
            val,
            zero_loss,
            batches_per_epoch,
            progress,
        })
    }

    /// Whether the last epoch is done, or early stopping ends the training.
    fn is_over(&self) -> bool {
        self.progress.epoch >= self.config.epochs
            || self
                .config
                .early_stop
                .is_some_and(|rule| rule.over(&self.history.epochs, self.config.objective).is_some())
    }

    /// Trains the next epoch, or what is left of it, unless the observer stops it or the loss diverges.
    fn train_epoch(&mut self, observer: &mut dyn Observer) -> Result<ControlFlow<End, TrainedEpoch>> {
        let started = Instant::now();
        let config = self.config;
        let before = std::mem::take(&mut self.mid_epoch);
        let (mut loss_sum, mut images) = (before.loss(), before.images);
        // An epoch that was stopped in its evaluation has no step left: its last rate is that of the step before.
        let last = Progress { step: self.progress.step.saturating_sub(1), ..self.progress };
        let mut lr = config.schedule.lr(config.optimizer.lr(), last);
        let epoch = u64::from(self.progress.epoch);
        let batches = self.train.epoch(config.batch_size, &self.augment, config.seed, epoch);
        for (index, batch) in batches.enumerate().skip(before.batches) {
            // A training stops between steps only, because a partial sum of gradients is not saved.
            let between_steps = index.is_multiple_of(config.accumulate.get());
            let stop = between_steps && observer.stop();
            if (stop || between_steps && observer.save()) && index > before.batches {
                self.save(&self.describe(Some(MidEpoch::new(index, loss_sum, images))))?;
            }
            if stop {
                return Ok(ControlFlow::Break(End::Stopped));
            }
            let step = self.network.step(&self.parameters, &batch?, epoch)?;
            if !step.loss.is_finite() {
                return Ok(ControlFlow::Break(self.diverged("the training loss", step.loss)));
            }

            lr = config.schedule.lr(config.optimizer.lr(), self.progress);
            let complete = (index + 1).is_multiple_of(config.accumulate.get()) || index + 1 == self.batches_per_epoch;
            self.update.add(&self.parameters, &step.gradient, step.images, complete, lr)?;

            loss_sum += step.loss * step.images as f64;
            images += step.images;
            self.progress.step += u64::from(complete);
            observer.step(self.progress);
        }
        let seconds = started.elapsed().as_secs_f64();
        self.progress.epoch += 1;
        let loss = loss_sum / f64::from(images.max(1) as u32);
        let before_evaluation = MidEpoch::new(self.batches_per_epoch, loss_sum, images);
        Ok(ControlFlow::Continue(TrainedEpoch {
            started,
            seconds,
            images: images - before.images,
            loss,
            lr,
            before_evaluation,
        }))
    }

    /// Evaluates both splits if an evaluation is due after this epoch, unless the observer stops it: for this trial, then for
    /// each follower.
    fn evaluate(
        &mut self,
        trained: &TrainedEpoch,
        observer: &mut dyn Observer,
    ) -> Result<ControlFlow<End, Vec<Evaluations>>> {
        let weights = self.update.predicting(&self.parameters);
        if self.network.trains_targets() {
            self.zero_loss = self.network.zero_loss(weights, &self.val)?;
        }
        let epoch = self.progress.epoch;
        let is_due = epoch.is_multiple_of(self.config.evaluate_every) || epoch == self.config.epochs;
        if !is_due || self.val.is_empty() {
            return Ok(ControlFlow::Continue(Vec::new()));
        }
        if observer.save() {
            let description = self.describe(Some(trained.before_evaluation));
            self.save(&Description { epoch: epoch - 1, ..description })?;
        }
        let network = &mut self.network;
        let decoders: Vec<DecodeSpec> =
            std::iter::once(self.config.decode).chain(self.followers.iter().map(Follower::decode)).collect();
        let (dataset, batch_size) = (&self.data.dataset, self.config.batch_size);
        let mut evaluate_on = |loader: &Loader, observer: &mut dyn Observer| {
            let mut go_on = || {
                observer.evaluating();
                !observer.stop()
            };
            evaluate::evaluate_by(&decoders, network, weights, loader, dataset, batch_size, &mut go_on)
        };
        let val = evaluate_on(&self.val, observer)?;
        let train = if val.is_some() { evaluate_on(&self.train, observer)? } else { None };
        let Some((val, train)) = val.zip(train) else {
            // The epoch's training is not lost: only its evaluation is done again.
            let description = self.describe(Some(trained.before_evaluation));
            self.save(&Description { epoch: epoch - 1, ..description })?;
            return Ok(ControlFlow::Break(End::Stopped));
        };
        Ok(ControlFlow::Continue(val.into_iter().zip(train).collect()))
    }

    /// The record of this trial, or of one that is evaluated with it.
    fn record(&self, trial: &str, trained: &TrainedEpoch, evaluated: Option<&Evaluations>) -> EpochRecord {
        EpochRecord {
            trial: trial.to_owned(),
            train_loss: trained.loss,
            zero_loss: self.zero_loss,
            lr: trained.lr,
            images_per_second: if trained.images == 0 { f64::NAN } else { trained.images as f64 / trained.seconds },
            seconds: trained.started.elapsed().as_secs_f64(),
            ..epoch_record(self.config.seed, self.progress.epoch, evaluated)
        }
    }

    /// Writes the records of followers, before the checkpoint that counts them. A follower that diverges where this trial does
    /// not trains by itself, up to there.
    fn save_followers(&mut self, trained: &TrainedEpoch, evaluated: &[Evaluations]) -> Result<()> {
        let described = self.describe(None);
        let mut kept = Vec::new();
        for (index, mut follower) in std::mem::take(&mut self.followers).into_iter().enumerate() {
            let evaluated = evaluated.get(index);
            if evaluated.is_some_and(|(val, _)| !val.loss.is_finite()) {
                follower.dismiss(self.store)?;
                continue;
            }
            let record = self.record(&follower.id, trained, evaluated);
            let weights = self.update.predicting(&self.parameters);
            follower.save_epoch(&record, evaluated.map(|(val, _)| val), &described, weights, self.data)?;
            kept.push(follower);
        }
        self.followers = kept;
        Ok(())
    }

    /// Writes the records and checkpoints of an epoch.
    fn save_epoch(&mut self, record: &EpochRecord, evaluated: Option<&Evaluations>) -> Result<()> {
        let selected = self.history.add(self.config.objective, record);
        if let Some((val, _)) = evaluated {
            note_confidences(&mut self.start, val);
        }
        let description = self.describe(None);
        if let Some((val, _)) = evaluated {
            let (config, dataset) = (self.config, &self.data.dataset);
            self.history.select(self.id, config.seed, self.progress.epoch, &selected, val, dataset);
            self.store.write_landmarks(&self.history.landmarks)?;
            if selected.contains(&Selection::BestError) {
                checkpoint::save_best(self.store, &description, self.update.predicting(&self.parameters))?;
            }
        }
        if let Some((val, _)) = evaluated {
            self.store.append_errors(&of_epoch(self.progress.epoch, val, &self.data.dataset))?;
        }
        self.store.append_epoch(record)?;
        // Last, because resuming trusts the checkpoint: every record that it counts is already on disk.
        self.save(&description)
    }

    /// Describes a checkpoint of the present progress.
    fn describe(&self, mid_epoch: Option<MidEpoch>) -> Description {
        Description { epoch: self.progress.epoch, steps: self.update.steps(), mid_epoch, ..self.start.clone() }
    }

    /// Writes the checkpoint to resume from.
    fn save(&self, description: &Description) -> Result<()> {
        let (weights, state) = (self.update.predicting(&self.parameters), self.update.state(&self.parameters));
        self.store.replace_last(&checkpoint::encode(description, weights, state)?)
    }

    fn diverged(&self, loss: &str, value: f64) -> End {
        let Progress { epoch, step, .. } = self.progress;
        End::Diverged(format!("{loss} became {value} in epoch {}, step {}", epoch + 1, step + 1))
    }
}

/// Notes how sure the network is of validation images, by which it is judged whether it knows an image's kind.
fn note_confidences(description: &mut Description, val: &Evaluation) {
    let Description { landmarks, untrained, training_images, .. } = description;
    let is_found: Vec<bool> = landmarks.iter().map(|name| !untrained.contains(name)).collect();
    let confidence = |image: &Vec<f64>| {
        let found = || image.iter().zip(&is_found).filter(|(_, is_found)| **is_found).map(|(confidence, _)| confidence);
        found().sum::<f64>() / found().count().max(1) as f64
    };
    if let Some(images) = training_images {
        images.note_confidences(&val.confidences.iter().map(confidence).collect::<Vec<_>>());
    }
}
