//! A network as data: a list of nodes, each naming the nodes it reads. Engines run it; nothing here computes.

use crate::error::{Error, Result};
use crate::units::Size;

/// Place of a node in its [`Graph`]; always smaller than that of any node that reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// What follows a convolution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// `max(x, 0)`, gradient 0 at 0 (as PyTorch).
    Relu,
    /// `x` where positive, else `slope·x`; gradient `slope` at 0 (as PyTorch).
    LeakyRelu {
        /// Factor below zero.
        slope: f64,
    },
}

/// Which values of a map are normalised together: brought to mean 0 and variance 1 (eps 1e-5), then scaled and shifted
/// per channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// Those of one channel in all images of a batch; evaluation uses running statistics (momentum 0.1) instead.
    /// PyTorch's `BatchNorm2d` (Ioffe and Szegedy 2015).
    Batch,
    /// Those of one image and one of `groups` equal groups of neighbouring channels, in training and evaluation alike.
    /// PyTorch's `GroupNorm` (Wu and He 2018); with a group per channel it is instance normalisation.
    Group {
        /// Groups of channels; divides their number.
        groups: usize,
    },
}

/// A normalisation after a convolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Norm {
    /// Parameter prefix.
    pub name: String,
    /// What is normalised together.
    pub kind: NormKind,
}

impl Norm {
    /// How many values of `channels` maps of `area` pixels are normalised together, for a batch of `images`.
    #[must_use]
    pub fn values(&self, images: usize, channels: usize, area: usize) -> usize {
        match self.kind {
            NormKind::Batch => images * area,
            NormKind::Group { groups } => channels / groups * area,
        }
    }
}

/// How a map is enlarged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interpolation {
    /// Bilinear with `align_corners = true`: corner pixels map to corner pixels.
    Bilinear,
    /// `source = ⌊target · in / out⌋`, PyTorch's `nearest`.
    Nearest,
}

/// One step of a network. Every map is `[B, C, H, W]`.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// The images, `[B, channels, H, W]`.
    Input {
        /// Channels of the images.
        channels: usize,
    },
    /// Convolution with bias and zero padding of ⌊kernel/2⌋, so that stride 1 keeps the size and stride 2 halves it,
    /// rounded up; then normalisation where named; then the activation. Parameters
    /// `NAME.weight [channels, in, kernel, kernel]`, `NAME.bias [channels]`, and `NORM.weight`, `NORM.bias`, of a batch
    /// normalisation also `NORM.running_mean`, `NORM.running_var`, each `[channels]`.
    Convolution {
        /// What it reads.
        input: NodeId,
        /// Parameter prefix of the convolution.
        name: String,
        /// Output channels.
        channels: usize,
        /// Odd side of the kernel.
        kernel: usize,
        /// 1, or 2 to take every second pixel of every second row, the first included.
        stride: usize,
        /// The normalisation, if there is one.
        norm: Option<Norm>,
        /// What follows.
        activation: Activation,
    },
    /// Maximum of 2×2 blocks, stride 2; a last odd row or column is dropped. Gradient to the first maximum in
    /// row order (as PyTorch).
    MaxPool {
        /// What it reads.
        input: NodeId,
    },
    /// Enlarges to the height and width of `like`.
    Upsample {
        /// What it reads.
        input: NodeId,
        /// Whose size it takes.
        like: NodeId,
        /// How.
        interpolation: Interpolation,
    },
    /// Channels of all inputs, in order; all of one size.
    Concatenate {
        /// What it reads.
        inputs: Vec<NodeId>,
    },
}

impl Node {
    /// The nodes this one reads, in order (`like` of an upsampling is read for its size only and not listed).
    #[must_use]
    pub fn inputs(&self) -> &[NodeId] {
        match self {
            Self::Input { .. } => &[],
            Self::Convolution { input, .. } | Self::MaxPool { input } | Self::Upsample { input, .. } => {
                std::slice::from_ref(input)
            }
            Self::Concatenate { inputs } => inputs,
        }
    }
}

/// What a parameter is: how it starts and whether it is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Convolution weight: uniform in ±1/√`fan_in`, which is Kaiming uniform with a = √5 (PyTorch's default).
    Weight {
        /// Inputs of one output.
        fan_in: usize,
    },
    /// Convolution bias: uniform in ±1/√`fan_in` (PyTorch's default).
    Bias {
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
}

impl Role {
    /// Whether the optimiser moves it.
    #[must_use]
    pub fn is_trained(self) -> bool {
        !matches!(self, Self::RunningMean | Self::RunningVariance)
    }
}

/// A parameter a graph asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterSpec {
    /// PyTorch's name for it.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// What it is.
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
    /// When the node reads one that does not stand before it, or is a convolution that cannot be: a mistake in a
    /// network's code, not a user's.
    pub fn push(&mut self, node: Node) -> NodeId {
        let id = NodeId(self.nodes.len());
        assert!(node.inputs().iter().all(|input| *input < id), "a node reads only earlier nodes");
        if let Node::Convolution { channels, kernel, stride, norm, .. } = &node {
            assert!(kernel % 2 == 1 && (1..=2).contains(stride), "a kernel is odd, a stride 1 or 2");
            if let Some(NormKind::Group { groups }) = norm.as_ref().map(|norm| norm.kind) {
                assert!(groups > 0 && channels % groups == 0, "groups divide the channels");
            }
        }
        self.nodes.push(node);
        id
    }

    /// Declares an output `[B, K, H, W]`; the last one declared is the prediction.
    pub fn push_head(&mut self, node: NodeId) {
        self.heads.push(node);
    }

    /// All nodes, in an order in which they can be run.
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
            Node::MaxPool { input } | Node::Upsample { input, .. } => self.channels(*input),
            Node::Concatenate { inputs } => inputs.iter().map(|i| self.channels(*i)).sum(),
        }
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
                Node::MaxPool { input } => {
                    let size = sizes[input.0];
                    Size { height: size.height / 2, width: size.width / 2 }
                }
                Node::Upsample { like, .. } => sizes[like.0],
                Node::Concatenate { inputs } => sizes[inputs[0].0],
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

    /// How many halvings the deepest map went through.
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
            let Node::Convolution { input, name, channels, kernel, norm, .. } = node else { continue };
            let inputs = self.channels(*input);
            let fan_in = inputs * kernel * kernel;
            let mut add = |name: String, shape: Vec<usize>, role| specs.push(ParameterSpec { name, shape, role });
            add(format!("{name}.weight"), vec![*channels, inputs, *kernel, *kernel], Role::Weight { fan_in });
            add(format!("{name}.bias"), vec![*channels], Role::Bias { fan_in });
            if let Some(Norm { name, kind }) = norm {
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

    /// Number of values the optimiser moves.
    #[must_use]
    pub fn trained_values(&self) -> usize {
        self.parameters().iter().filter(|p| p.role.is_trained()).map(ParameterSpec::len).sum()
    }

    /// Multiplications and additions of one image's forward pass through the convolutions, each counted as one.
    ///
    /// # Errors
    /// As [`Graph::sizes`].
    pub fn flops(&self, images: Size) -> Result<u64> {
        let sizes = self.sizes(images)?;
        Ok(self
            .nodes
            .iter()
            .zip(&sizes)
            .map(|(node, size)| match node {
                Node::Convolution { input, channels, kernel, .. } => {
                    2 * (self.channels(*input) * kernel * kernel * channels * size.area()) as u64
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
            let convolution =
                Node::Convolution { input: node, name, channels: 2, kernel: 3, stride: 2, norm: None, activation };
            node = graph.push(convolution);
        }
        let sizes = graph.sizes(Size { height: 5, width: 1 }).unwrap();
        assert_eq!(sizes.iter().map(|s| (s.height, s.width)).collect::<Vec<_>>(), [(5, 1), (3, 1), (2, 1), (1, 1)]);
        // Two channels a node: 1·9·2 products for each of 3 pixels, then 2·9·2 for each of 2 and of 1.
        assert_eq!(graph.flops(Size { height: 5, width: 1 }).unwrap(), 2 * (3 * 18 + 2 * 36 + 36));
        let pooled = graph.push(Node::MaxPool { input: node });
        graph.push_head(pooled);
        let error = graph.sizes(Size { height: 8, width: 8 }).unwrap_err();
        assert!(error.what.contains("halves it 4 times"), "{error}");
        assert!(graph.sizes(Size { height: 16, width: 16 }).is_ok());
    }
}
