// A 3×3 convolution at stride 1 between bf16 maps: the same sums in the same order as convolve.
//
// A warp keeps R rows of 16 pixels of all BN channels; W warps, one below the other, are a block. Results are gathered in
// shared memory and written sixteen bytes at a time; where they are added to earlier content, that is fetched there while
// the last chunk is multiplied, so that sums are rounded once.
#pragma once
#include "narrow.cuh"

#ifdef EMULATE
DEVICE void wait_for_warp() { shuffle_xor(0.0f, 0); }
#else
DEVICE void wait_for_warp() { __syncwarp(); }
#endif

// What blocks of these channels, rows and warps need.
template <int BN, int R, int W>
struct NarrowBlock {
    static const int KS = 3, TAPS = KS * KS, LANES = 32 * W, HEIGHT = R * W;
    static const int RX = COLUMNS + KS - 1, RY = HEIGHT + KS - 1, HALVES = RX * RY * 2, HELD = (HALVES + LANES - 1) / LANES;
    static const int PIXELS_BYTES = RX * RY * ROW_BYTES, BUFFER = PIXELS_BYTES + TAPS * BN * ROW_BYTES;
    // Bytes from pixel to pixel of results, so that neighbours lie in different banks; bytes of a warp's results.
    static const int PITCH = BN * 2 + 16, RESULTS = R * COLUMNS * PITCH;
    static_assert(W * RESULTS + 2 * W * BN * 4 <= BUFFER, "results and statistics need a buffer");
};

// Sums V values, eight at most, over the eight lanes g of a warp (lane = 4g + t), halving their number as it goes. A lane
// ends with one sum, of the value that is returned; of fewer than eight values, several lanes have the same.
template <int V>
DEVICE int add_up_lanes(float (&v)[V], int lane) {
    int have = V, value = 0;
    UNROLL for (int other = 4; other < 32; other *= 2) {
        const bool upper = lane & other;
        if (have > 1) {
            have /= 2;
            value += upper ? have : 0;
            UNROLL for (int i = 0; i < have; i++) {
                const float sent = upper ? v[i] : v[i + have], kept = upper ? v[i + have] : v[i];
                v[i] = kept + shuffle_xor(sent, other);
            }
        } else {
            v[0] += shuffle_xor(v[0], other);
        }
    }
    return value;
}

// A channel's sum over the W warps, in a table of theirs.
template <int BN, int W>
DEVICE float over_warps(const float *column) {
    float sum = 0.0f;
    UNROLL for (int w = 0; w < W; w++) sum += column[w * BN];
    return sum;
}

// Sums of a warp's results of every channel, to its row of the table's first half; or, with these sums, of their squared
// deviations from the block's mean, to the second half. Pixels beyond the border, of which a WHOLE block has none, add
// nothing.
template <int BN, int R, int W, bool WHOLE, bool SQUARES>
DEVICE void sum_narrow(const float (&sums)[R][BN / 8][4], int inside_y, int inside_x, float inverse, float *table) {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, V = BN / 4 < 8 ? BN / 4 : 8;
    UNROLL for (int part = 0; part < BN / 4; part += V) {
        float v[V];
        UNROLL for (int i = 0; i < V; i++) {
            const int n = (part + i) / 2;
            const float mean = SQUARES ? over_warps<BN, W>(table + n * 8 + 2 * (lane % 4) + i % 2) * inverse : 0.0f;
            v[i] = 0.0f;
            UNROLL for (int m = 0; m < R; m++)
                UNROLL for (int u = 0; u < 2; u++) {
                    const float x = sums[m][n][2 * u + i % 2], off = x - mean;
                    const float sum = SQUARES ? fmaf(off, off, v[i]) : v[i] + x;
                    v[i] = WHOLE || (warp * R + m < inside_y && lane / 4 + 8 * u < inside_x) ? sum : v[i];
                }
        }
        const int value = part + add_up_lanes(v, lane);
        if (V == 8 || lane < 4 * V) table[((SQUARES ? W : 0) + warp) * BN + value / 2 * 8 + 2 * (lane % 4) + value % 2] = v[0];
    }
}

// Writes the mean and the squared deviations of a block's results for every channel; the mean comes first, because squares
// of large values would swallow small differences. `table` has room for 2W rows of BN numbers.
template <int BN, int R, int W, bool WHOLE>
DEVICE void measure_narrow(const Convolution &p, const float (&sums)[R][BN / 8][4], int inside_y, int inside_x, u64 at, float *table) {
    const int thread = threadIdx.x;
    const float inverse = 1.0f / (float)(inside_y * inside_x);
    sum_narrow<BN, R, W, WHOLE, false>(sums, inside_y, inside_x, inverse, table);
    __syncthreads();
    sum_narrow<BN, R, W, WHOLE, true>(sums, inside_y, inside_x, inverse, table);
    __syncthreads();
    if (thread >= BN) return;
    const float mean = over_warps<BN, W>(table + thread) * inverse;
    ((float2 *)p.partials)[at] = make_float2(mean, over_warps<BN, W>(table + W * BN + thread));
}

template <int BN, int R, int W>
DEVICE void convolve_narrow(const Convolution &p) {
    typedef NarrowBlock<BN, R, W> Of;
    const int KS = Of::KS, RX = Of::RX, HELD = Of::HELD, LANES = Of::LANES, VECTORS = Of::TAPS * BN * 2;
    const int STEP = LANES / 2 * ROW_BYTES;
    const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
    const int top = blockIdx.y * Of::HEIGHT, left = blockIdx.x * COLUMNS;
    const int group = blockIdx.z / (u32)p.images, image = blockIdx.z - group * p.images;
    char *shared = shared_memory();

    // This thread's halves of pixels; of those beyond the border, none.
    const u32 NONE = 0xffffffffu;
    u32 places[HELD];
    auto is_inside = [&](int i) { return places[i] != NONE; };
    UNROLL for (int i = 0; i < HELD; i++) {
        const int pixel = (thread + i * LANES) / 2, y = top + pixel / RX - 1, x = left + pixel % RX - 1;
        const bool inside = thread + i * LANES < Of::HALVES && (u32)y < (u32)p.height && (u32)x < (u32)p.width;
        places[i] = inside ? (image * p.height + y) * p.width + x : NONE;
    }
    // The source of the chunk that was fetched last, its first chunk, and the one after its last.
    int source = 0, first = 0, end = p.sources[0].chunks;
    char *const staged = shared + thread / 2 * ROW_BYTES + thread % 2 * 16;
    // Starts copying a chunk to shared memory: pixels, which are activated when they have arrived, and weights.
    auto fetch = [&](int chunk) {
        if (chunk == end) first = end, end += p.sources[++source].chunks;
        const Map &map = p.sources[source].source.map;
        const u16 *from = (const u16 *)map.data + (chunk - first) * 16 + thread % 2 * 8;
        char *to = staged + (chunk & 1) * Of::BUFFER;
        UNROLL for (int i = 0; i < HELD; i++)
            if ((i + 1) * LANES <= Of::HALVES || thread + i * LANES < Of::HALVES)
                copy_16_or_zero(to + i * STEP, from + (u64)places[i] * (u32)map.channels, is_inside(i));
        const char *at = (const char *)p.weights + (u64)(u32)(group * p.chunks + chunk) * (VECTORS * 16) + thread * 16;
        UNROLL for (int i = 0; i < (VECTORS + LANES - 1) / LANES; i++)
            if ((i + 1) * LANES <= VECTORS || thread + i * LANES < VECTORS)
                copy_16(to + Of::PIXELS_BYTES + i * STEP, at + i * LANES * 16);
    };

    // Vectors of the results: this lane's eight channels, and its pixels' addresses in shared and global memory. A pixel
    // beyond the border has none.
    const int PITCH = Of::PITCH, ACROSS = BN / 8, PER = 32 / ACROSS;
    char *own = shared + (p.chunks & 1) * Of::BUFFER + warp * Of::RESULTS;
    const WriteTarget &target = p.targets[group * (BN / 16) + lane % ACROSS / 2];
    auto result = [&](int i) { return own + (lane / ACROSS + i * PER) * PITCH + lane % ACROSS * 16; };
    auto written = [&](int i) {
        const int pixel = lane / ACROSS + i * PER, y = top + warp * R + pixel / COLUMNS, x = left + pixel % COLUMNS;
        const u32 place = (image * p.height + y) * p.width + x;
        u16 *to = (u16 *)target.data + (u64)place * (u32)target.channels + lane % 2 * 8;
        return y < p.height && x < p.width && target.data ? (uint4 *)to : nullptr;
    };

    float sums[R][BN / 8][4];
    UNROLL for (int m = 0; m < R; m++)
        UNROLL for (int n = 0; n < BN / 8; n++)
            UNROLL for (int i = 0; i < 4; i++) sums[m][n][i] = 0.0f;
    const int a_lane = (warp * R * RX + lane % 16) * ROW_BYTES + lane / 16 * 16;
    const int b_lane = Of::PIXELS_BYTES + (lane % 8 + lane / 16 * 8) * ROW_BYTES + lane / 8 % 2 * 16;

    fetch(0);
    for (int chunk = 0; chunk < p.chunks; chunk++) {
        char *pixels = shared + (chunk & 1) * Of::BUFFER;
        copies_arrive();
        activate_staged<HELD>(staged + (chunk & 1) * Of::BUFFER, STEP, is_inside, p.sources[source].source.activation, image,
                              (chunk - first) * 16 + thread % 2 * 8);
        // There are two buffers: the one written from here on was last read before all threads arrived here.
        __syncthreads();
        if (chunk + 1 < p.chunks) fetch(chunk + 1);
        else if (target.flags & 2)
            UNROLL for (int i = 0; i < R * COLUMNS / PER; i++)
                if (uint4 *from = written(i)) copy_16(result(i), from);

        // The compiler keeps rows that the next row of taps reads again.
        UNROLL for (int tap = 0; tap < Of::TAPS; tap++) {
            u32 a[R][4];
            UNROLL for (int m = 0; m < R; m++)
                load_matrices(a[m], pixels + a_lane + ((m + tap / KS) * RX + tap % KS) * ROW_BYTES);
            UNROLL for (int n = 0; n < BN / 16; n++) {
                u32 b[4];
                load_matrices(b, pixels + b_lane + (tap * BN + 16 * n) * ROW_BYTES);
                UNROLL for (int m = 0; m < R; m++) {
                    multiply_bf16(sums[m][2 * n], a[m], b[0], b[1]);
                    multiply_bf16(sums[m][2 * n + 1], a[m], b[2], b[3]);
                }
            }
        }
    }

    // Each lane rounds its results, adding earlier content, at their place in shared memory.
    const int g = lane / 4, t = lane % 4;
    copies_arrive();
    wait_for_warp();
    auto place = [&](int m, int n, int u) { return (u32 *)(own + (m * COLUMNS + g + 8 * u) * PITCH + n * 16 + t * 4); };
    const bool changed = p.shift || p.slope != 1.0f;
    USUALLY(ALWAYS, !changed);
    if (changed)
        UNROLL for (int n = 0; n < BN / 8; n++) {
            const float *from = (const float *)p.shift + group * BN + 8 * n + 2 * t;
            const float shift[2] = {p.shift ? from[0] : 0.0f, p.shift ? from[1] : 0.0f};
            UNROLL for (int m = 0; m < R; m++)
                UNROLL for (int i = 0; i < 4; i++) sums[m][n][i] = bend(sums[m][n][i] + shift[i % 2], p.slope);
        }
    UNROLL for (int n = 0; n < BN / 8; n += 2)
        if (p.targets[group * (BN / 16) + n / 2].flags & 2)
            UNROLL for (int m = 0; m < R; m++)
                UNROLL for (int i = 0; i < 4; i++) {
                    const u32 there = *place(m, n + i / 2, i % 2);
                    sums[m][n + i / 2][i % 2 * 2] += low_bf16(there), sums[m][n + i / 2][i % 2 * 2 + 1] += high_bf16(there);
                }
    UNROLL for (int n = 0; n < BN / 8; n++)
        UNROLL for (int m = 0; m < R; m++)
            UNROLL for (int u = 0; u < 2; u++) {
                float &low = sums[m][n][2 * u], &high = sums[m][n][2 * u + 1];
                const u32 both = pack_bf16(low, high);
                *place(m, n, u) = both;
                // Statistics are those of the rounded numbers, as they will be read.
                low = low_bf16(both), high = high_bf16(both);
            }
    wait_for_warp();
    UNROLL for (int i = 0; i < R * COLUMNS / PER; i++)
        if (uint4 *to = written(i)) *to = *(const uint4 *)result(i);
    USUALLY(ACTIVE, p.partials);
    USUALLY(PLAIN, !p.partials);
    if (!p.partials) return;
    float *table = (float *)(own + (W - warp) * Of::RESULTS);
    const int inside_y = least(Of::HEIGHT, p.height - top), inside_x = least(COLUMNS, p.width - left);
    const u32 blocks = p.images * gridDim.y * gridDim.x;
    const u64 at = (u64)(group * BN + thread) * blocks + (image * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    const bool whole = inside_y == Of::HEIGHT && inside_x == COLUMNS;
    USUALLY(ALWAYS, whole);
    if (whole) measure_narrow<BN, R, W, true>(p, sums, inside_y, inside_x, at, table);
    else measure_narrow<BN, R, W, false>(p, sums, inside_y, inside_x, at, table);
}

#define NARROW_CONVOLUTION(name, blocks, BN, R, W) \
    DENSE_KERNEL(32 * W, blocks, name, Convolution) { convolve_narrow<BN, R, W>(p); }

NARROW_CONVOLUTION(convolve_bf16_16_3, 4, 16, 4, 4)
NARROW_CONVOLUTION(convolve_bf16_32_3, 3, 32, 4, 4)
NARROW_CONVOLUTION(convolve_bf16_64_3, 3, 64, 2, 4)
