//! A picture in a file of the cache, read anew for every use.
//!
//! The file is not mapped: whoever cuts off a mapped file ends the process that looks at it, and whoever writes into it
//! changes what a network sees. Reading copies a picture's values, which takes less time than to augment it, and their hash is
//! compared before they are believed. The system keeps the file in memory once for all processes, as it would a mapped one.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::secret::Secret;
use crate::DatasetIndex;
use crate::pixels::Pixels;
use crate::resize::{Picture, resize};
use sweep_core::error::{Error, Result};
use sweep_core::note;
use sweep_core::units::{Point, Size, Spacing};

/// A picture at the size of a network's input, in memory or in a file of the cache.
#[derive(Debug, Clone)]
pub struct CachedPicture {
    /// Size of the picture.
    pub size: Size,
    /// [`Picture::landmarks`].
    pub landmarks: Vec<Option<Point>>,
    /// [`Picture::spacing`].
    pub spacing: Spacing,
    values: Values,
}

#[derive(Debug, Clone)]
enum Values {
    Memory(Pixels),
    File { file: Arc<CacheFile>, index: usize },
}

impl From<Picture> for CachedPicture {
    fn from(picture: Picture) -> Self {
        let Picture { size, pixels, landmarks, spacing } = picture;
        Self { size, landmarks, spacing, values: Values::Memory(pixels) }
    }
}

impl CachedPicture {
    /// The picture of this index in a file; `placed` is the same without values.
    pub(super) fn in_file(placed: Picture, file: &Arc<CacheFile>, index: usize) -> Self {
        Self { values: Values::File { file: Arc::clone(file), index }, ..placed.into() }
    }

    /// The picture with its values. If the file no longer holds them, they are made again from the data set's image.
    ///
    /// # Errors
    /// When the file no longer holds the values, and the image is gone or is another one by now.
    pub fn read(&self) -> Result<Picture> {
        let pixels = match &self.values {
            Values::Memory(pixels) => pixels.clone(),
            Values::File { file, index } => file.pixels(*index)?,
        };
        Ok(Picture { size: self.size, pixels, landmarks: self.landmarks.clone(), spacing: self.spacing })
    }

    /// Number of planes: 1 in grey, 3 in colour.
    #[must_use]
    pub fn channels(&self) -> usize {
        let values = match &self.values {
            Values::Memory(pixels) => pixels.len(),
            Values::File { file, .. } => file.values,
        };
        (values / self.size.area().max(1)).max(1)
    }

    #[cfg(test)]
    pub(super) fn is_in_file(&self) -> bool {
        matches!(self.values, Values::File { .. })
    }
}

/// An open file of the cache.
#[derive(Debug)]
pub(super) struct CacheFile {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) secret: Secret,
    /// Where the first picture begins.
    pub(super) start: u64,
    /// Values of a picture.
    pub(super) values: usize,
    /// Keyed hash of each picture's values.
    pub(super) hashes: Vec<blake3::Hash>,
    /// The data set that the pictures are of, and their size: a picture that the file no longer holds is made again.
    pub(super) source: Arc<DatasetIndex>,
    pub(super) input: Size,
    /// The pictures that were made again.
    pub(super) made_again: Vec<OnceLock<Pixels>>,
}

impl CacheFile {
    /// The values of a picture, from the file or made again.
    fn pixels(&self, index: usize) -> Result<Pixels> {
        if let Some(pixels) = self.made_again.get(index).and_then(OnceLock::get) {
            return Ok(pixels.clone());
        }
        match self.stored(index) {
            Ok(values) => Ok(values.into()),
            Err(why) => self.make_again(index, &why),
        }
    }

    /// The values of a picture as the file holds them, if their hash is right.
    pub(super) fn stored(&self, index: usize) -> io::Result<Vec<f32>> {
        let mut values = vec![0f32; self.values];
        let at = self.start + index as u64 * size_of_val(&values[..]) as u64;
        self.file.read_exact_at(bytemuck::cast_slice_mut(&mut values), at)?;
        if self.is_intact(index, &values) { Ok(values) } else { Err(io::Error::other("its pictures are damaged")) }
    }

    fn is_intact(&self, index: usize, values: &[f32]) -> bool {
        self.hashes.get(index) == Some(&blake3::keyed_hash(&self.secret, bytemuck::cast_slice(values)))
    }

    fn make_again(&self, index: usize, why: &io::Error) -> Result<Pixels> {
        let place = || self.path.display().to_string();
        let sample = self.source.originals(&[index])?.into_iter().next();
        let picture = sample.map(|sample| resize(&sample, self.input));
        let Some(picture) = picture.filter(|picture| self.is_intact(index, &picture.pixels)) else {
            let what = format!(
                "the cache of pictures was damaged while it was in use ({why}), and the data set has changed since"
            );
            return Err(Error::input(what).at(place()).remedy("restore the data set, or train on what it is now"));
        };
        let kept = self.made_again.get(index).map(|kept| kept.get_or_init(|| picture.pixels.clone()).clone());
        if self.made_again.iter().filter(|kept| kept.get().is_some()).count() == 1 {
            note!("{}: damaged while it was in use ({why}); pictures are made again from their images", place());
        }
        Ok(kept.unwrap_or(picture.pixels))
    }
}
