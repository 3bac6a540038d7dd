// The gradient to the weights of a depthwise convolution.
//
// A block of 128 threads sums, for 32 channels, over its share of the image's tiles of 8 × 16 pixels. A thread keeps four
// channels and a column of eight pixels, whose gradients stay in registers while it goes through the pixels that their windows
// read. Its sums go to the block's own memory, and sum_weights adds these up in order: no atomics.
#pragma once
#include "depthwise.cuh"
#include "weight_gradient.cuh"

struct DepthwiseGradient {
    Source source;
    // Gradient to the output.
    Map gradient;
    // Sums: float [share][channel][tap].
    u64 partials;
    int images, in_height, in_width, height, width;
    int kernel, stride, dilation, padding;
    // Channels without the padding of blocks.
    int outputs, shares;
    // Channels with that padding.
    int span;
};
FIELDS(DepthwiseGradient, source, gradient, partials, images, in_height, in_width, height, width, kernel, stride, dilation,
       padding, outputs, shares, span)

// Four neighbouring channels of one pixel.
struct Four {
    float v[4];
};

DEVICE Four unpack_four(u64 raw) {
    const u32 low = (u32)raw, high = (u32)(raw >> 32);
    return {{low_bf16(low), high_bf16(low), low_bf16(high), high_bf16(high)}};
}
DEVICE Four of_float4(const float4 &f) { return {{f.x, f.y, f.z, f.w}}; }

template <bool NARROW>
DEVICE Four load_four(const Map &map, u64 pixel, int channel) {
    const u64 at = index_in(map, pixel, channel);
    if (NARROW || !map.wide) return unpack_four(*(const u64 *)((const u16 *)map.data + at));
    return of_float4(*(const float4 *)((const float *)map.data + at));
}

template <bool NARROW, int REACHED>
DEVICE Four staged_four(char *pixels, int pixel, int quad) {
    typedef Staged<NARROW, REACHED> S;
    if (NARROW) return unpack_four(((const u64 *)S::narrow_at(pixels, pixel, quad / 2))[quad % 2]);
    return of_float4(*S::wide_at(pixels, pixel, quad / 2, quad % 2));
}

// Windows of side KS, STRIDE pixels apart. Blocks: share, group of channels.
template <bool NARROW, int KS, int STRIDE>
DEVICE void gradient_of_depthwise(const DepthwiseGradient &p) {
    const int RX = (COLUMNS - 1) * STRIDE + KS, RY = (ROWS - 1) * STRIDE + KS, TAPS = KS * KS;
    const int group = blockIdx.y, thread = threadIdx.x, quad = thread % 8, column = thread / 8;
    const int channel = group * GROUP + quad * 4;
    const int across = (p.width + COLUMNS - 1) / COLUMNS, down = (p.height + ROWS - 1) / ROWS;
    char *pixels = shared_memory();
    float sums[TAPS][4];
    UNROLL for (int tap = 0; tap < TAPS; tap++)
        UNROLL for (int k = 0; k < 4; k++) sums[tap][k] = 0.0f;
    for (int tile = blockIdx.x; tile < across * down * p.images; tile += p.shares) {
        const int image = tile / (across * down), top = tile / across % down * ROWS, left = tile % across * COLUMNS;
        Four g[ROWS];
        UNROLL for (int y = 0; y < ROWS; y++) {
            g[y] = {{0, 0, 0, 0}};
            if (channel < p.span && top + y < p.height && left + column < p.width)
                g[y] = load_four<NARROW>(p.gradient, (u64)(image * p.height + top + y) * p.width + left + column, channel);
        }
        __syncthreads();
        stage<NARROW, RX, RY>(p.source, p.span, image, top * STRIDE - KS / 2, left * STRIDE - KS / 2, p.in_height, p.in_width, group,
                              pixels);
        __syncthreads();
        UNROLL for (int row = 0; row < RY; row++)
            UNROLL for (int c = 0; c < KS; c++) {
                const Four x = staged_four<NARROW, RX * RY>(pixels, row * RX + column * STRIDE + c, quad);
                UNROLL for (int r = 0; r < KS; r++) {
                    const int y = (row - r) / STRIDE;
                    if (row < r || (row - r) % STRIDE || y >= ROWS) continue;
                    UNROLL for (int k = 0; k < 4; k++) sums[r * KS + c][k] = fmaf(g[y].v[k], x.v[k], sums[r * KS + c][k]);
                }
            }
    }
    // First the columns of a warp, then the warps in order.
    float *table = (float *)pixels;
    __syncthreads();
    UNROLL for (int tap = 0; tap < TAPS; tap++)
        UNROLL for (int k = 0; k < 4; k++) {
            float sum = sums[tap][k];
            sum += shuffle_xor(sum, 8);
            sum += shuffle_xor(sum, 16);
            if (thread % 32 < 8) table[(thread / 32 * TAPS + tap) * GROUP + quad * 4 + k] = sum;
        }
    __syncthreads();
    float *to = (float *)p.partials + ((u64)blockIdx.x * p.outputs + group * GROUP) * TAPS;
    for (int i = thread; i < GROUP * TAPS; i += THREADS) {
        const int of = i / TAPS;
        const float *sum = table + i % TAPS * GROUP + of;
        const int next = TAPS * GROUP;
        if (group * GROUP + of < p.outputs) to[i] = (sum[0] + sum[next]) + (sum[2 * next] + sum[3 * next]);
    }
}

// Any side, stride and dilation, one tap at a time: reads both maps again for each. Blocks: share, group of channels, tap.
template <bool NARROW>
DEVICE void gradient_of_depthwise_any(const DepthwiseGradient &p) {
    const int group = blockIdx.y, tap = blockIdx.z, row = tap / p.kernel, taps = p.kernel * p.kernel;
    const int channel = group * GROUP + threadIdx.x % ACROSS * 8;
    const int across = (p.width + COLUMNS - 1) / COLUMNS, down = (p.height + ROWS - 1) / ROWS;
    Eight sum = {{0, 0, 0, 0, 0, 0, 0, 0}};
    const bool used = channel < p.span;
    for (int tile = blockIdx.x; used && tile < across * down * p.images; tile += p.shares) {
        const int image = tile / (across * down), top = tile / across % down * ROWS + own_row();
        const int x = tile % across * COLUMNS + own_column();
        const int from_x = x * p.stride - p.padding + (tap - row * p.kernel) * p.dilation;
        if (x >= p.width || (u32)from_x >= (u32)p.in_width) continue;
        UNROLL for (int i = 0; i < DOWN; i++) {
            const int y = top + i, from_y = y * p.stride - p.padding + row * p.dilation;
            if (y >= p.height || (u32)from_y >= (u32)p.in_height) continue;
            const u64 from = (u64)(image * p.in_height + from_y) * p.in_width + from_x;
            multiply_add(sum, load(p.gradient, (u64)(image * p.height + y) * p.width + x, channel),
                         read<true>(p.source, image, from, channel));
        }
    }
    sum = over_block(sum, (float *)shared_memory());
    if (threadIdx.x >= ACROSS) return;
    float *to = (float *)p.partials + ((u64)blockIdx.x * p.outputs + channel) * taps + tap;
    UNROLL for (int k = 0; k < 8; k++)
        if (channel + k < p.outputs) to[k * taps] = sum.v[k];
}

#define DEPTHWISE_GRADIENT(name, function, ...)                                            \
    template <bool NARROW>                                                                 \
    DEVICE void name##_of(const DepthwiseGradient &p) { function<NARROW __VA_ARGS__>(p); } \
    KERNEL(THREADS, name, DepthwiseGradient) { FOR_MAPS(!p.source.map.wide && !p.gradient.wide, name##_of, p); }

DEPTHWISE_GRADIENT(depthwise_gradient_3_1, gradient_of_depthwise, , 3, 1)
DEPTHWISE_GRADIENT(depthwise_gradient_3_2, gradient_of_depthwise, , 3, 2)
DEPTHWISE_GRADIENT(depthwise_gradient_5_1, gradient_of_depthwise, , 5, 1)
DEPTHWISE_GRADIENT(depthwise_gradient_5_2, gradient_of_depthwise, , 5, 2)
DEPTHWISE_GRADIENT(depthwise_gradient_0, gradient_of_depthwise_any)
