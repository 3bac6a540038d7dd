// Pixels of sixteen bf16 channels in shared memory, for the kernels that read bf16 maps alone.
//
// A pixel takes 32 bytes, in two halves, which change places at every fourth pixel of a row: so eight neighbouring pixels
// that one instruction reads lie in different banks. Rows begin at multiples of four pixels, so that the address of a
// pixel's lower neighbour is a sum, which the compiler folds into the instruction that reads it.
#pragma once
#include "convolution.cuh"
#include "rows.cuh"

// Pixels of a row of a tile, with those that its windows reach beyond it; the same rounded up to four; bytes of such a row.
const int REACH_X = COLUMNS + 2, ROW_PIXELS = 20, ROW_BYTES = ROW_PIXELS * 32;
// Halves of a row's pixels, and rows that the threads of a block copy at once.
const int HALVES = 2 * REACH_X, ROWS_AT_ONCE = THREADS / HALVES;

// Place of a half of pixel x of a row.
DEVICE int half_at(int x, int half) { return x * 32 + ((half ^ (x >> 2 & 1)) << 4); }

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

// The values of eight channels where the slope is 0, as bf16. A ceiling is a number of bf16.
template <bool CEILING>
DEVICE uint4 relu(const Applied &a, Eight e) {
    UNROLL for (int k = 0; k < 8; k++) e.v[k] = fmaf(a.affine_of.scale.v[k], e.v[k], a.affine_of.shift.v[k]);
    const u32 ceilings = pack_bf16(a.ceiling, a.ceiling);
    auto both = [&](int k) {
        const u32 values = pack_positive(e.v[k], e.v[k + 1]);
        return CEILING ? at_most_bf16(values, ceilings) : values;
    };
    return make_uint4(both(0), both(2), both(4), both(6));
}

// Rows of pixels that a block copies to shared memory: a thread copies one half of a pixel of every third row.
template <int ROWS_REACHED>
struct Reach {
    static const int TURNS = (ROWS_REACHED + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE, STEP = ROWS_AT_ONCE * ROW_BYTES;
    // The thread's first row, or one beyond all for a thread that copies nothing; its pixel within a row; its first channel.
    int row, x, channel;
    // Offset in shared memory of its first half; the others are STEP bytes apart.
    int offset;

    DEVICE Reach of(int thread) {
        const int row = thread / HALVES, x = thread % HALVES / 2, half = thread % 2;
        return {row, x, half * 8, row * ROW_BYTES + half_at(x, half)};
    }

    DEVICE bool copies(const Reach &r, int i) { return r.row < ROWS_AT_ONCE && r.row + i * ROWS_AT_ONCE < ROWS_REACHED; }

    // Which of the thread's halves lie inside a map of this height, if rows begin at `top`: a bit each.
    DEVICE u32 rows_inside(const Reach &r, int top, int height) {
        u32 inside = 0;
        UNROLL for (int i = 0; i < TURNS; i++)
            if (copies(r, i) && (u32)(top + r.row + i * ROWS_AT_ONCE) < (u32)height) inside |= 1u << i;
        return inside;
    }

    // Starts copying; `pixel` is the thread's first, of a map that is `width` pixels wide.
    DEVICE void copy(const Reach &r, char *to, const u16 *map, int channels, int pixel, int width, u32 inside) {
        UNROLL for (int i = 0; i < TURNS; i++)
            if (copies(r, i)) {
                const u16 *from = map + (u64)(u32)(pixel + i * ROWS_AT_ONCE * width) * (u32)channels + r.channel;
                copy_16_or_zero(to + r.offset + i * STEP, from, inside >> i & 1);
            }
    }

    // Activates in place what has arrived and lies inside the map. Halves beyond the border stay zero.
    DEVICE void activate_copied(const Reach &r, char *at, const Applied &a, u32 inside) {
        USUALLY(ACTIVE, a.slope == 0.0f);
        if (a.plain) return;
        auto in_place = [&](auto activated) {
            UNROLL for (int i = 0; i < TURNS; i++)
                if (inside >> i & 1) {
                    uint4 *half = (uint4 *)(at + r.offset + i * STEP);
                    *half = activated(unpack(*half));
                }
        };
        if (a.slope == 0.0f) in_place([&](const Eight &e) { return relu<false>(a, e); });
        else in_place([&](const Eight &e) { return pack(activate(a.affine_of, a.slope, a.ceiling, e)); });
    }
};
