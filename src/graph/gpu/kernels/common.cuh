// Shared by all kernels: numbers, maps, activations, and the instructions that a warp executes together.
//
// Every kernel is compiled twice: for GPUs, and, with EMULATE, for the processor, where tests run it thread by thread
// (emulate.cuh). So only features that both support may be used here.
#pragma once

typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned long long u64;

#include "layout.cuh"

#ifdef EMULATE
#include "emulate.cuh"
#else

#define DEVICE static __device__ __forceinline__
// Defines a kernel, which takes one structure, called `p` inside.
#define KERNEL(threads, name, Parameters) \
    extern "C" __global__ void __launch_bounds__(threads) name(const __grid_constant__ Parameters p)
// Same, with so few registers that `blocks` blocks fit on a multiprocessor.
#define DENSE_KERNEL(threads, blocks, name, Parameters) \
    extern "C" __global__ void __launch_bounds__(threads, blocks) name(const __grid_constant__ Parameters p)
#define UNROLL _Pragma("unroll")
#define PRAGMA(text) _Pragma(#text)
#define UNROLL_BY(times) PRAGMA(unroll (times))

DEVICE char *shared_memory() {
    extern __shared__ __align__(128) char memory[];
    return memory;
}

DEVICE u32 in_shared(const void *p) { return (u32)__cvta_generic_to_shared(p); }

// Four 8×8 matrices of 16-bit values: lane l gives the address of row l%8 of matrix l/8, and receives of each matrix
// the two values at row l/4, columns 2(l%4) and 2(l%4)+1.
DEVICE void load_matrices(u32 (&to)[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(in_shared(row)));
}

// Same as load_matrices, with each matrix transposed.
DEVICE void load_matrices_turned(u32 (&to)[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(in_shared(row)));
}

// c += a·b, 16×16 by 16×8, factors bf16.
DEVICE void multiply_bf16(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// c += a·b, 16×8 by 8×8, factors tf32.
DEVICE void multiply_tf32(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Two numbers rounded to bf16, the first in the lower half.
DEVICE u32 pack_bf16(float low, float high) {
    u32 both;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
}

// The nearest tf32 number (10 bits); of two equally near, the one farther from zero.
DEVICE float round_tf32(float v) {
    u32 bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(v));
    return __uint_as_float(bits);
}

DEVICE float shuffle_xor(float v, int lane) { return __shfl_xor_sync(0xffffffffu, v, lane); }

// The number, or zero if it is less; NaN stays NaN.
DEVICE float positive(float v) {
    float most;
    asm("max.NaN.f32 %0, %1, 0f00000000;" : "=f"(most) : "f"(v));
    return most;
}

// The smaller number; NaN stays NaN.
DEVICE float at_most(float v, float ceiling) {
    float least;
    asm("min.NaN.f32 %0, %1, %2;" : "=f"(least) : "f"(v), "f"(ceiling));
    return least;
}

// Copies 16 bytes from global to shared memory; they have arrived after copies_arrive and __syncthreads.
DEVICE void copy_16(void *to, const void *from) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(in_shared(to)), "l"(__cvta_generic_to_global(from)));
}
DEVICE void copies_arrive() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// The same number, of which the compiler knows nothing: what depends on it is not computed ahead of a loop and kept.
DEVICE int unknown(int v) {
    asm volatile("" : "+r"(v));
    return v;
}

DEVICE u32 bits_of(float v) { return __float_as_uint(v); }
DEVICE float of_bits(u32 bits) { return __uint_as_float(bits); }

#endif

// What a kernel's usual path assumes: scripts/gpu_budget.py compiles kernels so to count the instructions of that path. In a
// program this is nothing.
enum Usual { ACTIVE = 1, PLAIN = 2, NARROW_MAPS = 4, WIDE_MAPS = 8, ALWAYS = 16 };
#if defined(USUAL) && !defined(EMULATE)
#define USUALLY(when, condition) __builtin_assume(!((USUAL) & (when)) || (condition))
#else
#define USUALLY(when, condition)
#endif

DEVICE int least(int a, int b) { return a < b ? a : b; }
DEVICE float low_bf16(u32 both) { return of_bits(both << 16); }
DEVICE float high_bf16(u32 both) { return of_bits(both & 0xffff0000u); }

// A map [B, H, W, channels]: channels are a multiple of 16, those beyond the map's own are zero. Numbers are float where
// `wide`, else bf16.
struct Map {
    u64 data;
    int channels;
    int wide;
};
FIELDS(Map, data, channels, wide)

// From a stored number y to its value x: x = scale·y + shift per channel (and per image, if `per_image` is the number
// of channels instead of 0), then x if positive, else slope·x, and `ceiling` at most. Without scale, x = y.
//
// Kernels of networks without ReLU6 know no ceiling; those with one are called so, or serve both.
struct Activation {
    u64 scale;
    u64 shift;
    int per_image;
    float slope;
    float ceiling;
    int unused;
};
FIELDS(Activation, scale, shift, per_image, slope, ceiling, unused)

// Eight neighbouring channels of one pixel.
struct Eight {
    float v[8];
};

DEVICE Eight load_wide(const float *from) {
    float4 a = *(const float4 *)from, b = *(const float4 *)(from + 4);
    return {{a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w}};
}

DEVICE Eight unpack(uint4 raw) {
    return {{low_bf16(raw.x), high_bf16(raw.x), low_bf16(raw.y), high_bf16(raw.y), low_bf16(raw.z), high_bf16(raw.z),
             low_bf16(raw.w), high_bf16(raw.w)}};
}

DEVICE uint4 pack(const Eight &e) {
    return make_uint4(pack_bf16(e.v[0], e.v[1]), pack_bf16(e.v[2], e.v[3]), pack_bf16(e.v[4], e.v[5]),
                      pack_bf16(e.v[6], e.v[7]));
}

// Index of a pixel's channel among a map's numbers. `channel` is a multiple of the vector that is read at once.
DEVICE u64 index_in(const Map &map, u64 pixel, int channel) { return pixel * (u64)map.channels + channel; }

DEVICE Eight load(const Map &map, u64 pixel, int channel) {
    USUALLY(NARROW_MAPS, !map.wide);
    USUALLY(WIDE_MAPS, map.wide);
    u64 at = index_in(map, pixel, channel);
    return map.wide ? load_wide((const float *)map.data + at) : unpack(*(const uint4 *)((const u16 *)map.data + at));
}

DEVICE void store(const Map &map, u64 pixel, int channel, const Eight &e) {
    u64 at = index_in(map, pixel, channel);
    if (map.wide) {
        float4 *to = (float4 *)((float *)map.data + at);
        to[0] = make_float4(e.v[0], e.v[1], e.v[2], e.v[3]);
        to[1] = make_float4(e.v[4], e.v[5], e.v[6], e.v[7]);
    } else {
        *(uint4 *)((u16 *)map.data + at) = pack(e);
    }
}

DEVICE void store_or_add(const Map &map, u64 pixel, int channel, Eight e, int accumulate) {
    if (accumulate) {
        Eight there = load(map, pixel, channel);
        UNROLL for (int i = 0; i < 8; i++) e.v[i] += there.v[i];
    }
    store(map, pixel, channel, e);
}

DEVICE float bend(float x, float slope) { return x > 0.0f ? x : slope * x; }

// Same, with a ceiling if there may be one.
template <bool CEILING>
DEVICE float bend_below(float x, float slope, float ceiling) {
    const float bent = bend(x, slope);
    return CEILING ? at_most(bent, ceiling) : bent;
}

// The gradient to an activation's input x.
template <bool CEILING>
DEVICE float bend_gradient(float x, float g, float slope, float ceiling) {
    const float v = x > 0.0f ? g : slope * g;
    return CEILING && x >= ceiling ? 0.0f : v;
}

// Scales and shifts of eight channels.
struct Affine {
    Eight scale;
    Eight shift;
};

DEVICE Affine affine(const Activation &a, int image, int channel) {
    if (!a.scale) return {{{1, 1, 1, 1, 1, 1, 1, 1}}, {{0, 0, 0, 0, 0, 0, 0, 0}}};
    u64 at = (u64)image * a.per_image + channel;
    return {load_wide((const float *)a.scale + at), load_wide((const float *)a.shift + at)};
}

template <bool CEILING = false>
DEVICE Eight activate(const Affine &affine, float slope, float ceiling, Eight e) {
    UNROLL for (int i = 0; i < 8; i++)
        e.v[i] = bend_below<CEILING>(fmaf(affine.scale.v[i], e.v[i], affine.shift.v[i]), slope, ceiling);
    return e;
}

// A map and the activation that its readers apply.
struct Source {
    Map map;
    Activation activation;
};
FIELDS(Source, map, activation)

template <bool CEILING = false>
DEVICE Eight read(const Source &source, int image, u64 pixel, int channel) {
    Eight e = load(source.map, pixel, channel);
    const Activation &a = source.activation;
    const bool plain = !a.scale && a.slope == 1.0f;
    USUALLY(PLAIN, plain);
    if (plain) return e;
    return activate<CEILING>(affine(a, image, channel), a.slope, a.ceiling, e);
}
