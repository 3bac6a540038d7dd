//! The steps a network is made of.

/// Index of a node in its [`Graph`](super::Graph); always smaller than that of any node that reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// Activation after a convolution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// `max(x, 0)`, gradient 0 at 0, like PyTorch.
    Relu,
    /// `x` where positive, else `slope·x`; gradient `slope` at 0, like PyTorch.
    LeakyRelu {
        /// Factor below zero.
        slope: f64,
    },
    /// `min(max(x, 0), 6)`, gradient 0 at 0 and at 6, like PyTorch.
    Relu6,
}

impl Activation {
    /// Factor below zero.
    #[must_use]
    pub fn slope(self) -> f64 {
        match self {
            Self::Identity => 1.0,
            Self::Relu | Self::Relu6 => 0.0,
            Self::LeakyRelu { slope } => slope,
        }
    }

    /// Largest value; infinite if there is none.
    #[must_use]
    pub fn ceiling(self) -> f64 {
        match self {
            Self::Relu6 => 6.0,
            Self::Identity | Self::Relu | Self::LeakyRelu { .. } => f64::INFINITY,
        }
    }
}

/// A smooth activation function, a node of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmoothActivation {
    /// `σ(x) = 1 / (1 + exp(−x))`.
    Sigmoid,
    /// `x · σ(x)`, also called swish (Elfwing et al. 2017, Ramachandran et al. 2017).
    Silu,
    /// `x · Φ(x)` with the normal distribution function `Φ` (Hendrycks and Gimpel 2016); PyTorch's `GELU()`, without its
    /// approximation by `tanh`.
    Gelu,
}

/// Values of a map that are normalised together: brought to mean 0 and variance 1, then scaled and shifted per channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// The values of one channel in all images of a batch; evaluation uses running statistics (momentum 0.1) instead.
    /// PyTorch's `BatchNorm2d` (Ioffe and Szegedy 2015).
    Batch,
    /// The values of one image and one of `groups` equal groups of neighbouring channels, in training and evaluation
    /// alike. PyTorch's `GroupNorm` (Wu and He 2018); with one group per channel it is instance normalisation.
    Group {
        /// Groups of channels; divides their number.
        groups: usize,
    },
}

/// A normalisation after a convolution.
#[derive(Debug, Clone, PartialEq)]
pub struct Norm {
    /// Parameter prefix.
    pub name: String,
    /// Values that are normalised together.
    pub kind: NormKind,
    /// Added to a variance before its root is taken.
    pub epsilon: f64,
}

impl Norm {
    /// PyTorch's default [`epsilon`](Self::epsilon).
    pub const EPSILON: f64 = 1e-5;

    /// A normalisation with PyTorch's default [`epsilon`](Self::epsilon).
    #[must_use]
    pub fn new(name: String, kind: NormKind) -> Self {
        Self { name, kind, epsilon: Self::EPSILON }
    }

    /// Number of values that are normalised together in `channels` maps of `area` pixels, for a batch of `images`.
    #[must_use]
    pub fn values(&self, images: usize, channels: usize, area: usize) -> usize {
        match self.kind {
            NormKind::Batch => images * area,
            NormKind::Group { groups } => channels / groups * area,
        }
    }
}

/// Interpolation of an enlarged map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interpolation {
    /// Bilinear with `align_corners = true`: corner pixels map to corner pixels.
    Bilinear,
    /// `source = ⌊target · in / out⌋`, PyTorch's `nearest`.
    Nearest,
}

/// Operation that combines two maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Sum, for example around a residual block.
    Sum,
    /// Product, for example of a map of local appearance and a map of spatial configuration.
    Product,
}

/// Values of a map that share one value of its gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gating {
    /// All channels of a pixel: the gate is `[B, 1, H, W]`, as in spatial attention.
    Pixel,
    /// All pixels of a channel: the gate is `[B, C, 1, 1]`, as in channel attention.
    Channel,
}

/// Initialisation of a convolution's weight. `fan_in` is the number of inputs of one output, `fan_out` that of outputs
/// of one input. The bias starts at zero, except for [`Start::Torch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// Uniform in ±1/√`fan_in`, the bias too (PyTorch's default, Kaiming uniform with a = √5).
    #[default]
    Torch,
    /// Uniform in ±√(6/`fan_in`) (He et al. 2015).
    He,
    /// Normal with deviation √(2/`fan_out`) (He et al. 2015, for the backward pass; used by torchvision's residual
    /// networks).
    HeOut,
    /// Uniform in ±√(6/(`fan_in` + `fan_out`)) (Glorot and Bengio 2010).
    Glorot,
    /// Ones.
    One,
}

/// One step of a network. Every map is `[B, C, H, W]`.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// The images, `[B, channels, H, W]`.
    Input {
        /// Channels of the images.
        channels: usize,
    },
    /// Convolution with zero padding of dilation · ⌊kernel/2⌋, so that stride 1 keeps the size and stride 2 halves it,
    /// rounded up; then the normalisation, if there is one; then the activation. Parameters are `NAME.weight [channels,
    /// in, kernel, kernel]`, `NAME.bias [channels]` if there is a bias, and `NORM.weight`, `NORM.bias` for a
    /// normalisation, with `NORM.running_mean`, `NORM.running_var` for a batch normalisation, each `[channels]`.
    Convolution {
        /// Node it reads.
        input: NodeId,
        /// Parameter prefix of the convolution.
        name: String,
        /// Output channels.
        channels: usize,
        /// Odd side of the kernel.
        kernel: usize,
        /// 1, or 2 to take every second pixel of every second row, the first included.
        stride: usize,
        /// Pixels from one tap of the kernel to the next: 1, or more for an atrous convolution.
        dilation: usize,
        /// Whether every output channel reads the input channel of the same index alone (PyTorch's `groups = channels`);
        /// `in` is then 1. The input has as many channels; each of its segments but the last has a multiple of
        /// [`BLOCK`](super::BLOCK).
        depthwise: bool,
        /// Whether there is a bias.
        bias: bool,
        /// Initialisation of its parameters.
        start: Start,
        /// The normalisation, if there is one.
        norm: Option<Norm>,
        /// Activation of the result.
        activation: Activation,
    },
    /// Convolution that doubles height and width: every pixel of the input adds its multiple of the kernel to the result,
    /// two pixels from its neighbour's; then the normalisation, if there is one; then the activation. It is PyTorch's
    /// `ConvTranspose2d` with stride 2, a padding of ⌊(kernel − 1)/2⌋ and the output padding that gives the size of
    /// `like`; where none does, the last row or column is left out. Parameters are those of a convolution, but for `NAME.weight [in, channels, kernel, kernel]`.
    /// Each of the input's segments but the last has a multiple of [`BLOCK`](super::BLOCK) channels.
    TransposedConvolution {
        /// Node it reads; half the size of `like`, rounded up or down.
        input: NodeId,
        /// Node whose size it takes.
        like: NodeId,
        /// Parameter prefix of the convolution.
        name: String,
        /// Output channels.
        channels: usize,
        /// Side of the kernel, at least 2.
        kernel: usize,
        /// Whether there is a bias.
        bias: bool,
        /// Initialisation of its parameters.
        start: Start,
        /// The normalisation, if there is one.
        norm: Option<Norm>,
        /// Activation of the result.
        activation: Activation,
    },
    /// Maximum of windows two pixels apart. Windows of 2×2 pixels drop an odd last row or column; windows of 3×3 pixels
    /// are centred on every second pixel, the first included, and cut at the border (PyTorch's padding of 1), so that
    /// sizes are rounded up. The gradient goes to the first maximum in row order, like PyTorch.
    MaxPool {
        /// Node it reads.
        input: NodeId,
        /// Side of a window, 2 or 3.
        side: usize,
    },
    /// Enlarges to the height and width of `like`.
    Upsample {
        /// Node it reads.
        input: NodeId,
        /// Node whose size it takes.
        like: NodeId,
        /// Interpolation.
        interpolation: Interpolation,
    },
    /// Channels of all inputs, in order; all of one size.
    Concatenate {
        /// Node it reads.
        inputs: Vec<NodeId>,
    },
    /// Combines two maps of one size, value by value; then the activation. Both have the same channels, in the same
    /// segments ([`Graph::segments`](super::Graph::segments)), and neither is a concatenation; they may be the same
    /// map.
    Combine {
        /// Node it reads.
        inputs: [NodeId; 2],
        /// Operation.
        operation: Operation,
        /// Activation of the result.
        activation: Activation,
    },
    /// Mean of every channel's pixels, `[B, C, 1, 1]` (PyTorch's `AdaptiveAvgPool2d(1)`).
    GlobalAveragePool {
        /// Node it reads.
        input: NodeId,
    },
    /// A smooth activation function, value by value.
    Smooth {
        /// Node it reads.
        input: NodeId,
        /// The function.
        activation: SmoothActivation,
    },
    /// Brings the channels of every pixel to mean 0 and variance 1: layer normalisation (Ba et al. 2016) over channels,
    /// as in `ConvNeXt`, without its parameters; [`Graph::push_layer_norm`](super::Graph::push_layer_norm) adds these. The
    /// input is neither a concatenation nor made of one.
    LayerNorm {
        /// Node it reads.
        input: NodeId,
        /// Added to a variance before its root is taken.
        epsilon: f64,
    },
    /// Product of a map and its gate, which has one value for many of the map's.
    Gate {
        /// The map, and its gate.
        inputs: [NodeId; 2],
        /// Values that share one of the gate's. For [`Gating::Channel`] both inputs have the same channels in the same
        /// segments.
        gating: Gating,
    },
}

impl Node {
    /// The most common step: a convolution of 3×3 pixels that keeps the size, then `max(x, 0)`; its weight `NAME.weight`
    /// is initialised like PyTorch's, and there is a bias.
    #[must_use]
    pub fn convolution(input: NodeId, name: &str, channels: usize) -> Self {
        Self::Convolution {
            input,
            name: name.to_owned(),
            channels,
            kernel: 3,
            stride: 1,
            dilation: 1,
            depthwise: false,
            bias: true,
            start: Start::Torch,
            norm: None,
            activation: Activation::Relu,
        }
    }

    /// One map per landmark: a convolution of single pixels without activation.
    #[must_use]
    pub fn head(input: NodeId, name: &str, landmarks: usize) -> Self {
        Self::Convolution {
            input,
            name: name.to_owned(),
            channels: landmarks,
            kernel: 1,
            stride: 1,
            dilation: 1,
            depthwise: false,
            bias: true,
            start: Start::Torch,
            norm: None,
            activation: Activation::Identity,
        }
    }

    /// The same step with a normalisation `NAME` between convolution and activation; steps other than convolutions are
    /// unchanged.
    #[must_use]
    pub fn normalised(mut self, name: &str, kind: NormKind) -> Self {
        if let Self::Convolution { norm, .. } = &mut self {
            *norm = Some(Norm::new(name.to_owned(), kind));
        }
        self
    }

    /// Whether it has parameters: a convolution, or a transposed one.
    #[must_use]
    pub fn is_convolution(&self) -> bool {
        matches!(self, Self::Convolution { .. } | Self::TransposedConvolution { .. })
    }

    /// The node that gives this one only its size.
    #[must_use]
    pub fn like(&self) -> Option<NodeId> {
        match self {
            Self::Upsample { like, .. } | Self::TransposedConvolution { like, .. } => Some(*like),
            _ => None,
        }
    }

    /// The nodes that this one reads, in order, without [`like`](Self::like).
    #[must_use]
    pub fn inputs(&self) -> &[NodeId] {
        match self {
            Self::Input { .. } => &[],
            Self::Convolution { input, .. }
            | Self::TransposedConvolution { input, .. }
            | Self::MaxPool { input, .. }
            | Self::Upsample { input, .. }
            | Self::GlobalAveragePool { input }
            | Self::Smooth { input, .. }
            | Self::LayerNorm { input, .. } => std::slice::from_ref(input),
            Self::Concatenate { inputs } => inputs,
            Self::Combine { inputs, .. } | Self::Gate { inputs, .. } => inputs,
        }
    }
}
