//! Networks to test with, defined here so that the engine's tests need no model code.

use rand::Rng;

use sweep_core::seed::{self, Stream};
use sweep_core::units::Size;
use sweep_graph::{Activation, Graph, Interpolation, Node, NodeId, Norm, NormKind, Operation, Start};

/// Style of a test network's layers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    pub(crate) norm: Option<NormKind>,
    pub(crate) activation: Activation,
    pub(crate) interpolation: Interpolation,
    pub(crate) bias: bool,
}

impl Style {
    pub(crate) const BILINEAR_RELU: Self = Self {
        norm: Some(NormKind::Batch),
        activation: Activation::Relu,
        interpolation: Interpolation::Bilinear,
        bias: true,
    };
    pub(crate) const NEAREST_LEAKY: Self = Self {
        norm: None,
        activation: Activation::LeakyRelu { slope: 0.01 },
        interpolation: Interpolation::Nearest,
        bias: true,
    };
    /// One group, which works for every number of channels.
    pub(crate) const GROUPED: Self = Self { norm: Some(NormKind::Group { groups: 1 }), ..Self::NEAREST_LEAKY };

    pub(crate) fn conv(self, graph: &mut Graph, input: NodeId, name: &str, channels: usize, kernel: usize) -> NodeId {
        self.strided(graph, input, name, channels, [kernel, 1])
    }

    pub(crate) fn strided(
        self,
        graph: &mut Graph,
        input: NodeId,
        name: &str,
        channels: usize,
        [kernel, stride]: [usize; 2],
    ) -> NodeId {
        self.windowed(graph, input, name, channels, [kernel, stride, 1], false)
    }

    pub(crate) fn windowed(
        self,
        graph: &mut Graph,
        input: NodeId,
        name: &str,
        channels: usize,
        [kernel, stride, dilation]: [usize; 3],
        depthwise: bool,
    ) -> NodeId {
        graph.push(Node::Convolution {
            input,
            name: name.to_owned(),
            channels,
            kernel,
            stride,
            dilation,
            depthwise,
            bias: self.bias,
            start: Start::Torch,
            norm: self.norm.map(|kind| Norm::new(format!("{name}.norm"), kind)),
            activation: self.activation,
        })
    }

    fn block(self, graph: &mut Graph, input: NodeId, name: &str, channels: usize) -> NodeId {
        let middle = self.conv(graph, input, &format!("{name}.1"), channels, 3);
        self.conv(graph, middle, &format!("{name}.2"), channels, 3)
    }
}

pub(crate) fn head(graph: &mut Graph, input: NodeId, name: &str, channels: usize) {
    let activation = Activation::Identity;
    let style = Style { norm: None, activation, ..Style::NEAREST_LEAKY };
    let node = style.conv(graph, input, name, channels, 1);
    graph.push_head(node);
}

/// UNet++ (Zhou 2018), with a head on every full-size node if `deep`.
pub(crate) fn unet_plus_plus(style: Style, filters: &[usize], inputs: usize, outputs: usize, deep: bool) -> Graph {
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
                graph.push(Node::MaxPool { input: nodes[i - 1][0], side: 2 })
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
pub(crate) fn unet(style: Style, filters: &[usize], inputs: usize, outputs: usize) -> Graph {
    let mut graph = Graph::new();
    let mut node = graph.push(Node::Input { channels: inputs });
    let mut skips = Vec::new();
    for (i, channels) in filters.iter().enumerate() {
        if i > 0 {
            skips.push(node);
            node = graph.push(Node::MaxPool { input: node, side: 2 });
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

/// Everything that the planner must handle, at once: a map concatenated with itself and with the image, a pooled and an
/// enlarged concatenation, kernels 1, 3, 5 and 7, strides, sums and products (also of a map with itself and with an
/// untrained one), overlapping windows, a layer without readers, a head that is read again, one that is not a
/// convolution, some of other sizes, and one that occurs twice.
pub(crate) fn knot(style: Style) -> Graph {
    let mut graph = Graph::new();
    let image = graph.push(Node::Input { channels: 2 });
    let a = style.conv(&mut graph, image, "a", 7, 3);
    let twice = graph.push(Node::Concatenate { inputs: vec![a, image, a] });
    let b = style.conv(&mut graph, twice, "b", 18, 5);
    let pooled = graph.push(Node::MaxPool { input: twice, side: 2 });
    let c = style.conv(&mut graph, pooled, "c", 5, 1);
    style.conv(&mut graph, c, "nowhere", 3, 3);
    let small = graph.push(Node::Concatenate { inputs: vec![c, pooled] });
    let interpolation = style.interpolation;
    let up = graph.push(Node::Upsample { input: small, like: image, interpolation });
    let pooled_up = graph.push(Node::MaxPool { input: up, side: 2 });
    let all = graph.push(Node::Concatenate { inputs: vec![up, b] });
    let d = style.conv(&mut graph, all, "d", 4, 3);
    let e = style.conv(&mut graph, d, "e", 33, 3);
    let thin = style.strided(&mut graph, twice, "thin", 18, [3, 2]);
    let point = style.strided(&mut graph, twice, "point", 5, [1, 2]);
    let thins = graph.push(Node::Concatenate { inputs: vec![thin, point] });
    let thinner = style.strided(&mut graph, thins, "thinner", 20, [5, 2]);
    let bare = Style { bias: false, ..style };
    let stem = bare.strided(&mut graph, image, "stem", 18, [7, 2]);
    let around = graph.push(Node::MaxPool { input: stem, side: 3 });
    let short = bare.strided(&mut graph, b, "short", 18, [1, 2]);
    let shorter = graph.push(Node::MaxPool { input: short, side: 3 });
    let combine =
        |graph: &mut Graph, inputs, operation, activation| graph.push(Node::Combine { inputs, operation, activation });
    let residual = combine(&mut graph, [around, shorter], Operation::Sum, style.activation);
    let square = combine(&mut graph, [residual, residual], Operation::Product, Activation::Identity);
    let rest = bare.conv(&mut graph, residual, "rest", 18, 3);
    let product = combine(&mut graph, [rest, square], Operation::Product, style.activation);
    let again = combine(&mut graph, [product, residual], Operation::Sum, Activation::Identity);
    let narrow = style.conv(&mut graph, b, "narrow", 2, 1);
    let gated = combine(&mut graph, [image, narrow], Operation::Product, Activation::Identity);
    let pooled_pair = graph.push(Node::MaxPool { input: thins, side: 3 });
    let pair = combine(&mut graph, [pooled_pair, pooled_pair], Operation::Sum, style.activation);
    for head in [again, gated, pair] {
        graph.push_head(head);
    }
    graph.push_head(thinner);
    graph.push_head(d);
    graph.push_head(pooled_up);
    graph.push_head(c);
    graph.push_head(d);
    graph.push_head(all);
    head(&mut graph, e, "head", 3);
    graph
}

/// A small network that calls every kernel, for checks that take a thousand times as long: direct and Winograd
/// convolutions in both directions, strides, both normalisations and interpolations, both kinds of pooling and of
/// combination, a map whose gradient is accumulated. Without kinks.
pub(crate) fn every_kernel() -> Graph {
    let smooth = Style { activation: Activation::LeakyRelu { slope: 0.8 }, ..Style::NEAREST_LEAKY };
    let batch = Style { norm: Some(NormKind::Batch), ..smooth };
    let groups = Style { norm: Some(NormKind::Group { groups: 3 }), ..smooth };
    let mut graph = Graph::new();
    let image = graph.push(Node::Input { channels: 1 });
    let a = groups.conv(&mut graph, image, "direct", 9, 3);
    let b = batch.conv(&mut graph, a, "winograd", 9, 3);
    let pooled = graph.push(Node::MaxPool { input: b, side: 2 });
    let halved = groups.strided(&mut graph, b, "stride", 3, [3, 2]);
    let like = graph.push(Node::Upsample { input: pooled, like: halved, interpolation: Interpolation::Nearest });
    let both = graph.push(Node::Concatenate { inputs: vec![halved, like] });
    let c = smooth.conv(&mut graph, both, "small", 17, 1);
    let up = graph.push(Node::Upsample { input: c, like: image, interpolation: Interpolation::Bilinear });
    let (inputs, activation) = ([b, a], smooth.activation);
    let sum = graph.push(Node::Combine { inputs, operation: Operation::Sum, activation });
    let product = graph.push(Node::Combine { inputs: [sum, b], operation: Operation::Product, activation });
    let around = graph.push(Node::MaxPool { input: product, side: 3 });
    let bare = Style { bias: false, ..groups };
    let around = bare.strided(&mut graph, around, "bare", 3, [7, 2]);
    let around = graph.push(Node::Upsample { input: around, like: image, interpolation: Interpolation::Nearest });
    let all = graph.push(Node::Concatenate { inputs: vec![b, up, around] });
    head(&mut graph, all, "head", 2);
    graph
}

/// Depthwise and dilated convolutions of every stride, with and without statistics and bias, of single maps and of
/// several: concatenations in which a map occurs twice or is not trained. Without kinks.
pub(crate) fn separable() -> Graph {
    let smooth = Style { activation: Activation::LeakyRelu { slope: 0.8 }, ..Style::NEAREST_LEAKY };
    let batch = Style { norm: Some(NormKind::Batch), ..smooth };
    let bare = Style { norm: Some(NormKind::Group { groups: 3 }), bias: false, ..smooth };
    let mut graph = Graph::new();
    let image = graph.push(Node::Input { channels: 3 });
    let own = batch.windowed(&mut graph, image, "own", 3, [3, 1, 1], true);
    let wide = smooth.windowed(&mut graph, own, "wide", 21, [3, 1, 2], false);
    let halved = batch.windowed(&mut graph, wide, "halved", 21, [5, 2, 1], true);
    let apart = bare.windowed(&mut graph, halved, "apart", 21, [3, 1, 3], true);
    let both =
        graph.push(Node::Combine { inputs: [apart, halved], operation: Operation::Sum, activation: smooth.activation });
    let narrow = bare.windowed(&mut graph, both, "narrow", 18, [3, 2, 2], false);
    let far = smooth.windowed(&mut graph, narrow, "far", 18, [7, 2, 2], true);
    let up = graph.push(Node::Upsample { input: far, like: image, interpolation: Interpolation::Bilinear });
    let again = smooth.windowed(&mut graph, up, "again", 18, [9, 1, 1], true);
    let blocks = batch.windowed(&mut graph, image, "blocks", 32, [3, 1, 1], false);
    let parts = graph.push(Node::Concatenate { inputs: vec![blocks, blocks, again] });
    let joined = batch.windowed(&mut graph, parts, "joined", 82, [3, 1, 1], true);
    let halved = graph.push(Node::Concatenate { inputs: vec![blocks, image] });
    let halved = smooth.windowed(&mut graph, halved, "untrained", 35, [3, 2, 1], true);
    let halved = graph.push(Node::Upsample { input: halved, like: image, interpolation: Interpolation::Nearest });
    let all = graph.push(Node::Concatenate { inputs: vec![wide, again, joined, halved] });
    head(&mut graph, all, "head", 2);
    graph
}

/// Inverted residual blocks as those of EfficientNet-Lite, one for each number of expanded channels: kernels of side 3 and 5
/// in turn, the first with a stride, the others with a shortcut; with `ReLU6`.
pub(crate) fn inverted_residuals(expanded: &[usize], outputs: usize) -> Graph {
    let batch =
        Style { norm: Some(NormKind::Batch), activation: Activation::Relu6, bias: false, ..Style::BILINEAR_RELU };
    let linear = Style { activation: Activation::Identity, ..batch };
    let mut graph = Graph::new();
    let image = graph.push(Node::Input { channels: 1 });
    let mut map = batch.strided(&mut graph, image, "stem", 16, [3, 2]);
    for (index, channels) in expanded.iter().enumerate() {
        let (kernel, stride) = (3 + index % 2 * 2, if index == 0 { 2 } else { 1 });
        let wide = batch.conv(&mut graph, map, &format!("{index}.expand"), *channels, 1);
        let name = format!("{index}.depthwise");
        let filtered = batch.windowed(&mut graph, wide, &name, *channels, [kernel, stride, 1], true);
        let narrow = linear.conv(&mut graph, filtered, &format!("{index}.project"), 16, 1);
        let (inputs, activation) = ([narrow, map], Activation::Identity);
        let has_shortcut = stride == 1;
        map = if has_shortcut {
            graph.push(Node::Combine { inputs, operation: Operation::Sum, activation })
        } else {
            narrow
        };
    }
    let up = graph.push(Node::Upsample { input: map, like: image, interpolation: Interpolation::Bilinear });
    head(&mut graph, up, "head", outputs);
    graph
}

fn any_activation(rng: &mut impl Rng, kinks: bool) -> Activation {
    let slopes = if kinks { [0.0, 0.01, 1.0] } else { [1.0, 0.8, 1.5] };
    match slopes[rng.random_range(0..3)] {
        0.0 => Activation::Relu,
        1.0 => Activation::Identity,
        slope => Activation::LeakyRelu { slope },
    }
}

/// A graph of random nodes on random earlier ones, and the shape of its images.
///
/// With `kinks` every activation occurs; without, slopes are so gentle that rounding at zero does not reverse a
/// gradient, and bounds can be tight.
pub(crate) fn scribble(seed: u64, kinks: bool) -> (Graph, [usize; 4]) {
    let mut rng = seed::derive(seed, Stream::Weights, 2, 0);
    let mut side = || [1, 2, 3, 5, 8, 9, 12, 15, 16, 17, 21, 24][rng.random_range(0..12)];
    let images = Size { height: side(), width: side() };
    let (count, channels) = (rng.random_range(1..=4), rng.random_range(1..=3));
    let mut graph = Graph::new();
    let mut last = graph.push(Node::Input { channels });
    for step in 0..14 {
        let sizes = graph.sizes(images).unwrap();
        let mut any = || NodeId(rng.random_range(0..sizes.len()));
        let (input, like) = (any(), any());
        last = match if step == 0 { 0 } else { rng.random_range(0..10) } {
            0..4 => {
                let (channels, kernel) = (rng.random_range(1..=40), [1, 3, 3, 5, 7][rng.random_range(0..5)]);
                let stride = if rng.random_bool(0.25) { 2 } else { 1 };
                let kind = match rng.random_range(0..4) {
                    0 => Some(NormKind::Batch),
                    1 => {
                        let divisors: Vec<usize> = (1..=channels).filter(|groups| channels % groups == 0).collect();
                        Some(NormKind::Group { groups: divisors[rng.random_range(0..divisors.len())] })
                    }
                    _ => None,
                };
                // With few values the variance may be almost zero, and its inverse amplifies rounding errors.
                let area = sizes[input.0].height.div_ceil(stride) * sizes[input.0].width.div_ceil(stride);
                let values = |kind| Norm::new(String::new(), kind).values(count, channels, area);
                let style = Style {
                    norm: kind.filter(|kind| values(*kind) >= 8),
                    activation: any_activation(&mut rng, kinks),
                    interpolation: Interpolation::Nearest,
                    bias: rng.random_bool(0.7),
                };
                style.strided(&mut graph, input, &format!("conv{step}"), channels, [kernel, stride])
            }
            4 if sizes[input.0].height > 1 && sizes[input.0].width > 1 => graph.push(Node::MaxPool { input, side: 2 }),
            4 | 5 => {
                let interpolation = [Interpolation::Nearest, Interpolation::Bilinear][rng.random_range(0..2)];
                graph.push(Node::Upsample { input, like, interpolation })
            }
            6 => graph.push(Node::MaxPool { input, side: 3 }),
            7 | 8 => {
                let alike = |n: &NodeId| sizes[n.0] == sizes[input.0] && graph.can_combine(input, *n);
                let alike: Vec<NodeId> = (0..sizes.len()).map(NodeId).filter(alike).collect();
                if alike.is_empty() {
                    continue;
                }
                let with = alike[rng.random_range(0..alike.len())];
                // A product of products would exceed the range of single precision.
                let is_product = |n: NodeId| matches!(graph.node(n), Node::Combine { .. });
                let operation = if rng.random_bool(0.5) && !is_product(input) && !is_product(with) {
                    Operation::Product
                } else {
                    Operation::Sum
                };
                let activation = any_activation(&mut rng, kinks);
                graph.push(Node::Combine { inputs: [input, with], operation, activation })
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
    (graph, [count, channels, images.height, images.width])
}
