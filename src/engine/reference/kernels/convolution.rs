//! Convolution, stride 1, odd kernel, zero padding that keeps the size: matrix products over blocks of rows.
//!
//! A block of rows of the input is unfolded into a matrix whose rows are (channel, row tap, column tap) and whose
//! columns are pixels; the convolution is then `weight × unfolded`, and the weight gradient `gradient × unfoldedᵀ`.

use candle_core::{Tensor, WithDType};
use gemm::Parallelism;
use rayon::prelude::*;

use super::{Dims, Values, sum};
use crate::reference::ops::Window;
use candle_core::Result;

/// Most values of one unfolded block: small enough to stay in a core's second-level cache.
const BLOCK_VALUES: usize = 1 << 17;
/// Most pixels of one block.
const BLOCK_PIXELS: usize = 1024;
/// Pixels of one partial weight gradient, and most partial weight gradients.
const PARTIAL_PIXELS: usize = 2048;
const MOST_PARTIALS: usize = 8;
/// Input channels of one partial weight gradient.
const PARTIAL_CHANNELS: usize = 16;

/// A strided matrix inside a slice: `[row, column]` is at `row·row_stride + column·column_stride`.
#[derive(Clone, Copy)]
struct Matrix<P> {
    at: P,
    row_stride: usize,
    column_stride: usize,
}

/// An output that several tasks write to, each at its own indices.
#[derive(Clone, Copy)]
struct Shared<T>(*mut T);

#[expect(unsafe_code, reason = "tasks write disjoint rows of one output")]
// SAFETY: every use writes numbers that no other task reads or writes.
unsafe impl<T: Send> Send for Shared<T> {}
#[expect(unsafe_code, reason = "tasks write disjoint rows of one output")]
// SAFETY: same as the block before.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Pointer to the number at `offset`.
    fn at(self, offset: usize) -> *mut T {
        self.0.wrapping_add(offset)
    }
}

/// `out += a × b` of `rows × inner` and `inner × columns`, on this thread alone.
#[expect(unsafe_code, reason = "the matrix product works on pointers and strides")]
fn multiply<T: WithDType>(
    [rows, inner, columns]: [usize; 3],
    out: Matrix<*mut T>,
    a: Matrix<*const T>,
    b: Matrix<*const T>,
) {
    let stride = |stride: usize| stride.cast_signed();
    // SAFETY: callers pass matrices of these sizes that are inside their slices, and their own `out`.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            out.at,
            stride(out.column_stride),
            stride(out.row_stride),
            true,
            a.at,
            stride(a.column_stride),
            stride(a.row_stride),
            b.at,
            stride(b.column_stride),
            stride(b.row_stride),
            T::one(),
            T::one(),
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// A block of whole rows of one image.
#[derive(Clone, Copy)]
struct Block {
    image: usize,
    first_row: usize,
    rows: usize,
}

/// Cuts every image into blocks of about [`BLOCK_PIXELS`] pixels, in order.
fn blocks(dims: Dims) -> Vec<Block> {
    let step = (BLOCK_PIXELS / dims.width).max(1);
    (0..dims.batch)
        .flat_map(|image| {
            (0..dims.height).step_by(step).map(move |first_row| Block {
                image,
                first_row,
                rows: step.min(dims.height - first_row),
            })
        })
        .collect()
}

/// Channels that fit one unfolded block.
fn channels_at_once(pixels: usize, kernel: usize) -> usize {
    (BLOCK_VALUES / (pixels * kernel * kernel)).max(1)
}

/// Writes the unfolded block of `channels` (planes of one image) to `out`, `[channels·kernel², rows·width]`.
fn unfold<T: WithDType>(planes: &[T], dims: Dims, block: Block, [kernel, dilation]: [usize; 2], out: &mut [T]) {
    let (half, width) = (kernel / 2 * dilation, dims.width);
    let mut lines = out.chunks_exact_mut(width);
    for plane in planes.chunks_exact(dims.area()) {
        for row_tap in (0..kernel).map(|tap| tap * dilation) {
            for column_tap in (0..kernel).map(|tap| tap * dilation) {
                // Columns of the output whose tap lies inside the image.
                let inside =
                    half.saturating_sub(column_tap).min(width)..(width + half).saturating_sub(column_tap).min(width);
                for (row, line) in (block.first_row..block.first_row + block.rows).zip(&mut lines) {
                    let source = (row + row_tap).wrapping_sub(half);
                    if source >= dims.height || inside.is_empty() {
                        line.fill(T::zero());
                        continue;
                    }
                    line[..inside.start].fill(T::zero());
                    line[inside.end..].fill(T::zero());
                    let first = source * width + inside.start + column_tap - half;
                    line[inside.clone()].copy_from_slice(&plane[first..first + inside.len()]);
                }
            }
        }
    }
}

/// `[B, C, H, W]`, weight `[O, C, k, k]`, bias `[O]` → `[B, O, H, W]`.
pub(crate) fn forward<T: WithDType>(
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    Window { dilation, .. }: Window,
) -> Result<Tensor> {
    let dims = Dims::new(input)?;
    let (outputs, inputs, kernel, _) = weight.dims4()?;
    let (input, weight) = (Values::<T>::of(input)?, Values::<T>::of(weight)?);
    let bias = bias.map(Values::<T>::of).transpose()?;
    let (input, weight, bias): (&[T], &[T], Option<&[T]>) = (&input, &weight, bias.as_deref());
    let (area, taps) = (dims.area(), kernel * kernel);
    let result = Dims { channels: outputs, ..dims };
    let mut out = vec![T::zero(); result.len()];
    let shared = Shared(out.as_mut_ptr());
    blocks(dims).into_par_iter().for_each_init(Vec::new, |unfolded: &mut Vec<T>, block| {
        let (pixels, first) = (block.rows * dims.width, block.first_row * dims.width);
        let image = &input[block.image * inputs * area..(block.image + 1) * inputs * area];
        let target = shared.at(block.image * outputs * area + first);
        if let Some(bias) = bias {
            fill_rows(target, area, pixels, bias);
        }
        let out = Matrix { at: target, row_stride: area, column_stride: 1 };
        let weights = |channel: usize| Matrix {
            at: weight[channel * taps..].as_ptr(),
            row_stride: inputs * taps,
            column_stride: 1,
        };
        if kernel == 1 {
            let values = Matrix { at: image[first..].as_ptr(), row_stride: area, column_stride: 1 };
            multiply([outputs, inputs, pixels], out, weights(0), values);
            return;
        }
        let group = channels_at_once(pixels, kernel);
        for start in (0..inputs).step_by(group) {
            let channels = group.min(inputs - start);
            unfolded.resize(channels * taps * pixels, T::zero());
            unfold(&image[start * area..(start + channels) * area], dims, block, [kernel, dilation], unfolded);
            let values = Matrix { at: unfolded.as_ptr(), row_stride: pixels, column_stride: 1 };
            multiply([outputs, channels * taps, pixels], out, weights(start), values);
        }
    });
    result.tensor(out)
}

/// Sets `pixels` values from `target` on, and from every `stride` after it, each to one of `values`.
#[expect(unsafe_code, reason = "the rows belong to one task but not to one slice")]
fn fill_rows<T: WithDType>(target: *mut T, stride: usize, pixels: usize, values: &[T]) {
    for (row, value) in values.iter().enumerate() {
        // SAFETY: these are the block's own pixels of output channel `row`.
        unsafe { std::slice::from_raw_parts_mut(target.wrapping_add(row * stride), pixels) }.fill(*value);
    }
}

/// Gradient to the input `[B, C, H, W]`: the convolution of `gradient` `[B, O, H, W]` with the weight turned
/// around, its inputs and outputs swapped.
pub(crate) fn input_gradient<T: WithDType>(gradient: &Tensor, weight: &Tensor, window: Window) -> Result<Tensor> {
    let (outputs, inputs, kernel, _) = weight.dims4()?;
    let taps = kernel * kernel;
    let turned: Vec<T> = {
        let weight = Values::<T>::of(weight)?;
        (0..inputs * outputs * taps)
            .map(|i| {
                let (input, output, tap) = (i / (outputs * taps), i / taps % outputs, i % taps);
                weight[(output * inputs + input) * taps + taps - 1 - tap]
            })
            .collect()
    };
    let turned = Dims { batch: inputs, channels: outputs, height: kernel, width: kernel }.tensor(turned)?;
    forward::<T>(gradient, &turned, None, window)
}

/// Gradient to the weight, `[O, C, k, k]`.
pub(crate) fn weight_gradient<T: WithDType>(
    input: &Tensor,
    gradient: &Tensor,
    kernel: usize,
    Window { dilation, .. }: Window,
) -> Result<Tensor> {
    let (dims, outputs) = (Dims::new(input)?, Dims::new(gradient)?.channels);
    let (input, gradient) = (Values::<T>::of(input)?, Values::<T>::of(gradient)?);
    let (input, gradient): (&[T], &[T]) = (&input, &gradient);
    let (inputs, area, taps) = (dims.channels, dims.area(), kernel * kernel);
    let blocks = blocks(dims);
    let partials = (dims.batch * area / PARTIAL_PIXELS).clamp(1, MOST_PARTIALS.min(blocks.len()));
    let share = blocks.len().div_ceil(partials);
    let partials = blocks.len().div_ceil(share);
    let groups = inputs.div_ceil(PARTIAL_CHANNELS);
    // One task per partial sum and group of input channels; each result is `[channels·kernel², O]`.
    let sums: Vec<Vec<T>> = (0..groups * partials)
        .into_par_iter()
        .map_init(Vec::new, |unfolded: &mut Vec<T>, task| {
            let start = task / partials * PARTIAL_CHANNELS;
            let end = inputs.min(start + PARTIAL_CHANNELS);
            let mut partial = vec![T::zero(); (end - start) * taps * outputs];
            for block in blocks.iter().skip(task % partials * share).take(share) {
                add_block(
                    [inputs, outputs, kernel, dilation],
                    [start, end],
                    dims,
                    *block,
                    (input, gradient),
                    unfolded,
                    &mut partial,
                );
            }
            partial
        })
        .collect();
    let mut out = vec![T::zero(); outputs * inputs * taps];
    out.par_chunks_mut(inputs * taps).enumerate().for_each(|(output, row)| {
        for (group, partials) in sums.chunks(partials).enumerate() {
            for partial in partials {
                let row = &mut row[group * PARTIAL_CHANNELS * taps..];
                for (value, partial) in row.iter_mut().zip(partial.chunks_exact(outputs)) {
                    *value += partial[output];
                }
            }
        }
    });
    Dims { batch: outputs, channels: inputs, height: kernel, width: kernel }.tensor(out)
}

/// Adds one block's share of the weight gradient of input channels `start..end` to `partial`.
fn add_block<T: WithDType>(
    [inputs, outputs, kernel, dilation]: [usize; 4],
    [start, end]: [usize; 2],
    dims: Dims,
    block: Block,
    (input, gradient): (&[T], &[T]),
    unfolded: &mut Vec<T>,
    partial: &mut [T],
) {
    let (area, taps) = (dims.area(), kernel * kernel);
    let (pixels, first) = (block.rows * dims.width, block.first_row * dims.width);
    let gradient =
        Matrix { at: gradient[block.image * outputs * area + first..].as_ptr(), row_stride: area, column_stride: 1 };
    let planes = &input[(block.image * inputs + start) * area..(block.image * inputs + end) * area];
    let partial = Matrix { at: partial.as_mut_ptr(), row_stride: 1, column_stride: outputs };
    let rows = (end - start) * taps;
    let values = if kernel == 1 {
        Matrix { at: planes[first..].as_ptr(), row_stride: 1, column_stride: area }
    } else {
        unfolded.resize(rows * pixels, T::zero());
        unfold(planes, dims, block, [kernel, dilation], unfolded);
        Matrix { at: unfolded.as_ptr(), row_stride: 1, column_stride: pixels }
    };
    multiply([outputs, pixels, rows], partial, gradient, values);
}

/// Gradient to the bias, `[O]`: the sum of `gradient` over images and pixels.
pub(crate) fn bias_gradient<T: WithDType>(gradient: &Tensor) -> Result<Tensor> {
    let dims = Dims::new(gradient)?;
    let values = Values::<T>::of(gradient)?;
    let values: &[T] = &values;
    let (area, channels) = (dims.area(), dims.channels);
    let sums: Vec<T> = (0..channels)
        .into_par_iter()
        .map(|channel| {
            let plane = |image: usize| &values[(image * channels + channel) * area..][..area];
            T::from_f64((0..dims.batch).map(plane).map(|plane| sum(area, |i| plane[i])).sum())
        })
        .collect();
    Tensor::from_vec(sums, channels, &candle_core::Device::Cpu)
}
