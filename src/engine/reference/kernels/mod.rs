//! CPU kernels for contiguous f32 and f64 maps: one file per operation, forward and backward side by side.
//!
//! Work is split by shape alone, never by the number of threads, and every sum has a fixed order, so results are the
//! same bits for any number of threads.

pub(super) mod convolution;
pub(super) mod depthwise;
pub(super) mod normalisation;
pub(super) mod pooling;
pub(super) mod upsampling;

use std::marker::PhantomData;
use std::ops::Deref;

use candle_core::{Device, Storage, StorageRef, Tensor, WithDType};
use rayon::prelude::*;

use candle_core::{Error, Result};
use sweep_graph::Operation;

/// Shape of a map `[B, C, H, W]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Dims {
    batch: usize,
    channels: usize,
    height: usize,
    width: usize,
}

impl Dims {
    fn new(tensor: &Tensor) -> Result<Self> {
        let (batch, channels, height, width) = tensor.dims4()?;
        Ok(Self { batch, channels, height, width })
    }

    /// Pixels of one channel of one image.
    fn area(self) -> usize {
        self.height * self.width
    }

    fn len(self) -> usize {
        self.batch * self.channels * self.area()
    }

    fn tensor<T: WithDType>(self, values: Vec<T>) -> Result<Tensor> {
        Tensor::from_vec(values, (self.batch, self.channels, self.height, self.width), &Device::Cpu)
    }
}

/// The values of a contiguous CPU tensor, in row-major order.
struct Values<'a, T> {
    storage: StorageRef<'a>,
    start: usize,
    len: usize,
    of: PhantomData<T>,
}

impl<'a, T: WithDType> Values<'a, T> {
    fn of(tensor: &'a Tensor) -> Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        let Some((start, end)) = layout.contiguous_offsets() else {
            return Err(Error::RequiresContiguous { op: "reference engine" });
        };
        match &*storage {
            Storage::Cpu(cpu) => T::cpu_storage_as_slice(cpu)?,
            Storage::Cuda(_) | Storage::Metal(_) => {
                return Err(Error::UnsupportedDTypeForOp(T::DTYPE, "CPU kernel"));
            }
        };
        Ok(Self { storage, start, len: end - start, of: PhantomData })
    }
}

impl<T: WithDType> Deref for Values<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        let all = match &*self.storage {
            Storage::Cpu(cpu) => T::cpu_storage_as_slice(cpu).unwrap_or(&[]),
            Storage::Cuda(_) | Storage::Metal(_) => &[],
        };
        &all[self.start..self.start + self.len]
    }
}

/// Sum of `f` over all indices, in f64; short runs are added in lanes first, so that the compiler can use vectors.
fn sum<T: WithDType>(len: usize, f: impl Fn(usize) -> T) -> f64 {
    const LANES: usize = 16;
    const RUN: usize = 256;
    let mut total = 0.0;
    let mut start = 0;
    while start < len {
        let end = (start + RUN).min(len);
        let mut lanes = [T::zero(); LANES];
        let mut i = start;
        while i + LANES <= end {
            for (lane, value) in lanes.iter_mut().enumerate() {
                *value += f(i + lane);
            }
            i += LANES;
        }
        total += lanes.iter().map(|lane| lane.to_f64()).sum::<f64>();
        total += (i..end).map(|i| f(i).to_f64()).sum::<f64>();
        start = end;
    }
    total
}

/// Combines `a` and `b`, of the same shape, value by value.
pub(super) fn combine<T: WithDType>(a: &Tensor, b: &Tensor, operation: Operation) -> Result<Tensor> {
    const CHUNK: usize = 1 << 15;
    let dims = Dims::new(a)?;
    let (a, b) = (Values::<T>::of(a)?, Values::<T>::of(b)?);
    let (a, b): (&[T], &[T]) = (&a, &b);
    let mut out = vec![T::zero(); dims.len()];
    let of = |a: T, b: T| match operation {
        Operation::Sum => a + b,
        Operation::Product => a * b,
    };
    out.par_chunks_mut(CHUNK).zip(a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK))).for_each(|(out, (a, b))| {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out = of(*a, *b);
        }
    });
    dims.tensor(out)
}
