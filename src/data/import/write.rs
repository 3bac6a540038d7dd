//! Writes a parsed source as a data-set folder: every image decoded, checked and written as PNG, a few at a time; all or nothing.

#![expect(clippy::disallowed_methods, reason = "reads data sets")]

use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::picture::{self, Decoded, DeepGrey, Grey, Picture};
use crate::{Channels, Dataset, Sample, Split, folder};
use sweep_core::error::{Error, Result};
use sweep_core::units::{Pixels, Point, Size, Spacing};

use super::images::{self, Made};
use super::stack::Stack;
use super::{Options, ParsedDataset, PixelSource, Record, Unit};

/// Makes the data set, and returns it without grey values.
///
/// # Errors
/// An error in an image or between an image and its landmarks; when `out` exists or cannot be written. No file is left
/// behind then.
pub fn write(parsed: &ParsedDataset, out: &Path) -> Result<Dataset> {
    Ok(write_saying(parsed, out, &Options::default())?.dataset)
}

/// A data set that was made, and what the user should know of it.
#[derive(Debug)]
pub struct Written {
    /// The data set, without grey values.
    pub dataset: Dataset,
    /// Changes made to its images.
    pub notes: Vec<String>,
}

/// [`write()`] with notes on what was done to the images, and with bad images left out if the user wants so.
///
/// # Errors
/// Same errors as [`write()`].
pub fn write_saying(parsed: &ParsedDataset, out: &Path, options: &Options) -> Result<Written> {
    folder::write_all_or_nothing(out, |dir| {
        let (written, shared) = images::read(parsed, Some(dir), options)?;
        folder::write_table_with(&written.dataset, shared, dir)?;
        Ok(written)
    })
}

/// Reads and checks every image as [`write_saying`] does, and writes nothing.
///
/// # Errors
/// Same errors as [`write()`], except for those of the folder.
pub fn check(parsed: &ParsedDataset, options: &Options) -> Result<Written> {
    let (written, _) = images::read(parsed, None, options)?;
    written.dataset.check_table()?;
    Ok(written)
}

/// One of the images with its grey values, by its name in the data set; `None` if there is none of that name.
///
/// # Errors
/// Same errors as [`write()`], of this image.
pub fn read_image(parsed: &ParsedDataset, image: &str) -> Result<Option<Sample>> {
    let Some(record) = parsed.records.iter().find(|record| record.image == image) else { return Ok(None) };
    let stored = match slice(record) {
        None => decode(record, Channels::Grey)?,
        Some((path, index)) => {
            let mut stack = Stack::open(path)?;
            let bytes = stack.read(index).map_err(|e| e.at(path.display()))?;
            stack.header.slice(&bytes, Channels::Grey)?
        }
    };
    Ok(Some(sample(record, stored.picture(DeepGrey::Own), &parsed.landmarks)?.0))
}

pub(super) fn slice(record: &Record) -> Option<(&Path, usize)> {
    match &record.source {
        PixelSource::Slice { stack, index } => Some((stack, *index)),
        PixelSource::File(_) | PixelSource::Labelme(_) => None,
    }
}

pub(super) fn decode(record: &Record, wanted: Channels) -> Result<Decoded> {
    match &record.source {
        PixelSource::File(path) => picture::load(path, wanted),
        PixelSource::Labelme(path) => {
            embedded(path).and_then(|bytes| picture::decode_stored(&bytes, wanted)).map_err(|e| e.at("field imageData"))
        }
        PixelSource::Slice { .. } => Err(Error::input("a slice of a stack is no file")),
    }
}

/// The image file in a labelme file.
pub(super) fn embedded(path: &Path) -> Result<Vec<u8>> {
    #[derive(Deserialize)]
    struct File {
        #[serde(rename = "imageData")]
        data: String,
    }
    let text = fs::read_to_string(path).map_err(|e| Error::input(format!("cannot be read: {e}")))?;
    let file: File = serde_json::from_str(&text).map_err(|e| Error::input(e.to_string()))?;
    base64::decode(file.data.trim()).map_err(|e| Error::input(format!("not base64: {e}")))
}

pub(super) fn sample(record: &Record, picture: Picture, names: &[String]) -> Result<Made> {
    let Picture { mut grey, orientation, .. } = picture;
    // Of one of the eight turns, and back again, the size is the same.
    let stored = orientation.size(grey.size);
    let spacing = record.spacing.or(grey.spacing);
    let marked_on = record.frame.size(record.size, stored, orientation)?;
    let marked = positions(record, marked_on, spacing)?;
    let (said, landmarks) = record.frame.shown(record.size, &marked, stored, orientation)?;
    if slice(record).is_some() {
        grey = unpadded(grey, &landmarks);
    } else if let Some(Size { height, width }) = said.filter(|size| *size != grey.size) {
        return Err(Error::input(format!(
            "annotated at {width}×{height} pixels, but the image has {}×{}",
            grey.size.width, grey.size.height
        ))
        .remedy("use the images that were annotated"));
    }
    let (landmarks, moved) = onto_edge(landmarks, grey.size);
    let sample = Sample {
        image: record.image.clone(),
        split: record.split.unwrap_or(Split::Train),
        size: grey.size,
        pixels: grey.pixels,
        landmarks,
        spacing,
        patient: record.patient.clone().or(grey.patient),
    };
    sample.check(names)?;
    Ok((sample, moved))
}

/// An image's landmarks in pixels of the picture that was marked, counted from the first one's centre.
fn positions(record: &Record, size: Size, spacing: Option<Spacing>) -> Result<Vec<Option<Point>>> {
    let Size { height, width } = size;
    let in_mm = || {
        spacing.ok_or_else(|| {
            Error::input("neither the annotations nor the image say the size of a pixel, and landmarks are in mm")
                .remedy("say it, in mm: --spacing X, or --spacing X,Y where it differs")
        })
    };
    let in_pixels = |p: Point| -> Result<Point> {
        let p = match record.unit {
            Unit::Pixels => p,
            Unit::Millimetres => in_mm().map(|spacing| Point { x: p.x / spacing.x, y: p.y / spacing.y })?,
            Unit::Shares(origin) => origin.position(p.x * width as f64, p.y * height as f64)?,
        };
        let (x, y) = (p.x - record.first, p.y - record.first);
        Ok(Point { x, y: if record.y_up { height as f64 - 1.0 - y } else { y } })
    };
    record.landmarks.iter().map(|p| p.map(in_pixels).transpose()).collect()
}

/// Moves landmarks that lie outside the image by no more than 5 pixels, or 1 % of its longer side, onto its edge: people
/// click beside a landmark on the edge.
fn onto_edge(mut landmarks: Vec<Option<Point>>, size: Size) -> (Vec<Option<Point>>, Vec<(usize, Pixels)>) {
    let tolerance = (size.height.max(size.width) as f64 * 0.01).max(5.0);
    let mut moved = Vec::new();
    for (index, landmark) in landmarks.iter_mut().enumerate() {
        let Some(point) = landmark.as_mut().filter(|point| !point.is_inside(size)) else { continue };
        let edge =
            Point { x: point.x.clamp(-0.5, size.width as f64 - 0.5), y: point.y.clamp(-0.5, size.height as f64 - 0.5) };
        let by = point.distance(edge);
        if by.0 <= tolerance {
            *point = edge;
            moved.push((index, by));
        }
    }
    (landmarks, moved)
}

/// Without the black columns at the right and rows at the bottom that fill a stack, as far as no landmark lies there.
fn unpadded(grey: Grey, landmarks: &[Option<Point>]) -> Grey {
    let Size { height, width } = grey.size;
    let rows = || grey.pixels.chunks_exact(width);
    let last = |plane: &[u8]| plane.chunks_exact(width).rposition(|row| row.iter().any(|v| *v != 0));
    let bottom = grey.pixels.chunks_exact(grey.size.area()).filter_map(last).max().map_or(1, |y| y + 1);
    let right = rows().filter_map(|row| row.iter().rposition(|v| *v != 0)).max().map_or(1, |x| x + 1);
    let reach = |of: fn(&Point) -> f64, len: usize| {
        landmarks.iter().flatten().map(of).filter(|v| *v <= len as f64 - 0.5).fold(0.0, f64::max).round() as usize + 1
    };
    let size = Size {
        height: bottom.max(reach(|p| p.y, height)).min(height),
        width: right.max(reach(|p| p.x, width)).min(width),
    };
    let kept = rows().enumerate().filter(|(y, _)| y % height < size.height);
    let pixels = kept.flat_map(|(_, row)| &row[..size.width]).copied().collect();
    Grey { size, pixels, ..grey }
}
