//! Data sets that a program registers: images and landmarks from neither a folder nor phantoms.

use std::sync::Arc;

use rayon::prelude::*;
use serde::de::DeserializeOwned;

use crate::Channels;
use crate::content_hash::ContentHasher;
use crate::dataset::{Dataset, Sample, Split, observers_in_unit, one_unit, unmarked};
use crate::pictures::Photograph;
use crate::progress::count_image;
use crate::relative_path::relative_path;
use crate::source::{ImageSource, OpenedSource, check_no_column};
use crate::split::{SplitItem, SplitSpec};
use sweep_core::error::{Error, Result};
use sweep_core::registry::{Component, Custom, Registry};
use sweep_core::units::{ErrorUnit, Millimetres, Point, Size, Spacing};

mod pixmap;

pub use pixmap::Pixmap;

/// A source of images and landmarks. Its fields are its options. Its listing is hashed into every trial's identity, so that
/// other images or landmarks make other trials; it needs no version.
pub trait CustomDataset: Send + Sync + 'static {
    /// Whether its options are possible; reads no file.
    ///
    /// # Errors
    /// Names the option.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Every image with its landmarks. Every process that needs the data calls it once or twice.
    ///
    /// # Errors
    /// When the data cannot be listed.
    fn list(&self) -> Result<Listing>;
}

/// Registers a data set under a name; `D` deserializes its options.
///
/// # Errors
/// When the name is taken.
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
    /// Error between human observers, where known: the floor to judge results by.
    pub observer_mre: Option<Millimetres>,
    /// Its images, always in the same order.
    pub images: Vec<Image>,
}

/// An image of a [`Listing`].
#[derive(Debug, Clone)]
pub struct Image {
    /// Its name in the records: a relative path without `..`, unique.
    pub name: String,
    /// Its pixels.
    pub pixels: Pixmap,
    /// Which part of the data set it belongs to.
    pub split: Split,
    /// One per name in `Listing::landmarks`, in its own pixels: centres are whole numbers, x to the right, y down; `None`
    /// where missing.
    pub landmarks: Vec<Option<Point>>,
    /// Millimetres per pixel; `None` of all images where they are not known, and errors are in pixels.
    pub spacing: Option<Spacing>,
    /// The patient, where known: images of one patient are never divided between folds.
    pub patient: Option<String>,
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

    /// Checks that need no image size.
    fn check(&self, names: &[String]) -> Result<()> {
        relative_path(&self.name)?;
        let (marked, wanted) = (self.landmarks.len(), names.len());
        if marked != wanted {
            return Err(Error::input(format!("{marked} landmarks of {wanted}"))
                .remedy("list an entry per landmark, None where it is missing"));
        }
        let is_nowhere = |point: &&Option<Point>| point.is_some_and(|p| !(p.x.is_finite() && p.y.is_finite()));
        if self.landmarks.iter().any(|point| is_nowhere(&point)) {
            return Err(Error::input("a coordinate is no number").remedy("list a missing landmark as None"));
        }
        if let Some(spacing) = self.spacing.filter(|spacing| !spacing.is_valid()) {
            return Err(Error::input(format!("spacing {} × {} mm per pixel", spacing.x, spacing.y))
                .remedy("both must be positive"));
        }
        Ok(())
    }
}

impl ImageSource for Custom<dyn CustomDataset> {
    fn check(&self, split: &SplitSpec) -> Result<()> {
        check_no_column(split)?;
        Custom::check(self)
    }

    fn open(&self, _: &SplitSpec) -> Result<Box<dyn OpenedSource>> {
        self.get()?.list()?.open()
    }
}

/// A listing that was checked, and how its images are read.
#[derive(Debug)]
struct OpenedListing {
    listing: Listing,
    channels: Channels,
}

impl Listing {
    /// The unit of its landmark errors.
    fn unit(&self) -> ErrorUnit {
        let is_unknown = self.images.first().is_some_and(|image| image.spacing.is_none());
        if is_unknown { ErrorUnit::Pixels } else { ErrorUnit::Millimetres }
    }

    /// The listing as a source, checked; reads no file.
    fn open(self) -> Result<Box<dyn OpenedSource>> {
        for image in &self.images {
            image.check(&self.landmarks).map_err(|e| self.locate(e, &image.name))?;
        }
        one_unit(&self.images.iter().map(|image| (image.name.as_str(), image.spacing)))
            .and_then(|()| observers_in_unit(self.unit(), self.observer_mre))
            .map_err(|e| e.at(format!("data set {}", self.name)))?;
        let without_pixels = self.images.iter().map(|image| image.sample(Size { height: 1, width: 1 }, Vec::new()));
        self.dataset(without_pixels.collect()).check_names().map_err(|e| e.at(format!("data set {}", self.name)))?;
        Ok(Box::new(OpenedListing { listing: self, channels: Channels::Grey }))
    }

    fn check_splits(&self, splits: &[Split], by: &SplitSpec) -> Result<()> {
        for (image, split) in self.images.iter().zip(splits) {
            if *split != Split::Test && image.landmarks.iter().all(Option::is_none) {
                return Err(self.locate(unmarked(), &image.name));
            }
        }
        by.check_present(splits).map_err(|e| e.at(format!("data set {}", self.name)))
    }

    /// The error with the data set and the image as its place.
    fn locate(&self, error: Error, image: &str) -> Error {
        error.at(format!("data set {}: {image}", self.name))
    }

    fn digests(&self) -> Result<Vec<blake3::Hash>> {
        self.digests_of(self.images.iter().collect())
    }

    fn digests_of(&self, images: Vec<&Image>) -> Result<Vec<blake3::Hash>> {
        let digest = |image: &Image| image.pixels.digest().map_err(|e| self.locate(e, &image.name));
        let digests: Vec<Result<blake3::Hash>> = images.into_par_iter().map(digest).collect();
        digests.into_iter().collect()
    }

    /// Hashes the same fields as a data-set folder does.
    fn hash_images(&self, digests: &[blake3::Hash], splits: Option<&[Split]>, hasher: &mut ContentHasher) {
        hasher.names(&self.landmarks);
        for (index, (image, digest)) in self.images.iter().zip(digests).enumerate() {
            let split = splits.and_then(|splits| splits.get(index)).copied();
            hasher.image(&image.name, split, digest, image.spacing, &image.landmarks);
        }
    }

    fn sample(&self, image: &Image, channels: Channels) -> Result<Sample> {
        let Photograph { size, pixels } = image.pixels.read(channels).map_err(|e| self.locate(e, &image.name))?;
        count_image();
        let sample = image.sample(size, pixels);
        sample.check(&self.landmarks).map_err(|e| self.locate(e, &image.name))?;
        Ok(sample)
    }

    fn dataset(&self, samples: Vec<Sample>) -> Dataset {
        let (name, landmarks, observer_mre) = (self.name.clone(), self.landmarks.clone(), self.observer_mre);
        Dataset { name, landmarks, observer_mre, normalise: None, samples }
    }
}

impl OpenedSource for OpenedListing {
    fn name(&self) -> String {
        self.listing.name.clone()
    }

    fn landmarks(&self) -> Vec<String> {
        self.listing.landmarks.clone()
    }

    fn observer_mre(&self) -> Option<Millimetres> {
        self.listing.observer_mre
    }

    fn unit(&self) -> ErrorUnit {
        self.listing.unit()
    }

    fn images(&self) -> Vec<String> {
        self.listing.images.iter().map(|image| image.name.clone()).collect()
    }

    fn set_colour(&mut self) -> Result<()> {
        self.channels = Channels::Colour;
        Ok(())
    }

    fn assign(&self, split: &SplitSpec) -> Result<Vec<Split>> {
        let items = self.listing.images.iter().map(|i| SplitItem {
            image: &i.name,
            patient: i.patient.as_deref(),
            group: None,
            split: i.split,
        });
        let splits = split.assign(&items.collect::<Vec<_>>())?;
        self.listing.check_splits(&splits, split)?;
        Ok(splits)
    }

    fn hash(
        &self,
        splits: &[Split],
        content: &mut ContentHasher,
        pictures: &mut ContentHasher,
    ) -> Result<Vec<blake3::Hash>> {
        // The same fields as of a folder: equal images and landmarks are equal data, whatever their source.
        let digests = self.listing.digests()?;
        content.bytes(b"images");
        pictures.bytes(b"images");
        self.listing.hash_images(&digests, Some(splits), content);
        self.listing.hash_images(&digests, None, pictures);
        Ok(digests)
    }

    fn image_hashes(&self, indices: &[usize]) -> Result<Vec<blake3::Hash>> {
        self.listing.digests_of(indices.iter().filter_map(|index| self.listing.images.get(*index)).collect())
    }

    /// In parallel; the first error is always the same one.
    fn load(&self, splits: &[Split]) -> Result<Dataset> {
        let images = self.listing.images.par_iter().zip(splits);
        let samples: Vec<Result<Sample>> = images
            .map(|(image, split)| Ok(Sample { split: *split, ..self.listing.sample(image, self.channels)? }))
            .collect();
        let dataset = self.listing.dataset(samples.into_iter().collect::<Result<_>>()?);
        dataset.check_images().map_err(|e| e.at(format!("data set {}", self.listing.name)))?;
        Ok(dataset)
    }

    fn samples(&self, indices: &[usize]) -> Result<Vec<Sample>> {
        indices
            .iter()
            .filter_map(|index| self.listing.images.get(*index))
            .map(|image| self.listing.sample(image, self.channels))
            .collect()
    }

    fn without_pixels(&self, sizes: &[Size]) -> Dataset {
        self.listing.dataset(
            self.listing.images.iter().zip(sizes).map(|(image, size)| image.sample(*size, Vec::new())).collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde::Deserialize;

    use super::*;
    use crate::dataset::tests::tiny;
    use crate::{DatasetIndex, DatasetSpec, folder};

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
            let Dataset { name, landmarks, observer_mre, samples, .. } = tiny();
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
            let Dataset { name, landmarks, observer_mre, samples, .. } = tiny();
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
            DatasetIndex::new(listing.open()?, &SplitSpec::default())?.load()
        };
        assert_eq!(opened(&|_| ()).unwrap(), tiny());
        let cases: [Case<'_>; 12] = [
            (&|l| l.images[1].name = "../2.png".into(), "leads out"),
            (&|l| l.images[1].name = "1.png".into(), "two images"),
            (&|l| l.landmarks[1] = "a".into(), "two landmarks"),
            (&|l| l.images[0].landmarks.truncate(1), "1 landmarks of 2"),
            (&|l| l.images[0].landmarks[0] = Some(Point { x: f64::NAN, y: 1.0 }), "no number"),
            (&|l| l.images[0].landmarks[0] = Some(Point { x: 99.0, y: 1.0 }), "outside"),
            (&|l| l.images[0].spacing = Some(Spacing { x: 0.0, y: 1.0 }), "spacing"),
            (&|l| l.images[0].spacing = None, "of some images"),
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
