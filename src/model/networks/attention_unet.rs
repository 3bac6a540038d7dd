//! U-Net whose skip connections pass gates that tell where to look.
//!
//! Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas", 2018, in the form of `AttU_Net` by `LeeJunHyun`,
//! whose names the parameters have: `ConvN.conv`, then from the deepest level up `UpN.up`, `AttN.W_g`, `AttN.W_x`,
//! `AttN.psi`, `Up_convN.conv`, and `Conv_1x1`; levels count from 1, the image's own size. There a gate reads the
//! decoder's map after it was enlarged, so that it works at the size of the skip connection, and its convolutions are
//! normalised; in the paper it works at the decoder's size, and its result is enlarged.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::NormSpec;
use super::head::HeadSpec;
use super::spec::check_filters;
use super::weights::WeightsSpec;
use sweep_core::error::Result;
use sweep_graph::{Activation, Gating, Graph, Interpolation, Node, NodeId, Operation, SmoothActivation, Start};

/// Sizes of a U-Net with attention gates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttentionUNetSpec {
    /// Channels of each level, from the image's own size down. A gate has half of its level's.
    #[serde(default = "filters")]
    pub filters: Vec<usize>,
    /// Normalisation; over a batch by default. For groups, the single channel of a gate's result is one group.
    #[serde(default = "NormSpec::batch", skip_serializing_if = "NormSpec::is_batch")]
    pub norm: NormSpec,
    /// The head.
    #[serde(default, skip_serializing_if = "HeadSpec::is_default")]
    pub head: HeadSpec,
    /// A file of initial weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<WeightsSpec>,
}

fn filters() -> Vec<usize> {
    vec![64, 128, 256, 512, 1024]
}

/// Channels of the gate of a level with so many.
fn of_gate(channels: usize) -> usize {
    (channels / 2).max(1)
}

impl AttentionUNetSpec {
    /// Checks what the types cannot.
    pub(super) fn check(&self) -> Result<()> {
        check_filters(&self.filters)?;
        let gates: Vec<usize> = self.filters[..self.filters.len() - 1].iter().map(|level| of_gate(*level)).collect();
        self.norm.check(&[self.filters.as_slice(), &gates].concat())
    }

    /// The network.
    pub(super) fn graph(&self, channels: usize, landmarks: usize) -> Graph {
        let mut graph = Graph::new();
        let images = graph.push(Node::Input { channels });
        let mut layers = Layers { graph, norm: self.norm };
        let mut skips: Vec<NodeId> = Vec::new();
        for (level, channels) in self.filters.iter().enumerate() {
            let input = match skips.last() {
                Some(above) => layers.graph.push(Node::MaxPool { input: *above, side: 2 }),
                None => images,
            };
            skips.push(layers.block(input, &format!("Conv{}", level + 1), *channels));
        }
        let mut map = skips[skips.len() - 1];
        for level in (0..skips.len() - 1).rev() {
            let (skip, channels, number) = (skips[level], self.filters[level], level + 2);
            let interpolation = Interpolation::Nearest;
            let up = layers.graph.push(Node::Upsample { input: map, like: skip, interpolation });
            let [conv, norm] = [format!("Up{number}.up.1"), format!("Up{number}.up.2")];
            let up = layers.convolution(up, [&conv, &norm], channels, 3, Activation::Relu);
            let seen = layers.attended(up, skip, &format!("Att{number}"), of_gate(channels));
            let both = layers.graph.push(Node::Concatenate { inputs: vec![seen, up] });
            map = layers.block(both, &format!("Up_conv{number}"), channels);
        }
        let mut graph = layers.graph;
        self.head.push(&mut graph, map, "Conv_1x1", landmarks, 1, Start::Torch);
        graph
    }

    /// Small sizes, for tests.
    pub(super) fn example() -> Self {
        Self { filters: vec![3, 5, 6], norm: NormSpec::batch(), head: HeadSpec::default(), weights: None }
    }
}

/// A graph under construction.
struct Layers {
    graph: Graph,
    norm: NormSpec,
}

impl Layers {
    /// A convolution and its normalisation, by their names.
    fn convolution(
        &mut self,
        input: NodeId,
        [name, norm]: [&str; 2],
        channels: usize,
        kernel: usize,
        activation: Activation,
    ) -> NodeId {
        let of_one = matches!(self.norm, NormSpec::Group { .. }) && channels == 1;
        let kind = if of_one { NormSpec::Instance {} } else { self.norm };
        self.graph.push(Node::Convolution {
            input,
            name: name.to_owned(),
            channels,
            kernel,
            stride: 1,
            dilation: 1,
            depthwise: false,
            bias: true,
            start: Start::Torch,
            norm: kind.named(norm.to_owned(), channels),
            activation,
        })
    }

    /// Twice: convolution, normalisation, `ReLU`.
    fn block(&mut self, input: NodeId, name: &str, channels: usize) -> NodeId {
        [[0, 1], [3, 4]].into_iter().fold(input, |input, parts| {
            let [conv, norm] = parts.map(|part| format!("{name}.conv.{part}"));
            self.convolution(input, [&conv, &norm], channels, 3, Activation::Relu)
        })
    }

    /// The skip connection times its gate: the sigmoid of one channel made of the sum of both maps' features.
    fn attended(&mut self, decoded: NodeId, skip: NodeId, name: &str, channels: usize) -> NodeId {
        let features = [(decoded, "W_g"), (skip, "W_x")].map(|(map, part)| {
            let [conv, norm] = [0, 1].map(|index| format!("{name}.{part}.{index}"));
            self.convolution(map, [&conv, &norm], channels, 1, Activation::Identity)
        });
        let (operation, activation) = (Operation::Sum, Activation::Relu);
        let sum = self.graph.push(Node::Combine { inputs: features, operation, activation });
        let [conv, norm] = [0, 1].map(|index| format!("{name}.psi.{index}"));
        let psi = self.convolution(sum, [&conv, &norm], 1, 1, Activation::Identity);
        let gate = self.graph.push(Node::Smooth { input: psi, activation: SmoothActivation::Sigmoid });
        self.graph.push(Node::Gate { inputs: [skip, gate], gating: Gating::Pixel })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sweep_core::units::Size;

    #[test]
    fn has_the_published_number_of_parameters_and_names() {
        let spec: AttentionUNetSpec = toml::from_str("").unwrap();
        let graph = spec.graph(3, 1);
        // Number of AttU_Net for three channels and one class.
        assert_eq!(graph.trained_values(), 34_878_573);
        let shapes: Vec<(String, Vec<usize>)> = graph.parameters().into_iter().map(|p| (p.name, p.shape)).collect();
        for (name, shape) in [
            ("Conv1.conv.0.weight", vec![64, 3, 3, 3]),
            ("Conv5.conv.4.running_var", vec![1024]),
            ("Up5.up.1.weight", vec![512, 1024, 3, 3]),
            ("Att5.W_g.0.weight", vec![256, 512, 1, 1]),
            ("Att2.psi.0.weight", vec![1, 32, 1, 1]),
            ("Att2.psi.1.bias", vec![1]),
            ("Up_conv2.conv.3.bias", vec![64]),
            ("Conv_1x1.bias", vec![1]),
        ] {
            assert!(shapes.contains(&(name.to_owned(), shape)), "{name}");
        }
        let sizes = graph.sizes(Size { height: 37, width: 53 }).unwrap();
        assert_eq!(sizes[graph.heads()[0].0], Size { height: 37, width: 53 });
    }

    #[test]
    fn groups_divide_the_channels_of_gates_too() {
        let spec: AttentionUNetSpec =
            toml::from_str("filters = [4, 12]\nnorm = { name = 'group', groups = 4 }").unwrap();
        assert_eq!(spec.check().unwrap_err().location.as_deref(), Some("norm.groups"));
        let spec: AttentionUNetSpec =
            toml::from_str("filters = [4, 12]\nnorm = { name = 'group', groups = 2 }").unwrap();
        spec.check().unwrap();
        assert_eq!(spec.graph(1, 2).heads().len(), 1);
    }
}
