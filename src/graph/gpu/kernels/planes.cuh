// Computations on heads' planes [B·K, H, W] of float: losses with their gradients, and positions of landmarks. A plane
// is cut into chunks of rows, one block each; sums of chunks are added up in their order.
#pragma once
#include "common.cuh"

const int PLANE_THREADS = 256;

enum LossKind { L1, SMOOTH_L1, MSE, SUM_L2, WEIGHTED_L1, WEIGHTED_MSE, ADAPTIVE_WING, FOCAL };

struct Loss {
    u64 maps;
    // In the maps' shape, or 0 if only the value is needed.
    u64 gradient;
    // Heatmaps, as float [planes][height] and [planes][width]; a plane's heatmap is their product.
    u64 rows, columns;
    // Factor of every plane's gradient; negative for missing landmarks. Float [planes].
    u64 factors;
    // Double [planes][chunks]; for a softmax three of them.
    u64 partials;
    // Double [planes]: losses; for a softmax also the logarithm of the sum, float [planes].
    u64 losses;
    u64 logarithms;
    // Int [planes]: index of the heatmap's largest pixel.
    u64 tops;
    // Double [planes][height] and [planes][width]: sums of probabilities.
    u64 row_sums, column_sums;
    // Float [planes][height] and [planes][width]: derivatives to the probability of the pixels of a row and of a
    // column.
    u64 row_slopes, column_slopes;
    // Divisor of the sum over a plane.
    double divisor;
    // Settings of the loss, in the order of its keys.
    float settings[5];
    int kind;
    int planes, height, width, chunks, rows_of_chunk;
    int unused;
};
FIELDS(Loss, maps, gradient, rows, columns, factors, partials, losses, logarithms, tops, row_sums, column_sums,
       row_slopes, column_slopes, divisor, settings, kind, planes, height, width, chunks, rows_of_chunk, unused)

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

// −1, 0 or 1: the derivative of |d|, like PyTorch's.
DEVICE float sign(float d) { return d > 0.0f ? 1.0f : d < 0.0f ? -1.0f : d * 0.0f; }

struct ValueAndSlope {
    float value, slope;
};

// The Adaptive Wing loss for a difference from a target, without its map of weights.
DEVICE ValueAndSlope adaptive_wing(const Loss &p, float d, float t) {
    const float omega = p.settings[0], theta = p.settings[1], epsilon = p.settings[2], power = p.settings[3] - t;
    const float size = fabsf(d);
    if (size > theta) {
        const float share = powf(theta / epsilon, power), slope = omega * power * share / ((1.0f + share) * theta);
        return {slope * (size - theta) + omega * log1pf(share), slope * sign(d)};
    }
    const float share = powf(size / epsilon, power);
    return {omega * log1pf(share), omega * power * share / ((1.0f + share) * fmaxf(size, 1e-30f)) * sign(d)};
}

// The focal loss for a map's value.
DEVICE ValueAndSlope focal(const Loss &p, float z, float t, bool is_top) {
    const float alpha = p.settings[0], beta = p.settings[1], tail = expf(-fabsf(z)), rest = log1pf(tail);
    const float larger = 1.0f / (1.0f + tail), smaller = tail / (1.0f + tail);
    const float yes = z < 0.0f ? smaller : larger, no = z < 0.0f ? larger : smaller;
    if (is_top) {
        const float cost = rest + (z < 0.0f ? -z : 0.0f), factor = powf(no, alpha);
        return {factor * cost, -factor * (alpha * yes * cost + no)};
    }
    const float cost = rest + (z < 0.0f ? 0.0f : z);
    const float factor = powf(1.0f - t, beta) * expf(alpha * ((z < 0.0f ? z : 0.0f) - rest));
    return {factor * cost, factor * (alpha * no * cost + yes)};
}

// The largest of a profile's value and its neighbours.
DEVICE float around(const float *profile, int at, int count) {
    float largest = profile[at];
    if (at > 0) largest = fmaxf(largest, profile[at - 1]);
    if (at + 1 < count) largest = fmaxf(largest, profile[at + 1]);
    return largest;
}

// Sum of a pointwise loss over a chunk, and its derivative. Blocks: chunk, plane.
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
            const int x = i % p.width, y = i / p.width;
            const float z = ((const float *)p.maps)[start + i], t = rows[y] * columns[x], d = z - t;
            const float size = fabsf(d), setting = p.settings[0];
            if (p.kind == L1) {
                sum += size, slope = sign(d);
            } else if (p.kind == MSE) {
                sum = fmaf(d, d, sum), slope = 2.0f * d;
            } else if (p.kind == SUM_L2) {
                slope = d - (setting - 1.0f) * t;
                sum += 0.5f * slope * slope;
            } else if (p.kind == WEIGHTED_L1) {
                const float weight = 1.0f + setting * t;
                sum += weight * size, slope = weight * sign(d);
            } else if (p.kind == WEIGHTED_MSE) {
                const float weighted = (1.0f + setting * t) * d;
                sum += weighted * d, slope = 2.0f * weighted;
            } else if (p.kind == ADAPTIVE_WING) {
                const bool near = around(rows, y, p.height) * around(columns, x, p.width) >= 0.2f;
                const float weight = near ? 1.0f + p.settings[4] : 1.0f;
                const ValueAndSlope of = adaptive_wing(p, d, t);
                sum += weight * of.value, slope = weight * of.slope;
            } else if (p.kind == FOCAL) {
                const ValueAndSlope of = focal(p, z, t, i == ((const int *)p.tops)[plane]);
                sum += of.value, slope = of.slope;
            } else if (size < setting) {
                sum += 0.5f * d * (d / setting), slope = d / setting;
            } else {
                sum += size - 0.5f * setting, slope = sign(d);
            }
        }
        if (p.gradient) ((float *)p.gradient)[start + i] = factor >= 0.0f ? slope * factor : 0.0f;
    }
    const double all = add_up(sum);
    if (threadIdx.x == 0) ((double *)p.partials)[(u64)plane * p.chunks + chunk] = all;
}

// Adds up chunks; one thread per plane.
KERNEL(128, sum_losses, Loss) {
    const int plane = blockIdx.x * 128 + threadIdx.x;
    if (plane >= p.planes) return;
    double sum = 0.0;
    for (int chunk = 0; chunk < p.chunks; chunk++) sum += ((const double *)p.partials)[(u64)plane * p.chunks + chunk];
    ((double *)p.losses)[plane] = sum / p.divisor;
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

// Combines chunks; one thread per plane.
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

// A pixel's probability, after softmax_losses.
struct Probability {
    float value, logarithm;
};

DEVICE Probability probability(const Loss &p, int plane, int i) {
    const float *logarithms = (const float *)p.logarithms + 2 * plane;
    const float z = ((const float *)p.maps)[(u64)plane * p.height * p.width + i] - logarithms[0] - logarithms[1];
    return {expf(z), z < -87.0f ? -87.0f : z};
}

// Sum of a row's probabilities. Blocks: row, plane.
KERNEL(PLANE_THREADS, sum_rows, Loss) {
    const int row = blockIdx.x, plane = blockIdx.y;
    float sum = 0.0f;
    for (int x = threadIdx.x; x < p.width; x += PLANE_THREADS) sum += probability(p, plane, row * p.width + x).value;
    const double all = add_up(sum);
    if (threadIdx.x == 0) ((double *)p.row_sums)[(u64)plane * p.height + row] = all;
}

// Sums of columns' probabilities; one thread per column. Blocks: columns, plane.
KERNEL(PLANE_THREADS, sum_columns, Loss) {
    const int x = blockIdx.x * PLANE_THREADS + threadIdx.x, plane = blockIdx.y;
    if (x >= p.width) return;
    double sum = 0.0;
    for (int y = 0; y < p.height; y++) sum += probability(p, plane, y * p.width + x).value;
    ((double *)p.column_sums)[(u64)plane * p.width + x] = sum;
}

// Logarithm of the mean of probability and target.
DEVICE float between(float probability, float target) { return logf(fmaxf(0.5f * (probability + target), 1.17549435e-38f)); }

// Σ p·ln(p/m) and Σ t·ln(t/m) over a chunk, m between the two. Blocks: chunk, plane.
KERNEL(PLANE_THREADS, divergence, Loss) {
    const int plane = blockIdx.y, chunk = blockIdx.x, first = first_of_chunk(p), end = end_of_chunk(p);
    const float *rows = (const float *)p.rows + (u64)plane * p.height;
    const float *columns = (const float *)p.columns + (u64)plane * p.width;
    float from_found = 0.0f, from_target = 0.0f;
    for (int i = first + threadIdx.x; i < end; i += PLANE_THREADS) {
        const float row = rows[i / p.width], column = columns[i % p.width], t = row * column;
        const Probability found = probability(p, plane, i);
        const float mean = between(found.value, t);
        from_found += found.value * (found.logarithm - mean);
        if (t > 0.0f) from_target += t * (logf(row) + logf(column) - mean);
    }
    const double all_found = add_up(from_found), all_target = add_up(from_target);
    if (threadIdx.x > 0) return;
    double *to = (double *)p.partials + 2 * ((u64)plane * p.chunks + chunk);
    to[0] = all_found, to[1] = all_target;
}

// p·(slopes + regularizer·½·ln(p/m)), times the factor. Blocks: chunk, plane.
KERNEL(PLANE_THREADS, marginal_gradient, Loss) {
    const int plane = blockIdx.y, first = first_of_chunk(p), end = end_of_chunk(p);
    const float factor = ((const float *)p.factors)[plane], weight = 0.5f * p.settings[0];
    const float *rows = (const float *)p.rows + (u64)plane * p.height;
    const float *columns = (const float *)p.columns + (u64)plane * p.width;
    const float *row_slopes = (const float *)p.row_slopes + (u64)plane * p.height;
    const float *column_slopes = (const float *)p.column_slopes + (u64)plane * p.width;
    for (int i = first + threadIdx.x; i < end; i += PLANE_THREADS) {
        float g = 0.0f;
        if (factor >= 0.0f) {
            const int x = i % p.width, y = i / p.width;
            const Probability found = probability(p, plane, i);
            const float beside = weight > 0.0f ? weight * (found.logarithm - between(found.value, rows[y] * columns[x])) : 0.0f;
            g = factor * found.value * (column_slopes[x] + row_slopes[y] + beside);
        }
        ((float *)p.gradient)[(u64)plane * p.height * p.width + i] = g;
    }
}

struct Decode {
    u64 maps;
    // Peak [planes][chunks], and [planes].
    u64 parts, peaks;
    // u64 [planes][chunks][3]: number of pixels at or above the threshold, and the sums of their columns and rows.
    u64 sums;
    // Values around the peaks, up to `reach` pixels away; float [planes][2·reach + 1][2·reach + 1].
    u64 windows;
    // Double [planes][chunks]: Σ exp(v − largest).
    u64 masses;
    // Threshold as a share of the maximum, and its logarithm, for maps that are logarithms.
    float threshold, logarithm;
    int kind, reach, planes, height, width, chunks, rows_of_chunk;
    int unused;
};
FIELDS(Decode, maps, parts, peaks, sums, windows, masses, threshold, logarithm, kind, reach, planes, height, width,
       chunks, rows_of_chunk, unused)

// Meaning of a map's values: heights, logarithms of a probability, or heights before their sigmoid.
enum MapKind { HEATMAP, LOGITS, SIGMOID };

// The first of the largest values and its index; −1 if all values are NaN.
struct Peak {
    float value;
    int place;
};
FIELDS(Peak, value, place)

DEVICE bool is_before(Peak a, Peak b) { return a.place >= 0 && (b.place < 0 || a.value > b.value || (a.value == b.value && a.place < b.place)); }

// Blocks: chunk, plane.
KERNEL(PLANE_THREADS, find_peaks, Decode) {
    const int plane = blockIdx.y, chunk = blockIdx.x, first = first_of_chunk(p), end = end_of_chunk(p);
    const float *map = (const float *)p.maps + (u64)plane * p.height * p.width;
    Peak best = {-INFINITY, -1};
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

// One thread per plane.
KERNEL(128, merge_peaks, Decode) {
    const int plane = blockIdx.x * 128 + threadIdx.x;
    if (plane >= p.planes) return;
    Peak best = {-INFINITY, -1};
    for (int chunk = 0; chunk < p.chunks; chunk++) {
        const Peak other = ((const Peak *)p.parts)[(u64)plane * p.chunks + chunk];
        if (is_before(other, best)) best = other;
    }
    ((Peak *)p.peaks)[plane] = best;
}

// One thread per value; NaN beyond the border and without a peak.
KERNEL(128, copy_windows, Decode) {
    const int side = 2 * p.reach + 1, at = blockIdx.x * 128 + threadIdx.x, plane = at / (side * side);
    if (plane >= p.planes) return;
    const int peak = ((const Peak *)p.peaks)[plane].place, in_window = at % (side * side);
    const int x = peak % p.width + in_window % side - p.reach, y = peak / p.width + in_window / side - p.reach;
    const bool inside = peak >= 0 && x >= 0 && x < p.width && y >= 0 && y < p.height;
    const float *map = (const float *)p.maps + (u64)plane * p.height * p.width;
    ((float *)p.windows)[at] = inside ? map[(u64)y * p.width + x] : NAN;
}

// Σ exp(v − largest) over a chunk, ignoring NaN. Blocks: chunk, plane.
KERNEL(PLANE_THREADS, sum_masses, Decode) {
    const int plane = blockIdx.y, chunk = blockIdx.x, first = first_of_chunk(p), end = end_of_chunk(p);
    const float *map = (const float *)p.maps + (u64)plane * p.height * p.width;
    const float highest = ((const Peak *)p.peaks)[plane].value;
    float sum = 0.0f;
    for (int i = first + threadIdx.x; i < end; i += PLANE_THREADS)
        if (map[i] == map[i]) sum += expf(map[i] - highest);
    const double all = add_up(sum);
    if (threadIdx.x == 0) ((double *)p.masses)[(u64)plane * p.chunks + chunk] = all;
}

// The least value whose height is the threshold's share of the largest; see MapKind::least.
DEVICE float least_of(const Decode &p, float highest) {
    if (p.kind == LOGITS) return highest + p.logarithm;
    if (p.kind == HEATMAP) return highest > 0.0f ? p.threshold * highest : highest;
    const double height = (double)p.threshold * (1.0 / (1.0 + exp(-(double)highest)));
    const float lowest = (float)log(height / (1.0 - height));
    return lowest < highest ? lowest : highest;
}

// Blocks: chunk, plane.
KERNEL(PLANE_THREADS, sum_places, Decode) {
    const int plane = blockIdx.y, chunk = blockIdx.x, first = first_of_chunk(p), end = end_of_chunk(p);
    const float *map = (const float *)p.maps + (u64)plane * p.height * p.width;
    const float highest = ((const Peak *)p.peaks)[plane].value;
    const float lowest = least_of(p, highest);
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
