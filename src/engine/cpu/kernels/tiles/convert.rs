//! Converts maps in single precision to bf16, in the orders that tiles are read.
use std::arch::x86_64::{
    __m256i, __m512, __m512i, _MM_HINT_T0, _mm_prefetch, _mm512_castsi512_ps, _mm512_cvtepu16_epi32,
    _mm512_cvtne2ps_pbh, _mm512_cvtneps_pbh, _mm512_or_si512, _mm512_setzero_ps, _mm512_setzero_si512,
    _mm512_slli_epi32, _mm512_srli_epi32, _mm512_storeu_si512, _mm512_sub_ps,
};

use super::super::super::layout::{Block, Extent, Pointer};
use super::super::super::simd::avx512::transpose;
use super::super::super::simd::{LANES, Simd};
use super::super::Activation;
use super::super::narrow::Numbers;
use super::{Packing, ROW_BYTES, Tiles, pair_of};

/// Numbers of 32 bits in a line.
const LINE: usize = ROW_BYTES / 4;

// SAFETY, for the instructions in this file: a value of `Tiles` proves that the processor has AVX-512 F, BW and BF16, and
// all of it runs inside `Tiles::for_each`.

/// Sixteen numbers as bf16, rounded to nearest, in the upper halves of 32 bits.
#[inline(always)]
unsafe fn round(x: __m512) -> __m512i {
    // SAFETY: same as the block before.
    unsafe {
        let halves: __m256i = std::mem::transmute(_mm512_cvtneps_pbh(x));
        _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves))
    }
}

/// The remainder after rounding to bf16.
#[inline(always)]
unsafe fn rest(x: __m512) -> __m512 {
    // SAFETY: same as the block before.
    unsafe { _mm512_sub_ps(x, _mm512_castsi512_ps(round(x))) }
}

/// Lanes of `even` and `odd` as bf16, side by side.
#[inline(always)]
unsafe fn interleave(even: __m512, odd: __m512) -> __m512i {
    // SAFETY: same as the block before.
    unsafe { _mm512_or_si512(_mm512_srli_epi32::<16>(round(even)), round(odd)) }
}

/// The 32 numbers of `first` and `second` as bf16, one after another.
#[inline(always)]
unsafe fn join(first: __m512, second: __m512) -> __m512i {
    // SAFETY: same as the block before.
    unsafe { std::mem::transmute(_mm512_cvtne2ps_pbh(second, first)) }
}

#[inline(always)]
pub(super) unsafe fn store(out: *mut f32, line: __m512i) {
    // SAFETY: the caller's promise.
    unsafe { _mm512_storeu_si512(out.cast(), line) };
}

/// A plane that is packed.
#[derive(Clone, Copy)]
struct Source<S: Simd> {
    numbers: Numbers,
    activation: Activation<S>,
}

impl<S: Simd> Source<S> {
    /// The activated values of a pixel.
    #[inline(always)]
    unsafe fn read(&self, s: S, pixel: usize) -> S::V {
        // SAFETY: the caller's promise.
        unsafe { self.activation.apply(s, self.numbers.load(s, pixel * LANES)) }
    }

    /// Prefetches the memory some distance after a pixel: maps are read once from start to end, and the processor's own
    /// prefetcher stops at the end of a small page.
    #[inline(always)]
    unsafe fn ahead(&self, pixel: usize) {
        const DISTANCE: usize = 32 * LANES * size_of::<f32>();
        let number = if self.numbers.narrow { size_of::<u16>() } else { size_of::<f32>() };
        let at = self.numbers.start.0.cast::<i8>().wrapping_add(pixel * LANES * number + DISTANCE);
        // SAFETY: a prefetch reads nothing that could fail.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at) };
    }
}

/// Memory that lines are written to; the lines of the second term, if there is one, follow at distance `next_term`.
#[derive(Clone, Copy)]
pub(super) struct TileRows {
    pub(super) out: *mut f32,
    pub(super) next_term: usize,
    pub(super) split: bool,
}

impl TileRows {
    /// Writes a line of [`join`]ed numbers.
    #[inline(always)]
    unsafe fn join(self, line: usize, first: __m512, second: __m512) {
        // SAFETY: the caller's promise.
        unsafe {
            let out = self.out.add(line * LINE);
            store(out, join(first, second));
            if self.split {
                store(out.add(self.next_term), join(rest(first), rest(second)));
            }
        }
    }

    /// Writes a line of [`interleave`]d numbers.
    #[inline(always)]
    pub(super) unsafe fn interleave(self, line: usize, even: __m512, odd: __m512) {
        // SAFETY: the caller's promise.
        unsafe {
            let out = self.out.add(line * LINE);
            store(out, interleave(even, odd));
            if self.split {
                store(out.add(self.next_term), interleave(rest(even), rest(odd)));
            }
        }
    }
}

/// Packs rows `first − border .. end + border` of one pair of sources, activated.
///
/// # Safety
/// The blocks have this image and extent; `out` is valid for all packed rows.
#[inline(always)]
pub(super) unsafe fn pack_rows(
    tiles: Tiles,
    packing: Packing,
    sources: &[Block],
    pair: usize,
    extent: Extent,
    (image, first, end): (usize, usize, usize),
    out: *mut f32,
) {
    let s = tiles.unit.vectors();
    let (even, odd) = pair_of(sources, pair);
    let (border, height, width) = (packing.border, extent.size.height, extent.size.width);
    let next_term = packing.pairs * packing.plane * LINE;
    // SAFETY: rows and columns read are inside the map; lines written are those of the packing.
    unsafe {
        let zero = _mm512_setzero_ps();
        let lines = TileRows { out: out.add(pair * packing.plane * LINE), next_term, split: tiles.split };
        let (activate_even, activate_odd) =
            (Activation::for_image(s, even, image), odd.map(|b| Activation::for_image(s, b, image)));
        let even = even.image(image).cast_const();
        let odd = odd.map(|b| b.image(image).cast_const());
        for row in 0..end - first + 2 * border {
            let line = row * packing.row;
            let inside = first + row >= border && first + row - border < height;
            if !inside {
                for column in 0..packing.row {
                    lines.join(line + column, zero, zero);
                }
                continue;
            }
            for column in 0..border {
                lines.join(line + column, zero, zero);
                lines.join(line + border + width + column, zero, zero);
            }
            let start = (first + row - border) * width * LANES;
            let (even, line) = (even.add(start), line + border);
            match (odd, &activate_odd) {
                (Some(odd), Some(activate_odd)) => {
                    let odd = odd.add(start);
                    for x in 0..width {
                        let a = activate_even.read::<false>(s, even.add(x * LANES));
                        let b = activate_odd.read::<false>(s, odd.add(x * LANES));
                        lines.join(line + x, a, b);
                    }
                }
                _ => {
                    for x in 0..width {
                        lines.join(line + x, activate_even.read::<false>(s, even.add(x * LANES)), zero);
                    }
                }
            }
        }
    }
}

/// Rows `first − border .. end + border` of a source block, activated, as right tiles over pixels: line `i` holds
/// pixels `2i` and `2i + 1` of the padded rows, whose even length is `row`. There are `lines` lines, padded with zeros.
///
/// # Safety
/// The block has this image and extent; `out` is valid for `lines` lines per term, at distance `next_term`.
#[inline(always)]
pub(super) unsafe fn pack_pixel_pairs(
    tiles: Tiles,
    block: &Block,
    extent: Extent,
    (image, first, end): (usize, usize, usize),
    (border, row): (usize, usize),
    lines: usize,
    (out, next_term): (*mut f32, usize),
) {
    let s = tiles.unit.vectors();
    let activation = Activation::for_image(s, block, image);
    let (height, width) = (extent.size.height, extent.size.width);
    // SAFETY: pixels read are inside the map, lines written are counted.
    unsafe {
        let zero = _mm512_setzero_ps();
        let to = TileRows { out, next_term, split: tiles.split };
        let start = Pointer::new(block.image(image), extent.plane());
        let source = Source { numbers: Numbers { start, narrow: block.narrow }, activation };
        let rows = end - first + 2 * border;
        for y in 0..rows {
            let line = y * row / 2;
            if first + y < border || first + y - border >= height {
                for x in 0..row / 2 {
                    to.interleave(line + x, zero, zero);
                }
                continue;
            }
            let from = (first + y - border) * width;
            let inside = border.div_ceil(2)..border.midpoint(width).max(border.div_ceil(2));
            for x in (0..inside.start).chain(inside.end..row / 2) {
                let mut pixels = [zero; 2];
                for (pixel, column) in pixels.iter_mut().zip(2 * x..) {
                    // Columns before the map wrap to huge numbers.
                    let column = column.wrapping_sub(border);
                    if column < width {
                        *pixel = source.read(s, from + column);
                    }
                }
                to.interleave(line + x, pixels[0], pixels[1]);
            }
            for x in inside {
                let pixel = from + 2 * x - border;
                source.ahead(pixel);
                source.ahead(pixel + 1);
                to.interleave(line + x, source.read(s, pixel), source.read(s, pixel + 1));
            }
        }
        for line in rows * row / 2..lines {
            to.interleave(line, zero, zero);
        }
    }
}

/// Rows `first..end` of a gradient block as `steps` left tiles over pixels, 32 per tile: row `c` of a tile is channel
/// `c` of pixels in rows of length `row`. All pixels come `shift` pixels late, with zeros beyond the map and after it.
///
/// # Safety
/// The block has this image and extent; `out` is valid for these tiles per term, at distance `next_term`.
#[inline(always)]
pub(super) unsafe fn transpose_pixels(
    tiles: Tiles,
    block: &Block,
    width: usize,
    (image, first, end): (usize, usize, usize),
    (row, shift): (usize, usize),
    steps: usize,
    (out, next_term): (*mut f32, usize),
) {
    let s = tiles.unit.vectors();
    // SAFETY: pixels read are inside the map, tiles written are counted.
    unsafe {
        let zero = _mm512_setzero_ps();
        let plane = block.image(image).cast_const().add(first * width * LANES);
        // With a shift, the first pixels are the end of the row before the first, which is beyond the map.
        let (mut y, mut x) = if shift == 0 { (0, 0) } else { (usize::MAX, row - shift) };
        for step in 0..steps {
            let mut lines = [_mm512_setzero_si512(); LANES];
            let mut rests = lines;
            for pair in 0..LANES {
                let mut pixels = [zero; 2];
                for pixel in &mut pixels {
                    if x < width && y < end - first {
                        *pixel = s.load(plane.add((y * width + x) * LANES));
                    }
                    x += 1;
                    if x == row {
                        (x, y) = (0, y.wrapping_add(1));
                    }
                }
                lines[pair] = interleave(pixels[0], pixels[1]);
                if tiles.split {
                    rests[pair] = interleave(rest(pixels[0]), rest(pixels[1]));
                }
            }
            let out = out.add(step * LANES * LINE);
            for (lane, line) in transpose(lines).into_iter().enumerate() {
                store(out.add(lane * LINE), line);
            }
            if tiles.split {
                for (lane, line) in transpose(rests).into_iter().enumerate() {
                    store(out.add(next_term + lane * LINE), line);
                }
            }
        }
    }
}
