//! Convolutions one by one: `cargo bench --bench layers -- bf16/64→64`. An element is a floating-point operation of the
//! definition, so that `Gelem/s` reads as GFLOP/s; with Winograd or a matrix unit it may exceed the peak of fused
//! multiply-adds printed first. Times are the engine's own, for the step alone.
#![expect(clippy::expect_used, reason = "a benchmark that cannot run stops")]

use std::time::Duration;

use candle_core::{DType, Device, Tensor};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use landmark_sweep::engine::cpu::CpuEngine;
use landmark_sweep::engine::{Engine, Mode, Precision};
use landmark_sweep::graph::{Activation, Graph, Node, Start};
use landmark_sweep::params::ParamStore;

/// Channels read and written, height and width: layers of `unet++` with filters 16–256 and of `unet` with 64–512, on
/// images of 200×160.
const LAYERS: [[usize; 4]; 10] = [
    [16, 16, 200, 160],
    [96, 16, 200, 160],
    [64, 64, 200, 160],
    [160, 32, 100, 80],
    [256, 128, 100, 80],
    [64, 64, 50, 40],
    [512, 256, 50, 40],
    [128, 128, 25, 20],
    [512, 512, 25, 20],
    [256, 256, 12, 10],
];

/// A layer after another trained one, so that it has all three passes.
fn graph([inputs, outputs, ..]: [usize; 4]) -> Graph {
    let mut graph = Graph::new();
    let mut node = graph.push(Node::Input { channels: 1 });
    for (name, channels, kernel) in [("below", inputs, 1), ("layer", outputs, 3)] {
        node = graph.push(Node::Convolution {
            input: node,
            name: name.into(),
            channels,
            kernel,
            stride: 1,
            dilation: 1,
            depthwise: false,
            bias: true,
            start: Start::Torch,
            norm: None,
            activation: Activation::Relu,
        });
    }
    graph.push_head(node);
    graph
}

fn layers(criterion: &mut Criterion) {
    let peak = CpuEngine::new(&Graph::new(), Precision::Fp32).fma_peak() / 1e9;
    println!("peak of fused multiply-adds on {} threads: {peak:.0} GFLOP/s", rayon::current_num_threads());
    for layer in LAYERS {
        let [inputs, outputs, height, width] = layer;
        let graph = graph(layer);
        let parameters = ParamStore::initialise(&graph, 0, DType::F32, &Device::Cpu).expect("parameters");
        let images = Tensor::ones((1, 1, height, width), DType::F32, &Device::Cpu).expect("images");
        for (precision, name) in [(Precision::Fp32, "fp32"), (Precision::Tf32, "tf32"), (Precision::Bf16, "bf16")] {
            let mut engine = CpuEngine::new(&graph, precision);
            let mut group = criterion.benchmark_group(format!("{name}/{inputs}→{outputs} {height}×{width}"));
            group.throughput(Throughput::Elements(2 * 9 * (inputs * outputs * height * width) as u64));
            for (index, step) in ["convolution", "input gradient", "weight gradient"].into_iter().enumerate() {
                group.bench_function(step, |bencher| {
                    bencher.iter_custom(|times| {
                        (0..times).map(|_| step_time(&mut engine, &parameters, &images, step, index == 0)).sum()
                    });
                });
            }
        }
    }
}

/// Duration of one step of the upper layer; the backward pass runs only if it is needed.
fn step_time(
    engine: &mut CpuEngine,
    parameters: &ParamStore,
    images: &Tensor,
    step: &str,
    forward_only: bool,
) -> Duration {
    engine.start_profile();
    let heads = engine.forward(images, parameters, Mode::Train).expect("a forward pass");
    if !forward_only {
        engine.gradient(&heads, &heads, parameters).expect("a backward pass");
    }
    let steps = engine.take_profile();
    let times = steps.iter().filter(|s| s.step == step && s.convolution.is_some_and(|[_, _, kernel]| kernel == 3));
    times.map(|s| s.time).sum()
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600));
    targets = layers
}
criterion_main!(benches);
