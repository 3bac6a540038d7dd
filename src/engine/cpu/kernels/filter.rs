//! Weights `[out, in, k, k]` in the order in which convolutions read them: by blocks of sixteen inputs and outputs. For
//! the input gradient they are turned by 180°, with inputs and outputs exchanged.

use super::super::layout::{Block, Pointer, lanes};
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

    /// The weights between a source block and a target block as `[tap][lane read][16 written]`; lanes without a channel
    /// are zeros.
    ///
    /// # Safety
    /// `out` is valid for writes of that many numbers and nobody else uses them.
    #[inline(always)]
    pub(super) unsafe fn block<S: Simd>(&self, s: S, source: usize, target: usize, out: *mut f32) {
        let taps = self.kernel * self.kernel;
        let ((first_source, sources), (first, targets)) = (self.sources[source], self.targets[target]);
        let start = first_source * self.source_stride + first * self.target_stride;
        let is_full = sources == LANES && targets == LANES;
        let scale = self.scale.map(|scale| lanes(scale, first / LANES));
        // SAFETY: the caller's promise; spans are channels of the weights.
        unsafe {
            if is_full && !self.turned {
                // Rows of `[lane read][tap]`, one for each output.
                let scale = s.load(scale.unwrap_or([1.0; LANES]).as_ptr());
                let rows = &self.weights[start..][..(LANES - 1) * self.target_stride + LANES * taps];
                let (mut lane, mut tap) = (0, 0);
                for offset in (0..LANES * taps).step_by(LANES) {
                    let mut columns = [scale; LANES];
                    for o in 0..LANES {
                        columns[o] = s.load(rows.as_ptr().add(o * self.target_stride + offset));
                    }
                    let columns = s.transpose(columns);
                    for i in 0..LANES {
                        let row = if self.scale.is_some() { s.mul(columns[i], scale) } else { columns[i] };
                        s.store(out.add((tap * LANES + lane) * LANES), row);
                        tap += 1;
                        if tap == taps {
                            (lane, tap) = (lane + 1, 0);
                        }
                    }
                }
                return;
            }
            if is_full && self.turned && taps == 9 && scale.is_none() {
                for lane in 0..LANES {
                    let start = start + lane * self.source_stride;
                    // Every row of nine taps is read with the seven numbers after it.
                    let Some(row) = self.weights.get(start..start + (LANES - 1) * 9 + LANES) else {
                        self.copy_row::<9>(&self.weights[start..][..LANES * 9], 1, out.add(lane * LANES));
                        continue;
                    };
                    let mut columns = [s.splat(0.0); LANES];
                    for i in 0..LANES {
                        columns[i] = s.load(row.as_ptr().add(9 * i));
                    }
                    let columns = s.transpose(columns);
                    for tap in 0..9 {
                        s.store(out.add((tap * LANES + lane) * LANES), columns[8 - tap]);
                    }
                }
                return;
            }
            if !is_full {
                out.write_bytes(0, taps * LANES * LANES);
            }
            // Weights of neighbouring inputs are neighbours in memory, so they are the inner loop: those read, or with a
            // turned filter those written.
            let (outer, inner) = if self.turned {
                ((sources, self.source_stride, LANES), (targets, 1))
            } else {
                ((targets, self.target_stride, 1), (sources, LANES))
            };
            for i in 0..outer.0 {
                let row = &self.weights[start + i * outer.1..][..inner.0 * taps];
                let out = out.add(i * outer.2);
                match taps {
                    9 => self.copy_row::<9>(row, inner.1, out),
                    1 => self.copy_row::<1>(row, inner.1, out),
                    _ => self.copy_row::<0>(row, inner.1, out),
                }
            }
            if let Some(scale) = scale {
                let scale = s.load(scale.as_ptr());
                for offset in (0..taps * LANES * LANES).step_by(LANES) {
                    s.store(out.add(offset), s.mul(s.load(out.add(offset)), scale));
                }
            }
        }
    }

    /// Copies `[channel][tap]` to `[tap]` at distance 256 and channels at distance `step`; `TAPS` taps, or as many as the
    /// kernel has if that is zero.
    ///
    /// # Safety
    /// `out` is valid for these writes.
    #[inline(always)]
    unsafe fn copy_row<const TAPS: usize>(&self, row: &[f32], step: usize, out: *mut f32) {
        let taps = if TAPS == 0 { self.kernel * self.kernel } else { TAPS };
        for (channel, weights) in row.chunks_exact(taps).enumerate() {
            for (tap, weight) in weights.iter().enumerate() {
                let tap = if self.turned { taps - 1 - tap } else { tap };
                // SAFETY: the caller's promise.
                unsafe { *out.add(tap * LANES * LANES + channel * step) = *weight };
            }
        }
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
                // SAFETY: inside the length promised; every task has its own part.
                unsafe { self.block(s, task % sources, task / sources, out.add(task * taps * LANES * LANES).0) };
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
    pub(super) unsafe fn write<S: Simd>(&self, s: S, source: usize, target: usize, taps: &[[[f32; LANES]; LANES]]) {
        if self.spans[source].1 == LANES && self.gradient[target].channels == LANES {
            let (mut lane, mut tap) = (0, 0);
            for offset in (0..LANES * taps.len()).step_by(LANES) {
                let mut rows = [s.splat(0.0); LANES];
                for i in 0..LANES {
                    // SAFETY: the array holds `LANES` numbers.
                    rows[i] = unsafe { s.load(taps[tap][lane].as_ptr()) };
                    tap += 1;
                    if tap == taps.len() {
                        (lane, tap) = (lane + 1, 0);
                    }
                }
                let rows = s.transpose(rows);
                for channel in 0..LANES {
                    // SAFETY: the caller's promise.
                    unsafe { s.store(self.pointer(source, target, channel, taps.len()).add(offset), rows[channel]) };
                }
            }
            return;
        }
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
