//! Compares the engine with the reference engine in double precision, on every instruction set.

mod gates;
mod tiles;
mod transposed;

use candle_core::{DType, Device, Tensor};

use super::*;
use crate::plan::memory;
use crate::tests::comparison::{KINKS, SMOOTH, errors, expected, flat, loss_weights, noise, parameters, run};
use crate::tests::networks::{Style, every_kernel, head, knot, scribble, separable, unet, unet_plus_plus};
use sweep_graph::{Activation, Node, NormKind, Operation};

/// Compares with the reference engine on every instruction set, in both modes, for several shapes in sequence on one
/// engine.
fn check(graph: &Graph, shapes: &[[usize; 4]], bounds: [f64; 3]) {
    let parameters = || parameters(graph, 3);
    let mut engines: Vec<CpuEngine> = Instructions::tested()
        .into_iter()
        .map(|set| CpuEngine::with_instructions(graph, Choices::new(Precision::Fp32), set))
        .collect();
    for shape in shapes {
        for mode in [Mode::Train, Mode::Evaluate] {
            let expected = expected(graph, &parameters(), *shape, mode);
            for engine in &mut engines {
                let found = run(engine, &parameters(), *shape, mode);
                let (errors, statistics) = errors(&parameters(), &found, &expected);
                let what = format!("{} {shape:?} {mode:?}", engine.instructions());
                println!("{what}: values, gradient, each {errors:?}, statistics {statistics:.1e}");
                let within = errors.iter().zip(bounds).all(|(error, bound)| *error < bound);
                assert!(within, "{what}: values, gradient, each off by {errors:?}");
                assert!(statistics < 1e-6, "{what}: statistics off by {statistics}");
            }
        }
    }
}

/// Checks that one, two and three threads give the same bits, on every instruction set.
fn check_threads(graph: &Graph, shape: [usize; 4]) {
    for instructions in Instructions::tested() {
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut engine = CpuEngine::with_instructions(graph, Choices::new(Precision::Fp32), instructions);
            pool.install(|| run(&mut engine, &parameters(graph, 1), shape, Mode::Train))
        };
        let one = on(1);
        assert!(one.heads.iter().flatten().chain(&one.gradient).all(|v| v.is_finite()));
        for threads in [2, 3] {
            assert!(on(threads) == one, "{} threads differ on {}, {shape:?}", threads, instructions.name());
        }
    }
}

#[test]
fn unet_plus_plus_agrees_with_the_reference() {
    let graph = unet_plus_plus(Style::BILINEAR_RELU, &[16, 32, 48], 1, 10, false);
    check(&graph, &[[2, 1, 36, 28], [1, 1, 36, 28], [3, 1, 17, 23]], KINKS);
}

#[test]
fn deep_supervision_and_ragged_channels_agree_with_the_reference() {
    let graph = unet_plus_plus(Style::NEAREST_LEAKY, &[5, 19, 33], 3, 4, true);
    check(&graph, &[[2, 3, 25, 18], [1, 3, 8, 8], [1, 3, 4, 5]], KINKS);
}

#[test]
fn unet_agrees_with_the_reference() {
    let graph = unet(Style::NEAREST_LEAKY, &[16, 32, 40], 1, 6);
    check(&graph, &[[1, 1, 33, 37], [2, 1, 4, 4]], KINKS);
}

#[test]
fn a_knotted_graph_agrees_with_the_reference() {
    for style in [Style::BILINEAR_RELU, Style::NEAREST_LEAKY, Style::GROUPED] {
        check(&knot(style), &[[2, 2, 19, 22], [1, 2, 5, 3], [3, 2, 2, 2]], KINKS);
    }
}

/// Test for scripts/miri.sh, where a pass takes minutes: it only has to finish.
#[test]
fn every_kernel_agrees_with_the_reference() {
    let graph = every_kernel();
    if cfg!(miri) {
        run(&mut CpuEngine::new(&graph, Precision::Fp32), &parameters(&graph, 3), [1, 1, 15, 14], Mode::Train);
    } else {
        check(&graph, &[[2, 1, 15, 14]], SMOOTH);
    }
}

#[test]
fn depthwise_and_dilated_convolutions_agree_with_the_reference() {
    let graph = separable();
    for shape in [[2, 3, 15, 14], [1, 3, 37, 40], [3, 3, 2, 9]] {
        check(&graph, &[shape], SMOOTH);
        check_threads(&graph, shape);
        check_memory(&graph, shape);
    }
}

#[test]
fn values_above_a_ceiling_and_other_epsilons_agree_with_the_reference() {
    let style = Style { norm: Some(NormKind::Batch), activation: Activation::Relu6, ..Style::BILINEAR_RELU };
    let mut graph = Graph::new();
    let image = graph.push(Node::Input { channels: 1 });
    let mut map = image;
    for (name, channels) in [("a", 20), ("b", 9), ("c", 5)] {
        let mut node = Node::convolution(map, name, channels).normalised(&format!("{name}.norm"), NormKind::Batch);
        if let Node::Convolution { norm: Some(norm), activation, .. } = &mut node {
            (norm.epsilon, *activation) = (0.3, Activation::Relu6);
        }
        map = graph.push(node);
    }
    let sum = Node::Combine { inputs: [map, map], operation: Operation::Sum, activation: Activation::Relu6 };
    map = graph.push(sum);
    head(&mut graph, map, "head", 2);
    check(&graph, &[[2, 1, 23, 18]], KINKS);
    let far = |graph: &Graph| {
        let parameters = parameters(graph, 3);
        // Scales so large that many values lie above 6.
        let large = (parameters.trained().as_tensor() * 8.0).unwrap();
        parameters.trained().set(&large).unwrap();
        parameters
    };
    let (parameters, shape) = (far(&graph), [2, 1, 23, 18]);
    let found = run(&mut CpuEngine::new(&graph, Precision::Fp32), &parameters, shape, Mode::Train);
    let (errors, _) = errors(&parameters, &found, &expected(&graph, &far(&graph), shape, Mode::Train));
    assert!(errors.iter().zip(KINKS).all(|(error, bound)| *error < bound), "{errors:?}");
    check(&unet_plus_plus(style, &[8, 9, 10], 1, 2, true), &[[2, 1, 21, 18]], KINKS);
}

/// Number of random graphs in a test.
const SEEDS: u64 = 100;

#[test]
fn random_graphs_agree_with_the_reference() {
    for seed in 0..SEEDS {
        let kinks = seed % 2 == 1;
        let (graph, shape) = scribble(seed, kinks);
        println!("graph {seed}: {graph:?}");
        check(&graph, &[shape], if kinks { KINKS } else { SMOOTH });
        check_threads(&graph, shape);
    }
}

/// Runs with every value in its own memory between guards, and with a mark in all memory before. The results must be
/// the same bits, so that nothing is read before it is written; and the guards must keep the mark, so that nothing is
/// written outside.
fn check_memory(graph: &Graph, shape: [usize; 4]) {
    let [images, _, height, width] = shape;
    let mark = f32::from_bits(0x7fc0_1234);
    let single = Instructions::tested().into_iter().map(|set| (set, Choices::new(Precision::Fp32)));
    let best = Instructions::choose(None).unwrap();
    for (instructions, choices) in single.chain(tiles::ways().into_iter().map(|(_, choices)| (best, choices))) {
        for mode in [Mode::Train, Mode::Evaluate] {
            let mut engine = CpuEngine::with_instructions(graph, choices, instructions);
            let expected = run(&mut engine, &parameters(graph, 3), shape, mode);
            let extent = Extent { images, size: Size { height, width } };
            let plan = Plan::with_layout(graph, &engine.network, extent, mode, &choices, memory::apart).unwrap();
            let plan = Arc::new(plan);
            engine.plans.insert((images, height, width, mode == Mode::Train), Arc::clone(&plan));
            let mut state = lock(&engine.state);
            state.arena.reserve(plan.arena);
            state.arena.fill(mark);
            drop(state);
            let what = format!("{} {choices:?} {shape:?} {mode:?}", instructions.name());
            assert!(run(&mut engine, &parameters(graph, 3), shape, mode) == expected, "{what}: another result");
            let mut guards = lock(&engine.state).arena.numbers();
            guards.truncate(plan.arena);
            for value in &plan.values {
                guards[value.offset..value.offset + value.len].fill(mark);
            }
            let written = guards.iter().position(|v| v.to_bits() != mark.to_bits());
            assert!(written.is_none(), "{what}: index {written:?} of {:?}", plan.values);
        }
    }
}

#[test]
fn kernels_read_and_write_only_what_is_theirs() {
    for seed in 0..SEEDS {
        let (graph, shape) = scribble(seed, false);
        println!("graph {seed}: {graph:?}");
        check_memory(&graph, shape);
    }
    let graph = knot(Style::BILINEAR_RELU);
    check_memory(&graph, [3, 2, 19, 22]);
}

#[test]
fn filters_too_large_for_the_cache_agree_with_the_reference() {
    // With a kink at zero, rounding would decide the direction of a gradient; without one, the bound can be tight.
    let style = Style { activation: Activation::Identity, ..Style::BILINEAR_RELU };
    let mut graph = Graph::new();
    let mut node = graph.push(Node::Input { channels: 2 });
    for (name, channels) in [("a", 96), ("b", 91), ("c", 3)] {
        node = style.conv(&mut graph, node, name, channels, 3);
    }
    graph.push_head(node);
    // Shapes with one and with two chunks of tiles.
    let shapes = [[1, 2, 15, 14], [2, 2, 41, 43]];
    check(&graph, &shapes, SMOOTH);
    for shape in shapes {
        check_memory(&graph, shape);
        check_threads(&graph, shape);
    }
}

#[test]
fn a_training_needs_little_memory() {
    // A UNet++ with filters 16–256 on 200 × 160 pixels has 33 MiB of convolution results per image; all gradients, all
    // pooled and enlarged maps and all workspaces together must not double that.
    let graph = unet_plus_plus(Style::BILINEAR_RELU, &[16, 32, 64, 128, 256], 1, 10, false);
    let network = Network::new(&graph);
    let arena = |images, mode, choices: &Choices| {
        let extent = Extent { images, size: Size { height: 200, width: 160 } };
        (4 * Plan::new(&graph, &network, extent, mode, choices).unwrap().arena) >> 20
    };
    let passes = [(1, Mode::Train), (4, Mode::Train), (1, Mode::Evaluate), (4, Mode::Evaluate)];
    let found = passes.map(|(images, mode)| arena(images, mode, &Choices::new(Precision::Fp32)));
    println!("MiB of a training with 1 and 4 images, an evaluation with 1 and 4: {found:?}");
    assert!(found[0] < 50 && found[1] < 180, "a training takes {found:?}");
    assert!(found[2] < 24 && found[3] < 80, "an evaluation takes {found:?}");
    // In bf16 the results of convolutions are saved at half the memory.
    for choices in Choices::tested(Precision::Bf16) {
        let narrow = arena(4, Mode::Train, &choices);
        println!("MiB of a training with 4 images in bf16, {choices:?}: {narrow}");
        assert!(4 * narrow < 3 * found[1], "{choices:?} takes {narrow} MiB");
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for style in [Style::BILINEAR_RELU, Style::GROUPED] {
        check_threads(&unet_plus_plus(style, &[16, 64, 80], 1, 10, false), [2, 1, 60, 44]);
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

/// The gradient by candle's autograd, with the loss of `run`.
fn by_candle(engine: &mut CpuEngine, parameters: &ParamStore, shape: [usize; 4]) -> Vec<f64> {
    let heads = engine.forward(&noise(parameters, 7, &shape), parameters, Mode::Train).unwrap();
    let mut loss = Tensor::zeros((), parameters.trained().dtype(), &Device::Cpu).unwrap();
    for (head, weights) in heads.iter().zip(loss_weights(parameters, &heads)) {
        loss = (loss + (head * weights).unwrap().sum_all().unwrap()).unwrap();
    }
    flat(loss.backward().unwrap().get(parameters.trained()).unwrap())
}

#[test]
fn both_ways_to_a_gradient_give_the_same_bits() {
    let bits = |values: Vec<f64>| values.into_iter().map(f64::to_bits).collect::<Vec<_>>();
    let graphs = [
        (unet_plus_plus(Style::BILINEAR_RELU, &[4, 8, 20], 1, 3, true), 1),
        (unet(Style { norm: None, ..Style::BILINEAR_RELU }, &[4, 8], 1, 2), 1),
        (knot(Style::BILINEAR_RELU), 2),
    ];
    for (graph, channels) in graphs {
        let mut engine = CpuEngine::new(&graph, Precision::Fp32);
        // Large and small in turn: the remains of one call must not show in the next.
        for (seed, size) in [(1, 24), (2, 12), (1, 24)] {
            let (shape, parameters) = ([2, channels, size, size], parameters(&graph, seed));
            let by_engine = run(&mut engine, &parameters, shape, Mode::Train).gradient;
            assert!(by_engine.iter().any(|g| *g != 0.0));
            assert_eq!(bits(by_candle(&mut engine, &parameters, shape)), bits(by_engine));
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
    // One pixel's convolution is exactly zero: ReLU's gradient there is 0, that of leaky ReLU its slope.
    for (activation, expected) in [(Activation::Relu, 0.0), (Activation::LeakyRelu { slope: 0.25 }, 0.25)] {
        let style = Style { norm: None, activation, ..Style::NEAREST_LEAKY };
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
    // All pixels are equal: the gradient of a pooled map goes to the first pixel of every block, told apart by a 3×3
    // kernel.
    let style = Style { norm: None, activation: Activation::Identity, ..Style::NEAREST_LEAKY };
    let mut graph = Graph::new();
    let image = graph.push(Node::Input { channels: 1 });
    let node = style.conv(&mut graph, image, "a", 1, 3);
    let pooled = graph.push(Node::MaxPool { input: node, side: 2 });
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
    for instructions in Instructions::tested() {
        let parameters = parameters(&graph, 1);
        let mut trained: Vec<f32> = parameters.trained().to_vec1().unwrap();
        trained[0] = f32::NAN;
        let len = trained.len();
        parameters.trained().set(&Tensor::from_vec(trained, len, &Device::Cpu).unwrap()).unwrap();
        let images = Tensor::ones((1, 1, 8, 8), DType::F32, &Device::Cpu).unwrap();
        let mut engine = CpuEngine::with_instructions(&graph, Choices::new(Precision::Fp32), instructions);
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
