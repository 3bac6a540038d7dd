//! Whole numbers, which every precision multiplies exactly: all bits must agree with the reference engine's.

use candle_core::DType;

use super::*;
use crate::tests::comparison::{doubled, flat, noise};
use crate::tests::networks::head;

const BARE: Style = Style { norm: None, ..Style::BILINEAR_RELU };

/// Compares values and gradients on every GPU. Maps that are stored in bf16 must hold numbers below 256 alone.
fn check_bits(graph: &Graph, precision: Precision, what: &str) {
    let whole = |tensor: &Tensor, limit: f64| {
        let values = tensor.to_dtype(DType::F64).unwrap().affine(limit, 0.0).unwrap().round().unwrap();
        values.to_dtype(DType::F32).unwrap()
    };
    let parameters = parameters(graph, 5);
    parameters.trained().set(&whole(parameters.trained(), 4.0)).unwrap();
    let images = whole(&noise(&parameters, 7, &[2, 3, 19, 21]), 3.0);
    let trained = parameters.trained().as_tensor().clone();
    let double = doubled(graph, &parameters);
    let pass = |engine: &mut dyn Engine, parameters: &ParamStore| {
        let images = images.to_dtype(parameters.trained().dtype()).unwrap();
        let images = images.to_device(parameters.trained().device()).unwrap();
        let heads = engine.forward(&images, parameters, Mode::Train).unwrap();
        let weights = whole(&noise(parameters, 50, heads[0].dims()), 2.0);
        let weights = weights.to_dtype(parameters.trained().dtype()).unwrap();
        let gradient = engine.gradient(&heads, &[weights], parameters).unwrap();
        (flat(&heads[0]), flat(&gradient))
    };
    let expected = pass(&mut Reference::new(graph), &double);
    assert!(expected.0.iter().chain(&expected.1).any(|v| v.abs() > 100.0));
    for test_gpu in &gpus() {
        let on_gpu = parameters_on(graph, 5, &test_gpu.device);
        on_gpu.trained().set(&trained.to_device(&test_gpu.device).unwrap()).unwrap();
        let found = pass(&mut CudaEngine::new(graph, precision, Arc::clone(&test_gpu.gpu)).unwrap(), &on_gpu);
        assert!(found == expected, "{} {precision:?}, {what}", test_gpu.name);
    }
}

#[test]
fn products_of_whole_numbers_are_exact() {
    for (kernel, stride, dilation, channels, precision) in [
        (3, 1, 1, 16, Precision::Bf16),
        (3, 1, 1, 40, Precision::Bf16),
        (1, 1, 1, 37, Precision::Bf16),
        (1, 1, 1, 5, Precision::Bf16),
        (5, 2, 1, 20, Precision::Bf16),
        (3, 2, 1, 16, Precision::Tf32),
        (3, 1, 1, 70, Precision::Tf32),
        (1, 1, 1, 5, Precision::Tf32),
        (1, 1, 1, 37, Precision::Tf32),
        (5, 1, 1, 33, Precision::Fp32),
        (1, 1, 1, 5, Precision::Fp32),
        (1, 1, 1, 37, Precision::Fp32),
        (3, 1, 2, 16, Precision::Bf16),
        (5, 2, 3, 20, Precision::Bf16),
        (3, 1, 9, 40, Precision::Bf16),
        (3, 2, 2, 37, Precision::Tf32),
        (7, 1, 2, 5, Precision::Tf32),
        (3, 1, 3, 70, Precision::Fp32),
        (3, 2, 8, 16, Precision::Fp32),
        (1, 1, 2, 16, Precision::Fp32),
    ] {
        for activation in [Activation::Identity, Activation::Relu6] {
            let linear = Style { activation: Activation::Identity, ..BARE };
            let mut graph = Graph::new();
            let images = graph.push(Node::Input { channels: 3 });
            // Sums of the first layer stay below 256.
            let first = Style { activation, ..BARE }.conv(&mut graph, images, "first", 9, 1);
            let second = linear.windowed(&mut graph, first, "second", channels, [kernel, stride, dilation], false);
            graph.push_head(second);
            let of = format!("kernel {kernel}, stride {stride}, dilation {dilation}, {activation:?}");
            check_bits(&graph, precision, &format!("{channels} channels, {of}"));
        }
    }
}

#[test]
fn depthwise_products_of_whole_numbers_are_exact() {
    for (kernel, stride, dilation, channels) in
        [(3, 1, 1, 16), (3, 2, 1, 37), (5, 1, 1, 40), (5, 2, 1, 33), (7, 2, 1, 5), (3, 1, 2, 20), (5, 2, 3, 18)]
    {
        for precision in [Precision::Bf16, Precision::Tf32, Precision::Fp32] {
            let style = Style { activation: Activation::Relu6, ..BARE };
            let mut graph = Graph::new();
            let images = graph.push(Node::Input { channels: 3 });
            let wide = style.conv(&mut graph, images, "wide", channels, 1);
            let own = style.windowed(&mut graph, wide, "own", channels, [kernel, stride, dilation], true);
            head(&mut graph, own, "head", 4);
            let of = format!("kernel {kernel}, stride {stride}, dilation {dilation}");
            check_bits(&graph, precision, &format!("{channels} channels, {of}, depthwise"));
        }
    }
}
