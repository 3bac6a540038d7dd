//! An opened data set: everything but grey values, its content hash and its numbers of images.

use std::path::Path;

use crate::Channels;
use crate::content_hash::ContentHasher;
use crate::dataset::{Dataset, Sample, Split};
use crate::flips::Sides;
use crate::folder::FolderIndex;
use crate::normalise::Normaliser;
use crate::picture::GreyRange;
use crate::source::OpenedSource;
use crate::split::SplitSpec;
use sweep_core::error::Result;
use sweep_core::measures::Measures;
use sweep_core::units::{ErrorUnit, Millimetres, Size};

/// Digits of an image's short hash: two of a million images have the same with a probability of one in ten million.
pub const IMAGE_HASH_DIGITS: usize = 16;

/// A data set of which everything but grey values has been read.
#[derive(Debug)]
pub struct DatasetIndex {
    source: Box<dyn OpenedSource>,
    /// Every image's, in order.
    splits: Vec<Split>,
    channels: Channels,
}

/// The part of a data set that enters a trial's identity, and the measures that its results are read by.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetContent {
    /// [`DatasetIndex::content_hash`].
    pub hash: String,
    /// The unit of its landmark errors.
    pub unit: ErrorUnit,
    /// Whether it states a reference length, by which errors are normalised.
    pub is_normalised: bool,
    /// Its landmarks, and which of them change sides in a mirror.
    pub sides: Sides,
    /// Angles, distances and ratios of its landmarks: no part of the identity, but recorded with the trial.
    pub measures: Measures,
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

/// Hashes (hexadecimal) of a data set's content, from files as stored and not from decoded images. A data set's folder, its
/// name and the spelling of its tables are part of neither.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprints {
    /// Everything that training and evaluation use: image files' bytes, landmarks and their names, spacing, splits, image names
    /// and order; of phantoms, their specification.
    pub(crate) content: String,
    /// The same without splits: all folds of a data set have the same pictures.
    pub(crate) pictures: String,
    /// The hash of each image.
    pub(crate) images: Vec<blake3::Hash>,
}

/// The first [`IMAGE_HASH_DIGITS`] of an image's hash (hexadecimal).
#[must_use]
pub fn short_hash(hash: &blake3::Hash) -> String {
    hash.to_hex()[..IMAGE_HASH_DIGITS].to_owned()
}

impl DatasetIndex {
    /// The images of a source, in these splits.
    pub(crate) fn new(source: Box<dyn OpenedSource>, split: &SplitSpec) -> Result<Self> {
        let splits = source.assign(split)?;
        Ok(Self { source, splits, channels: Channels::Grey })
    }

    /// A data-set folder with its own splits, not to be trained on: all its images may be of one split.
    ///
    /// # Errors
    /// See [`folder::read`](crate::folder::read).
    pub fn untrained(path: &Path) -> Result<Self> {
        let index = FolderIndex::read_by(path, &SplitSpec::default())?;
        let splits = index.split_items().iter().map(|item| item.split).collect();
        Ok(Self { source: Box::new(index), splits, channels: Channels::Grey })
    }

    /// A fingerprint (hexadecimal) of everything that training and evaluation use, from files as stored and not from
    /// decoded images: image files' bytes, landmarks and their names, spacing, splits, image names and order; of
    /// phantoms, their specification. A data set's folder, its name and the spelling of its tables are not part of it.
    ///
    /// # Errors
    /// When an image file cannot be read.
    pub fn content_hash(&self) -> Result<String> {
        Ok(self.fingerprints()?.content)
    }

    /// Both fingerprints, from one read of the files.
    pub(crate) fn fingerprints(&self) -> Result<Fingerprints> {
        let mut content = ContentHasher::new("landmark-sweep 2026 content of a data set");
        let mut pictures = ContentHasher::new("landmark-sweep 2026 content of a data set but for its splits");
        // Grey is what there was before there was colour, and keeps its hash.
        if !self.channels.is_grey() {
            content.bytes(b"in colour");
            pictures.bytes(b"in colour");
        }
        let images = self.source.hash(&self.splits, &mut content, &mut pictures)?;
        Ok(Fingerprints { content: content.finish(), pictures: pictures.finish(), images })
    }

    /// Draws or decodes the images.
    ///
    /// # Errors
    /// An error in an image, or between an image and its landmarks.
    pub fn load(&self) -> Result<Dataset> {
        self.source.load(&self.splits)
    }

    /// The images at these indices, in their original size.
    ///
    /// # Errors
    /// Same errors as [`DatasetIndex::load`], for these images.
    pub fn originals(&self, indices: &[usize]) -> Result<Vec<Sample>> {
        let existing: Vec<usize> = indices.iter().copied().filter(|index| *index < self.splits.len()).collect();
        let mut samples = self.source.samples(&existing)?;
        for (sample, index) in samples.iter_mut().zip(existing) {
            sample.split = self.splits[index];
        }
        Ok(samples)
    }

    /// A short hash (hexadecimal) of each image at these indices, from its file as stored: equal for the same image under
    /// any name and in any folder.
    ///
    /// # Errors
    /// When an image file cannot be read.
    pub fn image_hashes(&self, indices: &[usize]) -> Result<Vec<String>> {
        Ok(self.source.image_hashes(indices)?.iter().map(short_hash).collect())
    }

    /// Landmark names, in order.
    #[must_use]
    pub fn landmarks(&self) -> Vec<String> {
        self.source.landmarks()
    }

    /// Name and split of every image, in order.
    #[must_use]
    pub fn images(&self) -> Vec<(String, Split)> {
        self.source.images().into_iter().zip(self.splits.iter().copied()).collect()
    }

    /// Error between human observers, where the data set states one.
    #[must_use]
    pub fn observer_mre(&self) -> Option<Millimetres> {
        self.source.observer_mre()
    }

    /// Values of images of more than 8 bits that become black and white, where all share them.
    #[must_use]
    pub fn grey(&self) -> Option<GreyRange> {
        self.source.grey()
    }

    /// The data set with its images of more than 8 bits shown by another range, as the network that looks at them was trained.
    #[must_use]
    pub fn shown_by(mut self, grey: GreyRange) -> Self {
        self.source.set_grey(grey);
        self
    }

    /// The data set with its images read in grey or in colour.
    ///
    /// # Errors
    /// When it has no colours; the place is the key `channels`.
    pub fn read_in(mut self, channels: Channels) -> Result<Self> {
        if !channels.is_grey() {
            self.source.set_colour()?;
        }
        self.channels = channels;
        Ok(self)
    }

    /// Whether its images are read in grey or in colour.
    #[must_use]
    pub fn channels(&self) -> Channels {
        self.channels
    }

    /// Landmarks that change sides when an image is mirrored, if the data set states them.
    #[must_use]
    pub fn flip_pairs(&self) -> Option<&[[String; 2]]> {
        self.source.flip_pairs()
    }

    /// Angles, distances and ratios of its landmarks, if it defines some.
    ///
    /// # Errors
    /// Never in practice.
    pub fn measures(&self) -> Result<Measures> {
        self.source.measures()
    }

    /// The unit of its landmark errors.
    #[must_use]
    pub fn unit(&self) -> ErrorUnit {
        self.source.unit()
    }

    /// The reference length of an image, if the data set states one.
    #[must_use]
    pub fn normaliser(&self) -> Option<&Normaliser> {
        self.source.normaliser()
    }

    /// The data set's name.
    #[must_use]
    pub fn name(&self) -> String {
        self.source.name()
    }

    /// Indices of a split's images.
    #[must_use]
    pub fn indices(&self, split: Split) -> Vec<usize> {
        (0..self.splits.len()).filter(|index| self.splits[*index] == split).collect()
    }

    /// Its numbers of landmarks and images.
    #[must_use]
    pub fn summary(&self) -> DatasetSummary {
        let count = |split: Split| self.splits.iter().filter(|s| **s == split).count();
        DatasetSummary { landmarks: self.source.landmarks().len(), train: count(Split::Train), val: count(Split::Val) }
    }

    /// The data set without grey values, given its images' sizes; `None` if these are not the images' sizes.
    pub(crate) fn without_pixels(&self, sizes: &[Size]) -> Option<Dataset> {
        if sizes.len() != self.splits.len() {
            return None;
        }
        let dataset = self.source.without_pixels(sizes);
        let fits = dataset.samples.iter().zip(sizes).all(|(sample, size)| sample.size == *size);
        fits.then(|| dataset.with_splits(&self.splits))
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests change data sets' files")]
mod tests {
    use std::fs;

    use super::*;
    use crate::dataset::tests::tiny;
    use crate::phantom::PhantomSpec;
    use crate::{DatasetSpec, Source, folder};

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
            ("grey", hash("grey", &edit("dataset.toml", "name =", "grey = { low = 0, high = 4095 }\nname ="))),
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
    fn an_images_hash_is_of_what_it_shows() {
        let root = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| root.path().join(name));
        folder::write(&tiny(), &one).unwrap();
        folder::write(&tiny(), &two).unwrap();
        let table = fs::read_to_string(two.join("landmarks.csv")).unwrap().replace("1.png", "9.png");
        fs::write(two.join("landmarks.csv"), table).unwrap();
        fs::rename(two.join("images/1.png"), two.join("images/9.png")).unwrap();
        let hashes = |dir: &std::path::Path| DatasetSpec::folder(dir).open().unwrap().image_hashes(&[0, 1, 2]).unwrap();
        assert_eq!(hashes(&one), hashes(&two), "under another name");
        assert!(hashes(&one)[0].len() == 16 && hashes(&one)[0] != hashes(&one)[1]);
        let phantoms = |train, seed| {
            let spec = PhantomSpec { train, val: 2, test: 0, height: 40, width: 40, seed };
            DatasetSpec::from(Source::Phantom(spec)).open().unwrap().image_hashes(&[0, 1, train]).unwrap()
        };
        assert_eq!(phantoms(2, 0), phantoms(3, 0), "more of them are the same ones");
        assert_ne!(phantoms(2, 0), phantoms(2, 1));
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
        let phantom = PhantomSpec { train: 2, val: 3, test: 0, height: 40, width: 40, seed: 0 };
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
