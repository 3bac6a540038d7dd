//! Maps whose numbers are all of bf16, saved for the backward pass at half the memory: saves them, widens them again, and
//! reads them for kernels that take them as they are.

use super::super::layout::Pointer;
use super::super::simd::{LANES, Simd};
use super::for_each;

/// A map's numbers, in single precision or in bf16.
#[derive(Clone, Copy)]
pub(in super::super) struct Numbers {
    /// The first one.
    pub(in super::super) start: Pointer,
    /// Whether they are of bf16.
    pub(in super::super) narrow: bool,
}

impl Numbers {
    pub(super) fn holds(self, len: usize) -> bool {
        self.start.holds(if self.narrow { len.div_ceil(2) } else { len })
    }

    /// Reads [`LANES`] numbers from this one on.
    ///
    /// # Safety
    /// There are that many.
    #[inline(always)]
    pub(super) unsafe fn load<S: Simd>(self, s: S, first: usize) -> S::V {
        // SAFETY: the caller's promise.
        unsafe {
            if self.narrow {
                s.load_bf16(self.start.0.cast::<u16>().add(first))
            } else {
                s.load(self.start.0.add(first))
            }
        }
    }
}

/// Numbers that a task copies.
const TASK: usize = 1 << 14;

/// Calls `copy` with the first of every [`LANES`] numbers.
#[inline(always)]
fn for_all<S: Simd>(s: S, len: usize, copy: impl Fn(usize) + Sync) {
    debug_assert!(len.is_multiple_of(LANES), "whole vectors");
    for_each(
        s,
        len.div_ceil(TASK),
        #[inline(always)]
        |task| {
            for first in (task * TASK..len.min((task + 1) * TASK)).step_by(LANES) {
                copy(first);
            }
        },
    );
}

/// Writes `len` numbers, all of which bf16 represents, as bf16.
///
/// # Safety
/// `from` holds `len` numbers, `to` half as many; both lie apart, and nobody else uses `to`.
pub(in super::super) unsafe fn narrow<S: Simd>(s: S, from: Pointer, to: Pointer, len: usize) {
    debug_assert!(from.holds(len) && to.holds(len / 2), "a map, and a saved one");
    for_all(
        s,
        len,
        #[inline(always)]
        |first| {
            // SAFETY: inside both ranges.
            unsafe { s.store_bf16(to.add(first / 2).0.cast(), s.load(from.add(first).0)) };
        },
    );
}

/// The reverse of [`narrow`].
///
/// # Safety
/// `to` holds `len` numbers, `from` half as many; both lie apart, and nobody else uses `to`.
pub(in super::super) unsafe fn widen<S: Simd>(s: S, from: Pointer, to: Pointer, len: usize) {
    debug_assert!(to.holds(len) && from.holds(len / 2), "a saved map, and a map");
    for_all(
        s,
        len,
        #[inline(always)]
        |first| {
            // SAFETY: inside both ranges.
            unsafe { s.store(to.add(first).0, s.load_bf16(from.add(first / 2).0.cast())) };
        },
    );
}
