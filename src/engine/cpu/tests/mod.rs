//! The engine against the definitions in double precision, on every instruction set.

mod graphs;
mod naive;

use candle_core::{DType, Device, Tensor};
use rand::Rng;

use super::*;
use crate::graph::{Activation, Interpolation, Node};
use crate::seed::{self, Stream};
use graphs::{Style, knot, unet, unet_plus_plus};

fn random(seed: u64, len: usize) -> Vec<f32> {
    let mut rng = seed::derive(seed, Stream::Weights, 1, 0);
    (0..len).map(|_| rng.random_range(-1.0f32..1.0)).collect()
}

/// Parameters with scales, shifts and running statistics away from their initial values.
fn parameters(graph: &Graph, seed: u64) -> ParamStore {
    let parameters = ParamStore::initialise(graph, seed, DType::F32, &Device::Cpu).unwrap();
    let noise = random(seed + 100, parameters.statistics().elem_count());
    let statistics: Vec<f32> = noise.iter().map(|v| 1.0 + 0.5 * v).collect();
    let mut trained = parameters.trained().to_vec1::<f32>().unwrap();
    for p in parameters.parameters().iter().filter(|p| p.spec.shape.len() == 1 && p.spec.role.is_trained()) {
        for (v, noise) in trained[p.offset..].iter_mut().zip(random(seed + p.offset as u64, p.spec.len())) {
            *v += 0.3 * noise;
        }
    }
    let set = |var: &candle_core::Var, values: Vec<f32>| {
        let len = values.len();
        var.set(&Tensor::from_vec(values, len, &Device::Cpu).unwrap()).unwrap();
    };
    set(parameters.trained(), trained);
    set(parameters.statistics(), statistics);
    parameters
}

/// Everything a pass computes.
#[derive(Debug, Clone, PartialEq)]
struct Results {
    heads: Vec<Vec<f32>>,
    gradient: Vec<f32>,
    statistics: Vec<f32>,
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The weights of the heads' values in the loss.
fn loss_weights(heads: &[Tensor]) -> Vec<Vec<f32>> {
    heads.iter().enumerate().map(|(i, h)| random(50 + i as u64, h.elem_count())).collect()
}

fn run(engine: &mut CpuEngine, parameters: &ParamStore, shape: [usize; 4], mode: Mode) -> Results {
    let images = Tensor::from_vec(random(7, shape.iter().product()), &shape, &Device::Cpu).unwrap();
    let heads = engine.forward(&images, parameters, mode).unwrap();
    let mut gradient = Vec::new();
    if mode == Mode::Train {
        let mut loss = Tensor::zeros((), DType::F32, &Device::Cpu).unwrap();
        for (head, weights) in heads.iter().zip(loss_weights(&heads)) {
            let weights = Tensor::from_vec(weights, head.shape(), &Device::Cpu).unwrap();
            loss = (loss + (head * weights).unwrap().sum_all().unwrap()).unwrap();
        }
        gradient = flat(loss.backward().unwrap().get(parameters.trained()).unwrap());
    }
    Results { heads: heads.iter().map(flat).collect(), gradient, statistics: flat(parameters.statistics()) }
}

fn double(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

/// Distance of single from double precision, relative to the largest value.
fn error(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(1e-12, |m: f64, v| m.max(v.abs()));
    found.iter().zip(expected).fold(0.0, |m: f64, (f, e)| m.max((f64::from(*f) - e).abs())) / largest
}

/// Runs engine and definitions on the same numbers; errors of heads, gradient and statistics.
fn compare(engine: &mut CpuEngine, graph: &Graph, shape: [usize; 4], mode: Mode) -> [f64; 3] {
    let parameters = parameters(graph, 3);
    let (trained, statistics) = (double(&flat(parameters.trained())), double(&flat(parameters.statistics())));
    let found = run(engine, &parameters, shape, mode);
    let [images, channels, height, width] = shape;
    let values = double(&random(7, shape.iter().product()));
    let images = naive::Map { images, channels, size: Size { height, width }, values };
    let expected = naive::Run::new(graph, &trained, &statistics, images, mode);
    let mut errors = [0.0f64; 3];
    for (head, values) in graph.heads().iter().zip(&found.heads) {
        errors[0] = errors[0].max(error(values, &expected.maps[head.0].values));
    }
    if mode == Mode::Train {
        let heads: Vec<Vec<f64>> =
            found.heads.iter().enumerate().map(|(i, h)| double(&random(50 + i as u64, h.len()))).collect();
        errors[1] = error(&found.gradient, &expected.backward(&heads));
    }
    errors[2] = error(&found.statistics, &expected.statistics);
    errors
}

/// Compares on every instruction set, in both modes, for shapes one after another on one engine.
fn check(graph: &Graph, shapes: &[[usize; 4]], bounds: [f64; 2]) {
    for instructions in Instructions::available() {
        let mut engine = CpuEngine::with_instructions(graph, instructions);
        for shape in shapes {
            for mode in [Mode::Train, Mode::Evaluate] {
                let errors = compare(&mut engine, graph, *shape, mode);
                println!(
                    "{} {shape:?} {mode:?}: {:.1e} {:.1e} {:.1e}",
                    instructions.name(),
                    errors[0],
                    errors[1],
                    errors[2]
                );
                assert!(errors[0] < bounds[0], "values off by {} on {shape:?}, {mode:?}", errors[0]);
                assert!(errors[1] < bounds[1], "gradient off by {} on {shape:?}", errors[1]);
                assert!(errors[2] < 1e-5, "statistics off by {} on {shape:?}", errors[2]);
            }
        }
    }
}

#[test]
fn unet_plus_plus_agrees_with_the_definitions() {
    let graph = unet_plus_plus(Style::BILINEAR_RELU, &[16, 32, 48], 1, 10, false);
    check(&graph, &[[2, 1, 36, 28], [1, 1, 36, 28], [3, 1, 17, 23]], [1e-4, 1e-3]);
}

#[test]
fn deep_supervision_and_ragged_channels_agree_with_the_definitions() {
    let graph = unet_plus_plus(Style::NEAREST_LEAKY, &[5, 19, 33], 3, 4, true);
    check(&graph, &[[2, 3, 25, 18], [1, 3, 8, 8], [1, 3, 4, 5]], [1e-4, 1e-3]);
}

#[test]
fn unet_agrees_with_the_definitions() {
    let graph = unet(Style::NEAREST_LEAKY, &[16, 32, 40], 1, 6);
    check(&graph, &[[1, 1, 33, 37], [2, 1, 4, 4]], [1e-4, 1e-3]);
}

#[test]
fn a_knotted_graph_agrees_with_the_definitions() {
    for style in [Style::BILINEAR_RELU, Style::NEAREST_LEAKY] {
        check(&knot(style), &[[2, 2, 19, 22], [1, 2, 5, 3], [3, 2, 2, 2]], [1e-4, 1e-3]);
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let graph = unet_plus_plus(Style::BILINEAR_RELU, &[16, 64, 80], 1, 10, false);
    for instructions in Instructions::available() {
        let with_threads = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut engine = CpuEngine::with_instructions(&graph, instructions);
                run(&mut engine, &parameters(&graph, 1), [2, 1, 60, 44], Mode::Train)
            })
        };
        let one = with_threads(1);
        assert!(one.gradient.iter().all(|v| v.is_finite()));
        for threads in [2, 5] {
            assert!(with_threads(threads) == one, "{} threads differ on {}", threads, instructions.name());
        }
    }
}

#[test]
fn other_shapes_in_between_change_nothing() {
    let graph = unet(Style::BILINEAR_RELU, &[8, 16], 1, 2);
    let mut engine = CpuEngine::new(&graph);
    let first = run(&mut engine, &parameters(&graph, 1), [2, 1, 24, 20], Mode::Train);
    for (shape, mode) in [([1, 1, 40, 40], Mode::Train), ([3, 1, 24, 20], Mode::Evaluate), ([1, 1, 2, 2], Mode::Train)]
    {
        run(&mut engine, &parameters(&graph, 2), shape, mode);
    }
    assert_eq!(run(&mut engine, &parameters(&graph, 1), [2, 1, 24, 20], Mode::Train), first);
}

#[test]
fn a_stale_forward_pass_cannot_be_differentiated() {
    let graph = unet(Style::BILINEAR_RELU, &[4, 8], 1, 2);
    let mut engine = CpuEngine::new(&graph);
    let parameters = parameters(&graph, 1);
    let images = Tensor::ones((1, 1, 8, 8), DType::F32, &Device::Cpu).unwrap();
    let mut loss = |mode| engine.forward(&images, &parameters, mode).unwrap()[0].sum_all().unwrap();
    for between in [Mode::Train, Mode::Evaluate] {
        let stale = loss(Mode::Train);
        loss(between);
        let message = stale.backward().unwrap_err().to_string();
        assert!(message.contains("before the engine's next forward pass"), "{message}");
    }
    let fresh = loss(Mode::Train);
    fresh.backward().unwrap();
    assert!(fresh.backward().is_err(), "its maps have become gradients");
}

#[test]
fn a_gradient_of_zero_flows_at_zero() {
    // One pixel whose convolution is exactly zero: ReLU passes nothing, LeakyReLU its slope.
    for (activation, expected) in [(Activation::Relu, 0.0), (Activation::LeakyRelu { slope: 0.25 }, 0.25)] {
        let style = Style { norm: false, activation, interpolation: Interpolation::Nearest };
        let mut graph = Graph::new();
        let image = graph.push(Node::Input { channels: 1 });
        let node = style.conv(&mut graph, image, "a", 1, 1);
        graph.push_head(node);
        let parameters = ParamStore::initialise(&graph, 0, DType::F32, &Device::Cpu).unwrap();
        parameters.trained().set(&Tensor::zeros(2, DType::F32, &Device::Cpu).unwrap()).unwrap();
        let images = Tensor::ones((1, 1, 1, 1), DType::F32, &Device::Cpu).unwrap();
        let out = CpuEngine::new(&graph).forward(&images, &parameters, Mode::Train).unwrap();
        let gradients = out[0].sum_all().unwrap().backward().unwrap();
        assert_eq!(flat(gradients.get(parameters.trained()).unwrap()), [expected, expected]);
    }
}

#[test]
fn ties_go_to_the_first_maximum() {
    // All pixels alike: the gradient of a pooled map is that of every block's first pixel, told apart by a 3×3 kernel.
    let style = Style { norm: false, activation: Activation::Identity, interpolation: Interpolation::Nearest };
    let mut graph = Graph::new();
    let image = graph.push(Node::Input { channels: 1 });
    let node = style.conv(&mut graph, image, "a", 1, 3);
    let pooled = graph.push(Node::MaxPool { input: node });
    graph.push_head(pooled);
    let parameters = ParamStore::initialise(&graph, 0, DType::F32, &Device::Cpu).unwrap();
    parameters.trained().set(&Tensor::zeros(10, DType::F32, &Device::Cpu).unwrap()).unwrap();
    let images = Tensor::from_vec(vec![1.0f32, 2.0, 4.0, 8.0], (1, 1, 2, 2), &Device::Cpu).unwrap();
    let out = CpuEngine::new(&graph).forward(&images, &parameters, Mode::Train).unwrap();
    let gradients = out[0].sum_all().unwrap().backward().unwrap();
    let expected = [0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 4.0, 8.0, 1.0];
    assert_eq!(flat(gradients.get(parameters.trained()).unwrap()), expected);
}

#[test]
fn strangers_are_refused() {
    let graph = unet(Style::BILINEAR_RELU, &[4, 8], 1, 2);
    let mut engine = CpuEngine::new(&graph);
    let own = parameters(&graph, 1);
    let other = parameters(&unet(Style::BILINEAR_RELU, &[4, 9], 1, 2), 1);
    let images = |shape: (usize, usize, usize, usize), dtype| Tensor::zeros(shape, dtype, &Device::Cpu).unwrap();
    assert!(engine.forward(&images((1, 3, 8, 8), DType::F32), &own, Mode::Train).is_err(), "channels");
    assert!(engine.forward(&images((1, 1, 8, 8), DType::F64), &own, Mode::Train).is_err(), "precision");
    assert!(engine.forward(&images((1, 1, 1, 8), DType::F32), &own, Mode::Train).is_err(), "size");
    assert!(engine.forward(&images((1, 1, 8, 8), DType::F32), &other, Mode::Train).is_err(), "parameters");
    engine.forward(&images((1, 1, 8, 8), DType::F32), &own, Mode::Train).unwrap();
}
