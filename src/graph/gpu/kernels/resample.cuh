// Reduces and enlarges maps, forward and backward. One thread per eight channels of a pixel; every result is gathered.
#pragma once
#include "common.cuh"

struct Pool {
    Source from;
    Map to;
    // First channel of `to` that is written (forward), or read (backward).
    int channel;
    int images, height, width;
    // Backward: gradient to the input.
    Map gradient;
    int accumulate;
    // Side of a window: 2, or 3 around every second pixel.
    int side;
};
FIELDS(Pool, from, to, channel, images, height, width, gradient, accumulate, side)

// Maximum of windows two pixels apart. Windows of 2×2 pixels drop an odd last row or column; windows of 3×3 are cut at
// the border.
KERNEL(256, pool, Pool) {
    const u64 i = (u64)blockIdx.x * 256 + threadIdx.x;
    const int vectors = p.from.map.channels / 8, height = (p.height + p.side - 2) / 2, width = (p.width + p.side - 2) / 2;
    const u64 pixel = i / vectors;
    if (pixel >= (u64)p.images * height * width) return;
    const int channel = (int)(i % vectors) * 8, x = (int)(pixel % width), y = (int)(pixel / width % height);
    const int image = (int)(pixel / width / height);
    Eight best;
    bool any = false;
    for (int k = 0; k < p.side * p.side; k++) {
        const int row = 2 * y - (p.side - 2) + k / p.side, column = 2 * x - (p.side - 2) + k % p.side;
        if (row < 0 || column < 0 || row >= p.height || column >= p.width) continue;
        const Eight e = read(p.from, image, ((u64)image * p.height + row) * p.width + column, channel);
        UNROLL for (int c = 0; c < 8; c++) best.v[c] = !any || e.v[c] > best.v[c] ? e.v[c] : best.v[c];
        any = true;
    }
    store(p.to, pixel, p.channel + channel, best);
}

// The gradient goes to the first maximum in row order (like PyTorch). One thread per block of 2×2 pixels, including
// incomplete ones at the border.
KERNEL(256, pool_gradient, Pool) {
    const u64 i = (u64)blockIdx.x * 256 + threadIdx.x;
    const int vectors = p.from.map.channels / 8, height = (p.height + 1) / 2, width = (p.width + 1) / 2;
    const u64 block = i / vectors;
    if (block >= (u64)p.images * height * width) return;
    const int channel = (int)(i % vectors) * 8, x = (int)(block % width), y = (int)(block / width % height);
    const int image = (int)(block / width / height), in_height = p.height / 2, in_width = p.width / 2;
    const bool complete = y < in_height && x < in_width;
    Eight best = {{0, 0, 0, 0, 0, 0, 0, 0}}, g = best;
    int first[8];
    if (complete) {
        g = load(p.to, ((u64)image * in_height + y) * in_width + x, p.channel + channel);
        UNROLL for (int k = 0; k < 4; k++) {
            const u64 at = ((u64)image * p.height + 2 * y + k / 2) * p.width + 2 * x + k % 2;
            const Eight e = read(p.from, image, at, channel);
            UNROLL for (int c = 0; c < 8; c++)
                if (k == 0 || e.v[c] > best.v[c]) best.v[c] = e.v[c], first[c] = k;
        }
    }
    UNROLL for (int k = 0; k < 4; k++) {
        const int row = 2 * y + k / 2, column = 2 * x + k % 2;
        if (row >= p.height || column >= p.width) continue;
        Eight e;
        UNROLL for (int c = 0; c < 8; c++) e.v[c] = complete && first[c] == k ? g.v[c] : 0.0f;
        store_or_add(p.gradient, ((u64)image * p.height + row) * p.width + column, channel, e, p.accumulate);
    }
}

// The same for windows of 3×3: a pixel is in up to four of them. One thread per pixel.
KERNEL(256, pool_gradient_overlapping, Pool) {
    const u64 i = (u64)blockIdx.x * 256 + threadIdx.x;
    const int vectors = p.from.map.channels / 8, height = (p.height + 1) / 2, width = (p.width + 1) / 2;
    const u64 pixel = i / vectors;
    if (pixel >= (u64)p.images * p.height * p.width) return;
    const int channel = (int)(i % vectors) * 8, x = (int)(pixel % p.width), y = (int)(pixel / p.width % p.height);
    const int image = (int)(pixel / p.width / p.height);
    Eight sum = {{0, 0, 0, 0, 0, 0, 0, 0}};
    for (int wy = y / 2; wy <= (y + 1) / 2 && wy < height; wy++)
        for (int wx = x / 2; wx <= (x + 1) / 2 && wx < width; wx++) {
            Eight best = {{0, 0, 0, 0, 0, 0, 0, 0}};
            int first[8];
            bool any = false;
            for (int k = 0; k < 9; k++) {
                const int row = 2 * wy - 1 + k / 3, column = 2 * wx - 1 + k % 3;
                if (row < 0 || column < 0 || row >= p.height || column >= p.width) continue;
                const Eight e = read(p.from, image, ((u64)image * p.height + row) * p.width + column, channel);
                UNROLL for (int c = 0; c < 8; c++)
                    if (!any || e.v[c] > best.v[c]) best.v[c] = e.v[c], first[c] = row * p.width + column;
                any = true;
            }
            const Eight g = load(p.to, ((u64)image * height + wy) * width + wx, p.channel + channel);
            UNROLL for (int c = 0; c < 8; c++) sum.v[c] += first[c] == y * p.width + x ? g.v[c] : 0.0f;
        }
    store_or_add(p.gradient, pixel, channel, sum, p.accumulate);
}

// Inputs of an output pixel along an axis: (1 − fraction)·low + fraction·high.
struct Tap {
    int low;
    int high;
    float fraction;
};
FIELDS(Tap, low, high, fraction)

// An output that an input pixel contributes to, and its weight.
struct Reader {
    int output;
    float weight;
};
FIELDS(Reader, output, weight)

struct Upsample {
    Source from;
    Map to;
    int channel;
    int images, height, width, to_height, to_width;
    // Tap [to_height], [to_width]; backward: int [height + 1] starts in Reader [..], and the same for columns.
    u64 rows, columns, row_readers, column_readers;
    // Backward: gradient to the input.
    Map gradient;
    int accumulate;
    int unused;
};
FIELDS(Upsample, from, to, channel, images, height, width, to_height, to_width, rows, columns, row_readers,
       column_readers, gradient, accumulate, unused)

KERNEL(256, upsample, Upsample) {
    const u64 i = (u64)blockIdx.x * 256 + threadIdx.x;
    const int vectors = p.from.map.channels / 8;
    const u64 pixel = i / vectors;
    if (pixel >= (u64)p.images * p.to_height * p.to_width) return;
    const int channel = (int)(i % vectors) * 8, image = (int)(pixel / p.to_width / p.to_height);
    const Tap row = ((const Tap *)p.rows)[pixel / p.to_width % p.to_height];
    const Tap column = ((const Tap *)p.columns)[pixel % p.to_width];
    const u64 low = ((u64)image * p.height + row.low) * p.width, high = ((u64)image * p.height + row.high) * p.width;
    Eight a = read(p.from, image, low + column.low, channel), b = read(p.from, image, high + column.low, channel);
    Eight c = read(p.from, image, low + column.high, channel), d = read(p.from, image, high + column.high, channel);
    UNROLL for (int k = 0; k < 8; k++) {
        const float left = fmaf(row.fraction, b.v[k] - a.v[k], a.v[k]);
        const float right = fmaf(row.fraction, d.v[k] - c.v[k], c.v[k]);
        a.v[k] = fmaf(column.fraction, right - left, left);
    }
    store(p.to, pixel, p.channel + channel, a);
}

KERNEL(256, upsample_gradient, Upsample) {
    const u64 i = (u64)blockIdx.x * 256 + threadIdx.x;
    const int vectors = p.gradient.channels / 8;
    const u64 pixel = i / vectors;
    if (pixel >= (u64)p.images * p.height * p.width) return;
    const int channel = (int)(i % vectors) * 8, image = (int)(pixel / p.width / p.height);
    const int y = (int)(pixel / p.width % p.height), x = (int)(pixel % p.width);
    const int *rows = (const int *)p.rows, *columns = (const int *)p.columns;
    const Reader *row_readers = (const Reader *)p.row_readers, *column_readers = (const Reader *)p.column_readers;
    Eight sum = {{0, 0, 0, 0, 0, 0, 0, 0}};
    for (int c = columns[x]; c < columns[x + 1]; c++) {
        Eight mixed = {{0, 0, 0, 0, 0, 0, 0, 0}};
        for (int r = rows[y]; r < rows[y + 1]; r++) {
            const u64 at = ((u64)image * p.to_height + row_readers[r].output) * p.to_width + column_readers[c].output;
            const Eight g = load(p.to, at, p.channel + channel);
            UNROLL for (int k = 0; k < 8; k++) mixed.v[k] = fmaf(row_readers[r].weight, g.v[k], mixed.v[k]);
        }
        UNROLL for (int k = 0; k < 8; k++) sum.v[k] = fmaf(column_readers[c].weight, mixed.v[k], sum.v[k]);
    }
    store_or_add(p.gradient, pixel, channel, sum, p.accumulate);
}
