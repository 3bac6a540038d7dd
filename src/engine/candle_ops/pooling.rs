//! Pooling over windows.

use candle_core::{DType, Device, Result, Tensor, WithDType, bail};
use rayon::prelude::*;
use sweep_graph::tensors::read;

use super::{noted, operation};

/// `[B, C, H, W]` → `[B, C, ⌊H / k⌋, ⌊W / k⌋]`: the maximum of every window of `k × k` pixels, for `k = kernel`.
///
/// # Errors
/// When the tensor has another number of dimensions, or is smaller than a window.
pub fn max_pool2d(map: &Tensor, kernel: usize) -> Result<Tensor> {
    max_pool2d_with_stride(map, kernel, kernel)
}

/// [`max_pool2d`] with windows `stride` pixels apart: `[B, C, H, W]` → `[B, C, (H − kernel) / stride + 1, …]`. The gradient
/// goes to the first maximum of each window in row order, as in PyTorch.
///
/// # Errors
/// Same errors as [`max_pool2d`].
pub fn max_pool2d_with_stride(map: &Tensor, kernel: usize, stride: usize) -> Result<Tensor> {
    let windows = Windows::new(map, kernel, stride)?;
    let argument = map.detach().contiguous()?;
    match (map.device(), map.dtype()) {
        (Device::Cpu, DType::F32) => {
            let result = windows.maxima::<f32>(&argument)?;
            operation("max-pool2d", map, result, move |map, gradient| windows.gradient::<f32>(map, gradient))
        }
        (Device::Cpu, DType::F64) => {
            let result = windows.maxima::<f64>(&argument)?;
            operation("max-pool2d", map, result, move |map, gradient| windows.gradient::<f64>(map, gradient))
        }
        _ => windows.composed(map).map(noted),
    }
}

/// `[B, C, H, W]` → `[B, C, ⌊H / k⌋, ⌊W / k⌋]`: the mean of every window of `k × k` pixels, for `k = kernel`.
///
/// # Errors
/// When the tensor has another number of dimensions, or is smaller than a window.
pub fn avg_pool2d(map: &Tensor, kernel: usize) -> Result<Tensor> {
    let Windows { kernel: k, out: [rows, columns], .. } = Windows::new(map, kernel, kernel)?;
    let (images, channels, ..) = map.dims4()?;
    let covered = map.narrow(2, 0, rows * k)?.narrow(3, 0, columns * k)?.contiguous()?;
    covered.reshape(vec![images, channels, rows, k, columns, k])?.mean((3, 5)).map(noted)
}

/// Windows of a map.
#[derive(Debug, Clone, Copy)]
struct Windows {
    kernel: usize,
    stride: usize,
    /// Height and width of the map.
    size: [usize; 2],
    /// Number of windows down and across.
    out: [usize; 2],
}

impl Windows {
    fn new(map: &Tensor, kernel: usize, stride: usize) -> Result<Self> {
        let (_, _, height, width) = map.dims4()?;
        if kernel == 0 || stride == 0 || height.min(width) < kernel {
            bail!("pooling windows of {kernel} pixels, {stride} apart, on a map of {height} × {width} pixels");
        }
        let out = [height, width].map(|side| (side - kernel) / stride + 1);
        Ok(Self { kernel, stride, size: [height, width], out })
    }

    /// Calls `each` with every window's index and the index of its first maximum in row order; NaN counts as the maximum.
    fn for_maxima<T: WithDType>(&self, plane: &[T], mut each: impl FnMut(usize, usize)) {
        let Self { kernel, stride, size: [_, width], out: [rows, columns] } = *self;
        for row in 0..rows {
            for column in 0..columns {
                let first = row * stride * width + column * stride;
                let mut best = first;
                for line in 0..kernel {
                    for index in first + line * width..first + line * width + kernel {
                        if plane[index] > plane[best] || plane[index].to_f64().is_nan() {
                            best = index;
                        }
                    }
                }
                each(row * columns + column, best);
            }
        }
    }

    fn maxima<T: WithDType>(&self, map: &Tensor) -> Result<Tensor> {
        let (images, channels, ..) = map.dims4()?;
        let [area, windows] = [self.size, self.out].map(|[rows, columns]| rows * columns);
        let mut maxima = vec![T::zero(); images * channels * windows];
        read(map, |values: &[T]| {
            maxima.par_chunks_mut(windows).zip(values.par_chunks(area)).for_each(|(maxima, plane)| {
                self.for_maxima(plane, |window, from| maxima[window] = plane[from]);
            });
            Ok(())
        })?;
        Tensor::from_vec(maxima, (images, channels, self.out[0], self.out[1]), &Device::Cpu)
    }

    /// The gradient to the map.
    fn gradient<T: WithDType>(&self, map: &Tensor, gradient: &Tensor) -> Result<Tensor> {
        let [area, windows] = [self.size, self.out].map(|[rows, columns]| rows * columns);
        let mut out = vec![T::zero(); map.elem_count()];
        read(&map.detach().contiguous()?, |values: &[T]| {
            read(gradient, |gradient: &[T]| {
                let planes = values.par_chunks(area).zip(gradient.par_chunks(windows));
                out.par_chunks_mut(area).zip(planes).for_each(|(out, (plane, gradient))| {
                    self.for_maxima(plane, |window, from| out[from] += gradient[window]);
                });
                Ok(())
            })
        })?;
        Tensor::from_vec(out, map.shape(), &Device::Cpu)
    }

    /// Maxima by candle's operations; equal maxima of two pixels share the gradient.
    fn composed(&self, map: &Tensor) -> Result<Tensor> {
        let along = |map: &Tensor, axis: usize, first: usize| -> Result<Tensor> {
            let windows = self.out[axis - 2];
            let indices: Vec<u32> = (0..windows).map(|window| (first + window * self.stride) as u32).collect();
            map.index_select(&Tensor::from_vec(indices, windows, map.device())?, axis)
        };
        let maximum = |map: &Tensor, axis: usize| -> Result<Tensor> {
            let first = along(map, axis, 0)?;
            (1..self.kernel).try_fold(first, |maximum, pixel| maximum.maximum(&along(map, axis, pixel)?))
        };
        maximum(&maximum(map, 2)?, 3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composed_maxima_are_the_kernels() {
        let values: Vec<f64> = (0..2 * 3 * 7 * 9).map(|i| f64::from(i * 37 % 101)).collect();
        let map = Tensor::from_vec(values, (2, 3, 7, 9), &Device::Cpu).unwrap();
        for (kernel, stride) in [(2, 2), (3, 2), (3, 1), (2, 3)] {
            let windows = Windows::new(&map, kernel, stride).unwrap();
            let [kernels, composed] = [windows.maxima::<f64>(&map).unwrap(), windows.composed(&map).unwrap()];
            assert_eq!(kernels.dims(), composed.dims());
            let difference = (kernels - composed).unwrap().abs().unwrap().sum_all().unwrap();
            assert!(difference.to_scalar::<f64>().unwrap() <= 0.0);
        }
        assert!(max_pool2d(&map, 8).is_err() && max_pool2d(&map, 0).is_err());
    }
}
