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
mod tests {
    use candle_core::DType;

    use super::super::tests::{LOSSES, maps, profiles, tensor};
    use super::*;
    use crate::loss::Criterion;
    use sweep_emulator::{Emulator, assert_layout, gpus};

    #[test]
    fn parameters_are_laid_out_as_the_kernels_have_them() {
        let Some(emulator) = Emulator::new(false) else { return };
        assert_layout!(
            emulator,
            "difference_loss",
            Loss {
                maps,
                gradient,
                rows,
                columns,
                factors,
                partials,
                losses,
                logarithms,
                tops,
                row_sums,
                column_sums,
                row_slopes,
                column_slopes,
                divisor,
                settings,
                kind,
                planes,
                height,
                width,
                chunks,
                rows_of_chunk,
                unused
            }
        );
    }

    #[test]
    fn values_and_gradients_are_the_processors() {
        for (loss, test_gpu) in
            LOSSES.into_iter().flat_map(|loss| gpus().into_iter().map(move |test_gpu| (loss.clone(), test_gpu)))
        {
            for nudge in [0.0, 30.0] {
                let head = tensor(maps(Some(5), nudge)).to_dtype(DType::F32).unwrap();
                let mut on_gpu = Criterion::with_gpu(loss.clone(), Arc::clone(&test_gpu.gpu));
                let moved = head.to_device(&test_gpu.device).unwrap();
                let (value, gradients) = on_gpu.with_gradients(&[moved], &profiles()).unwrap();
                let found: Vec<f32> = gradients[0].flatten_all().unwrap().to_vec1().unwrap();
                let mut here = Criterion::new(loss.clone());
                let (expected, gradients) = here.with_gradients(&[head], &profiles()).unwrap();
                assert!((value - expected).abs() < 1e-6 * expected.abs(), "{loss:?}: {value} {expected}");
                let gradient: Vec<f32> = gradients[0].flatten_all().unwrap().to_vec1().unwrap();
                let largest = gradient.iter().fold(0.0f32, |m, v| m.max(v.abs()));
                for (index, (f, e)) in found.iter().zip(&gradient).enumerate() {
                    assert!((f - e).abs() < 1e-6 * largest, "{loss:?} at {index}: {f} {e}");
                }
            }
        }
    }

    /// A loss that a program brings: half the squares of the differences.
    #[derive(serde::Deserialize)]
    struct HalfSquares {}

    impl crate::loss::custom::MapLoss for HalfSquares {
        fn version(&self) -> u32 {
            1
        }

        fn of_map(&self, map: &[f32], target: &sweep_data::heatmap::Profiles, mut gradient: Option<&mut [f32]>) -> f64 {
            let width = target.columns.len();
            let mut sum = 0.0;
            for (i, value) in map.iter().enumerate() {
                let off = value - target.rows[i / width] * target.columns[i % width];
                sum += 0.5 * f64::from(off * off);
                if let Some(gradient) = &mut gradient {
                    gradient[i] = off;
                }
            }
            sum
        }
    }

    #[test]
    fn a_custom_loss_goes_through_the_processor() {
        crate::loss::custom::add_loss::<HalfSquares>("half-squares").unwrap();
        let loss: LossSpec = toml::from_str("name = 'custom'\nkind = 'half-squares'").unwrap();
        for test_gpu in gpus() {
            let head = tensor(maps(Some(5), 0.0)).to_dtype(DType::F32).unwrap();
            let moved = head.to_device(&test_gpu.device).unwrap();
            let mut on_gpu = Criterion::with_gpu(loss.clone(), Arc::clone(&test_gpu.gpu));
            let (value, gradients) = on_gpu.with_gradients(&[moved], &profiles()).unwrap();
            let found: Vec<f32> = gradients[0].flatten_all().unwrap().to_vec1().unwrap();
            let mut here = Criterion::new(loss.clone());
            let (expected, gradients) = here.with_gradients(&[head], &profiles()).unwrap();
            assert!(expected > 0.0);
            assert_eq!(value.to_bits(), expected.to_bits());
            assert_eq!(found, gradients[0].flatten_all().unwrap().to_vec1::<f32>().unwrap());
        }
    }

    #[test]
    fn large_planes_are_cut_into_chunks() {
        let target = |x: f32, y: f32| sweep_data::heatmap::Profiles {
            rows: (0..150).map(|i| (-0.3 * (i as f32 - y).abs()).exp()).collect(),
            columns: (0..43).map(|i| (-0.3 * (i as f32 - x).abs()).exp()).collect(),
        };
        let targets = vec![vec![Some(target(12.3, 140.1)), None, Some(target(0.0, 7.7))]];
        let values: Vec<f32> = (0..3 * 150 * 43).map(|i| (i as f32 * 0.7).sin() * 20.0).collect();
        let maps = Tensor::from_vec(values, (1, 3, 150, 43), &Device::Cpu).unwrap();
        for (loss, test_gpu) in
            LOSSES.into_iter().flat_map(|loss| gpus().into_iter().map(move |test_gpu| (loss.clone(), test_gpu)))
        {
            let moved = maps.to_device(&test_gpu.device).unwrap();
            let found = PlaneLosses::new(Arc::clone(&test_gpu.gpu)).of(&loss, &moved, &targets, None).unwrap();
            let planes: Vec<f32> = maps.flatten_all().unwrap().to_vec1().unwrap();
            let expected = loss.of_image(&planes, &targets[0]);
            assert!((found.iter().sum::<f64>() / 2.0 - expected).abs() < 1e-6 * expected, "{loss:?}");
        }
    }

    #[test]
    fn what_is_not_a_number_shows() {
        let Some(gpu) = Emulator::gpu(false) else { return };
        for loss in LOSSES {
            for index in [0, 11] {
                let mut values = maps(None, 0.0);
                values[index] = f64::NAN;
                let head = tensor(values).to_dtype(DType::F32).unwrap();
                let mut criterion = Criterion::with_gpu(loss.clone(), Arc::clone(&gpu));
                assert!(criterion.with_gradients(&[head], &profiles()).unwrap().0.is_nan(), "{loss:?}");
            }
        }
    }
}
