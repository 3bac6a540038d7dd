//! What does not depend on the shape of the input: layers, where their parameters lie, how maps divide into blocks.

use super::simd::LANES;
use crate::graph::{Activation, Graph, Node, NodeId, ParameterSpec};

/// A convolution with its normalisation and activation.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layer {
    /// Channels read.
    pub(super) inputs: usize,
    /// Channels written.
    pub(super) outputs: usize,
    /// Side of the kernel.
    pub(super) kernel: usize,
    /// Place of the weight among the trained values.
    pub(super) weight: usize,
    /// Place of the bias among the trained values.
    pub(super) bias: usize,
    /// Places of a normalisation's parameters.
    pub(super) norm: Option<Norm>,
    /// The activation's factor below zero.
    pub(super) slope: f32,
}

/// Where a normalisation's parameters lie: scale and shift among the trained values, the others among the statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Norm {
    /// Scale.
    pub(super) scale: usize,
    /// Shift.
    pub(super) shift: usize,
    /// Running mean.
    pub(super) mean: usize,
    /// Running variance.
    pub(super) variance: usize,
}

impl Layer {
    /// Number of weights.
    pub(super) fn weights(&self) -> usize {
        self.outputs * self.inputs * self.kernel * self.kernel
    }

    /// Blocks written.
    pub(super) fn blocks(&self) -> usize {
        self.outputs.div_ceil(LANES)
    }
}

/// A graph's layers and blocks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Network {
    /// Convolutions, in the order of the nodes.
    pub(super) layers: Vec<Layer>,
    /// The layer of every node that is a convolution.
    pub(super) layer_of: Vec<usize>,
    /// Channels of every block of every node's value.
    pub(super) blocks: Vec<Vec<usize>>,
    /// Whether a node's value depends on parameters.
    pub(super) trained: Vec<bool>,
    /// The parameters in the graph's order.
    pub(super) parameters: Vec<ParameterSpec>,
    /// Number of trained values and of statistics.
    pub(super) lens: (usize, usize),
}

impl Network {
    /// Reads a graph.
    pub(super) fn new(graph: &Graph) -> Self {
        let count = graph.nodes().len();
        let mut network = Self {
            layers: Vec::new(),
            layer_of: vec![usize::MAX; count],
            blocks: Vec::with_capacity(count),
            trained: Vec::with_capacity(count),
            parameters: graph.parameters(),
            lens: (0, 0),
        };
        for (index, node) in graph.nodes().iter().enumerate() {
            let blocks = match node {
                Node::Input { channels } | Node::Convolution { channels, .. } => {
                    (0..*channels).step_by(LANES).map(|first| (channels - first).min(LANES)).collect()
                }
                Node::MaxPool { input } | Node::Upsample { input, .. } => network.blocks[input.0].clone(),
                Node::Concatenate { inputs } => inputs.iter().flat_map(|i| network.blocks[i.0].clone()).collect(),
            };
            network.blocks.push(blocks);
            let below = node.inputs().iter().any(|i| network.trained[i.0]);
            network.trained.push(below || matches!(node, Node::Convolution { .. }));
            if let Node::Convolution { input, channels, kernel, norm, activation, .. } = node {
                network.layer_of[index] = network.layers.len();
                network.push_layer(graph.channels(*input), *channels, *kernel, norm.is_some(), *activation);
            }
        }
        network
    }

    /// Adds a layer; its parameters follow those of the layer before, as in [`Graph::parameters`].
    fn push_layer(&mut self, inputs: usize, outputs: usize, kernel: usize, normalised: bool, activation: Activation) {
        let (weight, statistics) = self.lens;
        let bias = weight + outputs * inputs * kernel * kernel;
        let norm = normalised.then_some(Norm {
            scale: bias + outputs,
            shift: bias + 2 * outputs,
            mean: statistics,
            variance: statistics + outputs,
        });
        let slope = match activation {
            Activation::Identity => 1.0,
            Activation::Relu => 0.0,
            Activation::LeakyRelu { slope } => slope as f32,
        };
        self.layers.push(Layer { inputs, outputs, kernel, weight, bias, norm, slope });
        self.lens =
            if normalised { (bias + 3 * outputs, statistics + 2 * outputs) } else { (bias + outputs, statistics) };
    }

    /// Whether no layer is normalised.
    pub(super) fn is_without_statistics(&self) -> bool {
        self.lens.1 == 0
    }

    /// The layer whose normalisation and activation a reader of this node's map must apply.
    pub(super) fn activated_by(&self, node: NodeId) -> Option<usize> {
        let layer = *self.layer_of.get(node.0)?;
        let Layer { norm, slope, .. } = self.layers.get(layer)?;
        (norm.is_some() || (slope - 1.0).abs() > 0.0).then_some(layer)
    }
}
