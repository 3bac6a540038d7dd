//! Stacks of slices, read from the front, a few slices at a time.

#![expect(clippy::disallowed_methods, reason = "reads data sets")]

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::picture::mha;
use sweep_core::error::{Error, Result};

use super::write::slice;
use super::{ParsedDataset, Record};

/// Slices of a stack that are in memory at a time.
const SLICES: usize = 16;

/// Does something to every slice of stacks, a few at a time, and then something to each result, in the order of the stacks.
pub(super) fn of_slices<'a, T: Send>(
    parsed: &'a ParsedDataset,
    each: impl Fn(&'a Record, &mha::Header, &[u8]) -> Result<T> + Sync,
    mut then: impl FnMut(T) -> Result<()>,
) -> Result<()> {
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
        made.into_iter().try_for_each(|made| then(made?))?;
    }
    Ok(())
}

/// A stack, read from the front.
pub(super) struct Stack {
    path: PathBuf,
    pub(super) header: mha::Header,
    values: Box<dyn Read + Send>,
    /// Slices that were read or left behind.
    passed: usize,
}

impl Stack {
    pub(super) fn open(path: &Path) -> Result<Self> {
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
    pub(super) fn read(&mut self, index: usize) -> Result<Vec<u8>> {
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
