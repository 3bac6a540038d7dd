//! A network as data: a list of nodes, each of which names its input nodes. Engines run it; nothing here computes.
//!
//! Also here: its parameters ([`params`]), access to the numbers of tensors on the CPU ([`tensors`], [`simd_math`]) and
//! the GPU runtime ([`gpu`]).

pub mod gpu;
mod node;
pub mod params;
mod precision;
pub mod simd_math;
pub mod tensors;

pub use node::{Activation, Interpolation, Node, NodeId, Norm, NormKind, Operation, Start};
pub use precision::Precision;

use sweep_core::error::{Error, Result};
use sweep_core::units::Size;

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
        assert!(node.inputs().iter().all(|input| *input < id), "a node reads only earlier nodes");
        match &node {
            Node::Convolution { input, channels, kernel, stride, dilation, depthwise, norm, .. } => {
                assert!(kernel % 2 == 1 && (1..=2).contains(stride), "a kernel is odd, a stride 1 or 2");
                assert!(*dilation > 0, "taps are at least a pixel apart");
                assert!(!depthwise || self.segments(*input) == [*channels], "as many channels, in one segment");
                if let Some(NormKind::Group { groups }) = norm.as_ref().map(|norm| norm.kind) {
                    assert!(groups > 0 && channels % groups == 0, "groups divide the channels");
                }
            }
            Node::MaxPool { side, .. } => assert!((2..=3).contains(side), "a window has 2×2 or 3×3 pixels"),
            Node::Combine { inputs: [a, b], .. } => assert!(self.can_combine(*a, *b), "two maps, cut alike"),
            Node::Input { .. } | Node::Upsample { .. } | Node::Concatenate { .. } => {}
        }
        self.nodes.push(node);
        id
    }

    /// The same graph with a prefix before every parameter's name, for a graph that is one of several.
    #[must_use]
    pub fn prefixed(mut self, prefix: &str) -> Self {
        for node in &mut self.nodes {
            let Node::Convolution { name, norm, .. } = node else { continue };
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
            Node::Input { channels } | Node::Convolution { channels, .. } => *channels,
            Node::MaxPool { input, .. } | Node::Upsample { input, .. } => self.channels(*input),
            Node::Concatenate { inputs } => inputs.iter().map(|i| self.channels(*i)).sum(),
            Node::Combine { inputs: [first, _], .. } => self.channels(*first),
        }
    }

    /// Channels of each map that a node's map consists of: one map, or several if maps were concatenated on the way.
    #[must_use]
    pub fn segments(&self, id: NodeId) -> Vec<usize> {
        match self.node(id) {
            Node::Input { channels } | Node::Convolution { channels, .. } => vec![*channels],
            Node::MaxPool { input, .. } | Node::Upsample { input, .. } => self.segments(*input),
            Node::Concatenate { inputs } => inputs.iter().flat_map(|i| self.segments(*i)).collect(),
            Node::Combine { inputs: [first, _], .. } => self.segments(*first),
        }
    }

    /// Whether a [`Node::Combine`] can read these two nodes, provided that they have the same size.
    #[must_use]
    pub fn can_combine(&self, a: NodeId, b: NodeId) -> bool {
        let is_map = |id| !matches!(self.node(id), Node::Concatenate { .. });
        is_map(a) && is_map(b) && self.segments(a) == self.segments(b)
    }

    /// Size of every node's map for images of this size.
    ///
    /// # Errors
    /// When the images are too small for the number of halvings.
    pub fn sizes(&self, images: Size) -> Result<Vec<Size>> {
        let mut sizes: Vec<Size> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            sizes.push(match node {
                Node::Input { .. } => images,
                Node::Convolution { input, stride, .. } => {
                    let size = sizes[input.0];
                    Size { height: size.height.div_ceil(*stride), width: size.width.div_ceil(*stride) }
                }
                Node::MaxPool { input, side } => {
                    let size = sizes[input.0];
                    // Windows of 3×3 pixels include those around the last pixel.
                    Size { height: (size.height + side - 2) / 2, width: (size.width + side - 2) / 2 }
                }
                Node::Upsample { like, .. } => sizes[like.0],
                Node::Concatenate { inputs } => sizes[inputs[0].0],
                Node::Combine { inputs: [first, _], .. } => sizes[first.0],
            });
        }
        if sizes.iter().any(|size| size.area() == 0) {
            let halvings = self.depth();
            return Err(Error::definition(format!(
                "an input of {} × {} pixels (height × width) is too small for a network that halves it {halvings} times",
                images.height, images.width
            ))
            .remedy(format!("use an input of at least {0} × {0}, or fewer filters", 1usize << halvings)));
        }
        Ok(sizes)
    }

    /// Number of halvings on the way to the deepest map.
    fn depth(&self) -> usize {
        let mut depths: Vec<usize> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let below = node.inputs().iter().map(|i| depths[i.0]).max().unwrap_or(0);
            depths.push(match node {
                Node::MaxPool { .. } | Node::Convolution { stride: 2, .. } => below + 1,
                Node::Upsample { like, .. } => depths[like.0],
                _ => below,
            });
        }
        depths.into_iter().max().unwrap_or(0)
    }

    /// Every parameter, in the order of the nodes.
    #[must_use]
    pub fn parameters(&self) -> Vec<ParameterSpec> {
        let mut specs = Vec::new();
        for node in &self.nodes {
            let Node::Convolution { input, name, channels, kernel, depthwise, bias, start, norm, .. } = node else {
                continue;
            };
            let (inputs, start) = (if *depthwise { 1 } else { self.channels(*input) }, *start);
            let outputs = if *depthwise { 1 } else { *channels };
            let [fan_in, fan_out] = [inputs, outputs].map(|channels| channels * kernel * kernel);
            let mut add = |name: String, shape: Vec<usize>, role| specs.push(ParameterSpec { name, shape, role });
            let weight = Role::Weight { start, fan_in, fan_out };
            add(format!("{name}.weight"), vec![*channels, inputs, *kernel, *kernel], weight);
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

    /// Multiplications and additions of one image's forward pass through the convolutions, each counted as one.
    ///
    /// # Errors
    /// Same errors as [`Graph::sizes`].
    pub fn flops(&self, images: Size) -> Result<u64> {
        let sizes = self.sizes(images)?;
        Ok(self
            .nodes
            .iter()
            .zip(&sizes)
            .map(|(node, size)| match node {
                Node::Convolution { input, channels, kernel, depthwise, .. } => {
                    let inputs = if *depthwise { 1 } else { self.channels(*input) };
                    2 * (inputs * kernel * kernel * channels * size.area()) as u64
                }
                _ => 0,
            })
            .sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stride_halves_and_rounds_up() {
        let mut graph = Graph::new();
        let mut node = graph.push(Node::Input { channels: 1 });
        for name in ["a", "b", "c"] {
            let (name, activation) = (name.to_owned(), Activation::Identity);
            node = graph.push(Node::Convolution {
                input: node,
                name,
                channels: 2,
                kernel: 3,
                stride: 2,
                dilation: 1,
                depthwise: false,
                bias: true,
                start: Start::Torch,
                norm: None,
                activation,
            });
        }
        let sizes = graph.sizes(Size { height: 5, width: 1 }).unwrap();
        assert_eq!(sizes.iter().map(|s| (s.height, s.width)).collect::<Vec<_>>(), [(5, 1), (3, 1), (2, 1), (1, 1)]);
        // Two channels a node: 1·9·2 products for each of 3 pixels, then 2·9·2 for each of 2 and of 1.
        assert_eq!(graph.flops(Size { height: 5, width: 1 }).unwrap(), 2 * (3 * 18 + 2 * 36 + 36));
        let pooled = graph.push(Node::MaxPool { input: node, side: 2 });
        graph.push_head(pooled);
        let error = graph.sizes(Size { height: 8, width: 8 }).unwrap_err();
        assert!(error.message.contains("halves it 4 times"), "{error}");
        assert!(graph.sizes(Size { height: 16, width: 16 }).is_ok());
    }

    #[test]
    fn windows_of_three_round_up_and_combinations_keep_size_and_cut() {
        let mut graph = Graph::new();
        let image = graph.push(Node::Input { channels: 3 });
        let pooled = graph.push(Node::MaxPool { input: image, side: 3 });
        let (inputs, activation) = ([pooled, pooled], Activation::Relu);
        let sum = graph.push(Node::Combine { inputs, operation: Operation::Sum, activation });
        let sizes = graph.sizes(Size { height: 5, width: 8 }).unwrap();
        assert_eq!([pooled, sum].map(|n| (sizes[n.0].height, sizes[n.0].width)), [(3, 4); 2]);
        assert_eq!(graph.segments(sum), [3]);
        let both = graph.push(Node::Concatenate { inputs: vec![pooled, sum] });
        let of_both = graph.push(Node::MaxPool { input: both, side: 3 });
        assert_eq!(graph.segments(of_both), [3, 3]);
        let may = [(pooled, sum), (of_both, of_both), (both, of_both), (pooled, of_both)];
        assert_eq!(may.map(|(a, b)| graph.can_combine(a, b)), [true, true, false, false]);
    }
}
