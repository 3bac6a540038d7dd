//! Maximum of windows two pixels apart.

use std::ops::Range;

use candle_core::{Tensor, WithDType};
use rayon::prelude::*;

use super::{Dims, Values};
use candle_core::Result;

/// Indices that a window of 2 or 3 covers along an axis of this length.
fn window(side: usize, at: usize, len: usize) -> Range<usize> {
    (2 * at).saturating_sub(side - 2)..(2 * at + 2).min(len)
}

/// Index of the first maximum of a window in row order; NaN counts as the maximum.
fn first_maximum<T: WithDType>(plane: &[T], width: usize, rows: Range<usize>, columns: &Range<usize>) -> usize {
    let first = rows.start * width + columns.start;
    let indices = rows.flat_map(|row| columns.clone().map(move |column| row * width + column));
    indices.skip(1).fold(
        first,
        |best, index| {
            if plane[index] > plane[best] || plane[index].to_f64().is_nan() { index } else { best }
        },
    )
}

fn pooled(dims: Dims, side: usize) -> Dims {
    Dims { height: (dims.height + side - 2) / 2, width: (dims.width + side - 2) / 2, ..dims }
}

/// Calls `each` with every index of the smaller map and the index of its maximum in the larger.
fn for_maxima<T: WithDType>(plane: &[T], dims: Dims, side: usize, mut each: impl FnMut(usize, usize)) {
    let half = pooled(dims, side);
    let columns: Vec<_> = (0..half.width).map(|column| window(side, column, dims.width)).collect();
    for row in 0..half.height {
        for (column, columns) in columns.iter().enumerate() {
            let from = first_maximum(plane, dims.width, window(side, row, dims.height), columns);
            each(row * half.width + column, from);
        }
    }
}

/// `[B, C, H, W]` → `[B, C, ⌊H/2⌋, ⌊W/2⌋]` for a `side` of 2, rounded up for one of 3.
pub(crate) fn forward<T: WithDType>(map: &Tensor, side: usize) -> Result<Tensor> {
    let dims = Dims::new(map)?;
    let half = pooled(dims, side);
    let values = Values::<T>::of(map)?;
    let values: &[T] = &values;
    let mut out = vec![T::zero(); half.len()];
    out.par_chunks_mut(half.area()).zip(values.par_chunks(dims.area())).for_each(|(out, plane)| {
        for_maxima(plane, dims, side, |index, from| out[index] = plane[from]);
    });
    half.tensor(out)
}

/// Gradient to the map: each window's gradient goes to its first maximum in row order.
pub(crate) fn backward<T: WithDType>(map: &Tensor, gradient: &Tensor, side: usize) -> Result<Tensor> {
    let (dims, half) = (Dims::new(map)?, Dims::new(gradient)?);
    let (values, gradient) = (Values::<T>::of(map)?, Values::<T>::of(gradient)?);
    let (values, gradient): (&[T], &[T]) = (&values, &gradient);
    let mut out = vec![T::zero(); dims.len()];
    let planes = values.par_chunks(dims.area()).zip(gradient.par_chunks(half.area()));
    out.par_chunks_mut(dims.area()).zip(planes).for_each(|(out, (plane, gradient))| {
        for_maxima(plane, dims, side, |index, from| out[from] += gradient[index]);
    });
    dims.tensor(out)
}
