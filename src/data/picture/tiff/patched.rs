//! A file of which some bytes are read as others.

use std::io::{self, Read, Seek, SeekFrom};

use crate::picture::ReadSeek;

pub(super) struct Patched<'a> {
    source: &'a mut dyn ReadSeek,
    /// Places, and the bytes that are read there.
    changes: Vec<(u64, Vec<u8>)>,
}

impl<'a> Patched<'a> {
    pub(super) fn new(source: &'a mut dyn ReadSeek, changes: Vec<(u64, Vec<u8>)>) -> Self {
        Self { source, changes }
    }
}

impl Read for Patched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let before = if self.changes.is_empty() { 0 } else { self.source.stream_position()? };
        let read = self.source.read(buffer)?;
        let end = before.saturating_add(read as u64);
        for (at, bytes) in self.changes.iter().filter(|(at, bytes)| *at < end && at + bytes.len() as u64 > before) {
            for (place, byte) in (*at..).zip(bytes) {
                let index = place.checked_sub(before).and_then(|index| usize::try_from(index).ok());
                if let Some(there) = index.filter(|index| *index < read).and_then(|index| buffer.get_mut(index)) {
                    *there = *byte;
                }
            }
        }
        Ok(read)
    }
}

impl Seek for Patched<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.source.seek(to)
    }
}
