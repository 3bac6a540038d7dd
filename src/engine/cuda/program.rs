//! Compiles a plan to launches: every step becomes the kernels that compute it, with fixed addresses.

use super::blocks::with_ceiling;
use super::choose::{self, Choices};
use super::filters::Filters;
use super::layers::Layers;
use super::parameters::{
    Activation, Combine, CombineGradient, Exchange, GradientSums, Map, Norm, NormGradient, Pool, Source, Upsample,
    WriteTarget,
};
use super::tables::TablesOn;
use crate::Mode;
use crate::plan::network::{Bend, Network};
use crate::plan::{Destination, Extent, LANES, Operand, Plan, Step, ValueId};
use sweep_core::error::Result;
use sweep_graph::Operation;
use sweep_graph::gpu::{Address, Launch};

/// Addresses of a program's operands.
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
    /// The weights that convolutions read.
    pub(super) filters: Filters,
    /// Launches before all others and before weights are packed.
    pub(super) first: Vec<Launch>,
}

impl Compiler<'_> {
    /// The launches of a step; [`Compiler::output`] and [`Compiler::output_gradient`] handle heads and their gradients.
    ///
    /// # Errors
    /// When the GPU has not enough memory for a table.
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
            Step::InputGradient { layer, gradient, to: destinations, .. } => {
                self.input_gradient(*layer, *gradient, destinations, to);
            }
            Step::Pool { side, from, to: value } => {
                let all = self.resampled(from).into_iter();
                to.extend(all.map(|(index, source, extent)| {
                    let pool = Pool { to: self.map(*value), ..pool(*side, source, extent, index * LANES) };
                    let small = self.extent(*value);
                    let kernel = with_ceiling("pool", source.activation.has_ceiling());
                    each_row(kernel, small.images * small.size.height, source.map, &pool)
                }));
            }
            Step::PoolGradient { side, from, gradient, to: destinations } => {
                for (index, source, extent) in self.resampled(from) {
                    let Destination { operand, accumulate } = destinations[index];
                    let pool = Pool {
                        to: self.map(gradient[index].value),
                        gradient: self.map(operand.value),
                        accumulate: accumulate.into(),
                        ..pool(*side, source, extent, gradient[index].block * LANES)
                    };
                    let (kernel, rows) = match side {
                        2 => ("pool_gradient", extent.size.height.div_ceil(2)),
                        _ => ("pool_gradient_overlapping", extent.size.height),
                    };
                    let kernel = with_ceiling(kernel, source.activation.has_ceiling());
                    to.push(each_row(kernel, extent.images * rows, source.map, &pool));
                }
            }
            Step::Combine { operation, bend, from: [a, b], to: value } => {
                to.push(self.combine(*operation, *bend, [&a[0], &b[0]], *value));
            }
            Step::CombineGradient { bend, result, other, gradient, to: destinations } => {
                let all = destinations.first().map(|destination| {
                    self.combine_gradient(*bend, [result.first(), other.first()], &gradient[0], destination)
                });
                to.extend(all);
            }
            Step::Upsample { from, to: value, rows, columns } => {
                let (rows, columns) = (self.tables.taps(rows)?, self.tables.taps(columns)?);
                for (index, source, extent) in self.resampled(from) {
                    let large = self.extent(*value);
                    let step = Upsample { rows, columns, ..upsample(extent, large, index * LANES) };
                    let step = Upsample { from: source, to: self.map(*value), ..step };
                    let kernel = with_ceiling("upsample", source.activation.has_ceiling());
                    to.push(each_row(kernel, large.images * large.size.height, source.map, &step));
                }
            }
            Step::UpsampleGradient { gradient, to: destinations, rows, columns } => {
                let ([rows, row_readers], [columns, column_readers]) =
                    (self.tables.readers(rows)?, self.tables.readers(columns)?);
                for (index, Destination { operand, accumulate }) in destinations.iter().enumerate() {
                    // One launch per map, at its first block.
                    if operand.block > 0 {
                        continue;
                    }
                    let (extent, large) = (self.extent(operand.value), self.extent(gradient[index].value));
                    let to_map = self.map(operand.value);
                    let step = Upsample {
                        to: self.map(gradient[index].value),
                        rows,
                        columns,
                        row_readers,
                        column_readers,
                        gradient: to_map,
                        accumulate: (*accumulate).into(),
                        ..upsample(extent, large, gradient[index].block * LANES)
                    };
                    to.push(each_row("upsample_gradient", extent.images * extent.size.height, to_map, &step));
                }
            }
            Step::Output { .. } | Step::OutputGradient { .. } => {}
            other => self.gate_step(other, to),
        }
        Ok(())
    }

    fn combine(&self, operation: Operation, bend: Bend, [a, b]: [&Operand; 2], value: ValueId) -> Launch {
        let (map, extent) = (self.map(value), self.extent(value));
        let combine = Combine {
            a: self.source(a),
            b: self.source(b),
            to: map,
            product: (operation == Operation::Product).into(),
            slope: bend.slope,
            height: extent.size.height as i32,
            width: extent.size.width as i32,
            ceiling: bend.ceiling,
            unused: 0,
        };
        let is_below = [combine.a, combine.b].iter().any(|source| source.activation.has_ceiling());
        each_row(
            with_ceiling("combine", is_below || bend.has_ceiling()),
            extent.images * extent.size.height,
            map,
            &combine,
        )
    }

    fn combine_gradient(
        &self,
        bend: Bend,
        [result, other]: [Option<&Operand>; 2],
        gradient: &Operand,
        Destination { operand, accumulate }: &Destination,
    ) -> Launch {
        let (map, extent) = (self.map(operand.value), self.extent(operand.value));
        let combine = CombineGradient {
            result: result.map_or_else(Map::default, |result| self.map(result.value)),
            other: other.map_or_else(Source::default, |other| self.source(other)),
            gradient: self.map(gradient.value),
            to: map,
            slope: bend.slope,
            height: extent.size.height as i32,
            width: extent.size.width as i32,
            accumulate: (*accumulate).into(),
            ceiling: bend.ceiling,
            unused: 0,
        };
        let is_below = combine.other.activation.has_ceiling() || bend.has_ceiling();
        each_row(with_ceiling("combine_gradient", is_below), extent.images * extent.size.height, map, &combine)
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
            to.push(each_pixel("planes_to_map", extent, &exchange));
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
            each_pixel(with_ceiling("map_to_planes", source.activation.has_ceiling()), extent, &exchange)
        };
        from.iter().zip(blocks).map(each).collect()
    }

    /// The launches that read a head's gradient from planes `[B, K, H, W]` at an address.
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
            each_pixel("planes_to_map", extent, &exchange)
        };
        to.iter().map(each).collect()
    }

    fn norm_gradient(&self, index: usize, map: ValueId, gradient: ValueId, workspace: ValueId, to: &mut Vec<Launch>) {
        let (layer, arrays) = (&self.network.layers[index], self.layers.get(index));
        let extent = self.extent(map);
        let norm = self.norm(index, extent);
        let (chunks, pixels) = choose::chunks(extent, layer.blocks());
        let source = Source { map: self.map(map), activation: arrays.activation(layer) };
        let of = |index: usize| self.operands.gradient + 4 * index as Address;
        let (to_gamma, to_beta) = layer.norm.map_or((0, 0), |norm| (of(norm.scale), of(norm.shift)));
        let [factor, offset, drift] = arrays.back;
        let sums = GradientSums {
            norm,
            map: source,
            gradient: self.map(gradient),
            partials: self.address(workspace),
            sums: arrays.sums,
            to_gamma,
            to_beta,
            to_bias: layer.bias.map_or(0, of),
            factor,
            offset,
            drift,
            chunks: chunks as i32,
            pixels: pixels as i32,
        };
        let grid = [chunks, extent.images, arrays.channels.div_ceil(256)];
        let is_narrow = sums.map.map.wide == 0 && sums.gradient.wide == 0;
        let kernel = if is_narrow { "sum_gradients_bf16" } else { "sum_gradients" };
        let kernel = with_ceiling(kernel, layer.bend.has_ceiling());
        to.push(Launch::new(kernel, grid, 256, &sums).shared(256 * 8 * 4));
        to.push(Launch::new("merge_gradients", [arrays.channels, arrays.rows, 1], 256, &sums).shared(256 * 16));
        if arrays.rows > 1 || arrays.group > 1 {
            to.push(Launch::per_element("finish_gradients", arrays.rows * arrays.channels, 128, &sums));
        }
        if layer.norm.is_some() || !layer.bend.is_identity() {
            let (height, width) = (extent.size.height as i32, extent.size.width as i32);
            let per_image = arrays.per_image();
            let gradient = self.map(gradient);
            let apply =
                NormGradient { map: source, gradient, factor, offset, drift, per_image, height, width, unused: 0 };
            let kernel = with_ceiling("apply_gradient", layer.bend.has_ceiling());
            to.push(each_row(kernel, extent.images * extent.size.height, gradient, &apply));
        }
    }

    pub(super) fn norm(&self, layer: usize, extent: Extent) -> Norm {
        let Operands { trained, statistics, .. } = self.operands;
        self.layers.get(layer).norm(&self.network.layers[layer], extent, trained, statistics)
    }

    pub(super) fn extent(&self, value: ValueId) -> Extent {
        self.plan.values[value].extent
    }

    pub(super) fn address(&self, value: ValueId) -> Address {
        self.operands.arena + self.plan.values[value].offset as Address
    }

    pub(super) fn map(&self, value: ValueId) -> Map {
        let of = &self.plan.values[value];
        let wide = of.node.is_none_or(|node| self.choices.is_wide(node));
        Map { data: self.address(value), channels: (of.blocks.len() * LANES) as i32, wide: wide.into() }
    }

    pub(super) fn target(&self, value: ValueId, block: usize, accumulate: bool) -> WriteTarget {
        let map = self.map(value);
        let number = if map.wide == 1 { 4 } else { 2 };
        let data = map.data + (block * LANES * number) as Address;
        WriteTarget { data, channels: map.channels, flags: map.wide + 2 * i32::from(accumulate) }
    }

    /// The maps that the operands' blocks belong to, each with its number of blocks.
    pub(super) fn sources(&self, operands: &[Operand]) -> Vec<(Source, usize)> {
        let mut maps: Vec<(Source, usize)> = Vec::new();
        for operand in operands {
            match maps.last_mut() {
                Some((_, blocks)) if operand.block > 0 => *blocks += 1,
                _ => maps.push((self.source(operand), 1)),
            }
        }
        maps
    }

    pub(super) fn source(&self, operand: &Operand) -> Source {
        let read = |layer: usize| self.layers.get(layer).activation(&self.network.layers[layer]);
        Source { map: self.map(operand.value), activation: operand.layer.map_or_else(Activation::default, read) }
    }

    /// Every map that the operands' blocks belong to: index of its first block among them, the map, and its extent.
    fn resampled(&self, operands: &[Operand]) -> Vec<(usize, Source, Extent)> {
        let firsts = operands.iter().enumerate().filter(|(_, operand)| operand.block == 0);
        firsts.map(|(index, operand)| (index, self.source(operand), self.extent(operand.value))).collect()
    }
}

/// Threads of a block that walks along a row of a map.
pub(super) const WALKERS: usize = 128;

/// A launch with one block per row of a map, whose threads walk along it.
fn each_row<P: sweep_graph::gpu::Parameters>(kernel: &'static str, rows: usize, map: Map, parameters: &P) -> Launch {
    Launch::new(kernel, [rows, (map.channels as usize / 8).div_ceil(WALKERS), 1], WALKERS as u32, parameters)
}

/// A launch with one thread per pixel, image by image.
fn each_pixel(kernel: &'static str, extent: Extent, exchange: &Exchange) -> Launch {
    Launch::new(kernel, [extent.size.area().div_ceil(256), extent.images, 1], 256, exchange)
}

fn pool(side: usize, from: Source, extent: Extent, channel: usize) -> Pool {
    Pool {
        side: side as i32,
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
