//! Compiles a graph for a shape to a program: steps in order, every value's offset in the arena, the algorithm of each
//! layer. Engines that run such programs share this; each has its own [`Kernels`].
//!
//! Training keeps only the results of convolutions, those of normalised ones at half the memory if the engine says so.
//! Readers of a map apply its activation, the backward pass recomputes pooled and enlarged maps, and gradients replace one
//! another in place.

pub(crate) mod axis;
mod extent;
pub(crate) mod memory;
pub(crate) mod network;
mod planner;
mod saved;

use std::fmt::Debug;

use super::{Mode, check_norms};
use axis::Axis;
pub(crate) use extent::{Extent, LANES, RowChunks};
use memory::Lifetime;
use network::{Bend, Network};
use planner::Planner;
use sweep_core::error::Result;
use sweep_core::units::Size;
use sweep_graph::{Gating, Graph, NodeId, Operation, SmoothActivation};

/// A map or a workspace, by its index in [`Plan::values`].
pub(crate) type ValueId = usize;

/// A value's range in the arena, and its shape if it is a map.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Value {
    /// Offset in the arena.
    pub(crate) offset: usize,
    /// Length, in the engine's unit.
    pub(crate) len: usize,
    /// Lanes in use of every block of an image.
    pub(crate) blocks: Vec<usize>,
    /// Images, height and width.
    pub(crate) extent: Extent,
    /// The node whose map or gradient it is; `None` for a workspace.
    pub(crate) node: Option<NodeId>,
    /// Whether it is a map whose numbers are saved in bf16, see [`Kernels::saves_bf16`].
    pub(crate) narrow: bool,
}

/// A block that a step reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Operand {
    /// The map it is in.
    pub(crate) value: ValueId,
    /// Index of the block in the map.
    pub(crate) block: usize,
    /// Lanes in use.
    pub(crate) channels: usize,
    /// Index of its first channel among those of all operands of the step.
    pub(crate) first: usize,
    /// The layer whose normalisation and activation readers apply.
    pub(crate) layer: Option<usize>,
}

/// A block that a step writes a gradient to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Destination {
    /// The block; `first` is its index among the channels of the step's operands.
    pub(crate) operand: Operand,
    /// Whether the gradient is added to an earlier one.
    pub(crate) accumulate: bool,
}

/// Properties of a convolution that its algorithm and memory depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConvolutionShape {
    /// Side of the kernel.
    pub(crate) kernel: usize,
    /// Pixels from one window to the next.
    pub(crate) stride: usize,
    /// Pixels from one tap to the next.
    pub(crate) dilation: usize,
    /// Whether every output channel reads the input channel of the same index alone.
    pub(crate) depthwise: bool,
    /// Extent of the map that the forward pass writes.
    pub(crate) extent: Extent,
    /// Input channels.
    pub(crate) channels: usize,
    /// Input blocks.
    pub(crate) sources: usize,
    /// Output blocks.
    pub(crate) targets: usize,
}

/// Algorithms of an engine and the memory they take, in the engine's own unit.
pub(crate) trait Kernels {
    /// Algorithm of a convolution.
    type Algorithm: Debug + Clone + Copy + PartialEq;

    /// Memory of a node's map of this many blocks, or of its gradient.
    fn map(&self, node: NodeId, extent: Extent, blocks: usize) -> usize;

    /// Algorithm and workspace of the forward pass, with statistics of the result.
    fn forward(&self, shape: ConvolutionShape) -> (Self::Algorithm, usize);

    /// Algorithm and workspace of the gradient to the weights.
    fn weight_gradient(&self, shape: ConvolutionShape) -> (Self::Algorithm, usize);

    /// Algorithm and workspace of the gradient to the input; `sources` and `targets` are those of the backward pass.
    fn input_gradient(&self, shape: ConvolutionShape) -> (Self::Algorithm, usize);

    /// Workspace of the gradient of a normalisation.
    fn norm_gradient(&self, extent: Extent, blocks: usize) -> usize;

    /// Whether enlarged maps stay in memory until the backward pass has read them, instead of being enlarged again.
    fn keeps_enlarged(&self) -> bool {
        false
    }

    /// Whether the results of normalised convolutions are saved in bf16 from their last reader of the forward pass to each of
    /// their readers in the backward pass. They are rounded to bf16 when they are computed, so that saving loses nothing.
    fn saves_bf16(&self) -> bool {
        false
    }

    /// Whether this algorithm of a gradient to weights reads saved maps; for others they are widened first.
    fn reads_bf16(&self, _: Self::Algorithm) -> bool {
        false
    }
}

/// One step of a program.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step<A> {
    /// Packs images into blocks.
    Input { to: ValueId },
    /// Convolution, with statistics if there is a normalisation; results that will be saved in bf16 are rounded to it.
    Convolve { layer: usize, algorithm: A, from: Vec<Operand>, to: ValueId, workspace: ValueId, rounds: bool },
    /// Copies a map, whose numbers are all of bf16, to half the memory.
    Narrow { from: ValueId, to: ValueId },
    /// Copies a saved map back to single precision.
    Widen { from: ValueId, to: ValueId },
    /// Maximum of windows of a side of 2 or 3.
    Pool { side: usize, from: Vec<Operand>, to: ValueId },
    /// Enlargement.
    Upsample { from: Vec<Operand>, to: ValueId, rows: Axis, columns: Axis },
    /// Combination of two maps, then the activation.
    Combine { operation: Operation, bend: Bend, from: [Vec<Operand>; 2], to: ValueId },
    /// Mean of every channel's pixels.
    GlobalPool { from: Vec<Operand>, to: ValueId },
    /// Smooth activation.
    Smooth { activation: SmoothActivation, from: Vec<Operand>, to: ValueId },
    /// Copy of what readers of several maps see, to one map.
    Copy { from: Vec<Operand>, to: ValueId },
    /// Layer normalisation over the channels of one map.
    LayerNorm { epsilon: f64, from: Vec<Operand>, to: ValueId },
    /// Product of a map and its gate: one block for all of the map's, or one for each.
    Gate { gating: Gating, from: Vec<Operand>, gate: Vec<Operand>, to: ValueId },
    /// Writes a head's values to planes.
    Output { head: usize, from: Vec<Operand> },
    /// Reads a head's gradient into blocks.
    OutputGradient { head: usize, to: Vec<Destination> },
    /// Gradient of activation and normalisation, in place.
    NormGradient { layer: usize, map: ValueId, gradient: ValueId, workspace: ValueId },
    /// Gradient to a convolution's weights. Of a transposed one, `from` is one map without an activation.
    WeightGradient { layer: usize, algorithm: A, from: Vec<Operand>, gradient: ValueId, workspace: ValueId },
    /// Gradient to a convolution's input.
    InputGradient { layer: usize, algorithm: A, gradient: ValueId, to: Vec<Destination>, workspace: ValueId },
    /// Gradient to the input of a pooling.
    PoolGradient { side: usize, from: Vec<Operand>, gradient: Vec<Operand>, to: Vec<Destination> },
    /// Gradient to the input of an enlargement.
    UpsampleGradient { gradient: Vec<Operand>, to: Vec<Destination>, rows: Axis, columns: Axis },
    /// Gradient to one of two combined maps: times the activation's derivative by the `result` (no operands if there is
    /// no activation), and times the `other` map of a product (none for a sum).
    CombineGradient {
        bend: Bend,
        result: Vec<Operand>,
        other: Vec<Operand>,
        gradient: Vec<Operand>,
        to: Vec<Destination>,
    },
    /// Gradient to the input of a global pooling.
    GlobalPoolGradient { gradient: Vec<Operand>, to: Vec<Destination> },
    /// Gradient to the input of a smooth activation, at that input.
    SmoothGradient { activation: SmoothActivation, from: Vec<Operand>, gradient: Vec<Operand>, to: Vec<Destination> },
    /// Gradient to the input of a layer normalisation, at that input.
    LayerNormGradient { epsilon: f64, from: Vec<Operand>, gradient: Vec<Operand>, to: Vec<Destination> },
    /// Gradient to a gated map: times the gate.
    GateGradient { gating: Gating, gate: Vec<Operand>, gradient: Vec<Operand>, to: Vec<Destination> },
    /// Gradient to a gate: the sum of its products with the gated map.
    GateSum { gating: Gating, from: Vec<Operand>, gradient: Vec<Operand>, to: Vec<Destination> },
}

impl<A> Step<A> {
    /// All values that the step uses.
    fn values(&self) -> Vec<ValueId> {
        let (mut values, from, to): (Vec<ValueId>, &[Operand], &[Destination]) = match self {
            Self::Input { to } => (vec![*to], &[], &[]),
            Self::Convolve { from, to, workspace, .. } => (vec![*to, *workspace], from, &[]),
            Self::Narrow { from, to } | Self::Widen { from, to } => (vec![*from, *to], &[], &[]),
            Self::Pool { from, to, .. }
            | Self::Upsample { from, to, .. }
            | Self::GlobalPool { from, to }
            | Self::Copy { from, to }
            | Self::Smooth { from, to, .. }
            | Self::LayerNorm { from, to, .. } => (vec![*to], from, &[]),
            Self::Combine { from: [from, other], to, .. } | Self::Gate { from, gate: other, to, .. } => {
                (other.iter().map(|o| o.value).chain([*to]).collect(), from, &[])
            }
            Self::Output { from, .. } => (vec![], from, &[]),
            Self::OutputGradient { to, .. } => (vec![], &[], to),
            Self::NormGradient { map, gradient, workspace, .. } => (vec![*map, *gradient, *workspace], &[], &[]),
            Self::WeightGradient { from, gradient, workspace, .. } => (vec![*gradient, *workspace], from, &[]),
            Self::InputGradient { gradient, to, workspace, .. } => (vec![*gradient, *workspace], &[], to),
            Self::PoolGradient { from, gradient, to, .. } => (gradient.iter().map(|o| o.value).collect(), from, to),
            Self::UpsampleGradient { gradient, to, .. } | Self::GlobalPoolGradient { gradient, to } => {
                (vec![], gradient, to)
            }
            Self::SmoothGradient { from: other, gradient, to, .. }
            | Self::LayerNormGradient { from: other, gradient, to, .. }
            | Self::GateGradient { gate: other, gradient, to, .. }
            | Self::GateSum { from: other, gradient, to, .. } => {
                (other.iter().map(|o| o.value).collect(), gradient, to)
            }
            Self::CombineGradient { result, other, gradient, to, .. } => {
                (result.iter().chain(other).map(|o| o.value).collect(), gradient, to)
            }
        };
        values.extend(from.iter().map(|o| o.value));
        values.extend(to.iter().map(|d| d.operand.value));
        values
    }
}

/// A program for one shape of input.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan<A> {
    /// Extent of the images.
    pub(crate) images: Extent,
    /// Steps of the forward pass.
    pub(crate) forward: Vec<Step<A>>,
    /// Steps of the backward pass.
    pub(crate) backward: Vec<Step<A>>,
    /// All maps and workspaces.
    pub(crate) values: Vec<Value>,
    /// Length of the arena.
    pub(crate) arena: usize,
    /// Channels, height and width of every head.
    pub(crate) heads: Vec<(usize, Size)>,
}

impl<A: Debug + Clone + Copy + PartialEq> Plan<A> {
    /// Plans a graph for images of an extent.
    ///
    /// # Errors
    /// When the images are too small for the graph, or a normalisation has a single value to measure.
    pub(crate) fn new(
        graph: &Graph,
        network: &Network,
        images: Extent,
        mode: Mode,
        kernels: &impl Kernels<Algorithm = A>,
    ) -> Result<Self> {
        Self::with_layout(graph, network, images, mode, kernels, memory::assign_offsets)
    }

    /// Plans like [`Plan::new`], but `layout`, a function like [`memory::assign_offsets`], lays out the arena.
    pub(crate) fn with_layout(
        graph: &Graph,
        network: &Network,
        images: Extent,
        mode: Mode,
        kernels: &impl Kernels<Algorithm = A>,
        layout: fn(&[Lifetime]) -> (Vec<usize>, usize),
    ) -> Result<Self> {
        let sizes = graph.sizes(images.size)?;
        check_norms(graph, &sizes, images.images, mode)?;
        let heads = graph.heads().iter().map(|n| (graph.channels(*n), sizes[n.0])).collect();
        let mut planner = Planner::new(graph, network, images.images, sizes, mode == Mode::Train, kernels);
        planner.compute_all();
        planner.save_maps();
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
        let (offsets, arena) = layout(&lifetimes);
        for (value, offset) in planner.values.iter_mut().zip(offsets) {
            value.offset = offset;
        }
        let backward = planner.steps.split_off(forward);
        Ok(Self { images, forward: planner.steps, backward, values: planner.values, arena, heads })
    }
}
