//! Sums and lengths of flat vectors of all parameters, computed on their own device.
#![expect(unsafe_code, reason = "asserts the layout of a kernel's structure")]

use candle_core::{DType, Tensor};
use rayon::prelude::*;
use sweep_graph::tensors::TensorOperation as _;

use super::CHUNK;
use sweep_core::error::{Error, Kind, Result};
use sweep_graph::tensors::{Real, change, read};

/// The device of vectors.
#[derive(Clone, Default)]
pub(super) struct VectorDevice {
    /// The GPU; `None` on the processor.
    pub(super) gpu: Option<std::sync::Arc<dyn sweep_graph::gpu::Gpu>>,
}

impl VectorDevice {
    /// The device of this vector.
    pub(super) fn new(vector: &Tensor) -> Result<Self> {
        let _ = vector;
        Ok(Self { gpu: if vector.device().is_cuda() { Some(sweep_graph::gpu::of(vector.device())?) } else { None } })
    }

    /// Replaces `to` by `keep·to + add·from`, both contiguous `[N]`.
    pub(super) fn blend(&self, to: &Tensor, keep: f64, from: &Tensor, add: f64) -> Result<()> {
        if to.dims() != from.dims() {
            return Err(Error::new(Kind::Computation, "two vectors differ in length"));
        }
        if let Some(gpu) = &self.gpu {
            return launch(gpu.as_ref(), to, keep as f32, from, add as f32);
        }
        match to.dtype() {
            DType::F64 => blend_in::<f64>(to, keep, from, add),
            _ => blend_in::<f32>(to, keep, from, add),
        }
        .computed()
    }
}

fn blend_in<T: Real>(to: &Tensor, keep: f64, from: &Tensor, add: f64) -> candle_core::Result<()> {
    let (keep, add) = (T::of(keep), T::of(add));
    change(to, |to: &mut [T]| {
        read(from, |from: &[T]| {
            to.par_chunks_mut(CHUNK).zip(from.par_chunks(CHUNK)).for_each(|(to, from)| {
                for (t, f) in to.iter_mut().zip(from) {
                    *t = *t * keep + *f * add;
                }
            });
            Ok(())
        })
    })
}

/// Euclidean length of a contiguous vector `[N]`; squares are summed in an order that does not depend on threads, on
/// the processor in double precision.
pub(super) fn length(vector: &Tensor) -> Result<f64> {
    if vector.device().is_cuda() {
        return Ok(f64::from(
            vector
                .sqr()
                .computed()?
                .sum_all()
                .computed()?
                .to_dtype(DType::F32)
                .computed()?
                .to_scalar::<f32>()
                .computed()?,
        )
        .sqrt());
    }
    match vector.dtype() {
        DType::F64 => length_in::<f64>(vector),
        _ => length_in::<f32>(vector),
    }
    .computed()
}

fn length_in<T: Real>(vector: &Tensor) -> candle_core::Result<f64> {
    read(vector, |values: &[T]| {
        let squares = |chunk: &[T]| chunk.iter().map(|v| v.wide() * v.wide()).sum::<f64>();
        let sums: Vec<f64> = values.par_chunks(CHUNK).map(squares).collect();
        Ok(sums.iter().sum::<f64>().sqrt())
    })
}

/// Parameters of the kernel, laid out as in `gpu/kernels/optimizer.cuh`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Blend {
    to: sweep_graph::gpu::Address,
    from: sweep_graph::gpu::Address,
    keep: f32,
    add: f32,
    count: i32,
    unused: i32,
}

// SAFETY: `repr(C)`, of plain numbers, in the layout of the kernel's; a test compares them.
unsafe impl sweep_graph::gpu::Parameters for Blend {}

fn launch(gpu: &dyn sweep_graph::gpu::Gpu, to: &Tensor, keep: f32, from: &Tensor, add: f32) -> Result<()> {
    let count = to.elem_count();
    let (to, from) = (gpu.address(to)?, gpu.address(from)?);
    let parameters = Blend { to, from, keep, add, count: count as i32, unused: 0 };
    gpu.launch(&sweep_graph::gpu::Launch::per_element("blend", count, 256, &parameters))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use sweep_emulator::{Emulator, assert_layout, gpus};

    #[test]
    fn sums_on_a_gpu_are_the_processors() {
        let vector = |phase: f32, device: &Device| {
            let values: Vec<f32> = (0..700).map(|i| (i as f32 * 0.37 + phase).sin()).collect();
            Tensor::from_vec(values, 700, device).unwrap()
        };
        let blended = |on: &VectorDevice, device: &Device| {
            let to = vector(0.0, device);
            on.blend(&to, 0.75, &vector(1.0, device), -0.5).unwrap();
            to.to_vec1::<f32>().unwrap()
        };
        let on_cpu = blended(&VectorDevice::default(), &Device::Cpu);
        let want = |i: usize| 0.75 * (i as f32 * 0.37).sin() - 0.5 * (i as f32 * 0.37 + 1.0).sin();
        assert!(on_cpu.iter().enumerate().all(|(i, v)| (v - want(i)).abs() < 1e-6));
        for target in gpus() {
            let on_gpu = blended(&VectorDevice { gpu: Some(target.gpu) }, &target.device);
            assert!(on_cpu.iter().zip(&on_gpu).all(|(a, b)| (a - b).abs() < 1e-6), "{}", target.name);
        }
        let Some(emulator) = Emulator::new(false) else { return };
        assert_layout!(emulator, "blend", Blend { to, from, keep, add, count, unused });
    }

    #[test]
    fn length_is_euclids() {
        let ones = Tensor::ones(100_000, DType::F32, &Device::Cpu).unwrap();
        assert!((length(&ones).unwrap() - 1e5f64.sqrt()).abs() < 1e-9);
        let pair = Tensor::new(&[3.0f64, -4.0], &Device::Cpu).unwrap();
        assert!((length(&pair).unwrap() - 5.0).abs() < 1e-12);
    }
}
