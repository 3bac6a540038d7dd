//! Launches for depthwise convolutions and their gradients, which read the trained weights as they are.

use super::choose::{self, TILE};
use super::convolutions::Epilogue;
use super::parameters::{Activation, Depthwise, DepthwiseGradient, Map, Source, WeightSum};
use super::program::Compiler;
use crate::plan::network::{Bend, Layer};
use crate::plan::{Destination, Extent, LANES, Operand, ValueId};
use sweep_graph::gpu::{Address, Launch};

/// Threads of a block.
const THREADS: u32 = 128;
/// Channels of a block.
pub(super) const GROUP: usize = 32;

/// A kernel, and the pixels of a block that are in shared memory: none if it reads them from maps each time.
struct Choice {
    kernel: &'static str,
    staged: usize,
}

/// Pixels that windows of a tile reach.
fn reach(kernel: usize, stride: usize) -> usize {
    TILE.iter().map(|side| (side - 1) * stride + kernel).product()
}

/// Pixels of the result whose windows, two pixels apart, reach a tile.
fn reach_back(kernel: usize) -> usize {
    let pad = kernel / 2;
    let along = |side: &usize| {
        let reached = side - 1 + pad;
        reached / 2 + pad / 2 + 1
    };
    TILE.iter().map(along).product()
}

impl Choice {
    fn forward(layer: &Layer) -> Self {
        let kernel = match (layer.kernel, layer.stride, layer.dilation) {
            (3, 1, 1) => "depthwise_3_1",
            (3, 2, 1) => "depthwise_3_2",
            (5, 1, 1) => "depthwise_5_1",
            (5, 2, 1) => "depthwise_5_2",
            _ => return Self { kernel: "depthwise_0", staged: 0 },
        };
        Self { kernel, staged: reach(layer.kernel, layer.stride) }
    }

    fn input_gradient(layer: &Layer) -> Self {
        let (kernel, staged) = match (layer.kernel, layer.stride, layer.dilation) {
            (3, 1, 1) => ("depthwise_3_1", reach(3, 1)),
            (3, 2, 1) => ("depthwise_back_3_2", reach_back(3)),
            (5, 1, 1) => ("depthwise_5_1", reach(5, 1)),
            (5, 2, 1) => ("depthwise_back_5_2", reach_back(5)),
            _ => ("depthwise_0", 0),
        };
        Self { kernel, staged }
    }

    fn weight_gradient(layer: &Layer) -> Self {
        let kernel = match (layer.kernel, layer.stride, layer.dilation) {
            (3, 1, 1) => "depthwise_gradient_3_1",
            (3, 2, 1) => "depthwise_gradient_3_2",
            (5, 1, 1) => "depthwise_gradient_5_1",
            (5, 2, 1) => "depthwise_gradient_5_2",
            _ => return Self { kernel: "depthwise_gradient_0", staged: 0 },
        };
        Self { kernel, staged: reach(layer.kernel, layer.stride) }
    }

    /// Bytes of the pixels in shared memory, where maps are both of bf16 or not.
    fn bytes(&self, is_narrow: bool) -> usize {
        // Two planes of floats are an odd number of pixels long, so that they use different banks.
        if is_narrow { self.staged * GROUP * 2 } else { (self.staged | 1) * GROUP * 4 }
    }
}

/// One map of several that a layer reads, and the layer's channels of it.
struct Part {
    source: Source,
    /// Its first channel among all.
    first: usize,
    /// Its channels, without and with the padding of blocks.
    channels: usize,
    span: usize,
}

impl Compiler<'_> {
    /// The maps that operands belong to; each but the last has whole blocks of channels.
    fn parts(&self, operands: &[Operand]) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        for operand in operands {
            match parts.last_mut() {
                Some(part) if operand.block > 0 => {
                    part.channels += operand.channels;
                    part.span += LANES;
                }
                _ => parts.push(Part {
                    source: self.source(operand),
                    first: operand.first,
                    channels: operand.channels,
                    span: LANES,
                }),
            }
        }
        parts
    }

    /// A map from one of its channels on.
    fn map_from(&self, value: ValueId, channel: usize) -> Map {
        let map = self.map(value);
        let number = if map.wide == 1 { 4 } else { 2 };
        Map { data: map.data + (channel * number) as Address, ..map }
    }

    /// Convolves; writes statistics unless there is no memory for them.
    pub(super) fn convolve_depthwise(
        &self,
        layer: &Layer,
        from: &[Operand],
        value: ValueId,
        epilogue: &Epilogue,
        to: &mut Vec<Launch>,
    ) {
        let extent = self.extent(value);
        let tiles = extent.images * choose::tiles(extent).iter().product::<usize>();
        for part in self.parts(from) {
            let of =
                |array: Address, bytes: usize| if array == 0 { 0 } else { array + (part.first * bytes) as Address };
            let launch = Depthwise {
                scale: of(epilogue.scale, 4),
                shift: of(epilogue.shift, 4),
                partials: of(epilogue.partials, 8 * tiles),
                stride: layer.stride as i32,
                slope: epilogue.bend.slope,
                ceiling: epilogue.bend.ceiling,
                ..self.depthwise(
                    (layer, &part),
                    part.source,
                    self.map_from(value, part.first),
                    [self.extent(from[0].value), extent],
                )
            };
            to.push(over_tiles(&Choice::forward(layer), &launch));
        }
    }

    pub(super) fn depthwise_input_gradient(
        &self,
        layer: &Layer,
        gradient: ValueId,
        destinations: &[Destination],
        to: &mut Vec<Launch>,
    ) {
        let operands: Vec<Operand> = destinations.iter().map(|destination| destination.operand).collect();
        for part in self.parts(&operands) {
            let source = Source { map: self.map_from(gradient, part.first), activation: Activation::default() };
            let Some(Destination { operand, accumulate }) =
                destinations.iter().find(|destination| destination.operand.first == part.first)
            else {
                continue;
            };
            let extents = [self.extent(gradient), self.extent(operand.value)];
            let launch = Depthwise {
                input_dilation: layer.stride as i32,
                // The kernels that know a stride go through its taps in their order.
                turned: i32::from(layer.stride == 1 || Choice::input_gradient(layer).staged == 0),
                accumulate: (*accumulate).into(),
                ..self.depthwise((layer, &part), source, part.source.map, extents)
            };
            to.push(over_tiles(&Choice::input_gradient(layer), &launch));
        }
    }

    pub(super) fn depthwise_weight_gradient(
        &self,
        layer: &Layer,
        from: &[Operand],
        gradient: ValueId,
        workspace: ValueId,
        to: &mut Vec<Launch>,
    ) {
        let (read, extent) = (self.extent(from[0].value), self.extent(gradient));
        let shares = choose::depthwise_shares(extent, layer.blocks());
        let taps = layer.kernel * layer.kernel;
        // One after another, so that all use the same workspace.
        for part in self.parts(from) {
            let parameters = DepthwiseGradient {
                source: part.source,
                gradient: self.map_from(gradient, part.first),
                partials: self.address(workspace),
                images: extent.images as i32,
                in_height: read.size.height as i32,
                in_width: read.size.width as i32,
                height: extent.size.height as i32,
                width: extent.size.width as i32,
                kernel: layer.kernel as i32,
                stride: layer.stride as i32,
                dilation: layer.dilation as i32,
                padding: (layer.kernel / 2 * layer.dilation) as i32,
                outputs: part.channels as i32,
                shares: shares as i32,
                span: part.span as i32,
            };
            let choice = Choice::weight_gradient(layer);
            let grid = [shares, part.span.div_ceil(GROUP), if choice.staged == 0 { taps } else { 1 }];
            let staged = choice.bytes(are_narrow(parameters.source.map, parameters.gradient));
            // Sums of four warps, of all taps or of one.
            let summed = 4 * GROUP * 4 * if choice.staged == 0 { 1 } else { taps };
            to.push(Launch::new(choice.kernel, grid, THREADS, &parameters).shared(staged.max(summed)));
            let weights = part.channels * taps;
            let sum = WeightSum {
                partials: parameters.partials,
                to: self.operands.gradient + 4 * (layer.weight + part.first * taps) as Address,
                shares: shares as i32,
                weights: weights as i32,
            };
            to.push(Launch::new("sum_weights", [weights.div_ceil(32), 1, 1], 256, &sum).shared(256 * 4));
        }
    }

    /// A convolution at stride 1 of a part of a layer's channels from one map to another, of these extents.
    fn depthwise(
        &self,
        (layer, part): (&Layer, &Part),
        source: Source,
        to: Map,
        [read, written]: [Extent; 2],
    ) -> Depthwise {
        let weight = layer.weight + part.first * layer.kernel * layer.kernel;
        Depthwise {
            source,
            to,
            weights: self.operands.trained + 4 * weight as Address,
            scale: 0,
            shift: 0,
            partials: 0,
            images: written.images as i32,
            in_height: read.size.height as i32,
            in_width: read.size.width as i32,
            height: written.size.height as i32,
            width: written.size.width as i32,
            kernel: layer.kernel as i32,
            stride: 1,
            dilation: layer.dilation as i32,
            padding: (layer.kernel / 2 * layer.dilation) as i32,
            input_dilation: 1,
            turned: 0,
            outputs: part.channels as i32,
            accumulate: 0,
            slope: Bend::IDENTITY.slope,
            ceiling: Bend::IDENTITY.ceiling,
            span: part.span as i32,
        }
    }
}

fn are_narrow(a: Map, b: Map) -> bool {
    a.wide == 0 && b.wide == 0
}

/// A launch with a block per tile and group of channels of the result.
fn over_tiles(choice: &Choice, parameters: &Depthwise) -> Launch {
    let (height, width) = (parameters.height as usize, parameters.width as usize);
    let groups = (parameters.span as usize).div_ceil(GROUP);
    let grid = [width.div_ceil(TILE[1]), height.div_ceil(TILE[0]), parameters.images as usize * groups];
    let taps = (parameters.kernel * parameters.kernel) as usize;
    let staged = choice.bytes(are_narrow(parameters.source.map, parameters.to)) + GROUP * 4 * taps;
    // Sums of four warps.
    let summed = 4 * GROUP * 4;
    let shared = if choice.staged == 0 { summed } else { staged.max(summed) };
    Launch::new(choice.kernel, grid, THREADS, parameters).shared(shared)
}
