// Depthwise convolution: every channel by itself, forward and, with turned weights, for the gradient to the input. There is no
// matrix product in it: it multiplies and adds in single precision, whatever the precision of other convolutions.
//
// A block of 128 threads writes a tile of 8 × 16 pixels of 32 channels. A thread keeps eight channels: it copies pixels,
// sixteen bytes of bf16 at a time, to shared memory, where they are activated once, and then computes four pixels, one below
// the other, so that it reads each pixel of a column once for all of them.
#pragma once
#include "convolution_narrow.cuh"
#include "rows.cuh"

struct Depthwise {
    Source source;
    Map to;
    // Weights [channel][tap].
    u64 weights;
    // Factor and shift per channel, or 0.
    u64 scale, shift;
    // Statistics (mean, squared deviations) of every channel and tile: float2 [channel][tile], or 0.
    u64 partials;
    int images, in_height, in_width, height, width;
    // Side of the kernel; pixels from one window to the next, and from one tap to the next; pixels of padding.
    int kernel, stride, dilation, padding;
    // Distance of the pixels read: for the gradient through a stride, the pixels between are zero.
    int input_dilation;
    // Whether taps are turned around, as for a gradient; channels without the padding of blocks; whether results are added.
    int turned, outputs, accumulate;
    // Factor of results below zero, and the largest result.
    float slope, ceiling;
    // Channels, with the padding of blocks: those of one map of several that are read or written one beside the other.
    int span;
};
FIELDS(Depthwise, source, to, weights, scale, shift, partials, images, in_height, in_width, height, width, kernel, stride,
       dilation, padding, input_dilation, turned, outputs, accumulate, slope, ceiling, span)

// Vectors of eight channels of a block, and pixels that a thread computes.
const int ACROSS = 4, DOWN = 4, GROUP = 8 * ACROSS;

// Pixels in shared memory: vectors of eight channels, as bf16 or as two planes of four floats.
template <bool NARROW, int REACHED>
struct Staged {
    static const int PLANE = REACHED | 1, BYTES = NARROW ? REACHED * ACROSS * 16 : 2 * PLANE * ACROSS * 16;

    DEVICE uint4 *narrow_at(char *pixels, int pixel, int vector) { return (uint4 *)pixels + pixel * ACROSS + vector; }
    DEVICE float4 *wide_at(char *pixels, int pixel, int vector, int half) {
        return (float4 *)pixels + (half * PLANE + pixel) * ACROSS + vector;
    }

    DEVICE void store(char *pixels, int pixel, int vector, const Eight &e) {
        if (NARROW) {
            *narrow_at(pixels, pixel, vector) = pack(e);
        } else {
            *wide_at(pixels, pixel, vector, 0) = make_float4(e.v[0], e.v[1], e.v[2], e.v[3]);
            *wide_at(pixels, pixel, vector, 1) = make_float4(e.v[4], e.v[5], e.v[6], e.v[7]);
        }
    }

    DEVICE Eight load(char *pixels, int pixel, int vector) {
        if (NARROW) return unpack(*narrow_at(pixels, pixel, vector));
        const float4 a = *wide_at(pixels, pixel, vector, 0), b = *wide_at(pixels, pixel, vector, 1);
        return {{a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w}};
    }
};

// Copies RY rows of RX pixels of a block's channels, of `span`, to shared memory and activates them; those beyond the border
// are zero.
template <bool NARROW, int RX, int RY>
DEVICE void stage(const Source &source, int span, int image, int top, int left, int height, int width, int group,
                  char *pixels) {
    typedef Vectors<NARROW> V;
    typedef Staged<NARROW, RX * RY> S;
    const int STEP = THREADS / ACROSS, HELD = (RX * RY + STEP - 1) / STEP, BATCH = 4;
    const int vector = threadIdx.x % ACROSS, channel = group * GROUP + vector * 8;
    const bool used = channel < span;
    const Applied a = applied(source.activation, image, used ? channel : 0);
    const bool is_relu = a.slope == 0.0f;
    USUALLY(ACTIVE, is_relu);
    const V from = V::of(source.map, image * height, width, channel);
    // Several loads are on their way at once.
    UNROLL_BY(1) for (int first = 0; first < HELD; first += BATCH) {
        Eight held[BATCH];
        bool inside[BATCH];
        UNROLL for (int i = 0; i < BATCH; i++) {
            const int pixel = threadIdx.x / ACROSS + (first + i) * STEP, y = top + pixel / RX, x = left + pixel % RX;
            inside[i] = used && pixel < RX * RY && (u32)y < (u32)height && (u32)x < (u32)width;
            held[i] = {{0, 0, 0, 0, 0, 0, 0, 0}};
            if (inside[i]) held[i] = V::load(from, y * width + x);
        }
        UNROLL for (int i = 0; i < BATCH; i++) {
            const int pixel = threadIdx.x / ACROSS + (first + i) * STEP;
            if (pixel >= RX * RY) continue;
            if (NARROW && is_relu) *S::narrow_at(pixels, pixel, vector) = inside[i] ? relu<true>(a, held[i]) : make_uint4(0, 0, 0, 0);
            else S::store(pixels, pixel, vector, inside[i] ? apply<true>(a, held[i]) : held[i]);
        }
    }
}

// Sums of eight channels over a block's threads: every thread gets those of its channels. `table` has room for 4 · GROUP.
DEVICE Eight over_block(const Eight &mine, float *table) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, vector = threadIdx.x % ACROSS;
    float v[8];
    UNROLL for (int k = 0; k < 8; k++) v[k] = mine.v[k];
    const int value = add_up_lanes<8>(v, lane);
    __syncthreads();
    table[warp * GROUP + vector * 8 + value] = v[0];
    __syncthreads();
    Eight sum = load_wide(table + vector * 8);
    UNROLL for (int w = 1; w < WARPS; w++) {
        const Eight more = load_wide(table + w * GROUP + vector * 8);
        UNROLL for (int k = 0; k < 8; k++) sum.v[k] += more.v[k];
    }
    return sum;
}

// This thread's column and first row within a tile.
DEVICE int own_column() { return threadIdx.x / ACROSS % COLUMNS; }
DEVICE int own_row() { return threadIdx.x / (ACROSS * COLUMNS) * DOWN; }

// Writes a thread's pixels, and statistics of the tile. Shared memory is free.
template <bool NARROW>
DEVICE void finish_depthwise(const Depthwise &p, Eight (&sums)[DOWN], int image, int group) {
    typedef Vectors<NARROW> V;
    const int channel = group * GROUP + threadIdx.x % ACROSS * 8, top = blockIdx.y * ROWS, left = blockIdx.x * COLUMNS;
    const int x = left + own_column(), first = top + own_row();
    const bool used = channel < p.span && x < p.width;
    USUALLY(ALWAYS, !p.shift && !p.scale && p.slope == 1.0f);
    if (used && (p.shift || p.scale || p.slope != 1.0f)) {
        Affine by = {{{1, 1, 1, 1, 1, 1, 1, 1}}, {{0, 0, 0, 0, 0, 0, 0, 0}}};
        if (p.scale) by.scale = load_wide((const float *)p.scale + channel);
        if (p.shift) by.shift = load_wide((const float *)p.shift + channel);
        UNROLL for (int y = 0; y < DOWN; y++) sums[y] = activate<true>(by, p.slope, p.ceiling, sums[y]);
    }
    const V to = V::of(p.to, image * p.height, p.width, channel);
    UNROLL for (int y = 0; y < DOWN; y++) {
        if (!used || first + y >= p.height) continue;
        const int at = (first + y) * p.width + x;
        V::store_or_add(to, at, sums[y], p.accumulate);
        // Statistics are those of the rounded numbers, as they will be read.
        if (NARROW || !p.to.wide) sums[y] = unpack(pack(sums[y]));
    }
    USUALLY(ACTIVE, p.partials);
    USUALLY(PLAIN, !p.partials);
    if (!p.partials) return;
    float *table = (float *)shared_memory();
    const float inverse = 1.0f / (float)(least(ROWS, p.height - top) * least(COLUMNS, p.width - left));
    Eight mean = {{0, 0, 0, 0, 0, 0, 0, 0}}, squares = mean;
    // The mean comes first, then deviations from it: squares of large values would swallow small differences.
    UNROLL for (int pass = 0; pass < 2; pass++) {
        Eight sum = {{0, 0, 0, 0, 0, 0, 0, 0}};
        UNROLL for (int y = 0; y < DOWN; y++)
            if (used && first + y < p.height)
                UNROLL for (int k = 0; k < 8; k++) {
                    const float off = sums[y].v[k] - mean.v[k];
                    sum.v[k] = pass ? fmaf(off, off, sum.v[k]) : sum.v[k] + sums[y].v[k];
                }
        sum = over_block(sum, table);
        UNROLL for (int k = 0; k < 8; k++)
            if (pass) squares.v[k] = sum.v[k];
            else mean.v[k] = sum.v[k] * inverse;
    }
    if (threadIdx.x >= ACROSS || channel >= p.span) return;
    const u32 tiles = p.images * gridDim.y * gridDim.x, tile = (image * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    float2 *partials = (float2 *)p.partials + (u64)channel * tiles + tile;
    UNROLL for (int k = 0; k < 8; k++) partials[(u64)k * tiles] = make_float2(mean.v[k], squares.v[k]);
}

// The weights of a block's channels to shared memory: float [tap][channel].
DEVICE void stage_weights(const Depthwise &p, int taps, int group, float *weights) {
    const float *from = (const float *)p.weights + (u64)group * GROUP * taps;
    for (int i = threadIdx.x; i < GROUP * taps; i += THREADS) {
        const int channel = i / taps, tap = i - channel * taps;
        weights[(p.turned ? taps - 1 - tap : tap) * GROUP + channel] = group * GROUP + channel < p.outputs ? from[i] : 0.0f;
    }
}

DEVICE void multiply_add(Eight &sum, const Eight &a, const Eight &b) {
    UNROLL for (int k = 0; k < 8; k++) sum.v[k] = fmaf(a.v[k], b.v[k], sum.v[k]);
}

// Windows of side KS, STRIDE pixels apart. Blocks: columns of the result, rows, image and group of channels.
template <bool NARROW, int KS, int STRIDE>
DEVICE void convolve_depthwise(const Depthwise &p) {
    const int RX = (COLUMNS - 1) * STRIDE + KS, RY = (ROWS - 1) * STRIDE + KS, TAPS = KS * KS;
    typedef Staged<NARROW, RX * RY> S;
    const int group = blockIdx.z / (u32)p.images, image = blockIdx.z - group * p.images, vector = threadIdx.x % ACROSS;
    char *pixels = shared_memory();
    float *weights = (float *)(pixels + S::BYTES);
    stage_weights(p, TAPS, group, weights);
    stage<NARROW, RX, RY>(p.source, p.span, image, (int)blockIdx.y * ROWS * STRIDE - KS / 2,
                          (int)blockIdx.x * COLUMNS * STRIDE - KS / 2, p.in_height, p.in_width, group, pixels);
    __syncthreads();
    const int first = own_row() * STRIDE * RX + own_column() * STRIDE;
    Eight sums[DOWN] = {};
    UNROLL for (int column = 0; column < KS; column++) {
        Eight w[KS];
        UNROLL for (int k = 0; k < KS; k++) w[k] = load_wide(weights + (k * KS + column) * GROUP + vector * 8);
        UNROLL for (int row = 0; row < (DOWN - 1) * STRIDE + KS; row++) {
            const Eight x = S::load(pixels, first + row * RX + column, vector);
            UNROLL for (int y = 0; y < DOWN; y++)
                if (row >= y * STRIDE && row - y * STRIDE < KS) multiply_add(sums[y], w[row - y * STRIDE], x);
        }
    }
    __syncthreads();
    finish_depthwise<NARROW>(p, sums, image, group);
}

// The gradient to the input of windows of side KS, two pixels apart: half of the rows and of the columns of taps meet a pixel,
// those of its parity. Blocks are those of the result.
template <bool NARROW, int KS>
DEVICE void convolve_depthwise_back(const Depthwise &p) {
    const int PAD = KS / 2, BEFORE = PAD / 2, RX = (COLUMNS - 1 + PAD) / 2 + BEFORE + 1, RY = (ROWS - 1 + PAD) / 2 + BEFORE + 1;
    typedef Staged<NARROW, RX * RY> S;
    const int group = blockIdx.z / (u32)p.images, image = blockIdx.z - group * p.images, vector = threadIdx.x % ACROSS;
    char *pixels = shared_memory();
    float *weights = (float *)(pixels + S::BYTES);
    stage_weights(p, KS * KS, group, weights);
    stage<NARROW, RX, RY>(p.source, p.span, image, (int)blockIdx.y * ROWS / 2 - BEFORE, (int)blockIdx.x * COLUMNS / 2 - BEFORE,
                          p.in_height, p.in_width, group, pixels);
    __syncthreads();
    Eight sums[DOWN] = {};
    UNROLL_BY(1) for (int column = (own_column() + PAD) % 2; column < KS; column += 2) {
        const int first = own_row() / 2 * RX + (own_column() + PAD - column) / 2 + BEFORE;
        Eight w[KS];
        UNROLL for (int k = 0; k < KS; k++) w[k] = load_wide(weights + (k * KS + column) * GROUP + vector * 8);
        UNROLL for (int row = 0; row < (DOWN - 1 + PAD) / 2 + BEFORE + 1; row++) {
            const Eight g = S::load(pixels, first + row * RX, vector);
            UNROLL for (int y = 0; y < DOWN; y++) {
                const int k = y + PAD - 2 * (row - BEFORE);
                if (k >= 0 && k < KS) multiply_add(sums[y], w[k], g);
            }
        }
    }
    __syncthreads();
    finish_depthwise<NARROW>(p, sums, image, group);
}

// Any side, stride and dilation: reads every pixel again for each of its windows. Blocks are the same.
template <bool NARROW>
DEVICE void convolve_depthwise_any(const Depthwise &p) {
    const int group = blockIdx.z / (u32)p.images, image = blockIdx.z - group * p.images, taps = p.kernel * p.kernel;
    // Pixels between those read: strides are 1 or 2, so that a gap is none or one.
    const int channel = group * GROUP + threadIdx.x % ACROSS * 8, gap = p.input_dilation - 1;
    const int left = ((int)blockIdx.x * COLUMNS + own_column()) * p.stride - p.padding;
    const int top = ((int)blockIdx.y * ROWS + own_row()) * p.stride - p.padding;
    const bool used = channel < p.span;
    const Applied a = applied(p.source.activation, image, used ? channel : 0);
    const Vectors<NARROW> from = Vectors<NARROW>::of(p.source.map, image * p.in_height, p.in_width, channel);
    Eight sums[DOWN] = {};
    for (int tap = 0; used && tap < taps; tap++) {
        const int row = tap / p.kernel, x = left + (tap - row * p.kernel) * p.dilation;
        if (x < 0 || x & gap || x >> gap >= p.in_width) continue;
        Eight w;
        const float *weights = (const float *)p.weights + (u64)channel * taps + (p.turned ? taps - 1 - tap : tap);
        UNROLL for (int k = 0; k < 8; k++) w.v[k] = channel + k < p.outputs ? weights[k * taps] : 0.0f;
        UNROLL for (int i = 0; i < DOWN; i++) {
            const int y = top + i * p.stride + row * p.dilation;
            if (y < 0 || y & gap || y >> gap >= p.in_height) continue;
            multiply_add(sums[i], w, apply<true>(a, Vectors<NARROW>::load(from, (y >> gap) * p.in_width + (x >> gap))));
        }
    }
    finish_depthwise<NARROW>(p, sums, image, group);
}

#define DEPTHWISE(name, function, ...)                                                  \
    template <bool NARROW>                                                              \
    DEVICE void name##_of(const Depthwise &p) { function<NARROW __VA_ARGS__>(p); }      \
    KERNEL(THREADS, name, Depthwise) { FOR_MAPS(!p.source.map.wide && !p.to.wide, name##_of, p); }

DEPTHWISE(depthwise_3_1, convolve_depthwise, , 3, 1)
DEPTHWISE(depthwise_3_2, convolve_depthwise, , 3, 2)
DEPTHWISE(depthwise_5_1, convolve_depthwise, , 5, 1)
DEPTHWISE(depthwise_5_2, convolve_depthwise, , 5, 2)
DEPTHWISE(depthwise_back_3_2, convolve_depthwise_back, , 3)
DEPTHWISE(depthwise_back_5_2, convolve_depthwise_back, , 5)
DEPTHWISE(depthwise_0, convolve_depthwise_any)
