//! A checkpoint that predicts.

use std::borrow::Cow;

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::Prediction;
use super::views::View;
use crate::checkpoint::{Checkpoint, Description};
use crate::model_runner::Network;
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
}

impl Member {
    pub(super) fn new(checkpoint: Checkpoint, order: Vec<usize>, networks: &mut Networks) -> Result<Self> {
        let description = checkpoint.description;
        let parameters = networks.of(&description)?.parameters(description.config.seed)?;
        parameters.load(&checkpoint.weights).map_err(|e| Error { kind: Kind::Input, ..e })?;
        let AugmentSpec { flip, flip_pairs, .. } = &description.config.augment;
        let pairs = flip_pairs.as_deref().filter(|_| *flip > 0.0);
        let partners = pairs.map(|pairs| partners(pairs, &description.landmarks)).transpose()?;
        Ok(Self { description, parameters, order, partners })
    }

    pub(super) fn description(&self) -> &Description {
        &self.description
    }

    /// Whether its network has a second stage.
    pub(super) fn has_two_stages(&self) -> bool {
        self.description.config.model.two_stage().is_some()
    }

    /// Landmarks of images in a view, in pixels of the images: one entry per image for every stage that is used.
    pub(super) fn predict(
        &self,
        networks: &mut Networks,
        pictures: &[Cow<'_, Photograph>],
        view: View,
        both_stages: bool,
    ) -> Result<Vec<Vec<Vec<Prediction>>>> {
        let input = self.description.config.input;
        let partners = self.partners.as_ref().filter(|_| view.is_mirrored());
        let batch = batch(&self.description, pictures, view, partners.is_some());
        let mut stages = networks.of(&self.description)?.predict_by_stage(&self.parameters, &batch)?;
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
        Ok(stages.into_iter().map(|found| pictures.iter().zip(found).map(in_images).collect()).collect())
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
