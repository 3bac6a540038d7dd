//! Weights `[out, in, k, k]` in the order in which convolutions read them: by blocks of sixteen inputs and outputs. For
//! the input gradient they are turned by 180°, with inputs and outputs exchanged.

use super::super::layout::{Block, Pointer};
use super::super::simd::{LANES, Simd};
use super::for_each;

/// Channels of the weight in a block's lanes: `first .. first + count`.
pub(in super::super) type Span = (usize, usize);

/// A convolution's weights, with the channels of every block.
#[derive(Clone, Copy)]
pub(in super::super) struct Filter<'a> {
    /// All weights, `[out, in, k, k]`.
    pub(in super::super) weights: &'a [f32],
    /// Side of the kernel.
    pub(in super::super) kernel: usize,
    /// Distance between the weights of neighbouring input channels.
    pub(in super::super) source_stride: usize,
    /// Distance between the weights of neighbouring output channels.
    pub(in super::super) target_stride: usize,
    /// Whether the kernel is turned by 180°.
    pub(in super::super) turned: bool,
    /// Input channels, block by block.
    pub(in super::super) sources: &'a [Span],
    /// Output channels, block by block.
    pub(in super::super) targets: &'a [Span],
    /// A factor per output channel, if any.
    pub(in super::super) scale: Option<&'a [f32]>,
}

impl Filter<'_> {
    /// Length of the filter laid out for direct convolution.
    pub(in super::super) fn direct_len(sources: usize, targets: usize, kernel: usize) -> usize {
        sources * targets * kernel * kernel * LANES * LANES
    }

    /// The weights of one tap between an input channel (`lane` of block `source`) and the output channels of block
    /// `target`.
    #[inline(always)]
    pub(super) fn lanes<S: Simd>(&self, s: S, source: usize, lane: usize, target: usize, tap: usize) -> S::V {
        let ((first_source, sources), (first, count)) = (self.sources[source], self.targets[target]);
        if lane >= sources {
            return s.splat(0.0);
        }
        let taps = self.kernel * self.kernel;
        let tap = if self.turned { taps - 1 - tap } else { tap };
        let start = (first_source + lane) * self.source_stride + first * self.target_stride + tap;
        let mut scale = [0.0; LANES];
        if let Some(all) = self.scale {
            scale[..count].copy_from_slice(&all[first..first + count]);
        }
        let values = if count == LANES {
            let strided = &self.weights[start..=start + (LANES - 1) * self.target_stride];
            // SAFETY: inside the slice just taken.
            unsafe { s.gather(strided.as_ptr(), self.target_stride) }
        } else {
            let mut values = [0.0; LANES];
            for (value, weight) in
                values[..count].iter_mut().zip(self.weights[start..].iter().step_by(self.target_stride))
            {
                *value = *weight;
            }
            // SAFETY: the array holds `LANES` numbers.
            unsafe { s.load(values.as_ptr()) }
        };
        if self.scale.is_none() {
            return values;
        }
        // SAFETY: same as the block before.
        s.mul(values, unsafe { s.load(scale.as_ptr()) })
    }

    /// Lays the filter out as `[target block][source block][tap][16 read][16 written]`.
    ///
    /// # Safety
    /// `out` is valid for writes of [`Filter::direct_len`] numbers and nobody else uses them.
    pub(super) unsafe fn lay_out<S: Simd>(&self, s: S, out: Pointer) {
        let (sources, taps) = (self.sources.len(), self.kernel * self.kernel);
        debug_assert!(out.holds(Self::direct_len(sources, self.targets.len(), self.kernel)), "a filter");
        for_each(
            s,
            self.targets.len() * sources,
            #[inline(always)]
            |task| {
                let (target, source) = (task / sources, task % sources);
                for tap in 0..taps {
                    for lane in 0..LANES {
                        let values = self.lanes(s, source, lane, target, tap);
                        // SAFETY: inside the length promised; every task has its own part.
                        unsafe { s.store(out.add(((task * taps + tap) * LANES + lane) * LANES).0, values) };
                    }
                }
            },
        );
    }
}

/// A gradient to weights: its memory, and the channels of every block.
#[derive(Clone, Copy)]
pub(super) struct WeightGradient<'a> {
    /// All weights' gradients, `[out, in, k, k]`.
    pub(super) out: Pointer,
    /// Numbers per output channel.
    pub(super) stride: usize,
    /// Input channels, block by block.
    pub(super) spans: &'a [Span],
    /// Output blocks.
    pub(super) gradient: &'a [Block<'a>],
}

impl WeightGradient<'_> {
    /// Start of the gradients between a source block and one channel of a target block, `[lane read][tap]`; the lanes
    /// are the source's [`Span`].
    ///
    /// # Safety
    /// The weights hold these channels.
    #[inline(always)]
    pub(super) unsafe fn pointer(&self, source: usize, target: usize, channel: usize, taps: usize) -> *mut f32 {
        let start = (target * LANES + channel) * self.stride + self.spans[source].0 * taps;
        // SAFETY: the caller's promise.
        unsafe { self.out.add(start) }.0
    }

    /// Writes the gradients of one pair of blocks, `taps[tap][lane read][lane written]`.
    ///
    /// # Safety
    /// The weights hold these channels, and nobody else uses them.
    #[inline(always)]
    pub(super) unsafe fn write(&self, source: usize, target: usize, taps: &[[[f32; LANES]; LANES]]) {
        for channel in 0..self.gradient[target].channels {
            // SAFETY: the caller's promise.
            unsafe {
                let out = self.pointer(source, target, channel, taps.len());
                for lane in 0..self.spans[source].1 {
                    for (tap, values) in taps.iter().enumerate() {
                        *out.add(lane * taps.len() + tap) = values[lane][channel];
                    }
                }
            }
        }
    }
}

/// Adds `parts` blocks of `[16][16]` at distance `stride`, in their order.
///
/// # Safety
/// The blocks exist, and `out` is valid for writes of one.
#[inline(always)]
pub(super) unsafe fn sum_parts<S: Simd>(s: S, parts: usize, stride: usize, from: *const f32, out: *mut f32) {
    for offset in (0..LANES * LANES).step_by(LANES) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut sum = s.load(from.add(offset));
            for part in 1..parts {
                sum = s.add(sum, s.load(from.add(part * stride + offset)));
            }
            s.store(out.add(offset), sum);
        }
    }
}
