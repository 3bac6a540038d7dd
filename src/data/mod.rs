//! Images with landmarks: what a data set is, where it comes from, and how it reaches a network: resized
//! ([`resize`]), augmented ([`augment`]), in batches ([`loader`]), its landmarks as heatmaps ([`heatmap`]) and back
//! ([`decode`]).

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::units::{Millimetres, Point, Size, Spacing};
use phantom::PhantomSpec;

pub use opened::{Opened, Outline};
pub use pixels::Pixels;

pub mod augment;
pub mod cache;
pub mod decode;
pub mod folder;
#[cfg(any(feature = "cuda", test))]
mod gpu;
pub mod heatmap;
pub mod heatmap_folders;
pub mod loader;
mod opened;
pub mod phantom;
mod picture;
mod pixels;
pub mod resize;

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
            return Err(Error::input("not one landmark is marked")
                .remedy("mark at least one, or leave the image out: nothing can be learnt or measured on it"));
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
        if self.landmarks.is_empty() {
            return Err(Error::input("no landmarks"));
        }
        if let Some(name) = first_repeated(self.landmarks.iter().map(String::as_str)) {
            return Err(Error::input(format!("two landmarks are called `{name}`")));
        }
        if let Some(name) = first_repeated(self.samples.iter().map(|s| s.image.as_str())) {
            return Err(Error::input(format!("two images are called `{name}`")));
        }
        for sample in &self.samples {
            sample.check(&self.landmarks).map_err(|e| e.at(&sample.image))?;
        }
        for (split, purpose) in [(Split::Train, "train on"), (Split::Val, "measure the landmark error on")] {
            if self.indices(split).is_empty() {
                let name = split.name();
                return Err(Error::input(format!("no image of split `{name}`, so there is nothing to {purpose}"))
                    .remedy(format!("put `{name}` in the split column of some images")));
            }
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

/// The first name that was there before.
fn first_repeated<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = BTreeSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}

/// Where a trial's images come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum DatasetSpec {
    /// Made-up radiographs with exactly known landmarks.
    Phantom(PhantomSpec),
    /// A data-set folder, see [`folder`].
    Folder {
        /// The folder that holds `dataset.toml`.
        path: PathBuf,
    },
}

impl Default for DatasetSpec {
    fn default() -> Self {
        Self::Phantom(PhantomSpec::default())
    }
}

impl DatasetSpec {
    /// Whether it can be meant; looks at no file.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Phantom(spec) => spec.check(),
            Self::Folder { path } if path.as_os_str().is_empty() => {
                Err(Error::definition("the path is empty").at("path").remedy("name a folder with a dataset.toml"))
            }
            Self::Folder { .. } => Ok(()),
        }
    }

    /// Reads all that is known of it before an image is decoded.
    ///
    /// # Errors
    /// See [`DatasetSpec::check`] and [`folder::read`].
    pub fn open(&self) -> Result<Opened> {
        self.check()?;
        Ok(match self {
            Self::Phantom(spec) => Opened::Phantom(spec.clone()),
            Self::Folder { path } => Opened::Folder(folder::Index::read(path)?),
        })
    }

    /// Makes or reads the images.
    ///
    /// # Errors
    /// See [`DatasetSpec::check`] and [`folder::read`].
    pub fn load(&self) -> Result<Dataset> {
        self.open()?.load()
    }

    /// [`Opened::content_hash`].
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
        assert_eq!(dataset.check().unwrap_err().place.as_deref(), Some("3.png: landmark b"));
        let mut dataset = tiny();
        dataset.samples.pop();
        assert!(dataset.check().unwrap_err().what.contains("split `val`"));
    }

    #[test]
    fn definitions_name_a_data_set_and_refuse_unknown_keys() {
        let read = toml::from_str::<DatasetSpec>;
        assert_eq!(read("name = 'folder'\npath = 'a/b'").unwrap(), DatasetSpec::Folder { path: "a/b".into() });
        assert!(read("name = 'phantom'\ntrain = 4\nval = 2\nheight = 100\nwidth = 80").is_ok());
        assert!(read("name = 'folder'\npath = 'a'\ncolour = 1").unwrap_err().message().contains("colour"));
        let phantom = "name = 'phantom'\ntrain = 4\nval = 2\nheight = 100\nwidth = 80\ncolour = 1";
        assert!(read(phantom).unwrap_err().message().contains("colour"));
        assert!(read("name = 'cloud'").unwrap_err().message().contains("cloud"));
        assert!(DatasetSpec::Folder { path: "".into() }.load().is_err());
    }
}
