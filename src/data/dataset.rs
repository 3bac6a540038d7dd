//! Data sets in memory: images with landmarks, in splits.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::normalise::Normaliser;
use sweep_core::error::{Error, Result};
use sweep_core::units::{ErrorUnit, Millimetres, Point, Size, Spacing};

/// Which part of a data set an image belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Trained on.
    Train,
    /// Evaluated after every epoch.
    Val,
    /// Kept out of training.
    Test,
}

impl Split {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Train, Self::Val, Self::Test];

    /// Name in a data set's CSV.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }
}

/// One image with its landmarks, in grey or in colour.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// File name within the data set.
    pub image: String,
    /// Which part it belongs to.
    pub split: Split,
    /// Size of `pixels`.
    pub size: Size,
    /// Grey values, row by row, 0 is black; in colour a plane of red, one of green and one of blue follow one another; empty where only the resized pictures were loaded, for example by [`crate::cache`].
    pub pixels: Vec<u8>,
    /// One per name in [`Dataset::landmarks`], in pixels of this image; `None` where missing.
    pub landmarks: Vec<Option<Point>>,
    /// Millimetres per pixel of this image; `None` where they are not known, which is so of all images of a data set or of none.
    pub spacing: Option<Spacing>,
    /// The patient, where known: images of one patient are never divided between folds.
    pub patient: Option<String>,
}

impl Sample {
    /// Size of a pixel in the unit of the data set's errors.
    #[must_use]
    pub fn pixel_size(&self) -> Spacing {
        self.spacing.unwrap_or(Spacing::ONE_PIXEL)
    }

    /// Whether size and spacing are valid and the landmarks, named `names`, lie on the image.
    pub(crate) fn check(&self, names: &[String]) -> Result<()> {
        let size = self.size;
        let fits = [1, 3].map(|channels| channels * size.area()).contains(&self.pixels.len());
        if size.area() == 0 || !fits || self.landmarks.len() != names.len() {
            return Err(Error::input(format!(
                "{} values and {} landmarks do not make a {}×{} image with {}",
                self.pixels.len(),
                self.landmarks.len(),
                size.width,
                size.height,
                names.len()
            )));
        }
        if let Some(spacing) = self.spacing.filter(|spacing| !spacing.is_valid()) {
            return Err(Error::input(format!("spacing {} × {} mm per pixel", spacing.x, spacing.y))
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
    /// The reference length of an image, if the data set states one.
    pub normalise: Option<Normaliser>,
    /// Images, in the order of the file.
    pub samples: Vec<Sample>,
}

impl Dataset {
    /// Whether it can be trained and evaluated on: landmarks on their images, unique names, images in both splits.
    ///
    /// # Errors
    /// Names the image and the landmark that are wrong.
    pub fn check(&self) -> Result<()> {
        self.check_images()?;
        self.check_splits()
    }

    /// [`Dataset::check`] without the checks of single images.
    pub(crate) fn check_table(&self) -> Result<()> {
        self.check_marks()?;
        self.check_splits()
    }

    /// [`Dataset::check`] without its check of splits: a refit needs no validation image, and splits are checked where they
    /// are assigned.
    pub(crate) fn check_images(&self) -> Result<()> {
        for sample in &self.samples {
            sample.check(&self.landmarks).map_err(|e| e.at(&sample.image))?;
        }
        self.check_marks()
    }

    fn check_marks(&self) -> Result<()> {
        self.check_names()?;
        one_unit(&self.samples.iter().map(|sample| (sample.image.as_str(), sample.spacing)))?;
        self.normalise.as_ref().map_or(Ok(()), |normalise| normalise.check(&self.landmarks))
    }

    fn check_splits(&self) -> Result<()> {
        has_splits(self.samples.iter().map(|sample| sample.split), &[Split::Train, Split::Val])
    }

    /// Whether names of landmarks and of images are unique.
    ///
    /// # Errors
    /// Names the landmark or the image that is there twice, or says that there are no landmarks.
    pub fn check_names(&self) -> Result<()> {
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

    /// The unit of its landmark errors: millimetres if the size of pixels is known.
    #[must_use]
    pub fn unit(&self) -> ErrorUnit {
        let is_unknown = self.samples.first().is_some_and(|sample| sample.spacing.is_none());
        if is_unknown { ErrorUnit::Pixels } else { ErrorUnit::Millimetres }
    }

    /// The reference length of an image in pixels; `None` where the data set states none, or the image lacks it.
    #[must_use]
    pub fn reference(&self, sample: &Sample) -> Option<f64> {
        self.normalise.as_ref()?.length(&self.landmarks, &sample.landmarks)
    }

    /// Indices into [`Dataset::samples`] of a split's images, in order.
    #[must_use]
    pub fn indices(&self, split: Split) -> Vec<usize> {
        (0..self.samples.len()).filter(|&i| self.samples[i].split == split).collect()
    }

    /// The data set with its images in these splits.
    pub(crate) fn with_splits(mut self, splits: &[Split]) -> Self {
        for (sample, split) in self.samples.iter_mut().zip(splits) {
            sample.split = *split;
        }
        self
    }

    /// Mean radial error on the validation images of guessing every landmark where it lies on average (over the
    /// training images, as a fraction of the image's size), in [`Dataset::unit`]: what a network must beat to have learnt
    /// anything. `None` without a landmark that is marked in both splits.
    #[must_use]
    pub fn mean_shape_error(&self) -> Option<f64> {
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
                total += sample.pixel_size().distance(p, guess).0;
                count += 1;
            }
        }
        (count > 0).then(|| total / count as f64)
    }
}

/// Whether the size of every image's pixels is known, or that of none: errors of a data set have one unit.
///
/// # Errors
/// Names an image of either kind.
pub(crate) fn one_unit<'a>(images: &(impl Iterator<Item = (&'a str, Option<Spacing>)> + Clone)) -> Result<()> {
    let first = |known: bool| images.clone().find(|(_, spacing)| spacing.is_some() == known).map(|(name, _)| name);
    match (first(true), first(false)) {
        (Some(known), Some(unknown)) => Err(Error::input(format!(
            "the size of a pixel is known of some images, as `{known}`, and not of others, as `{unknown}`"
        ))
        .remedy("say it of every image, for errors in millimetres, or of none, for errors in pixels")),
        _ => Ok(()),
    }
}

/// Whether an error between observers is in the unit of the data set.
///
/// # Errors
/// When it is in millimetres, and the size of pixels is not known.
pub(crate) fn observers_in_unit(unit: ErrorUnit, observer_mre: Option<Millimetres>) -> Result<()> {
    if unit.is_millimetres() || observer_mre.is_none() {
        return Ok(());
    }
    Err(Error::input("an error between observers in millimetres, where the size of a pixel is not known")
        .remedy("state the size of a pixel, or leave the error between observers out"))
}

/// The error for a training or validation image without a landmark.
pub(crate) fn unmarked() -> Error {
    Error::input("not one landmark is marked")
        .remedy("mark at least one, or leave the image out: nothing can be learnt or measured on it")
}

/// Whether each of the needed splits has an image.
pub(crate) fn has_splits(splits: impl Iterator<Item = Split>, needed: &[Split]) -> Result<()> {
    let present: BTreeSet<Split> = splits.collect();
    for split in needed {
        if !present.contains(split) {
            let purpose = if *split == Split::Train { "train on" } else { "measure the landmark error on" };
            let name = split.name();
            return Err(Error::input(format!("no image of split `{name}`, so there is nothing to {purpose}")).remedy(
                format!("put `{name}` in the split column of some images, or set dataset.val_fraction = 0.2"),
            ));
        }
    }
    Ok(())
}

/// The first name that occurs twice.
pub(crate) fn first_repeated<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = BTreeSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
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
            spacing: Some(Spacing { x: 0.5, y: 0.25 }),
            patient: None,
        };
        Dataset {
            name: "tiny".into(),
            landmarks: vec!["a".into(), "b".into()],
            observer_mre: Some(Millimetres(1.18)),
            normalise: None,
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
        assert!((error - 1.5).abs() < 1e-12, "{error:?}");
        let mut in_pixels = tiny();
        in_pixels.samples.iter_mut().for_each(|sample| sample.spacing = None);
        assert_eq!((in_pixels.mean_shape_error(), in_pixels.unit()), (Some(4.0), ErrorUnit::Pixels));
        let mut unmarked = tiny();
        unmarked.samples.truncate(2);
        assert_eq!(unmarked.mean_shape_error(), None);
    }

    #[test]
    fn units_never_mix() {
        let mut dataset = tiny();
        dataset.samples[1].spacing = None;
        let error = dataset.check().unwrap_err().to_string();
        assert!(error.contains("as `1.png`") && error.contains("as `2.png`"), "{error}");
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
}
