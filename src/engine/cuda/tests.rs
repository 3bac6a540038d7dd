//! Compares the engine with the reference engine in double precision, on the emulated GPU.

mod budget;
mod exact;
mod layouts;
mod specialised;

use candle_core::DType;

use super::*;
use crate::reference::Reference;
use crate::tests::comparison::{KINKS, Results, SMOOTH, errors, expected, parameters, parameters_on, run};
use crate::tests::gates::gated;
use crate::tests::networks::{
    Style, every_kernel, inverted_residuals, knot, scribble, separable, unet, unet_plus_plus,
};
use crate::tests::transposed::transposed;
use sweep_emulator::{Emulator, TestGpu, gpus};
use sweep_graph::{Activation, Node, NormKind};

/// Compares with the reference engine in both modes, for several shapes in sequence on one engine. The emulator's
/// threads give the same bits in either order; a GPU gives the same bits when run again.
fn check(graph: &Graph, precision: Precision, shapes: &[[usize; 4]], bounds: [f64; 3]) {
    let test_gpus = gpus();
    let build = |test_gpu: &TestGpu| CudaEngine::new(graph, precision, Arc::clone(&test_gpu.gpu)).unwrap();
    let mut engines: Vec<CudaEngine> = test_gpus.iter().map(build).collect();
    for shape in shapes {
        for mode in [Mode::Train, Mode::Evaluate] {
            let here = || parameters(graph, 3);
            let expected = expected(graph, &here(), *shape, mode);
            let mut emulated: Option<Results> = None;
            for (test_gpu, engine) in test_gpus.iter().zip(&mut engines) {
                let on_gpu = || parameters_on(graph, 3, &test_gpu.device);
                let found = run(engine, &on_gpu(), *shape, mode);
                let (errors, statistics) = errors(&here(), &found, &expected);
                let what = format!("{} {precision:?} {shape:?} {mode:?}", test_gpu.name);
                println!("{what}: values, gradient, each {errors:?}, statistics {statistics:.1e}");
                let within = errors.iter().zip(bounds).all(|(error, bound)| *error < bound);
                assert!(within, "{what}: values, gradient, each off by {errors:?}");
                if test_gpu.device.is_cuda() {
                    // The third run replays recorded launches.
                    let again = [(); 2].map(|()| run(engine, &on_gpu(), *shape, mode));
                    assert!(again.iter().all(|again| *again == found), "{what}: another result the second time");
                } else {
                    let other = emulated.get_or_insert_with(|| found.clone());
                    assert!(*other == found, "{what}: threads in another order give another result");
                }
            }
        }
    }
}

/// Bounds in reduced precision, for activations without a kink at zero: tf32 has 10 bits after the point, bf16 7, and
/// maps are stored in bf16 too. Gradients deviate more: if two pixels are nearly equal, rounding decides which of them
/// a pooling takes.
const TF32: [f64; 3] = [3e-3, 1e-1, 2e-1];
const BF16: [f64; 3] = [3e-2, 3e-1, 5e-1];

const PRECISIONS: [(Precision, [f64; 3]); 3] =
    [(Precision::Fp32, SMOOTH), (Precision::Tf32, TF32), (Precision::Bf16, BF16)];

/// No kink, where rounding would decide the direction of a gradient.
const GENTLE: Style = Style { activation: Activation::LeakyRelu { slope: 0.8 }, ..Style::BILINEAR_RELU };

#[test]
fn every_kernel_agrees_with_the_reference() {
    for (precision, bounds) in PRECISIONS {
        check(&every_kernel(), precision, &[[2, 1, 15, 14]], bounds);
    }
}

#[test]
fn unet_plus_plus_agrees_with_the_reference() {
    let graph = unet_plus_plus(Style::BILINEAR_RELU, &[16, 32, 48], 1, 10, false);
    check(&graph, Precision::Fp32, &[[2, 1, 36, 28], [1, 1, 17, 23]], KINKS);
    for (precision, bounds) in PRECISIONS {
        check(&unet_plus_plus(GENTLE, &[16, 32, 48], 1, 10, false), precision, &[[2, 1, 20, 36]], bounds);
    }
}

#[test]
fn deep_supervision_and_ragged_channels_agree_with_the_reference() {
    let graph = unet_plus_plus(Style::NEAREST_LEAKY, &[5, 19, 33], 3, 4, true);
    check(&graph, Precision::Fp32, &[[2, 3, 25, 18], [1, 3, 4, 5]], KINKS);
}

#[test]
fn a_knotted_graph_agrees_with_the_reference() {
    for style in [Style::BILINEAR_RELU, Style::NEAREST_LEAKY, Style::GROUPED] {
        check(&knot(style), Precision::Fp32, &[[2, 2, 19, 22], [1, 2, 5, 3]], KINKS);
    }
}

#[test]
fn random_graphs_agree_with_the_reference() {
    for seed in 0..16 {
        let kinks = seed % 2 == 1;
        let (graph, shape) = scribble(seed, kinks);
        if Choices::check(&graph).is_err() {
            continue;
        }
        println!("graph {seed}: {graph:?}");
        check(&graph, Precision::Fp32, &[shape], if kinks { KINKS } else { SMOOTH });
        if !kinks {
            // In small maps, a pooling that takes a different pixel changes much.
            check(&graph, Precision::Bf16, &[shape], [3e-2, 5e-1, 1.0]);
        }
    }
}

/// `ReLU6`, wherever a graph can have an activation, with values that reach 6. In reduced precision rounding decides at which
/// pixels a gradient stops; `exact` compares bits there.
#[test]
fn ceilings_agree_with_the_reference() {
    let style = |norm| Style { norm, activation: Activation::Relu6, ..Style::BILINEAR_RELU };
    for norm in [None, Some(NormKind::Batch), Some(NormKind::Group { groups: 1 })] {
        check(&knot(style(norm)), Precision::Fp32, &[[2, 2, 19, 22], [1, 2, 5, 3]], KINKS);
    }
    let graph = unet_plus_plus(style(Some(NormKind::Batch)), &[16, 32, 48], 1, 10, false);
    check(&graph, Precision::Fp32, &[[2, 1, 20, 36]], KINKS);
    check(&inverted_residuals(&[48, 21, 96], 5), Precision::Fp32, &[[2, 1, 37, 44], [1, 1, 9, 70]], KINKS);
    for (precision, bounds) in [(Precision::Tf32, [3e-2, 0.5, 1.0]), (Precision::Bf16, [0.3, 1.0, 2.0])] {
        check(&graph, precision, &[[2, 1, 20, 36]], bounds);
        check(&inverted_residuals(&[48, 21, 96], 5), precision, &[[2, 1, 37, 44]], bounds);
    }
}

#[test]
fn separable_convolutions_agree_with_the_reference() {
    check(&separable(), Precision::Fp32, &[[2, 3, 37, 41], [1, 3, 9, 5]], SMOOTH);
    for (precision, bounds) in [(Precision::Tf32, TF32), (Precision::Bf16, BF16)] {
        check(&separable(), precision, &[[2, 3, 29, 21]], bounds);
    }
}

#[test]
fn gates_and_smooth_activations_agree_with_the_reference() {
    for seed in 0..8 {
        let (graph, shape) = gated(seed);
        println!("graph {seed}: {graph:?}");
        check(&graph, Precision::Fp32, &[shape], SMOOTH);
        if seed < 2 {
            check(&graph, Precision::Tf32, &[shape], TF32);
            check(&graph, Precision::Bf16, &[shape], BF16);
        }
    }
}

#[test]
fn transposed_convolutions_agree_with_the_reference() {
    for seed in 0..6 {
        let (graph, shape) = transposed(seed, GENTLE.activation);
        println!("graph {seed}: {graph:?}");
        check(&graph, Precision::Fp32, &[shape], SMOOTH);
        if seed < 2 {
            check(&graph, Precision::Tf32, &[shape], TF32);
            check(&graph, Precision::Bf16, &[shape], BF16);
        }
    }
}

#[test]
fn other_shapes_in_between_change_nothing() {
    let Some(gpu) = Emulator::gpu(false) else { return };
    let graph = unet(Style::BILINEAR_RELU, &[8, 16], 1, 2);
    let mut engine = CudaEngine::new(&graph, Precision::Fp32, gpu).unwrap();
    let first = run(&mut engine, &parameters(&graph, 1), [2, 1, 24, 20], Mode::Train);
    for (shape, mode) in [([1, 1, 40, 40], Mode::Train), ([3, 1, 24, 20], Mode::Evaluate), ([2, 1, 2, 2], Mode::Train)]
    {
        run(&mut engine, &parameters(&graph, 2), shape, mode);
    }
    assert_eq!(run(&mut engine, &parameters(&graph, 1), [2, 1, 24, 20], Mode::Train), first);
}

#[test]
fn maps_are_kept_where_memory_is_plenty_and_change_no_bit() {
    let Some(emulator) = Emulator::new(false) else { return };
    let graph = unet_plus_plus(GENTLE, &[8, 16, 16], 1, 2, false);
    let results = |gpu: Emulator, plenty: Option<usize>| {
        let mut engine = CudaEngine::new(&graph, Precision::Fp32, Arc::new(gpu)).unwrap();
        engine.plenty = plenty.unwrap_or(engine.plenty);
        let results = run(&mut engine, &parameters(&graph, 1), [2, 1, 20, 24], Mode::Train);
        (results, engine.arena.unwrap().bytes, engine.plenty)
    };
    let (kept, most, _) = results(emulator, None);
    let (again, least, _) = results(emulator, Some(0));
    assert!(least < most, "{least} bytes of {most}");
    assert!(kept == again, "enlarging a map again gives other bits");
    // The memory that seemed to be there is another program's.
    let (other, bytes, plenty) = results(emulator.with_capacity(most - 1), Some(usize::MAX));
    assert!(other == kept && bytes == least && plenty == 0);
}

#[test]
fn a_batch_without_room_names_one_that_fits() {
    let Some(emulator) = Emulator::new(false) else { return };
    let graph = unet(Style::BILINEAR_RELU, &[8, 16], 1, 2);
    let forward = |capacity, images| {
        let gpu = Arc::new(emulator.with_capacity(capacity));
        let images = Tensor::zeros((images, 1, 24, 20), DType::F32, &candle_core::Device::Cpu).unwrap();
        let mut engine = CudaEngine::new(&graph, Precision::Fp32, gpu).unwrap();
        engine.forward(&images, &parameters(&graph, 1), Mode::Train).map(|_| ())
    };
    let capacity = 1 << 20;
    let error = forward(capacity, 16).unwrap_err();
    assert!(error.message.contains("a batch of 16") && error.message.contains("1 MiB are free"), "{error}");
    let remedy = error.remedy.unwrap();
    let fits: usize = remedy.split(' ').find_map(|word| word.parse().ok()).unwrap();
    assert!((1..16).contains(&fits), "{remedy}");
    forward(capacity, fits).unwrap();
    forward(capacity, fits + 1).unwrap_err();
    let error = forward(1 << 15, 2).unwrap_err();
    assert!(error.remedy.unwrap().contains("not even one image"));
}
