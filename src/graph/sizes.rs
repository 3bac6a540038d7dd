//! Sizes of a graph's maps, and the work of its convolutions.

use super::{Gating, Graph, Node, NodeId};
use sweep_core::error::{Error, Result};
use sweep_core::units::Size;

/// A size divided by a stride, rounded up.
fn divided(size: Size, stride: usize) -> Size {
    Size { height: size.height.div_ceil(stride), width: size.width.div_ceil(stride) }
}

impl Graph {
    /// Size of every node's map for images of this size.
    ///
    /// # Errors
    /// When the images are too small for the number of halvings.
    pub fn sizes(&self, images: Size) -> Result<Vec<Size>> {
        let mut sizes: Vec<Size> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            sizes.push(match node {
                Node::Input { .. } => images,
                Node::Convolution { input, stride, .. } => divided(sizes[input.0], *stride),
                Node::MaxPool { input, side } => {
                    let size = sizes[input.0];
                    // Windows of 3×3 pixels include those around the last pixel.
                    Size { height: (size.height + side - 2) / 2, width: (size.width + side - 2) / 2 }
                }
                Node::Upsample { like, .. } | Node::TransposedConvolution { like, .. } => sizes[like.0],
                Node::Concatenate { inputs } => sizes[inputs[0].0],
                Node::Combine { inputs: [first, _], .. } | Node::Gate { inputs: [first, _], .. } => sizes[first.0],
                Node::Smooth { input, .. } | Node::LayerNorm { input, .. } => sizes[input.0],
                Node::GlobalAveragePool { .. } => Size { height: 1, width: 1 },
            });
        }
        if sizes.iter().any(|size| size.area() == 0) {
            let halvings = self.depth();
            return Err(Error::definition(format!(
                "an input of {} × {} pixels (height × width) is too small for a network that halves it {halvings} times",
                images.height, images.width
            ))
            .remedy(format!("use an input of at least {0} × {0}, or fewer filters", 1usize << halvings)));
        }
        self.check_alike(&sizes)?;
        Ok(sizes)
    }

    /// Checks that maps that are read together have sizes that belong together: engines rely on it.
    fn check_alike(&self, sizes: &[Size]) -> Result<()> {
        let of = |id: &NodeId| sizes[id.0];
        for (index, node) in self.nodes.iter().enumerate() {
            let fits = match node {
                Node::Concatenate { inputs } => inputs.iter().all(|input| of(input) == sizes[index]),
                Node::Combine { inputs: [a, b], .. } | Node::Gate { inputs: [a, b], gating: Gating::Pixel } => {
                    of(a) == of(b)
                }
                Node::Gate { inputs: [_, gate], gating: Gating::Channel } => of(gate).area() == 1,
                Node::TransposedConvolution { input, like, .. } => {
                    let (from, to) = (of(input), of(like));
                    (2 * from.height).abs_diff(to.height) <= 1 && (2 * from.width).abs_diff(to.width) <= 1
                }
                _ => true,
            };
            if !fits {
                let like = node.like();
                let read = node.inputs().iter().chain(&like);
                let sizes = read.map(|id| format!("{} × {}", of(id).height, of(id).width));
                let sizes = sizes.collect::<Vec<_>>().join(" and ");
                return Err(Error::definition(format!("node {index} reads maps of {sizes} pixels, which do not fit"))
                    .remedy("enlarge one to the other's size first"));
            }
        }
        Ok(())
    }

    /// Number of halvings on the way to the deepest map.
    fn depth(&self) -> usize {
        let mut depths: Vec<usize> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let below = node.inputs().iter().map(|i| depths[i.0]).max().unwrap_or(0);
            depths.push(match node {
                Node::MaxPool { .. } | Node::Convolution { stride: 2, .. } => below + 1,
                Node::Upsample { like, .. } | Node::TransposedConvolution { like, .. } => depths[like.0],
                _ => below,
            });
        }
        depths.into_iter().max().unwrap_or(0)
    }

    /// Multiplications and additions of one image's forward pass through the convolutions, each counted as one.
    ///
    /// # Errors
    /// Same errors as [`Graph::sizes`].
    pub fn flops(&self, images: Size) -> Result<u64> {
        let sizes = self.sizes(images)?;
        Ok(self
            .nodes
            .iter()
            .zip(&sizes)
            .map(|(node, size)| match node {
                Node::Convolution { input, channels, kernel, depthwise, .. } => {
                    let inputs = if *depthwise { 1 } else { self.channels(*input) };
                    2 * (inputs * kernel * kernel * channels * size.area()) as u64
                }
                Node::TransposedConvolution { input, channels, kernel, .. } => {
                    2 * (self.channels(*input) * kernel * kernel * channels * sizes[input.0].area()) as u64
                }
                _ => 0,
            })
            .sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, Operation, Start};
    use sweep_core::units::Size;

    #[test]
    fn a_stride_halves_and_rounds_up() {
        let mut graph = Graph::new();
        let mut node = graph.push(Node::Input { channels: 1 });
        for name in ["a", "b", "c"] {
            let (name, activation) = (name.to_owned(), Activation::Identity);
            node = graph.push(Node::Convolution {
                input: node,
                name,
                channels: 2,
                kernel: 3,
                stride: 2,
                dilation: 1,
                depthwise: false,
                bias: true,
                start: Start::Torch,
                norm: None,
                activation,
            });
        }
        let sizes = graph.sizes(Size { height: 5, width: 1 }).unwrap();
        assert_eq!(sizes.iter().map(|s| (s.height, s.width)).collect::<Vec<_>>(), [(5, 1), (3, 1), (2, 1), (1, 1)]);
        // Two channels a node: 1·9·2 products for each of 3 pixels, then 2·9·2 for each of 2 and of 1.
        assert_eq!(graph.flops(Size { height: 5, width: 1 }).unwrap(), 2 * (3 * 18 + 2 * 36 + 36));
        let pooled = graph.push(Node::MaxPool { input: node, side: 2 });
        graph.push_head(pooled);
        let error = graph.sizes(Size { height: 8, width: 8 }).unwrap_err();
        assert!(error.message.contains("halves it 4 times"), "{error}");
        assert!(graph.sizes(Size { height: 16, width: 16 }).is_ok());
    }

    #[test]
    fn maps_that_are_read_together_have_sizes_that_belong_together() {
        let (sum, activation) = (Operation::Sum, Activation::Identity);
        for (node, fits) in [
            (Node::Gate { inputs: [NodeId(0), NodeId(0)], gating: Gating::Pixel }, true),
            (Node::Gate { inputs: [NodeId(0), NodeId(2)], gating: Gating::Channel }, true),
            (Node::Gate { inputs: [NodeId(0), NodeId(1)], gating: Gating::Pixel }, false),
            (Node::Gate { inputs: [NodeId(0), NodeId(1)], gating: Gating::Channel }, false),
            (Node::Combine { inputs: [NodeId(1), NodeId(2)], operation: sum, activation }, false),
            (Node::Concatenate { inputs: vec![NodeId(0), NodeId(0), NodeId(1)] }, false),
        ] {
            let mut graph = Graph::new();
            let image = graph.push(Node::Input { channels: 1 });
            let small = graph.push(Node::MaxPool { input: image, side: 2 });
            graph.push(Node::GlobalAveragePool { input: small });
            let node = graph.push(node);
            let sizes = graph.sizes(Size { height: 8, width: 6 });
            assert_eq!(sizes.is_ok(), fits, "{node:?}");
            match sizes {
                Ok(sizes) => assert_eq!((sizes[2].area(), sizes[node.0].area()), (1, 48)),
                Err(error) => assert!(error.message.contains("4 × 3"), "{error}"),
            }
        }
    }

    #[test]
    fn windows_of_three_round_up_and_combinations_keep_size_and_cut() {
        let mut graph = Graph::new();
        let image = graph.push(Node::Input { channels: 3 });
        let pooled = graph.push(Node::MaxPool { input: image, side: 3 });
        let (inputs, activation) = ([pooled, pooled], Activation::Relu);
        let sum = graph.push(Node::Combine { inputs, operation: Operation::Sum, activation });
        let sizes = graph.sizes(Size { height: 5, width: 8 }).unwrap();
        assert_eq!([pooled, sum].map(|n| (sizes[n.0].height, sizes[n.0].width)), [(3, 4); 2]);
        assert_eq!(graph.segments(sum), [3]);
        let both = graph.push(Node::Concatenate { inputs: vec![pooled, sum] });
        let of_both = graph.push(Node::MaxPool { input: both, side: 3 });
        assert_eq!(graph.segments(of_both), [3, 3]);
        let may = [(pooled, sum), (of_both, of_both), (both, of_both), (pooled, of_both)];
        assert_eq!(may.map(|(a, b)| graph.can_combine(a, b)), [true, true, false, false]);
    }
}
