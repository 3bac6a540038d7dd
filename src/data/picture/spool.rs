//! Deep values that wait in a file until the range is known that all pictures of a data set share: none is decoded twice, and
//! no more of them than are being decoded lie in memory.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Decoded;
use super::values::Values;
use sweep_core::error::{Error, Result};

/// The file, which has no name and is gone at the end.
pub(crate) struct Spool {
    file: File,
    end: AtomicU64,
}

/// A picture whose values lie in the file.
pub(crate) struct Kept {
    /// Everything but its values.
    rest: Decoded,
    at: u64,
    count: usize,
}

impl Spool {
    /// Makes the file in a folder, or where temporary files are.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn create(folder: Option<&Path>) -> Result<Self> {
        let file = folder.map_or_else(tempfile::tempfile, tempfile::tempfile_in).map_err(|e| failed(&e))?;
        Ok(Self { file, end: AtomicU64::new(0) })
    }

    /// Puts a picture's values into the file.
    ///
    /// # Errors
    /// When they cannot be written, for example because the disk is full.
    pub(crate) fn keep(&self, mut decoded: Decoded) -> Result<Kept> {
        let count = decoded.values.len();
        let (empty, at) = match &decoded.values {
            Values::Shown(values) => (Values::Shown(Vec::new()), self.write(values)?),
            Values::Whole(values) => (Values::Whole(Vec::new()), self.write(bytemuck::cast_slice(values))?),
            Values::Numbers { offset, values } => {
                (Values::Numbers { offset: *offset, values: Vec::new() }, self.write(bytemuck::cast_slice(values))?)
            }
        };
        decoded.values = empty;
        Ok(Kept { rest: decoded, at, count })
    }

    fn write(&self, bytes: &[u8]) -> Result<u64> {
        let at = self.end.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.file.write_all_at(bytes, at).map_err(|e| failed(&e))?;
        Ok(at)
    }

    /// Takes a picture out of the file again.
    ///
    /// # Errors
    /// When its values cannot be read.
    pub(crate) fn restore(&self, kept: Kept) -> Result<Decoded> {
        let Kept { mut rest, at, count } = kept;
        let read = |bytes: &mut [u8]| self.file.read_exact_at(bytes, at).map_err(|e| failed(&e));
        match &mut rest.values {
            Values::Shown(values) => {
                values.resize(count, 0);
                read(values)?;
            }
            Values::Whole(values) => {
                values.resize(count, 0);
                read(bytemuck::cast_slice_mut(values))?;
            }
            Values::Numbers { values, .. } => {
                values.resize(count, 0.0);
                read(bytemuck::cast_slice_mut(values))?;
            }
        }
        Ok(rest)
    }
}

fn failed(error: &std::io::Error) -> Error {
    Error::input(format!("values of images cannot be kept in a temporary file: {error}"))
        .remedy("make room on the disk, or name another folder by TMPDIR")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sweep_core::units::Size;

    #[test]
    fn pictures_come_back_as_they_were() {
        let spool = Spool::create(None).unwrap();
        let size = Size { height: 1, width: 3 };
        let all = [
            Values::Whole(vec![0, 1, 65_535]),
            Values::Numbers { offset: 1e9, values: vec![-1.5, f32::MAX, 0.0] },
            Values::Shown(vec![1, 2, 3]),
            Values::Whole(vec![7, 8, 9]),
        ];
        let keep = |values: &Values| spool.keep(Decoded { lost_colours: true, ..Decoded::plain(size, values.clone()) });
        let kept: Vec<Kept> = all.iter().map(|values| keep(values).unwrap()).collect();
        for (values, kept) in all.iter().zip(kept).rev() {
            let back = spool.restore(kept).unwrap();
            assert_eq!((&back.values, back.size, back.lost_colours), (values, size, true));
        }
    }
}
