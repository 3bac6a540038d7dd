//! Data sets of a program's own: where images and landmarks come from when it is neither a folder nor a phantom.

#![expect(clippy::disallowed_methods, reason = "reads the image files that a program names")]

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rayon::prelude::*;
use serde::de::DeserializeOwned;

use super::index::Fields;
use super::pictures::Photograph;
use super::split::SplitItem;
use super::{Dataset, Sample, Split, folder, has_both_splits, unmarked};
use sweep_core::error::{Error, Result};
use sweep_core::registry::{Registry, Component};
use sweep_core::units::{Millimetres, Point, Size, Spacing};

/// Where images and landmarks come from. Its value is its options. What it lists is hashed into every trial's identity,
/// so that other images or landmarks make other trials, without a version to keep.
pub trait CustomDataset: Send + Sync + 'static {
    /// Whether its options are possible; looks at no file.
    ///
    /// # Errors
    /// The option's name is the error's place.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Every image and all that is known of it; asked by every process that needs the data, once or twice.
    ///
    /// # Errors
    /// When it cannot be known.
    fn list(&self) -> Result<Listing>;
}

/// Adds a data set under a name; `D` is also what its options are.
///
/// # Errors
/// When there is one of this name.
pub fn add_dataset<D: CustomDataset + DeserializeOwned>(kind: &str) -> Result<()> {
    <dyn CustomDataset>::registry().register(kind, |dataset: D| Arc::new(dataset) as Arc<dyn CustomDataset>)
}

impl Component for dyn CustomDataset {
    const NAME: &'static str = "data set";

    fn registry() -> &'static Registry<Self> {
        static REGISTRY: Registry<dyn CustomDataset> = Registry::new();
        &REGISTRY
    }

    fn check(&self) -> Result<()> {
        CustomDataset::check(self)
    }

    fn version(&self) -> Result<Option<String>> {
        Ok(None)
    }
}

/// A data set before an image is decoded.
#[derive(Debug, Clone)]
pub struct Listing {
    /// Its name.
    pub name: String,
    /// Landmark names, in order.
    pub landmarks: Vec<String>,
    /// Error between the people who marked it, where that is known: the floor to judge results by.
    pub observer_mre: Option<Millimetres>,
    /// Its images, in an order that stays.
    pub images: Vec<Image>,
}

/// An image of a [`Listing`].
#[derive(Debug, Clone)]
pub struct Image {
    /// What it is called in the records: a relative path without `..`, of one image only.
    pub name: String,
    /// Its grey values.
    pub pixels: Pixmap,
    /// Which part of the data set it belongs to.
    pub split: Split,
    /// One per name in [`Listing::landmarks`], in its own pixels: centres are whole numbers, x to the right, y down; `None`
    /// where missing.
    pub landmarks: Vec<Option<Point>>,
    /// Millimetres per pixel.
    pub spacing: Spacing,
    /// Whose image it is, where that is known: images of one patient are never divided between folds.
    pub patient: Option<String>,
}

/// Reads an image when its grey values are needed.
type Reader = Arc<dyn Fn() -> Result<Photograph> + Send + Sync>;

/// Where an image's grey values are.
#[derive(Clone)]
pub enum Pixmap {
    /// In a file of a format that data-set folders may have.
    File(PathBuf),
    /// Here.
    Grey(Arc<Photograph>),
    /// Wherever a function takes them from.
    Lazy {
        /// Bytes that are others when the image is another: a hash of it, a number and a date.
        content: Vec<u8>,
        /// Reads it.
        read: Reader,
    },
}

impl Pixmap {
    /// Grey values, row by row, 0 is black.
    #[must_use]
    pub fn grey(size: Size, pixels: Vec<u8>) -> Self {
        Self::Grey(Arc::new(Photograph { size, pixels }))
    }

    /// Taken from where `read` takes them when they are needed; `content` must be other bytes when the image is another.
    #[must_use]
    pub fn lazy(content: impl Into<Vec<u8>>, read: impl Fn() -> Result<Photograph> + Send + Sync + 'static) -> Self {
        Self::Lazy { content: content.into(), read: Arc::new(read) }
    }

    fn read(&self) -> Result<Photograph> {
        match self {
            Self::File(path) => Photograph::read(path),
            Self::Grey(grey) => Ok(grey.as_ref().clone()),
            Self::Lazy { read, .. } => read(),
        }
    }

    /// A hash of what tells it from others.
    fn digest(&self) -> Result<blake3::Hash> {
        match self {
            Self::File(path) => {
                let bytes = fs::read(path);
                let bytes = bytes.map_err(|e| Error::input(format!("cannot be read: {e}")).at(path.display()))?;
                Ok(blake3::hash(&bytes))
            }
            Self::Grey(grey) => {
                let mut fields = Fields::new("landmark-sweep 2026 grey values");
                fields.number(grey.size.height as u64);
                fields.number(grey.size.width as u64);
                fields.bytes(&grey.pixels);
                Ok(fields.hash())
            }
            Self::Lazy { content, .. } => {
                let mut fields = Fields::new("landmark-sweep 2026 what tells an image from others");
                fields.bytes(content);
                Ok(fields.hash())
            }
        }
    }
}

impl fmt::Debug for Pixmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Grey(grey) => f.debug_tuple("Grey").field(&grey.size).finish_non_exhaustive(),
            Self::Lazy { content, .. } => f.debug_struct("Lazy").field("content", content).finish_non_exhaustive(),
        }
    }
}

impl Image {
    fn sample(&self, size: Size, pixels: Vec<u8>) -> Sample {
        Sample {
            image: self.name.clone(),
            split: self.split,
            size,
            pixels,
            landmarks: self.landmarks.clone(),
            spacing: self.spacing,
            patient: self.patient.clone(),
        }
    }

    /// What can be wrong before its size is known.
    fn check(&self, names: &[String]) -> Result<()> {
        folder::inside(&self.name)?;
        let (marked, wanted) = (self.landmarks.len(), names.len());
        if marked != wanted {
            return Err(Error::input(format!("{marked} landmarks of {wanted}"))
                .remedy("list an entry per landmark, None where it is missing"));
        }
        let is_nowhere = |point: &&Option<Point>| point.is_some_and(|p| !(p.x.is_finite() && p.y.is_finite()));
        if self.landmarks.iter().any(|point| is_nowhere(&point)) {
            return Err(Error::input("a coordinate is no number").remedy("list a missing landmark as None"));
        }
        if !self.spacing.is_valid() {
            return Err(Error::input(format!("spacing {} × {} mm per pixel", self.spacing.x, self.spacing.y))
                .remedy("both must be positive"));
        }
        Ok(())
    }
}

impl Listing {
    /// That it can be a data set; looks at no file.
    pub(super) fn check(&self) -> Result<()> {
        for image in &self.images {
            image.check(&self.landmarks).map_err(|e| self.place(e, &image.name))?;
        }
        let unseen = self.images.iter().map(|image| image.sample(Size { height: 1, width: 1 }, Vec::new()));
        self.dataset(unseen.collect()).check_names().map_err(|e| e.at(format!("data set {}", self.name)))
    }

    pub(super) fn check_splits(&self, splits: &[Split]) -> Result<()> {
        for (image, split) in self.images.iter().zip(splits) {
            if *split != Split::Test && image.landmarks.iter().all(Option::is_none) {
                return Err(self.place(unmarked(), &image.name));
            }
        }
        has_both_splits(splits.iter().copied()).map_err(|e| e.at(format!("data set {}", self.name)))
    }

    fn place(&self, error: Error, image: &str) -> Error {
        error.at(format!("data set {}: {image}", self.name))
    }

    /// What a deal of images depends on, an image at a time.
    pub(super) fn cards(&self) -> impl Iterator<Item = SplitItem<'_>> {
        self.images.iter().map(|i| SplitItem { image: &i.name, patient: i.patient.as_deref(), split: i.split })
    }

    pub(super) fn digests(&self) -> Result<Vec<blake3::Hash>> {
        let digest = |image: &Image| image.pixels.digest().map_err(|e| self.place(e, &image.name));
        let digests: Vec<Result<blake3::Hash>> = self.images.par_iter().map(digest).collect();
        digests.into_iter().collect()
    }

    /// As [`folder::Index::hash`].
    pub(super) fn hash(&self, digests: &[blake3::Hash], splits: Option<&[Split]>, fields: &mut Fields) {
        fields.names(&self.landmarks);
        for (place, (image, digest)) in self.images.iter().zip(digests).enumerate() {
            let split = splits.and_then(|splits| splits.get(place)).copied();
            fields.image(&image.name, split, digest, image.spacing, &image.landmarks);
        }
    }

    fn sample(&self, image: &Image) -> Result<Sample> {
        let Photograph { size, pixels } = image.pixels.read().map_err(|e| self.place(e, &image.name))?;
        let sample = image.sample(size, pixels);
        sample.check(&self.landmarks).map_err(|e| self.place(e, &image.name))?;
        Ok(sample)
    }

    /// Some images, by their places.
    pub(super) fn samples(&self, places: &[usize]) -> Result<Vec<Sample>> {
        places.iter().filter_map(|place| self.images.get(*place)).map(|image| self.sample(image)).collect()
    }

    /// Every image, in parallel; the first error is always the same one.
    pub(super) fn load(&self, splits: &[Split]) -> Result<Dataset> {
        let images = self.images.par_iter().zip(splits);
        let samples: Vec<Result<Sample>> =
            images.map(|(image, split)| Ok(Sample { split: *split, ..self.sample(image)? })).collect();
        let dataset = self.dataset(samples.into_iter().collect::<Result<_>>()?);
        dataset.check().map_err(|e| e.at(format!("data set {}", self.name)))?;
        Ok(dataset)
    }

    /// The data set without a grey value, given as many sizes as images.
    pub(super) fn without_pixels(&self, sizes: &[Size]) -> Dataset {
        self.dataset(self.images.iter().zip(sizes).map(|(image, size)| image.sample(*size, Vec::new())).collect())
    }

    fn dataset(&self, samples: Vec<Sample>) -> Dataset {
        let (name, landmarks, observer_mre) = (self.name.clone(), self.landmarks.clone(), self.observer_mre);
        Dataset { name, landmarks, observer_mre, samples }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::tests::tiny;
    use crate::{DatasetSpec, SplitSpec};

    /// The folder of [`tiny`], by its files.
    #[derive(Deserialize)]
    struct Files {
        path: PathBuf,
        lazy: bool,
    }

    impl CustomDataset for Files {
        fn list(&self) -> Result<Listing> {
            let image = |sample: Sample| Image {
                pixels: if self.lazy {
                    let grey = Photograph { size: sample.size, pixels: sample.pixels };
                    Pixmap::lazy(sample.image.clone(), move || Ok(grey.clone()))
                } else {
                    Pixmap::File(self.path.join("images").join(&sample.image))
                },
                name: sample.image,
                split: sample.split,
                landmarks: sample.landmarks,
                spacing: sample.spacing,
                patient: sample.patient,
            };
            let Dataset { name, landmarks, observer_mre, samples } = tiny();
            Ok(Listing { name, landmarks, observer_mre, images: samples.into_iter().map(image).collect() })
        }
    }

    #[test]
    fn the_same_files_and_landmarks_are_the_same_data() {
        let root = tempfile::tempdir().unwrap();
        folder::write(&tiny(), root.path()).unwrap();
        add_dataset::<Files>("files of a test").unwrap();
        let own = |lazy: bool, rest: &str| -> DatasetSpec {
            let path = root.path().display();
            let options = format!("options = {{ path = '{path}', lazy = {lazy} }}");
            toml::from_str(&format!("name = 'custom'\nkind = 'files of a test'\n{options}\n{rest}")).unwrap()
        };
        let folder = DatasetSpec::folder(root.path());
        let theirs = folder.open().unwrap();
        for spec in [own(false, ""), own(true, "")] {
            let ours = spec.open().unwrap();
            assert_eq!(ours.load().unwrap(), theirs.load().unwrap());
            assert_eq!(ours.originals(&[2, 0]).unwrap(), theirs.originals(&[2, 0]).unwrap());
            assert_eq!((ours.images(), ours.landmarks()), (theirs.images(), theirs.landmarks()));
            assert_eq!(ours.summary(), theirs.summary());
            assert_eq!((ours.name(), ours.observer_mre()), (theirs.name(), theirs.observer_mre()));
        }
        assert_eq!(own(false, "").content_hash().unwrap(), folder.content_hash().unwrap());
        assert_ne!(own(true, "").content_hash().unwrap(), folder.content_hash().unwrap());
        let dealt = own(false, "folds = 3\nfold = 1");
        assert_ne!(dealt.content_hash().unwrap(), folder.content_hash().unwrap());
        assert_eq!(dealt.open().unwrap().summary().val, 1);
    }

    #[test]
    fn what_a_listing_must_not_be_is_told() {
        type Case<'a> = (&'a dyn Fn(&mut Listing), &'a str);
        let good = || {
            let Dataset { name, landmarks, observer_mre, samples } = tiny();
            let image = |sample: Sample| Image {
                name: sample.image,
                pixels: Pixmap::grey(sample.size, sample.pixels),
                split: sample.split,
                landmarks: sample.landmarks,
                spacing: sample.spacing,
                patient: None,
            };
            Listing { name, landmarks, observer_mre, images: samples.into_iter().map(image).collect() }
        };
        let opened = |change: &dyn Fn(&mut Listing)| {
            let mut listing = good();
            change(&mut listing);
            super::super::DatasetIndex::custom(listing, &SplitSpec::default()).and_then(|opened| opened.load())
        };
        assert_eq!(opened(&|_| ()).unwrap(), tiny());
        let cases: [Case<'_>; 11] = [
            (&|l| l.images[1].name = "../2.png".into(), "leads out"),
            (&|l| l.images[1].name = "1.png".into(), "two images"),
            (&|l| l.landmarks[1] = "a".into(), "two landmarks"),
            (&|l| l.images[0].landmarks.truncate(1), "1 landmarks of 2"),
            (&|l| l.images[0].landmarks[0] = Some(Point { x: f64::NAN, y: 1.0 }), "no number"),
            (&|l| l.images[0].landmarks[0] = Some(Point { x: 99.0, y: 1.0 }), "outside"),
            (&|l| l.images[0].spacing.x = 0.0, "spacing"),
            (&|l| l.images[0].landmarks = vec![None, None], "not one landmark"),
            (&|l| l.images[2].split = Split::Train, "split `val`"),
            (&|l| l.images[0].pixels = Pixmap::File("there/is/none.png".into()), "cannot be read"),
            (&|l| l.images[0].pixels = Pixmap::grey(Size { height: 2, width: 2 }, vec![0; 3]), "do not make"),
        ];
        for (change, what) in cases {
            let error = opened(change).unwrap_err();
            assert!(error.message.contains(what), "{what}: {error}");
            assert!(error.location.as_deref().is_some_and(|place| place.starts_with("data set tiny")), "{error}");
        }
    }
}
