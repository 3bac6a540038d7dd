//! Random graphs of gates, smooth activations, layer normalisation and global pooling.

use rand::Rng;

use super::networks::{Style, head};
use sweep_core::seed::{self, Stream};
use sweep_graph::{Activation, Gating, Graph, Interpolation, Node, NodeId, NormKind, Operation, SmoothActivation};

/// A graph in which gates of pixels and of channels, smooth activations, layer normalisation and global pooling read single maps and concatenations,
/// maps with and without normalisation, trained and untrained ones, and each other; and the shape of its images.
/// Channels and sizes are random. Without kinks.
pub(crate) fn gated(seed: u64) -> (Graph, [usize; 4]) {
    let mut rng = seed::derive(seed, Stream::Weights, 3, 0);
    let mut side = || [3, 5, 8, 9, 16, 17, 21, 24, 33][rng.random_range(0..9)];
    let (height, width) = (side(), side());
    let (images, inputs, channels) = (rng.random_range(1..=3), rng.random_range(1..=2), rng.random_range(1..=40));
    let smooth = Style { activation: Activation::LeakyRelu { slope: 0.8 }, ..Style::NEAREST_LEAKY };
    let batch = Style { norm: Some(NormKind::Batch), ..smooth };
    let mut graph = Graph::new();
    let image = graph.push(Node::Input { channels: inputs });
    let features = batch.conv(&mut graph, image, "features", channels, 3);
    let wide = graph.push(Node::Concatenate { inputs: vec![features, image, features] });
    let sigmoid = SmoothActivation::Sigmoid;
    let gate = |graph: &mut Graph, map, gate, gating| graph.push(Node::Gate { inputs: [map, gate], gating });

    // Squeeze and excitation, by a sigmoid and without one.
    let squeezed = graph.push(Node::GlobalAveragePool { input: wide });
    let reduced = smooth.conv(&mut graph, squeezed, "reduced", rng.random_range(1..=5), 1);
    let excited = smooth.conv(&mut graph, reduced, "excited", channels, 1);
    let weights = graph.push(Node::Smooth { input: excited, activation: sigmoid });
    let attended = gate(&mut graph, features, weights, Gating::Channel);
    let linear = gate(&mut graph, attended, excited, Gating::Channel);
    let of_all = gate(&mut graph, wide, squeezed, Gating::Channel);
    let square = gate(&mut graph, squeezed, squeezed, Gating::Channel);

    // Attention in space, by a sigmoid, without one, and by a map that is not trained.
    let psi = batch.conv(&mut graph, wide, "psi", 1, 3);
    let where_to = graph.push(Node::Smooth { input: psi, activation: sigmoid });
    let local = gate(&mut graph, of_all, where_to, Gating::Pixel);
    let bent = gate(&mut graph, wide, psi, Gating::Pixel);
    let own = gate(&mut graph, psi, psi, Gating::Pixel);
    let of_image = gate(&mut graph, image, where_to, Gating::Pixel);
    let plain = smooth.conv(&mut graph, local, "plain", 1, 1);
    let by_plain = gate(&mut graph, features, plain, Gating::Pixel);
    let by_image = if inputs == 1 { gate(&mut graph, by_plain, image, Gating::Pixel) } else { by_plain };

    let soft = graph.push(Node::Smooth { input: wide, activation: sigmoid });
    let swish = graph.push(Node::Smooth { input: wide, activation: SmoothActivation::Silu });
    let of_psi = graph.push(Node::Smooth { input: psi, activation: SmoothActivation::Silu });
    let of_swish = graph.push(Node::Smooth { input: swish, activation: SmoothActivation::Silu });
    let mean = graph.push(Node::GlobalAveragePool { input: bent });
    let up = graph.push(Node::Upsample { input: mean, like: image, interpolation: Interpolation::Bilinear });
    let [bell, bell_of_psi] = [wide, psi].map(|input| {
        let activation = SmoothActivation::Gelu;
        graph.push(Node::Smooth { input, activation })
    });
    // Neighbouring values may be close, and a division by their distance would enlarge the rounding.
    let mut normal = |of, name| graph.push_layer_norm(of, name, 0.05);
    let normals = [normal(features, "of_features"), normal(attended, "of_attended"), normal(psi, "of_psi")];
    let (inputs, activation) = ([linear, by_image], smooth.activation);
    let sum = graph.push(Node::Combine { inputs, operation: Operation::Sum, activation });
    let mut all: Vec<NodeId> = vec![sum, soft, up, own, of_image, of_swish, of_psi, bell, bell_of_psi];
    all.extend(normals);
    let all = graph.push(Node::Concatenate { inputs: all });
    for node in [square, soft, bent, where_to] {
        graph.push_head(node);
    }
    head(&mut graph, all, "head", 2);
    let channels = graph.channels(image);
    (graph, [images, channels, height, width])
}
