// Packs the weights of all convolutions in the order that their kernels read, in one launch.
#pragma once
#include "convolution.cuh"

const int PACKERS = 256;

// Weights [outputs, inputs, taps] of one convolution, and where they are packed: [group of BN][chunk][tap][BN][chunk's
// channels].
struct Packing {
    u64 weights;
    u64 to;
    // Factor per channel of `to`'s groups, or 0.
    u64 scale;
    // Distances in numbers between the channels of groups, and between those of chunks.
    int group_stride, chunk_stride;
    int taps, group, chunks;
    // Precision of stored weights (Arithmetic). Whether taps are turned around.
    int arithmetic, turned;
    // Rows of a chunk's channels, 32 bytes each, and the first block of threads that packs them.
    int rows, first;
    int unused;
    // First channel and number of channels of every block: (first << 8) + number.
    u32 written[MOST_TARGETS];
    u32 read[MOST_TARGETS];
};
FIELDS(Packing, weights, to, scale, group_stride, chunk_stride, taps, group, chunks, arithmetic, turned, rows, first,
       unused, written, read)

// Packing [count], in the order of their blocks.
struct Packings {
    u64 table;
    int count;
    int unused;
};
FIELDS(Packings, table, count, unused)

// One row of a filter: `width` channels of a chunk for one output channel and tap.
template <bool NARROW>
DEVICE void pack_row(const Packing &p, u32 row) {
    const u32 width = NARROW ? 16 : 8, group = p.group, taps = p.taps, chunks = p.chunks;
    const u32 pair = row / group, n = row - pair * group, step = pair / taps, tap = pair - step * taps;
    const u32 of = step / chunks, out = of * group + n, in = (step - of * chunks) * width;
    const u32 written = p.written[out / 16], read = p.read[in / 16];
    const int channel = (int)(written >> 8) + out % 16, count = (int)(read & 255) - (int)(in % 16);
    const bool used = out % 16 < (written & 255);
    const float scale = p.scale && used ? ((const float *)p.scale)[channel] : 1.0f;
    const float *from = (const float *)p.weights + (u64)(u32)channel * p.group_stride +
                        (u64)((read >> 8) + in % 16) * p.chunk_stride + (p.turned ? taps - 1 - tap : tap);
    float v[16];
    UNROLL for (int c = 0; c < (NARROW ? 16 : 8); c++) v[c] = used && c < count ? from[c * p.chunk_stride] * scale : 0.0f;
    uint4 *to = (uint4 *)p.to + 2 * (u64)row;
    if (NARROW) {
        UNROLL for (int h = 0; h < 2; h++) {
            const float *w = v + 8 * h;
            to[h] = make_uint4(pack_bf16(w[0], w[1]), pack_bf16(w[2], w[3]), pack_bf16(w[4], w[5]), pack_bf16(w[6], w[7]));
        }
    } else {
        UNROLL for (int h = 0; h < 2; h++) {
            u32 w[4];
            UNROLL for (int c = 0; c < 4; c++) w[c] = bits_of(p.arithmetic == TF32 ? round_tf32(v[4 * h + c]) : v[4 * h + c]);
            to[h] = make_uint4(w[0], w[1], w[2], w[3]);
        }
    }
}

// One thread per row.
KERNEL(PACKERS, pack_weights, Packings) {
    const Packing *table = (const Packing *)p.table;
    // The last filter that starts at this block or before.
    int low = 0, high = p.count;
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (table[middle].first <= (int)blockIdx.x) low = middle;
        else high = middle;
    }
    const Packing &of = table[low];
    const u32 row = (blockIdx.x - of.first) * PACKERS + threadIdx.x;
    if (row >= (u32)of.rows) return;
    if (of.arithmetic == BF16) pack_row<true>(of, row);
    else pack_row<false>(of, row);
}
