//! Depthwise convolution, stride 1, odd kernel, zero padding that keeps the size: every channel by itself.

use candle_core::{Result, Tensor, WithDType};
use rayon::prelude::*;

use super::{Dims, Values, sum};
use crate::reference::ops::Window;

/// One tap along an axis: the pixels whose tap lies inside, and how far it lies from them.
fn along(tap: usize, kernel: usize, dilation: usize, len: usize) -> (std::ops::Range<usize>, usize, usize) {
    let (offset, half) = (tap * dilation, kernel / 2 * dilation);
    let inside = half.saturating_sub(offset).min(len)..(len + half).saturating_sub(offset).min(len);
    (inside, offset, half)
}

/// Calls `of` with the first pixel of a row written, the first pixel of the row read and their length, for every row of
/// every tap that lies inside; `of` also gets the tap.
fn rows(dims: Dims, kernel: usize, dilation: usize, mut of: impl FnMut(usize, usize, usize, usize)) {
    for tap in 0..kernel * kernel {
        let (down, row_offset, half) = along(tap / kernel, kernel, dilation, dims.height);
        let (across, column_offset, _) = along(tap % kernel, kernel, dilation, dims.width);
        if across.is_empty() {
            continue;
        }
        for row in down {
            let read = (row + row_offset - half) * dims.width + across.start + column_offset - half;
            of(tap, row * dims.width + across.start, read, across.len());
        }
    }
}

/// `[B, C, H, W]`, weight `[C, 1, k, k]`, bias `[C]` → `[B, C, H, W]`.
pub(crate) fn forward<T: WithDType>(
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    window: Window,
) -> Result<Tensor> {
    let dims = Dims::new(input)?;
    let (_, _, kernel, _) = weight.dims4()?;
    let (input, weight) = (Values::<T>::of(input)?, Values::<T>::of(weight)?);
    let bias = bias.map(Values::<T>::of).transpose()?;
    let (input, weight, bias): (&[T], &[T], Option<&[T]>) = (&input, &weight, bias.as_deref());
    let mut out = vec![T::zero(); dims.len()];
    let planes = out.par_chunks_mut(dims.area()).zip(input.par_chunks(dims.area())).enumerate();
    planes.for_each(|(plane, (out, input))| {
        let channel = plane % dims.channels;
        out.fill(bias.map_or(T::zero(), |bias| bias[channel]));
        rows(dims, kernel, window.dilation, |tap, to, from, len| {
            let weight = weight[channel * kernel * kernel + tap];
            for (out, value) in out[to..to + len].iter_mut().zip(&input[from..from + len]) {
                *out += *value * weight;
            }
        });
    });
    dims.tensor(out)
}

/// Gradient to the input `[B, C, H, W]`: the convolution of the gradient with the weight turned around.
pub(crate) fn input_gradient<T: WithDType>(gradient: &Tensor, weight: &Tensor, window: Window) -> Result<Tensor> {
    let turned: Vec<T> = {
        let (_, _, kernel, _) = weight.dims4()?;
        let weight = Values::<T>::of(weight)?;
        weight.chunks(kernel * kernel).flat_map(|taps| taps.iter().rev().copied()).collect()
    };
    let turned = Tensor::from_vec(turned, weight.shape(), weight.device())?;
    forward::<T>(gradient, &turned, None, window)
}

/// Gradient to the weight, `[C, 1, k, k]`.
pub(crate) fn weight_gradient<T: WithDType>(
    input: &Tensor,
    gradient: &Tensor,
    kernel: usize,
    window: Window,
) -> Result<Tensor> {
    let dims = Dims::new(input)?;
    let (input, gradient) = (Values::<T>::of(input)?, Values::<T>::of(gradient)?);
    let (input, gradient): (&[T], &[T]) = (&input, &gradient);
    let taps = kernel * kernel;
    let sums: Vec<T> = (0..dims.channels)
        .into_par_iter()
        .flat_map_iter(|channel| {
            let mut sums = vec![0.0; taps];
            for image in 0..dims.batch {
                let start = (image * dims.channels + channel) * dims.area();
                let plane = start..start + dims.area();
                let (input, gradient) = (&input[plane.clone()], &gradient[plane]);
                rows(dims, kernel, window.dilation, |tap, to, from, len| {
                    sums[tap] += sum(len, |i| gradient[to + i] * input[from + i]);
                });
            }
            sums.into_iter().map(T::from_f64)
        })
        .collect();
    Dims { batch: dims.channels, channels: 1, height: kernel, width: kernel }.tensor(sums)
}
