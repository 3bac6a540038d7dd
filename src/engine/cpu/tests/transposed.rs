//! Transposed convolutions, compared with the reference engine.

use super::{check, check_memory, check_threads, parameters};
use crate::cpu::CpuEngine;
use crate::tests::comparison::SMOOTH;
use crate::tests::transposed::transposed;
use crate::{Engine, Mode};
use candle_core::{DType, Device, Tensor};
use sweep_graph::{Activation, Graph, Node, Precision, Start};

#[test]
fn transposed_convolutions_agree_with_the_reference() {
    for seed in 0..if cfg!(debug_assertions) { 16 } else { 60 } {
        let (graph, shape) = transposed(seed, Activation::LeakyRelu { slope: 0.8 });
        println!("graph {seed}: {shape:?}, {graph:?}");
        check(&graph, &[shape], SMOOTH);
        check_threads(&graph, shape);
        check_memory(&graph, shape);
    }
}

#[test]
fn a_map_of_another_size_is_refused() {
    let mut graph = Graph::new();
    let image = graph.push(Node::Input { channels: 1 });
    let half = graph.push(Node::MaxPool { input: image, side: 2 });
    let quarter = graph.push(Node::MaxPool { input: half, side: 2 });
    let up = Node::TransposedConvolution {
        input: quarter,
        like: image,
        name: "up".to_owned(),
        channels: 1,
        kernel: 2,
        bias: true,
        start: Start::Torch,
        norm: None,
        activation: Activation::Identity,
    };
    let up = graph.push(up);
    graph.push_head(up);
    let images = Tensor::ones((1, 1, 12, 8), DType::F32, &Device::Cpu).unwrap();
    let mut engine = CpuEngine::new(&graph, Precision::Fp32);
    let error = engine.forward(&images, &parameters(&graph, 1), Mode::Evaluate).unwrap_err();
    assert!(error.message.contains("maps of 3 × 2 and 12 × 8 pixels"), "{error}");
    let images = Tensor::ones((1, 1, 4, 5), DType::F32, &Device::Cpu).unwrap();
    let error = engine.forward(&images, &parameters(&graph, 1), Mode::Evaluate).unwrap_err();
    assert!(error.message.contains("maps of 1 × 1 and 4 × 5 pixels"), "{error}");
}
