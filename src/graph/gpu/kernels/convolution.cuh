// Convolution as a product of matrices that are never stored: pixels × (taps · input channels) by (taps · input
// channels) × output channels. Used forward and, with turned weights, for the gradient to the input.
//
// A block of four warps writes 8 rows of 16 pixels of BN channels. It goes through the input channels in chunks of 32
// bytes (16 bf16 or 8 float). For each chunk it holds in shared memory the pixels that its taps reach, as rows of 32
// bytes, and the weights of all taps. Activations are applied while loading; pixels beyond the border are zero after
// them.
#pragma once
#include "common.cuh"

const int ROWS = 8, COLUMNS = 16, PIXELS = ROWS * COLUMNS, WARPS = 4, THREADS = 32 * WARPS;
const int MOST_SOURCES = 24, MOST_TARGETS = 128;

// Precision of products.
enum Arithmetic { FP32, TF32, BF16 };

struct ConvolutionSource {
    Source source;
    int chunks;
    int unused;
};
FIELDS(ConvolutionSource, source, chunks, unused)

// Sixteen output channels.
struct WriteTarget {
    // Address of pixel 0.
    u64 data;
    // Distance in channels between pixels.
    int channels;
    // 1: float instead of bf16. 2: adds to the earlier content.
    int flags;
};
FIELDS(WriteTarget, data, channels, flags)

struct Convolution {
    ConvolutionSource sources[MOST_SOURCES];
    WriteTarget targets[MOST_TARGETS];
    // Weights [group][chunk][tap][BN][chunk's channels], or 0.
    u64 weights;
    // Shift per output channel, or 0.
    u64 shift;
    // Statistics (mean, squared deviations) of every output channel and block of pixels: float2 [channel][block], or 0.
    u64 partials;
    // Number of images, input size, output size.
    int images, in_height, in_width, height, width;
    // Side of the kernel; pixels from one window to the next, and from one tap to the next; pixels of padding.
    int kernel, stride, dilation, padding;
    // Distance of the pixels read: for the gradient through a stride, the pixels between are zero.
    int input_dilation;
    int sources_in_use, chunks;
    // Rows of taps whose pixels are in shared memory at once: all, or one. For any side.
    int tap_rows;
    // Factor of results below zero, and the largest result.
    float slope, ceiling;
    // Tiles that a block of a kernel for bf16 maps alone computes, one beside the other.
    int tiles;
};
FIELDS(Convolution, sources, targets, weights, shift, partials, images, in_height, in_width, height, width, kernel,
       stride, dilation, padding, input_dilation, sources_in_use, chunks, tap_rows, slope, ceiling, tiles)

// Offset of one half of a row of 32 bytes. Rows that are read together use different banks.
DEVICE int half_row(int row, int half) { return row * 32 + ((half ^ ((row >> 2) & 1)) << 4); }

// One pixel's half row as stored: 8 bf16 or 4 float.
template <Arithmetic A>
DEVICE uint4 fetch_half(const Map &map, u64 pixel, int channel) {
    const u64 at = index_in(map, pixel, channel);
    return A == BF16 ? *(const uint4 *)((const u16 *)map.data + at) : *(const uint4 *)((const float *)map.data + at);
}

// The activated values of half rows of some channels.
template <Arithmetic A, bool CEILING>
struct Halves {
    bool plain;
    float slope, ceiling;
    Affine affine_of;

    DEVICE Halves of(const Source &source, int image, int channel) {
        const Activation &a = source.activation;
        Halves reader = {!a.scale && a.slope == 1.0f, a.slope, a.ceiling, {}};
        if (A == BF16) {
            reader.affine_of = affine(a, image, channel);
        } else {
            UNROLL for (int i = 0; i < 4; i++) {
                const u64 at = (u64)image * a.per_image + channel + i;
                reader.affine_of.scale.v[i] = a.scale ? ((const float *)a.scale)[at] : 1.0f;
                reader.affine_of.shift.v[i] = a.scale ? ((const float *)a.shift)[at] : 0.0f;
            }
        }
        return reader;
    }

    DEVICE uint4 apply(const Halves &reader, uint4 raw) {
        if (A == BF16) return reader.plain ? raw : pack(activate<CEILING>(reader.affine_of, reader.slope, reader.ceiling, unpack(raw)));
        float v[4] = {of_bits(raw.x), of_bits(raw.y), of_bits(raw.z), of_bits(raw.w)};
        UNROLL for (int i = 0; i < 4; i++) {
            if (!reader.plain)
                v[i] = bend_below<CEILING>(fmaf(reader.affine_of.scale.v[i], v[i], reader.affine_of.shift.v[i]), reader.slope,
                                           reader.ceiling);
            if (A == TF32) v[i] = round_tf32(v[i]);
        }
        return make_uint4(bits_of(v[0]), bits_of(v[1]), bits_of(v[2]), bits_of(v[3]));
    }
};

// One tap of one chunk: adds to the sums of a warp's two rows of 16 windows. `first` is the row of shared memory that
// the first window reads; `step` and `down` are the distances in rows to the next window and to the one below.
template <Arithmetic A, int BN>
DEVICE void multiply_tap(float (&sums)[2][BN / 8][4], const char *pixels, int first, int step, int down, const char *weights, int tap) {
    const int lane = threadIdx.x % 32;
    if constexpr (A == FP32) {
        const int g = lane / 4, t = lane % 4;
        float a[2][2][8];
        UNROLL for (int m = 0; m < 2; m++)
            UNROLL for (int u = 0; u < 2; u++)
                UNROLL for (int h = 0; h < 2; h++) {
                    float4 f = *(const float4 *)(pixels + half_row(first + m * down + (g + 8 * u) * step, h));
                    a[m][u][4 * h] = f.x, a[m][u][4 * h + 1] = f.y, a[m][u][4 * h + 2] = f.z, a[m][u][4 * h + 3] = f.w;
                }
        UNROLL for (int n = 0; n < BN / 8; n++)
            UNROLL for (int e = 0; e < 2; e++)
                UNROLL for (int h = 0; h < 2; h++) {
                    float4 w = *(const float4 *)(weights + half_row(tap * BN + 8 * n + 2 * t + e, h));
                    UNROLL for (int m = 0; m < 2; m++)
                        UNROLL for (int u = 0; u < 2; u++) {
                            float &sum = sums[m][n][2 * u + e];
                            sum = fmaf(a[m][u][4 * h], w.x, sum);
                            sum = fmaf(a[m][u][4 * h + 1], w.y, sum);
                            sum = fmaf(a[m][u][4 * h + 2], w.z, sum);
                            sum = fmaf(a[m][u][4 * h + 3], w.w, sum);
                        }
                }
    } else {
        u32 a[2][4];
        UNROLL for (int m = 0; m < 2; m++) load_matrices(a[m], pixels + half_row(first + m * down + lane % 16 * step, lane / 16));
        UNROLL for (int n = 0; n < BN / 16; n++) {
            u32 b[4];
            load_matrices(b, weights + half_row(tap * BN + 16 * n + lane % 8 + lane / 16 * 8, lane / 8 % 2));
            UNROLL for (int m = 0; m < 2; m++)
                UNROLL for (int e = 0; e < 2; e++) {
                    if (A == BF16) multiply_bf16(sums[m][2 * n + e], a[m], b[2 * e], b[2 * e + 1]);
                    else multiply_tf32(sums[m][2 * n + e], a[m], b[2 * e], b[2 * e + 1]);
                }
        }
    }
}

// Writes the sums of a warp's two rows, and their statistics.
template <int BN, bool CEILING>
DEVICE void finish(const Convolution &p, float (&sums)[2][BN / 8][4], int top, int left, int image, int group, char *shared) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
    UNROLL for (int n = 0; n < BN / 8; n++) {
        const WriteTarget &target = p.targets[group * (BN / 16) + n / 2];
        const int channel = n % 2 * 8 + 2 * t;
        float shift[2] = {0.0f, 0.0f};
        if (p.shift) {
            const float *from = (const float *)p.shift + group * BN + 8 * n + 2 * t;
            shift[0] = from[0], shift[1] = from[1];
        }
        UNROLL for (int m = 0; m < 2; m++)
            UNROLL for (int u = 0; u < 2; u++) {
                const int y = top + 2 * warp + m, x = left + g + 8 * u;
                float &low = sums[m][n][2 * u], &high = sums[m][n][2 * u + 1];
                low = bend_below<CEILING>(low + shift[0], p.slope, p.ceiling);
                high = bend_below<CEILING>(high + shift[1], p.slope, p.ceiling);
                if (y >= p.height || x >= p.width || !target.data) continue;
                u64 at = ((u64)(image * p.height + y) * p.width + x) * target.channels + channel;
                if (target.flags & 1) {
                    float2 *to = (float2 *)((float *)target.data + at);
                    if (target.flags & 2) low += to->x, high += to->y;
                    *to = make_float2(low, high);
                } else {
                    u32 *to = (u32 *)((u16 *)target.data + at);
                    if (target.flags & 2) low += low_bf16(*to), high += high_bf16(*to);
                    u32 both = pack_bf16(low, high);
                    *to = both;
                    // Statistics are those of the rounded numbers, as they will be read.
                    low = low_bf16(both), high = high_bf16(both);
                }
            }
    }
    if (!p.partials) return;
    float *table = (float *)shared;
    const int inside = least(ROWS, p.height - top) * least(COLUMNS, p.width - left);
    const int block = (image * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x, blocks = p.images * gridDim.y * gridDim.x;
    float means[BN / 8][2];
    // The mean comes first, then deviations from it: squares of large values would swallow small differences.
    UNROLL for (int pass = 0; pass < 2; pass++) {
        __syncthreads();
        UNROLL for (int n = 0; n < BN / 8; n++)
            UNROLL for (int e = 0; e < 2; e++) {
                float sum = 0.0f;
                UNROLL for (int m = 0; m < 2; m++)
                    UNROLL for (int u = 0; u < 2; u++) {
                        float v = sums[m][n][2 * u + e];
                        if (pass) v -= means[n][e], v *= v;
                        if (top + 2 * warp + m < p.height && left + g + 8 * u < p.width) sum += v;
                    }
                UNROLL for (int other = 4; other < 32; other *= 2) sum += shuffle_xor(sum, other);
                if (g == 0) table[warp * BN + 8 * n + 2 * t + e] = sum;
            }
        __syncthreads();
        UNROLL for (int n = 0; n < BN / 8; n++)
            UNROLL for (int e = 0; e < 2; e++) {
                const float *column = table + 8 * n + 2 * t + e;
                float sum = (column[0] + column[BN]) + (column[2 * BN] + column[3 * BN]);
                if (!pass) means[n][e] = sum / inside;
                else if (warp == 0 && g == 0)
                    ((float2 *)p.partials)[(u64)(group * BN + 8 * n + 2 * t + e) * blocks + block] =
                        make_float2(means[n][e], sum);
            }
    }
}

// KS is the side of the kernel at stride 1 without dilation, if maps are in the arithmetic's own numbers; 0 for any. Kernels
// for any know ceilings. Blocks: columns of the image, rows, image and group of channels.
//
// A step of the main loop is a chunk; with KS 0 it is a chunk and so many rows of taps, because the windows of a dilated
// kernel reach too far to be in shared memory at once.
template <Arithmetic A, int BN, int KS, bool CEILING = KS == 0>
DEVICE void convolve(const Convolution &p) {
    typedef Halves<A, CEILING> Reader;
    const int CHANNELS = A == BF16 ? 16 : 8, HALF = CHANNELS / 2;
    const int side = KS ? KS : p.kernel, stride = KS ? 1 : p.stride, dilation = KS ? 1 : p.dilation;
    const int tap_rows = KS ? KS : p.tap_rows, taps = tap_rows * side, gap = KS ? 1 : p.input_dilation;
    const int reach_x = (COLUMNS - 1) * stride + (side - 1) * dilation + 1;
    const int reach_y = (ROWS - 1) * stride + (tap_rows - 1) * dilation + 1, reached = reach_x * reach_y;
    const int top = blockIdx.y * ROWS, left = blockIdx.x * COLUMNS;
    const int image = blockIdx.z % p.images, group = blockIdx.z / p.images;
    const int thread = threadIdx.x, warp = thread / 32;

    char *shared = shared_memory();
    const int pixel_bytes = reached * 32, weight_bytes = taps * BN * 32;
    const int steps = KS ? p.chunks : p.chunks * (side / tap_rows);
    const char *weights = (const char *)p.weights + (u64)group * steps * weight_bytes;

    // Sources of this thread's half pixels: the pixel, or -1 beyond the border.
    const int MOST = KS ? ((ROWS - 1 + KS) * (COLUMNS - 1 + KS) * 2 + THREADS - 1) / THREADS : 1;
    auto origin = [&](int index, int tap_row) {
        const int pixel = index / 2;
        int y = top * stride - p.padding + tap_row * dilation + pixel / reach_x, x = left * stride - p.padding + pixel % reach_x;
        if (pixel >= reached || y < 0 || x < 0 || y % gap || x % gap) return -1;
        y /= gap, x /= gap;
        return y < p.in_height && x < p.in_width ? (image * p.in_height + y) * p.in_width + x : -1;
    };
    int origins[MOST];
    if (KS) {
        UNROLL for (int i = 0; i < MOST; i++) origins[i] = origin(thread + i * THREADS, 0);
    }

    int source = 0, first = 0;
    uint4 held[MOST];
    // Starts loading a step: pixels to registers, where they wait for their activation; weights to shared memory.
    auto fetch = [&](int step, int chunk) {
        while (chunk - first >= p.sources[source].chunks) first += p.sources[source++].chunks;
        if (KS) {
            const int channel = (chunk - first) * CHANNELS + thread % 2 * HALF;
            UNROLL for (int i = 0; i < MOST; i++)
                if (origins[i] >= 0) held[i] = fetch_half<A>(p.sources[source].source.map, origins[i], channel);
        }
        char *to = shared + (step % 2) * (pixel_bytes + weight_bytes) + pixel_bytes;
        const char *from = weights + (u64)step * weight_bytes;
        for (int i = thread; i < taps * BN * 2; i += THREADS) copy_16(to + half_row(i / 2, i % 2), from + i * 16);
    };

    float sums[2][BN / 8][4];
    UNROLL for (int m = 0; m < 2; m++)
        UNROLL for (int n = 0; n < BN / 8; n++)
            UNROLL for (int i = 0; i < 4; i++) sums[m][n][i] = 0.0f;

    fetch(0, 0);
    int chunk = 0, tap_row = 0;
    for (int step = 0; step < steps; step++) {
        char *pixels = shared + (step % 2) * (pixel_bytes + weight_bytes);
        const Source &from = p.sources[source].source;
        const int channel = (chunk - first) * CHANNELS + thread % 2 * HALF;
        const Reader reader = Reader::of(from, image, channel);
        const uint4 zero = make_uint4(0, 0, 0, 0);
        if (KS) {
            UNROLL for (int i = 0; i < MOST; i++) {
                const int index = thread + i * THREADS;
                if (index < reached * 2)
                    *(uint4 *)(pixels + half_row(index / 2, index % 2)) =
                        origins[i] < 0 ? zero : Reader::apply(reader, held[i]);
            }
        } else {
            for (int index = thread; index < reached * 2; index += THREADS) {
                const int pixel = origin(index, tap_row);
                uint4 half = zero;
                if (pixel >= 0) {
                    if (A == BF16 && from.map.wide) half = pack(read<CEILING>(from, image, pixel, channel));
                    else half = Reader::apply(reader, fetch_half<A>(from.map, pixel, channel));
                }
                *(uint4 *)(pixels + half_row(index / 2, index % 2)) = half;
            }
        }
        if (KS || (tap_row += tap_rows) == side) chunk++, tap_row = 0;
        copies_arrive();
        // There are two buffers: the one written from here on was last read before all threads arrived here.
        __syncthreads();
        if (step + 1 < steps) fetch(step + 1, chunk);
        const char *now = pixels + pixel_bytes;
        if (KS) {
            UNROLL for (int tap = 0; tap < KS * KS; tap++)
                multiply_tap<A, BN>(sums, pixels, (2 * warp + tap / side) * reach_x + tap % side, 1, reach_x, now, tap);
        } else {
            for (int row = 0; row < tap_rows; row++)
                for (int column = 0; column < side; column++)
                    multiply_tap<A, BN>(sums, pixels, (2 * warp * stride + row * dilation) * reach_x + column * dilation, stride,
                                        reach_x * stride, now, row * side + column);
        }
    }
    finish<BN, CEILING>(p, sums, top, left, image, group, shared);
}

#define CONVOLUTION(name, A, BN, KS) \
    KERNEL(THREADS, name, Convolution) { convolve<A, BN, KS>(p); }

#define CONVOLUTION_CEILING(name, A, BN, KS) \
    KERNEL(THREADS, name, Convolution) { convolve<A, BN, KS, true>(p); }

#define CONVOLUTIONS(name, A)                                     \
    CONVOLUTION(convolve_##name##_16_1, A, 16, 1)                 \
    CONVOLUTION(convolve_##name##_64_1, A, 64, 1)                 \
    CONVOLUTION_CEILING(convolve_##name##_16_1_ceiling, A, 16, 1) \
    CONVOLUTION_CEILING(convolve_##name##_64_1_ceiling, A, 64, 1)

// Those of side 3 in bf16 are in convolution_narrow.cuh.
#define CONVOLUTIONS_3(name, A)                   \
    CONVOLUTION(convolve_##name##_16_3, A, 16, 3) \
    CONVOLUTION(convolve_##name##_32_3, A, 32, 3) \
    CONVOLUTION(convolve_##name##_64_3, A, 64, 3)

CONVOLUTIONS(fp32, FP32)
CONVOLUTIONS(tf32, TF32)
CONVOLUTIONS(bf16, BF16)
CONVOLUTIONS_3(fp32, FP32)
CONVOLUTIONS_3(tf32, TF32)
CONVOLUTION(convolve_fp32_16_0, FP32, 16, 0)
CONVOLUTION(convolve_tf32_16_0, TF32, 16, 0)
DENSE_KERNEL(THREADS, 6, convolve_bf16_16_0, Convolution) { convolve<BF16, 16, 0>(p); }
