//! Enlarges a map to a given size; both directions are separable, so a map is mixed by rows first, then by columns.

use candle_core::{Tensor, WithDType};
use rayon::prelude::*;

use super::{Dims, Values};
use crate::reference::sampling::Tap;
use candle_core::Result;

/// A [`Tap`] with weights of the map's type.
type Weighted<T> = [(usize, T); 2];

fn weighted<T: WithDType>(taps: &[Tap]) -> Vec<Weighted<T>> {
    taps.iter().map(|tap| tap.map(|(index, weight)| (index, T::from_f64(weight)))).collect()
}

/// `[B, C, h, w]` → `[B, C, height, width]`, by the taps of the rows and of the columns.
pub(crate) fn forward<T: WithDType>(map: &Tensor, taps: &[Vec<Tap>; 2]) -> Result<Tensor> {
    let small = Dims::new(map)?;
    let [height, width] = [taps[0].len(), taps[1].len()];
    let large = Dims { height, width, ..small };
    let [rows, columns] = [weighted::<T>(&taps[0]), weighted::<T>(&taps[1])];
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
    taps: &[Vec<Tap>; 2],
) -> Result<Tensor> {
    let large = Dims::new(gradient)?;
    let small = Dims { height, width, ..large };
    let [rows, columns] = [weighted::<T>(&taps[0]), weighted::<T>(&taps[1])];
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
