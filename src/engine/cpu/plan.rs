//! From a graph and a shape to a program: steps in order, every value's place in the arena, the algorithm per layer.
//!
//! A training keeps what convolutions computed and nothing else: activations are applied by whoever reads a map, pooled
//! and enlarged maps are made again on the way back, gradients turn into one another in place.

use super::kernels::resample::Axis;
#[cfg(target_arch = "x86_64")]
use super::kernels::tiles::Tiles;
use super::layout::Extent;
use super::memory::{self, Lifetime};
use super::network::Network;
use super::planner::Planner;
use crate::engine::{Mode, Precision, check_norms};
use crate::error::Result;
use crate::graph::Graph;
use crate::units::Size;

/// A map or a workspace, by its place in [`Plan::values`].
pub(super) type ValueId = usize;

/// Where a value lies, and its shape if it is a map.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Value {
    /// Place in the arena.
    pub(super) offset: usize,
    /// Numbers.
    pub(super) len: usize,
    /// Lanes in use of every block of an image.
    pub(super) blocks: Vec<usize>,
    /// Images, height and width.
    pub(super) extent: Extent,
}

/// A block that a step reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Operand {
    /// The map it is in.
    pub(super) value: ValueId,
    /// Which of the map's blocks.
    pub(super) block: usize,
    /// Lanes in use.
    pub(super) channels: usize,
    /// Its first channel's place among those of all operands of the step.
    pub(super) first: usize,
    /// The layer whose normalisation and activation readers apply.
    pub(super) layer: Option<usize>,
}

/// A block that a step writes a gradient to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Destination {
    /// The block; `first` is its place among the channels of the step's operands.
    pub(super) operand: Operand,
    /// Whether something is there already.
    pub(super) accumulate: bool,
}

/// How a convolution is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// Tap by tap.
    Direct,
    /// F(4×4, 3×3).
    Winograd,
    /// Tap by tap on a matrix unit.
    #[cfg(target_arch = "x86_64")]
    Tiles(Tiles),
}

impl Algorithm {
    /// Its name, for reading.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Winograd => "winograd",
            #[cfg(target_arch = "x86_64")]
            Self::Tiles(_) => "tiles",
        }
    }

    /// The one for convolutions of many channels in a precision, if the processor has a unit for it.
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

/// One step of a program.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Images to blocks.
    Input { to: ValueId },
    /// Convolution, and statistics where there is a normalisation.
    Convolve { layer: usize, algorithm: Algorithm, from: Vec<Operand>, to: ValueId, workspace: ValueId },
    /// Maximum of 2×2 blocks.
    Pool { from: Vec<Operand>, to: ValueId },
    /// Enlargement.
    Upsample { from: Vec<Operand>, to: ValueId, rows: Axis, columns: Axis },
    /// A head's values to planes.
    Output { head: usize, from: Vec<Operand> },
    /// A head's gradient to blocks.
    OutputGradient { head: usize, to: Vec<Destination> },
    /// Back through activation and normalisation, in place.
    NormGradient { layer: usize, map: ValueId, gradient: ValueId, workspace: ValueId },
    /// Gradient to a convolution's weights.
    WeightGradient { layer: usize, algorithm: Algorithm, from: Vec<Operand>, gradient: ValueId, workspace: ValueId },
    /// Gradient to what a convolution read.
    InputGradient { layer: usize, algorithm: Algorithm, gradient: ValueId, to: Vec<Destination>, workspace: ValueId },
    /// Gradient to what was pooled.
    PoolGradient { from: Vec<Operand>, gradient: Vec<Operand>, to: Vec<Destination> },
    /// Gradient to what was enlarged.
    UpsampleGradient { gradient: Vec<Operand>, to: Vec<Destination>, rows: Axis, columns: Axis },
}

impl Step {
    /// All values the step touches.
    fn values(&self) -> Vec<ValueId> {
        let (mut values, from, to): (Vec<ValueId>, &[Operand], &[Destination]) = match self {
            Self::Input { to } => (vec![*to], &[], &[]),
            Self::Convolve { from, to, workspace, .. } => (vec![*to, *workspace], from, &[]),
            Self::Pool { from, to } | Self::Upsample { from, to, .. } => (vec![*to], from, &[]),
            Self::Output { from, .. } => (vec![], from, &[]),
            Self::OutputGradient { to, .. } => (vec![], &[], to),
            Self::NormGradient { map, gradient, workspace, .. } => (vec![*map, *gradient, *workspace], &[], &[]),
            Self::WeightGradient { from, gradient, workspace, .. } => (vec![*gradient, *workspace], from, &[]),
            Self::InputGradient { gradient, to, workspace, .. } => (vec![*gradient, *workspace], &[], to),
            Self::PoolGradient { from, gradient, to } => (gradient.iter().map(|o| o.value).collect(), from, to),
            Self::UpsampleGradient { gradient, to, .. } => (vec![], gradient, to),
        };
        values.extend(from.iter().map(|o| o.value));
        values.extend(to.iter().map(|d| d.operand.value));
        values
    }
}

/// A program for one shape of input.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    /// Extent of the images.
    pub(super) images: Extent,
    /// Steps of the forward pass.
    pub(super) forward: Vec<Step>,
    /// Steps of the backward pass.
    pub(super) backward: Vec<Step>,
    /// All maps and workspaces.
    pub(super) values: Vec<Value>,
    /// Numbers of arena.
    pub(super) arena: usize,
    /// Channels, height and width of every head.
    pub(super) heads: Vec<(usize, Size)>,
}

impl Plan {
    /// Plans a graph for images of an extent.
    ///
    /// # Errors
    /// When the images are too small for the graph, or a normalisation has a single value to measure.
    pub(super) fn new(
        graph: &Graph,
        network: &Network,
        images: Extent,
        mode: Mode,
        precision: Precision,
    ) -> Result<Self> {
        Self::with_places(graph, network, images, mode, precision, memory::place)
    }

    /// As [`Plan::new`], with the arena's layout by `place`, as [`memory::place`].
    pub(super) fn with_places(
        graph: &Graph,
        network: &Network,
        images: Extent,
        mode: Mode,
        precision: Precision,
        place: fn(&[Lifetime]) -> (Vec<usize>, usize),
    ) -> Result<Self> {
        let sizes = graph.sizes(images.size)?;
        check_norms(graph, &sizes, images.images, mode)?;
        let heads = graph.heads().iter().map(|n| (graph.channels(*n), sizes[n.0])).collect();
        let mut planner = Planner::new(graph, network, images.images, sizes, mode == Mode::Train, precision);
        planner.compute_all();
        let forward = planner.steps.len();
        if mode == Mode::Train {
            planner.differentiate();
        }
        let mut lifetimes: Vec<Lifetime> =
            planner.values.iter().map(|v| Lifetime { first: usize::MAX, last: 0, len: v.len }).collect();
        for (index, step) in planner.steps.iter().enumerate() {
            for value in step.values() {
                lifetimes[value].first = lifetimes[value].first.min(index);
                lifetimes[value].last = index;
            }
        }
        let (offsets, arena) = place(&lifetimes);
        for (value, offset) in planner.values.iter_mut().zip(offsets) {
            value.offset = offset;
        }
        let backward = planner.steps.split_off(forward);
        Ok(Self { images, forward: planner.steps, backward, values: planner.values, arena, heads })
    }
}
