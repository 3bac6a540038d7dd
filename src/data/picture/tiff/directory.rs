//! The first directory of a file, read without the tiff crate, which cannot be asked where a tag stands.

use std::io::SeekFrom;

use crate::picture::{ReadSeek, damaged};
use sweep_core::error::Result;

/// More tags than any page has.
const MOST_ENTRIES: u64 = 1 << 12;

/// Numbers of tags (TIFF 6.0).
pub(super) mod tag {
    pub(in crate::picture::tiff) const IMAGE_WIDTH: u16 = 256;
    pub(in crate::picture::tiff) const BITS_PER_SAMPLE: u16 = 258;
    pub(in crate::picture::tiff) const COMPRESSION: u16 = 259;
    pub(in crate::picture::tiff) const PHOTOMETRIC: u16 = 262;
    pub(in crate::picture::tiff) const FILL_ORDER: u16 = 266;
    pub(in crate::picture::tiff) const SAMPLES_PER_PIXEL: u16 = 277;
    pub(in crate::picture::tiff) const PLANAR_CONFIGURATION: u16 = 284;
    pub(in crate::picture::tiff) const PREDICTOR: u16 = 317;
    pub(in crate::picture::tiff) const TILE_WIDTH: u16 = 322;
    pub(in crate::picture::tiff) const INK_SET: u16 = 332;
    pub(in crate::picture::tiff) const EXTRA_SAMPLES: u16 = 338;
    pub(in crate::picture::tiff) const SAMPLE_FORMAT: u16 = 339;
}

/// The tags of a page.
pub(super) struct Directory {
    is_big_endian: bool,
    is_big_tiff: bool,
    entries: Vec<Entry>,
}

struct Entry {
    tag: u16,
    /// Place in the file.
    at: u64,
    /// The first value, if it is a whole number.
    first: Option<u64>,
}

impl Directory {
    /// Reads the tags as far as they are there; what is wrong with them is the decoder's to say.
    pub(super) fn read(source: &mut dyn ReadSeek) -> Result<Self> {
        let mut header = [0u8; 16];
        source.seek(SeekFrom::Start(0)).map_err(damaged)?;
        let mut read = 0;
        while let Ok(more @ 1..) = source.read(&mut header[read..]) {
            read += more;
        }
        let is_big_endian = header[0] == b'M';
        let mut directory = Self { is_big_endian, is_big_tiff: false, entries: Vec::new() };
        directory.is_big_tiff = directory.number(&header[2..4]) == 43;
        let (start, count_bytes) = if directory.is_big_tiff {
            (directory.number(&header[8..16]), 8)
        } else {
            (directory.number(&header[4..8]), 2)
        };
        let size = directory.entry_bytes();
        source.seek(SeekFrom::Start(start)).map_err(damaged)?;
        let mut bytes = [0u8; 20];
        if source.read_exact(&mut bytes[..count_bytes]).is_err() {
            return Ok(directory);
        }
        let count = directory.number(&bytes[..count_bytes]).min(MOST_ENTRIES);
        for index in 0..count {
            let at = start.saturating_add(count_bytes as u64 + index * size as u64);
            source.seek(SeekFrom::Start(at)).map_err(damaged)?;
            if source.read_exact(&mut bytes[..size]).is_err() {
                break;
            }
            let first = directory.first(&bytes[..size], source);
            directory.entries.push(Entry { tag: directory.number(&bytes[..2]) as u16, at, first });
        }
        Ok(directory)
    }

    fn entry_bytes(&self) -> usize {
        if self.is_big_tiff { 20 } else { 12 }
    }

    fn number(&self, bytes: &[u8]) -> u64 {
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        if self.is_big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) }
    }

    /// The first of an entry's values, which stand in the entry or at the place that it names.
    fn first(&self, entry: &[u8], source: &mut dyn ReadSeek) -> Option<u64> {
        let size: usize = match self.number(&entry[2..4]) {
            1 => 1,
            3 => 2,
            4 => 4,
            16 => 8,
            _ => return None,
        };
        let (count, value) = entry[4..].split_at(if self.is_big_tiff { 8 } else { 4 });
        let count = self.number(count);
        if count == 0 {
            return None;
        }
        if count.saturating_mul(size as u64) <= value.len() as u64 {
            return Some(self.number(&value[..size]));
        }
        let mut bytes = [0u8; 8];
        source.seek(SeekFrom::Start(self.number(value))).ok()?;
        source.read_exact(&mut bytes[..size]).ok()?;
        Some(self.number(&bytes[..size]))
    }

    fn entry(&self, tag: u16) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.tag == tag)
    }

    /// The first value of a tag.
    pub(super) fn value(&self, tag: u16) -> Option<u64> {
        self.entry(tag)?.first
    }

    /// An entry that says one number instead, with its place; none where the page lacks the tag.
    pub(super) fn instead(&self, tag: u16, value: u32) -> Option<(u64, Vec<u8>)> {
        self.changed(tag, tag, value)
    }

    /// An entry of a tag that nobody knows, in the place of this one.
    pub(super) fn without(&self, tag: u16) -> Option<(u64, Vec<u8>)> {
        self.changed(tag, u16::MAX, 0)
    }

    fn changed(&self, old: u16, tag: u16, value: u32) -> Option<(u64, Vec<u8>)> {
        const LONG: u16 = 4;
        let at = self.entry(old)?.at;
        let ordered = |bytes: Vec<u8>| {
            if self.is_big_endian { bytes } else { bytes.into_iter().rev().collect() }
        };
        let mut bytes = [ordered(tag.to_be_bytes().to_vec()), ordered(LONG.to_be_bytes().to_vec())].concat();
        bytes.extend(if self.is_big_tiff {
            ordered(1u64.to_be_bytes().to_vec())
        } else {
            ordered(1u32.to_be_bytes().to_vec())
        });
        bytes.extend(ordered(value.to_be_bytes().to_vec()));
        bytes.resize(self.entry_bytes(), 0);
        Some((at, bytes))
    }
}
