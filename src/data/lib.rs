//! Images with landmarks: what a data set is, where it comes from, and how it reaches a network: resized
//! ([`resize`]), augmented ([`augment`]), in batches ([`loader`]), its landmarks as heatmaps ([`heatmap`]) and back
//! ([`decode`]).

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use phantom::PhantomSpec;
use sweep_core::error::{Error, Result};
use sweep_core::registry::Custom;
use sweep_core::units::{Millimetres, Point, Size, Spacing};

pub use coverage::Coverage;
pub use custom::{CustomDataset, Image, Listing, Pixmap};
pub use index::{DatasetIndex, DatasetSummary};
pub use pixels::Pixels;
pub use split::SplitSpec;
pub use view::View;

pub mod augment;
pub mod cache;
mod coverage;
pub mod custom;
pub mod decode;
pub mod export;
pub mod folder;
mod gpu;
pub mod heatmap;
pub mod import;
mod index;
pub mod inspect;
pub mod loader;
pub mod phantom;
pub mod picture;
pub mod pictures;
mod pixels;
pub mod resize;
mod split;
mod view;

/// Which part of a data set an image belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Trained on.
    Train,
    /// Evaluated after every epoch.
    Val,
    /// Never seen by training.
    Test,
}

impl Split {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Train, Self::Val, Self::Test];

    /// As written in a data set's CSV.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }
}

/// One grey image with its landmarks.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// File name within the data set.
    pub image: String,
    /// Which part it belongs to.
    pub split: Split,
    /// Size of `pixels`.
    pub size: Size,
    /// Grey values, row by row, 0 is black; none where only the resized pictures were loaded, as by [`cache`].
    pub pixels: Vec<u8>,
    /// One per name in [`Dataset::landmarks`], in pixels of this image; `None` where missing.
    pub landmarks: Vec<Option<Point>>,
    /// Millimetres per pixel of this image.
    pub spacing: Spacing,
    /// Whose image it is, where that is known: images of one patient are never divided between folds.
    pub patient: Option<String>,
}

impl Sample {
    /// Whether it is a picture with a place in the world and its landmarks, named `names`, lie on it.
    fn check(&self, names: &[String]) -> Result<()> {
        let size = self.size;
        if size.area() == 0 || self.pixels.len() != size.area() || self.landmarks.len() != names.len() {
            return Err(Error::input(format!(
                "{} grey values and {} landmarks do not make a {}×{} image with {}",
                self.pixels.len(),
                self.landmarks.len(),
                size.width,
                size.height,
                names.len()
            )));
        }
        if !self.spacing.is_valid() {
            return Err(Error::input(format!("spacing {} × {} mm per pixel", self.spacing.x, self.spacing.y))
                .remedy("both must be positive, e.g. 0.1 for a film scanned at 254 dpi"));
        }
        if self.split != Split::Test && self.landmarks.iter().all(Option::is_none) {
            return Err(unmarked());
        }
        let outside = |p: &Point| !p.is_inside(size);
        match names.iter().zip(&self.landmarks).find(|(_, p)| p.as_ref().is_some_and(outside)) {
            Some((name, Some(p))) => Err(Error::input(format!(
                "({}, {}) lies outside the image of {}×{} pixels",
                p.x, p.y, size.width, size.height
            ))
            .at(format!("landmark {name}"))
            .remedy("coordinates are pixels of the image file itself, x to the right, y down, from 0")),
            _ => Ok(()),
        }
    }
}

/// A named set of samples with the same landmarks.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// Its name.
    pub name: String,
    /// Landmark names, in order.
    pub landmarks: Vec<String>,
    /// Error between the people who marked it, where the data set states one: the floor to judge results by.
    pub observer_mre: Option<Millimetres>,
    /// Images, in the order of the file.
    pub samples: Vec<Sample>,
}

impl Dataset {
    /// Whether it can be trained and evaluated on: landmarks on their images, unique names, images in both splits.
    ///
    /// # Errors
    /// Names the image and the landmark that are wrong.
    pub fn check(&self) -> Result<()> {
        for sample in &self.samples {
            sample.check(&self.landmarks).map_err(|e| e.at(&sample.image))?;
        }
        self.check_whole()
    }

    /// As [`Dataset::check`], without a look at any image.
    fn check_whole(&self) -> Result<()> {
        self.check_names()?;
        has_both_splits(self.samples.iter().map(|sample| sample.split))
    }

    /// That names tell landmarks and images apart.
    fn check_names(&self) -> Result<()> {
        if self.landmarks.is_empty() {
            return Err(Error::input("no landmarks"));
        }
        if let Some(name) = first_repeated(self.landmarks.iter().map(String::as_str)) {
            return Err(Error::input(format!("two landmarks are called `{name}`")));
        }
        if let Some(name) = first_repeated(self.samples.iter().map(|s| s.image.as_str())) {
            return Err(Error::input(format!("two images are called `{name}`")));
        }
        Ok(())
    }

    /// Places in [`Dataset::samples`] of a split's images, in order.
    #[must_use]
    pub fn indices(&self, split: Split) -> Vec<usize> {
        (0..self.samples.len()).filter(|&i| self.samples[i].split == split).collect()
    }

    /// Mean radial error on the validation images of guessing every landmark where it lies on average (over the
    /// training images, as a fraction of the image's size): what a network must beat to have learnt anything.
    /// `None` without a landmark that is marked in both splits.
    #[must_use]
    pub fn mean_shape_error(&self) -> Option<Millimetres> {
        let unit = Size { height: 1, width: 1 };
        let marked = |split| {
            self.samples
                .iter()
                .filter(move |s| s.split == split)
                .flat_map(|s| s.landmarks.iter().enumerate().filter_map(move |(k, p)| p.map(|p| (s, k, p))))
        };
        let mut sums = vec![(0.0, 0.0, 0usize); self.landmarks.len()];
        for (sample, k, p) in marked(Split::Train) {
            let p = p.rescale(sample.size, unit);
            sums[k] = (sums[k].0 + p.x, sums[k].1 + p.y, sums[k].2 + 1);
        }
        let (mut total, mut count) = (0.0, 0usize);
        for (sample, k, p) in marked(Split::Val) {
            let (x, y, n) = sums[k];
            if n > 0 {
                let guess = Point { x: x / n as f64, y: y / n as f64 }.rescale(unit, sample.size);
                total += sample.spacing.distance(p, guess).0;
                count += 1;
            }
        }
        (count > 0).then(|| Millimetres(total / count as f64))
    }
}

/// What is wrong with an image without a landmark that is no test image.
fn unmarked() -> Error {
    Error::input("not one landmark is marked")
        .remedy("mark at least one, or leave the image out: nothing can be learnt or measured on it")
}

/// That there is something to train and to evaluate on.
fn has_both_splits(splits: impl Iterator<Item = Split>) -> Result<()> {
    let there: BTreeSet<Split> = splits.collect();
    for (split, purpose) in [(Split::Train, "train on"), (Split::Val, "measure the landmark error on")] {
        if !there.contains(&split) {
            let name = split.name();
            return Err(Error::input(format!("no image of split `{name}`, so there is nothing to {purpose}")).remedy(
                format!("put `{name}` in the split column of some images, or set dataset.val_fraction = 0.2"),
            ));
        }
    }
    Ok(())
}

/// A hash (hexadecimal) of which images train and which validate, by their names.
#[must_use]
pub fn split_hash<'a>(images: impl IntoIterator<Item = (&'a str, Split)>) -> String {
    let mut fields = index::Fields::new("landmark-sweep 2026 which images train");
    for (image, split) in images.into_iter().filter(|(_, split)| *split != Split::Test) {
        fields.bytes(image.as_bytes());
        fields.bytes(split.name().as_bytes());
    }
    fields.finish()
}

/// The first name that was there before.
fn first_repeated<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = BTreeSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}

/// A trial's images: where they come from, and which of them train.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatasetSpec {
    /// Which images train and which validate. (Its keys are taken out of the table first: what is left must all be the
    /// source's.)
    #[serde(flatten)]
    pub split: SplitSpec,
    /// Where the images come from.
    #[serde(flatten)]
    pub source: Source,
}

impl JsonSchema for DatasetSpec {
    fn schema_name() -> Cow<'static, str> {
        "DatasetSpec".into()
    }

    /// That of a source, each with the keys of splits beside its own.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (mut source, split) = (Source::json_schema(generator), SplitSpec::json_schema(generator));
        let keys = split.get("properties").and_then(|keys| keys.as_object()).cloned().unwrap_or_default();
        let variants = source.get_mut("oneOf").and_then(|variants| variants.as_array_mut());
        for variant in variants.into_iter().flatten() {
            if let Some(own) = variant.get_mut("properties").and_then(|own| own.as_object_mut()) {
                own.extend(keys.clone());
            }
        }
        source
    }
}

/// Where images come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Source {
    /// Made-up radiographs with exactly known landmarks.
    Phantom(PhantomSpec),
    /// A data-set folder, see [`folder`].
    Folder {
        /// The folder that holds `dataset.toml`.
        path: PathBuf,
    },
    /// One of the program's own, see [`CustomDataset`].
    Custom(Custom<dyn CustomDataset>),
}

impl Default for DatasetSpec {
    fn default() -> Self {
        Source::Phantom(PhantomSpec::default()).into()
    }
}

impl From<Source> for DatasetSpec {
    /// Split as the source says.
    fn from(source: Source) -> Self {
        Self { split: SplitSpec::default(), source }
    }
}

impl DatasetSpec {
    /// A data-set folder, split as it says.
    #[must_use]
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Source::Folder { path: path.into() }.into()
    }

    /// Whether it can be meant; looks at no file.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<()> {
        self.split.check()?;
        match &self.source {
            Source::Phantom(_) | Source::Custom(_) if self.split.split_column.is_some() => {
                Err(Error::definition("these images come without a table, so there is no column to split by")
                    .at("split_column")
                    .remedy("remove it; `folds` and `val_fraction` do divide them"))
            }
            Source::Phantom(spec) => spec.check(),
            Source::Folder { path } if path.as_os_str().is_empty() => {
                Err(Error::definition("the path is empty").at("path").remedy("name a folder with a dataset.toml"))
            }
            Source::Folder { .. } => Ok(()),
            Source::Custom(own) => own.check(),
        }
    }

    /// Reads all that is known of it before an image is decoded.
    ///
    /// # Errors
    /// See [`DatasetSpec::check`] and [`folder::read`]; a split that leaves nothing to train or to evaluate on.
    pub fn open(&self) -> Result<DatasetIndex> {
        self.check()?;
        match &self.source {
            Source::Phantom(spec) => DatasetIndex::phantom(spec, &self.split),
            Source::Folder { path } => DatasetIndex::folder(path, &self.split),
            Source::Custom(own) => DatasetIndex::custom(own.get()?.list()?, &self.split),
        }
    }

    /// Makes or reads the images.
    ///
    /// # Errors
    /// See [`DatasetSpec::check`] and [`folder::read`].
    pub fn load(&self) -> Result<Dataset> {
        self.open()?.load()
    }

    /// [`DatasetIndex::content_hash`].
    ///
    /// # Errors
    /// As [`DatasetSpec::load`], but for what is wrong inside images.
    pub fn content_hash(&self) -> Result<String> {
        self.open()?.content_hash()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Two training images and one for validation, 8×6 (w×h), landmarks `a` and `b`.
    pub(crate) fn tiny() -> Dataset {
        let sample = |image: &str, split, x: f64, b| Sample {
            image: image.into(),
            split,
            size: Size { height: 6, width: 8 },
            pixels: (0..48).map(|i| (i * 5) as u8 ^ x as u8).collect(),
            landmarks: vec![Some(Point { x, y: 2.5 }), b],
            spacing: Spacing { x: 0.5, y: 0.25 },
            patient: None,
        };
        Dataset {
            name: "tiny".into(),
            landmarks: vec!["a".into(), "b".into()],
            observer_mre: Some(Millimetres(1.18)),
            samples: vec![
                sample("1.png", Split::Train, 1.0, Some(Point { x: 7.5, y: 5.125 })),
                sample("2.png", Split::Train, 3.0, None),
                sample("3.png", Split::Val, 6.0, Some(Point { x: 7.5, y: 1.125 })),
            ],
        }
    }

    #[test]
    fn mean_shape_is_scored_in_millimetres() {
        // a: mean x = 2, so 4 px · 0.5 mm off; b: 4 px · 0.25 mm off.
        let error = tiny().mean_shape_error().unwrap();
        assert!((error.0 - 1.5).abs() < 1e-12, "{error:?}");
        let mut unmarked = tiny();
        unmarked.samples.truncate(2);
        assert_eq!(unmarked.mean_shape_error(), None);
    }

    #[test]
    fn check_names_image_and_landmark() {
        assert_eq!(tiny().check(), Ok(()));
        let mut dataset = tiny();
        dataset.samples[2].landmarks[1] = Some(Point { x: 7.6, y: 1.0 });
        assert_eq!(dataset.check().unwrap_err().location.as_deref(), Some("3.png: landmark b"));
        let mut dataset = tiny();
        dataset.samples.pop();
        assert!(dataset.check().unwrap_err().message.contains("split `val`"));
    }

    #[test]
    fn definitions_name_a_data_set_and_refuse_unknown_keys() {
        let read = toml::from_str::<DatasetSpec>;
        assert_eq!(read("name = 'folder'\npath = 'a/b'").unwrap(), DatasetSpec::folder("a/b"));
        assert!(read("name = 'phantom'\ntrain = 4\nval = 2\nheight = 100\nwidth = 80").is_ok());
        assert!(read("name = 'folder'\npath = 'a'\ncolour = 1").unwrap_err().message().contains("colour"));
        let phantom = "name = 'phantom'\ntrain = 4\nval = 2\nheight = 100\nwidth = 80\ncolour = 1";
        assert!(read(phantom).unwrap_err().message().contains("colour"));
        assert!(read("name = 'cloud'").unwrap_err().message().contains("cloud"));
        assert!(DatasetSpec::folder("").load().is_err());
    }
}
