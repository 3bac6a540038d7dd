//! Runs a plan's steps: resolves their operands to memory and calls the kernels. `maps` runs the steps without
//! parameters.
#![expect(unsafe_code, reason = "calls the kernels on memory that the plan keeps disjoint")]

use super::choose::Algorithm;
use super::kernels::depthwise::{self, ChannelFilter};
use super::kernels::filter::{Filter, Span};
use super::kernels::narrow::Numbers;
#[cfg(target_arch = "x86_64")]
use super::kernels::tiles;
use super::kernels::{Convolution, direct, norm, pack, winograd};
use super::layout::{Block, Extent, Memory, Pointer, Target, lanes};
use super::normalise::{LayerState, bias_gradient, fixed_norm, norm_gradient, normalise};
use super::profile::Profile;
use super::simd::{LANES, Simd};
use super::{Plan, Step};
use crate::Mode;
use crate::plan::network::{Bend, Layer, Network, Norm};
use crate::plan::{Destination, Operand, ValueId};

/// One pass over a plan.
pub(super) struct Executor<'a, S> {
    /// The instruction set.
    pub(super) simd: S,
    /// The program to run.
    pub(super) plan: &'a Plan,
    /// The layers.
    pub(super) network: &'a Network,
    /// At least [`Plan::arena`] numbers.
    pub(super) memory: Memory,
    /// Trained values.
    pub(super) trained: &'a [f32],
    /// One per layer.
    pub(super) layers: &'a mut [LayerState],
    /// Times of steps.
    pub(super) profile: &'a mut Profile,
}

impl<S: Simd> Executor<'_, S> {
    /// The forward pass: images `[B, C, H, W]` to all heads' `[B, K, H, W]`, one after another in `out`.
    pub(super) fn forward(&mut self, images: &[f32], statistics: &mut [f32], out: &mut [f32], mode: Mode) {
        for step in &self.plan.forward {
            let began = self.profile.begin();
            match step {
                Step::Convolve { layer, algorithm, from, to, workspace, rounds } => {
                    self.convolve(*layer, *algorithm, from, *to, *workspace, *rounds, statistics, mode);
                }
                Step::Output { head, from } => {
                    let (start, len) = self.head(*head);
                    let extent = Extent { images: self.plan.images.images, size: self.plan.heads[*head].1 };
                    // SAFETY: operands are maps of the head's extent.
                    unsafe { pack::unpack(self.simd, extent, &self.blocks(from), &mut out[start..start + len]) };
                }
                other => self.map(other, images),
            }
            self.profile.end(self.plan, self.network, step, began);
        }
    }

    /// The backward pass: from the images and each head's gradient to the gradient of the trained values. Parameters
    /// that no head depends on keep the content of `out`.
    pub(super) fn backward(&mut self, images: &[f32], heads: &[&[f32]], out: &mut [f32]) {
        for step in &self.plan.backward {
            let began = self.profile.begin();
            match step {
                Step::OutputGradient { head, to } => {
                    let extent = Extent { images: self.plan.images.images, size: self.plan.heads[*head].1 };
                    // SAFETY: destinations are maps of the head's extent that nothing else uses now.
                    unsafe { self.output_gradient(extent, heads[*head], to) };
                }
                Step::NormGradient { layer, map, gradient, workspace } => {
                    self.norm_gradient(*layer, *map, *gradient, *workspace, out);
                }
                Step::WeightGradient { layer, algorithm, from, gradient, workspace } => {
                    self.weight_gradient(*layer, *algorithm, from, *gradient, *workspace, out);
                }
                Step::InputGradient { layer, algorithm, gradient, to, workspace } => {
                    self.input_gradient(*layer, *algorithm, *gradient, to, *workspace);
                }
                other => self.map(other, images),
            }
            self.profile.end(self.plan, self.network, step, began);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the step's operands, one by one")]
    fn convolve(
        &mut self,
        index: usize,
        algorithm: Algorithm,
        from: &[Operand],
        to: ValueId,
        workspace: ValueId,
        rounds: bool,
        statistics: &mut [f32],
        mode: Mode,
    ) {
        let layer = &self.network.layers[index];
        let bias = layer.bias_of(self.trained);
        let is_fixed = mode == Mode::Evaluate && !layer.norm.is_some_and(Norm::is_always_measured);
        let fixed = is_fixed.then(|| fixed_norm(layer, self.trained, statistics));
        let shift: &[f32] = match (&fixed, layer.norm) {
            (Some((_, shift)), _) => shift,
            (None, Some(norm)) if norm.takes_bias_out() => &[],
            (None, _) => bias,
        };
        let bend = if fixed.is_some() { layer.bend } else { Bend::IDENTITY };
        let blocks = self.own_blocks(to).into_iter().enumerate();
        let targets: Vec<Target> =
            blocks.map(|(i, block)| Target { block, accumulate: false, shift: lanes(shift, i), bend }).collect();
        let sources = self.blocks(from);
        let (extent, read) = (self.extent(to), self.extent(from[0].value));
        let Layer { kernel, stride, dilation, .. } = *layer;
        let convolution = Convolution { extent, read, kernel, stride, dilation, sources: &sources, targets: &targets };
        let [source_stride, target_stride] = layer.strides();
        let filter = Filter {
            weights: &self.trained[layer.weight..][..layer.weights()],
            kernel: layer.kernel,
            source_stride,
            target_stride,
            turned: layer.transposed,
            sources: &spans(from),
            targets: &channel_spans(layer.outputs),
            scale: fixed.as_ref().map(|(scale, _)| scale.as_slice()),
        };
        let memory = self.pointer(workspace);
        // SAFETY: the plan gives the maps these extents, and the target and the workspace their own memory.
        unsafe { convolve(self.simd, algorithm, &convolution, &filter, memory) };
        if fixed.is_none() {
            self.layers[index] = if let Some(norm) = layer.norm {
                // SAFETY: the map was just written; its workspace is free again.
                let moments =
                    unsafe { norm::moments(self.simd, extent, self.pointer(to), layer.blocks(), rounds, memory) };
                normalise(layer, norm, extent.images, self.trained, &moments, statistics)
            } else {
                LayerState::plain(layer, extent.images)
            };
        }
    }

    fn norm_gradient(&self, index: usize, map: ValueId, gradient: ValueId, workspace: ValueId, out: &mut [f32]) {
        let (layer, state) = (&self.network.layers[index], &self.layers[index]);
        let narrow = self.plan.values[map].narrow;
        let (extent, map) = (self.extent(map), Numbers { start: self.pointer(map), narrow });
        let gradient = self.pointer(gradient);
        let workspace = self.pointer(workspace);
        // SAFETY: map and gradient have the same shape, and nothing else uses the gradient or the workspace now.
        let sums =
            unsafe { norm::gradient_sums(self.simd, extent, map, gradient, &state.activate, &state.mean, workspace) };
        let Some(norm) = layer.norm else {
            bias_gradient(layer, state, &sums, out);
            if !layer.bend.is_identity() {
                let (one, zero) = (vec![1.0; state.mean.len()], vec![0.0; state.mean.len()]);
                // SAFETY: same as the block before.
                unsafe { norm::gradient(self.simd, extent, map, gradient, &state.activate, [&one, &zero, &zero]) };
            }
            return;
        };
        let [factor, offset, drift] = norm_gradient(layer, norm, state, &sums, self.trained, extent.size.area(), out);
        // SAFETY: same as the block before.
        unsafe { norm::gradient(self.simd, extent, map, gradient, &state.activate, [&factor, &offset, &drift]) };
    }

    fn weight_gradient(
        &self,
        index: usize,
        algorithm: Algorithm,
        from: &[Operand],
        gradient: ValueId,
        workspace: ValueId,
        out: &mut [f32],
    ) {
        let (s, layer) = (self.simd, &self.network.layers[index]);
        let (extent, read) = (self.extent(gradient), self.extent(from[0].value));
        let (sources, spans) = (self.blocks(from), spans(from));
        let gradient = self.own_blocks(gradient);
        let out = &mut out[layer.weight..][..layer.weights()];
        let memory = self.pointer(workspace);
        let Layer { kernel, stride: step, dilation, .. } = *layer;
        if layer.transposed {
            // The map takes the gradient's place and the gradient the map's.
            let shape = direct::GradientShape { extent: read, read: extent, kernel, stride: step, dilation };
            let (spans, [stride, _]) = (channel_spans(layer.outputs), layer.strides());
            // SAFETY: the plan gives the maps these extents, and the workspace its own memory.
            unsafe { direct::weight_gradient(s, shape, &gradient, &sources, &spans, out, stride, memory) };
            return;
        }
        let [_, stride] = layer.strides();
        let shape = direct::GradientShape { extent, read, kernel, stride: step, dilation };
        // SAFETY: the plan gives the maps these extents, and the workspace its own memory.
        unsafe {
            match algorithm {
                Algorithm::Depthwise => depthwise::weight_gradient(s, shape, &sources, &gradient, out, memory),
                Algorithm::Direct => {
                    direct::weight_gradient(s, shape, &sources, &gradient, &spans, out, stride, memory);
                }
                Algorithm::Winograd => {
                    winograd::weight_gradient(s, extent, &sources, &gradient, &spans, out, stride, memory);
                }
                #[cfg(target_arch = "x86_64")]
                Algorithm::Tiles(unit) => {
                    tiles::weight_gradient(unit, extent, kernel, &sources, &gradient, &spans, out, stride, memory);
                }
            }
        }
    }

    fn input_gradient(
        &self,
        index: usize,
        algorithm: Algorithm,
        gradient: ValueId,
        to: &[Destination],
        workspace: ValueId,
    ) {
        let Some(first) = to.first() else { return };
        let layer = &self.network.layers[index];
        let sources = self.own_blocks(gradient);
        let targets = self.targets(to);
        let [target_stride, source_stride] = layer.strides();
        let (extent, read) = (self.extent(first.operand.value), self.extent(gradient));
        let Layer { kernel, stride, dilation, .. } = *layer;
        let convolution = Convolution { extent, read, kernel, stride, dilation, sources: &sources, targets: &targets };
        let filter = Filter {
            weights: &self.trained[layer.weight..][..layer.weights()],
            kernel: layer.kernel,
            source_stride,
            target_stride,
            turned: !layer.transposed,
            sources: &channel_spans(layer.outputs),
            targets: &to.iter().map(|d| (d.operand.first, d.operand.channels)).collect::<Vec<_>>(),
            scale: None,
        };
        // SAFETY: the plan gives the maps these extents, destinations occur once, and they and the workspace have their
        // own memory.
        unsafe { convolve(self.simd, algorithm, &convolution, &filter, self.pointer(workspace)) };
    }

    /// Spreads a head's gradient over its destinations, which may cover only some of the head's channels.
    unsafe fn output_gradient(&self, extent: Extent, planes: &[f32], to: &[Destination]) {
        let (area, targets) = (extent.size.area(), self.targets(to));
        let channels = planes.len() / (extent.images * area);
        let covered: usize = to.iter().map(|d| d.operand.channels).sum();
        // SAFETY: the caller's promise.
        unsafe {
            if covered == channels {
                pack::pack(self.simd, extent, planes, &targets);
                return;
            }
            for (target, destination) in targets.iter().zip(to) {
                let Operand { first, channels: count, .. } = destination.operand;
                let part: Vec<f32> = planes
                    .chunks(channels * area)
                    .flat_map(|image| &image[first * area..][..count * area])
                    .copied()
                    .collect();
                pack::pack(self.simd, extent, &part, std::slice::from_ref(target));
            }
        }
    }

    /// Start and length of a head among all heads' values.
    fn head(&self, head: usize) -> (usize, usize) {
        let len =
            |(channels, size): &(usize, sweep_core::units::Size)| self.plan.images.images * channels * size.area();
        (self.plan.heads[..head].iter().map(len).sum(), len(&self.plan.heads[head]))
    }

    pub(super) fn extent(&self, value: ValueId) -> Extent {
        self.plan.values[value].extent
    }

    pub(super) fn pointer(&self, value: ValueId) -> Pointer {
        let value = &self.plan.values[value];
        self.memory.at(value.offset, value.len)
    }

    fn block(&self, operand: &Operand) -> Block<'_> {
        let value = &self.plan.values[operand.value];
        let plane = value.extent.plane() / if value.narrow { 2 } else { 1 };
        let activate = operand.layer.map_or(&[][..], |layer| self.layers[layer].of_block(operand.block));
        Block {
            data: self.memory.at(value.offset + operand.block * plane, value.len - operand.block * plane),
            image_stride: value.blocks.len() * plane,
            narrow: value.narrow,
            channels: operand.channels,
            activate,
        }
    }

    pub(super) fn blocks(&self, operands: &[Operand]) -> Vec<Block<'_>> {
        operands.iter().map(|operand| self.block(operand)).collect()
    }

    /// All blocks of a map, in the order of memory.
    pub(super) fn own_blocks(&self, value: ValueId) -> Vec<Block<'_>> {
        let blocks = self.plan.values[value].blocks.iter().copied().enumerate();
        blocks.map(|(block, channels)| self.block(&Operand { value, block, channels, first: 0, layer: None })).collect()
    }

    pub(super) fn targets(&self, to: &[Destination]) -> Vec<Target<'_>> {
        to.iter().map(|d| plain_target(self.block(&d.operand), d.accumulate)).collect()
    }
}

pub(super) fn plain_target(block: Block<'_>, accumulate: bool) -> Target<'_> {
    Target { block, accumulate, shift: [0.0; LANES], bend: Bend::IDENTITY }
}

unsafe fn convolve<S: Simd>(s: S, algorithm: Algorithm, convolution: &Convolution, filter: &Filter, memory: Pointer) {
    // SAFETY: the caller's promise.
    unsafe {
        match algorithm {
            Algorithm::Depthwise => {
                let Filter { weights, turned, scale, targets, .. } = *filter;
                depthwise::convolve(s, convolution, &ChannelFilter { weights, turned, scale, targets });
            }
            Algorithm::Direct => direct::convolve(s, convolution, filter, memory),
            Algorithm::Winograd => winograd::convolve(s, convolution, filter, memory),
            #[cfg(target_arch = "x86_64")]
            Algorithm::Tiles(unit) => tiles::convolve(unit, convolution, filter, memory),
        }
    }
}

fn spans(operands: &[Operand]) -> Vec<Span> {
    operands.iter().map(|o| (o.first, o.channels)).collect()
}

/// The channels of each block of a map with `channels` channels.
fn channel_spans(channels: usize) -> Vec<Span> {
    (0..channels).step_by(LANES).map(|first| (first, (channels - first).min(LANES))).collect()
}
