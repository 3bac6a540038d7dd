//! A network as data: a list of nodes, each of which names its input nodes. Engines run it; nothing here computes.
//!
//! Also here: its parameters ([`params`]), access to the numbers of tensors on the CPU ([`tensors`], [`simd_math`]) and
//! the GPU runtime ([`gpu`]).

pub mod gpu;
mod node;
pub mod params;
mod precision;
pub mod simd_math;
mod sizes;
pub mod tensors;

pub use node::{Activation, Gating, Interpolation, Node, NodeId, Norm, NormKind, Operation, SmoothActivation, Start};
pub use precision::Precision;

/// Channels that engines keep together.
pub const BLOCK: usize = 16;

/// Initial values of a parameter that is not a layer of a [`Graph`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum InitialValues {
    /// The same number everywhere.
    Constant(f64),
    /// Normal numbers.
    Normal {
        /// Their mean.
        mean: f64,
        /// Their standard deviation.
        deviation: f64,
    },
    /// Uniform numbers.
    Uniform {
        /// The least.
        low: f64,
        /// The greatest.
        high: f64,
    },
}

/// Role of a parameter: its initial values, and whether it is trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Role {
    /// Convolution weight.
    Weight {
        /// How it starts.
        start: Start,
        /// Inputs of one output.
        fan_in: usize,
        /// Outputs of one input.
        fan_out: usize,
    },
    /// Convolution bias.
    Bias {
        /// How it starts.
        start: Start,
        /// Inputs of one output.
        fan_in: usize,
    },
    /// Scale of a normalisation: ones.
    Scale,
    /// Shift of a normalisation: zeros.
    Shift,
    /// Running mean: zeros; not trained.
    RunningMean,
    /// Running variance: ones; not trained.
    RunningVariance,
    /// Parameter of a module that is not a [`Graph`].
    OfModule {
        /// Its initial values.
        values: InitialValues,
        /// Whether it is trained; otherwise it keeps its values.
        trained: bool,
    },
}

impl Role {
    /// Whether the optimizer trains it.
    #[must_use]
    pub fn is_trained(self) -> bool {
        !matches!(self, Self::RunningMean | Self::RunningVariance | Self::OfModule { trained: false, .. })
    }
}

/// A parameter that a network needs.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterSpec {
    /// PyTorch's name for it.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its role.
    pub role: Role,
}

impl ParameterSpec {
    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it holds no value at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Whether the groups of a normalisation, if there are any, divide the channels.
fn divides(norm: Option<&Norm>, channels: usize) -> bool {
    match norm.map(|norm| norm.kind) {
        Some(NormKind::Group { groups }) => channels.is_multiple_of(groups),
        Some(NormKind::Batch) | None => true,
    }
}

/// A network. Build it node by node; `heads` are its outputs, the last being the prediction.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    heads: Vec<NodeId>,
}

impl Graph {
    /// An empty graph.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a node.
    ///
    /// # Panics
    /// When the node reads a later node, or is a convolution with impossible settings: a mistake in a network's code,
    /// not a user's.
    pub fn push(&mut self, node: Node) -> NodeId {
        let id = NodeId(self.nodes.len());
        assert!(node.inputs().iter().chain(&node.like()).all(|read| *read < id), "a node reads only earlier nodes");
        match &node {
            Node::Convolution { input, channels, kernel, stride, dilation, depthwise, norm, .. } => {
                assert!(kernel % 2 == 1 && (1..=2).contains(stride), "a kernel is odd, a stride 1 or 2");
                assert!(*dilation > 0, "taps are at least a pixel apart");
                if *depthwise {
                    let is_aligned = self.channels(*input) == *channels && self.is_aligned(*input);
                    assert!(is_aligned, "as many channels, in whole blocks");
                }
                assert!(divides(norm.as_ref(), *channels), "groups divide the channels");
            }
            Node::TransposedConvolution { input, channels, kernel, norm, .. } => {
                assert!(*kernel > 1, "a kernel that reaches every pixel");
                assert!(self.is_aligned(*input), "channels in whole blocks");
                assert!(divides(norm.as_ref(), *channels), "groups divide the channels");
            }
            Node::LayerNorm { input, .. } => assert!(self.is_single(*input), "one map"),
            Node::MaxPool { side, .. } => assert!((2..=3).contains(side), "a window has 2×2 or 3×3 pixels"),
            Node::Combine { inputs: [a, b], .. } => assert!(self.can_combine(*a, *b), "two maps, cut alike"),
            Node::Gate { inputs: [map, gate], gating: Gating::Channel } => {
                assert!(self.segments(*map) == self.segments(*gate), "a gate for every channel");
            }
            Node::Gate { inputs: [_, gate], gating: Gating::Pixel } => {
                assert!(self.segments(*gate) == [1], "a gate of one channel");
            }
            Node::Input { .. }
            | Node::Upsample { .. }
            | Node::Concatenate { .. }
            | Node::GlobalAveragePool { .. }
            | Node::Smooth { .. } => {}
        }
        self.nodes.push(node);
        id
    }

    /// Appends a layer normalisation over channels with its parameters, PyTorch's `LayerNorm`: `NAME.weight` and
    /// `NAME.bias`, a number each for every channel; files may hold them as `[channels]`.
    ///
    /// # Panics
    /// When the input is a concatenation, or made of one.
    pub fn push_layer_norm(&mut self, input: NodeId, name: &str, epsilon: f64) -> NodeId {
        let channels = self.channels(input);
        let normal = self.push(Node::LayerNorm { input, epsilon });
        self.push(Node::Convolution {
            input: normal,
            name: name.to_owned(),
            channels,
            kernel: 1,
            stride: 1,
            dilation: 1,
            depthwise: true,
            bias: true,
            start: Start::One,
            norm: None,
            activation: Activation::Identity,
        })
    }

    /// The same graph with a prefix before every parameter's name, for a graph that is one of several.
    #[must_use]
    pub fn prefixed(mut self, prefix: &str) -> Self {
        for node in &mut self.nodes {
            let (Node::Convolution { name, norm, .. } | Node::TransposedConvolution { name, norm, .. }) = node else {
                continue;
            };
            name.insert_str(0, prefix);
            if let Some(norm) = norm {
                norm.name.insert_str(0, prefix);
            }
        }
        self
    }

    /// Declares an output `[B, K, H, W]`; the last one declared is the prediction.
    pub fn push_head(&mut self, node: NodeId) {
        self.heads.push(node);
    }

    /// All nodes, in an order in which they can run.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// One node.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The outputs.
    #[must_use]
    pub fn heads(&self) -> &[NodeId] {
        &self.heads
    }

    /// Channels of a node's map.
    #[must_use]
    pub fn channels(&self, id: NodeId) -> usize {
        match self.node(id) {
            Node::Input { channels }
            | Node::Convolution { channels, .. }
            | Node::TransposedConvolution { channels, .. } => *channels,
            Node::MaxPool { input, .. }
            | Node::Upsample { input, .. }
            | Node::GlobalAveragePool { input }
            | Node::Smooth { input, .. }
            | Node::LayerNorm { input, .. }
            | Node::Combine { inputs: [input, _], .. }
            | Node::Gate { inputs: [input, _], .. } => self.channels(*input),
            Node::Concatenate { inputs } => inputs.iter().map(|i| self.channels(*i)).sum(),
        }
    }

    /// Channels of each map that a node's map consists of: one map, or several if maps were concatenated on the way.
    #[must_use]
    pub fn segments(&self, id: NodeId) -> Vec<usize> {
        match self.node(id) {
            Node::Input { channels }
            | Node::Convolution { channels, .. }
            | Node::TransposedConvolution { channels, .. } => vec![*channels],
            Node::MaxPool { input, .. }
            | Node::Upsample { input, .. }
            | Node::GlobalAveragePool { input }
            | Node::Smooth { input, .. }
            | Node::LayerNorm { input, .. }
            | Node::Combine { inputs: [input, _], .. }
            | Node::Gate { inputs: [input, _], .. } => self.segments(*input),
            Node::Concatenate { inputs } => inputs.iter().flat_map(|i| self.segments(*i)).collect(),
        }
    }

    /// Whether a [`Node::Combine`] can read these two nodes, provided that they have the same size.
    #[must_use]
    pub fn can_combine(&self, a: NodeId, b: NodeId) -> bool {
        let is_map = |id| !matches!(self.node(id), Node::Concatenate { .. });
        is_map(a) && is_map(b) && self.segments(a) == self.segments(b)
    }

    /// Whether a node's map is one map, not made of several.
    fn is_single(&self, id: NodeId) -> bool {
        !matches!(self.node(id), Node::Concatenate { .. }) && self.segments(id).len() == 1
    }

    /// Whether every channel of a node's map stands at its index among whole blocks.
    fn is_aligned(&self, id: NodeId) -> bool {
        self.segments(id).iter().rev().skip(1).all(|channels| channels % BLOCK == 0)
    }

    /// Every parameter, in the order of the nodes.
    #[must_use]
    pub fn parameters(&self) -> Vec<ParameterSpec> {
        let mut specs = Vec::new();
        for node in &self.nodes {
            let (input, depthwise, transposed) = match node {
                Node::Convolution { input, depthwise, .. } => (*input, *depthwise, false),
                Node::TransposedConvolution { input, .. } => (*input, false, true),
                _ => continue,
            };
            let (Node::Convolution { name, channels, kernel, bias, start, norm, .. }
            | Node::TransposedConvolution { name, channels, kernel, bias, start, norm, .. }) = node
            else {
                continue;
            };
            let start = *start;
            let inputs = if depthwise { 1 } else { self.channels(input) };
            let outputs = if depthwise { 1 } else { *channels };
            let mut fans = [inputs, outputs].map(|channels| channels * kernel * kernel);
            let mut shape = vec![*channels, inputs, *kernel, *kernel];
            if transposed {
                // PyTorch takes the second axis of a weight for the inputs, here too.
                fans.reverse();
                shape.swap(0, 1);
            }
            let [fan_in, fan_out] = fans;
            let mut add = |name: String, shape: Vec<usize>, role| specs.push(ParameterSpec { name, shape, role });
            add(format!("{name}.weight"), shape, Role::Weight { start, fan_in, fan_out });
            if *bias {
                add(format!("{name}.bias"), vec![*channels], Role::Bias { start, fan_in });
            }
            if let Some(Norm { name, kind, epsilon: _ }) = norm {
                add(format!("{name}.weight"), vec![*channels], Role::Scale);
                add(format!("{name}.bias"), vec![*channels], Role::Shift);
                if *kind == NormKind::Batch {
                    add(format!("{name}.running_mean"), vec![*channels], Role::RunningMean);
                    add(format!("{name}.running_var"), vec![*channels], Role::RunningVariance);
                }
            }
        }
        specs
    }

    /// Number of values that the optimizer trains.
    #[must_use]
    pub fn trained_values(&self) -> usize {
        self.parameters().iter().filter(|p| p.role.is_trained()).map(ParameterSpec::len).sum()
    }
}
