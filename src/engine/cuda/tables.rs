//! Tables for enlarging maps, in a GPU's memory; each is made once.

use super::parameters::{Reader, Tap};
use crate::plan::axis::Axis;
use sweep_core::error::Result;
use sweep_graph::gpu::{Address, Gpu, Memory, bytes};

/// Tables so far.
#[derive(Default)]
pub(super) struct Tables {
    taps: Vec<(Axis, Box<dyn Memory>)>,
    readers: Vec<(Axis, [Box<dyn Memory>; 2])>,
}

/// Tables on a GPU, and the GPU to create more.
pub(super) struct TablesOn<'a> {
    pub(super) gpu: &'a dyn Gpu,
    pub(super) tables: &'a mut Tables,
}

impl TablesOn<'_> {
    /// [`Tap`] of every output.
    ///
    /// # Errors
    /// When the GPU has not enough memory.
    pub(super) fn taps(&mut self, axis: &Axis) -> Result<Address> {
        if let Some((_, memory)) = self.tables.taps.iter().find(|(known, _)| known == axis) {
            return Ok(memory.address());
        }
        let words = axis.taps.iter().flat_map(|tap| [tap.low as u32, tap.high as u32, tap.fraction.to_bits()]);
        let memory = self.upload(&words.collect::<Vec<_>>())?;
        let address = memory.address();
        self.tables.taps.push((axis.clone(), memory));
        Ok(address)
    }

    /// For every input the index of its first [`Reader`] (with a final end index), and the readers.
    ///
    /// # Errors
    /// When the GPU has not enough memory.
    pub(super) fn readers(&mut self, axis: &Axis) -> Result<[Address; 2]> {
        if let Some((_, memory)) = self.tables.readers.iter().find(|(known, _)| known == axis) {
            return Ok([memory[0].address(), memory[1].address()]);
        }
        let mut starts = vec![0u32];
        let mut words = Vec::new();
        for readers in &axis.readers {
            words.extend(readers.iter().flat_map(|(output, weight)| [*output as u32, weight.to_bits()]));
            starts.push(words.len() as u32 / 2);
        }
        let memory = [self.upload(&starts)?, self.upload(&words)?];
        let addresses = [memory[0].address(), memory[1].address()];
        self.tables.readers.push((axis.clone(), memory));
        Ok(addresses)
    }

    fn upload(&self, words: &[u32]) -> Result<Box<dyn Memory>> {
        let memory = self.gpu.allocate(4 * words.len().max(1))?;
        self.gpu.write(memory.address(), bytes(words))?;
        Ok(memory)
    }
}

// The tables written word by word have the layout that kernels read.
const _: () = assert!(size_of::<Tap>() == 12 && size_of::<Reader>() == 8);
