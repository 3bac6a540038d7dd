// What is computed from heads' planes [B·K, H, W] of float: losses with their gradients, and the places landmarks are
// read from. A plane is cut into chunks of rows, a block each; sums of chunks are added up in their order.
#pragma once
#include "common.cuh"

const int PLANE_THREADS = 256;

enum LossKind { L1, SMOOTH_L1, MSE, NLL };

struct Loss {
    u64 maps;
    // Of the maps' shape, or 0 where only the value is asked for.
    u64 gradient;
    // Heatmaps, as float [planes][height] and [planes][width]; a plane's is their product.
    u64 rows, columns;
    // Of every plane: factor of its gradient; negative where there is no landmark. Float [planes].
    u64 factors;
    // Double [planes][chunks]; of a softmax three of them.
    u64 partials;
    // Double [planes]: losses; of a softmax also the logarithm of the sum, float [planes].
    u64 losses;
    u64 logarithms;
    int kind;
    float beta;
    int planes, height, width, chunks, rows_of_chunk;
    int unused;
};

// The pixels of a block's chunk.
template <typename P>
DEVICE int first_of_chunk(const P &p) { return blockIdx.x * p.rows_of_chunk * p.width; }
template <typename P>
DEVICE int end_of_chunk(const P &p) { return least(p.height, ((int)blockIdx.x + 1) * p.rows_of_chunk) * p.width; }

// Adds up 256 threads' numbers, for thread 0.
DEVICE double add_up(double v) {
    double *table = (double *)shared_memory();
    __syncthreads();
    table[threadIdx.x] = v;
    for (int half = PLANE_THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half) table[threadIdx.x] += table[threadIdx.x + half];
    }
    return table[0];
}

// −1, 0 or 1: the derivative of |d| as PyTorch has it.
DEVICE float sign(float d) { return d > 0.0f ? 1.0f : d < 0.0f ? -1.0f : d * 0.0f; }

// Sum of a pointwise loss of output − target over a chunk, and its derivative. Blocks: chunk, plane.
KERNEL(PLANE_THREADS, difference_loss, Loss) {
    const int plane = blockIdx.y, chunk = blockIdx.x, first = first_of_chunk(p), end = end_of_chunk(p);
    const float factor = ((const float *)p.factors)[plane];
    const u64 start = (u64)plane * p.height * p.width;
    const float *rows = (const float *)p.rows + (u64)plane * p.height;
    const float *columns = (const float *)p.columns + (u64)plane * p.width;
    float sum = 0.0f;
    for (int i = first + threadIdx.x; i < end; i += PLANE_THREADS) {
        float slope = 0.0f;
        if (factor >= 0.0f) {
            const float d = ((const float *)p.maps)[start + i] - rows[i / p.width] * columns[i % p.width];
            const float size = fabsf(d);
            if (p.kind == L1) {
                sum += size, slope = sign(d);
            } else if (p.kind == MSE) {
                sum = fmaf(d, d, sum), slope = 2.0f * d;
            } else if (size < p.beta) {
                sum += 0.5f * d * (d / p.beta), slope = d / p.beta;
            } else {
                sum += size - 0.5f * p.beta, slope = sign(d);
            }
        }
        if (p.gradient) ((float *)p.gradient)[start + i] = factor >= 0.0f ? slope * factor : 0.0f;
    }
    const double all = add_up(sum);
    if (threadIdx.x == 0) ((double *)p.partials)[(u64)plane * p.chunks + chunk] = all;
}

// Adds up chunks; a thread a plane.
KERNEL(128, sum_losses, Loss) {
    const int plane = blockIdx.x * 128 + threadIdx.x;
    if (plane >= p.planes) return;
    double sum = 0.0;
    for (int chunk = 0; chunk < p.chunks; chunk++) sum += ((const double *)p.partials)[(u64)plane * p.chunks + chunk];
    ((double *)p.losses)[plane] = sum / ((double)p.height * p.width);
}

// Largest value of a chunk, Σ exp(z − largest) and Σ t·z. Blocks: chunk, plane.
KERNEL(PLANE_THREADS, softmax_parts, Loss) {
    const int plane = blockIdx.y, chunk = blockIdx.x, first = first_of_chunk(p), end = end_of_chunk(p);
    const float *map = (const float *)p.maps + (u64)plane * p.height * p.width;
    const float *rows = (const float *)p.rows + (u64)plane * p.height;
    const float *columns = (const float *)p.columns + (u64)plane * p.width;
    float *table = (float *)shared_memory();
    float largest = -INFINITY;
    for (int i = first + threadIdx.x; i < end; i += PLANE_THREADS)
        if (map[i] > largest || map[i] != map[i]) largest = map[i];
    table[threadIdx.x] = largest;
    for (int half = PLANE_THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        const float other = (int)threadIdx.x < half ? table[threadIdx.x + half] : 0.0f;
        if ((int)threadIdx.x < half && (other > table[threadIdx.x] || other != other)) table[threadIdx.x] = other;
    }
    __syncthreads();
    largest = table[0];
    float sum = 0.0f;
    double expected = 0.0;
    for (int i = first + threadIdx.x; i < end; i += PLANE_THREADS) {
        sum += expf(map[i] - largest);
        expected += (double)(rows[i / p.width] * columns[i % p.width]) * map[i];
    }
    const double all = add_up(sum), of_target = add_up(expected);
    if (threadIdx.x > 0) return;
    double *to = (double *)p.partials + 3 * ((u64)plane * p.chunks + chunk);
    to[0] = largest, to[1] = all, to[2] = of_target;
}

// Puts chunks together; a thread a plane.
KERNEL(128, softmax_losses, Loss) {
    const int plane = blockIdx.x * 128 + threadIdx.x;
    if (plane >= p.planes) return;
    const double *from = (const double *)p.partials + 3 * (u64)plane * p.chunks;
    double largest = -INFINITY, sum = 0.0, expected = 0.0;
    for (int chunk = 0; chunk < p.chunks; chunk++)
        if (from[3 * chunk] > largest || from[3 * chunk] != from[3 * chunk]) largest = from[3 * chunk];
    for (int chunk = 0; chunk < p.chunks; chunk++)
        sum += from[3 * chunk + 1] * exp(from[3 * chunk] - largest), expected += from[3 * chunk + 2];
    const double logarithm = largest + log(sum);
    ((double *)p.losses)[plane] = logarithm - expected;
    ((float *)p.logarithms)[2 * plane] = (float)largest;
    ((float *)p.logarithms)[2 * plane + 1] = (float)log(sum);
}

// softmax(z) − t, times the factor; blocks: chunk, plane.
KERNEL(PLANE_THREADS, softmax_gradient, Loss) {
    const int plane = blockIdx.y, chunk = blockIdx.x, first = first_of_chunk(p), end = end_of_chunk(p);
    const float factor = ((const float *)p.factors)[plane];
    const u64 start = (u64)plane * p.height * p.width;
    const float *rows = (const float *)p.rows + (u64)plane * p.height;
    const float *columns = (const float *)p.columns + (u64)plane * p.width;
    const float largest = ((const float *)p.logarithms)[2 * plane], rest = ((const float *)p.logarithms)[2 * plane + 1];
    for (int i = first + threadIdx.x; i < end; i += PLANE_THREADS) {
        float g = 0.0f;
        if (factor >= 0.0f)
            g = factor * (expf(((const float *)p.maps)[start + i] - largest - rest) - rows[i / p.width] * columns[i % p.width]);
        ((float *)p.gradient)[start + i] = g;
    }
}

struct Decode {
    u64 maps;
    // Peak [planes][chunks], and [planes].
    u64 parts, peaks;
    // u64 [planes][chunks][3]: pixels from the threshold up: their number, and the sums of their columns and rows.
    u64 sums;
    // Share of the maximum, and its logarithm, for maps that are logarithms.
    float threshold, logarithm;
    int logits, planes, height, width, chunks, rows_of_chunk;
};

// The first of the largest values and its place; −1 where none is a number.
struct Peak {
    float value;
    int place;
    // Left, right, above and below; not numbers beyond the border.
    float around[4];
};

DEVICE bool is_before(Peak a, Peak b) { return a.place >= 0 && (b.place < 0 || a.value > b.value || (a.value == b.value && a.place < b.place)); }

// Blocks: chunk, plane.
KERNEL(PLANE_THREADS, find_peaks, Decode) {
    const int plane = blockIdx.y, chunk = blockIdx.x, first = first_of_chunk(p), end = end_of_chunk(p);
    const float *map = (const float *)p.maps + (u64)plane * p.height * p.width;
    Peak best = {-INFINITY, -1, {0, 0, 0, 0}};
    for (int i = first + threadIdx.x; i < end; i += PLANE_THREADS)
        if (map[i] > best.value || (best.place < 0 && map[i] == best.value)) best.value = map[i], best.place = i;
    Peak *table = (Peak *)shared_memory();
    table[threadIdx.x] = best;
    for (int half = PLANE_THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half && is_before(table[threadIdx.x + half], table[threadIdx.x]))
            table[threadIdx.x] = table[threadIdx.x + half];
    }
    if (threadIdx.x == 0) ((Peak *)p.parts)[(u64)plane * p.chunks + chunk] = table[0];
}

// A thread a plane.
KERNEL(128, merge_peaks, Decode) {
    const int plane = blockIdx.x * 128 + threadIdx.x;
    if (plane >= p.planes) return;
    const float *map = (const float *)p.maps + (u64)plane * p.height * p.width;
    Peak best = {-INFINITY, -1, {0, 0, 0, 0}};
    for (int chunk = 0; chunk < p.chunks; chunk++) {
        const Peak other = ((const Peak *)p.parts)[(u64)plane * p.chunks + chunk];
        if (is_before(other, best)) best = other;
    }
    if (best.place >= 0) {
        const int x = best.place % p.width, y = best.place / p.width;
        const bool across = x > 0 && x + 1 < p.width, down = y > 0 && y + 1 < p.height;
        best.around[0] = across ? map[best.place - 1] : NAN, best.around[1] = across ? map[best.place + 1] : NAN;
        best.around[2] = down ? map[best.place - p.width] : NAN, best.around[3] = down ? map[best.place + p.width] : NAN;
    }
    ((Peak *)p.peaks)[plane] = best;
}

// Blocks: chunk, plane.
KERNEL(PLANE_THREADS, sum_places, Decode) {
    const int plane = blockIdx.y, chunk = blockIdx.x, first = first_of_chunk(p), end = end_of_chunk(p);
    const float *map = (const float *)p.maps + (u64)plane * p.height * p.width;
    const float highest = ((const Peak *)p.peaks)[plane].value;
    const float lowest = p.logits ? highest + p.logarithm : highest > 0.0f ? p.threshold * highest : highest;
    u64 sums[3] = {0, 0, 0};
    for (int i = first + threadIdx.x; i < end; i += PLANE_THREADS)
        if (map[i] >= lowest) sums[0]++, sums[1] += i % p.width, sums[2] += i / p.width;
    u64 *table = (u64 *)shared_memory();
    for (int what = 0; what < 3; what++) {
        __syncthreads();
        table[threadIdx.x] = sums[what];
        for (int half = PLANE_THREADS / 2; half > 0; half /= 2) {
            __syncthreads();
            if ((int)threadIdx.x < half) table[threadIdx.x] += table[threadIdx.x + half];
        }
        if (threadIdx.x == 0) ((u64 *)p.sums)[((u64)plane * p.chunks + chunk) * 3 + what] = table[0];
    }
}
