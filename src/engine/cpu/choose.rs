//! Chooses the algorithm of each convolution, and the memory it takes.

#[cfg(target_arch = "x86_64")]
use super::kernels::tiles::{self, Tiles};
use super::kernels::{depthwise, direct, norm, winograd};
use super::layout::Extent;
use crate::plan::{ConvolutionShape, Kernels};
use sweep_graph::NodeId;
use sweep_graph::Precision;

/// Largest kernel side that the matrix unit's kernels support.
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
    /// Tap by tap on a matrix unit.
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

    /// The algorithm on a matrix unit for this precision, if the processor has one; for convolutions of many channels.
    pub(super) fn wide(precision: Precision) -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        return Tiles::detect(precision).map(Self::Tiles);
        #[cfg(not(target_arch = "x86_64"))]
        {
            let _ = precision;
            None
        }
    }
}

/// Algorithms to choose from in a precision.
pub(super) struct Choices {
    /// The matrix unit's algorithm for convolutions of many channels, if there is one.
    wide: Option<Algorithm>,
}

impl Choices {
    pub(super) fn new(precision: Precision) -> Self {
        Self { wide: Algorithm::wide(precision) }
    }

    /// Algorithm of a convolution, or of a weight gradient between the map read and the map written.
    fn choose(&self, shape: ConvolutionShape) -> Algorithm {
        let ConvolutionShape { kernel, stride, dilation, depthwise, extent, channels, sources, targets } = shape;
        match self.wide {
            _ if depthwise => Algorithm::Depthwise,
            _ if stride > 1 || dilation > 1 => Algorithm::Direct,
            Some(algorithm) if kernel <= WIDEST_KERNEL && channels >= 8 => algorithm,
            _ if kernel == 3 && channels >= 8 && winograd::is_faster(extent, sources, targets) => Algorithm::Winograd,
            _ => Algorithm::Direct,
        }
    }

    /// An algorithm for a convolution, and its memory.
    fn convolution(&self, shape: ConvolutionShape) -> (Algorithm, usize) {
        let ConvolutionShape { kernel, extent, sources, targets, .. } = shape;
        let algorithm = self.choose(shape);
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
        let (algorithm, memory) = self.convolution(shape);
        (algorithm, memory.max(norm::workspace(shape.extent, shape.targets)))
    }

    fn weight_gradient(&self, shape: ConvolutionShape) -> (Algorithm, usize) {
        let ConvolutionShape { kernel, stride, extent, sources, targets, .. } = shape;
        let algorithm = self.choose(shape);
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
        self.convolution(shape)
    }

    fn norm_gradient(&self, extent: Extent, blocks: usize) -> usize {
        norm::workspace(extent, blocks)
    }
}
