//! Losses of maps on a GPU: value and gradient straight from the heatmaps' profiles, plane by plane.
#![expect(unsafe_code, reason = "promises the layout of a kernel's structure")]

use std::sync::Arc;

use candle_core::Tensor;

use super::plane::normalised;
use super::{LossSpec, Targets};
use crate::error::Result;
use crate::gpu::{Address, Gpu, Launch, Parameters, Scratch, bytes, chunks_of_planes, read};

/// As in `gpu/kernels/planes.cuh`.
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
    kind: i32,
    beta: f32,
    planes: i32,
    height: i32,
    width: i32,
    chunks: i32,
    rows_of_chunk: i32,
    unused: i32,
}

// SAFETY: `repr(C)`, of plain numbers, as the kernel's; a test compares their sizes.
unsafe impl Parameters for Loss {}

/// Threads of a block.
const THREADS: u32 = 256;

/// Computes losses on a GPU, in memory that stays.
pub(crate) struct PlaneLosses {
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
    /// On this GPU.
    pub(crate) fn new(gpu: Arc<dyn Gpu>) -> Self {
        Self { gpu, targets: Scratch::default(), sums: Scratch::default() }
    }

    /// The loss of every plane of `maps` `[B, K, H, W]`, `[B·K]`, 0 where there is no landmark. Writes the gradients, times
    /// a scale per image, to a tensor of the maps' shape.
    ///
    /// # Errors
    /// When maps or gradient are not contiguous and on the GPU, or it has no room.
    pub(crate) fn of(
        &mut self,
        loss: LossSpec,
        maps: &Tensor,
        targets: &Targets,
        gradient: Option<(&Tensor, &[f64])>,
    ) -> Result<Vec<f64>> {
        let (images, landmarks, height, width) = maps.dims4()?;
        let planes = images * landmarks;
        let is_softmax = matches!(loss, LossSpec::Nll {});
        // A scale that no plane without a landmark has.
        let scale = |image: usize| gradient.map_or(0.0, |(_, scales)| scales[image]);
        let pixels = if is_softmax { 1.0 } else { (height * width) as f64 };
        let (mut rows, mut columns, mut factors) = (Vec::new(), Vec::new(), Vec::new());
        for (image, landmarks) in targets.iter().enumerate() {
            for target in landmarks {
                factors.push(if target.is_some() { (scale(image) / pixels) as f32 } else { -1.0 });
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
        let start = self.targets.room(gpu, 4 * all.len())?;
        gpu.write(start, bytes(&all))?;
        let losses = self.sums.room(gpu, 8 * planes * (2 + 3 * chunks))?;
        let parameters = Loss {
            maps: gpu.address(maps)?,
            gradient: gradient.map_or(Ok(0), |(gradient, _)| gpu.address(gradient))?,
            rows: start,
            columns: start + (4 * planes * height) as Address,
            factors: start + (4 * planes * (height + width)) as Address,
            partials: losses + (16 * planes) as Address,
            losses,
            logarithms: losses + (8 * planes) as Address,
            kind: match loss {
                LossSpec::L1 {} => 0,
                LossSpec::SmoothL1 { .. } => 1,
                LossSpec::Mse {} => 2,
                LossSpec::Nll {} => 3,
            },
            beta: if let LossSpec::SmoothL1 { beta } = loss { beta as f32 } else { 1.0 },
            planes: planes as i32,
            height: height as i32,
            width: width as i32,
            chunks: chunks as i32,
            rows_of_chunk: rows_of_chunk as i32,
            unused: 0,
        };
        let by_chunk =
            |kernel| Launch::new(kernel, [chunks, planes, 1], THREADS, &parameters).shared(8 * THREADS as usize);
        let by_plane = |kernel| Launch::each(kernel, planes, 128, &parameters);
        if is_softmax {
            gpu.launch(&by_chunk("softmax_parts"))?;
            gpu.launch(&by_plane("softmax_losses"))?;
            if gradient.is_some() {
                gpu.launch(&by_chunk("softmax_gradient"))?;
            }
        } else {
            gpu.launch(&by_chunk("difference_loss"))?;
            gpu.launch(&by_plane("sum_losses"))?;
        }
        let found: Vec<f64> = read(gpu, losses, planes)?;
        let present = targets.iter().flatten().map(Option::is_some);
        Ok(found.into_iter().zip(present).map(|(loss, present)| if present { loss } else { 0.0 }).collect())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::super::tests::{LOSSES, maps, profiles, tensor};
    use super::*;
    use crate::gpu::emulator::Emulator;
    use crate::gpu::places::places;
    use crate::loss::Criterion;

    #[test]
    fn parameters_are_laid_out_as_the_kernels_have_them() {
        let Some(emulator) = Emulator::new(false) else { return };
        assert_eq!(emulator.parameter_size("difference_loss"), size_of::<Loss>());
    }

    #[test]
    fn values_and_gradients_are_the_processors() {
        for (loss, place) in LOSSES.into_iter().flat_map(|loss| places().into_iter().map(move |place| (loss, place))) {
            for nudge in [0.0, 30.0] {
                let head = tensor(maps(Some(5), nudge)).to_dtype(DType::F32).unwrap();
                let mut there = Criterion::with_gpu(loss, Arc::clone(&place.gpu));
                let moved = head.to_device(&place.device).unwrap();
                let (value, gradients) = there.with_gradients(&[moved], &profiles()).unwrap();
                let found: Vec<f32> = gradients[0].flatten_all().unwrap().to_vec1().unwrap();
                let mut here = Criterion::new(loss);
                let (expected, gradients) = here.with_gradients(&[head], &profiles()).unwrap();
                assert!((value - expected).abs() < 1e-6 * expected.abs(), "{loss:?}: {value} {expected}");
                let gradient: Vec<f32> = gradients[0].flatten_all().unwrap().to_vec1().unwrap();
                let largest = gradient.iter().fold(0.0f32, |m, v| m.max(v.abs()));
                for (place, (f, e)) in found.iter().zip(&gradient).enumerate() {
                    assert!((f - e).abs() < 1e-6 * largest, "{loss:?} at {place}: {f} {e}");
                }
            }
        }
    }

    #[test]
    fn large_planes_are_cut_into_chunks() {
        let target = |x: f32, y: f32| crate::data::heatmap::Profiles {
            rows: (0..150).map(|i| (-0.3 * (i as f32 - y).abs()).exp()).collect(),
            columns: (0..43).map(|i| (-0.3 * (i as f32 - x).abs()).exp()).collect(),
        };
        let targets = vec![vec![Some(target(12.3, 140.1)), None, Some(target(0.0, 7.7))]];
        let values: Vec<f32> = (0..3 * 150 * 43).map(|i| (i as f32 * 0.7).sin() * 20.0).collect();
        let maps = Tensor::from_vec(values, (1, 3, 150, 43), &Device::Cpu).unwrap();
        for (loss, place) in LOSSES.into_iter().flat_map(|loss| places().into_iter().map(move |place| (loss, place))) {
            let moved = maps.to_device(&place.device).unwrap();
            let found = PlaneLosses::new(Arc::clone(&place.gpu)).of(loss, &moved, &targets, None).unwrap();
            let planes: Vec<f32> = maps.flatten_all().unwrap().to_vec1().unwrap();
            let expected = loss.of_image(&planes, &targets[0]);
            assert!((found.iter().sum::<f64>() / 2.0 - expected).abs() < 1e-6 * expected, "{loss:?}");
        }
    }

    #[test]
    fn what_is_not_a_number_shows() {
        let Some(gpu) = Emulator::gpu(false) else { return };
        for loss in LOSSES {
            for place in [0, 11] {
                let mut values = maps(None, 0.0);
                values[place] = f64::NAN;
                let head = tensor(values).to_dtype(DType::F32).unwrap();
                let mut criterion = Criterion::with_gpu(loss, Arc::clone(&gpu));
                assert!(criterion.with_gradients(&[head], &profiles()).unwrap().0.is_nan(), "{loss:?}");
            }
        }
    }
}
