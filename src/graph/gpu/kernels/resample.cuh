// Reduces and enlarges maps, forward and backward, row by row; every result is gathered.
#pragma once
#include "rows.cuh"

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

template <bool NARROW, bool CEILING = false>
DEVICE void pool_row(const Pool &p) {
    typedef Vectors<NARROW> V;
    USUALLY(ALWAYS, p.side == 2);
    const int height = (p.height + p.side - 2) / 2, width = (p.width + p.side - 2) / 2;
    const Walk w = walk(height, p.from.map.channels);
    const Applied a = applied(p.from.activation, w.image, w.channel);
    const int top = 2 * w.y - (p.side - 2);
    const V from = V::of(p.from.map, w.image * p.height, p.width, w.channel), to = V::of(p.to, w.row, width, p.channel + w.channel);
    for (int x = w.first; x < width; x += w.step) {
        Eight best;
        bool any = false;
        for (int r = 0; r < p.side; r++) {
            const int y = top + r;
            if (y < 0 || y >= p.height) continue;
            for (int c = 0; c < p.side; c++) {
                const int column = 2 * x - (p.side - 2) + c;
                if (column < 0 || column >= p.width) continue;
                const Eight e = apply<CEILING>(a, V::load(from, y * p.width + column));
                UNROLL for (int k = 0; k < 8; k++) best.v[k] = !any || e.v[k] > best.v[k] ? e.v[k] : best.v[k];
                any = true;
            }
        }
        V::store(to, x, best);
    }
}

// Maximum of windows two pixels apart. Windows of 2×2 pixels drop an odd last row or column; windows of 3×3 are cut at
// the border. Rows are those of the result.
ROW_KERNELS(pool, Pool, !p.from.map.wide && !p.to.wide, pool_row)

template <bool NARROW, bool CEILING = false>
DEVICE void pool_gradient_rows(const Pool &p) {
    typedef Vectors<NARROW> V;
    const int height = (p.height + 1) / 2, in_height = p.height / 2, in_width = p.width / 2;
    const Walk w = walk(height, p.from.map.channels);
    const Applied a = applied(p.from.activation, w.image, w.channel);
    const u32 row = w.image * p.height + 2 * w.y;
    const V from = V::of(p.from.map, row, p.width, w.channel), gradient = V::of(p.gradient, row, p.width, w.channel);
    const V to = V::of(p.to, w.image * in_height + w.y, in_width, p.channel + w.channel);
    for (int x = w.first; x < (p.width + 1) / 2; x += w.step) {
        const bool complete = w.y < in_height && x < in_width;
        Eight best = {{0, 0, 0, 0, 0, 0, 0, 0}}, g = best;
        int first[8] = {0, 0, 0, 0, 0, 0, 0, 0};
        if (complete) {
            g = V::load(to, x);
            UNROLL for (int k = 0; k < 4; k++) {
                const Eight e = apply<CEILING>(a, V::load(from, k / 2 * p.width + 2 * x + k % 2));
                UNROLL for (int c = 0; c < 8; c++)
                    if (k == 0 || e.v[c] > best.v[c]) best.v[c] = e.v[c], first[c] = k;
            }
        }
        UNROLL for (int k = 0; k < 4; k++) {
            if (2 * w.y + k / 2 >= p.height || 2 * x + k % 2 >= p.width) continue;
            Eight e;
            UNROLL for (int c = 0; c < 8; c++) e.v[c] = complete && first[c] == k ? g.v[c] : 0.0f;
            V::store_or_add(gradient, k / 2 * p.width + 2 * x + k % 2, e, p.accumulate);
        }
    }
}

// The gradient goes to the first maximum in row order (like PyTorch). Rows are pairs of the input's, a thread's pixels
// blocks of 2×2, including incomplete ones at the border.
ROW_KERNELS(pool_gradient, Pool, !p.from.map.wide && !p.to.wide && !p.gradient.wide, pool_gradient_rows)

// The same for windows of 3×3: a pixel is in up to four of them. Rows are those of the input.
template <bool CEILING>
DEVICE void pool_gradient_of_overlapping(const Pool &p) {
    const int height = (p.height + 1) / 2, width = (p.width + 1) / 2;
    const Walk w = walk(p.height, p.from.map.channels);
    const int channel = w.channel, y = w.y, image = w.image;
    for (int x = w.first; x < p.width; x += w.step) {
        Eight sum = {{0, 0, 0, 0, 0, 0, 0, 0}};
        for (int wy = y / 2; wy <= (y + 1) / 2 && wy < height; wy++)
            for (int wx = x / 2; wx <= (x + 1) / 2 && wx < width; wx++) {
                Eight best = {{0, 0, 0, 0, 0, 0, 0, 0}};
                int first[8];
                bool any = false;
                for (int k = 0; k < 9; k++) {
                    const int row = 2 * wy - 1 + k / 3, column = 2 * wx - 1 + k % 3;
                    if (row < 0 || column < 0 || row >= p.height || column >= p.width) continue;
                    const Eight e = read<CEILING>(p.from, image, ((u64)image * p.height + row) * p.width + column, channel);
                    UNROLL for (int c = 0; c < 8; c++)
                        if (!any || e.v[c] > best.v[c]) best.v[c] = e.v[c], first[c] = row * p.width + column;
                    any = true;
                }
                const Eight g = load(p.to, ((u64)image * height + wy) * width + wx, p.channel + channel);
                UNROLL for (int c = 0; c < 8; c++) sum.v[c] += first[c] == y * p.width + x ? g.v[c] : 0.0f;
            }
        store_or_add(p.gradient, (u64)w.row * p.width + x, channel, sum, p.accumulate);
    }
}

KERNEL(WALKERS, pool_gradient_overlapping, Pool) { pool_gradient_of_overlapping<false>(p); }
KERNEL(WALKERS, pool_gradient_overlapping_ceiling, Pool) { pool_gradient_of_overlapping<true>(p); }

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

template <bool NARROW, bool CEILING = false>
DEVICE void upsample_row(const Upsample &p) {
    typedef Vectors<NARROW> V;
    const Walk w = walk(p.to_height, p.from.map.channels);
    const Applied a = applied(p.from.activation, w.image, w.channel);
    const Tap row = ((const Tap *)p.rows)[w.y];
    const u32 start = w.image * p.height;
    const V low = V::of(p.from.map, start + row.low, p.width, w.channel), high = V::of(p.from.map, start + row.high, p.width, w.channel);
    const V to = V::of(p.to, w.row, p.to_width, p.channel + w.channel);
    // A column of the map between the two rows.
    auto mixed = [&](int column) {
        Eight above = V::load(low, column), below = V::load(high, column);
        above = apply<CEILING>(a, above), below = apply<CEILING>(a, below);
        UNROLL for (int k = 0; k < 8; k++) above.v[k] = fmaf(row.fraction, below.v[k] - above.v[k], above.v[k]);
        return above;
    };
    // Neighbouring results are mostly between the same two columns, or the second is the next one's first: a thread computes
    // some one after another and keeps the columns.
    const int RUN = 4;
    for (int first = w.first * RUN; first < p.to_width; first += w.step * RUN) {
        int at_left = -1, at_right = -1;
        Eight left, right;
        for (int x = first; x < least(first + RUN, p.to_width); x++) {
            const Tap column = ((const Tap *)p.columns)[x];
            if (column.low != at_left) left = column.low == at_right ? right : mixed(column.low), at_left = column.low;
            if (column.high != at_right) right = column.high == at_left ? left : mixed(column.high), at_right = column.high;
            Eight e;
            UNROLL for (int k = 0; k < 8; k++) e.v[k] = fmaf(column.fraction, right.v[k] - left.v[k], left.v[k]);
            V::store(to, x, e);
        }
    }
}

// Rows are those of the result.
ROW_KERNELS(upsample, Upsample, !p.from.map.wide && !p.to.wide, upsample_row)

template <bool NARROW>
DEVICE void upsample_gradient_row(const Upsample &p) {
    typedef Vectors<NARROW> V;
    const Walk w = walk(p.height, p.gradient.channels);
    const int *columns = (const int *)p.columns;
    const int first_row = ((const int *)p.rows)[w.y], rows = ((const int *)p.rows)[w.y + 1] - first_row;
    const Reader *row_readers = (const Reader *)p.row_readers + first_row, *column_readers = (const Reader *)p.column_readers;
    const V to = V::of(p.to, w.image * p.to_height, p.to_width, p.channel + w.channel);
    const V gradient = V::of(p.gradient, w.row, p.width, w.channel);
    // The first rows' readers stay in registers; more are rare.
    const int HELD = 4, held = least(HELD, rows);
    int outputs[HELD];
    float weights[HELD];
    UNROLL for (int r = 0; r < HELD; r++) {
        const Reader row = r < held ? row_readers[r] : Reader{0, 0.0f};
        outputs[r] = row.output * p.to_width, weights[r] = row.weight;
    }
    for (int x = w.first; x < p.width; x += w.step) {
        Eight sum = {{0, 0, 0, 0, 0, 0, 0, 0}};
        const int end = columns[x + 1];
        for (int c = columns[x]; c < end; c++) {
            const Reader column = column_readers[c];
            Eight mixed = {{0, 0, 0, 0, 0, 0, 0, 0}};
            auto add = [&](float weight, const Eight &g) {
                UNROLL for (int k = 0; k < 8; k++) mixed.v[k] = fmaf(weight, g.v[k], mixed.v[k]);
            };
            UNROLL for (int r = 0; r < HELD; r++)
                if (r < held) add(weights[r], V::load(to, outputs[r] + column.output));
            USUALLY(ALWAYS, rows <= HELD);
            for (int r = HELD; r < rows; r++)
                add(row_readers[r].weight, V::load(to, row_readers[r].output * p.to_width + column.output));
            UNROLL for (int k = 0; k < 8; k++) sum.v[k] = fmaf(column.weight, mixed.v[k], sum.v[k]);
        }
        V::store_or_add(gradient, x, sum, p.accumulate);
    }
}

// Rows are those of the input.
DENSE_KERNEL(WALKERS, 9, upsample_gradient, Upsample) { FOR_MAPS(!p.to.wide && !p.gradient.wide, upsample_gradient_row, p); }
