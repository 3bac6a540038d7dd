//! Maps for the backward pass: those of normalised convolutions are saved at half the memory, if the engine says so; others
//! than those of convolutions are computed again.

use super::network::Layer;
use super::planner::Planner;
use super::{Kernels, LANES, Step, ValueId};
use sweep_graph::NodeId;

impl<K: Kernels> Planner<'_, K> {
    /// Whether a node's map is saved in bf16.
    pub(super) fn saves(&self, node: usize) -> bool {
        let is_normalised =
            |layer: &usize| self.network.layers.get(*layer).is_some_and(|layer: &Layer| layer.norm.is_some());
        self.training
            && self.kernels.saves_bf16()
            && self.graph.node(NodeId(node)).is_convolution()
            && self.network.layer_of.get(node).is_some_and(is_normalised)
    }

    /// Saves maps in bf16, each after the last step of the forward pass that reads it.
    pub(super) fn save_maps(&mut self) {
        let mut last = vec![0; self.values.len()];
        for (index, step) in self.steps.iter().enumerate() {
            for value in step.values() {
                last[value] = index;
            }
        }
        let narrowed = (0..self.maps.len()).filter(|node| self.saves(*node));
        let mut narrowed: Vec<(usize, usize, ValueId)> =
            narrowed.filter_map(|node| self.maps[node].map(|map| (last[map], node, map))).collect();
        narrowed.sort_unstable();
        let mut narrowed = narrowed.into_iter().peekable();
        for (index, step) in std::mem::take(&mut self.steps).into_iter().enumerate() {
            self.steps.push(step);
            while let Some((_, node, from)) = narrowed.next_if(|(last, ..)| *last == index) {
                let to = self.new_narrow_map(node);
                self.saved[node] = Some(to);
                self.steps.push(Step::Narrow { from, to });
            }
        }
    }

    /// Recomputes the maps of a node's value that are no longer in memory and not saved.
    pub(super) fn recompute_lost(&mut self, node: NodeId) {
        for part in self.parts(node) {
            if self.maps[part.0].or(self.saved[part.0]).is_none() {
                for input in self.graph.node(part).inputs() {
                    self.recompute(*input);
                }
                self.compute(part.0);
            }
        }
    }

    /// Recomputes the maps of a node's value that are no longer in memory, and widens saved ones.
    pub(super) fn recompute(&mut self, node: NodeId) {
        self.recompute_lost(node);
        for part in self.parts(node) {
            if let (None, Some(from)) = (self.maps[part.0], self.saved[part.0]) {
                let to = self.new_map(part.0);
                self.maps[part.0] = Some(to);
                self.steps.push(Step::Widen { from, to });
            }
        }
    }

    /// A map with half the memory.
    fn new_narrow_map(&mut self, node: usize) -> ValueId {
        let value = self.new_map(node);
        let of = &mut self.values[value];
        (of.len, of.narrow) = (of.len.div_ceil(2).next_multiple_of(LANES), true);
        value
    }
}
