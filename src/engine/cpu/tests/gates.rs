//! Gates, smooth activations, layer normalisation and global pooling, compared with the reference engine.

use super::{check, check_memory, check_threads, flat, parameters};
use crate::cpu::CpuEngine;
use crate::cpu::choose::Choices;
use crate::cpu::simd::Instructions;
use crate::tests::comparison::SMOOTH;
use crate::tests::gates::gated;
use crate::tests::networks::head;
use crate::{Engine, Mode};
use candle_core::{DType, Device, Tensor};
use sweep_graph::{Gating, Graph, Node, Precision, SmoothActivation};

#[test]
fn gates_agree_with_the_reference() {
    for seed in 0..if cfg!(debug_assertions) { 12 } else { 40 } {
        let (graph, shape) = gated(seed);
        println!("graph {seed}: {shape:?}, {graph:?}");
        check(&graph, &[shape], SMOOTH);
        check_threads(&graph, shape);
        check_memory(&graph, shape);
    }
}

#[test]
fn a_mean_of_many_pixels_keeps_their_digits() {
    // A sum of all pixels in single precision, one after another, would be off in the third digit.
    let mut graph = Graph::new();
    let image = graph.push(Node::Input { channels: 1 });
    let mean = graph.push(Node::GlobalAveragePool { input: image });
    graph.push_head(mean);
    head(&mut graph, image, "head", 1);
    for instructions in Instructions::tested() {
        let mut engine = CpuEngine::with_instructions(&graph, Choices::new(Precision::Fp32), instructions);
        let images = (Tensor::ones((1, 1, 1500, 1000), DType::F32, &Device::Cpu).unwrap() * 0.1).unwrap();
        let heads = engine.forward(&images, &parameters(&graph, 1), Mode::Evaluate).unwrap();
        let found = flat(&heads[0])[0];
        assert!((found - f64::from(0.1f32)).abs() < 1e-7, "{}: {found}", instructions.name());
    }
}

/// Far from zero a sigmoid is 0 or 1, a `SiLU` or `GELU` 0 or the number itself, and what is not a number stays so.
#[test]
fn sigmoids_of_large_numbers_have_limits() {
    let mut graph = Graph::new();
    let image = graph.push(Node::Input { channels: 1 });
    let sigmoid = graph.push(Node::Smooth { input: image, activation: SmoothActivation::Sigmoid });
    let gated = graph.push(Node::Gate { inputs: [image, sigmoid], gating: Gating::Pixel });
    let silu = graph.push(Node::Smooth { input: image, activation: SmoothActivation::Silu });
    let gelu = graph.push(Node::Smooth { input: image, activation: SmoothActivation::Gelu });
    for node in [sigmoid, gated, silu, gelu] {
        graph.push_head(node);
    }
    head(&mut graph, image, "head", 1);
    let values = [-1e30f32, -200.0, -20.0, 0.0, 20.0, 200.0, f32::NAN, 1e30];
    let expected = [0.0, 0.0, 1.0 / (1.0 + 20f64.exp()), 0.5, 1.0 / (1.0 + (-20f64).exp()), 1.0, f64::NAN, 1.0];
    let images = Tensor::from_slice(&values, (1, 1, 2, 4), &Device::Cpu).unwrap();
    for instructions in Instructions::tested() {
        let mut engine = CpuEngine::with_instructions(&graph, Choices::new(Precision::Fp32), instructions);
        let heads = engine.forward(&images, &parameters(&graph, 1), Mode::Evaluate).unwrap();
        for (found, expected) in flat(&heads[0]).into_iter().zip(expected) {
            let close = (found - expected).abs() <= 1e-6 * expected || (found.is_nan() && expected.is_nan());
            assert!(close, "{}: {found} instead of {expected}", instructions.name());
        }
        assert!(flat(&heads[1])[6].is_nan(), "{}", instructions.name());
        for ((found, x), sigmoid) in flat(&heads[2]).into_iter().zip(values).zip(expected) {
            let wanted = f64::from(x) * sigmoid;
            let close = (found - wanted).abs() <= 1e-6 * wanted.abs() || (found.is_nan() && wanted.is_nan());
            assert!(close, "{}: {found} instead of {wanted}", instructions.name());
        }
        for (found, x) in flat(&heads[3]).into_iter().zip(values.map(f64::from)) {
            let wanted = x.max(0.0);
            let close = (found - wanted).abs() <= 1e-6 * wanted.abs() || (found.is_nan() && x.is_nan());
            assert!(close, "{}: {found} instead of {wanted}", instructions.name());
        }
    }
}

#[test]
fn maps_of_other_sizes_are_refused() {
    let mut graph = Graph::new();
    let image = graph.push(Node::Input { channels: 1 });
    let small = graph.push(Node::MaxPool { input: image, side: 2 });
    let gated = graph.push(Node::Gate { inputs: [image, small], gating: Gating::Pixel });
    graph.push_head(gated);
    head(&mut graph, image, "head", 1);
    let images = Tensor::ones((1, 1, 8, 6), DType::F32, &Device::Cpu).unwrap();
    let mut engine = CpuEngine::new(&graph, Precision::Fp32);
    let error = engine.forward(&images, &parameters(&graph, 1), Mode::Evaluate).unwrap_err();
    assert!(error.message.contains("maps of 8 × 6 and 4 × 3 pixels"), "{error}");
    let images = Tensor::ones((1, 1, 1, 6), DType::F32, &Device::Cpu).unwrap();
    let error = engine.forward(&images, &parameters(&graph, 1), Mode::Evaluate).unwrap_err();
    assert!(error.message.contains("too small"), "{error}");
}
