//! Evaluation of images by the networks that held them out in training.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Predictor, dataset};
use crate::checkpoint::Description;
use sweep_core::error::{Error, Result};
use sweep_data::{DatasetIndex, Source, Split, split_hash};

/// An image and the members that evaluate it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvaluatedImage {
    /// Index in the data set.
    pub index: usize,
    /// Indices of the members.
    pub members: Vec<usize>,
}

/// Batches of images with the same members, in order, of the size that the first member was evaluated with in training.
#[must_use]
pub fn batches(predictor: &Predictor, images: &[EvaluatedImage]) -> Vec<Batch> {
    let mut by_members: BTreeMap<&[usize], Vec<usize>> = BTreeMap::new();
    for image in images {
        by_members.entry(&image.members).or_default().push(image.index);
    }
    let batches = by_members.into_iter().flat_map(|(members, images)| {
        let size = members.first().map_or(1, |first| predictor.batch_size(*first));
        let batch = |images: &[usize]| Batch { members: members.to_vec(), images: images.to_vec() };
        images.chunks(size).map(batch).collect::<Vec<_>>()
    });
    batches.collect()
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

/// Number of members that were trained on some of the images that they evaluate. A member is counted only if the data are
/// those at the path that it was trained on.
#[must_use]
pub fn members_trained_on(
    predictor: &Predictor,
    opened: &DatasetIndex,
    source: &Source,
    images: &[EvaluatedImage],
) -> usize {
    let names = opened.images();
    let is_trained_on_some = |(member, description): (usize, &Description)| {
        let dataset = &description.config.dataset;
        let Some(own) = Some(dataset).filter(|own| same(&own.source, source)).and_then(|own| own.open().ok()) else {
            return false;
        };
        let images_of_own = own.images();
        let trained: BTreeSet<&str> =
            images_of_own.iter().filter(|(_, split)| *split == Split::Train).map(|(name, _)| name.as_str()).collect();
        let evaluated = images.iter().filter(|image| image.members.contains(&member));
        evaluated.filter_map(|image| names.get(image.index)).any(|(name, _)| trained.contains(name.as_str()))
    };
    predictor.descriptions().enumerate().filter(|member| is_trained_on_some(*member)).count()
}

/// Whether two sources are the same, even if their paths are written differently.
fn same(a: &Source, b: &Source) -> bool {
    match (a, b) {
        (Source::Folder { path: a }, Source::Folder { path: b }) => {
            matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
        }
        _ => a == b,
    }
}
