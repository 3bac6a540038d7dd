//! From a graph and a shape to a program: steps in order, every value's place in the arena, the algorithm per layer.
//!
//! A training keeps what convolutions computed and nothing else: activations are applied by whoever reads a map, pooled
//! and enlarged maps are made again on the way back, gradients turn into one another in place.

use super::kernels::{direct, norm, resample::Axis, winograd};
use super::layout::Extent;
use super::memory::{self, Lifetime};
use super::network::Network;
use super::simd::LANES;
use crate::engine::Mode;
use crate::error::{Error, Result};
use crate::graph::{Graph, Node, NodeId};
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

/// Map sizes (height × width) from which Winograd's transforms are worth their time.
const WINOGRAD_AREA: usize = 200;

impl Plan {
    /// Plans a graph for images of an extent.
    ///
    /// # Errors
    /// When the images are too small for the graph.
    pub(super) fn new(graph: &Graph, network: &Network, images: Extent, mode: Mode) -> Result<Self> {
        let sizes = graph.sizes(images.size)?;
        if mode == Mode::Train {
            check_norms(graph, &sizes, images.images)?;
        }
        let nodes = graph.nodes().len();
        let mut planner = Planner {
            graph,
            network,
            images: images.images,
            sizes,
            training: mode == Mode::Train,
            values: Vec::new(),
            steps: Vec::new(),
            maps: vec![None; nodes],
            gradients: vec![None; nodes],
        };
        let wanted = planner.wanted();
        for node in (0..nodes).filter(|node| wanted[*node]) {
            planner.compute(node);
        }
        for (head, node) in graph.heads().iter().enumerate() {
            let from = planner.operands(*node);
            planner.steps.push(Step::Output { head, from });
        }
        let forward = planner.steps.len();
        if planner.training {
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
        let (offsets, arena) = memory::place(&lifetimes);
        for (value, offset) in planner.values.iter_mut().zip(offsets) {
            value.offset = offset;
        }
        let heads = graph.heads().iter().map(|n| (graph.channels(*n), planner.sizes[n.0])).collect();
        let backward = planner.steps.split_off(forward);
        Ok(Self { images, forward: planner.steps, backward, values: planner.values, arena, heads })
    }
}

struct Planner<'a> {
    graph: &'a Graph,
    network: &'a Network,
    images: usize,
    sizes: Vec<Size>,
    training: bool,
    values: Vec<Value>,
    steps: Vec<Step>,
    /// The map of every node that is in memory at this point.
    maps: Vec<Option<ValueId>>,
    /// The gradient of every node that has got one by this point.
    gradients: Vec<Option<ValueId>>,
}

impl Planner<'_> {
    /// Whether a node is to be computed: in a training all are, because their statistics move.
    fn wanted(&self) -> Vec<bool> {
        let mut wanted = vec![self.training; self.graph.nodes().len()];
        for head in self.graph.heads() {
            wanted[head.0] = true;
        }
        for (index, node) in self.graph.nodes().iter().enumerate().rev() {
            if wanted[index] {
                for input in node.inputs() {
                    wanted[input.0] = true;
                }
            }
        }
        wanted
    }

    fn extent(&self, node: usize) -> Extent {
        Extent { images: self.images, size: self.sizes[node] }
    }

    fn new_map(&mut self, node: usize) -> ValueId {
        let (extent, blocks) = (self.extent(node), self.network.blocks[node].clone());
        let len = extent.images * blocks.len() * extent.plane();
        self.values.push(Value { offset: 0, len, blocks, extent });
        self.values.len() - 1
    }

    fn new_workspace(&mut self, len: usize) -> ValueId {
        let len = len.next_multiple_of(LANES);
        let extent = Extent { images: 0, size: Size { height: 0, width: 0 } };
        self.values.push(Value { offset: 0, len, blocks: Vec::new(), extent });
        self.values.len() - 1
    }

    /// The nodes with maps of their own that a node's value consists of, in order.
    fn parts(&self, node: NodeId) -> Vec<NodeId> {
        match self.graph.node(node) {
            Node::Concatenate { inputs } => inputs.iter().flat_map(|input| self.parts(*input)).collect(),
            _ => vec![node],
        }
    }

    /// The blocks of a node's value.
    fn operands(&self, node: NodeId) -> Vec<Operand> {
        let mut operands = Vec::new();
        let mut first = 0;
        for part in self.parts(node) {
            // A graph is in an order in which every map is there before it is read.
            let Some(value) = self.maps[part.0] else { continue };
            let layer = if self.training { self.network.activated_by(part) } else { None };
            for (block, channels) in self.network.blocks[part.0].iter().copied().enumerate() {
                operands.push(Operand { value, block, channels, first, layer });
                first += channels;
            }
        }
        operands
    }

    /// Makes a node's map.
    fn compute(&mut self, node: usize) {
        let step = match self.graph.node(NodeId(node)) {
            Node::Concatenate { .. } => return,
            Node::Input { .. } => Step::Input { to: self.new_map(node) },
            Node::Convolution { input, kernel, .. } => {
                let from = self.operands(*input);
                let to = self.new_map(node);
                let (extent, blocks) = (self.extent(node), self.values[to].blocks.len());
                let algorithm = choose(*kernel, extent, &from);
                let convolution = match algorithm {
                    Algorithm::Direct => direct::workspace(from.len(), blocks, *kernel),
                    Algorithm::Winograd => winograd::workspace(extent, from.len(), blocks),
                };
                let workspace = self.new_workspace(convolution.max(norm::workspace(extent, blocks)));
                Step::Convolve { layer: self.network.layer_of[node], algorithm, from, to, workspace }
            }
            Node::MaxPool { input } => {
                let from = self.operands(*input);
                Step::Pool { from, to: self.new_map(node) }
            }
            Node::Upsample { input, .. } => {
                let from = self.operands(*input);
                let (rows, columns) = self.axes(node);
                Step::Upsample { from, to: self.new_map(node), rows, columns }
            }
        };
        self.maps[node] = match &step {
            Step::Input { to } | Step::Convolve { to, .. } | Step::Pool { to, .. } | Step::Upsample { to, .. } => {
                Some(*to)
            }
            _ => None,
        };
        self.steps.push(step);
    }

    fn axes(&self, node: usize) -> (Axis, Axis) {
        let Node::Upsample { input, interpolation, .. } = self.graph.node(NodeId(node)) else {
            return (
                Axis::new(crate::graph::Interpolation::Nearest, 1, 1),
                Axis::new(crate::graph::Interpolation::Nearest, 1, 1),
            );
        };
        let (from, to) = (self.sizes[input.0], self.sizes[node]);
        (Axis::new(*interpolation, from.height, to.height), Axis::new(*interpolation, from.width, to.width))
    }

    /// Makes the maps a node's value consists of again, where they are gone.
    fn recompute(&mut self, node: NodeId) {
        for part in self.parts(node) {
            if self.maps[part.0].is_none() {
                for input in self.graph.node(part).inputs() {
                    self.recompute(*input);
                }
                self.compute(part.0);
            }
        }
    }

    /// Where the gradient to a node's value goes, in passes: a map that occurs twice gets one per pass. `first` counts
    /// channels of the node's whole value.
    fn destinations(&mut self, node: NodeId) -> Vec<Vec<Destination>> {
        let mut passes: Vec<(Vec<NodeId>, Vec<Destination>)> = Vec::new();
        let mut first = 0;
        for part in self.parts(node) {
            let blocks = self.network.blocks[part.0].clone();
            if !self.network.trained[part.0] {
                first += blocks.iter().sum::<usize>();
                continue;
            }
            let accumulate = self.gradients[part.0].is_some();
            let value = match self.gradients[part.0] {
                Some(value) => value,
                None => self.new_map(part.0),
            };
            self.gradients[part.0] = Some(value);
            let pass = passes.iter().position(|(parts, _)| !parts.contains(&part)).unwrap_or(passes.len());
            if pass == passes.len() {
                passes.push((Vec::new(), Vec::new()));
            }
            passes[pass].0.push(part);
            for (block, channels) in blocks.into_iter().enumerate() {
                let operand = Operand { value, block, channels, first, layer: None };
                passes[pass].1.push(Destination { operand, accumulate });
                first += channels;
            }
        }
        passes.into_iter().map(|(_, destinations)| destinations).collect()
    }

    /// The backward pass: every node's gradient is complete before it is passed on, because its readers come later in
    /// the graph.
    fn differentiate(&mut self) {
        for (head, node) in self.graph.heads().iter().enumerate() {
            for to in self.destinations(*node) {
                self.steps.push(Step::OutputGradient { head, to });
            }
        }
        for (index, node) in self.graph.nodes().iter().enumerate() {
            if !matches!(node, Node::Convolution { .. }) {
                self.maps[index] = None;
            }
        }
        for index in (0..self.graph.nodes().len()).rev() {
            let Some(gradient) = self.gradients[index] else { continue };
            match self.graph.node(NodeId(index)) {
                Node::Input { .. } | Node::Concatenate { .. } => {}
                Node::Convolution { input, kernel, .. } => {
                    self.differentiate_convolution(index, *input, *kernel, gradient);
                }
                Node::MaxPool { input } => {
                    self.recompute(*input);
                    let from = self.operands(*input);
                    let own = self.own_operands(gradient, index);
                    for to in self.destinations(*input) {
                        let (from, gradient) = (matching(&from, &to), matching(&own, &to));
                        self.steps.push(Step::PoolGradient { from, gradient, to });
                    }
                }
                Node::Upsample { input, .. } => {
                    let (rows, columns) = self.axes(index);
                    let own = self.own_operands(gradient, index);
                    for to in self.destinations(*input) {
                        let (gradient, rows, columns) = (matching(&own, &to), rows.clone(), columns.clone());
                        self.steps.push(Step::UpsampleGradient { gradient, to, rows, columns });
                    }
                }
            }
        }
    }

    fn differentiate_convolution(&mut self, node: usize, input: NodeId, kernel: usize, gradient: ValueId) {
        let Some(map) = self.maps[node] else { return };
        let layer = self.network.layer_of[node];
        let (extent, blocks) = (self.extent(node), self.values[map].blocks.len());
        let workspace = self.new_workspace(norm::workspace(extent, blocks));
        self.steps.push(Step::NormGradient { layer, map, gradient, workspace });
        self.recompute(input);
        let from = self.operands(input);
        let algorithm = choose(kernel, extent, &from);
        let workspace = self.new_workspace(match algorithm {
            Algorithm::Direct => direct::gradient_workspace(extent, from.len(), blocks, kernel),
            Algorithm::Winograd => winograd::gradient_workspace(extent, from.len(), blocks),
        });
        self.steps.push(Step::WeightGradient { layer, algorithm, from, gradient, workspace });
        for to in self.destinations(input) {
            let read: Vec<Operand> = self.own_operands(gradient, node);
            let algorithm = choose(kernel, extent, &read);
            let workspace = self.new_workspace(match algorithm {
                Algorithm::Direct => direct::workspace(blocks, to.len(), kernel),
                Algorithm::Winograd => winograd::workspace(extent, blocks, to.len()),
            });
            self.steps.push(Step::InputGradient { layer, algorithm, gradient, to, workspace });
        }
    }

    /// The blocks of a node's own gradient.
    fn own_operands(&self, value: ValueId, node: usize) -> Vec<Operand> {
        let mut first = 0;
        let blocks = self.network.blocks[node].iter().copied().enumerate();
        blocks
            .map(|(block, channels)| {
                let operand = Operand { value, block, channels, first, layer: None };
                first += channels;
                operand
            })
            .collect()
    }
}

/// That every normalisation has more than one value per channel, as a variance needs.
fn check_norms(graph: &Graph, sizes: &[Size], images: usize) -> Result<()> {
    let alone = |(node, size): (&Node, &Size)| {
        matches!(node, Node::Convolution { norm: Some(_), .. }) && images * size.area() == 1
    };
    if graph.nodes().iter().zip(sizes).any(alone) {
        return Err(Error::definition("batch normalisation of a single value per channel: one image, one pixel")
            .remedy("train with a larger input, a larger batch, or fewer filters"));
    }
    Ok(())
}

/// Those operands that stand at the channels of `to`.
fn matching(from: &[Operand], to: &[Destination]) -> Vec<Operand> {
    from.iter().filter(|o| to.iter().any(|d| d.operand.first == o.first)).copied().collect()
}

fn choose(kernel: usize, extent: Extent, from: &[Operand]) -> Algorithm {
    let channels: usize = from.iter().map(|o| o.channels).sum();
    if kernel == 3 && extent.size.area() >= WINOGRAD_AREA && channels >= 8 {
        Algorithm::Winograd
    } else {
        Algorithm::Direct
    }
}
