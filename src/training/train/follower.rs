//! The records of a trial that differs from the one in training in its decoder alone.

use sweep_core::error::{Error, Result};
use sweep_data::decode::DecodeSpec;
use sweep_experiment::records::{EpochRecord, Selection};
use sweep_experiment::store::TrialStore;
use sweep_graph::params::ParamStore;
use sweep_planning::config::TrialConfig;

use super::data::Data;
use super::history::History;
use super::{Observer, errors, note_confidences};
use crate::checkpoint::{self, Checkpoint, Description};
use crate::evaluate::Evaluation;
use crate::followers::{read_description, shared_training, write_description};
use crate::out_of_distribution::TrainingImages;

/// A follower of the trial in training.
pub(super) struct Follower {
    pub(super) id: String,
    config: TrialConfig,
    kept: TrialStore,
    history: History,
    training_images: Option<TrainingImages>,
}

impl Follower {
    /// The followers that the leader keeps records for, cut back to its checkpoint. One whose records are incomplete is
    /// dismissed and will train by itself.
    pub(super) fn of(
        leader: &TrialStore,
        config: &TrialConfig,
        data: &Data,
        last: Option<&Checkpoint>,
        training_images: Option<&TrainingImages>,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Self>> {
        let shared = shared_training(config, &data.content)?;
        let mut followers = Vec::new();
        for id in leader.followers()? {
            let kept = leader.follower(&id);
            match Self::open(&id, kept, shared.as_deref(), data, last, training_images) {
                Ok(follower) => followers.push(follower),
                Err(why) => {
                    observer.note(&format!("{id} trains by itself: {why}"));
                    leader.dismiss(&id)?;
                }
            }
        }
        Ok(followers)
    }

    fn open(
        id: &str,
        kept: TrialStore,
        shared: Option<&str>,
        data: &Data,
        last: Option<&Checkpoint>,
        training_images: Option<&TrainingImages>,
    ) -> Result<Self> {
        let file = kept.trial_file()?;
        let config = TrialConfig::recorded(&file)?;
        if file.trial != id || shared.is_none() || shared_training(&config, &data.content)?.as_deref() != shared {
            return Err(Error::results("it differs from its leader in more than the decoder"));
        }
        let history = match last {
            None => History::default(),
            Some(last) => History::until(last, &config, &kept)?,
        };
        kept.write_epochs(&history.epochs)?;
        kept.cut_errors(history.epochs.len() as u32)?;
        let mut training_images = training_images.cloned();
        let before = last.and_then(|_| read_description(&kept)?.training_images);
        if let (Some(images), Some(before)) = (&mut training_images, &before) {
            images.take_confidences(before);
        }
        Ok(Self { id: id.to_owned(), config, kept, history, training_images })
    }

    pub(super) fn decode(&self) -> DecodeSpec {
        self.config.decode
    }

    /// Writes what the follower would have written after this epoch; `described` is the leader's description.
    pub(super) fn save_epoch(
        &mut self,
        record: &EpochRecord,
        evaluated: Option<&Evaluation>,
        described: &Description,
        weights: &ParamStore,
        data: &Data,
    ) -> Result<()> {
        let selected = self.history.add(self.config.objective, record);
        if let Some(val) = evaluated {
            let mut description = Description {
                trial: self.id.clone(),
                config: self.config.clone(),
                training_images: self.training_images.take(),
                ..described.clone()
            };
            note_confidences(&mut description, val);
            self.history.select(&self.id, self.config.seed, record.epoch, &selected, val, &data.dataset);
            self.kept.write_landmarks(&self.history.landmarks)?;
            if selected.contains(&Selection::BestError) {
                checkpoint::save_best(&self.kept, &description, weights)?;
            }
            self.kept.append_errors(&errors::of_epoch(record.epoch, val, &data.dataset))?;
            write_description(&self.kept, &description)?;
            self.training_images = description.training_images;
        }
        self.kept.append_epoch(record)
    }

    /// Leaves the follower to train by itself.
    pub(super) fn dismiss(self, leader: &TrialStore) -> Result<()> {
        leader.dismiss(&self.id)
    }
}
