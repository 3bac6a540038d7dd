//! Launches for convolutions and their gradients: weights are packed in the kernels' order, then the kernel for the
//! shape runs.

use super::choose::{self, ROW, TILE};
use super::parameters::{
    Activation, Convolution, ConvolutionSource, MOST_SOURCES, MOST_TARGETS, Moments, Norm, Packing, Source,
    WeightGradient, WeightSum, WriteTarget,
};
use super::program::Compiler;
use crate::Mode;
use crate::plan::network::{self, Layer};
use crate::plan::{Destination, Extent, LANES, Operand, ValueId};
use sweep_graph::Precision;
use sweep_graph::gpu::{Address, Launch};

/// The input and output of a convolution.
struct Sides<'a> {
    kernel: usize,
    /// Pixels between windows, and between pixels read.
    stride: usize,
    dilation: usize,
    from: Extent,
    to: Extent,
    sources: Vec<(Source, usize)>,
    targets: Vec<WriteTarget>,
    packing: Filter<'a>,
}

/// The weights that a convolution reads.
struct Filter<'a> {
    layer: &'a Layer,
    /// Whether this is the input gradient: input and output channels are exchanged, taps are turned around.
    turned: bool,
    scale: Address,
    read: Vec<u32>,
    written: Vec<u32>,
    to: Address,
}

impl Compiler<'_> {
    pub(super) fn convolve(
        &self,
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
            to.push(Launch::per_element("fix_norm", arrays.channels, 128, &fixed));
        }
        let written = (0..layer.outputs).step_by(LANES).map(|first| span(first, (layer.outputs - first).min(LANES)));
        let sides = Sides {
            kernel: layer.kernel,
            stride: layer.stride,
            dilation: 1,
            from: self.extent(from[0].value),
            to: extent,
            sources: self.sources(from),
            targets: (0..layer.blocks()).map(|block| self.target(value, block, false)).collect(),
            packing: Filter {
                layer,
                turned: false,
                scale: if is_fixed { scale } else { 0 },
                read: from.iter().map(|o| span(o.first, o.channels)).collect(),
                written: written.collect(),
                to: self.address(workspace),
            },
        };
        let shift = if is_fixed || adds_bias { shift } else { 0 };
        let slope = if is_fixed { layer.slope } else { 1.0 };
        let measured = !is_fixed && layer.norm.is_some();
        let partials = self.convolution(&sides, shift, slope, measured, to);
        if measured {
            let (height, width) = (extent.size.height as i32, extent.size.width as i32);
            let moments = Moments { norm, partials, height, width };
            to.push(Launch::new("merge_moments", [arrays.channels, arrays.rows, 1], 256, &moments).shared(256 * 24));
            if arrays.rows > 1 || arrays.group > 1 {
                to.push(Launch::per_element("finish_norms", arrays.rows * arrays.channels, 128, &norm));
            }
        }
    }

    /// Packs weights and convolves; returns the address of the statistics, if they are `measured`.
    fn convolution(&self, sides: &Sides, shift: Address, slope: f32, measured: bool, to: &mut Vec<Launch>) -> Address {
        let Sides { kernel, stride, dilation, from, to: written, ref sources, ref targets, ref packing } = *sides;
        let taps = kernel * kernel;
        let all_narrow = sources.iter().all(|(source, _)| source.map.wide == 0);
        let is_simple = stride == 1 && dilation == 1 && (self.choices.precision != Precision::Bf16 || all_narrow);
        let side = if is_simple && (kernel == 3 || kernel == 1) { kernel } else { 0 };
        let group = choose::group(side, targets.len());
        let groups = (targets.len() * LANES).div_ceil(group);
        let per_block = LANES / self.choices.chunk();
        let chunks: usize = sources.iter().map(|(_, blocks)| blocks * per_block).sum();
        let packed = groups * chunks * taps * group * ROW;
        to.push(self.packing(packing, group, chunks, packed));

        let partials = if measured { packing.to + packed.next_multiple_of(256) as Address } else { 0 };
        let mut table = [ConvolutionSource::default(); MOST_SOURCES];
        for (entry, (source, blocks)) in table.iter_mut().zip(sources) {
            *entry = ConvolutionSource { source: *source, chunks: (blocks * per_block) as i32, unused: 0 };
        }
        let mut written_to = [WriteTarget::default(); MOST_TARGETS];
        written_to[..targets.len()].copy_from_slice(targets);
        let parameters = Convolution {
            sources: table,
            targets: written_to,
            weights: packing.to,
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
            padding: (kernel / 2) as i32,
            sources_in_use: sources.len() as i32,
            chunks: chunks as i32,
            slope,
            unused: [0; 2],
        };
        let [rows, columns] = TILE;
        let across = written.size.width.div_ceil(columns);
        let down = written.size.height.div_ceil(rows);
        let grid = [across, down, written.images * groups];
        let bytes = 2 * (reach(kernel, stride) + taps * group) * ROW;
        to.push(
            Launch::new(convolution_kernel(self.choices.precision, group, side), grid, 128, &parameters).shared(bytes),
        );
        partials
    }

    fn packing(&self, filter: &Filter, group: usize, chunks: usize, bytes: usize) -> Launch {
        let layer = filter.layer;
        let taps = layer.kernel * layer.kernel;
        let (outputs, inputs) = ((layer.inputs * taps) as i32, taps as i32);
        let (group_stride, chunk_stride) = if filter.turned { (inputs, outputs) } else { (outputs, inputs) };
        let mut packing = Packing {
            weights: self.operands.trained + 4 * layer.weight as Address,
            to: filter.to,
            scale: filter.scale,
            group_stride,
            chunk_stride,
            taps: taps as i32,
            group: group as i32,
            chunks: chunks as i32,
            arithmetic: self.choices.precision as i32,
            turned: filter.turned.into(),
            count: (bytes / ROW * self.choices.chunk()) as i32,
            written: [0; MOST_TARGETS],
            read: [0; MOST_TARGETS],
        };
        packing.written[..filter.written.len()].copy_from_slice(&filter.written);
        packing.read[..filter.read.len()].copy_from_slice(&filter.read);
        Launch::per_element("pack_weights", packing.count as usize, 256, &packing)
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
        let (read, extent) = (self.extent(from[0].value), self.extent(gradient));
        let taps = layer.kernel * layer.kernel;
        let across = choose::across(layer.kernel, layer.blocks());
        let shares = choose::shares(extent, layer.kernel, from.len(), layer.blocks());
        let mut sources = [ConvolutionSource::default(); MOST_SOURCES];
        let maps = self.sources(from);
        for (entry, (source, _)) in sources.iter_mut().zip(&maps) {
            entry.source = *source;
        }
        let mut blocks = [0; MOST_TARGETS];
        for (entry, operand) in blocks.iter_mut().zip(from) {
            *entry = span(operand.first, operand.channels);
        }
        let weights = layer.weights();
        let parameters = WeightGradient {
            sources,
            gradient: self.map(gradient),
            partials: self.address(workspace),
            images: extent.images as i32,
            in_height: read.size.height as i32,
            in_width: read.size.width as i32,
            height: extent.size.height as i32,
            width: extent.size.width as i32,
            kernel: layer.kernel as i32,
            stride: layer.stride as i32,
            padding: (layer.kernel / 2) as i32,
            outputs: layer.outputs as i32,
            inputs: layer.inputs as i32,
            sources_in_use: maps.len() as i32,
            shares: shares as i32,
            blocks,
        };
        let at_once = if layer.kernel == 1 { 1 } else { 9 };
        let grid = [shares, from.len(), layer.blocks().div_ceil(across) * taps.div_ceil(at_once)];
        let pixel = if self.choices.precision == Precision::Bf16 { ROW } else { 3 * ROW };
        let staged = (reach(layer.kernel, layer.stride) + across * TILE[0] * TILE[1]) * pixel;
        let summed = across * 32 * at_once * 8 * 4;
        let kernel = weight_gradient_kernel(self.choices.precision, across, at_once);
        to.push(Launch::new(kernel, grid, 128, &parameters).shared(staged.max(summed)));
        let sum = WeightSum {
            partials: parameters.partials,
            to: self.operands.gradient + 4 * layer.weight as Address,
            shares: shares as i32,
            weights: weights as i32,
        };
        to.push(Launch::per_element("sum_weights", weights, 256, &sum));
    }

    pub(super) fn input_gradient(
        &self,
        index: usize,
        gradient: ValueId,
        destinations: &[Destination],
        workspace: ValueId,
        to: &mut Vec<Launch>,
    ) {
        let Some(first) = destinations.first() else { return };
        let layer = &self.network.layers[index];
        let read = (0..layer.outputs).step_by(LANES).map(|first| span(first, (layer.outputs - first).min(LANES)));
        let source = Source { map: self.map(gradient), activation: Activation::default() };
        let sides = Sides {
            kernel: layer.kernel,
            stride: 1,
            dilation: layer.stride,
            from: self.extent(gradient),
            to: self.extent(first.operand.value),
            sources: vec![(source, layer.blocks())],
            targets: destinations.iter().map(|d| self.target(d.operand.value, d.operand.block, d.accumulate)).collect(),
            packing: Filter {
                layer,
                turned: true,
                scale: 0,
                read: read.collect(),
                written: destinations.iter().map(|d| span(d.operand.first, d.operand.channels)).collect(),
                to: self.address(workspace),
            },
        };
        self.convolution(&sides, 0, 1.0, false, to);
    }
}

/// Channels of a block, encoded for kernels.
fn span(first: usize, channels: usize) -> u32 {
    ((first << 8) + channels) as u32
}

/// Pixels that the windows of a tile cover.
fn reach(kernel: usize, stride: usize) -> usize {
    TILE.iter().map(|side| (side - 1) * stride + kernel).product()
}

/// The kernel for groups of this many channels and for kernels of this side; 0 is any side.
fn convolution_kernel(precision: Precision, group: usize, side: usize) -> &'static str {
    match (precision, group, side) {
        (Precision::Fp32, 16, 3) => "convolve_fp32_16_3",
        (Precision::Fp32, 32, 3) => "convolve_fp32_32_3",
        (Precision::Fp32, _, 3) => "convolve_fp32_64_3",
        (Precision::Fp32, 16, 1) => "convolve_fp32_16_1",
        (Precision::Fp32, _, 1) => "convolve_fp32_64_1",
        (Precision::Fp32, ..) => "convolve_fp32_16_0",
        (Precision::Tf32, 16, 3) => "convolve_tf32_16_3",
        (Precision::Tf32, 32, 3) => "convolve_tf32_32_3",
        (Precision::Tf32, _, 3) => "convolve_tf32_64_3",
        (Precision::Tf32, 16, 1) => "convolve_tf32_16_1",
        (Precision::Tf32, _, 1) => "convolve_tf32_64_1",
        (Precision::Tf32, ..) => "convolve_tf32_16_0",
        (Precision::Bf16, 16, 3) => "convolve_bf16_16_3",
        (Precision::Bf16, 32, 3) => "convolve_bf16_32_3",
        (Precision::Bf16, _, 3) => "convolve_bf16_64_3",
        (Precision::Bf16, 16, 1) => "convolve_bf16_16_1",
        (Precision::Bf16, _, 1) => "convolve_bf16_64_1",
        (Precision::Bf16, ..) => "convolve_bf16_16_0",
    }
}

fn weight_gradient_kernel(precision: Precision, across: usize, at_once: usize) -> &'static str {
    match (precision, across, at_once) {
        (Precision::Fp32, _, 1) => "weight_gradient_fp32_1_1",
        (Precision::Fp32, 1, _) => "weight_gradient_fp32_1_9",
        (Precision::Fp32, 2, _) => "weight_gradient_fp32_2_9",
        (Precision::Fp32, ..) => "weight_gradient_fp32_4_9",
        (Precision::Tf32, _, 1) => "weight_gradient_tf32_1_1",
        (Precision::Tf32, 1, _) => "weight_gradient_tf32_1_9",
        (Precision::Tf32, 2, _) => "weight_gradient_tf32_2_9",
        (Precision::Tf32, ..) => "weight_gradient_tf32_4_9",
        (Precision::Bf16, _, 1) => "weight_gradient_bf16_1_1",
        (Precision::Bf16, 1, _) => "weight_gradient_bf16_1_9",
        (Precision::Bf16, 2, _) => "weight_gradient_bf16_2_9",
        (Precision::Bf16, ..) => "weight_gradient_bf16_4_9",
    }
}
