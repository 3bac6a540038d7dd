//! 128-bit vectors of aarch64, four at a time. Every such processor has them.
#![expect(unsafe_code, reason = "vector instructions")]

use std::arch::aarch64::{
    float32x4_t, vaddq_f32, vbslq_f32, vceqq_f32, vcgtq_f32, vcgtzq_f32, vdupq_n_f32, vfmaq_f32, vfmsq_f32, vld1q_f32,
    vmulq_f32, vst1q_f32, vsubq_f32,
};
use std::arch::is_aarch64_feature_detected;

use super::Simd;

/// Proof that the processor has Advanced SIMD.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Neon(());

impl Neon {
    /// The proof, if the processor has the instructions.
    pub(super) fn detect() -> Option<Self> {
        is_aarch64_feature_detected!("neon").then_some(Self(()))
    }
}

#[target_feature(enable = "neon")]
fn with_neon<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// Sixteen numbers.
type Quad = [float32x4_t; 4];

#[inline(always)]
#[expect(clippy::inline_always, reason = "part of kernels")]
fn map(f: impl Fn(usize) -> float32x4_t) -> Quad {
    [f(0), f(1), f(2), f(3)]
}

// SAFETY, for every block below: `self` proves that the processor has the instructions; loads and stores pass on the
// caller's promise about the pointer.
#[expect(clippy::inline_always, reason = "kernels become one function per instruction set")]
#[expect(clippy::undocumented_unsafe_blocks, reason = "one reason for all, above")]
#[allow(unused_unsafe, reason = "whether arithmetic is safe to call depends on the version of Rust")]
impl Simd for Neon {
    type V = Quad;
    /// 32 registers hold eight of these vectors.
    const MANY_REGISTERS: bool = false;

    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        unsafe { with_neon(f) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Quad {
        unsafe { map(|_| vdupq_n_f32(x)) }
    }

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> Quad {
        map(|i| unsafe { vld1q_f32(p.add(4 * i)) })
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: Quad) {
        for (i, v) in v.into_iter().enumerate() {
            unsafe { vst1q_f32(p.add(4 * i), v) };
        }
    }

    #[inline(always)]
    fn add(self, a: Quad, b: Quad) -> Quad {
        unsafe { map(|i| vaddq_f32(a[i], b[i])) }
    }

    #[inline(always)]
    fn sub(self, a: Quad, b: Quad) -> Quad {
        unsafe { map(|i| vsubq_f32(a[i], b[i])) }
    }

    #[inline(always)]
    fn mul(self, a: Quad, b: Quad) -> Quad {
        unsafe { map(|i| vmulq_f32(a[i], b[i])) }
    }

    #[inline(always)]
    fn mul_add(self, a: Quad, b: Quad, c: Quad) -> Quad {
        unsafe { map(|i| vfmaq_f32(c[i], a[i], b[i])) }
    }

    #[inline(always)]
    fn neg_mul_add(self, a: Quad, b: Quad, c: Quad) -> Quad {
        unsafe { map(|i| vfmsq_f32(c[i], a[i], b[i])) }
    }

    /// Not the instruction of that name, which gives NaN if either operand is.
    #[inline(always)]
    fn max(self, a: Quad, b: Quad) -> Quad {
        unsafe { map(|i| vbslq_f32(vcgtq_f32(a[i], b[i]), a[i], b[i])) }
    }

    /// Not the instruction of that name, like [`Simd::max`].
    #[inline(always)]
    fn min(self, a: Quad, b: Quad) -> Quad {
        unsafe { map(|i| vbslq_f32(vcgtq_f32(b[i], a[i]), a[i], b[i])) }
    }

    #[inline(always)]
    fn where_positive(self, x: Quad, yes: Quad, no: Quad) -> Quad {
        unsafe { map(|i| vbslq_f32(vcgtzq_f32(x[i]), yes[i], no[i])) }
    }

    #[inline(always)]
    fn where_equal(self, a: Quad, b: Quad, yes: Quad, no: Quad) -> Quad {
        unsafe { map(|i| vbslq_f32(vceqq_f32(a[i], b[i]), yes[i], no[i])) }
    }
}
