// Rows of sixteen bf16 channels in shared memory, for the kernels that read bf16 maps alone.
//
// A row takes 48 bytes: eight rows that one instruction reads lie in different banks, and the address of a row is a sum,
// which the compiler folds into the instruction that reads it.
#pragma once
#include "convolution.cuh"

const int ROW_BYTES = 48;

#ifdef EMULATE

DEVICE u32 pack_positive(float low, float high) {
    return pack_bf16(low > 0.0f || low != low ? low : 0.0f, high > 0.0f || high != high ? high : 0.0f);
}
DEVICE u32 at_most_bf16(u32 both, u32 ceilings) {
    return pack_bf16(at_most(low_bf16(both), low_bf16(ceilings)), at_most(high_bf16(both), high_bf16(ceilings)));
}
DEVICE void copy_16_or_zero(void *to, const void *from, bool there) {
    if (there) copy_16(to, from);
    else memset(to, 0, 16);
}

#else

// Two numbers rounded to bf16, those below zero as zero; the first in the lower half.
DEVICE u32 pack_positive(float low, float high) {
    u32 both;
    asm("cvt.rn.relu.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
}

// The smaller of two pairs of numbers.
DEVICE u32 at_most_bf16(u32 both, u32 ceilings) {
    u32 least;
    asm("min.NaN.bf16x2 %0, %1, %2;" : "=r"(least) : "r"(both), "r"(ceilings));
    return least;
}

// Same as copy_16; writes zeros, and reads nothing, if the bytes are not `there`.
DEVICE void copy_16_or_zero(void *to, const void *from, bool there) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(in_shared(to)), "l"(__cvta_generic_to_global(from)),
                 "r"(there ? 16 : 0));
}

#endif

// Activates N halves of rows in shared memory in place, those that are `inside` the map: they are `step` bytes apart. Halves
// beyond the border stay zero.
template <int N, typename Inside>
DEVICE void activate_staged(char *first, int step, Inside inside, const Activation &a, int image, int channel) {
    const float slope = a.slope;
    const bool plain = !a.scale && slope == 1.0f;
    USUALLY(ACTIVE, !plain);
    USUALLY(ACTIVE, slope == 0.0f);
    USUALLY(PLAIN, plain);
    if (plain) return;
    const Affine affine_of = affine(a, image, channel);
    if (slope == 0.0f) {
        UNROLL for (int i = 0; i < N; i++)
            if (inside(i)) {
                uint4 *half = (uint4 *)(first + i * step);
                Eight e = unpack(*half);
                UNROLL for (int k = 0; k < 8; k++) e.v[k] = fmaf(affine_of.scale.v[k], e.v[k], affine_of.shift.v[k]);
                *half = make_uint4(pack_positive(e.v[0], e.v[1]), pack_positive(e.v[2], e.v[3]),
                                   pack_positive(e.v[4], e.v[5]), pack_positive(e.v[6], e.v[7]));
            }
    } else {
        UNROLL for (int i = 0; i < N; i++)
            if (inside(i)) {
                uint4 *half = (uint4 *)(first + i * step);
                *half = pack(activate(affine_of, slope, a.ceiling, unpack(*half)));
            }
    }
}
