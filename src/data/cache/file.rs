//! Layout of a file of the cache: a mark, the header's length and keyed hash, the header as JSON, and from a page's border
//! on every picture's values, plane by plane, 32-bit floats in this machine's order.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::secret::Secret;
use crate::Dataset;
use crate::pixels::{self, Pixels};
use crate::resize::Picture;
use sweep_core::units::Size;

/// Extension of complete files.
pub(super) const EXTENSION: &str = "pictures";

/// Says what the file is, and, as a number in this machine's order, that its floats are in that order too.
const MARK: u64 = u64::from_be_bytes(*b"LMSWpic2");
/// Mark, header's length, header's hash.
const PREFIX: usize = 8 + 8 + 32;
/// Grey values begin at a multiple of this.
const PAGE: usize = 4096;

/// A file's description of itself.
#[derive(Serialize, Deserialize)]
struct Header {
    /// The file's name, again: a file that was renamed is not what its name says.
    key: String,
    /// Size of every picture.
    input: Size,
    /// One for every sample.
    pictures: Vec<PictureRecord>,
}

#[derive(Serialize, Deserialize)]
struct PictureRecord {
    /// Size of the original image.
    original: Size,
    /// Keyed BLAKE3 of the grey values, hexadecimal.
    hash: String,
}

/// Sizes of the originals and grey values of all pictures, checked; or the reason not to trust them.
pub(super) fn read(
    file: &File,
    key: &str,
    secret: &Secret,
    input: Size,
    channels: usize,
) -> Result<(Vec<Size>, Vec<Pixels>), String> {
    let map = pixels::map(file).map_err(|e| format!("cannot be mapped: {e}"))?;
    let part = |start: usize, len: usize| map.get(start..start.checked_add(len)?);
    let number = |start: usize| Some(u64::from_ne_bytes(part(start, 8)?.try_into().ok()?));
    if number(0) != Some(MARK) {
        return Err("not a file of this cache, or an old one".into());
    }
    let header = number(8).and_then(|len| part(PREFIX, usize::try_from(len).ok()?)).ok_or("cut off")?;
    if part(16, 32) != Some(blake3::keyed_hash(secret, header).as_bytes()) {
        return Err("its header is damaged".into());
    }
    let start = (PREFIX + header.len()).next_multiple_of(PAGE);
    let header: Header = serde_json::from_slice(header).map_err(|_| "an old file")?;
    if header.key != key || header.input != input {
        return Err("it holds other pictures than its name says".into());
    }
    let bytes = channels * input.area() * size_of::<f32>();
    if header.pictures.len().checked_mul(bytes).and_then(|all| all.checked_add(start)) != Some(map.len()) {
        return Err("cut off".into());
    }
    let picture = |(index, entry): (usize, &PictureRecord)| {
        let bytes_of_picture = start + index * bytes..start + (index + 1) * bytes;
        let hash = blake3::keyed_hash(secret, map.get(bytes_of_picture.clone())?);
        let intact = hash.to_hex().as_str() == entry.hash;
        Pixels::mapped(&map, bytes_of_picture).filter(|_| intact)
    };
    let pixels: Option<Vec<Pixels>> = header.pictures.par_iter().enumerate().map(picture).collect();
    let pixels = pixels.ok_or("its pictures are damaged")?;
    Ok((header.pictures.iter().map(|entry| entry.original).collect(), pixels))
}

/// Writes a data set's pictures.
pub(super) fn write(
    file: &mut File,
    key: &str,
    secret: &Secret,
    input: Size,
    dataset: &Dataset,
    pictures: &[Picture],
) -> io::Result<()> {
    let entry = |(sample, picture): (&crate::Sample, &Picture)| PictureRecord {
        original: sample.size,
        hash: blake3::keyed_hash(secret, bytemuck::cast_slice(&picture.pixels)).to_hex().to_string(),
    };
    let entries = dataset.samples.par_iter().zip(pictures).map(entry).collect();
    let header = serde_json::to_vec(&Header { key: key.to_owned(), input, pictures: entries })?;
    let mut out = BufWriter::new(file);
    out.write_all(&MARK.to_ne_bytes())?;
    out.write_all(&(header.len() as u64).to_ne_bytes())?;
    out.write_all(blake3::keyed_hash(secret, &header).as_bytes())?;
    out.write_all(&header)?;
    let end = PREFIX + header.len();
    out.write_all(&vec![0; end.next_multiple_of(PAGE) - end])?;
    for picture in pictures {
        out.write_all(bytemuck::cast_slice(&picture.pixels))?;
    }
    out.flush()
}
