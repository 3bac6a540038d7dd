//! Dot products of pairs of bf16 in 512-bit vectors (`VDPBF16PS`): AMD since Zen 4, Intel's Cooper Lake and Sapphire Rapids.
//! An instruction multiplies twice as many numbers as one in single precision.
//!
//! Its definition: to the sum, first the odd and then the even numbers' product is added, each by a fused multiply-add that
//! rounds to nearest; denormal operands and results become zeros of their sign. A test holds the processor against this.
#![expect(unsafe_code, reason = "vector instructions, and tiles behind pointers")]
#![expect(clippy::inline_always, reason = "kernels become one function per instruction set")]
#![expect(clippy::unused_self, reason = "a value is a proof")]
#![expect(clippy::needless_range_loop, reason = "loops over registers: the index names the register")]

use std::arch::x86_64::{
    __m512bh, _mm512_dpbf16_ps, _mm512_loadu_ps, _mm512_set1_epi32, _mm512_setzero_ps, _mm512_setzero_si512,
    _mm512_storeu_ps,
};

use super::LANES;
use super::avx512::Avx512;
use super::tiles::{Factors, ROW_BYTES, ROWS, Steps, TILE, TileProduct};

/// Proof that the processor has AVX-512 F, BW and BF16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Avx512Bf16(());

impl Avx512Bf16 {
    /// The proof, if the processor has the instructions.
    pub(super) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512bf16");
        has.then_some(Self(()))
    }

    /// The proof for single precision.
    #[inline(always)]
    pub(super) fn vectors(self) -> Avx512 {
        Avx512(())
    }

    /// See [`TileUnit::multiply`](super::tiles::TileUnit::multiply).
    ///
    /// # Safety
    /// All tiles that are read exist, and `sums` is valid for reads and writes of as many tiles.
    #[inline(always)]
    pub(super) unsafe fn multiply(
        self,
        shape: TileProduct,
        Factors { a, b, b_step }: Factors,
        steps: Steps,
        sums: *mut f32,
        accumulate: bool,
    ) {
        // SAFETY: the caller's promise; `self` proves that the processor has these instructions.
        unsafe {
            match shape {
                TileProduct::Lefts(lefts, 1) => {
                    let task = Task { a, b, rights: [0], steps, sums, right: 0, accumulate };
                    task.lines::<24, 16>(lefts * ROWS);
                }
                TileProduct::Lefts(lefts, 2) => {
                    let task = Task { a, b, rights: [0, b_step], steps, sums, right: lefts * TILE, accumulate };
                    task.lines::<12, 8>(lefts * ROWS);
                }
                TileProduct::Lefts(_, rights) => unreachable!("{rights} right tiles"),
                TileProduct::Rights => {
                    let rights = [0, b_step, 2 * b_step];
                    Task { a, b, rights, steps, sums, right: TILE, accumulate }.lines::<8, 8>(ROWS);
                }
                TileProduct::RightPairs => {
                    let next = b_step + ROW_BYTES;
                    for (rights, sums) in
                        [([0, ROW_BYTES, b_step], sums), ([next, 2 * b_step, b_step + next], sums.add(3 * TILE))]
                    {
                        Task { a, b, rights, steps, sums, right: TILE, accumulate }.lines::<8, 8>(ROWS);
                    }
                }
            }
        }
    }
}

/// Products of rows of left tiles with `N` right tiles.
#[derive(Clone, Copy)]
struct Task<'a, const N: usize> {
    a: *const u8,
    b: *const u8,
    /// Bytes from `b` to every right tile.
    rights: [usize; N],
    steps: Steps<'a>,
    sums: *mut f32,
    /// Numbers from the sums of one right tile to those of the next.
    right: usize,
    accumulate: bool,
}

impl<const N: usize> Task<'_, N> {
    /// `count` rows, `MANY` at a time where that leaves a number that both divide, else `FEW`.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn lines<const MANY: usize, const FEW: usize>(self, count: usize) {
        let mut line = 0;
        while line < count {
            let left = count - line;
            // SAFETY: the caller's promise.
            unsafe {
                let (a, sums) = (self.a.add(line * ROW_BYTES), self.sums.add(line * LANES));
                if left.is_multiple_of(MANY) || left >= MANY + FEW {
                    Task { a, sums, ..self }.rows::<MANY>();
                    line += MANY;
                } else {
                    Task { a, sums, ..self }.rows::<FEW>();
                    line += FEW;
                }
            }
        }
    }

    /// `R` rows, whose sums stay in registers over all steps.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn rows<const R: usize>(self) {
        let Self { a, b, rights, steps, sums, right, accumulate } = self;
        let mut held = [[_mm512_setzero_ps(); N]; R];
        let (whole, halves) = steps.all.split_at(steps.all.len() - steps.halves);
        // SAFETY: the caller's promise; the integers are pairs of bf16.
        unsafe {
            if accumulate {
                for r in 0..R {
                    for n in 0..N {
                        held[r][n] = _mm512_loadu_ps(sums.add(n * right + r * LANES));
                    }
                }
            }
            for (steps, pairs) in [(whole, LANES), (halves, LANES / 2)] {
                for [left, offset] in steps {
                    let (a, b) = (a.add(*left), b.add(*offset));
                    for pair in 0..pairs {
                        let zero: __m512bh = std::mem::transmute(_mm512_setzero_si512());
                        let mut factors = [zero; N];
                        for n in 0..N {
                            factors[n] = b.add(rights[n] + pair * ROW_BYTES).cast::<__m512bh>().read_unaligned();
                        }
                        for r in 0..R {
                            let value = a.add(r * ROW_BYTES + 4 * pair).cast::<i32>().read_unaligned();
                            let value: __m512bh = std::mem::transmute(_mm512_set1_epi32(value));
                            for n in 0..N {
                                held[r][n] = _mm512_dpbf16_ps(held[r][n], factors[n], value);
                            }
                        }
                    }
                }
            }
            for r in 0..R {
                for n in 0..N {
                    _mm512_storeu_ps(sums.add(n * right + r * LANES), held[r][n]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::tiles::{FactorOffsets, TILE_BYTES, TileUnit};
    use crate::tests::comparison::random;

    /// A denormal becomes a zero of its sign.
    fn flushed(x: f32) -> f32 {
        if x.is_subnormal() { 0.0f32.copysign(x) } else { x }
    }

    /// The instruction by its definition.
    fn dot(sum: f32, a: [f32; 2], b: [f32; 2]) -> f32 {
        let add = |sum: f32, i: usize| flushed(flushed(a[i]).mul_add(flushed(b[i]), flushed(sum)));
        add(add(sum, 1), 0)
    }

    /// A number of bf16 from any bits, and its bits.
    fn bf16(bits: u16) -> f32 {
        f32::from_bits(u32::from(bits) << 16)
    }

    #[test]
    fn a_product_is_the_definition_bit_for_bit() {
        let Some(unit) = TileUnit::tested().into_iter().find(|unit| matches!(unit, TileUnit::Avx512Bf16(_))) else {
            return;
        };
        let lefts = 2;
        // Ordinary numbers, and any bits at all: denormals, infinities, what is not a number.
        for any in [false, true] {
            let bits = |seed: u64, tiles: usize| -> Vec<u16> {
                let numbers =
                    random(seed, tiles * TILE_BYTES / 2).into_iter().zip(random(seed + 9, tiles * TILE_BYTES));
                let pick =
                    |(x, y): (f32, f32)| if any { (y * 1e9).to_bits() as u16 } else { (x.to_bits() >> 16) as u16 };
                numbers.map(pick).collect()
            };
            let (a, b, start) = (bits(1, 2 * lefts), bits(2, 4), random(3, 2 * lefts * TILE));
            let start: Vec<f32> =
                start.into_iter().map(|x| if any { f32::from_bits(x.to_bits() << 5) } else { x }).collect();
            // Two steps; the second is a half.
            let steps: [FactorOffsets; 2] = [[0, 0], [lefts * TILE_BYTES, TILE_BYTES]];
            let mut found = start.clone();
            let factors = Factors { a: a.as_ptr().cast(), b: b.as_ptr().cast(), b_step: 2 * TILE_BYTES };
            let steps = Steps { all: &steps, halves: 1 };
            unit.with_tiles(
                #[inline(always)]
                // SAFETY: both sides hold two steps of tiles, the sums two right tiles' sums.
                || unsafe { unit.multiply(TileProduct::Lefts(lefts, 2), factors, steps, found.as_mut_ptr(), true) },
            );
            for (index, (start, found)) in start.iter().zip(&found).enumerate() {
                let (right, row, column) = (index / (lefts * TILE), index / LANES % (lefts * ROWS), index % LANES);
                let mut expected = *start;
                for (step, pairs) in [(0, LANES), (1, LANES / 2)] {
                    for pair in 0..pairs {
                        let left = (step * lefts * ROWS + row) * ROW_BYTES / 2 + 2 * pair;
                        let of = ((2 * right + step) * ROWS + pair) * ROW_BYTES / 2 + 2 * column;
                        expected = dot(expected, [bf16(a[left]), bf16(a[left + 1])], [bf16(b[of]), bf16(b[of + 1])]);
                    }
                }
                let same = expected.to_bits() == found.to_bits() || (expected.is_nan() && found.is_nan());
                assert!(same, "any bits {any}, {right} {row} {column}: {expected:e} {found:e}");
            }
        }
    }
}
