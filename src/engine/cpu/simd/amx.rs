//! AMX, the matrix unit of recent x86-64 servers: products of tiles of 16 rows by 64 bytes, bf16 in and single precision
//! out, some sixteen times as many per cycle as AVX-512 does.
#![expect(unsafe_code, reason = "tiles are loaded, multiplied and stored by instructions the compiler does not know")]
#![expect(clippy::inline_always, reason = "kernels become one function per instruction set")]
#![expect(clippy::unused_self, reason = "a value is a proof")]

use std::arch::asm;
use std::sync::OnceLock;

use super::avx512::Avx512;

/// Proof that the processor has AMX with bf16 and what goes with it (AVX-512 F, BW and BF16), and that the system
/// lets this process use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Amx(());

/// Bytes of a tile, and of a row of it.
pub(in super::super) const TILE_BYTES: usize = 1024;
pub(in super::super) const ROW_BYTES: usize = 64;
/// Rows of a tile.
pub(in super::super) const ROWS: usize = 16;
/// Tiles that hold sums at once; the two others hold factors.
pub(in super::super) const SUMS: usize = 6;

/// The shape of all eight tiles, as the processor reads it.
#[repr(C, align(64))]
struct Shapes([u8; 64]);

static SHAPES: Shapes = {
    let mut bytes = [0; 64];
    bytes[0] = 1;
    let mut tile = 0;
    while tile < 8 {
        bytes[16 + 2 * tile] = ROW_BYTES as u8;
        bytes[48 + tile] = ROWS as u8;
        tile += 1;
    }
    Shapes(bytes)
};

impl Amx {
    /// The proof, where there is AMX.
    pub(in super::super) fn detect() -> Option<Self> {
        static FOUND: OnceLock<bool> = OnceLock::new();
        FOUND.get_or_init(|| has_instructions() && is_permitted()).then_some(Self(()))
    }

    /// The vectors that go with it.
    #[inline(always)]
    pub(in super::super) fn vectors(self) -> Avx512 {
        Avx512(())
    }

    /// Runs `f`, an `#[inline(always)]` closure, compiled with these instructions and with tiles ready for use.
    #[inline(always)]
    pub(in super::super) fn with_tiles<R>(self, f: impl FnOnce() -> R) -> R {
        // SAFETY: `self` proves that the processor has these features.
        unsafe { with_features(f) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn with_features<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: the processor has AMX and the process may use it, as `Amx` proves, the only caller's `self`; these two
    // change nothing but the tile registers, which compiled code never uses.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const SHAPES, options(nostack, preserves_flags)) };
    let result = f();
    // SAFETY: as above.
    unsafe { asm!("tilerelease", options(nostack, preserves_flags)) };
    result
}

fn has_instructions() -> bool {
    const AMX_BF16: u32 = 1 << 22;
    const AMX_TILE: u32 = 1 << 24;
    let vectors = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512bf16");
    // Leaf 7 is there where AVX-512 is.
    vectors && std::arch::x86_64::__cpuid_count(7, 0).edx & (AMX_BF16 | AMX_TILE) == AMX_BF16 | AMX_TILE
}

/// Asks Linux for the tile registers (`ARCH_REQ_XCOMP_PERM`), as every process must before it uses them.
#[cfg(target_os = "linux")]
fn is_permitted() -> bool {
    const REQUEST_PERMISSION: libc::c_long = 0x1023;
    const TILE_DATA: libc::c_long = 18;
    // SAFETY: the call takes two numbers and changes nothing but what this process may do.
    unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0 }
}

/// How other systems hand out tile registers is not known here.
#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

/// Where the factors of products lie: left tiles `a + r·a_step` with rows `a_stride` bytes apart, right tiles
/// `b + n·b_step` with rows [`ROW_BYTES`] apart. A left row holds 32 bf16; row `i` of a right tile holds, for each of its
/// 16 columns, what is multiplied with numbers `2i` and `2i + 1` of a left row.
#[derive(Clone, Copy)]
pub(in super::super) struct Factors {
    /// First left tile.
    pub(in super::super) a: *const u8,
    /// Bytes between left tiles.
    pub(in super::super) a_step: isize,
    /// Bytes between rows of a left tile.
    pub(in super::super) a_stride: usize,
    /// First right tile.
    pub(in super::super) b: *const u8,
    /// Bytes between right tiles.
    pub(in super::super) b_step: usize,
}

/// What a product's next factors are away from the first, in bytes: left and right.
pub(in super::super) type Step = [usize; 2];

/// What stands before the second right tile's products: nothing where there is none.
macro_rules! next_right_tile {
    () => {
        "/* {b_step} */"
    };
    ($($tile:literal)+) => {
        "mov {left}, qword ptr [{step}]
         add {left}, {a}
         add {right}, {b_step}
         tileloadd tmm7, [{right} + {row}]"
    };
}

/// All steps for sums in the tiles of the first and of the second right tile. One asm block, so that no tile need survive
/// from one block to the next.
macro_rules! multiply {
    ($factors:expr, $steps:expr, $sums:expr, $accumulate:expr, [$($first:literal)*], [$($second:literal)*]) => {
        asm!(
            "test {accumulate}, {accumulate}",
            "jz 3f",
            $(concat!("tileloadd tmm", $first, ", [{sums} + {row} + 1024*", $first, "]"),)*
            $(concat!("tileloadd tmm", $second, ", [{sums} + {row} + 1024*", $second, "]"),)*
            "jmp 2f",
            "3:",
            $(concat!("tilezero tmm", $first),)*
            $(concat!("tilezero tmm", $second),)*
            "2:",
            "mov {left}, qword ptr [{step}]",
            "mov {right}, qword ptr [{step} + 8]",
            "add {left}, {a}",
            "add {right}, {b}",
            "tileloadd tmm7, [{right} + {row}]",
            $(
                "tileloadd tmm6, [{left} + {a_stride}]",
                "add {left}, {a_step}",
                concat!("tdpbf16ps tmm", $first, ", tmm6, tmm7"),
            )*
            next_right_tile!($($second)*),
            $(
                "tileloadd tmm6, [{left} + {a_stride}]",
                "add {left}, {a_step}",
                concat!("tdpbf16ps tmm", $second, ", tmm6, tmm7"),
            )*
            "add {step}, 16",
            "cmp {step}, {end}",
            "jb 2b",
            $(concat!("tilestored [{sums} + {row} + 1024*", $first, "], tmm", $first),)*
            $(concat!("tilestored [{sums} + {row} + 1024*", $second, "], tmm", $second),)*
            step = inout(reg) $steps.as_ptr_range().start => _,
            end = in(reg) $steps.as_ptr_range().end,
            a = in(reg) $factors.a,
            a_step = in(reg) $factors.a_step,
            a_stride = in(reg) $factors.a_stride,
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
}

impl Amx {
    /// `sums[n][r] (+)= Σ left(r, step)·right(n, step)` over all steps, for `r` below `rights.0` and `n` below
    /// `rights.1`; a sum is 16×16 numbers. Runs inside [`Amx::with_tiles`].
    ///
    /// # Safety
    /// All tiles read are there, `sums` is valid for reads and writes of as many tiles, and there is a step.
    #[inline(always)]
    pub(in super::super) unsafe fn multiply(
        self,
        (lefts, rights): (usize, usize),
        factors: Factors,
        steps: &[Step],
        sums: *mut f32,
        accumulate: bool,
    ) {
        debug_assert!(!steps.is_empty(), "the loop runs once at least");
        // SAFETY: the caller's promise; `self` proves that there are these instructions.
        unsafe {
            match (lefts, rights) {
                (1, 1) => multiply!(factors, steps, sums, accumulate, [0], []),
                (2, 1) => multiply!(factors, steps, sums, accumulate, [0 1], []),
                (3, 1) => multiply!(factors, steps, sums, accumulate, [0 1 2], []),
                (4, 1) => multiply!(factors, steps, sums, accumulate, [0 1 2 3], []),
                (5, 1) => multiply!(factors, steps, sums, accumulate, [0 1 2 3 4], []),
                (6, 1) => multiply!(factors, steps, sums, accumulate, [0 1 2 3 4 5], []),
                (3, 2) => multiply!(factors, steps, sums, accumulate, [0 1 2], [3 4 5]),
                shape => unreachable!("no product of {shape:?} tiles"),
            }
        }
    }
}
