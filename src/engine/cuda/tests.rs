//! The engine against the reference engine in double precision, on the emulated GPU.

use super::parameters::{
    Convolution, Exchange, GradientSums, Moments, Norm, NormGradient, Packing, Pool, Upsample, WeightGradient, WeightSum,
};
use super::*;
use crate::engine::tests::comparison::{KINKS, SMOOTH, errors, expected, parameters, run};
use crate::engine::tests::networks::{Style, every_kernel, knot, scribble, unet, unet_plus_plus};
use crate::gpu::emulator::Emulator;

#[test]
fn parameters_are_laid_out_as_the_kernels_have_them() {
    let Some(emulator) = Emulator::new(false) else { return };
    for (kernel, size) in [
        ("convolve_fp32_16_3", size_of::<Convolution>()),
        ("weight_gradient_bf16_1_9", size_of::<WeightGradient>()),
        ("sum_weights", size_of::<WeightSum>()),
        ("finish_norms", size_of::<Norm>()),
        ("merge_moments", size_of::<Moments>()),
        ("sum_gradients", size_of::<GradientSums>()),
        ("apply_gradient", size_of::<NormGradient>()),
        ("pool", size_of::<Pool>()),
        ("upsample", size_of::<Upsample>()),
        ("planes_to_map", size_of::<Exchange>()),
        ("pack_weights", size_of::<Packing>()),
    ] {
        assert_eq!(emulator.parameter_size(kernel), size, "{kernel}");
        // What a launch may carry on every GPU.
        assert!(size <= 4096, "{kernel}: {size}");
    }
}

/// Bounds as the processor's, in single precision.
const FP32: [[f64; 3]; 2] = [KINKS, SMOOTH];

/// Compares with the reference engine in both modes, for shapes one after another on one engine, and threads in both
/// orders with each other.
fn check(graph: &Graph, precision: Precision, shapes: &[[usize; 4]], bounds: [f64; 3]) {
    let Some(gpu) = Emulator::gpu(false) else { return };
    let mut engine = CudaEngine::new(graph, precision, gpu).unwrap();
    let fresh = || parameters(graph, 3);
    for shape in shapes {
        for mode in [Mode::Train, Mode::Evaluate] {
            let found = run(&mut engine, &fresh(), *shape, mode);
            let (errors, statistics) = errors(&fresh(), &found, &expected(graph, &fresh(), *shape, mode));
            let what = format!("{precision:?} {shape:?} {mode:?}");
            println!("{what}: values, gradient, each {errors:?}, statistics {statistics:.1e}");
            let within = errors.iter().zip(bounds).all(|(error, bound)| *error < bound);
            assert!(within, "{what}: values, gradient, each off by {errors:?}");
            let Some(gpu) = Emulator::gpu(true) else { return };
            let turned = run(&mut CudaEngine::new(graph, precision, gpu).unwrap(), &fresh(), *shape, mode);
            assert!(turned == found, "{what}: threads in another order give another result");
        }
    }
}

#[test]
fn every_kernel_agrees_with_the_reference() {
    check(&every_kernel(), Precision::Fp32, &[[2, 1, 15, 14]], SMOOTH);
}
