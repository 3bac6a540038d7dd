//! The interface of sources: a data set's images and landmarks come from one [`ImageSource`] each.

use std::fmt;

use sweep_core::error::{Error, Result};
use sweep_core::measures::Measures;
use sweep_core::units::{ErrorUnit, Millimetres, Size};

use crate::content_hash::ContentHasher;
use crate::dataset::{Dataset, Sample, Split};
use crate::normalise::Normaliser;
use crate::picture::GreyRange;
use crate::split::SplitSpec;

/// A source as a definition describes it. One implementation per source, in the source's own file;
/// [`Source`](crate::Source) dispatches to it.
pub(crate) trait ImageSource {
    /// Whether its settings are possible and this split suits it; reads no file.
    ///
    /// # Errors
    /// Names the key.
    fn check(&self, split: &SplitSpec) -> Result<()>;

    /// Reads everything but grey values.
    ///
    /// # Errors
    /// The first error in the source's tables or files.
    fn open(&self, split: &SplitSpec) -> Result<Box<dyn OpenedSource>>;
}

/// A source of which everything but grey values has been read. Images have the same order in all methods, and `splits` has
/// one element per image.
pub(crate) trait OpenedSource: fmt::Debug + Send + Sync {
    /// The data set's name.
    fn name(&self) -> String;

    /// Landmark names, in order.
    fn landmarks(&self) -> Vec<String>;

    /// Error between human observers, where known.
    fn observer_mre(&self) -> Option<Millimetres>;

    /// Values of deep images that become black and white, where all share them.
    fn grey(&self) -> Option<GreyRange> {
        None
    }

    /// Has deep images shown by another range; of a source that knows none, nothing changes.
    fn set_grey(&mut self, grey: GreyRange) {
        let _ = grey;
    }

    /// Has images read in colour.
    ///
    /// # Errors
    /// When it has none.
    fn set_colour(&mut self) -> Result<()> {
        Err(Error::definition("these images are drawn in grey").at("channels").remedy("leave channels out"))
    }

    /// Landmarks that change sides when an image is mirrored, if stated.
    fn flip_pairs(&self) -> Option<&[[String; 2]]> {
        None
    }

    /// The unit of its landmark errors.
    fn unit(&self) -> ErrorUnit;

    /// The reference length of an image, if stated.
    fn normaliser(&self) -> Option<&Normaliser> {
        None
    }

    /// Angles, distances and ratios of its landmarks, if defined.
    ///
    /// # Errors
    /// Never in practice.
    fn measures(&self) -> Result<Measures> {
        Ok(Measures::default())
    }

    /// Names of the images.
    fn images(&self) -> Vec<String>;

    /// Every image's split.
    ///
    /// # Errors
    /// A split that is not possible; an image of train or val without a landmark; nothing to train or to evaluate on.
    fn assign(&self, split: &SplitSpec) -> Result<Vec<Split>>;

    /// Hashes everything that training and evaluation use: into `content` with these splits, into `pictures` without. Returns
    /// the [`OpenedSource::image_hashes`] of all images, from the same read of the files.
    ///
    /// # Errors
    /// When an image file cannot be read.
    fn hash(
        &self,
        splits: &[Split],
        content: &mut ContentHasher,
        pictures: &mut ContentHasher,
    ) -> Result<Vec<blake3::Hash>>;

    /// Hashes of the images at these indices, by what they show and not by their names; indices beyond the last image are
    /// skipped.
    ///
    /// # Errors
    /// When an image file cannot be read.
    fn image_hashes(&self, indices: &[usize]) -> Result<Vec<blake3::Hash>>;

    /// Draws or decodes all images.
    ///
    /// # Errors
    /// An error in an image, or between an image and its landmarks.
    fn load(&self, splits: &[Split]) -> Result<Dataset>;

    /// Draws or decodes the images at these indices; indices beyond the last image are skipped.
    ///
    /// # Errors
    /// Same errors as [`OpenedSource::load`], for these images.
    fn samples(&self, indices: &[usize]) -> Result<Vec<Sample>>;

    /// The data set without grey values, given every image's size.
    fn without_pixels(&self, sizes: &[Size]) -> Dataset;
}

/// Whether the split does without a column, for sources that have no table.
///
/// # Errors
/// When a column is named.
pub(crate) fn check_no_column(split: &SplitSpec) -> Result<()> {
    let keys = [("split_column", split.split_column.is_some()), ("folds_by", split.folds_by.is_some())];
    let Some((key, _)) = keys.into_iter().find(|(_, is_there)| *is_there) else { return Ok(()) };
    Err(Error::definition("these images come without a table, so there is no column to split by")
        .at(key)
        .remedy("remove it; `folds` and `val_fraction` do divide them"))
}
