//! From a plan to launches: every step becomes the kernels that compute it, with all addresses in place.

use super::choose::{self, Choices, ROW, TILE};
use super::layers::Layers;
use super::parameters::{
    Activation, Convolution, ConvolutionSource, Exchange, GradientSums, MOST_SOURCES, MOST_TARGETS, Map, Moments, Norm,
    NormGradient, Packing, Pool, Source, Target, Upsample, WeightGradient, WeightSum,
};
use super::tables::TablesOn;
use crate::engine::plan::network::{self, Layer, Network};
use crate::engine::plan::{Destination, Extent, LANES, Operand, Plan, Step, ValueId};
use crate::engine::{Mode, Precision};
use crate::error::Result;
use crate::gpu::{Address, Launch};

/// Where a program finds what is not its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Operands {
    /// The trained values.
    pub(super) trained: Address,
    /// The running statistics.
    pub(super) statistics: Address,
    /// The gradient to the trained values.
    pub(super) gradient: Address,
    /// The images, `[B, C, H, W]`.
    pub(super) images: Address,
    /// All maps and workspaces.
    pub(super) arena: Address,
}

/// Writes a plan's launches.
pub(super) struct Compiler<'a> {
    pub(super) plan: &'a Plan<()>,
    pub(super) network: &'a Network,
    pub(super) choices: &'a Choices,
    pub(super) layers: &'a Layers,
    pub(super) tables: TablesOn<'a>,
    pub(super) operands: Operands,
    pub(super) mode: Mode,
}

/// A convolution's sides.
struct Sides<'a> {
    kernel: usize,
    /// Pixels between windows, and between pixels read.
    stride: usize,
    dilation: usize,
    from: Extent,
    to: Extent,
    sources: Vec<(Source, usize)>,
    targets: Vec<Target>,
    packing: Filter<'a>,
}

/// Which weights a convolution reads.
struct Filter<'a> {
    layer: &'a Layer,
    /// Whether this is the way back: channels read and written change places, taps turn around.
    turned: bool,
    scale: Address,
    read: Vec<u32>,
    written: Vec<u32>,
    to: Address,
}

impl Compiler<'_> {
    /// The launches of a step; heads and their gradients go by [`Compiler::output`] and [`Compiler::output_gradient`].
    ///
    /// # Errors
    /// When the GPU has no room for a table.
    pub(super) fn step(&mut self, step: &Step<()>, to: &mut Vec<Launch>) -> Result<()> {
        match step {
            Step::Input { to: value } => self.input(*value, to),
            Step::Convolve { layer, from, to: value, workspace, .. } => {
                self.convolve(*layer, from, *value, *workspace, to);
            }
            Step::NormGradient { layer, map, gradient, workspace } => {
                self.norm_gradient(*layer, *map, *gradient, *workspace, to);
            }
            Step::WeightGradient { layer, from, gradient, workspace, .. } => {
                self.weight_gradient(*layer, from, *gradient, *workspace, to);
            }
            Step::InputGradient { layer, gradient, to: destinations, workspace, .. } => {
                self.input_gradient(*layer, *gradient, destinations, *workspace, to);
            }
            Step::Pool { from, to: value } => {
                let all = self.resampled(from).into_iter();
                to.extend(all.map(|(place, source, extent)| {
                    let pool = Pool { to: self.map(*value), ..pool(source, extent, place * LANES) };
                    let count = extent.images * (extent.size.height / 2) * (extent.size.width / 2);
                    each_vector("pool", count, source.map, &pool)
                }));
            }
            Step::PoolGradient { from, gradient, to: destinations } => {
                for (place, source, extent) in self.resampled(from) {
                    let Destination { operand, accumulate } = destinations[place];
                    let pool = Pool {
                        to: self.map(gradient[place].value),
                        gradient: self.map(operand.value),
                        accumulate: accumulate.into(),
                        ..pool(source, extent, gradient[place].block * LANES)
                    };
                    let count = extent.images * extent.size.height.div_ceil(2) * extent.size.width.div_ceil(2);
                    to.push(each_vector("pool_gradient", count, source.map, &pool));
                }
            }
            Step::Upsample { from, to: value, rows, columns } => {
                let (rows, columns) = (self.tables.taps(rows)?, self.tables.taps(columns)?);
                for (place, source, extent) in self.resampled(from) {
                    let large = self.extent(*value);
                    let step = Upsample { rows, columns, ..upsample(extent, large, place * LANES) };
                    let step = Upsample { from: source, to: self.map(*value), ..step };
                    to.push(each_vector("upsample", large.images * large.size.area(), source.map, &step));
                }
            }
            Step::UpsampleGradient { gradient, to: destinations, rows, columns } => {
                let ([rows, row_readers], [columns, column_readers]) =
                    (self.tables.readers(rows)?, self.tables.readers(columns)?);
                for (place, Destination { operand, accumulate }) in destinations.iter().enumerate() {
                    // A launch a map, which starts with its first block.
                    if operand.block > 0 {
                        continue;
                    }
                    let (extent, large) = (self.extent(operand.value), self.extent(gradient[place].value));
                    let to_map = self.map(operand.value);
                    let step = Upsample {
                        to: self.map(gradient[place].value),
                        rows,
                        columns,
                        row_readers,
                        column_readers,
                        gradient: to_map,
                        accumulate: (*accumulate).into(),
                        ..upsample(extent, large, gradient[place].block * LANES)
                    };
                    to.push(each_vector("upsample_gradient", extent.images * extent.size.area(), to_map, &step));
                }
            }
            Step::Output { .. } | Step::OutputGradient { .. } => {}
        }
        Ok(())
    }

    fn input(&self, value: ValueId, to: &mut Vec<Launch>) {
        let (map, extent) = (self.map(value), self.extent(value));
        let blocks = &self.plan.values[value].blocks;
        for (block, channels) in blocks.iter().enumerate() {
            let exchange = Exchange {
                map: Source { map, ..Source::default() },
                planes: self.operands.images,
                of_image: blocks.iter().sum::<usize>() as i32,
                first: (block * LANES) as i32,
                count: *channels as i32,
                channel: (block * LANES) as i32,
                ..exchange(extent)
            };
            to.push(Launch::each("planes_to_map", extent.images * extent.size.area(), 256, &exchange));
        }
    }

    /// The launches that write a head's planes `[B, K, H, W]` at an address.
    pub(super) fn output(&self, head: usize, from: &[Operand], planes: Address) -> Vec<Launch> {
        let of_image = self.plan.heads[head].0 as i32;
        let sources = self.sources(from);
        let blocks = sources.iter().flat_map(|(source, blocks)| (0..*blocks).map(move |block| (source, block)));
        let each = |(operand, (source, block)): (&Operand, (&Source, usize))| {
            let extent = self.extent(operand.value);
            let exchange = Exchange {
                map: *source,
                planes,
                of_image,
                first: operand.first as i32,
                count: operand.channels as i32,
                channel: (block * LANES) as i32,
                ..exchange(extent)
            };
            Launch::each("map_to_planes", extent.images * extent.size.area(), 256, &exchange)
        };
        from.iter().zip(blocks).map(each).collect()
    }

    /// The launches that take a head's gradient from planes `[B, K, H, W]` at an address.
    pub(super) fn output_gradient(&self, head: usize, to: &[Destination], planes: Address) -> Vec<Launch> {
        let each = |Destination { operand, accumulate }: &Destination| {
            let extent = self.extent(operand.value);
            let exchange = Exchange {
                map: Source { map: self.map(operand.value), ..Source::default() },
                planes,
                of_image: self.plan.heads[head].0 as i32,
                first: operand.first as i32,
                count: operand.channels as i32,
                channel: (operand.block * LANES) as i32,
                accumulate: (*accumulate).into(),
                ..exchange(extent)
            };
            Launch::each("planes_to_map", extent.images * extent.size.area(), 256, &exchange)
        };
        to.iter().map(each).collect()
    }

    fn convolve(&self, index: usize, from: &[Operand], value: ValueId, workspace: ValueId, to: &mut Vec<Launch>) {
        let (layer, places) = (&self.network.layers[index], self.layers.of(index));
        let extent = self.extent(value);
        let norm = self.norm(index, extent);
        let is_fixed = self.mode == Mode::Evaluate && !layer.norm.is_some_and(network::Norm::is_always_measured);
        let takes_bias_out = layer.norm.is_some_and(network::Norm::takes_bias_out);
        let [scale, shift] = places.fixed;
        if is_fixed || !takes_bias_out {
            let by = if is_fixed { norm } else { Norm { running_mean: 0, running_variance: 0, ..norm } };
            let fixed = Norm { scale, shift, ..by };
            to.push(Launch::each("fix_norm", places.channels, 128, &fixed));
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
        let shift = if is_fixed || !takes_bias_out { shift } else { 0 };
        let slope = if is_fixed { layer.slope } else { 1.0 };
        let measured = !is_fixed && layer.norm.is_some();
        let partials = self.convolution(&sides, shift, slope, measured, to);
        if measured {
            let (height, width) = (extent.size.height as i32, extent.size.width as i32);
            let moments = Moments { norm, partials, height, width };
            to.push(Launch::new("merge_moments", [places.channels, places.rows, 1], 256, &moments).shared(256 * 24));
            if places.rows > 1 || places.group > 1 {
                to.push(Launch::each("finish_norms", places.rows * places.channels, 128, &norm));
            }
        }
    }

    /// Packs weights and convolves; returns where the statistics are, if they are `measured`.
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
        let mut written_to = [Target::default(); MOST_TARGETS];
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
        Launch::each("pack_weights", packing.count as usize, 256, &packing)
    }

    fn norm_gradient(&self, index: usize, map: ValueId, gradient: ValueId, workspace: ValueId, to: &mut Vec<Launch>) {
        let (layer, places) = (&self.network.layers[index], self.layers.of(index));
        let extent = self.extent(map);
        let norm = self.norm(index, extent);
        let (chunks, pixels) = choose::chunks(extent, layer.blocks());
        let source = Source { map: self.map(map), activation: places.activation(layer) };
        let of = |place: usize| self.operands.gradient + 4 * place as Address;
        let (to_gamma, to_beta) = layer.norm.map_or((0, 0), |norm| (of(norm.scale), of(norm.shift)));
        let [factor, offset, drift] = places.back;
        let sums = GradientSums {
            norm,
            map: source,
            gradient: self.map(gradient),
            partials: self.address(workspace),
            sums: places.sums,
            to_gamma,
            to_beta,
            to_bias: of(layer.bias),
            factor,
            offset,
            drift,
            chunks: chunks as i32,
            pixels: pixels as i32,
        };
        let grid = [chunks, extent.images, places.channels.div_ceil(256)];
        to.push(Launch::new("sum_gradients", grid, 256, &sums).shared(256 * 8 * 4));
        to.push(Launch::new("merge_gradients", [places.channels, places.rows, 1], 256, &sums).shared(256 * 16));
        if places.rows > 1 || places.group > 1 {
            to.push(Launch::each("finish_gradients", places.rows * places.channels, 128, &sums));
        }
        if layer.norm.is_some() || (layer.slope - 1.0).abs() > 0.0 {
            let (images, area) = (norm.images, norm.area);
            let per_image = places.per_image();
            let gradient = self.map(gradient);
            let apply =
                NormGradient { map: source, gradient, factor, offset, drift, per_image, images, area, unused: 0 };
            to.push(each_vector("apply_gradient", extent.images * extent.size.area(), gradient, &apply));
        }
    }

    fn weight_gradient(
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
        to.push(Launch::each("sum_weights", weights, 256, &sum));
    }

    fn input_gradient(
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

    fn norm(&self, layer: usize, extent: Extent) -> Norm {
        let Operands { trained, statistics, .. } = self.operands;
        self.layers.of(layer).norm(&self.network.layers[layer], extent, trained, statistics)
    }

    fn extent(&self, value: ValueId) -> Extent {
        self.plan.values[value].extent
    }

    fn address(&self, value: ValueId) -> Address {
        self.operands.arena + self.plan.values[value].offset as Address
    }

    fn map(&self, value: ValueId) -> Map {
        let of = &self.plan.values[value];
        let wide = of.node.is_none_or(|node| self.choices.is_wide(node));
        Map { data: self.address(value), channels: (of.blocks.len() * LANES) as i32, wide: wide.into() }
    }

    fn target(&self, value: ValueId, block: usize, accumulate: bool) -> Target {
        let map = self.map(value);
        let number = if map.wide == 1 { 4 } else { 2 };
        let data = map.data + (block * LANES * number) as Address;
        Target { data, channels: map.channels, flags: map.wide + 2 * i32::from(accumulate) }
    }

    /// The maps that operands are the blocks of, each with its number of blocks.
    fn sources(&self, operands: &[Operand]) -> Vec<(Source, usize)> {
        let mut maps: Vec<(Source, usize)> = Vec::new();
        for operand in operands {
            match maps.last_mut() {
                Some((_, blocks)) if operand.block > 0 => *blocks += 1,
                _ => maps.push((self.source(operand), 1)),
            }
        }
        maps
    }

    fn source(&self, operand: &Operand) -> Source {
        let read = |layer: usize| self.layers.of(layer).activation(&self.network.layers[layer]);
        Source { map: self.map(operand.value), activation: operand.layer.map_or_else(Activation::default, read) }
    }

    /// Every map that operands are the blocks of: the place of its first block among them, the map and its extent.
    fn resampled(&self, operands: &[Operand]) -> Vec<(usize, Source, Extent)> {
        let firsts = operands.iter().enumerate().filter(|(_, operand)| operand.block == 0);
        firsts.map(|(place, operand)| (place, self.source(operand), self.extent(operand.value))).collect()
    }
}

/// Channels of a block as kernels read them.
fn span(first: usize, channels: usize) -> u32 {
    ((first << 8) + channels) as u32
}

/// Pixels that the windows of a tile reach.
fn reach(kernel: usize, stride: usize) -> usize {
    TILE.iter().map(|side| (side - 1) * stride + kernel).product()
}

/// A thread for every eight channels of so many pixels.
fn each_vector<P: crate::gpu::Parameters>(kernel: &'static str, pixels: usize, map: Map, parameters: &P) -> Launch {
    Launch::each(kernel, pixels * map.channels as usize / 8, 256, parameters)
}

fn pool(from: Source, extent: Extent, channel: usize) -> Pool {
    Pool {
        from,
        channel: channel as i32,
        images: extent.images as i32,
        height: extent.size.height as i32,
        width: extent.size.width as i32,
        ..Pool::default()
    }
}

fn upsample(from: Extent, to: Extent, channel: usize) -> Upsample {
    Upsample {
        channel: channel as i32,
        images: from.images as i32,
        height: from.size.height as i32,
        width: from.size.width as i32,
        to_height: to.size.height as i32,
        to_width: to.size.width as i32,
        ..Upsample::default()
    }
}

fn exchange(extent: Extent) -> Exchange {
    Exchange { images: extent.images as i32, area: extent.size.area() as i32, ..Exchange::default() }
}

/// The kernel for groups of so many channels, and kernels of one side, or 0 for any.
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
