//! Images with landmarks: what a data set is, and where it comes from.

use serde::{Deserialize, Serialize};

use crate::units::{Point, Size, Spacing};

pub mod phantom;

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

/// One grey image with its landmarks.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// File name within the data set.
    pub image: String,
    /// Which part it belongs to.
    pub split: Split,
    /// Size of `pixels`.
    pub size: Size,
    /// Grey values, row by row, 0 is black.
    pub pixels: Vec<u8>,
    /// One per name in [`Dataset::landmarks`], in pixels of this image; `None` where missing.
    pub landmarks: Vec<Option<Point>>,
    /// Millimetres per pixel of this image.
    pub spacing: Spacing,
}

/// A named set of samples with the same landmarks.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// Its name.
    pub name: String,
    /// Landmark names, in order.
    pub landmarks: Vec<String>,
    /// Images, in the order of the file.
    pub samples: Vec<Sample>,
}
