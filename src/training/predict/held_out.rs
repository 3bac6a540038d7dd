//! Evaluation of images by the networks that held them out in training.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Predictor, dataset};
use crate::checkpoint::Description;
use sweep_core::error::{Error, Result};
use sweep_data::{DatasetIndex, IMAGE_HASH_DIGITS, Split, split_hash};

/// An image and the members that evaluate it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvaluatedImage {
    /// Index in the data set.
    pub index: usize,
    /// Indices of the members.
    pub members: Vec<usize>,
}

/// Batches of images with the same members, in order, of the size that the first member was evaluated with in training.
///
/// # Errors
/// When a batch needs more memory than there is: its size is the checkpoint's.
pub fn batches(predictor: &Predictor, images: &[EvaluatedImage]) -> Result<Vec<Batch>> {
    let mut by_members: BTreeMap<&[usize], Vec<usize>> = BTreeMap::new();
    for image in images {
        by_members.entry(&image.members).or_default().push(image.index);
    }
    let mut batches = Vec::new();
    for (members, images) in by_members {
        let size = members.first().map_or(1, |first| predictor.batch_size(*first));
        for member in members {
            predictor.check_batch(*member, size.min(images.len()))?;
        }
        let batch = |images: &[usize]| Batch { members: members.to_vec(), images: images.to_vec() };
        batches.extend(images.chunks(size).map(batch));
    }
    Ok(batches)
}

/// Images that networks predict together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Indices of the members.
    pub members: Vec<usize>,
    /// Indices in the data set.
    pub images: Vec<usize>,
}

/// The images that at least one member validated on, each with all members that did, in the order of the data set. With a
/// checkpoint of every fold, that is every image once, which scores a cross-validation.
///
/// # Errors
/// When a data set cannot be read, is not the one a member was trained on, or is another one than the first's.
pub fn held_out_images(predictor: &Predictor, folder: Option<&Path>) -> Result<(DatasetIndex, Vec<EvaluatedImage>)> {
    let mut first: Option<DatasetIndex> = None;
    let mut names: Vec<String> = Vec::new();
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (member, description) in predictor.descriptions().enumerate() {
        let opened = dataset(description, folder).open()?;
        let images = opened.images();
        let hash = split_hash(images.iter().map(|(name, split)| (name.as_str(), *split)));
        if description.split.as_ref().is_some_and(|trained| *trained != hash) {
            return Err(Error::input(
                "the data set's images are not those that this network was trained and validated on",
            )
            .at(&description.trial)
            .remedy("restore the data set as it was; without --held-out it is scored as it is"));
        }
        let image_names: Vec<String> = images.iter().map(|(name, _)| name.clone()).collect();
        if first.is_none() {
            names = image_names;
        } else if names != image_names {
            return Err(Error::input("this checkpoint was trained on other images than the first")
                .at(&description.trial)
                .remedy("pool checkpoints of one data set only"));
        }
        for (index, (_, split)) in images.iter().enumerate() {
            if *split == Split::Val {
                members.entry(index).or_default().push(member);
            }
        }
        first.get_or_insert(opened);
    }
    let opened = first.ok_or_else(|| Error::input("no checkpoint is named"))?;
    Ok((opened, members.into_iter().map(|(index, members)| EvaluatedImage { index, members }).collect()))
}

/// How far an evaluation is on images that its networks were trained on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrainedOn {
    /// Evaluated images that at least one of their networks was trained on.
    pub images: usize,
    /// Networks that evaluate images they were trained on.
    pub members: usize,
    /// Networks of which it is not known: their checkpoints name no training images, and their data set is gone.
    pub unknown: usize,
}

/// Finds the evaluated images that their networks were trained on, by what the images show: neither names nor folders
/// matter. `folder` is the data set that is evaluated, if it is not that of the checkpoints.
///
/// # Errors
/// When an evaluated image cannot be read.
pub fn trained_on(
    predictor: &Predictor,
    opened: &DatasetIndex,
    folder: Option<&Path>,
    images: &[EvaluatedImage],
) -> Result<TrainedOn> {
    let indices: Vec<usize> = images.iter().map(|image| image.index).collect();
    let (hashes, names) = (opened.image_hashes(&indices)?, opened.images());
    let mut found = TrainedOn::default();
    let mut trained: BTreeSet<usize> = BTreeSet::new();
    for (member, description) in predictor.descriptions().enumerate() {
        let by_content = trained_hashes(description);
        let by_name = trained_names(description, folder);
        found.unknown += usize::from(by_content.is_none() && by_name.is_none());
        let is_trained = |(image, hash): &(&EvaluatedImage, &String)| {
            let name = names.get(image.index).map_or("", |(name, _)| name.as_str());
            image.members.contains(&member)
                && (by_content.as_ref().is_some_and(|hashes| hashes.contains(*hash))
                    || by_name.as_ref().is_some_and(|names| names.contains(name)))
        };
        let before: Vec<usize> = images.iter().zip(&hashes).filter(is_trained).map(|(image, _)| image.index).collect();
        found.members += usize::from(!before.is_empty());
        trained.extend(before);
    }
    found.images = trained.len();
    Ok(found)
}

/// Hashes of a network's training images: from its checkpoint or, of earlier versions, from its data set, if that is still
/// what it was. `None` if they are not known.
fn trained_hashes(description: &Description) -> Option<BTreeSet<String>> {
    if !description.training_image_hashes.is_empty() {
        let digits = description.training_image_hashes.as_bytes().chunks(IMAGE_HASH_DIGITS);
        return Some(digits.map(|hash| String::from_utf8_lossy(hash).into_owned()).collect());
    }
    let own = description.config.dataset.open().ok().filter(|own| has_split_of(own, description))?;
    Some(own.image_hashes(&own.indices(Split::Train)).ok()?.into_iter().collect())
}

/// Names of a network's training images in the evaluated folder, if that has the images that it was trained and validated
/// on, perhaps in another file format.
fn trained_names(description: &Description, folder: Option<&Path>) -> Option<BTreeSet<String>> {
    let same = dataset(description, Some(folder?)).open().ok().filter(|same| has_split_of(same, description))?;
    Some(same.images().into_iter().filter(|(_, split)| *split == Split::Train).map(|(name, _)| name).collect())
}

/// Whether a data set divides its images as that of a network's training did.
fn has_split_of(opened: &DatasetIndex, description: &Description) -> bool {
    let hash = split_hash(opened.images().iter().map(|(name, split)| (name.as_str(), *split)));
    description.split.as_ref().is_none_or(|trained| *trained == hash)
}
