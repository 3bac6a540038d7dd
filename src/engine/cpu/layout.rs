//! Memory layout of maps: blocks of sixteen channels (nChw16c), so that one vector holds the channels of one pixel.
//!
//! A map of `[B, C, H, W]` is stored as `[B, ⌈C/16⌉, H, W, 16]`; lanes beyond `C` hold zeros. A convolution reads a
//! table of such blocks, which may come from several maps: concatenation costs nothing. There is no halo: kernels
//! handle borders.
#![expect(unsafe_code, reason = "the one allocation that all kernels read and write through pointers")]

use crate::plan::LANES;
use crate::plan::network::Bend;
pub(super) use crate::plan::{Extent, RowChunks};

/// Sixteen numbers on one cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct CacheLine([f32; LANES]);

/// Memory for all maps of a network, aligned to cache lines, never shrunk.
#[derive(Default)]
pub(super) struct Arena {
    lines: Vec<CacheLine>,
}

impl Arena {
    /// Makes sure that there are `len` numbers; the content is lost if memory must grow.
    pub(super) fn reserve(&mut self, len: usize) {
        let lines = len.div_ceil(LANES);
        if self.lines.len() < lines {
            // Drop the old memory first, so that both never exist together.
            self.lines = Vec::new();
            self.lines = Vec::with_capacity(lines);
            prefer_huge_pages(self.lines.as_ptr().cast(), lines * size_of::<CacheLine>());
            self.lines.resize(lines, CacheLine([0.0; LANES]));
        }
    }

    /// Capacity, in numbers.
    pub(super) fn len(&self) -> usize {
        self.lines.len() * LANES
    }

    /// Sets every number.
    #[cfg(test)]
    pub(super) fn fill(&mut self, value: f32) {
        self.lines.fill(CacheLine([value; LANES]));
    }

    /// All numbers.
    #[cfg(test)]
    pub(super) fn numbers(&self) -> Vec<f32> {
        self.lines.iter().flat_map(|line| line.0).collect()
    }

    /// The first number.
    pub(super) fn start(&mut self) -> Memory {
        Memory { start: self.lines.as_mut_ptr().cast(), len: self.len() }
    }
}

/// Requests large pages before memory is first touched: kernels access many places at once, and with small pages a step
/// takes some 7 % longer. If the request fails, nothing changes.
#[cfg(all(target_os = "linux", not(miri)))]
fn prefer_huge_pages(start: *const u8, len: usize) {
    const PAGE: usize = 1 << 12;
    let skipped = start.align_offset(PAGE);
    if len > skipped + PAGE {
        // SAFETY: whole pages inside an allocation of ours; the advice leaves their content as it is.
        unsafe {
            libc::madvise(start.add(skipped).cast_mut().cast(), (len - skipped) / PAGE * PAGE, libc::MADV_HUGEPAGE)
        };
    }
}

/// On other systems the system decides.
#[cfg(not(all(target_os = "linux", not(miri))))]
fn prefer_huge_pages(_: *const u8, _: usize) {}

/// An [`Arena`]'s memory for kernels. The plan hands out ranges of it; ranges in use at the same time are disjoint.
#[derive(Clone, Copy)]
pub(super) struct Memory {
    start: *mut f32,
    len: usize,
}

impl Memory {
    /// The range of `len` numbers at `offset`.
    pub(super) fn at(self, offset: usize, len: usize) -> Pointer {
        assert!(offset + len <= self.len, "a range outside the arena");
        // SAFETY: inside the allocation, as just asserted.
        Pointer::new(unsafe { self.start.add(offset) }, len)
    }
}

/// A pointer that may be sent to other threads; the sender makes sure that no two threads write the same number. It
/// knows how many numbers of its range are left, so that debug assertions can check kernels.
#[derive(Clone, Copy)]
pub(super) struct Pointer(pub(super) *mut f32, usize);

// SAFETY: a plain address; every dereference is in a kernel and has its own reason.
unsafe impl Send for Pointer {}
// SAFETY: same as the block before.
unsafe impl Sync for Pointer {}

#[expect(clippy::inline_always, reason = "part of kernels")]
impl Pointer {
    /// The address of `len` numbers.
    #[inline(always)]
    pub(super) fn new(start: *mut f32, len: usize) -> Self {
        Self(start, len)
    }

    /// Whether `len` numbers are left here.
    #[inline(always)]
    pub(super) fn holds(self, len: usize) -> bool {
        len <= self.1
    }

    /// The pointer `offset` numbers further on.
    ///
    /// # Safety
    /// It is inside the same range, or at its end.
    #[inline(always)]
    pub(super) unsafe fn add(self, offset: usize) -> Self {
        debug_assert!(self.holds(offset), "a pointer beyond its range");
        // SAFETY: the caller's promise.
        Self(unsafe { self.0.add(offset) }, self.1.wrapping_sub(offset))
    }
}

/// The lanes of one block of a per-channel vector, zero beyond its end.
pub(super) fn lanes(values: &[f32], block: usize) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    for (lane, value) in lanes.iter_mut().zip(values.iter().skip(block * LANES)) {
        *lane = *value;
    }
    lanes
}

/// The value of a stored convolution result: `x = scale·y + shift`, then the activation. Kernels apply it as they read,
/// so that activations are never stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Activate {
    /// Factor per channel.
    pub(super) scale: [f32; LANES],
    /// Shift per channel.
    pub(super) shift: [f32; LANES],
    /// The activation.
    pub(super) bend: Bend,
}

/// One block of sixteen channels, for all images: `[B, H, W, 16]` with a stride between images.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    /// Image 0, row 0, column 0, lane 0.
    pub(super) data: Pointer,
    /// Numbers between images, each as long as one in single precision.
    pub(super) image_stride: usize,
    /// Whether its numbers are bf16, see [`crate::plan::Kernels::saves_bf16`].
    pub(super) narrow: bool,
    /// Lanes in use.
    pub(super) channels: usize,
    /// Activation that readers apply to stored values, per image; the identity if empty.
    pub(super) activate: &'a [Activate],
}

impl Block<'_> {
    /// Whether the memory holds a map of this extent.
    pub(super) fn holds(&self, extent: Extent) -> bool {
        self.data.holds((extent.images - 1) * self.image_stride + extent.plane() / if self.narrow { 2 } else { 1 })
    }

    /// The block's plane `[H, W, 16]` of one image; of a narrow block, numbers of bf16.
    ///
    /// # Safety
    /// There is such an image.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "part of kernels")]
    pub(super) unsafe fn image(&self, image: usize) -> *mut f32 {
        // SAFETY: the caller's promise.
        unsafe { self.data.add(image * self.image_stride) }.0
    }
}

/// A block that a kernel writes, and how it writes.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    /// The block.
    pub(super) block: Block<'a>,
    /// Whether to add to the earlier content.
    pub(super) accumulate: bool,
    /// Added to every result.
    pub(super) shift: [f32; LANES],
    /// Activation of results.
    pub(super) bend: Bend,
}

impl Target<'_> {
    /// Whether results are stored or added unchanged.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn is_plain(&self) -> bool {
        let adds_nothing = self.shift.iter().all(|shift| shift.abs().to_bits() == 0);
        adds_nothing && self.bend.is_identity()
    }
}
