//! Optimizer steps on a GPU: one kernel over all values.
#![expect(unsafe_code, reason = "asserts the layout of the kernels' structures")]

use candle_core::Tensor;

use super::{AdamwStep, SgdStep};
use sweep_core::error::Result;
use sweep_graph::gpu::{Address, Gpu, Launch, Parameters};

/// Parameters of AdamW's kernel, laid out as in `gpu/kernels/optimizer.cuh`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Adamw {
    parameters: Address,
    mean: Address,
    square: Address,
    gradient: Address,
    keep: f32,
    rate: f32,
    correction: f32,
    epsilon: f32,
    betas: [f32; 2],
    add: [f32; 2],
    count: i32,
    scale: f32,
}

/// Parameters of SGD's kernel, laid out as in `gpu/kernels/optimizer.cuh`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Sgd {
    parameters: Address,
    buffer: Address,
    gradient: Address,
    rate: f32,
    momentum: f32,
    decay: f32,
    nesterov: i32,
    count: i32,
    scale: f32,
}

// SAFETY: `repr(C)`, of plain numbers, in the layout of the kernel's; a test compares them.
unsafe impl Parameters for Adamw {}
// SAFETY: same as for `Adamw`.
unsafe impl Parameters for Sgd {}

impl AdamwStep<f32> {
    /// The same step as on the processor.
    pub(super) fn launch(
        self,
        gpu: &dyn Gpu,
        parameters: &Tensor,
        moments: &[Tensor],
        gradient: &Tensor,
        scale: f32,
    ) -> Result<()> {
        let count = parameters.elem_count();
        let step = Adamw {
            parameters: gpu.address(parameters)?,
            mean: gpu.address(&moments[0])?,
            square: gpu.address(&moments[1])?,
            gradient: gpu.address(gradient)?,
            keep: self.keep,
            rate: self.rate,
            correction: self.correction,
            epsilon: self.eps,
            betas: self.betas,
            add: self.add,
            count: count as i32,
            scale,
        };
        gpu.launch(&Launch::per_element("adamw", count, 256, &step))
    }
}

impl SgdStep<f32> {
    /// The same step as on the processor.
    pub(super) fn launch(
        self,
        gpu: &dyn Gpu,
        parameters: &Tensor,
        buffer: &Tensor,
        gradient: &Tensor,
        scale: f32,
    ) -> Result<()> {
        let count = parameters.elem_count();
        let step = Sgd {
            parameters: gpu.address(parameters)?,
            buffer: gpu.address(buffer)?,
            gradient: gpu.address(gradient)?,
            rate: self.rate,
            momentum: self.momentum,
            decay: self.decay,
            nesterov: self.nesterov.into(),
            count: count as i32,
            scale,
        };
        gpu.launch(&Launch::per_element("sgd", count, 256, &step))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use candle_core::{DType, Device, Var};

    use super::*;
    use crate::optim::{Optimizer, OptimizerSpec};
    use sweep_emulator::{Emulator, assert_layout, gpus};

    #[test]
    fn parameters_are_laid_out_as_the_kernels_have_them() {
        let Some(emulator) = Emulator::new(false) else { return };
        assert_layout!(
            emulator,
            "adamw",
            Adamw { parameters, mean, square, gradient, keep, rate, correction, epsilon, betas, add, count, scale }
        );
        assert_layout!(
            emulator,
            "sgd",
            Sgd { parameters, buffer, gradient, rate, momentum, decay, nesterov, count, scale }
        );
    }

    #[test]
    fn steps_are_the_processors() {
        let specs = [
            OptimizerSpec::Adamw { lr: 0.1, weight_decay: 0.02, betas: [0.8, 0.95], eps: 1e-6 },
            OptimizerSpec::Sgd { lr: 0.1, momentum: 0.9, weight_decay: 0.02, nesterov: true },
            OptimizerSpec::Sgd { lr: 0.1, momentum: 0.9, weight_decay: 0.0, nesterov: false },
        ];
        for (spec, target) in specs.into_iter().flat_map(|spec| gpus().into_iter().map(move |target| (spec, target))) {
            let values: Vec<f32> = (0..700).map(|i| (i as f32 * 0.37).sin()).collect();
            let parameters = |device: &Device| Var::from_vec(values.clone(), 700, device).unwrap();
            let (cpu, gpu) = (parameters(&Device::Cpu), parameters(&target.device));
            let mut on_processor = Optimizer::new(spec, &cpu).unwrap();
            let mut on_gpu = Optimizer::new(spec, &gpu).unwrap().on_gpu(Arc::clone(&target.gpu));
            for step in 1..4 {
                let gradient = |p: &Var| p.as_tensor().affine(2.0 * f64::from(step), 0.1).unwrap();
                on_processor.step(&cpu, &gradient(&cpu), 0.7, 0.05).unwrap();
                on_gpu.step(&gpu, &gradient(&gpu), 0.7, 0.05).unwrap();
            }
            let values = |p: &Var| p.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
            for (a, b) in values(&cpu).into_iter().zip(values(&gpu)) {
                assert!((a - b).abs() < 1e-6, "{spec:?}: {a} {b}");
            }
        }
    }
}
