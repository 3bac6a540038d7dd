//! The engine against the definitions in double precision, on every instruction set.

#[expect(clippy::many_single_char_names, reason = "layers without meaning")]
mod graphs;
#[expect(clippy::many_single_char_names, reason = "indices of images, channels, rows and columns")]
mod naive;
mod tiles;

use candle_core::{DType, Device, Tensor};
use rand::Rng;

use super::*;
use crate::graph::{Activation, Interpolation, Node, NodeId, Role};
use crate::seed::{self, Stream};
use graphs::{Style, knot, scribble, unet, unet_plus_plus};

fn random(seed: u64, len: usize) -> Vec<f32> {
    let mut rng = seed::derive(seed, Stream::Weights, 1, 0);
    (0..len).map(|_| rng.random_range(-1.0f32..1.0)).collect()
}

/// Parameters with scales, shifts and running statistics away from their initial values.
fn parameters(graph: &Graph, seed: u64) -> ParamStore {
    let parameters = ParamStore::initialise(graph, seed, DType::F32, &Device::Cpu).unwrap();
    let mut statistics = random(seed + 100, parameters.statistics().elem_count());
    for p in parameters.parameters().iter().filter(|p| !p.spec.role.is_trained()) {
        for v in &mut statistics[p.offset..p.offset + p.spec.len()] {
            // Near what batches have, so that the network stays alive.
            *v = if p.spec.role == Role::RunningMean { 0.1 * *v } else { 0.2 + 0.1 * *v };
        }
    }
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
    assert!(found.iter().all(|v| v.is_finite()));
    let largest = expected.iter().fold(1e-12, |m: f64, v| m.max(v.abs()));
    found.iter().zip(expected).fold(0.0, |m: f64, (f, e)| m.max((f64::from(*f) - e).abs())) / largest
}

/// What the definitions say, in double precision.
struct Expected {
    heads: Vec<Vec<f64>>,
    gradient: Vec<f64>,
    statistics: Vec<f64>,
}

fn expected(
    graph: &Graph,
    parameters: &ParamStore,
    [images, channels, height, width]: [usize; 4],
    mode: Mode,
) -> Expected {
    let (trained, statistics) = (double(&flat(parameters.trained())), double(&flat(parameters.statistics())));
    let values = double(&random(7, images * channels * height * width));
    let images = naive::Map { images, channels, size: Size { height, width }, values };
    let run = naive::Run::new(graph, &trained, &statistics, &images, mode);
    let heads: Vec<Vec<f64>> = graph.heads().iter().map(|head| run.maps[head.0].values.clone()).collect();
    let weights: Vec<Vec<f64>> =
        heads.iter().enumerate().map(|(i, head)| double(&random(50 + i as u64, head.len()))).collect();
    let gradient = if mode == Mode::Train { run.backward(&weights) } else { Vec::new() };
    Expected { heads, gradient, statistics: run.statistics }
}

/// Compares with the definitions on every instruction set, in both modes, for shapes one after another on one engine.
fn check(graph: &Graph, shapes: &[[usize; 4]], [values, gradient]: [f64; 2]) {
    let parameters = || parameters(graph, 3);
    let mut engines: Vec<CpuEngine> = Instructions::available()
        .into_iter()
        .map(|set| CpuEngine::with_instructions(graph, Precision::Fp32, set))
        .collect();
    for shape in shapes {
        for mode in [Mode::Train, Mode::Evaluate] {
            let expected = expected(graph, &parameters(), *shape, mode);
            for engine in &mut engines {
                let found = run(engine, &parameters(), *shape, mode);
                let heads = found.heads.iter().zip(&expected.heads).map(|(f, e)| error(f, e)).fold(0.0, f64::max);
                let errors = [heads, error(&found.gradient, &expected.gradient)];
                let statistics = error(&found.statistics, &expected.statistics);
                let what = format!("{} {shape:?} {mode:?}", engine.instructions());
                println!("{what}: values {:.1e}, gradient {:.1e}, statistics {statistics:.1e}", errors[0], errors[1]);
                assert!(errors[0] < values && errors[1] < gradient, "{what}: values and gradient off by {errors:?}");
                assert!(statistics < 1e-6, "{what}: statistics off by {statistics}");
            }
        }
    }
}

#[test]
fn unet_plus_plus_agrees_with_the_definitions() {
    let graph = unet_plus_plus(Style::BILINEAR_RELU, &[16, 32, 48], 1, 10, false);
    check(&graph, &[[2, 1, 36, 28], [1, 1, 36, 28], [3, 1, 17, 23]], [2e-5, 3e-4]);
}

#[test]
fn deep_supervision_and_ragged_channels_agree_with_the_definitions() {
    let graph = unet_plus_plus(Style::NEAREST_LEAKY, &[5, 19, 33], 3, 4, true);
    check(&graph, &[[2, 3, 25, 18], [1, 3, 8, 8], [1, 3, 4, 5]], [2e-5, 3e-4]);
}

#[test]
fn unet_agrees_with_the_definitions() {
    let graph = unet(Style::NEAREST_LEAKY, &[16, 32, 40], 1, 6);
    check(&graph, &[[1, 1, 33, 37], [2, 1, 4, 4]], [2e-5, 3e-4]);
}

#[test]
fn a_knotted_graph_agrees_with_the_definitions() {
    for style in [Style::BILINEAR_RELU, Style::NEAREST_LEAKY] {
        check(&knot(style), &[[2, 2, 19, 22], [1, 2, 5, 3], [3, 2, 2, 2]], [2e-5, 3e-4]);
    }
}

#[test]
fn random_graphs_agree_with_the_definitions() {
    for seed in 0..16 {
        let size = Size { height: 9 + (seed as usize * 7) % 13, width: 8 + (seed as usize * 5) % 17 };
        let graph = scribble(seed, size);
        let channels = graph.channels(NodeId(0));
        check(&graph, &[2, 3].map(|images| [images, channels, size.height, size.width]), [2e-5, 3e-4]);
    }
}

#[test]
fn filters_too_large_for_the_cache_agree_with_the_definitions() {
    // Without a kink at zero, where rounding decides which way a gradient goes, the bound can be tight.
    let style = Style { activation: Activation::Identity, ..Style::BILINEAR_RELU };
    let mut graph = Graph::new();
    let mut node = graph.push(Node::Input { channels: 2 });
    for (name, channels) in [("a", 96), ("b", 91), ("c", 3)] {
        node = style.conv(&mut graph, node, name, channels, 3);
    }
    graph.push_head(node);
    // One chunk of tiles, and two.
    check(&graph, &[[1, 2, 15, 14], [2, 2, 41, 43]], [2e-5, 2e-5]);
}

#[test]
fn a_training_needs_little_memory() {
    // A UNet++ with filters 16–256 on 200 × 160 pixels has 33 MiB of convolution results per image; all gradients, all
    // pooled and enlarged maps and all workspaces together must not double that.
    let graph = unet_plus_plus(Style::BILINEAR_RELU, &[16, 32, 64, 128, 256], 1, 10, false);
    let network = Network::new(&graph);
    let arena = |images, mode| {
        let extent = Extent { images, size: Size { height: 200, width: 160 } };
        (4 * Plan::new(&graph, &network, extent, mode, Precision::Fp32).unwrap().arena) >> 20
    };
    let found = [arena(1, Mode::Train), arena(4, Mode::Train), arena(1, Mode::Evaluate), arena(4, Mode::Evaluate)];
    println!("MiB of a training with 1 and 4 images, an evaluation with 1 and 4: {found:?}");
    assert!(found[0] < 50 && found[1] < 180, "a training takes {found:?}");
    assert!(found[2] < 24 && found[3] < 80, "an evaluation takes {found:?}");
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let graph = unet_plus_plus(Style::BILINEAR_RELU, &[16, 64, 80], 1, 10, false);
    for instructions in Instructions::available() {
        let with_threads = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut engine = CpuEngine::with_instructions(&graph, Precision::Fp32, instructions);
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
    let mut engine = CpuEngine::new(&graph, Precision::Fp32);
    let first = run(&mut engine, &parameters(&graph, 1), [2, 1, 24, 20], Mode::Train);
    for (shape, mode) in [([1, 1, 40, 40], Mode::Train), ([3, 1, 24, 20], Mode::Evaluate), ([2, 1, 2, 2], Mode::Train)]
    {
        run(&mut engine, &parameters(&graph, 2), shape, mode);
    }
    assert_eq!(run(&mut engine, &parameters(&graph, 1), [2, 1, 24, 20], Mode::Train), first);
}

#[test]
fn a_stale_forward_pass_cannot_be_differentiated() {
    let graph = unet(Style::BILINEAR_RELU, &[4, 8], 1, 2);
    let mut engine = CpuEngine::new(&graph, Precision::Fp32);
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

/// The gradient as training takes it, with the loss of `run`.
fn gradient(engine: &mut CpuEngine, parameters: &ParamStore, shape: [usize; 4]) -> Vec<f32> {
    let images = Tensor::from_vec(random(7, shape.iter().product()), &shape, &Device::Cpu).unwrap();
    let heads = engine.forward(&images, parameters, Mode::Train).unwrap();
    let weights = heads.iter().zip(loss_weights(&heads));
    let weights: Vec<_> = weights.map(|(h, w)| Tensor::from_vec(w, h.shape(), &Device::Cpu).unwrap()).collect();
    flat(&engine.gradient(&heads, &weights, parameters).unwrap())
}

#[test]
fn both_ways_to_a_gradient_give_the_same_bits() {
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
    let graphs = [
        (unet_plus_plus(Style::BILINEAR_RELU, &[4, 8, 20], 1, 3, true), 1),
        (unet(Style { norm: false, ..Style::BILINEAR_RELU }, &[4, 8], 1, 2), 1),
        (knot(Style::BILINEAR_RELU), 2),
    ];
    for (graph, channels) in graphs {
        let mut engine = CpuEngine::new(&graph, Precision::Fp32);
        // Large and small in turn: what one call leaves behind must not show in the next.
        for (seed, size) in [(1, 24), (2, 12), (1, 24)] {
            let (shape, parameters) = ([2, channels, size, size], parameters(&graph, seed));
            let by_candle = run(&mut engine, &parameters, shape, Mode::Train).gradient;
            assert!(by_candle.iter().any(|g| *g != 0.0));
            assert_eq!(bits(gradient(&mut engine, &parameters, shape)), bits(by_candle));
        }
    }
}

#[test]
fn gradients_of_other_heads_are_refused() {
    let graph = unet(Style::BILINEAR_RELU, &[4, 8], 1, 2);
    let (mut engine, parameters) = (CpuEngine::new(&graph, Precision::Fp32), parameters(&graph, 1));
    let images = Tensor::ones((1, 1, 8, 8), DType::F32, &Device::Cpu).unwrap();
    let stale = engine.forward(&images, &parameters, Mode::Train).unwrap();
    let heads = engine.forward(&images, &parameters, Mode::Train).unwrap();
    assert!(engine.gradient(&stale, &stale, &parameters).is_err(), "another pass");
    let heads_again = engine.forward(&images, &parameters, Mode::Train).unwrap();
    assert!(engine.gradient(&heads, &heads, &parameters).is_err(), "its maps are gone");
    let heads = heads_again;
    let short = heads[0].narrow(2, 0, 4).unwrap();
    assert!(engine.gradient(&heads, &[short], &parameters).is_err(), "another shape");
    engine.gradient(&heads, &heads, &parameters).unwrap();
    assert!(engine.gradient(&heads, &heads, &parameters).is_err(), "its maps have become gradients");
    let evaluated = engine.forward(&images, &parameters, Mode::Evaluate).unwrap();
    assert!(engine.gradient(&evaluated, &evaluated, &parameters).is_err(), "nothing was kept");
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
        let out = CpuEngine::new(&graph, Precision::Fp32).forward(&images, &parameters, Mode::Train).unwrap();
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
    let out = CpuEngine::new(&graph, Precision::Fp32).forward(&images, &parameters, Mode::Train).unwrap();
    let gradients = out[0].sum_all().unwrap().backward().unwrap();
    let expected = [0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 4.0, 8.0, 1.0];
    assert_eq!(flat(gradients.get(parameters.trained()).unwrap()), expected);
}

#[test]
fn what_is_not_a_number_stays_so() {
    let graph = unet(Style::BILINEAR_RELU, &[4, 8], 1, 2);
    for instructions in Instructions::available() {
        let parameters = parameters(&graph, 1);
        let mut trained = flat(parameters.trained());
        trained[0] = f32::NAN;
        let len = trained.len();
        parameters.trained().set(&Tensor::from_vec(trained, len, &Device::Cpu).unwrap()).unwrap();
        let images = Tensor::ones((1, 1, 8, 8), DType::F32, &Device::Cpu).unwrap();
        let mut engine = CpuEngine::with_instructions(&graph, Precision::Fp32, instructions);
        for mode in [Mode::Train, Mode::Evaluate] {
            let heads = engine.forward(&images, &parameters, mode).unwrap();
            assert!(flat(&heads[0]).iter().all(|v| v.is_nan()), "a diverged training must show");
        }
    }
}

#[test]
fn strangers_are_refused() {
    let graph = unet(Style::BILINEAR_RELU, &[4, 8], 1, 2);
    let mut engine = CpuEngine::new(&graph, Precision::Fp32);
    let own = parameters(&graph, 1);
    let other = parameters(&unet(Style::BILINEAR_RELU, &[4, 9], 1, 2), 1);
    let images = |shape: (usize, usize, usize, usize), dtype| Tensor::zeros(shape, dtype, &Device::Cpu).unwrap();
    assert!(engine.forward(&images((1, 3, 8, 8), DType::F32), &own, Mode::Train).is_err(), "channels");
    assert!(engine.forward(&images((1, 1, 8, 8), DType::F64), &own, Mode::Train).is_err(), "precision");
    assert!(engine.forward(&images((1, 1, 1, 8), DType::F32), &own, Mode::Train).is_err(), "size");
    assert!(engine.forward(&images((1, 1, 8, 8), DType::F32), &other, Mode::Train).is_err(), "parameters");
    assert!(engine.forward(&images((1, 1, 2, 2), DType::F32), &own, Mode::Train).is_err(), "a single value");
    engine.forward(&images((1, 1, 2, 2), DType::F32), &own, Mode::Evaluate).unwrap();
    engine.forward(&images((1, 1, 8, 8), DType::F32), &own, Mode::Train).unwrap();
}
