//! Images of a source while their landmarks are found, one after the other.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::Split;
use sweep_core::error::{Error, Result};
use sweep_core::units::Point;

use super::name_list::NameList;
use super::parsed::{ParsedDataset, PixelSource, Record, landmark_name};
use super::tree::Tree;

/// Images and the landmarks that were found in them so far.
#[derive(Default)]
pub(super) struct Marked {
    names: NameList,
    images: Vec<(Record, BTreeMap<usize, Point>)>,
    by_file: BTreeMap<PathBuf, usize>,
    /// Notes for the user.
    pub(super) notes: Vec<String>,
}

impl Marked {
    /// Puts names at their places in the order of landmarks; those that no image marks stay.
    pub(super) fn declare<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        for name in names {
            self.names.index(name);
        }
    }

    /// Adds an image, whose landmarks are still to come; an error where its file was added before.
    pub(super) fn image(&mut self, record: Record) -> Result<usize> {
        if let PixelSource::File(path) = &record.source {
            if let Some(before) = self.by_file.get(path) {
                let before = &self.images[*before].0.location;
                return Err(Error::input(format!("{} is annotated already in {before}", record.image))
                    .remedy("keep one entry of every image"));
            }
            self.by_file.insert(path.clone(), self.images.len());
        }
        self.images.push((record, BTreeMap::new()));
        Ok(self.images.len() - 1)
    }

    /// Number of images so far.
    pub(super) fn len(&self) -> usize {
        self.images.len()
    }

    /// Forgets the images that were added since there were `before`, where adding failed and the user wants bad ones left out.
    pub(super) fn keep(&mut self, tree: &Tree, before: usize, added: Result<()>) -> Result<()> {
        if added.is_err() {
            self.images.truncate(before);
            self.by_file.retain(|_, index| *index < before);
        }
        tree.keep(added).map(|_| ())
    }

    /// Marks a landmark of an image; an error where it is marked already.
    pub(super) fn mark(&mut self, image: usize, name: &str, point: Point) -> Result<()> {
        let name = landmark_name(name)?;
        let index = self.names.index(&name);
        let Some((_, points)) = self.images.get_mut(image) else { return Ok(()) };
        if points.insert(index, point).is_some() {
            return Err(Error::input(format!("landmark {name} of this image is there twice"))
                .remedy("keep one point of every name"));
        }
        Ok(())
    }

    /// The data set: images without landmarks are left out, except for test images, which need none.
    pub(super) fn finish(mut self, tree: &Tree) -> ParsedDataset {
        let (mut records, mut unmarked) = (Vec::new(), 0);
        for (record, points) in self.images {
            if points.is_empty() && record.split != Some(Split::Test) {
                unmarked += 1;
                continue;
            }
            records.push(Record { landmarks: self.names.row(&points), ..record });
        }
        if unmarked > 0 {
            self.notes.push(format!("{unmarked} images without landmarks were left out"));
        }
        ParsedDataset {
            name: tree.name(),
            landmarks: self.names.names().to_vec(),
            observer_mre: None,
            records,
            notes: self.notes,
        }
    }
}
