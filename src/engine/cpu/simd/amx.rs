//! AMX, the matrix unit of recent x86-64 servers: products of tiles of 16 rows by 64 bytes, bf16 in and single
//! precision out, with some sixteen times the operations per cycle of AVX-512. It has eight tiles: six hold sums, two hold
//! factors.
#![expect(unsafe_code, reason = "tiles are loaded, multiplied and stored by instructions the compiler does not know")]
#![expect(clippy::inline_always, reason = "kernels become one function per instruction set")]
#![expect(clippy::unused_self, reason = "a value is a proof")]

use std::arch::asm;
use std::sync::OnceLock;

use super::avx512::Avx512;
use super::tiles::{FactorOffsets, Factors, ROW_BYTES, ROWS, TILE, TileProduct};

/// Proof that the processor has AMX with bf16 and the AVX-512 features used with it (F, BW and BF16), and that the
/// system lets this process use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Amx(());

/// The shape of all eight tiles, as the processor reads it.
#[repr(C, align(64))]
struct TileConfiguration([u8; 64]);

static TILE_CONFIGURATION: TileConfiguration = {
    let mut bytes = [0; 64];
    bytes[0] = 1;
    let mut tile = 0;
    while tile < 8 {
        bytes[16 + 2 * tile] = ROW_BYTES as u8;
        bytes[48 + tile] = ROWS as u8;
        tile += 1;
    }
    TileConfiguration(bytes)
};

impl Amx {
    /// The proof, if the processor has AMX.
    pub(in super::super) fn detect() -> Option<Self> {
        static FOUND: OnceLock<bool> = OnceLock::new();
        FOUND.get_or_init(|| has_instructions() && is_permitted()).then_some(Self(()))
    }

    /// The proof for the vector instructions.
    #[inline(always)]
    pub(in super::super) fn vectors(self) -> Avx512 {
        Avx512(())
    }

    /// Gives all tiles their shape. Between this and [`Amx::release`], a thread may use them.
    #[inline(always)]
    pub(super) fn configure(self) {
        // SAFETY: `self` proves that the processor has AMX and the process may use it. The instruction changes only the
        // tile registers, which compiled code never uses.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const TILE_CONFIGURATION, options(nostack, preserves_flags)) };
    }

    /// Gives the tiles back.
    #[inline(always)]
    pub(super) fn release(self) {
        // SAFETY: same as the block before.
        unsafe { asm!("tilerelease", options(nostack, preserves_flags)) };
    }
}

fn has_instructions() -> bool {
    const AMX_BF16: u32 = 1 << 22;
    const AMX_TILE: u32 = 1 << 24;
    let vectors = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512bf16");
    // Processors with AVX-512 have leaf 7.
    vectors && std::arch::x86_64::__cpuid_count(7, 0).edx & (AMX_BF16 | AMX_TILE) == AMX_BF16 | AMX_TILE
}

/// Requests the tile registers from Linux (`ARCH_REQ_XCOMP_PERM`), as every process must before it uses them.
#[cfg(target_os = "linux")]
fn is_permitted() -> bool {
    const REQUEST_PERMISSION: libc::c_long = 0x1023;
    const TILE_DATA: libc::c_long = 18;
    // SAFETY: the call takes two numbers and changes nothing but what this process may do.
    unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0 }
}

/// On other systems, permission for tile registers is not implemented.
#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

/// Loads the next left tile and multiplies it by the loaded right tile.
macro_rules! left {
    ($tile:literal) => {
        concat!("tileloadd tmm6, [{left} + {row}]\n add {left}, 1024\n tdpbf16ps tmm", $tile, ", tmm6, tmm7")
    };
}

/// Loads a right tile and multiplies the loaded left tile by it.
macro_rules! right {
    ($tile:literal, $offset:literal) => {
        concat!("tileloadd tmm7, [{right} + {row} + ", $offset, "]\n tdpbf16ps tmm", $tile, ", tmm6, tmm7")
    };
}

/// All steps for the sums in these tiles. It is one asm block, so that no tile needs to survive between blocks.
macro_rules! multiply {
    ($factors:expr, $steps:expr, $sums:expr, $accumulate:expr, [$($tile:literal)*], [$($line:expr),* $(,)?]) => {
        asm!(
            "test {accumulate}, {accumulate}",
            "jz 3f",
            $(concat!("tileloadd tmm", $tile, ", [{sums} + {row} + 1024*", $tile, "]"),)*
            "jmp 2f",
            "3:",
            $(concat!("tilezero tmm", $tile),)*
            "2:",
            "mov {left}, qword ptr [{step}]",
            "mov {right}, qword ptr [{step} + 8]",
            "add {left}, {a}",
            "add {right}, {b}",
            $($line,)*
            "add {step}, 16",
            "cmp {step}, {end}",
            "jb 2b",
            $(concat!("tilestored [{sums} + {row} + 1024*", $tile, "], tmm", $tile),)*
            "/* {b_step} */",
            step = inout(reg) $steps.as_ptr_range().start => _,
            end = in(reg) $steps.as_ptr_range().end,
            a = in(reg) $factors.a,
            b = in(reg) $factors.b,
            b_step = in(reg) $factors.b_step,
            row = in(reg) ROW_BYTES,
            sums = in(reg) $sums,
            accumulate = in(reg) usize::from($accumulate),
            left = out(reg) _,
            right = out(reg) _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
    ($factors:expr, $steps:expr, $sums:expr, $accumulate:expr, lefts [$($tile:tt)*]) => {
        multiply!($factors, $steps, $sums, $accumulate, [$($tile)*],
            ["tileloadd tmm7, [{right} + {row}]", $(left!($tile)),*])
    };
}

impl Amx {
    /// See [`TileUnit::multiply`](super::tiles::TileUnit::multiply).
    ///
    /// # Safety
    /// Tiles are configured, all tiles that are read exist, and `sums` is valid for reads and writes of as many tiles.
    #[inline(never)]
    pub(super) unsafe fn multiply(
        self,
        shape: TileProduct,
        factors: Factors,
        steps: &[FactorOffsets],
        sums: *mut f32,
        accumulate: bool,
    ) {
        debug_assert!(!steps.is_empty(), "the loop runs once at least");
        // SAFETY: the caller's promise; `self` proves that the processor has these instructions.
        unsafe {
            match shape {
                TileProduct::Lefts(lefts, rights) => {
                    for right in 0..rights {
                        let factors = Factors { b: factors.b.add(right * factors.b_step), ..factors };
                        self.lefts(lefts, factors, steps, sums.add(right * lefts * TILE), accumulate);
                    }
                }
                TileProduct::Rights => multiply!(
                    factors,
                    steps,
                    sums,
                    accumulate,
                    [0 1 2],
                    [
                        "tileloadd tmm6, [{left} + {row}]",
                        right!(0, 0),
                        "add {right}, {b_step}",
                        right!(1, 0),
                        "add {right}, {b_step}",
                        right!(2, 0),
                    ]
                ),
                TileProduct::RightPairs => multiply!(
                    factors,
                    steps,
                    sums,
                    accumulate,
                    [0 1 2 3 4 5],
                    [
                        "tileloadd tmm6, [{left} + {row}]",
                        right!(0, 0),
                        right!(1, 64),
                        "add {right}, {b_step}",
                        right!(2, 0),
                        right!(3, 64),
                        "add {right}, {b_step}",
                        right!(4, 0),
                        right!(5, 64),
                    ]
                ),
            }
        }
    }

    /// The product of so many left tiles with one right tile.
    #[inline(always)]
    unsafe fn lefts(self, count: usize, factors: Factors, steps: &[FactorOffsets], sums: *mut f32, accumulate: bool) {
        // SAFETY: the caller's promise.
        unsafe {
            match count {
                1 => multiply!(factors, steps, sums, accumulate, lefts[0]),
                2 => multiply!(factors, steps, sums, accumulate, lefts [0 1]),
                3 => multiply!(factors, steps, sums, accumulate, lefts [0 1 2]),
                4 => multiply!(factors, steps, sums, accumulate, lefts [0 1 2 3]),
                5 => multiply!(factors, steps, sums, accumulate, lefts [0 1 2 3 4]),
                6 => multiply!(factors, steps, sums, accumulate, lefts [0 1 2 3 4 5]),
                count => unreachable!("{count} left tiles"),
            }
        }
    }
}
