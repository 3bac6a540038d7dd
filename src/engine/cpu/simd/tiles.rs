//! Products of tiles of bf16, sixteen rows by 64 bytes, with sums in single precision: one door to the units that compute
//! them. Kernels pack their factors once and for all; what multiplies them is chosen here.
//!
//! The units round differently: a matrix unit sums the even and the odd factors of a tile each by itself and adds both to
//! the earlier sum, a vector instruction adds the odd and then the even product to it. Results of different units agree
//! to the digits of bf16, not bit for bit.
#![expect(unsafe_code, reason = "tiles are read and written through pointers")]
#![expect(clippy::inline_always, reason = "kernels become one function per instruction set")]

use super::amx::Amx;
use super::avx512::Avx512;
use super::avx512_bf16::Avx512Bf16;

/// Bytes of a tile, and of a row of it.
pub(in super::super) const TILE_BYTES: usize = 1024;
pub(in super::super) const ROW_BYTES: usize = 64;
/// Rows of a tile.
pub(in super::super) const ROWS: usize = 16;
/// Left tiles that are multiplied at once.
pub(in super::super) const LEFTS: usize = 6;
/// Numbers of 32 bits in a tile.
pub(in super::super) const TILE: usize = TILE_BYTES / 4;

/// A unit that multiplies tiles, and proof that the processor has it and AVX-512 F, BW and BF16, which pack its factors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum TileUnit {
    /// The matrix unit.
    Amx(Amx),
    /// Vectors of 512 bits.
    Avx512Bf16(Avx512Bf16),
}

/// Products that are summed at once. Every product of a left and a right tile has a sum of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum TileProduct {
    /// This many left tiles, neighbours in memory and at most [`LEFTS`], times this many right tiles
    /// `b + i·b_step`, at most [`TileUnit::rights`]; sums of the next right tile follow all of the one before.
    Lefts(usize, usize),
    /// One left tile times three right tiles `b + i·b_step`.
    Rights,
    /// One left tile times three pairs of right tiles `b + i·b_step` and [`ROW_BYTES`] after it.
    RightPairs,
}

/// Addresses of factors. A left row holds 32 bf16; row `i` of a right tile holds, for each of its 16 columns, the
/// factors of numbers `2i` and `2i + 1` of a left row. Rows of a tile are [`ROW_BYTES`] apart.
#[derive(Clone, Copy)]
pub(in super::super) struct Factors {
    /// First left tile.
    pub(in super::super) a: *const u8,
    /// First right tile.
    pub(in super::super) b: *const u8,
    /// Bytes between right tiles.
    pub(in super::super) b_step: usize,
}

/// Offsets of a product's factors from the first ones, in bytes: left and right.
pub(in super::super) type FactorOffsets = [usize; 2];

/// The steps of a sum, at least one.
#[derive(Clone, Copy)]
pub(in super::super) struct Steps<'a> {
    /// All steps.
    pub(in super::super) all: &'a [FactorOffsets],
    /// How many of them, the last ones, have zeros in the second half of every left row: a unit may leave these out.
    pub(in super::super) halves: usize,
}

impl TileUnit {
    /// The fastest unit of this processor.
    pub(in super::super) fn detect() -> Option<Self> {
        Amx::detect().map(Self::Amx).or_else(|| Avx512Bf16::detect().map(Self::Avx512Bf16))
    }

    /// All units of this processor, best first, with a record of each that it lacks.
    #[cfg(test)]
    pub(in super::super) fn tested() -> Vec<Self> {
        use sweep_testing::Need;
        let lacks = |what: &str| format!("this processor has no {what}");
        let amx = Need::Amx.met(Amx::detect().ok_or_else(|| lacks("matrix unit")));
        let vectors = Need::Avx512Bf16.met(Avx512Bf16::detect().ok_or_else(|| lacks("AVX-512-BF16")));
        amx.map(Self::Amx).into_iter().chain(vectors.map(Self::Avx512Bf16)).collect()
    }

    /// Its name, for people.
    pub(in super::super) fn name(self) -> &'static str {
        match self {
            Self::Amx(_) => "AMX",
            Self::Avx512Bf16(_) => "AVX-512-BF16",
        }
    }

    /// Most right tiles that are best multiplied at once with several left tiles.
    pub(in super::super) fn rights(self) -> usize {
        match self {
            Self::Amx(_) => 1,
            Self::Avx512Bf16(_) => 2,
        }
    }

    /// The proof for the vector instructions.
    #[inline(always)]
    pub(in super::super) fn vectors(self) -> Avx512 {
        match self {
            Self::Amx(unit) => unit.vectors(),
            Self::Avx512Bf16(unit) => unit.vectors(),
        }
    }

    /// Runs `f`, an `#[inline(always)]` closure, compiled with AVX-512 F, BW and BF16 and with the unit ready for use.
    #[inline(always)]
    pub(in super::super) fn with_tiles<R>(self, f: impl FnOnce() -> R) -> R {
        // SAFETY: `self` proves that the processor has these features.
        unsafe { with_features(self, f) }
    }

    /// `sums[i] (+)= Σ left·right` over all steps, for the pairs of tiles of a shape; a sum is 16×16 numbers. Runs inside
    /// [`TileUnit::with_tiles`].
    ///
    /// # Safety
    /// All tiles that are read exist, and `sums` is valid for reads and writes of as many tiles.
    #[inline(always)]
    pub(in super::super) unsafe fn multiply(
        self,
        shape: TileProduct,
        factors: Factors,
        steps: Steps,
        sums: *mut f32,
        accumulate: bool,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Self::Amx(unit) => unit.multiply(shape, factors, steps.all, sums, accumulate),
                Self::Avx512Bf16(unit) => unit.multiply(shape, factors, steps, sums, accumulate),
            }
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn with_features<R>(unit: TileUnit, f: impl FnOnce() -> R) -> R {
    if let TileUnit::Amx(amx) = unit {
        amx.configure();
    }
    let result = f();
    if let TileUnit::Amx(amx) = unit {
        amx.release();
    }
    result
}
