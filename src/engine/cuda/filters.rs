//! The packed weights of a program's convolutions: where each convolution's are, and the launch that packs them all.

use super::choose::ROW;
use super::parameters::{Packing, Packings, bytes_of};
use sweep_core::error::Result;
use sweep_graph::gpu::{Address, Gpu, Launch, Memory};

/// Threads of a block, each of which packs a row.
const PACKERS: usize = 256;

/// Filters so far, packed one after another.
#[derive(Debug, Default)]
pub(super) struct Filters {
    table: Vec<Packing>,
    /// Address of the next one, bytes so far, and blocks of threads so far.
    next: Address,
    pub(super) bytes: usize,
    blocks: usize,
}

impl Filters {
    /// Filters that are packed at this address.
    pub(super) fn at(start: Address) -> Self {
        Self { next: start, ..Self::default() }
    }

    /// Adds a filter of so many rows and returns its address.
    pub(super) fn add(&mut self, packing: &Packing, rows: usize) -> Address {
        let to = self.next;
        self.table.push(Packing { to, rows: rows as i32, first: self.blocks as i32, ..*packing });
        let bytes = (rows * ROW).next_multiple_of(256);
        self.next += bytes as Address;
        self.bytes += bytes;
        self.blocks += rows.div_ceil(PACKERS);
        to
    }

    /// The launch that packs all filters, if there are any, and the table that it reads.
    ///
    /// # Errors
    /// When the GPU has not enough memory.
    pub(super) fn pack(&self, gpu: &dyn Gpu) -> Result<Option<(Launch, Box<dyn Memory>)>> {
        if self.table.is_empty() {
            return Ok(None);
        }
        let bytes = bytes_of(&self.table);
        let memory = gpu.allocate(bytes.len())?;
        gpu.write(memory.address(), bytes)?;
        let packings = Packings { table: memory.address(), count: self.table.len() as i32, unused: 0 };
        Ok(Some((Launch::new("pack_weights", [self.blocks, 1, 1], PACKERS as u32, &packings), memory)))
    }
}
