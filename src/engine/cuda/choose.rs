//! Divides convolutions into blocks of threads, and computes the memory they take.

use super::depthwise::GROUP;
use super::parameters::{MOST_SOURCES, MOST_TARGETS};
use crate::plan::network::Layer;
use crate::plan::{ConvolutionShape, Extent, Kernels, LANES};
use sweep_core::error::{Error, Result};
use sweep_graph::Precision;
use sweep_graph::{Graph, Node, NodeId};

/// Rows and columns of the pixels that a block of a convolution writes.
pub(super) const TILE: [usize; 2] = [8, 16];
/// Number of blocks for a kernel of little work: several per multiprocessor of a large GPU. Results depend on it,
/// because sums are added up block by block: so it never depends on the GPU.
const BLOCKS: usize = 512;
/// Bytes of a row of shared memory: sixteen bf16 or eight floats.
pub(super) const ROW: usize = 32;

/// Choices for a GPU in a precision.
#[derive(Debug, Clone)]
pub(super) struct Choices {
    /// Precision of convolutions' products.
    pub(super) precision: Precision,
    /// Whether a node's map is in single precision in any case: for the heads, which losses and decoders read.
    heads: Vec<bool>,
    /// Whether enlarged maps stay in memory: time for memory.
    keeps_enlarged: bool,
}

impl Choices {
    pub(super) fn new(graph: &Graph, precision: Precision) -> Self {
        let mut heads = vec![false; graph.nodes().len()];
        for head in graph.heads() {
            heads[head.0] = true;
        }
        Self { precision, heads, keeps_enlarged: false }
    }

    /// The same with more memory, and less time.
    pub(super) fn keeping_enlarged(&self) -> Self {
        Self { keeps_enlarged: true, ..self.clone() }
    }

    /// Whether a node's map is stored in single precision, not in bf16.
    pub(super) fn is_wide(&self, node: NodeId) -> bool {
        self.precision != Precision::Bf16 || self.heads[node.0]
    }

    /// Channels of a row of shared memory.
    pub(super) fn chunk(&self) -> usize {
        if self.precision == Precision::Bf16 { LANES } else { LANES / 2 }
    }

    /// Bytes of a layer's weights in the order in which convolutions read them, but for rounding up to a group; depthwise ones
    /// read them as they are.
    pub(super) fn packed(&self, layer: &Layer) -> usize {
        if layer.depthwise {
            return 0;
        }
        let channels = layer.blocks() * LANES * layer.inputs.next_multiple_of(LANES);
        channels * layer.kernel * layer.kernel * ROW / self.chunk()
    }

    /// Checks that there are tables for all maps and channels that a convolution reads.
    pub(super) fn check(graph: &Graph) -> Result<()> {
        fn maps(graph: &Graph, node: NodeId) -> usize {
            match graph.node(node) {
                Node::Concatenate { inputs } => inputs.iter().map(|input| maps(graph, *input)).sum(),
                _ => 1,
            }
        }
        let blocks = |node| graph.segments(node).iter().map(|channels| channels.div_ceil(LANES)).sum::<usize>();
        for (index, node) in graph.nodes().iter().enumerate() {
            let (Node::Convolution { input, name, .. } | Node::TransposedConvolution { input, name, .. }) = node else {
                continue;
            };
            let (read, most) = (blocks(*input).max(blocks(NodeId(index))), MOST_TARGETS);
            if maps(graph, *input) > MOST_SOURCES || read > most {
                return Err(Error::definition(format!(
                    "`{name}` reads {} maps; on a GPU a convolution reads {MOST_SOURCES} at most, of {} channels",
                    maps(graph, *input),
                    most * LANES
                ))
                .remedy("use fewer filters or levels, or --device cpu"));
            }
        }
        Ok(())
    }
}

/// Output channels of a block of threads, for this many blocks of sixteen: each group reads all input again, and
/// channels added to fill a group are computed in vain.
pub(super) fn group(kernel: usize, targets: usize) -> usize {
    let choices: &[usize] = match kernel {
        3 => &[16, 32, 64],
        1 => &[16, 64],
        _ => &[16],
    };
    let cost = |group: &usize| (targets * LANES).div_ceil(*group) * (group + 24);
    choices.iter().copied().min_by_key(cost).unwrap_or(LANES)
}

/// Tiles of an image: those of a column, and those of a row.
pub(super) fn tiles(extent: Extent) -> [usize; 2] {
    [extent.size.height.div_ceil(TILE[0]), extent.size.width.div_ceil(TILE[1])]
}

/// Tiles of all images.
fn all_tiles(extent: Extent) -> usize {
    extent.images * tiles(extent).iter().product::<usize>()
}

/// Warps of a weight gradient that share the output channels.
pub(super) fn across([kernel, dilation]: [usize; 2], targets: usize) -> usize {
    let window = (kernel - 1) * dilation + 1;
    match targets {
        // Large windows cover many pixels and leave little shared memory for channels.
        _ if kernel == 1 || window > 5 => 1,
        0 | 1 => 1,
        2 => 2,
        _ => 4,
    }
}

/// Number of parts into which the pixels of a weight gradient are divided.
pub(super) fn shares(extent: Extent, window: [usize; 2], sources: usize, targets: usize) -> usize {
    let taps = (window[0] * window[0]).div_ceil(9);
    let others = sources * targets.div_ceil(across(window, targets)) * taps;
    BLOCKS.div_ceil(others).min(all_tiles(extent))
}

/// Sums of a share of a weight gradient: those of every pair of blocks of channels, for each tap.
pub(super) fn sums(sources: usize, targets: usize, taps: usize) -> usize {
    sources * targets * taps * LANES * LANES
}

/// Number of parts into which the pixels of a depthwise convolution's weight gradient are divided.
pub(super) fn depthwise_shares(extent: Extent, blocks: usize) -> usize {
    BLOCKS.div_ceil((blocks * LANES).div_ceil(GROUP)).min(all_tiles(extent))
}

/// Number of chunks of an image's pixels whose gradients are summed separately, and the pixels of each.
pub(super) fn chunks(extent: Extent, blocks: usize) -> (usize, usize) {
    let others = extent.images * blocks.div_ceil(256 / LANES);
    let pixels = extent.size.area().div_ceil(BLOCKS.div_ceil(others)).max(16);
    (extent.size.area().div_ceil(pixels), pixels)
}

/// Memory is counted in bytes, in steps of 256.
impl Kernels for Choices {
    type Algorithm = ();

    fn map(&self, node: NodeId, extent: Extent, blocks: usize) -> usize {
        let number = if self.is_wide(node) { 4 } else { 2 };
        (extent.images * extent.plane() * blocks * number).next_multiple_of(256)
    }

    fn forward(&self, shape: ConvolutionShape) -> ((), usize) {
        let channels = (shape.targets * LANES).next_multiple_of(64);
        ((), (channels * all_tiles(shape.extent) * 8).next_multiple_of(256))
    }

    fn weight_gradient(&self, shape: ConvolutionShape) -> ((), usize) {
        let ConvolutionShape { kernel, dilation, extent, sources, targets, .. } = shape;
        if shape.depthwise {
            let weights = targets * LANES * kernel * kernel;
            return ((), (depthwise_shares(extent, targets) * weights * 4).next_multiple_of(256));
        }
        let shares = shares(extent, [kernel, dilation], sources, targets);
        ((), shares * sums(sources, targets, kernel * kernel) * 4)
    }

    fn input_gradient(&self, _: ConvolutionShape) -> ((), usize) {
        ((), 0)
    }

    fn norm_gradient(&self, extent: Extent, blocks: usize) -> usize {
        (blocks * LANES * extent.images * chunks(extent, blocks).0 * 8).next_multiple_of(256)
    }

    fn keeps_enlarged(&self) -> bool {
        self.keeps_enlarged
    }
}
