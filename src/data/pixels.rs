//! Shared grey values: in memory, or in a file that all processes map.
#![expect(unsafe_code, reason = "maps files")]

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::sync::Arc;

use memmap2::Mmap;

/// Grey values of a picture, row by row; clones share them.
#[derive(Debug, Clone)]
pub struct Pixels(Storage);

#[derive(Debug, Clone)]
enum Storage {
    Memory(Arc<Vec<f32>>),
    File { file: Arc<Mmap>, bytes: Range<usize> },
}

impl Pixels {
    /// Those that begin at a byte of a mapped file; `None` if they are not all there, or do not begin at a multiple of
    /// four.
    pub(super) fn mapped(file: &Arc<Mmap>, bytes: Range<usize>) -> Option<Self> {
        bytemuck::try_cast_slice::<u8, f32>(file.get(bytes.clone())?).ok()?;
        Some(Self(Storage::File { file: Arc::clone(file), bytes }))
    }

    #[cfg(test)]
    pub(super) fn are_mapped(&self) -> bool {
        matches!(self.0, Storage::File { .. })
    }
}

impl Deref for Pixels {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &self.0 {
            Storage::Memory(values) => values,
            Storage::File { file, bytes } => bytemuck::cast_slice(&file[bytes.clone()]),
        }
    }
}

impl From<Vec<f32>> for Pixels {
    fn from(values: Vec<f32>) -> Self {
        Self(Storage::Memory(Arc::new(values)))
    }
}

impl PartialEq for Pixels {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

/// Maps a whole file for reading.
///
/// # Errors
/// When the system will not.
pub(super) fn map(file: &File) -> io::Result<Arc<Mmap>> {
    // SAFETY: the cache's files are written under another name and never again after they got theirs; replacing or
    // removing one leaves what is mapped as it is. Whoever else writes into them breaks a promise the system cannot keep.
    Ok(Arc::new(unsafe { Mmap::map(file)? }))
}
