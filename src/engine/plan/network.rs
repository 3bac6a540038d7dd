//! Parts of a plan that do not depend on the input's shape: layers, positions of their parameters, blocks of maps.

use super::LANES;
use sweep_graph::{Activation, Graph, Node, NodeId, NormKind, ParameterSpec};

/// A convolution with its normalisation and activation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layer {
    /// Input channels of an output channel.
    pub(crate) inputs: usize,
    /// Output channels.
    pub(crate) outputs: usize,
    /// Side of the kernel.
    pub(crate) kernel: usize,
    /// Pixels from one window to the next.
    pub(crate) stride: usize,
    /// Pixels from one tap to the next.
    pub(crate) dilation: usize,
    /// Whether every output channel reads the input channel of the same index alone.
    pub(crate) depthwise: bool,
    /// Whether every pixel read spreads over a kernel's pixels, `stride` apart: a transposed convolution. Its weight is `[in,
    /// out, k, k]`.
    pub(crate) transposed: bool,
    /// Index of the weight among the trained values.
    pub(crate) weight: usize,
    /// Index of the bias among the trained values, if there is one.
    pub(crate) bias: Option<usize>,
    /// Indices of a normalisation's parameters.
    pub(crate) norm: Option<Norm>,
    /// The activation.
    pub(crate) bend: Bend,
}

/// An activation: `min(x, ceiling)` where `x` is positive, else `slope·x`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bend {
    /// Factor below zero: 0 for `ReLU`, 1 for none.
    pub(crate) slope: f32,
    /// Largest value; infinite if there is none.
    pub(crate) ceiling: f32,
}

impl Bend {
    /// No activation.
    pub(crate) const IDENTITY: Self = Self { slope: 1.0, ceiling: f32::INFINITY };

    /// An activation's numbers.
    pub(crate) fn of(activation: Activation) -> Self {
        Self { slope: activation.slope() as f32, ceiling: activation.ceiling() as f32 }
    }

    /// Whether there is a largest value.
    pub(crate) fn has_ceiling(self) -> bool {
        self.ceiling.is_finite()
    }

    /// Whether it changes no value.
    pub(crate) fn is_identity(self) -> bool {
        self == Self::IDENTITY
    }
}

/// Indices of a normalisation's parameters among the trained values, and the values that it normalises.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Norm {
    /// Scale.
    pub(crate) scale: usize,
    /// Shift.
    pub(crate) shift: usize,
    /// Values that are normalised together.
    pub(crate) together: Together,
    /// Added to a variance before its root is taken.
    pub(crate) epsilon: f64,
}

/// Values that share one mean and variance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Together {
    /// A channel of all images, with the indices of running mean and variance among the statistics.
    Batch { mean: usize, variance: usize },
    /// This many neighbouring channels of one image.
    Group { channels: usize },
}

impl Norm {
    /// Whether the normalisation cancels a constant that is added to a channel before it.
    pub(crate) fn takes_bias_out(self) -> bool {
        matches!(self.together, Together::Batch { .. } | Together::Group { channels: 1 })
    }

    /// Whether it measures its map in evaluation too, as in training.
    pub(crate) fn is_always_measured(self) -> bool {
        matches!(self.together, Together::Group { .. })
    }
}

impl Layer {
    /// Number of weights.
    pub(crate) fn weights(&self) -> usize {
        self.outputs * self.inputs * self.kernel * self.kernel
    }

    /// The bias among the trained values, `[outputs]`; empty if there is none.
    pub(crate) fn bias_of<'a>(&self, trained: &'a [f32]) -> &'a [f32] {
        self.bias.map_or(&[], |bias| &trained[bias..][..self.outputs])
    }

    /// Distances between the weights of neighbouring input channels and of neighbouring output channels.
    pub(crate) fn strides(&self) -> [usize; 2] {
        let taps = self.kernel * self.kernel;
        if self.transposed { [self.outputs * taps, taps] } else { [taps, self.inputs * taps] }
    }

    /// Output blocks.
    pub(crate) fn blocks(&self) -> usize {
        self.outputs.div_ceil(LANES)
    }
}

/// A graph's layers and blocks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Network {
    /// Channels of the images.
    pub(crate) channels: usize,
    /// Convolutions, in the order of the nodes.
    pub(crate) layers: Vec<Layer>,
    /// The layer of every node that is a convolution.
    pub(crate) layer_of: Vec<usize>,
    /// Channels of every block of every node's value.
    pub(crate) blocks: Vec<Vec<usize>>,
    /// Whether a node's value depends on parameters.
    pub(crate) trained: Vec<bool>,
    /// The parameters in the graph's order.
    pub(crate) parameters: Vec<ParameterSpec>,
    /// Number of trained values and of statistics.
    pub(crate) lens: (usize, usize),
}

impl Network {
    /// Reads a graph.
    pub(crate) fn new(graph: &Graph) -> Self {
        let count = graph.nodes().len();
        let channels = graph.nodes().iter().find_map(|node| match node {
            Node::Input { channels } => Some(*channels),
            _ => None,
        });
        let mut network = Self {
            channels: channels.unwrap_or(0),
            layers: Vec::new(),
            layer_of: vec![usize::MAX; count],
            blocks: Vec::with_capacity(count),
            trained: Vec::with_capacity(count),
            parameters: graph.parameters(),
            lens: (0, 0),
        };
        for (index, node) in graph.nodes().iter().enumerate() {
            let blocks = match node {
                Node::Input { channels }
                | Node::Convolution { channels, .. }
                | Node::TransposedConvolution { channels, .. } => {
                    (0..*channels).step_by(LANES).map(|first| (channels - first).min(LANES)).collect()
                }
                Node::MaxPool { input, .. }
                | Node::Upsample { input, .. }
                | Node::GlobalAveragePool { input }
                | Node::Smooth { input, .. }
                | Node::LayerNorm { input, .. }
                | Node::Combine { inputs: [input, _], .. }
                | Node::Gate { inputs: [input, _], .. } => network.blocks[input.0].clone(),
                Node::Concatenate { inputs } => inputs.iter().flat_map(|i| network.blocks[i.0].clone()).collect(),
            };
            network.blocks.push(blocks);
            let below = node.inputs().iter().any(|i| network.trained[i.0]);
            network.trained.push(below || node.is_convolution());
            if node.is_convolution() {
                network.layer_of[index] = network.layers.len();
                network.push_layer(graph, node);
            }
        }
        network
    }

    /// Adds a convolution's layer; its parameters follow those of the layer before, as in [`Graph::parameters`].
    fn push_layer(&mut self, graph: &Graph, node: &Node) {
        let (input, stride, dilation, depthwise, transposed) = match node {
            Node::Convolution { input, stride, dilation, depthwise, .. } => {
                (input, *stride, *dilation, *depthwise, false)
            }
            Node::TransposedConvolution { input, .. } => (input, 2, 1, false, true),
            _ => return,
        };
        let (Node::Convolution { channels, kernel, bias, norm, activation, .. }
        | Node::TransposedConvolution { channels, kernel, bias, norm, activation, .. }) = node
        else {
            return;
        };
        let (outputs, inputs) = (*channels, if depthwise { 1 } else { graph.channels(*input) });
        let (weight, statistics) = self.lens;
        let end = weight + outputs * inputs * kernel * kernel;
        let (bias, end) = if *bias { (Some(end), end + outputs) } else { (None, end) };
        let norm = norm.as_ref().map(|norm| {
            let together = match norm.kind {
                NormKind::Batch => Together::Batch { mean: statistics, variance: statistics + outputs },
                NormKind::Group { groups } => Together::Group { channels: outputs / groups },
            };
            Norm { scale: end, shift: end + outputs, together, epsilon: norm.epsilon }
        });
        self.layers.push(Layer {
            inputs,
            outputs,
            kernel: *kernel,
            stride,
            dilation,
            depthwise,
            transposed,
            weight,
            bias,
            norm,
            bend: Bend::of(*activation),
        });
        self.lens = match norm.map(|norm| norm.together) {
            None => (end, statistics),
            Some(Together::Batch { .. }) => (end + 2 * outputs, statistics + 2 * outputs),
            Some(Together::Group { .. }) => (end + 2 * outputs, statistics),
        };
    }

    /// Whether no layer has running statistics.
    pub(crate) fn is_without_statistics(&self) -> bool {
        self.lens.1 == 0
    }

    /// The layer whose normalisation and activation a reader of this node's map must apply. In evaluation the
    /// convolution itself applies what does not depend on its results.
    pub(crate) fn activated_by(&self, node: NodeId, training: bool) -> Option<usize> {
        let layer = *self.layer_of.get(node.0)?;
        let Layer { norm, bend, .. } = self.layers.get(layer)?;
        let changed = norm.is_some() || !bend.is_identity();
        (if training { changed } else { norm.is_some_and(Norm::is_always_measured) }).then_some(layer)
    }
}
