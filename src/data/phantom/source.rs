//! Phantoms as a source.

use super::{LANDMARKS, PhantomSpec, VERSION};
use crate::content_hash::ContentHasher;
use crate::dataset::{Dataset, Sample, Split};
use crate::source::{ImageSource, OpenedSource, check_no_column};
use crate::split::{SplitItem, SplitSpec};
use sweep_core::error::{Error, Result};
use sweep_core::measures::Measures;
use sweep_core::units::{ErrorUnit, Millimetres, Size};

impl ImageSource for PhantomSpec {
    fn check(&self, split: &SplitSpec) -> Result<()> {
        check_no_column(split)?;
        PhantomSpec::check(self)
    }

    fn open(&self, _: &SplitSpec) -> Result<Box<dyn OpenedSource>> {
        Ok(Box::new(self.clone()))
    }
}

impl OpenedSource for PhantomSpec {
    fn name(&self) -> String {
        "phantom".to_owned()
    }

    fn landmarks(&self) -> Vec<String> {
        LANDMARKS.map(str::to_owned).to_vec()
    }

    fn observer_mre(&self) -> Option<Millimetres> {
        None
    }

    fn unit(&self) -> ErrorUnit {
        ErrorUnit::Millimetres
    }

    fn measures(&self) -> Result<Measures> {
        Ok(Measures::default().with_set("isbi2015", &self.landmarks())?.0)
    }

    fn images(&self) -> Vec<String> {
        self.names()
    }

    fn assign(&self, split: &SplitSpec) -> Result<Vec<Split>> {
        let names = self.names();
        let items = names.iter().zip(self.splits()).map(|(image, split)| SplitItem {
            image,
            patient: None,
            group: None,
            split,
        });
        let splits = split.assign(&items.collect::<Vec<_>>())?;
        split.check_present(&splits)?;
        Ok(splits)
    }

    fn hash(
        &self,
        splits: &[Split],
        content: &mut ContentHasher,
        pictures: &mut ContentHasher,
    ) -> Result<Vec<blake3::Hash>> {
        let json = serde_json::to_string(self).map_err(|e| Error::definition(e.to_string()))?;
        for hasher in [&mut *content, pictures] {
            hasher.bytes(b"phantom");
            hasher.number(VERSION);
            hasher.bytes(json.as_bytes());
        }
        // The specification states the phantoms' own splits, so only other splits add to it.
        if splits != self.splits() {
            for split in splits {
                content.bytes(split.name().as_bytes());
            }
        }
        self.image_hashes(&(0..splits.len()).collect::<Vec<_>>())
    }

    fn image_hashes(&self, indices: &[usize]) -> Result<Vec<blake3::Hash>> {
        let images = self.images();
        let hash = |name: &String| {
            let mut hasher = ContentHasher::new("landmark-sweep 2026 what a phantom is drawn from");
            for number in [VERSION, self.seed, self.height as u64, self.width as u64] {
                hasher.number(number);
            }
            hasher.bytes(name.as_bytes());
            hasher.hash()
        };
        Ok(indices.iter().filter_map(|index| images.get(*index)).map(hash).collect())
    }

    fn load(&self, splits: &[Split]) -> Result<Dataset> {
        Ok(self.generate()?.with_splits(splits))
    }

    fn samples(&self, indices: &[usize]) -> Result<Vec<Sample>> {
        let existing = indices.iter().filter(|index| **index < self.len());
        Ok(existing.map(|index| self.sample(*index, true)).collect())
    }

    fn without_pixels(&self, _: &[Size]) -> Dataset {
        self.undrawn()
    }
}
