//! A data set before any of its images is decoded: what it holds, as a hash and in numbers.

use super::phantom::{self, PhantomSpec};
use super::{Dataset, Sample, Split, folder};
use crate::error::{Error, Result};
use crate::units::Size;

/// A data set of which everything but grey values has been read.
#[derive(Debug)]
pub enum Opened {
    /// Made-up radiographs.
    Phantom(PhantomSpec),
    /// A data-set folder.
    Folder(folder::Index),
}

/// A data set in three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outline {
    /// Landmarks of an image.
    pub landmarks: usize,
    /// Training images.
    pub train: usize,
    /// Validation images.
    pub val: usize,
}

impl Opened {
    /// A fingerprint (hexadecimal) of all that training and evaluation see, from files as they lie there and not from
    /// decoded images: image files' bytes, landmarks and their names, spacing, splits, image names and order; of
    /// phantoms, what they are drawn from. A data set's folder, its name and the spelling of its tables are not part of
    /// it.
    ///
    /// # Errors
    /// When an image file cannot be read.
    pub fn content_hash(&self) -> Result<String> {
        let mut fields = Fields::new("landmark-sweep 2026 content of a data set");
        match self {
            Self::Phantom(spec) => {
                let json = serde_json::to_string(spec).map_err(|e| Error::definition(e.to_string()))?;
                fields.bytes(b"phantom");
                fields.number(phantom::VERSION);
                fields.bytes(json.as_bytes());
            }
            Self::Folder(index) => {
                fields.bytes(b"images");
                index.hash(&mut fields)?;
            }
        }
        Ok(fields.finish())
    }

    /// Makes or decodes the images.
    ///
    /// # Errors
    /// What is wrong in an image, or between an image and its landmarks.
    pub fn load(&self) -> Result<Dataset> {
        match self {
            Self::Phantom(spec) => spec.generate(),
            Self::Folder(index) => index.decode(),
        }
    }

    /// Some of its images as they are, by their places in the data set.
    ///
    /// # Errors
    /// As [`Opened::load`], for these images.
    pub fn originals(&self, places: &[usize]) -> Result<Vec<Sample>> {
        match self {
            Self::Phantom(spec) => Ok(spec.samples(places)),
            Self::Folder(index) => index.samples(places),
        }
    }

    /// Its landmarks and numbers of images.
    #[must_use]
    pub fn outline(&self) -> Outline {
        let (landmarks, train, val) = match self {
            Self::Phantom(spec) => (phantom::LANDMARKS.len(), spec.train, spec.val),
            Self::Folder(index) => (index.landmarks().len(), index.images(Split::Train), index.images(Split::Val)),
        };
        Outline { landmarks, train, val }
    }

    /// The data set without a grey value, given its images' sizes; `None` if there are not as many.
    pub(super) fn without_pixels(&self, sizes: &[Size]) -> Option<Dataset> {
        let dataset = match self {
            Self::Phantom(spec) => spec.without_pixels(),
            Self::Folder(index) => index.without_pixels(sizes),
        };
        let fits =
            dataset.samples.len() == sizes.len() && dataset.samples.iter().zip(sizes).all(|(s, of)| s.size == *of);
        fits.then_some(dataset)
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

    pub(super) fn real(&mut self, number: f64) {
        self.bytes(&number.to_le_bytes());
    }

    /// Hexadecimal.
    pub(super) fn finish(&self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests change data sets' files")]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::tests::tiny;

    #[test]
    fn a_content_is_all_that_is_measured_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let hash = |name: &str, change: &dyn Fn(&std::path::Path)| {
            let dir = root.path().join(name);
            folder::write(&tiny(), &dir).unwrap();
            change(&dir);
            Opened::Folder(folder::Index::read(&dir).unwrap()).content_hash().unwrap()
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
        let hash = |spec| Opened::Phantom(spec).content_hash().unwrap();
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
        for opened in [Opened::Folder(folder::Index::read(&dir).unwrap()), Opened::Phantom(phantom)] {
            let whole = opened.load().unwrap();
            let some = opened.originals(&[2, 0]).unwrap();
            assert_eq!(some, [whole.samples[2].clone(), whole.samples[0].clone()]);
            let Outline { landmarks, train, val } = opened.outline();
            assert_eq!(landmarks, whole.landmarks.len());
            assert_eq!((train, val), (whole.indices(Split::Train).len(), whole.indices(Split::Val).len()));
        }
    }
}
