//! U-Net without normalisation: an encoder, a decoder, and at each level the encoder's map beside the decoder's.
//!
//! Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation", 2015; with leaky ReLU, and by
//! default with nearest upsampling followed by a convolution in place of a transposed one.
//!
//! Parameters: `encoderI.conv1`, `encoderI.conv2`, then from the deepest level up `upI.conv`, `decoderI.conv1`,
//! `decoderI.conv2`, and `final`; level `I` counts from the image's own size.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::NormSpec;
use super::head::HeadSpec;
use sweep_graph::{Activation, Graph, Interpolation, Node, NodeId, Start};

const ACTIVATION: Activation = Activation::LeakyRelu { slope: 0.01 };

/// How a decoder enlarges maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Upsampling {
    /// By the nearest pixel, then a 3×3 convolution with its normalisation and activation.
    #[default]
    Nearest,
    /// By a transposed 2×2 convolution with stride 2, as published.
    Transposed,
}

impl Upsampling {
    /// Whether it is the default.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn is_nearest(&self) -> bool {
        *self == Self::Nearest
    }
}

/// U-Net of these `filters` (at least two levels), with one head.
pub(super) fn graph(
    channels: usize,
    landmarks: usize,
    filters: &[usize],
    upsampling: Upsampling,
    norm: NormSpec,
    head: &HeadSpec,
) -> Graph {
    let mut graph = Graph::new();
    let images = graph.push(Node::Input { channels });
    let mut skips: Vec<NodeId> = Vec::new();
    for (level, channels) in filters.iter().enumerate() {
        let input = match skips.last() {
            Some(above) => graph.push(Node::MaxPool { input: *above, side: 2 }),
            None => images,
        };
        let name = format!("encoder{level}");
        let map = block(&mut graph, input, &name, *channels, norm);
        skips.push(map);
    }
    let mut map = skips[filters.len() - 1];
    for level in (0..filters.len() - 1).rev() {
        let skip = skips[level];
        let name = format!("up{level}");
        let up = match upsampling {
            Upsampling::Nearest => {
                let up = Node::Upsample { input: map, like: skip, interpolation: Interpolation::Nearest };
                let up = graph.push(up);
                convolution(&mut graph, up, &name, "", filters[level], norm)
            }
            Upsampling::Transposed => graph.push(Node::TransposedConvolution {
                input: map,
                like: skip,
                name: format!("{name}.conv"),
                channels: filters[level],
                kernel: 2,
                bias: true,
                start: Start::Torch,
                norm: None,
                activation: Activation::Identity,
            }),
        };
        let both = graph.push(Node::Concatenate { inputs: vec![skip, up] });
        map = block(&mut graph, both, &format!("decoder{level}"), filters[level], norm);
    }
    head.push(&mut graph, map, "final", landmarks, 1, Start::Torch);
    graph
}

/// Twice: convolution 3×3, optional normalisation, leaky ReLU.
fn block(graph: &mut Graph, input: NodeId, name: &str, channels: usize, norm: NormSpec) -> NodeId {
    ["1", "2"].into_iter().fold(input, |input, index| convolution(graph, input, name, index, channels, norm))
}

/// The convolution `NAME.convINDEX` with its normalisation `NAME.normINDEX`.
fn convolution(graph: &mut Graph, input: NodeId, name: &str, index: &str, channels: usize, norm: NormSpec) -> NodeId {
    graph.push(Node::Convolution {
        input,
        name: format!("{name}.conv{index}"),
        channels,
        kernel: 3,
        stride: 1,
        dilation: 1,
        depthwise: false,
        bias: true,
        start: Start::Torch,
        norm: norm.named(format!("{name}.norm{index}"), channels),
        activation: ACTIVATION,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_follow_the_way_of_the_image() {
        let specs = |upsampling| graph(1, 10, &[4, 8], upsampling, NormSpec::none(), &HeadSpec::default()).parameters();
        let transposed = specs(Upsampling::Transposed);
        let of_up = transposed.iter().find(|spec| spec.name == "up0.conv.weight").map(|spec| spec.shape.clone());
        assert_eq!(of_up.unwrap(), [8, 4, 2, 2]);
        let specs = specs(Upsampling::Nearest);
        let weights: Vec<(&str, &[usize])> = specs
            .iter()
            .filter(|spec| spec.name.ends_with("weight"))
            .map(|spec| (spec.name.as_str(), spec.shape.as_slice()))
            .collect();
        let expected: [(&str, &[usize]); 8] = [
            ("encoder0.conv1.weight", &[4, 1, 3, 3]),
            ("encoder0.conv2.weight", &[4, 4, 3, 3]),
            ("encoder1.conv1.weight", &[8, 4, 3, 3]),
            ("encoder1.conv2.weight", &[8, 8, 3, 3]),
            ("up0.conv.weight", &[4, 8, 3, 3]),
            ("decoder0.conv1.weight", &[4, 8, 3, 3]),
            ("decoder0.conv2.weight", &[4, 4, 3, 3]),
            ("final.weight", &[10, 4, 1, 1]),
        ];
        assert_eq!(weights, expected);
        assert!(specs.iter().all(|spec| spec.role.is_trained()), "no normalisation");
    }
}
