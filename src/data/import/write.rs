//! Writes a parsed source as a data-set folder: every image decoded, checked and written as PNG, a few at a time; all or nothing.

#![expect(clippy::disallowed_methods, reason = "reads data sets")]

use std::fs::{self, File};
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::Deserialize;

use crate::picture::{self, Decoded, DeepGrey, Grey, GreyRange, Picture, mha};
use crate::{Channels, Dataset, Sample, Split, folder};
use sweep_core::error::{Error, Result};
use sweep_core::units::{Pixels, Point, Size, Spacing};

use super::tree::{list_skipped, one_line};
use super::{Options, ParsedDataset, PixelSource, Record, Unit};

/// Slices of a stack that are in memory at a time.
const SLICES: usize = 16;

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
        let (written, shared) = read(parsed, Some(dir), options)?;
        folder::write_table_with(&written.dataset, shared, dir)?;
        Ok(written)
    })
}

/// Reads and checks every image as [`write_saying`] does, and writes nothing.
///
/// # Errors
/// Same errors as [`write()`], except for those of the folder.
pub fn check(parsed: &ParsedDataset, options: &Options) -> Result<Written> {
    let (written, _) = read(parsed, None, options)?;
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

/// A sample and the landmarks that were moved onto the image's edge.
type Made = (Sample, Vec<(usize, Pixels)>);

/// Reads all images and writes those that are good into a folder; with the range that deep images share.
fn read(parsed: &ParsedDataset, dir: Option<&Path>, options: &Options) -> Result<(Written, Option<GreyRange>)> {
    let wanted = options.channels;
    let images = dir.map(|dir| dir.join("images"));
    let (shared, mut notes) = super::grey::shared(parsed, options)?;
    let deep = shared.map_or(DeepGrey::Own, DeepGrey::Fixed);
    let (turned, greyed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let put = |record: &Record, image: Decoded| -> Result<Made> {
        greyed.fetch_add(usize::from(image.lost_colours()), Ordering::Relaxed);
        check_aspect(record, &image).map_err(|e| e.at(&record.location))?;
        let picture = image.picture(deep);
        turned.fetch_add(usize::from(picture.orientation.is_turned()), Ordering::Relaxed);
        let (sample, moved) = sample(record, picture, &parsed.landmarks).map_err(|e| e.at(&record.location))?;
        if let Some(images) = &images {
            folder::write_image(&images.join(&sample.image), &sample)?;
        }
        Ok((Sample { pixels: Vec::new(), ..sample }, moved))
    };
    let single: Vec<&Record> = parsed.records.iter().filter(|record| slice(record).is_none()).collect();
    let mut made = Collected { skip_bad: options.skip_bad, ..Collected::default() };
    let read: Vec<Result<Made>> = single
        .par_iter()
        .map(|record| put(record, decode(record, wanted).map_err(|e| e.at(&record.location))?))
        .collect();
    // In order, so that the first error is always the same one.
    read.into_iter().try_for_each(|sample| made.add(sample))?;
    let read = of_slices(parsed, |record, header, bytes| Ok(put(record, header.slice(bytes, wanted)?)))?;
    read.into_iter().try_for_each(|sample| made.add(sample))?;
    let turned = turned.into_inner();
    if turned > 0 {
        notes.push(format!(
            "{turned} of {} images were turned as their EXIF orientation asks; landmarks belong to the images as viewers \
             show them",
            parsed.records.len()
        ));
    }
    let greyed = greyed.into_inner();
    if greyed > 0 {
        notes.push(format!(
            "{greyed} of {} images are in colour and became grey: --colour keeps their colours",
            parsed.records.len()
        ));
    }
    notes.extend(made.notes(&parsed.landmarks));
    let dataset = Dataset {
        name: parsed.name.clone(),
        landmarks: parsed.landmarks.clone(),
        observer_mre: parsed.observer_mre,
        normalise: None,
        samples: made.samples,
    };
    Ok((Written { dataset, notes }, shared))
}

/// Refuses pixels that are not square and of unknown size: errors in pixels would count x and y differently.
fn check_aspect(record: &Record, image: &Decoded) -> Result<()> {
    let Some([height, width]) = image.aspect().filter(|_| record.spacing.is_none()) else { return Ok(()) };
    Err(Error::input(format!("its pixels are {width} wide and {height} high in an unknown unit (PixelAspectRatio)"))
        .at(&record.image)
        .remedy(format!("say their size in mm in this ratio: --spacing X,Y, where Y is {:.4} times X", height / width)))
}

/// Samples so far, and what there is to say of them.
#[derive(Default)]
struct Collected {
    skip_bad: bool,
    samples: Vec<Sample>,
    /// Errors of images that were left out.
    skipped: Vec<String>,
    /// Image, landmark and distance of those that were moved onto the edge.
    moved: Vec<(String, usize, Pixels)>,
}

impl Collected {
    fn add(&mut self, made: Result<Made>) -> Result<()> {
        match made {
            Ok((sample, moved)) => {
                self.moved.extend(moved.into_iter().map(|(landmark, by)| (sample.image.clone(), landmark, by)));
                self.samples.push(sample);
                Ok(())
            }
            Err(error) if self.skip_bad => {
                self.skipped.push(one_line(&error));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn notes(&self, names: &[String]) -> Vec<String> {
        let listed = self.moved.iter().take(10);
        let list = listed.map(|(image, landmark, by)| format!("{image}: {} by {:.1} px", names[*landmark], by.0));
        let list = list.collect::<Vec<_>>().join(", ");
        let more = if self.moved.len() > 10 { ", …" } else { "" };
        let n = self.moved.len();
        let moved = (n > 0).then(|| {
            format!("{n} landmarks lay a little outside their image and were moved onto its edge: {list}{more}")
        });
        moved.into_iter().chain(list_skipped("images", &self.skipped)).collect()
    }
}

/// Does something to every slice of stacks, a few at a time, in the order of the stacks.
pub(super) fn of_slices<T: Send>(
    parsed: &ParsedDataset,
    each: impl Fn(&Record, &mha::Header, &[u8]) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let mut done = Vec::new();
    let mut stack: Option<Stack> = None;
    let mut slices: Vec<(&Record, &Path, usize)> =
        parsed.records.iter().filter_map(|record| slice(record).map(|(path, index)| (record, path, index))).collect();
    slices.sort_by_key(|(_, path, index)| (*path, *index));
    for some in slices.chunks(SLICES) {
        let mut read = Vec::new();
        for (record, path, index) in some {
            if stack.as_ref().is_none_or(|stack| stack.path != *path) {
                stack = Some(Stack::open(path)?);
            }
            let bytes = stack.as_mut().map(|stack| stack.read(*index).map(|bytes| (stack.header.clone(), bytes)));
            read.extend(bytes.transpose().map_err(|e| e.at(path.display()))?.map(|(h, b)| (*record, h, b)));
        }
        let made: Vec<Result<T>> = read.par_iter().map(|(record, header, bytes)| each(record, header, bytes)).collect();
        done.extend(made.into_iter().collect::<Result<Vec<_>>>()?);
    }
    Ok(done)
}

pub(super) fn slice(record: &Record) -> Option<(&Path, usize)> {
    match &record.source {
        PixelSource::Slice { stack, index } => Some((stack, *index)),
        PixelSource::File(_) | PixelSource::Labelme(_) => None,
    }
}

fn decode(record: &Record, wanted: Channels) -> Result<Decoded> {
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

fn sample(record: &Record, picture: Picture, names: &[String]) -> Result<Made> {
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

/// A stack, read from the front.
struct Stack {
    path: PathBuf,
    header: mha::Header,
    values: Box<dyn Read + Send>,
    /// Slices that were read or left behind.
    passed: usize,
}

impl Stack {
    fn open(path: &Path) -> Result<Self> {
        let unreadable = |e: std::io::Error| Error::input(format!("cannot be read: {e}")).at(path.display());
        let mut file = File::open(path).map_err(unreadable)?;
        let mut start = Vec::new();
        file.by_ref().take(mha::MAX_HEADER as u64).read_to_end(&mut start).map_err(unreadable)?;
        let header = mha::Header::parse(&start).map_err(|e| e.at(path.display()))?;
        if header.beside.is_some() {
            return Err(Error::input("its values lie in another file")
                .at("ElementDataFile")
                .at(path.display())
                .remedy("write the stack into one .mha file"));
        }
        file.seek(SeekFrom::Start(header.offset as u64)).map_err(unreadable)?;
        let file = BufReader::new(file);
        let values: Box<dyn Read + Send> =
            if header.compressed { Box::new(flate2::read::ZlibDecoder::new(file)) } else { Box::new(file) };
        Ok(Self { path: path.to_owned(), header, values, passed: 0 })
    }

    /// A slice's bytes; slices must be asked for in order.
    fn read(&mut self, index: usize) -> Result<Vec<u8>> {
        while self.passed < index {
            let skipped = (&mut self.values).take(self.header.slice_bytes() as u64);
            let read = std::io::copy(&mut { skipped }, &mut std::io::sink());
            read.map_err(|e| Error::input(format!("cannot be read: {e}")))?;
            self.passed += 1;
        }
        self.passed += 1;
        self.header.take_slice(&mut self.values)
    }
}
