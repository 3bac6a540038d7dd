//! Runs the steps without parameters: those that turn maps into maps, and their gradients.
#![expect(unsafe_code, reason = "calls the kernels on memory that the plan keeps disjoint")]

use super::Step;
use super::execute::{Executor, plain_target};
use super::kernels::{combine, gate, global_pool, layer_norm, narrow, pack, pool, resample, smooth};
use super::layout::Target;
use super::simd::Simd;

impl<S: Simd> Executor<'_, S> {
    /// Runs a step that reads no parameter.
    pub(super) fn map(&self, step: &Step, images: &[f32]) {
        let s = self.simd;
        match step {
            Step::Input { to } => {
                // SAFETY: the plan gives the target its own memory, of the images' extent.
                unsafe { pack::pack(s, self.plan.images, images, &self.whole(*to)) };
            }
            Step::Narrow { from, to } => {
                // SAFETY: the plan gives the target its own memory, of half the map's length.
                unsafe { narrow::narrow(s, self.pointer(*from), self.pointer(*to), self.plan.values[*from].len) };
            }
            Step::Widen { from, to } => {
                // SAFETY: same as the block before, the other way round.
                unsafe { narrow::widen(s, self.pointer(*from), self.pointer(*to), self.plan.values[*to].len) };
            }
            Step::Pool { side, from, to } => {
                let extent = self.extent(from[0].value);
                let (from, to) = (self.blocks(from), self.own_blocks(*to));
                // SAFETY: the plan gives the target its own memory, of half the sources' extent.
                unsafe {
                    match side {
                        2 => pool::forward(s, extent, &from, &to),
                        _ => pool::overlapping::forward(s, extent, &from, &to),
                    }
                }
            }
            Step::Combine { operation, bend, from: [a, b], to } => {
                let (extent, targets) = (self.extent(*to), self.own_blocks(*to));
                let read = [&*self.blocks(a), &*self.blocks(b)];
                // SAFETY: the plan gives the target its own memory, of the sources' extent.
                unsafe { combine::forward(s, extent, *operation, *bend, read, &targets) };
            }
            Step::Copy { from, to } => {
                // SAFETY: the plan gives the target its own memory, of the sources' extent.
                unsafe { combine::copy(s, self.extent(*to), &self.blocks(from), &self.own_blocks(*to)) };
            }
            Step::Upsample { from, to, rows, columns } => {
                let extent = self.extent(from[0].value);
                let targets = self.own_blocks(*to);
                // SAFETY: the plan gives the target its own memory, of the axes' size.
                unsafe { resample::forward(s, extent, (rows, columns), &self.blocks(from), &targets) };
            }
            Step::GlobalPool { from, to } => {
                let extent = self.extent(from[0].value);
                // SAFETY: the plan gives the target its own memory, of a pixel for each image.
                unsafe { global_pool::forward(s, extent, &self.blocks(from), &self.own_blocks(*to)) };
            }
            Step::Smooth { activation, from, to } => {
                let (extent, targets) = (self.extent(*to), self.own_blocks(*to));
                // SAFETY: the plan gives the target its own memory, of the sources' extent.
                unsafe { smooth::forward(s, *activation, extent, &self.blocks(from), &targets) };
            }
            Step::LayerNorm { epsilon, from, to } => {
                let (extent, targets) = (self.extent(*to), self.own_blocks(*to));
                // SAFETY: the plan gives the target its own memory, of the sources' extent.
                unsafe { layer_norm::forward(s, *epsilon, extent, &self.blocks(from), &targets) };
            }
            Step::Gate { gating, from, gate, to } => {
                let (from, gates, targets) = (self.blocks(from), self.blocks(gate), self.whole(*to));
                // SAFETY: the plan gives the target its own memory, of the sources' extent.
                unsafe { gate::multiply(s, self.extent(*to), *gating, &from, &gates, &targets) };
            }
            other => self.map_gradient(other),
        }
    }

    /// Runs the gradient of such a step.
    fn map_gradient(&self, step: &Step) {
        let s = self.simd;
        match step {
            Step::PoolGradient { side, from, gradient, to } => {
                let Some(first) = to.first() else { return };
                let (extent, gradient) = (self.extent(first.operand.value), self.blocks(gradient));
                let (from, to) = (self.blocks(from), self.targets(to));
                // SAFETY: the plan gives sources and destinations the same extent, and destinations their own memory.
                unsafe {
                    match side {
                        2 => pool::backward(s, extent, &from, &gradient, &to),
                        _ => pool::overlapping::backward(s, extent, &from, &gradient, &to),
                    }
                }
            }
            Step::CombineGradient { bend, result, other, gradient, to } => {
                let Some(first) = to.first() else { return };
                let extent = self.extent(first.operand.value);
                let read = [&*self.blocks(result), &*self.blocks(other)];
                // SAFETY: same as the block before.
                unsafe { combine::backward(s, extent, *bend, read, &self.blocks(gradient), &self.targets(to)) };
            }
            Step::UpsampleGradient { gradient, to, rows, columns } => {
                let Some(first) = to.first() else { return };
                let extent = self.extent(first.operand.value);
                let gradient = self.blocks(gradient);
                // SAFETY: same as the block before.
                unsafe { resample::backward(s, extent, (rows, columns), &gradient, &self.targets(to)) };
            }
            Step::GlobalPoolGradient { gradient, to } => {
                let Some(first) = to.first() else { return };
                let extent = self.extent(first.operand.value);
                // SAFETY: destinations have the extent and their own memory, the gradient a pixel for each image.
                unsafe { global_pool::backward(s, extent, &self.blocks(gradient), &self.targets(to)) };
            }
            Step::SmoothGradient { activation, from, gradient, to } => {
                let Some(first) = to.first() else { return };
                let (extent, read) = (self.extent(first.operand.value), [&*self.blocks(from), &*self.blocks(gradient)]);
                // SAFETY: the plan gives all the same extent, and destinations their own memory.
                unsafe { smooth::backward(s, *activation, extent, read, &self.targets(to)) };
            }
            Step::LayerNormGradient { epsilon, from, gradient, to } => {
                let Some(first) = to.first() else { return };
                let (extent, read) = (self.extent(first.operand.value), [&*self.blocks(from), &*self.blocks(gradient)]);
                // SAFETY: same as the block before.
                unsafe { layer_norm::backward(s, *epsilon, extent, read, &self.targets(to)) };
            }
            Step::GateGradient { gating, gate, gradient, to } => {
                let Some(first) = to.first() else { return };
                let (extent, gates) = (self.extent(first.operand.value), self.blocks(gate));
                // SAFETY: same as the block before, but for the gates' extent.
                unsafe { gate::multiply(s, extent, *gating, &self.blocks(gradient), &gates, &self.targets(to)) };
            }
            Step::GateSum { gating, from, gradient, to } => {
                let (extent, from) = (self.extent(gradient[0].value), self.blocks(from));
                // SAFETY: the plan gives sources and gradient this extent, and destinations their own memory.
                unsafe { gate::sums(s, extent, *gating, &from, &self.blocks(gradient), &self.targets(to)) };
            }
            other => unreachable!("{other:?} reads parameters, or belongs to one pass only"),
        }
    }

    /// All blocks of a map, to be written.
    fn whole(&self, value: crate::plan::ValueId) -> Vec<Target<'_>> {
        self.own_blocks(value).into_iter().map(|block| plain_target(block, false)).collect()
    }
}
