//! The content of a source before an image is decoded.

use std::path::{Path, PathBuf};

use unicode_normalization::UnicodeNormalization as _;

use crate::Split;
use sweep_core::error::{Error, Result};
use sweep_core::units::{Millimetres, Point, Size, Spacing};

use super::{Frame, Origin};

pub(super) use super::splits::{split_in, split_word};

/// A data set to be written.
#[derive(Debug)]
pub struct ParsedDataset {
    /// Its name.
    pub name: String,
    /// Landmark names, in order.
    pub landmarks: Vec<String>,
    /// Error between one observer and the mean of two, where the source has both.
    pub observer_mre: Option<Millimetres>,
    /// An image each.
    pub records: Vec<Record>,
    /// Notes for the user: skipped content, and why.
    pub notes: Vec<String>,
}

/// An image of a source.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its name: a relative path.
    pub image: String,
    /// Location of its grey values.
    pub source: PixelSource,
    /// Which part it belongs to, if the source says so.
    pub split: Option<Split>,
    /// The patient, where known.
    pub patient: Option<String>,
    /// Millimetres per pixel, unless only the image file tells.
    pub spacing: Option<Spacing>,
    /// The size it was annotated at.
    pub size: Option<Size>,
    /// One per name in [`ParsedDataset::landmarks`].
    pub landmarks: Vec<Option<Point>>,
    /// The unit of [`Record::landmarks`].
    pub unit: Unit,
    /// The picture that [`Record::landmarks`] and [`Record::size`] belong to, where EXIF turns it.
    pub frame: Frame,
    /// Both coordinates of the first pixel's centre, in pixels: what is still to be taken off.
    pub first: f64,
    /// Whether y is counted upwards from the lower edge.
    pub y_up: bool,
    /// File and line, for errors.
    pub location: String,
}

/// Units of positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Pixels of the image.
    Pixels,
    /// Millimetres: pixels times spacing.
    Millimetres,
    /// Shares of the picture's width and height; times these, pixels counted from the origin.
    Shares(Origin),
}

/// Location of an image's grey values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PixelSource {
    /// An image file.
    File(PathBuf),
    /// The `imageData` of a labelme file.
    Labelme(PathBuf),
    /// A slice of a stack, padded with black to the right and below.
    Slice {
        /// The stack.
        stack: PathBuf,
        /// From 0.
        index: usize,
    },
}

impl Record {
    /// An image of which no more is known than its name and its landmarks, in pixels.
    pub(super) fn new(image: &Path, source: PixelSource, landmarks: Vec<Option<Point>>, location: String) -> Self {
        Self {
            image: image.to_string_lossy().replace('\\', "/"),
            source,
            split: None,
            patient: None,
            spacing: None,
            size: None,
            landmarks,
            unit: Unit::Pixels,
            frame: Frame::Turned,
            first: 0.0,
            y_up: false,
            location,
        }
    }
}

/// The position; an error if a coordinate is missing or infinite.
pub(super) fn position(x: f64, y: f64) -> Result<Point> {
    if x.is_finite() && y.is_finite() {
        Ok(Point { x, y })
    } else {
        Err(Error::input(format!("({x}, {y}) is no position")).remedy("leave a missing landmark out"))
    }
}

/// A landmark's name as it stands in the header of a CSV: without line ends and other control characters, without
/// space around it, and with accents as one character (NFC): macOS writes `é` as two, which look the same.
pub(super) fn landmark_name(name: &str) -> Result<String> {
    let plain: String = name.trim().nfc().map(|c| if c.is_control() { '_' } else { c }).collect();
    if plain.is_empty() {
        return Err(Error::input("a landmark has no name").remedy("name every landmark"));
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composed_and_decomposed_names_are_one() {
        assert_eq!(landmark_name(" e\u{301}pine ").unwrap(), "\u{e9}pine");
        assert_eq!(landmark_name("a\nb").unwrap(), "a_b");
        assert!(landmark_name(" ").is_err());
    }
}
