// The gradient to a convolution's weights: for every tap a product of output channels × pixels by pixels × input
// channels.
//
// A block of four warps sums, for 16·OW output and 16 input channels, over its share of the image's tiles of 8 × 16
// pixels: every OW warps cover all output channels, and the other warps share the tile's rows. Its sums go to its own
// memory, and a second kernel adds these up in order: no atomics, so that results are reproducible.
#pragma once
#include "convolution.cuh"

struct WeightGradient {
    ConvolutionSource sources[MOST_SOURCES];
    // Gradient to the output.
    Map gradient;
    // Sums: float [share][block of 16 input channels][block of 16 output channels][tap][256], as threads have them.
    u64 partials;
    int images, in_height, in_width, height, width;
    int kernel, stride, dilation, padding;
    // Taps that a block sums, nine at most. For any side.
    int at_once;
    // Output channels without the padding of blocks.
    int outputs;
    int sources_in_use, shares;
    // Distance of a share's tiles: images, rows of tiles, and tiles of a row.
    int step_images, step_down, step_across;
};
FIELDS(WeightGradient, sources, gradient, partials, images, in_height, in_width, height, width, kernel, stride,
       dilation, padding, at_once, outputs, sources_in_use, shares, step_images, step_down, step_across)

struct WeightSum {
    u64 partials;
    u64 to;
    int shares, weights;
};
FIELDS(WeightSum, partials, to, shares, weights)

// Sums as threads have them, to the weights [output channel][input channel][tap].
struct WeightBlocks {
    u64 partials;
    u64 to;
    int shares;
    // Sums of a share.
    int sums;
    // Channels and taps of the layer. Input channels are counted without the padding of blocks.
    int outputs, inputs, taps;
    int unused;
    // First channel and number of channels of every input block.
    u32 blocks[MOST_TARGETS];
};
FIELDS(WeightBlocks, partials, to, shares, sums, outputs, inputs, taps, unused, blocks)

// Bytes from pixel to pixel of 16 channels in shared memory: bf16 rows are laid out by half_row, float rows are padded
// so that a column of pixels uses different banks.
template <Arithmetic A>
DEVICE constexpr int pixel_bytes() { return A == BF16 ? 32 : 96; }

template <Arithmetic A>
DEVICE void stage_pixel(char *to, int row, int channel, const Eight &e) {
    if (A == BF16) {
        *(uint4 *)(to + half_row(row, channel / 8)) = pack(e);
    } else {
        float4 *at = (float4 *)(to + row * pixel_bytes<A>() + channel * 4);
        float v[8];
        UNROLL for (int i = 0; i < 8; i++) v[i] = A == TF32 ? round_tf32(e.v[i]) : e.v[i];
        at[0] = make_float4(v[0], v[1], v[2], v[3]), at[1] = make_float4(v[4], v[5], v[6], v[7]);
    }
}

template <Arithmetic A>
DEVICE float staged(const char *from, int row, int channel) {
    return *(const float *)(from + row * pixel_bytes<A>() + channel * 4);
}

// Where the taps that a block sums read, in pixels of shared memory.
struct Taps {
    // Number of taps, the column of the first, and the side of the kernel.
    int count, column, side;
    // Distances to the next tap of a row, and from the last of a row to the first of the next.
    int next, down;
};

// Goes through the taps. KS is the kernel's side, if it is known to the compiler, and else 0.
template <int KS>
struct TapWalk {
    int column, offset;

    DEVICE TapWalk of(const Taps &taps, int first) { return {taps.column, first + taps.column * taps.next}; }

    // The pixel that tap i reads; then the next one's turn comes.
    DEVICE int pixel(TapWalk &walk, const Taps &taps, int first, int i) {
        if (KS) return first + i / (KS ? KS : 1) * (COLUMNS - 1 + KS) + i % (KS ? KS : 1);
        const int here = walk.offset;
        if (++walk.column == taps.side) walk.column = 0, walk.offset += taps.down;
        else walk.offset += taps.next;
        return here;
    }
};

// Sixteen pixels of a row: adds to the sums of taps. Pixels read are `step` apart.
template <Arithmetic A, int TAPS, int KS>
DEVICE void multiply_row(float (&sums)[TAPS][2][4], const char *gradient, int row, const char *pixels, int first, int step_of,
                         const Taps &taps) {
    typedef TapWalk<KS> Walk;
    const int step = KS ? 1 : step_of;
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    if (A == BF16) {
        u32 a[4];
        load_matrices_turned(a, gradient + half_row(row + lane % 8 + lane / 16 * 8, lane / 8 % 2));
        Walk walk = Walk::of(taps, first);
        UNROLL for (int i = 0; i < TAPS; i++) {
            if (!KS && i >= taps.count) break;
            const int start = Walk::pixel(walk, taps, first, i);
            u32 b[4];
            load_matrices_turned(b, pixels + half_row(start + (lane % 8 + lane / 8 % 2 * 8) * step, lane / 16));
            multiply_bf16(sums[i][0], a, b[0], b[1]);
            multiply_bf16(sums[i][1], a, b[2], b[3]);
        }
    } else if (A == TF32) {
        UNROLL for (int k = 0; k < 16; k += 8) {
            u32 a[4];
            UNROLL for (int e = 0; e < 4; e++)
                a[e] = bits_of(staged<A>(gradient, row + k + t + e / 2 * 4, g + e % 2 * 8));
            Walk walk = Walk::of(taps, first);
            UNROLL for (int i = 0; i < TAPS; i++) {
                if (!KS && i >= taps.count) break;
                const int start = Walk::pixel(walk, taps, first, i);
                UNROLL for (int n = 0; n < 2; n++) {
                    const u32 b0 = bits_of(staged<A>(pixels, start + (k + t) * step, 8 * n + g));
                    const u32 b1 = bits_of(staged<A>(pixels, start + (k + t + 4) * step, 8 * n + g));
                    multiply_tf32(sums[i][n], a, b0, b1);
                }
            }
        }
    } else {
        // Neighbouring pixels share what their taps read.
        UNROLL_BY(KS ? 4 : 1) for (int k = 0; k < 16; k++) {
            const float a[2] = {staged<A>(gradient, row + k, g), staged<A>(gradient, row + k, g + 8)};
            Walk walk = Walk::of(taps, first);
            UNROLL for (int i = 0; i < TAPS; i++) {
                if (!KS && i >= taps.count) break;
                const int start = Walk::pixel(walk, taps, first, i) + k * step;
                UNROLL for (int n = 0; n < 2; n++) {
                    const float2 b = *(const float2 *)(pixels + start * pixel_bytes<A>() + (8 * n + 2 * t) * 4);
                    sums[i][n][0] = fmaf(a[0], b.x, sums[i][n][0]), sums[i][n][1] = fmaf(a[0], b.y, sums[i][n][1]);
                    sums[i][n][2] = fmaf(a[1], b.x, sums[i][n][2]), sums[i][n][3] = fmaf(a[1], b.y, sums[i][n][3]);
                }
            }
        }
    }
}

// Writes a block's sums of taps [tap0, end), once warps that shared rows are added up, the first one last.
template <int OW, int TAPS>
DEVICE void write_weights(const WeightGradient &p, float (&sums)[TAPS][2][4], int out, int tap0, int end, int taps) {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, own = warp % OW, part = warp / OW, parts = WARPS / OW;
    float *table = (float *)shared_memory();
    for (int of = parts - 1; of > 0; of--) {
        __syncthreads();
        if (part == of)
            UNROLL for (int i = 0; i < TAPS; i++)
                UNROLL for (int n = 0; n < 2; n++)
                    UNROLL for (int e = 0; e < 4; e++)
                        table[((i * 2 + n) * 4 + e) * (OW * 32) + own * 32 + lane] = sums[i][n][e];
        __syncthreads();
        if (part == of - 1)
            UNROLL for (int i = 0; i < TAPS; i++)
                UNROLL for (int n = 0; n < 2; n++)
                    UNROLL for (int e = 0; e < 4; e++)
                        sums[i][n][e] += table[((i * 2 + n) * 4 + e) * (OW * 32) + own * 32 + lane];
    }
    if (part > 0) return;
    // A warp writes what it has for a tap at once.
    const int blocks = (p.outputs + 15) / 16, block = out / 16 + own;
    if (block >= blocks) return;
    const u64 place = ((u64)blockIdx.x * gridDim.y + blockIdx.y) * blocks + block;
    float *to = (float *)p.partials + (place * taps + tap0) * 256 + lane;
    UNROLL for (int k = 0; k < TAPS; k++)
        if (tap0 + k < end)
            UNROLL for (int n = 0; n < 2; n++)
                UNROLL for (int e = 0; e < 4; e++) to[k * 256 + (n * 4 + e) * 32] = sums[k][n][e];
}

// Kernels of side KS at stride 1 without dilation have all their taps summed at once. If KS is 0, these are the parameters',
// ceilings are known, and so many taps at a time are summed (blocks z iterate over them); the rows of pixels that they reach
// are in shared memory. Blocks: share, block of 16 input channels, 16·OW output channels (and taps).
template <Arithmetic A, int OW, int KS, bool CEILING = KS == 0>
DEVICE void gradient_of_weights(const WeightGradient &p) {
    const int TAPS = KS ? KS * KS : 9;
    const int side = KS ? KS : p.kernel, taps = side * side, stride = KS ? 1 : p.stride, dilation = KS ? 1 : p.dilation;
    const int groups = (p.gradient.channels + 16 * OW - 1) / (16 * OW);
    const int out = (KS ? blockIdx.z : blockIdx.z % groups) * 16 * OW, tap0 = KS ? 0 : blockIdx.z / groups * p.at_once;
    const int end = KS ? taps : least(taps, tap0 + p.at_once), tap_row = KS ? 0 : tap0 / side;
    const int tap_rows = KS ? KS : (end - 1) / side - tap_row + 1;
    const int reach_x = (COLUMNS - 1) * stride + (side - 1) * dilation + 1;
    const int reach_y = (ROWS - 1) * stride + (tap_rows - 1) * dilation + 1, reached = reach_x * reach_y;
    const Taps of_taps = {end - tap0, KS ? 0 : tap0 - tap_row * side, side, dilation, dilation * (reach_x - side + 1)};
    const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
    const int own = warp % OW, part = warp / OW, parts = WARPS / OW;

    int source = 0, block = blockIdx.y;
    while (block >= p.sources[source].source.map.channels / 16) block -= p.sources[source++].source.map.channels / 16;
    const Source &from = p.sources[source].source;

    char *pixels = shared_memory(), *gradients = pixels + reached * pixel_bytes<A>();
    float sums[TAPS][2][4];
    UNROLL for (int i = 0; i < TAPS; i++)
        UNROLL for (int n = 0; n < 2; n++)
            UNROLL for (int e = 0; e < 4; e++) sums[i][n][e] = 0.0f;

    const int across = (p.width + COLUMNS - 1) / COLUMNS, down = (p.height + ROWS - 1) / ROWS;
    const Eight zero = {{0, 0, 0, 0, 0, 0, 0, 0}};
    for (int tile = blockIdx.x; tile < across * down * p.images; tile += p.shares) {
        const int image = tile / (across * down), top = tile / across % down * ROWS, left = tile % across * COLUMNS;
        __syncthreads();
        const Affine affine_of = affine(from.activation, image, block * 16 + thread % 2 * 8);
        for (int i = thread; i < reached * 2; i += THREADS) {
            const int y = top * stride - p.padding + tap_row * dilation + i / 2 / reach_x, x = left * stride - p.padding + i / 2 % reach_x;
            const bool inside = y >= 0 && x >= 0 && y < p.in_height && x < p.in_width;
            const u64 pixel = (u64)(image * p.in_height + y) * p.in_width + x;
            const int channel = i % 2 * 8;
            stage_pixel<A>(pixels, i / 2, channel,
                           inside ? activate<CEILING>(affine_of, from.activation.slope, from.activation.ceiling,
                                                       load(from.map, pixel, block * 16 + channel))
                                  : zero);
        }
        for (int i = thread; i < PIXELS * 2 * OW; i += THREADS) {
            const int channel = i % (2 * OW) * 8, pixel = i / (2 * OW);
            const int y = top + pixel / COLUMNS, x = left + pixel % COLUMNS;
            const bool inside = y < p.height && x < p.width && out + channel < p.gradient.channels;
            stage_pixel<A>(gradients + channel / 16 * PIXELS * pixel_bytes<A>(), pixel, channel % 16,
                           inside ? load(p.gradient, (u64)(image * p.height + y) * p.width + x, out + channel) : zero);
        }
        __syncthreads();
        for (int y = part; y < ROWS; y += parts)
            multiply_row<A, TAPS, KS>(sums, gradients + own * PIXELS * pixel_bytes<A>(), y * COLUMNS, pixels,
                                  y * stride * reach_x, stride, of_taps);
    }

    write_weights<OW>(p, sums, out, tap0, end, taps);
}

// Adds up a number of every share: each of eight warps every eighth of them, then the warps' sums in order. Every lane of the
// first warp has a sum of its own.
DEVICE float sum_shares(const float *partials, int shares, int numbers, int i) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    float *table = (float *)shared_memory();
    float sum = 0.0f;
    if (i < numbers)
        for (int share = warp; share < shares; share += 8) sum += partials[(u64)share * numbers + i];
    table[threadIdx.x] = sum;
    __syncthreads();
    sum = 0.0f;
    UNROLL for (int w = 0; w < 8; w++) sum += table[w * 32 + lane];
    return sum;
}

// Blocks: 32 weights.
KERNEL(256, sum_weights, WeightSum) {
    const int i = blockIdx.x * 32 + threadIdx.x % 32;
    const float sum = sum_shares((const float *)p.partials, p.shares, p.weights, i);
    if (threadIdx.x < 32 && i < p.weights) ((float *)p.to)[i] = sum;
}

// Blocks: 32 sums, of which those of padding are left out.
KERNEL(256, sum_weight_blocks, WeightBlocks) {
    const int lane = threadIdx.x % 32, i = blockIdx.x * 32 + lane;
    const float sum = sum_shares((const float *)p.partials, p.shares, p.sums, i);
    if (threadIdx.x >= 32) return;
    const u32 group = blockIdx.x, e = group % 4, n = group / 4 % 2, place = group / 8, tap = place % (u32)p.taps;
    const u32 blocks = (p.outputs + 15) / 16, pair = place / (u32)p.taps, output = pair % blocks, input = pair / blocks;
    const int o = output * 16 + lane / 4 + e / 2 * 8, c = 8 * n + 2 * (lane % 4) + e % 2;
    const int first = p.blocks[input] >> 8, count = p.blocks[input] & 255;
    if (o < p.outputs && c < count) ((float *)p.to)[((u64)o * p.inputs + first + c) * p.taps + tap] = sum;
}

#define WEIGHT_GRADIENT(name, A, OW, KS) \
    KERNEL(THREADS, name, WeightGradient) { gradient_of_weights<A, OW, KS>(p); }

#define WEIGHT_GRADIENT_0(name, A, OW) \
    DENSE_KERNEL(THREADS, 4, weight_gradient_##name##_##OW##_0, WeightGradient) { gradient_of_weights<A, OW, 0>(p); }

#define WEIGHT_GRADIENTS(name, A)                                                                                     \
    WEIGHT_GRADIENT(weight_gradient_##name##_1_1, A, 1, 1)                                                            \
    KERNEL(THREADS, weight_gradient_##name##_1_1_ceiling, WeightGradient) { gradient_of_weights<A, 1, 1, true>(p); } \
    WEIGHT_GRADIENT_0(name, A, 1)                                                                                     \
    WEIGHT_GRADIENT_0(name, A, 2)                                                                                     \
    WEIGHT_GRADIENT_0(name, A, 4)

// Those of side 3 in bf16 are in weight_gradient_narrow.cuh.
#define WEIGHT_GRADIENTS_3(name, A)                        \
    WEIGHT_GRADIENT(weight_gradient_##name##_1_3, A, 1, 3) \
    WEIGHT_GRADIENT(weight_gradient_##name##_2_3, A, 2, 3) \
    WEIGHT_GRADIENT(weight_gradient_##name##_4_3, A, 4, 3)

WEIGHT_GRADIENTS(fp32, FP32)
WEIGHT_GRADIENTS(tf32, TF32)
WEIGHT_GRADIENTS(bf16, BF16)
WEIGHT_GRADIENTS_3(fp32, FP32)
WEIGHT_GRADIENTS_3(tf32, TF32)
