//! Layout of a file of the cache: a mark, the header's length and keyed hash, the header as JSON, and from a page's border
//! on every picture's values, plane by plane, 32-bit floats in this machine's order.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::picture::CacheFile;
use super::secret::Secret;
use crate::resize::Picture;
use crate::{Dataset, DatasetIndex};
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

/// Sizes of the originals, and the file with all pictures' values checked; or the reason not to trust them.
pub(super) fn open(
    file: File,
    path: &Path,
    key: &str,
    secret: &Secret,
    input: Size,
    source: &Arc<DatasetIndex>,
) -> Result<(Vec<Size>, Arc<CacheFile>), String> {
    let unreadable = |e: io::Error| format!("cannot be read: {e}");
    let length = file.metadata().map_err(unreadable)?.len();
    let mut prefix = [0; PREFIX];
    file.read_exact_at(&mut prefix, 0).map_err(|_| "cut off")?;
    let number = |at: usize| prefix[at..].first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
    if number(0) != MARK {
        return Err("not a file of this cache, or an old one".into());
    }
    let header = number(8);
    if header > length {
        return Err("cut off".into());
    }
    let mut header = vec![0; usize::try_from(header).map_err(|_| "cut off")?];
    file.read_exact_at(&mut header, PREFIX as u64).map_err(|_| "cut off")?;
    if prefix[16..] != *blake3::keyed_hash(secret, &header).as_bytes() {
        return Err("its header is damaged".into());
    }
    let start = ((PREFIX + header.len()).next_multiple_of(PAGE)) as u64;
    let header: Header = serde_json::from_slice(&header).map_err(|_| "an old file")?;
    if header.key != key || header.input != input {
        return Err("it holds other pictures than its name says".into());
    }
    let values = source.channels().count() * input.area();
    let all = header.pictures.len().checked_mul(values * size_of::<f32>()).map(|all| all as u64);
    if all.and_then(|all| all.checked_add(start)) != Some(length) {
        return Err("cut off".into());
    }
    let hash = |entry: &PictureRecord| blake3::Hash::from_hex(&entry.hash).map_err(|_| "an old file".to_owned());
    let hashes = header.pictures.iter().map(hash).collect::<Result<Vec<_>, _>>()?;
    let made_again = hashes.iter().map(|_| OnceLock::new()).collect();
    let (path, secret, source) = (path.to_owned(), *secret, Arc::clone(source));
    let opened = CacheFile { file, path, secret, start, values, hashes, source, input, made_again };
    let check = |index| opened.stored(index).map(drop);
    (0..header.pictures.len()).into_par_iter().try_for_each(check).map_err(|e| e.to_string())?;
    Ok((header.pictures.iter().map(|entry| entry.original).collect(), Arc::new(opened)))
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
