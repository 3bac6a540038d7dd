//! Losses of maps on a GPU: value and gradient are computed directly from the heatmaps' profiles, plane by plane.
#![expect(unsafe_code, reason = "asserts the layout of a kernel's structure")]

use std::sync::{Arc, Once};
use sweep_graph::tensors::{self, TensorOperation as _};

use candle_core::{Device, Tensor};

use super::plane::normalised;
use super::robust::top;
use super::softmax::{Marginals, OfMarginals, distance_of_means, wasserstein};
use super::{LossSpec, Targets};
use sweep_core::error::{Error, Kind, Result};
use sweep_core::note;
use sweep_graph::gpu::{Address, Gpu, Launch, Parameters, Scratch, bytes, chunks_of_planes, read};

/// Parameters of the kernels, laid out as in `gpu/kernels/planes.cuh`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Loss {
    maps: Address,
    gradient: Address,
    rows: Address,
    columns: Address,
    factors: Address,
    partials: Address,
    losses: Address,
    logarithms: Address,
    tops: Address,
    row_sums: Address,
    column_sums: Address,
    row_slopes: Address,
    column_slopes: Address,
    divisor: f64,
    settings: [f32; 5],
    kind: i32,
    planes: i32,
    height: i32,
    width: i32,
    chunks: i32,
    rows_of_chunk: i32,
    unused: i32,
}

// SAFETY: `repr(C)`, of plain numbers, in the layout of the kernel's; a test compares them.
unsafe impl Parameters for Loss {}

/// Threads of a block.
const THREADS: u32 = 256;

/// Computes losses on a GPU; keeps its memory between calls.
pub struct PlaneLosses {
    gpu: Arc<dyn Gpu>,
    targets: Scratch,
    sums: Scratch,
}

impl std::fmt::Debug for PlaneLosses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlaneLosses").finish_non_exhaustive()
    }
}

impl PlaneLosses {
    /// Creates it for this GPU.
    pub fn new(gpu: Arc<dyn Gpu>) -> Self {
        Self { gpu, targets: Scratch::default(), sums: Scratch::default() }
    }

    /// Calls a function of maps and their gradient with copies on the processor, and copies the gradient back: for losses
    /// that programs define, which have no kernels.
    ///
    /// # Errors
    /// When maps or gradient are not contiguous and on the GPU, and the function's errors.
    pub fn through_processor<T>(
        &self,
        maps: &Tensor,
        gradient: &Tensor,
        f: impl FnOnce(&Tensor, &Tensor) -> Result<T>,
    ) -> Result<T> {
        static SAID: Once = Once::new();
        SAID.call_once(|| note!("a custom loss is computed on the processor: every step copies maps there and back"));
        let here = maps.to_device(&Device::Cpu).computed()?;
        let to_here = here.zeros_like().computed()?;
        let value = f(&here, &to_here)?;
        put(self.gpu.as_ref(), &to_here, gradient)?;
        Ok(value)
    }

    /// The loss of every plane of `maps` `[B, K, H, W]`, `[B·K]`; 0 for missing landmarks. If `gradient` is given,
    /// writes the gradients, times a scale per image, to a tensor of the maps' shape.
    ///
    /// # Errors
    /// When maps or gradient are not contiguous and on the GPU, or it has not enough memory.
    pub fn of(
        &mut self,
        loss: &LossSpec,
        maps: &Tensor,
        targets: &Targets,
        gradient: Option<(&Tensor, &[f64])>,
    ) -> Result<Vec<f64>> {
        let (images, landmarks, height, width) = maps.dims4().computed()?;
        let planes = images * landmarks;
        let how = LossKernel::new(loss)?;
        let is_softmax = !matches!(how, LossKernel::Pointwise(..));
        // The scale of the planes with a landmark.
        let scale = |image: usize| gradient.map_or(0.0, |(_, scales)| scales[image]);
        let divisor = loss.divisor(height * width);
        let (mut rows, mut columns, mut factors, mut tops) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (image, landmarks) in targets.iter().enumerate() {
            for target in landmarks {
                factors.push(if target.is_some() { (scale(image) / divisor) as f32 } else { -1.0 });
                let [row, column] = target.as_ref().map_or([0, 0], top);
                tops.push((row * width + column) as u32);
                match target {
                    Some(target) if is_softmax => {
                        rows.extend(normalised(&target.rows).iter().map(|v| *v as f32));
                        columns.extend(normalised(&target.columns).iter().map(|v| *v as f32));
                    }
                    Some(target) => {
                        rows.extend(&target.rows);
                        columns.extend(&target.columns);
                    }
                    None => {
                        rows.resize(rows.len() + height, 0.0);
                        columns.resize(columns.len() + width, 0.0);
                    }
                }
            }
        }
        let gpu = self.gpu.as_ref();
        let (rows_of_chunk, chunks) = chunks_of_planes(planes, height);
        let all = [rows, columns, factors].concat();
        // Profiles, and the slopes of their marginals.
        let profiles = 4 * planes * (height + width);
        let start = self.targets.reserve(gpu, 4 * all.len() + 4 * planes + profiles)?;
        gpu.write(start, bytes(&all))?;
        let tops_at = start + 4 * all.len() as Address;
        gpu.write(tops_at, bytes(&tops))?;
        let row_slopes = tops_at + 4 * planes as Address;
        let losses = self.sums.reserve(gpu, 8 * planes * (2 + 3 * chunks + height + width))?;
        let partials = losses + (16 * planes) as Address;
        let row_sums = partials + (24 * planes * chunks) as Address;
        let (kind, settings) =
            if let LossKernel::Pointwise(kind, settings) = how { (kind, settings) } else { (0, [0.0; 5]) };
        let mut parameters = Loss {
            maps: gpu.address(maps)?,
            gradient: gradient.map_or(Ok(0), |(gradient, _)| gpu.address(gradient))?,
            rows: start,
            columns: start + (4 * planes * height) as Address,
            factors: start + profiles as Address,
            partials,
            losses,
            logarithms: losses + (8 * planes) as Address,
            tops: tops_at,
            row_sums,
            column_sums: row_sums + (8 * planes * height) as Address,
            row_slopes,
            column_slopes: row_slopes + (4 * planes * height) as Address,
            divisor,
            settings: settings.map(|setting| setting as f32),
            kind,
            planes: planes as i32,
            height: height as i32,
            width: width as i32,
            chunks: chunks as i32,
            rows_of_chunk: rows_of_chunk as i32,
            unused: 0,
        };
        let found: Vec<f64> = match how {
            LossKernel::Pointwise(..) => {
                gpu.launch(&by_chunk("difference_loss", &parameters))?;
                gpu.launch(&by_plane("sum_losses", &parameters))?;
                read(gpu, losses, planes)?
            }
            LossKernel::Softmax => {
                gpu.launch(&by_chunk("softmax_parts", &parameters))?;
                gpu.launch(&by_plane("softmax_losses", &parameters))?;
                if gradient.is_some() {
                    gpu.launch(&by_chunk("softmax_gradient", &parameters))?;
                }
                read(gpu, losses, planes)?
            }
            LossKernel::Marginals(regularizer, of) => {
                parameters.settings[0] = regularizer as f32;
                through_marginals(gpu, &parameters, targets, of)?
            }
        };
        let present = targets.iter().flatten().map(Option::is_some);
        Ok(found.into_iter().zip(present).map(|(loss, present)| if present { loss } else { 0.0 }).collect())
    }
}

/// The kernels of a loss.
enum LossKernel {
    /// Pixel by pixel: the loss's number in the kernel, and its settings.
    Pointwise(i32, [f64; 5]),
    /// Negative log-likelihood.
    Softmax,
    /// The weight of the divergence, and the loss of a probability's marginals.
    Marginals(f64, fn(Marginals<'_>, Marginals<'_>) -> OfMarginals),
}

impl LossKernel {
    fn new(loss: &LossSpec) -> Result<Self> {
        let pointwise = |kind, settings: &[f64]| {
            let mut all = [0.0; 5];
            all[..settings.len()].copy_from_slice(settings);
            Self::Pointwise(kind, all)
        };
        Ok(match *loss {
            LossSpec::L1 {} => pointwise(0, &[]),
            LossSpec::SmoothL1 { beta } => pointwise(1, &[beta]),
            LossSpec::Mse {} => pointwise(2, &[]),
            LossSpec::SumL2 { scale } => pointwise(3, &[scale]),
            LossSpec::WeightedL1 { weight } => pointwise(4, &[weight]),
            LossSpec::WeightedMse { weight } => pointwise(5, &[weight]),
            LossSpec::AdaptiveWing { omega, theta, epsilon, alpha, weight } => {
                pointwise(6, &[omega, theta, epsilon, alpha, weight])
            }
            LossSpec::Focal { alpha, beta } => pointwise(7, &[alpha, beta]),
            LossSpec::Nll {} => Self::Softmax,
            LossSpec::Dsnt { regularizer } => Self::Marginals(regularizer, distance_of_means),
            LossSpec::Wasserstein { regularizer } => Self::Marginals(regularizer, wasserstein),
            LossSpec::Custom(_) => {
                return Err(Error::new(Kind::Device, "custom losses have no kernels of their own"));
            }
        })
    }
}

/// Copies numbers of the processor to a tensor on a GPU.
///
/// # Errors
/// When the tensors are not contiguous, in f32 and where they should be.
pub fn put(gpu: &dyn Gpu, from: &Tensor, to: &Tensor) -> Result<()> {
    let address = gpu.address(to)?;
    let mut written = Ok(());
    tensors::read(from, |numbers: &[f32]| {
        written = gpu.write(address, bytes(numbers));
        Ok(())
    })
    .computed()?;
    written
}

fn by_chunk(kernel: &'static str, parameters: &Loss) -> Launch {
    let grid = [parameters.chunks as usize, parameters.planes as usize, 1];
    Launch::new(kernel, grid, THREADS, parameters).shared(8 * THREADS as usize)
}

fn by_plane(kernel: &'static str, parameters: &Loss) -> Launch {
    Launch::per_element(kernel, parameters.planes as usize, 128, parameters)
}

/// Losses of planes through the marginals of their probabilities. The marginals are copied to the processor, which
/// computes the loss with the same code as without a GPU; the derivatives go back.
fn through_marginals(
    gpu: &dyn Gpu,
    parameters: &Loss,
    targets: &Targets,
    of: fn(Marginals<'_>, Marginals<'_>) -> OfMarginals,
) -> Result<Vec<f64>> {
    let [planes, height, width, chunks] =
        [parameters.planes, parameters.height, parameters.width, parameters.chunks].map(|n| n as usize);
    let regularizer = f64::from(parameters.settings[0]);
    gpu.launch(&by_chunk("softmax_parts", parameters))?;
    gpu.launch(&by_plane("softmax_losses", parameters))?;
    let shared = 8 * THREADS as usize;
    gpu.launch(&Launch::new("sum_rows", [height, planes, 1], THREADS, parameters).shared(shared))?;
    let blocks = width.div_ceil(THREADS as usize);
    gpu.launch(&Launch::new("sum_columns", [blocks, planes, 1], THREADS, parameters))?;
    let mut divergences = vec![0.0; 2 * planes * chunks];
    if regularizer > 0.0 {
        gpu.launch(&by_chunk("divergence", parameters))?;
        divergences = read(gpu, parameters.partials, 2 * planes * chunks)?;
    }
    let rows: Vec<f64> = read(gpu, parameters.row_sums, planes * height)?;
    let columns: Vec<f64> = read(gpu, parameters.column_sums, planes * width)?;
    let mut losses = vec![0.0; planes];
    let (mut row_slopes, mut column_slopes) = (vec![0.0f32; planes * height], vec![0.0f32; planes * width]);
    for (plane, target) in targets.iter().flatten().enumerate() {
        let Some(target) = target else { continue };
        let (rows, columns) = (&rows[plane * height..][..height], &columns[plane * width..][..width]);
        let of = of([columns, rows], [&normalised(&target.columns), &normalised(&target.rows)]);
        let of_plane = &divergences[2 * plane * chunks..][..2 * chunks];
        let divergence = |which: usize| 0.5 * regularizer * of_plane.iter().skip(which).step_by(2).sum::<f64>();
        losses[plane] = of.value + divergence(0) + divergence(1);
        let mean = |sums: &[f64], slopes: &[f64]| sums.iter().zip(slopes).map(|(p, slope)| p * slope).sum::<f64>();
        let mean = mean(columns, &of.columns) + mean(rows, &of.rows) + divergence(0);
        for (to, slope) in row_slopes[plane * height..].iter_mut().zip(&of.rows) {
            *to = (slope - mean) as f32;
        }
        for (to, slope) in column_slopes[plane * width..].iter_mut().zip(&of.columns) {
            *to = *slope as f32;
        }
    }
    if parameters.gradient != 0 {
        gpu.write(parameters.row_slopes, bytes(&row_slopes))?;
        gpu.write(parameters.column_slopes, bytes(&column_slopes))?;
        gpu.launch(&by_chunk("marginal_gradient", parameters))?;
    }
    Ok(losses)
}

#[cfg(test)]
mod tests;
