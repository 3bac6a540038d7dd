// A 3×3 convolution at stride 1 between bf16 maps: the same sums in the same order as convolve.
//
// A warp keeps R rows of 16 pixels of all BN channels; W warps, one below the other, are a block. A block computes several
// tiles, one beside the other, chunk by chunk: there are two buffers, and while the tensor cores work on one, the other is
// filled, at the end of a tile with the next one's first chunk. Results are gathered in the buffer that was read last and
// written sixteen bytes at a time; where they are added to earlier content, that is fetched there first, so that sums are
// rounded once.
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
    static const int KS = 3, TAPS = KS * KS, LANES = 32 * W, HEIGHT = R * W, REACHED = HEIGHT + KS - 1;
    static_assert(LANES == THREADS, "threads copy rows together");
    // Bytes from pixel to pixel of results, so that neighbours lie in different banks; bytes of a warp's results, and of all
    // with their statistics.
    static const int PITCH = BN * 2 + 16, RESULTS = R * COLUMNS * PITCH, GATHERED = W * RESULTS + 2 * W * BN * 4;
    // Weights of one or two chunks stay in the buffers of small blocks: results do not cover them.
    static const bool KEEPS = BN == 16;
    static const int ALL_PIXELS = REACHED * ROW_BYTES, PIXELS_BYTES = KEEPS && GATHERED > ALL_PIXELS ? GATHERED : ALL_PIXELS;
    static const int READ = PIXELS_BYTES + TAPS * BN * 32, BUFFER = READ > GATHERED ? READ : GATHERED;
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
    typedef Reach<Of::REACHED> Rows;
    const int KS = Of::KS, LANES = Of::LANES, VECTORS = Of::TAPS * BN * 2;
    const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
    const int top = blockIdx.y * Of::HEIGHT, across = (p.width + COLUMNS - 1) / COLUMNS;
    const int group = blockIdx.z / (u32)p.images, image = blockIdx.z - group * p.images;
    char *shared = shared_memory();

    const Rows rows = Rows::of(thread);
    const u32 rows_inside = Rows::rows_inside(rows, top - 1, p.height);
    // Which of the halves that were copied last lie inside the map.
    u32 inside = 0;
    // The source of the chunk that was copied last, its first chunk, and the one after its last.
    int source = 0, first = 0, end = 0;
    const int weights_offset = Of::PIXELS_BYTES + thread / 2 * 32 + ((thread % 2 ^ (thread >> 3 & 1)) << 4);
    // Starts copying a tile's chunk to a buffer: pixels, which are activated when they have arrived, and weights.
    auto fetch = [&](int tile, int chunk, int buffer, bool with_weights) {
        if (chunk == 0) source = 0, first = 0, end = p.sources[0].chunks;
        if (chunk == end) first = end, end += p.sources[++source].chunks;
        const Map &map = p.sources[source].source.map;
        const Rows rows = Rows::of(unknown(thread));
        const int y = top - 1 + rows.row, x = tile * COLUMNS - 1 + rows.x;
        inside = (u32)x < (u32)p.width ? rows_inside : 0;
        char *to = shared + buffer * Of::BUFFER;
        Rows::copy(rows, to, (const u16 *)map.data + (chunk - first) * 16, map.channels, (image * p.height + y) * p.width + x, p.width, inside);
        if (!with_weights) return;
        const char *at = (const char *)p.weights + (u64)(u32)(group * p.chunks + chunk) * (VECTORS * 16) + thread * 16;
        UNROLL for (int i = 0; i < (VECTORS + LANES - 1) / LANES; i++)
            if ((i + 1) * LANES <= VECTORS || thread + i * LANES < VECTORS)
                copy_16(to + weights_offset + i * LANES * 16, at + i * LANES * 16);
    };

    // Offsets of what a lane reads: pixels of the taps of a row, and weights.
    int a_lane[KS];
    UNROLL for (int tap = 0; tap < KS; tap++) a_lane[tap] = warp * R * ROW_BYTES + half_at(lane % 16 + tap, lane / 16);
    const int b_lane = Of::PIXELS_BYTES + half_at(lane % 8 + lane / 16 * 8, lane / 8 % 2);
    const int PITCH = Of::PITCH, ACROSS = BN / 8, PER = 32 / ACROSS;

    const int begin = blockIdx.x * p.tiles, stop = least(begin + p.tiles, across);
    int buffer = 0;
    fetch(begin, 0, 0, true);
    for (int tile = begin; tile < stop; tile++) {
        const int left = tile * COLUMNS;
        float sums[R][BN / 8][4];
        UNROLL for (int m = 0; m < R; m++)
            UNROLL for (int n = 0; n < BN / 8; n++)
                UNROLL for (int i = 0; i < 4; i++) sums[m][n][i] = 0.0f;
        for (int chunk = 0; chunk < p.chunks; chunk++, buffer ^= 1) {
            char *pixels = shared + buffer * Of::BUFFER;
            // What has to be read for it arrives with the copies.
            const Applied a = applied(p.sources[source].source.activation, image, (chunk - first) * 16 + rows.channel);
            copies_arrive();
            Rows::activate_copied(rows, pixels, a, inside);
            // The buffer written from here on was last read before all threads arrived here.
            __syncthreads();
            const bool ends = chunk + 1 == p.chunks;
            if (!ends || tile + 1 < stop)
                fetch(ends ? tile + 1 : tile, ends ? 0 : chunk + 1, buffer ^ 1, !Of::KEEPS || p.chunks > 2 || tile == begin);

            // The compiler keeps rows that the next row of taps reads again, if it knows that they are the same. With 32
            // channels it must not, and with 16 only once: there are too few registers.
            const int zero = p.padding - KS / 2;
            UNROLL for (int tap = 0; tap < Of::TAPS; tap++) {
                const char *row = pixels + zero * (BN == 32 ? tap / KS : BN == 16 ? tap / KS / 2 : 0) + a_lane[tap % KS];
                u32 a[R][4];
                UNROLL for (int m = 0; m < R; m++) load_matrices(a[m], row + (m + tap / KS) * ROW_BYTES);
                UNROLL for (int n = 0; n < BN / 16; n++) {
                    u32 b[4];
                    load_matrices(b, pixels + b_lane + (tap * BN + 16 * n) * 32);
                    UNROLL for (int m = 0; m < R; m++) {
                        multiply_bf16(sums[m][2 * n], a[m], b[0], b[1]);
                        multiply_bf16(sums[m][2 * n + 1], a[m], b[2], b[3]);
                    }
                }
            }
        }

        // Vectors of the results: this lane's eight channels, and its pixels' addresses in shared and global memory. A pixel
        // beyond the border has none.
        char *own = shared + (buffer ^ 1) * Of::BUFFER + warp * Of::RESULTS;
        const int lane = unknown(threadIdx.x) % 32, g = lane / 4, t = lane % 4;
        const WriteTarget &target = p.targets[group * (BN / 16) + lane % ACROSS / 2];
        auto result = [&](int i) { return own + (lane / ACROSS + i * PER) * PITCH + lane % ACROSS * 16; };
        auto written = [&](int i) {
            const int pixel = lane / ACROSS + i * PER, y = top + warp * R + pixel / COLUMNS, x = left + pixel % COLUMNS;
            const u32 place = (image * p.height + y) * p.width + x;
            u16 *to = (u16 *)target.data + (u64)place * (u32)target.channels + lane % 2 * 8;
            return y < p.height && x < p.width && target.data ? (uint4 *)to : nullptr;
        };
        // All have read the buffer.
        __syncthreads();
        if (target.flags & 2) {
            UNROLL for (int i = 0; i < R * COLUMNS / PER; i++)
                if (uint4 *from = written(i)) copy_16(result(i), from);
            copies_arrive();
        }
        wait_for_warp();
        // Each lane rounds its results, adding earlier content, at their place in shared memory.
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
        if (!p.partials) continue;
        float *table = (float *)(own + (W - warp) * Of::RESULTS);
        const int inside_y = least(Of::HEIGHT, p.height - top), inside_x = least(COLUMNS, p.width - left);
        const u32 blocks = p.images * gridDim.y * across;
        const u64 at = (u64)(group * BN + thread) * blocks + (image * gridDim.y + blockIdx.y) * across + tile;
        const bool whole = inside_y == Of::HEIGHT && inside_x == COLUMNS;
        USUALLY(ALWAYS, whole);
        if (whole) measure_narrow<BN, R, W, true>(p, sums, inside_y, inside_x, at, table);
        else measure_narrow<BN, R, W, false>(p, sums, inside_y, inside_x, at, table);
    }
}

#define NARROW_CONVOLUTION(name, blocks, BN, R, W) \
    DENSE_KERNEL(32 * W, blocks, name, Convolution) { convolve_narrow<BN, R, W>(p); }

NARROW_CONVOLUTION(convolve_bf16_16_3, 5, 16, 4, 4)
NARROW_CONVOLUTION(convolve_bf16_32_3, 4, 32, 4, 4)
NARROW_CONVOLUTION(convolve_bf16_64_3, 4, 64, 2, 4)
