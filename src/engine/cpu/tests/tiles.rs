//! Convolution on a matrix unit. Skipped on processors without one.

use sweep_testing::Need;

use super::*;
use crate::reference::Reference;
use crate::tests::comparison::{doubled, error, random};

/// Whether this processor has a matrix unit. A missing one is recorded.
#[track_caller]
pub(super) fn has_matrix_unit() -> bool {
    let has = [Precision::Bf16, Precision::Tf32].into_iter().all(|precision| Algorithm::wide(precision).is_some());
    Need::Amx.met(has.then_some(()).ok_or_else(|| "this processor has no matrix unit".to_owned())).is_some()
}

fn engine(graph: &Graph, precision: Precision) -> CpuEngine {
    CpuEngine::with_instructions(graph, precision, Instructions::choose(None).unwrap())
}

/// Whole numbers from −`limit` to `limit`.
fn whole_numbers(seed: u64, len: usize, limit: f32) -> Vec<f32> {
    random(seed, len).into_iter().map(|v| (v * (limit + 0.49)).round()).collect()
}

#[test]
fn small_whole_numbers_are_multiplied_exactly() {
    if !has_matrix_unit() {
        return;
    }
    // All factors fit into bf16's eight bits and all sums into single precision's 24: any deviation is a mistake.
    let shapes = [(1, 1, 1), (2, 3, 5), (3, 17, 12), (1, 20, 33), (2, 40, 47), (1, 70, 90)];
    for (index, (images, height, width)) in shapes.into_iter().enumerate() {
        for (kernel, channels) in [(1, [8, 40, 20]), (3, [9, 20, 33]), (5, [8, 16, 5])] {
            let style = Style { norm: None, activation: Activation::Identity, ..Style::BILINEAR_RELU };
            let mut graph = Graph::new();
            let mut node = graph.push(Node::Input { channels: channels[0] });
            for (name, channels) in [("a", channels[1]), ("b", channels[2])] {
                node = style.conv(&mut graph, node, name, channels, kernel);
                graph.push_head(node);
            }
            let parameters = ParamStore::initialise(&graph, 0, DType::F32, &Device::Cpu).unwrap();
            let len = parameters.trained().elem_count();
            // One weight in eight is not zero, so that sums stay small.
            let sparse = whole_numbers(1, len, 1.0).into_iter().zip(random(2, len));
            let trained: Vec<f32> = sparse.map(|(w, keep)| if keep > 0.75 { w } else { 0.0 }).collect();
            let values = whole_numbers(3 + index as u64, images * channels[0] * height * width, 2.0);
            let upstream = whole_numbers(4, images * channels[2] * height * width, 1.0);
            parameters.trained().set(&Tensor::from_vec(trained, len, &Device::Cpu).unwrap()).unwrap();
            let shape = (images, channels[0], height, width);
            let images = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
            // Both layers' values, and the gradient.
            let run = |engine: &mut dyn Engine, parameters: &ParamStore| {
                let dtype = parameters.trained().dtype();
                let heads = engine.forward(&images.to_dtype(dtype).unwrap(), parameters, Mode::Train).unwrap();
                let upstream = Tensor::from_vec(upstream.clone(), heads[1].shape(), &Device::Cpu).unwrap();
                let loss = (&heads[1] * upstream.to_dtype(dtype).unwrap()).unwrap().sum_all().unwrap();
                let gradients = loss.backward().unwrap();
                [&heads[0], &heads[1], gradients.get(parameters.trained()).unwrap()].map(flat)
            };
            let expected = run(&mut Reference::new(&graph), &doubled(&graph, &parameters));
            let middle = expected[0].iter().fold(0.0f64, |m, v| m.max(v.abs()));
            assert!(middle <= 256.0, "{middle} needs more than eight bits");
            for precision in [Precision::Bf16, Precision::Tf32] {
                let mut engine = engine(&graph, precision);
                let found = run(&mut engine, &parameters);
                assert_eq!(found, expected, "{precision:?}, kernel {kernel}, {shape:?}");
            }
        }
    }
}

#[test]
fn rounding_is_what_the_precision_says() {
    if !has_matrix_unit() {
        return;
    }
    // No kink at zero, where rounding would decide the direction of a gradient.
    let style = Style { activation: Activation::Identity, ..Style::BILINEAR_RELU };
    let graph = unet_plus_plus(style, &[16, 24, 40], 1, 10, true);
    let shape = [2, 1, 41, 36];
    for mode in [Mode::Train, Mode::Evaluate] {
        let expected = expected(&graph, &parameters(&graph, 3), shape, mode);
        let mut errors = Vec::new();
        for (precision, bound) in [(Precision::Fp32, 1e-5), (Precision::Tf32, 1e-4), (Precision::Bf16, 3e-2)] {
            let mut engine = engine(&graph, precision);
            let found = run(&mut engine, &parameters(&graph, 3), shape, mode);
            let heads = found.heads.iter().zip(&expected.heads).map(|(f, e)| error(f, e)).fold(0.0, f64::max);
            let gradient = error(&found.gradient, &expected.gradient);
            println!("{precision:?} {mode:?}: values off by {heads:.1e}, gradient by {gradient:.1e}");
            assert!(heads < bound && gradient < 3.0 * bound, "{precision:?}: {heads} {gradient}");
            errors.push(heads);
        }
        assert!(errors[1] < errors[2] / 50.0, "eight more bits must show: {errors:?}");
    }
}

#[test]
fn threads_change_nothing() {
    if !has_matrix_unit() {
        return;
    }
    let graph = unet_plus_plus(Style::BILINEAR_RELU, &[16, 64, 80], 1, 10, false);
    let with_threads = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut engine = engine(&graph, Precision::Bf16);
            run(&mut engine, &parameters(&graph, 1), [2, 1, 60, 44], Mode::Train)
        })
    };
    let one = with_threads(1);
    for threads in [2, 5] {
        assert!(with_threads(threads) == one, "{threads} threads differ");
    }
}
