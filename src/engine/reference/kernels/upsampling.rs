//! Enlarges a map to a given size; both directions are separable, so a map is mixed by rows first, then by columns.

use candle_core::{Tensor, WithDType};
use rayon::prelude::*;

use super::{Dims, Values};
use crate::reference::sampling::{Tap, taps};
use candle_core::Result;
use sweep_graph::Interpolation;

/// A [`Tap`] with weights of the map's type.
type Weighted<T> = [(usize, T); 2];

fn weighted<T: WithDType>(interpolation: Interpolation, from: usize, to: usize) -> Vec<Weighted<T>> {
    let weigh = |tap: Tap| tap.map(|(index, weight)| (index, T::from_f64(weight)));
    taps(interpolation, from, to).into_iter().map(weigh).collect()
}

/// `[B, C, h, w]` → `[B, C, height, width]`.
pub(crate) fn forward<T: WithDType>(
    map: &Tensor,
    [height, width]: [usize; 2],
    interpolation: Interpolation,
) -> Result<Tensor> {
    let small = Dims::new(map)?;
    let large = Dims { height, width, ..small };
    let rows = weighted::<T>(interpolation, small.height, height);
    let columns = weighted::<T>(interpolation, small.width, width);
    let values = Values::<T>::of(map)?;
    let values: &[T] = &values;
    let mut out = vec![T::zero(); large.len()];
    out.par_chunks_mut(large.area()).zip(values.par_chunks(small.area())).for_each(|(out, plane)| {
        let line = |row: usize| &plane[row * small.width..(row + 1) * small.width];
        let mut mixed = vec![T::zero(); small.width];
        for (out, [(top, a), (bottom, b)]) in out.chunks_exact_mut(width).zip(&rows) {
            for ((mixed, top), bottom) in mixed.iter_mut().zip(line(*top)).zip(line(*bottom)) {
                *mixed = *a * *top + *b * *bottom;
            }
            for (out, [(left, a), (right, b)]) in out.iter_mut().zip(&columns) {
                *out = *a * mixed[*left] + *b * mixed[*right];
            }
        }
    });
    large.tensor(out)
}

/// Gradient to the map `[B, C, h, w]`, from the gradient to the enlarged one.
pub(crate) fn backward<T: WithDType>(
    gradient: &Tensor,
    [height, width]: [usize; 2],
    interpolation: Interpolation,
) -> Result<Tensor> {
    let large = Dims::new(gradient)?;
    let small = Dims { height, width, ..large };
    let rows = weighted::<T>(interpolation, height, large.height);
    let columns = weighted::<T>(interpolation, width, large.width);
    let values = Values::<T>::of(gradient)?;
    let values: &[T] = &values;
    let mut out = vec![T::zero(); small.len()];
    out.par_chunks_mut(small.area()).zip(values.par_chunks(large.area())).for_each(|(out, plane)| {
        let mut mixed = vec![T::zero(); width];
        for (gradient, tap) in plane.chunks_exact(large.width).zip(&rows) {
            mixed.fill(T::zero());
            for (gradient, [(left, a), (right, b)]) in gradient.iter().zip(&columns) {
                mixed[*left] += *a * *gradient;
                mixed[*right] += *b * *gradient;
            }
            for (row, weight) in tap {
                for (out, mixed) in out[row * width..(row + 1) * width].iter_mut().zip(&mixed) {
                    *out += *weight * *mixed;
                }
            }
        }
    });
    small.tensor(out)
}
