// Kernels that work value by value walk a map row by row: a block takes a row, a thread keeps its eight channels and goes
// from pixel to pixel. So places are computed once, and what depends on the channel alone is read once.
#pragma once
#include "common.cuh"

const int WALKERS = 128;

// A thread's part of a row. Blocks x are rows of all images, one after another, of `height` each; blocks y are 8 · WALKERS
// channels.
struct Walk {
    int image, y;
    // The row among those of all images, the first of eight channels, the first pixel and the distance to the next.
    u32 row;
    int channel, first, step;
};

DEVICE Walk walk(int height, int channels) {
    const u32 row = blockIdx.x, image = row / (u32)height, start = blockIdx.y * WALKERS;
    const u32 vectors = least(WALKERS, channels / 8 - start), step = WALKERS / vectors, first = threadIdx.x / vectors;
    const int channel = (start + threadIdx.x - first * vectors) * 8;
    // Threads left over have nothing to do in any row.
    return {(int)image, (int)(row - image * height), row, channel, first < step ? (int)first : 0x04000000, (int)step};
}

// Eight channels of a map's row: the address of its first pixel, and bytes from pixel to pixel. A NARROW row is of bf16;
// else the map says what it is of.
template <bool NARROW>
struct Vectors {
    u64 start;
    u32 stride;
    bool wide;

    DEVICE Vectors of(const Map &map, u32 row, int width, int channel) {
        USUALLY(WIDE_MAPS, map.wide);
        const u32 bytes = !NARROW && map.wide ? 4 : 2;
        return {map.data + ((u64)row * (u32)width * (u32)map.channels + channel) * bytes, map.channels * bytes, !NARROW && map.wide};
    }

    DEVICE u64 at(const Vectors &row, int x) { return row.start + (u64)(u32)x * row.stride; }

    DEVICE Eight load(const Vectors &row, int x) {
        return row.wide ? load_wide((const float *)at(row, x)) : unpack(*(const uint4 *)at(row, x));
    }

    DEVICE void store(const Vectors &row, int x, const Eight &e) {
        if (row.wide) {
            float4 *to = (float4 *)at(row, x);
            to[0] = make_float4(e.v[0], e.v[1], e.v[2], e.v[3]), to[1] = make_float4(e.v[4], e.v[5], e.v[6], e.v[7]);
        } else {
            *(uint4 *)at(row, x) = pack(e);
        }
    }

    DEVICE void store_or_add(const Vectors &row, int x, Eight e, bool accumulate) {
        if (accumulate) {
            const Eight there = load(row, x);
            UNROLL for (int k = 0; k < 8; k++) e.v[k] += there.v[k];
        }
        store(row, x, e);
    }
};

// What readers of eight channels apply.
struct Applied {
    bool plain;
    float slope, ceiling;
    Affine affine_of;
};

DEVICE Applied applied(const Activation &a, int image, int channel) {
    const bool plain = !a.scale && a.slope == 1.0f;
    USUALLY(ACTIVE, a.scale);
    USUALLY(ACTIVE, !plain);
    USUALLY(PLAIN, plain);
    return {plain, a.slope, a.ceiling, affine(a, image, channel)};
}

template <bool CEILING>
DEVICE Eight apply(const Applied &a, Eight e) {
    if (a.plain) return e;
    USUALLY(ACTIVE, a.slope == 0.0f);
    if (CEILING || a.slope != 0.0f) return activate<CEILING>(a.affine_of, a.slope, a.ceiling, e);
    UNROLL for (int k = 0; k < 8; k++) e.v[k] = positive(fmaf(a.affine_of.scale.v[k], e.v[k], a.affine_of.shift.v[k]));
    return e;
}

// Calls a function for bf16 maps or for any: the first is compiled without a choice at each access.
#define FOR_MAPS(all_narrow, function, ...) \
    const bool is_narrow = all_narrow; \
    USUALLY(NARROW_MAPS, is_narrow); \
    USUALLY(WIDE_MAPS, !is_narrow); \
    if (is_narrow) function<true>(__VA_ARGS__); \
    else function<false>(__VA_ARGS__)

// Two kernels that walk maps: NAME for activations without a ceiling, and NAME_ceiling for any.
#define ROW_KERNELS(name, Parameters, all_narrow, function)                           \
    template <bool NARROW>                                                            \
    DEVICE void function##_with_ceiling(const Parameters &p) { function<NARROW, true>(p); }  \
    KERNEL(WALKERS, name, Parameters) { FOR_MAPS(all_narrow, function, p); }          \
    KERNEL(WALKERS, name##_ceiling, Parameters) { FOR_MAPS(all_narrow, function##_with_ceiling, p); }
