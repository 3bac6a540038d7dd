//! Launches of smooth activations, global pooling, gates and layer normalisation, and of their gradients.

pub(super) mod parameters;

use std::ops::Range;

use super::depthwise::GROUP;
use super::parameters::{Map, Source};
use super::program::{Compiler, WALKERS};
use crate::plan::{Destination, Extent, LANES, Operand, Step, ValueId};
use parameters::{Gated, LayerNorm, Smooth, Sums};
use sweep_graph::Gating;
use sweep_graph::gpu::{Launch, Parameters};

/// Blocks that a launch reads: their maps, the first of each map, and the channels of all.
struct Run {
    blocks: Range<usize>,
    span: usize,
    used: usize,
}

/// The longest runs of blocks that are neighbours in every list's maps; a block that is not full ends one.
fn runs(lists: &[&[Operand]]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for index in 0..lists[0].len() {
        let channels = lists[0][index].channels;
        let follows = |list: &&[Operand]| {
            let (before, now) = (&list[index - 1], &list[index]);
            before.value == now.value && before.block + 1 == now.block && before.channels == LANES
        };
        match runs.last_mut() {
            Some(run) if lists.iter().all(follows) => {
                run.blocks.end += 1;
                run.span += LANES;
                run.used += channels;
            }
            _ => runs.push(Run { blocks: index..index + 1, span: LANES, used: channels }),
        }
    }
    runs
}

/// The first channel of a block in its map.
fn channel(block: usize) -> i32 {
    (block * LANES) as i32
}

/// The blocks of destinations.
fn written(to: &[Destination]) -> Vec<Operand> {
    to.iter().map(|destination| destination.operand).collect()
}

/// A product's operands: the map, if it has blocks, and the gate.
struct Product<'a> {
    gating: Gating,
    from: &'a [Operand],
    gate: &'a [Operand],
    factor: f32,
}

impl Compiler<'_> {
    /// The launches of a step that this module knows.
    pub(super) fn gate_step(&self, step: &Step<()>, to: &mut Vec<Launch>) {
        match step {
            Step::Smooth { activation, from, to: value } => self.smooth_all(*activation as i32, from, *value, to),
            Step::Copy { from, to: value } => self.smooth_all(Smooth::COPY, from, *value, to),
            Step::SmoothGradient { activation, from, gradient, to: destinations } => {
                to.extend(runs(&[from, gradient, &written(destinations)]).iter().map(|run| {
                    let first = run.blocks.start;
                    let Destination { operand, accumulate } = destinations[first];
                    let smooth = Smooth {
                        to: self.map(gradient[first].value),
                        to_channel: channel(gradient[first].block),
                        gradient: self.map(operand.value),
                        accumulate: accumulate.into(),
                        ..self.smooth(*activation as i32, &from[first], run)
                    };
                    over_rows("smooth_gradient", self.extent(operand.value), run.span, &smooth)
                }));
            }
            Step::GlobalPool { from, to: value } => {
                let to_blocks = self.blocks_of(*value);
                let factor = 1.0 / self.extent(from[0].value).size.area() as f32;
                self.sums_of_pixels(from, &[], &to_blocks, factor, to);
            }
            Step::GlobalPoolGradient { gradient, to: destinations } => {
                let Some(first) = destinations.first() else { return };
                let factor = 1.0 / self.extent(first.operand.value).size.area() as f32;
                let product = Product { gating: Gating::Channel, from: &[], gate: gradient, factor };
                self.products(&product, destinations, to);
            }
            Step::Gate { gating, from, gate, to: value } => {
                let product = Product { gating: *gating, from, gate, factor: 1.0 };
                self.products(&product, &self.blocks_of(*value), to);
            }
            Step::GateGradient { gating, gate, gradient, to: destinations } => {
                let product = Product { gating: *gating, from: gradient, gate, factor: 1.0 };
                self.products(&product, destinations, to);
            }
            Step::GateSum { gating: Gating::Channel, from, gradient, to: destinations } => {
                self.sums_of_pixels(from, gradient, destinations, 1.0, to);
            }
            Step::GateSum { gating: Gating::Pixel, from, gradient, to: destinations } => {
                self.sums_of_channels(from, gradient, &destinations[0], to);
            }
            Step::LayerNorm { epsilon, from, to: value } => {
                let norm = LayerNorm { to: self.map(*value), ..self.layer_norm(*epsilon, from) };
                to.push(over_pixels("layer_norm", self.extent(*value), &norm));
            }
            Step::LayerNormGradient { epsilon, from, gradient, to: destinations } => {
                let Some(Destination { operand, accumulate }) = destinations.first() else { return };
                let norm = LayerNorm {
                    to: self.map(gradient[0].value),
                    gradient: self.map(operand.value),
                    accumulate: (*accumulate).into(),
                    ..self.layer_norm(*epsilon, from)
                };
                to.push(over_pixels("layer_norm_gradient", self.extent(operand.value), &norm));
            }
            other => unreachable!("{other:?} is no step of this module"),
        }
    }

    /// Writes a function of all values that readers of the operands see.
    fn smooth_all(&self, function: i32, from: &[Operand], value: ValueId, to: &mut Vec<Launch>) {
        to.extend(runs(&[from]).iter().map(|run| {
            let smooth = Smooth {
                to: self.map(value),
                to_channel: channel(run.blocks.start),
                ..self.smooth(function, &from[run.blocks.start], run)
            };
            over_rows("smooth", self.extent(value), run.span, &smooth)
        }));
    }

    /// A function of a run of blocks, without the maps it writes.
    fn smooth(&self, function: i32, first: &Operand, run: &Run) -> Smooth {
        let Extent { size, .. } = self.extent(first.value);
        Smooth {
            from: self.source(first),
            to: Map::default(),
            gradient: Map::default(),
            from_channel: channel(first.block),
            to_channel: 0,
            span: run.span as i32,
            used: run.used as i32,
            height: size.height as i32,
            width: size.width as i32,
            function,
            accumulate: 0,
        }
    }

    /// A layer normalisation of the blocks of one map, without the maps it writes.
    fn layer_norm(&self, epsilon: f64, from: &[Operand]) -> LayerNorm {
        let Extent { size, .. } = self.extent(from[0].value);
        LayerNorm {
            from: self.source(&from[0]),
            to: Map::default(),
            gradient: Map::default(),
            span: (from.len() * LANES) as i32,
            used: from.iter().map(|operand| operand.channels).sum::<usize>() as i32,
            height: size.height as i32,
            width: size.width as i32,
            accumulate: 0,
            epsilon: epsilon as f32,
        }
    }

    /// Multiplies with a gate, in as many launches as there are runs.
    fn products(&self, product: &Product, destinations: &[Destination], to: &mut Vec<Launch>) {
        let Product { gating, from, gate, factor } = *product;
        let by_pixel = gating == Gating::Pixel;
        let operands = written(destinations);
        let mut lists: Vec<&[Operand]> = vec![&operands];
        if !from.is_empty() {
            lists.push(from);
        }
        if !by_pixel {
            lists.push(gate);
        }
        to.extend(runs(&lists).iter().map(|run| {
            let first = run.blocks.start;
            let Destination { operand, accumulate } = destinations[first];
            let (read, of_gate) = (from.get(first), &gate[if by_pixel { 0 } else { first }]);
            let extent = self.extent(operand.value);
            let gate = Gated {
                from: read.map_or_else(Source::default, |read| self.source(read)),
                gate: self.source(of_gate),
                to: self.map(operand.value),
                from_channel: read.map_or(0, |read| channel(read.block)),
                gate_channel: channel(of_gate.block),
                to_channel: channel(operand.block),
                span: run.span as i32,
                height: extent.size.height as i32,
                width: extent.size.width as i32,
                by_pixel: by_pixel.into(),
                accumulate: accumulate.into(),
                factor,
                unused: 0,
            };
            over_rows("gate", extent, run.span, &gate)
        }));
    }

    /// Sums over the pixels of every channel of a map, or of its product with `times` where this has blocks.
    fn sums_of_pixels(
        &self,
        from: &[Operand],
        times: &[Operand],
        destinations: &[Destination],
        factor: f32,
        to: &mut Vec<Launch>,
    ) {
        let operands = written(destinations);
        let mut lists: Vec<&[Operand]> = vec![&operands, from];
        if !times.is_empty() {
            lists.push(times);
        }
        to.extend(runs(&lists).iter().map(|run| {
            let first = run.blocks.start;
            let Destination { operand, accumulate } = destinations[first];
            let sums = Sums {
                to: self.map(operand.value),
                to_channel: channel(operand.block),
                accumulate: accumulate.into(),
                factor,
                ..self.sums(&from[first], times.get(first), run)
            };
            let grid = [run.span.div_ceil(GROUP), self.extent(operand.value).images, 1];
            // Sums of four warps.
            Launch::new("sum_pixels", grid, WALKERS as u32, &sums).shared(4 * GROUP * 4)
        }));
    }

    /// Sums over the channels of every pixel of the product of two maps, run by run.
    fn sums_of_channels(
        &self,
        from: &[Operand],
        times: &[Operand],
        Destination { operand, accumulate }: &Destination,
        to: &mut Vec<Launch>,
    ) {
        let extent = self.extent(operand.value);
        to.extend(runs(&[from, times]).iter().map(|run| {
            let first = run.blocks.start;
            let sums = Sums {
                to: self.map(operand.value),
                accumulate: (*accumulate || first > 0).into(),
                ..self.sums(&from[first], times.get(first), run)
            };
            over_pixels("sum_channels", extent, &sums)
        }));
    }

    /// Sums of a run of blocks, without the map that they are written to.
    fn sums(&self, from: &Operand, times: Option<&Operand>, run: &Run) -> Sums {
        let Extent { size, .. } = self.extent(from.value);
        Sums {
            from: self.source(from),
            times: times.map_or_else(Map::default, |times| self.map(times.value)),
            to: Map::default(),
            from_channel: channel(from.block),
            times_channel: times.map_or(0, |times| channel(times.block)),
            to_channel: 0,
            span: run.span as i32,
            height: size.height as i32,
            width: size.width as i32,
            accumulate: 0,
            factor: 1.0,
        }
    }

    /// All blocks of a map, to be written.
    fn blocks_of(&self, value: ValueId) -> Vec<Destination> {
        let of = |(block, channels): (usize, &usize)| {
            let operand = Operand { value, block, channels: *channels, first: 0, layer: None };
            Destination { operand, accumulate: false }
        };
        self.plan.values[value].blocks.iter().enumerate().map(of).collect()
    }
}

/// A launch with one block per row of a map, whose threads walk along so many channels of it.
fn over_rows<P: Parameters>(kernel: &'static str, extent: Extent, span: usize, parameters: &P) -> Launch {
    let grid = [extent.images * extent.size.height, (span / 8).div_ceil(WALKERS), 1];
    Launch::new(kernel, grid, WALKERS as u32, parameters)
}

/// A launch with a thread per pixel of a map.
fn over_pixels<P: Parameters>(kernel: &'static str, extent: Extent, parameters: &P) -> Launch {
    let grid = [extent.images * extent.size.height, extent.size.width.div_ceil(WALKERS), 1];
    Launch::new(kernel, grid, WALKERS as u32, parameters)
}
