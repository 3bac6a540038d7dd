//! U-Net with a residual network as its encoder, like `Unet("resnet18")` and `Unet("resnet34")` of
//! `segmentation_models_pytorch`.
//!
//! He et al., "Deep Residual Learning for Image Recognition", 2016. The encoder's parameters have torchvision's names
//! after `encoder.`, the rest those of `segmentation_models_pytorch`: `decoder.blocks.I.convJ.0` with its normalisation
//! `decoder.blocks.I.convJ.1`, from the deepest block up, and `segmentation_head.0`. So weights can be exchanged by
//! name.
//!
//! An image is halved once more often than there are stages, rounded up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::NormSpec;
use super::decoder::{self, Bare};
use super::head::HeadSpec;
use super::spec::check_filters;
use super::weights::WeightsSpec;
use sweep_core::error::Result;
use sweep_graph::{Activation, Graph, Node, NodeId, Operation, Start};

/// Sizes of a U-Net whose encoder is a residual network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UNetResNetSpec {
    /// Channels of each stage of the encoder; its stem, at half the image's size, has those of the first stage.
    #[serde(default = "filters")]
    pub filters: Vec<usize>,
    /// Channels of each block of the decoder, from the deepest up: one more block than stages.
    #[serde(default = "decoder::published")]
    pub decoder: Vec<usize>,
    /// Normalisation; over a batch by default.
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
    vec![64, 128, 256, 512]
}

/// Residual blocks of each of the published networks' stages.
#[derive(Debug, Clone, Copy)]
pub(super) enum Depth {
    /// Two blocks a stage.
    ResNet18,
    /// Three, four, six and three.
    ResNet34,
}

impl Depth {
    /// Blocks of a stage; stages beyond the published four have as many as the last.
    fn blocks(self, stage: usize) -> usize {
        match self {
            Self::ResNet18 => 2,
            Self::ResNet34 => [3, 4, 6, 3][stage.min(3)],
        }
    }
}

impl UNetResNetSpec {
    /// Checks what the types cannot.
    pub(super) fn check(&self) -> Result<()> {
        check_filters(&self.filters)?;
        decoder::check(&self.decoder, self.filters.len() + 1)?;
        self.norm.check_residual(&[self.filters.as_slice(), &self.decoder].concat())
    }

    /// The network.
    pub(super) fn graph(&self, depth: Depth, channels: usize, landmarks: usize) -> Graph {
        let Self { filters, decoder, norm, head, weights: _ } = self;
        let mut graph = Graph::new();
        let images = graph.push(Node::Input { channels });
        let mut maps = encoder(&mut graph, images, depth, filters, *norm, LastStage::Strided);
        let map = maps.pop().unwrap_or(images);
        maps.insert(0, images);
        decoder::push(&mut graph, map, maps, decoder, *norm, (head, landmarks));
        graph
    }

    /// Small sizes, for tests.
    pub(super) fn example() -> Self {
        let (filters, decoder) = (vec![4, 6, 18], vec![18, 6, 5, 4]);
        Self { filters, decoder, norm: NormSpec::batch(), head: HeadSpec::default(), weights: None }
    }
}

/// How the last stage of an encoder sees further than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LastStage {
    /// Its first block halves the map.
    Strided,
    /// Its convolutions have a dilation of 2.
    Dilated,
}

/// Appends a residual network without its classifier; returns the maps of its stem and of every stage.
pub(super) fn encoder(
    graph: &mut Graph,
    images: NodeId,
    depth: Depth,
    filters: &[usize],
    norm: NormSpec,
    last: LastStage,
) -> Vec<NodeId> {
    let blocks = ResidualBlocks { norm, activation: Activation::Relu };
    let stem = blocks.convolution(["encoder.conv1", "encoder.bn1"], filters[0], [7, 2], Activation::Relu);
    let stem = stem.push(graph, images);
    let mut maps = vec![stem];
    let mut map = graph.push(Node::MaxPool { input: stem, side: 3 });
    for (stage, channels) in filters.iter().enumerate() {
        let is_dilated = last == LastStage::Dilated && stage + 1 == filters.len();
        for block in 0..depth.blocks(stage) {
            let name = format!("encoder.layer{}.{block}", stage + 1);
            map = if is_dilated {
                blocks.dilated(graph, map, &name, *channels)
            } else {
                blocks.basic(graph, map, &name, *channels, if stage > 0 && block == 0 { 2 } else { 1 })
            };
        }
        maps.push(map);
    }
    maps
}

/// Residual blocks with torchvision's names.
#[derive(Debug, Clone, Copy)]
pub(super) struct ResidualBlocks {
    /// Normalisation of every convolution.
    pub(super) norm: NormSpec,
    /// Activation between convolutions, and after each block.
    pub(super) activation: Activation,
}

impl ResidualBlocks {
    /// A convolution and its normalisation, by their names.
    pub(super) fn convolution(
        self,
        [name, norm]: [&str; 2],
        channels: usize,
        [kernel, stride]: [usize; 2],
        activation: Activation,
    ) -> Bare {
        let (start, norm) = (Start::HeOut, self.norm.named(norm.to_owned(), channels));
        Bare { name: name.to_owned(), channels, kernel, stride, dilation: 1, depthwise: false, start, norm, activation }
    }

    /// Two convolutions and a shortcut around them; the shortcut has its own convolution if shapes differ.
    pub(super) fn basic(self, graph: &mut Graph, input: NodeId, name: &str, channels: usize, stride: usize) -> NodeId {
        self.block(graph, input, name, &[(channels, 3, stride), (channels, 3, 1)], 1)
    }

    /// The same without a stride, with every second pixel of a window twice as large.
    fn dilated(self, graph: &mut Graph, input: NodeId, name: &str, channels: usize) -> NodeId {
        self.block(graph, input, name, &[(channels, 3, 1), (channels, 3, 1)], 2)
    }

    /// Convolutions of 1, 3 and 1 pixels, the last with four times the channels, and a shortcut around them.
    pub(super) fn bottleneck(self, graph: &mut Graph, input: NodeId, name: &str, channels: usize) -> NodeId {
        self.block(graph, input, name, &[(channels, 1, 1), (channels, 3, 1), (4 * channels, 1, 1)], 1)
    }

    /// Convolutions of these channels, kernels and strides, of this dilation, and a shortcut around them.
    fn block(
        self,
        graph: &mut Graph,
        input: NodeId,
        name: &str,
        convolutions: &[(usize, usize, usize)],
        dilation: usize,
    ) -> NodeId {
        let names = |convolution: &str, norm: &str| [format!("{name}.{convolution}"), format!("{name}.{norm}")];
        let mut map = input;
        for (index, (channels, kernel, stride)) in convolutions.iter().enumerate() {
            let [conv, bn] = names(&format!("conv{}", index + 1), &format!("bn{}", index + 1));
            let is_last = index + 1 == convolutions.len();
            let activation = if is_last { Activation::Identity } else { self.activation };
            let convolution = self.convolution([&conv, &bn], *channels, [*kernel, *stride], activation);
            map = Bare { dilation, ..convolution }.push(graph, map);
        }
        let channels = graph.channels(map);
        let stride = convolutions.iter().map(|(_, _, stride)| stride).product();
        let around = if stride > 1 || graph.channels(input) != channels {
            let [conv, bn] = names("downsample.0", "downsample.1");
            self.convolution([&conv, &bn], channels, [1, stride], Activation::Identity).push(graph, input)
        } else {
            input
        };
        graph.push(Node::Combine { inputs: [map, around], operation: Operation::Sum, activation: self.activation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sweep_core::units::Size;

    fn published(depth: Depth) -> Graph {
        let spec: UNetResNetSpec = toml::from_str("").unwrap();
        spec.graph(depth, 1, 10)
    }

    #[test]
    fn has_the_published_number_of_parameters() {
        // Numbers of segmentation_models_pytorch 0.6.0: scripts/parity.py --smp.
        assert_eq!(published(Depth::ResNet18).trained_values(), 14_323_242);
        assert_eq!(published(Depth::ResNet34).trained_values(), 24_431_402);
    }

    #[test]
    fn sizes_that_32_does_not_divide_come_back_as_they_were() {
        let graph = published(Depth::ResNet18);
        for size in [Size { height: 200, width: 160 }, Size { height: 37, width: 53 }, Size { height: 1, width: 1 }] {
            let sizes = graph.sizes(size).unwrap();
            assert_eq!(sizes[graph.heads()[0].0], size);
            let deepest = sizes.iter().map(|size| size.area()).min().unwrap();
            assert_eq!(deepest, size.height.div_ceil(32) * size.width.div_ceil(32));
        }
    }

    #[test]
    fn a_stage_without_stride_has_a_plain_way_around() {
        let names: Vec<String> = published(Depth::ResNet18).parameters().into_iter().map(|spec| spec.name).collect();
        let around: Vec<&String> = names.iter().filter(|name| name.contains("downsample.0")).collect();
        assert_eq!(
            around,
            ["2", "3", "4"].map(|stage| format!("encoder.layer{stage}.0.downsample.0.weight")).each_ref()
        );
        assert_eq!(names[..3], ["encoder.conv1.weight", "encoder.bn1.weight", "encoder.bn1.bias"]);
        assert_eq!(names[names.len() - 2..], ["segmentation_head.0.weight", "segmentation_head.0.bias"]);
    }
}
