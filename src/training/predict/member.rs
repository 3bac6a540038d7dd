//! A checkpoint that predicts.

use std::borrow::Cow;

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::Prediction;
use super::views::View;
use crate::checkpoint::{Checkpoint, Description};
use crate::model_runner::Network;
use crate::out_of_distribution::{Judge, Judgement, SeenImage};
use sweep_core::error::{Error, Kind, Result};
use sweep_core::units::{Point, Size, Spacing};
use sweep_data::augment::AugmentSpec;
use sweep_data::flips::partners;
use sweep_data::loader::{Batch, Images};
use sweep_data::pictures::Photograph;
use sweep_data::resize::{Picture, view};
use sweep_data::{self as data, DatasetSpec};
use sweep_graph::params::ParamStore;
use sweep_planning::config::TrialConfig;

/// A checkpoint's weights, and how its landmarks are ordered.
pub(super) struct Member {
    description: Description,
    parameters: ParamStore,
    /// Indices of the predictor's landmarks among this network's.
    order: Vec<usize>,
    /// For every landmark of the network, the one whose place it takes in a mirrored image; `None` if it was not trained on
    /// mirrored images.
    partners: Option<Vec<usize>>,
    /// Judges whether images are like those of the training, where the checkpoint says enough of them.
    judge: Option<Judge>,
}

/// Predictions and judgements of a member on images in a view.
pub(super) struct Found {
    /// Landmarks of every image, in pixels of the image, for every stage that is used.
    pub(super) stages: Vec<Vec<Vec<Prediction>>>,
    /// Whether the images are like those of the training, of plain views and where that can be judged.
    pub(super) judgements: Vec<Option<Judgement>>,
}

impl Member {
    pub(super) fn new(checkpoint: Checkpoint, order: Vec<usize>, networks: &mut Networks) -> Result<Self> {
        checkpoint.check_network()?;
        let description = checkpoint.description;
        let network = networks.of(&description)?;
        let parameters = network.loaded(&checkpoint.weights).map_err(|e| Error { kind: Kind::Input, ..e })?;
        let config = &description.config;
        let AugmentSpec { flip, flip_pairs, .. } = &config.augment;
        let pairs = flip_pairs.as_deref().filter(|_| *flip > 0.0);
        let partners = pairs.map(|pairs| partners(pairs, &description.landmarks)).transpose()?;
        let finest = config.model.two_stage().map_or(config.input, |stages| stages.size);
        let judge = description.training_images.as_ref().and_then(|images| images.judge(finest));
        Ok(Self { description, parameters, order, partners, judge })
    }

    pub(super) fn description(&self) -> &Description {
        &self.description
    }

    /// Whether its network has a second stage.
    pub(super) fn has_two_stages(&self) -> bool {
        self.description.config.model.two_stage().is_some()
    }

    /// Whether it judges images.
    pub(super) fn is_judge(&self) -> bool {
        self.judge.is_some()
    }

    /// Landmarks of images in a view, and whether the images are like those of the training.
    pub(super) fn predict(
        &self,
        networks: &mut Networks,
        pictures: &[Cow<'_, Photograph>],
        spacings: &[Option<Spacing>],
        view: View,
        both_stages: bool,
    ) -> Result<Found> {
        let input = self.description.config.input;
        let partners = self.partners.as_ref().filter(|_| view.is_mirrored());
        let batch = batch(&self.description, pictures, view, partners.is_some());
        let mut stages = networks.of(&self.description)?.predict_by_stage(&self.parameters, &batch)?;
        let judgements = match (view == View::PLAIN, stages.last()) {
            (true, Some(last)) => self.judge(pictures, spacings, &batch, last),
            _ => vec![None; pictures.len()],
        };
        if !both_stages {
            stages.drain(..stages.len().saturating_sub(1));
        }
        let in_images = |(picture, found): (&Cow<'_, Photograph>, Vec<crate::model_runner::Prediction>)| {
            let window = view.window(picture.size);
            let in_image = |index: &usize| {
                let Some(partners) = partners else {
                    return Prediction {
                        at: window.place(found[*index].at, input),
                        confidence: found[*index].confidence,
                    };
                };
                let found = found[partners[*index]];
                let at = Point { x: input.width as f64 - 1.0 - found.at.x, ..found.at };
                Prediction { at: window.place(at, input), confidence: found.confidence }
            };
            self.order.iter().map(in_image).collect()
        };
        let stages = stages.into_iter().map(|found| pictures.iter().zip(found).map(in_images).collect()).collect();
        Ok(Found { stages, judgements })
    }

    /// Whether the images of a batch are like those of the training, by what the last stage found.
    fn judge(
        &self,
        pictures: &[Cow<'_, Photograph>],
        spacings: &[Option<Spacing>],
        batch: &Batch,
        found: &[Vec<crate::model_runner::Prediction>],
    ) -> Vec<Option<Judgement>> {
        let numbers = batch.images.numbers();
        let each = (numbers.len() / pictures.len().max(1)).max(1);
        let images = pictures.iter().zip(numbers.chunks_exact(each)).zip(found).enumerate();
        let judged = images.map(|(index, ((picture, planes), found))| {
            let confidences = self.order.iter().map(|index| found[*index].confidence);
            let seen = SeenImage {
                size: picture.size,
                spacing: spacings.get(index).copied().flatten(),
                planes,
                input: batch.size,
                confidence: confidences.sum::<f64>() / self.order.len().max(1) as f64,
            };
            self.judge.as_ref().map(|judge| judge.judge(seen))
        });
        judged.collect()
    }
}

impl Member {
    /// [`Network::heatmaps`] of one image.
    pub(super) fn heatmaps(
        &self,
        networks: &mut Networks,
        picture: &Photograph,
    ) -> Result<Vec<(&'static str, [Tensor; 2])>> {
        let batch = batch(&self.description, &[Cow::Borrowed(picture)], View::PLAIN, false);
        networks.of(&self.description)?.heatmaps(&self.parameters, &batch)
    }
}

/// Input of a network for images in a view, mirrored or not: at the input's size and, for a second stage, at the size that
/// crops are cut from.
fn batch(description: &Description, pictures: &[Cow<'_, Photograph>], seen: View, mirrored: bool) -> Batch {
    let read = |size: Size| -> Vec<Vec<f32>> {
        let one = |p: &Cow<'_, Photograph>| {
            let mut pixels = view(&p.pixels, p.size, seen.window(p.size), size);
            if mirrored {
                pixels.chunks_exact_mut(size.width).for_each(<[f32]>::reverse);
            }
            pixels
        };
        pictures.par_iter().map(one).collect()
    };
    let config = &description.config;
    let finer = |size: Size| {
        let picture =
            |pixels: Vec<f32>| Picture { size, pixels: pixels.into(), landmarks: Vec::new(), spacing: UNKNOWN };
        read(size).into_iter().map(|pixels| data::View::plain(picture(pixels))).collect()
    };
    Batch {
        images: Images::Numbers(read(config.input).concat()),
        size: config.input,
        indices: (0..pictures.len()).collect(),
        landmarks: vec![vec![None; description.landmarks.len()]; pictures.len()],
        views: config.model.two_stage().map_or_else(Vec::new, |stages| finer(stages.size)),
    }
}

/// Predictions need no spacing (mm per pixel).
const UNKNOWN: Spacing = Spacing { x: 1.0, y: 1.0 };

/// Networks with the buffers of their passes. Members that differ only in weights share one, so that memory does not grow
/// with their number.
pub(super) struct Networks {
    device: Device,
    built: Vec<(TrialConfig, usize, Network)>,
}

impl Networks {
    pub(super) fn new(device: &Device) -> Self {
        Self { device: device.clone(), built: Vec::new() }
    }

    fn of(&mut self, description: &Description) -> Result<&mut Network> {
        // Seed and data set affect only the weights, except for the number of channels.
        let channels = description.config.dataset.channels;
        let dataset = DatasetSpec { channels, ..DatasetSpec::default() };
        let config = TrialConfig { seed: 0, dataset, ..description.config.clone() };
        let landmarks = description.landmarks.len();
        let known = self.built.iter().position(|(c, l, _)| (c, *l) == (&config, landmarks));
        let index = known.unwrap_or(self.built.len());
        if known.is_none() {
            let network = Network::new(&config, landmarks, &self.device)?;
            self.built.push((config, landmarks, network));
        }
        Ok(&mut self.built[index].2)
    }
}
