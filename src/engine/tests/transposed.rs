//! Random graphs of transposed convolutions.

use rand::Rng;

use super::networks::{Style, head};
use sweep_core::seed::{self, Stream};
use sweep_graph::{Activation, Graph, Node, NodeId, Norm, NormKind, Start};

/// A graph in which transposed convolutions of every kernel from 2 to 5, with and without normalisation and bias, read single
/// maps and concatenations, before and after an activation, and return to sizes that were halved and rounded up or down;
/// and the shape of its images.
pub(crate) fn transposed(seed: u64, activation: Activation) -> (Graph, [usize; 4]) {
    let mut rng = seed::derive(seed, Stream::Weights, 4, 0);
    let mut side = || [4, 5, 6, 7, 9, 16, 17, 23, 31, 40][rng.random_range(0..10)];
    let (height, width) = (side(), side());
    let (images, inputs) = (rng.random_range(1..=3), rng.random_range(1..=2));
    let mut style = || {
        let norm = [None, Some(NormKind::Batch), Some(NormKind::Group { groups: 1 })][rng.random_range(0..3)];
        Style { norm, activation, bias: rng.random_range(0..2) > 0, ..Style::NEAREST_LEAKY }
    };
    let styles = [style(), style(), style(), style()];
    let mut channels = || rng.random_range(1..=40);
    let (few, many, narrow) = (channels(), channels(), channels());
    let mut kernel = || rng.random_range(2..=5);
    let kernels = [kernel(), kernel(), kernel()];
    let mut graph = Graph::new();
    let image = graph.push(Node::Input { channels: inputs });
    let enlarge = |graph: &mut Graph, input, like, name: &str, channels, kernel, style: Style| {
        graph.push(Node::TransposedConvolution {
            input,
            like,
            name: name.to_owned(),
            channels,
            kernel,
            bias: style.bias,
            start: Start::Torch,
            norm: style.norm.map(|kind| Norm::new(format!("{name}.norm"), kind)),
            activation: style.activation,
        })
    };

    let first = styles[0].conv(&mut graph, image, "first", many, 3);
    // Sizes are rounded down by one way of halving them and up by the other.
    let pooled = graph.push(Node::MaxPool { input: first, side: 2 });
    let halved = styles[1].strided(&mut graph, first, "halved", 32, [3, 2]);
    let of_pooled = enlarge(&mut graph, pooled, first, "of_pooled", few, kernels[0], styles[1]);
    let both: Vec<NodeId> = vec![halved, styles[2].conv(&mut graph, halved, "again", narrow, 1)];
    let both = graph.push(Node::Concatenate { inputs: both });
    let of_both = enlarge(&mut graph, both, image, "of_both", narrow, kernels[1], styles[2]);
    let of_image = graph.push(Node::MaxPool { input: image, side: 3 });
    let of_image = enlarge(&mut graph, of_image, image, "of_image", 3, kernels[2], styles[3]);
    let all = graph.push(Node::Concatenate { inputs: vec![of_pooled, image, of_both, of_image] });
    for node in [of_pooled, of_both] {
        graph.push_head(node);
    }
    head(&mut graph, all, "head", 2);
    (graph, [images, inputs, height, width])
}
