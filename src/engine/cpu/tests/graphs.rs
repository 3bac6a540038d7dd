//! Networks to test with, built here so that the engine's tests need no model code.

use rand::Rng;

use crate::graph::{Activation, Graph, Interpolation, Node, NodeId};
use crate::seed::{self, Stream};
use crate::units::Size;

/// How a test network's layers look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) norm: bool,
    pub(super) activation: Activation,
    pub(super) interpolation: Interpolation,
}

impl Style {
    pub(super) const BILINEAR_RELU: Self =
        Self { norm: true, activation: Activation::Relu, interpolation: Interpolation::Bilinear };
    pub(super) const NEAREST_LEAKY: Self =
        Self { norm: false, activation: Activation::LeakyRelu { slope: 0.01 }, interpolation: Interpolation::Nearest };

    pub(super) fn conv(self, graph: &mut Graph, input: NodeId, name: &str, channels: usize, kernel: usize) -> NodeId {
        let norm = self.norm.then(|| format!("{name}.norm"));
        let (name, activation) = (name.to_owned(), self.activation);
        graph.push(Node::Convolution { input, name, channels, kernel, norm, activation })
    }

    fn block(self, graph: &mut Graph, input: NodeId, name: &str, channels: usize) -> NodeId {
        let middle = self.conv(graph, input, &format!("{name}.1"), channels, 3);
        self.conv(graph, middle, &format!("{name}.2"), channels, 3)
    }
}

pub(super) fn head(graph: &mut Graph, input: NodeId, name: &str, channels: usize) {
    let (name, activation) = (name.to_owned(), Activation::Identity);
    let node = graph.push(Node::Convolution { input, name, channels, kernel: 1, norm: None, activation });
    graph.push_head(node);
}

/// UNet++ (Zhou 2018), with a head on every full-size node if `deep`.
pub(super) fn unet_plus_plus(style: Style, filters: &[usize], inputs: usize, outputs: usize, deep: bool) -> Graph {
    let mut graph = Graph::new();
    let image = graph.push(Node::Input { channels: inputs });
    let mut nodes: Vec<Vec<NodeId>> = vec![Vec::new(); filters.len()];
    for diagonal in 0..filters.len() {
        for j in 0..=diagonal {
            let i = diagonal - j;
            let input = if j > 0 {
                let (like, low) = (nodes[i][0], nodes[i + 1][j - 1]);
                let up = graph.push(Node::Upsample { input: low, like, interpolation: style.interpolation });
                let mut inputs = nodes[i].clone();
                inputs.push(up);
                graph.push(Node::Concatenate { inputs })
            } else if i > 0 {
                graph.push(Node::MaxPool { input: nodes[i - 1][0] })
            } else {
                image
            };
            let node = style.block(&mut graph, input, &format!("conv{i}_{j}"), filters[i]);
            nodes[i].push(node);
        }
    }
    let first = if deep { 1 } else { filters.len() - 1 };
    for (j, node) in nodes[0].clone().into_iter().enumerate().skip(first) {
        head(&mut graph, node, &format!("head{j}"), outputs);
    }
    graph
}

/// UNet (Ronneberger 2015) with enlargement instead of transposed convolution.
pub(super) fn unet(style: Style, filters: &[usize], inputs: usize, outputs: usize) -> Graph {
    let mut graph = Graph::new();
    let mut node = graph.push(Node::Input { channels: inputs });
    let mut skips = Vec::new();
    for (i, channels) in filters.iter().enumerate() {
        if i > 0 {
            skips.push(node);
            node = graph.push(Node::MaxPool { input: node });
        }
        node = style.block(&mut graph, node, &format!("down{i}"), *channels);
    }
    for (i, skip) in skips.into_iter().enumerate().rev() {
        let up = graph.push(Node::Upsample { input: node, like: skip, interpolation: style.interpolation });
        let joined = graph.push(Node::Concatenate { inputs: vec![skip, up] });
        node = style.block(&mut graph, joined, &format!("up{i}"), filters[i]);
    }
    head(&mut graph, node, "head", outputs);
    graph
}

/// Everything the planner must get right at once: a map concatenated with itself and with the image, a pooled and an
/// enlarged concatenation, kernels 1, 3 and 5, a layer that leads nowhere, a head that is read again, one that is no
/// convolution, one of another size, and one that occurs twice.
pub(super) fn knot(style: Style) -> Graph {
    let mut graph = Graph::new();
    let image = graph.push(Node::Input { channels: 2 });
    let a = style.conv(&mut graph, image, "a", 7, 3);
    let twice = graph.push(Node::Concatenate { inputs: vec![a, image, a] });
    let b = style.conv(&mut graph, twice, "b", 18, 5);
    let pooled = graph.push(Node::MaxPool { input: twice });
    let c = style.conv(&mut graph, pooled, "c", 5, 1);
    style.conv(&mut graph, c, "nowhere", 3, 3);
    let small = graph.push(Node::Concatenate { inputs: vec![c, pooled] });
    let interpolation = style.interpolation;
    let up = graph.push(Node::Upsample { input: small, like: image, interpolation });
    let pooled_up = graph.push(Node::MaxPool { input: up });
    let all = graph.push(Node::Concatenate { inputs: vec![up, b] });
    let d = style.conv(&mut graph, all, "d", 4, 3);
    let e = style.conv(&mut graph, d, "e", 33, 3);
    graph.push_head(d);
    graph.push_head(pooled_up);
    graph.push_head(c);
    graph.push_head(d);
    graph.push_head(all);
    head(&mut graph, e, "head", 3);
    graph
}

/// A graph of random nodes on random earlier ones, for images of this size and two or more of them.
pub(super) fn scribble(seed: u64, images: Size) -> Graph {
    let mut rng = seed::derive(seed, Stream::Weights, 2, 0);
    let mut graph = Graph::new();
    let mut last = graph.push(Node::Input { channels: rng.random_range(1..=3) });
    for step in 0..14 {
        let sizes = graph.sizes(images).unwrap();
        let mut any = || NodeId(rng.random_range(0..sizes.len()));
        let (input, like) = (any(), any());
        last = match if step == 0 { 0 } else { rng.random_range(0..6) } {
            0..3 => {
                // Slopes are gentle, so that no rounding at zero turns a gradient around, and norms have values enough.
                let slope = [1.0, 0.8, 1.5][rng.random_range(0..3)];
                let style = Style {
                    norm: sizes[input.0].area() >= 8 && rng.random_bool(0.5),
                    activation: Activation::LeakyRelu { slope },
                    interpolation: Interpolation::Nearest,
                };
                let (channels, kernel) = (rng.random_range(1..=40), [1, 3, 3, 5][rng.random_range(0..4)]);
                style.conv(&mut graph, input, &format!("conv{step}"), channels, kernel)
            }
            3 if sizes[input.0].height > 1 && sizes[input.0].width > 1 => graph.push(Node::MaxPool { input }),
            3 | 4 => {
                let interpolation = [Interpolation::Nearest, Interpolation::Bilinear][rng.random_range(0..2)];
                graph.push(Node::Upsample { input, like, interpolation })
            }
            _ => {
                let alike: Vec<NodeId> = (0..sizes.len()).filter(|n| sizes[*n] == sizes[input.0]).map(NodeId).collect();
                let inputs: Vec<NodeId> = (0..3).map(|_| alike[rng.random_range(0..alike.len())]).collect();
                if inputs.iter().map(|i| graph.channels(*i)).sum::<usize>() > 120 {
                    continue;
                }
                graph.push(Node::Concatenate { inputs })
            }
        };
        if rng.random_bool(0.2) {
            graph.push_head(last);
        }
    }
    graph.push_head(last);
    graph
}
