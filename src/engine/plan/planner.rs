//! Writes a graph's program step by step: forward in the order of the nodes, backward in the reverse order.

use super::axis::Axis;
use super::network::{Bend, Layer, Network};
use super::{ConvolutionShape, Destination, Extent, Kernels, LANES, Operand, Step, Value, ValueId};
use sweep_core::units::Size;
use sweep_graph::{Activation, Gating, Graph, Interpolation, Node, NodeId, Operation};

/// A program under construction.
pub(super) struct Planner<'a, K: Kernels> {
    pub(super) graph: &'a Graph,
    pub(super) network: &'a Network,
    images: usize,
    sizes: Vec<Size>,
    pub(super) training: bool,
    pub(super) kernels: &'a K,
    /// All values so far, without offsets.
    pub(super) values: Vec<Value>,
    /// All steps so far.
    pub(super) steps: Vec<Step<K::Algorithm>>,
    /// The map of every node that is in memory at this point.
    pub(super) maps: Vec<Option<ValueId>>,
    /// The map of every node that is saved in bf16.
    pub(super) saved: Vec<Option<ValueId>>,
    /// The gradient of every node, if there is one at this point.
    gradients: Vec<Option<ValueId>>,
}

impl<'a, K: Kernels> Planner<'a, K> {
    pub(super) fn new(
        graph: &'a Graph,
        network: &'a Network,
        images: usize,
        sizes: Vec<Size>,
        training: bool,
        kernels: &'a K,
    ) -> Self {
        let [maps, saved, gradients] = [(); 3].map(|()| vec![None; sizes.len()]);
        let (values, steps) = (Vec::new(), Vec::new());
        Self { graph, network, images, sizes, training, kernels, values, steps, maps, saved, gradients }
    }

    /// The forward pass.
    pub(super) fn compute_all(&mut self) {
        let wanted = self.wanted();
        for node in (0..wanted.len()).filter(|node| wanted[*node]) {
            self.compute(node);
        }
        for (head, node) in self.graph.heads().iter().enumerate() {
            let from = self.operands(*node);
            self.steps.push(Step::Output { head, from });
        }
    }

    /// Whether each node is computed: in training all are, because their statistics are updated.
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

    pub(super) fn new_map(&mut self, node: usize) -> ValueId {
        let (extent, blocks) = (self.extent(node), self.network.blocks[node].clone());
        let len = self.kernels.map(NodeId(node), extent, blocks.len());
        self.values.push(Value { offset: 0, len, blocks, extent, node: Some(NodeId(node)), narrow: false });
        self.values.len() - 1
    }

    fn new_workspace(&mut self, len: usize) -> ValueId {
        let len = len.next_multiple_of(LANES);
        let extent = Extent { images: 0, size: Size { height: 0, width: 0 } };
        self.values.push(Value { offset: 0, len, blocks: Vec::new(), extent, node: None, narrow: false });
        self.values.len() - 1
    }

    /// The nodes with maps of their own that a node's value consists of, in order.
    pub(super) fn parts(&self, node: NodeId) -> Vec<NodeId> {
        match self.graph.node(node) {
            Node::Concatenate { inputs } => inputs.iter().flat_map(|input| self.parts(*input)).collect(),
            _ => vec![node],
        }
    }

    /// The blocks of a node's value; of maps that are not in memory, the saved ones.
    fn operands(&self, node: NodeId) -> Vec<Operand> {
        let mut operands = Vec::new();
        let mut first = 0;
        for part in self.parts(node) {
            let value = self.maps[part.0].or(self.saved[part.0]);
            debug_assert!(value.is_some(), "a map exists before it is read");
            let Some(value) = value else { continue };
            let layer = self.network.activated_by(part, self.training);
            for (block, channels) in self.network.blocks[part.0].iter().copied().enumerate() {
                operands.push(Operand { value, block, channels, first, layer });
                first += channels;
            }
        }
        operands
    }

    /// Computes a node's map.
    pub(super) fn compute(&mut self, node: usize) {
        let step = match self.graph.node(NodeId(node)) {
            Node::Concatenate { .. } => return,
            Node::Input { .. } => Step::Input { to: self.new_map(node) },
            Node::Convolution { input, .. } | Node::TransposedConvolution { input, .. } => {
                let from = self.operands(*input);
                let to = self.new_map(node);
                let blocks = self.values[to].blocks.len();
                let (algorithm, memory) = self.kernels.forward(self.shape(node, &from, blocks));
                let workspace = self.new_workspace(memory);
                let (layer, rounds) = (self.network.layer_of[node], self.saves(node));
                Step::Convolve { layer, algorithm, from, to, workspace, rounds }
            }
            Node::MaxPool { input, side } => {
                let from = self.operands(*input);
                Step::Pool { side: *side, from, to: self.new_map(node) }
            }
            Node::Upsample { input, interpolation, .. } => {
                let from = self.operands(*input);
                let (rows, columns) = self.axes(*input, node, *interpolation);
                Step::Upsample { from, to: self.new_map(node), rows, columns }
            }
            Node::Combine { inputs, operation, activation } => {
                let from = inputs.map(|input| self.operands(input));
                Step::Combine { operation: *operation, bend: Bend::of(*activation), from, to: self.new_map(node) }
            }
            Node::GlobalAveragePool { input } => {
                Step::GlobalPool { from: self.operands(*input), to: self.new_map(node) }
            }
            Node::Smooth { input, activation } => {
                Step::Smooth { activation: *activation, from: self.operands(*input), to: self.new_map(node) }
            }
            Node::LayerNorm { input, epsilon } => {
                Step::LayerNorm { epsilon: *epsilon, from: self.operands(*input), to: self.new_map(node) }
            }
            Node::Gate { inputs, gating } => {
                let [from, gate] = inputs.map(|input| self.operands(input));
                Step::Gate { gating: *gating, from, gate, to: self.new_map(node) }
            }
        };
        self.maps[node] = match &step {
            Step::Input { to }
            | Step::Convolve { to, .. }
            | Step::Pool { to, .. }
            | Step::Upsample { to, .. }
            | Step::Combine { to, .. }
            | Step::GlobalPool { to, .. }
            | Step::Smooth { to, .. }
            | Step::LayerNorm { to, .. }
            | Step::Gate { to, .. } => Some(*to),
            _ => None,
        };
        self.steps.push(step);
    }

    fn axes(&self, input: NodeId, node: usize, interpolation: Interpolation) -> (Axis, Axis) {
        let (from, to) = (self.sizes[input.0], self.sizes[node]);
        (Axis::new(interpolation, from.height, to.height), Axis::new(interpolation, from.width, to.width))
    }

    /// Destinations of the gradient to a node's value, in passes: a map that occurs twice gets one per pass. `first`
    /// counts channels of the node's whole value.
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

    /// The backward pass: every node's gradient is complete before it is passed on, because all readers come later in
    /// the graph.
    pub(super) fn differentiate(&mut self) {
        for (head, node) in self.graph.heads().iter().enumerate() {
            for to in self.destinations(*node) {
                self.steps.push(Step::OutputGradient { head, to });
            }
        }
        for (index, node) in self.graph.nodes().iter().enumerate() {
            let is_kept = matches!(node, Node::Upsample { .. }) && self.kernels.keeps_enlarged();
            if !(node.is_convolution() || is_kept) {
                self.maps[index] = None;
            }
        }
        for index in (0..self.graph.nodes().len()).rev() {
            let Some(gradient) = self.gradients[index] else { continue };
            // Saved maps are widened for one node alone: the next one to read them may come much later.
            for (map, _) in self.maps.iter_mut().zip(&self.saved).filter(|(_, saved)| saved.is_some()) {
                *map = None;
            }
            match self.graph.node(NodeId(index)) {
                Node::Input { .. } | Node::Concatenate { .. } => {}
                Node::Convolution { input, .. } | Node::TransposedConvolution { input, .. } => {
                    self.differentiate_convolution(index, *input, gradient);
                }
                Node::MaxPool { input, side } => {
                    self.recompute(*input);
                    let from = self.operands(*input);
                    let own = self.own_operands(gradient, index);
                    for to in self.destinations(*input) {
                        let (from, gradient) = (matching(&from, &to), matching(&own, &to));
                        self.steps.push(Step::PoolGradient { side: *side, from, gradient, to });
                    }
                }
                Node::Upsample { input, interpolation, .. } => {
                    let (rows, columns) = self.axes(*input, index, *interpolation);
                    let own = self.own_operands(gradient, index);
                    for to in self.destinations(*input) {
                        let (gradient, rows, columns) = (matching(&own, &to), rows.clone(), columns.clone());
                        self.steps.push(Step::UpsampleGradient { gradient, to, rows, columns });
                    }
                }
                Node::Combine { inputs, operation, activation } => {
                    self.differentiate_combination(index, *inputs, *operation, *activation, gradient);
                }
                Node::GlobalAveragePool { input } => {
                    let own = self.own_operands(gradient, index);
                    for to in self.destinations(*input) {
                        self.steps.push(Step::GlobalPoolGradient { gradient: matching(&own, &to), to });
                    }
                }
                Node::Smooth { input, activation } => {
                    self.recompute(*input);
                    let (from, own) = (self.operands(*input), self.own_operands(gradient, index));
                    for to in self.destinations(*input) {
                        let (activation, from, gradient) = (*activation, matching(&from, &to), matching(&own, &to));
                        self.steps.push(Step::SmoothGradient { activation, from, gradient, to });
                    }
                }
                Node::LayerNorm { input, epsilon } => {
                    self.recompute(*input);
                    let (from, own) = (self.operands(*input), self.own_operands(gradient, index));
                    for to in self.destinations(*input) {
                        let (epsilon, from, gradient) = (*epsilon, matching(&from, &to), matching(&own, &to));
                        self.steps.push(Step::LayerNormGradient { epsilon, from, gradient, to });
                    }
                }
                Node::Gate { inputs, gating } => self.differentiate_gate(index, *inputs, *gating, gradient),
            }
        }
    }

    fn differentiate_convolution(&mut self, node: usize, input: NodeId, gradient: ValueId) {
        let Some(map) = self.saved[node].or(self.maps[node]) else { return };
        let layer = self.network.layer_of[node];
        let blocks = self.values[map].blocks.len();
        let workspace = self.new_workspace(self.kernels.norm_gradient(self.extent(node), blocks));
        self.steps.push(Step::NormGradient { layer, map, gradient, workspace });
        let is_transposed = self.network.layers[layer].transposed;
        if is_transposed {
            self.recompute(input);
        } else {
            self.recompute_lost(input);
        }
        let from = self.operands(input);
        let (from, shape) = if is_transposed {
            // Kernels take it for a convolution from this node's map to its input, and read the input as one plain map.
            let (from, own) = (self.plain(input, from), self.own_operands(gradient, node));
            let shape = ConvolutionShape { extent: self.extent(input.0), ..self.shape(node, &own, from.len()) };
            (from, shape)
        } else {
            let shape = self.shape(node, &from, blocks);
            (from, shape)
        };
        let (algorithm, memory) = self.kernels.weight_gradient(shape);
        let from = if self.kernels.reads_bf16(algorithm) || from.iter().all(|o| !self.values[o.value].narrow) {
            from
        } else {
            self.recompute(input);
            self.operands(input)
        };
        let workspace = self.new_workspace(memory);
        self.steps.push(Step::WeightGradient { layer, algorithm, from, gradient, workspace });
        for to in self.destinations(input) {
            let read = self.own_operands(gradient, node);
            let (algorithm, memory) = self.kernels.input_gradient(self.shape(node, &read, to.len()));
            let workspace = self.new_workspace(memory);
            self.steps.push(Step::InputGradient { layer, algorithm, gradient, to, workspace });
        }
    }

    /// The blocks of a node's value in one map that needs no activation: this map, or a copy.
    fn plain(&mut self, node: NodeId, from: Vec<Operand>) -> Vec<Operand> {
        if from.iter().all(|operand| operand.layer.is_none() && operand.value == from[0].value) {
            return from;
        }
        let to = self.new_map(node.0);
        self.steps.push(Step::Copy { from, to });
        self.own_operands(to, node.0)
    }

    fn differentiate_combination(
        &mut self,
        node: usize,
        [a, b]: [NodeId; 2],
        operation: Operation,
        activation: Activation,
        gradient: ValueId,
    ) {
        // The stored, activated map is read: its sign is the same.
        let result = if activation == Activation::Identity {
            Vec::new()
        } else {
            self.recompute(NodeId(node));
            self.operands(NodeId(node))
        };
        for (input, other) in [(a, b), (b, a)] {
            let other = match operation {
                Operation::Product if self.network.trained[input.0] => {
                    self.recompute(other);
                    self.operands(other)
                }
                Operation::Product | Operation::Sum => Vec::new(),
            };
            let gradient = self.own_operands(gradient, node);
            for to in self.destinations(input) {
                let (result, other) = (matching(&result, &to), matching(&other, &to));
                let gradient = matching(&gradient, &to);
                self.steps.push(Step::CombineGradient { bend: Bend::of(activation), result, other, gradient, to });
            }
        }
    }

    fn differentiate_gate(&mut self, node: usize, [map, gate]: [NodeId; 2], gating: Gating, gradient: ValueId) {
        let own = self.own_operands(gradient, node);
        if self.network.trained[map.0] {
            self.recompute(gate);
            let gates = self.operands(gate);
            for to in self.destinations(map) {
                let gate = if gating == Gating::Pixel { gates.clone() } else { matching(&gates, &to) };
                self.steps.push(Step::GateGradient { gating, gate, gradient: matching(&own, &to), to });
            }
        }
        if self.network.trained[gate.0] {
            self.recompute(map);
            let from = self.operands(map);
            for to in self.destinations(gate) {
                let of = |all: &[Operand]| if gating == Gating::Pixel { all.to_vec() } else { matching(all, &to) };
                let (from, gradient) = (of(&from), of(&own));
                self.steps.push(Step::GateSum { gating, from, gradient, to });
            }
        }
    }

    /// Shape of the convolution at a node, or of its gradient, that reads `from` and writes this many blocks.
    fn shape(&self, node: usize, from: &[Operand], targets: usize) -> ConvolutionShape {
        let Layer { kernel, stride, dilation, depthwise, .. } = self.network.layers[self.network.layer_of[node]];
        let (channels, sources) = (from.iter().map(|o| o.channels).sum(), from.len());
        ConvolutionShape { kernel, stride, dilation, depthwise, extent: self.extent(node), channels, sources, targets }
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

/// The operands with the channels of `to`.
fn matching(from: &[Operand], to: &[Destination]) -> Vec<Operand> {
    from.iter().filter(|o| to.iter().any(|d| d.operand.first == o.first)).copied().collect()
}
