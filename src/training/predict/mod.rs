//! Landmarks of images by trained networks: checkpoints → [`Predictor`] → landmarks in pixels of the image.
//!
//! `member` is a checkpoint that predicts, [`views`] are the views of test-time augmentation, `combine` combines the
//! predictions of all members in all views, and [`held_out`] selects the members that evaluate an image.

mod combine;
pub mod held_out;
mod member;
pub mod radii;
pub mod views;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;

use candle_core::{Device, Tensor};

use crate::checkpoint::{self, Checkpoint, Description};
use crate::out_of_distribution::{Judgement, LEAST_VALIDATION};
use member::{Member, Networks};
use sweep_core::error::{Error, Kind, Result};
use sweep_core::units::{Point, Spacing};
use sweep_data::picture::DeepGrey;
use sweep_data::pictures::{Photograph, Shown};
use sweep_data::{Channels, DatasetSpec, Source};
use views::{TtaViews, View};

/// A predicted landmark.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// Position in pixels of the image.
    pub at: Point,
    /// Confidence from 0 to 1: the mean of [`sweep_data::decode::confidence`] over the networks and views.
    pub confidence: f64,
}

/// Findings of networks on an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The landmarks.
    pub landmarks: Vec<Prediction>,
    /// Whether the image is like those of the training, where that can be judged.
    pub judgement: Option<Judgement>,
}

/// One or more trained networks that predict the same landmarks.
pub struct Predictor {
    landmarks: Vec<String>,
    members: Vec<Member>,
    /// The members' files.
    files: Vec<PathBuf>,
    networks: Networks,
    tta: TtaViews,
}

impl Predictor {
    /// Reads checkpoints, whose predictions are combined. Landmarks are in the order of the first checkpoint.
    ///
    /// # Errors
    /// When a file is not a sound checkpoint, a network predicts other landmarks than the first, or both stages are requested
    /// but no network has two.
    pub fn load(files: &[PathBuf], mut tta: TtaViews, device: &Device) -> Result<Self> {
        let (mut members, mut networks): (Vec<Member>, Networks) = (Vec::new(), Networks::new(device));
        for file in files {
            let checkpoint = read(file)?;
            let first = members.first().map_or(&checkpoint.description, Member::description);
            let order = order(first, &checkpoint.description).map_err(|e| e.at(file.display()))?;
            members.push(Member::new(checkpoint, order, &mut networks).map_err(|e| e.at(file.display()))?);
        }
        let Some(first) = members.first() else {
            return Err(Error::input("no checkpoint is named").remedy("name one with --checkpoint"));
        };
        if tta.both_stages && !members.iter().any(Member::has_two_stages) {
            return Err(no_two_stages());
        }
        if tta.views.is_empty() {
            tta.views.push(View::PLAIN);
        }
        let landmarks = first.description().found();
        Ok(Self { landmarks, members, files: files.to_vec(), networks, tta })
    }

    /// Combines the predictions of both stages from now on, if a network has two; says whether one has.
    pub fn combine_stages(&mut self) -> bool {
        self.tta.both_stages = self.members.iter().any(Member::has_two_stages);
        self.tta.both_stages
    }

    /// Names of the landmarks, in the order of predictions.
    #[must_use]
    pub fn landmarks(&self) -> &[String] {
        &self.landmarks
    }

    /// Descriptions of the checkpoints.
    pub fn descriptions(&self) -> impl ExactSizeIterator<Item = &Description> {
        self.members.iter().map(Member::description)
    }

    /// How images of more than 8 bits are shown to the networks: as in their training.
    ///
    /// # Errors
    /// When the networks were trained on different ranges of grey values.
    pub fn deep_grey(&self) -> Result<DeepGrey> {
        shared_grey(self.descriptions())
    }

    /// Whether the networks see images in grey or in colour.
    ///
    /// # Errors
    /// When they do not agree.
    pub fn channels(&self) -> Result<Channels> {
        let mut all = self.descriptions().map(|description| description.config.dataset.channels);
        let first = all.next().unwrap_or_default();
        if all.any(|other| other != first) {
            return Err(Error::input("some of the networks see images in grey, others in colour (dataset.channels)")
                .at("--checkpoint")
                .remedy("join only networks that see images alike"));
        }
        Ok(first)
    }

    /// Reads images for these networks.
    ///
    /// # Errors
    /// Same errors as [`Predictor::channels`].
    pub fn reader(&self) -> Result<PictureReader> {
        Ok(PictureReader { deep: self.deep_grey(), channels: self.channels()? })
    }

    /// Landmarks of an image, by all members.
    ///
    /// # Errors
    /// When a network cannot be run.
    pub fn predict(&mut self, picture: &Photograph) -> Result<Vec<Prediction>> {
        let all: Vec<usize> = (0..self.members.len()).collect();
        let found = self.predict_batch(&all, std::slice::from_ref(picture))?;
        Ok(found.into_iter().next().unwrap_or_default())
    }

    /// Landmarks of images by some of the members, one entry per image. Results of a batch and of single images differ by
    /// rounding; the same batch always gives the same bits.
    ///
    /// # Errors
    /// When a network cannot be run, or there is no such member.
    pub fn predict_batch(&mut self, members: &[usize], pictures: &[Photograph]) -> Result<Vec<Vec<Prediction>>> {
        let found = self.predict_and_judge(members, pictures, &[])?;
        Ok(found.into_iter().map(|found| found.landmarks).collect())
    }

    /// [`Predictor::predict_batch`], with a judgement of each image by those of the members that know enough of their training:
    /// the mildest one. `spacings` are the images' millimetres per pixel, where known.
    ///
    /// # Errors
    /// Same errors as [`Predictor::predict_batch`].
    pub fn predict_and_judge(
        &mut self,
        members: &[usize],
        pictures: &[Photograph],
        spacings: &[Option<Spacing>],
    ) -> Result<Vec<Found>> {
        let channels = self.channels()?;
        let pictures: Vec<Cow<'_, Photograph>> = pictures.iter().map(|picture| picture.in_channels(channels)).collect();
        // `[members · views · stages][images][landmarks]`
        let mut predictions = Vec::with_capacity(members.len() * self.tta.views.len());
        let mut judgements: Vec<Option<Judgement>> = vec![None; pictures.len()];
        for member in members {
            let member = self.members.get(*member).ok_or_else(|| Error::input("there is no such checkpoint"))?;
            for view in &self.tta.views {
                let found = member.predict(&mut self.networks, &pictures, spacings, *view, self.tta.both_stages)?;
                predictions.extend(found.stages);
                for (mildest, judgement) in judgements.iter_mut().zip(found.judgements) {
                    // The greatest of several p-values keeps their rate of false alarms.
                    let is_milder = |judgement: &Judgement| mildest.as_ref().is_none_or(|m| judgement.score < m.score);
                    if let Some(judgement) = judgement.filter(is_milder) {
                        *mildest = Some(judgement);
                    }
                }
            }
        }
        let combined = |picture: usize, landmark: usize| {
            combine::combined(&predictions.iter().map(|images| images[picture][landmark]).collect::<Vec<_>>())
        };
        let of = |(picture, unlike): (usize, Option<Judgement>)| Found {
            landmarks: (0..self.landmarks.len()).map(|landmark| combined(picture, landmark)).collect(),
            judgement: unlike,
        };
        Ok(judgements.into_iter().enumerate().map(of).collect())
    }

    /// Why images cannot be compared with those of the training; none if a member can.
    #[must_use]
    pub fn why_not_judged(&self) -> Option<String> {
        if self.members.iter().any(Member::is_judge) {
            return None;
        }
        let validated = self.descriptions().filter_map(|d| Some(d.training_images.as_ref()?.validation())).max();
        Some(match validated {
            None => {
                "the checkpoint says nothing of its training images (an earlier version or another program wrote it)"
                    .to_owned()
            }
            Some(images) => {
                format!("only {images} images validated the training, and {LEAST_VALIDATION} are the least")
            }
        })
    }

    /// Input and heatmaps of the first network for an image, by name: `image` `[1, C, H, W]` and `heatmaps` `[1, K, H, W]`,
    /// with the prefixes `coarse.` and `fine.` for two stages; the images of the fine stage are crops.
    ///
    /// # Errors
    /// When the network cannot be run.
    pub fn heatmaps(&mut self, picture: &Photograph) -> Result<BTreeMap<String, Tensor>> {
        let Some(member) = self.members.first() else { return Ok(BTreeMap::new()) };
        let picture = picture.in_channels(member.description().config.dataset.channels);
        let stages = member.heatmaps(&mut self.networks, &picture)?;
        let named = |(stage, tensors): (&'static str, [Tensor; 2])| {
            ["image", "heatmaps"].into_iter().zip(tensors).map(move |(name, tensor)| (format!("{stage}{name}"), tensor))
        };
        Ok(stages.into_iter().flat_map(named).collect())
    }

    /// Checks that there is memory for a member's pass over so many images at once.
    ///
    /// # Errors
    /// When there is not, with the checkpoint's file.
    fn check_batch(&self, member: usize, images: usize) -> Result<()> {
        let Some((member, file)) = self.members.get(member).zip(self.files.get(member)) else { return Ok(()) };
        member.description().check_memory(images).map_err(|e| e.at(file.display()))
    }

    /// Batch size of a member's evaluation in training.
    #[must_use]
    pub fn batch_size(&self, member: usize) -> usize {
        self.members.get(member).map_or(1, |member| member.description().config.batch_size.get())
    }
}

/// Reads images as the networks of a [`Predictor`] see them.
#[derive(Debug, Clone)]
pub struct PictureReader {
    deep: Result<DeepGrey>,
    channels: Channels,
}

impl PictureReader {
    /// Reads an image file, and says how it came to be as it is shown.
    ///
    /// # Errors
    /// When the file cannot be read, or it has more than 8 bits and the networks were trained on different ranges of them.
    pub fn open(&self, file: &Path) -> Result<(Photograph, Shown)> {
        let (picture, shown) = Photograph::open(file, self.deep.clone().unwrap_or_default(), self.channels)?;
        // Networks that were trained on different ranges agree on all other pictures.
        shown.range.map_or(Ok(()), |_| self.deep.clone().map(|_| ())).map_err(|e| e.at(file.display()))?;
        Ok((picture, shown))
    }
}

/// Reads items in another thread, one ahead of their use, because decoding an image takes as long as a small network. Ends
/// when `each` returns false.
///
/// # Errors
/// The first error of `each`.
pub fn prefetch<T: Sync, R: Send>(
    items: &[T],
    read: impl Fn(&T) -> R + Send,
    mut each: impl FnMut(&T, R) -> Result<bool>,
) -> Result<()> {
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(0);
        // Ends when the receiver is dropped.
        scope.spawn(move || items.iter().try_for_each(|item| sender.send(read(item))));
        for (item, result) in items.iter().zip(receiver) {
            if !each(item, result)? {
                break;
            }
        }
        Ok(())
    })
}

/// No network has the two stages that were asked for.
#[must_use]
pub fn no_two_stages() -> Error {
    Error::input("no network here has two stages").at("--both-stages").remedy("leave it out")
}

/// How images of more than 8 bits were shown in the training of all these networks.
fn shared_grey<'a>(networks: impl Iterator<Item = &'a Description>) -> Result<DeepGrey> {
    let mut ranges = networks.map(|description| description.grey);
    let first = ranges.next().flatten();
    if ranges.any(|other| other != first) {
        return Err(Error::input(
            "the networks were trained on different ranges of grey values (`grey` in dataset.toml)",
        )
        .at("--checkpoint")
        .remedy("join only networks that were trained on one range, e.g. the folds of one data set"));
    }
    Ok(first.map_or(DeepGrey::Own, DeepGrey::Fixed))
}

/// Reads a checkpoint that a user named.
///
/// # Errors
/// When the file is not a readable checkpoint.
pub fn read(file: &Path) -> Result<Checkpoint> {
    checkpoint::load(file).map_err(|e| {
        Error { kind: Kind::Input, ..e }.remedy(
            "name a best.safetensors or last.safetensors of a trial, as results/loss/trials/l1-seed0-3f9a2c1b/best.safetensors",
        )
    })
}

/// Indices of the first checkpoint's landmarks among another checkpoint's maps.
fn order(first: &Description, other: &Description) -> Result<Vec<usize>> {
    let (first, found) = (first.found(), other.found());
    let without = |a: &[String], b: &[String]| {
        let known: BTreeSet<&String> = b.iter().collect();
        a.iter().filter(|name| !known.contains(name)).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    };
    let (missing, more) = (without(&first, &found), without(&found, &first));
    let mut wrong = Vec::new();
    if !missing.is_empty() {
        wrong.push(format!("does not find {missing}"));
    }
    if !more.is_empty() {
        wrong.push(format!("finds {more}, which the first does not"));
    }
    if wrong.is_empty() {
        let positions = positions(&other.landmarks);
        return Ok(first.iter().filter_map(|name| positions.get(name).copied()).collect());
    }
    Err(Error::input(format!("this checkpoint {}", wrong.join(" and ")))
        .remedy("join only checkpoints that find the same landmarks, in any order"))
}

/// The first index of each name.
fn positions(names: &[String]) -> BTreeMap<&String, usize> {
    // From the end, so that the first of equal names is the last one inserted.
    names.iter().enumerate().rev().map(|(index, name)| (name, index)).collect()
}

/// Indices of the predicted landmarks among those of a data set.
///
/// # Errors
/// When the data set lacks a predicted landmark.
pub fn landmark_indices(predicted: &[String], dataset: &[String]) -> Result<Vec<usize>> {
    let positions = positions(dataset);
    let missing: Vec<String> =
        predicted.iter().filter(|name| !positions.contains_key(name)).map(|name| format!("`{name}`")).collect();
    if missing.is_empty() {
        return Ok(predicted.iter().filter_map(|name| positions.get(name).copied()).collect());
    }
    Err(Error::input(format!("the data set does not have {}, which the checkpoint finds", missing.join(", ")))
        .remedy(format!("landmarks are matched by name; the data set has {}", dataset.join(", "))))
}

/// The data set of a checkpoint, or the data set in another folder with the same split settings.
#[must_use]
pub fn dataset(description: &Description, folder: Option<&Path>) -> DatasetSpec {
    let trained = &description.config.dataset;
    match folder {
        Some(path) => DatasetSpec { source: Source::Folder { path: path.to_owned() }, ..trained.clone() },
        None => trained.clone(),
    }
}

#[cfg(test)]
mod tests;
