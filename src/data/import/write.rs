//! Writes a parsed source as a data-set folder: every image decoded, checked and written as PNG, a few at a time; all or nothing.

#![expect(clippy::disallowed_methods, reason = "reads data sets")]

use std::fs::{self, File};
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Deserialize;

use crate::picture::{self, Grey, mha};
use crate::{Dataset, Sample, Split, folder};
use sweep_core::error::{Error, Result};
use sweep_core::units::{Point, Size, Spacing};

use super::{ParsedDataset, PixelSource, Record, Unit};

/// Slices of a stack that are in memory at a time.
const SLICES: usize = 16;

/// Makes the data set, and returns it without grey values.
///
/// # Errors
/// An error in an image or between an image and its landmarks; when `out` exists or cannot be written. No file is left
/// behind then.
pub fn write(parsed: &ParsedDataset, out: &Path) -> Result<Dataset> {
    folder::write_all_or_nothing(out, |dir| {
        let images = dir.join("images");
        let single: Vec<&Record> = parsed.records.iter().filter(|record| slice(record).is_none()).collect();
        let put = |record: &Record, grey: Grey| -> Result<Sample> {
            let sample = sample(record, grey, &parsed.landmarks).map_err(|e| e.at(&record.location))?;
            folder::write_image(&images.join(&sample.image), &sample)?;
            Ok(Sample { pixels: Vec::new(), ..sample })
        };
        let made: Vec<Result<Sample>> =
            single.par_iter().map(|record| put(record, decode(record).map_err(|e| e.at(&record.location))?)).collect();
        // In order, so that the first error is always the same one.
        let mut samples = made.into_iter().collect::<Result<Vec<_>>>()?;
        let mut stack: Option<Stack> = None;
        let mut slices: Vec<(&Record, &Path, usize)> = parsed
            .records
            .iter()
            .filter_map(|record| slice(record).map(|(path, index)| (record, path, index)))
            .collect();
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
            let made: Vec<Result<Sample>> = read
                .par_iter()
                .map(|(record, header, bytes)| put(record, unpadded(header.grey(bytes)?, &record.landmarks)))
                .collect();
            samples.extend(made.into_iter().collect::<Result<Vec<_>>>()?);
        }
        let dataset = Dataset {
            name: parsed.name.clone(),
            landmarks: parsed.landmarks.clone(),
            observer_mre: parsed.observer_mre,
            normalise: None,
            samples,
        };
        folder::write_table(&dataset, dir)?;
        Ok(dataset)
    })
}

fn slice(record: &Record) -> Option<(&Path, usize)> {
    match &record.source {
        PixelSource::Slice { stack, index } => Some((stack, *index)),
        PixelSource::File(_) | PixelSource::Labelme(_) => None,
    }
}

fn decode(record: &Record) -> Result<Grey> {
    match &record.source {
        PixelSource::File(path) => picture::read(path),
        PixelSource::Labelme(path) => embedded(path).map_err(|e| e.at("field imageData")),
        PixelSource::Slice { .. } => Err(Error::input("a slice of a stack is no file")),
    }
}

/// The image in a labelme file.
fn embedded(path: &Path) -> Result<Grey> {
    #[derive(Deserialize)]
    struct File {
        #[serde(rename = "imageData")]
        data: String,
    }
    let text = fs::read_to_string(path).map_err(|e| Error::input(format!("cannot be read: {e}")))?;
    let file: File = serde_json::from_str(&text).map_err(|e| Error::input(e.to_string()))?;
    let bytes = base64::decode(file.data.trim());
    picture::decode(&bytes.map_err(|e| Error::input(format!("not base64: {e}")))?)
}

fn sample(record: &Record, grey: Grey, names: &[String]) -> Result<Sample> {
    if let Some(Size { height, width }) = record.size.filter(|size| *size != grey.size) {
        return Err(Error::input(format!(
            "annotated at {width}×{height} pixels, but the image has {}×{}",
            grey.size.width, grey.size.height
        ))
        .remedy("use the images that were annotated"));
    }
    let spacing = record.spacing.or(grey.spacing);
    let landmarks = match record.unit {
        Unit::Pixels => record.landmarks.clone(),
        Unit::Millimetres => {
            let spacing = spacing.ok_or_else(|| {
                Error::input("neither the annotations nor the image say the size of a pixel, and landmarks are in mm")
                    .remedy("say it, in mm: --spacing X, or --spacing X,Y where it differs")
            })?;
            record.landmarks.iter().map(|p| p.map(|p| in_pixels(p, spacing))).collect()
        }
    };
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
    Ok(sample)
}

fn in_pixels(p: Point, spacing: Spacing) -> Point {
    Point { x: p.x / spacing.x, y: p.y / spacing.y }
}

/// Without the black columns at the right and rows at the bottom that fill a stack, as far as no landmark lies there.
fn unpadded(grey: Grey, landmarks: &[Option<Point>]) -> Grey {
    let Size { height, width } = grey.size;
    let rows = grey.pixels.chunks_exact(width);
    let bottom = rows.clone().rposition(|row| row.iter().any(|v| *v != 0)).map_or(1, |y| y + 1);
    let right = rows.filter_map(|row| row.iter().rposition(|v| *v != 0)).max().map_or(1, |x| x + 1);
    let reach = |of: fn(&Point) -> f64, len: usize| {
        landmarks.iter().flatten().map(of).filter(|v| *v <= len as f64 - 0.5).fold(0.0, f64::max).round() as usize + 1
    };
    let size = Size {
        height: bottom.max(reach(|p| p.y, height)).min(height),
        width: right.max(reach(|p| p.x, width)).min(width),
    };
    let pixels =
        grey.pixels.chunks_exact(width).take(size.height).flat_map(|row| &row[..size.width]).copied().collect();
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
