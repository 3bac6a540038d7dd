//! UNet++: nodes `x_ij` at level `i` and column `j`; every node reads all nodes to its left and the one below.
//!
//! Zhou et al., "UNet++: A Nested U-Net Architecture for Medical Image Segmentation", 2018. Parameters are named as
//! in the well-known PyTorch version (4uiiurz1/pytorch-nested-unet), so weights can be exchanged with it.

use super::NormSpec;
use super::head::HeadSpec;
use sweep_graph::{Activation, Graph, Interpolation, Node, NodeId, Start};

/// UNet++ of these `filters` (at least two levels), with one head on the last full-size node, or one on each.
pub(super) fn graph(
    channels: usize,
    landmarks: usize,
    filters: &[usize],
    deep_supervision: bool,
    norm: NormSpec,
    head: &HeadSpec,
) -> Graph {
    let levels = filters.len();
    let mut graph = Graph::new();
    let images = graph.push(Node::Input { channels });
    // `x[i][j]` is filled diagonal by diagonal, so that a node's inputs exist before it.
    let mut x: Vec<Vec<NodeId>> = vec![Vec::new(); levels];
    for diagonal in 0..levels {
        for column in 0..=diagonal {
            let level = diagonal - column;
            let input = if column > 0 {
                let skips = x[level].clone();
                let below = x[level + 1][column - 1];
                let up = Node::Upsample { input: below, like: skips[0], interpolation: Interpolation::Bilinear };
                let up = graph.push(up);
                graph.push(Node::Concatenate { inputs: [skips, vec![up]].concat() })
            } else if level > 0 {
                let above = x[level - 1][0];
                graph.push(Node::MaxPool { input: above, side: 2 })
            } else {
                images
            };
            let node = vgg_block(&mut graph, input, &format!("conv{level}_{column}"), filters[level], norm);
            x[level].push(node);
        }
    }
    let full_size = &x[0][1..];
    if deep_supervision {
        for (index, node) in full_size.iter().enumerate() {
            // Heads that only supervise are plain.
            let head = if index + 1 == full_size.len() { *head } else { HeadSpec::default() };
            head.push(&mut graph, *node, &format!("final{}", index + 1), landmarks, 1, Start::Torch);
        }
    } else if let Some(last) = full_size.last() {
        head.push(&mut graph, *last, "final", landmarks, 1, Start::Torch);
    }
    graph
}

/// Twice: convolution 3×3, normalisation, ReLU. A normalisation of any kind is called `bn`, as if it replaced a batch
/// normalisation in PyTorch's module.
fn vgg_block(graph: &mut Graph, input: NodeId, name: &str, channels: usize, norm: NormSpec) -> NodeId {
    (1..=2).fold(input, |input, index| {
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
            norm: norm.named(format!("{name}.bn{index}"), channels),
            activation: Activation::Relu,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_published_number_of_parameters() {
        // PyTorch's own count: scripts/parity.py --count.
        let trained = |filters: &[usize], deep| -> usize {
            let specs = graph(1, 10, filters, deep, NormSpec::batch(), &HeadSpec::default()).parameters();
            specs.iter().filter(|spec| spec.role.is_trained()).map(sweep_graph::ParameterSpec::len).sum()
        };
        assert_eq!(trained(&[16, 32, 64, 128, 256], false), 2_293_658);
        assert_eq!(trained(&[32, 64, 128, 256, 512], true), 9_164_040);
    }

    #[test]
    fn parameters_are_named_as_in_pytorch() {
        let names: Vec<String> = graph(1, 10, &[4, 8], true, NormSpec::batch(), &HeadSpec::default())
            .parameters()
            .into_iter()
            .map(|spec| spec.name)
            .collect();
        assert_eq!(names[0], "conv0_0.conv1.weight");
        assert_eq!(names[5], "conv0_0.bn1.running_var");
        assert!(names.contains(&"conv1_0.bn2.running_mean".to_owned()));
        assert!(names.contains(&"conv0_1.conv2.bias".to_owned()));
        assert_eq!(names[names.len() - 2..], ["final1.weight", "final1.bias"]);
    }

    #[test]
    fn a_nested_node_reads_the_skips_first_and_then_the_upsampled() {
        let graph = graph(1, 10, &[4, 8, 16], false, NormSpec::batch(), &HeadSpec::default());
        // x0_2 reads x0_0 and x0_1 (4 channels each) and x1_1 enlarged (8 channels).
        let spec = graph.parameters().into_iter().find(|spec| spec.name == "conv0_2.conv1.weight").unwrap();
        assert_eq!(spec.shape, [4, 4 + 4 + 8, 3, 3]);
        let widest = graph.nodes().iter().rev().find_map(|node| match node {
            Node::Concatenate { inputs } => Some(inputs.clone()),
            _ => None,
        });
        let inputs = widest.unwrap();
        assert!(matches!(graph.node(inputs[2]), Node::Upsample { .. }));
        assert!(inputs[0] < inputs[1]);
    }
}
