//! U-Net with a ResNet-18 as its encoder, like `Unet("resnet18")` of `segmentation_models_pytorch`.
//!
//! He et al., "Deep Residual Learning for Image Recognition", 2016. The encoder's parameters have torchvision's names
//! after `encoder.`, the rest those of `segmentation_models_pytorch`: `decoder.blocks.I.convJ.0` with its normalisation
//! `decoder.blocks.I.convJ.1`, from the deepest block up, and `segmentation_head.0`. So weights can be exchanged by
//! name.
//!
//! An image is halved once more often than there are stages, rounded up. A decoder block enlarges (nearest) to the size
//! of its skip connection, so that images may have any size.

use super::NormSpec;
use super::head::HeadSpec;
use sweep_graph::{Activation, Graph, Interpolation, Node, NodeId, Operation, Start};

/// Residual blocks of a stage.
const BLOCKS: usize = 2;

/// A network whose encoder stages have `filters` channels (the stem has those of the first stage) and whose decoder
/// blocks have `decoder` channels, one more block than stages.
pub(super) fn graph(
    channels: usize,
    landmarks: usize,
    filters: &[usize],
    decoder: &[usize],
    norm: NormSpec,
    head: &HeadSpec,
) -> Graph {
    let mut network = Builder { graph: Graph::new(), norm };
    let images = network.graph.push(Node::Input { channels });
    let stem = network.convolution(images, ("encoder.conv1", "encoder.bn1"), filters[0], [7, 2], ENCODED);
    let mut skips = vec![images, stem];
    let mut map = network.graph.push(Node::MaxPool { input: stem, side: 3 });
    for (stage, channels) in filters.iter().enumerate() {
        for block in 0..BLOCKS {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            map = network.residual_block(map, &format!("encoder.layer{}.{block}", stage + 1), *channels, stride);
        }
        skips.push(map);
    }
    skips.pop();
    for (index, channels) in decoder.iter().enumerate() {
        let Some(skip) = skips.pop() else { break };
        let up = Node::Upsample { input: map, like: skip, interpolation: Interpolation::Nearest };
        map = network.graph.push(up);
        // The last block has the images' size, but does not read them.
        if skip != images {
            map = network.graph.push(Node::Concatenate { inputs: vec![map, skip] });
        }
        for convolution in 1..=2 {
            let name = format!("decoder.blocks.{index}.conv{convolution}");
            let names = (&*format!("{name}.0"), &*format!("{name}.1"));
            map = network.convolution(map, names, *channels, [3, 1], (Start::He, Activation::Relu));
        }
    }
    head.push(&mut network.graph, map, "segmentation_head.0", landmarks, 3, Start::Glorot);
    network.graph
}

/// Initialisation of an encoder's convolution, and the activation after it.
const ENCODED: (Start, Activation) = (Start::HeOut, Activation::Relu);

struct Builder {
    graph: Graph,
    norm: NormSpec,
}

impl Builder {
    /// A convolution without bias and its normalisation, by their names.
    fn convolution(
        &mut self,
        input: NodeId,
        (name, norm): (&str, &str),
        channels: usize,
        [kernel, stride]: [usize; 2],
        (start, activation): (Start, Activation),
    ) -> NodeId {
        let (name, norm) = (name.to_owned(), self.norm.named(norm.to_owned(), channels));
        self.graph.push(Node::Convolution {
            input,
            name,
            channels,
            kernel,
            stride,
            dilation: 1,
            depthwise: false,
            bias: false,
            start,
            norm,
            activation,
        })
    }

    /// Two convolutions and a shortcut around them; the shortcut has its own convolution if shapes differ.
    fn residual_block(&mut self, input: NodeId, name: &str, channels: usize, stride: usize) -> NodeId {
        let names = |convolution: &str, norm: &str| [format!("{name}.{convolution}"), format!("{name}.{norm}")];
        let plain = (Start::HeOut, Activation::Identity);
        let [conv, bn] = names("conv1", "bn1");
        let first = self.convolution(input, (&conv, &bn), channels, [3, stride], ENCODED);
        let [conv, bn] = names("conv2", "bn2");
        let second = self.convolution(first, (&conv, &bn), channels, [3, 1], plain);
        let around = if stride > 1 || self.graph.channels(input) != channels {
            let [conv, bn] = names("downsample.0", "downsample.1");
            self.convolution(input, (&conv, &bn), channels, [1, stride], plain)
        } else {
            input
        };
        let (inputs, activation) = ([second, around], Activation::Relu);
        self.graph.push(Node::Combine { inputs, operation: Operation::Sum, activation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sweep_core::units::Size;

    fn published() -> Graph {
        let (filters, decoder) = ([64, 128, 256, 512], [256, 128, 64, 32, 16]);
        graph(1, 10, &filters, &decoder, NormSpec::batch(), &HeadSpec::default())
    }

    #[test]
    fn has_the_published_number_of_parameters() {
        // Number of segmentation_models_pytorch 0.6.0: scripts/parity.py --smp.
        assert_eq!(published().trained_values(), 14_323_242);
    }

    #[test]
    fn sizes_that_32_does_not_divide_come_back_as_they_were() {
        let graph = published();
        for size in [Size { height: 200, width: 160 }, Size { height: 37, width: 53 }, Size { height: 1, width: 1 }] {
            let sizes = graph.sizes(size).unwrap();
            assert_eq!(sizes[graph.heads()[0].0], size);
            let deepest = sizes.iter().map(|size| size.area()).min().unwrap();
            assert_eq!(deepest, size.height.div_ceil(32) * size.width.div_ceil(32));
        }
    }

    #[test]
    fn a_stage_without_stride_has_a_plain_way_around() {
        let names: Vec<String> = published().parameters().into_iter().map(|spec| spec.name).collect();
        let around: Vec<&String> = names.iter().filter(|name| name.contains("downsample.0")).collect();
        assert_eq!(
            around,
            ["2", "3", "4"].map(|stage| format!("encoder.layer{stage}.0.downsample.0.weight")).each_ref()
        );
        assert_eq!(names[..3], ["encoder.conv1.weight", "encoder.bn1.weight", "encoder.bn1.bias"]);
        assert_eq!(names[names.len() - 2..], ["segmentation_head.0.weight", "segmentation_head.0.bias"]);
    }
}
