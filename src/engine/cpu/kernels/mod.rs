//! The arithmetic: one file per kernel family, generic over the instruction set.
#![expect(unsafe_code, reason = "kernels read and write the arena through pointers")]
#![expect(clippy::inline_always, reason = "kernels become one function per instruction set")]
#![expect(clippy::too_many_arguments, reason = "innermost functions take their operands one by one")]
#![expect(clippy::needless_range_loop, reason = "loops over registers: the index names the register")]
#![expect(clippy::many_single_char_names, reason = "the letters of the formulas")]

pub(super) mod combine;
pub(super) mod depthwise;
pub(super) mod direct;
pub(super) mod filter;
pub(super) mod gate;
pub(super) mod global_pool;
pub(super) mod layer_norm;
pub(super) mod narrow;
pub(super) mod norm;
pub(super) mod pack;
pub(super) mod pool;
pub(super) mod resample;
pub(super) mod smooth;
#[cfg(target_arch = "x86_64")]
pub(super) mod tiles;
mod windows;
pub(super) mod winograd;

use std::cell::RefCell;

use rayon::prelude::*;

use super::layout::{Activate, Arena, Block, Extent, Target};
use super::simd::{LANES, Simd};
use crate::plan::network::Bend;

/// Nanoseconds of a product of two blocks of sixteen channels at a pixel and tap, or position: 256 multiplications in single
/// precision. Models of the time of a convolution, on one core with AVX-512, choose the algorithm: only comparisons matter,
/// and they hardly depend on the width of vectors.
const PRODUCT: f64 = 2.6;

/// A convolution of a map or of a gradient: the maps it reads and writes.
#[derive(Clone, Copy)]
pub(super) struct Convolution<'a> {
    /// Extent of the map written.
    pub(super) extent: Extent,
    /// Extent of the map read; differs only with a stride.
    pub(super) read: Extent,
    /// Side of the kernel.
    pub(super) kernel: usize,
    /// Stride of the convolution; with a turned filter the convolution goes back through the stride.
    pub(super) stride: usize,
    /// Pixels from one tap to the next.
    pub(super) dilation: usize,
    /// Blocks read.
    pub(super) sources: &'a [Block<'a>],
    /// Blocks written.
    pub(super) targets: &'a [Target<'a>],
}

/// Runs `task(0), …, task(tasks − 1)` on the threads of the current pool; `task` is an `#[inline(always)]` closure.
#[inline(always)]
fn for_each<S: Simd>(s: S, tasks: usize, task: impl Fn(usize) + Sync) {
    (0..tasks).into_par_iter().with_max_len(1).for_each(|i| {
        s.vectorize(
            #[inline(always)]
            || task(i),
        );
    });
}

/// Checks, with debug assertions, that all blocks hold an extent's numbers, as callers of kernels guarantee.
fn debug_assert_hold<'a>(blocks: impl IntoIterator<Item = &'a Block<'a>>, extent: Extent) {
    debug_assert!(blocks.into_iter().all(|block| block.holds(extent)), "a block is smaller than {extent:?}");
}

/// The same check as [`debug_assert_hold`], for targets.
fn debug_assert_targets_hold(targets: &[Target], extent: Extent) {
    debug_assert_hold(targets.iter().map(|target| &target.block), extent);
}

/// This thread's scratch memory of at least `len` numbers, valid until the next call on this thread.
fn scratch(len: usize) -> *mut f32 {
    thread_local! {
        static SCRATCH: RefCell<Arena> = RefCell::new(Arena::default());
    }
    SCRATCH.with_borrow_mut(|arena| {
        arena.reserve(len);
        arena.start().at(0, len).0
    })
}

/// [`Activate`] as vectors.
#[derive(Clone, Copy)]
struct Activation<S: Simd> {
    scale: S::V,
    shift: S::V,
    slope: S::V,
    ceiling: S::V,
}

impl<S: Simd> Activation<S> {
    #[inline(always)]
    fn new(s: S, activate: &Activate) -> Self {
        // SAFETY: both arrays hold `LANES` numbers.
        let (scale, shift) = unsafe { (s.load(activate.scale.as_ptr()), s.load(activate.shift.as_ptr())) };
        Self { scale, shift, slope: s.splat(activate.bend.slope), ceiling: s.splat(activate.bend.ceiling) }
    }

    /// The activation of an image of a block; the identity if the block has none.
    #[inline(always)]
    fn for_image(s: S, block: &Block, image: usize) -> Self {
        let Some(activate) = block.activate.get(image) else {
            let (one, ceiling) = (s.splat(1.0), s.splat(f32::INFINITY));
            return Self { scale: one, shift: s.splat(0.0), slope: one, ceiling };
        };
        Self::new(s, activate)
    }

    /// The stored value after scale and shift.
    #[inline(always)]
    fn affine(&self, s: S, y: S::V) -> S::V {
        s.mul_add(y, self.scale, self.shift)
    }

    #[inline(always)]
    fn apply(&self, s: S, y: S::V) -> S::V {
        bend(s, self.affine(s, y), self.slope, self.ceiling)
    }

    /// The activated value of the number stored at `p`.
    ///
    /// # Safety
    /// `p` is valid for reads of [`LANES`] numbers.
    #[inline(always)]
    unsafe fn read<const PLAIN: bool>(&self, s: S, p: *const f32) -> S::V {
        // SAFETY: the caller's promise.
        let y = unsafe { s.load(p) };
        if PLAIN { y } else { self.apply(s, y) }
    }
}

/// An activation's value; NaN stays NaN.
#[inline(always)]
fn bend<S: Simd>(s: S, x: S::V, slope: S::V, ceiling: S::V) -> S::V {
    s.where_positive(x, s.min(ceiling, x), s.mul(x, slope))
}

/// The gradient `g` before an activation whose value at `x` was read.
#[inline(always)]
fn bend_gradient<S: Simd>(s: S, x: S::V, g: S::V, slope: S::V, ceiling: S::V) -> S::V {
    let below_ceiling = s.where_positive(s.sub(ceiling, x), g, s.splat(0.0));
    s.where_positive(x, below_ceiling, s.mul(g, slope))
}

/// The sum of so many values, of short sums of short sums: a single long one would round every addition at the size of
/// the total.
#[inline(always)]
fn run_sum<S: Simd>(s: S, count: usize, value: impl Fn(usize) -> S::V) -> S::V {
    const RUN: usize = 64;
    let (mut total, mut runs) = (s.splat(0.0), s.splat(0.0));
    for first in (0..count).step_by(RUN) {
        if first % (RUN * RUN) == 0 {
            (total, runs) = (s.add(total, runs), s.splat(0.0));
        }
        let mut parts = [s.splat(0.0); 4];
        for i in first..(first + RUN).min(count) {
            parts[i % 4] = s.add(parts[i % 4], value(i));
        }
        runs = s.add(runs, s.add(s.add(parts[0], parts[1]), s.add(parts[2], parts[3])));
    }
    s.add(total, runs)
}

/// How results are written: shift, activation, and whether to add to the earlier content.
#[derive(Clone, Copy)]
struct Finish<S: Simd> {
    shift: S::V,
    slope: S::V,
    ceiling: S::V,
    accumulate: bool,
}

impl<S: Simd> Finish<S> {
    #[inline(always)]
    fn new(s: S, target: &Target) -> Self {
        // SAFETY: the array holds `LANES` numbers.
        let shift = unsafe { s.load(target.shift.as_ptr()) };
        let Bend { slope, ceiling } = target.bend;
        Self { shift, slope: s.splat(slope), ceiling: s.splat(ceiling), accumulate: target.accumulate }
    }

    /// Writes one result.
    ///
    /// # Safety
    /// `p` is valid for reads and writes of [`LANES`] numbers.
    #[inline(always)]
    unsafe fn write(&self, s: S, p: *mut f32, v: S::V) {
        let v = s.add(v, self.shift);
        let v = bend(s, v, self.slope, self.ceiling);
        // SAFETY: the caller's promise.
        unsafe {
            let v = if self.accumulate { s.add(v, s.load(p)) } else { v };
            s.store(p, v);
        }
    }
}

/// Copies rows `first..end` of one image of `block`, activated, with `border` zeros around and zeros for rows outside the
/// map, to `[end − first + 2·border, width + 2·border, 16]`; the rows copied are `first − border .. end + border`.
///
/// # Safety
/// The block has this image and size; `out` is valid for writes of that many numbers.
#[inline(always)]
unsafe fn copy_padded<S: Simd>(
    s: S,
    block: &Block,
    image: usize,
    extent: Extent,
    (first, end): (usize, usize),
    border: usize,
    out: *mut f32,
) {
    let (height, width) = (extent.size.height, extent.size.width);
    let row_len = width + 2 * border;
    let activation = Activation::for_image(s, block, image);
    let zero = s.splat(0.0);
    // SAFETY: rows and columns read are inside the map; those written are counted as the caller promises.
    unsafe {
        let plane = block.image(image);
        for (row, out_row) in (first..end + 2 * border).enumerate() {
            let out = out.add(row * row_len * LANES);
            if out_row < border || out_row - border >= height {
                for column in 0..row_len {
                    s.store(out.add(column * LANES), zero);
                }
                continue;
            }
            let from = plane.add((out_row - border) * width * LANES);
            for column in 0..border {
                s.store(out.add(column * LANES), zero);
                s.store(out.add((border + width + column) * LANES), zero);
            }
            let out = out.add(border * LANES);
            if block.activate.is_empty() {
                std::ptr::copy_nonoverlapping(from, out, width * LANES);
            } else {
                for column in 0..width {
                    s.store(out.add(column * LANES), activation.read::<false>(s, from.add(column * LANES)));
                }
            }
        }
    }
}
