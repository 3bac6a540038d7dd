//! Instruction sets: one trait of vector arithmetic, written once per instruction set; every kernel is generic over it.
//!
//! A value of a type that implements [`Simd`] is proof that the processor has the instructions, because only `detect`
//! returns one. Kernels are `#[inline(always)]` and run inside [`Simd::vectorize`], whose body is compiled with the
//! instruction set enabled; so one source gives one machine-code version per instruction set.
#![expect(unsafe_code, reason = "loads and stores take pointers")]

#[cfg(target_arch = "x86_64")]
pub(super) mod amx;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512_bf16;
#[cfg(target_arch = "aarch64")]
pub(super) mod neon;
pub(super) mod portable;
#[cfg(target_arch = "x86_64")]
pub(super) mod tiles;

use half::bf16;

/// Channels that are neighbours in memory, and numbers in a [`Simd::V`].
pub(super) use crate::plan::LANES;

/// Arithmetic on [`LANES`] numbers at once.
#[expect(clippy::inline_always, reason = "kernels become one function per instruction set")]
pub(super) trait Simd: Copy + Send + Sync + 'static {
    /// [`LANES`] numbers.
    type V: Copy;
    /// Whether some 28 vectors fit into registers at once; otherwise only six or eight.
    const MANY_REGISTERS: bool;

    /// Runs `f` compiled with this instruction set; `f` must be an `#[inline(always)]` closure.
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R;
    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::V;
    /// Reads [`LANES`] numbers.
    ///
    /// # Safety
    /// `p` is valid for reads of [`LANES`] numbers.
    unsafe fn load(self, p: *const f32) -> Self::V;
    /// Writes [`LANES`] numbers.
    ///
    /// # Safety
    /// `p` is valid for writes of [`LANES`] numbers.
    unsafe fn store(self, p: *mut f32, v: Self::V);
    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a − b`.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a·b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a·b + c`.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `c − a·b`.
    fn neg_mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger, lane by lane; `b` if either is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The smaller, lane by lane; `b` if either is NaN.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// `yes` in the lanes where `x > 0`, else `no`.
    fn where_positive(self, x: Self::V, yes: Self::V, no: Self::V) -> Self::V;
    /// `yes` in the lanes where `a = b`, else `no`.
    fn where_equal(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V;
    /// Reads [`LANES`] numbers of bf16.
    ///
    /// # Safety
    /// `p` is valid for reads of [`LANES`] numbers of 16 bits.
    #[inline(always)]
    unsafe fn load_bf16(self, p: *const u16) -> Self::V {
        let mut numbers = [0.0f32; LANES];
        for (i, number) in numbers.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *number = f32::from_bits(u32::from(unsafe { *p.add(i) }) << 16);
        }
        // SAFETY: the array holds `LANES` numbers.
        unsafe { self.load(numbers.as_ptr()) }
    }
    /// Writes [`LANES`] numbers that bf16 represents exactly.
    ///
    /// # Safety
    /// `p` is valid for writes of [`LANES`] numbers of 16 bits.
    #[inline(always)]
    unsafe fn store_bf16(self, p: *mut u16, v: Self::V) {
        let mut numbers = [0.0f32; LANES];
        // SAFETY: the array holds `LANES` numbers.
        unsafe { self.store(numbers.as_mut_ptr(), v) };
        for (i, number) in numbers.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { *p.add(i) = (number.to_bits() >> 16) as u16 };
        }
    }
    /// The nearest numbers of bf16; of two equally near, the one whose last bit is zero. NaN stays NaN.
    #[inline(always)]
    fn round_bf16(self, v: Self::V) -> Self::V {
        let mut numbers = [0.0f32; LANES];
        // SAFETY: the array holds `LANES` numbers.
        unsafe { self.store(numbers.as_mut_ptr(), v) };
        let rounded = numbers.map(|number| bf16::from_f32(number).to_f32());
        // SAFETY: the array holds `LANES` numbers.
        unsafe { self.load(rounded.as_ptr()) }
    }
    /// Lane `j` of vector `i` becomes lane `i` of vector `j`.
    #[inline(always)]
    fn transpose(self, rows: [Self::V; LANES]) -> [Self::V; LANES] {
        let (mut from, mut to) = ([[0.0f32; LANES]; LANES], [[0.0f32; LANES]; LANES]);
        for (row, v) in from.iter_mut().zip(rows) {
            // SAFETY: the array holds `LANES` numbers.
            unsafe { self.store(row.as_mut_ptr(), v) };
        }
        for (i, row) in from.iter().enumerate() {
            for (to, value) in to.iter_mut().zip(row) {
                to[i] = *value;
            }
        }
        // SAFETY: same as the block before.
        to.map(|row| unsafe { self.load(row.as_ptr()) })
    }
}

/// An instruction set that the processor has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Instructions {
    /// 512-bit vectors.
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Avx512),
    /// 256-bit vectors with fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2),
    /// 128-bit vectors of aarch64.
    #[cfg(target_arch = "aarch64")]
    Neon(neon::Neon),
    /// Plain arithmetic, which the compiler may vectorise.
    Portable(portable::Portable),
}

/// Evaluates an expression with the proof that an [`Instructions`] holds.
macro_rules! with_instructions {
    ($instructions:expr, $proof:ident => $run:expr) => {
        match $instructions {
            #[cfg(target_arch = "x86_64")]
            $crate::cpu::simd::Instructions::Avx512($proof) => $run,
            #[cfg(target_arch = "x86_64")]
            $crate::cpu::simd::Instructions::Avx2($proof) => $run,
            #[cfg(target_arch = "aarch64")]
            $crate::cpu::simd::Instructions::Neon($proof) => $run,
            $crate::cpu::simd::Instructions::Portable($proof) => $run,
        }
    };
}
pub(super) use with_instructions;

impl Instructions {
    /// The named instruction set (`avx512`, `avx2`, `neon`, `portable`) if this processor has it, otherwise the best it has.
    pub(super) fn choose(name: Option<&str>) -> Option<Self> {
        let available = Self::available();
        match name {
            None => available.into_iter().next(),
            Some(name) => available.into_iter().find(|set| set.name() == name),
        }
    }

    /// All instruction sets of this processor, best first.
    pub(super) fn available() -> Vec<Self> {
        let mut sets = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            sets.extend(avx512::Avx512::detect().map(Self::Avx512));
            sets.extend(avx2::Avx2::detect().map(Self::Avx2));
        }
        #[cfg(target_arch = "aarch64")]
        sets.extend(neon::Neon::detect().map(Self::Neon));
        sets.push(Self::Portable(portable::Portable));
        sets
    }

    /// Same as [`available`](Self::available), with a record of each set that this processor lacks.
    #[cfg(test)]
    pub(super) fn tested() -> Vec<Self> {
        for name in if cfg!(target_arch = "x86_64") { &["avx512", "avx2"][..] } else { &[] } {
            sweep_testing::instructions(name);
        }
        Self::available()
    }

    /// Its name, as [`Instructions::choose`] takes it.
    pub(super) fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => "neon",
            Self::Portable(_) => "portable",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One instruction set's results for special numbers, lane by lane.
    fn results<S: Simd>(s: S) -> Vec<[f32; LANES]> {
        s.vectorize(
            #[inline(always)]
            || {
                let mut numbers = [0.0f32; LANES];
                for (i, x) in numbers.iter_mut().enumerate() {
                    *x = [-2.0, -0.0, 0.0, 1.5, f32::INFINITY, f32::NAN, 3.0, -1.0][i % 8];
                }
                // SAFETY: both arrays hold `LANES` numbers.
                let (a, b) = unsafe { (s.load(numbers.as_ptr()), s.splat(1.5)) };
                let vectors = [
                    s.add(a, b),
                    s.sub(a, b),
                    s.mul(a, b),
                    s.mul_add(a, b, b),
                    s.neg_mul_add(a, b, b),
                    s.max(b, a),
                    s.max(a, b),
                    s.min(b, a),
                    s.where_positive(a, b, a),
                    s.where_equal(a, b, s.splat(1.0), s.splat(2.0)),
                ];
                let columns: [f32; LANES] = std::array::from_fn(|i| i as f32);
                // SAFETY: same as the block before.
                let rows =
                    std::array::from_fn(|i| s.add(s.splat(100.0 * i as f32), unsafe { s.load(columns.as_ptr()) }));
                // Halfway between two numbers of bf16, one bit to either side of it, and what rounds to infinity.
                let halves =
                    [0x3f80_8000, 0x3f81_8000, 0x3f80_7fff, 0x3f80_8001, 0x7f7f_ffff, 0x0000_8001, 0x8001_8000];
                let halves: [f32; LANES] = std::array::from_fn(|i| f32::from_bits(halves[i % halves.len()]));
                // SAFETY: same as the block before.
                let rounded = [a, unsafe { s.load(halves.as_ptr()) }].map(|v| s.round_bf16(v));
                let kept = rounded.map(|v| {
                    let mut bits = [0u16; LANES];
                    // SAFETY: the array holds `LANES` numbers of 16 bits.
                    unsafe {
                        s.store_bf16(bits.as_mut_ptr(), v);
                        s.load_bf16(bits.as_ptr())
                    }
                });
                let vectors = vectors.into_iter().chain(s.transpose(rows)).chain(rounded).chain(kept);
                let vectors: Vec<S::V> = vectors.collect();
                let mut out = vec![[0.0; LANES]; vectors.len()];
                for (out, v) in out.iter_mut().zip(vectors) {
                    // SAFETY: same as the block before.
                    unsafe { s.store(out.as_mut_ptr(), v) };
                }
                out
            },
        )
    }

    #[test]
    fn every_instruction_set_computes_the_same() {
        let expected = results(portable::Portable);
        assert!(expected[5][5].is_nan(), "a maximum keeps a second operand that is not a number");
        assert!((expected[6][5] - 1.5).abs() < f32::EPSILON);
        assert!(expected[7][5].is_nan() && expected[7][4].is_finite(), "a minimum does, too");
        assert!((expected[10 + 3][7] - 703.0).abs() < f32::EPSILON, "row 7, column 3");
        let rounded = expected[10 + LANES + 1].map(f32::to_bits);
        let nearest = [0x3f80_0000, 0x3f82_0000, 0x3f80_0000, 0x3f81_0000, 0x7f80_0000, 0x0001_0000, 0x8002_0000];
        assert_eq!(rounded[..7], nearest, "halves go to the even neighbour");
        assert_eq!(expected[10 + LANES + 3].map(f32::to_bits), rounded, "what is rounded is kept");
        assert!(expected[10 + LANES + 2][5].is_nan());
        for set in Instructions::tested() {
            let found = with_instructions!(set, s => results(s));
            for (e, f) in expected.iter().flatten().zip(found.iter().flatten()) {
                assert!(e.to_bits() == f.to_bits() || (e.is_nan() && f.is_nan()), "{}: {e} {f}", set.name());
            }
        }
    }

    #[test]
    fn an_unknown_name_is_refused() {
        assert!(Instructions::choose(Some("mmx")).is_none());
        assert_eq!(Instructions::choose(Some("portable")).map(Instructions::name), Some("portable"));
    }
}
