//! Single precision to bf16, in the orders a matrix unit reads.
use std::arch::x86_64::{
    __m256i, __m512, __m512i, __mmask16, _MM_HINT_T0, _mm_prefetch, _mm512_castps_si512, _mm512_castsi512_ps,
    _mm512_cvtepu16_epi32, _mm512_cvtne2ps_pbh, _mm512_cvtneps_pbh, _mm512_mask_storeu_epi32, _mm512_mask_storeu_ps,
    _mm512_maskz_loadu_epi32, _mm512_or_si512, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_shuffle_i32x4,
    _mm512_slli_epi32, _mm512_srli_epi32, _mm512_storeu_si512, _mm512_sub_ps, _mm512_unpackhi_epi32,
    _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

use super::super::super::layout::{Block, Extent};
use super::super::super::simd::{LANES, Simd};
use super::super::Activation;
use super::super::filter::Filter;
use super::{Packing, ROW_BYTES, Tiles, pair_of};

/// Numbers of 32 bits in a line.
const LINE: usize = ROW_BYTES / 4;

// SAFETY, for the instructions in this file: a value of `Tiles` proves that the processor has AVX-512 F, BW and BF16, and
// all of it runs inside `Tiles::for_each`.

/// Sixteen numbers as bf16, rounded to nearest, in the upper halves of 32 bits.
#[inline(always)]
unsafe fn round(x: __m512) -> __m512i {
    // SAFETY: as above.
    unsafe {
        let halves: __m256i = std::mem::transmute(_mm512_cvtneps_pbh(x));
        _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves))
    }
}

/// What rounding to bf16 leaves.
#[inline(always)]
unsafe fn rest(x: __m512) -> __m512 {
    // SAFETY: as above.
    unsafe { _mm512_sub_ps(x, _mm512_castsi512_ps(round(x))) }
}

/// `even` and `odd` as bf16, lane by lane side by side.
#[inline(always)]
unsafe fn interleave(even: __m512, odd: __m512) -> __m512i {
    // SAFETY: as above.
    unsafe { _mm512_or_si512(_mm512_srli_epi32::<16>(round(even)), round(odd)) }
}

/// The 32 numbers of `first` and `second` as bf16, one after another.
#[inline(always)]
unsafe fn join(first: __m512, second: __m512) -> __m512i {
    // SAFETY: as above.
    unsafe { std::mem::transmute(_mm512_cvtne2ps_pbh(second, first)) }
}

#[inline(always)]
unsafe fn store(out: *mut f32, line: __m512i) {
    // SAFETY: the caller's promise.
    unsafe { _mm512_storeu_si512(out.cast(), line) };
}

/// Asks for what stands a while after `p`: maps are read from start to end once, and the processor itself looks ahead no
/// further than the end of a small page.
#[inline(always)]
unsafe fn ahead(p: *const f32) {
    const DISTANCE: usize = 32 * LANES;
    // SAFETY: a prefetch reads nothing that could fail.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(p.wrapping_add(DISTANCE).cast()) };
}

/// Where lines go: those of the second term, if there is one, `next_term` numbers further on.
#[derive(Clone, Copy)]
struct Lines {
    out: *mut f32,
    next_term: usize,
    split: bool,
}

impl Lines {
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
    unsafe fn interleave(self, line: usize, even: __m512, odd: __m512) {
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
    let s = tiles.amx.vectors();
    let (even, odd) = pair_of(sources, pair);
    let (border, height, width) = (packing.border, extent.size.height, extent.size.width);
    let next_term = packing.pairs * packing.plane * LINE;
    // SAFETY: rows and columns read are inside the map; lines written are those of the packing.
    unsafe {
        let zero = _mm512_setzero_ps();
        let lines = Lines { out: out.add(pair * packing.plane * LINE), next_term, split: tiles.split };
        let (activate_even, activate_odd) = (Activation::of(s, even, image), odd.map(|b| Activation::of(s, b, image)));
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

/// The weights between a source block and a target block as `[lane read][tap][16 written]`; zeros where there is no such
/// source.
///
/// # Safety
/// `out` is valid for writes of that many numbers.
#[inline(always)]
pub(super) unsafe fn filter_block(tiles: Tiles, filter: &Filter, source: usize, target: usize, out: *mut f32) {
    let s = tiles.amx.vectors();
    let taps = filter.kernel * filter.kernel;
    // SAFETY: what is read is inside the weights, what is written counted.
    unsafe {
        let Some((first, count)) = filter.sources.get(source).copied() else {
            for place in 0..LANES * taps {
                s.store(out.add(place * LANES), _mm512_setzero_ps());
            }
            return;
        };
        let (first_target, targets) = filter.targets[target];
        // Channels of the weights as they are, `[out, in, k, k]`, and whole: rows of sixteen to be turned.
        if filter.source_stride == taps && count == LANES && targets == LANES && !filter.turned {
            let start = first_target * filter.target_stride + first * taps;
            let rows = &filter.weights[start..start + (LANES - 1) * filter.target_stride + LANES * taps];
            for place in (0..LANES * taps).step_by(LANES) {
                let mut columns = [_mm512_setzero_si512(); LANES];
                for (row, column) in columns.iter_mut().enumerate() {
                    *column = _mm512_castps_si512(s.load(rows.as_ptr().add(row * filter.target_stride + place)));
                }
                for (i, row) in transpose(columns).into_iter().enumerate() {
                    let mut values = _mm512_castsi512_ps(row);
                    if let Some(scale) = filter.scale {
                        values = s.mul(values, s.load(scale[first_target..first_target + LANES].as_ptr()));
                    }
                    s.store(out.add((place + i) * LANES), values);
                }
            }
            return;
        }
        // The other way round, 3×3: a row of sixteen times nine.
        if filter.turned && filter.target_stride == 9 && targets == LANES && filter.scale.is_none() {
            for lane in 0..LANES {
                let mut columns = [_mm512_setzero_si512(); LANES];
                if lane < count {
                    let start = (first + lane) * filter.source_stride + first_target * 9;
                    let row = &filter.weights[start..start + LANES * 9];
                    for (i, column) in columns.iter_mut().enumerate() {
                        *column = _mm512_maskz_loadu_epi32(NINE, row.as_ptr().add(i * 9).cast());
                    }
                    columns = transpose(columns);
                }
                for (tap, column) in columns[..9].iter().rev().enumerate() {
                    store(out.add((lane * 9 + tap) * LANES), *column);
                }
            }
            return;
        }
        for lane in 0..LANES {
            for tap in 0..taps {
                s.store(out.add((lane * taps + tap) * LANES), filter.lanes(s, source, lane, target, tap));
            }
        }
    }
}

/// The first nine lanes.
const NINE: __mmask16 = (1 << 9) - 1;

/// Writes `out[lane · T + tap] = taps[tap][lane]` for the first `count` of sixteen lanes.
///
/// # Safety
/// Every tap is valid for reads of sixteen numbers, `out` for writes of `count · T`.
#[inline(always)]
pub(super) unsafe fn write_lanes<const T: usize>(tiles: Tiles, taps: [*const f32; T], count: usize, out: *mut f32) {
    let s = tiles.amx.vectors();
    // SAFETY: the caller's promise.
    unsafe {
        if T == 1 {
            _mm512_mask_storeu_ps(out, (u16::MAX).unbounded_shr((LANES - count) as u32), s.load(taps[0]));
            return;
        }
        let mut rows = [_mm512_setzero_si512(); LANES];
        for (row, tap) in rows.iter_mut().zip(taps) {
            *row = _mm512_castps_si512(s.load(tap));
        }
        for (lane, row) in transpose(rows).into_iter().take(count).enumerate() {
            _mm512_mask_storeu_epi32(out.add(lane * T).cast(), (1 << T) - 1, row);
        }
    }
}

/// The right tile of one tap (per term, `next_term` apart) from both blocks of a pair as [`filter_block`] leaves them:
/// row `i` holds lanes read `2i` and `2i + 1`.
///
/// # Safety
/// `out` is valid for writes of a tile per term.
#[inline(always)]
pub(super) unsafe fn filter_tile(
    tiles: Tiles,
    weights: *const f32,
    (tap, taps): (usize, usize),
    out: *mut f32,
    next_term: usize,
) {
    let s = tiles.amx.vectors();
    for row in 0..LANES {
        // SAFETY: inside both blocks, inside the tile.
        unsafe {
            let even = s.load(weights.add((2 * row * taps + tap) * LANES));
            let odd = s.load(weights.add(((2 * row + 1) * taps + tap) * LANES));
            Lines { out, next_term, split: tiles.split }.interleave(row, even, odd);
        }
    }
}

/// Rows `first − border .. end + border` of a source block, activated, as right tiles over pixels: line `i` holds pixels
/// `2i` and `2i + 1` of the padded rows, whose even length is `row`; `lines` lines in all, the last ones zeros.
///
/// # Safety
/// The block has this image and extent; `out` is valid for `lines` lines per term, `next_term` numbers apart.
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
    let s = tiles.amx.vectors();
    let activation = Activation::of(s, block, image);
    let (height, width) = (extent.size.height, extent.size.width);
    // SAFETY: pixels read are inside the map, lines written are counted.
    unsafe {
        let zero = _mm512_setzero_ps();
        let to = Lines { out, next_term, split: tiles.split };
        let plane = block.image(image).cast_const();
        let rows = end - first + 2 * border;
        for y in 0..rows {
            let line = y * row / 2;
            if first + y < border || first + y - border >= height {
                for x in 0..row / 2 {
                    to.interleave(line + x, zero, zero);
                }
                continue;
            }
            let from = plane.add((first + y - border) * width * LANES);
            let inside = border.div_ceil(2)..border.midpoint(width).max(border.div_ceil(2));
            for x in (0..inside.start).chain(inside.end..row / 2) {
                let mut pixels = [zero; 2];
                for (pixel, column) in pixels.iter_mut().zip(2 * x..) {
                    // Columns before the map wrap to huge numbers.
                    let column = column.wrapping_sub(border);
                    if column < width {
                        *pixel = activation.read::<false>(s, from.add(column * LANES));
                    }
                }
                to.interleave(line + x, pixels[0], pixels[1]);
            }
            for x in inside {
                let from = from.add((2 * x - border) * LANES);
                ahead(from);
                ahead(from.wrapping_add(LANES));
                let (even, odd) = (activation.read::<false>(s, from), activation.read::<false>(s, from.add(LANES)));
                to.interleave(line + x, even, odd);
            }
        }
        for line in rows * row / 2..lines {
            to.interleave(line, zero, zero);
        }
    }
}

/// Rows `first..end` of a gradient block as `steps` left tiles over pixels, 32 a tile: row `c` of a tile is channel `c` of
/// pixels of rows of length `row`, all `shift` pixels late, with zeros beyond the map and after it.
///
/// # Safety
/// The block has this image and extent; `out` is valid for these tiles per term, `next_term` numbers apart.
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
    let s = tiles.amx.vectors();
    // SAFETY: pixels read are inside the map, tiles written are counted.
    unsafe {
        let zero = _mm512_setzero_ps();
        let plane = block.image(image).cast_const().add(first * width * LANES);
        // Late pixels: before the first row stands the end of one, which is beyond the map.
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

/// Transposes 16×16 numbers of 32 bits.
#[inline(always)]
unsafe fn transpose(rows: [__m512i; LANES]) -> [__m512i; LANES] {
    // SAFETY: as above.
    unsafe {
        let zero = _mm512_setzero_si512();
        let mut a = [zero; LANES];
        for i in 0..8 {
            a[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
            a[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
        }
        let mut b = [zero; LANES];
        for i in 0..4 {
            b[4 * i] = _mm512_unpacklo_epi64(a[4 * i], a[4 * i + 2]);
            b[4 * i + 1] = _mm512_unpackhi_epi64(a[4 * i], a[4 * i + 2]);
            b[4 * i + 2] = _mm512_unpacklo_epi64(a[4 * i + 1], a[4 * i + 3]);
            b[4 * i + 3] = _mm512_unpackhi_epi64(a[4 * i + 1], a[4 * i + 3]);
        }
        // Quarter `q` of `b[4g + c]` is column `4q + c` of rows `4g..4g + 4`.
        let mut out = [zero; LANES];
        for c in 0..4 {
            let near = _mm512_shuffle_i32x4::<0b10_00_10_00>(b[c], b[4 + c]);
            let far = _mm512_shuffle_i32x4::<0b10_00_10_00>(b[8 + c], b[12 + c]);
            let near_odd = _mm512_shuffle_i32x4::<0b11_01_11_01>(b[c], b[4 + c]);
            let far_odd = _mm512_shuffle_i32x4::<0b11_01_11_01>(b[8 + c], b[12 + c]);
            out[c] = _mm512_shuffle_i32x4::<0b10_00_10_00>(near, far);
            out[8 + c] = _mm512_shuffle_i32x4::<0b11_01_11_01>(near, far);
            out[4 + c] = _mm512_shuffle_i32x4::<0b10_00_10_00>(near_odd, far_odd);
            out[12 + c] = _mm512_shuffle_i32x4::<0b11_01_11_01>(near_odd, far_odd);
        }
        out
    }
}
