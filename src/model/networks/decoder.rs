//! The decoder of `segmentation_models_pytorch`'s U-Net, behind an encoder that halves an image several times.

use super::NormSpec;
use super::head::HeadSpec;
use sweep_core::error::{Error, Result};
use sweep_graph::{Activation, Graph, Interpolation, Node, NodeId, Norm, Start};

/// Channels of the published decoder's blocks, from the deepest up.
pub(super) fn published() -> Vec<usize> {
    vec![256, 128, 64, 32, 16]
}

/// A convolution without bias: its name, channels, kernel, stride, and what follows.
pub(super) struct Bare {
    pub(super) name: String,
    pub(super) channels: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) dilation: usize,
    pub(super) depthwise: bool,
    pub(super) start: Start,
    pub(super) norm: Option<Norm>,
    pub(super) activation: Activation,
}

impl Bare {
    /// Appends it.
    pub(super) fn push(self, graph: &mut Graph, input: NodeId) -> NodeId {
        let Self { name, channels, kernel, stride, dilation, depthwise, start, norm, activation } = self;
        graph.push(Node::Convolution {
            input,
            name,
            channels,
            kernel,
            stride,
            dilation,
            depthwise,
            bias: false,
            start,
            norm,
            activation,
        })
    }
}

/// Ends a network. `skips` are the encoder's maps before each halving, the images first; `map` is its deepest map. Every
/// block enlarges (nearest) to the size of its skip connection, so that images may have any size.
pub(super) fn push(
    graph: &mut Graph,
    mut map: NodeId,
    mut skips: Vec<NodeId>,
    decoder: &[usize],
    norm: NormSpec,
    (head, landmarks): (&HeadSpec, usize),
) {
    for (index, channels) in decoder.iter().enumerate() {
        let Some(skip) = skips.pop() else { break };
        map = graph.push(Node::Upsample { input: map, like: skip, interpolation: Interpolation::Nearest });
        // The last block has the images' size, but does not read them.
        if !skips.is_empty() {
            map = graph.push(Node::Concatenate { inputs: vec![map, skip] });
        }
        for convolution in 1..=2 {
            let name = format!("decoder.blocks.{index}.conv{convolution}");
            let convolution = Bare {
                norm: norm.named(format!("{name}.1"), *channels),
                name: format!("{name}.0"),
                channels: *channels,
                kernel: 3,
                stride: 1,
                dilation: 1,
                depthwise: false,
                start: Start::He,
                activation: Activation::Relu,
            };
            map = convolution.push(graph, map);
        }
    }
    head.push(graph, map, "segmentation_head.0", landmarks, 3, Start::Glorot);
}

/// Checks the blocks of a decoder behind an encoder with this many halvings.
///
/// # Errors
/// The key is the error's location.
pub(super) fn check(decoder: &[usize], halvings: usize) -> Result<()> {
    let wrong = if decoder.len() != halvings {
        format!("{} decoder blocks do not undo {halvings} halvings", decoder.len())
    } else if let Some(block) = decoder.iter().position(|channels| *channels == 0) {
        format!("decoder block {block} has no filters")
    } else {
        return Ok(());
    };
    Err(Error::definition(wrong)
        .at("decoder")
        .remedy(format!("give {halvings} positive numbers, one for each halving, such as [256, 128, 64, 32, 16]")))
}
