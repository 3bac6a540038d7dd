//! How maps lie in memory: blocks of sixteen channels (nChw16c), so that one vector holds the channels of one pixel.
//!
//! A map of `[B, C, H, W]` is `[B, ⌈C/16⌉, H, W, 16]`; the lanes beyond `C` hold zeros. A convolution reads a table of
//! such blocks, which may come from several maps: concatenation costs nothing. There is no halo: kernels know borders.
#![expect(unsafe_code, reason = "the one allocation that all kernels read and write through pointers")]

use crate::plan::LANES;
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
    /// Makes room for `len` numbers; what was there is lost if it must grow.
    pub(super) fn reserve(&mut self, len: usize) {
        let lines = len.div_ceil(LANES);
        if self.lines.len() < lines {
            // Dropped first, so that the two are never there at once.
            self.lines = Vec::new();
            self.lines = Vec::with_capacity(lines);
            prefer_huge_pages(self.lines.as_ptr().cast(), lines * size_of::<CacheLine>());
            self.lines.resize(lines, CacheLine([0.0; LANES]));
        }
    }

    /// Room, in numbers.
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

/// Asks for large pages, before memory is first touched: kernels walk over many places at once, and with small pages a
/// step takes some 7 % longer. A wish: failure changes nothing.
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

/// Elsewhere the system decides.
#[cfg(not(all(target_os = "linux", not(miri))))]
fn prefer_huge_pages(_: *const u8, _: usize) {}

/// An [`Arena`]'s memory as kernels see it: places in it are handed out by the plan, which keeps those disjoint that are
/// in use at the same time.
#[derive(Clone, Copy)]
pub(super) struct Memory {
    start: *mut f32,
    len: usize,
}

impl Memory {
    /// The place `offset`, of which `len` numbers are going to be used.
    pub(super) fn at(self, offset: usize, len: usize) -> Pointer {
        assert!(offset + len <= self.len, "a place outside the arena");
        // SAFETY: inside the allocation, as just asserted.
        Pointer::new(unsafe { self.start.add(offset) }, len)
    }
}

/// A pointer that may go to other threads; whoever sends it sees to it that no two threads write one place. It knows how
/// many numbers are left of its place, so that debug assertions can hold kernels to what they were promised.
#[derive(Clone, Copy)]
pub(super) struct Pointer(pub(super) *mut f32, usize);

// SAFETY: a plain address; every dereference is in a kernel and has its own reason.
unsafe impl Send for Pointer {}
// SAFETY: as above.
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

    /// The place `offset` numbers further on.
    ///
    /// # Safety
    /// It is inside the same place, or at its end.
    #[inline(always)]
    pub(super) unsafe fn add(self, offset: usize) -> Self {
        debug_assert!(self.holds(offset), "a pointer beyond its place");
        // SAFETY: the caller's promise.
        Self(unsafe { self.0.add(offset) }, self.1.wrapping_sub(offset))
    }
}

/// What stands between a stored convolution result and its value: `x = scale·y + shift`, then `x` where positive, else
/// `slope·x`. Kernels apply it as they read, so that activations are never stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Activate {
    /// Per channel.
    pub(super) scale: [f32; LANES],
    /// Per channel.
    pub(super) shift: [f32; LANES],
    /// Factor below zero: 0 for `ReLU`, 1 for none.
    pub(super) slope: f32,
}

/// One block of sixteen channels, for all images: `[B, H, W, 16]` with a stride between images.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    /// Image 0, row 0, column 0, lane 0.
    pub(super) data: Pointer,
    /// Numbers between images.
    pub(super) image_stride: usize,
    /// Lanes in use.
    pub(super) channels: usize,
    /// What readers do to what is stored, per image; nothing if it is empty.
    pub(super) activate: &'a [Activate],
}

impl Block<'_> {
    /// Whether a map of this extent is there.
    pub(super) fn holds(&self, extent: Extent) -> bool {
        self.data.holds((extent.images - 1) * self.image_stride + extent.plane())
    }

    /// The block's plane `[H, W, 16]` of one image.
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

/// A block that a kernel writes, and how.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    /// Where.
    pub(super) block: Block<'a>,
    /// Whether to add to what is there.
    pub(super) accumulate: bool,
    /// Added to every result.
    pub(super) shift: [f32; LANES],
    /// Factor of results below zero: 0 for `ReLU`, 1 for none.
    pub(super) slope: f32,
}

impl Target<'_> {
    /// Whether results are written as they are, or added as they are.
    pub(super) fn is_plain(&self) -> bool {
        let adds_nothing = self.shift.iter().all(|shift| shift.abs().to_bits() == 0);
        adds_nothing && self.slope.to_bits() == 1.0f32.to_bits()
    }
}
