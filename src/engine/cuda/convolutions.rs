//! Launches for convolutions and their gradients, which read weights that were packed in their order.

use super::blocks::Form;
use super::choose::{self, TILE};
use super::parameters::{
    Activation, Convolution, ConvolutionSource, MOST_SOURCES, MOST_TARGETS, Map, Moments, Norm, Packing, Source,
    WeightBlocks, WeightGradient, WriteTarget,
};
use super::program::Compiler;
use crate::Mode;
use crate::plan::network::{self, Bend, Layer};
use crate::plan::{Destination, Extent, LANES, Operand, ValueId};
use sweep_graph::gpu::{Address, Launch};

/// The input and output of a convolution.
struct Sides<'a> {
    kernel: usize,
    /// Pixels from window to window, from tap to tap, and between pixels read.
    stride: usize,
    dilation: usize,
    input_dilation: usize,
    from: Extent,
    to: Extent,
    sources: Vec<(Source, usize)>,
    targets: Vec<WriteTarget>,
    packing: Filter<'a>,
}

/// What a convolution does with its results before it writes them. The address of a step that it leaves out is 0.
#[derive(Debug, Clone, Copy)]
pub(super) struct Epilogue {
    /// Factor by channel, which other convolutions than depthwise ones have in their packed weights.
    pub(super) scale: Address,
    /// Shift by channel.
    pub(super) shift: Address,
    /// Activation.
    pub(super) bend: Bend,
    /// Statistics of every channel and block of pixels.
    pub(super) partials: Address,
}

impl Epilogue {
    const NONE: Self = Self { scale: 0, shift: 0, bend: Bend::IDENTITY, partials: 0 };
}

/// The weights that a convolution reads.
struct Filter<'a> {
    layer: &'a Layer,
    /// Whether this is the adjoint of a convolution, the input gradient or a transposed one: taps are turned around.
    turned: bool,
    /// Distances between the weights of neighbouring channels read, and of neighbouring channels written.
    strides: [usize; 2],
    scale: Address,
    read: Vec<u32>,
    written: Vec<u32>,
}

/// The maps of a weight gradient.
struct Correlation {
    /// What the convolution reads: its maps with their numbers of blocks, the channels of every block, and its extent.
    sources: Vec<(Source, usize)>,
    spans: Vec<u32>,
    read: Extent,
    /// The gradient to its result, with its blocks and extent.
    gradient: Map,
    blocks: usize,
    extent: Extent,
    /// Input and output channels.
    channels: [usize; 2],
}

impl Compiler<'_> {
    pub(super) fn convolve(
        &mut self,
        index: usize,
        from: &[Operand],
        value: ValueId,
        workspace: ValueId,
        to: &mut Vec<Launch>,
    ) {
        let (layer, arrays) = (&self.network.layers[index], self.layers.get(index));
        let extent = self.extent(value);
        let norm = self.norm(index, extent);
        let is_fixed = self.mode == Mode::Evaluate && !layer.norm.is_some_and(network::Norm::is_always_measured);
        let adds_bias = layer.bias.is_some() && !layer.norm.is_some_and(network::Norm::takes_bias_out);
        let [scale, shift] = arrays.fixed;
        if is_fixed || adds_bias {
            let by = if is_fixed { norm } else { Norm { running_mean: 0, running_variance: 0, ..norm } };
            let fixed = Norm { scale, shift, ..by };
            self.first.push(Launch::per_element("fix_norm", arrays.channels, 128, &fixed));
        }
        let measured = !is_fixed && layer.norm.is_some();
        let epilogue = Epilogue {
            scale: if is_fixed { scale } else { 0 },
            shift: if is_fixed || adds_bias { shift } else { 0 },
            bend: if is_fixed { layer.bend } else { Bend::IDENTITY },
            partials: if measured { self.address(workspace) } else { 0 },
        };
        let rows = if layer.depthwise {
            self.convolve_depthwise(layer, from, value, &epilogue, to);
            TILE[0]
        } else {
            self.convolve_all(layer, from, value, &epilogue, to)
        };
        if measured {
            let (height, width) = (extent.size.height as i32, extent.size.width as i32);
            let moments = Moments { norm, partials: epilogue.partials, height, width, rows: rows as i32, unused: 0 };
            to.push(Launch::new("merge_moments", [arrays.channels, arrays.rows, 1], 256, &moments).shared(256 * 8));
            if arrays.rows > 1 || arrays.group > 1 {
                to.push(Launch::per_element("finish_norms", arrays.rows * arrays.channels, 128, &norm));
            }
        }
    }

    /// Convolves where every output channel reads all input channels; returns the rows of pixels of a block.
    fn convolve_all(
        &mut self,
        layer: &Layer,
        from: &[Operand],
        value: ValueId,
        epilogue: &Epilogue,
        to: &mut Vec<Launch>,
    ) -> usize {
        let (stride, input_dilation) = if layer.transposed { (1, layer.stride) } else { (layer.stride, 1) };
        let sides = Sides {
            kernel: layer.kernel,
            stride,
            dilation: layer.dilation,
            input_dilation,
            from: self.extent(from[0].value),
            to: self.extent(value),
            sources: self.sources(from),
            targets: (0..layer.blocks()).map(|block| self.target(value, block, false)).collect(),
            packing: Filter {
                layer,
                turned: layer.transposed,
                strides: layer.strides(),
                scale: epilogue.scale,
                read: from.iter().map(|o| span(o.first, o.channels)).collect(),
                written: channel_spans(layer.outputs),
            },
        };
        self.convolution(&sides, epilogue, to)
    }

    /// Convolves; returns the rows of pixels of a block.
    fn convolution(&mut self, sides: &Sides, epilogue: &Epilogue, to: &mut Vec<Launch>) -> usize {
        let Sides { kernel, stride, dilation, input_dilation, from, to: written, .. } = *sides;
        let Epilogue { shift, bend, partials, .. } = *epilogue;
        let Sides { ref sources, ref targets, ref packing, .. } = *sides;
        let taps = kernel * kernel;
        let form = Form {
            precision: self.choices.precision,
            kernel,
            stride,
            dilation,
            input_dilation,
            ceiling: bend.has_ceiling() || sources.iter().any(|(source, _)| source.activation.has_ceiling()),
            reads_narrow: sources.iter().all(|(source, _)| source.map.wide == 0),
            writes_narrow: targets.iter().all(|target| target.flags & 1 == 0),
        };
        let (blocks, tap_rows) = form.convolution(targets.len());
        let group = blocks.group;
        let groups = (targets.len() * LANES).div_ceil(group);
        let per_block = LANES / self.choices.chunk();
        let chunks: usize = sources.iter().map(|(_, blocks)| blocks * per_block).sum();
        let packing = self.packing(packing, group, chunks);
        let weights = self.filters.add(&packing, groups * chunks * taps * group);

        let across = written.size.width.div_ceil(TILE[1]);
        let down = written.size.height.div_ceil(blocks.rows);
        let tiles = blocks.tiles(across * down * written.images * groups);
        let mut table = [ConvolutionSource::default(); MOST_SOURCES];
        for (entry, (source, blocks)) in table.iter_mut().zip(sources) {
            *entry = ConvolutionSource { source: *source, chunks: (blocks * per_block) as i32, unused: 0 };
        }
        let mut written_to = [WriteTarget::default(); MOST_TARGETS];
        written_to[..targets.len()].copy_from_slice(targets);
        let parameters = Convolution {
            sources: table,
            targets: written_to,
            weights,
            shift,
            partials,
            images: written.images as i32,
            in_height: from.size.height as i32,
            in_width: from.size.width as i32,
            height: written.size.height as i32,
            width: written.size.width as i32,
            kernel: kernel as i32,
            stride: stride as i32,
            dilation: dilation as i32,
            padding: (if sides.packing.turned { kernel / 2 } else { (kernel - 1) / 2 } * dilation) as i32,
            input_dilation: input_dilation as i32,
            sources_in_use: sources.len() as i32,
            chunks: chunks as i32,
            tap_rows: tap_rows as i32,
            slope: bend.slope,
            ceiling: bend.ceiling,
            tiles: tiles as i32,
        };
        let grid = [across.div_ceil(tiles), down, written.images * groups];
        to.push(Launch::new(blocks.kernel, grid, blocks.threads, &parameters).shared(blocks.shared));
        blocks.rows
    }

    /// How a filter is packed, without its address.
    fn packing(&self, filter: &Filter, group: usize, chunks: usize) -> Packing {
        let layer = filter.layer;
        let taps = layer.kernel * layer.kernel;
        let [chunk_stride, group_stride] = filter.strides.map(|stride| stride as i32);
        let mut packing = Packing {
            weights: self.operands.trained + 4 * layer.weight as Address,
            to: 0,
            scale: filter.scale,
            group_stride,
            chunk_stride,
            taps: taps as i32,
            group: group as i32,
            chunks: chunks as i32,
            arithmetic: self.choices.precision as i32,
            turned: filter.turned.into(),
            rows: 0,
            first: 0,
            unused: 0,
            written: [0; MOST_TARGETS],
            read: [0; MOST_TARGETS],
        };
        packing.written[..filter.written.len()].copy_from_slice(&filter.written);
        packing.read[..filter.read.len()].copy_from_slice(&filter.read);
        packing
    }

    pub(super) fn weight_gradient(
        &self,
        index: usize,
        from: &[Operand],
        gradient: ValueId,
        workspace: ValueId,
        to: &mut Vec<Launch>,
    ) {
        let layer = &self.network.layers[index];
        if layer.depthwise {
            return self.depthwise_weight_gradient(layer, from, gradient, workspace, to);
        }
        let maps = self.sources(from);
        let (read, extent) = (self.extent(from[0].value), self.extent(gradient));
        let correlation = if layer.transposed {
            // The map takes the gradient's place and the gradient the map's.
            let source = Source { map: self.map(gradient), activation: Activation::default() };
            Correlation {
                sources: vec![(source, layer.blocks())],
                spans: channel_spans(layer.outputs),
                read: extent,
                gradient: maps[0].0.map,
                blocks: from.len(),
                extent: read,
                channels: [layer.outputs, layer.inputs],
            }
        } else {
            Correlation {
                sources: maps,
                spans: from.iter().map(|operand| span(operand.first, operand.channels)).collect(),
                read,
                gradient: self.map(gradient),
                blocks: layer.blocks(),
                extent,
                channels: [layer.inputs, layer.outputs],
            }
        };
        self.correlate(layer, &correlation, self.address(workspace), to);
    }

    /// The sums of products of what a convolution reads and the gradient to its result.
    fn correlate(&self, layer: &Layer, of: &Correlation, partials: Address, to: &mut Vec<Launch>) {
        let Correlation { read, gradient, blocks: targets, extent, channels: [inputs, outputs], .. } = *of;
        let taps = layer.kernel * layer.kernel;
        let window = [layer.kernel, layer.dilation];
        let across = choose::across(window, targets);
        let shares = choose::shares(extent, window, of.spans.len(), targets);
        let [tiles_down, tiles_across] = choose::tiles(extent);
        let mut sources = [ConvolutionSource::default(); MOST_SOURCES];
        for (entry, (source, _)) in sources.iter_mut().zip(&of.sources) {
            entry.source = *source;
        }
        let mut blocks = [0; MOST_TARGETS];
        blocks[..of.spans.len()].copy_from_slice(&of.spans);
        let form = Form {
            precision: self.choices.precision,
            kernel: layer.kernel,
            stride: layer.stride,
            dilation: layer.dilation,
            input_dilation: 1,
            ceiling: of.sources.iter().any(|(source, _)| source.activation.has_ceiling()),
            reads_narrow: of.sources.iter().all(|(source, _)| source.map.wide == 0),
            writes_narrow: gradient.wide == 0,
        };
        let (covered, at_once) = form.weight_gradient(across);
        let parameters = WeightGradient {
            sources,
            gradient,
            partials,
            images: extent.images as i32,
            in_height: read.size.height as i32,
            in_width: read.size.width as i32,
            height: extent.size.height as i32,
            width: extent.size.width as i32,
            kernel: layer.kernel as i32,
            stride: layer.stride as i32,
            dilation: layer.dilation as i32,
            padding: ((layer.kernel - 1) / 2 * layer.dilation) as i32,
            at_once: at_once as i32,
            outputs: outputs as i32,
            sources_in_use: of.sources.len() as i32,
            shares: shares as i32,
            step_images: (shares / (tiles_down * tiles_across)) as i32,
            step_down: (shares / tiles_across % tiles_down) as i32,
            step_across: (shares % tiles_across) as i32,
        };
        let grid = [shares, of.spans.len(), targets.div_ceil(across) * taps.div_ceil(at_once)];
        to.push(Launch::new(covered.kernel, grid, covered.threads, &parameters).shared(covered.shared));
        let sums = choose::sums(of.spans.len(), targets, taps);
        let sum = WeightBlocks {
            partials,
            to: self.operands.gradient + 4 * layer.weight as Address,
            shares: shares as i32,
            sums: sums as i32,
            outputs: outputs as i32,
            inputs: inputs as i32,
            taps: taps as i32,
            unused: 0,
            blocks,
        };
        to.push(Launch::new("sum_weight_blocks", [sums / 32, 1, 1], 256, &sum).shared(256 * 4));
    }

    pub(super) fn input_gradient(
        &mut self,
        index: usize,
        gradient: ValueId,
        destinations: &[Destination],
        to: &mut Vec<Launch>,
    ) {
        let Some(first) = destinations.first() else { return };
        let layer = &self.network.layers[index];
        if layer.depthwise {
            return self.depthwise_input_gradient(layer, gradient, destinations, to);
        }
        let source = Source { map: self.map(gradient), activation: Activation::default() };
        let (stride, input_dilation) = if layer.transposed { (layer.stride, 1) } else { (1, layer.stride) };
        let [to_input, to_output] = layer.strides();
        let sides = Sides {
            kernel: layer.kernel,
            stride,
            dilation: layer.dilation,
            input_dilation,
            from: self.extent(gradient),
            to: self.extent(first.operand.value),
            sources: vec![(source, layer.blocks())],
            targets: destinations.iter().map(|d| self.target(d.operand.value, d.operand.block, d.accumulate)).collect(),
            packing: Filter {
                layer,
                turned: !layer.transposed,
                strides: [to_output, to_input],
                scale: 0,
                read: channel_spans(layer.outputs),
                written: destinations.iter().map(|d| span(d.operand.first, d.operand.channels)).collect(),
            },
        };
        self.convolution(&sides, &Epilogue::NONE, to);
    }
}

/// The channels of each block of a map with so many channels, encoded for kernels.
fn channel_spans(channels: usize) -> Vec<u32> {
    (0..channels).step_by(LANES).map(|first| span(first, (channels - first).min(LANES))).collect()
}

/// Channels of a block, encoded for kernels.
fn span(first: usize, channels: usize) -> u32 {
    ((first << 8) + channels) as u32
}
