//! The encoder `EfficientNet` as timm and, under `timm-efficientnet-b0`, `segmentation_models_pytorch` have it: inverted
//! residual blocks with `SiLU` and squeeze-and-excitation (Hu et al. 2018). Parameters have timm's names after
//! `encoder.`, and the skip connection at half of the image's size is the stem's, not the first stage's.

use super::super::NormSpec;
use super::super::decoder::Bare;
use super::{Encoded, STAGES, STEM, scaled};
use sweep_graph::{Activation, Gating, Graph, Node, NodeId, Operation, SmoothActivation, Start};

/// Channels of a block's input for one channel of its squeezed map.
const SQUEEZE: usize = 4;

/// Appends the encoder.
pub(super) fn push(graph: &mut Graph, images: NodeId, [width, depth]: [f64; 2], norm: NormSpec) -> Encoded {
    let mut layers = Layers { graph, norm };
    let [conv, bn] = ["encoder.conv_stem", "encoder.bn1"];
    let stem = layers.convolution(images, [conv, bn], scaled(STEM, width), [3, 2], false);
    let mut map = layers.smooth(stem, SmoothActivation::Silu);
    // The first stage keeps the stem's size; the decoder reads the stem.
    let mut skips = vec![images, map];
    for (number, stage) in STAGES.into_iter().enumerate() {
        if stage.stride == 2 && number > 1 {
            skips.push(map);
        }
        for block in 0..(stage.blocks as f64 * depth).ceil() as usize {
            let stride = if block == 0 { stage.stride } else { 1 };
            let (name, channels) = (format!("encoder.blocks.{number}.{block}"), scaled(stage.channels, width));
            map = layers.block(map, &name, [stage.kernel, stride], stage.expansion, channels);
        }
    }
    Encoded { skips, deepest: map }
}

/// A graph under construction.
struct Layers<'a> {
    graph: &'a mut Graph,
    norm: NormSpec,
}

impl Layers<'_> {
    /// A convolution and its normalisation, by their names.
    fn convolution(
        &mut self,
        input: NodeId,
        [name, norm]: [&str; 2],
        channels: usize,
        [kernel, stride]: [usize; 2],
        depthwise: bool,
    ) -> NodeId {
        let norm = self.norm.named(norm.to_owned(), channels);
        let (name, start, activation) = (name.to_owned(), Start::HeOut, Activation::Identity);
        let layer = Bare { name, channels, kernel, stride, dilation: 1, depthwise, start, norm, activation };
        layer.push(self.graph, input)
    }

    fn smooth(&mut self, input: NodeId, activation: SmoothActivation) -> NodeId {
        self.graph.push(Node::Smooth { input, activation })
    }

    /// An inverted residual block: more channels, a depthwise convolution, squeeze-and-excitation, fewer channels; and a
    /// shortcut where the shape stays the same. Without more channels, timm counts its layers from the depthwise one.
    fn block(
        &mut self,
        input: NodeId,
        name: &str,
        [kernel, stride]: [usize; 2],
        expansion: usize,
        channels: usize,
    ) -> NodeId {
        let named = |layer: &str| format!("{name}.{layer}");
        let inputs = self.graph.channels(input);
        let wide = inputs * expansion;
        let (mut map, mut names) = (input, ["bn1", "conv_pw", "bn2"]);
        if expansion > 1 {
            names = ["bn2", "conv_pwl", "bn3"];
            map = self.convolution(map, [&named("conv_pw"), &named("bn1")], wide, [1, 1], false);
            map = self.smooth(map, SmoothActivation::Silu);
        }
        let [of_depthwise, project, of_project] = names.map(named);
        map = self.convolution(map, [&named("conv_dw"), &of_depthwise], wide, [kernel, stride], true);
        map = self.smooth(map, SmoothActivation::Silu);
        map = self.squeezed_and_excited(map, &named("se"), inputs / SQUEEZE);
        map = self.convolution(map, [&project, &of_project], channels, [1, 1], false);
        if stride > 1 || inputs != channels {
            return map;
        }
        let (operation, activation) = (Operation::Sum, Activation::Identity);
        self.graph.push(Node::Combine { inputs: [map, input], operation, activation })
    }

    /// The map, every channel times a factor that is made of the means of all.
    fn squeezed_and_excited(&mut self, map: NodeId, name: &str, squeezed: usize) -> NodeId {
        let channels = self.graph.channels(map);
        let mut gate = self.graph.push(Node::GlobalAveragePool { input: map });
        for (part, channels, activation) in
            [("conv_reduce", squeezed, SmoothActivation::Silu), ("conv_expand", channels, SmoothActivation::Sigmoid)]
        {
            gate = self.graph.push(Node::Convolution {
                input: gate,
                name: format!("{name}.{part}"),
                channels,
                kernel: 1,
                stride: 1,
                dilation: 1,
                depthwise: false,
                bias: true,
                start: Start::HeOut,
                norm: None,
                activation: Activation::Identity,
            });
            gate = self.smooth(gate, activation);
        }
        self.graph.push(Node::Gate { inputs: [map, gate], gating: Gating::Channel })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{EfficientNetSpec, Published};

    #[test]
    fn channels_and_blocks_are_the_published_ones() {
        let spec: EfficientNetSpec = toml::from_str("").unwrap();
        let graph = spec.graph(Published::B0, 3, 19);
        let shapes: Vec<(String, Vec<usize>)> = graph.parameters().into_iter().map(|p| (p.name, p.shape)).collect();
        let has = |name: &str, shape: &[usize]| shapes.iter().any(|(n, s)| n == name && s == shape);
        // Names and shapes of timm's efficientnet_b0.
        assert!(has("encoder.conv_stem.weight", &[32, 3, 3, 3]));
        assert!(has("encoder.blocks.0.0.se.conv_reduce.weight", &[8, 32, 1, 1]));
        assert!(has("encoder.blocks.0.0.conv_pw.weight", &[16, 32, 1, 1]));
        assert!(has("encoder.blocks.1.0.conv_pw.weight", &[96, 16, 1, 1]));
        assert!(has("encoder.blocks.1.0.se.conv_expand.bias", &[96]));
        assert!(has("encoder.blocks.6.0.bn3.running_var", &[320]));
        assert!(has("decoder.blocks.3.conv1.0.weight", &[32, 64 + 32, 3, 3]));
        let blocks = |network| {
            let names = spec.graph(network, 3, 19).parameters();
            names.iter().filter(|p| p.name.ends_with("conv_dw.weight")).count()
        };
        assert_eq!([Published::B0, Published::B1, Published::B2].map(blocks), [16, 23, 23]);
    }
}
