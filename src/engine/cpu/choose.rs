//! Chooses the algorithm of each convolution, and the memory it takes.

#[cfg(target_arch = "x86_64")]
use super::kernels::tiles::{self, Tiles};
use super::kernels::{depthwise, direct, norm, winograd};
use super::layout::Extent;
use crate::plan::{ConvolutionShape, Kernels};
use sweep_graph::NodeId;
use sweep_graph::Precision;

/// Largest kernel side that products of tiles support.
#[cfg(target_arch = "x86_64")]
const WIDEST_KERNEL: usize = 3;

/// Algorithm of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// Tap by tap.
    Direct,
    /// F(4×4, 3×3).
    Winograd,
    /// Tap by tap, every channel by itself.
    Depthwise,
    /// Tap by tap by products of tiles of bf16.
    #[cfg(target_arch = "x86_64")]
    Tiles(Tiles),
}

impl Algorithm {
    /// Its name, for people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Winograd => "winograd",
            Self::Depthwise => "depthwise",
            #[cfg(target_arch = "x86_64")]
            Self::Tiles(_) => "tiles",
        }
    }
}

/// A pass of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// From input to output.
    Forward,
    /// The gradient to the input.
    InputGradient,
    /// The gradient to the weights.
    WeightGradient,
}

/// Algorithms to choose from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choices {
    /// Products of tiles for convolutions of many channels, if there is a unit for them.
    #[cfg(target_arch = "x86_64")]
    tiles: Option<Tiles>,
    /// Whether they are used wherever they can be, or only where the model of their time says so.
    #[cfg(target_arch = "x86_64")]
    always: bool,
}

impl Choices {
    /// The algorithms for a precision.
    pub(super) fn new(precision: Precision) -> Self {
        #[cfg(target_arch = "x86_64")]
        return Self::with_tiles(Tiles::detect(precision), Tiles::is_always_faster);
        #[cfg(not(target_arch = "x86_64"))]
        {
            let _ = precision;
            Self {}
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn with_tiles(tiles: Option<Tiles>, always: impl Fn(Tiles) -> bool) -> Self {
        Self { tiles, always: tiles.is_some_and(always) }
    }

    /// Each unit for this precision, wherever it can be used, with a record of each unit that this processor lacks.
    #[cfg(test)]
    pub(super) fn tested(precision: Precision) -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        let units = super::simd::tiles::TileUnit::tested().into_iter().filter_map(|unit| Tiles::of(unit, precision));
        #[cfg(target_arch = "x86_64")]
        return units.map(|tiles| Self::with_tiles(Some(tiles), |_| true)).collect();
        #[cfg(not(target_arch = "x86_64"))]
        {
            let _ = precision;
            Vec::new()
        }
    }

    /// Name of the unit for these algorithms, if it is not the one for single precision.
    pub(super) fn unit(self) -> Option<&'static str> {
        #[cfg(target_arch = "x86_64")]
        return self.tiles.map(Tiles::unit);
        #[cfg(not(target_arch = "x86_64"))]
        None
    }

    /// Algorithm of a pass of a convolution; sources and targets of the weight gradient are the forward pass's.
    fn choose(self, shape: ConvolutionShape, pass: Pass) -> Algorithm {
        let ConvolutionShape { kernel, stride, dilation, depthwise, extent, channels, sources, targets } = shape;
        if depthwise {
            return Algorithm::Depthwise;
        }
        if stride > 1 || dilation > 1 {
            return Algorithm::Direct;
        }
        let direct = (direct::nanoseconds(extent, sources, targets, kernel), Algorithm::Direct);
        let winograd = (kernel == 3 && channels >= 8)
            .then(|| (winograd::nanoseconds(extent, sources, targets), Algorithm::Winograd))
            .filter(|winograd| winograd.0 < direct.0);
        let (nanoseconds, single) = winograd.unwrap_or(direct);
        #[cfg(target_arch = "x86_64")]
        if let Some(tiles) = self.tiles.filter(|_| kernel <= WIDEST_KERNEL && channels >= 8)
            && (self.always || tiles::is_faster(pass, extent, [sources, targets], kernel, nanoseconds))
        {
            return Algorithm::Tiles(tiles);
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (pass, nanoseconds);
        single
    }

    /// An algorithm for the forward pass or the gradient to the input, and its memory.
    fn convolution(self, shape: ConvolutionShape, pass: Pass) -> (Algorithm, usize) {
        let ConvolutionShape { kernel, extent, sources, targets, .. } = shape;
        let algorithm = self.choose(shape, pass);
        let memory = match algorithm {
            Algorithm::Direct => direct::workspace(sources, targets, kernel),
            Algorithm::Winograd => winograd::workspace(extent, sources, targets),
            Algorithm::Depthwise => 0,
            #[cfg(target_arch = "x86_64")]
            Algorithm::Tiles(unit) => tiles::workspace(unit, extent, sources, targets, kernel),
        };
        (algorithm, memory)
    }
}

/// Memory is counted in numbers.
impl Kernels for Choices {
    type Algorithm = Algorithm;

    fn map(&self, _: NodeId, extent: Extent, blocks: usize) -> usize {
        extent.images * blocks * extent.plane()
    }

    fn forward(&self, shape: ConvolutionShape) -> (Algorithm, usize) {
        let (algorithm, memory) = self.convolution(shape, Pass::Forward);
        (algorithm, memory.max(norm::workspace(shape.extent, shape.targets)))
    }

    fn weight_gradient(&self, shape: ConvolutionShape) -> (Algorithm, usize) {
        let ConvolutionShape { kernel, stride, extent, sources, targets, .. } = shape;
        let algorithm = self.choose(shape, Pass::WeightGradient);
        let memory = match algorithm {
            Algorithm::Direct => direct::gradient_workspace(extent, sources, targets, [kernel, stride]),
            Algorithm::Winograd => winograd::gradient_workspace(extent, sources, targets),
            Algorithm::Depthwise => depthwise::gradient_workspace(extent, sources, kernel, stride),
            #[cfg(target_arch = "x86_64")]
            Algorithm::Tiles(unit) => tiles::gradient_workspace(unit, extent, sources, targets, kernel),
        };
        (algorithm, memory)
    }

    fn input_gradient(&self, shape: ConvolutionShape) -> (Algorithm, usize) {
        self.convolution(shape, Pass::InputGradient)
    }

    fn norm_gradient(&self, extent: Extent, blocks: usize) -> usize {
        norm::workspace(extent, blocks)
    }

    fn reads_bf16(&self, algorithm: Algorithm) -> bool {
        match algorithm {
            Algorithm::Direct | Algorithm::Winograd | Algorithm::Depthwise => false,
            #[cfg(target_arch = "x86_64")]
            Algorithm::Tiles(_) => true,
        }
    }

    fn saves_bf16(&self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return self.tiles.is_some_and(Tiles::multiplies_bf16);
        #[cfg(not(target_arch = "x86_64"))]
        false
    }
}
