//! A data set before any of its images is decoded: what it holds, as a hash and in numbers.

use std::path::Path;

use super::custom::Listing;
use super::phantom::{self, PhantomSpec};
use super::split::SplitItem;
use super::{Dataset, Sample, Split, SplitSpec, folder, has_both_splits};
use sweep_core::error::{Error, Result};
use sweep_core::units::{Millimetres, Point, Size, Spacing};

/// A data set of which everything but grey values has been read.
#[derive(Debug)]
pub struct DatasetIndex {
    source: Read,
    /// Every image's, in order.
    splits: Vec<Split>,
}

#[derive(Debug)]
enum Read {
    Phantom(PhantomSpec),
    Folder(folder::Index),
    Custom(Listing),
}

/// A data set in three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatasetSummary {
    /// Landmarks of an image.
    pub landmarks: usize,
    /// Training images.
    pub train: usize,
    /// Validation images.
    pub val: usize,
}

/// Hashes (hexadecimal) of what a data set holds, from files as they lie there and not from decoded images. A data set's
/// folder, its name and the spelling of its tables are part of neither.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fingerprints {
    /// All that training and evaluation see: image files' bytes, landmarks and their names, spacing, splits, image names
    /// and order; of phantoms, what they are drawn from.
    pub(super) content: String,
    /// The same but for splits: all folds of a data set are the same pictures.
    pub(super) pictures: String,
}

impl DatasetIndex {
    /// Made-up radiographs.
    pub(super) fn phantom(spec: &PhantomSpec, split: &SplitSpec) -> Result<Self> {
        let samples = spec.without_pixels().samples;
        let cards = samples.iter().map(|s| SplitItem { image: &s.image, patient: None, split: s.split });
        let splits = split.assign(&cards.collect::<Vec<_>>())?;
        has_both_splits(splits.iter().copied())?;
        Ok(Self { source: Read::Phantom(spec.clone()), splits })
    }

    /// A data-set folder.
    pub(super) fn folder(path: &Path, split: &SplitSpec) -> Result<Self> {
        let index = folder::Index::read_by(path, split)?;
        let splits = split.assign(&index.cards().collect::<Vec<_>>()).map_err(|e| e.at(index.csv().display()))?;
        index.check_splits(&splits)?;
        Ok(Self { source: Read::Folder(index), splits })
    }

    /// A data set of the program's own.
    pub(super) fn custom(listing: Listing, split: &SplitSpec) -> Result<Self> {
        listing.check()?;
        let splits = split.assign(&listing.cards().collect::<Vec<_>>())?;
        listing.check_splits(&splits)?;
        Ok(Self { source: Read::Custom(listing), splits })
    }

    /// A data-set folder, split as it says, on which nothing will be trained: all its images may be of one split.
    ///
    /// # Errors
    /// See [`folder::read`].
    pub fn untrained(path: &Path) -> Result<Self> {
        let index = folder::Index::read_by(path, &SplitSpec::default())?;
        let splits = index.cards().map(|card| card.split).collect();
        Ok(Self { source: Read::Folder(index), splits })
    }

    /// A fingerprint (hexadecimal) of all that training and evaluation see, from files as they lie there and not from
    /// decoded images: image files' bytes, landmarks and their names, spacing, splits, image names and order; of
    /// phantoms, what they are drawn from. A data set's folder, its name and the spelling of its tables are not part of
    /// it.
    ///
    /// # Errors
    /// When an image file cannot be read.
    pub fn content_hash(&self) -> Result<String> {
        Ok(self.fingerprints()?.content)
    }

    /// Both fingerprints, from one look at the files.
    pub(super) fn fingerprints(&self) -> Result<Fingerprints> {
        let mut content = Fields::new("landmark-sweep 2026 content of a data set");
        let mut pictures = Fields::new("landmark-sweep 2026 content of a data set but for its splits");
        match &self.source {
            Read::Phantom(spec) => {
                let json = serde_json::to_string(spec).map_err(|e| Error::definition(e.to_string()))?;
                for fields in [&mut content, &mut pictures] {
                    fields.bytes(b"phantom");
                    fields.number(phantom::VERSION);
                    fields.bytes(json.as_bytes());
                }
                // Phantoms say themselves which is which, so only another word is one more thing to know.
                if self.splits != spec.splits() {
                    self.splits.iter().for_each(|split| content.bytes(split.name().as_bytes()));
                }
            }
            Read::Folder(index) => {
                let digests = index.digests()?;
                content.bytes(b"images");
                pictures.bytes(b"images");
                index.hash(&digests, Some(&self.splits), &mut content);
                index.hash(&digests, None, &mut pictures);
            }
            Read::Custom(listing) => {
                // The same images and landmarks are the same data, from wherever they came.
                let digests = listing.digests()?;
                content.bytes(b"images");
                pictures.bytes(b"images");
                listing.hash(&digests, Some(&self.splits), &mut content);
                listing.hash(&digests, None, &mut pictures);
            }
        }
        Ok(Fingerprints { content: content.finish(), pictures: pictures.finish() })
    }

    /// Makes or decodes the images.
    ///
    /// # Errors
    /// What is wrong in an image, or between an image and its landmarks.
    pub fn load(&self) -> Result<Dataset> {
        match &self.source {
            Read::Phantom(spec) => Ok(self.split(spec.generate()?)),
            Read::Folder(index) => index.decode_by(&self.splits),
            Read::Custom(listing) => listing.load(&self.splits),
        }
    }

    /// Some of its images as they are, by their places in the data set.
    ///
    /// # Errors
    /// As [`DatasetIndex::load`], for these images.
    pub fn originals(&self, places: &[usize]) -> Result<Vec<Sample>> {
        let there: Vec<usize> = places.iter().copied().filter(|place| *place < self.splits.len()).collect();
        let mut samples = match &self.source {
            Read::Phantom(spec) => spec.samples(&there),
            Read::Folder(index) => index.samples(&there)?,
            Read::Custom(listing) => listing.samples(&there)?,
        };
        for (sample, place) in samples.iter_mut().zip(there) {
            sample.split = self.splits[place];
        }
        Ok(samples)
    }

    /// Landmark names, in order.
    #[must_use]
    pub fn landmarks(&self) -> Vec<String> {
        match &self.source {
            Read::Phantom(_) => phantom::LANDMARKS.map(str::to_owned).to_vec(),
            Read::Folder(index) => index.landmarks().to_vec(),
            Read::Custom(listing) => listing.landmarks.clone(),
        }
    }

    /// Name and split of every image, in order.
    #[must_use]
    pub fn images(&self) -> Vec<(String, Split)> {
        let names: Vec<String> = match &self.source {
            Read::Phantom(spec) => spec.without_pixels().samples.into_iter().map(|sample| sample.image).collect(),
            Read::Folder(index) => index.cards().map(|card| card.image.to_owned()).collect(),
            Read::Custom(listing) => listing.images.iter().map(|image| image.name.clone()).collect(),
        };
        names.into_iter().zip(self.splits.iter().copied()).collect()
    }

    /// Error between the people who marked it, where the data set states one.
    #[must_use]
    pub fn observer_mre(&self) -> Option<Millimetres> {
        match &self.source {
            Read::Phantom(_) => None,
            Read::Folder(index) => index.observer_mre(),
            Read::Custom(listing) => listing.observer_mre,
        }
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.source {
            Read::Phantom(_) => "phantom".to_owned(),
            Read::Folder(index) => index.name().to_owned(),
            Read::Custom(listing) => listing.name.clone(),
        }
    }

    /// Where a split's images are in the data set.
    #[must_use]
    pub fn places(&self, split: Split) -> Vec<usize> {
        (0..self.splits.len()).filter(|place| self.splits[*place] == split).collect()
    }

    /// Its landmarks and numbers of images.
    #[must_use]
    pub fn summary(&self) -> DatasetSummary {
        let landmarks = match &self.source {
            Read::Phantom(_) => phantom::LANDMARKS.len(),
            Read::Folder(index) => index.landmarks().len(),
            Read::Custom(listing) => listing.landmarks.len(),
        };
        let count = |split: Split| self.splits.iter().filter(|s| **s == split).count();
        DatasetSummary { landmarks, train: count(Split::Train), val: count(Split::Val) }
    }

    /// The data set without a grey value, given its images' sizes; `None` if there are not as many.
    pub(super) fn without_pixels(&self, sizes: &[Size]) -> Option<Dataset> {
        let dataset = match &self.source {
            Read::Phantom(spec) => spec.without_pixels(),
            Read::Folder(index) => index.without_pixels(sizes),
            Read::Custom(listing) if listing.images.len() != sizes.len() => return None,
            Read::Custom(listing) => listing.without_pixels(sizes),
        };
        let fits =
            dataset.samples.len() == sizes.len() && dataset.samples.iter().zip(sizes).all(|(s, of)| s.size == *of);
        fits.then(|| self.split(dataset))
    }

    /// The data set, its images where the deal put them.
    fn split(&self, mut dataset: Dataset) -> Dataset {
        for (sample, split) in dataset.samples.iter_mut().zip(&self.splits) {
            sample.split = *split;
        }
        dataset
    }
}

/// Feeds a hash field by field; lengths go before contents, so that no two lists of fields spell the same bytes.
pub(super) struct Fields(blake3::Hasher);

impl Fields {
    pub(super) fn new(purpose: &str) -> Self {
        Self(blake3::Hasher::new_derive_key(purpose))
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    pub(super) fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    /// What an image's landmarks are called.
    pub(super) fn names(&mut self, landmarks: &[String]) {
        self.number(landmarks.len() as u64);
        for name in landmarks {
            self.bytes(name.as_bytes());
        }
    }

    /// All that is known of an image of a data set; `content` is a hash of its bytes.
    pub(super) fn image(
        &mut self,
        name: &str,
        split: Option<Split>,
        content: &blake3::Hash,
        spacing: Spacing,
        landmarks: &[Option<Point>],
    ) {
        self.bytes(name.as_bytes());
        if let Some(split) = split {
            self.bytes(split.name().as_bytes());
        }
        self.bytes(content.as_bytes());
        self.real(spacing.x);
        self.real(spacing.y);
        for point in landmarks {
            // A missing landmark is told from any that is there by its length.
            match point {
                Some(point) => {
                    self.real(point.x);
                    self.real(point.y);
                }
                None => self.bytes(&[]),
            }
        }
    }

    pub(super) fn real(&mut self, number: f64) {
        self.bytes(&number.to_le_bytes());
    }

    pub(super) fn hash(&self) -> blake3::Hash {
        self.0.finalize()
    }

    /// Hexadecimal.
    pub(super) fn finish(&self) -> String {
        self.hash().to_hex().to_string()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests change data sets' files")]
mod tests {
    use std::fs;

    use super::*;
    use crate::tests::tiny;
    use crate::{DatasetSpec, Source};

    #[test]
    fn a_content_is_all_that_is_measured_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let hash = |name: &str, change: &dyn Fn(&std::path::Path)| {
            let dir = root.path().join(name);
            folder::write(&tiny(), &dir).unwrap();
            change(&dir);
            DatasetSpec::folder(dir).content_hash().unwrap()
        };
        let edit = |file: &'static str, from: &'static str, to: &'static str| {
            move |dir: &std::path::Path| {
                let text = fs::read_to_string(dir.join(file)).unwrap();
                assert!(text.contains(from), "{text}");
                fs::write(dir.join(file), text.replacen(from, to, 1)).unwrap();
            }
        };
        let plain = hash("plain", &|_| ());
        assert_eq!(hash("elsewhere", &|_| ()), plain);
        assert_eq!(hash("named", &edit("dataset.toml", "\"tiny\"", "\"other\" # a word")), plain);
        assert_eq!(hash("spelt", &edit("landmarks.csv", "2.5", " 2.50")), plain);
        for (what, other) in [
            ("position", hash("position", &edit("landmarks.csv", "2.5", "2.75"))),
            ("split", hash("split", &edit("landmarks.csv", "train", "test"))),
            ("name", hash("name", &edit("landmarks.csv", "a_x,a_y", "c_x,c_y"))),
            ("missing", hash("missing", &edit("landmarks.csv", "7.5,5.125", ","))),
            ("spacing", hash("spacing", &edit("dataset.toml", "0.25", "0.5"))),
            (
                "order",
                hash("order", &|dir| {
                    let text = fs::read_to_string(dir.join("landmarks.csv")).unwrap();
                    let lines: Vec<&str> = text.lines().collect();
                    fs::write(dir.join("landmarks.csv"), [lines[0], lines[2], lines[1], lines[3]].join("\n")).unwrap();
                }),
            ),
            (
                "image",
                hash("image", &|dir| {
                    fs::copy(dir.join("images/2.png"), dir.join("images/1.png")).unwrap();
                }),
            ),
        ] {
            assert_ne!(other, plain, "{what}");
        }
    }

    #[test]
    fn of_phantoms_it_is_what_they_are_drawn_from() {
        let hash = |spec| DatasetSpec::from(Source::Phantom(spec)).content_hash().unwrap();
        let plain = PhantomSpec::default();
        assert_eq!(hash(plain.clone()), hash(plain.clone()));
        assert_ne!(hash(plain.clone()), hash(PhantomSpec { seed: 1, ..plain.clone() }));
        assert_ne!(hash(plain.clone()), hash(PhantomSpec { val: 25, ..plain }));
    }

    #[test]
    fn originals_and_numbers_are_those_of_the_whole() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("set");
        folder::write(&tiny(), &dir).unwrap();
        let phantom = PhantomSpec { train: 2, val: 3, height: 40, width: 40, seed: 0 };
        for spec in [DatasetSpec::folder(dir), Source::Phantom(phantom).into()] {
            let opened = spec.open().unwrap();
            let whole = opened.load().unwrap();
            let some = opened.originals(&[2, 0]).unwrap();
            assert_eq!(some, [whole.samples[2].clone(), whole.samples[0].clone()]);
            let DatasetSummary { landmarks, train, val } = opened.summary();
            assert_eq!(landmarks, whole.landmarks.len());
            assert_eq!((train, val), (whole.indices(Split::Train).len(), whole.indices(Split::Val).len()));
        }
    }
}
