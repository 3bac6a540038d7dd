//! Converts weights to tiles, and gradients back to weights.
use std::arch::x86_64::{
    __mmask16, _mm512_castps_si512, _mm512_castsi512_ps, _mm512_mask_storeu_epi32, _mm512_mask_storeu_ps,
    _mm512_maskz_loadu_epi32, _mm512_setzero_ps, _mm512_setzero_si512,
};

use super::super::super::simd::avx512::transpose;
use super::super::super::simd::{LANES, Simd};
use super::super::filter::Filter;
use super::Tiles;
use super::convert::{TileRows, store};

// SAFETY, for the instructions in this file: a value of `Tiles` proves that the processor has AVX-512 F, BW and BF16, and
// all of it runs inside `Tiles::for_each`.

/// The weights between a source block and a target block as `[lane read][tap][16 written]`; zeros for a missing source.
///
/// # Safety
/// `out` is valid for writes of that many numbers.
#[inline(always)]
pub(super) unsafe fn filter_block(tiles: Tiles, filter: &Filter, source: usize, target: usize, out: *mut f32) {
    let s = tiles.unit.vectors();
    let taps = filter.kernel * filter.kernel;
    // SAFETY: reads stay inside the weights, writes inside the promised numbers.
    unsafe {
        let Some((first, count)) = filter.sources.get(source).copied() else {
            for offset in 0..LANES * taps {
                s.store(out.add(offset * LANES), _mm512_setzero_ps());
            }
            return;
        };
        let (first_target, targets) = filter.targets[target];
        // Full blocks of weights in their own order, `[out, in, k, k]`: transpose rows of sixteen.
        if filter.source_stride == taps && count == LANES && targets == LANES && !filter.turned {
            let start = first_target * filter.target_stride + first * taps;
            let rows = &filter.weights[start..start + (LANES - 1) * filter.target_stride + LANES * taps];
            for offset in (0..LANES * taps).step_by(LANES) {
                let mut columns = [_mm512_setzero_si512(); LANES];
                for (row, column) in columns.iter_mut().enumerate() {
                    *column = _mm512_castps_si512(s.load(rows.as_ptr().add(row * filter.target_stride + offset)));
                }
                for (i, row) in transpose(columns).into_iter().enumerate() {
                    let mut values = _mm512_castsi512_ps(row);
                    if let Some(scale) = filter.scale {
                        values = s.mul(values, s.load(scale[first_target..first_target + LANES].as_ptr()));
                    }
                    s.store(out.add((offset + i) * LANES), values);
                }
            }
            return;
        }
        // Turned 3×3 filters: a row of sixteen times nine.
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
        let mut block = [0.0; WIDEST_TAPS * LANES * LANES];
        filter.block(s, source, target, block.as_mut_ptr());
        for lane in 0..LANES {
            for tap in 0..taps {
                s.store(out.add((lane * taps + tap) * LANES), s.load(block[(tap * LANES + lane) * LANES..].as_ptr()));
            }
        }
    }
}

/// Taps of the widest kernel.
const WIDEST_TAPS: usize = 9;

/// The first nine lanes.
const NINE: __mmask16 = (1 << 9) - 1;

/// Writes `out[lane · T + tap] = taps[tap][lane]` for the first `count` of sixteen lanes.
///
/// # Safety
/// Every tap is valid for reads of sixteen numbers, `out` for writes of `count · T`.
#[inline(always)]
pub(super) unsafe fn write_lanes<const T: usize>(tiles: Tiles, taps: [*const f32; T], count: usize, out: *mut f32) {
    let s = tiles.unit.vectors();
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

/// The right tile of one tap (per term, at distance `next_term`) from both blocks of a pair in the order of
/// [`filter_block`]: row `i` holds lanes read `2i` and `2i + 1`.
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
    let s = tiles.unit.vectors();
    for row in 0..LANES {
        // SAFETY: inside both blocks, inside the tile.
        unsafe {
            let even = s.load(weights.add((2 * row * taps + tap) * LANES));
            let odd = s.load(weights.add(((2 * row + 1) * taps + tap) * LANES));
            TileRows { out, next_term, split: tiles.split }.interleave(row, even, odd);
        }
    }
}
