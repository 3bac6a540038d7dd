//! Phantom radiographs: lateral cephalograms of people who never lived, as many as asked for and with exact landmarks.
//!
//! `template` is the average head, `subject` how a person differs from it and stands before the film, `drawing` which
//! shadow each part casts, `film` how shadows add up and `exposure` how they become grey values. A landmark is a point
//! of the curve that is drawn, so its position is exact; the network has to find it nonetheless, since people differ in
//! size, jaw relation, vertical pattern and pose about as much as patients do.

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Dataset, Sample, Split};
use sweep_core::error::{Error, Result};
use sweep_core::seed::{self, Stream};
use sweep_core::units::{Point, Size, Spacing};

mod curve;
mod drawing;
mod exposure;
mod film;
mod source;
mod subject;
mod template;

use subject::{FILM, LANDMARKS, Subject};

/// Raised whenever the same specification draws other pictures. It is part of the content's hash, so that results of old
/// pictures are not taken for results of new ones.
const VERSION: u64 = 1;

/// The first validation subject; training subjects are counted from 0, so neither changes with the other's number.
const FIRST_VAL: u64 = 1_000_000;

/// The first test subject.
const FIRST_TEST: u64 = 2 * FIRST_VAL;

/// Below this many pixels along an axis the anatomy is no longer there to be found.
const SMALLEST: usize = 32;

/// A phantom data set: how many pictures of which size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PhantomSpec {
    /// Number of training pictures.
    pub train: usize,
    /// Number of validation pictures.
    pub val: usize,
    /// Number of test pictures: neither trained on nor used to choose anything.
    #[serde(skip_serializing_if = "is_zero")]
    pub test: usize,
    /// Height of a picture, in pixels; it shows 240 mm.
    pub height: usize,
    /// Width of a picture, in pixels; it shows 192 mm.
    pub width: usize,
    /// Other seeds give other people.
    pub seed: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives references")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Default for PhantomSpec {
    fn default() -> Self {
        Self { train: 48, val: 24, test: 0, height: 100, width: 80, seed: 0 }
    }
}

impl PhantomSpec {
    /// Whether such a data set can be made.
    ///
    /// # Errors
    /// No picture to train on or to evaluate, or pictures too small to show anything; the place is the key.
    pub fn check(&self) -> Result<()> {
        for (key, count) in [("train", self.train), ("val", self.val)] {
            if count == 0 {
                return Err(Error::definition(format!("a phantom data set needs at least one {key} picture"))
                    .at(key)
                    .remedy("48 to train and 24 to evaluate are enough for a try"));
            }
        }
        for (key, count) in [("train", self.train), ("val", self.val), ("test", self.test)] {
            if count as u64 > FIRST_VAL {
                let what = format!("{count} pictures are more than {FIRST_VAL}");
                return Err(Error::definition(what).at(key).remedy("ask for fewer"));
            }
        }
        Size { height: self.height, width: self.width }.check().map_err(|e| e.at("height"))?;
        for (key, pixels) in [("height", self.height), ("width", self.width)] {
            if pixels < SMALLEST {
                let what = format!("a picture of {pixels} pixels {key} shows no anatomy");
                return Err(Error::definition(what).at(key).remedy(format!("at least {SMALLEST}; try 100 × 80")));
            }
        }
        Ok(())
    }

    /// Draws the pictures: `train` of them, then `val`, then `test`, with ten landmarks each, all inside the picture. The result
    /// depends on nothing but `self`, and a subject on nothing but the seed and its number in its split.
    ///
    /// # Errors
    /// Same errors as [`Self::check`].
    pub fn generate(&self) -> Result<Dataset> {
        self.check()?;
        let indices: Vec<usize> = (0..self.len()).collect();
        Ok(Self::dataset(indices.into_par_iter().map(|index| self.sample(index, true)).collect()))
    }

    /// Number of pictures.
    fn len(&self) -> usize {
        self.train + self.val + self.test
    }

    /// The same without grey values: nothing is drawn.
    fn undrawn(&self) -> Dataset {
        Self::dataset((0..self.len()).map(|index| self.sample(index, false)).collect())
    }

    /// Names of the pictures, in order.
    fn names(&self) -> Vec<String> {
        (0..self.len()).map(|index| self.name(index).0).collect()
    }

    /// Name and split of the picture at an index, and its number in its split.
    fn name(&self, index: usize) -> (String, Split, u64) {
        let (split, first) = match index {
            _ if index < self.train => (Split::Train, 0),
            _ if index < self.train + self.val => (Split::Val, self.train),
            _ => (Split::Test, self.train + self.val),
        };
        let number = index - first;
        (format!("{}-{number:03}.png", split.name()), split, number as u64)
    }

    /// Every picture's split, in order.
    fn splits(&self) -> Vec<Split> {
        (0..self.len()).map(|index| self.name(index).1).collect()
    }

    fn dataset(samples: Vec<Sample>) -> Dataset {
        Dataset {
            observer_mre: None,
            normalise: None,
            name: "phantom".to_owned(),
            landmarks: LANDMARKS.map(str::to_owned).to_vec(),
            samples,
        }
    }

    /// The picture at an index of the data set, with or without its grey values.
    fn sample(&self, index: usize, drawn: bool) -> Sample {
        let (image, split, number) = self.name(index);
        let first = match split {
            Split::Train => 0,
            Split::Val => FIRST_VAL,
            Split::Test => FIRST_TEST,
        };
        let mut rng = seed::derive(self.seed, Stream::Phantom, 0, first + number);
        let size = Size { height: self.height, width: self.width };
        let spacing = Spacing { x: FILM.x / size.width as f64, y: FILM.y / size.height as f64 };
        let subject = Subject::draw(&mut rng);
        // Millimetres count from the film's edge, pixels from the first pixel's centre.
        let landmarks = subject.landmarks().map(|p| Point { x: p.x / spacing.x - 0.5, y: p.y / spacing.y - 0.5 });
        Sample {
            image,
            split,
            size,
            pixels: if drawn { drawing::radiograph(&subject, size, &mut rng) } else { Vec::new() },
            landmarks: landmarks.map(Some).to_vec(),
            spacing: Some(spacing),
            patient: None,
        }
    }
}

#[cfg(test)]
mod tests;
