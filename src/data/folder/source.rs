//! A data-set folder as a source.

use std::path::PathBuf;

use super::FolderIndex;
use crate::Channels;
use crate::content_hash::ContentHasher;
use crate::dataset::{Dataset, Sample, Split};
use crate::normalise::Normaliser;
use crate::picture::GreyRange;
use crate::source::{ImageSource, OpenedSource};
use crate::split::SplitSpec;
use sweep_core::error::{Error, Result};
use sweep_core::measures::Measures;
use sweep_core::units::{ErrorUnit, Millimetres, Size};

/// A path is the source of the data-set folder that it names.
impl ImageSource for PathBuf {
    fn check(&self, _: &SplitSpec) -> Result<()> {
        if self.as_os_str().is_empty() {
            return Err(Error::definition("the path is empty").at("path").remedy("name a folder with a dataset.toml"));
        }
        Ok(())
    }

    fn open(&self, split: &SplitSpec) -> Result<Box<dyn OpenedSource>> {
        Ok(Box::new(FolderIndex::read_by(self, split)?))
    }
}

impl OpenedSource for FolderIndex {
    fn name(&self) -> String {
        self.header.name.clone()
    }

    fn landmarks(&self) -> Vec<String> {
        self.table.landmarks.clone()
    }

    fn observer_mre(&self) -> Option<Millimetres> {
        self.header.observer_mre_mm.map(Millimetres)
    }

    fn unit(&self) -> ErrorUnit {
        self.table.unit()
    }

    fn normaliser(&self) -> Option<&Normaliser> {
        self.header.normalise.as_ref()
    }

    fn images(&self) -> Vec<String> {
        self.table.rows.iter().map(|row| row.image.clone()).collect()
    }

    fn grey(&self) -> Option<GreyRange> {
        self.header.grey
    }

    fn set_grey(&mut self, grey: GreyRange) {
        self.header.grey = Some(grey);
    }

    fn set_colour(&mut self) -> Result<()> {
        self.channels = Channels::Colour;
        Ok(())
    }

    fn flip_pairs(&self) -> Option<&[[String; 2]]> {
        self.header.flip_pairs.as_deref()
    }

    fn measures(&self) -> Result<Measures> {
        Ok(self.measures.clone())
    }

    fn assign(&self, split: &SplitSpec) -> Result<Vec<Split>> {
        let splits = split.assign(&self.split_items()).map_err(|e| e.at(self.csv.display()))?;
        self.check_splits(&splits, split)?;
        Ok(splits)
    }

    fn hash(
        &self,
        splits: &[Split],
        content: &mut ContentHasher,
        pictures: &mut ContentHasher,
    ) -> Result<Vec<blake3::Hash>> {
        let digests = self.digests()?;
        content.bytes(b"images");
        pictures.bytes(b"images");
        self.hash_images(&digests, Some(splits), content);
        self.hash_images(&digests, None, pictures);
        Ok(digests)
    }

    fn image_hashes(&self, indices: &[usize]) -> Result<Vec<blake3::Hash>> {
        self.digests_of(indices.iter().filter_map(|index| self.table.rows.get(*index)).collect())
    }

    fn load(&self, splits: &[Split]) -> Result<Dataset> {
        self.decode_by(splits)
    }

    fn samples(&self, indices: &[usize]) -> Result<Vec<Sample>> {
        self.decode_some(indices)
    }

    fn without_pixels(&self, sizes: &[Size]) -> Dataset {
        let samples = self.table.rows.iter().zip(sizes).map(|(row, size)| row.sample(*size, Vec::new()));
        self.dataset(samples.collect())
    }
}
