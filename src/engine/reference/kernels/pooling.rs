//! Maximum of 2×2 blocks, stride 2.

use candle_core::{Tensor, WithDType};
use rayon::prelude::*;

use super::{Dims, Values};
use crate::error::Result;

/// Place of the first maximum of the block at `row`, `column` of the smaller map; "not a number" wins.
fn first_maximum<T: WithDType>(plane: &[T], width: usize, row: usize, column: usize) -> usize {
    let corner = 2 * row * width + 2 * column;
    [corner + 1, corner + width, corner + width + 1].into_iter().fold(corner, |best, place| {
        if plane[place] > plane[best] || plane[place].to_f64().is_nan() { place } else { best }
    })
}

/// `[B, C, H, W]` → `[B, C, ⌊H/2⌋, ⌊W/2⌋]`.
pub(crate) fn forward<T: WithDType>(map: &Tensor) -> Result<Tensor> {
    let dims = Dims::of(map)?;
    let half = Dims { height: dims.height / 2, width: dims.width / 2, ..dims };
    let values = Values::<T>::of(map)?;
    let values: &[T] = &values;
    let mut out = vec![T::zero(); half.len()];
    out.par_chunks_mut(half.area()).zip(values.par_chunks(dims.area())).for_each(|(out, plane)| {
        for (row, line) in out.chunks_exact_mut(half.width).enumerate() {
            for (column, value) in line.iter_mut().enumerate() {
                *value = plane[first_maximum(plane, dims.width, row, column)];
            }
        }
    });
    half.tensor(out)
}

/// Gradient to the map: each block's gradient goes to its first maximum in row order.
pub(crate) fn backward<T: WithDType>(map: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    let (dims, half) = (Dims::of(map)?, Dims::of(gradient)?);
    let (values, gradient) = (Values::<T>::of(map)?, Values::<T>::of(gradient)?);
    let (values, gradient): (&[T], &[T]) = (&values, &gradient);
    let mut out = vec![T::zero(); dims.len()];
    let planes = values.par_chunks(dims.area()).zip(gradient.par_chunks(half.area()));
    out.par_chunks_mut(dims.area()).zip(planes).for_each(|(out, (plane, gradient))| {
        for (row, line) in gradient.chunks_exact(half.width).enumerate() {
            for (column, value) in line.iter().enumerate() {
                out[first_maximum(plane, dims.width, row, column)] = *value;
            }
        }
    });
    dims.tensor(out)
}
