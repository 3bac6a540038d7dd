//! Who may judge an image: the networks that were not trained on it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Predictor, dataset};
use crate::checkpoint::Description;
use sweep_core::error::{Error, Result};
use sweep_data::{DatasetIndex, Source, Split, split_hash};

/// An image with the members that held it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Place in the data set.
    pub place: usize,
    /// Places of the members.
    pub members: Vec<usize>,
}

/// The same in batches, as training evaluated them: images with the same judges, in order, as many as their first network
/// was evaluated on at once.
#[must_use]
pub fn batches(predictor: &Predictor, images: &[Judged]) -> Vec<Batch> {
    let mut by_judges: BTreeMap<&[usize], Vec<usize>> = BTreeMap::new();
    for image in images {
        by_judges.entry(&image.members).or_default().push(image.place);
    }
    let batches = by_judges.into_iter().flat_map(|(members, places)| {
        let size = members.first().map_or(1, |first| predictor.batch_size(*first));
        let of = |places: &[usize]| Batch { members: members.to_vec(), places: places.to_vec() };
        places.chunks(size).map(of).collect::<Vec<_>>()
    });
    batches.collect()
}

/// Images that go through networks together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Places of the members.
    pub members: Vec<usize>,
    /// Places in the data set.
    pub places: Vec<usize>,
}

/// The images that at least one member validated on, each with all members that did, in the order of the data set. With a
/// checkpoint of every fold that is every image once: what cross-validation scores.
///
/// # Errors
/// When a data set cannot be read, is not the one a member was trained on, or is another one than the first's.
pub fn judged(predictor: &Predictor, folder: Option<&Path>) -> Result<(DatasetIndex, Vec<Judged>)> {
    let mut first: Option<DatasetIndex> = None;
    let mut names: Vec<String> = Vec::new();
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (member, description) in predictor.descriptions().enumerate() {
        let opened = dataset(description, folder).open()?;
        let images = opened.images();
        let now = split_hash(images.iter().map(|(name, split)| (name.as_str(), *split)));
        if description.split.as_ref().is_some_and(|then| *then != now) {
            return Err(Error::input(
                "the data set's images are not those that this network was trained and validated on",
            )
            .at(&description.trial)
            .remedy("restore the data set as it was; without --held-out it is scored as it is"));
        }
        let these: Vec<String> = images.iter().map(|(name, _)| name.clone()).collect();
        if first.is_none() {
            names = these;
        } else if names != these {
            return Err(Error::input("this checkpoint was trained on other images than the first")
                .at(&description.trial)
                .remedy("pool checkpoints of one data set only"));
        }
        for (place, (_, split)) in images.iter().enumerate() {
            if *split == Split::Val {
                members.entry(place).or_default().push(member);
            }
        }
        first.get_or_insert(opened);
    }
    let opened = first.ok_or_else(|| Error::input("no checkpoint is named"))?;
    Ok((opened, members.into_iter().map(|(place, members)| Judged { place, members }).collect()))
}

/// How many members were trained on some of the images they are to judge. Told only of data that lie where a member was
/// trained on them.
#[must_use]
pub fn partial(predictor: &Predictor, opened: &DatasetIndex, source: &Source, images: &[Judged]) -> usize {
    let names = opened.images();
    let is_partial = |(member, description): (usize, &Description)| {
        let dataset = &description.config.dataset;
        let Some(own) = Some(dataset).filter(|own| same(&own.source, source)).and_then(|own| own.open().ok()) else {
            return false;
        };
        let images_of_own = own.images();
        let trained: BTreeSet<&str> =
            images_of_own.iter().filter(|(_, split)| *split == Split::Train).map(|(name, _)| name.as_str()).collect();
        let judged = images.iter().filter(|image| image.members.contains(&member));
        judged.filter_map(|image| names.get(image.place)).any(|(name, _)| trained.contains(name.as_str()))
    };
    predictor.descriptions().enumerate().filter(|member| is_partial(*member)).count()
}

/// Whether two sources are one, however their paths are written.
fn same(a: &Source, b: &Source) -> bool {
    match (a, b) {
        (Source::Folder { path: a }, Source::Folder { path: b }) => {
            matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
        }
        _ => a == b,
    }
}
