//! Compares whole graphs with central differences: maps read by several nodes, and random networks.

use candle_core::{DType, Device, Tensor, Var};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{central_differences, random, values};
use crate::reference::Reference;
use crate::{Engine, Mode};
use candle_core::Result;
use sweep_core::seed::{self, Stream};
use sweep_graph::params::ParamStore;
use sweep_graph::{Activation, Graph, Interpolation, Node, NodeId, Norm, NormKind, Operation, Start};

/// Number of values of each tensor that are compared with central differences.
const SAMPLES: usize = 24;

fn convolution(
    input: NodeId,
    name: &str,
    channels: usize,
    [kernel, stride]: [usize; 2],
    norm: Option<NormKind>,
    activation: Activation,
) -> Node {
    Node::Convolution {
        input,
        name: format!("{name}.convolution"),
        channels,
        kernel,
        stride,
        dilation: 1,
        depthwise: false,
        // Convolutions with three channels have no bias.
        bias: channels != 3,
        start: Start::Torch,
        norm: norm.map(|kind| Norm::new(format!("{name}.norm"), kind)),
        activation,
    }
}

/// A weighted sum of all heads: its weights are random, so every output value counts.
fn loss(heads: &[Tensor]) -> Result<Tensor> {
    let mut total = Tensor::zeros((), DType::F64, &Device::Cpu)?;
    for (index, head) in heads.iter().enumerate() {
        total = (total + (head * random(100 + index as u64, head.dims()))?.sum_all()?)?;
    }
    Ok(total)
}

/// Compares the gradients to parameters and images with central differences, at indices spread over both.
#[track_caller]
pub(super) fn check(what: &str, graph: &Graph, shape: &[usize; 4]) {
    let parameters = ParamStore::initialise(graph, 7, DType::F64, &Device::Cpu).unwrap();
    // Scales and shifts that are not all one and zero.
    let start = (parameters.trained().as_tensor() + random(8, parameters.trained().dims()) * 0.3).unwrap();
    parameters.trained().set(&start).unwrap();
    let images = Var::from_tensor(&random(9, shape)).unwrap();
    let mut engine = Reference::new(graph);
    let gradients = loss(&engine.forward(&images, &parameters, Mode::Train).unwrap()).unwrap().backward().unwrap();

    let at = |flat: &Tensor, images: &Tensor| -> Result<f64> {
        parameters.trained().set(flat)?;
        let heads =
            Reference::new(graph).forward(images, &parameters, Mode::Train).map_err(candle_core::Error::wrap)?;
        loss(&heads)?.to_scalar::<f64>()
    };
    let flat = start.clone();
    for (name, tensor, gradient) in [
        ("parameters", &flat, gradients.get(parameters.trained()).unwrap()),
        ("images", images.as_tensor(), gradients.get(&images).unwrap()),
    ] {
        let count = tensor.elem_count();
        let indices: Vec<usize> = (0..SAMPLES.min(count)).map(|i| i * count / SAMPLES.min(count)).collect();
        let expected =
            central_differences(
                tensor,
                &indices,
                |moved| {
                    if name == "images" { at(&flat, moved) } else { at(moved, &images) }
                },
            );
        let found = values(gradient);
        for (index, expected) in indices.into_iter().zip(expected) {
            let close = (found[index] - expected).abs() <= 1e-6 * expected.abs().max(1.0);
            assert!(close, "{what}: {name} {index}: {} instead of {expected}", found[index]);
        }
    }
}

#[test]
fn gradients_of_maps_that_many_nodes_read() {
    for interpolation in [Interpolation::Bilinear, Interpolation::Nearest] {
        let mut graph = Graph::new();
        let images = graph.push(Node::Input { channels: 2 });
        let shared = graph.push(convolution(images, "shared", 3, [3, 1], Some(NormKind::Batch), Activation::Relu));
        let pooled = graph.push(Node::MaxPool { input: shared, side: 2 });
        let again = graph.push(Node::MaxPool { input: shared, side: 2 });
        let up = graph.push(Node::Upsample { input: pooled, like: shared, interpolation });
        let up_again = graph.push(Node::Upsample { input: pooled, like: shared, interpolation });
        let deeper = graph.push(Node::MaxPool { input: pooled, side: 2 });
        let from_deeper = graph.push(Node::Upsample { input: deeper, like: shared, interpolation });
        let small = graph.push(Node::Concatenate { inputs: vec![pooled, again, pooled] });
        let (sum, product) = (Operation::Sum, Operation::Product);
        let combine = |inputs, operation, activation| Node::Combine { inputs, operation, activation };
        let leaky = Activation::LeakyRelu { slope: 0.1 };
        let residual = graph.push(combine([shared, up], sum, Activation::Relu));
        let square = graph.push(combine([residual, residual], product, Activation::Identity));
        let mixed_up = graph.push(combine([square, up_again], product, leaky));
        let around = graph.push(Node::MaxPool { input: mixed_up, side: 3 });
        let again_around = graph.push(Node::MaxPool { input: residual, side: 3 });
        let at_half = graph.push(combine([around, again_around], sum, Activation::Identity));
        let wide = graph.push(Node::Concatenate { inputs: vec![shared, up, shared, up_again, from_deeper] });
        let mixed = graph.push(convolution(wide, "mixed", 2, [1, 1], None, Activation::LeakyRelu { slope: 0.01 }));
        let beside = graph.push(convolution(shared, "beside", 2, [3, 1], Some(NormKind::Batch), Activation::Identity));
        let groups = Some(NormKind::Group { groups: 2 });
        let thin = graph.push(convolution(shared, "thin", 4, [3, 2], groups, Activation::Relu));
        for head in [small, mixed, shared, beside, mixed, thin, mixed_up, at_half] {
            graph.push_head(head);
        }
        for shape in [[2, 2, 4, 4], [1, 2, 7, 5], [2, 2, 5, 6]] {
            check(&format!("{shape:?} {interpolation:?}"), &graph, &shape);
        }
    }
}

/// A graph of a few nodes, each reading earlier ones at random; every node without a reader is a head.
fn random_graph(rng: &mut ChaCha8Rng) -> Graph {
    let mut graph = Graph::new();
    let mut levels = vec![0];
    let mut unread = vec![true];
    graph.push(Node::Input { channels: rng.random_range(1..4) });
    for index in 0..rng.random_range(4..12) {
        let input = rng.random_range(0..levels.len());
        let level = levels[input];
        let other = rng.random_range(0..levels.len());
        let (node, level) = match rng.random_range(0..8) {
            0 if level < 3 || level == 10 => (Node::MaxPool { input: NodeId(input), side: 2 }, level + 1),
            6 if level == 0 => (Node::MaxPool { input: NodeId(input), side: 3 }, 10),
            7 => {
                let like = |node: &usize| levels[*node] == level && graph.can_combine(NodeId(input), NodeId(*node));
                let alike: Vec<usize> = (0..levels.len()).filter(like).collect();
                let Some(with) = alike.get(rng.random_range(0..alike.len().max(1))) else { continue };
                unread[*with] = false;
                let operation = if rng.random_bool(0.5) { Operation::Sum } else { Operation::Product };
                let activation = [Activation::Relu, Activation::Identity, Activation::LeakyRelu { slope: 0.1 }]
                    [rng.random_range(0..3)];
                (Node::Combine { inputs: [NodeId(input), NodeId(*with)], operation, activation }, level)
            }
            1 => {
                let interpolation = if rng.random_bool(0.5) { Interpolation::Bilinear } else { Interpolation::Nearest };
                (Node::Upsample { input: NodeId(input), like: NodeId(other), interpolation }, levels[other])
            }
            2 => {
                let same = (0..levels.len()).filter(|node| levels[*node] == level);
                let inputs: Vec<NodeId> = same.filter(|_| rng.random_bool(0.6)).map(NodeId).collect();
                let inputs = [inputs, vec![NodeId(input)]].concat();
                for input in &inputs {
                    unread[input.0] = false;
                }
                (Node::Concatenate { inputs }, level)
            }
            kind => {
                let activation = [Activation::Relu, Activation::Identity, Activation::LeakyRelu { slope: 0.1 }]
                    [rng.random_range(0..3)];
                let kernel = [1, 3, 3, 5][rng.random_range(0..4)];
                let channels = rng.random_range(1..4);
                let norm = match rng.random_range(0..4) {
                    // A group needs more than the one pixel of the smallest maps.
                    0 if level != 3 => Some(NormKind::Group { groups: 1 }),
                    1 if level != 3 => Some(NormKind::Group { groups: channels }),
                    _ => (kind > 3).then_some(NormKind::Batch),
                };
                // Halved by stride instead of pooling, a map is rounded up instead of down, and has a level of its own
                // kind.
                let stride = if level == 0 && rng.random_bool(0.2) { 2 } else { 1 };
                let node =
                    convolution(NodeId(input), &format!("n{index}"), channels, [kernel, stride], norm, activation);
                (node, if stride == 2 { 10 } else { level })
            }
        };
        unread[input] = false;
        graph.push(node);
        levels.push(level);
        unread.push(true);
    }
    // One convolution at the end, so that there is always something to train.
    let last = NodeId(levels.len() - 1);
    let head = graph.push(convolution(last, "last", 2, [1, 1], None, Activation::Identity));
    for node in (0..levels.len() - 1).filter(|node| unread[*node]) {
        graph.push_head(NodeId(node));
    }
    graph.push_head(head);
    graph
}

#[test]
fn gradients_of_random_graphs() {
    for index in 0..40 {
        let mut rng = seed::derive(3, Stream::Phantom, 0, index);
        let graph = random_graph(&mut rng);
        let Node::Input { channels } = graph.nodes()[0] else { panic!("the first node is the input") };
        let shape = [rng.random_range(2..4), channels, rng.random_range(8..14), rng.random_range(8..14)];
        check(&format!("graph {index} {shape:?} {graph:?}"), &graph, &shape);
    }
}
